"""Several replicas of a model, on devices or machines, that train as one: what `fit` does under `tf.distribute`.

A replica computes a part of what one process would: its rows of the batch, with the noise that they have in the whole
batch, divided by the number of images of the whole batch.  The sum over replicas is then what one process computes, up
to rounding.  That needs batches whose parts are of equal length, and know their place; :func:`spread` makes them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from vaecourse.training import inputs

_SUM = tf.distribute.ReduceOp.SUM
_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")


def several(strategy: tf.distribute.Strategy) -> bool:
    """Say whether a strategy runs several replicas."""
    return strategy.num_replicas_in_sync > 1


def several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Say whether there are replicas in other processes than this one."""
    workers = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return workers and strategy.num_replicas_in_sync > len(strategy.extended.worker_devices)


def is_chief(strategy: tf.distribute.Strategy | None = None) -> bool:
    """Say whether this process is the one that writes files: the only one, or the first of several workers.

    Parameters
    ----------
    strategy : tf.distribute.Strategy, optional
        That of the scope in which the question is asked, if there is one, by default.
    """
    strategy = strategy or tf.distribute.get_strategy()
    if not several_workers(strategy):
        return True
    resolver = strategy.cluster_resolver
    chiefs = resolver.cluster_spec().as_dict().get("chief", [])
    return resolver.task_type == "chief" or (not chiefs and resolver.task_id == 0)


