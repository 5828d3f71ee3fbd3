"""A model with stand-ins in the place of its networks, for asking what it does with whatever they say."""

from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from vaecourse.models import VAE


class StandIn:
    """Answers in the place of a network, and keeps the first of its inputs and its output.

    Parameters
    ----------
    network : keras.Model
        Which is asked itself if there is no answer, and whose attributes the stand-in has.
    answer : array or tensor `(n, ...)`, optional
        What is said of each of n images, or of each z; where there are k·n, as with k samples of z for each image, it
        is said k times.

    Attributes
    ----------
    given, said : tensor or None
        The first input of the last call, and its output; None before there is a call.
    asked : list of tensors
        The first inputs of all calls.
    """

    def __init__(self, network: keras.Model, answer: Any = None) -> None:
        self.network, self.answer = network, answer
        self.given: tf.Tensor | None = None
        self.said: tf.Tensor | None = None
        self.asked: list[tf.Tensor] = []

    def __call__(self, inputs: Any, **options: Any) -> tf.Tensor:
        given = tf.nest.flatten(inputs)[0]
        if self.answer is None:
            said = self.network(inputs, **options)
        else:
            answer = tf.cast(tf.convert_to_tensor(self.answer), given.dtype)
            times = tf.shape(given)[0] // tf.shape(answer)[0]
            said = tf.tile(answer, tf.concat([[times], tf.ones(answer.shape.rank - 1, tf.int32)], 0))
        self.given, self.said = given, said
        self.asked.append(given)
        return said

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def with_networks(vae: VAE, **networks: Any) -> VAE:
    """Return a model that is the given one, but for some of its networks.

    The two share layers, variables and whatever else the model holds, but not the attributes themselves: the given
    model keeps its own networks, and other threads may use it meanwhile.  What is returned is for asking, and for
    nothing that changes a model: it cannot be trained, compiled or saved.

    Parameters
    ----------
    vae : VAE
    **networks : StandIn
        By the name of the attribute that holds the network, such as `encoder`.
    """
    return copied(vae, **networks)


def copied(model: keras.Model, **attributes: Any) -> Any:
    """Return an object of the class of a model that shares everything with it but the attributes that are given.

    Its methods see these; it is for asking, as :func:`with_networks` says.
    """
    other = object.__new__(type(model))  # past Keras, which would build anew, and keep a list of what is set
    kept = dict(vars(model))
    for name, value in kept.items():
        if isinstance(value, MethodType) and value.__self__ is model:  # it would ask the attributes of the given model
            kept[name] = MethodType(value.__func__, other)
    other.__dict__.update(kept | attributes)
    return other
