"""Learned priors as densities, and a VAE that has one: closed forms, scipy, quadrature and plain VAEs judge them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from vaecourse import VAE, diagnose, measures, models, networks
from vaecourse.models import prior_vae, priors

SHAPE = (4, 3, 1)
D = 2


def parts(latent_dim: int = D, seed: int = 0) -> tuple[keras.Model, keras.Model]:
    return networks.mlp(latent_dim, (8,), "tanh", SHAPE, seed)


def pictures(n: int = 60, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, *SHAPE)) < 0.4).astype(np.float32)


def a_prior(kind: str, latent_dim: int = D) -> models.Prior:
    """Return a prior of each kind, away from its initial weights."""
    built = {
        "mixture": lambda: models.MixturePrior(latent_dim, 3),
        "vamp": lambda: models.VampPrior(latent_dim, SHAPE, 4),
        "flow": lambda: models.FlowPrior(latent_dim, 3, 8),
    }[kind]()
    rng = np.random.default_rng(7)
    built.set_weights([0.5 * rng.normal(size=weight.shape) for weight in built.get_weights()])
    return built


KINDS = ("mixture", "vamp", "flow")


def log_prob(prior: models.Prior, z: np.ndarray) -> np.ndarray:
    return prior.distribution(parts()[0]).log_prob(z.astype(np.float32)).numpy()


# --- densities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_density_integrates_to_one(kind):
    axis = np.linspace(-9, 9, 451)
    z = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    integral = np.exp(log_prob(a_prior(kind), z).astype(float)).sum() * (axis[1] - axis[0]) ** 2
    assert abs(integral - 1) < 2e-3  # a flow is not smooth to all orders: the rest is below 10⁻⁵


def test_a_mixture_is_that_of_scipy():
    prior, z = a_prior("mixture"), np.random.default_rng(1).normal(size=(9, D))
    means, logvars, logits = prior.get_weights()
    each = [stats.multivariate_normal(m, np.diag(np.exp(v))).logpdf(z) for m, v in zip(means, logvars, strict=True)]
    expected = special.logsumexp(np.array(each).T + special.log_softmax(logits), axis=1)
    np.testing.assert_allclose(log_prob(prior, z), expected, rtol=2e-5)


def test_a_vamp_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs():
    prior, z, encoder = a_prior("vamp"), np.random.default_rng(1).normal(size=(9, D)), parts()[0]
    mean, logvar = np.split(encoder(special.expit(prior.get_weights()[0])).numpy(), 2, axis=1)
    each = [stats.multivariate_normal(m, np.diag(np.exp(v))).logpdf(z) for m, v in zip(mean, logvar, strict=True)]
    expected = special.logsumexp(each, axis=0) - np.log(4)
    np.testing.assert_allclose(log_prob(prior, z), expected, rtol=2e-5)


def test_all_images_as_pseudo_inputs_give_the_aggregate_posterior():
    x, encoder = pictures(20), parts()[0]
    prior = models.VampPrior(D, SHAPE, 20)
    prior.start_at(x)
    np.testing.assert_allclose(prior.pseudo_inputs, 0.9 * x + 0.05, atol=1e-6)
    mean, logvar = np.split(encoder(prior.pseudo_inputs).numpy(), 2, axis=1)
    z = np.random.default_rng(2).normal(size=(9, D))
    expected = measures.aggregate_log_density(mean, logvar, z)
    np.testing.assert_allclose(log_prob(prior, z), expected, rtol=2e-5)


def test_the_density_of_a_flow_prior_is_that_of_the_noise_less_the_log_determinant():
    prior, eps = a_prior("flow"), tf.constant(np.random.default_rng(3).normal(size=(9, D)), tf.float32)
    bijector = prior.distribution().bijector
    with tf.GradientTape() as tape:
        tape.watch(eps)
        z = bijector.forward(eps)
    log_det = np.linalg.slogdet(tape.batch_jacobian(z, eps))[1]
    expected = stats.norm.logpdf(eps).sum(axis=1) - log_det
    assert np.abs(log_det).max() > 0.05
    np.testing.assert_allclose(log_prob(prior, z.numpy()), expected, rtol=1e-4, atol=1e-4)


def test_the_kl_of_a_mixture_is_between_its_bounds():
    """KL(q ‖ Σ π_k p_k) ≤ −ln Σ_k π_k exp(−KL_k) ≤ min_k (KL_k − ln π_k), and never below zero."""
    prior, rng = a_prior("mixture"), np.random.default_rng(4)
    means, logvars, logits = prior.get_weights()
    mean, logvar = np.array([0.3, -0.4]), np.array([-1.0, -0.5])
    log_share = special.log_softmax(logits.astype(float))
    ratio = np.exp(logvar - logvars)
    kls = 0.5 * (ratio + (mean - means) ** 2 * np.exp(-logvars) - np.log(ratio) - 1).sum(axis=1)
    variational = -special.logsumexp(log_share - kls)
    eps = rng.normal(size=(20_000, D))
    z = mean + np.exp(0.5 * logvar) * eps
    found = measures.Estimate.of(stats.norm.logpdf(eps).sum(1) - 0.5 * logvar.sum() - log_prob(prior, z))
    assert variational <= (kls - log_share).min()
    assert -4 * found.standard_error < found.mean < variational + 4 * found.standard_error


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_density(kind):
    """E ln p(z) over samples is that over a grid of p."""
    prior = a_prior(kind).distribution(parts()[0])
    axis = np.linspace(-9, 9, 301)
    grid = prior.log_prob(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)).numpy()
    expected = (np.exp(grid) * grid).sum() * (axis[1] - axis[0]) ** 2
    found = measures.Estimate.of(prior.log_prob(tf.identity(prior.sample(4000, seed=(1, 2)))))
    assert abs(found.mean - expected) < 4 * found.standard_error + 0.01


# --- a VAE that has one -----------------------------------------------------------------------------------------------


def test_one_standard_component_is_the_plain_vae():
    x = pictures()
    plain = VAE(*parts(), kl="monte_carlo", samples=3)
    mixed = models.PriorVAE(*parts(), models.MixturePrior(D, 1), samples=3)
    eps = plain.noise(len(x), 0)
    for name, value in plain.objective(x, None, eps).items():
        np.testing.assert_allclose(mixed.objective(x, None, eps)[name], value, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mixed.log_weights(x, eps), plain.log_weights(x, eps), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kl_is_log_q_less_log_p_at_the_sample(kind):
    x = pictures()
    vae = models.PriorVAE(*parts(), a_prior(kind))
    eps = vae.noise(len(x), 0)
    mean, logvar = vae.posterior_parameters(x)
    z = vae.reparameterize(mean, logvar, eps)
    expected = vae.encode(x).log_prob(z) - log_prob(vae.prior, z.numpy())
    np.testing.assert_allclose(vae.terms(x, eps).kl, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_is_below_the_exact_log_likelihood_by_quadrature(kind):
    """With two latents log p(x) is known, and importance sampling with the same prior finds it, too."""
    x = pictures(8)
    vae = models.PriorVAE(*parts(), a_prior(kind))
    exact = measures.exact_log_likelihood(vae, x, 151, reach=8.0)
    weights = measures.log_weights(vae, x, 2000, progress=False)
    error = np.exp(weights - weights.max(0)).std(0) / np.exp(weights - weights.max(0)).mean(0) / np.sqrt(2000)
    estimate = special.logsumexp(weights, axis=0) - np.log(2000)
    assert (np.abs(estimate - exact) < 5 * error + 2e-3).all()
    spread = weights.std(axis=0) / np.sqrt(2000)
    assert (weights.mean(axis=0) < exact + 4 * spread).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_and_saved_comes_back(kind, tmp_path):
    x, trained = pictures(), []
    for _ in range(2):
        vae = models.PriorVAE(*parts(), a_prior(kind))
        vae.compile("adam", run_eagerly=True)
        before = [weight.copy() for weight in vae.prior.get_weights()]
        history = vae.fit(x, batch_size=30, epochs=1, verbose=0).history
        trained.append(vae)
    assert set(history) == set(vae.measured)
    moved = [np.abs(now - then).max() > 0 for now, then in zip(vae.prior.get_weights(), before, strict=True)]
    assert any(moved)
    for one, other in zip(*(vae.get_weights() for vae in trained), strict=True):
        np.testing.assert_array_equal(one, other)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    eps = vae.noise(len(x), 5)
    for one, other in zip(loaded.terms(x, eps), vae.terms(x, eps), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded.sample(3, seed=2), vae.sample(3, seed=2))


def test_samples_are_drawn_from_the_learned_prior():
    vae = models.PriorVAE(*parts(), models.MixturePrior(D, 1))
    vae.prior.means.assign([[5.0, -5.0]])
    vae.prior.logvars.assign([[-20.0, -20.0]])
    expected = vae.decode(np.array([[5.0, -5.0]], np.float32)).mean()[0]
    np.testing.assert_allclose(vae.sample(3)[1], expected, atol=1e-3)


# --- a prior that is fitted afterwards --------------------------------------------------------------------------------


def test_a_fitted_normal_prior_has_the_moments_of_the_aggregate_posterior():
    """The best of all diagonal normal priors is known: the mean, and the variance, of q(z)."""
    x = pictures(200)
    vae = VAE(*parts())
    before = vae.get_weights()
    mean, logvar = (part.numpy() for part in vae.posterior_parameters(x))
    fitted = models.fitted_prior(vae, models.MixturePrior(D, 1), x, epochs=60, batch_size=50, rate=0.05)
    expected = mean.mean(axis=0), np.log(np.exp(logvar).mean(axis=0) + mean.var(axis=0))
    for found, known in zip(fitted.prior.get_weights(), expected, strict=False):
        np.testing.assert_allclose(found[0], known, atol=0.1)  # the last steps are small, and their noise too
    for one, other in zip(vae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert fitted.encoder is vae.encoder
    assert fitted.decoder is vae.decoder
    gain = measures.elbo(fitted, x, 20).mean - measures.elbo(vae, x, 20).mean
    saved = measures.kl_parts(vae, x, 5).marginal_kl.mean - measures.kl_parts(fitted, x, 5).marginal_kl.mean
    assert abs(gain - saved) < 0.1  # the marginal KL is the one term in which the prior stands


def test_the_marginal_kl_to_all_posteriors_is_zero():
    x = pictures(30)
    prior = models.VampPrior(D, SHAPE, 30)
    prior.start_at(x)
    exactly = prior.pseudo_inputs.numpy()
    parts_of_kl = measures.kl_parts(models.PriorVAE(*parts(), prior, "continuous_bernoulli"), exactly)
    assert abs(parts_of_kl.marginal_kl.mean) < 1e-5


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: models.MixturePrior(0), ValueError, "latent_dim ≥ 1, got 0"),
        (lambda: models.MixturePrior(2, 0), ValueError, "components ≥ 1, got 0"),
        (lambda: models.VampPrior(2, (28, 28), 5), ValueError, "image shape"),
        (lambda: models.VampPrior(2, SHAPE, 1.5), ValueError, "components ≥ 1, got 1.5"),
        (lambda: models.VampPrior(2, SHAPE, 5).start_at(pictures(4)), ValueError, r"expected images \(5, 4, 3, 1\)"),
        (lambda: models.VampPrior(2, SHAPE, 4).start_at(255 * pictures(4)), ValueError, r"in \[0, 1\]"),
        (lambda: models.VampPrior(2, SHAPE, 4).distribution(), ValueError, "expected the encoder"),
        (lambda: models.FlowPrior(1), ValueError, "expected d ≥ 2, got 1"),
        (lambda: models.PriorVAE(*parts(), models.MixturePrior(3)), ValueError, "prior is one of 3 latents"),
        (lambda: models.PriorVAE(*parts(), models.MixturePrior(2), kl="analytic"), ValueError, "got 'analytic'"),
        (lambda: models.PriorVAE(*parts(), "mixture"), TypeError, "expected a prior"),
        (lambda: models.PriorVAE(*parts(), models.VampPrior(2, (4, 4, 1))), ValueError, "pseudo-inputs have the shape"),
        (lambda: models.fitted_prior(VAE(*parts()), models.MixturePrior(2), pictures(), 0), ValueError, "epochs ≥ 1"),
        (lambda: models.fitted_prior(VAE(*parts()), models.MixturePrior(3), pictures()), ValueError, "3 latents"),
        (
            lambda: diagnose(models.PriorVAE(*parts(), models.MixturePrior(2)), pictures(100)),
            TypeError,
            "the prior of a PriorVAE is another",
        ),
        (
            lambda: models.fitted_prior(
                models.FlowVAE(*parts(), models.CouplingFlow(2)), models.MixturePrior(2), pictures()
            ),
            ValueError,
            "normal posteriors",
        ),
    ],
)
def test_what_cannot_be_is_refused(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_a_closed_form_is_refused_where_it_is_asked_for():
    vae = models.PriorVAE(*parts(), models.MixturePrior(2))
    with pytest.raises(ValueError, match="no closed form"):
        vae._kl(*vae.posterior_parameters(pictures(2)), None, None, False)


def test_the_modules_name_what_they_provide():
    assert priors.Prior is models.Prior
    assert prior_vae.PriorVAE is models.PriorVAE
