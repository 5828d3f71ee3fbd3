"""The terms of the ELBO against closed forms, tensorflow-probability, scipy and finite differences."""

import numpy as np
import pytest
import scipy
import tensorflow as tf
import tensorflow_probability as tfp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vaecourse import objectives

tfd = tfp.distributions

BATCH, LATENTS = 5, 3


def posteriors(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(BATCH, LATENTS)), rng.normal(size=(BATCH, LATENTS))


@st.composite
def wild_posteriors(draw):
    """Mean, log-variance and noise in float32, of any small shape, with log-variances in [−60, 60]."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))

    def floats(bound):
        return draw(hnp.arrays(np.float32, shape, elements=st.floats(-bound, bound, width=32)))

    return floats(30), floats(60), floats(6)


def in_both_precisions(function, *arrays) -> tuple[np.ndarray, np.ndarray]:
    single = function(*map(tf.constant, arrays)).numpy()
    assert single.dtype == np.float32
    return single, function(*(tf.constant(array, tf.float64) for array in arrays)).numpy()


def assert_precise(single: np.ndarray, double: np.ndarray) -> None:
    assert np.isfinite(single).all()
    np.testing.assert_array_less(np.abs(single - double), 1e-3 * np.maximum(1, np.abs(double)))


def test_reparameterize_has_the_standard_deviation_of_the_log_variance():
    mean, logvar = posteriors()
    at_one_sigma = objectives.reparameterize(mean, logvar, np.ones_like(mean))
    np.testing.assert_allclose(at_one_sigma - mean, np.sqrt(np.exp(logvar)), rtol=1e-12)


def test_reparameterize_keeps_leading_axes_of_the_noise():
    mean, logvar = posteriors()
    eps = np.random.default_rng(1).normal(size=(7, BATCH, LATENTS))
    z = objectives.reparameterize(mean, logvar, eps)
    assert z.shape == eps.shape
    np.testing.assert_array_equal(z[3], objectives.reparameterize(mean, logvar, eps[3]))


def test_gradients_pass_through_the_sample():
    mean, logvar = (tf.constant(part) for part in posteriors())
    eps = np.random.default_rng(1).normal(size=(BATCH, LATENTS))

    def value(mean, logvar):
        return tf.reduce_sum(tf.sin(objectives.reparameterize(mean, logvar, eps)))

    with tf.GradientTape() as tape:
        tape.watch([mean, logvar])
        result = value(mean, logvar)
    by_tape = tape.gradient(result, [mean, logvar])

    step = 1e-5  # central differences are off by step² times a third derivative below 100, and by rounding / step
    for index in np.ndindex(eps.shape):
        nudge = np.zeros(eps.shape)
        nudge[index] = step
        by_mean = (value(mean + nudge, logvar) - value(mean - nudge, logvar)) / (2 * step)
        by_logvar = (value(mean, logvar + nudge) - value(mean, logvar - nudge)) / (2 * step)
        np.testing.assert_allclose(by_tape[0][index], by_mean, atol=1e-8)
        np.testing.assert_allclose(by_tape[1][index], by_logvar, atol=1e-8)


def test_analytic_kl_is_that_of_the_distributions():
    mean, logvar = posteriors()
    posterior = tfd.MultivariateNormalDiag(mean, np.exp(0.5 * logvar))
    prior = tfd.MultivariateNormalDiag(np.zeros(LATENTS), np.ones(LATENTS))
    np.testing.assert_allclose(
        objectives.analytic_kl(mean, logvar), tfd.kl_divergence(posterior, prior), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(("mean", "logvar"), [(0.0, 0.0), (1.5, 0.0), (-2.0, 1.0), (0.3, -4.0)])
def test_analytic_kl_is_the_integral(mean, logvar):
    posterior = scipy.stats.norm(mean, np.exp(0.5 * logvar))

    def integrand(z):
        return posterior.pdf(z) * (posterior.logpdf(z) - scipy.stats.norm.logpdf(z))

    center, reach = posterior.mean(), 12 * posterior.std()
    integral, error = scipy.integrate.quad(integrand, center - reach, center + reach, epsabs=1e-10)
    assert error < 1e-8
    np.testing.assert_allclose(objectives.analytic_kl(np.array([[mean]]), np.array([[logvar]]))[0], integral, atol=1e-8)


def test_monte_carlo_kl_is_the_log_ratio_at_the_sample():
    mean, logvar = posteriors()
    eps = np.random.default_rng(1).normal(size=(4, BATCH, LATENTS))
    z = objectives.reparameterize(mean, logvar, eps)
    posterior = tfd.MultivariateNormalDiag(mean, np.exp(0.5 * logvar))
    prior = tfd.MultivariateNormalDiag(np.zeros(LATENTS), np.ones(LATENTS))
    np.testing.assert_allclose(
        objectives.monte_carlo_kl(mean, logvar, eps), posterior.log_prob(z) - prior.log_prob(z), rtol=1e-9, atol=1e-9
    )


def test_monte_carlo_kl_has_the_mean_and_the_variance_of_the_formulas():
    mean, logvar = posteriors()
    n = 20_000
    draws = objectives.monte_carlo_kl(mean, logvar, np.random.default_rng(1).normal(size=(n, BATCH, LATENTS))).numpy()

    standard_error = draws.std(axis=0) / np.sqrt(n)
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - objectives.analytic_kl(mean, logvar)), 4 * standard_error)

    squares = (draws - draws.mean(axis=0)) ** 2
    standard_error = squares.std(axis=0) / np.sqrt(n)
    expected = objectives.monte_carlo_kl_variance(mean, logvar)
    np.testing.assert_array_less(np.abs(squares.mean(axis=0) - expected), 4 * standard_error)


def test_sampled_kl_is_that_of_the_sample_wherever_it_comes_from():
    mean, logvar, eps = (np.random.default_rng(2).normal(size=(5, 3)) for _ in range(3))
    z = mean + np.exp(logvar / 2) * eps
    expected = scipy.stats.norm.logpdf(z, mean, np.exp(logvar / 2)).sum(-1) - scipy.stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(objectives.sampled_kl(z, eps, logvar), expected, rtol=1e-9)


def test_monte_carlo_kl_has_no_noise_where_the_posterior_is_the_prior():
    prior = np.zeros((1, LATENTS))
    eps = np.random.default_rng(1).normal(size=(9, 1, LATENTS))
    np.testing.assert_allclose(objectives.monte_carlo_kl(prior, prior, eps), 0, atol=1e-15)
    assert objectives.monte_carlo_kl_variance(prior, prior) == 0
    assert objectives.monte_carlo_kl_variance(prior + 1, prior) == LATENTS


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_elbo_is_the_log_likelihood_minus_beta_times_the_kl(beta):
    np.testing.assert_array_equal(
        objectives.elbo(np.array([-100.0, -50.0]), np.array([3.0, 8.0]), beta), [-100 - 3 * beta, -50 - 8 * beta]
    )


def test_importance_weighted_bound_is_the_log_of_the_mean_weight():
    log_weights = np.random.default_rng(0).normal(-500, 30, size=(64, BATCH))
    expected = scipy.special.logsumexp(log_weights, axis=0) - np.log(64)
    np.testing.assert_allclose(objectives.importance_weighted_bound(log_weights), expected, rtol=1e-13)


def test_importance_weighted_bound_of_one_sample_is_the_elbo():
    mean, logvar = posteriors()
    eps = np.random.default_rng(1).normal(size=(1, BATCH, LATENTS))
    log_likelihood = np.random.default_rng(2).normal(-100, 5, size=(1, BATCH))
    kl = objectives.monte_carlo_kl(mean, logvar, eps)
    np.testing.assert_allclose(
        objectives.importance_weighted_bound(log_likelihood - kl), objectives.elbo(log_likelihood, kl)[0], rtol=1e-13
    )


@given(wild_posteriors())
def test_reparameterize_holds_in_single_precision(posterior):
    assert_precise(*in_both_precisions(objectives.reparameterize, *posterior))


@given(wild_posteriors())
def test_analytic_kl_holds_in_single_precision_and_is_not_negative(posterior):
    mean, logvar, _ = posterior
    single, double = in_both_precisions(objectives.analytic_kl, mean, logvar)
    assert_precise(single, double)
    # Near the prior mean² + σ² − ln σ² − 1 is a difference of numbers near 1: rounding may leave an ulp per latent.
    assert (double >= -mean.shape[-1] * np.finfo(np.float64).eps).all()
    assert (single >= -mean.shape[-1] * np.finfo(np.float32).eps).all()


@given(wild_posteriors())
def test_monte_carlo_kl_holds_in_single_precision(posterior):
    assert_precise(*in_both_precisions(objectives.monte_carlo_kl, *posterior))


@given(wild_posteriors())
def test_monte_carlo_kl_variance_holds_in_single_precision_where_it_can_be_represented(posterior):
    mean, logvar, _ = posterior
    logvar = np.minimum(logvar, 42)  # σ⁴ passes the largest float32 at a log-variance of 44
    assert_precise(*in_both_precisions(objectives.monte_carlo_kl_variance, mean, logvar))


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(-2000, 2000, width=32)))
def test_importance_weighted_bound_holds_in_single_precision(log_weights):
    assert_precise(*in_both_precisions(objectives.importance_weighted_bound, log_weights))
    bound = objectives.importance_weighted_bound(log_weights).numpy()
    assert (bound <= log_weights.max(axis=0) + 1e-3).all()