def agreed(strategy: tf.distribute.Strategy, number: int) -> bool:
    """Say whether all workers call this with the same number; it waits for all."""
    if not several_workers(strategy):
        return True

    @tf.function
    def all_numbers(value: tf.Tensor) -> tf.Tensor:
        def summed() -> tf.Tensor:
            mine = tf.one_hot(tf.distribute.get_replica_context().replica_id_in_sync_group, count, dtype=tf.int64)
            return tf.distribute.get_replica_context().all_reduce(_SUM, mine * value)

        return strategy.run(summed)

    count = strategy.num_replicas_in_sync
    numbers = strategy.experimental_local_results(all_numbers(tf.constant(number, tf.int64)))[0]
    return bool(tf.reduce_all(numbers == number))


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Wait until all workers are here."""
    agreed(strategy, 0)


def spread(model: keras.Model, batches: Any) -> Any:
    """Return a data set whose batches can be cut into one part for each replica, and know their rows.

    A batch that cannot be cut into equal parts is filled up by its last image, which does not count there.  Under
    several workers every process makes all batches, in the same order, and takes its part of each.  Data for a single
    replica stay as they are.

    Parameters
    ----------
    model : Trainable
    batches : tf.data.Dataset
        Of the batches that one process would train on.

    Raises
    ------
    TypeError, ValueError
        If the data are no `tf.data.Dataset`, which alone is cut alike everywhere, or the model cannot use them.
    """
    strategy = model.distribute_strategy
    if not several(strategy):
        return batches
    if not isinstance(batches, tf.data.Dataset):
        raise ValueError(
            f"on {strategy.num_replicas_in_sync} replicas a model takes arrays, or a tf.data.Dataset of the batches "
            f"that one process would train on; got {type(batches).__name__}"
        )
    replicas = strategy.num_replicas_in_sync
    if several_workers(strategy):
        return strategy.distribute_datasets_from_function(
            lambda context: _parts(model, batches, replicas, context.input_pipeline_id, 1)
        )
    return _parts(model, batches, replicas, 0, replicas)  # which Keras cuts


def _parts(model: keras.Model, batches: tf.data.Dataset, replicas: int, first: int, count: int) -> tf.data.Dataset:
    """Return of every batch `count` parts, side by side, of as many as there are replicas, from the `first` on.

    A part is one matrix, whose rows are an image, its label if there are labels, its row in the batch, and the number
    of images in the batch: before the first step Keras averages what it is given over workers, which fails for more
    than one tensor.
    """

    def part(*batch: Any) -> tf.Tensor:
        x, y = inputs.unpack(batch if len(batch) > 1 else batch[0])
        x, y = model.checked(x), model.checked_labels(y)
        dtype = tf.float64 if x.dtype == tf.float64 else tf.float32
        images = tf.shape(x)[0]
        length = -(-images // replicas)
        rows = first * length + tf.range(count * length)
        chosen = tf.minimum(rows, images - 1)
        columns = [x] if y is None else [x, y]
        columns = [tf.gather(column, chosen) for column in columns] + [rows, tf.fill(tf.shape(rows), images)]
        widths = [math.prod(model.image_shape), *([] if y is None else [math.prod(y.shape[1:])]), 1, 1]
        return tf.concat(
            [tf.cast(tf.reshape(c, (-1, width)), dtype) for c, width in zip(columns, widths, strict=True)], axis=1
        )

    return batches.map(part).prefetch(2)


class Whole:
    """The batch of a step that runs once."""

    weights: tf.Tensor | None = None

    def noise(self, draw: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        """Return the noise `(..., batch, d)` of the images `x`, of a function of how many images a batch has."""
        return draw(tf.shape(x)[0])

    def mean(self, per_image: tf.Tensor) -> tf.Tensor:
        """Return what this replica contributes to the mean over the images of the whole batch."""
        return tf.reduce_mean(per_image)

    def total(self, value: tf.Tensor) -> tf.Tensor:
        """Return the sum of a value over replicas."""
        return value

    def handed_over(self, gradients: Sequence, optimizer: keras.optimizers.Optimizer) -> Sequence:
        """Return the gradients that an optimizer is given, which adds those of all replicas."""
        return gradients

    def results(self, means: Mapping[str, keras.metrics.Mean]) -> dict[str, tf.Tensor]:
        """Return the means over all images so far."""
        return {name: mean.result() for name, mean in means.items()}


class Part(Whole):
    """The part of a batch that one of several replicas computes.

    Parameters
    ----------
    rows : int tensor `(n,)`
        Which rows of the batch its images are; those from `images` on do not count.
    images : int tensor `(n,)`
        How many images the whole batch has, n times.
    """

    def __init__(self, rows: tf.Tensor, images: tf.Tensor) -> None:
        self.rows, self.images = rows, images[0]
        self.counts = rows < self.images
        self.weights = tf.cast(self.counts, tf.float32)

    def noise(self, draw: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        """Return those rows of the noise of the whole batch that this replica has."""
        return tf.gather(draw(self.images), tf.minimum(self.rows, self.images - 1), axis=-2)

    def mean(self, per_image: tf.Tensor) -> tf.Tensor:
        counted = tf.where(self.counts, per_image, tf.zeros_like(per_image))
        return tf.reduce_sum(counted) / tf.cast(self.images, per_image.dtype)

    def total(self, value: tf.Tensor) -> tf.Tensor:
        here = tf.identity(value)  # or a metric's number would be on no device
        return tf.distribute.get_replica_context().all_reduce(_SUM, here)

    def handed_over(self, gradients: Sequence, optimizer: keras.optimizers.Optimizer) -> Sequence:
        """Return the replica's own gradients, or where they are clipped the sum, from one replica alone.

        Keras clips before it adds up; the clipped sum is not the sum of what was clipped.
        """
        if not any(getattr(optimizer, option, None) for option in _CLIPPING):
            return gradients
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group, 0)
        summed = [None if g is None else context.all_reduce(_SUM, tf.convert_to_tensor(g)) for g in gradients]
        return [None if g is None else tf.where(first, g, tf.zeros_like(g)) for g in summed]

    def results(self, means: Mapping[str, keras.metrics.Mean]) -> dict[str, tf.Tensor]:
        sums = self.total(tf.stack([[tf.convert_to_tensor(v) for v in (m.total, m.count)] for m in means.values()]))
        values = tf.unstack(tf.math.divide_no_nan(sums[:, 0], sums[:, 1]))
        if several_workers(tf.distribute.get_strategy()):  # Keras averages over a first axis, which a scalar lacks
            values = [value[tf.newaxis] for value in values]
        return dict(zip(means, values, strict=True))


def part_of(model: keras.Model, batch: Any) -> tuple[Whole, Any]:
    """Return how much of a batch a step sees, and the batch as one process would be given it.

    Raises
    ------
    ValueError
        If there are several replicas, and the batch is not one that :func:`spread` has made.
    """
    if not several(tf.distribute.get_strategy()):
        return Whole(), batch
    if not tf.is_tensor(batch) or batch.shape.rank != 2:
        raise ValueError("on several replicas a model is trained by fit and evaluated by evaluate, not batch by batch")
    pixels = math.prod(model.image_shape)
    labels = int(batch.shape[1]) - pixels - 2
    x, y, rows, images = tf.split(batch, [pixels, labels, 1, 1], axis=1)
    x = tf.reshape(x, (-1, *model.image_shape))
    part = Part(*(tf.cast(tf.squeeze(column, 1), tf.int32) for column in (rows, images)))
    if labels == 0:
        return part, (x,)
    return part, (x, tf.cast(tf.squeeze(y, 1), tf.int32) if labels == 1 else y)  # probabilities have several columns
