"""log p(x) of a model: exactly for two latents, and by importance weights for any number.

For models that learn from images alone; everything is in nats per image.
"""

import math
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import data
from vaecourse.measures.bounds import _by_batch
from vaecourse.models import VAE, likelihoods, objectives

tfd = tfp.distributions


def exact_log_likelihood(vae: VAE, images: np.ndarray, points: int = 256, reach: float = 6.0) -> np.ndarray:
    """Compute log p(x) of every image by quadrature over z, for two latents and binary pixels.

    The integral ∫ p(x|z) p(z) dz is a sum over a grid of points × points latents in [−reach, reach]².  With Bernoulli
    pixels log p(x|z) is linear in x, so that one matrix product scores all images against many z.

    Returns
    -------
    array `(n,)`, nats

    Raises
    ------
    ValueError
        If the model has other than two latents, or another likelihood.
    """
    axis = np.linspace(-reach, reach, points, dtype=np.float32)
    total = np.full(len(images), -np.inf, np.float32)
    for joint in _joint_on_grid(vae, images, axis, axis):
        total = np.logaddexp(total, tf.reduce_logsumexp(joint, axis=-1))
    return total + 2 * math.log(axis[1] - axis[0])


def exact_posterior(vae: VAE, images: np.ndarray, center=(0.0, 0.0), reach=6.0, points=256) -> tuple:
    """Compute the true posterior log p(z|x) of a few images on a square grid, under the terms of the quadrature above.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    center : (float, float)
    reach : float
        Half the side of the square.  The density is normalized on it, so the posterior must lie inside.
    points : int
        On each side.

    Returns
    -------
    axes : array `(2, points)`
        The values of the two latents.
    log_density : array `(n, points, points)`
        The second latent grows along the rows, the first along the columns.
    """
    axes = np.asarray(center, np.float32)[:, np.newaxis] + np.linspace(-reach, reach, points, dtype=np.float32)
    joint = np.concatenate(list(_joint_on_grid(vae, images, *axes)), axis=-1)
    cell = 2 * math.log(axes[0, 1] - axes[0, 0])
    log_density = joint - tf.reduce_logsumexp(joint, axis=-1, keepdims=True) - cell
    return axes, log_density.numpy().reshape(len(images), points, points)


