"""Gaps, bounds and annealed chains against the linear-Gaussian model, on which all of it is known, and quadrature."""

import contextlib
import io
import itertools
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from vaecourse import VAE, data, likelihoods, measures, models, networks
from vaecourse.measures import gaps
from vaecourse.models import linear_gaussian

SHAPE = (4, 5, 1)
N = 12


def linear_vae(model: linear_gaussian.LinearGaussian, shape=SHAPE) -> VAE:
    """The linear-Gaussian model as a VAE, with an encoder that is off: means moved, variances too large."""
    d = model.weights.shape[1]
    likelihood = likelihoods.Gaussian(model.sigma, mean="linear")
    vae = VAE(*networks.mlp(d, hidden=(), image_shape=shape, seed=0), likelihood)
    vae.decoder.set_weights([model.weights.T, model.bias])
    slope = model.weights @ model.posterior_covariance / model.sigma**2
    precision = 1 + (model.weights**2).sum(axis=0) / model.sigma**2
    bias = np.concatenate([0.1 - model.bias @ slope, 0.4 - np.log(precision)])
    vae.encoder.set_weights([np.hstack([slope, np.zeros_like(slope)]), bias])
    return vae


@pytest.fixture(scope="module")
def model():
    return linear_gaussian.LinearGaussian.random(20, 3, seed=0)


@pytest.fixture(scope="module")
def vae(model):
    return linear_vae(model)


@pytest.fixture(scope="module")
def x(model):
    return model.sample(N, seed=1).astype(np.float32)


