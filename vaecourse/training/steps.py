"""One step of training, evaluation or prediction: what all models here compute on a batch."""

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from vaecourse.training import errors, inputs, resume


class Steps(keras.Model):
    """A model whose loss is an objective of its own, measured image by image.

    A model provides `checked` and `checked_labels`, which refuse images and labels by what is known of them before
    they are there; `requirements`, which refuse them by their values; `noise`, a function of the seed and of the number
    of batches before; and `objective`, whose first entry, averaged over images, is minimized.  The other entries are
    metrics.
    """

    measured: tuple[str, ...] = ("loss",)
    """Names of the metrics: the keys of :meth:`objective`."""
    samples = 1
    seed = 0
    latent_dim = 1

    def checked(self, x: Any) -> Any:
        """Return images after refusing what the model cannot be asked about."""
        raise NotImplementedError

    def checked_labels(self, y: Any) -> Any:
        """Return labels after refusing what the model cannot use."""
        raise NotImplementedError

    def requirements(self, x: tf.Tensor, y: tf.Tensor | None) -> list[tf.Operation | None]:
        """Return the assertions on the values of a batch that a compiled step makes."""
        raise NotImplementedError

    def noise(self, batch: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
        """Return the noise of a step."""
        raise NotImplementedError

    def objective(
        self, x: inputs.Array, y: inputs.Array | None, eps: tf.Tensor, training: bool = False
    ) -> Mapping[str, tf.Tensor]:
        """Return `measured` per image, each `(batch,)`, in nats."""
        raise NotImplementedError

    def train_step(self, batch: Any) -> dict[str, tf.Tensor]:
        x, y = self._examples(batch)
        with tf.GradientTape() as tape:
            eps = self.noise(tf.shape(x)[0], resume.batches_seen(self.optimizer))
            measured = self._with_penalties(self.objective(x, y, eps, training=True))
            loss = tf.reduce_mean(measured["loss"])
            scaled_loss = self.optimizer.scale_loss(loss)
        weights = self.trainable_variables
        if not weights:  # Keras goes on likewise
            warnings.warn("The model does not have any trainable weights: it is evaluated, not trained.", stacklevel=2)
            return self._update_metrics(measured)
        sentence = (
            "the loss is not finite at optimizer step {}; the weights are those before that step. Lower the learning "
            "rate, and look at the scale of the images and the log-variances"
        )
        step = tf.convert_to_tensor(self.optimizer.iterations)
        finite = errors.require(tf.math.is_finite(loss), FloatingPointError, sentence, step)
        with tf.control_dependencies([finite]):
            gradients = tape.gradient(scaled_loss, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return self._update_metrics(measured)

    def test_step(self, batch: Any) -> dict[str, tf.Tensor]:
        x, y = self._examples(batch)
        seen = tf.cast(self._means["loss"].count, tf.int32)
        shape = (self.samples, tf.shape(x)[0], self.latent_dim)
        eps = tf.random.stateless_normal(shape, tf.stack([-1 - self.seed, seen]), dtype=self.variable_dtype)
        return self._update_metrics(self._with_penalties(self.objective(x, y, eps)))

    def predict_step(self, batch: Any) -> tf.Tensor:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        images, labels = x if isinstance(x, tuple | list) else (x, None)
        with tf.control_dependencies(self.requirements(self.checked(images), self.checked_labels(labels))):
            return self(tf.nest.map_structure(tf.identity, x), training=False)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._means.values())

    # --- inside ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Create what a step needs beside the networks."""
        self._means = {name: keras.metrics.Mean(name) for name in self.measured}
        self._compiled_for: dict[str, int] = {}

    def _examples(self, batch: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return images and labels of a batch, which cannot be used before the requirements on them are met."""
        x, y = inputs.unpack(batch)
        x, y = self.checked(x), self.checked_labels(y)
        with tf.control_dependencies(self.requirements(x, y)):
            return tf.identity(x), None if y is None else tf.identity(y)

    def _with_penalties(self, measured: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """Add to the loss what regularizers and `add_loss` of the networks ask for; Keras collects it as `losses`."""
        penalties = [tf.cast(penalty, self.variable_dtype) for penalty in self.losses]  # computed anew at every look
        if not penalties:
            return measured
        penalty = tf.add_n(penalties)
        return {**measured, "loss": measured["loss"] + penalty}

    def _update_metrics(self, measured: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, per_image in measured.items():
            self._means[name].update_state(per_image)
        return {name: mean.result() for name, mean in self._means.items()}
