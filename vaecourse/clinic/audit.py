r"""What a loss optimizes: the likelihood, the β and the σ² that an arbitrary callable implies.

The loss a Σ(x − output)² + b KL is a VAE's for every σ², with β = b/(2σ²a): the two cannot be told apart unless the
loss has a normalizer, or somebody says which σ² is meant.  :func:`effective_objective` finds such coefficients, and
what they mean, by calling the loss at inputs of its own choosing.  It reads no code, and needs no model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vaecourse.clinic import probing
from vaecourse.data import IMAGE_SHAPE

_DRAWS = 40_000

# The argument that states the scale of a family, by what times it the energy of a pixel is divided, the normalizer.
_SCALES: dict[str, tuple[str, float, Callable[[float], float]]] = {
    "Gaussian": ("sigma2", 2.0, lambda sigma2: 0.5 * math.log(2 * math.pi * sigma2)),
    "Laplace": ("b", 1.0, lambda b: math.log(2 * b)),
}

_LikelihoodLine = probing.Line[tuple[str, str]]  # of a family, and what the output is read as
_KLLine = probing.Line[str]  # of what the fourth argument is read as; "" where there is no KL


@dataclass(frozen=True)
class Objective:
    """What a loss optimizes, as far as it can be known; what cannot be is None, and the notes say why.

    Attributes
    ----------
    family : str
        ``"Bernoulli"``, ``"continuous Bernoulli"``, ``"Gaussian"``, ``"Laplace"`` or ``"none of these"``.
    output : str
        What the decoder's output is: ``"probability"``, ``"logits"``, ``"mean"``, or the mean before its ``"sigmoid"``.
    product : float
        What is known of β whatever the scale is: β·2σ² of a Gaussian, β·b of a Laplace, β of the others.
    scale : float
        σ² of a Gaussian or b of a Laplace, where the loss has their normalizer or it was given.
    beta : float
        Weight of the KL against the log-likelihood, both in nats.
    posterior, sampler : str
        What the KL, and the sampler, take their second argument for: ``"log σ²"``, ``"log σ"``, ``"σ"`` or ``"σ²"``.
    notes : tuple of str
    """

    family: str
    output: str | None = None
    product: float | None = None
    scale: float | None = None
    beta: float | None = None
    posterior: str | None = None
    sampler: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def sampler_agrees(self) -> bool | None:
        """Whether the sampler draws from the distribution of the KL; None if either is unknown."""
        return None if self.sampler is None or self.posterior is None else self.sampler == self.posterior

    def __str__(self) -> str:
        names = {"Gaussian": ("β·2σ²", "σ²"), "Laplace": ("β·b", "b")}.get(self.family, ())
        numbers = dict(zip(names, (self.product, self.scale), strict=False))
        rows = {"likelihood": self.family + (f", output read as {self.output}" if self.output else "")}
        for name, value in (numbers | {"β": self.beta}).items():
            rows[name] = "cannot be known" if value is None else f"{value:.4g}"
        rows["KL"] = f"to N(0, I), of N(mean, σ²) given {self.posterior}" if self.posterior else "none to N(0, I)"
        return "\n".join(f"{name:12}{value}" for name, value in [*rows.items(), *(("note", n) for n in self.notes)])

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


def effective_objective(
    loss: Callable,
    sampler: Callable | None = None,
    *,
    sigma2: float | None = None,
    b: float | None = None,
    latent_dim: int = 2,
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    batch_size: int = 8,
) -> Objective:
    r"""Find out by probing what a loss optimizes.

    Varied alone, the reconstruction must give a straight line against the energy of a family, with slope A and
    intercept C, and the posterior one against ½ Σ (mean² + σ² − ln σ² − 1), with slope B.  A factor s common to both,
    from means over pixels or the batch, drops out of B/A: that is β for the Bernoullis, β·2σ² for a Gaussian, whose A
    is s/2σ², and β·b for a Laplace, whose A is s/b.

    The scale shows in C, if that is the normalizer.  But σ² ln 2πσ² = C/(A · pixels) has a solution for almost any
    constant, and two where it is negative.  So the scale counts as known only where one of the usual s (sums or means
    over pixels and over the batch) gives, with A, a σ² or b of which C is the normalizer.

    Parameters
    ----------
    loss : callable
        ``loss(x, output, mean, logvar)`` with float32 arrays `x` and `output` `(batch, height, width, channels)`,
        `mean` and `logvar` `(batch, latent_dim)`; returns a number, whatever the reduction, or one for each image, by
        NumPy or eager TensorFlow.  A loss that needs noise takes it as a fifth argument `eps` `(batch, latent_dim)`:
        it is probed at eps = 1 and −1, over which the mean of a sampled KL is exact.
    sampler : callable, optional
        ``sampler(mean, logvar, eps)``, or ``sampler(mean, logvar)`` if it draws by itself: then the moments of 40,000
        draws decide, the deviation within five standard errors, the mean within seven.
    sigma2, b : float, optional
        The σ² of a Gaussian, or the b of a Laplace, that the author of the loss states.
    latent_dim, image_shape, batch_size : int, (height, width, channels), int
        Of the model and its training: means depend on them.  Whether β depends on the batch is tested.

    Raises
    ------
    TypeError
        If the loss returns no number.
    ValueError
        If it returns another shape, a value that is not finite at legal inputs, or another value at a second call; if
        `sigma2` or `b` is not positive, belongs to another family, or contradicts the normalizer of the loss.
    """
    if latent_dim < 1 or batch_size < 2 or len(image_shape) != 3 or min(image_shape) < 1:
        sizes = f"latent_dim={latent_dim}, batch_size={batch_size}, image_shape={image_shape}"
        raise ValueError(f"expected a latent, two images, and images (height, width, channels) at least, got {sizes}")
    probe = probing.Prober(loss, (batch_size, *image_shape), (batch_size, latent_dim))
    likelihood, notes = _likelihood(probe)
    kl, more = _kl(probe)
    notes += more
    family, output = likelihood.name if likelihood else ("none of these", None)
    product: float | None = None
    if likelihood and kl:
        double = probing.Prober(loss, (2 * batch_size, *image_shape), (2 * batch_size, latent_dim))
        if not _is_their_sum(probe, likelihood, kl):
            notes += ["β cannot be known: the loss is not the sum of a reconstruction and a KL"]
        else:
            product = kl.slope / likelihood.slope
            notes += ["the KL is subtracted: far from the prior is rewarded"] * (product < 0)
            if not _is_their_sum(double, likelihood, kl):
                notes += [f"β depends on the size of the batch; this is its value for {batch_size} images"]
    scale, more = _scale(probe, likelihood, kl, sigma2=sigma2, b=b)
    notes += more
    beta = product
    if product and family in _SCALES:
        beta = product / (_SCALES[family][1] * scale) if scale else None
    posterior = (kl.name or None) if kl else None
    drawn, more = _sampler(sampler, probe, posterior) if sampler else (None, [])
    return Objective(family, output, product, scale, beta, posterior, drawn, tuple(notes + more))


def _likelihood(probe: probing.Prober) -> tuple[_LikelihoodLine | None, list[str]]:
    stacks = probing.paired_stacks(probe.images, (0, 1), (0.03, 0.97), stream=1)
    losses = probe(*stacks)
    if np.std(losses) <= probing.rounding_error(losses):
        return None, ["the loss does not depend on the images and the output"]
    line = probing.best_line(probing.energy, probing.ENERGIES, stacks, losses)
    if line is None:
        return None, ["the reconstruction is no log-likelihood of single pixels that is known here"]
    if line.name[1] != "probability":  # the output may be any number: is it the same loss there?
        wide = probing.paired_stacks(probe.images, (0, 1), (-4, 4), stream=1)
        losses = probe(*wide, finite=False)
        if not np.isfinite(losses).all() or not probing.best_line(probing.energy, [line.name], wide, losses):
            return None, [f"the reconstruction is that of a {line.name[0]} only for outputs between 0 and 1"]
    return line, ["the loss grows as the reconstruction gets better: it is to be maximized"] * (line.slope < 0)


def _kl(probe: probing.Prober) -> tuple[_KLLine | None, list[str]]:
    stacks = probing.paired_stacks(probe.latents, (-4, 4), (0.1, 3), stream=2)
    losses = probe(None, None, *stacks)
    if np.std(losses) <= probing.rounding_error(losses):
        return probing.Line("", 0.0, 0.0), ["there is no KL: β = 0, an autoencoder"]
    line = probing.best_line(probing.divergence, probing.DEVIATIONS, stacks, losses)
    return line, [] if line else ["β cannot be known: what depends on mean and logvar is no KL to N(0, I)"]


def _is_their_sum(probe: probing.Prober, likelihood: _LikelihoodLine, kl: _KLLine) -> bool:
    """Whether varying both terms at once does what varying each alone did, up to a common factor."""
    images = probing.paired_stacks(probe.images, (0, 1), (0.03, 0.97), stream=3)
    latents = probing.paired_stacks(probe.latents, (-4, 4), (0.1, 3), stream=4)
    losses = probe(*images, *latents)
    energies = likelihood.slope * probing.energy(likelihood.name, *images)
    divergences = kl.slope * probing.divergence(kl.name or "log σ²", *latents)
    matrix = np.stack([energies, divergences, np.ones(len(losses))], axis=1)
    weights, noise = np.linalg.lstsq(matrix, losses)[0], probing.rounding_error(losses)
    straight = np.std(losses - matrix @ weights) < 3 * probing.TOLERANCE * np.std(losses) + noise
    return bool(straight and (not kl.name or abs(weights[1] / weights[0] - 1) < 0.02 + noise / np.std(divergences)))


def _scale(
    probe: probing.Prober, likelihood: _LikelihoodLine | None, kl: _KLLine | None, **given: float | None
) -> tuple[float | None, list[str]]:
    """Return the scale on which slope and intercept agree under one usual reduction, or else the one that was given."""
    family = likelihood.name[0] if likelihood else "none of these"
    argument, unit, normalizer = _SCALES.get(family, ("", 0.0, abs))
    for name, value in given.items():
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"expected a positive, finite {name}, got {value!r}")
        if value is not None and name != argument:
            raise ValueError(f"got {name}={value:g}, but the likelihood of the loss, {family}, has no such scale")
    if not (likelihood and argument):
        return None, []
    # The intercept is at mean 0 and a fourth argument of 1, where there is some KL.
    constant = likelihood.intercept - (
        kl.slope * probing.divergence(kl.name, *probe.legal[2:])[0] if kl and kl.name else 0
    )
    batch, pixels, found = probe.images[0], math.prod(probe.images[1:]), []
    for factor in (1.0, batch, 1 / pixels, batch / pixels):
        scale = factor / (unit * abs(likelihood.slope))
        expected = normalizer(scale) * math.copysign(factor * pixels, likelihood.slope)
        if abs(constant - expected) < probing.TOLERANCE * max(abs(expected), 0.1 * factor * pixels):
            found.append(scale)
    stated = given[argument]
    if len(found) != 1:
        unknown = "the scale cannot be known: the loss has no normalizer, and none was given"
        return stated, [unknown] * (stated is None)
    if stated is not None and not math.isclose(found[0], stated, rel_tol=0.01):
        raise ValueError(f"got a scale of {stated:g}, but the loss is normalized for one of {found[0]:.4g}")
    return found[0], []


def _sampler(sampler: Callable, probe: probing.Prober, posterior: str | None) -> tuple[str | None, list[str]]:
    spreads = {second: _spread(sampler, probe, second) for second in (0.3, 1.0, 1.7)}
    for reads, deviation in probing.DEVIATIONS.items():
        if not all(abs(spread - deviation(second)) < error for second, (spread, error) in spreads.items()):
            continue
        if posterior is None:
            return reads, [f"the sampler takes its second argument for {reads}; there is no KL to compare it with"]
        if reads == posterior:
            return reads, ["the sampler draws from the distribution of the KL"]
        return reads, [f"the sampler takes its second argument for {reads}, the KL for {posterior}: no bound at any β"]
    return None, ["the sampler does not draw around the mean with a standard deviation that is known here"]


def _spread(sampler: Callable, probe: probing.Prober, second: float) -> tuple[float, float]:
    """Return the standard deviation of z, and its error: 0 where z is not around its mean."""
    rng, takes_noise = np.random.default_rng(0), probing.required_arguments(sampler) > 2
    center = rng.normal(size=probe.latents[1]) * np.ones((64 if takes_noise else _DRAWS, 1))
    mean, eps = (a.astype(np.float32) for a in (center, rng.normal(size=center.shape)))
    z = np.asarray(sampler(mean, np.full_like(mean, second), *([eps] if takes_noise else [])), np.float64)
    if z.shape != mean.shape:
        raise ValueError(f"expected a sampler that returns z of the shape of its mean, {mean.shape}, got {z.shape}")
    off = z - mean
    if takes_noise:
        spread = float((off * eps).sum() / (eps**2).sum())
        return abs(spread), 0.005 * abs(spread) * bool(np.abs(off - spread * eps).max() < 0.005 * abs(spread))
    spread, share = float(off.std()), 5 / math.sqrt(2 * off.size)
    return spread, share * spread * bool(abs(off.mean()) < 2 * share * spread)
