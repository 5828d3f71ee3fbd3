"""Wrong arguments, drawn by hypothesis, by the kind of argument that a function takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st


@dataclass(frozen=True)
class Wrong:
    """A wrong value: how it is called in a report, the value, and texts of which a message about it has one."""

    label: str
    value: Any
    told: tuple[str, ...] = ()


def _object(value: Any) -> Wrong:
    return Wrong(f"{type(value).__name__}", value, ())


def _number(value: float) -> Wrong:
    kinds = ("float", "NaN", "nan", "inf") if isinstance(value, float) else ()
    return Wrong(f"{value:.4g}", value, (f"{value:.3g}"[:4], str(value)[:4], *kinds))


def _array(values: np.ndarray, label: str) -> Wrong:
    told = [*map(str, values.shape), str(values.shape), values.dtype.name, str(values.dtype), type(values).__name__]
    told += ["string"] if values.dtype.kind in "OU" else []  # as TensorFlow calls both
    return Wrong(f"{label} {values.dtype.name}{list(values.shape)}", values, tuple(told))


OBJECTS = st.sampled_from([None, "seven", b"bytes", object(), {}, {"x": 1}, [], [[1.0], [1.0, 2.0]], print, 1j])

NOT_FINITE = st.sampled_from([float("nan"), float("inf"), -float("inf")])


def numbers(*, least: float = -np.inf, most: float = np.inf, none: bool = False) -> st.SearchStrategy[Wrong]:
    """Return what is no finite number between two, and no number at all."""
    outside = []
    if np.isfinite(least):
        outside.append(st.floats(-1e6, -1e-3).map(lambda x: least + x))
    if np.isfinite(most):
        outside.append(st.floats(1e-3, 1e6).map(lambda x: most + x))
    values = st.one_of(NOT_FINITE, *outside).map(_number)
    return st.one_of(values, st.sampled_from(["seven", [], {}, object()] + [None] * (not none)).map(_object))


def counts(*, least: int = 1, none: bool = False) -> st.SearchStrategy[Wrong]:
    """Return what is no integer of at least so many."""
    low = st.integers(-(2**40), least - 1)
    fractions = st.floats(least + 0.25, least + 0.75)
    values = st.one_of(low, fractions, NOT_FINITE).map(_number)
    return st.one_of(values, st.sampled_from(["seven", [], {}, object()] + [None] * (not none)).map(_object))


def seeds(*, none: bool = False) -> st.SearchStrategy[Wrong]:
    """Return what is no seed."""
    values = st.floats(0.25, 0.75).map(_number)
    return st.one_of(values, st.sampled_from(["seven", [], {}, object()] + [None] * (not none)).map(_object))


def names(*known: str) -> st.SearchStrategy[Wrong]:
    """Return what is none of some names: other texts, close ones, and other things."""
    texts = st.one_of(st.text(max_size=12), st.sampled_from([name.upper() for name in known] + [known[0] + " "]))
    other = texts.filter(lambda text: text not in known).map(lambda text: Wrong(f"{text!r}", text, (text, repr(text))))
    return st.one_of(other, st.sampled_from([None, 3, 1.5, [], {}]).map(_object))


def images(
    shape: tuple[int, ...], dtype: str = "float32", least: float = 0.0, most: float = 1.0, any_shape: bool = False
) -> st.SearchStrategy[Wrong]:
    """Return what are no images of a shape `(height, width, channels)`, or none of a data type, or out of range."""
    right = (3, *shape)
    shapes = st.lists(st.integers(0, 5), max_size=5).map(tuple).filter(lambda other: other[1:] != shape)
    shaped = shapes.map(lambda other: _array(np.zeros(other, dtype), "shape"))
    dtypes = ["bool", "int64", "complex64", "O", "<U3"] + (["uint8"] if dtype != "uint8" else ["float32"])
    typed = st.sampled_from(dtypes).map(lambda other: _array(np.ones(right, other), "type"))
    values = [typed, OBJECTS.map(_object)] + [shaped] * (not any_shape)
    if dtype != "uint8":
        strange = st.one_of(NOT_FINITE, st.floats(1e-2, 1e30).map(lambda x: most + x), st.just(least - 0.5))
        values.append(st.tuples(strange, st.integers(0, 2)).map(lambda drawn: _spoiled(right, dtype, *drawn)))
    return st.one_of(*values)


def _spoiled(shape: tuple[int, ...], dtype: str, value: float, row: int) -> Wrong:
    array = np.zeros(shape, dtype)
    array.reshape(len(array), -1)[row, -1] = value
    return Wrong(f"a pixel of {value:.3g}", array, (f"{array.max():g}"[:4], f"{array.min():g}"[:4], "finite", "nan"))


def arrays(
    shape: tuple[int, ...], dtype: str = "float64", strange: st.SearchStrategy[float] = NOT_FINITE
) -> st.SearchStrategy[Wrong]:
    """Return what is no array of finite numbers of a shape."""
    shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
    shaped = shapes.filter(lambda other: other[1:] != shape[1:] or 0 in other)
    typed = st.sampled_from(["O", "<U3", "complex64"]).map(lambda other: _array(np.ones(shape, other), "type"))
    spoiled = strange.map(lambda value: _spoiled(shape, dtype, value, 0))
    others = shaped.map(lambda other: _array(np.zeros(other, dtype), "shape"))
    return st.one_of(others, typed, spoiled, OBJECTS.map(_object))


def drawn(cases: st.SearchStrategy, count: int, start: int) -> list[Any]:
    """Return as many different cases as hypothesis draws in so many attempts; equal seeds give equal ones."""
    found: list[Any] = []

    @seed(start)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def collect(case: Any) -> None:
        found.append(case)

    collect()
    return found


def replaced(valid: dict[str, Callable[[], Any]], name: str, value: Any) -> dict[str, Any]:
    """Return arguments with one replaced by a wrong value."""
    return {**{key: make() for key, make in valid.items() if key != name}, name: value}
