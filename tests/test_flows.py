"""The flow as a map, as a density, and as a posterior: autodiff, quadrature and the linear-Gaussian model judge it."""

import keras
import numpy as np
import policies
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from vaecourse import VAE, data, likelihoods, measures, models, networks, objectives
from vaecourse.models import linear_gaussian

tfd = tfp.distributions

N, BATCH = 100, 32


def randomized(flow: models.CouplingFlow, spread: float = 0.4, seed: int = 0) -> models.CouplingFlow:
    """Return the flow with weights at random: at its own initial weights it is the identity."""
    rng = np.random.default_rng(seed)
    flow.set_weights([spread * rng.normal(size=weight.shape) for weight in flow.get_weights()])
    return flow


def noise(*shape: int, seed: int = 3) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def small(latent_dim: int = 2, steps: int = 4, **options) -> models.FlowVAE:
    """Return a compiled VAE with a flow that is not the identity; equal arguments give equal weights."""
    flow = randomized(models.CouplingFlow(latent_dim, steps, hidden=8))
    vae = models.FlowVAE(*networks.mlp(latent_dim, hidden=(16,), seed=0), flow, **options)
    vae.compile(keras.optimizers.Adam(1e-2))
    return vae


def grid(points: int = 401, reach: float = 8.0) -> tuple[np.ndarray, float]:
    """Return points `(points², 2)` of a square, and the logarithm of the area of a cell."""
    axis = np.linspace(-reach, reach, points, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), 2 * np.log(axis[1] - axis[0])


def log_prior(z):
    return tfd.MultivariateNormalDiag(tf.zeros(z.shape[-1]), tf.ones(z.shape[-1])).log_prob(z)


# --- the map ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("latent_dim", "steps"), [(2, 1), (2, 4), (3, 3), (5, 2)])
def test_the_log_determinant_is_that_of_the_jacobian(latent_dim, steps):
    flow = randomized(models.CouplingFlow(latent_dim, steps, hidden=8))
    eps, context = noise(20, latent_dim), noise(20, 2 * latent_dim, seed=4)
    with tf.GradientTape() as tape:
        tape.watch(eps)
        moved, log_det = flow(eps, context)
    sign, expected = np.linalg.slogdet(tape.batch_jacobian(moved, eps).numpy().astype(np.float64))
    assert (sign == 1).all()
    np.testing.assert_allclose(log_det, expected, atol=1e-5)
    assert np.std(log_det) > 0.1


@pytest.mark.parametrize(("latent_dim", "steps"), [(2, 0), (2, 3), (5, 4)])
def test_the_bijector_is_the_same_map_and_undoes_it(latent_dim, steps):
    flow = randomized(models.CouplingFlow(latent_dim, steps, hidden=8))
    eps, context = noise(3, 20, latent_dim), noise(20, 2 * latent_dim, seed=4)
    moved, log_det = flow(eps, context)
    bijector = flow.bijector(context)
    np.testing.assert_allclose(bijector.forward(eps), moved, atol=1e-6)
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(eps, event_ndims=1), log_det, atol=1e-5)
    np.testing.assert_allclose(flow.bijector(context).inverse(tf.identity(moved)), eps, atol=1e-4)


def test_every_coordinate_moves_and_depends_on_the_others_and_on_the_context():
    flow = randomized(models.CouplingFlow(5, 2, hidden=8))
    eps, context = noise(1, 5), noise(1, 10, seed=4)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([eps, context])
        moved = flow(eps, context)[0]
    across = np.abs(tape.batch_jacobian(moved, eps)[0] - np.eye(5))
    assert (across[2:, :2] > 1e-3).all()  # the last three by the first two, in the first step
    assert (across[:2] > 1e-3).any(axis=1).all()  # the first two by the last three, in the second
    assert (np.abs(tape.batch_jacobian(moved, context)[0]) > 1e-4).all()


def test_leading_axes_are_samples():
    flow = randomized(models.CouplingFlow(3, 2, hidden=8))
    eps, context = noise(4, 2, 7, 3), noise(7, 6, seed=4)
    moved, log_det = flow(eps, context)
    assert moved.shape == (4, 2, 7, 3)
    assert log_det.shape == (4, 2, 7)
    for one in np.ndindex(4, 2):
        np.testing.assert_allclose(flow(eps[one], context)[0], moved[one], atol=1e-6)
        np.testing.assert_allclose(flow(eps[one], context)[1], log_det[one], atol=1e-6)


