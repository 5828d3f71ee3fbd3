"""Arrays of a page: base64 of halves, singles, bytes or bits."""

import base64
from typing import Any

import numpy as np

KINDS = ("float16", "float32", "bytes", "bits")

Packed = dict[str, Any]


def packed(values: Any, kind: str) -> Packed:
    """Return an array as a page carries it.

    Parameters
    ----------
    values : array
        Numbers; for ``"bytes"`` in [0, 1], of which 255 steps are kept, and for ``"bits"`` zeros and ones.
    kind : {"float16", "float32", "bytes", "bits"}

    Returns
    -------
    dict
        `kind`, `shape` and `base64`, which `vaecourseLive.array` turns into numbers again.

    Raises
    ------
    ValueError
        If a number is not finite, or does not fit into the kind.
    """
    if kind not in KINDS:
        raise ValueError(f"expected one of {', '.join(KINDS)} for kind, got {kind!r}")
    array = np.ascontiguousarray(values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError("a page can hold finite numbers only; these contain NaN or infinity")
    if kind in ("bytes", "bits") and array.size and (array.min() < 0 or array.max() > 1):
        raise ValueError(f"expected values in [0, 1] for {kind}, got {array.min():g} to {array.max():g}")
    if kind == "float16" and array.size and np.abs(array).max() > 65504:
        raise ValueError(f"{np.abs(array).max():g} is beyond what float16 holds; take precision='float32'")
    if kind == "bytes":
        raw = np.rint(255 * array).astype(np.uint8).tobytes()
    elif kind == "bits":
        raw = np.packbits(array.ravel() > 0.5).tobytes()
    else:
        raw = array.astype("<f2" if kind == "float16" else "<f4").tobytes()
    return {"kind": kind, "shape": list(array.shape), "base64": base64.b64encode(raw).decode("ascii")}


def packed_images(images: np.ndarray) -> Packed:
    """Return images as bits if they are black and white, else as bytes."""
    return packed(images, "bits" if np.isin(images, (0, 1)).all() else "bytes")
