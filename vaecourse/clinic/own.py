r"""A model that is not of this course, as what the tools of this package need: functions of arrays.

A hand-written Keras model goes through :func:`from_keras`, whatever else through :func:`from_callables`.  Of a PyTorch
module these are three lines, of which nothing here imports anything::

    encode = lambda x: [t.detach().numpy() for t in net.encode(torch.from_numpy(x))]
    decode = lambda z: net.decode(torch.from_numpy(z)).detach().numpy()
    loss = lambda x: net.loss(torch.from_numpy(x)).detach().numpy()
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.clinic import divergences, rehearsals
from vaecourse.clinic.adapted import AdaptedModel

READINGS = tuple(divergences.READINGS)
"""What the second thing that an encoder says of a posterior may be."""


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
    gradients : callable, optional
        ``gradients(x)`` returns what arrives on each of :data:`vaecourse.clinic.paths.PATHS`; of a Keras model it is
        found by itself.

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
    gradients: Callable | None = None

    def __post_init__(self) -> None:
        for part in ("encode", "decode", "loss", "loss_of_parts", "sampler", "gradients"):
            value = getattr(self, part)
            if not callable(value) and (value is not None or part in ("encode", "decode", "loss")):
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
        return value.astype(float).reshape(value.shape if value.shape == (len(x),) else ())


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

    As in the tutorials of Keras and in :cite:t:`chollet2021`, it has an `encoder` that returns mean and log-variance,
    and maybe z after them, a `decoder`, and a `train_step` or a `compute_loss`.  The step is rehearsed
    (:mod:`vaecourse.clinic.rehearsals`), which leaves the model as it is.

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
    return OwnModel(**AdaptedModel(model, batch).functions(), reading=reading, name=type(model).__name__)
