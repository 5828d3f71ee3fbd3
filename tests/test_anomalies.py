"""Scores of anomaly against scikit-learn and resampling; plots of latents."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from vaecourse import measures
from vaecourse.course import latent_plots


def scores(n, m, shift, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    usual, anomalous = rng.normal(size=n), rng.normal(size=m) + shift
    return (usual.round(), anomalous.round()) if ties else (usual, anomalous)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shift", [-2.0, 0.0, 0.7, 20.0])
def test_the_area_is_that_of_scikit_learn(shift, ties):
    usual, anomalous = scores(60, 40, shift, ties=ties)
    expected = roc_auc_score(np.repeat([0, 1], [60, 40]), np.concatenate([usual, anomalous]))
    assert np.isclose(measures.auroc(usual, anomalous).mean, expected, rtol=1e-12)


def test_the_standard_error_is_the_spread_over_fresh_draws():
    found = [measures.auroc(*scores(150, 100, 0.8, seed)) for seed in range(800)]
    spread = np.std([area.mean for area in found], ddof=1)
    # The spread of 800 values is known to 1/√1600, 2.5 %.
    assert np.isclose(np.mean([area.standard_error for area in found]), spread, rtol=0.1)


def test_scores_that_are_too_few_or_nan_are_refused():
    with pytest.raises(ValueError, match="at least two scores"):
        measures.auroc(np.ones(1), np.ones(3))
    with pytest.raises(ValueError, match="NaN"):
        measures.auroc(np.ones(3), np.array([0.0, np.nan]))


def test_noise_takes_more_to_write_down_than_a_blank_image_and_no_more_than_its_bytes():
    rng = np.random.default_rng(0)
    noise = (rng.integers(256, size=(3, 28, 28, 1)) / 255).astype(np.float32)
    found = measures.compressed_size(np.concatenate([noise, np.zeros_like(noise)]))
    bits = found / np.log(2)
    assert (bits[:3] >= 784 * 8).all()
    assert (bits[:3] < 784 * 8 + 200).all()
    assert (bits[3:] < 200).all()
    with pytest.raises(TypeError, match="uint8"):
        measures.compressed_size(np.zeros((1, 28, 28, 1), np.uint8))


def test_a_share_of_the_pixels_is_mutated_into_levels():
    grays = np.full((20, 28, 28, 1), 0.5, np.float32)
    found = measures.mutated(grays, 0.3, seed=1)
    assert found.dtype == np.float32
    changed = found != grays
    assert abs(changed.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / grays.size)
    levels = found[changed] * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    assert abs(levels.mean() - 127.5) < 4 * 74 / np.sqrt(changed.sum())
    np.testing.assert_array_equal(found, measures.mutated(grays, 0.3, seed=1))
    np.testing.assert_array_equal(measures.mutated(grays, 0.0), grays)
    with pytest.raises(ValueError, match="from 0 to 1"):
        measures.mutated(grays, 1.5)


def test_plots_of_latents_are_closed_figures_that_show_all_they_are_given():
    rng = np.random.default_rng(0)
    labels, points = np.arange(40) % 10, rng.normal(size=(40, 2))
    figure = latent_plots.embeddings({"one": points, "two": -points}, labels)
    assert isinstance(figure, Figure)
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    for axis, sign in zip(figure.axes, (1, -1), strict=True):
        shown = np.concatenate([part.get_offsets() for part in axis.collections])
        np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(sign * points, axis=0))
    images = rng.uniform(size=(2, 3, 5, 4, 1))
    figure = latent_plots.traversals(images, (-2, 0, 2), ("latent 1", "latent 7"))
    shown = np.array([axis.images[0].get_array() for axis in figure.axes])
    np.testing.assert_array_equal(shown, images.reshape(6, 5, 4))
    assert [axis.get_title() for axis in figure.axes[:3]] == ["-2.0", "+0.0", "+2.0"]
    assert plt.get_fignums() == []


def test_what_cannot_be_plotted_is_refused():
    with pytest.raises(ValueError, match="embeddings"):
        latent_plots.embeddings({"one": np.zeros((4, 3))}, np.zeros(4, int))
    with pytest.raises(ValueError, match="labels from 0 to 9"):
        latent_plots.embeddings({"one": np.zeros((4, 2))}, np.full(4, 11))
    with pytest.raises(ValueError, match="so many labels"):
        latent_plots.traversals(np.zeros((2, 3, 5, 4, 1)), (0, 1), ("a", "b"))
