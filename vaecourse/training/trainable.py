"""Keras' `fit`, `evaluate` and `predict` for all models here, with checks, explicit randomness and metrics in nats."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse import data
from vaecourse.training import inputs, replicas, resume, unsupported
from vaecourse.training.compiled import Compiled

EVALUATION_BATCH = 500


class Trainable(Compiled):
    """A model that Keras trains, evaluates and predicts with; arrays and data sets are checked alike.

    Whatever Keras' `compile` and `fit` take is honored, or refused with the reason.
    """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: None = None,
        sample_weight: None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> keras.callbacks.History:
        """Train as Keras' `fit` does: progress bar, callbacks, validation, history.

        Parameters
        ----------
        x : array of images, or anything else that Keras trains on
            An array is checked, held as one tensor and shuffled anew every epoch, by `seed` and optimizer step.  The
            images of a data set are checked batch by batch.
        y : array of labels
            For models that know digits; None for a :class:`~vaecourse.models.VAE`, which learns from images alone.
        batch_size : int
            32 by default.
        callbacks : list of keras.callbacks.Callback
            A callback that watches a measure of quality, such as `elbo`, in Keras' mode ``"auto"`` is told in which
            direction that measure gets better.
        validation_data : array of images, (images, labels), or a data set
        class_weight, sample_weight : None
        steps_per_epoch : int, optional
            An epoch of an array ends with its images at the latest; a warning says so where this asks for more.
        validation_batch_size : int, optional
            Of arrays; 500 by default.
        epochs, verbose, validation_split, shuffle, initial_epoch, validation_steps, validation_freq
            As Keras' own.

        Raises
        ------
        TypeError, ValueError
            If the images or labels cannot be trained on: see :meth:`encode`.
        FloatingPointError
            If the loss of a step is not finite.  The weights are those of the step before.
        ConnectionError
            If another worker of a training on several machines has stopped.
        """
        inputs.refuse_weights(sample_weight, class_weight)
        if not self.compiled:
            raise ValueError("compile the model before fitting it: vae.compile(keras.optimizers.Adam(1e-3))")
        x, validation_data = inputs.as_array(x), inputs.as_array(validation_data)
        unsupported.refuse(self)
        array = inputs.is_array(x)
        if array:
            x = self._checked_examples(x, y)
        else:
            inputs.refuse_labels(y)
        if validation_split and validation_data is None:
            if not (array and 0 < validation_split < 1):
                raise ValueError("validation_split sets aside a share between 0 and 1 of an array of images")
            kept = int(len(tf.nest.flatten(x)[0]) * (1 - validation_split))
            validation_data = tf.nest.map_structure(lambda part: part[kept:], x)
            x = tf.nest.map_structure(lambda part: part[:kept], x)
        if inputs.is_array(validation_data) or isinstance(validation_data, tuple | list):
            held_out = self._checked_examples(*inputs.unpack(validation_data))
            validation_data = data.batches(held_out, _or_default(validation_batch_size))
        validation_data, validation_steps = inputs.shortened(validation_data, validation_steps)
        callbacks = self._directed(callbacks)
        if array:
            start = resume.EpochStart()
            callbacks = [start, *callbacks]
            x = data.batches(x, 32 if batch_size is None else batch_size, self.seed if shuffle else None, start.step)
            x, steps_per_epoch = inputs.shortened(x, steps_per_epoch)
            batch_size = None
        data_set = isinstance(x, tf.data.Dataset)
        steps = epochs * int(x.cardinality()) if data_set else -1
        at_once = self._steps_at_once(callbacks, steps, steps_per_epoch, validation_steps)
        with self._running(at_once, "train_function", "test_function"):
            return super().fit(
                replicas.spread(self, x),
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_data=None if validation_data is None else replicas.spread(self, validation_data),
                shuffle=shuffle and not data_set,  # a data set has its own order, and Keras would warn
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                validation_batch_size=validation_batch_size,
                validation_freq=validation_freq,
            )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: None = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the metrics on images, as Keras' `evaluate` does; every image weighs the same.

        The noise depends on the seed and on how many images came before, so a second call gives the same numbers.
        """
        inputs.refuse_weights(sample_weight)
        options = {"verbose": verbose, "callbacks": callbacks, "return_dict": return_dict, **kwargs}
        if "_use_cached_eval_dataset" in kwargs:  # the validation of a `fit`, which has prepared all this
            return super().evaluate(x, batch_size=batch_size, steps=steps, **options)
        unsupported.refuse(self, training=False)
        x = inputs.as_array(x)
        if inputs.is_array(x):
            x, batch_size = data.batches(self._checked_examples(x, y), _or_default(batch_size)), None
        else:
            inputs.refuse_labels(y)
        x, steps = inputs.shortened(x, steps)
        with self._running(self._steps_at_once_after(callbacks, steps, "test_function"), "test_function"):
            return super().evaluate(replicas.spread(self, x), batch_size=batch_size, steps=steps, **options)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """Return what calling the model on images returns, as an array, as Keras' `predict` does."""
        if replicas.several_workers(self.distribute_strategy):
            raise ValueError(
                "predict does not join what several workers compute: load the weights into a model of one process"
            )
        x = inputs.as_array(x)
        if inputs.is_array(x):
            self.checked(x)
        x, steps = inputs.shortened(x, steps)
        with self._running(self._steps_at_once_after(callbacks, steps, "predict_function"), "predict_function"):
            return super().predict(x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks)

    def save(self, filepath: str | os.PathLike, overwrite: bool = True, **options: Any) -> None:
        """Save the model as a `.keras` file, as Keras' `save` does.

        Raises
        ------
        ValueError
            If the path ends in ``.h5`` or ``.hdf5``: Keras would write such a file, and could not read it.
        """
        if Path(filepath).suffix in (".h5", ".hdf5"):
            raise ValueError(
                f"{filepath} would be a file of the older HDF5 format, from which a {type(self).__name__} cannot be "
                "loaded: let the path end in .keras, or save the weights alone by save_weights('name.weights.h5')"
            )
        super().save(filepath, overwrite=overwrite, **options)


def _or_default(batch_size: int | None) -> int:
    return EVALUATION_BATCH if batch_size is None else batch_size
