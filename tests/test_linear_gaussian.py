"""The model on which everything is known, checked against scipy, and then used to check every estimator."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vaecourse import likelihoods, measures, models, networks, objectives, training
from vaecourse.models import linear_gaussian

PIXELS, LATENTS, N = 7, 3, 6


@pytest.fixture(scope="module")
def model():
    return linear_gaussian.LinearGaussian.random(PIXELS, LATENTS, seed=1)


@pytest.fixture(scope="module")
def x(model):
    return model.sample(N, seed=2)


def noise(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_log_prob_is_that_of_a_multivariate_normal(model, x):
    covariance = model.weights @ model.weights.T + model.sigma**2 * np.eye(PIXELS)
    expected = stats.multivariate_normal(model.bias, covariance).logpdf(x)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-12)


def test_the_posterior_follows_from_bayes_theorem(model, x):
    z = noise(N, LATENTS)
    joint = model.log_likelihood(x, z) + stats.norm.logpdf(z).sum(axis=-1)
    np.testing.assert_allclose(joint - model.posterior(x).log_prob(z), model.log_prob(x), rtol=1e-11)


def test_log_likelihood_is_that_of_independent_pixels(model, x):
    z = noise(4, N, LATENTS)
    expected = stats.norm(z @ model.weights.T + model.bias, model.sigma).logpdf(x).sum(axis=-1)
    np.testing.assert_allclose(model.log_likelihood(x, z), expected, rtol=1e-12)


def test_samples_have_the_mean_and_the_covariance_of_the_model(model):
    n = 20_000
    centered = model.sample(n) - model.bias
    products = np.einsum("ni,nj->nij", centered, centered)
    covariance = model.weights @ model.weights.T + model.sigma**2 * np.eye(PIXELS)
    # 7 means and 28 covariances: 4 standard errors leave a chance of 2e-3 that sound samples fail; the seed is fixed.
    for draws, expected in ((centered, 0), (products, covariance)):
        standard_error = draws.std(axis=0) / np.sqrt(n)
        np.testing.assert_array_less(np.abs(draws.mean(axis=0) - expected), 4 * standard_error)


def test_samples_and_random_models_are_functions_of_the_seed(model):
    again = linear_gaussian.LinearGaussian.random(PIXELS, LATENTS, seed=1)
    other = linear_gaussian.LinearGaussian.random(PIXELS, LATENTS, seed=2)
    np.testing.assert_array_equal(again.weights, model.weights)
    assert not np.isclose(other.weights, model.weights).any()
    np.testing.assert_array_equal(again.sample(5, seed=3), model.sample(5, seed=3))
    assert not np.isclose(model.sample(5, seed=3), model.sample(5, seed=4)).any()


def test_what_the_elbo_lacks_to_the_log_likelihood_is_the_gap(model, x):
    mean, logvar = noise(N, LATENTS), noise(N, LATENTS, seed=4)
    lacking = model.log_prob(x) - model.elbo(x, mean, logvar)
    np.testing.assert_allclose(lacking, model.gap(x, mean, logvar), rtol=1e-11)
    assert (lacking.numpy() > 0).all()


def test_the_elbo_is_the_mean_of_the_log_weights(model, x):
    n = 20_000
    mean, logvar = noise(N, LATENTS), noise(N, LATENTS, seed=4)
    log_weights = model.log_weights(x, mean, logvar, noise(n, N, LATENTS, seed=5)).numpy()
    standard_error = log_weights.std(axis=0) / np.sqrt(n)
    np.testing.assert_array_less(np.abs(log_weights.mean(axis=0) - model.elbo(x, mean, logvar)), 4 * standard_error)


def test_the_mean_field_posterior_is_where_the_gap_is_smallest(model, x):
    mean, logvar = model.mean_field_posterior(x)
    smallest = model.gap(x, mean, logvar).numpy()
    for seed in range(8):
        direction = noise(2, N, LATENTS, seed=seed)
        for size in (1e-3, 0.1, 1.0):
            for sign in (-1, 1):
                step = sign * size * direction
                assert (model.gap(x, mean + step[0], logvar + step[1]).numpy() > smallest).all()


def test_with_one_latent_the_mean_field_posterior_is_exact():
    model = linear_gaussian.LinearGaussian.random(PIXELS, latent_dim=1)
    x = model.sample(N)
    np.testing.assert_allclose(model.gap(x, *model.mean_field_posterior(x)), 0, atol=1e-13)


def test_the_importance_weighted_bound_climbs_from_the_elbo_towards_the_log_likelihood(model):
    n = 8_000
    x = model.sample(n)
    posterior = model.mean_field_posterior(x)
    previous = model.elbo(x, *posterior).numpy()
    for seed, samples in enumerate((2, 5, 20)):
        log_weights = model.log_weights(x, *posterior, noise(samples, n, LATENTS, seed=seed))
        bound = objectives.importance_weighted_bound(log_weights).numpy()
        for difference in (bound - previous, model.log_prob(x).numpy() - bound):
            assert difference.mean() > 4 * difference.std() / np.sqrt(n)
        previous = bound


def orthogonal_model() -> linear_gaussian.LinearGaussian:
    """Return a model whose posterior factorizes: the columns of its weights are orthogonal."""
    weights = np.linalg.qr(noise(PIXELS, LATENTS))[0] * [0.5, 1.0, 1.5]
    return linear_gaussian.LinearGaussian(weights, np.zeros(PIXELS), sigma=0.5)


def test_the_mean_weight_is_the_likelihood_where_the_proposal_is_wider_than_the_posterior():
    n, model = 40_000, orthogonal_model()
    x = model.sample(N)
    mean, logvar = model.mean_field_posterior(x)
    np.testing.assert_allclose(model.gap(x, mean, logvar), 0, atol=1e-12)
    log_weights = model.log_weights(x, mean, logvar + np.log(1.2), noise(n, N, LATENTS))
    ratios = np.exp(log_weights - model.log_prob(x)[np.newaxis])
    # Of q = N(m, 1.2 S) the second moment of w/p(x) is (1.2 / √1.4)^d, finite; a narrower q may have none.
    second_moment = (1.2 / np.sqrt(1.4)) ** LATENTS
    standard_error = np.sqrt((second_moment - 1) / n)
    np.testing.assert_array_less(np.abs(ratios.mean(axis=0) - 1), 4 * standard_error)
    squares = ratios**2
    np.testing.assert_array_less(np.abs(squares.mean(axis=0) - second_moment), 4 * squares.std(axis=0) / np.sqrt(n))


def test_the_importance_weighted_bound_misses_half_the_variance_of_the_mean_weight():
    n, samples, model = 20_000, 20, orthogonal_model()
    x = model.sample(1)
    mean, logvar = model.mean_field_posterior(x)
    log_weights = model.log_weights(x, mean, logvar + np.log(1.2), noise(samples, n, LATENTS)[:, :, np.newaxis])
    gap = (model.log_prob(x) - objectives.importance_weighted_bound(log_weights)).numpy()
    expected = ((1.2 / np.sqrt(1.4)) ** LATENTS - 1) / (2 * samples)
    standard_error = gap.std() / np.sqrt(n)
    # The next term of the expansion is of order 1/K²: a K-th of the first.
    assert abs(gap.mean() - expected) < 4 * standard_error + expected / samples


@pytest.fixture(scope="module")
def linear_vae():
    """A VAE with linear networks, set to the parameters of a linear-Gaussian model and to its best encoder."""
    rng = np.random.default_rng(0)
    shape = (3, 2, 1)
    model = linear_gaussian.LinearGaussian(rng.normal(0, 0.6, (6, 2)), rng.uniform(0.3, 0.7, 6), sigma=0.4)
    encoder, decoder = networks.mlp(latent_dim=2, hidden=(), image_shape=shape)
    decoder.set_weights([model.weights.T, model.bias])
    to_mean = model.weights @ model.posterior_covariance / model.sigma**2
    _, logvar = model.mean_field_posterior(model.bias[np.newaxis])
    encoder.set_weights([np.hstack([to_mean, np.zeros((6, 2))]), np.concatenate([-model.bias @ to_mean, logvar[0]])])
    likelihood = likelihoods.Gaussian(model.sigma, mean="linear")
    return model, models.VAE(encoder, decoder, likelihood), rng.uniform(size=(40, *shape)).astype(np.float32)


def test_a_vae_with_linear_networks_encodes_and_decodes_as_the_linear_gaussian_model(linear_vae):
    model, vae, images = linear_vae
    x = images.reshape(len(images), -1)
    for computed, expected in zip(vae.posterior_parameters(images), model.mean_field_posterior(x), strict=True):
        np.testing.assert_allclose(computed, expected, atol=1e-5)
    z = noise(4, len(images), 2)
    np.testing.assert_allclose(vae.decode(z).log_prob(images), model.log_likelihood(x, z), atol=1e-4)


def test_the_log_weights_of_a_vae_are_those_of_the_linear_gaussian_model(linear_vae):
    model, vae, images = linear_vae
    x = images.reshape(len(images), -1)
    eps = noise(4, len(images), 2)
    expected = model.log_weights(x, *model.mean_field_posterior(x), eps)
    np.testing.assert_allclose(vae.log_weights(images, tf.constant(eps, tf.float32)), expected, atol=1e-4)


@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
def test_the_elbo_of_a_vae_is_on_average_that_of_the_linear_gaussian_model(linear_vae, kl):
    model, vae, images = linear_vae
    x = images.reshape(len(images), -1)
    samples = 3_000
    eps = noise(samples, len(images), 2)
    estimator = models.VAE(vae.encoder, vae.decoder, vae.likelihood, kl=kl)
    terms = estimator.terms(images, tf.constant(eps, tf.float32))
    mean, logvar = model.mean_field_posterior(x)
    if kl == "analytic":
        single = model.log_likelihood(x, objectives.reparameterize(mean, logvar, eps)).numpy()
    else:
        single = model.log_weights(x, mean, logvar, eps).numpy()
    standard_error = single.std(axis=0) / np.sqrt(samples)
    expected = model.elbo(x, mean, logvar)
    np.testing.assert_array_less(
        np.abs(objectives.elbo(*terms).numpy() - expected), 4.5 * standard_error
    )  # of 40 images
    if kl == "analytic":
        np.testing.assert_allclose(terms.kl, objectives.analytic_kl(mean, logvar), rtol=1e-5)


def test_importance_sampling_of_a_vae_finds_the_likelihood_of_the_linear_gaussian_model(linear_vae):
    model, vae, images = linear_vae
    exact = model.log_prob(images.reshape(len(images), -1)).numpy()
    elbo = objectives.elbo(*measures.elbo_terms(vae, images, samples=200)).mean()
    bound = measures.importance_log_likelihood(vae, images, samples=500)
    gap = exact.mean() - elbo
    assert gap > 0.1
    assert abs(exact.mean() - bound.mean()) < 0.2 * gap


def test_training_a_linear_vae_approaches_the_likelihood_of_principal_components_from_below():
    """The optimum of a linear VAE is probabilistic PCA, in closed form; with one latent its encoder can be exact."""
    sigma, epochs = 0.15, 12
    true = linear_gaussian.LinearGaussian(np.array([[0.2], [0.1], [-0.1], [0.15]]), np.full(4, 0.5), sigma)
    x = true.sample(800).clip(0, 1).astype(np.float32)
    variances, directions = np.linalg.eigh(np.cov(x.T, bias=True))
    weights = directions[:, -1:] * np.sqrt(variances[-1] - sigma**2)
    best = linear_gaussian.LinearGaussian(weights, x.mean(axis=0, dtype=np.float64), sigma).log_prob(x).numpy().mean()

    encoder, decoder = networks.mlp(latent_dim=1, hidden=(), image_shape=(2, 2, 1), seed=0)
    vae = models.VAE(encoder, decoder, likelihoods.Gaussian(sigma, mean="linear"))
    vae.compile(keras.optimizers.Adam(training.cosine_decay(0.1, 8 * epochs)))
    images = x.reshape(-1, 2, 2, 1)
    assert best - measures.elbo(vae, images).mean > 10
    vae.fit(images, batch_size=100, epochs=epochs, verbose=0)
    reached = measures.elbo(vae, images, samples=50)
    assert -4 * reached.standard_error < best - reached.mean < 1
