r"""The weights of a loss of images, where it cannot be asked about parts: by regression, with error bars.

The loss of an image is intercept + A · E[energy] + B · KL, if it is a VAE's.  Images, noisy, blended and inverted ones
vary both; the energy is averaged over own draws of z, the loss over its own.  Which likelihood and which reading of the
encoder they are is decided by the fit, whose residual must be no larger than two and a half times the noise of both
averages.
"""

from typing import NamedTuple

import numpy as np

from vaecourse.clinic.divergences import READINGS
from vaecourse.clinic.normal import normal_kl
from vaecourse.clinic.own import OwnModel
from vaecourse.clinic.reconstructions import ENERGIES, SCALES, Name
from vaecourse.clinic.thresholds import THRESHOLDS

REPEATS = 8
"""How often an image stands in the batch of which the loss is asked."""

_IMAGES, _CALLS, _DRAWS = 40, 4, 24


class Estimated(NamedTuple):
    """What a regression says; NaN or None where it cannot be known, and why.

    Attributes
    ----------
    weight, error : float
        Of the KL, per weight of the log-likelihood, and its standard error.
    slope : float
        Weight of the energy of the family at unit scale.
    loss : float
        The mean over the images.
    family, reading : optional
    why : str
    mixed : str
        How the loss of a batch differs from the mean of the losses of its images, if it does.
    """

    weight: float
    error: float
    slope: float
    loss: float
    family: Name | None
    reading: str | None
    why: str
    mixed: str


def estimate(model: OwnModel, x: np.ndarray, seed: int) -> Estimated:
    """Estimate the weights of a loss of images.

    Parameters
    ----------
    model : OwnModel
    x : array `(n, ...)`
    seed : int
        Of the images that are varied, and of the draws of z.
    """
    rng = np.random.default_rng(seed)
    images = _varied(x, rng)
    calls = [[float(np.mean(model.losses(_repeated(image)))) for _ in range(_CALLS)] for image in images]
    losses, noise = np.mean(calls, axis=1), np.std(calls, axis=1, ddof=1) / np.sqrt(_CALLS)
    noise = np.maximum(np.sqrt(np.mean(noise**2)), 4e-7 * np.abs(losses).max())
    mixed = _mixed(model, images, losses, float(noise))
    mean, second = model.posterior(images)
    best, unknown = None, "no likelihood of single pixels that is known here explains how the loss varies over images"
    readings = [model.reading] if model.reading else list(READINGS)
    for reading in readings:
        with np.errstate(all="ignore"):
            deviation = READINGS[reading].deviation(second.astype(float))
            kl = normal_kl(mean, deviation).sum(axis=1)
        if not np.isfinite(kl).all() or (deviation <= 0).any():
            continue
        eps = np.random.default_rng(seed).normal(size=(_DRAWS, *mean.shape))
        z = (mean + deviation * eps).reshape(-1, mean.shape[1])
        output = model.decoded(z).reshape(_DRAWS, len(images), -1).astype(float)
        are_probabilities = output.min() >= 0 and output.max() <= 1
        for family, energy in ENERGIES.items():
            if family[1] != "mean" and are_probabilities != (family[1] == "probability"):
                continue
            fit = _fit(energy, images, output, kl, losses, noise, family)
            if fit is not None and (best is None or fit[0] < best[0]):
                best = (*fit, family, reading)
    if best is None or best[0] > 2.5:
        return Estimated(np.nan, np.nan, np.nan, float(losses.mean()), None, None, mixed or unknown, mixed)
    _, slope, weight, error, family, reading = best
    why = ""
    if family[0] in SCALES:
        why = f"the loss is a {family[0]}'s of unknown scale, and β goes with it: hand loss_of_parts, or audit the loss"
    elif not error < THRESHOLDS.estimate * max(abs(weight), 0.05):
        why = f"β is estimated at {weight:.2g} ± {error:.2g}, too wide to say more: hand loss_of_parts"
    return Estimated(np.nan if why else weight, error, slope, float(losses.mean()), family, reading, why, mixed)


def _varied(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images of which some are noisy, some blended, some inverted; black and white ones stay so."""
    low, high = float(x.min()), float(x.max())
    base = x[rng.choice(len(x), _IMAGES, replace=len(x) < _IMAGES)].astype(float)
    quarter = _IMAGES // 4
    span = high - low
    base[:quarter] = np.clip(base[:quarter] + rng.normal(size=base[:quarter].shape) * span * 0.6, low, high)
    base[quarter : quarter + 4] = low + high - base[quarter : quarter + 4]
    share = rng.uniform(size=(quarter, *[1] * (x.ndim - 1)))
    base[-quarter:] = share * base[-quarter:] + (1 - share) * base[quarter : 2 * quarter]
    if set(np.unique(x[:50])) <= {low, high}:
        base = np.where(base > (low + high) / 2, high, low)
    return base.astype(np.float32)


def _repeated(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[np.newaxis], REPEATS, axis=0)


def _mixed(model: OwnModel, images: np.ndarray, losses: np.ndarray, noise: float) -> str:
    """Say whether a batch of different images costs what its images cost."""
    together = [float(np.mean(model.losses(images[-REPEATS:]))) for _ in range(_CALLS)]
    apart, error = losses[-REPEATS:].mean(), np.std(together, ddof=1) / np.sqrt(_CALLS) + noise
    off = float(np.mean(together)) - apart
    if abs(off) <= 5 * error + 1e-3 * abs(apart):
        return ""
    return (
        f"eight images together cost {np.mean(together):.4g}, and {apart:.4g} one by one: images of a batch are mixed, "
        "as by a wrong target, or by batch normalization"
    )


def _fit(energy, images, output, kl, losses, noise, family):  # type: ignore[no-untyped-def]
    """Return residual per noise, slope, weight of the KL and its standard error; None where the family cannot be."""
    flat = images.reshape(len(images), -1).astype(float)
    clipped = np.clip(output, 1e-7, 1 - 1e-7) if family[1] == "probability" else output
    with np.errstate(all="ignore"):
        draws = energy(np.broadcast_to(flat, clipped.shape), clipped).sum(axis=-1)
    if not np.isfinite(draws).all():
        return None
    features, spread = draws.mean(axis=0), draws.std(axis=0, ddof=1) / np.sqrt(_DRAWS)
    matrix = np.stack([features, kl, np.ones(len(kl))], axis=1)
    (slope, of_kl, intercept), *_ = np.linalg.lstsq(matrix, losses)
    sigma = np.sqrt(noise**2 + (slope * spread) ** 2)
    weighted = matrix / sigma[:, np.newaxis]
    (slope, of_kl, intercept), *_ = np.linalg.lstsq(weighted, losses / sigma)
    residual = losses - matrix @ [slope, of_kl, intercept]
    chi = float(np.sqrt(np.sum((residual / sigma) ** 2) / (len(losses) - 3)))
    covariance = np.linalg.pinv(weighted.T @ weighted) * max(chi, 1) ** 2
    if slope == 0:
        return None
    weight = of_kl / slope
    by = np.array([-weight / slope, 1 / slope, 0])
    return chi, float(slope), float(weight), float(np.sqrt(by @ covariance @ by))
