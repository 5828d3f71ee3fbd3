"""Two levels of latents: a linear case on which everything is known, and distributions, judge the terms."""

import keras
import numpy as np
import policies
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import diagnose, likelihoods, measures, models, networks
from vaecourse.models import two_level, two_level_networks

tfd = tfp.distributions
SHAPE = (4, 3, 1)


def pictures(n: int = 40, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, *SHAPE)) < 0.4).astype(np.float32)


def small(top: int = 2, bottom: int = 3, **options) -> models.TwoLevelVAE:
    """Return a model whose prior is not N(0, I)."""
    parts = models.two_level_mlp(top, bottom, (8,), "tanh", SHAPE, seed=1)
    rng = np.random.default_rng(5)
    parts[2].set_weights([0.5 * rng.normal(size=weight.shape) for weight in parts[2].get_weights()])
    return models.TwoLevelVAE(*parts, **options)


def linear(top: int, seed: int = 0) -> tuple[models.LinearTwoLevel, models.TwoLevelVAE]:
    known = models.LinearTwoLevel.random(12, 3, top, seed=seed)
    return known, models.TwoLevelVAE(*known.networks(), likelihoods.Gaussian(known.sigma, mean="linear"))


def grays(n: int = 5, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 12, 1, 1)).astype(np.float32)


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float64)


def corners(n: int, latents: int) -> tf.Tensor:
    """Return noise `(2·d, n, d)` over which the mean of every polynomial of degree three is that over N(0, I)."""
    one = np.sqrt(latents) * np.vstack([np.eye(latents), -np.eye(latents)])
    return tf.constant(np.repeat(one[:, np.newaxis], n, axis=1), tf.float32)


# --- where everything is known ---------------------------------------------------------------------------------------


def test_log_p_is_that_of_the_marginal_by_bayes():
    known, x = models.LinearTwoLevel.random(6, 2, 1), flat(grays(3))[:, :6]
    z = np.random.default_rng(3).normal(size=(3, 3))
    top, bottom = z[:, :1], z[:, 1:]
    joint = (
        tfd.MultivariateNormalDiag(np.zeros(1)).log_prob(top)
        + tfd.MultivariateNormalDiag(top @ known.top_weights.T, np.full(2, known.tau)).log_prob(bottom)
        + tfd.MultivariateNormalDiag(bottom @ known.weights.T + known.bias, np.full(6, known.sigma)).log_prob(x)
    )
    np.testing.assert_allclose(known.log_prob(x), joint - known.posterior(x).log_prob(z), rtol=1e-9)


def test_with_orthogonal_columns_the_approximate_posterior_is_the_true_one():
    """Then log p(x, z) − log q(z|x) is log p(x) whatever z is drawn: the product of prior and image is Bayes' rule."""
    known, vae = linear(top=1)
    x = grays()
    weights = vae.log_weights(x, np.random.default_rng(1).normal(size=(4, 5, 4)).astype(np.float32))
    exact = known.log_prob(flat(x)).numpy()
    np.testing.assert_allclose(weights, np.broadcast_to(exact, (4, 5)), rtol=3e-6)


@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
@pytest.mark.parametrize("top", [1, 2])
def test_bound_and_gap_add_up_to_log_p(top, kl):
    """The encoder is moved away from the truth; the gap is that of two normal distributions, in closed form."""
    known, vae = linear(top)
    kernel, bias = vae.encoder.get_weights()
    d, x = vae.latent_dim, grays()
    rng = np.random.default_rng(4)
    bias[:d] += 0.3 * rng.normal(size=d)
    bias[d:] += 0.4 * rng.normal(size=d)
    vae.encoder.set_weights([kernel, bias])
    bound = tf.reduce_mean(sum_of(vae.level_terms(x, corners(len(x), d), kl=kl)), axis=0)
    mean, logvar = (np.asarray(part, np.float64) for part in vae.posterior_parameters(x))
    precision = np.exp(-logvar[0, top:]) + known.tau**-2
    share = known.tau**-2 / precision
    slope = share[:, np.newaxis] * known.top_weights  # of the mean of z₁ over z₂
    top_cov = np.diag(np.exp(logvar[0, :top]))
    covariance = np.block(
        [[top_cov, top_cov @ slope.T], [slope @ top_cov, slope @ top_cov @ slope.T + np.diag(1 / precision)]]
    )
    centers = np.hstack([mean[:, :top], (1 - share) * mean[:, top:] + mean[:, :top] @ slope.T])
    q = tfd.MultivariateNormalTriL(centers, np.linalg.cholesky(covariance))
    gap = tfd.kl_divergence(q, known.posterior(flat(x)))
    assert gap.numpy().min() > 0.05
    np.testing.assert_allclose(bound.numpy() + gap.numpy(), known.log_prob(flat(x)), rtol=1e-5)


def sum_of(terms: models.LevelTerms) -> tf.Tensor:
    return terms.log_likelihood - terms.kl_top - terms.kl_bottom


# --- any networks ----------------------------------------------------------------------------------------------------


def test_the_product_of_two_normal_densities_is_theirs():
    rng = np.random.default_rng(0)
    mean, logvar, other_mean, other_logvar = rng.normal(size=(4, 7))
    center, spread = two_level.product(mean, logvar, other_mean, other_logvar)
    z = rng.normal(size=(5, 7))
    parts = [
        tfd.Normal(m, np.exp(0.5 * v)).log_prob(z).numpy() for m, v in ((mean, logvar), (other_mean, other_logvar))
    ]
    difference = tfd.Normal(center, np.exp(0.5 * np.asarray(spread))).log_prob(z).numpy() - sum(parts)
    np.testing.assert_allclose(difference, np.broadcast_to(difference[:1], (5, 7)), rtol=1e-9)


