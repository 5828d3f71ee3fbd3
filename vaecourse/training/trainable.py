"""Keras' `fit`, `evaluate` and `predict` for all models here, with checks, explicit randomness and metrics in nats."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from vaecourse import data
from vaecourse.training import optimizers, resume

EVALUATION_BATCH = 500

STEPS_PER_EXECUTION = 20


class Trainable(keras.Model):
    """What every model of the course does with Keras, whatever its objective is.

    A model provides `checked` and `checked_labels`, which refuse bad input; `noise`, a function of seed and optimizer
    step; and `losses`, whose first entry, averaged over images, is what `fit` minimizes.  The others are metrics.
    """

    measured: tuple[str, ...] = ("loss",)
    """Names of the metrics: the keys of `losses`."""

    def losses(self, x, y, eps: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Return `measured` per image, each `(batch,)`, in nats."""
        raise NotImplementedError

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """Compile with an optimizer; the objective is the model's own, so `loss` must be None.

        The name ``"adam"`` stands for :class:`vaecourse.training.Adam`.  Further options are those of Keras.  Unless
        `steps_per_execution` says otherwise, :meth:`fit` runs 20 steps between two looks at the callbacks, and one
        where a callback listens to batches, or the training has fewer than 200 steps.
        """
        if loss is not None:
            raise ValueError("a VAE has its objective built in; choose a likelihood, kl and beta instead of a loss")
        super().compile(optimizer=optimizers.Adam() if optimizer == "adam" else optimizer, **kwargs)
        self._steps_per_execution_asked = self.steps_per_execution
        self.optimizer.build(self.trainable_variables)  # or a first `fit` that fails would leave it unbuildable

    def compile_from_config(self, config):
        """Compile as the saved model was; Keras asks for this wherever `compile` is overridden."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *,
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        validation_batch_size=None,
        **kwargs,
    ):
        """Train as Keras' `fit` does: progress bar, callbacks, validation, history.

        Parameters
        ----------
        x : array of images, or anything else that Keras trains on
            An array is checked, held as one tensor and shuffled anew every epoch, by `seed` and optimizer step.
        y : array of labels
            For models that know digits; None for a :class:`~vaecourse.models.VAE`, which learns from images alone.
        batch_size : int
            32 by default.
        validation_data : array of images, (images, labels), or a `tf.data.Dataset`
        epochs, callbacks, validation_split, shuffle, validation_batch_size, **kwargs
            As Keras' own; `callbacks` is a list.

        Raises
        ------
        TypeError, ValueError
            If the images cannot be trained on: see :meth:`encode`.
        FloatingPointError
            If the loss of a step is not finite.  The weights are those of the step before.
        """
        if kwargs.get("sample_weight") is not None or kwargs.get("class_weight") is not None:
            raise ValueError("a VAE learns from images alone: sample_weight and class_weight must be None")
        if not self.compiled:
            raise ValueError("compile the model before fitting it: vae.compile(keras.optimizers.Adam(1e-3))")
        examples = x
        if _is_array(x):
            examples = self._checked_examples(x, y)
        elif y is not None:
            raise ValueError("a data set brings its own labels: y must be None")
        if validation_split and validation_data is None:
            if not (_is_array(x) and 0 < validation_split < 1):
                raise ValueError("validation_split sets aside a share between 0 and 1 of an array of images")
            kept = int(len(x) * (1 - validation_split))
            validation_data = tf.nest.map_structure(lambda array: array[kept:], examples)
            examples = tf.nest.map_structure(lambda array: array[:kept], examples)
        if _is_array(validation_data) or isinstance(validation_data, tuple | list):
            held_out = self._checked_examples(*_unpack(validation_data))
            validation_data = data.batches(held_out, validation_batch_size or EVALUATION_BATCH)
        if _is_array(x):
            epoch_start = resume.EpochStart()
            seed = self.seed if shuffle else None
            x = data.batches(examples, 32 if batch_size is None else batch_size, seed, epoch_start.step)
            x = x.take(kwargs.pop("steps_per_epoch", None) or -1)
            callbacks = [epoch_start, *(callbacks or ())]
            batch_size = None
        steps = epochs * int(x.cardinality()) if isinstance(x, tf.data.Dataset) else -1
        self._choose_steps_per_execution(callbacks, steps, kwargs.get("steps_per_epoch") is not None)
        try:
            kwargs |= {"epochs": epochs, "callbacks": callbacks, "validation_data": validation_data}
            shuffle = shuffle and not isinstance(x, tf.data.Dataset)  # which Keras would only warn about
            return super().fit(x, batch_size=batch_size, shuffle=shuffle, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            if _NOT_FINITE not in str(error):
                raise
            raise FloatingPointError(
                f"the loss is not finite at optimizer step {int(self.optimizer.iterations)}; the weights are those "
                "before that step. Lower the learning rate, and look at the scale of the images and the log-variances"
            ) from None

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """Return the metrics on images, as Keras' `evaluate` does; every image weighs the same.

        The noise depends on the seed and on how many images came before, so a second call gives the same numbers.
        """
        if _is_array(x):
            x, batch_size = data.batches(self._checked_examples(x, y), batch_size or EVALUATION_BATCH), None
        elif y is not None:
            raise ValueError("a data set brings its own labels: y must be None")
        return super().evaluate(x, batch_size=batch_size, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Return what calling the model on images returns, as an array, as Keras' `predict` does."""
        return super().predict(self.checked(x) if _is_array(x) else x, *args, **kwargs)

    def train_step(self, batch):
        x, y = _unpack(batch)
        with tf.GradientTape() as tape:
            losses = self.losses(x, self.checked_labels(y), self.noise(tf.shape(x)[0], self.optimizer.iterations))
            loss = tf.reduce_mean(losses["loss"])
            scaled_loss = self.optimizer.scale_loss(loss)
        with tf.control_dependencies([tf.debugging.Assert(tf.math.is_finite(loss), [_NOT_FINITE])]):
            gradients = tape.gradient(scaled_loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self._update_metrics(losses)

    def test_step(self, batch):
        x, y = _unpack(batch)
        seen = tf.cast(self._means["loss"].count, tf.int32)
        shape = (self.samples, tf.shape(x)[0], self.latent_dim)
        eps = tf.random.stateless_normal(shape, tf.stack([-1 - self.seed, seen]), dtype=self.variable_dtype)
        return self._update_metrics(self.losses(x, self.checked_labels(y), eps))

    @property
    def metrics(self):
        return list(self._means.values())

    def _choose_steps_per_execution(self, callbacks, steps: int, cut_short: bool) -> None:
        """Run many steps between two looks at the callbacks, unless the user or a callback wants otherwise.

        An execution does not stop at the end of an epoch that is cut short; and TensorFlow warns where a function is
        compiled for a few calls only, as in a short training.  `steps` is negative where it is not known.
        """
        chosen = self._steps_per_execution_asked
        listened_to = any(map(resume.listens_to_batches, callbacks or ()))
        short = 0 <= steps < 10 * STEPS_PER_EXECUTION
        if chosen == 1 and not (self.run_eagerly or cut_short or short or listened_to):
            chosen = STEPS_PER_EXECUTION
        if chosen != self.steps_per_execution:
            self.steps_per_execution = chosen
            self.train_function = self.test_function = self.predict_function = None  # compiled for another number

    def _measure(self) -> None:
        self._means = {name: keras.metrics.Mean(name) for name in self.measured}

    def _checked_examples(self, x, y=None):
        """Return images, or images and labels, after refusing what cannot be trained on."""
        x, y = self.checked(x), self.checked_labels(y)
        return x if y is None else (x, y)

    def _update_metrics(self, losses: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, per_image in losses.items():
            self._means[name].update_state(per_image)
        return {name: mean.result() for name, mean in self._means.items()}


_NOT_FINITE = "the loss is not finite"


def _is_array(x) -> bool:
    return isinstance(x, np.ndarray | tf.Tensor)


def _unpack(batch):
    """Return images and labels of `x`, `(x,)` or `(x, y)`; labels may be None."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)
    if sample_weight is not None:
        raise ValueError("a VAE learns from images alone: every image weighs the same")
    return x, y
