"""Models that know digits: their objectives against distributions and sums written out, and labels however given."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp, softmax

from vaecourse import data, models, networks, objectives, training

tfd = tfp.distributions

D, CLASSES, N, BATCH, STEPS = 2, 10, 60, 32, 4
EPS = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
MODELS = ("DigitVAE", "ConditionalVAE", "SemiSupervisedVAE")
each_model = pytest.mark.parametrize("name", MODELS)


def build(name: str, **options) -> models.VAE:
    """Build a small compiled model of this name; equal arguments give equal weights, large enough to matter."""
    built = networks.mlp_with_classifier(D, hidden=(8,), seed=0, conditional=name != "DigitVAE")
    for network in built:
        network.set_weights([3 * weight for weight in network.get_weights()])
    model = getattr(models, name)(*(built[:2] if name == "ConditionalVAE" else built), **options)
    model.compile(adam())
    return model


def adam() -> keras.optimizers.Adam:
    """Return an Adam whose epsilon does not turn the rounding errors of small gradients into steps."""
    return keras.optimizers.Adam(1e-2, epsilon=0.1)


@pytest.fixture(scope="module")
def x(grays):
    return grays[:N]


@pytest.fixture(scope="module")
def y(labels):
    return labels[:N]


@pytest.fixture(scope="module")
def untrained():
    """One model of each name, of which no weight is ever changed."""
    return {name: build(name) for name in MODELS}


def one_hot(y) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[y]


def some_unknown(y) -> np.ndarray:
    """Return labels of which every third is not known."""
    return np.where(np.arange(len(y)) % 3, y.astype(np.int64), -1)


def assert_equal_weights(one, other, tolerance=0.0) -> None:
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, rtol=0, atol=tolerance)


def assert_other_weights(one, other) -> None:
    assert any(np.abs(first - second).max() > 1e-3 for first, second in zip(one, other, strict=True))


# --- the objectives -----------------------------------------------------------------------------------------------


def terms_by_distributions(vae, encoder_input, x, condition, eps):
    """Log-likelihood at σ = ½ and KL to the prior, of a decoder that is told `condition` after the latents."""
    mean, logvar = tf.split(vae.encoder(encoder_input), 2, axis=-1)
    posterior = tfd.MultivariateNormalDiag(mean, tf.exp(logvar / 2))
    z = posterior.mean() + posterior.stddev() * eps
    x_hat = tf.sigmoid(vae.decoder(tf.concat([z, condition], axis=1)))
    log_likelihood = tf.reduce_sum(tfd.Normal(x_hat, 0.5).log_prob(x), axis=(1, 2, 3))
    return log_likelihood, tfd.kl_divergence(posterior, tfd.MultivariateNormalDiag(tf.zeros(D), tf.ones(D)))


def test_the_losses_of_a_digit_vae_are_those_of_its_source(x, y):
    vae = build("DigitVAE", beta=0.7, classification_weight=4.0)
    logits = vae.classifier(x).numpy()
    log_likelihood, kl = terms_by_distributions(vae, x, x, softmax(logits, axis=1), EPS)
    cross_entropy = logsumexp(logits, axis=1) - logits[np.arange(N), y]
    expected = {
        "log_likelihood": log_likelihood,
        "kl": kl,
        "vae_loss": 0.7 * kl - log_likelihood,
        "classifier_loss": 4 * cross_entropy,
        "loss": 0.7 * kl - log_likelihood + 4 * cross_entropy,
        "accuracy": logits.argmax(axis=1) == y,
    }
    measured = vae.objective(x, y, EPS)
    assert tuple(measured) == vae.measured
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        assert measured[name].shape == (N,)
        np.testing.assert_allclose(measured[name], value, rtol=2e-5, atol=1e-5, err_msg=name)


def test_given_labels_the_terms_of_a_digit_vae_are_those_of_a_bound_on_its_decoder_at_certain_digits(untrained, x, y):
    vae = untrained["DigitVAE"]
    expected = terms_by_distributions(vae, x, x, one_hot(y), EPS)
    for measured, value in zip(vae.terms(x, EPS, y), expected, strict=True):
        np.testing.assert_allclose(measured, value, rtol=2e-5, atol=1e-5)
    without = vae.terms(x, EPS)
    np.testing.assert_allclose(
        without.log_likelihood, vae.terms(x, EPS, softmax(vae.classifier(x), axis=1)).log_likelihood, rtol=1e-5
    )
    assert np.abs(without.log_likelihood - expected[0]).max() > 1


def test_the_terms_of_a_conditional_vae_are_those_of_the_distributions(untrained, x, y):
    vae = untrained["ConditionalVAE"]
    expected = terms_by_distributions(vae, [tf.constant(x), tf.constant(one_hot(y))], x, one_hot(y), EPS)
    for measured, value in zip(vae.terms(x, EPS, y), expected, strict=True):
        np.testing.assert_allclose(measured, value, rtol=2e-5, atol=1e-5)
    others = vae.terms(x, EPS, (y + 1) % CLASSES)
    assert all(np.abs(other - value).max() > 0.1 for other, value in zip(others, expected, strict=True))


def test_the_losses_of_a_conditional_vae_are_those_of_a_vae(x, y):
    vae = build("ConditionalVAE", beta=0.7)
    log_likelihood, kl = vae.terms(x, EPS, y)
    measured = vae.objective(x, y, EPS)
    assert tuple(measured) == models.VAE.measured
    np.testing.assert_allclose(measured["loss"], 0.7 * kl - log_likelihood, rtol=1e-6)
    np.testing.assert_allclose(measured["elbo"], log_likelihood - kl, rtol=1e-6)


def conditional_elbo(semi, x, y, eps, beta=1.0) -> np.ndarray:
    """The ELBO of log p(x|y) of the conditional VAE that has the networks of a half-supervised one."""
    conditional = models.ConditionalVAE(semi.encoder, semi.decoder)
    return objectives.elbo(*conditional.terms(x, eps, y), beta).numpy()


def test_where_the_digit_is_known_the_bound_is_that_of_a_conditional_vae_less_ln_10(untrained, x, y):
    bound = untrained["SemiSupervisedVAE"].bound(x, EPS, y)
    assert bound.shape == (N,)
    np.testing.assert_allclose(
        bound, conditional_elbo(untrained["SemiSupervisedVAE"], x, y, EPS) - np.log(10), rtol=1e-5
    )


def bound_summed_over_digits(semi, x, eps, beta=1.0) -> np.ndarray:
    """Σ_y q(y|x) ELBO(x, y) − KL(q(y|x) ‖ uniform), digit by digit."""
    q = tfd.Categorical(logits=semi.classifier(x))
    elbos = [conditional_elbo(semi, x, np.full(len(x), digit), eps, beta) for digit in range(CLASSES)]
    uniform = tfd.Categorical(logits=tf.zeros(CLASSES))
    return np.sum(q.probs_parameter().numpy().T * elbos, axis=0) - tfd.kl_divergence(q, uniform).numpy()


def test_where_it_is_not_known_the_bound_is_the_sum_over_digits(untrained, x, y):
    semi = untrained["SemiSupervisedVAE"]
    expected = bound_summed_over_digits(semi, x, EPS)
    unknown = np.full(N, -1)
    for bound in (semi.bound(x, EPS), semi.bound(x, EPS, unknown), semi.bound(x, tf.constant(EPS), unknown)):
        np.testing.assert_allclose(bound, expected, rtol=1e-5)
    kl = np.sum(semi.classify(x).probs_parameter() * np.log(10 * semi.classify(x).probs_parameter()), axis=1)
    assert kl.max() > 0.1  # nats, which the comparison would not overlook


def test_known_and_unknown_digits_can_be_mixed(x, y):
    semi = build("SemiSupervisedVAE", beta=0.7, classification_weight=4.0)
    mixed = some_unknown(y)
    apart = [
        np.where(mixed < 0, bound_summed_over_digits(semi, x, EPS, beta), known - np.log(10))
        for beta, known in ((beta, conditional_elbo(semi, x, y, EPS, beta)) for beta in (1.0, 0.7))
    ]
    np.testing.assert_allclose(semi.bound(x, EPS, mixed), apart[0], rtol=1e-5)
    cross_entropy = -tfd.Categorical(logits=semi.classifier(x)).log_prob(y)
    measured = semi.objective(x, mixed, EPS)
    assert tuple(measured) == semi.measured
    np.testing.assert_allclose(measured["bound"], apart[0], rtol=1e-5)
    np.testing.assert_allclose(measured["loss"], np.where(mixed < 0, 0, 4 * cross_entropy) - apart[1], rtol=1e-5)


@each_model
def test_the_losses_of_several_samples_are_their_means(untrained, x, y, name):
    model = untrained[name]
    eps = np.stack([EPS, -EPS, EPS[::-1]])
    separate = [model.objective(x, y, one) for one in eps]
    for metric, together in model.objective(x, y, eps).items():
        assert together.shape == (N,)
        np.testing.assert_allclose(together, np.mean([one[metric] for one in separate], axis=0), rtol=1e-5, atol=1e-6)


# --- the bound on log p(x), where that is known -------------------------------------------------------------------

PIXELS, DIGITS = (2, 2, 1), 3


@pytest.fixture(scope="module")
def exact():
    """A half-supervised model of images of four pixels in which the digit explains everything.

    Its decoder does not read the latents, its encoder returns the prior, and its classifier the posterior of the digit:
    Σ_i [x_i a_iy − ln(1 + exp(a_iy))] for the logits a of the pixels is linear in x.
    """
    encoder, decoder, classifier = networks.mlp_with_classifier(
        D, hidden=(), image_shape=PIXELS, classes=DIGITS, conditional=True
    )
    logits = np.random.default_rng(1).normal(0, 1.5, size=(DIGITS, 4))
    encoder.set_weights([np.zeros_like(weight) for weight in encoder.get_weights()])
    decoder.set_weights([np.vstack([np.zeros((D, 4)), logits]), np.zeros(4)])
    classifier.set_weights([logits.T, -np.log1p(np.exp(logits)).sum(axis=1)])
    return models.SemiSupervisedVAE(encoder, decoder, classifier, "bernoulli")


@pytest.fixture(scope="module")
def all_images():
    return np.array(list(itertools.product([0, 1], repeat=4)), np.float32).reshape(-1, *PIXELS)


def log_evidence(semi, images) -> np.ndarray:
    """log p(x) = log Σ_y p(y) ∫ p(x|z, y) p(z) dz, the integral as a sum over a fine grid."""
    axis = np.linspace(-6, 6, 61)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, D)
    log_prior = -0.5 * (z**2).sum(axis=-1) - np.log(2 * np.pi) + 2 * np.log(axis[1] - axis[0])
    logits = semi.decode(np.broadcast_to(z, (len(z), DIGITS, D)), np.arange(DIGITS)).distribution.logits.numpy()
    logits = logits.reshape(len(z), DIGITS, 1, 4).astype(np.float64)
    log_likelihood = (images.reshape(-1, 4) * logits - np.logaddexp(0, logits)).sum(axis=-1)
    return logsumexp(log_likelihood + log_prior[..., np.newaxis], axis=(0, 1)) - np.log(DIGITS)


def test_with_the_posterior_of_the_digit_the_bound_is_log_p_of_x(exact, all_images):
    expected = log_evidence(exact, all_images)
    assert np.exp(expected).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(exact.bound(all_images, np.zeros((16, D), np.float32)), expected, atol=1e-5)


def test_with_another_posterior_the_bound_is_below_log_p_of_x(exact, all_images):
    classifier = keras.models.clone_model(exact.classifier)
    for share in (0.0, 0.5, 2.0):
        classifier.set_weights([share * weight for weight in exact.classifier.get_weights()])
        other = models.SemiSupervisedVAE(exact.encoder, exact.decoder, classifier, "bernoulli")
        eps = np.zeros((16, D), np.float32)
        gap = exact.bound(all_images, eps) - other.bound(all_images, eps)
        kl = tfd.kl_divergence(other.classify(all_images), exact.classify(all_images))
        np.testing.assert_allclose(gap, kl, atol=1e-5)  # what a bound lacks is the KL to the posterior
        assert gap.numpy().min() > 1e-4


def test_on_average_the_bound_is_below_log_p_of_x(all_images):
    semi = models.SemiSupervisedVAE(
        *networks.mlp_with_classifier(D, hidden=(8,), image_shape=PIXELS, classes=DIGITS, conditional=True, seed=1),
        "bernoulli",
    )
    for network in (semi.encoder, semi.decoder):
        network.set_weights([3 * weight for weight in network.get_weights()])
    expected = log_evidence(semi, all_images)
    assert np.exp(expected).sum() == pytest.approx(1, abs=1e-4)
    draws = semi.noise(16 * 400, 0)
    bounds = semi.bound(np.repeat(all_images, 400, axis=0), draws).numpy().reshape(16, 400)
    np.testing.assert_array_less(bounds.mean(axis=1) + 4 * bounds.std(axis=1) / 20, expected)


# --- training -----------------------------------------------------------------------------------------------------


def loss_written_out(model, x, y, eps):
    """The loss of a batch from terms that other tests have compared with distributions."""
    if isinstance(model, models.SemiSupervisedVAE):
        known = tf.where(y >= 0)[:, 0]
        certain = tfd.Categorical(logits=tf.gather(model.classifier(x), known))
        supervised = -tf.reduce_sum(certain.log_prob(tf.gather(y, known)))
        n = tf.cast(len(x), tf.float32)
        return model.classification_weight * supervised / n - tf.reduce_mean(model.bound(x, eps, y, model.beta))
    if isinstance(model, models.ConditionalVAE):
        return -tf.reduce_mean(objectives.elbo(*model.terms(x, eps, y), model.beta))
    logits = model.classifier(x)
    terms = model.terms(x, eps, tf.nn.softmax(logits))
    log_likelihood = tfd.Categorical(logits=logits).log_prob(y)
    return -tf.reduce_mean(objectives.elbo(*terms, model.beta) + model.classification_weight * log_likelihood)


@each_model
def test_fit_is_the_loop_written_out(x, y, name):
    y = some_unknown(y) if name == "SemiSupervisedVAE" else y.astype(np.int64)
    by_fit, by_loop = build(name, beta=0.5, seed=3), build(name, beta=0.5, seed=3)
    before = by_loop.get_weights()
    by_fit.fit(x, y, batch_size=BATCH, epochs=2, verbose=0)
    optimizer, step = adam(), 0
    for _ in range(2):
        for images, digits in data.batches((x, y), BATCH, 3, step):
            with tf.GradientTape() as tape:
                loss = loss_written_out(by_loop, images, digits, by_loop.noise(len(images), step))
            gradients = tape.gradient(loss, by_loop.trainable_variables)
            optimizer.apply_gradients(zip(gradients, by_loop.trainable_variables, strict=True))
            step += 1
    assert step == STEPS == int(by_fit.optimizer.iterations)
    assert_equal_weights(by_loop.get_weights(), by_fit.get_weights(), 1e-5)
    assert_other_weights(by_loop.get_weights(), before)


def test_where_all_digits_are_known_the_generative_weights_are_those_of_a_conditional_vae(x, y):
    semi, conditional = build("SemiSupervisedVAE"), build("ConditionalVAE")
    before = conditional.get_weights()
    for model in (semi, conditional):
        model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0)
    generative = semi.encoder.get_weights() + semi.decoder.get_weights()
    assert_equal_weights(generative, conditional.get_weights(), 1e-5)
    assert_other_weights(generative, before)


@each_model
def test_a_data_set_of_pairs_gives_the_same_training(x, y, name):
    by_array, by_set = build(name), build(name)
    by_array.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    by_set.fit(data.batches((x, y), BATCH), verbose=0)
    assert_equal_weights(by_array.get_weights(), by_set.get_weights())


@each_model
def test_validation_measures_what_evaluate_does_in_every_form(grays, labels, name):
    model, held_out = build(name), (grays[40:N], labels[40:N])
    train = data.batches((grays[:40], labels[:40]), 40)
    for validation in (held_out, data.batches(held_out, training.EVALUATION_BATCH)):
        history = model.fit(train, validation_data=validation, verbose=0).history
        assert history.keys() == {*model.measured, *(f"val_{metric}" for metric in model.measured)}
        for metric, value in model.evaluate(*held_out, verbose=0, return_dict=True).items():
            assert history[f"val_{metric}"] == [value]


def test_validation_split_sets_the_last_images_aside_with_their_labels(grays, labels):
    split, apart = build("DigitVAE"), build("DigitVAE")
    split.fit(grays[:50], labels[:50], validation_split=0.2, verbose=0)
    apart.fit(grays[:40], labels[:40], validation_data=(grays[40:50], labels[40:50]), verbose=0)
    assert_equal_weights(split.get_weights(), apart.get_weights())
    assert split.history.history == apart.history.history


def test_the_metric_of_accuracy_is_the_share_that_is_classified_rightly(x, y):
    vae = build("DigitVAE")
    vae.fit(x, y, epochs=20, verbose=0)
    share = np.mean(vae.classifier(x).numpy().argmax(axis=1) == y)
    assert 0.3 < share < 1
    np.testing.assert_array_equal(vae.classify(x).mode(), vae.classifier(x).numpy().argmax(axis=1))
    assert vae.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == pytest.approx(share, rel=1e-6)


def test_evaluate_weighs_known_and_unknown_digits_alike(untrained, x, y):
    semi, mixed = untrained["SemiSupervisedVAE"], some_unknown(y)
    eps = tf.random.stateless_normal((1, N, D), (-1, 0))
    measured = semi.evaluate(x, mixed, verbose=0, return_dict=True)
    assert measured["bound"] == pytest.approx(np.mean(semi.bound(x, eps[0], mixed)), rel=1e-6)


# --- asking -------------------------------------------------------------------------------------------------------


def test_predict_and_call_reconstruct(untrained, x, y):
    def expected(vae, encoder_input, condition):
        return tf.sigmoid(vae.decoder(tf.concat([vae.encoder(encoder_input)[:, :D], condition], axis=1)))

    digit, conditional, semi = (untrained[name] for name in MODELS)
    guess = semi.classifier(x).numpy().argmax(axis=1)
    images = tf.constant(x)
    for vae, asked, pictures in (
        (digit, x, expected(digit, images, softmax(digit.classifier(x), axis=1))),
        (conditional, (x, y), expected(conditional, [images, tf.constant(one_hot(y))], one_hot(y))),
        (semi, x, expected(semi, [images, tf.constant(one_hot(guess))], one_hot(guess))),
    ):
        predicted = vae.predict(asked, verbose=0)
        assert isinstance(predicted, np.ndarray)
        np.testing.assert_allclose(predicted, pictures, atol=1e-5)
        np.testing.assert_allclose(vae(tf.nest.map_structure(tf.constant, asked)), pictures, atol=1e-5)


@each_model
def test_a_style_can_be_drawn_as_every_digit(untrained, name):
    z = np.tile(EPS[:1], (CLASSES, 1))
    pictures = untrained[name].decode(z, np.arange(CLASSES)).mean()
    assert pictures.shape == (CLASSES, 28, 28, 1)
    for digit in (0, 7):
        alone = untrained[name].decode(EPS[:1], np.array([digit])).mean()[0]
        np.testing.assert_allclose(pictures[digit], alone, atol=1e-6)
    assert np.abs(pictures[0] - pictures[7]).max() > 1e-3
    styles = untrained[name].decode(np.repeat(EPS[:3, np.newaxis], CLASSES, axis=1), np.arange(CLASSES)).mean()
    assert styles.shape == (3, CLASSES, 28, 28, 1)
    np.testing.assert_allclose(styles[0], pictures, atol=1e-6)


@each_model
def test_labels_can_be_probabilities(untrained, x, y, name):
    model = untrained[name]
    np.testing.assert_array_equal(model.decode(EPS, one_hot(y)).mean(), model.decode(EPS, y).mean())
    for certain, integer in zip(model.terms(x, EPS, one_hot(y)), model.terms(x, EPS, y), strict=True):
        np.testing.assert_array_equal(certain, integer)
    undecided = np.full((N, CLASSES), 0.1)
    condition = tf.constant(np.concatenate([EPS, undecided], axis=1), tf.float32)
    np.testing.assert_allclose(model.decode(EPS, undecided).mean(), tf.sigmoid(model.decoder(condition)), atol=1e-6)


@each_model
def test_samples_are_decoded_draws_from_the_prior_as_the_digits_that_are_asked_for(untrained, name):
    model = untrained[name]
    asked = np.arange(CLASSES)
    z = tf.random.stateless_normal((CLASSES, D), (4, CLASSES))
    np.testing.assert_array_equal(model.sample(CLASSES, 4, asked), model.decode(z, asked).mean())


@each_model
def test_without_labels_nothing_is_drawn(untrained, name):
    for draw in (lambda: untrained[name].sample(3), lambda: untrained[name].decode(EPS)):
        with pytest.raises(ValueError, match=f"{name} decodes latents of known digits"):
            draw()


def test_a_conditional_vae_neither_classifies_nor_encodes_without_labels(untrained, x):
    assert not hasattr(untrained["ConditionalVAE"], "classify")
    for ask in (untrained["ConditionalVAE"].encode, untrained["ConditionalVAE"].reconstruct):
        with pytest.raises(ValueError, match="expected labels y"):
            ask(x)


# --- labels that are none -----------------------------------------------------------------------------------------


def spoilt(y, value) -> np.ndarray:
    return np.where(np.arange(len(y)) == 3, value, y.astype(np.int64))


BAD_LABELS = {
    "missing": (lambda y: None, ValueError, "expected integer labels"),
    "too large": (lambda y: spoilt(y, CLASSES), ValueError, "labels from .* to 9, got 0 to 10"),
    "too small": (lambda y: spoilt(y, -2), ValueError, "got -2 to 9"),
    "a list": (lambda y: y.tolist(), TypeError, "expected integer labels .*, as an array; got list"),
    "floats": (lambda y: y.astype(float), ValueError, r"probabilities \(n, 10\) as floats, got float64 \(60,\)"),
    "one float": (lambda y: np.float64(3), ValueError, r"probabilities \(n, 10\) as floats, got float64 \(\)"),
    "probabilities to learn from": (one_hot, ValueError, "expected integer labels"),
    "too few": (lambda y: y[:-1], ValueError, "equal length"),
}


@each_model
@pytest.mark.parametrize("bad", BAD_LABELS)
def test_labels_that_cannot_be_learned_from_are_refused(untrained, x, y, name, bad):
    spoil, error, message = BAD_LABELS[bad]
    model = untrained[name]
    for ask in (model.fit, model.evaluate):
        with pytest.raises(error, match=message):
            ask(x, spoil(y), verbose=0)
    assert int(model.optimizer.iterations) == 0


@each_model
def test_validation_labels_that_are_none_are_refused_before_anything_is_trained(untrained, x, y, name):
    for bad in ("too large", "too small", "a list", "floats", "too few"):
        spoil, error, message = BAD_LABELS[bad]
        with pytest.raises(error, match=message):
            untrained[name].fit(x, y, validation_data=(x, spoil(y)), verbose=0)
    assert int(untrained[name].optimizer.iterations) == 0


@each_model
@pytest.mark.parametrize("value", [-2, CLASSES])
def test_a_data_set_with_a_label_that_names_no_digit_is_refused(x, y, name, value):
    model = build(name)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"expected labels from (0|-1) to 9, got"):
        model.fit(data.batches((x[:BATCH], spoilt(y[:BATCH], value)), BATCH), verbose=0)
    assert_equal_weights(model.get_weights(), before)
    model.fit(x[:BATCH], y[:BATCH], verbose=0)  # and the model can be trained once the mistake is corrected
    assert_other_weights(model.get_weights(), before)


@each_model
def test_only_a_half_supervised_model_knows_digits_that_are_not_known(untrained, x, y, name):
    model = untrained[name]
    unknown = some_unknown(y)
    assert model.lowest_label == (-1 if name == "SemiSupervisedVAE" else 0)
    if name == "SemiSupervisedVAE":
        assert model.checked_labels(unknown) is unknown
        return
    with pytest.raises(ValueError, match="labels from 0 to 9, got -1 to 9"):
        model.checked_labels(unknown)
    with pytest.raises(ValueError, match="expected labels from 0 to 9, got -1 to 9"):
        build(name).fit(data.batches((x, unknown), BATCH), verbose=0)


@each_model
def test_a_data_set_without_labels_or_of_floats_is_refused(untrained, x, y, name):
    for examples, message in ((x, "expected integer labels"), ((x, y.astype(np.float32)), "expected integer labels")):
        with pytest.raises(ValueError, match=message):
            untrained[name].fit(data.batches(examples, BATCH), verbose=0)
    with pytest.raises(ValueError, match="brings its own labels"):
        untrained[name].fit(data.batches((x, y), BATCH), y)
    assert int(untrained[name].optimizer.iterations) == 0


@pytest.mark.parametrize("weight", [np.nan, np.inf, "ten", None])
@pytest.mark.parametrize("name", ["DigitVAE", "SemiSupervisedVAE"])
def test_a_weight_of_the_classification_that_is_none_is_refused(name, weight):
    with pytest.raises(ValueError, match="finite classification_weight"):
        build(name, classification_weight=weight)


# --- saving -------------------------------------------------------------------------------------------------------


@each_model
def test_a_saved_model_is_the_same_when_loaded(x, y, name, tmp_path):
    options = {"kl": "monte_carlo", "beta": 0.5, "samples": 2, "seed": 9}
    if name != "ConditionalVAE":
        options["classification_weight"] = 3.0
    model = build(name, **options)
    model.fit(x, y, batch_size=BATCH, verbose=0)
    model.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert type(loaded) is type(model)
    assert {option: getattr(loaded, option) for option in options} == options
    assert int(loaded.optimizer.iterations) == STEPS // 2
    assert_equal_weights(loaded.get_weights(), model.get_weights())
    before, after = (one.evaluate(x, y, verbose=0, return_dict=True) for one in (model, loaded))
    assert before == after
    for one in (model, loaded):
        one.fit(x, y, batch_size=BATCH, verbose=0)
    assert_equal_weights(loaded.get_weights(), model.get_weights())


@pytest.mark.parametrize("value", [-0.1, 0.2, np.nan])
def test_numbers_that_are_no_probabilities_are_refused(untrained, value):
    y = np.full((4, CLASSES), 1 / CLASSES, np.float32)
    y[2, 1] = value
    with pytest.raises(ValueError, match="probabilities that are not negative and add up to 1"):
        untrained["DigitVAE"].decode(np.zeros((4, untrained["DigitVAE"].latent_dim), np.float32), y)


@each_model
def test_a_loss_is_minus_the_bound_and_what_stands_beside_it(untrained, x, y, name):
    """Rounding of float32 sums of some hundred nats leaves less than 10⁻³."""
    model = untrained[name]
    terms = model.terms(x, EPS, None if name == "DigitVAE" else y)  # that decoder is given the classifier's guess
    loss = model.objective(x, y, EPS)["loss"]
    np.testing.assert_allclose(loss, model.beside_the_bound(x, y) - objectives.elbo(*terms), rtol=1e-5, atol=1e-3)
