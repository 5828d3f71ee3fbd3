"""The source's program of the digit-conditioned VAE: its formulas in numpy, and the same step by the model of today."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, log_softmax, softmax
from scipy.stats import norm

from vaecourse import models, networks
from vaecourse.course import digit_graph, graph_era

D, HIDDEN, BATCH = 3, 8, 20
SMALL = {"latent_dim": D, "hidden_size": HIDDEN, "learning_rate": 1e-2}
NETWORKS = ("encoder", "decoder", "classifier")


@pytest.fixture(scope="module")
def x(grays):
    return grays[: 5 * BATCH].reshape(-1, digit_graph.INPUT_SIZE)


@pytest.fixture(scope="module")
def y(labels):
    return labels[: 5 * BATCH].astype(np.int32)


@pytest.fixture
def started():
    """Return a function that builds a program and starts it; the sessions are closed after the test."""
    sessions = []

    def start(**options):
        program = digit_graph.build(**SMALL | options)
        sessions.append(graph_era.start(program))
        return program, sessions[-1]

    yield start
    for session in sessions:
        session.close()


@pytest.fixture
def in_double_precision():
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


def in_numpy(weights, x, y, eps, scale=0.5, weight=10.0) -> dict[str, np.ndarray]:
    """Every quantity of the program, from the weights that the Keras networks would hold."""
    w1, b1, w2, b2 = weights["encoder"]
    v1, c1, v2, c2 = weights["decoder"]
    u1, a1, u2, a2 = weights["classifier"]
    mean, s = np.split(expit(x @ w1 + b1) @ w2 + b2, 2, axis=1)
    variance = 1e-5 + np.exp(s)
    z = mean + np.sqrt(variance) * eps
    logits = expit(x @ u1 + a1) @ u2 + a2
    probabilities = softmax(logits, axis=1)
    x_hat = expit(expit(np.concatenate([z, probabilities], axis=1) @ v1 + c1) @ v2 + c2)
    kl = 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(axis=1)
    vae_loss = np.mean(kl - norm.logpdf(x, x_hat, scale).sum(axis=1))
    classifier_loss = -weight * np.mean(log_softmax(logits, axis=1)[np.arange(len(y)), y])
    return {
        "mean": mean, "variance": variance, "z": z, "logits": logits, "probabilities": probabilities, "x_hat": x_hat,
        "vae_loss": vae_loss, "classifier_loss": classifier_loss, "loss": vae_loss + classifier_loss,
    }  # fmt: skip


def test_every_quantity_is_that_of_its_formula(started, x, y):
    program, session = started(scale=0.7, classification_weight=4.0, dtype=tf.float64)
    x, y, eps = x[:BATCH].astype(np.float64), y[:BATCH], np.random.default_rng(0).normal(size=(BATCH, D))
    expected = in_numpy(digit_graph.weights(program, session), x, y, eps, scale=0.7, weight=4.0)
    feed = {program.x: x, program.y: y, program.eps: eps}
    measured = session.run({name: getattr(program, name) for name in expected}, feed)
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-10, atol=1e-13, err_msg=name)


def test_where_the_encoder_is_certain_the_variance_has_its_lower_limit(started, x):
    program, session = started()
    with program.graph.as_default():
        session.run(program.variables[5].assign(np.full(D, -50, np.float32)))
    np.testing.assert_allclose(session.run(program.variance, {program.x: x[:1]}), np.full((1, D), 1e-5), rtol=1e-6)


def test_a_digit_of_ones_choice_can_be_fed(started, x):
    program, session = started()
    z, eye = np.zeros((10, D), np.float32), np.eye(10, dtype=np.float32)
    drawn = session.run(program.x_hat, {program.z: z, program.probabilities: eye})
    assert drawn.shape == (10, digit_graph.INPUT_SIZE)
    by_digit = [session.run(program.x_hat, {program.z: z[:1], program.probabilities: one[None]})[0] for one in eye]
    np.testing.assert_allclose(drawn, by_digit, rtol=1e-5)
    assert np.abs(drawn[0] - drawn[7]).max() > 1e-3


def test_matrices_are_drawn_by_glorots_rule_and_biases_begin_at_zero(started):
    program, session = started(hidden_size=50)
    for values in session.run(program.variables):
        if values.ndim == 1:
            np.testing.assert_array_equal(values, 0)
            continue
        limit = np.sqrt(6 / sum(values.shape))
        assert np.abs(values).max() <= limit
        # a uniform distribution has the deviation limit/√3 and a kurtosis of 1.8
        np.testing.assert_allclose(values.std(), limit / np.sqrt(3), rtol=4 * np.sqrt(0.8 / 4 / values.size))


def test_initial_weights_are_a_function_of_the_seed(started):
    first, again, other = (digit_graph.weights(*started(seed=seed)) for seed in (1, 1, 2))
    for network in NETWORKS:
        for one, same, different in zip(first[network], again[network], other[network], strict=True):
            np.testing.assert_array_equal(one, same)
            assert one.ndim == 1 or (one != different).any()


def of_today(weights, optimizer) -> models.DigitVAE:
    built = networks.mlp_with_classifier(D, (HIDDEN,), variance_floor=1e-5)
    for network, name in zip(built, NETWORKS, strict=True):
        network.set_weights(weights[name])
    vae = models.DigitVAE(*built, models.likelihoods.Gaussian(0.5), classification_weight=10.0, seed=3)
    vae.compile(optimizer)
    return vae


def test_a_step_by_fit_is_a_step_of_the_graph(started, x, y, in_double_precision):
    """Losses before the step, gradients as a step of gradient descent shows them, and weights after one of Adam."""
    program, session = started(dtype=tf.float64)
    before = digit_graph.weights(program, session)
    images, digits = x[:BATCH].astype(np.float64).reshape(-1, 28, 28, 1), y[:BATCH]
    descent = of_today(before, keras.optimizers.SGD(1.0))
    feed = {
        program.x: images.reshape(BATCH, -1),
        program.y: digits,
        program.eps: descent.noise(BATCH, 0).numpy().astype(np.float64),
    }
    *losses, gradients = session.run([program.vae_loss, program.classifier_loss, program.gradients], feed)
    session.run(program.train_step, feed)
    after, gradients = (digit_graph.weights(program, session, values) for values in (None, gradients))

    adam = of_today(before, keras.optimizers.Adam(1e-2, epsilon=1e-8))
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    history = descent.fit(images, digits, **options).history
    adam.fit(images, digits, **options)
    measured = [history[name][0] for name in ("vae_loss", "classifier_loss")]
    np.testing.assert_allclose(measured, losses, rtol=1e-6)
    for name in NETWORKS:
        fitted = zip(getattr(descent, name).get_weights(), getattr(adam, name).get_weights(), strict=True)
        graph = zip(before[name], gradients[name], after[name], strict=True)
        for (descended, stepped), (start, gradient, end) in zip(fitted, graph, strict=True):
            assert np.abs(gradient).max() > 1e-6
            np.testing.assert_allclose(start - descended, gradient, rtol=1e-6, atol=1e-10)
            # a step of 0.01, with 1 − 0.999 in single precision: off by up to 6e-8 of 1e-3, and its root by half of it
            np.testing.assert_allclose(stepped, end, rtol=0, atol=0.01 * 3e-5)


def test_both_losses_fall_and_are_measured_after_every_epoch(started, x, y):
    program, session = started(learning_rate=0.03)
    before = session.run([program.vae_loss, program.classifier_loss], {program.x: x, program.y: y})
    history = digit_graph.train(program, session, x, y, epochs=15, batch_size=BATCH)
    assert [len(losses) for losses in history.values()] == [15, 15]
    measured = session.run([program.vae_loss, program.classifier_loss], {program.x: x, program.y: y})
    for name, first, last in zip(("vae_loss", "classifier_loss"), before, measured, strict=True):
        assert history[name][-1] < first
        # the classifier has no noise; that of the other loss is some nats an image, and there are a hundred
        assert abs(history[name][-1] - last) < (2.0 if name == "vae_loss" else 1e-4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x.reshape(-1, 28, 28), y), "expected images"),
        (lambda x, y: (x, y[:-1]), "expected images"),
        (lambda x, y: (255 * x, y), "grays in"),
        (lambda x, y: (x, y + 1), "from 0 to 9, got 1 to 10"),
        (lambda x, y: (x[:5], y[:5]), "batches of 1 to 5 images"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(started, x, y, spoil, message):
    program, session = started()
    with pytest.raises(ValueError, match=message):
        digit_graph.train(program, session, *spoil(x, y), epochs=1, batch_size=BATCH)


@pytest.mark.parametrize("options", [{"latent_dim": 0}, {"hidden_size": 0}, {"scale": 0.0}])
def test_a_graph_that_cannot_be_built_is_refused(options):
    with pytest.raises(ValueError, match="expected"):
        digit_graph.build(**options)


def test_layers_are_made_in_the_graph_that_is_open():
    with tf.Graph().as_default() as graph:
        assert digit_graph.dense(tf.zeros((2, 5)), digit_graph.DIGITS).graph is graph
