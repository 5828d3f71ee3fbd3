"""The VAE as a Keras model: one objective however it is trained, metrics that weigh images alike, and no chance.

All trainings are of one short run: 100 digits in batches of 32 (the last one has 4), two epochs, eight steps.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import VAE, data, likelihoods, networks, objectives, specimens, training
from vaecourse.course import slips

tfd = tfp.distributions

N, BATCH, EPOCHS, STEPS = 100, 32, 2, 8
TERMS = {"loss", "elbo", "log_likelihood", "kl"}


@pytest.fixture(scope="module")
def images(binary):
    return binary[:N]


@pytest.fixture(scope="module")
def train(tiny, images):
    return trainer(tiny, images)


def trainer(tiny, images):
    """Return the function that builds a tiny VAE, trains it, and returns it."""

    def run(x=images, epochs=EPOCHS, batch_size=BATCH, steps_per_execution=1, fit=None, **options) -> VAE:
        vae = tiny(steps_per_execution, **options)
        vae.fit(x, batch_size=batch_size, epochs=epochs, verbose=0, **(fit or {}))
        return vae

    return run


@pytest.fixture(scope="module")
def trained(train):
    """The run that others are compared with; not to be trained further."""
    return train()


@pytest.fixture(scope="module")
def untrained(tiny):
    return tiny()


def assert_equal_weights(one: VAE, other: VAE, tolerance: float = 0.0) -> None:
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=tolerance)


def assert_other_weights(one: VAE, other: VAE) -> None:
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


# --- what is trained ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"kl": "monte_carlo"}, {"samples": 3, "seed": 7}, {"kl": "monte_carlo", "samples": 3, "beta": 0.5}],
    ids=str,
)
def test_fit_is_the_loop_written_out(train, trained, tiny, images, options):
    by_loop = tiny(**options)
    optimizer = keras.optimizers.Adam(1e-2)
    step = 0
    for _ in range(EPOCHS):
        for x in data.batches(images, BATCH, by_loop.seed, step):
            with tf.GradientTape() as tape:
                log_likelihood, kl = by_loop.terms(x, by_loop.noise(len(x), step))
                loss = -tf.reduce_mean(log_likelihood - by_loop.beta * kl)
            gradients = tape.gradient(loss, by_loop.trainable_variables)
            optimizer.apply_gradients(zip(gradients, by_loop.trainable_variables, strict=True))
            step += 1
    assert step == STEPS
    by_fit = train(**options) if options else trained
    # A compiled step may sum in another order than this one, and Adam divides by gradients that may be near zero: 2e-6
    # was seen where the CPU has AVX-512.  Another objective moves weights by more than 1e-4.
    assert_equal_weights(by_loop, by_fit, tolerance=1e-5)
    assert_other_weights(by_loop, tiny(**options))


def test_trainings_do_not_disturb_each_other(train, trained):
    other = train(seed=1)
    assert_other_weights(other, trained)
    tf.random.normal((3,))
    np.random.default_rng().random()
    assert_equal_weights(train(), trained)
    assert_equal_weights(train(seed=1), other)


def test_several_steps_in_one_execution_are_the_same_steps(train, trained):
    assert_equal_weights(train(steps_per_execution=4), trained)
    assert_equal_weights(train(steps_per_execution=3), trained)  # the last execution of an epoch is one step short


def test_a_second_fit_continues_the_first(train, trained, images):
    vae = train(epochs=1)
    assert int(vae.optimizer.iterations) == STEPS // 2
    after_one_epoch = vae.get_weights()
    vae.fit(images, batch_size=BATCH, epochs=1, verbose=0)
    assert int(vae.optimizer.iterations) == STEPS
    assert_equal_weights(vae, trained)
    assert any((one != two).any() for one, two in zip(after_one_epoch, vae.get_weights(), strict=True))


def test_without_shuffling_every_epoch_visits_the_images_as_they_stand(train, trained, images):
    unshuffled = train(fit={"shuffle": False})
    assert_equal_weights(unshuffled, train(data.batches(images, BATCH), batch_size=None))
    assert_other_weights(unshuffled, trained)


@pytest.mark.parametrize("structure", ["x", "(x,)"])
def test_a_data_set_of_the_same_batches_gives_the_same_training(train, trained, images, structure):
    steps = tf.data.Dataset.range(EPOCHS)
    batches = steps.flat_map(lambda epoch: data.batches(images, BATCH, seed=0, step=epoch * (STEPS // EPOCHS)))
    batches = batches.apply(tf.data.experimental.assert_cardinality(STEPS))
    if structure == "(x,)":
        batches = batches.map(lambda x: (x,))
    assert_equal_weights(train(batches, batch_size=None, epochs=1), trained)


def test_steps_per_epoch_cuts_every_epoch_short(train):
    vae = train(fit={"steps_per_epoch": 3})
    assert int(vae.optimizer.iterations) == 3 * EPOCHS


def test_a_tensor_of_images_is_an_array_of_images(train, trained, images):
    assert_equal_weights(train(tf.constant(images)), trained)


def test_a_learned_sigma_is_trained_with_the_networks(grays):
    vae = VAE(*networks.mlp(2, hidden=(4,), seed=0), likelihoods.Gaussian("learned"))
    vae.compile(keras.optimizers.Adam(1e-1))
    before = float(vae.likelihood.sigma)
    vae.fit(grays[:N], epochs=3, verbose=0)
    error = np.sqrt(np.mean((vae.reconstruct(grays[:N]) - grays[:N]) ** 2))
    assert abs(float(vae.likelihood.sigma) - error) < abs(before - error)


def test_training_improves_the_objective_on_images_it_has_not_seen(trained, untrained, binary):
    held_out = binary[N : 2 * N]
    before, after = (vae.evaluate(held_out, verbose=0, return_dict=True)["elbo"] for vae in (untrained, trained))
    assert after > before + 50  # nats of about 540


# --- noise and terms ----------------------------------------------------------------------------------------------


def test_noise_is_standard_normal_and_a_function_of_seed_and_step(tiny):
    vae, other = tiny(), tiny(seed=1)
    draws = vae.noise(50_000, step=3).numpy()
    assert draws.shape == (50_000, 2)
    for power, moment, spread in ((1, 0, 1), (2, 1, np.sqrt(2)), (4, 3, np.sqrt(96))):
        assert np.abs((draws**power).mean(axis=0) - moment).max() < 4 * spread / np.sqrt(len(draws))
    assert abs(np.mean(draws[:, 0] * draws[:, 1])) < 4 / np.sqrt(len(draws))
    np.testing.assert_array_equal(draws, vae.noise(50_000, step=3))
    for another in (vae.noise(50_000, step=4).numpy(), other.noise(50_000, step=3).numpy()):
        assert abs(np.mean(draws[:, 0] * another[:, 0])) < 4 / np.sqrt(len(draws))
    assert tiny(samples=3).noise(5, step=0).shape == (3, 5, 2)


@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
def test_the_terms_are_those_of_the_distributions(tiny, images, kl):
    vae = tiny(kl=kl)
    eps = vae.noise(N, step=0)
    log_likelihood, divergence = vae.terms(images, eps)
    assert log_likelihood.shape == divergence.shape == (N,)
    posterior = vae.encode(images)
    prior = tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2))
    z = posterior.mean() + posterior.stddev() * eps
    np.testing.assert_allclose(log_likelihood, vae.decode(z).log_prob(images), rtol=1e-5)
    log_ratio = posterior.log_prob(z) - prior.log_prob(z)
    expected = {"analytic": tfd.kl_divergence(posterior, prior), "monte_carlo": log_ratio}
    np.testing.assert_allclose(divergence, expected[kl], atol=1e-5)


def test_a_slipped_vae_draws_with_the_variance_as_the_deviation(images):
    slipped = specimens.SlippedVAE(*networks.mlp(2, hidden=(16,), seed=0))
    eps = slipped.noise(N, step=0)
    mean, logvar = slipped.posterior_parameters(images)
    log_likelihood, kl = slipped.terms(images, eps)
    drawn = np.exp(logvar) * eps
    z = mean + drawn
    # Sum, product and both exponentials, numpy's and TensorFlow's, are each off by a unit of rounding or two of the
    # terms, not of z, in which they may cancel.
    bound = 8 * np.finfo(np.float32).eps * (np.abs(mean) + np.abs(drawn))
    assert np.all(np.abs(slipped.reparameterize(mean, logvar, eps) - z) <= bound)
    np.testing.assert_allclose(log_likelihood, slipped.decode(z).log_prob(images), rtol=1e-5)
    # What it draws from has the variance v²; its KL pays for v, which is never more.
    posterior = tfd.MultivariateNormalDiag(mean, np.exp(logvar))
    owed = tfd.kl_divergence(posterior, tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2)))
    paid = 0.5 * np.sum(np.exp(logvar) - logvar - 1 + mean**2, axis=1)
    np.testing.assert_allclose(kl, paid, atol=1e-5)
    assert np.all(paid <= owed + 1e-5)
    assert np.any(paid < owed - 1e-2)


@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
def test_the_terms_of_several_samples_are_their_means(tiny, images, kl):
    vae = tiny(kl=kl, samples=3)
    eps = vae.noise(N, step=0)
    separate = [vae.terms(images, one) for one in eps]
    for together, apart in zip(vae.terms(images, eps), zip(*separate, strict=True), strict=True):
        assert together.shape == (N,)
        np.testing.assert_allclose(together, np.mean(apart, axis=0), rtol=1e-5)


def test_log_weights_are_the_joint_over_the_posterior(tiny, images):
    vae = tiny()
    eps = tf.random.stateless_normal((4, N, 2), (0, 0))
    posterior = vae.encode(images)
    z = posterior.mean() + posterior.stddev() * eps
    log_prior = tfd.MultivariateNormalDiag(tf.zeros(2), tf.ones(2)).log_prob(z)
    expected = vae.decode(z).log_prob(images) + log_prior - posterior.log_prob(z)
    weights = vae.log_weights(images, eps)
    assert weights.shape == (4, N)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_encode_has_the_standard_deviation_of_the_log_variance(untrained, images):
    mean, logvar = untrained.posterior_parameters(images)
    np.testing.assert_array_equal(tf.concat([mean, logvar], -1), untrained.encoder(images))
    np.testing.assert_allclose(untrained.encode(images).mean(), mean)
    np.testing.assert_allclose(untrained.encode(images).variance(), np.exp(logvar), rtol=1e-5)


def test_decode_takes_any_leading_axes(untrained):
    z = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    p = untrained.decode(z)
    assert p.batch_shape == (2, 3)
    assert p.event_shape == (28, 28, 1)
    np.testing.assert_allclose(p.mean()[1, 2], untrained.decode(z[1, 2:]).mean()[0], rtol=1e-5)
    np.testing.assert_allclose(p.mean()[0], tf.sigmoid(untrained.decoder(z[0])), rtol=1e-5)


def test_reconstruct_decodes_the_posterior_mean_or_a_sample(untrained, images):
    posterior = untrained.encode(images)
    at_mean = untrained.decode(posterior.mean()).mean()
    np.testing.assert_allclose(untrained.reconstruct(images), at_mean, rtol=1e-5)
    eps = untrained.noise(N, step=0)
    at_sample = untrained.decode(posterior.mean() + posterior.stddev() * eps).mean()
    np.testing.assert_allclose(untrained.reconstruct(images, eps), at_sample, rtol=1e-5)
    assert np.abs(at_mean - at_sample).max() > 1e-3


def test_predict_and_call_reconstruct(untrained, images):
    expected = untrained.reconstruct(images)
    np.testing.assert_allclose(untrained(images), expected, rtol=1e-6)
    predicted = untrained.predict(images, batch_size=30, verbose=0)
    assert isinstance(predicted, np.ndarray)
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)
    np.testing.assert_allclose(untrained.predict(data.batches(images, 30), verbose=0), predicted, rtol=1e-6)


def test_samples_are_decoded_draws_from_the_prior_and_a_function_of_the_seed(untrained):
    first = untrained.sample(5)
    assert first.shape == (5, 28, 28, 1)
    np.testing.assert_array_equal(first, untrained.sample(5, seed=0))
    assert np.abs(first - untrained.sample(5, seed=1)).max() > 1e-3


def test_the_latents_of_samples_are_standard_normal():
    encoder, decoder = networks.mlp(1, hidden=(), image_shape=(1, 1, 1))
    decoder.set_weights([np.ones((1, 1)), np.zeros(1)])
    z = VAE(encoder, decoder, likelihoods.Gaussian(1.0, mean="linear")).sample(50_000).numpy().ravel()
    for power, moment, spread in ((1, 0, 1), (2, 1, np.sqrt(2)), (4, 3, np.sqrt(96))):
        assert abs((z**power).mean() - moment) < 4 * spread / np.sqrt(len(z))


# --- metrics and evaluation ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def half_beta(tiny):
    return tiny(beta=0.5, kl="monte_carlo", seed=3)


@pytest.mark.parametrize("n", [1, 7, training.EVALUATION_BATCH, training.EVALUATION_BATCH + 16])
def test_evaluate_is_the_mean_over_images_of_their_terms(half_beta, binary, n):
    x = binary[:n]
    terms, first = [], 0
    for batch in data.batches(x, training.EVALUATION_BATCH):
        eps = tf.random.stateless_normal((1, len(batch), 2), (-1 - half_beta.seed, first))
        terms.append(half_beta.terms(batch, eps))
        first += len(batch)
    log_likelihood, kl = (np.concatenate(parts).astype(np.float64).mean() for parts in zip(*terms, strict=True))
    expected = {
        "log_likelihood": log_likelihood,
        "kl": kl,
        "elbo": log_likelihood - kl,
        "loss": -(log_likelihood - 0.5 * kl),
    }
    measured = half_beta.evaluate(x, verbose=0, return_dict=True)
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=2e-6, atol=1e-5, err_msg=name)  # float32 sums


def test_evaluating_twice_gives_the_same(half_beta, images):
    first, second = (half_beta.evaluate(images, verbose=0, return_dict=True) for _ in range(2))
    assert first == second


def test_evaluate_does_not_train(half_beta, images):
    before = half_beta.get_weights()
    half_beta.evaluate(images, verbose=0)
    assert int(half_beta.optimizer.iterations) == 0
    for one, other in zip(before, half_beta.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_metrics_are_means_over_images_of_losses_before_each_update(tiny, images):
    vae = tiny(beta=2.0)
    vae.optimizer.learning_rate = 0.0
    measured = vae.fit(images, batch_size=BATCH, shuffle=False, verbose=0).history
    terms = [vae.terms(x, vae.noise(len(x), step)) for step, x in enumerate(data.batches(images, BATCH))]
    log_likelihood, kl = (np.concatenate(parts).mean() for parts in zip(*terms, strict=True))
    assert measured.keys() == TERMS
    np.testing.assert_allclose(measured["log_likelihood"], log_likelihood, rtol=2e-6)
    np.testing.assert_allclose(measured["kl"], kl, rtol=2e-6)
    np.testing.assert_allclose(measured["elbo"], log_likelihood - kl, rtol=2e-6)
    np.testing.assert_allclose(measured["loss"], -(log_likelihood - 2 * kl), rtol=2e-6)


def test_validation_measures_what_evaluate_does_in_every_form(tiny, images, binary):
    vae, held_out = tiny(), binary[N : N + 40]
    for validation in (held_out, (held_out, None), tf.constant(held_out), data.batches(held_out, 500)):
        history = vae.fit(images, validation_data=validation, verbose=0).history
        assert history.keys() == TERMS | {f"val_{name}" for name in TERMS}
        for name, value in vae.evaluate(held_out, verbose=0, return_dict=True).items():
            assert history[f"val_{name}"] == [value]


def test_validation_split_sets_the_last_images_aside(train, images):
    with_split = train(fit={"validation_split": 0.2})
    assert_equal_weights(with_split, train(images[:80], fit={"validation_data": images[80:]}))
    validated = with_split.history.history["val_elbo"][-1]  # before `evaluate`, by which older versions forget it
    assert validated == with_split.evaluate(images[80:], verbose=0, return_dict=True)["elbo"]


# --- Keras --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "likelihood",
    [likelihoods.Bernoulli(grays=True), likelihoods.Gaussian("learned", "linear")],
    ids=lambda likelihood: type(likelihood).__name__,
)
def test_a_saved_model_is_the_same_when_loaded(likelihood, grays, tmp_path):
    options = {"kl": "monte_carlo", "beta": 0.5, "samples": 2, "seed": 9}
    vae = VAE(*networks.mlp(latent_dim=2, hidden=(4,), seed=0), likelihood, **options)
    vae.compile(keras.optimizers.Adam(1e-2))
    vae.fit(grays[:N], batch_size=BATCH, verbose=0)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert type(loaded) is VAE
    assert {name: getattr(loaded, name) for name in options} == options
    assert int(loaded.optimizer.iterations) == STEPS // 2
    assert_equal_weights(loaded, vae)
    before, after = (model.evaluate(grays[:N], verbose=0, return_dict=True) for model in (vae, loaded))
    assert before == after
    for model in (vae, loaded):
        model.fit(grays[:N], batch_size=BATCH, verbose=0)
    assert_equal_weights(loaded, vae)


def test_saved_weights_are_loaded(trained, tiny, tmp_path):
    trained.save_weights(tmp_path / "vae.weights.h5")
    loaded = tiny()
    loaded.load_weights(tmp_path / "vae.weights.h5")
    assert_equal_weights(loaded, trained)


def test_the_summary_shows_the_parts(untrained):
    lines = []
    untrained.summary(print_fn=lines.append)
    summary = "\n".join(lines)
    for part in ("encoder", "decoder", "bernoulli"):
        assert part in summary
    assert untrained.count_params() == untrained.encoder.count_params() + untrained.decoder.count_params()


# --- errors -------------------------------------------------------------------------------------------------------

BAD_IMAGES = {
    "no channel": (lambda x: x[..., 0], ValueError, r"expected images of shape \(n, 28, 28, 1\)"),
    "one image": (lambda x: x[0], ValueError, "expected images of shape"),
    "another size": (lambda x: x[:, :20], ValueError, r"got \(100, 20, 28, 1\)"),
    "no image": (lambda x: x[:0], ValueError, "n ≥ 1"),
    "bytes": (lambda x: x.astype(np.uint8), TypeError, "expected float images, got uint8"),
    "integers": (lambda x: x.astype(np.int64), TypeError, "expected float images, got int64"),
    "booleans": (lambda x: x.astype(bool), TypeError, "expected float images, got bool"),
    "NaN": (lambda x: np.where(x > 0, np.nan, x), ValueError, "NaN"),
    "up to 255": (lambda x: 255 * x, ValueError, "got 0 to 255"),
    "negative": (lambda x: 2 * x - 1, ValueError, "got -1 to 1"),
    "grays": (lambda x: x / 2, ValueError, "binarize"),
}


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "encode", "reconstruct", "validation"])
@pytest.mark.parametrize("bad", BAD_IMAGES)
def test_images_that_cannot_be_asked_about_are_refused(untrained, images, method, bad):
    spoil, error, message = BAD_IMAGES[bad]
    ask = getattr(untrained, method, lambda x: untrained.fit(images, validation_data=x, verbose=0))
    with pytest.raises(error, match=message):
        ask(spoil(images))
    assert int(untrained.optimizer.iterations) == 0


def test_a_list_is_no_array_of_images(untrained, images):
    with pytest.raises(TypeError, match="expected an array of images, got list"):
        untrained.encode(images[:2].tolist())


def test_images_in_double_precision_are_images(untrained, images):
    np.testing.assert_array_equal(untrained.checked(images.astype(np.float64)), images)
    np.testing.assert_allclose(untrained.reconstruct(images.astype(np.float64)), untrained.reconstruct(images))


def test_bytes_in_a_data_set_are_refused(tiny, digits, images):
    vae = tiny()
    with pytest.raises(TypeError, match="expected float images"):
        vae.fit(data.batches(digits.train_images[:N, ..., np.newaxis], BATCH), verbose=0)
    vae.fit(images, verbose=0)  # and the model can be trained once the mistake is corrected


def test_labels_are_refused_wherever_they_come_from(untrained, images):
    labels = np.zeros(N)
    pairs = data.batches((images, labels), BATCH)
    for attempt in (
        lambda: untrained.fit(images, labels),
        lambda: untrained.fit(images, sample_weight=labels),
        lambda: untrained.fit(images, class_weight={0: 2.0}),
        lambda: untrained.fit(images, validation_data=(images, labels)),
        lambda: untrained.fit(pairs, verbose=0),
        lambda: untrained.evaluate(images, labels),
    ):
        with pytest.raises(ValueError, match=r"images alone|every image weighs the same"):
            attempt()


def test_a_loss_is_refused_and_a_model_must_be_compiled():
    vae = VAE(*networks.mlp(latent_dim=2, hidden=(4,)))
    with pytest.raises(ValueError, match="objective built in"):
        vae.compile("adam", loss="mse")
    with pytest.raises(ValueError, match="compile the model before"):
        vae.fit(np.zeros((4, 28, 28, 1), np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl": "exact"}, "for kl, got 'exact'"),
        ({"beta": -1.0}, "beta"),
        ({"beta": np.nan}, "beta"),
        ({"beta": np.inf}, "beta"),
        ({"samples": 0}, "samples=0"),
        ({"samples": 1.5}, "samples=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"seed": 2**31}, "seed=2147483648"),
        ({"likelihood": "poisson"}, "unknown likelihood 'poisson'"),
    ],
    ids=str,
)
def test_choices_that_are_none_are_refused(tiny, options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


def test_networks_that_do_not_fit_together_are_refused():
    _, decoder = networks.mlp(latent_dim=2, hidden=(4,))
    wider, _ = networks.mlp(latent_dim=3, hidden=(4,))
    smaller, _ = networks.mlp(latent_dim=2, hidden=(4,), image_shape=(14, 14, 1))
    with pytest.raises(ValueError, match="ends in 6 numbers; a decoder of 2 latents needs 4"):
        VAE(wider, decoder)
    with pytest.raises(ValueError, match=r"images of shape \(28, 28, 1\), the encoder takes \(14, 14, 1\)"):
        VAE(smaller, decoder)


@pytest.mark.parametrize("share", [-0.2, 1.0, 1.5])
def test_a_validation_split_that_is_no_share_is_refused(untrained, images, share):
    with pytest.raises(ValueError, match="share between 0 and 1"):
        untrained.fit(images, validation_split=share)


def test_a_data_set_cannot_be_split(untrained, images):
    with pytest.raises(ValueError, match="of an array of images"):
        untrained.fit(data.batches(images, BATCH), validation_split=0.2)


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_a_loss_that_is_not_finite_stops_training_with_the_weights_before_that_step(
    tiny, train, images, steps_per_execution
):
    spoilt = images.copy()
    spoilt[2 * BATCH] = np.nan  # in the third batch of data sets that come in order
    vae = tiny(steps_per_execution, likelihood=slips.UncheckedBernoulli())
    with pytest.raises(FloatingPointError, match="not finite at optimizer step 2"):
        vae.fit(tf.data.Dataset.from_tensor_slices(spoilt).batch(BATCH), verbose=0)
    assert int(vae.optimizer.iterations) == 2
    assert_equal_weights(vae, train(images[: 2 * BATCH], epochs=1, fit={"shuffle": False}))


def test_a_loss_that_is_not_finite_is_told_in_the_same_words_where_nothing_is_compiled(tiny, images):
    spoilt = images.copy()
    spoilt[2 * BATCH] = np.nan
    told = set()
    for eager in (False, True):
        vae = tiny(likelihood=slips.UncheckedBernoulli())
        vae.run_eagerly = eager
        with pytest.raises(FloatingPointError, match="not finite at optimizer step 2") as failure:
            vae.fit(tf.data.Dataset.from_tensor_slices(spoilt).batch(BATCH), verbose=0)
        told.add(str(failure.value))
    assert len(told) == 1


def test_errors_of_other_kinds_are_not_taken_for_losses_that_are_not_finite(tiny, images):
    def fail(x):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_sum(x) < 0, ["another assertion"])]):
            return tf.identity(x)

    with pytest.raises(tf.errors.InvalidArgumentError, match="another assertion"):
        tiny().fit(data.batches(images, BATCH).map(fail), verbose=0)


def test_the_losses_are_what_the_metrics_average(tiny, images):
    vae = tiny(beta=3.0)
    log_likelihood, kl = vae.terms(images, vae.noise(N, 0))
    losses = vae.objective(images, None, vae.noise(N, 0))
    assert tuple(losses) == vae.measured == tuple(metric.name for metric in vae.metrics)
    for name, expected in zip(
        vae.measured, (3 * kl - log_likelihood, log_likelihood - kl, log_likelihood, kl), strict=True
    ):
        np.testing.assert_allclose(losses[name], expected, rtol=1e-6)
    assert vae.checked_labels(None) is None


def test_what_can_be_trained_must_say_what_its_loss_is():
    with pytest.raises(NotImplementedError):
        training.Trainable().objective(None, None, None)


def test_the_objective_is_that_of_the_objectives_module(tiny, images):
    """The step looks the ELBO up where it is defined, so that a change there changes the training."""
    vae = tiny(beta=3.0)
    vae.optimizer.learning_rate = 0.0
    terms = vae.terms(images[:BATCH], vae.noise(BATCH, 0))
    expected = -objectives.elbo(*terms, 3.0).numpy().mean()
    measured = vae.train_on_batch(images[:BATCH], return_dict=True)
    np.testing.assert_allclose(measured["loss"], expected, rtol=2e-6)
