r"""How far the samples of a model are from images, in the features of a classifier: a Fréchet distance."""

import keras
import numpy as np

from vaecourse import data
from vaecourse.data import amounts
from vaecourse.training import EVALUATION_BATCH


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    r"""Return the squared 2-Wasserstein distance of two normal distributions that are fitted to features.

    With the means m and the covariances S of the two sets,

    .. math:: \|m_a - m_b\|^2 + \operatorname{tr}\big(S_a + S_b - 2 (S_a S_b)^{1/2}\big).

    It is 0 where means and covariances agree, whatever else differs.  In the features of the Inception network it is
    the *Fréchet inception distance*, FID :cite:p:`heusel2017`; in others its values cannot be compared with published
    ones.

    Parameters
    ----------
    features_a, features_b : array `(n, d)` and `(m, d)`
        At least two rows each, finite.

    Returns
    -------
    float
        In the unit of the features squared; 0 or more, and symmetric in the arguments up to rounding.

    Raises
    ------
    TypeError
        If the features are no real numbers.
    ValueError
        If the features are no such arrays.

    Notes
    -----
    Estimated from few rows it is too large: two samples of one distribution have different covariances, and every
    difference counts.  The bias falls like 1/n, and grows with d; only distances of equal n can be compared.
    """
    (mean_a, root_a), (mean_b, root_b) = (_fitted(features) for features in (features_a, features_b))
    if len(mean_a) != len(mean_b):
        raise ValueError(f"expected features of equal length, got {len(mean_a)} and {len(mean_b)}")
    # tr (S_a S_b)^½ is the sum of the singular values of √S_a √S_b
    overlap = np.linalg.svd(root_a @ root_b, compute_uv=False).sum()
    spread = np.sum(root_a**2) + np.sum(root_b**2) - 2 * overlap
    return float(np.sum((mean_a - mean_b) ** 2) + max(spread, 0.0))


def classifier_features(classifier: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return what the last layer of a classifier that still has positions finds, averaged over the positions.

    Parameters
    ----------
    classifier : keras.Model
        With a convolution or a pooling, as :func:`vaecourse.models.networks.convolutional_classifier`, whose features
        are 64.
    images : array `(n, height, width, channels)`

    Returns
    -------
    array `(n, d)`, float64

    Raises
    ------
    ValueError
        If no layer of the classifier has positions, or the images are not those that it takes.
    """
    spatial = [layer for layer in classifier.layers if len(getattr(layer.output, "shape", ())) == 4]
    if not spatial:
        raise ValueError(f"expected a classifier with convolutions, got layers {[x.name for x in classifier.layers]}")
    if np.shape(images)[1:] != classifier.input_shape[1:] or not len(images):
        raise ValueError(f"expected images (n, {classifier.input_shape[1:]}), n ≥ 1; got {np.shape(images)}")
    planes = keras.Model(classifier.inputs, spatial[-1].output)
    found = [np.mean(planes(x), axis=(1, 2), dtype=np.float64) for x in data.batches(images, EVALUATION_BATCH)]
    return np.concatenate(found)


def _fitted(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of features, and the symmetric square root of their covariance."""
    features = amounts.reals(features, "features").astype(np.float64)
    if features.ndim != 2 or len(features) < 2 or not features.size:
        raise ValueError(f"expected features (n, d), n ≥ 2; got shape {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError(f"expected finite features, got {np.sum(~np.isfinite(features))} that are not")
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(features, rowvar=False)))
    return features.mean(axis=0), (vectors * np.sqrt(values.clip(0))) @ vectors.T
