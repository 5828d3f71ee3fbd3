"""Figures of latents in more than two dimensions: embeddings in the plane, and traversals.

As in :mod:`vaecourse.course.plotting`, nothing here encodes, decodes or embeds, and every figure is returned closed.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from vaecourse.course import plotting

_STYLE = "vaecourse.house"
_COLORS = plt.get_cmap("tab10")


def embeddings(panels: Mapping[str, np.ndarray], labels: np.ndarray, inches: float = 3.6) -> Figure:
    """Draw embeddings in the plane side by side, every point as the digit of its label.

    A digit can be read without its color, and where digits overlap it shows.

    Parameters
    ----------
    panels : mapping of str to array `(n, 2)`
        A title for each embedding.
    labels : integer array `(n,)`
        From 0 to 9.
    inches : float
        Side of a panel.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no panel, an embedding is not `(n, 2)` for n labels, or a label is no digit.
    """
    labels = np.asarray(labels)
    shapes = [np.shape(points) for points in panels.values()]
    if not shapes or any(shape != (len(labels), 2) for shape in shapes):
        raise ValueError(f"expected embeddings ({len(labels)}, 2) for {len(labels)} labels, got {shapes}")
    if labels.dtype.kind not in "iu" or not np.isin(labels, range(10)).all():
        raise ValueError("expected integer labels from 0 to 9: each point is drawn as its digit")
    with plt.style.context(_STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(inches * len(panels), inches), squeeze=False)
        for axis, (title, points) in zip(axes[0], panels.items(), strict=True):
            for digit in range(10):
                members = points[labels == digit]
                color = _COLORS(digit)
                axis.scatter(*members.T, s=16, marker=f"${digit}$", color=color, linewidths=0.2, alpha=0.8)
            axis.set(title=title, xticks=[], yticks=[])
            axis.grid(False)
        plt.close(figure)
    return figure


def traversals(images: np.ndarray, values: Sequence[float], row_labels: Sequence[str]) -> Figure:
    """Draw one row of images for each latent that was moved, and what it was set to above each column.

    Parameters
    ----------
    images : array `(latents, values, height, width[, channels])`
        As :func:`vaecourse.measures.traversal` returns them for each latent.
    values : sequence of float
        What the latents were set to.
    row_labels : sequence of str
        One for each latent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If there is not one value for each column and one label for each row; as by
        :func:`vaecourse.course.plotting.image_grid`.
    """
    images = np.asarray(images)
    if images.ndim < 4 or images.shape[:2] != (len(row_labels), len(values)):
        raise ValueError(
            f"expected images ({len(row_labels)}, {len(values)}, height, width[, channels]) for so many labels and "
            f"values, got {images.shape}"
        )
    titles = [f"{value:+.1f}" for value in values] + [""] * (images.shape[0] - 1) * len(values)
    flat = images.reshape(-1, *images.shape[2:])
    return plotting.image_grid(flat, len(values), titles=titles, row_labels=row_labels, size=0.65)