@pytest.fixture(scope="module")
def images(vae, x):
    """The data of the linear-Gaussian model; the likelihood of the VAE would refuse grays beyond [0, 1]."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(vae.likelihood, "check", lambda images: None)
        yield x.reshape(-1, *SHAPE)


def weights_of(vae, images, samples=40, **options) -> np.ndarray:
    return measures.log_weights(vae, images, samples, progress=False, **options)


# --- importance weights -------------------------------------------------------------------------------------------


def test_the_mean_of_the_log_weights_is_the_exact_elbo(model, vae, images, x):
    log_weights = weights_of(vae, images, 2000)
    exact = model.elbo(x, *(part.numpy().astype(float) for part in vae.posterior_parameters(images)))
    errors = stats.sem(log_weights)
    assert log_weights.shape == (2000, N)
    np.testing.assert_array_less(np.abs(log_weights.mean(axis=0) - exact), 4.5 * errors)
    assert errors.max() < 0.1


@pytest.mark.parametrize("samples", [1, 50, 73])
@pytest.mark.parametrize("n", [3, N])
def test_no_sample_is_drawn_twice_and_none_is_left_out(vae, images, samples, n):
    log_weights = weights_of(vae, images[:n], samples)
    assert log_weights.shape == (samples, n)
    assert len(np.unique(log_weights, axis=0)) == samples
    assert len(np.unique(log_weights, axis=1).T) == n
    if samples >= 50:
        np.testing.assert_allclose(weights_of(vae, images[:n], 120)[:samples], log_weights, rtol=1e-5)


def test_a_posterior_can_be_given_and_meets_the_same_noise(model, vae, images, x):
    own = [part.numpy() for part in vae.posterior_parameters(images)]
    given = weights_of(vae, images, posterior=own)
    # The weight is a sum of some two dozen terms, whose arguments are sums of as many: each may round its own way.
    rounding = 24**2 * np.finfo(np.float32).eps * np.abs(given).max()
    np.testing.assert_allclose(weights_of(vae, images), given, rtol=0, atol=rounding)
    best = model.mean_field_posterior(x)
    differences = (weights_of(vae, images, 500, posterior=best) - weights_of(vae, images, 500)).mean(axis=0)
    exact = model.elbo(x, *best) - model.elbo(x, *(part.astype(float) for part in own))
    np.testing.assert_allclose(differences, exact, atol=0.25)
    assert (weights_of(vae, images, seed=1) != weights_of(vae, images)).all()
    with pytest.raises(ValueError, match=r"expected mean and logvar \(12, 3\), got \(11, 3\), \(12, 3\)"):
        weights_of(vae, images, posterior=(own[0][:-1], own[1]))


def test_without_a_posterior_the_weights_are_those_of_the_flow():
    """Their mean logarithm is the ELBO of the model; those of the Gaussian before the flow have another."""
    flow = models.CouplingFlow(2, steps=2, hidden=4)
    rng = np.random.default_rng(0)
    flow.set_weights([0.8 * rng.normal(size=weight.shape) for weight in flow.get_weights()])
    vae = models.FlowVAE(*networks.mlp(2, (8,), "tanh", image_shape=(2, 2, 1), seed=1), flow)
    images = np.array(list(itertools.product([0, 1], repeat=4)), np.float32).reshape(-1, 2, 2, 1)
    terms = measures.elbo_terms(vae, images, samples=4000, seed=1)
    own = weights_of(vae, images, 4000)
    gaussian = weights_of(vae, images, 4000, posterior=vae.posterior_parameters(images))
    # Two means of 4,000 draws each: their difference has the variance of two.
    error = np.sqrt(2) * stats.sem(own)
    elbo = terms.log_likelihood - terms.kl
    np.testing.assert_array_less(np.abs(own.mean(axis=0) - elbo), 4.5 * error)
    assert (np.abs(gaussian.mean(axis=0) - elbo) > 10 * error).all()
    exact = measures.exact_log_likelihood(vae, images)
    for weights in (own, gaussian):
        ratios = np.exp(weights - exact)
        np.testing.assert_array_less(np.abs(ratios.mean(axis=0) - 1), 4.5 * stats.sem(ratios))


def test_bounds_are_averages_over_disjoint_groups():
    log_weights = np.random.default_rng(0).normal(size=(10, 3))
    bounds = measures.importance_bounds(log_weights, [1, 4, 10])
    np.testing.assert_allclose(bounds[1], log_weights.mean(axis=0), rtol=1e-12)
    halves = [special.logsumexp(part, axis=0) - np.log(4) for part in (log_weights[:4], log_weights[4:8])]
    np.testing.assert_allclose(bounds[4], np.mean(halves, axis=0), rtol=1e-12)
    np.testing.assert_allclose(bounds[10], special.logsumexp(log_weights, axis=0) - np.log(10), rtol=1e-12)


def test_bounds_lie_between_the_elbo_and_the_log_likelihood_and_rise(model, vae, images, x):
    bounds = measures.importance_bounds(weights_of(vae, images, 4000), [1, 10, 100, 4000])
    means = [bound.mean() for bound in bounds.values()]
    assert (np.diff(means) > 0).all()
    np.testing.assert_allclose(bounds[4000], model.log_prob(x), atol=0.15)


@pytest.mark.parametrize("size", [0, 11])
def test_more_samples_than_there_are_make_no_bound(size):
    with pytest.raises(ValueError, match=f"sizes from 1 to the 10 samples there are, got {size}"):
        measures.importance_bounds(np.zeros((10, 2)), [size])


@pytest.mark.parametrize("d", [2, 10, 50])
def test_weights_have_their_mean_and_bounds_their_gap_in_closed_form(d):
    """With q = N(m, 1.2 S): E[ŵ] = p(x), and log p(x) − E log ŵ_K = Var(w/p)/2K + O(1/K²), within 4 standard errors."""
    model = linear_gaussian.LinearGaussian.random(60, d, seed=d)
    x = model.sample(1, seed=d)
    q = model.wide_posterior(x, 1.2)
    z = q.sample(200_000, seed=tf.constant([d, 0]))
    ratios = np.exp(model.log_joint(x, z) - q.log_prob(z) - model.log_prob(x))[:, 0]
    assert abs(ratios.mean() - 1) < 4 * stats.sem(ratios)
    variance = model.weight_second_moment(1.2 * model.posterior_covariance) - 1
    assert variance == pytest.approx((1.44 / 1.4) ** (d / 2) - 1, rel=1e-9)
    assert abs(((ratios - 1) ** 2).mean() - variance) < 4 * stats.sem((ratios - 1) ** 2)
    K = 100
    bounds = measures.importance_bounds(np.log(ratios).reshape(-1, K).T, [K])[K]
    # The mean of the weights, whose expectation is known, takes out most of the noise.
    gaps = ratios.reshape(-1, K).mean(axis=1) - 1 - bounds
    assert abs(gaps.mean() - variance / (2 * K)) < 4 * stats.sem(gaps)
    assert stats.sem(gaps) < 0.1 * variance / (2 * K)


def test_the_elbo_and_the_gap_are_the_log_likelihood_to_rounding():
    for d in (2, 10, 50):
        model = linear_gaussian.LinearGaussian.random(60, d, seed=d)
        x = model.sample(5, seed=d)
        q = model.mean_field_posterior(x)
        np.testing.assert_allclose(model.elbo(x, *q) + model.gap(x, *q), model.log_prob(x), rtol=1e-12)


def test_the_second_moment_is_the_integral_and_may_be_infinite():
    model = linear_gaussian.LinearGaussian.random(5, 1, seed=0)
    x = model.sample(1, seed=0)
    mean, deviation = float(model.posterior(x).mean()[0, 0]), float(model.posterior(x).stddev()[0, 0])
    z = np.linspace(mean - 12 * deviation, mean + 12 * deviation, 20_001)
    for inflation in (0.7, 1.0, 3.0):
        q = stats.norm.pdf(z, mean, np.sqrt(inflation) * deviation)
        integral = np.trapezoid(stats.norm.pdf(z, mean, deviation) ** 2 / q, z)
        covariance = inflation * model.posterior_covariance
        assert model.weight_second_moment(covariance) == pytest.approx(integral, rel=1e-6)
        np.testing.assert_allclose(model.wide_posterior(x, inflation).covariance()[0], covariance, rtol=1e-9)
    assert model.weight_second_moment(0.5 * model.posterior_covariance) == np.inf
    with pytest.raises(ValueError, match="positive inflation, got 0"):
        model.wide_posterior(x, 0)


def test_mean_field_at_fifty_latents_is_where_importance_sampling_fails():
    """K = 500 misses log p(x) by more than a nat: the variance of the weights is infinite."""
    model = linear_gaussian.LinearGaussian.random(60, 50, seed=0)
    x = model.sample(20, seed=0)
    mean, logvar = model.mean_field_posterior(x)
    assert model.weight_second_moment(np.diag(np.exp(logvar[0]))) == np.inf
    eps = np.random.default_rng(0).normal(size=(500, *mean.shape))
    bounds = measures.importance_bounds(model.log_weights(x, mean, logvar, eps).numpy(), [500])[500]
    assert (model.log_prob(x) - bounds).numpy().mean() > 1


# --- fitted posteriors --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(vae, images):
    return measures.fitted_posteriors(vae, images, steps=150, samples=64, evaluation_samples=400, progress=False)


def test_fitted_posteriors_are_the_best_diagonal_gaussians(model, fitted, x):
    assert isinstance(fitted, measures.FittedPosteriors)
    mean, logvar = model.mean_field_posterior(x)
    np.testing.assert_allclose(fitted.mean, mean, atol=0.02)
    np.testing.assert_allclose(fitted.logvar, logvar, atol=0.1)
    best, reached = model.elbo(x, mean, logvar), model.elbo(x, fitted.mean.astype(float), fitted.logvar.astype(float))
    np.testing.assert_array_less(best - reached, 0.01)
    np.testing.assert_allclose(fitted.elbo, best, atol=0.35)
    assert abs(fitted.elbo.mean() - np.mean(best)) < 0.1


def test_a_fit_may_start_elsewhere(model, vae, fitted, images):
    start = 0.8 * fitted.mean, np.full_like(fitted.mean, -2.0)
    options = {"samples": 64, "evaluation_samples": 400, "progress": False}
    moved = measures.fitted_posteriors(vae, images, 150, start=start, **options)
    np.testing.assert_allclose(moved.mean, fitted.mean, atol=0.05)
    np.testing.assert_allclose(moved.elbo, fitted.elbo, atol=0.1)
    with pytest.raises(ValueError, match=r"expected mean and logvar \(12, 3\)"):
        measures.fitted_posteriors(vae, images, start=(start[0][:2], start[1]))


def test_gaps_are_those_of_the_closed_forms_and_add_up(model, vae, fitted, images, x):
    encoded = [part.numpy().astype(float) for part in vae.posterior_parameters(images)]
    best = model.mean_field_posterior(x)
    elbos = weights_of(vae, images, 400).mean(axis=0)
    gaps = measures.Gaps.of(model.log_prob(x).numpy(), fitted.elbo, elbos)
    assert gaps.approximation.mean == pytest.approx(np.mean(model.gap(x, *best)), abs=0.1)
    assert gaps.amortization.mean == pytest.approx(np.mean(model.elbo(x, *best) - model.elbo(x, *encoded)), abs=0.1)
    assert gaps.total.standard_error < 0.3 * gaps.elbo.standard_error  # paired


def test_gaps_are_differences_image_by_image():
    exact, fitted, encoded = np.random.default_rng(0).normal(size=(3, 40))
    gaps = measures.Gaps.of(exact, fitted, encoded)
    assert gaps.approximation == measures.Estimate.of(exact - fitted)
    assert gaps.amortization == measures.Estimate.of(fitted - encoded)
    assert gaps.total == measures.Estimate.of(exact - encoded)
    assert (gaps.log_likelihood, gaps.elbo) == (measures.Estimate.of(exact), measures.Estimate.of(encoded))
    assert gaps.fitted_elbo == measures.Estimate.of(fitted)
    with pytest.raises(ValueError, match=r"three arrays \(n,\) of one length"):
        measures.Gaps.of(np.zeros(3), np.zeros(4), np.zeros(3))


def test_images_are_fitted_side_by_side_and_decoders_left_alone(vae, images, monkeypatch):
    before = [weight.copy() for weight in vae.get_weights()]
    together = measures.fitted_posteriors(vae, images, 100, samples=64, evaluation_samples=2, progress=False)
    monkeypatch.setattr(gaps, "_BATCH", 1)
    in_batches = measures.fitted_posteriors(vae, images, 100, samples=64, evaluation_samples=2, progress=False)
    assert np.shape(together.elbo) == (N,)
    np.testing.assert_allclose(in_batches.mean, together.mean, atol=0.01)  # in another noise
    for weight, kept in zip(vae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


@pytest.mark.parametrize("options", [{"steps": 0}, {"samples": 3}, {"samples": 0}])
def test_fits_without_steps_or_pairs_of_samples_are_refused(vae, images, options):
    with pytest.raises(ValueError, match="steps ≥ 1 and an even number of samples"):
        measures.fitted_posteriors(vae, images, progress=False, **options)


# --- annealed importance sampling ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "steps"), [(2, 40), (10, 60)])
def test_annealed_weights_have_the_mean_p(d, steps):
    """Few steps, so that what a wrong transition loses is not hidden by its being called often."""
    model = linear_gaussian.LinearGaussian.random(20, d, seed=d)
    x = model.sample(2, seed=d)
    deviation = np.tile(np.sqrt(np.diag(model.posterior_covariance)), (2, 1))
    annealed = measures.annealed_importance_weights(
        lambda z: model.log_likelihood(x, z), deviation, (0, d), 3000, steps
    )
    ratios = np.exp(annealed.log_weights - model.log_prob(x))
    np.testing.assert_array_less(np.abs(ratios.mean(axis=0) - 1), 4 * stats.sem(ratios))
    assert stats.sem(ratios).max() < 0.1
    assert isinstance(annealed, measures.AnnealedWeights)
    assert annealed.log_weights.dtype == tf.float64
    assert annealed.acceptance.numpy().min() > 0.8
    np.testing.assert_allclose(annealed.log_likelihood, np.log(ratios.mean(axis=0)) + model.log_prob(x), rtol=1e-12)
    np.testing.assert_allclose(annealed.standard_error, stats.sem(ratios) / ratios.mean(axis=0), rtol=1e-9)


def test_annealed_chains_through_a_decoder_find_log_p(model, vae, images, x):
    annealed = measures.annealed_importance_sampling(vae, images, progress=False, chains=32, steps=60)
    assert annealed.log_weights.shape == (32, N)
    assert annealed.acceptance.shape == (N,)
    off = (annealed.log_likelihood - model.log_prob(x).numpy()) / annealed.standard_error
    assert np.abs(off).max() < 5
    assert annealed.standard_error.max() < 0.3


def test_many_calls_bring_no_warning_of_tensorflow():
    """Each call compiles a function of its own, which TensorFlow counts as one function that is compiled too often."""
    said = []
    handler = logging.Handler()
    handler.emit = said.append
    tf.get_logger().addHandler(handler)
    try:
        for seed in range(5):
            measures.annealed_importance_weights(
                lambda z: -tf.reduce_sum(z**2, axis=-1), tf.ones((1, 2)), (0, seed), chains=2, steps=2
            )
    finally:
        tf.get_logger().removeHandler(handler)
    assert not said


@pytest.mark.parametrize("settings", [{"chains": 0}, {"steps": 0}, {"leapfrogs": 0}, {"step_size": 0.0}])
def test_chains_that_cannot_move_are_refused(settings):
    with pytest.raises(ValueError, match="at least one chain, step and leapfrog and a positive step size"):
        measures.annealed_importance_weights(lambda z: z[..., 0], np.ones((1, 2)), (0, 0), **settings)
    with pytest.raises(ValueError, match=r"deviations of shape \(n, d\), got \(2,\)"):
        measures.annealed_importance_weights(lambda z: z[..., 0], np.ones(2), (0, 0))


@pytest.mark.parametrize("steps", [20, 40])
def test_chains_from_the_posterior_have_the_mean_of_one_over_p(steps):
    """The mean of the inverse weights is 1/p(x), and log p(x) lies between the bounds of both directions."""
    model = linear_gaussian.LinearGaussian.random(20, 2, seed=2)
    x = model.sample(2, seed=2)
    deviation = np.tile(np.sqrt(np.diag(model.posterior_covariance)), (2, 1))
    z = model.posterior(x).sample(3000, seed=tf.constant([1, 2]))
    arguments = (lambda z: model.log_likelihood(x, z)), deviation, (0, 2), 3000, steps
    above = measures.annealed_importance_weights(*arguments, posterior_samples=z)
    ratios = np.exp(model.log_prob(x) - above.log_weights)
    np.testing.assert_array_less(np.abs(ratios.mean(axis=0) - 1), 4.5 * stats.sem(ratios))
    assert stats.sem(ratios).max() < 0.2
    assert above.from_posterior
    assert above.acceptance.numpy().min() > 0.7
    np.testing.assert_allclose(above.log_likelihood, model.log_prob(x) - np.log(ratios.mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(above.standard_error, stats.sem(ratios) / ratios.mean(axis=0), rtol=1e-9)
    below = measures.annealed_importance_weights(*arguments)
    assert not below.from_posterior
    single = [tf.reduce_mean(annealed.log_weights, axis=0).numpy() for annealed in (below, above)]
    assert np.all(single[0] < model.log_prob(x))
    assert np.all(model.log_prob(x) < single[1])


def test_chains_through_a_decoder_start_where_they_are_told(model, vae, images, x):
    z = model.posterior(x).sample(seed=tf.constant([3, 4])).numpy()
    above = measures.annealed_importance_sampling(vae, images, progress=False, posterior_samples=z, chains=32, steps=60)
    assert above.log_weights.shape == (32, N)
    off = (above.log_likelihood - model.log_prob(x).numpy()) / above.standard_error
    assert np.abs(off).max() < 5
    with pytest.raises(ValueError, match=r"posterior samples \(…, 12, 3\), got \(11, 3\)"):
        measures.annealed_importance_sampling(vae, images, progress=False, posterior_samples=z[1:])
    with pytest.raises(ValueError, match=r"posterior samples of shape \(4, 1, 2\) or \(1, 2\), got"):
        measures.annealed_importance_weights(
            lambda z: z[..., 0], np.ones((1, 2)), (0, 0), 4, posterior_samples=np.ones((3, 1, 2))
        )


# --- richer families ----------------------------------------------------------------------------------------------


def test_the_full_family_finds_the_posterior_and_the_diagonal_one_stays(monkeypatch):
    """On the linear-Gaussian model the best Gaussian is the posterior: its ELBO is log p(x) for every draw."""
    columns = np.random.default_rng(0).normal(size=(20, 2)) @ [[0.4, 0.3], [0.0, 0.2]]
    model = linear_gaussian.LinearGaussian(columns, np.zeros(20), 0.5)
    vae, x = linear_vae(model), model.sample(4, seed=1).astype(np.float32)
    monkeypatch.setattr(vae.likelihood, "check", lambda images: None)
    start = [np.asarray(part, np.float32) for part in model.mean_field_posterior(x)]
    images, options = x.reshape(-1, *SHAPE), {"learning_rate": 0.1, "evaluation_samples": 200}
    best = model.elbo(x, *model.mean_field_posterior(x))
    assert np.mean(model.log_prob(x) - best) > 0.3
    full = measures.fitted_family_elbo(vae, images, start, "full", 150, **options)
    np.testing.assert_allclose(full, model.log_prob(x), atol=0.05)
    diagonal = measures.fitted_family_elbo(vae, images, start, "diagonal", 20, **options)
    np.testing.assert_allclose(diagonal.mean(), np.mean(best), atol=0.15)


def test_a_flow_comes_closer_to_a_bent_posterior_than_any_gaussian_and_never_past_log_p():
    images = np.array([[1, 0, 0, 1]], np.float32).reshape(-1, 2, 2, 1)
    vae = VAE(*networks.mlp(2, (8,), "tanh", (2, 2, 1), seed=0))
    rng = np.random.default_rng(4)
    vae.decoder.set_weights([4 * rng.normal(size=weight.shape) for weight in vae.decoder.get_weights()])
    exact = measures.exact_log_likelihood(vae, images)
    fitted = measures.fitted_posteriors(vae, images, 100, evaluation_samples=2, progress=False)
    start = fitted.mean, fitted.logvar
    gaps = {
        family: exact - measures.fitted_family_elbo(vae, images, start, family, 120, evaluation_samples=1000)
        for family in measures.FAMILIES
    }
    assert gaps["flow"].mean() < 0.8 * gaps["full"].mean() < gaps["diagonal"].mean()
    assert gaps["flow"].min() > -0.05


def test_families_that_do_not_exist_or_cannot_be_fitted_are_refused(vae, images):
    start = [part.numpy() for part in vae.posterior_parameters(images)]
    with pytest.raises(ValueError, match="family"):
        measures.fitted_family_elbo(vae, images, start, "planar")
    for options in ({"steps": 0}, {"samples": 3}, {"evaluation_samples": 1}):
        with pytest.raises(ValueError, match="steps ≥ 1, and even samples"):
            measures.fitted_family_elbo(vae, images, start, **options)
    with pytest.raises(ValueError, match=r"expected mean and logvar \(12, 3\)"):
        measures.fitted_family_elbo(vae, images, (start[0][:2], start[1]))


# --- what weights say about themselves ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.5, 0.9, 1.4])
def test_the_shape_of_pareto_draws_is_found(shape):
    """Of n draws the best estimate of the shape has the standard deviation (1 + k)/√n; the prior weighs ten draws."""
    n, scale = 2000, 3.7
    draws = stats.genpareto.rvs(shape, scale=scale, size=(12, n), random_state=1)
    found = np.array([measures.pareto_shape(row) for row in draws])
    expected = (n * shape + 5) / (n + 10)
    error = (1 + shape) / np.sqrt(n * len(found))
    assert abs(found.mean() - expected) < 4 * error
    assert found.std() < 2 * (1 + max(shape, 0)) / np.sqrt(n)
    np.testing.assert_allclose(measures.pareto_shape(5.0 * draws[0]), found[0], atol=1e-9)


def test_few_exceedances_are_drawn_towards_a_half_as_by_ten_more():
    y = stats.genpareto.rvs(0.2, size=10, random_state=0)
    free = 2 * measures.pareto_shape(y) - 0.5  # (10 k + 10 · ½)/20 = (k + ½)/2
    fit, _, _ = stats.genpareto.fit(y, floc=0)
    assert abs(free - fit) < 0.4


def test_the_tail_of_weights_is_that_of_the_theory():
    """log w = k·e with e exponential has a Pareto tail of shape k exactly."""
    e = np.random.default_rng(0).exponential(size=(20_000, 12))
    for k in (0.3, 1.2):
        found = measures.weight_diagnosis(k * e - 700.0).pareto_k
        assert abs(found.mean() - k) < 5 * (1 + k) / np.sqrt(3 * np.sqrt(20_000) * 12)


def test_a_proposal_without_a_variance_is_found_out_and_a_wide_one_is_not(model):
    """At fifty latents: the mean-field q, whose second moment is infinite, and the posterior, 20 % wider."""
    model = linear_gaussian.LinearGaussian.random(20, 50, seed=0)
    x = model.sample(5, seed=0)
    eps = np.random.default_rng(0).normal(size=(4000, 5, 50))
    narrow = measures.weight_diagnosis(model.log_weights(x, *model.mean_field_posterior(x), eps))
    q = model.wide_posterior(x, 1.2)
    z = q.sample(4000, seed=tf.constant([0, 1]))
    wide = measures.weight_diagnosis(model.log_joint(x, z) - q.log_prob(z))
    assert narrow.pareto_k.min() > 0.7 > 0.4 > wide.pareto_k.max()
    assert narrow.effective_samples.max() < 200 < 1000 < wide.effective_samples.min()
    assert narrow.largest.min() > wide.largest.max()


def test_effective_samples_and_the_largest_weight_are_those_of_the_formulas():
    log_weights = np.log(np.concatenate([np.full((10, 1), 3.0), np.full((30, 1), 1.0)])) - 1000
    found = measures.weight_diagnosis(np.hstack([log_weights, np.zeros((40, 1))]))
    assert isinstance(found, measures.WeightDiagnosis)
    np.testing.assert_allclose(found.effective_samples, [60**2 / 120, 40], rtol=1e-12)
    np.testing.assert_allclose(found.largest, [3 / 60, 1 / 40], rtol=1e-12)
    assert found.pareto_k[1] == -np.inf


def test_weights_that_show_no_tail_are_refused():
    for weights in (np.zeros((24, 2)), np.zeros(100), np.full((30, 1), -np.inf)):
        with pytest.raises(ValueError, match="finite log-weights"):
            measures.weight_diagnosis(weights)
    for exceedances in ([], [1.0, 0.0], [np.inf], [[1.0]]):
        with pytest.raises(ValueError, match="positive and finite exceedances"):
            measures.pareto_shape(np.array(exceedances))


# --- the convolutional model of two latents -----------------------------------------------------------------------


GRID = {"points": 120, "reach": 4.5}


@pytest.fixture(scope="module")
def convolutional(digits):
    """A convolutional VAE after a moment's training, binary images, and their exact log p(x)."""
    binary = data.binarize(data.scale(digits.train_images))
    vae = VAE(*networks.convolutional(2, filters=(8, 8), seed=0))
    vae.compile(keras.optimizers.Adam(5e-3))
    vae.fit(binary, epochs=2, verbose=0)
    return vae, binary[:5], measures.exact_log_likelihood(vae, binary[:5], **GRID)


