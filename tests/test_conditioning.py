"""Priors that know a condition: against TFP, against other coordinates, and where log p(x|y) is known exactly."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp

from vaecourse import data, measures, models, networks, objectives
from vaecourse.models import completion, conditional

tfd = tfp.distributions

D, CLASSES, N, BATCH = 2, 10, 40, 16
EPS = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
LOWER_LEFT = completion.given_quadrants(1)


def prior_of_digits(zero: bool = False) -> keras.Model:
    """Return a linear network of the digit: row y of its weights is mean and log-variance of p(z|y)."""
    prior = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Dense(2 * D, use_bias=False)])
    rows = np.random.default_rng(1).normal(size=(CLASSES, 2 * D))
    prior.set_weights([0 * rows if zero else rows])
    return prior


def digit_networks() -> tuple[keras.Model, keras.Model]:
    return grown(networks.mlp(D, (8,), seed=0, classes=CLASSES, conditional=True))


def grown(built):
    """Return networks with weights that are large enough to matter."""
    for network in built:
        network.set_weights([3 * weight for weight in network.get_weights()])
    return built


def of_digits(zero: bool = False, **options) -> models.LearnedPriorVAE:
    vae = models.LearnedPriorVAE(*digit_networks(), prior_of_digits(zero), "gaussian", **options)
    vae.compile(keras.optimizers.Adam(1e-2, epsilon=0.1))
    return vae


def completing(given=LOWER_LEFT, likelihood="bernoulli", **options) -> models.CompletionVAE:
    encoder, decoder = networks.mlp(D, (8,), seed=0, classes=given.size, image_shape=given.shape)
    prior, _ = networks.mlp(D, (8,), seed=1, image_shape=given.shape)
    if given.size > 4:
        grown((encoder, decoder, prior))
    vae = models.CompletionVAE(encoder, decoder, prior, given, likelihood, **options)
    vae.compile(keras.optimizers.Adam(1e-2, epsilon=0.1))
    return vae


@pytest.fixture(scope="module")
def x(binary):
    return binary[:N]


@pytest.fixture(scope="module")
def y(labels):
    return labels[:N].astype(np.int64)


# --- the KL between two Gaussians -------------------------------------------------------------------------------------


def two_gaussians(n: int = 5):
    rng = np.random.default_rng(2)
    return [tf.constant(rng.normal(size=(n, 3))) for _ in range(4)]


def as_distributions(mean, logvar, prior_mean, prior_logvar):
    q = tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))
    return q, tfd.MultivariateNormalDiag(prior_mean, tf.exp(0.5 * prior_logvar))


def test_the_kl_between_two_gaussians_is_that_of_tfp_and_so_is_its_gradient():
    parameters = two_gaussians()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(parameters)
        kl = objectives.analytic_kl(*conditional.relative_to(*parameters))
        expected = tfd.kl_divergence(*as_distributions(*parameters))
    np.testing.assert_allclose(kl, expected, rtol=1e-12)
    for one, other in zip(tape.gradient(kl, parameters), tape.gradient(expected, parameters), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_the_sampled_kl_is_the_difference_of_two_log_densities():
    parameters = two_gaussians()
    eps = tf.constant(np.random.default_rng(3).normal(size=(7, 5, 3)))
    q, p = as_distributions(*parameters)
    z = objectives.reparameterize(*parameters[:2], eps)
    kl = objectives.monte_carlo_kl(*conditional.relative_to(*parameters), eps)
    np.testing.assert_allclose(kl, q.log_prob(z) - p.log_prob(z), rtol=1e-10, atol=1e-12)


def test_the_kl_to_itself_is_zero_and_to_any_other_positive():
    mean, logvar, *_ = two_gaussians()
    np.testing.assert_array_equal(objectives.analytic_kl(*conditional.relative_to(mean, logvar, mean, logvar)), 0)
    assert np.all(objectives.analytic_kl(*conditional.relative_to(*two_gaussians())) > 0)


# --- p(z|y) -----------------------------------------------------------------------------------------------------------


def test_with_a_prior_of_zeros_it_is_a_conditional_vae_to_the_last_digit(x, y):
    options = {"beta": 0.7, "seed": 3}
    learned, fixed = of_digits(zero=True, **options), models.ConditionalVAE(*digit_networks(), "gaussian", **options)
    fixed.compile(keras.optimizers.Adam(1e-2, epsilon=0.1))
    for name, value in fixed.objective(x, y, EPS).items():
        np.testing.assert_array_equal(learned.objective(x, y, EPS)[name], value, err_msg=name)
    np.testing.assert_array_equal(learned.log_weights(x, EPS[np.newaxis], y), fixed.log_weights(x, EPS[np.newaxis], y))
    np.testing.assert_array_equal(learned.sample(CLASSES, 4, np.arange(10)), fixed.sample(CLASSES, 4, np.arange(10)))
    learned.prior.trainable = False
    for vae in (learned, fixed):
        vae.fit(x, y, batch_size=BATCH, epochs=2, verbose=0)
    for one, other in zip(learned.decoder.get_weights(), fixed.decoder.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)  # two compiled steps may round otherwise


def in_other_coordinates(vae) -> models.ConditionalVAE:
    """Return a conditional VAE with the prior N(0, I) whose networks do what the learned prior does.

    Its latents are u = (z − m)/s: the decoder turns them into z first, and the encoder turns q(z|x, y) into q(u|x, y).
    """
    image, digit, u = keras.Input((28, 28, 1)), keras.Input((CLASSES,)), keras.Input((D + CLASSES,))
    mean, logvar = keras.ops.split(vae.encoder([image, digit]), 2, axis=-1)
    m, v = keras.ops.split(vae.prior(digit), 2, axis=-1)
    encoder = keras.Model(
        [image, digit], keras.ops.concatenate([(mean - m) * keras.ops.exp(-0.5 * v), logvar - v], axis=-1)
    )
    m, v = keras.ops.split(vae.prior(u[:, D:]), 2, axis=-1)
    z = m + keras.ops.exp(0.5 * v) * u[:, :D]
    decoder = keras.Model(u, vae.decoder(keras.ops.concatenate([z, u[:, D:]], axis=-1)))
    return models.ConditionalVAE(encoder, decoder, "gaussian")


def test_a_gaussian_prior_of_the_digit_is_a_change_of_coordinates(x, y):
    vae = of_digits()
    other = in_other_coordinates(vae)
    assert np.abs(vae.prior_parameters(y)[0]).max() > 1
    for one, same in zip(vae.terms(x, EPS, y), other.terms(x, EPS, y), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(vae.sample(10, 1, np.arange(10)), other.sample(10, 1, np.arange(10)), atol=1e-5)


def test_the_terms_are_those_of_distributions(x, y):
    vae = of_digits()
    digit = np.eye(CLASSES, dtype=np.float32)[y]
    mean, logvar = tf.split(vae.encoder([x, digit]), 2, axis=-1)
    posterior = tfd.MultivariateNormalDiag(mean, tf.exp(logvar / 2))
    z = posterior.mean() + posterior.stddev() * EPS
    x_hat = tf.sigmoid(vae.decoder(tf.concat([z, digit], axis=1)))
    terms = vae.terms(x, EPS, y)
    expected = tf.reduce_sum(tfd.Normal(x_hat, 0.5).log_prob(x), axis=(1, 2, 3))
    np.testing.assert_allclose(terms.log_likelihood, expected, rtol=1e-5)
    np.testing.assert_allclose(terms.kl, tfd.kl_divergence(posterior, vae.prior_distribution(y)), rtol=1e-4)


def test_the_prior_of_a_digit_is_what_the_network_says_and_is_drawn_from(y):
    vae = of_digits()
    m, v = np.split(vae.prior.get_weights()[0], 2, axis=1)
    prior = vae.prior_distribution(y)
    np.testing.assert_allclose(prior.mean(), m[y], rtol=1e-6)
    np.testing.assert_allclose(prior.stddev(), np.exp(v[y] / 2), rtol=1e-5)
    z = m[y] + np.exp(v[y] / 2) * tf.random.stateless_normal((N, D), (4, N))
    np.testing.assert_allclose(vae.sample(N, 4, y), vae.decode(z, y).mean(), atol=1e-6)


def test_training_moves_the_prior_as_the_loss_written_out_says(x, y):
    by_fit, by_loop = of_digits(seed=3), of_digits(seed=3)
    before = by_loop.prior.get_weights()[0]
    by_fit.fit(x, y, batch_size=BATCH, epochs=2, verbose=0)
    optimizer, step = keras.optimizers.Adam(1e-2, epsilon=0.1), 0
    for _ in range(2):
        for images, digits in data.batches((x, y), BATCH, 3, step):
            with tf.GradientTape() as tape:
                eps = by_loop.noise(len(images), step)
                log_likelihood = by_loop.terms(images, eps, digits).log_likelihood
                kl = tfd.kl_divergence(by_loop.encode(images, digits), by_loop.prior_distribution(digits))
                loss = tf.reduce_mean(kl - log_likelihood)
            gradients = tape.gradient(loss, by_loop.trainable_variables)
            optimizer.apply_gradients(zip(gradients, by_loop.trainable_variables, strict=True))
            step += 1
    for one, other in zip(by_fit.get_weights(), by_loop.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    assert np.abs(by_fit.prior.get_weights()[0] - before).max() > 1e-3


# --- completing images ------------------------------------------------------------------------------------------------


def test_quadrants_are_quarters_and_each_number_has_those_of_the_smaller():
    one, two, three = (completion.given_quadrants(n, (6, 8, 2)) for n in (1, 2, 3))
    assert [part.mean() for part in (one, two, three)] == [0.25, 0.5, 0.75]
    assert one[3:, :4].all()
    assert two[:, :4].all()
    assert not three[3:, 4:].any()
    assert np.all(one <= two)
    assert np.all(two <= three)


@pytest.mark.parametrize("number", [0, 4, 1.5, "one"])
def test_other_numbers_of_quadrants_are_refused(number):
    with pytest.raises(ValueError, match="one, two or three quadrants"):
        completion.given_quadrants(number)


def test_only_the_given_pixels_are_looked_at_and_only_the_others_are_scored(x):
    vae = completing()
    other = np.where(LOWER_LEFT, x, 1 - x)
    for of_x, of_other in zip(vae.prior_parameters(x), vae.prior_parameters(other), strict=True):
        np.testing.assert_array_equal(of_x, of_other)
    np.testing.assert_array_equal(vae.sample(N, 0, x), np.where(LOWER_LEFT, x, vae.sample(N, 0, other)))
    assert np.abs(vae.prior_parameters(1 - x)[0] - vae.prior_parameters(x)[0]).max() > 0.1
    of_x, of_other = (vae.log_likelihood(images, EPS, x) for images in (x, np.where(LOWER_LEFT, 1 - x, x)))
    np.testing.assert_array_equal(of_x, of_other)
    logits = vae.decoder(np.concatenate([EPS, np.where(LOWER_LEFT, x, 0).reshape(N, -1)], axis=1))
    expected = tfd.Bernoulli(logits=logits).log_prob(x).numpy()[:, ~LOWER_LEFT].sum(axis=1)
    np.testing.assert_allclose(of_x, expected, rtol=1e-5)
    np.testing.assert_allclose(vae.decode(EPS, x).log_prob(x), expected, rtol=1e-5)
    np.testing.assert_allclose(vae.log_likelihood(x, EPS), expected, rtol=1e-5)


def test_what_is_given_stays_as_it_is(x):
    vae = completing()
    for pictures in (vae.reconstruct(x), vae.predict(x, verbose=0), vae.sample(N, 0, x), vae.decode(EPS, x).mean()):
        pictures = np.asarray(pictures)
        np.testing.assert_array_equal(pictures[:, LOWER_LEFT], x[:, LOWER_LEFT])
        assert 0 < pictures[:, ~LOWER_LEFT].min() < pictures[:, ~LOWER_LEFT].max() < 1


def test_the_terms_of_a_completion_are_those_of_distributions(x):
    vae = completing(beta=0.7)
    terms = vae.terms(x, EPS)
    np.testing.assert_allclose(
        terms.kl, tfd.kl_divergence(vae.encode(x), vae.prior_distribution(x)), rtol=1e-4, atol=1e-5
    )
    z = vae.reparameterize(*vae.posterior_parameters(x), EPS)
    np.testing.assert_allclose(terms.log_likelihood, vae.decode(z, x).log_prob(x), rtol=1e-5)
    np.testing.assert_allclose(vae.objective(x, None, EPS)["loss"], 0.7 * terms.kl - terms.log_likelihood, rtol=1e-5)


SMALL = np.array([[True, False], [False, True]])[..., np.newaxis]


def all_completions(given_pixels) -> np.ndarray:
    """Return the four images of two by two pixels that have these two given pixels."""
    images = np.zeros((4, 2, 2, 1), np.float32)
    images[:, SMALL] = given_pixels
    images[:, ~SMALL] = list(itertools.product([0, 1], repeat=2))
    return images


def log_evidence(vae, images) -> np.ndarray:
    """log p(x″|x′), the integral over z as a sum over a fine grid."""
    axis = np.linspace(-8, 8, 161)
    u = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, D).astype(np.float32)
    log_prior = -0.5 * (u.astype(float) ** 2).sum(axis=-1) - np.log(2 * np.pi) + 2 * np.log(axis[1] - axis[0])
    m, v = vae.prior_parameters(images)
    return logsumexp(vae.log_likelihood(images, m + np.exp(v / 2) * u, images).numpy() + log_prior, axis=0)


@pytest.mark.parametrize("pixels", [(0, 1), (1, 1)])
def test_the_probabilities_of_all_completions_add_up_to_one_and_are_what_is_estimated(pixels):
    vae, images = completing(SMALL), all_completions(pixels)
    expected = log_evidence(vae, images)
    assert np.exp(expected).sum() == pytest.approx(1, abs=1e-5)
    for proposal in ("posterior", "prior"):
        repeated = np.repeat(images, 150, axis=0)
        estimates = measures.conditional_log_likelihood(vae, repeated, 50, proposal=proposal).reshape(4, 150)
        weights = np.exp(estimates)  # of which the mean over the noise is p(x″|x′), for any number of samples
        error = weights.std(axis=1, ddof=1) / np.sqrt(150)
        np.testing.assert_array_less(np.abs(weights.mean(axis=1) - np.exp(expected)), 5 * error)
        assert np.all(error < 0.1 * np.exp(expected))
    np.testing.assert_array_less(
        vae.objective(repeated, None, vae.noise(600, 0))["elbo"].numpy().mean(), expected.mean()
    )


def test_for_a_model_of_digits_it_is_the_importance_weighted_bound(x, y):
    vae = of_digits()
    eps = tf.random.stateless_normal((5, N, D), (7, 0))
    expected = objectives.importance_weighted_bound(vae.log_weights(x, eps, y))
    estimate = measures.conditional_log_likelihood(vae, x, 5, 7, y)
    np.testing.assert_allclose(estimate, expected, rtol=1e-5)
    m, v = vae.prior_parameters(y)
    expected = objectives.importance_weighted_bound(vae.log_likelihood(x, m + tf.exp(v / 2) * eps, y))
    np.testing.assert_allclose(measures.conditional_log_likelihood(vae, x, 5, 7, y, "prior"), expected, rtol=1e-5)
    fixed = models.ConditionalVAE(*digit_networks(), "gaussian")
    expected = objectives.importance_weighted_bound(fixed.log_likelihood(x, eps, y))
    np.testing.assert_allclose(measures.conditional_log_likelihood(fixed, x, 5, 7, y, "prior"), expected, rtol=1e-5)


def test_more_samples_raise_the_estimate(x):
    few, many = (measures.conditional_log_likelihood(completing(), x, k).mean() for k in (1, 50))
    assert few < many - 0.1


def test_another_proposal_is_refused(x):
    with pytest.raises(ValueError, match="'posterior' or 'prior' for proposal, got 'encoder'"):
        measures.conditional_log_likelihood(completing(), x, proposal="encoder")


# --- fit, evaluate, save, load ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [of_digits, completing])
def test_a_model_is_trained_evaluated_saved_and_loaded_like_any_other(x, y, build, tmp_path):
    vae = build(kl="monte_carlo", beta=0.5, samples=2, seed=9)
    examples = (x, y) if build is of_digits else (x,)
    before = vae.evaluate(*examples, verbose=0, return_dict=True)
    history = vae.fit(*examples, batch_size=BATCH, epochs=8, validation_data=examples, verbose=0).history
    after = vae.evaluate(*examples, verbose=0, return_dict=True)
    assert after["loss"] < before["loss"] - 1
    assert history["val_elbo"][-1] == after["elbo"]
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert type(loaded) is type(vae)
    assert loaded.evaluate(*examples, verbose=0, return_dict=True) == after
    if build is completing:
        np.testing.assert_array_equal(loaded.given, LOWER_LEFT)
    for one in (vae, loaded):
        one.fit(*examples, batch_size=BATCH, verbose=0)
    for one, other in zip(loaded.get_weights(), vae.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_data_set_of_whole_images_can_be_completed(x):
    by_array, by_set = completing(), completing()
    by_array.fit(x, batch_size=BATCH, shuffle=False, verbose=0)
    by_set.fit(data.batches(x, BATCH), verbose=0)
    for one, other in zip(by_array.get_weights(), by_set.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_prior_of_another_size_is_refused():
    wide = keras.Sequential([keras.Input((CLASSES,)), keras.layers.Dense(2 * D + 2)])
    with pytest.raises(ValueError, match="the prior ends in 6 numbers; 2 latents need 4"):
        models.LearnedPriorVAE(*digit_networks(), wide)
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2 * D)])
    with pytest.raises(ValueError, match=r"conditions of shape \(10,\), got one that takes \(3,\)"):
        models.LearnedPriorVAE(*digit_networks(), other)


@pytest.mark.parametrize("given", [np.ones((28, 28, 1), bool), np.zeros((28, 28), bool), np.zeros((28, 28, 1))])
def test_other_masks_are_refused(given):
    encoder, decoder = networks.mlp(D, (8,), classes=784)
    with pytest.raises(ValueError, match="expected given as a bool array of shape"):
        models.CompletionVAE(encoder, decoder, encoder, given)


def test_draws_need_one_condition_each(x, y):
    for vae, conditions in ((of_digits(), y), (completing(), x)):
        for given in (None, conditions[:2]):
            with pytest.raises(ValueError, match="expected 3 conditions y"):
                vae.sample(3, 0, given)


def test_conditions_that_are_no_images_are_refused(x):
    vae = completing()
    for bad, error in ((x[:, :14], ValueError), (x.astype(int), TypeError), (x * 0.5, ValueError), ([0], TypeError)):
        with pytest.raises(error):
            vae.prior_parameters(bad)
    with pytest.raises(ValueError, match="expected images y"):
        vae.decode(EPS)


def test_a_completion_takes_its_condition_from_the_images_it_learns_from(x):
    vae = completing()
    with pytest.raises(ValueError, match="y must be None"):
        vae.fit(x, x, verbose=0)


def test_labels_that_name_no_digit_are_refused(x, y):
    vae = of_digits()
    for bad in (y + 10, y - 10):
        for ask in (lambda bad: vae.fit(x, bad, verbose=0), vae.prior_parameters):
            with pytest.raises(ValueError, match="labels from 0 to 9"):
                ask(bad)


def test_conditions_have_the_shape_that_the_prior_takes_and_proposals_have_two_names(x):
    assert of_digits().condition_shape == (CLASSES,)
    assert completing().condition_shape == x.shape[1:]
    assert set(measures.conditional.PROPOSALS) == {"posterior", "prior"}
    with pytest.raises(ValueError, match="'posterior' or 'prior' for proposal, got 'encoder'"):
        measures.conditional_log_likelihood(completing(), x, 2, proposal="encoder")


def test_samples_are_those_of_the_seed_zero_unless_another_one_is_asked_for():
    vae, y = of_digits(), np.arange(3)
    np.testing.assert_array_equal(vae.sample(3, y=y), vae.sample(3, 0, y))
    assert np.abs(vae.sample(3, y=y) - vae.sample(3, 1, y)).max() > 1e-3
