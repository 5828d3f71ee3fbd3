"""How many, and how much: numbers that a function is given, refused where they cannot be meant."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np


def count(value: Any, what: str, least: int = 1) -> int:
    """Return an integer of at least `least`.

    Raises
    ------
    ValueError
        If it is none; the message says `what` was expected, for instance ``"sample"``.
    """
    if not (isinstance(value, Integral) and int(value) >= least):
        raise ValueError(f"expected at least {'one' if least == 1 else least} {what}, got {value!r}")
    return int(value)


def seed(value: Any) -> int:
    """Return a seed, which is an integer.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(value, Integral):
        raise ValueError(f"expected an integer seed, got {value!r}")
    return int(value)


def amount(value: Any, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number between two.

    Raises
    ------
    ValueError
        If it is none; the message says `what` was expected, for instance ``"threshold"``.
    """
    if not (isinstance(value, Real) and math.isfinite(value) and least <= float(value) <= most):
        raise ValueError(f"expected a finite {what} from {least} to {most}, got {value!r}")
    return float(value)


def image_shape(shape: Any, multiple: int = 1) -> tuple[int, int, int]:
    """Return a shape of images, (height, width, channels).

    Raises
    ------
    ValueError
        If it is none, or height or width is no multiple of `multiple`.
    """
    sizes = tuple(shape) if isinstance(shape, list | tuple) else ()
    if len(sizes) != 3 or not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise ValueError(f"expected an image shape (height, width, channels), got {shape!r}")
    height, width, channels = map(int, sizes)
    if height % multiple or width % multiple:
        raise ValueError(f"expected height and width in multiples of {multiple}, got {height, width, channels}")
    return height, width, channels


def reals(values: Any, what: str) -> np.ndarray:
    """Return an array of real numbers as it is.

    Raises
    ------
    TypeError
        If it holds anything else, such as texts, objects or complex numbers, of which NumPy would make reals.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"expected {what} that are real numbers, got an array of {values.dtype}")
    return values
