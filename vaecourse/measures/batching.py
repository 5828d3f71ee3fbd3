"""Images batch by batch, each batch with its own noise: what the measures of this package share."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse import data
from vaecourse.data import amounts
from vaecourse.models import VAE
from vaecourse.training import EVALUATION_BATCH


def images_at_once(samples: int) -> int:
    """Return how many images fit into a batch that decodes `samples` latents of each of them.

    A batch decodes up to ``EVALUATION_BATCH`` latents, 500, so that memory does not grow with the
    number of images, and the processor's caches are still of use.

    Raises
    ------
    ValueError
        If there is no sample.
    """
    return max(1, EVALUATION_BATCH // amounts.count(samples, "sample"))


def batches_of(n: int, size: int, progress: bool = False) -> Iterator[slice]:
    """Yield the slices that cut `n` images into batches of `size`, and show a progress bar if asked to."""
    bar = keras.utils.Progbar(n, verbose=int(progress))
    for first in range(0, n, size):
        yield slice(first, first + size)
        bar.update(min(first + size, n))


def per_image(
    vae: VAE,
    images: np.ndarray,
    samples: int,
    seed: int,
    function: Callable[..., Any],
    labels: np.ndarray | None = None,
) -> Any:
    """Evaluate `function(x, eps)`, or `function(x, eps, y)`, on all images, and join what it returns.

    Parameters
    ----------
    vae : VAE
        Whose checks images and labels must pass, and for whose latents the noise is.
    images : array `(n, height, width, channels)`
    samples : int
        Samples of z for each image.
    seed : int
        The noise of a batch is a function of the seed and of the number of the batch.
    function : callable
        Takes images `(batch, height, width, channels)`, noise `(samples, batch, d)` and, where labels are given, labels
        `(batch,)`, and returns a tensor, or a structure of tensors, whose first axis is that of the images.
    labels : array `(n,)`, optional

    Returns
    -------
    array or structure of arrays
        What `function` returns, `(n, ...)`.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images or the labels, or there is no sample.
    """
    images, labels = vae.checked(images), vae.checked_labels(labels)
    examples, seed = (images,) if labels is None else (images, labels), amounts.seed(seed)
    results = []
    for index, (x, *y) in enumerate(data.batches(examples, images_at_once(samples))):
        eps = tf.random.stateless_normal((samples, len(x), vae.latent_dim), (seed, index), dtype=vae.variable_dtype)
        results.append(function(x, eps, *y))
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *results)


def posterior_parameters(
    vae: VAE, images: np.ndarray, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and log-variance that the encoder gives to every image, each `(n, d)`.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images or the labels.
    """
    images, labels = vae.checked(images), vae.checked_labels(labels)
    examples = (images,) if labels is None else (images, labels)
    parameters = [vae.posterior_parameters(*batch) for batch in data.batches(examples, EVALUATION_BATCH)]
    mean, logvar = (np.concatenate(part) for part in zip(*parameters, strict=True))
    return mean, logvar


def checked_posterior(
    vae: VAE, images: np.ndarray, posterior: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and log-variance of a diagonal Gaussian for every image, each `(n, d)`, in the model's precision.

    Raises
    ------
    ValueError
        If they are not of the shape `(n, d)`.
    """
    mean, logvar = (np.asarray(part, vae.variable_dtype) for part in posterior)
    if not mean.shape == logvar.shape == (len(images), vae.latent_dim):
        raise ValueError(f"expected mean and logvar {(len(images), vae.latent_dim)}, got {mean.shape}, {logvar.shape}")
    return mean, logvar


def checked_without_labels(vae: VAE, images: np.ndarray) -> np.ndarray:
    """Return images in the model's precision, after refusing what the model cannot use, and models that know labels.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images, or learns from more than images.
    """
    if vae.classes:
        raise ValueError(
            f"expected a VAE that learns from images alone, got a {type(vae).__name__}, which is told digits"
        )
    return np.asarray(vae.checked(images), vae.variable_dtype)


def specification(vae: VAE, latents: int) -> list[tf.TensorSpec]:
    """Return the specification of images, of so many arrays of latents `(batch, d)`, and of a seed of two integers.

    A compiled function that is given it is traced once, however many images a batch has.
    """
    dtype = vae.variable_dtype
    parameters = [tf.TensorSpec((None, vae.latent_dim), dtype)] * latents
    return [tf.TensorSpec((None, *vae.image_shape), dtype), *parameters, tf.TensorSpec((2,), tf.int32)]
