"""Figures that need no trained model: a bound, gradients and pixels, all computed from formulas in the page."""

import numpy as np
from scipy import special, stats

from vaecourse.live.page import LiveFigure
from vaecourse.live.stills import curves

NOISE = 0.3
"""Standard deviation of x given z in the model of :func:`bound_by_hand`."""


def curve(z: np.ndarray) -> np.ndarray:
    """Return the mean of x given z in the model of :func:`bound_by_hand`: 2 sin(3z/2) + z/2."""
    return 2 * np.sin(1.5 * z) + 0.5 * z


def bound_by_hand(x: float = 1.8, *, caption: str = "") -> LiveFigure:
    r"""Let a reader fit q(z|x) = N(μ, σ²) by hand to the true posterior of a model of one latent and one "pixel".

    z ~ N(0, 1), x|z ~ N(2 sin(3z/2) + z/2, 0.3²): the model of the chapter on the ELBO.  The page shows the true
    posterior and q, and adds up log p(x) = reconstruction − KL(q ‖ p(z)) + KL(q ‖ p(z|x)), in nats.

    Parameters
    ----------
    x : float
        What is observed in the beginning, from −3 to 3.  At 1.8 the true posterior has two humps, at −2.7 one.
    caption : str

    Raises
    ------
    ValueError
        If x is out of range.
    """
    if not -3 <= x <= 3:
        raise ValueError(f"expected an x from -3 to 3, where the model puts its mass; got {x!r}")
    z = np.linspace(-3.2, 3.2, 600)
    log_joint = stats.norm.logpdf(x, curve(z), NOISE) + stats.norm.logpdf(z)
    posterior = np.exp(log_joint - special.logsumexp(log_joint)) / (z[1] - z[0])
    still = curves(z, [posterior, stats.norm.pdf(z, 0.75, 0.35), stats.norm.pdf(z)])
    facts = "Model: z ~ N(0, 1), x|z ~ N(2 sin(1.5 z) + 0.5 z, 0.3²). Everything but the bound of K draws is exact."
    data = {"x": float(x), "noise": NOISE}
    return LiveFigure("bound_by_hand", "The bound by hand", f"{caption} {facts}".strip(), data, still)


def gradient_lab(mu: float = 1.0, sigma: float = 0.5, *, caption: str = "") -> LiveFigure:
    r"""Compare estimators of the gradient of E[z²], z ~ N(μ, σ²), for μ: score function, with a baseline, and pathwise.

    Parameters
    ----------
    mu, sigma : float
        In the beginning; from −2 to 2, and from 0.05 to 2.
    caption : str

    Raises
    ------
    ValueError
        If μ or σ is out of range.
    """
    if not (-2 <= mu <= 2 and 0.05 <= sigma <= 2):
        raise ValueError(f"expected mu from -2 to 2 and sigma from 0.05 to 2, got {mu!r} and {sigma!r}")
    at = np.linspace(-10, 25, 600)
    by_path = stats.norm.pdf(at, 2 * mu, 2 * sigma)
    eps = np.random.default_rng(0).normal(size=20_000)
    counts = np.histogram((mu + sigma * eps) ** 2 * eps / sigma, 100, (-10, 25), density=True)[0]
    by_score = np.interp(at, np.linspace(-9.825, 24.825, 100), counts)
    facts = "The cost is z², so the gradient for μ is 2μ. Every bar of the histogram counts estimates, each the mean "
    facts += "of as many draws as chosen."
    data = {"mu": float(mu), "sigma": float(sigma)}
    return LiveFigure("gradient_lab", "Gradients", f"{caption} {facts}".strip(), data, curves(at, [by_path, by_score]))


def pixel_lab(output: float = -2.2, sigma: float = 0.13, level: int = 0, *, caption: str = "") -> LiveFigure:
    r"""Show what four likelihoods make of one pixel: density, the masses of 256 gray levels, nats, and the slope.

    Parameters
    ----------
    output : float
        What the decoder says, from −8 to 8; its sigmoid is the mean, or the probability.
    sigma : float
        Standard deviation of the normal and of the logistic density, from 0.01 to 1.
    level : int
        The gray of the pixel, from 0 to 255.
    caption : str

    Raises
    ------
    ValueError
        If one of them is out of range.
    """
    if not (-8 <= output <= 8 and 0.01 <= sigma <= 1 and level in range(256)):
        raise ValueError(
            "expected output from -8 to 8, sigma from 0.01 to 1 and level from 0 to 255; got "
            f"{output!r}, {sigma!r} and {level!r}"
        )
    x = np.linspace(-0.4, 1.4, 600)
    mean = special.expit(output)
    still = curves(x, [stats.norm.pdf(x, mean, sigma), stats.logistic.pdf(x, mean, sigma * np.sqrt(3) / np.pi)])
    facts = "Level k is the gray k/255. Its bin is 1/255 wide; those of 0 and 255 are open, and take the tails."
    data = {"output": float(output), "sigma": float(sigma), "level": int(level)}
    return LiveFigure("pixel_lab", "One pixel, four likelihoods", f"{caption} {facts}".strip(), data, still)
