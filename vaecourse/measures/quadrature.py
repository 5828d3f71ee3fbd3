"""log p(x) and the true posterior by a sum over a grid of z, for models of two latents and binary pixels."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.measures.batching import checked_without_labels
from vaecourse.models import VAE, likelihoods

tfd = tfp.distributions

_DECODED = 256  # latents at once: what the layers pass on to each other then fits into the processor's cache


def exact_log_likelihood(vae: VAE, images: np.ndarray, points: int = 256, reach: float = 6.0) -> np.ndarray:
    """Compute log p(x) = log ∫ p(x|z) p(z) dz of every image by quadrature, for two latents and binary pixels.

    The integral is a sum over a grid of points × points latents in [−reach, reach]².

    Parameters
    ----------
    vae : VAE
        With two latents and a Bernoulli likelihood.
    images : array `(n, height, width, channels)`
    points : int
        Points on each side of the grid, at least two.
    reach : float
        Half the side of the square.

    Returns
    -------
    array `(n,)`
        In nats.

    Raises
    ------
    TypeError, ValueError
        If the model has other than two latents, another likelihood, or labels; if it cannot use the images; or if the
        grid is no grid.
    """
    images = _checked(vae, images, points, reach)
    axis = np.linspace(-reach, reach, points, dtype=np.float32)
    total = np.full(len(images), -np.inf, np.float32)
    for joint in _joint_on_grid(vae, images, axis, axis):
        total = np.logaddexp(total, tf.reduce_logsumexp(joint, axis=-1))
    return total + 2 * math.log(axis[1] - axis[0])


def exact_posterior(
    vae: VAE,
    images: np.ndarray,
    center: tuple[float, float] = (0.0, 0.0),
    reach: float = 6.0,
    points: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the true posterior log p(z|x) = log p(x, z) − log p(x) of a few images on a square grid.

    Parameters
    ----------
    vae : VAE
        With two latents and a Bernoulli likelihood.
    images : array `(n, height, width, channels)`
    center : (float, float)
        Of the square.
    reach : float
        Half the side of the square.  The density is normalized on it, so the posterior must lie inside.
    points : int
        Points on each side of the grid, at least two.

    Returns
    -------
    axes : array `(2, points)`
        The values of the two latents.
    log_density : array `(n, points, points)`
        In nats.  The second latent grows along the rows, the first along the columns.

    Raises
    ------
    TypeError, ValueError
        As :func:`exact_log_likelihood`.
    """
    images = _checked(vae, images, points, reach)
    axes = np.asarray(center, np.float32)[:, np.newaxis] + np.linspace(-reach, reach, points, dtype=np.float32)
    joint = np.concatenate(list(_joint_on_grid(vae, images, *axes)), axis=-1)
    cell = 2 * math.log(axes[0, 1] - axes[0, 0])
    log_density = joint - tf.reduce_logsumexp(joint, axis=-1, keepdims=True) - cell
    return axes, log_density.numpy().reshape(len(images), points, points)


def _checked(vae: VAE, images: np.ndarray, points: int, reach: float) -> np.ndarray:
    if vae.latent_dim != 2 or not isinstance(vae.likelihood, likelihoods.Bernoulli):
        raise ValueError("quadrature needs two latents and a Bernoulli likelihood; see importance_log_likelihood")
    if points < 2 or not 0 < reach < np.inf:
        raise ValueError(f"expected at least two points on a side and a positive reach, got {points} and {reach}")
    return checked_without_labels(vae, images)


def _joint_on_grid(vae: VAE, images: np.ndarray, first: np.ndarray, second: np.ndarray) -> Iterator[tf.Tensor]:
    """Yield log p(x, z) of all images `(n, portion)`, a portion of the grid at a time.

    With Bernoulli pixels log p(x|z) is linear in x, so that one matrix product scores all images against many z.
    """
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    pixels = tf.reshape(tf.cast(images, tf.float32), (len(images), -1))
    logits_of = _decoder(vae)
    for z in np.array_split(grid, max(1, len(grid) // 2048)):
        logits = tf.concat([logits_of(tf.constant(z[i : i + _DECODED])) for i in range(0, len(z), _DECODED)], axis=0)
        at_zero = -tf.reduce_sum(tf.nn.softplus(logits), axis=-1)
        log_prior = tf.reduce_sum(tfd.Normal(0.0, 1.0).log_prob(z), axis=-1)
        yield tf.matmul(pixels, logits, transpose_b=True) + at_zero + log_prior


def _decoder(vae: VAE) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the compiled decoder: from latents `(n, 2)` to logits `(n, pixels)`."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, 2), tf.float32)])
    def logits(z: tf.Tensor) -> tf.Tensor:
        decoded = vae.decode(tf.cast(z, vae.variable_dtype)).distribution.logits
        return tf.reshape(tf.cast(decoded, tf.float32), (tf.shape(z)[0], -1))

    return logits.get_concrete_function()  # calling `logits` for several models would warn of retracing
