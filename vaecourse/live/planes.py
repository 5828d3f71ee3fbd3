"""The latent plane of one model, or of several side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaecourse.live.choosing import MOST_CODES, MOST_IMAGES, alternating, by_name, checked_labels
from vaecourse.live.export import described, summary
from vaecourse.live.packing import packed, packed_images
from vaecourse.live.page import LiveFigure
from vaecourse.live.stills import tiles
from vaecourse.models import VAE


def latent_plane(
    models: VAE | Mapping[str, VAE],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    caption: str = "",
    precision: str = "float16",
    seed: int = 0,
) -> LiveFigure:
    """Show what a decoder makes of every point of its latent plane, and where images lie on it.

    Parameters
    ----------
    models : VAE, or mapping from names to VAEs
        With at least two latents.  Of more than two, two are chosen in the page, and the others are sliders.
    images : array `(n, height, width, channels)`
        Prepared as for training, best ones that the models have not seen.  Of more than 600 the seed chooses 600, whose
        codes are drawn; 20 of these can be chosen, as many of each label as of the others.  The caption says so.
    labels : integer array `(n,)`
    caption : str
        How the models were trained.
    precision : {"float16", "float32"}
        Of the weights.
    seed : int

    Raises
    ------
    TypeError, ValueError
        If a model cannot be computed in the page, or images and labels do not fit.
    """
    models = by_name(models)
    specs = {name: described(vae, precision=precision) for name, vae in models.items()}
    first = next(iter(models.values()))
    for name, vae in models.items():
        if vae.classes:
            raise ValueError(f"{name!r} is told labels, and its plane depends on them; expected a VAE without")
        if vae.latent_dim < 2:
            raise ValueError(f"a plane needs two latents, and {name!r} has {vae.latent_dim}")
        if vae.image_shape != first.image_shape or vae.image_shape[-1] not in (1, 3):
            raise ValueError(f"expected images of one shape with 1 or 3 channels, got {vae.image_shape}")
    x = first.checked(images)
    y = checked_labels(labels, len(x))
    chosen = alternating(y, np.random.default_rng(seed).permutation(len(x))[:MOST_CODES])
    shown, few = np.asarray(x)[chosen], np.asarray(x)[chosen[:MOST_IMAGES]]
    for name, vae in models.items():
        mean, logvar = (np.asarray(part) for part in vae.posterior_parameters(shown))
        specs[name] |= {
            "name": name,
            "codes": packed(mean, "float16"),
            "means": packed(mean[: len(few)], "float32"),
            "logvars": packed(logvar[: len(few)], "float32"),
        }
    data: dict[str, Any] = {
        "models": list(specs.values()),
        "images": packed_images(few),
        "labels": y[chosen].tolist(),
    }
    facts = "; ".join(f"{name}: {summary(vae)}" for name, vae in models.items())
    facts += f". Codes of {len(shown):,} of {len(x):,} images; {len(few)} can be chosen. Weights as {precision}."
    return LiveFigure("latent_plane", "Latent plane", f"{caption} {facts}".strip(), data, _still(first))


def _still(vae: VAE, n: int = 9) -> np.ndarray:
    """Return the plane from -2 to 2 as one picture, `(n · height, n · width)`."""
    z = np.zeros((n, n, vae.latent_dim), np.float32)
    steps = np.linspace(-2, 2, n)
    z[..., 0], z[..., 1] = np.meshgrid(steps, -steps)
    return tiles(vae.decode(z.reshape(-1, vae.latent_dim)).mean(), n)
