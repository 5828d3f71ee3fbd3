"""Ten digits in one style, by models that are told the digit."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaecourse.live.choosing import MOST_IMAGES, alternating, by_name, checked_labels
from vaecourse.live.export import described, summary
from vaecourse.live.packing import packed, packed_images
from vaecourse.live.page import LiveFigure
from vaecourse.live.stills import tiles
from vaecourse.models import VAE

MOST_CLASSES = 20


def digit_lab(
    models: VAE | Mapping[str, VAE],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    caption: str = "",
    precision: str = "float16",
    seed: int = 0,
) -> LiveFigure:
    """Let a reader choose a style, and see every digit in it, by one model or by several.

    Parameters
    ----------
    models : VAE that knows labels, or mapping from names to such
        Of as many latents and classes as each other: :class:`~vaecourse.models.DigitVAE`,
        :class:`~vaecourse.models.ConditionalVAE` or :class:`~vaecourse.models.SemiSupervisedVAE`.  Of more than two the
        page may become heavy.
    images : array `(n, height, width, channels)`
        Prepared as for training, best ones that the models have not seen.  The style of 20 of them can be taken over.
    labels : integer array `(n,)`
    caption : str
        How the models were trained; `[words](#address)` becomes a link.
    precision : {"float16", "float32"}
        Of the weights.
    seed : int
        Of the choice of images.

    Raises
    ------
    TypeError, ValueError
        If a model cannot be computed in the page or knows no labels, or images and labels do not fit.
    """
    models = by_name(models)
    specs = {name: described(vae, precision=precision) for name, vae in models.items()}
    first = next(iter(models.values()))
    for name, vae in models.items():
        if not 2 <= vae.classes <= MOST_CLASSES:
            raise ValueError(f"expected models told one of 2 to {MOST_CLASSES} classes; {name!r} has {vae.classes}")
        if (vae.latent_dim, vae.classes, vae.image_shape) != (first.latent_dim, first.classes, first.image_shape):
            raise ValueError("expected models of as many latents and classes, and of images of one shape")
    x = first.checked(images)
    y = checked_labels(labels, len(x)).astype(np.int32)
    first.checked_labels(y)
    few = alternating(y, np.random.default_rng(seed).permutation(len(x)))[:MOST_IMAGES]
    shown = np.asarray(x)[few]
    for name, vae in models.items():
        mean, _ = vae.posterior_parameters(shown, y[few])
        specs[name] |= {"name": name, "means": packed(np.asarray(mean), "float32")}
    data: dict[str, Any] = {
        "models": list(specs.values()),
        "images": packed_images(shown),
        "labels": y[few].tolist(),
    }
    facts = "; ".join(f"{name}: {summary(vae)}" for name, vae in models.items()) + f". Weights as {precision}."
    z = np.random.default_rng(seed).normal(size=(2, first.latent_dim)).astype(np.float32)
    every = np.tile(np.arange(first.classes), 2)
    still = tiles(first.decode(np.repeat(z, first.classes, axis=0), every).mean(), first.classes)
    return LiveFigure("digit_lab", "Ten digits in one style", f"{caption} {facts}".strip(), data, still)
