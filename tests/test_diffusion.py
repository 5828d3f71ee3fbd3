"""Diffusion as a VAE: numpy, normal distributions and a pixel whose guess is known judge the bound."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vaecourse import models, networks
from vaecourse.models import level_networks

SHAPE = (4, 3, 1)


def pictures(n: int = 12, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, *SHAPE)) < 0.4).astype(np.float32)


def small(levels: int = 5, known: bool = False, **options) -> models.DiffusionVAE:
    """Return a model whose network is at random, or adds nothing."""
    network = models.denoiser((8,), SHAPE)
    if not known:
        rng = np.random.default_rng(1)
        network.set_weights([0.5 * rng.normal(size=weight.shape) for weight in network.get_weights()])
    return models.DiffusionVAE(network, levels, **options)


def normal_kl(mean, variance, other_mean, other_variance):
    return 0.5 * (variance / other_variance + (mean - other_mean) ** 2 / other_variance - 1) - 0.5 * np.log(
        variance / other_variance
    )


def posterior(z, x, upper, lower):
    """Mean and variance of q(z_s|z_t, x), by Bayes' rule from q(z_s|x) and q(z_t|z_s)."""
    (a_t, v_t), (a_s, v_s) = ((np.sqrt(1 / (1 + np.exp(-g))), 1 / (1 + np.exp(g))) for g in (upper, lower))
    step = a_t / a_s
    added = v_t - step**2 * v_s  # the variance of q(z_t|z_s)
    precision = 1 / v_s + step**2 / added
    return (a_s * x / v_s + step * z / added) / precision, 1 / precision


