"""The training step of a hand-written Keras model, gone through without training it.

A program that overrides `train_step` or `compute_loss` says what it minimizes nowhere else.  Here a copy of the model,
which shares layers and weights with it, goes through its own step: its optimizers do nothing, its metrics keep the last
value only, and stand-ins may answer in the place of its networks.  What a layer changes by itself, such as moving
averages and the states of random generators, is put back afterwards.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.clinic.stand_ins import copied

_LOSSES = ("train_step", "compute_loss")
_TOTALS = ("loss", "total_loss")


class Idle:
    """An optimizer that does nothing, and keeps what it is given.

    Attributes
    ----------
    gradients : list
        Pairs of a gradient, which may be None, and a variable.
    losses : list
        What was scaled, or was to be minimized.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer | None = None) -> None:
        self.optimizer, self.losses = optimizer, list[Any]()
        self.gradients = list[tuple[Any, Any]]()
        self.iterations = tf.constant(0, tf.int64)

    def apply_gradients(self, grads_and_vars: Any, **_options: Any) -> None:
        """Keep the gradients."""
        self.gradients += list(grads_and_vars)

    def apply(self, grads: Any, trainable_variables: Any = ()) -> None:
        """Keep the gradients."""
        self.gradients += list(zip(grads, trainable_variables, strict=False))

    def minimize(self, loss: Any, var_list: Any = None, tape: Any = None) -> None:
        """Keep the loss."""
        self.losses.append(loss() if callable(loss) else loss)

    def scale_loss(self, loss: Any) -> Any:
        """Keep the loss, and leave it as it is."""
        self.losses.append(loss)
        return loss

    def __getattr__(self, name: str) -> Any:
        return getattr(self.optimizer, name)


class LastValue:
    """A metric whose result is the mean of what it was told last."""

    def __init__(self, name: str) -> None:
        self.name, self.value = name, tf.constant(np.nan)
        self.variables: list = []

    def update_state(self, *values: Any, **_options: Any) -> None:
        """Take the first of the values, as a mean does."""
        self.value = tf.reduce_mean(tf.convert_to_tensor(values[0]))

    __call__ = update_state

    def result(self) -> tf.Tensor:
        """Return the mean of what came last."""
        return self.value

    def reset_state(self) -> None:
        """Change nothing."""


class Reached(Exception):
    """Carries the z that a decoder is handed out of a step that need not go on."""

    def __init__(self, z: Any) -> None:
        super().__init__()
        self.z = z


def step_of(model: keras.Model, **networks: Any) -> tuple[Callable[[Any], Any], Idle]:
    """Return the training step of a copy of a model, and the optimizer that looks on.

    Parameters
    ----------
    model : keras.Model
        It is left alone.
    **networks : callables
        Stand-ins, by the names of the attributes in whose place they are.

    Raises
    ------
    TypeError
        If the class overrides neither `train_step` nor `compute_loss`.
    """
    cls = type(model)
    overrides = [name for name in _LOSSES if getattr(cls, name) is not getattr(keras.Model, name)]
    if not overrides:
        raise TypeError(
            f"{cls.__name__} has neither a train_step nor a compute_loss of its own, so that its loss cannot be found: "
            "hand encode, decode and loss to vaecourse.clinic.own.from_callables"
        )
    idle = Idle()
    replaced: dict[str, Any] = {"_loss_tracker": LastValue("loss"), "optimizer": idle, "_optimizer": idle}
    for name, value in vars(model).items():
        if isinstance(value, keras.metrics.Metric):
            replaced[name] = LastValue(value.name)
        elif isinstance(value, keras.optimizers.Optimizer):
            replaced[name] = idle
    copy = copied(model, **(replaced | networks))
    if "compute_loss" in overrides:  # its value is what the step of Keras minimizes

        def compute_loss(*arguments: Any, **options: Any) -> Any:
            return idle.scale_loss(cls.compute_loss(copy, *arguments, **options))

        vars(copy)["compute_loss"] = compute_loss
    step = getattr(cls.train_step, "python_function", cls.train_step)  # of a compiled step, what was compiled
    return lambda batch: step(copy, batch), idle


def loss_of(step: Callable[[Any], Any], idle: Idle, batch: Any) -> tf.Tensor:
    """Go through a step, and return its loss: what its optimizer was to minimize, or else what it reports as such.

    Raises
    ------
    TypeError
        If the step neither hands a loss to its optimizer nor reports one as "loss" or "total_loss".
    """
    del idle.losses[:], idle.gradients[:]
    reported = step(batch)
    if idle.losses:
        return tf.convert_to_tensor(idle.losses[0])
    for name in _TOTALS:
        if isinstance(reported, dict) and name in reported:
            return tf.convert_to_tensor(reported[name])
    said = sorted(reported) if isinstance(reported, dict) else type(reported).__name__
    raise TypeError(
        f"expected a train_step that returns a dict with the total under 'loss', got {said}: hand encode, decode and "
        "loss to vaecourse.clinic.own.from_callables"
    )


@contextlib.contextmanager
def unchanged(*layers: Any, call: int = 0) -> Iterator[None]:
    """Put back what variables of layers that no optimizer changes, states of generators among them, were before.

    Within, generators are in a state that depends on the number of the call, so that no two calls draw alike.
    """
    found = {id(v): v for layer in layers for v in getattr(layer, "variables", [])}
    variables = [v for v in found.values() if not v.trainable]
    before = [v.numpy() for v in variables]
    for variable, value in zip(variables, before, strict=True):
        if variable.name == "seed_generator_state":  # of a keras.random.SeedGenerator: its seed, and a counter
            variable.assign(value + np.array([0, 1000 * call], value.dtype))
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            if not np.array_equal(variable, value, equal_nan=value.dtype.kind == "f"):
                variable.assign(value)
