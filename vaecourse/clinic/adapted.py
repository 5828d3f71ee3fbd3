"""A hand-written Keras model, answering as functions of arrays: networks, loss, sampler, gradients.

Nothing of it is trained or changed: its own training step is rehearsed (:mod:`vaecourse.clinic.rehearsals`).
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.clinic import paths, rehearsals

_CHUNK = 10_000  # images in one rehearsal, where more are asked about


class AdaptedModel:
    """A Keras model with an encoder, a decoder and a training step of its own, as functions of arrays.

    Parameters
    ----------
    model : keras.Model
    batch : callable
        What the training step is given for images.
    """

    def __init__(self, model: keras.Model, batch: Callable) -> None:
        self.model, self.batch, self.outputs, self.calls = model, batch, 0, 0
        eager = getattr(model, "run_eagerly", False)
        parts = self._loss_of_parts  # compiled as Keras compiles a step, without AutoGraph
        self._compiled = parts if eager else tf.function(parts, autograph=False)
        self._whole = self._loss if eager else tf.function(self._loss, autograph=False)

    def functions(self) -> dict[str, Callable]:
        """Return the functions by their names, each of which leaves the model as it was."""
        names = ("encode", "decode", "loss", "loss_of_parts", "sampler", "gradients")
        return {name: self._leaving_all_as_it_was(getattr(self, name)) for name in names}

    def _leaving_all_as_it_was(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*arrays: np.ndarray) -> Any:
            self.calls += 1
            with rehearsals.unchanged(self.model, self.model.encoder, self.model.decoder, call=self.calls):
                return function(*(tf.convert_to_tensor(array, tf.float32) for array in arrays))

        return wrapped

    def encode(self, x: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and second of the posterior, without what is drawn.

        Raises
        ------
        TypeError
            If the encoder returns neither two nor three things.
        """
        mean, second = self._encoded(x)
        return np.asarray(mean), np.asarray(second)

    def _encoded(self, x: tf.Tensor) -> list[tf.Tensor]:
        said = self.model.encoder(x, training=False)
        if isinstance(said, dict) or not isinstance(said, tuple | list):
            said = list(said.values()) if isinstance(said, dict) else tf.split(said, 2, axis=-1)
        self.outputs = len(said)
        if len(said) not in (2, 3):
            raise TypeError(f"expected an encoder that returns mean, log-variance and maybe z, got {len(said)} outputs")
        return list(said[:2])

    def decode(self, z: tf.Tensor) -> np.ndarray:
        """Return what the decoder ends in."""
        return np.asarray(self.model.decoder(z, training=False))

    def loss(self, x: tf.Tensor) -> np.ndarray:
        """Return what a training step minimizes on these images."""
        return np.asarray(self._whole(x))

    def _loss(self, x: tf.Tensor) -> tf.Tensor:
        return rehearsals.loss_of(*rehearsals.step_of(self.model), self.batch(x))

    def loss_of_parts(self, x: tf.Tensor, output: tf.Tensor, mean: tf.Tensor, second: tf.Tensor) -> np.ndarray:
        """Return what it would minimize if the networks said this."""
        if not self.outputs:
            self.encode(x[:1])
        return np.asarray(self._compiled(x, output, mean, second))

    def _loss_of_parts(self, x: tf.Tensor, output: tf.Tensor, mean: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        said = self._said(x, mean, second)
        stand_ins = {"encoder": lambda *_, **__: said, "decoder": lambda *_, **__: output}
        return rehearsals.loss_of(*rehearsals.step_of(self.model, **stand_ins), self.batch(x))

    def gradients(self, x: tf.Tensor) -> dict[str, str]:
        """Return what arrives at encoder and decoder, of each term: see :func:`vaecourse.clinic.paths.gradients`."""

        def loss(said: list[tf.Tensor], decoder: paths.Network) -> tf.Tensor:
            stand_ins = {"encoder": lambda *_, **__: self._said(x, *said), "decoder": decoder}
            return tf.reduce_mean(rehearsals.loss_of(*rehearsals.step_of(self.model, **stand_ins), self.batch(x)))

        weights = (self.model.encoder.trainable_weights, self.model.decoder.trainable_weights)
        return paths.gradients(paths.Rehearsal(loss, lambda: self._encoded(x), self.model.decoder, weights))

    def sampler(self, mean: tf.Tensor, second: tf.Tensor) -> np.ndarray:
        """Return z as the model draws it.

        Raises
        ------
        TypeError
            If neither the encoder draws nor the training step hands anything to the decoder.
        """
        starts = range(0, len(mean), _CHUNK)
        return np.concatenate([self._drawn(mean[i : i + _CHUNK], second[i : i + _CHUNK]) for i in starts])

    def _drawn(self, mean: tf.Tensor, second: tf.Tensor) -> np.ndarray:
        x = tf.zeros((len(mean), *self.model.encoder.input_shape[1:]))
        said = self._said(x, mean, second)
        if self.outputs == 3:
            return np.asarray(said[2])

        def reached(z: Any, *_: Any, **__: Any) -> None:
            raise rehearsals.Reached(z)

        step, _ = rehearsals.step_of(self.model, encoder=lambda *_, **__: said, decoder=reached)
        try:
            step(self.batch(x))
        except rehearsals.Reached as end:
            return np.asarray(end.z)
        raise TypeError("the training step does not call the decoder")

    def _said(self, x: tf.Tensor, mean: tf.Tensor, second: tf.Tensor) -> Any:
        """Return what an encoder would that says this mean and this second, in the form of the model's own."""
        if not self.outputs:
            self.encode(x[:1])
        if self.outputs == 3:
            return [mean, second, self._sampling([mean, second])]
        several = isinstance(getattr(self.model.encoder, "output", [0, 0]), tuple | list)
        return [mean, second] if several else tf.concat([mean, second], axis=-1)

    @functools.cached_property
    def _sampling(self) -> keras.Model:
        mean, second, z = self.model.encoder.outputs
        return keras.Model([mean, second], z)
