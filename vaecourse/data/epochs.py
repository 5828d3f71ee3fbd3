"""The batches of an epoch, in an order that is a function of a seed and of how many batches were trained on before."""

from numbers import Integral
from typing import Any

import numpy as np
import tensorflow as tf

from vaecourse.data import amounts, pixels


def epoch_order(n: int, seed: int, step: int | tf.Tensor) -> tf.Tensor:
    """Return the order in which an epoch visits `n` images that begins after `step` batches of a training.

    The order is a function of the arguments alone: a resumed training therefore shuffles as the uninterrupted one
    would have.
    """
    return tf.random.experimental.stateless_shuffle(tf.range(n), seed=tf.stack([seed, tf.cast(step, tf.int32)]))


def batches(arrays: Any, batch_size: int, seed: int | None = None, step: int | tf.Variable = 0) -> tf.data.Dataset:
    """Return the batches of one epoch as a `tf.data.Dataset`; the last one may be short.

    The images stay one tensor, from which a batch is gathered by index: the order is a permutation that is known
    beforehand, not the state of a shuffle buffer.

    Parameters
    ----------
    arrays : array, or tuple or other structure of arrays
        Of equal length `n`; batches have the same structure.
    batch_size : int
    seed : int, optional
        Without it the batches come in order.
    step : int or tf.Variable
        After how many batches of the training the epoch begins.  A variable is read anew each time the data set is
        iterated, so that every epoch has its own order.

    Raises
    ------
    ValueError
        If there is no image, the lengths differ, or the batch size is not positive.
    """
    tensors = tuple(tf.convert_to_tensor(array) for array in tf.nest.flatten(arrays))
    lengths = {int(tensor.shape[0]) if tensor.shape.rank else 0 for tensor in tensors}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"expected at least one image and arrays of equal length, got lengths {sorted(lengths)}")
    if not (isinstance(batch_size, Integral) and batch_size >= 1):
        raise ValueError(f"expected a batch size of at least 1, got {batch_size!r}")
    if seed is not None:
        amounts.seed(seed)
    (n,) = lengths
    count = -(-n // batch_size)

    def epoch(*tensors: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(n) if seed is None else epoch_order(n, seed, step)

        def batch(i: tf.Tensor) -> Any:
            chosen = order[i * batch_size : (i + 1) * batch_size]
            return tf.nest.pack_sequence_as(arrays, [tf.gather(tensor, chosen) for tensor in tensors])

        return tf.data.Dataset.range(count).map(batch)

    # what the function captures instead of being given it would live until the garbage collector runs
    dataset = tf.data.Dataset.from_tensors(tensors).flat_map(epoch)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread may sleep through the end of an epoch, for as long as the epoch took
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


def binarized_batches(
    grays: np.ndarray, batch_size: int, seed: int = 0, step: int | tf.Variable = 0
) -> tf.data.Dataset:
    """Return the batches of one epoch, binarized dynamically: every pixel is drawn anew from Bernoulli(gray).

    What is drawn, and the order, is a function of the seed and the step, so that a repeated or resumed training sees
    the same pixels.

    Parameters
    ----------
    grays : array `(n, height, width, channels)`
        In [0, 1].
    batch_size : int
    seed : int
    step : int or tf.Variable
        After how many batches of the training the epoch begins.  To `fit` a data set, pass the `step` of a
        :class:`vaecourse.training.EpochStart`, and that object among the callbacks.

    Raises
    ------
    TypeError, ValueError
        If the images are no grays in [0, 1], or the batch size or the seed is none.
    """
    pixels.check_grays(grays)

    def draw(index: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        # below zero, where neither the noise of a training step nor the order of an epoch looks
        counter = -1 - tf.cast(step, tf.int32) - tf.cast(index, tf.int32)
        uniform = tf.random.stateless_uniform(tf.shape(x), tf.stack([seed, counter]), dtype=x.dtype)
        return tf.cast(uniform < x, x.dtype)

    return batches(grays, batch_size, seed, step).enumerate().map(draw).prefetch(2)