def test_the_terms_are_those_of_normal_distributions():
    """Every KL is computed anew from means and variances of both sides, not from the ratio of signal to noise."""
    vae, x = small(), pictures()
    terms, signs = vae.terms(x, seed=3), 2 * x.astype(np.float64) - 1
    gammas = np.linspace(3.0, -8.0, 6)
    alphas, deviations = np.sqrt(1 / (1 + np.exp(-gammas))), np.sqrt(1 / (1 + np.exp(gammas)))
    noise = [np.float64(tf.random.stateless_normal(x.shape, (3, level))) for level in range(6)]
    for level in range(1, 6):
        z = alphas[level] * signs + deviations[level] * noise[level]
        gamma = np.full((len(x), 1), gammas[level], np.float32)
        added = vae.network([z.astype(np.float32), gamma]).numpy()
        guess = np.tanh(0.5 * (2 * alphas[level] * z / deviations[level] ** 2 + added))
        q = posterior(z, signs, gammas[level], gammas[level - 1])
        p = posterior(z, guess, gammas[level], gammas[level - 1])
        expected = normal_kl(*q, *p).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(terms.level_kls[level - 1], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        terms.prior_kl, normal_kl(alphas[-1] * signs, deviations[-1] ** 2, 0, 1).sum(axis=(1, 2, 3)), rtol=1e-3
    )
    z = alphas[0] * signs + deviations[0] * noise[0]
    of_one, of_minus_one = (stats.norm.pdf(z, sign * alphas[0], deviations[0]) for sign in (1, -1))
    log_p = np.log(np.where(signs > 0, of_one, of_minus_one) / (of_one + of_minus_one)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(terms.log_likelihood, log_p, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(terms.elbo, log_p - terms.prior_kl - terms.level_kls.numpy().sum(0), rtol=1e-4)


def test_of_single_levels_the_objective_is_the_bound_on_average():
    vae, x = small(3), np.repeat(pictures(1), 4000, axis=0)
    found = vae.objective(x, None, vae.noise(4000, 0))
    every = vae.terms(x, seed=1)
    for single, all_of_them in (("elbo", every.elbo), ("log_likelihood", every.log_likelihood)):
        difference = found[single] - all_of_them
        assert abs(np.mean(difference)) < 5 * np.std(difference) / np.sqrt(4000)
    np.testing.assert_allclose(found["loss"], -found["elbo"])
    assert np.std(found["diffusion_kl"]) > 0


def test_levels_have_their_noise_and_their_kl_each():
    vae, x = small(), pictures()
    log_snr, eps = vae.log_snr_of(2), tf.ones(x.shape)
    alpha = 1 / np.sqrt(1 + np.exp(-float(log_snr)))
    np.testing.assert_allclose(vae.noised(x, log_snr, eps), alpha * (2 * x - 1) + np.sqrt(1 - alpha**2), rtol=1e-5)
    levels = tf.constant([1, 5, 2])
    together = vae.level_kl(x[:3], levels, eps[:3])
    for index, level in enumerate((1, 5, 2)):
        alone = vae.level_kl(x[index : index + 1], tf.constant([level]), eps[:1])
        np.testing.assert_allclose(together[index], alone[0], rtol=1e-4)


def test_of_several_samples_the_first_is_used():
    vae, x = small(), pictures()
    eps = tf.stack([vae.noise(len(x), 0), vae.noise(len(x), 1)])
    np.testing.assert_array_equal(vae.objective(x, None, eps)["loss"], vae.objective(x, None, eps[0])["loss"])


@pytest.mark.parametrize("levels", [1, 2, 6])
def test_pixels_of_a_fair_coin_have_the_bound_of_a_quadrature(levels):
    """A network that adds nothing guesses E[x|z] of a fair coin: one pixel, one dimension, Gauss and Hermite."""
    vae = small(levels, known=True)
    points, weights = np.polynomial.hermite_e.hermegauss(120)
    weights /= weights.sum()
    gammas = np.linspace(3.0, -8.0, levels + 1)

    def missed(gamma):  # E (1 − tanh(g + √g ε))², g = SNR, by symmetry the same for both faces
        snr = np.exp(gamma)
        return weights @ (1 - np.tanh(snr + np.sqrt(snr) * points)) ** 2

    snr = np.exp(gammas)
    kls = [0.5 * (snr[t - 1] - snr[t]) * missed(gammas[t]) for t in range(1, levels + 1)]
    alpha2 = 1 / (1 + np.exp(-gammas[-1]))
    expected = -sum(kls) + 0.5 * np.log(1 - alpha2)
    expected -= weights @ np.log1p(np.exp(-2 * (snr[0] + np.sqrt(snr[0]) * points)))
    x = pictures(500)
    per_pixel = vae.terms(x).elbo.numpy() / 12
    assert abs(per_pixel.mean() - expected) < 5 * per_pixel.std() / np.sqrt(500)
    assert expected < -np.log(2)


def test_with_more_levels_the_bound_of_a_fair_coin_comes_to_log_two():
    """½ ∫ E(x − E[x|z])² dSNR is the information about the coin: with enough levels the bound is exact."""
    x, found = pictures(300), []
    for levels in (4, 125, 250):
        vae = small(levels, known=True, log_snr=(4.0, -9.0))
        found.append(vae.terms(x).elbo.numpy().mean() / 12)
    assert found[0] < found[1] < found[2]
    missing = -np.log(2) - np.array(found)
    assert 0 < missing[2] < 0.03
    assert 0.4 < missing[2] / missing[1] < 0.6  # a sum over intervals: its error is of the order of their length


def test_the_way_down_follows_the_distributions_of_the_way_up():
    """Of a fair coin per pixel, samples are fair, and almost black or white."""
    images = small(30, known=True).sample(200, seed=1).numpy()
    assert np.mean((images > 0.01) & (images < 0.99)) < 0.02
    assert abs(images.mean() - 0.5) < 4 * 0.5 / np.sqrt(images.size)


def test_a_step_down_is_a_draw_of_the_posterior_with_the_guess():
    vae, z = small(), tf.constant(np.random.default_rng(0).normal(size=(3, *SHAPE)), tf.float32)
    upper, lower = vae.log_snr_of(3), vae.log_snr_of(2)
    below, guess = vae._down(z, upper, lower, tf.zeros_like(z))
    above = vae._down(z, upper, lower, tf.ones_like(z))[0]
    mean, variance = posterior(z.numpy(), guess.numpy(), float(upper), float(lower))
    np.testing.assert_allclose(below, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(above - below, np.full(z.shape, np.sqrt(variance)), rtol=1e-3)
    np.testing.assert_allclose(guess, vae.guess(z, tf.fill((3, 1, 1, 1), upper)), rtol=1e-5, atol=1e-6)


def test_kept_guesses_end_in_the_images():
    vae = small()
    kept = vae.sample(2, seed=4, kept=3)
    assert kept.shape == (4, 2, *SHAPE)
    np.testing.assert_array_equal(kept[-1], vae.sample(2, seed=4))


def test_what_is_trained_and_saved_comes_back(tmp_path):
    x, vae = pictures(40), small(7, seed=3)
    vae.compile("adam")
    history = vae.fit(x, batch_size=20, epochs=2, validation_data=x, verbose=0).history
    assert set(history) == {*vae.measured, *(f"val_{name}" for name in vae.measured)}
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    assert (loaded.levels, loaded.log_snr, loaded.seed) == (7, (3.0, -8.0), 3)
    np.testing.assert_array_equal(loaded.terms(x).elbo, vae.terms(x).elbo)
    np.testing.assert_array_equal(loaded(x), vae(x))


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: small(0), ValueError, "levels ≥ 1"),
        (lambda: small(log_snr=(-8.0, 3.0)), ValueError, "to fall from level 0"),
        (lambda: small(log_snr=(np.inf, 3.0)), ValueError, "to fall"),
        (lambda: small(seed=-1), ValueError, "seed=-1"),
        (lambda: models.DiffusionVAE(networks.mlp(2, (8,))[0]), ValueError, "expected a network from images"),
        (lambda: small().terms(0.5 * pictures()), ValueError, "grays in between"),
        (lambda: small().terms(pictures()[:, :3]), ValueError, r"expected images of shape \(n, 4, 3, 1\)"),
        (lambda: small().objective(pictures().astype(int), None, None), TypeError, "expected float images"),
        (lambda: models.denoiser((), SHAPE), ValueError, "at least one layer"),
        (lambda: level_networks.denoiser((8,), (4, 3)), ValueError, "image shape"),
    ],
)
def test_what_cannot_be_is_refused(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_terms_have_names():
    assert models.DiffusionTerms._fields == ("log_likelihood", "prior_kl", "level_kls")
