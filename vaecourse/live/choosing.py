"""Which models and which images a page takes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaecourse.models import VAE

MOST_CODES = 600
"""How many codes are drawn on a plane."""

MOST_IMAGES = 20
"""How many images can be chosen."""


def by_name(models: VAE | Mapping[str, VAE]) -> dict[str, VAE]:
    """Return models by their names; a single one is called VAE.

    Raises
    ------
    ValueError
        If there is none.
    """
    models = dict(models) if isinstance(models, Mapping) else {"VAE": models}
    if not models:
        raise ValueError("expected at least one model, got none")
    return models


def alternating(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return chosen indices in an order in which every label comes once before one comes twice, and so on."""
    turns = np.zeros(len(chosen), int)
    for label in np.unique(labels[chosen]):
        members = np.flatnonzero(labels[chosen] == label)
        turns[members] = np.arange(len(members))
    return chosen[np.lexsort((labels[chosen], turns))]


def checked_labels(labels: Any, n: int) -> np.ndarray:
    """Return labels as integers, after refusing none, other shapes and other kinds."""
    if labels is None:
        raise ValueError(f"expected {n} integer labels, one for each image; got none")
    y = np.asarray(labels)
    if y.shape != (n,) or y.dtype.kind not in "iu":
        raise ValueError(f"expected {n} integer labels, one for each image; got {y.dtype} {y.shape}")
    return y.astype(int)