def _joint_on_grid(vae: VAE, images: np.ndarray, first: np.ndarray, second: np.ndarray) -> Iterator[tf.Tensor]:
    """Yield log p(x, z) of all images `(n, portion)`, a portion of the grid at a time."""
    if vae.latent_dim != 2 or not isinstance(vae.likelihood, likelihoods.Bernoulli):
        raise ValueError("quadrature needs two latents and a Bernoulli likelihood; see importance_log_likelihood")
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    pixels = tf.reshape(tf.cast(vae.checked(images), tf.float32), (len(images), -1))
    for z in np.array_split(grid, max(1, len(grid) // 2048)):
        logits = tf.reshape(vae.decode(z).distribution.logits, (len(z), -1))
        at_zero = -tf.reduce_sum(tf.nn.softplus(logits), axis=-1)
        log_prior = tf.reduce_sum(tfd.Normal(0.0, 1.0).log_prob(z), axis=-1)
        yield tf.matmul(pixels, logits, transpose_b=True) + at_zero + log_prior


def importance_log_likelihood(vae: VAE, images: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    """Estimate log p(x) of every image from below by the importance-weighted bound :cite:p:`burda2016`.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    samples : int
        K.  Samples are drawn in portions, so that memory does not grow with K.
    seed : int

    Returns
    -------
    array `(n,)`, nats
        On average at most log p(x), and closer to it the larger K is.
    """
    if samples < 1:
        raise ValueError(f"expected at least one sample, got {samples}")
    portion = min(samples, 50)
    portions = [portion] * (samples // portion) + [samples % portion] * (samples % portion > 0)
    total = np.full(len(images), -np.inf)
    drawn = 0
    for size in portions:
        bounds = _by_batch(
            vae,
            images,
            size,
            seed,
            lambda x, eps: objectives.importance_weighted_bound(vae.log_weights(x, eps)),
            first=drawn,
        )
        drawn += len(bounds)
        total = np.logaddexp(total, np.concatenate(bounds) + math.log(size))
    return total - math.log(samples)


_PORTION = 50  # samples, and

_BATCH = 10  # images: 500 decoded at a time, where the processor's caches are still of use


def log_weights(
    vae: VAE, images: np.ndarray, samples: int = 5000, seed: int = 0, posterior=None, progress: bool = True
) -> np.ndarray:
    r"""Draw the importance weights log p(x, z_k)/q(z_k|x), z_k ~ q, of every image.

    Their mean over k estimates the ELBO without bias, and :func:`importance_bounds` makes of them the bounds for any
    number of samples.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    samples : int
        They are decoded in portions: memory does not grow with their number, but for the result.
    seed : int
        The noise is a function of it, and not of the posterior: two posteriors can be compared on the same noise.
    posterior : (mean, logvar), each `(n, d)`, optional
        Of q; without it, the encoder's.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    float32 array `(samples, n)`, nats
    """
    images = checked(vae, images)
    if samples < 1:
        raise ValueError(f"expected at least one sample, got {samples}")
    mean, logvar = proposed(vae, images, posterior)
    portion = min(samples, _PORTION)

    @tf.function(autograph=False, input_signature=signature(vae, 2))
    def weights(x, mean, logvar, seed):
        eps = tf.random.stateless_normal((portion, tf.shape(x)[0], vae.latent_dim), seed, dtype=mean.dtype)
        z = objectives.reparameterize(mean, logvar, eps)
        return vae.log_likelihood(x, z) - objectives.monte_carlo_kl(mean, logvar, eps)

    bar = keras.utils.Progbar(len(images), verbose=int(progress))
    result = np.empty((samples, len(images)), np.float32)
    for first in range(0, len(images), _BATCH):
        batch = slice(first, first + _BATCH)
        inputs = images[batch], mean[batch], logvar[batch]
        for start in range(0, samples, portion):
            values = weights(*inputs, tf.random.experimental.stateless_fold_in([seed, first], start)).numpy()
            result[start : start + portion, batch] = values[: samples - start]
        bar.update(min(first + _BATCH, len(images)))
    return result


def importance_bounds(log_weights: np.ndarray, sizes: Iterable[int]) -> dict[int, np.ndarray]:
    r"""Estimate the bound of :cite:t:`burda2016`, E log (1/K) Σ_k w_k, for many K from one set of weights.

    The samples are cut into disjoint groups of K, over which the bound is averaged.  Every estimate is unbiased for
    its K, and so every curve of them rises on average; K = 1 is the ELBO.

    Parameters
    ----------
    log_weights : array `(samples, n)`
    sizes : iterable of int
        The K, from 1 to the number of samples.

    Returns
    -------
    dict from K to array `(n,)`, nats
    """
    samples, bounds = len(log_weights), {}
    for size in sizes:
        if not 1 <= size <= samples:
            raise ValueError(f"expected sizes from 1 to the {samples} samples there are, got {size}")
        groups = np.asarray(log_weights[: samples // size * size]).reshape(samples // size, size, -1)
        bounds[size] = objectives.importance_weighted_bound(groups.swapaxes(0, 1)).numpy().mean(axis=0, dtype=float)
    return bounds


def checked(vae: VAE, images: np.ndarray) -> np.ndarray:
    if vae.classes:
        raise ValueError(
            f"expected a VAE that learns from images alone, got a {type(vae).__name__}, which is told digits"
        )
    return vae.checked(images)


def proposed(vae: VAE, images: np.ndarray, posterior=None) -> list[np.ndarray]:
    """Return mean and log-variance of q: those that are given, or the encoder's."""
    if posterior is None:
        batches = [vae.posterior_parameters(x) for x in data.batches(images, 50 * _BATCH)]
        posterior = [np.concatenate(part) for part in zip(*batches, strict=True)]
    mean, logvar = (np.asarray(part, vae.variable_dtype) for part in posterior)
    if not mean.shape == logvar.shape == (len(images), vae.latent_dim):
        raise ValueError(f"expected mean and logvar {(len(images), vae.latent_dim)}, got {mean.shape}, {logvar.shape}")
    return [mean, logvar]


def signature(vae: VAE, latents: int) -> list[tf.TensorSpec]:
    """Return the signature of a function of images, so many arrays of latents, and a seed: it is traced once."""
    dtype = vae.variable_dtype
    parameters = [tf.TensorSpec((None, vae.latent_dim), dtype)] * latents
    return [tf.TensorSpec((None, *vae.image_shape), dtype), *parameters, tf.TensorSpec((2,), tf.int32)]
