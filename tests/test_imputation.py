"""Draws of missing pixels against the conditional distribution of a linear-Gaussian model, which is known."""

import inspect

import keras
import numpy as np
import pytest
from scipy import stats

from vaecourse import VAE, likelihoods, measures, models, networks
from vaecourse.measures import imputation

SHAPE, LATENTS, CHAINS = (2, 3, 1), 2, 3000
OBSERVED = np.array([True, True, True, False, False, False]).reshape(SHAPE)


def linear_vae(model, narrow=1.0):
    """A VAE that is the linear-Gaussian model; its encoder has the mean of the posterior, and the best variances."""
    encoder = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2 * LATENTS)])
    decoder = keras.Sequential([keras.Input((LATENTS,)), keras.layers.Dense(6), keras.layers.Reshape(SHAPE)])
    gain = model.weights @ model.posterior_covariance / model.sigma**2
    logvar = -np.log(1 + (model.weights**2).sum(axis=0) / model.sigma**2) + 2 * np.log(narrow)
    encoder.layers[-1].set_weights([np.hstack([gain, 0 * gain]), np.concatenate([-model.bias @ gain, logvar])])
    decoder.layers[0].set_weights([model.weights.T, model.bias])
    return VAE(encoder, decoder, likelihoods.Gaussian(model.sigma, mean="linear"))


@pytest.fixture(scope="module")
def model():
    """Weights that are far from orthogonal, so that no diagonal q is the posterior."""
    weights = np.array([[1, 0.9], [0.8, 1], [0.6, -0.2], [1, 0.7], [-0.5, 0.9], [0.3, 1]])
    return models.LinearGaussian(weights, np.full(6, 0.5), 0.4)


@pytest.fixture(scope="module")
def x(model):
    return np.clip(model.sample(1, seed=1), 0, 1)


def drawn(vae, x, metropolis, seed=0):
    """The last draws of many independent chains for the same image."""
    images = np.repeat(x.reshape(1, *SHAPE).astype(np.float32), CHAINS, axis=0)
    options = {"burn_in": 40, "warm_up": 5, "metropolis": metropolis, "seed": seed}
    return measures.impute(vae, images, OBSERVED, steps=1, **options)


def standard_scores(draws, mean, covariance):
    """How many standard errors means and covariances of independent draws are off."""
    centered = draws - mean
    products = np.einsum("ni,nj->nij", centered, centered)
    indices = np.triu_indices(len(mean))
    both = np.hstack([centered, products[:, *indices] - covariance[indices]])
    return both.mean(axis=0) / (both.std(axis=0, ddof=1) / np.sqrt(len(draws)))


def test_the_exact_conditional_is_that_of_the_joint_density(model, x):
    mean, covariance = measures.exact_imputation(model, x, OBSERVED.ravel())
    points = np.random.default_rng(0).normal(size=(5, 3))
    whole = np.hstack([np.repeat(x[:, :3], 5, axis=0), points])
    joint = model.weights @ model.weights.T + model.sigma**2 * np.eye(6)
    seen = stats.multivariate_normal(model.bias[:3], joint[:3, :3]).logpdf(x[0, :3])
    expected = model.log_prob(whole).numpy() - seen
    np.testing.assert_allclose(stats.multivariate_normal(mean[0], covariance).logpdf(points), expected, rtol=1e-9)


@pytest.mark.parametrize("narrow", [1.0, 0.7, 1.5])
def test_with_the_metropolis_step_draws_have_the_exact_mean_and_covariance(model, x, narrow):
    found = drawn(linear_vae(model, narrow), x, metropolis=True)
    mean, covariance = measures.exact_imputation(model, x, OBSERVED.ravel())
    # 3 means and 6 covariances, three cases: 4.2 standard errors leave a chance of 1e-3; the seed is fixed.
    assert np.abs(standard_scores(found.images[-1].reshape(CHAINS, 6)[:, 3:], mean[0], covariance)).max() < 4.2
    assert 0.3 < found.acceptance.mean() < 0.99


def test_without_it_they_are_biased_where_q_is_not_the_true_posterior(model, x):
    found = drawn(linear_vae(model), x, metropolis=False)
    mean, covariance = measures.exact_imputation(model, x, OBSERVED.ravel())
    assert np.abs(standard_scores(found.images[-1].reshape(CHAINS, 6)[:, 3:], mean[0], covariance)).max() > 8
    assert (found.acceptance == 1).all()


def test_with_the_true_posterior_every_proposal_is_accepted_and_neither_is_biased(x):
    orthogonal = np.array([[1, 1], [1, -1], [1, 1], [1, -1], [0.5, 0.5], [0.5, -0.5]])
    model = models.LinearGaussian(orthogonal, np.full(6, 0.5), 0.4)
    vae = linear_vae(model)
    mean, covariance = measures.exact_imputation(model, x, OBSERVED.ravel())
    for metropolis in (True, False):
        found = drawn(vae, x, metropolis)
        assert np.abs(standard_scores(found.images[-1].reshape(CHAINS, 6)[:, 3:], mean[0], covariance)).max() < 4.2
        assert found.acceptance.min() > 0.99, "but for rounding of the ratio"


