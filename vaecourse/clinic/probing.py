"""How a loss is probed: what it is called with, and the straight lines that explain its answers."""

import inspect
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import tensorflow_probability as tfp

tfd = tfp.distributions


TOLERANCE = 1e-3  # share of the variation over the probes that a candidate may leave unexplained

PROBES = 24


def _sigmoid(output):
    return 1 / (1 + np.exp(-output))


# The loss of a pixel at unit scale, without its normalizer, by family and by what the output is read as.
ENERGIES = {
    ("Bernoulli", "probability"): lambda x, o: -tfd.Bernoulli(probs=o, dtype=np.float64).log_prob(x).numpy(),
    ("Bernoulli", "logits"): lambda x, o: -tfd.Bernoulli(logits=o, dtype=np.float64).log_prob(x).numpy(),
    ("continuous Bernoulli", "probability"): lambda x, o: -tfd.ContinuousBernoulli(probs=o).log_prob(x).numpy(),
    ("continuous Bernoulli", "logits"): lambda x, o: -tfd.ContinuousBernoulli(logits=o).log_prob(x).numpy(),
    ("Gaussian", "mean"): lambda x, o: (x - o) ** 2,
    ("Gaussian", "sigmoid"): lambda x, o: (x - _sigmoid(o)) ** 2,
    ("Laplace", "mean"): lambda x, o: np.abs(x - o),
    ("Laplace", "sigmoid"): lambda x, o: np.abs(x - _sigmoid(o)),
}

# σ of the posterior, by what the fourth argument of the loss is read as.
DEVIATIONS = {"log σ²": lambda v: np.exp(v / 2), "log σ": np.exp, "σ": lambda v: v, "σ²": np.sqrt}


class Line(NamedTuple):
    name: object = None
    slope: float = 0.0
    intercept: float = 0.0


class Prober:
    """A loss, and the shapes it is called with; probes are stacked along the first axis."""

    def __init__(self, loss: Callable, images: tuple, latents: tuple):
        self.loss, self.images, self.latents = loss, images, latents
        levels = ((images, 0.5), (images, 0.4), (latents, 0.0), (latents, 1.0))
        self.legal = [np.full((PROBES, *shape), level, np.float32) for shape, level in levels]  # in every reading
        self.noises = [(np.full(latents, sign, np.float32),) for sign in (1, -1)] if arguments(loss) > 4 else [()]
        losses = self()
        if np.std(losses) > rounding(losses):
            twice = f"{losses[0]:g} at one call and {losses[1]:g} at the next with the same arguments"
            raise ValueError(f"the loss is {twice}: it draws inside. Let it take its noise as a fifth argument, eps")

    def __call__(self, *stacks: np.ndarray | None, finite: bool = True) -> np.ndarray:
        stacks = [legal if stack is None else stack for legal, stack in zip_longest(self.legal, stacks)]
        with np.errstate(all="ignore"):  # not finite is refused below, or an answer
            probes = zip(*stacks, strict=True)
            losses = [[self._number(self.loss(*probe, *noise)) for noise in self.noises] for probe in probes]
        if finite and not np.isfinite(losses).all():
            where = "images and outputs between 0 and 1 and a positive fourth argument, legal however they are read"
            raise ValueError(f"the loss is not finite at {where}; does it take (x, output, mean, logvar)?")
        return np.mean(losses, axis=1)

    def _number(self, value) -> float:
        number = np.asarray(value)
        if number.dtype.kind not in "fiu":
            raise TypeError(f"expected a loss that returns a number, got {type(value).__name__}")
        if number.shape not in ((), self.latents[:1]):
            wanted = f"a number, or one for each of {self.latents[0]} images"
            raise ValueError(f"expected {wanted}, got shape {number.shape}; sum or average over pixels and latents")
        return float(number.astype(np.float64).mean())


def pairs(shape: tuple, first: tuple, second: tuple, stream: int) -> list[np.ndarray]:
    """Draw two stacks of probes; each probe fills a part of its interval, so that means over elements vary, too."""
    rng, stacks = np.random.default_rng(stream), []
    for low, high in (first, second):
        start, end = rng.uniform(low, high, (2, PROBES, *np.ones_like(shape)))
        stacks.append((start + (end - start) * rng.uniform(size=(PROBES, *shape))).astype(np.float32))
    return stacks


def arguments(function: Callable) -> int:
    """Count the arguments that a callable asks for."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def energy(name, x: np.ndarray, output: np.ndarray) -> np.ndarray:
    return summed(ENERGIES[name](x.astype(np.float64), output.astype(np.float64)))


def divergence(name, mean: np.ndarray, second: np.ndarray) -> np.ndarray:
    mean, deviation = mean.astype(np.float64), DEVIATIONS[name](second.astype(np.float64))
    return summed(0.5 * (mean**2 + deviation**2 - 2 * np.log(deviation) - 1))


def summed(stack: np.ndarray) -> np.ndarray:
    """Sum a stack of probes over all axes but the batch, over which it is averaged."""
    return stack.reshape(*stack.shape[:2], -1).sum(axis=2).mean(axis=1)


def rounding(losses: np.ndarray) -> float:
    return 4 * float(np.finfo(np.float32).eps) * np.abs(losses).max()


def best(feature: Callable, names, pairs: tuple, losses: np.ndarray) -> Line | None:
    """Return the line of the candidate that explains the losses best, if one explains them."""
    best, unexplained = None, TOLERANCE * np.std(losses) + rounding(losses)
    for name in names:
        features = feature(name, *pairs)
        intercept, slope = (float(c) for c in np.polynomial.polynomial.polyfit(features, losses, 1))
        residual = np.std(losses - slope * features - intercept)
        if residual < unexplained:
            best, unexplained = Line(name, slope, intercept), residual
    return best
