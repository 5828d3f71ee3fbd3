"""What VAEs that know labels have in common: how labels are checked, and how networks are told of them."""

from numbers import Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.models import likelihoods
from vaecourse.models.vae import VAE
from vaecourse.training import errors
from vaecourse.training.inputs import Array

tfd = tfp.distributions


class LabeledVAE(VAE):
    """VAE whose decoder is told a label, and whose encoder is, too, if it has a second input.

    A subclass says how many classes there are.  Labels `y` are integers `(batch,)`, or `(batch, 1)` as some data sets
    have them, or floats `(batch, classes)` that are probabilities.
    """

    lowest_label = 0

    def checked_labels(self, y: Any) -> Any:
        """Return labels `(batch,)` or probabilities, after refusing what names no class.

        Of a symbolic tensor only shape and dtype are known.

        Raises
        ------
        TypeError, ValueError
            If the labels are neither integers in their range nor probabilities of the classes.
        """
        if y is None:
            return None
        lowest, highest = self.lowest_label, self.classes - 1
        expected = f"expected integer labels (n,) from {lowest} to {highest}"
        if not hasattr(y, "dtype"):
            raise TypeError(f"{expected}, as an array; got {type(y).__name__}")
        dtype, shape = tf.as_dtype(y.dtype), tf.TensorShape(y.shape)
        concrete = isinstance(y, np.ndarray) or hasattr(y, "numpy")
        if not (dtype.is_floating or dtype.is_integer):
            kind = "strings" if dtype == tf.string else dtype.name
            raise TypeError(f"{expected}, got {kind}; np.unique(labels, return_inverse=True)[1] numbers any labels")
        if dtype.is_floating:
            if not shape[-1:].is_compatible_with((self.classes,)):
                raise ValueError(
                    f"{expected}, or probabilities (n, {self.classes}) as floats, got {dtype.name} {tuple(y.shape)}; "
                    "whole numbers must be integers: labels.astype(int)"
                )
            if concrete and not (np.min(y) >= 0 and np.allclose(np.sum(y, axis=-1), 1, atol=1e-3)):
                raise ValueError("expected probabilities that are not negative and add up to 1")
            return y
        if shape.rank == 2 and shape[1] == 1:
            y = y[:, 0]
        elif shape.rank == 2 and shape[1] == self.classes:
            raise ValueError(
                f"{expected}, got integers of shape {tuple(y.shape)}; of one-hot labels take np.argmax(labels, axis=-1)"
            )
        if concrete and (np.min(y) < lowest or np.max(y) > highest):
            raise ValueError(f"expected labels from {lowest} to {highest}, got {np.min(y)} to {np.max(y)}")
        return y

    def requirements(self, x: tf.Tensor, y: tf.Tensor | None) -> list[tf.Operation | None]:
        """Return the assertions on the values of images and labels, for compiled steps."""
        if y is None:
            return super().requirements(x, y)
        if tf.as_dtype(y.dtype).is_floating:
            right = tf.reduce_all(y >= 0) & tf.reduce_all(tf.abs(tf.reduce_sum(y, axis=-1) - 1) < 1e-3)
            sentence = "expected probabilities that are not negative and add up to 1"
            return [*super().requirements(x, y), errors.require(right, ValueError, sentence)]
        low, high = (tf.cast(end, tf.int32) for end in (tf.reduce_min(y), tf.reduce_max(y)))
        right = (low >= self.lowest_label) & (high < self.classes)
        sentence = f"expected labels from {self.lowest_label} to {self.classes - 1}, got {{}} to {{}}"
        return [*super().requirements(x, y), errors.require(right, ValueError, sentence, low, high)]

    def probabilities(self, y: Array) -> tf.Tensor:
        """Return labels as probabilities `(batch, classes)`: those of a label are 1 and 0."""
        if tf.as_dtype(y.dtype).is_floating:
            return tf.cast(y, self.variable_dtype)
        y = tf.cast(y, tf.int32)
        message = f"expected labels from 0 to {self.classes - 1}"
        low, high = tf.debugging.assert_non_negative(y, message), tf.debugging.assert_less(y, self.classes, message)
        with tf.control_dependencies([low, high]):
            return tf.one_hot(y, self.classes, dtype=self.variable_dtype)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _checked_examples(self, x: Any, y: Any = None) -> Any:
        examples = super()._checked_examples(x, y)
        self._labels_to_learn_from(y)
        return examples

    def _labels_to_learn_from(self, y: Any) -> Any:
        if y is None or (hasattr(y, "dtype") and tf.as_dtype(y.dtype).is_floating):
            raise ValueError(
                f"{type(self).__name__} learns from images and their labels: expected integer labels (n,), "
                f"got {'none' if y is None else tf.as_dtype(y.dtype).name}"
            )
        return y

    def _encoder_output(self, x: Array, y: Array | None, training: bool) -> tf.Tensor:
        if len(self.encoder.inputs) == 1:
            return super()._encoder_output(x, y, training)
        return self.encoder([tf.cast(x, self.variable_dtype), self.probabilities(y)], training=training)

    def _decoder_input(self, z: tf.Tensor, y: Array | None) -> tf.Tensor:
        if y is None:
            raise ValueError(f"{type(self).__name__} decodes latents of known digits: expected labels y")
        y = self.probabilities(y)
        return tf.concat([z, tf.broadcast_to(y, tf.concat([tf.shape(z)[:-1], [self.classes]], 0))], axis=-1)


class ClassifyingVAE(LabeledVAE):
    """VAE with a classifier π(y|x) beside encoder and decoder, and a weight for its cross-entropy in the loss."""

    _parts = ("encoder", "decoder", "classifier", "likelihood")
    _choices = (*VAE._choices, "classification_weight")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        classifier: keras.Model,
        likelihood: str | likelihoods.Likelihood = "gaussian",
        *,
        classification_weight: float = 10.0,
        **options: Any,
    ) -> None:
        if not (isinstance(classification_weight, Real) and np.isfinite(classification_weight)):
            raise ValueError(f"expected a finite classification_weight, got {classification_weight!r}")
        self.classifier: keras.Model = classifier  # which knows how many classes there are
        self.classification_weight: float = classification_weight
        super().__init__(encoder, decoder, likelihood, **options)

    @property
    def classes(self) -> int:
        """How many inputs of the decoder are not latents but say which digit to draw."""
        return self.classifier.output_shape[-1]

    def classify(self, x: Array) -> tfp.distributions.Categorical:
        """Return π(y|x): which digit the classifier takes each image for."""
        return tfd.Categorical(logits=self.logits(self.checked(x)))

    def logits(self, x: Array, training: bool = False) -> tf.Tensor:
        """Return what the classifier makes of images, `(batch, classes)`."""
        return tf.cast(self.classifier(x, training=training), self.variable_dtype)


def cross_entropy(y: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return −log π(y|x) of integer labels `(batch,)`, in nats."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(y, tf.int32), logits=logits)
