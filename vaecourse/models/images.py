"""What a model of images refuses: images of another shape or type, pixels outside its likelihood, labels."""

from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from vaecourse.models.likelihoods import Likelihood
from vaecourse.training import Trainable, errors
from vaecourse.training.inputs import Array


class ImageModel(Trainable):
    """A model that knows the shape of its images and their likelihood, and is saved by its parts and choices."""

    image_shape: tuple[int, int, int]
    likelihood: Likelihood
    _parts: tuple[str, ...]
    _choices: tuple[str, ...]

    def checked(self, x: Any) -> Any:
        """Return images after refusing what the model cannot be asked about, as :meth:`encode` says.

        Of a symbolic tensor only shape and dtype are known.
        """
        if not hasattr(x, "dtype"):
            raise TypeError(f"expected an array of images, got {type(x).__name__}")
        expected = f"expected images of shape (n, {', '.join(map(str, self.image_shape))})"
        shape = tf.TensorShape(x.shape)  # of a data set it may be known in part, or not at all
        if not shape.is_compatible_with((None, *self.image_shape)) or (shape.rank and shape[0] == 0):
            raise ValueError(f"{expected}, n ≥ 1; got {tuple(x.shape)}")
        if not tf.as_dtype(x.dtype).is_floating:
            raise TypeError(
                f"expected float images, got {tf.as_dtype(x.dtype).name}; vaecourse.data.scale turns uint8 to grays"
            )
        if isinstance(x, np.ndarray) or hasattr(x, "numpy"):
            self.likelihood.check(np.asarray(x))
            return x
        if tf.is_symbolic_tensor(x) and not shape[1:].is_fully_defined():
            right = tf.reduce_all(tf.equal(tf.shape(x)[1:], self.image_shape))
            with tf.control_dependencies([errors.require(right, ValueError, f"{expected}, got others in a batch")]):
                x = tf.identity(x)
            x.set_shape((None, *self.image_shape))
        return x

    def get_config(self) -> dict[str, Any]:
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self._parts}
        return {**super().get_config(), **parts, **{name: getattr(self, name) for name in self._choices}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in cls._parts}
        return cls(**{**config, **parts})

    def requirements(self, x: tf.Tensor, y: tf.Tensor | None) -> list[tf.Operation | None]:
        """Return the assertions on the values of images and labels, for compiled steps."""
        return [self.likelihood.requirement(x)]

    def checked_labels(self, y: Any) -> Any:
        """Return labels after refusing what the model cannot use: any, in a model that learns from images alone."""
        if y is not None:
            raise ValueError(
                "a VAE learns from images alone: its y must be None, and a data set must be mapped to its images"
            )
        return None

    def beside_the_bound(self, x: Array, y: Array | None = None) -> tf.Tensor:
        """Return what the objective holds beside minus its bound, per image: 0, unless a classifier is trained, too."""
        return tf.zeros(len(x), self.variable_dtype)

    def _condition(self, x: Array, y: Array | None) -> Array | None:
        """Return what stands for labels that were not given."""
        return y

    def _build(self) -> None:
        self(tf.zeros((1, *self.image_shape)))  # BackupAndRestore and load_model ask for a model that is built


def sizes(encoder: keras.Model, decoder: keras.Model, classes: int = 0) -> tuple[int, tuple[int, int, int]]:
    """Return how many latents two networks have, and the shape of their images.

    Parameters
    ----------
    encoder, decoder : keras.Model
    classes : int
        How many inputs of the decoder are not latents but say which digit to draw.

    Raises
    ------
    ValueError
        If the shapes of the networks do not fit each other.
    """
    if len(encoder.outputs) != 1:
        raise ValueError(
            f"expected an encoder with one output, mean and log-variance side by side, got {len(encoder.outputs)}: put "
            "keras.layers.Concatenate()([mean, logvar]) at its end, and leave out what is drawn"
        )
    latent_dim = decoder.input_shape[-1] - classes
    if encoder.output_shape[-1] != 2 * latent_dim:
        raise ValueError(
            f"the encoder ends in {encoder.output_shape[-1]} numbers; a decoder of {latent_dim} "
            f"latents needs {2 * latent_dim}: their means and log-variances"
        )
    image_shape = decoder.output_shape[1:]
    if encoder.inputs[0].shape[1:] != image_shape:
        raise ValueError(
            f"the decoder returns images of shape {image_shape}, the encoder takes {encoder.inputs[0].shape[1:]}"
        )
    return latent_dim, image_shape
