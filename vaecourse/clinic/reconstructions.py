"""The likelihood that a loss contains: its family, what the output of the decoder is read as, and its scale.

A loss is called at images and outputs over their whole legal range: pixels from 0 to 1, both ends among them,
probabilities from 0.001 to 0.999, logits from −8 to 8, means from −4 to 4.
"""

import math
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow_probability as tfp

from vaecourse.clinic import probing
from vaecourse.clinic.divergences import KLTerm

tfd = tfp.distributions

Name = tuple[str, str]  # of a family, and what the output is read as


def _sigmoid(output: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-output))


ENERGIES: dict[Name, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ("Bernoulli", "probability"): lambda x, o: -tfd.Bernoulli(probs=o, dtype=np.float64).log_prob(x).numpy(),
    ("Bernoulli", "logits"): lambda x, o: -tfd.Bernoulli(logits=o, dtype=np.float64).log_prob(x).numpy(),
    ("continuous Bernoulli", "probability"): lambda x, o: -tfd.ContinuousBernoulli(probs=o).log_prob(x).numpy(),
    ("continuous Bernoulli", "logits"): lambda x, o: -tfd.ContinuousBernoulli(logits=o).log_prob(x).numpy(),
    ("Gaussian", "mean"): lambda x, o: (x - o) ** 2,
    ("Gaussian", "sigmoid"): lambda x, o: (x - _sigmoid(o)) ** 2,
    ("Gaussian", "mean of 2x − 1"): lambda x, o: (2 * x - 1 - o) ** 2,
    ("Gaussian", "tanh, mean of 2x − 1"): lambda x, o: (2 * x - 1 - np.tanh(o)) ** 2,
    ("Laplace", "mean"): lambda x, o: np.abs(x - o),
    ("Laplace", "sigmoid"): lambda x, o: np.abs(x - _sigmoid(o)),
    ("Laplace", "mean of 2x − 1"): lambda x, o: np.abs(2 * x - 1 - o),
    ("Laplace", "tanh, mean of 2x − 1"): lambda x, o: np.abs(2 * x - 1 - np.tanh(o)),
}
"""The loss of a pixel at unit scale, without its normalizer, by family and by what the output is read as."""

# The argument that states the scale of a family, by what times it the energy of a pixel is divided, the normalizer,
# and the part of the normalizer that programs leave out.
SCALES: dict[str, tuple[str, float, Callable[[float], float], float, str]] = {
    "Gaussian": ("sigma2", 2.0, lambda s: 0.5 * math.log(2 * math.pi * s), 0.5 * math.log(2 * math.pi), "½ ln 2π"),
    "Laplace": ("b", 1.0, lambda b: math.log(2 * b), math.log(2), "ln 2"),
}

_CONSTANT = 1e-5  # by how much a constant may miss its normalizer; the slope of float32 losses is known to 2e-6

OUTPUTS: dict[str | None, tuple[float, float]] = {
    None: (0.03, 0.97),
    "probability": (0.001, 0.999),
    "logits": (-8, 8),
    "mean": (-4, 4),
    "sigmoid": (-8, 8),
    "mean of 2x − 1": (-4, 4),
    "tanh, mean of 2x − 1": (-4, 4),
}
"""Over which outputs a loss is tried, by what they are read as; None before that is known."""


