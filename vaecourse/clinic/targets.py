"""The part of a loss that compares outputs with images: how much it weighs, and which image is compared with which."""

from typing import Any

import numpy as np
import tensorflow as tf

from vaecourse.clinic.asking import Probe
from vaecourse.clinic.fitting import line, unexplained
from vaecourse.clinic.thresholds import THRESHOLDS

IMAGES = 3  # that are compared with outputs, each with each


def weight(probe: Probe, rng: np.random.Generator) -> tuple[float, float, np.ndarray]:
    """Return the weight of the log-likelihood, what it leaves unexplained, and who is compared with whom."""
    x, y = probe.images(np.arange(IMAGES))
    n, vae = len(x), probe.vae
    zeros, losses, features = np.zeros((n, probe.d)), [], []
    for scale in np.tile([0.3, 1.0, 2.0, 4.0], 5):
        output = tf.constant(scale * rng.normal(size=(n, *vae.image_shape)), x.dtype)
        loss, _, seen = probe(x, y, zeros, zeros, output.numpy(), np.ones_like(zeros))
        losses.append(-np.mean(loss))
        features.append(vae.likelihood.distribution(output[:, tf.newaxis]).log_prob(x).numpy() / n)
    each = np.array(features, float)
    own = np.einsum("pii->p", each)
    slope, intercept = line(own, np.array(losses))
    error = unexplained(np.array(losses), intercept + slope * own)
    matrix = np.concatenate([each.reshape(len(each), -1), np.ones((len(each), 1))], axis=1)
    weights = np.linalg.lstsq(matrix, np.array(losses))[0] if np.isfinite(losses).all() else np.full(n * n + 1, np.nan)
    share = weights[:-1].reshape(n, n) / max(np.abs(weights[:-1].sum()), 1e-30) * n
    exact = unexplained(np.array(losses), matrix @ weights) < 0.1 * THRESHOLDS.form
    if not (exact and np.abs(share - np.rint(share)).max() < 0.05 and (np.rint(share).sum(axis=0) == 1).all()):
        return slope, error, np.full((n, n), np.nan)
    targets = _of_whom(seen, x) @ np.rint(share)
    if np.trace(share) < n - 0.5:  # of other images, it is a likelihood all the same
        slope, error = float(weights[:-1].sum() / n), 0.0
    return slope, error, targets


def _of_whom(seen: Any, x: tf.Tensor) -> np.ndarray:
    """Return of which image each row is that the encoder was handed; of its own, where that is not to be seen."""
    if seen is None or np.size(seen) != np.size(x):
        return np.eye(len(x))
    rows, images = (np.reshape(part, (len(x), -1)) for part in (seen, x))
    same = np.array([[np.allclose(row, image, atol=1e-6) for row in rows] for image in images], float)
    return same if (same.sum(axis=0) == 1).all() and (same.sum(axis=1) == 1).all() else np.eye(len(x))


def told(targets: np.ndarray) -> str:
    """Say what each image's output is compared with."""
    if not np.isfinite(targets).all():
        return "cannot be known"
    return "the image itself" if np.trace(targets) > len(targets) - 0.5 else "another image of the batch"
