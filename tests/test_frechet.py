"""The Fréchet distance of features against closed forms and SciPy, its bias, and the features of a classifier."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from vaecourse import networks
from vaecourse.measures import classifier_features, frechet_distance


def exact(mean, covariance, n: int = 60, seed: int = 0) -> np.ndarray:
    """Return rows that have this mean and this covariance, up to rounding."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def covariance(d: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(d, d))
    return factor @ factor.T + 0.1 * np.eye(d)


def test_equal_distributions_are_at_distance_zero():
    mean, spread = np.arange(4.0), covariance(4, 0)
    assert frechet_distance(exact(mean, spread, seed=1), exact(mean, spread, n=35, seed=2)) < 1e-10
    x = exact(mean, spread)
    assert frechet_distance(x, x[::-1]) < 1e-10


def test_a_shift_costs_its_square():
    shift, spread = np.array([3.0, 0.0, -4.0]), covariance(3, 0)
    assert np.isclose(frechet_distance(exact(np.zeros(3), spread), exact(shift, spread)), 25)


def test_covariances_that_commute_cost_the_squares_of_the_differences_of_deviations():
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    a, b = np.array([1.0, 4.0, 0.25, 9.0]), np.array([2.0, 1.0, 0.5, 9.0])
    sets = [exact(np.zeros(4), (rotation * values) @ rotation.T, seed=i) for i, values in enumerate((a, b))]
    assert np.isclose(frechet_distance(*sets), np.sum((np.sqrt(a) - np.sqrt(b)) ** 2))


@given(st.integers(1, 6), st.integers(0, 1000))
def test_it_is_the_formula_with_the_matrix_root_of_scipy(d, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(40, d)) @ covariance(d, seed) + rng.normal(size=d)
    b = rng.normal(size=(30, d)) @ covariance(d, seed + 1)
    of_a, of_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = linalg.sqrtm(of_a @ of_b).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(of_a + of_b - 2 * root)
    scale = np.trace(of_a) + np.trace(of_b)
    found = frechet_distance(a, b)
    assert abs(found - expected) < 1e-6 * scale  # sqrtm loses half of the digits where a matrix is nearly singular
    assert abs(found - frechet_distance(b, a)) < 1e-10 * scale


def test_fewer_rows_than_features_are_no_trouble():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 20)), rng.normal(size=(7, 20))
    assert 0 < frechet_distance(a, b) < 60


def test_of_one_distribution_it_is_positive_and_falls_with_the_number_of_rows():
    rng = np.random.default_rng(0)
    found = {n: np.mean([frechet_distance(*rng.normal(size=(2, n, 10))) for _ in range(20)]) for n in (50, 200, 800)}
    for n in (50, 200):  # like 1/n; twenty repetitions leave a few percent
        assert 3 < found[n] / found[4 * n] < 5


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), "features of equal length, got 2 and 3"),
        (np.zeros(4), np.zeros((4, 3)), r"features \(n, d\), n ≥ 2; got shape \(4,\)"),
        (np.zeros((1, 3)), np.zeros((4, 3)), "n ≥ 2"),
        (np.zeros((4, 3)), np.full((4, 3), np.nan), "finite features, got 12"),
    ],
)
def test_what_is_no_features_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)


def test_the_features_are_averages_of_the_last_planes(grays):
    classifier = networks.convolutional_classifier(seed=0)
    features = classifier_features(classifier, grays[:30])
    assert features.shape == (30, 64)
    h = grays[:30]
    for layer in classifier.layers[:4]:
        h = layer(h)
    np.testing.assert_allclose(features, np.mean(h, axis=(1, 2)), atol=1e-5)
    assert classifier.layers[4].name.startswith("flatten")


def test_features_of_other_classifiers_and_images_are_refused(grays):
    flat = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.raises(ValueError, match="expected a classifier with convolutions"):
        classifier_features(flat, grays[:3])
    with pytest.raises(ValueError, match=r"expected images .*28, 28, 1.*got \(3, 14, 28, 1\)"):
        classifier_features(networks.convolutional_classifier(seed=0), grays[:3, ::2])
