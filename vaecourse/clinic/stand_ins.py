"""A model with stand-ins in the place of its networks, for asking what it does with whatever they say."""

from types import MethodType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.models import VAE


class StandIn:
    """Answers in the place of a network, and keeps the first of its inputs and its output.

    Parameters
    ----------
    network : keras.Model
        Which is asked itself if there is no answer, and whose attributes the stand-in has.
    answer : array, optional
        What is said of every image, or of every z.

    Attributes
    ----------
    given, said : tensor or None
        The first input of the last call, and its output; None before there is a call.
    """

    def __init__(self, network: keras.Model, answer: np.ndarray | None = None) -> None:
        self.network, self.answer = network, answer
        self.given: tf.Tensor | None = None
        self.said: tf.Tensor | None = None

    def __call__(self, inputs: Any, **options: Any) -> tf.Tensor:
        given = tf.nest.flatten(inputs)[0]
        if self.answer is None:
            said = self.network(inputs, **options)
        else:
            said = tf.repeat(tf.constant(self.answer, given.dtype)[tf.newaxis], len(given), axis=0)
        self.given, self.said = given, said
        return said

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def with_networks(vae: VAE, **networks: StandIn) -> VAE:
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
