"""Scores of anomaly: how well they separate two sets of images, and how simple images are."""

import zlib

import numpy as np
from scipy import stats

from vaecourse.data import check_grays
from vaecourse.measures.estimate import Estimate


def auroc(usual: np.ndarray, anomalous: np.ndarray) -> Estimate:
    r"""Return the area under the ROC curve of a score, with its standard error over images.

    It is the probability that an anomalous image has a higher score than a usual one, ties counting half: 1 if the
    score separates them, ½ if it tells nothing, and below ½ if the score is reversed.  With the share V_i of usual
    images that score below the i-th of m anomalous ones, and the share U_j of anomalous ones that score above the j-th
    of n usual ones, the standard error is (var V/m + var U/n)^½ :cite:p:`delong1988`.

    Parameters
    ----------
    usual, anomalous : array `(n,)`, `(m,)`
        Scores, higher for what is more anomalous; at least two of each.

    Raises
    ------
    ValueError
        If there are fewer than two scores of a kind, or a score is not a number.
    """
    usual, anomalous = (np.asarray(scores, np.float64).ravel() for scores in (usual, anomalous))
    n, m = len(usual), len(anomalous)
    if min(n, m) < 2 or np.isnan(usual).any() or np.isnan(anomalous).any():
        raise ValueError(f"expected at least two scores of each kind and none that is NaN, got {n} and {m}")
    ranks = stats.rankdata(np.concatenate([usual, anomalous]))
    above = (ranks[n:] - stats.rankdata(anomalous)) / n
    below = 1 - (ranks[:n] - stats.rankdata(usual)) / m
    return Estimate(float(above.mean()), float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)))


def compressed_size(grays: np.ndarray) -> np.ndarray:
    """Return how many nats an image takes when `zlib` compresses it: a measure of how complex it is.

    It is minus the log-probability of the image under the compressor, taken as a model of images :cite:p:`serra2020`.

    Parameters
    ----------
    grays : array `(n, height, width, channels)`
        In [0, 1]; they are rounded to bytes.

    Returns
    -------
    array `(n,)`

    Raises
    ------
    TypeError, ValueError
        If the images are no grays.
    """
    levels = np.rint(255 * check_grays(grays)).astype(np.uint8)
    return 8 * np.log(2) * np.array([len(zlib.compress(image.tobytes(), level=9)) for image in levels], np.float64)


def mutated(grays: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Replace a share of the pixels, chosen at random, by gray levels drawn at random :cite:p:`ren2019`.

    Parameters
    ----------
    grays : array of any shape
        In [0, 1].
    share : float
        The probability that a pixel is replaced, from 0 to 1.
    seed : int

    Returns
    -------
    float32 array of the same shape

    Raises
    ------
    TypeError, ValueError
        If the images are no grays, or the share is no probability.
    """
    grays = check_grays(grays)
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share from 0 to 1, got {share!r}")
    rng = np.random.default_rng(seed)
    replaced = rng.random(grays.shape) < share
    levels = rng.integers(256, size=grays.shape).astype(np.float32) / np.float32(255)
    return np.where(replaced, levels, grays).astype(np.float32)
