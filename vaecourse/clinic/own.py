r"""A model that is not of this course, as what the tools of this package need: functions of arrays.

A hand-written Keras model goes through :func:`from_keras`, whatever else through :func:`from_callables`.  Of a PyTorch
module these are three lines, of which nothing here imports anything::

    encode = lambda x: [t.detach().numpy() for t in net.encode(torch.from_numpy(x))]
    decode = lambda z: net.decode(torch.from_numpy(z)).detach().numpy()
    loss = lambda x: net.loss(torch.from_numpy(x)).detach().numpy()
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.clinic import divergences, rehearsals

READINGS = tuple(divergences.READINGS)
"""What the second thing that an encoder says of a posterior may be."""

_CHUNK = 10_000  # images in one rehearsal, where more are asked about


@dataclass(frozen=True)
class OwnModel:
    """A model as functions from arrays to arrays, float32 in, whatever NumPy can read out.

    Attributes
    ----------
    encode : callable
        ``encode(x)`` returns (mean, second) of q(z|x), each `(n, d)`; see `reading`.
    decode : callable
        ``decode(z)`` of `(n, d)` returns what the decoder ends in, of the size of the images.
    loss : callable
        ``loss(x)`` is what training minimizes: a number, or one for each image.  It may draw inside.
    loss_of_parts : callable, optional
        ``loss_of_parts(x, output, mean, second)``, or with a fifth argument `eps`: the same loss, of what the networks
        said.  With it the weights of the two terms can be read off exactly, without it they are estimated.
    sampler : callable, optional
        ``sampler(mean, second)`` that draws z by itself, or ``sampler(mean, second, eps)``.
    reading : str, optional
        One of :data:`READINGS`, where the author says what `second` is; None lets the loss and the sampler say it.
    name : str
        What reports call the model.

    Raises
    ------
    TypeError
        If one of the functions cannot be called.
    ValueError
        If the reading is none of these.
    """

    encode: Callable
    decode: Callable
    loss: Callable
    loss_of_parts: Callable | None = None
    sampler: Callable | None = None
    reading: str | None = None
    name: str = "OwnModel"

    def __post_init__(self) -> None:
        for part in ("encode", "decode", "loss", "loss_of_parts", "sampler"):
            value = getattr(self, part)
            optional = part in ("loss_of_parts", "sampler")
            if not (callable(value) or (optional and value is None)):
                raise TypeError(
                    f"expected a function for {part}, got {type(value).__name__}; a keras.Model goes through "
                    "vaecourse.clinic.own.from_keras"
                )
        if self.reading is not None and self.reading not in READINGS:
            raise ValueError(f"expected one of {', '.join(READINGS)} for reading, got {self.reading!r}")

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and second of q(z|x), each `(n, d)`.

        Raises
        ------
        TypeError, ValueError
            If `encode` returns no two arrays of that shape.
        """
        said = self.encode(x)
        if not isinstance(said, tuple | list) or len(said) != 2:
            got = f"{len(said)} things" if isinstance(said, tuple | list) else type(said).__name__
            raise TypeError(f"expected an encode that returns (mean, logvar), got {got}; leave out what is drawn")
        mean, second = (np.asarray(part, np.float32) for part in said)
        if mean.ndim != 2 or mean.shape != second.shape or len(mean) != len(x):
            raise ValueError(f"expected mean and logvar (n, d) of {len(x)} images, got {mean.shape}, {second.shape}")
        return mean, second

    def decoded(self, z: np.ndarray) -> np.ndarray:
        """Return what the decoder ends in, one entry per latent vector."""
        output = np.asarray(self.decode(np.asarray(z, np.float32)), np.float32)
        if output.shape[:1] != (len(z),):
            raise ValueError(f"expected a decode that returns an output for each of {len(z)}, got {output.shape}")
        return output

    def losses(self, x: np.ndarray) -> np.ndarray:
        """Return the loss on images: `()`, or `(n,)`.

        Raises
        ------
        TypeError, ValueError
            If it is no number, or neither one number nor one for each image.
        """
        value = np.asarray(self.loss(x))
        if value.dtype.kind not in "fiu":
            raise TypeError(f"expected a loss that returns a number, got {value.dtype}")
        if value.shape not in ((), (1,), (len(x),)):
            raise ValueError(f"expected a loss of shape () or ({len(x)},), got {value.shape}")
        return value.astype(float) if value.shape == (len(x),) else value.astype(float).reshape(())


def from_callables(
    encode: Callable,
    decode: Callable,
    loss: Callable,
    *,
    loss_of_parts: Callable | None = None,
    sampler: Callable | None = None,
    reading: str | None = None,
    name: str = "OwnModel",
) -> OwnModel:
    """Return a model of functions of arrays: :class:`OwnModel` says which."""
    return OwnModel(encode, decode, loss, loss_of_parts, sampler, reading, name)


