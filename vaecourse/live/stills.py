"""Stills of live figures, for readers without JavaScript and for print: pictures in tiles, and curves."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def png(gray: np.ndarray) -> bytes:
    """Return values in [0, 1] `(height, width)`, of which 1 is ink, as a PNG with black ink on white paper."""
    shades = np.rint(15 * np.clip(np.asarray(gray, np.float64), 0, 1))  # few, which compress better
    levels = (255 - 17 * shades).astype(np.uint8)
    return tf.io.encode_png(levels[..., np.newaxis], compression=9).numpy()


def tiles(images: np.ndarray, columns: int) -> np.ndarray:
    """Return images `(n, height, width, channels)` as one picture `(rows · height, columns · width)` of their grays.

    Of three channels the ink is 1 minus their mean, since 1 is white in a photograph and ink in a digit.
    """
    images = np.nan_to_num(np.asarray(images, np.float64))
    gray = images[..., 0] if images.shape[-1] == 1 else 1 - images.mean(axis=-1)
    n, height, width = gray.shape
    rows = -(-n // columns)
    padded = np.concatenate([gray, np.zeros((rows * columns - n, height, width))])
    grid = padded.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    return grid.reshape(rows * height, columns * width)


def curves(x: np.ndarray, lines: Sequence[np.ndarray], height: int = 220, width: int = 440) -> np.ndarray:
    """Return lines over common x, which ascend, as a picture `(height, width)` in a frame; the first line is thick."""
    picture = np.zeros((height, width))
    picture[[0, -1], :] = picture[:, [0, -1]] = 0.4
    low, high = min(map(np.min, lines)), max(map(np.max, lines))
    at = np.linspace(x[0], x[-1], 8 * (width - 8))
    column = np.linspace(4, width - 5, len(at)).round().astype(int)
    for k, line in enumerate(lines):
        share = (np.interp(at, x, line) - low) / ((high - low) or 1.0)
        row = (4 + (1 - share) * (height - 9)).round().astype(int)
        for shift in range(-1, 2) if k == 0 else (0,):
            picture[np.clip(row + shift, 0, height - 1), column] = 1 if k == 0 else 0.6
    return picture
