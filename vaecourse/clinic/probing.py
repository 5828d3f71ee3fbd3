"""How a loss is probed: what it is called with, and the straight line that explains its answers.

A loss is called many times, each time at other images and outputs, or at other means and log-variances.  If it is the
negative log-likelihood of a family, its values lie on a straight line over the energy of that family; if it is a KL,
over the divergence.  Slope and intercept of this line are what an audit goes on with.

Probes are stacked along the first axis of an array, so that a stack has the shape `(probes, batch, ...)`.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import tensorflow_probability as tfp

tfd = tfp.distributions

_Name = TypeVar("_Name")

TOLERANCE = 1e-3
"""Share of the variation over the probes that a candidate may leave unexplained."""

PROBES = 24


def _sigmoid(output: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-output))


ENERGIES: dict[tuple[str, str], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    ("Bernoulli", "probability"): lambda x, o: -tfd.Bernoulli(probs=o, dtype=np.float64).log_prob(x).numpy(),
    ("Bernoulli", "logits"): lambda x, o: -tfd.Bernoulli(logits=o, dtype=np.float64).log_prob(x).numpy(),
    ("continuous Bernoulli", "probability"): lambda x, o: -tfd.ContinuousBernoulli(probs=o).log_prob(x).numpy(),
    ("continuous Bernoulli", "logits"): lambda x, o: -tfd.ContinuousBernoulli(logits=o).log_prob(x).numpy(),
    ("Gaussian", "mean"): lambda x, o: (x - o) ** 2,
    ("Gaussian", "sigmoid"): lambda x, o: (x - _sigmoid(o)) ** 2,
    ("Laplace", "mean"): lambda x, o: np.abs(x - o),
    ("Laplace", "sigmoid"): lambda x, o: np.abs(x - _sigmoid(o)),
}
"""The loss of a pixel at unit scale, without its normalizer, by family and by what the output is read as."""

DEVIATIONS: dict[str, Callable[[Any], Any]] = {
    "log σ²": lambda v: np.exp(v / 2),
    "log σ": np.exp,
    "σ": lambda v: v,
    "σ²": np.sqrt,
}
"""σ of the posterior, by what the fourth argument of the loss is read as."""


class Line(NamedTuple, Generic[_Name]):
    """What a candidate says the losses are: intercept + slope · feature, the feature being of that name."""

    name: _Name
    slope: float
    intercept: float


class Prober:
    """A loss, and the shapes that it is called with.

    Calling the prober with stacks for the first arguments of the loss returns the losses `(probes,)`; an argument for
    which there is no stack, or None, has one and the same value, which is legal however it is read.

    Parameters
    ----------
    loss : callable
        As :func:`vaecourse.clinic.audit.effective_objective` takes it.
    images : (batch, height, width, channels)
        Shape of the first two arguments.
    latents : (batch, d)
        Shape of the others.

    Raises
    ------
    TypeError
        If the loss returns no number.
    ValueError
        If it returns another shape, a value that is not finite, or another value at a second call.
    """

    def __init__(self, loss: Callable, images: tuple[int, ...], latents: tuple[int, ...]) -> None:
        self.loss, self.images, self.latents = loss, images, latents
        levels = ((images, 0.5), (images, 0.4), (latents, 0.0), (latents, 1.0))
        self.legal = [np.full((PROBES, *shape), level, np.float32) for shape, level in levels]
        self.noises: list[tuple[np.ndarray, ...]] = [()]
        if required_arguments(loss) > 4:
            self.noises = [(np.full(latents, sign, np.float32),) for sign in (1, -1)]
        losses = self()
        if np.std(losses) > rounding_error(losses):
            twice = f"{losses[0]:g} at one call and {losses[1]:g} at the next with the same arguments"
            raise ValueError(f"the loss is {twice}: it draws inside. Let it take its noise as a fifth argument, eps")

    def __call__(self, *stacks: np.ndarray | None, finite: bool = True) -> np.ndarray:
        filled = [legal if stack is None else stack for legal, stack in zip_longest(self.legal, stacks)]
        with np.errstate(all="ignore"):  # not finite is refused below, or an answer
            probes = zip(*filled, strict=True)
            losses = [[self._number(self.loss(*probe, *noise)) for noise in self.noises] for probe in probes]
        if finite and not np.isfinite(losses).all():
            where = "images and outputs between 0 and 1 and a positive fourth argument, legal however they are read"
            raise ValueError(f"the loss is not finite at {where}; does it take (x, output, mean, logvar)?")
        return np.mean(losses, axis=1)

    def _number(self, value: Any) -> float:
        number = np.asarray(value)
        if number.dtype.kind not in "fiu":
            raise TypeError(f"expected a loss that returns a number, got {type(value).__name__}")
        if number.shape not in ((), self.latents[:1]):
            wanted = f"a number, or one for each of {self.latents[0]} images"
            raise ValueError(f"expected {wanted}, got shape {number.shape}; sum or average over pixels and latents")
        return float(number.astype(np.float64).mean())


def paired_stacks(
    shape: tuple[int, ...], first: tuple[float, float], second: tuple[float, float], stream: int
) -> list[np.ndarray]:
    """Draw a stack of probes from each of two intervals.

    Each probe fills a part of its interval only, so that means over its elements vary from probe to probe, too.

    Parameters
    ----------
    shape : tuple
        Of a probe.
    first, second : (float, float)
        The two intervals.
    stream : int
        Seed of the draws.

    Returns
    -------
    list of two float32 arrays `(probes, *shape)`
    """
    rng, stacks = np.random.default_rng(stream), []
    for low, high in (first, second):
        start, end = rng.uniform(low, high, (2, PROBES, *np.ones_like(shape)))
        stacks.append((start + (end - start) * rng.uniform(size=(PROBES, *shape))).astype(np.float32))
    return stacks


def required_arguments(function: Callable) -> int:
    """Return how many arguments a callable must be given by position."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def energy(name: tuple[str, str], x: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Return the energy of each probe, `(probes,)`: summed over pixels, averaged over the batch.

    The energy of a pixel is that of :data:`ENERGIES` that has the name.
    """
    return _summed(ENERGIES[name](x.astype(np.float64), output.astype(np.float64)))


def divergence(name: str, mean: np.ndarray, second: np.ndarray) -> np.ndarray:
    r"""Return KL(N(mean, σ²) ‖ N(0, I)) of each probe, `(probes,)` in nats, averaged over the batch.

    The σ is that of `second` in the reading of :data:`DEVIATIONS` that has the name.
    """
    mean, deviation = mean.astype(np.float64), DEVIATIONS[name](second.astype(np.float64))
    return _summed(0.5 * (mean**2 + deviation**2 - 2 * np.log(deviation) - 1))


def _summed(stack: np.ndarray) -> np.ndarray:
    return stack.reshape(*stack.shape[:2], -1).sum(axis=2).mean(axis=1)


def rounding_error(losses: np.ndarray) -> float:
    """Return by how much losses in float32 may differ that are equal but for rounding: four units in the last place."""
    return 4 * float(np.finfo(np.float32).eps) * float(np.abs(losses).max())


def best_line(
    feature: Callable[[_Name, np.ndarray, np.ndarray], np.ndarray],
    names: Iterable[_Name],
    stacks: Sequence[np.ndarray],
    losses: np.ndarray,
) -> Line[_Name] | None:
    """Return the line of the candidate that explains the losses best, or None if none explains them.

    Parameters
    ----------
    feature : callable
        :func:`energy` or :func:`divergence`.
    names : iterable
        The candidates, by the names under which the feature knows them.
    stacks : two arrays `(probes, batch, ...)`
        At which the loss was called.
    losses : array `(probes,)`
    """
    best, unexplained = None, TOLERANCE * np.std(losses) + rounding_error(losses)
    for name in names:
        features = feature(name, *stacks)
        intercept, slope = (float(c) for c in np.polynomial.polynomial.polyfit(features, losses, 1))
        residual = np.std(losses - slope * features - intercept)
        if residual < unexplained:
            best, unexplained = Line(name, slope, intercept), residual
    return best
