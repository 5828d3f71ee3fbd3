"""One step of training, evaluation or prediction: what all models here compute on a batch."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from vaecourse.training import errors, inputs, replicas, resume, unsupported


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
    image_shape: tuple[int, ...] = ()

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
        part, batch = replicas.part_of(self, batch)
        x, y = self._examples(batch)
        with tf.GradientTape() as tape:
            eps = part.noise(lambda images: self.noise(images, resume.batches_seen(self.optimizer)), x)
            measured = self._with_penalties(self.objective(x, y, eps, training=True))
            loss = part.mean(measured["loss"])
            scaled_loss = self.optimizer.scale_loss(loss)
        weights = self.trainable_variables
        if not weights:  # Keras goes on likewise
            warnings.warn("The model does not have any trainable weights: it is evaluated, not trained.", stacklevel=2)
            return self._update_metrics(measured, part)
        sentence = (
            "the loss is not finite at optimizer step {}; the weights are those before that step. Lower the learning "
            "rate, and look at the scale of the images and the log-variances"
        )
        step = tf.convert_to_tensor(self.optimizer.iterations)
        finite = errors.require(tf.math.is_finite(part.total(loss)), FloatingPointError, sentence, step)
        with tf.control_dependencies([finite]):
            gradients = _all(tape.gradient(scaled_loss, weights))
            gradients = part.handed_over(gradients, self.optimizer)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return self._update_metrics(measured, part)

    def test_step(self, batch: Any) -> dict[str, tf.Tensor]:
        part, batch = replicas.part_of(self, batch)
        x, y = self._examples(batch)
        seen = part.total(tf.convert_to_tensor(self._means["loss"].count))
        seed = tf.stack([-1 - self.seed, tf.cast(seen, tf.int32)])

        def drawn(images: tf.Tensor) -> tf.Tensor:
            return tf.random.stateless_normal((self.samples, images, self.latent_dim), seed, dtype=self.variable_dtype)

        return self._update_metrics(self._with_penalties(self.objective(x, y, part.noise(drawn, x))), part)

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
        unsupported.refuse_penalties(self)
        penalty = tf.add_n(penalties)
        return {**measured, "loss": measured["loss"] + penalty}

    def _update_metrics(self, measured: Mapping[str, tf.Tensor], part: replicas.Whole) -> dict[str, tf.Tensor]:
        for name, per_image in measured.items():
            self._means[name].update_state(per_image, part.weights)
        return part.results(self._means)


def _all(gradients: Sequence) -> Sequence:
    """Return gradients none of which can be used before all are computed.

    A weight that is updated while other gradients still read it would first be copied.
    """
    computed = [part for part in tf.nest.flatten(gradients, expand_composites=True) if part is not None]
    with tf.control_dependencies(computed):
        return [None if gradient is None else tf.identity(gradient) for gradient in gradients]
