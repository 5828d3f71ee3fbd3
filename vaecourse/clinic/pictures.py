"""What is measured of decoded images: what they reach, whether they can learn, what repeats, what they depend on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaecourse.clinic.thresholds import THRESHOLDS
from vaecourse.measures.estimate import Estimate


def of_the_pixels(each: Mapping[str, np.ndarray], x: np.ndarray) -> dict[str, float]:
    """Measure decoded images against the images that they are of.

    Parameters
    ----------
    each : mapping
        The arrays `image`, the decoded means, and maybe `gradient`, that of log p(x|z) at the decoder's output, both of
        the shape of the images.
    x : array `(n, ...)`
    """
    image = np.reshape(each["image"], x.shape)
    low, high = float(image.min()), float(image.max())
    wrong = np.abs(image - x) > THRESHOLDS.wrong
    measured = {
        "smallest decoded pixel": low,
        "largest decoded pixel": high,
        "share of pixels out of reach": float(np.mean((x < low - THRESHOLDS.reach) | (x > high + THRESHOLDS.reach))),
        "share of wrong pixels": float(wrong.mean()),
        "stripes of period 2": checkerboard(image, x),
    }
    if "gradient" in each:
        flat = np.reshape(each["gradient"], x.shape) == 0
        measured["share of zero-gradient pixels"] = float(flat.mean())
        measured["share of wrong pixels without gradient"] = float(flat[wrong].mean()) if wrong.any() else 0.0
    return measured


def checkerboard(decoded: np.ndarray, images: np.ndarray) -> float:
    """Return how far a pattern of period two stands out in decoded images, over how far it does in the images.

    In the spectrum over rows, or over columns, the power at period 2 is compared with that at the periods next to it
    but one; the larger of the two ratios counts.  Of what is no image `(n, height, width, channels)` of 8 pixels at
    least on each side, 0 is returned.
    """
    if images.ndim != 4 or min(images.shape[1:3]) < 8:
        return 0.0
    own, data = _at_period_two(decoded), _at_period_two(images)
    return float(np.max(own / np.maximum(data, 1.0)))


def _at_period_two(images: np.ndarray) -> np.ndarray:
    images = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2].astype(float)
    power = (np.abs(np.fft.fft2(images - images.mean(axis=(1, 2), keepdims=True), axes=(1, 2))) ** 2).mean(axis=(0, 3))
    ratios = []
    for of_axis in (power.sum(axis=1), power.sum(axis=0)):
        half, total = len(of_axis) // 2, of_axis.sum()
        ratios.append(of_axis[half] / (of_axis[half - 3 : half - 1].mean() + 1e-4 * total))
    return np.array(ratios)


def gap(seen: Estimate, held_out: Estimate) -> dict[str, float]:
    """Return how much worse the ELBO of held-out images is, with its error over images."""
    error = float(np.hypot(seen.standard_error, held_out.standard_error))
    return {"elbo of held-out images": held_out.mean, "gap": seen.mean - held_out.mean, "gap standard error": error}


def dependence(decoded: Any, images: Any) -> dict[str, float]:
    """Return the variance over z of decoded pixels, per variance of pixels over images."""
    decoded = np.asarray(decoded)
    return {
        "variance over z, per that of images": float(np.var(decoded, axis=0).mean() / np.var(images, axis=0).mean())
    }
