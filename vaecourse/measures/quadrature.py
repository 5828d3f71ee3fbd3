"""log p(x) and the true posterior by a sum over a grid of z, for models of two latents and binary pixels."""

import math
from collections.abc import Callable, Iterator
from numbers import Integral, Real

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from vaecourse.data import amounts
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


def exact_posterior_samples(
    vae: VAE, images: np.ndarray, samples: int, seed: int = 0, points: int = 101, coarse: int = 201
) -> tuple[np.ndarray, np.ndarray]:
    """Draw from the true posterior of a few images, on a grid of its own for each, and compute log p(z|x) of the draws.

    A coarse grid of [−6, 6]² finds where the density is within nine nats of its highest point, and a fine one covers
    that.  Inside of a cell of the fine grid the density is taken to be constant.

    Parameters
    ----------
    vae : VAE
        With two latents and a Bernoulli likelihood.
    images : array `(n, height, width, channels)`
    samples : int
        Of each image.
    seed : int
    points, coarse : int
        Points on each side of the fine grid and of the coarse one, at least two.

    Returns
    -------
    z : array `(samples, n, 2)`
    log_density : array `(samples, n)`
        In nats.

    Raises
    ------
    TypeError, ValueError
        As :func:`exact_log_likelihood`, or if there is no sample.
    """
    amounts.count(samples, "sample")
    axes, coarsely = exact_posterior(vae, images, points=coarse)
    z, log_density = np.empty((samples, len(images), 2), np.float32), np.empty((samples, len(images)), np.float32)
    for index, density in enumerate(coarsely):
        rng = np.random.default_rng((seed, index))
        center, reach = _window(axes, density)
        fine, (density,) = exact_posterior(vae, images[index : index + 1], center, reach, points)
        cells = rng.choice(points**2, samples, p=special.softmax(density.ravel().astype(float)))
        row, column = np.divmod(cells, points)
        inside = (rng.random((samples, 2)) - 0.5) * (fine[:, 1] - fine[:, 0])
        z[:, index] = np.stack([fine[0, column], fine[1, row]], axis=-1) + inside
        log_density[:, index] = density[row, column]
    return z, log_density


def _window(axes: np.ndarray, log_density: np.ndarray, depth: float = 9.0) -> tuple[tuple[float, float], float]:
    """Return center and reach of the square around all points whose density is within `depth` nats of the highest."""
    rows, columns = np.nonzero(log_density > log_density.max() - depth)
    ends = np.array([[axes[0, columns.min()], axes[0, columns.max()]], [axes[1, rows.min()], axes[1, rows.max()]]])
    step = float(axes[0, 1] - axes[0, 0])
    first, second = ends.mean(axis=1)
    return (float(first), float(second)), float(np.ptp(ends, axis=1).max() / 2 + 2 * step)


def _checked(vae: VAE, images: np.ndarray, points: int, reach: float) -> np.ndarray:
    if vae.latent_dim != 2 or not isinstance(vae.likelihood, likelihoods.Bernoulli):
        raise ValueError("quadrature needs two latents and a Bernoulli likelihood; see importance_log_likelihood")
    if not (isinstance(points, Integral) and points >= 2 and isinstance(reach, Real) and 0 < reach < np.inf):
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
        log_prior = tf.cast(vae.prior_distribution().log_prob(tf.cast(z, vae.variable_dtype)), tf.float32)
        yield tf.matmul(pixels, logits, transpose_b=True) + at_zero + log_prior


def _decoder(vae: VAE) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the compiled decoder: from latents `(n, 2)` to logits `(n, pixels)`."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, 2), tf.float32)])
    def logits(z: tf.Tensor) -> tf.Tensor:
        decoded = vae.decode(tf.cast(z, vae.variable_dtype)).distribution.logits
        return tf.reshape(tf.cast(decoded, tf.float32), (tf.shape(z)[0], -1))

    return logits.get_concrete_function()  # calling `logits` for several models would warn of retracing
