"""Straight lines through measurements, and what they leave unexplained."""

import numpy as np

from vaecourse.clinic.probing import rounding_error


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept of the straight line through points; NaN where a point is not finite."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return np.nan, np.nan
    deviation = x - x.mean()
    slope = float(deviation @ y / max(deviation @ deviation, 1e-12))
    return slope, float(y.mean() - slope * x.mean())


def unexplained(y: np.ndarray, fitted: np.ndarray) -> float:
    """Return the error of a fit as a share of the spread of what was fitted; 1 where that is not finite.

    A spread that is lost in the rounding of float32 counts as a hundred roundings, so that a loss that does not change
    has no error.
    """
    y, fitted = np.asarray(y, float), np.asarray(fitted, float)
    if not (np.isfinite(y).all() and np.isfinite(fitted).all()):
        return 1.0
    spread = max(float(np.std(fitted)), float(np.std(y))) if len(y) > 1 else 0.0
    return float(np.sqrt(np.mean((y - fitted) ** 2)) / (spread + 100 * rounding_error(y) + 1e-12))
