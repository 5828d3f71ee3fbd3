"""A number that was estimated, with its standard error."""

import math
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """An estimate with its standard error, in the unit of what was estimated: nats, or a share of images.

    It is printed with two decimals, as in ``-157.02 ± 0.44``.
    """

    mean: float
    standard_error: float

    @classmethod
    def of(cls, per_image: np.ndarray) -> "Estimate":
        r"""Return the mean of values per image, each weighing the same, and the standard error of that mean.

        The standard error of the mean of n values is s/√n, with s² = Σ_i (x_i − x̄)²/(n − 1).

        Parameters
        ----------
        per_image : array
            At least two values; the shape does not matter.

        Raises
        ------
        ValueError
            If there are fewer than two values: one has no standard error.
        """
        values = np.asarray(per_image, np.float64).ravel()
        if values.size < 2:
            raise ValueError(f"expected at least two values, got {values.size}")
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)))

    def __format__(self, form: str) -> str:
        """Format both numbers alike, as ``f"{estimate:.1%}"`` does; without a form it is the string."""
        return f"{self.mean:{form}} ± {self.standard_error:{form}}" if form else str(self)

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.standard_error:.2f}"