# --- where it is the identity it is a VAE -----------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_flow_at_its_initial_weights_is_a_vae(steps, samples, binary):
    x, parts = binary[:N], networks.mlp(2, hidden=(16,), seed=0)
    vae = VAE(*parts, kl="monte_carlo", samples=samples, seed=5)
    flow_vae = models.FlowVAE(*parts, models.CouplingFlow(2, steps), samples=samples, seed=5)
    eps = vae.noise(N, step=0)
    for one, other in zip(flow_vae.terms(x, eps), vae.terms(x, eps), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    several, z = noise(4, N, 2), noise(N, 2, seed=8)
    np.testing.assert_allclose(flow_vae.log_weights(x, several), vae.log_weights(x, several), rtol=1e-6)
    np.testing.assert_allclose(flow_vae.encode(x).log_prob(z), vae.encode(x).log_prob(z), rtol=1e-5)
    np.testing.assert_allclose(flow_vae.reconstruct(x), vae.reconstruct(x), rtol=1e-6)
    np.testing.assert_array_equal(flow_vae.sample(3), vae.sample(3))


def test_a_flow_without_steps_trains_as_a_vae(binary):
    trained = []
    for flow in (None, models.CouplingFlow(2, steps=0)):
        parts = networks.mlp(2, hidden=(16,), seed=0)
        vae = VAE(*parts, kl="monte_carlo") if flow is None else models.FlowVAE(*parts, flow)
        vae.compile(keras.optimizers.Adam(1e-2))
        vae.fit(binary[:N], batch_size=BATCH, epochs=2, verbose=0)
        trained.append(vae.get_weights())
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


# --- the density ------------------------------------------------------------------------------------------------------


def test_the_density_integrates_to_one_and_is_that_of_the_samples(binary):
    posterior = small().encode(binary[:2])
    points, log_cell = grid()
    log_prob = posterior.log_prob(points[:, np.newaxis]).numpy()
    np.testing.assert_allclose(special.logsumexp(log_prob + log_cell, axis=0), 0, atol=1e-3)
    n = 40_000
    samples, mass = posterior.sample(n, seed=1).numpy(), np.exp(log_prob + log_cell)
    for statistic in (lambda z: z, lambda z: z**2, lambda z: z[..., :1] * z[..., 1:], lambda z: 1.0 * (z > 0.3)):
        measured, expected = statistic(samples), np.einsum("gi,gk->ik", mass, statistic(points))
        error = measured.std(axis=0) / np.sqrt(n)
        np.testing.assert_array_less(np.abs(measured.mean(axis=0) - expected), 4.5 * error + 2e-3)


def test_the_terms_are_those_of_the_distributions(binary):
    vae, x = small(), binary[:N]
    eps = vae.noise(N, step=0)
    log_likelihood, kl = vae.terms(x, eps)
    z = vae.reparameterize(*vae.posterior_parameters(x), eps)
    np.testing.assert_allclose(log_likelihood, vae.decode(z).log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(kl, vae.encode(x).log_prob(z) - log_prior(z), atol=1e-4)
    several = noise(4, N, 2)
    z = vae.reparameterize(*vae.posterior_parameters(x), several)
    expected = vae.decode(z).log_prob(x) + log_prior(z) - vae.encode(x).log_prob(z)
    np.testing.assert_allclose(vae.log_weights(x, several), expected, rtol=1e-5)


def test_the_terms_of_several_samples_are_their_means(binary):
    vae, x = small(samples=3), binary[:N]
    eps = vae.noise(N, step=0)
    separate = [vae.terms(x, one) for one in eps]
    for together, apart in zip(vae.terms(x, eps), zip(*separate, strict=True), strict=True):
        assert together.shape == (N,)
        np.testing.assert_allclose(together, np.mean(apart, axis=0), rtol=1e-5, atol=1e-5)


# --- the bound --------------------------------------------------------------------------------------------------------


def test_the_elbo_is_below_the_exact_likelihood_by_the_divergence_from_the_posterior(binary):
    vae, x, n = small(), binary[:4], 3_000
    exact = measures.exact_log_likelihood(vae, x, points=160)
    points, log_cell = grid(160, 6.0)
    log_q = vae.encode(x).log_prob(points[:, np.newaxis]).numpy()
    log_joint = np.concatenate(
        [vae.decode(z).log_prob(x[:, np.newaxis]).numpy().T + log_prior(z)[:, None] for z in np.split(points, 16)]
    )
    gap = (np.exp(log_q + log_cell) * (log_q - (log_joint - exact))).sum(axis=0)
    weights = vae.log_weights(x, noise(n, 4, 2)).numpy()
    elbo, error = weights.mean(axis=0), weights.std(axis=0) / np.sqrt(n)
    np.testing.assert_array_less(np.abs(elbo - (exact - gap)), 4 * error + 2e-3)
    np.testing.assert_array_less(elbo, exact - 4 * error)


@pytest.fixture(scope="module")
def linear():
    return linear_vae()


def linear_vae():
    """Return a linear-Gaussian model, images of it, and a VAE of its decoder with a flow and the mean-field encoder."""
    model = linear_gaussian.LinearGaussian(np.random.default_rng(9).normal(0, 0.6, (6, 2)), np.full(6, 0.5), 0.4)
    images = np.random.default_rng(2).uniform(size=(200, 3, 2, 1)).astype(np.float32)
    encoder, decoder = networks.mlp(2, hidden=(), image_shape=(3, 2, 1))
    decoder.set_weights([model.weights.T, model.bias])
    to_mean = model.weights @ model.posterior_covariance / model.sigma**2
    _, logvar = model.mean_field_posterior(model.bias[np.newaxis])
    encoder.set_weights([np.hstack([to_mean, np.zeros((6, 2))]), np.concatenate([-model.bias @ to_mean, logvar[0]])])
    flow = models.CouplingFlow(2, steps=2, hidden=8)
    return model, models.FlowVAE(encoder, decoder, flow, likelihoods.Gaussian(model.sigma, mean="linear")), images


def test_the_mean_weight_is_the_likelihood(linear):
    model, vae, images = linear
    before = vae.get_weights()
    randomized(vae.flow, spread=0.1)
    *_, bias = vae.encoder.weights
    bias.assign_add([0, 0, np.log(3), np.log(3)])  # weights of a q narrower than the posterior may have no variance
    x, n = images[:5], 20_000
    ratios = np.exp(vae.log_weights(x, noise(n, 5, 2)) - model.log_prob(x.reshape(5, -1)).numpy()[np.newaxis])
    error = ratios.std(axis=0) / np.sqrt(n)
    np.testing.assert_array_less(np.abs(ratios.mean(axis=0) - 1), 4 * error)
    assert error.max() < 0.02
    estimate = measures.importance_log_likelihood(vae, x, samples=500)
    np.testing.assert_allclose(estimate, model.log_prob(x.reshape(5, -1)), atol=0.15)
    vae.set_weights(before)


def test_a_trained_flow_closes_the_gap_that_the_best_diagonal_posterior_leaves(linear):
    model, vae, images = linear
    x = images.reshape(len(images), -1)
    mean, logvar = model.mean_field_posterior(x)
    diagonal, exact = np.mean(model.elbo(x, mean, logvar)), np.mean(model.log_prob(x))
    assert exact - diagonal > 0.1
    before = vae.get_weights()
    vae.decoder.trainable = False
    vae.compile(keras.optimizers.Adam(1e-2))
    vae.fit(np.tile(images, (20, 1, 1, 1)), batch_size=200, epochs=8, verbose=0)
    per_image = vae.log_weights(images, noise(500, len(images), 2)).numpy()
    vae.decoder.trainable = True
    vae.set_weights(before)
    assert per_image.mean() > diagonal + 0.7 * (exact - diagonal)
    assert per_image.mean() < exact + 4 * per_image.std() / np.sqrt(per_image.size)


# --- Keras ------------------------------------------------------------------------------------------------------------


def test_fit_is_the_loop_written_out(binary):
    by_fit, by_loop = small(beta=0.5), small(beta=0.5)
    by_fit.fit(binary[:N], batch_size=BATCH, epochs=1, verbose=0)
    optimizer = keras.optimizers.Adam(1e-2)
    for step, x in enumerate(data.batches(binary[:N], BATCH, by_loop.seed, 0)):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(objectives.elbo(*by_loop.terms(x, by_loop.noise(len(x), step)), 0.5))
        gradients = tape.gradient(loss, by_loop.trainable_variables)
        assert all(gradient is not None for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, by_loop.trainable_variables, strict=True))
    for one, other, before in zip(by_fit.get_weights(), by_loop.get_weights(), small().get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
        assert np.abs(one - before).max() > 1e-3


def test_a_saved_model_is_the_same_when_loaded(binary, tmp_path):
    vae, x = small(latent_dim=3, beta=0.5, samples=2, seed=9), binary[:N]
    vae.fit(x, batch_size=BATCH, verbose=0)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert type(loaded) is models.FlowVAE
    assert [loaded.flow.steps, loaded.samples, loaded.seed, loaded.beta, loaded.kl] == [4, 2, 9, 0.5, "monte_carlo"]
    assert vae.evaluate(x, verbose=0, return_dict=True) == loaded.evaluate(x, verbose=0, return_dict=True)
    np.testing.assert_array_equal(vae.predict(x, verbose=0), loaded.predict(x, verbose=0))
    for model in (vae, loaded):
        model.fit(x, batch_size=BATCH, verbose=0)
    for one, other in zip(vae.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.half_precision
def test_in_mixed_precision_the_noise_keeps_its_digits(binary):
    with policies.built_in("mixed_bfloat16"):
        vae = small()
    eps = vae.noise(N, step=0)
    log_likelihood, kl = vae.terms(binary[:N], eps)
    assert log_likelihood.dtype == kl.dtype == tf.float32
    unmoved = models.CouplingFlow(2, dtype="mixed_bfloat16")
    np.testing.assert_array_equal(unmoved(eps, noise(N, 4))[0], eps)
    z = vae.reparameterize(*vae.posterior_parameters(binary[:N]), eps)
    np.testing.assert_allclose(kl, vae.encode(binary[:N]).log_prob(z) - log_prior(z), atol=1e-2)


def test_log_q_in_double_precision(binary):
    with policies.built_in("float64"):
        vae = small()
    mean, logvar = vae.posterior_parameters(binary[:N])
    z, log_q = vae.sample_and_log_q(mean, logvar, vae.noise(N, step=0))
    assert log_q.dtype == tf.float64
    np.testing.assert_allclose(log_q, vae.encode(binary[:N]).log_prob(z), rtol=1e-10)


def test_moments_that_no_formula_gives_are_refused(binary):
    with pytest.raises(NotImplementedError):
        small().encode(binary[:2]).mean()


def test_initial_weights_are_a_function_of_the_seed():
    first, again, other = (models.CouplingFlow(4, 2, seed=seed).get_weights() for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(first[0] - other[0]).max() > 1e-2
    assert np.abs(first[0] - first[4]).max() > 1e-2


def test_reconstruct_decodes_the_image_of_no_noise_or_a_sample(binary):
    vae, x = small(), binary[:N]
    mean, logvar = vae.posterior_parameters(x)
    for eps, given in ((tf.zeros((N, 2)), None), (noise(N, 2), noise(N, 2))):
        z = vae.reparameterize(mean, logvar, eps)
        np.testing.assert_allclose(vae.reconstruct(x, given), vae.decode(z).mean(), rtol=1e-5)
    assert np.abs(vae.reparameterize(mean, logvar, tf.zeros((N, 2))) - mean).max() > 1e-2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.CouplingFlow(1), "expected d ≥ 2, got 1"),
        (lambda: models.CouplingFlow(2, steps=-1), "steps=-1"),
        (lambda: models.CouplingFlow(2, hidden=0), "hidden=0"),
        (lambda: small(kl="analytic"), "no closed form"),
        (lambda: small(kl="exact"), "kl must be 'monte_carlo'"),
        (lambda: models.FlowVAE(*networks.mlp(2, (4,)), models.CouplingFlow(3)), "flow moves 3 latents"),
        (lambda: small().encode(np.zeros((2, 20, 28, 1), np.float32)), "expected images of shape"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_flow_vae_is_a_vae_to_what_measures_it(binary):
    vae, x = small(), binary[:50]
    assert isinstance(vae, models.VAE)
    assert measures.elbo(vae, x, samples=3).mean < measures.exact_log_likelihood(vae, x).mean()
    assert measures.active_units(vae, x).shape == (2,)
    assert vae.predict(x, verbose=0).shape == x.shape
