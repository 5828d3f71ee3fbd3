"""Arrays in, figures out: nothing here decodes, trains or draws at random.

Every function returns the figure, closed to pyplot, so that a notebook shows it once.  Images are drawn as ink on
paper: 1 is black.
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
    """Draw images `(n, height, width[, channels])` in rows of `columns`.

    Parameters
    ----------
    images : array
        Grays (or colors, with three channels) in [0, 1], or uint8.
    columns : int
    titles : sequence of n str, optional
        One above each image.
    row_labels : sequence of str, optional
        One beside each row.
    size : float
        Inches for each image.
    """
    images = _drawable(images)
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
    """Draw a grid of decoded images `(rows, columns, height, width, channels)` as one picture.

    Parameters
    ----------
    images : array
        As :func:`vaecourse.evaluation.manifold` returns it: first latent to the right, second upwards.
    extent : (float, float)
        What is written at the ends of both axes: latents, or quantiles.
    inches : float
        Width of the figure.
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
    """Draw two-dimensional latents `(n, 2)`, colored by label, each class named at its median."""
    if np.ndim(z) != 2 or np.shape(z)[1] != 2 or len(z) != len(labels):
        raise ValueError(f"expected latents (n, 2) and n labels, got {np.shape(z)} and {np.shape(labels)}")
    with plt.style.context(_STYLE):
        figure, axis = plt.subplots(figsize=(6.0, 5.4))
        for index, label in enumerate(np.unique(labels)):
            members = z[labels == label]
            axis.scatter(*members.T, s=3, alpha=0.4, color=plt.cm.tab10(index % 10), linewidths=0)
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
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    return _closed(figure)


def tile(images: np.ndarray) -> np.ndarray:
    """Join images `(rows, columns, height, width, channels)` into one `(rows·height, columns·width[, channels])`."""
    rows, columns, height, width, channels = images.shape
    joined = images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
    return _drawable(joined[np.newaxis])[0]


def animate(frames: Sequence[np.ndarray], path: str | Path, columns: int = 4, seconds: float = 0.5) -> Path:
    """Write a GIF that loops for ever, one grid of images a frame; the last frame stays four times as long.

    Parameters
    ----------
    frames : sequence of arrays `(n, height, width, channels)`
        n must be a multiple of `columns`.
    path : path
        Ending in ``.gif``.
    columns : int
    seconds : float
        For each frame.

    Returns
    -------
    Path
    """
    path = Path(path)
    if path.suffix != ".gif" or not len(frames):
        raise ValueError(f"expected at least one frame and a path ending in .gif, got {len(frames)} and {path}")
    pictures = [tile(np.reshape(frame, (-1, columns, *np.shape(frame)[1:]))) for frame in frames]
    inked = [np.rint(255 * (1 - picture.clip(0, 1))).astype(np.uint8) for picture in pictures]
    enlarged = [picture.repeat(3, axis=0).repeat(3, axis=1) for picture in inked]
    milliseconds = [1000 * seconds] * (len(enlarged) - 1) + [4000 * seconds]
    duration = milliseconds if len(enlarged) > 1 else milliseconds[0]  # Pillow takes no list for a single frame
    iio.imwrite(path, enlarged, duration=duration, loop=0)
    return path


def _drawable(images: np.ndarray) -> np.ndarray:
    """Scale uint8 to [0, 1] and drop a single channel."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        images = images / 255
    return images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images


def _closed(figure: Figure) -> Figure:
    plt.close(figure)
    return figure
