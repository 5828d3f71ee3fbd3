"""Arguments that are right: small images, and small models."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from vaecourse import models, networks
from vaecourse.models import linear_gaussian

SHAPE = (4, 4, 1)


@functools.cache
def grays() -> np.ndarray:
    """Return three small images."""
    return np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)


def binary() -> np.ndarray:
    """Return three small images in black and white."""
    return (grays() > 0.5).astype(np.float32)


def bytes_() -> np.ndarray:
    """Return three small images of bytes."""
    return (255 * grays()[..., 0]).astype(np.uint8)


def parts() -> list[Any]:
    """Return an encoder and a decoder."""
    return networks.mlp(2, (4,), image_shape=SHAPE, seed=0)


@functools.cache
def vae() -> models.VAE:
    """Return a small model."""
    model = models.VAE(*parts(), seed=0)
    model.compile("adam")
    return model


@functools.cache
def gaussian() -> linear_gaussian.LinearGaussian:
    """Return a model on which everything is known."""
    return linear_gaussian.LinearGaussian.random(5, 2)


def of(value: Any) -> Callable[[], Any]:
    """Return a function that returns a value."""
    return lambda: value


def latents() -> np.ndarray:
    """Return three latents."""
    return np.zeros((3, 2))
