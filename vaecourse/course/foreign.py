"""Models that are not of this course, healthy and broken, as programs in the wild write them.

Every one is a small VAE on images of 7×7 pixels: its encoder is a projection on principal components, its decoder goes
back.  What differs is how the loss is written, what the encoder's second output means, how z is drawn, and what of all
this the program lets others see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaecourse.clinic.divergences import READINGS
from vaecourse.clinic.own import OwnModel, from_callables
from vaecourse.data import IMAGE_SHAPE

LATENT_DIM = 2

_PIXELS = (1, 2, 3)


@dataclass(frozen=True)
class Foreign:
    """A model, whether it is healthy, and what a report may say about it if it is not.

    Attributes
    ----------
    what : str
        How it is written.
    healthy : bool
    accepted : frozenset of str
        Findings of which a report on a broken model must have one; an honest "cannot be known" will do, too.
    options : dict
        Of :func:`build`.
    """

    what: str
    healthy: bool
    accepted: frozenset[str]
    options: dict[str, Any]


def small(images: np.ndarray) -> np.ndarray:
    """Return images `(n, 28, 28, 1)` in [0, 1] as means of 4×4 pixels, `(n, 7, 7, 1)`."""
    n, side = len(images), IMAGE_SHAPE[0] // 4
    return images.reshape(n, side, 4, side, 4, 1).mean(axis=(2, 4)).astype(np.float32)


def _sigmoid(output: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-output))


def _bernoulli(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, logits) - x * logits


_LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "logits": _bernoulli,
    "probability": lambda x, p: -x * np.log(p + 1e-12) - (1 - x) * np.log(1 - p + 1e-12),
    "gaussian": lambda x, m: (x - m) ** 2 / (2 * 0.25) + 0.5 * np.log(2 * np.pi * 0.25),
    "squared error": lambda x, m: (x - m) ** 2,
    "laplace": lambda x, m: np.abs(x - m) / 0.2 + np.log(2 * 0.2),
    "student": lambda x, m: 2.5 * np.log1p((x - m) ** 2 / 4 / 0.04),
}
"""Losses of a pixel."""

_TOTALS: dict[str, Callable[[np.ndarray, np.ndarray, int], Any]] = {
    "sum": lambda rec, kl, pixels: np.mean(rec + kl),
    "per image": lambda rec, kl, pixels: rec + kl,
    "sum over the batch": lambda rec, kl, pixels: np.sum(rec + kl),
    "mean over pixels of both": lambda rec, kl, pixels: np.mean(rec + kl) / pixels,
    "mean over pixels": lambda rec, kl, pixels: np.mean(rec) / pixels + np.mean(kl),
    "kl twice": lambda rec, kl, pixels: np.mean(rec + 2 * kl),
    "kl negated": lambda rec, kl, pixels: np.mean(rec - kl),
    "no kl": lambda rec, kl, pixels: np.mean(rec),
    "mean over latents": lambda rec, kl, pixels: np.mean(rec + kl / LATENT_DIM),
    "β 0.1": lambda rec, kl, pixels: np.mean(rec + 0.1 * kl),
    "β 4": lambda rec, kl, pixels: np.mean(rec + 4 * kl),
}
"""How the terms of images become a loss."""


def build(
    images: np.ndarray,
    *,
    pixel: str = "logits",
    total: str = "sum",
    reading: str = "log σ²",
    kl: str = "exact",
    sampler: str = "",
    target: str = "",
    parts: bool = True,
    flat: bool = False,
    deaf: bool = False,
    seed: int = 0,
) -> OwnModel:
    """Build a model of functions of arrays.

    Parameters
    ----------
    images : array `(n, 7, 7, 1)`
        Whose principal components it has for weights.
    pixel, total : str
        The loss of a pixel, and what becomes of the terms of images.
    reading, sampler : str
        What the second output of the encoder means to the KL, and to the sampler, if to that it means something else.
    kl : str
        "exact", "sampled", "prior 4", ``|log σ²|``, "without ln" or "free bits".
    target : {"", "rolled"}
    parts : bool
        Whether the loss can be asked about parts.
    flat : bool
        Whether the decoder returns rows of pixels, as many a module does.
    deaf : bool
        Whether the decoder ignores z.
    seed : int
    """
    rows = images.reshape(len(images), -1)
    center = rows.mean(axis=0)
    _, scales, components = np.linalg.svd(rows - center, full_matrices=False)
    stds = scales[:LATENT_DIM] / np.sqrt(len(rows))
    to_z, back = components[:LATENT_DIM].T / stds, components[:LATENT_DIM] * stds[:, np.newaxis]
    draws, pixels = np.random.default_rng(seed), rows.shape[1]
    bernoulli = pixel in ("logits", "probability")

    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = 0.9 * (x.reshape(len(x), -1) - center) @ to_z
        deviation = np.exp(-1.0 + 0.3 * np.tanh(mean))
        return mean, READINGS[reading].argument(deviation)

    def decode(z: np.ndarray) -> np.ndarray:
        output = center + (0 if deaf else 1) * z @ back
        output = 5 * (output - 0.5) if bernoulli else output
        output = _sigmoid(output) if pixel == "probability" else output
        return output if flat else output.reshape(-1, *images.shape[1:])

    def draw(mean: np.ndarray, second: np.ndarray) -> np.ndarray:
        deviation = READINGS[sampler if sampler in READINGS else reading].deviation(second.astype(float))
        eps = draws.normal(size=(len(mean), 1) if sampler == "one for all latents" else mean.shape)
        return mean + deviation * eps

    def divergence(mean: np.ndarray, second: np.ndarray, eps: np.ndarray | None) -> np.ndarray:
        mean, second = mean.astype(float), second.astype(float)
        second = np.abs(second) if kl == "|log σ²|" else second
        deviation = READINGS[reading].deviation(second)
        prior = 4.0 if kl == "prior 4" else 1.0
        if eps is not None:
            return 0.5 * ((mean + deviation * eps) ** 2 - eps**2 - 2 * np.log(deviation))
        each = 0.5 * ((mean**2 + deviation**2) / prior - np.log(deviation**2 / prior) - 1)
        if kl == "without ln":
            each = each + np.log(deviation)
        return np.maximum(each, 0.5) if kl == "free bits" else each

    def loss_of_parts(
        x: np.ndarray, output: np.ndarray, mean: np.ndarray, second: np.ndarray, eps: np.ndarray | None = None
    ) -> Any:
        x = np.roll(x, 1, axis=0) if target else x
        rec = _LOSSES[pixel](x.reshape(len(x), -1).astype(float), output.reshape(len(x), -1).astype(float)).sum(axis=1)
        return _TOTALS[total](rec, divergence(mean, second, eps).sum(axis=1), pixels)

    def sampled(x: np.ndarray, output: np.ndarray, mean: np.ndarray, second: np.ndarray, eps: np.ndarray) -> Any:
        return loss_of_parts(x, output, mean, second, eps)

    def loss(x: np.ndarray) -> Any:
        mean, second = encode(x)
        z = draw(mean, second)
        eps = (z - mean) / READINGS[reading].deviation(second) if kl == "sampled" else None
        return loss_of_parts(x, decode(z), mean, second, eps)

    of_parts = (sampled if kl == "sampled" else loss_of_parts) if parts else None
    return from_callables(encode, decode, loss, loss_of_parts=of_parts, sampler=draw if parts else None)


def _model(what: str, healthy: bool, *accepted: str, **options: Any) -> Foreign:
    return Foreign(what, healthy, frozenset(accepted), options)


_IMAGES_ONLY = {"parts": False}

FOREIGN: dict[str, Foreign] = {
    "logits": _model("cross-entropy of logits, ln σ²", True),
    "probability": _model("cross-entropy of probabilities, as keras.io has it", True, pixel="probability"),
    "log σ": _model("the encoder says ln σ", True, reading="log σ"),
    "σ": _model("the encoder says σ", True, reading="σ"),
    "σ²": _model("the encoder says σ²", True, reading="σ²"),
    "softplus σ": _model("σ by a softplus, as TFP's layers have it", True, reading="σ before a softplus"),
    "softplus σ²": _model("σ² by a softplus", True, reading="σ² before a softplus"),
    "gaussian": _model("a Gaussian with its normalizer", True, pixel="gaussian"),
    "squared error": _model("squared error, no word of σ", True, pixel="squared error"),
    "laplace": _model("a Laplace density", True, pixel="laplace"),
    "student": _model("a Student t density", True, pixel="student"),
    "sampled kl": _model("log q − log p at the z of the likelihood", True, kl="sampled"),
    "prior of variance 4": _model("the KL to N(0, 4)", True, kl="prior 4"),
    "per image": _model("a loss for each image", True, total="per image"),
    "sum over the batch": _model("a sum over the batch, as PyTorch's example has it", True, total="sum over the batch"),
    "mean of both": _model("both terms averaged over pixels", True, total="mean over pixels of both"),
    "rows of pixels": _model("a module that returns rows of pixels", True, flat=True),
    "images only": _model("only the loss of images is known", True, **_IMAGES_ONLY),
    "images only, log σ": _model("the same, and the encoder says ln σ", True, reading="log σ", **_IMAGES_ONLY),
    "images only, gaussian": _model("the same, with a Gaussian", True, pixel="gaussian", **_IMAGES_ONLY),
    "mean over pixels": _model("only the reconstruction averaged", False, "mean over pixels", total="mean over pixels"),
    "mean over latents": _model(
        "a mean over latents, as in Deep Learning with Python", False, "kl weight 1/d", total="mean over latents"
    ),
    "kl twice": _model("the KL is added twice", False, "kl weight doubled", total="kl twice"),
    "no kl": _model("the KL is forgotten", False, "kl weight zero", total="no kl"),
    "kl negated": _model("the KL is subtracted", False, "kl weight negative", total="kl negated"),
    "β 0.1": _model("β = 0.1", False, "kl weight too small", total="β 0.1"),
    "e^v": _model("the KL reads ln σ², the sampler ln σ", False, "sampler and kl disagree", sampler="log σ"),
    "one ε": _model("all latents share a draw", False, "sampler and kl disagree", sampler="one for all latents"),
    "|log σ²|": _model("a sign lost in the KL", False, "kl of another form", kl="|log σ²|"),
    "without ln": _model("the logarithm lost in the KL", False, "kl of another form", kl="without ln"),
    "free bits": _model("half a nat free in each latent", False, "kl of another form", kl="free bits"),
    "rolled target": _model("compared with the neighbor", False, "likelihood of another form", target="rolled"),
    "deaf decoder": _model("the decoder ignores z", False, "decoder ignores latents", deaf=True),
    "images only, β 4": _model("only the loss, β = 4", False, "kl weight too large", total="β 4", **_IMAGES_ONLY),
    "images only, kl twice": _model("only the loss", False, "kl weight doubled", total="kl twice", **_IMAGES_ONLY),
    "images only, rolled": _model(
        "only the loss", False, "images of a batch are mixed", target="rolled", **_IMAGES_ONLY
    ),
}
"""Every model, by a short name."""
