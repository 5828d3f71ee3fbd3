"""Images of which the factors are known: shapes at places, of sizes, in the manner of dSprites."""

from typing import NamedTuple

import numpy as np

from vaecourse.data.datasets import IMAGE_SHAPE

SHAPES = ("square", "diamond", "cross")
_SIZES = 4
PLACES = 16
FACTORS = ("shape", "size", "x", "y")

_SIDE = IMAGE_SHAPE[0]
_FIRST = 6  # column, and row, of the center of the first place: the largest shape reaches six pixels from its center


class Shapes(NamedTuple):
    """Images, and what they show.

    Attributes
    ----------
    images : float32 array `(n, 28, 28, 1)`
        Zeros and ones.
    factors : int array `(n, 4)`
        The columns are ``FACTORS``: the number of the shape in ``SHAPES``, of the size, from the smallest, of the
        column of the center, from the left, and of its row, from the top.
    """

    images: np.ndarray
    factors: np.ndarray


def shapes(n: int | None = None, seed: int = 0) -> Shapes:
    """Return images of one shape each, in the manner of dSprites :cite:p:`matthey2017`.

    There are three shapes, four sizes, 16 columns and 16 rows: 3,072 images, no two alike, all factors independent.

    Parameters
    ----------
    n : int, optional
        How many of them, chosen and ordered as a function of the seed; all of them in order of their factors by
        default.
    seed : int

    Raises
    ------
    ValueError
        If there are not that many.
    """
    levels = (len(SHAPES), _SIZES, PLACES, PLACES)
    factors = np.indices(levels).reshape(len(levels), -1).T
    if n is not None:
        if not 1 <= n <= len(factors):
            raise ValueError(f"expected from 1 to {len(factors):,} images, got n={n}")
        factors = factors[np.random.default_rng(seed).permutation(len(factors))[:n]]
    shape, size, column, row = (part[:, np.newaxis, np.newaxis] for part in factors.T)
    across = np.abs(np.arange(_SIDE) - _FIRST - column)
    down = np.abs(np.arange(_SIDE)[:, np.newaxis] - _FIRST - row)
    half = 2 + size
    inside = [
        np.maximum(across, down) <= half,
        across + down <= 4 * half // 3,
        (np.maximum(across, down) <= half) & (np.minimum(across, down) <= half // 4),
    ]
    images = np.choose(shape, inside).astype(np.float32)[..., np.newaxis]
    return Shapes(images, factors)
