"""Whether importance weights can be trusted: what the weights themselves say about the error of their average."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from vaecourse.data import amounts


class WeightDiagnosis(NamedTuple):
    """What importance weights say about their average, each `(n,)`, one value for every image.

    Attributes
    ----------
    pareto_k : array
        Shape k̂ of a generalized Pareto distribution fitted to the largest weights.  A tail of shape k has moments
        below the order 1/k: no variance from ½ on, no mean from 1 on.  Above 0.7 the average is taken to be
        unreliable.  −∞ where the largest weights are all alike.
    effective_samples : array
        (Σ_k w_k)²/Σ_k w_k²: from 1, where one weight is all there is, to the number of samples.
    largest : array
        The largest weight as a share of their sum.
    """

    pareto_k: np.ndarray
    effective_samples: np.ndarray
    largest: np.ndarray


def weight_diagnosis(log_weights: np.ndarray) -> WeightDiagnosis:
    r"""Tell from importance weights whether their average can be trusted :cite:p:`vehtari2024`.

    The average of weights whose variance is large, or infinite, is on most draws far too low, and the spread of the
    weights that were drawn is then too small as well.  The shape of their tail is a better witness: of S weights the
    largest min(S/5, 3√S) are taken, and a generalized Pareto distribution is fitted to what they have over the next.

    Parameters
    ----------
    log_weights : array `(samples, n)`
        In nats, of samples drawn independently; from :func:`~vaecourse.measures.log_weights`.

    Returns
    -------
    WeightDiagnosis

    Raises
    ------
    TypeError
        If the log-weights are no real numbers.
    ValueError
        If there are fewer than 25 samples, or a weight is not finite.
    """
    log_weights = amounts.reals(log_weights, "log-weights").astype(float)
    if log_weights.ndim != 2 or len(log_weights) < 25 or not np.isfinite(log_weights).all():
        raise ValueError(f"expected finite log-weights (samples, n) of 25 samples or more, got {log_weights.shape}")
    weights = np.sort(np.exp(log_weights - log_weights.max(axis=0)), axis=0)
    total = weights.sum(axis=0)
    tail = math.ceil(min(len(weights) / 5, 3 * math.sqrt(len(weights))))
    exceedances = weights[-tail:] - weights[-tail - 1]
    shapes = [pareto_shape(column[column > 0]) if column[-1] > 0 else -np.inf for column in exceedances.T]
    return WeightDiagnosis(np.array(shapes), total**2 / (weights**2).sum(axis=0), weights[-1] / total)


def pareto_shape(exceedances: np.ndarray) -> float:
    r"""Fit a generalized Pareto distribution to exceedances, and return its shape k.

    The density is (1/σ)(1 + k y/σ)^(−1/k − 1).  With b = −k/σ, the likelihood of b at the best k of each b,
    which is the mean of log(1 − b y), is averaged over a grid of b :cite:p:`zhang2009`.  The shape that results is
    drawn towards ½ as by ten further observations :cite:p:`vehtari2024`, which matters in short tails alone.

    Parameters
    ----------
    exceedances : array `(n,)`
        Positive, in any order.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If there is no exceedance, or one is not positive and finite.
    """
    y = np.sort(np.asarray(exceedances, float))
    if y.ndim != 1 or not len(y) or not (y[0] > 0 and np.isfinite(y[-1])):
        raise ValueError(f"expected positive and finite exceedances (n,), got an array of shape {y.shape}")
    n, points = len(y), 30 + math.isqrt(len(y))
    quartile = y[int(n / 4 + 0.5) - 1] if n > 1 else y[0]
    grid = 1 / y[-1] + (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3 * quartile)
    k = np.log1p(-grid[:, np.newaxis] * y).mean(axis=1)
    profile = n * (np.log(-grid / k) - k - 1)
    b = grid @ special.softmax(profile)
    shape = np.log1p(-b * y).mean()
    return float((n * shape + 10 * 0.5) / (n + 10))
