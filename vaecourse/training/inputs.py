"""What Keras' `fit`, `evaluate` and `predict` can be given: arrays, and data sets of all kinds."""

import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Array = np.ndarray | tf.Tensor


def as_array(x: Any) -> Any:
    """Return arrays of other libraries as NumPy's, and everything else as it is."""
    return np.asarray(x) if hasattr(x, "__array__") and not tf.is_tensor(x) else x


def is_array(x: Any) -> bool:
    """Say whether `x` is one array, whose images can be checked before a training begins."""
    return isinstance(x, np.ndarray | tf.Tensor)


def unpack(batch: Any) -> tuple[Any, Any]:
    """Return images and labels of `x`, `(x,)` or `(x, y)`; labels may be None.

    Raises
    ------
    ValueError
        If there are weights, too.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)
    refuse_weights(sample_weight)
    return x, y


def refuse_weights(sample_weight: Any, class_weight: Any = None) -> None:
    """Raise `ValueError` if images or classes are given weights."""
    if sample_weight is not None or class_weight is not None:
        raise ValueError(
            "every image weighs the same: sample_weight and class_weight must be None, and a batch is (images,) or "
            "(images, labels)"
        )


def refuse_labels(y: Any) -> None:
    """Raise `ValueError` if labels are given beside a data set."""
    if y is not None:
        raise ValueError("a data set brings its own labels: y must be None")


def shortened(dataset: Any, steps: int | None) -> tuple[Any, int | None]:
    """Return a `tf.data.Dataset` of so many batches and None; other data as they are, and `steps`.

    However many steps are run between two looks at the callbacks, a data set cannot give more batches than it has.
    """
    if steps is None or not isinstance(dataset, tf.data.Dataset):
        return dataset, steps
    available = int(dataset.cardinality())
    if 0 <= available < steps:
        warnings.warn(
            f"{steps} steps were asked for, and the input ran out of data after {available}: that many are run each "
            "time. Ask for fewer steps, or repeat the data set",
            stacklevel=4,
        )
    return dataset.take(steps), None
