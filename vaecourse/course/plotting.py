"""Figures and animations of arrays; nothing here decodes, trains or draws at random.

Every function that draws returns the figure, closed to pyplot, so that a notebook shows it once.

All functions that take images take the same ones: floats in [0, 1] or uint8, without channels or with one (grays), or
with three (colors).  Grays are drawn as ink on paper, so that 1 is black; colors are shown as they are.  A float below
0 or above 1, as the mean of a Gaussian may be, is drawn as 0 or 1.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import imageio.v3 as iio
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

_STYLE = "vaecourse.house"
plt.switch_backend(plt.get_backend())  # loaded inside of a style's context, it would lose what it sets on leaving


def image_grid(
    images: np.ndarray,
    columns: int = 8,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    size: float = 0.8,
) -> Figure:
    """Draw images in rows of `columns`.

    Parameters
    ----------
    images : array `(n, height, width[, channels])`
    columns : int
    titles : sequence of n str, optional
        One above each image.
    row_labels : sequence of str, optional
        One beside each row.
    size : float
        Inches for each image.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If the images are neither grays nor colors, not finite, or not of this shape.
    """
    images = _drawable(images, "n")
    rows = -(-len(images) // columns)
    margin = 0.0 if row_labels is None else 1.3
    height = size * rows * (1.25 if titles is not None else 1.0)
    with plt.style.context(_STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=(size * columns + margin, height), squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.set_frame_on(False)
        for index, image in enumerate(images):
            axes.flat[index].imshow(image, vmin=0, vmax=1)
            if titles is not None:
                axes.flat[index].set_title(titles[index], fontsize=8)
        for axis, label in zip(axes[:, 0], row_labels or (), strict=False):
            axis.set_ylabel(label, rotation=0, ha="right", va="center")
    return _closed(figure)


def manifold(images: np.ndarray, extent: tuple[float, float], inches: float = 6.4) -> Figure:
    """Draw a grid of decoded images as one picture.

    Parameters
    ----------
    images : array `(rows, columns, height, width[, channels])`
        As :func:`vaecourse.measures.manifold` returns it: first latent to the right, second upwards.
    extent : (float, float)
        What is written at the ends of both axes: latents, or quantiles.
    inches : float
        Width of the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        As by :func:`image_grid`.
    """
    tiled = tile(images)
    with plt.style.context(_STYLE):
        figure, axis = plt.subplots(figsize=(inches, inches))
        axis.imshow(tiled, vmin=0, vmax=1)
        bottom, right = tiled.shape[0] - 1, tiled.shape[1] - 1
        axis.set(xticks=[0, right], yticks=[0, bottom], xlabel="$z_1$", ylabel="$z_2$")
        axis.set_xticklabels([f"{end:g}" for end in extent])
        axis.set_yticklabels([f"{end:g}" for end in reversed(extent)])
        axis.grid(False)
    return _closed(figure)


def latent_scatter(z: np.ndarray, labels: np.ndarray) -> Figure:
    """Draw two-dimensional latents `(n, 2)`, colored by label, each class named at its median.

    Raises
    ------
    ValueError
        If the latents are not two-dimensional, or their number is not that of the labels.
    """
    if np.ndim(z) != 2 or np.shape(z)[1] != 2 or len(z) != len(labels):
        raise ValueError(f"expected latents (n, 2) and n labels, got {np.shape(z)} and {np.shape(labels)}")
    with plt.style.context(_STYLE):
        figure, axis = plt.subplots(figsize=(6.0, 5.4))
        for index, label in enumerate(np.unique(labels)):
            members = z[labels == label]
            axis.scatter(members[:, 0], members[:, 1], s=3, alpha=0.4, color=plt.cm.tab10(index % 10), linewidths=0)
            axis.annotate(
                str(label), np.median(members, axis=0), ha="center", va="center", weight="bold",
                bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": plt.cm.tab10(index % 10)},
            )  # fmt: skip
        axis.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    return _closed(figure)


def curves(series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, reference: float | None = None) -> Figure:
    """Draw named series over 1, 2, 3, …, with a dashed line at a reference value."""
    with plt.style.context(_STYLE):
        figure, axis = plt.subplots()
        for name, values in series.items():
            axis.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
        if reference is not None:
            axis.axhline(reference, color="0.4", linestyle="--", linewidth=1, label=f"published: {reference:g}")
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.locator_params("x", integer=True)
        axis.legend()
    return _closed(figure)


def tile(images: np.ndarray) -> np.ndarray:
    """Join images into one picture.

    Parameters
    ----------
    images : array `(rows, columns, height, width[, channels])`

    Returns
    -------
    array `(rows·height, columns·width)` of grays, or `(rows·height, columns·width, 3)` of colors
        Floats in [0, 1].

    Raises
    ------
    TypeError, ValueError
        As by :func:`image_grid`.
    """
    images = _drawable(images, "rows", "columns")
    rows, columns, height, width, *colors = images.shape
    return images.swapaxes(1, 2).reshape(rows * height, columns * width, *colors)


def animate(frames: Sequence[np.ndarray], path: str | Path, columns: int = 4, seconds: float = 0.5) -> Path:
    """Write a GIF that loops for ever, one grid of images a frame; the last frame stays four times as long.

    Parameters
    ----------
    frames : sequence of arrays `(n, height, width[, channels])`, all of one shape
        n must be a multiple of `columns`.
    path : path
        Ending in ``.gif``.  A GIF has at most 256 colors a frame: others are replaced by the nearest of these.
    columns : int
    seconds : float
        For each frame.

    Returns
    -------
    Path

    Raises
    ------
    TypeError, ValueError
        As by :func:`image_grid`; if frames differ in shape, or their images do not fill rows; if there is no frame,
        or the path does not end in ``.gif``.
    """
    path = Path(path)
    if path.suffix != ".gif" or not len(frames):
        raise ValueError(f"expected at least one frame and a path ending in .gif, got {len(frames)} and {path}")
    shapes = sorted({np.shape(frame) for frame in frames})
    if len(shapes) > 1:
        raise ValueError(f"expected frames of one shape, got {' and '.join(map(str, shapes))}")
    pictures = []
    for frame in frames:
        images = _drawable(frame, "n")
        if columns < 1 or len(images) % columns:
            raise ValueError(f"expected images that fill rows of {columns}, got {len(images)} in a frame")
        picture = tile(images.reshape(-1, columns, *images.shape[1:]))
        inked = 1 - picture if picture.ndim == 2 else picture
        pictures.append(np.rint(255 * inked).astype(np.uint8).repeat(3, axis=0).repeat(3, axis=1))
    milliseconds = [1000 * seconds] * (len(pictures) - 1) + [4000 * seconds]
    duration = milliseconds if len(pictures) > 1 else milliseconds[0]  # Pillow takes no list for a single frame
    iio.imwrite(path, pictures, duration=duration, loop=0)
    return path


def _drawable(images: np.ndarray, *leading: str) -> np.ndarray:
    """Return images, after as many leading axes as are named, as floats in [0, 1]: without channels, or with three."""
    images = np.asarray(images)
    expected = f"images ({', '.join(leading)}, height, width[, channels])"
    if images.ndim not in (len(leading) + 2, len(leading) + 3) or images.size == 0:
        raise ValueError(f"expected at least one of {expected}, got shape {images.shape}")
    if images.ndim == len(leading) + 3:
        if images.shape[-1] not in (1, 3):
            raise ValueError(f"expected {expected} with 1 channel or 3, got {images.shape[-1]}: shape {images.shape}")
        images = images[..., 0] if images.shape[-1] == 1 else images
    if images.dtype == np.uint8:
        return images / 255
    if images.dtype == bool:
        return images.astype(np.float32)
    if images.dtype.kind != "f":
        raise TypeError(f"expected images as floats in [0, 1] or as uint8, got {images.dtype}")
    if not np.isfinite(images).all():
        raise ValueError(f"expected finite pixels, got {np.sum(~np.isfinite(images))} that are NaN or infinite")
    return images.clip(0, 1)


def _closed(figure: Figure) -> Figure:
    plt.close(figure)
    return figure
