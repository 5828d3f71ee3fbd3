"""A mean with its standard error."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean over images with its standard error."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, per_image: np.ndarray) -> "Estimate":
        """Return the mean of values per image, each weighing the same, and the standard error of that mean.

        Raises
        ------
        ValueError
            If there are fewer than two values: one has no standard error.
        """
        values = np.asarray(per_image, np.float64).ravel()
        if values.size < 2:
            raise ValueError(f"expected at least two values, got {values.size}")
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.standard_error:.2f}"
