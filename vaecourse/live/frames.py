"""Pictures in the order of training, by a slider."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vaecourse.live.packing import packed
from vaecourse.live.page import LiveFigure
from vaecourse.live.stills import tiles

MOST_FRAMES = 60
MOST_PIXELS = 1_500_000


def epochs(
    frames: np.ndarray, names: Sequence[str] | None = None, *, columns: int = 4, caption: str = ""
) -> LiveFigure:
    """Show pictures of every epoch, one at a time, by a slider, or one after the other by a button.

    Parameters
    ----------
    frames : array `(epochs, n, height, width, channels)`
        In [0, 1], of 1 or 3 channels; of more than 60 epochs 60 are kept, evenly spread, and the caption says so.
    names : sequence of str, optional
        Of the epochs; by default "epoch 0" and so on.
    columns : int
        How many of the n pictures stand side by side.
    caption : str
        `[words](#address)` becomes a link.

    Raises
    ------
    ValueError
        If there are fewer than two epochs, too many pixels for a page, or names that do not fit.
    """
    pictures = np.asarray(frames, np.float32)
    if pictures.ndim != 5 or len(pictures) < 2 or pictures.shape[-1] not in (1, 3):
        raise ValueError(f"expected at least two epochs (epochs, n, height, width, 1 or 3), got {pictures.shape}")
    names = [f"epoch {i}" for i in range(len(pictures))] if names is None else [str(name) for name in names]
    if len(names) != len(pictures):
        raise ValueError(f"expected a name for each of {len(pictures)} epochs, got {len(names)}")
    kept = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), MOST_FRAMES)).round().astype(int))
    if pictures[kept].size > MOST_PIXELS:
        raise ValueError(
            f"{pictures[kept].size:,} pixels are too many for a page, which takes {MOST_PIXELS:,}: show fewer pictures"
        )
    if not 1 <= columns <= pictures.shape[1]:
        raise ValueError(f"expected from 1 to {pictures.shape[1]} columns, got {columns}")
    data: dict[str, Any] = {
        "frames": [packed(pictures[i], "bytes") for i in kept],
        "names": [names[i] for i in kept],
        "columns": int(columns),
        "image_shape": list(pictures.shape[2:]),
    }
    facts = "" if len(kept) == len(pictures) else f"{len(kept)} of {len(pictures)} epochs."
    return LiveFigure("epochs", "Epoch by epoch", f"{caption} {facts}".strip(), data, tiles(pictures[-1], columns))
