"""A canvas to draw on, and what a VAE makes of the drawing."""

from typing import Any

import numpy as np

from vaecourse.live.choosing import MOST_CODES, alternating, checked_labels
from vaecourse.live.export import described, summary
from vaecourse.live.packing import packed, packed_images
from vaecourse.live.page import LiveFigure
from vaecourse.live.stills import tiles
from vaecourse.measures.bounds import elbo_terms
from vaecourse.models import VAE, objectives

EXAMPLES = 10
"""How many images can be put onto the canvas."""


def draw_a_digit(
    vae: VAE,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    caption: str = "",
    precision: str = "float16",
    seed: int = 0,
) -> LiveFigure:
    """Let a reader draw, and show where the encoder puts the drawing, how it is decoded, and what it costs in nats.

    The drawing is centered and scaled as the digits of MNIST are, then made black and white if the likelihood asks for
    that; the page shows what the encoder is given.

    Parameters
    ----------
    vae : VAE
        Of gray images, and without labels.
    images : array `(n, height, width, 1)`
        Prepared as for training, best ones that the model has not seen.  The first of them can be put onto the canvas,
        and the ELBO of a drawing is compared with theirs; of more than 600 the seed chooses 600.
    labels : integer array `(n,)`
    caption : str
        How the model was trained; `[words](#address)` becomes a link.
    precision : {"float16", "float32"}
        Of the weights.
    seed : int

    Raises
    ------
    TypeError, ValueError
        If the model cannot be computed in the page, its images are in color, or images and labels do not fit.
    """
    spec = described(vae, encoder=True, precision=precision)
    if vae.classes:
        raise ValueError(f"a drawing has no label, and a {type(vae).__name__} asks for one; expected a VAE without")
    if vae.image_shape[-1] != 1:
        raise ValueError(f"a drawing has one channel of gray, and the model takes images {vae.image_shape}")
    x = vae.checked(images)
    y = checked_labels(labels, len(x))
    chosen = alternating(y, np.random.default_rng(seed).permutation(len(x))[:MOST_CODES])
    shown = np.asarray(x)[chosen]
    bounds = _bounds(vae, shown, seed)
    data: dict[str, Any] = {
        "model": spec,
        "codes": packed(np.asarray(vae.posterior_parameters(shown)[0]), "float16"),
        "labels": y[chosen].tolist(),
        "examples": packed_images(shown[:EXAMPLES]),
        "binary": bool(np.isin(shown, (0, 1)).all()),
        "elbos": [] if bounds is None else np.percentile(bounds, [1, 50, 99]).tolist(),
    }
    facts = f"{summary(vae)}. Codes of {len(shown):,} of {len(x):,} images. Weights as {precision}."
    still = tiles(np.concatenate([shown[:8], np.asarray(vae.reconstruct(shown[:8]))]), 8)
    return LiveFigure("draw_a_digit", "Draw a digit", f"{caption} {facts}".strip(), data, still)


def _bounds(vae: VAE, x: np.ndarray, seed: int) -> np.ndarray | None:
    """Return an estimate of the ELBO of every image; None where a model draws points, whose KL is infinite."""
    eps = np.random.default_rng(seed).normal(size=(len(x), vae.latent_dim)).astype(np.float32)
    mean, logvar = vae.posterior_parameters(x)
    if np.array_equal(vae.reparameterize(mean, logvar, eps), mean):
        return None
    return np.asarray(objectives.elbo(*elbo_terms(vae, x, seed=seed)))