def test_the_mean_is_that_of_the_pixels_given_z_and_the_score_that_of_the_closed_form(model, x):
    images = x.reshape(1, *SHAPE).astype(np.float32)
    found = measures.impute(linear_vae(model), images, OBSERVED, steps=2000, burn_in=50)
    mean, covariance = measures.exact_imputation(model, x, OBSERVED.ravel())
    pixels = np.squeeze(found.images).reshape(2000, 6)[:, 3:]
    # Draws of one chain: batches of 50 steps are nearly independent of each other.
    error = pixels.reshape(40, 50, 3).mean(axis=1).std(axis=0, ddof=1) / np.sqrt(40)
    np.testing.assert_array_less(np.abs(found.mean.ravel()[3:] - mean[0]), 4.5 * error)
    expected = stats.multivariate_normal(mean[0], covariance).logpdf(images.ravel()[3:])
    score = measures.missing_log_likelihood(linear_vae(model), images, OBSERVED, found.latents)
    assert abs(score[0] - expected) < 0.2


@pytest.fixture(scope="module")
def vae():
    return VAE(*networks.mlp(2, (8,), seed=0))


def test_observed_pixels_never_change_and_missing_ones_are_not_looked_at(vae, binary):
    images = binary[:7]
    masks = np.random.default_rng(0).random(images.shape) < 0.6
    found = measures.impute(vae, images, masks, steps=6, burn_in=2, every=2)
    assert isinstance(found, measures.Imputation)
    assert found.images.shape == (3, *images.shape)
    assert found.latents.shape == (3, 7, 2)
    for shown in (*found.images, found.mean):
        np.testing.assert_array_equal(shown[masks], images[masks])
    assert set(np.unique(found.images)) == {0.0, 1.0}
    hidden = np.where(masks, images, np.float32(np.nan))
    again = measures.impute(vae, hidden, masks, steps=6, burn_in=2, every=2)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(measures.impute(vae, images, masks, 6, seed=1).images[-1], found.images[-1])


def test_the_score_is_the_mean_over_latents_of_the_probability_of_the_missing_pixels(vae, binary):
    images, rng = binary[:3], np.random.default_rng(1)
    mask, latents = rng.random(images.shape[1:]) < 0.5, rng.normal(size=(5, 3, 2))
    for index in range(3):
        logits = vae.decoder(latents[:, index].astype(np.float32)).numpy().astype(np.float64)
        p = 1 / (1 + np.exp(-logits))
        mass = np.where(images[index] == 1, p, 1 - p)[:, ~mask].prod(axis=1).mean()
        found = measures.missing_log_likelihood(vae, images, mask, latents)[index]
        np.testing.assert_allclose(found, np.log(mass), rtol=1e-4)


BAD_MASKS = {
    "not bool": (np.ones((28, 28, 1)), TypeError, "bool"),
    "another shape": (np.zeros((28, 28), bool), ValueError, "shape"),
    "another number": (np.zeros((2, 28, 28, 1), bool), ValueError, "shape"),
    "nothing missing": (np.ones((28, 28, 1), bool), ValueError, "missing pixel in every image"),
}


@pytest.mark.parametrize("name", BAD_MASKS)
def test_a_bad_mask_is_refused(vae, binary, name):
    mask, error, words = BAD_MASKS[name]
    with pytest.raises(error, match=words):
        measures.impute(vae, binary[:3], mask)
    with pytest.raises(error, match=words):
        measures.missing_log_likelihood(vae, binary[:3], mask, np.zeros((1, 3, 2)))


def test_what_cannot_be_drawn_is_refused(vae, binary, grays):
    mask = np.zeros((28, 28, 1), bool)
    with pytest.raises(ValueError, match="steps ≥ every"):
        measures.impute(vae, binary[:3], mask, steps=2, every=3)
    with pytest.raises(ValueError, match="grays in between"):
        measures.impute(vae, grays[:3], ~mask & (np.arange(784).reshape(28, 28, 1) > 0))
    cross_entropy = VAE(vae.encoder, vae.decoder, likelihoods.Bernoulli(grays=True))
    with pytest.raises(ValueError, match="cross-entropy on grays"):
        measures.impute(cross_entropy, grays[:3], mask)
    with pytest.raises(ValueError, match="latents"):
        measures.missing_log_likelihood(vae, binary[:3], mask, np.zeros((4, 2, 2)))


SLIPS = {
    "the ratio upside down": ("log_weight(proposal) - log_weight(z)", "log_weight(z) - log_weight(proposal)"),
    "no density of the proposal": ("+ prior.log_prob(latents) - q.log_prob(latents)", "+ prior.log_prob(latents)"),
    "no prior": ("+ prior.log_prob(latents) ", ""),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_in_the_acceptance_is_noticed(model, x, name, monkeypatch):
    right, wrong = SLIPS[name]
    source = inspect.getsource(imputation._compiled_step)
    assert source.count(right) == 1
    namespace = dict(vars(imputation))
    exec(source.replace(right, wrong), namespace)  # run eagerly: autograph needs the source of a file
    monkeypatch.setattr(imputation, "_compiled_step", namespace["_compiled_step"])
    with pytest.raises(AssertionError):
        test_with_the_metropolis_step_draws_have_the_exact_mean_and_covariance(model, x, 1.0)