def test_importance_sampling_and_quadrature_agree_on_the_convolutional_model(convolutional):
    """From a proposal that is sure to cover the posterior: the moments of the grid, the variances tripled."""
    vae, images, exact = convolutional
    axes, log_density = measures.exact_posterior(vae, images, **GRID)
    mass = np.exp(log_density) / np.exp(log_density).sum(axis=(1, 2), keepdims=True)
    sides = [(mass.sum(axis=1), axes[0]), (mass.sum(axis=2), axes[1])]
    mean = np.stack([density @ axis for density, axis in sides], axis=-1)
    square = np.stack([density @ axis**2 for density, axis in sides], axis=-1)
    log_weights = weights_of(vae, images, 2000, posterior=(mean, np.log(3 * (square - mean**2))))
    ratios = np.exp(log_weights - exact)
    np.testing.assert_array_less(np.abs(ratios.mean(axis=0) - 1), 4.5 * stats.sem(ratios))
    assert stats.sem(ratios).max() < 0.1
    bounds = measures.importance_bounds(log_weights, [1, 10, 2000])
    assert np.all(np.diff([*(bound.mean() for bound in bounds.values()), exact.mean()]) > -0.05)


def test_the_posterior_on_the_grid_is_normalized_and_that_of_bayes(convolutional):
    vae, images, exact = convolutional
    axes, log_density = measures.exact_posterior(vae, images, **GRID)
    assert log_density.shape == (len(images), 120, 120)
    mass = np.exp(log_density.astype(float)).sum(axis=(1, 2)) * np.diff(axes[0])[0] * np.diff(axes[1])[0]
    np.testing.assert_allclose(mass, 1, rtol=1e-3)
    for row, column in ((60, 65), (50, 70)):
        z = np.array([axes[0, column], axes[1, row]], np.float32)
        bayes = vae.decode(z[np.newaxis]).log_prob(images) + stats.norm.logpdf(z).sum() - exact
        np.testing.assert_allclose(log_density[:, row, column], bayes, atol=0.02)
    off_center, _ = measures.exact_posterior(vae, images[:1], center=(1.0, -2.0), reach=0.5, points=11)
    np.testing.assert_allclose(off_center[:, [0, -1]], [[0.5, 1.5], [-2.5, -1.5]])