def test_the_terms_are_those_of_distributions():
    vae, x = small(), pictures()
    eps = vae.noise(len(x), 0)
    z, log_q = vae.sample_and_log_q(*vae.posterior_parameters(x), eps)
    z = tf.identity(z)
    np.testing.assert_allclose(log_q, vae.encode(x).log_prob(z), rtol=1e-4, atol=1e-4)
    top, bottom = z[:, :2], z[:, 2:]
    mean, logvar = np.split(vae.prior(top).numpy(), 2, axis=1)
    log_prior = tfd.MultivariateNormalDiag(np.zeros(2, np.float32)).log_prob(top)
    log_prior += tfd.MultivariateNormalDiag(mean, np.exp(0.5 * logvar)).log_prob(bottom)
    np.testing.assert_allclose(vae.prior_distribution().log_prob(z), log_prior, rtol=1e-4, atol=1e-4)
    terms = vae.level_terms(x, eps, kl="monte_carlo")
    np.testing.assert_allclose(terms.kl_top + terms.kl_bottom, log_q - log_prior, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(terms.log_likelihood, vae.decode(z).log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(vae.reparameterize(*vae.posterior_parameters(x), eps), z)


def test_closed_forms_are_the_means_of_the_sampled_terms():
    vae, x = small(), pictures(3)
    eps = np.random.default_rng(2).normal(size=(4000, 3, 5)).astype(np.float32)
    sampled, closed = (vae.level_terms(x, eps, kl=kl) for kl in ("monte_carlo", "analytic"))
    for name in ("kl_top", "kl_bottom"):
        difference = (getattr(sampled, name) - getattr(closed, name)).numpy()
        assert (np.abs(difference.mean(axis=0)) < 5 * difference.std(axis=0) / np.sqrt(4000)).all()
    assert (closed.kl_top.numpy() >= 0).all()
    assert (closed.kl_bottom.numpy() >= 0).all()


def test_a_prior_that_says_nothing_leaves_two_separate_levels():
    """With p(z₁|z₂) = N(0, I) the model is a VAE in z₁ whose posterior is the product with N(0, I)."""
    parts = models.two_level_mlp(2, 3, (8,), "tanh", SHAPE, seed=1)
    vae, x = models.TwoLevelVAE(*parts), pictures()
    np.testing.assert_array_equal(vae.bottom_prior(np.ones((4, 2), np.float32))[0], np.zeros((4, 3)))
    terms = vae.level_terms(x, vae.noise(len(x), 0))
    mean, logvar = vae.posterior_parameters(x)
    narrow = logvar[:, 2:] - np.log1p(np.exp(logvar[:, 2:]))
    bottom = tfd.MultivariateNormalDiag(mean[:, 2:] * np.exp(narrow - logvar[:, 2:]), np.exp(0.5 * narrow))
    standard = tfd.MultivariateNormalDiag(np.zeros(3, np.float32))
    np.testing.assert_allclose(terms.kl_bottom, tfd.kl_divergence(bottom, standard), rtol=1e-4, atol=1e-5)


def test_the_decoder_of_the_perceptrons_sees_the_lower_level_alone():
    vae = small()
    z = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    moved = z + np.array([3, -3, 0, 0, 0], np.float32)
    np.testing.assert_array_equal(vae.decode(z).mean(), vae.decode(moved).mean())
    assert np.abs(vae.decode(z).mean() - vae.decode(z[::-1].copy()).mean()).max() > 1e-3


def test_what_is_trained_and_saved_comes_back(tmp_path):
    x, vae = pictures(), small(kl="monte_carlo", samples=2)
    vae.compile("adam", run_eagerly=True)
    history = vae.fit(x, batch_size=20, verbose=0).history
    assert np.isclose(history["kl"][0], history["kl_top"][0] + history["kl_bottom"][0], rtol=1e-5)
    assert np.isclose(history["elbo"][0], history["log_likelihood"][0] - history["kl"][0], rtol=1e-5)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    for one, other in zip(loaded.terms(x, vae.noise(40, 3)), vae.terms(x, vae.noise(40, 3)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.sample(3), vae.sample(3))
    found = measures.elbo(vae, x, 5)
    assert found.mean < np.mean(measures.importance_log_likelihood(vae, x, 200)) + 4 * found.standard_error


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: models.two_level_mlp(0, 3), "both levels, got top=0 and bottom=3"),
        (lambda: models.TwoLevelVAE(*networks.mlp(5, (8,)), networks.mlp(2, (8,))[1]), "decoder takes 5 latents"),
        (lambda: models.TwoLevelVAE(*networks.mlp(5, (8,)), wide(5)), "the prior maps 5 numbers"),
        (lambda: models.TwoLevelVAE(*networks.mlp(5, (8,)), wide(2), kl="both"), "got 'both'"),
        (lambda: two_level_networks.LastLatents(0), "skipped ≥ 1, got 0"),
        (lambda: measures.kl_parts(small(), pictures()), "diagonal normal"),
    ],
)
def test_what_cannot_be_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_log_q_in_double_precision():
    with policies.built_in("float64"):
        vae, x = small(), pictures()
    z, log_q = vae.sample_and_log_q(*vae.posterior_parameters(x), vae.noise(len(x), 0))
    assert log_q.dtype == tf.float64
    np.testing.assert_allclose(log_q, vae.encode(x).log_prob(z), rtol=1e-10)


def test_a_diagnosis_is_refused():
    with pytest.raises(TypeError, match="the prior of a TwoLevelVAE is another"):
        diagnose(small(), pictures(100))


def wide(inputs: int) -> keras.Model:
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(6)])
