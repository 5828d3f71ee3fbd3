"""Models that were trained alike but for β, from a small one to a large."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaecourse.clinic.normal import normal_kl
from vaecourse.live.packing import packed, packed_images
from vaecourse.live.page import LiveFigure
from vaecourse.live.stills import curves
from vaecourse.measures.batching import posterior_parameters
from vaecourse.measures.bounds import elbo_terms
from vaecourse.measures.estimate import Estimate
from vaecourse.models import VAE

SHOWN = 8
"""How many reconstructions, and how many samples."""

MOST_IMAGES = 2000
MOST_MODELS = 12


def beta_lab(models: Mapping[float, VAE], images: np.ndarray, *, caption: str = "", seed: int = 0) -> LiveFigure:
    """Let a reader move β over trained models, along the curve of rate and distortion.

    Parameters
    ----------
    models : mapping from β to the VAE trained with it
        From 2 to 12.
    images : array `(n, height, width, channels)`
        Prepared as for training, best ones that the models have not seen; of more than 2,000 the seed chooses 2,000,
        and the caption says so.
    caption : str
        How the models were trained; `[words](#address)` becomes a link.
    seed : int
        Of the choice, the noise and the samples.

    Raises
    ------
    TypeError, ValueError
        If there are too few or too many models, one knows labels, or has NaN among its weights or its terms.
    """
    if not 2 <= len(models) <= MOST_MODELS:
        raise ValueError(f"expected from 2 to {MOST_MODELS} models, got {len(models)}")
    betas = sorted(models)
    first = models[betas[0]]
    for beta, vae in models.items():
        if not isinstance(vae, VAE):
            raise TypeError(f"expected a vaecourse.VAE for β = {beta}, got {type(vae).__name__}")
        if vae.classes:
            raise ValueError(f"expected models without labels, got a {type(vae).__name__} for β = {beta}")
        if (vae.latent_dim, vae.image_shape) != (first.latent_dim, first.image_shape):
            raise ValueError("expected models of as many latents, and of images of one shape")
        if not all(np.isfinite(weight).all() for weight in vae.get_weights()):
            raise ValueError(f"weights of the model for β = {beta} are NaN or infinite: train it anew")
    x = np.asarray(first.checked(images))
    chosen = np.random.default_rng(seed).permutation(len(x))[:MOST_IMAGES]
    shown = x[chosen]
    steps = [_step(beta, models[beta], shown, seed) for beta in betas]
    data: dict[str, Any] = {"steps": steps, "images": packed_images(shown[:SHOWN]), "image_shape": list(x.shape[1:])}
    facts = (
        f"{len(betas)} models, β from {betas[0]:g} to {betas[-1]:g}; means over {len(shown):,} of {len(x):,} images, "
    )
    facts += "± standard errors over images. Samples of all models begin at the same latents."
    still = curves(*_by_rate(steps))
    return LiveFigure("beta_lab", "β, rate and distortion", f"{caption} {facts}".strip(), data, still)


def _by_rate(steps: list[dict[str, Any]]) -> tuple[np.ndarray, list[np.ndarray]]:
    order = np.argsort([step["rate"][0] for step in steps])
    rates = np.array([steps[i]["rate"][0] for i in order])
    return rates, [np.array([steps[i]["distortion"][0] for i in order])]


def _step(beta: float, vae: VAE, x: np.ndarray, seed: int) -> dict[str, Any]:
    terms = elbo_terms(vae, x, seed=seed)
    rate, distortion = Estimate.of(terms.kl), Estimate.of(-terms.log_likelihood)
    if not np.isfinite([*rate, *distortion]).all():
        raise ValueError(f"the terms of the model for β = {beta} are not finite on these images")
    mean, logvar = posterior_parameters(vae, x)
    z = np.random.default_rng(seed + 1).normal(size=(SHOWN, vae.latent_dim)).astype(np.float32)
    pictures = [np.clip(vae.reconstruct(x[:SHOWN]), 0, 1), np.clip(vae.decode(z).mean(), 0, 1)]
    return {
        "beta": float(beta),
        "rate": list(rate),
        "distortion": list(distortion),
        "latents": normal_kl(mean, np.exp(0.5 * logvar)).mean(axis=0).astype(float).round(5).tolist(),
        "reconstructions": packed(pictures[0], "bytes"),
        "samples": packed(pictures[1], "bytes"),
    }
