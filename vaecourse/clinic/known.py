"""What is known of a model that is not of this course, and the terms of its bound that follow from it."""

from dataclasses import dataclass, field

import numpy as np

from vaecourse.clinic.normal import normal_kl
from vaecourse.clinic.reconstructions import ENERGIES, SCALES, Name
from vaecourse.clinic.thresholds import THRESHOLDS
from vaecourse.measures.estimate import Estimate


@dataclass
class Known:
    """What is known of a model: None where it is not.

    Attributes
    ----------
    measured : dict
        Measurements of the loss.
    family : (str, str), optional
        Of the likelihood, and what the output is read as: a key of :data:`vaecourse.clinic.reconstructions.ENERGIES`.
    scale : float, optional
        σ² of a Gaussian or b of a Laplace; 1 for the others.
    reading : str
        What the second half means, of :data:`vaecourse.clinic.divergences.READINGS`.
    prior : (float, float)
    """

    measured: dict = field(default_factory=dict)
    family: Name | None = None
    scale: float | None = None
    reading: str = "log σ²"
    prior: tuple[float, float] = (0.0, 1.0)


def energy(known: Known, x: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Return −log p(x|z) of each image."""
    assert known.family is not None
    _, unit, normalizer, *_ = SCALES.get(known.family[0], ("", 1.0, lambda _: 0.0))
    scale = known.scale or 1.0
    each = ENERGIES[known.family](x.astype(float), output.astype(float)) / (unit * scale) + normalizer(scale)
    return each.reshape(len(x), -1).sum(axis=1)


def terms(
    known: Known, x: np.ndarray, mean: np.ndarray, deviation: np.ndarray, output: np.ndarray, m: dict
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the ELBO of each image, if the likelihood is known to the last constant, and its KL; add both to m."""
    with np.errstate(all="ignore"):
        kl = normal_kl(mean, np.abs(deviation), *known.prior).sum(axis=1)
    m["kl"] = float(kl.mean())
    if known.family is None or known.scale is None:
        return None, kl
    log_likelihood = -energy(known, x, output)
    elbo = Estimate.of(log_likelihood - kl)
    m |= {"elbo": elbo.mean, "elbo standard error": elbo.standard_error, "log_likelihood": float(log_likelihood.mean())}
    return log_likelihood - kl, kl


def as_image(family: Name | None, output: np.ndarray) -> np.ndarray | None:
    """Return the gray that an output stands for; None where that is not known."""
    reads = family[1] if family else ""
    if reads in ("logits", "sigmoid"):
        return 1 / (1 + np.exp(-output.astype(float)))
    if "2x" in reads:
        return (1 + (np.tanh(output) if "tanh" in reads else output)) / 2
    outside = THRESHOLDS.reach
    inside = output.min() > -outside and output.max() < 1 + outside
    return output if reads in ("probability", "mean") or inside else None
