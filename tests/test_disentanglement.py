"""Shapes of known factors, the total correlation as a penalty, and the mutual information gap."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import VAE, data, measures, networks
from vaecourse.models import BatchParts, TotalCorrelationVAE, batch_parts, objectives

tfd = tfp.distributions

N = 12


def posteriors(seed=0, n=N, d=3):
    rng = np.random.default_rng(seed)
    mean, logvar, eps = (rng.normal(size=(n, d)) for _ in range(3))
    return mean, logvar, eps, mean + np.exp(0.5 * logvar) * eps


def penalized(binary, correlation=1.0, **options):
    vae = TotalCorrelationVAE(
        *networks.mlp(3, (8,), seed=0), training_images=60, correlation=correlation, seed=3, **options
    )
    vae.compile(keras.optimizers.Adam(1e-2))
    return vae


def test_the_parts_of_a_whole_data_set_are_those_of_mixtures():
    """Where the batch holds all images, q(z) is known: a mixture, by TFP."""
    mean, logvar, _, z = posteriors()
    weights = tfd.Categorical(probs=np.full(N, 1 / N))
    scale = np.exp(0.5 * logvar)
    log_q = tfd.MixtureSameFamily(weights, tfd.MultivariateNormalDiag(mean, scale)).log_prob(z).numpy()
    each = [
        tfd.MixtureSameFamily(weights, tfd.Normal(mean[:, j], scale[:, j])).log_prob(z[:, j]).numpy() for j in range(3)
    ]
    given = tfd.MultivariateNormalDiag(mean, scale).log_prob(z).numpy()
    prior = tfd.Normal(np.float64(0), 1).log_prob(z).numpy().sum(axis=1)
    parts = batch_parts(z, mean, logvar, training_images=N)
    assert isinstance(parts, BatchParts)
    np.testing.assert_allclose(parts.information, given - log_q, rtol=1e-9)
    np.testing.assert_allclose(parts.total_correlation, log_q - np.sum(each, axis=0), rtol=1e-9)
    np.testing.assert_allclose(parts.dimension_wise, np.sum(each, axis=0) - prior, rtol=1e-9)


def test_the_density_of_a_batch_is_unbiased():
    """Over all choices of the other images, the estimate of q(z) at one z averages to q(z) itself."""
    mean, logvar, _, z = posteriors()
    given = tfd.MultivariateNormalDiag(mean, np.exp(0.5 * logvar)).log_prob(z).numpy()[0]

    def density(others):
        chosen = [0, *others]
        parts = batch_parts(z[chosen], mean[chosen], logvar[chosen], training_images=N)
        return np.exp(given - parts.information.numpy()[0])

    pairs = [density((i, j)) for i in range(1, N) for j in range(1, i)]
    np.testing.assert_allclose(np.mean(pairs), density(range(1, N)), rtol=1e-9)


def test_the_parts_sum_to_the_sampled_kl_whatever_the_batch():
    mean, logvar, eps, z = posteriors(1)
    parts = batch_parts(z[:5], mean[:5], logvar[:5], training_images=1000)
    np.testing.assert_allclose(sum(parts), objectives.sampled_kl(z[:5], eps[:5], logvar[:5]), rtol=1e-9)


def test_samples_have_an_axis_of_their_own():
    mean, logvar, eps, z = posteriors(2)
    both = batch_parts(np.stack([z, mean - eps]), mean, logvar, 50)
    for part, one in zip(both, batch_parts(z, mean, logvar, 50), strict=True):
        np.testing.assert_allclose(part[0], one, rtol=1e-9)


def test_a_weight_of_one_is_the_elbo_and_a_vae_bit_for_bit(binary):
    vae, plain = penalized(binary), VAE(*networks.mlp(3, (8,), seed=0), seed=3)
    measured = vae.objective(binary[:20], None, vae.noise(20, 0))
    np.testing.assert_array_equal(measured["loss"], -measured["elbo"])
    plain.compile(keras.optimizers.Adam(1e-2))
    for model in (vae, plain):
        model.fit(binary[:60], batch_size=20, epochs=2, verbose=0)
    for one, other in zip(vae.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_objective_by_hand(binary):
    vae = penalized(binary, correlation=4.0, beta=2.0, kl="monte_carlo")
    x, eps = binary[:20], vae.noise(20, 0)
    mean, logvar = vae.posterior_parameters(x)
    z = vae.reparameterize(mean, logvar, eps)
    information, correlation, dimensions = (part.numpy() for part in batch_parts(z, mean, logvar, 60))
    expected = 2 * information + (2 + 3) * correlation + 2 * dimensions - vae.log_likelihood(x, z).numpy()
    measured = vae.objective(x, None, eps)
    np.testing.assert_allclose(measured["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(measured["total_correlation"], correlation, rtol=1e-5)
    np.testing.assert_allclose(
        measured["elbo"], vae.log_likelihood(x, z) - (information + correlation + dimensions), rtol=1e-5
    )


def test_a_penalized_model_is_saved(binary, tmp_path):
    vae = penalized(binary, correlation=3.0)
    vae.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded.correlation, loaded.training_images) == (3.0, 60)
    eps = vae.noise(20, 0)
    np.testing.assert_array_equal(*(m.objective(binary[:20], None, eps)["loss"] for m in (vae, loaded)))


def test_penalties_that_make_no_sense_are_refused(binary):
    parts = networks.mlp(3, (8,), seed=0)
    with pytest.raises(ValueError, match="at least two training images, got 1"):
        TotalCorrelationVAE(*parts, training_images=1)
    with pytest.raises(ValueError, match="finite weight"):
        TotalCorrelationVAE(*parts, training_images=9, correlation=-1.0)
    with pytest.raises(ValueError, match="leaves no single image over"):
        penalized(binary).fit(binary[:21], batch_size=20, verbose=0)


def test_the_factors_of_shapes_can_be_read_off_the_images():
    """Column and row are the center of mass, shape and size follow from the area, which is another for each pair."""
    images, factors = data.shapes()
    assert images.shape == (3072, 28, 28, 1)
    assert len(data.SHAPES) == 3
    assert set(np.unique(images)) == {0, 1}
    area = images.sum(axis=(1, 2, 3))
    for column, axis in ((2, 1), (3, 0)):
        mass = images[..., 0].sum(axis=1 + (1 - axis)) if axis else images[..., 0].sum(axis=2)
        center = mass @ np.arange(28) / area
        np.testing.assert_allclose(center, 6 + factors[:, column], rtol=1e-5)
    by_pair = [np.unique(area[(factors[:, :2] == pair).all(axis=1)]) for pair in np.ndindex(3, 4)]
    assert all(len(areas) == 1 for areas in by_pair)
    assert (np.diff(np.reshape(by_pair, (3, 4))) > 0).all()
    assert len(np.unique(images.reshape(3072, -1), axis=0)) == 3072
    assert data.FACTORS == ("shape", "size", "x", "y")


def test_some_shapes_are_chosen_by_the_seed():
    one, same, other = data.shapes(50, seed=1), data.shapes(50, seed=1), data.shapes(50, seed=2)
    np.testing.assert_array_equal(one.images, same.images)
    assert isinstance(one, data.Shapes)
    assert (one.factors != other.factors).any()
    assert len(np.unique(one.factors, axis=0)) == 50
    with pytest.raises(ValueError, match="got n=5000"):
        data.shapes(5000)


def factors_and_noise():
    factors = data.shapes().factors
    return factors, np.random.default_rng(0).normal(size=(len(factors), 4))


def test_a_perfect_code_has_a_gap_of_one_and_noise_of_none():
    factors, noise = factors_and_noise()
    assert measures.mutual_information_gap(factors.astype(float) ** 3, factors) == pytest.approx(1, abs=1e-9)
    # of noise, each of 19 × 15 cells has half a nat in n: 19 · 15/(2 · 3072) of ln 16 is 0.017
    assert measures.mutual_information_gap(noise, factors).max() < 0.02
    twice = np.hstack([factors, factors]).astype(float)
    np.testing.assert_allclose(measures.mutual_information_gap(twice, factors), 0, atol=1e-9)


def test_a_rotated_code_has_a_smaller_gap():
    factors, noise = factors_and_noise()
    codes = (factors - factors.mean(axis=0)) / factors.std(axis=0) + 0.05 * noise
    angle = np.pi / 4
    rotation = np.eye(4)
    rotation[2:, 2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    straight, turned = (measures.mutual_information_gap(c, factors) for c in (codes, codes @ rotation))
    np.testing.assert_allclose(turned[:2], straight[:2])
    assert (turned[2:] < 0.1).all()
    assert (straight[2:] > 0.5).all()


def test_mutual_information_of_a_known_table():
    codes, factors = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([[0], [1], [1], [1]])
    joint = {(0, 0): 0.25, (0, 1): 0.25, (1, 1): 0.5}
    expected = sum(p * np.log(p / (0.5 * (0.25 if b == 0 else 0.75))) for (_, b), p in joint.items())
    np.testing.assert_allclose(measures.mutual_information(codes, factors, bins=2), [[expected]])


def test_codes_and_factors_that_do_not_fit_are_refused():
    codes, factors = np.zeros((5, 2)), np.zeros((5, 1), int)
    with pytest.raises(TypeError, match="integer levels"):
        measures.mutual_information(codes, factors.astype(float))
    with pytest.raises(ValueError, match="expected codes"):
        measures.mutual_information(codes[:4], factors)
    with pytest.raises(ValueError, match="NaN or infinite"):
        measures.mutual_information(codes + np.nan, factors)
    with pytest.raises(ValueError, match="two bins"):
        measures.mutual_information(codes, factors, bins=1)
    with pytest.raises(ValueError, match="two levels"):
        measures.mutual_information_gap(codes, factors)
    with pytest.raises(ValueError, match="two latents"):
        measures.mutual_information_gap(codes[:, :1], factors)


def test_a_rotated_model_has_the_same_bound(binary):
    """The prior does not change when latents are turned, so that no bound can tell which turn is meant."""
    z = tf.random.stateless_normal((50, 3), (0, 0))
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    prior = penalized(binary).prior_distribution()
    np.testing.assert_allclose(prior.log_prob(z @ rotation.astype(np.float32)), prior.log_prob(z), rtol=1e-5)
