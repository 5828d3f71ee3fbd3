"""What the latents hold, and what the decoder makes of them."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import data
from vaecourse.models import VAE
from vaecourse.training import EVALUATION_BATCH

tfd = tfp.distributions


def active_units(vae: VAE, images: np.ndarray, threshold: float = 0.01) -> np.ndarray:
    """Return which latents carry information: those whose posterior mean varies over the images.

    A latent is active if the variance of its posterior mean exceeds `threshold` :cite:p:`burda2016`.

    Returns
    -------
    bool array `(d,)`
    """
    means = np.concatenate([vae.posterior_parameters(x)[0] for x in data.batches(images, EVALUATION_BATCH)])
    return means.var(axis=0) > threshold


def manifold(vae: VAE, n: int = 20, quantiles: tuple[float, float] = (0.05, 0.95)) -> np.ndarray:
    """Decode an n×n grid of latents that the prior makes equally likely, for two latents.

    The grid stands on quantiles of the standard normal distribution.  The first latent grows to the right, the
    second upwards, as the axes of a scatter plot do.

    Returns
    -------
    array `(n, n, height, width, channels)`
        Mean images.
    """
    if vae.latent_dim != 2:
        raise ValueError(f"a manifold needs two latents, this model has {vae.latent_dim}")
    axis = tfd.Normal(0.0, 1.0).quantile(tf.linspace(*quantiles, n))
    across, up = tf.meshgrid(axis, axis[::-1])
    return vae.decode(tf.stack([across, up], axis=-1)).mean().numpy()


def interpolation(vae: VAE, first: np.ndarray, second: np.ndarray, steps: int = 10) -> np.ndarray:
    """Decode `steps` latents on the line from `first` to `second`, each `(d,)`; mean images `(steps, ...)`."""
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, np.newaxis]
    return vae.decode((1 - share) * first + share * second).mean().numpy()


def traversal(vae: VAE, z: np.ndarray, latent: int, values: np.ndarray) -> np.ndarray:
    """Decode `z` `(d,)` with one latent set to each of `values`; mean images `(len(values), ...)`."""
    if not 0 <= latent < vae.latent_dim:
        raise ValueError(f"expected a latent from 0 to {vae.latent_dim - 1}, got {latent}")
    z = np.tile(np.asarray(z, np.float32), (len(values), 1))
    z[:, latent] = values
    return vae.decode(z).mean().numpy()
