"""log p(x) of a model with any number of latents by importance weights, for models that learn from images alone."""

import math
from collections.abc import Iterable, Iterator
from numbers import Integral

import numpy as np
import tensorflow as tf

from vaecourse.data import amounts
from vaecourse.measures.batching import (
    batches_of,
    checked_posterior,
    checked_without_labels,
    images_at_once,
    specification,
)
from vaecourse.models import VAE, objectives

_PORTION = 50  # samples of an image that are decoded at once


def log_weights(
    vae: VAE,
    images: np.ndarray,
    samples: int = 5000,
    seed: int = 0,
    posterior: tuple[np.ndarray, np.ndarray] | None = None,
    progress: bool = True,
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
        Of a diagonal Gaussian q; the prior is taken to be N(0, I) then, whatever that of the model is.  Without it, q
        is the model's own, with its flow if there is one, and the prior the model's, too.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    float32 array `(samples, n)`
        In nats.

    Raises
    ------
    TypeError, ValueError
        If the model is told labels or cannot use the images, the posterior has another shape, or there is no sample.
    """
    drawn = _drawn(vae, images, samples, seed, posterior, progress)
    result = np.empty((samples, len(images)), np.float32)
    for portion, batch, weights in drawn:
        result[portion, batch] = weights
    return result


def importance_log_likelihood(vae: VAE, images: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    r"""Estimate log p(x) of every image by log (1/K) Σ_k w_k, the importance-weighted bound :cite:p:`burda2016`.

    The weights w_k are those of :func:`log_weights`, with the model's own q; none is kept, so that memory does not
    grow with their number.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    samples : int
        K.
    seed : int

    Returns
    -------
    array `(n,)`
        In nats; on average at most log p(x), and closer to it the larger K is.

    Raises
    ------
    TypeError, ValueError
        If the model is told labels or cannot use the images, or there is no sample.
    """
    drawn = _drawn(vae, images, samples, seed)
    total = np.full(len(images), -np.inf)
    for _, batch, weights in drawn:
        total[batch] = np.logaddexp.reduce([total[batch], *weights])
    return total - math.log(samples)


def importance_bounds(log_weights: np.ndarray, sizes: Iterable[int]) -> dict[int, np.ndarray]:
    r"""Estimate the bound of :cite:t:`burda2016`, E log (1/K) Σ_k w_k, for many K from one set of weights.

    The samples are cut into disjoint groups of K, over which the bound is averaged.  Every estimate is unbiased for
    its K, and so every curve of them rises on average; K = 1 is the ELBO.

    Parameters
    ----------
    log_weights : array `(samples, n)`
        In nats.
    sizes : iterable of int
        The K, from 1 to the number of samples.

    Returns
    -------
    dict from K to array `(n,)`
        In nats.

    Raises
    ------
    TypeError
        If the log-weights are no real numbers.
    ValueError
        If the log-weights are not of the shape `(samples, n)`, one is NaN or +∞ (−∞ is a weight of 0), or a size is not
        from 1 to the number of samples.
    """
    log_weights = amounts.reals(log_weights, "log-weights")
    if log_weights.ndim != 2:
        raise ValueError(f"expected log-weights of shape (samples, n), got {log_weights.shape}")
    if np.isnan(log_weights).any() or np.isposinf(log_weights).any():
        raise ValueError("expected log-weights that are finite, or −inf; got NaN or inf")
    samples = len(log_weights)
    bounds: dict[int, np.ndarray] = {}
    for size in sizes:
        if not (isinstance(size, Integral) and 1 <= size <= samples):
            raise ValueError(f"expected sizes from 1 to the {samples} samples there are, got {size!r}")
        groups = np.asarray(log_weights[: samples // size * size]).reshape(samples // size, size, -1)
        bounds[size] = objectives.importance_weighted_bound(groups.swapaxes(0, 1)).numpy().mean(axis=0, dtype=float)
    return bounds


def _drawn(
    vae: VAE,
    images: np.ndarray,
    samples: int,
    seed: int,
    posterior: tuple[np.ndarray, np.ndarray] | None = None,
    progress: bool = False,
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Return an iterator over portions of the samples and batches of the images, with their log-weights in nats.

    The noise of a portion and a batch is a function of the seed and of where they begin, and a last portion that is
    short has the first of the noise of a whole one: more samples leave those that there were as they are.
    """
    samples, seed = amounts.count(samples, "sample"), amounts.seed(seed)
    images, size = checked_without_labels(vae, images), images_at_once(min(samples, _PORTION))
    parameters = () if posterior is None else checked_posterior(vae, images, posterior)
    whole = min(samples, _PORTION)

    @tf.function(autograph=False, input_signature=[*specification(vae, len(parameters)), tf.TensorSpec((), tf.int32)])
    def weights(*inputs: tf.Tensor) -> tf.Tensor:
        x, *q, key, count = inputs
        eps = tf.random.stateless_normal((whole, tf.shape(x)[0], vae.latent_dim), key, dtype=vae.variable_dtype)[:count]
        if not q:
            return vae.log_weights(x, eps)
        mean, logvar = q
        z = objectives.reparameterize(mean, logvar, eps)
        return vae.log_likelihood(x, z) - objectives.sampled_kl(z, eps, logvar)

    compiled = weights.get_concrete_function()  # calling `weights` in several short estimates would warn of retracing

    def portions() -> Iterator[tuple[slice, slice, np.ndarray]]:
        tensors = [tf.convert_to_tensor(array) for array in (images, *parameters)]
        for batch in batches_of(len(images), size, progress):
            inputs = [array[batch] for array in tensors]
            for start in range(0, samples, whole):
                count = min(whole, samples - start)
                key = tf.random.experimental.stateless_fold_in([seed, batch.start], start)
                yield slice(start, start + count), batch, compiled(*inputs, key, tf.constant(count)).numpy()

    return portions()
