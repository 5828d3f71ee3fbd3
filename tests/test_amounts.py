"""Numbers that a function is given, and what becomes of those that cannot be meant."""

import keras
import numpy as np
import pytest

from vaecourse import data, measures, models, networks, training
from vaecourse.data import amounts

NO_COUNTS = [0, -3, 1.5, float("nan"), float("inf"), "seven", None, []]
NO_SEEDS = [0.25, float("nan"), "seven", [], {}]
NO_AMOUNTS = [-0.1, 1.1, float("nan"), float("inf"), "seven", None, [], 1j]


@pytest.fixture(scope="module")
def small():
    return models.VAE(*networks.mlp(2, (4,), image_shape=(4, 4, 1), seed=0))


def test_what_can_be_meant_is_returned():
    assert amounts.count(np.int64(3), "sample") == 3
    assert amounts.count(0, "sample", least=0) == 0
    assert amounts.seed(-4) == -4
    assert amounts.amount(np.float32(0.5), "threshold", 0, 1) == 0.5
    assert amounts.amount(0, "threshold", 0, 1) == 0 < 1 == amounts.amount(1, "threshold", 0, 1)


@pytest.mark.parametrize("wrong", NO_COUNTS, ids=repr)
def test_what_is_no_count_is_refused_by_all_that_count(wrong, small):
    x = np.zeros((3, 4, 4, 1), np.float32)
    for call in (
        lambda: amounts.count(wrong, "sample"),
        lambda: data.batches(x, wrong),
        lambda: training.LinearDecay(1e-3, wrong),
        lambda: training.cosine_decay(1e-3, wrong),
        lambda: measures.elbo(small, x, samples=wrong),
        lambda: measures.importance_log_likelihood(small, x, wrong),
        lambda: measures.importance_bounds(np.zeros((6, 3)), [wrong]),
        lambda: measures.exact_log_likelihood(small, x, points=wrong),
        lambda: measures.interpolation(small, np.zeros(2), np.ones(2), wrong),
        lambda: measures.manifold(small, wrong),
        lambda: models.LinearGaussian.random(wrong, 2),
    ):
        with pytest.raises(ValueError, match=r"expected"):
            call()


@pytest.mark.parametrize("wrong", NO_COUNTS, ids=repr)
def test_what_is_no_number_of_latents_is_refused_by_all_networks(wrong):
    for build in (networks.convolutional, networks.pooled, networks.mlp, networks.mlp_with_classifier):
        with pytest.raises(ValueError, match="expected at least one latent, got"):
            build(wrong)
    with pytest.raises(ValueError, match="expected at least one latent, got"):
        models.residual_networks(wrong, (8, 8), (8, 8, 1))
    with pytest.raises(ValueError, match="expected at least one latent, got"):
        measures.prior_norm(wrong)


@pytest.mark.parametrize("wrong", [-1e-5, float("nan"), float("inf"), "seven", [], {}], ids=repr)
def test_what_is_no_floor_of_a_variance_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a finite variance floor"):
        networks.mlp(2, variance_floor=wrong)


@pytest.mark.parametrize("wrong", [(8, 8), (8, 8, 0), (8, 8.0, 1), 8, None, "abc", [4, 4, float("nan")]], ids=repr)
def test_what_is_no_shape_of_images_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected an image shape \(height, width, channels\), got"):
        amounts.image_shape(wrong)
    with pytest.raises(ValueError, match="expected an image shape"):
        networks.mlp(2, image_shape=wrong)


def test_a_shape_of_images_is_returned_and_its_multiples_are_asked_for():
    assert amounts.image_shape([8, np.int64(12), 3], multiple=4) == (8, 12, 3)
    with pytest.raises(ValueError, match=r"multiples of 8, got \(8, 12, 3\)"):
        amounts.image_shape((8, 12, 3), multiple=8)


@pytest.mark.parametrize("shape", [(), (6,), (6, 3, 1)])
def test_weights_without_a_row_for_every_sample_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected log-weights of shape \(samples, n\), got"):
        measures.importance_bounds(np.zeros(shape), [1])


@pytest.mark.parametrize("wrong", NO_SEEDS, ids=repr)
def test_what_is_no_seed_is_refused_by_all_that_draw(wrong, small):
    x = np.zeros((3, 4, 4, 1), np.float32)
    for call in (
        lambda: data.batches(x, 2, wrong),
        lambda: data.binarize_stochastically(x, wrong),
        lambda: measures.elbo(small, x, seed=wrong),
        lambda: measures.importance_log_likelihood(small, x, 4, wrong),
        lambda: measures.gradient_moments(small, x, 40, wrong),
    ):
        with pytest.raises(ValueError, match="expected an integer seed"):
            call()


@pytest.mark.parametrize("wrong", NO_AMOUNTS, ids=repr)
def test_what_is_no_amount_is_refused_by_name(wrong):
    for call in (
        lambda: amounts.amount(wrong, "threshold", 0, 1),
        lambda: data.binarize(np.zeros((1, 2, 2, 1), np.float32), wrong),
        lambda: training.LinearDecay(1e-3, 10, wrong),
        lambda: training.cosine_decay(1e-3, 10, wrong),
    ):
        with pytest.raises(ValueError, match=r"expected a finite (threshold|warmup) from 0 to 1, got"):
            call()


def test_a_checkpoint_of_an_earlier_keras_keeps_the_largest_bound(small):
    """Before Keras 3.10 it decides in its constructor, and takes every metric for a loss."""
    callback = keras.callbacks.ModelCheckpoint("best.weights.h5", "val_elbo", save_weights_only=True)
    callback.mode, callback.monitor_op, callback.best = "auto", np.less, np.inf
    small._directed(callback)
    assert (callback.monitor_op, callback.best) == (np.greater, -np.inf)


@pytest.mark.parametrize("wrong", NO_COUNTS[:3])
def test_an_evaluation_in_no_batches_is_refused(wrong, small):
    small.compile("adam")
    with pytest.raises(ValueError, match="batch size of at least 1, got"):
        small.evaluate(np.zeros((3, 4, 4, 1), np.float32), batch_size=wrong, verbose=0)


@pytest.mark.parametrize("dtype", ["complex64", "O", "<U3"])
def test_what_is_not_real_is_not_made_real(dtype):
    wrong = np.ones((30, 5), dtype)
    with pytest.raises(TypeError, match="expected weights that are real numbers"):
        amounts.reals(wrong, "weights")
    model = models.LinearGaussian.random(5, 2)
    for call in (measures.weight_diagnosis, lambda x: measures.frechet_distance(x, x), model.log_prob):
        with pytest.raises(TypeError, match=f"real numbers, got an array of {wrong.dtype}"):
            call(wrong)
    with pytest.raises(TypeError, match="real numbers"):
        measures.importance_bounds(wrong, [1])
    with pytest.raises(ValueError, match="got NaN or inf"):
        measures.importance_bounds(np.full((3, 2), np.nan), [1])