def test_draws_from_the_grid_are_draws_from_the_posterior_of_pixels():
    """A decoder that shows its latents: with the first pixel lit and the second dark, z₁ tends up and z₂ down."""
    encoder, decoder = networks.mlp(2, (), image_shape=(1, 2, 1), seed=0)
    decoder.set_weights([6 * np.eye(2), np.zeros(2)])
    vae, image = VAE(encoder, decoder), np.array([1.0, 0.0], np.float32).reshape(1, 1, 2, 1)
    z, log_density = measures.exact_posterior_samples(vae, image, 400, points=61, coarse=41)
    assert z[..., 0].mean() > 0.5 > -0.5 > z[..., 1].mean()
    log_joint = vae.log_likelihood(image, z) + stats.norm.logpdf(z).sum(axis=-1)
    np.testing.assert_allclose(np.mean(log_joint - log_density), np.log(1 / 4), atol=0.02)  # p(x), by symmetry


def test_draws_from_the_grid_are_draws_from_the_posterior(convolutional):
    """p(z)/p(z|x) has the mean 1 over the posterior's support, and p(x|z) p(z)/p(z|x) is p(x) at every draw."""
    vae, images, exact = convolutional
    z, log_density = measures.exact_posterior_samples(vae, images[:2], 500, points=81, coarse=61)
    assert z.shape == (500, 2, 2)
    log_joint = vae.log_likelihood(images[:2], z) + stats.norm.logpdf(z).sum(axis=-1)
    off = log_joint - log_density - exact[:2]
    assert np.abs(np.mean(off, axis=0)).max() < 0.05
    assert np.std(off) < 0.2
    axes, density = measures.exact_posterior(vae, images[:2], **GRID)
    mass = np.exp(density) / np.exp(density).sum(axis=(1, 2), keepdims=True)
    mean = np.stack([mass.sum(axis=1) @ axes[0], mass.sum(axis=2) @ axes[1]], axis=-1)
    np.testing.assert_array_less(np.abs(z.mean(axis=0) - mean), 5 * stats.sem(z))
    assert len(np.unique(z[:, 0], axis=0)) == 500
    with pytest.raises(ValueError, match="at least one sample"):
        measures.exact_posterior_samples(vae, images, 0)


