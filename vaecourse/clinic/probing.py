"""How a loss is probed: what it is called with, and the straight line that explains its answers.

A loss is called many times, each time at other images and outputs, or at other means and log-variances.  If it is the
negative log-likelihood of a family, its values lie on a straight line over the energy of that family; if it is a KL,
over the divergence.  Slope and intercept of this line are what an audit goes on with.

Probes are stacked along the first axis of an array, so that a stack has the shape `(probes, batch, ...)`.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

_Name = TypeVar("_Name")

TOLERANCE = 1e-3
"""Share of the variation over the probes that a candidate may leave unexplained."""

PROBES = 24

Stacks = Sequence[np.ndarray]


class Line(NamedTuple, Generic[_Name]):
    """What a candidate says the losses are: intercept + slope · feature, the feature being of that name."""

    name: _Name
    slope: float
    intercept: float


class Prober:
    """A loss, and the shapes that it is called with.

    Calling the prober with stacks for the first arguments of the loss returns the losses `(probes,)`.  An argument for
    which there is no stack, or None, has one and the same value, which is legal however it is read; the images and the
    output are those at which the loss is smallest, so that rounding hides as little as it can of the latents.

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

    # Pixel and output of the resting place: those at which the usual losses are small, if they are legal to the loss.
    _PLACES = ((0.0, 1e-6), (0.0, -16.0), (0.0, 0.0), (0.5, 0.5), (0.5, 0.0))

    def __init__(self, loss: Callable, images: tuple[int, ...], latents: tuple[int, ...]) -> None:
        self.loss, self.images, self.latents = loss, images, latents
        self.noises: list[tuple[np.ndarray, ...]] = [()]
        if required_arguments(loss) > 4:
            self.noises = [(np.full(latents, sign, np.float32),) for sign in (1, -1)]
        self._at_rest = [_full(images, 0.5), _full(images, 0.4), _full(latents, 0.0), _full(latents, 1.0)]
        if not np.isfinite(self(*self._at_rest)).all():
            where = "images and outputs between 0 and 1 and a positive fourth argument, legal however they are read"
            raise ValueError(f"the loss is not finite at {where}; does it take (x, output, mean, logvar)?")
        self._far = [*self._at_rest[:2], _full(latents, 4.0), _full(latents, 2.5)]  # a change of β shows most here
        self._first = float(self(*self._far)[0])
        self.refuse_what_changes()
        places = [[_full(images, pixel), _full(images, output)] for pixel, output in self._PLACES]
        places.append(self._at_rest[:2])
        sizes = [abs(float(self(*place, finite=False)[0])) for place in places]
        self._at_rest[:2] = places[int(np.argmin(np.nan_to_num(sizes, nan=np.inf)))]

    def __call__(self, *stacks: np.ndarray | None, finite: bool = True) -> np.ndarray:
        probes = max((len(stack) for stack in stacks if stack is not None), default=1)
        filled = list(stacks) + [None] * (len(self._at_rest) - len(stacks))
        filled = [
            np.repeat(rest, probes, axis=0) if stack is None else np.asarray(stack, np.float32)
            for rest, stack in zip(self._at_rest, filled, strict=True)
        ]
        with np.errstate(all="ignore"):  # not finite is refused below, or an answer
            calls = zip(*filled, strict=True)
            losses = [[self._number(self.loss(*call, *noise)) for noise in self.noises] for call in calls]
        if finite and not np.isfinite(losses).all():
            raise ValueError("the loss is not finite at legal arguments; does it take (x, output, mean, logvar)?")
        return np.mean(losses, axis=1)

    def of_the_latents(self, mean: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the losses `(probes,)` at stacks of the third and fourth argument, finite or not."""
        return self(None, None, mean, second, finite=False)

    def refuse_what_changes(self) -> None:
        """Raise an error if the loss is no longer what it was at the first call, to rounding."""
        losses = np.concatenate([[self._first], self(*[np.repeat(far, 4, axis=0) for far in self._far])])
        if np.ptp(losses) > rounding_error(losses):
            shown = ", ".join(f"{loss:.9g}" for loss in losses)
            raise ValueError(
                f"called with the same arguments, the loss is {shown}: it draws inside, or counts its calls. Let it "
                "take its noise as a fifth argument, eps; let a schedule stand still, at the step that you ask about"
            )

    def _number(self, value: Any) -> float:
        if isinstance(value, (dict, tuple, list)):
            raise TypeError(
                f"expected a loss that returns a number, got {type(value).__name__} of {len(value)}; "
                "pass a function that returns the total alone"
            )
        number = np.asarray(value)
        if number.dtype.kind not in "fiu":
            raise TypeError(f"expected a loss that returns a number, got {type(value).__name__}")
        if number.shape not in ((), self.latents[:1]):
            wanted = f"a number, or one for each of {self.latents[0]} images"
            raise ValueError(f"expected {wanted}, got shape {number.shape}; sum or average over pixels and latents")
        return float(number.astype(np.float64).mean())


def _full(shape: tuple[int, ...], level: float) -> np.ndarray:
    return np.full((1, *shape), level, np.float32)


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


def summed(stack: np.ndarray) -> np.ndarray:
    """Return for each probe the sum over all but the batch, averaged over the batch: `(probes,)`."""
    return stack.reshape(*stack.shape[:2], -1).sum(axis=2).mean(axis=1)


def rounding_error(losses: np.ndarray) -> float:
    """Return by how much losses in float32 may differ that are equal but for rounding: four units in the last place."""
    return 4 * float(np.finfo(np.float32).eps) * float(np.abs(losses).max())


def best_line(
    feature: Callable[[_Name, np.ndarray, np.ndarray], np.ndarray],
    names: Iterable[_Name],
    stacks: Stacks,
    losses: np.ndarray,
) -> Line[_Name] | None:
    """Return the line of the candidate that explains the losses best, or None if none explains them.

    Parameters
    ----------
    feature : callable
        Of a name and two stacks, such as :func:`vaecourse.clinic.reconstructions.energy`.
    names : iterable
        The candidates, by the names under which the feature knows them.
    stacks : two arrays `(probes, batch, ...)`
        At which the loss was called.
    losses : array `(probes,)`
    """
    if not np.isfinite(losses).all():
        return None
    best, unexplained = None, TOLERANCE * np.std(losses) + rounding_error(losses)
    for name in names:
        with np.errstate(all="ignore"):  # a logit is no probability
            features = feature(name, *stacks)
        if not np.isfinite(features).all():
            continue
        intercept, slope = (float(c) for c in np.polynomial.polynomial.polyfit(features, losses, 1))
        residual = np.std(losses - slope * features - intercept)
        if residual < unexplained:
            best, unexplained = Line(name, slope, intercept), residual
    return best


def continues(
    line: Line, features: np.ndarray, losses: np.ndarray, absolute: float = 0.0, roundings: float = 4.0
) -> np.ndarray:
    """Return of each further probe whether it lies on a line: within twice the tolerance, and what rounding hides.

    Parameters
    ----------
    line : Line
    features, losses : arrays `(probes,)`
    absolute : float
        How far a probe may be off in any case, in units of the feature.
    roundings : float
        How many times the rounding error it may be off: one, where the same large numbers are added up in all probes.
    """
    with np.errstate(invalid="ignore"):
        off = np.abs(losses - line.intercept - line.slope * features)
        allowed = abs(line.slope) * (2 * TOLERANCE * np.abs(features) + absolute)
        return off <= allowed + roundings * rounding_error(np.nan_to_num([*losses, line.intercept]))