def energy(name: Name, x: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Return the energy of each probe, `(probes,)`: summed over pixels, averaged over the batch.

    The energy of a pixel is that of :data:`ENERGIES` that has the name.
    """
    return probing.summed(ENERGIES[name](x.astype(np.float64), output.astype(np.float64)))


def likelihood(probe: probing.Prober) -> tuple[probing.Line[Name] | None, list[str]]:
    """Find the family that explains how a loss depends on images and outputs, and say what is to be said of it.

    Returns
    -------
    Line or None
        None if no family does, over the whole range.
    list of str
        Why not, and what it is near.
    """
    stacks = probing.paired_stacks(probe.images, (0, 1), OUTPUTS[None], stream=1)
    losses = probe(*stacks)
    if np.std(losses) <= probing.rounding_error(losses):
        return None, ["the loss does not depend on the images and the output"]
    line, notes = probing.best_line(energy, ENERGIES, stacks, losses), []
    if line is None and (line := _up_to_a_term_of_the_image(probe)):
        notes = ["the likelihood is known up to a term that depends on the image alone, and changes no gradient"]
    if line is None:
        return None, ["the reconstruction is no log-likelihood of single pixels that is known here", *_near(probe)]
    where = _where_it_breaks(probe, line)
    if where:
        return None, [f"the reconstruction is, to a thousandth, that of a {line.name[0]} only {where}"]
    return line, notes + ["the loss grows as the reconstruction gets better: it is to be maximized"] * (line.slope < 0)


def _where_it_breaks(probe: probing.Prober, line: probing.Line[Name]) -> str:
    """Say outside of which range a line ends, or nothing."""
    rng, shape = np.random.default_rng(12), (probing.PROBES, *probe.images)
    gray, outputs = probing.paired_stacks(probe.images, (0, 1), (-1, 1), stream=13)
    black_and_white = (gray > 0.5).astype(np.float32)
    reads, slack = line.name[1], 1e-5 * math.prod(probe.images[1:])
    if reads == "probability":
        tries = [("for outputs from 0.03 to 0.97", x, _sigmoid(6.9 * outputs)) for x in (gray, black_and_white)]
    else:
        wide, near = OUTPUTS[reads][1] * outputs, (0.05 * rng.uniform(-1, 1, shape)).astype(np.float32)
        tries = [("for outputs between 0 and 1", x, wide) for x in (gray, black_and_white)]
        if reads == "mean":
            tries += [("for errors of 0.05 and more", gray, gray + near)]

    def holds(x: np.ndarray, output: np.ndarray) -> bool:
        if math.isnan(line.intercept):  # it differs by image
            x = np.broadcast_to(x[:1], x.shape)
            return probing.best_line(energy, [line.name], (x, output), probe(x, output, finite=False)) is not None
        losses = probe(x, output, finite=False)
        on_it = probing.continues(line, energy(line.name, x, output), losses, slack)
        return bool(np.isfinite(losses).all() and on_it.all())

    return next((where for where, x, output in tries if not holds(x, output)), "")


def _up_to_a_term_of_the_image(probe: probing.Prober) -> probing.Line[Name] | None:
    """Return a line that holds for any one image, its intercept being unknown, or None."""
    lines = []
    for stream in (14, 15):
        x, output = probing.paired_stacks(probe.images, (0, 1), OUTPUTS[None], stream=stream)
        x = np.broadcast_to(x[:1], x.shape)
        lines.append(probing.best_line(energy, ENERGIES, (x, output), probe(x, output)))
    one, other = lines
    if one is None or other is None or one.name != other.name or abs(one.slope / other.slope - 1) > 0.01:
        return None
    return probing.Line(one.name, one.slope, math.nan)


def _near(probe: probing.Prober) -> list[str]:
    """Say of which family a loss is that of on a part of the range, or nothing."""
    gray, outputs = probing.paired_stacks(probe.images, (0, 1), OUTPUTS[None], stream=1)
    rng = np.random.default_rng(16)
    black_and_white = (gray > 0.5).astype(np.float32)
    close = (gray + gray.mean(axis=(1, 2, 3, 4), keepdims=True) * rng.uniform(-0.1, 0.1, gray.shape)).astype(np.float32)
    tries: Iterable[tuple[str, np.ndarray, np.ndarray]] = (
        ("for pixels that are 0 or 1", black_and_white, outputs),
        ("for errors below 0.1", gray, close),
    )
    for where, x, output in tries:
        losses = probe(x, output, finite=False)
        line = probing.best_line(energy, ENERGIES, (x, output), losses)
        if line is not None:
            return [f"the nearest family: {where} it is {line.slope:.3g} times that of a {line.name[0]}"]
    return []


def scale(
    probe: probing.Prober, line: probing.Line[Name] | None, kl: KLTerm, **given: float | None
) -> tuple[float | None, list[str]]:
    """Return the scale on which slope and constant agree under one usual reduction, or else the one that was given.

    A ½ ln 2π or ln 2 that a program has rounded to three or four digits is the same normalizer.

    Parameters
    ----------
    probe : Prober
    line : Line, optional
        Of the likelihood; without one, there is no scale.
    kl : KLTerm
        Its prior is where the constant of the loss is seen.
    **given : float, optional
        `sigma2` of a Gaussian or `b` of a Laplace, as the author of the loss states it.

    Raises
    ------
    ValueError
        If a scale is not positive, belongs to another family, or contradicts the normalizer of the loss.
    """
    family = line.name[0] if line else "none of these"
    argument, unit, normalizer, omitted, called = SCALES.get(family, ("", 0.0, abs, 0.0, ""))
    for name, value in given.items():
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"expected a positive, finite {name}, got {value!r}")
        if value is not None and name != argument:
            raise ValueError(f"got {name}={value:g}, but the likelihood of the loss, {family}, has no such scale")
    if line is None or not argument:
        return None, []
    found: dict[float, bool] = {}
    if kl.kind != "other" and not math.isnan(line.intercept):
        reads, shape = line.name[1], probe.images
        x, output = np.full((1, *shape), 0.5), np.full((1, *shape), 0.5 if reads == "mean" else 0.0)
        constant = float(probe(x, output, *kl.at_the_prior(probe.latents), finite=False)[0])
        for factor in _factors(probe.images):
            guess = factor / (unit * abs(line.slope))
            for part in (0.0, omitted, *(omitted - round(omitted, digits) for digits in (3, 4))):
                one = (normalizer(guess) - part) * math.copysign(factor, line.slope)
                expected = one * math.prod(shape[1:])
                error = _CONSTANT * factor * math.prod(shape[1:]) * max(abs(normalizer(guess)), 0.5)
                error += probing.rounding_error(np.array(constant))
                short = part == omitted
                if abs(constant - expected) < error and not (short and abs(expected) < 5 * error):
                    found[guess] = short
    stated = given.get(argument)
    if len(found) != 1:
        unknown = "the scale cannot be known: no normalizer is recognized in the loss, and none was given"
        return stated, [unknown] * (stated is None)
    ((value, shortened),) = found.items()
    if stated is not None and not math.isclose(value, stated, rel_tol=0.01):
        raise ValueError(f"got a scale of {stated:g}, but the loss is normalized for one of {value:.4g}")
    return value, [f"the normalizer lacks {called} for each pixel: the loss is not quite −log p(x)"] * shortened


def _factors(images: tuple[int, ...]) -> list[float]:
    """Return by what the usual means and sums multiply a sum over pixels that is averaged over the batch."""
    batch, height, width, channels = images
    shares = (1, height * width * channels, channels, height * width, width)
    return list(dict.fromkeys(many / share for share in shares for many in (1, batch)))