# --- at the border ------------------------------------------------------------------------------------------------

FUNCTIONS = [
    lambda vae, images, **options: measures.log_weights(vae, images, 10, **options),
    lambda vae, images, **options: measures.fitted_posteriors(vae, images, 2, evaluation_samples=10, **options),
    lambda vae, images, **options: measures.annealed_importance_sampling(vae, images, chains=2, steps=2, **options),
]
SILENT = [lambda vae, images: measures.fitted_family_elbo(vae, images, np.zeros((2, len(images), 2)), steps=1)]


@pytest.mark.parametrize("function", FUNCTIONS + SILENT)
def test_models_and_images_that_cannot_be_used_are_refused(function, tiny, binary):
    with pytest.raises(ValueError, match="from images alone, got a ConditionalVAE"):
        function(models.ConditionalVAE(*networks.mlp(2, (4,), classes=10, conditional=True)), binary[:2])
    with pytest.raises(ValueError, match="expected images of shape"):
        function(tiny(), binary[:2, :14])
    with pytest.raises(ValueError, match=r"pixels in \{0, 1\}"):
        function(tiny(), binary[:2] / 2)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_bar_shows_the_progress_unless_it_is_switched_off(function, tiny, binary):
    def shown(progress):
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            function(tiny(), binary[:3], progress=progress)
        return shown.getvalue()

    assert "3/3" in shown(True) or "2/2" in shown(True)
    assert shown(False) == ""


def test_no_sample_is_too_few(tiny, binary):
    with pytest.raises(ValueError, match="at least one sample, got 0"):
        measures.log_weights(tiny(), binary[:2], 0)
