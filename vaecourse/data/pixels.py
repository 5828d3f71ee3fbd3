"""Pixels: from bytes to grays, and from grays to black and white."""

import numpy as np

from vaecourse.data import amounts


def scale(images: np.ndarray) -> np.ndarray:
    """Turn uint8 images `(n, 28, 28)` into float32 grays in [0, 1] of shape `(n, 28, 28, 1)`.

    Raises
    ------
    TypeError
        If the images are not uint8: dividing floats by 255 twice is a common and silent mistake.
    ValueError
        If the shape is not `(n, height, width)` or `(n, height, width, channels)`, or there is no image.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise TypeError(f"expected uint8 images with values 0 to 255, got {images.dtype}; are they scaled already?")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"expected images of shape (n, height, width), n ≥ 1; got {images.shape}")
    return images.astype(np.float32) / np.float32(255)


def binarize(grays: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Threshold grays: pixels above `threshold` become 1, the others 0, as float32.

    Raises
    ------
    TypeError, ValueError
        If the images are no grays, as :func:`check_grays` says, or the threshold is not from 0 to 1.
    """
    return (check_grays(grays) > amounts.amount(threshold, "threshold", 0, 1)).astype(np.float32)


def binarize_stochastically(grays: np.ndarray, seed: int) -> np.ndarray:
    """Draw every pixel from Bernoulli(gray), as float32; another `seed` gives another draw.

    Drawn once it is a *fixed* stochastic binarization, as in :cite:t:`larochelle2011`; drawn anew at every epoch it is
    the *dynamic* one of :cite:t:`burda2016`.

    Raises
    ------
    TypeError, ValueError
        If the images are no grays, as :func:`check_grays` says.
    """
    grays = check_grays(grays)
    return (np.random.default_rng(amounts.seed(seed)).random(grays.shape, dtype=np.float32) < grays).astype(np.float32)


def check_grays(grays: np.ndarray) -> np.ndarray:
    """Return grays as an array, after refusing what is none.

    Raises
    ------
    TypeError
        If they are not floats: uint8 images are to be scaled first.
    ValueError
        If there is no gray, or if one is not finite or outside [0, 1].
    """
    grays = np.asarray(grays)
    if grays.dtype.kind != "f":
        raise TypeError(f"expected float grays in [0, 1], got {grays.dtype}; scale uint8 images first")
    if not grays.size:
        raise ValueError("expected at least one image, with grays in [0, 1]; got none")
    if not (grays.min() >= 0 and grays.max() <= 1):  # NaN fails the comparison too
        raise ValueError(f"expected grays in [0, 1], got {grays.min():g} to {grays.max():g}")
    return grays
