"""The nats ruler: what models of binarized MNIST cost, on one axis, so that a chapter can show where it is.

A cost is −log p(x) in nats per test image, or a bound on it: −ELBO.  Every number has a source, and those that the
book measures itself are recomputed by the chapter "Setting up".
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from vaecourse.course import plotting, recipes


class Mark(NamedTuple):
    """A number on the ruler.

    Attributes
    ----------
    name : str
    cost : float
        Nats per test image.
    source : str
        Where the cost comes from: a formula, a chapter, a recipe, or a key of the bibliography.
    """

    name: str
    cost: float
    source: str


def _cost(recipe: str) -> float:
    return -recipes.get(recipe).runs["mnist/full"].elbo.reference


THRESHOLDED = (
    Mark("fair coins", 784 * math.log(2), "784 ln 2"),
    Mark("independent pixels", 205.86, "setup"),
    Mark("2 latents, tutorial", -float(recipes.get("tf-cvae").published or math.nan), "tfcvae"),
    Mark("2 latents, trained better", _cost("tf-cvae-improved"), "recipe tf-cvae-improved"),
    Mark("10 latents", 101.23, "setup"),
)
"""Pixels above one half are ink; no model can cost less than 0, but for that it must know the images."""

DRAWN = (
    Mark("published, 2 latents, ELBO", 137.08, "davidson2018"),
    Mark("published, 20 latents, estimate of log p(x)", 88.9, "davidson2018"),
    Mark("entropy of the draws", 45.53, "setup"),
)
"""Pixels are drawn with the gray as their probability of ink; no model can cost less than the entropy of the draws."""

_INK, _HERE, _PALE = "0.15", "#b84a00", "0.4"
_LONGEST = 570.0  # nats at the left end
_GAP = 78.0  # nats between the middles of two labels


def cost(name: str) -> float:
    """Return the cost of a mark, in nats per image.

    Raises
    ------
    ValueError
        If the ruler has no mark of that name.
    """
    costs = {mark.name: mark.cost for mark in (*THRESHOLDED, *DRAWN)}
    if name not in costs:
        raise ValueError(f"unknown mark {name!r}; there are {', '.join(costs)}")
    return costs[name]


def nats_ruler(
    here: Mapping[str, float] | None = None, images: Mapping[str, np.ndarray] | None = None, inches: float = 7.4
) -> Figure:
    """Draw the costs of models of MNIST in nats per image: thresholded pixels above the axis, drawn ones below.

    Parameters
    ----------
    here : mapping from a name to a cost, optional
        Costs of a chapter's or a reader's own models of thresholded pixels, in nats per image: −ELBO, or −log p(x).
        They are marked "you are here".
    images : mapping from a name of a mark, or of `here`, to an image `(height, width[, channels])`, optional
        Pictures above the marks, such as a digit that the model draws.
    inches : float
        Width of the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If a cost is not on the ruler, which reaches from 0 to 570 nats, if a picture belongs to no mark, or is no
        picture, as by :func:`vaecourse.course.plotting.image_grid`.
    """
    own = [Mark(name, float(value), "here") for name, value in (here or {}).items()]
    for mark in own:
        if not 0 <= mark.cost <= _LONGEST:
            raise ValueError(f"expected a cost from 0 to {_LONGEST:g} nats, got {mark.cost:g} for {mark.name!r}")
    upper = sorted((*THRESHOLDED, *own), key=lambda mark: mark.cost)
    tiles = {name: np.asarray(image)[np.newaxis, np.newaxis] for name, image in (images or {}).items()}
    pictures = {name: plotting.tile(image) for name, image in tiles.items()}
    if unknown := sorted(set(pictures) - {mark.name for mark in upper}):
        raise ValueError(f"no mark for the picture of {', '.join(unknown)}; there are {[mark.name for mark in upper]}")
    lines = max(len(_lines(mark)) for mark in upper)
    top = 1.1 + 0.36 * lines + 1.75 * bool(pictures)
    with plt.style.context("vaecourse.house"):
        figure, axis = plt.subplots(figsize=(inches, 0.41 * (top + 3.1)))
        _draw_axis(axis, top)
        for mark, place in zip(upper, spread([mark.cost for mark in upper]), strict=True):
            _label(axis, mark, place, _HERE if mark.source == "here" else _INK, pictures.get(mark.name))
        lower = sorted(DRAWN, key=lambda mark: mark.cost)
        for mark, place in zip(lower, spread([mark.cost for mark in lower]), strict=True):
            _label(axis, mark, place, _PALE, below=True)
    plt.close(figure)
    return figure


def spread(costs: Sequence[float], gap: float = _GAP) -> np.ndarray:
    """Return where the labels of ascending costs stand: as near to them as can be, `gap` nats apart, on the ruler.

    Of all places with these gaps they have the least squared distance from the costs.  Where so many labels find no
    place on the ruler, the gaps are equally smaller.
    """
    gap = min(gap, _LONGEST / len(costs))
    steps = gap * np.arange(len(costs))
    wanted = np.asarray(costs, float) - steps
    count = range(len(costs))
    # Isotonic regression: the largest, over all beginnings, of the smallest mean, over all ends.
    best = [max(min(wanted[i : j + 1].mean() for j in count[k:]) for i in count[: k + 1]) for k in count]
    return np.clip(best, gap / 2, _LONGEST - gap / 2 - steps[-1]) + steps


def _draw_axis(axis: Axes, top: float) -> None:
    axis.set(xlim=(_LONGEST, 0), ylim=(-3.1, top), yticks=[], xticks=[])
    axis.grid(False)
    axis.set_frame_on(False)
    axis.plot([_LONGEST, 0], [0, 0], color=_INK, linewidth=1.2)
    for tick in range(0, int(_LONGEST), 50):
        axis.plot([tick, tick], [-0.08, 0.08], color=_INK, linewidth=0.8)
        if tick % 100 == 0:
            axis.text(tick, -0.16, str(tick), ha="center", va="top", fontsize=7.5, color=_INK)
    said = ("cost in nats per image, better →", "above: thresholded pixels", "below: drawn pixels")
    for row, (text, color) in enumerate(zip(said, (_INK, _INK, _PALE), strict=True)):
        axis.text(_LONGEST, -1.2 - 0.5 * row, text, va="center", fontsize=8.5, color=color)


def _lines(mark: Mark) -> list[str]:
    name = f"you are here: {mark.name}" if mark.source == "here" else mark.name
    return [*textwrap.wrap(name, 14), f"{mark.cost:.1f}"]


def _label(
    axis: Axes, mark: Mark, place: float, color: str, picture: np.ndarray | None = None, below: bool = False
) -> None:
    """Draw a mark on the axis and a line from it to its label; a picture stands between the two."""
    heights = np.array([0, -0.3, -0.95, -1.1]) if below else np.array([0, 0.3, 0.75, 0.9])
    axis.plot([mark.cost, mark.cost, place, place], heights, color=color, linewidth=0.8)
    axis.plot(mark.cost, 0, marker="^" if below else "v", color=color, markersize=5)
    end = heights[-1] + (-0.05 if below else 0.05)
    if picture is not None:
        shown = OffsetImage(picture, zoom=1.7, cmap="gray_r", clim=(0, 1))
        axis.add_artist(AnnotationBbox(shown, (place, end), frameon=False, box_alignment=(0.5, 0.0), pad=0))
        end += 1.75
    weight = "bold" if mark.source == "here" else "normal"
    axis.text(place, end, "\n".join(_lines(mark)), ha="center", va="top" if below else "bottom",
              fontsize=8, color=color, weight=weight, linespacing=1.05)  # fmt: skip
