"""What the latents hold: which of them are used, and what the decoder draws where they are set to chosen values."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.data import amounts
from vaecourse.measures.batching import posterior_parameters
from vaecourse.models import VAE

tfd = tfp.distributions


def active_units(vae: VAE, images: np.ndarray, threshold: float = 0.01, labels: np.ndarray | None = None) -> np.ndarray:
    """Return which latents carry information: those whose posterior mean varies over the images.

    A latent is active if the variance of its posterior mean exceeds a threshold :cite:p:`burda2016`.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    threshold : float
        In the unit of z squared.
    labels : array `(n,)`, optional
        For models whose encoder knows labels.

    Returns
    -------
    bool array `(d,)`

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images or the labels, or the threshold is negative.
    """
    amounts.amount(threshold, "threshold", 0)
    return active_by_means(posterior_parameters(vae, images, labels)[0], threshold)


def active_by_means(means: np.ndarray, threshold: float = 0.01) -> np.ndarray:
    """Return which latents are active, given the posterior means `(n, d)` of the images: see :func:`active_units`."""
    return np.var(means, axis=0) > threshold


def manifold(vae: VAE, n: int = 20, quantiles: tuple[float, float] = (0.05, 0.95)) -> np.ndarray:
    """Decode an n×n grid of latents that the prior makes equally likely, for two latents.

    The grid stands on quantiles of the standard normal distribution.  The first latent grows to the right, the
    second upwards, as the axes of a scatter plot do.

    Parameters
    ----------
    vae : VAE
        With two latents, and a decoder that needs no labels.
    n : int
        Points on each side of the grid.
    quantiles : (float, float)
        At the first and the last point, between 0 and 1.

    Returns
    -------
    array `(n, n, height, width, channels)`
        Mean images.

    Raises
    ------
    ValueError
        If the model has other than two latents, or a quantile is not between 0 and 1.
    """
    if vae.latent_dim != 2:
        raise ValueError(f"a manifold needs two latents, this model has {vae.latent_dim}")
    amounts.count(n, "point on each side")
    if not (
        np.shape(quantiles) == (2,) and min(quantiles) > 0 and max(quantiles) < 1
    ):  # at 0 and 1 the latents would be infinite
        raise ValueError(f"expected quantiles between 0 and 1, got {quantiles!r}")
    axis = tfd.Normal(0.0, 1.0).quantile(tf.linspace(*quantiles, n))
    across, up = tf.meshgrid(axis, axis[::-1])
    return vae.decode(tf.stack([across, up], axis=-1)).mean().numpy()


def interpolation(vae: VAE, first: np.ndarray, second: np.ndarray, steps: int = 10) -> np.ndarray:
    """Decode latents at equal steps on the straight line between two.

    Parameters
    ----------
    vae : VAE
    first, second : array `(d,)`
        The latents at both ends, which are decoded, too.
    steps : int
        How many latents are decoded.

    Returns
    -------
    array `(steps, height, width, channels)`
        Mean images.

    Raises
    ------
    ValueError
        If the latents are not of the shape `(d,)`, or no latent is to be decoded.
    """
    first, second = (np.asarray(latent) for latent in (first, second))
    if not first.shape == second.shape == (vae.latent_dim,) or first.dtype.kind not in "fiu":
        given = f"{first.shape} and {second.shape} of {first.dtype}"
        raise ValueError(f"expected two latents of shape ({vae.latent_dim},), got {given}")
    if not np.isfinite([first, second]).all():
        raise ValueError(f"expected finite latents, got {first} and {second}")
    share = np.linspace(0, 1, amounts.count(steps, "step"), dtype=np.float32)[:, np.newaxis]
    return vae.decode((1 - share) * first + share * second).mean().numpy()


def traversal(vae: VAE, z: np.ndarray, latent: int, values: np.ndarray) -> np.ndarray:
    """Decode a latent with one of its coordinates set to each of several values.

    Parameters
    ----------
    vae : VAE
    z : array `(d,)`
        Which stays as it is.
    latent : int
        The number of the coordinate, from 0 on.
    values : array `(m,)`

    Returns
    -------
    array `(m, height, width, channels)`
        Mean images.

    Raises
    ------
    ValueError
        If there is no such coordinate.
    """
    if not 0 <= latent < vae.latent_dim:
        raise ValueError(f"expected a latent from 0 to {vae.latent_dim - 1}, got {latent}")
    z = np.tile(np.asarray(z, np.float32), (len(values), 1))
    z[:, latent] = values
    return vae.decode(z).mean().numpy()