def from_keras(
    model: keras.Model, *, reading: str | None = None, batch: Callable[[tf.Tensor], Any] = lambda x: x
) -> OwnModel:
    """Return a hand-written Keras model as functions of arrays, its loss taken from its own training step.

    That is the model of the tutorials of Keras and of :cite:t:`chollet2021`: a subclass of `keras.Model` with an
    `encoder` that returns mean and log-variance, and maybe z after them, with a `decoder`, and with a `train_step` or a
    `compute_loss`.  The step is gone through on stand-ins, as :mod:`vaecourse.clinic.rehearsals` describes it: model,
    metrics and optimizer stay as they are.

    Parameters
    ----------
    model : keras.Model
        Trained or not, compiled or not.
    reading : str, optional
        As for :class:`OwnModel`.
    batch : callable
        What `train_step` is given for images: ``lambda x: (x, x)`` where `fit` was called so.

    Raises
    ------
    TypeError
        If the model has no encoder and decoder, the encoder returns something else, or no loss can be found.
    """
    networks = [getattr(model, name, None) for name in ("encoder", "decoder")]
    if not isinstance(model, keras.Model) or not all(map(callable, networks)):
        raise TypeError(
            f"expected a keras.Model with the attributes encoder and decoder, got {type(model).__name__}: hand encode, "
            "decode and loss to vaecourse.clinic.own.from_callables"
        )
    rehearsals.step_of(model)  # refuses a model without a loss of its own
    return _Adapted(model, batch).as_own(reading)


class _Adapted:
    """What stands between a Keras model and functions of arrays."""

    def __init__(self, model: keras.Model, batch: Callable) -> None:
        self.model, self.batch, self.outputs = model, batch, 0
        eager = getattr(model, "run_eagerly", False)
        parts = self._loss_of_parts  # compiled as Keras compiles a step, without AutoGraph
        self._compiled = parts if eager else tf.function(parts, autograph=False)

    def as_own(self, reading: str | None) -> OwnModel:
        names = ("encode", "decode", "loss", "loss_of_parts", "sampler")
        functions = {name: self._leaving_all_as_it_was(getattr(self, name)) for name in names}
        return OwnModel(**functions, reading=reading, name=type(self.model).__name__)

    def _leaving_all_as_it_was(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapped(*arrays: np.ndarray) -> Any:
            with rehearsals.unchanged(self.model, self.model.encoder, self.model.decoder):
                return function(*(tf.convert_to_tensor(array, tf.float32) for array in arrays))

        return wrapped

    def encode(self, x: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        said = self.model.encoder(x, training=False)
        if isinstance(said, dict) or not isinstance(said, tuple | list):
            said = list(said.values()) if isinstance(said, dict) else tf.split(said, 2, axis=-1)
        self.outputs = len(said)
        if len(said) not in (2, 3):
            raise TypeError(f"expected an encoder that returns mean, log-variance and maybe z, got {len(said)} outputs")
        return np.asarray(said[0]), np.asarray(said[1])

    def decode(self, z: tf.Tensor) -> np.ndarray:
        return np.asarray(self.model.decoder(z, training=False))

    def loss(self, x: tf.Tensor) -> np.ndarray:
        return np.asarray(rehearsals.loss_of(*rehearsals.step_of(self.model), self.batch(x)))

    def loss_of_parts(self, x: tf.Tensor, output: tf.Tensor, mean: tf.Tensor, second: tf.Tensor) -> np.ndarray:
        if not self.outputs:
            self.encode(x[:1])
        return np.asarray(self._compiled(x, output, mean, second))

    def _loss_of_parts(self, x: tf.Tensor, output: tf.Tensor, mean: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        said = self._said(x, mean, second)
        stand_ins = {"encoder": lambda *_, **__: said, "decoder": lambda *_, **__: output}
        return rehearsals.loss_of(*rehearsals.step_of(self.model, **stand_ins), self.batch(x))

    def sampler(self, mean: tf.Tensor, second: tf.Tensor) -> np.ndarray:
        drawn = [
            self._drawn(mean[start : start + _CHUNK], second[start : start + _CHUNK])
            for start in range(0, len(mean), _CHUNK)
        ]
        return np.concatenate(drawn)

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
            drawing = self.model.encoder
            return [mean, second, self._from_mean_and_second(drawing)([mean, second])]
        one = not isinstance(getattr(self.model.encoder, "output", [0, 0]), tuple | list)
        return tf.concat([mean, second], axis=-1) if one else [mean, second]

    def _from_mean_and_second(self, encoder: keras.Model) -> keras.Model:
        if not hasattr(self, "_sampling"):
            mean, second, z = encoder.outputs
            self._sampling = keras.Model([mean, second], z)
        return self._sampling
