"""One step of one model, four times: a graph, a loop, Keras' `fit`, and TFP's distributions.

The weights, the images and the noise are equal, and so must be the loss, the gradients and the weights after a step.
"""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import graph_era, likelihoods, models, networks

tfd = tfp.distributions

BATCH, LEARNING_RATE = 100, 1e-3
CASES = {
    "float64": ("float64", 50, 5, 1e-6),
    "float32": ("float32", 50, 5, 1e-5),
    "float64, as published": ("float64", 500, 20, 1e-6),
}
CONSTANT = 784 * (0.5 * np.log(2 * np.pi) + np.log(0.5))
"""What −log N(x; x̂, ¼) has, summed over pixels, beyond the squared error: 177.02 nats."""


class Step(NamedTuple):
    """The loss before a step of Adam, its gradients, and the weights after it."""

    loss: float
    gradients: list[np.ndarray]
    weights: list[np.ndarray]


class Setting(NamedTuple):
    """What the implementations are given."""

    weights: dict[str, list[np.ndarray]]
    images: np.ndarray
    latent_dim: int
    hidden_size: int
    tolerance: float

    def networks(self) -> tuple[keras.Model, keras.Model]:
        built = networks.mlp(self.latent_dim, (self.hidden_size, self.hidden_size))
        for network, name in zip(built, ("encoder", "decoder"), strict=True):
            network.set_weights(self.weights[name])
        return built

    def vae(self) -> models.VAE:
        return models.VAE(*self.networks(), likelihoods.Gaussian(0.5), seed=3)

    def noise(self) -> np.ndarray:
        """Return the noise of the first step of `fit`."""
        return self.vae().noise(BATCH, 0).numpy()


def by_the_graph(setting, program, session) -> Step:
    feed = {program.x: setting.images.reshape(BATCH, -1), program.eps: setting.noise()}
    loss, gradients = session.run([program.loss, program.gradients], feed)
    session.run(program.train_step, feed)
    arranged = graph_era.weights(program, session, gradients)
    weights = graph_era.weights(program, session)
    return Step(loss, arranged["encoder"] + arranged["decoder"], weights["encoder"] + weights["decoder"])


def by_a_loop(setting, loss_of, epsilon=1e-8) -> Step:
    encoder, decoder = setting.networks()
    variables = encoder.trainable_variables + decoder.trainable_variables
    with tf.GradientTape() as tape:
        loss = loss_of(encoder, decoder, tf.constant(setting.images), tf.constant(setting.noise()))
    gradients = tape.gradient(loss, variables)
    keras.optimizers.Adam(LEARNING_RATE, epsilon=epsilon).apply_gradients(zip(gradients, variables, strict=True))
    return Step(
        float(loss), [gradient.numpy() for gradient in gradients], encoder.get_weights() + decoder.get_weights()
    )


def written_out(encoder, decoder, x, eps):
    """Return the loss as zoltowski has it."""
    mean, logvar = tf.split(encoder(x), 2, axis=-1)
    x_hat = tf.sigmoid(decoder(mean + tf.sqrt(tf.exp(logvar)) * eps))
    squared_error = tf.reduce_sum((x - x_hat) ** 2 / 0.5, axis=(1, 2, 3))
    kl = -0.5 * tf.reduce_sum(1 + logvar - mean**2 - tf.exp(logvar), axis=1)
    return tf.reduce_mean(squared_error + kl)


def by_distributions(encoder, decoder, x, eps):
    """Return minus the ELBO, as TFP has it, without its constant."""
    mean, logvar = tf.split(encoder(x), 2, axis=-1)
    posterior = tfd.MultivariateNormalDiag(mean, tf.exp(logvar / 2))
    prior = tfd.MultivariateNormalDiag(tf.zeros_like(mean), tf.ones_like(mean))
    z = posterior.mean() + posterior.stddev() * eps
    pixels = tfd.Normal(tf.sigmoid(decoder(z)), tf.cast(0.5, x.dtype))
    log_likelihood = tfd.Independent(pixels, reinterpreted_batch_ndims=3).log_prob(x)
    return -tf.reduce_mean(log_likelihood - tfd.kl_divergence(posterior, prior)) - CONSTANT


def by_fit(setting) -> Step:
    def fitted(optimizer):
        vae = setting.vae()
        before = vae.get_weights()
        vae.compile(optimizer)
        history = vae.fit(setting.images, batch_size=BATCH, shuffle=False, verbose=0).history
        return history["loss"][0], before, vae.get_weights()

    loss, before, after = fitted(keras.optimizers.SGD(1.0))
    gradients = [one - other for one, other in zip(before, after, strict=True)]
    return Step(loss - CONSTANT, gradients, fitted(keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8))[2])


class Parity(NamedTuple):
    setting: Setting
    steps: dict[str, Step]


@pytest.fixture(scope="module", params=CASES)
def parity(request, grays):
    """Take the four steps, Keras computing in the precision of the case."""
    precision, hidden_size, latent_dim, tolerance = CASES[request.param]
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    program = graph_era.build("squared_error", latent_dim, hidden_size, LEARNING_RATE, dtype=tf.as_dtype(precision))
    session = graph_era.start(program)
    images = grays[:BATCH].astype(precision)
    setting = Setting(graph_era.weights(program, session), images, latent_dim, hidden_size, tolerance)
    try:
        steps = {
            "graph": by_the_graph(setting, program, session),
            "loop": by_a_loop(setting, written_out),
            "fit": by_fit(setting),
            "distributions": by_a_loop(setting, by_distributions),
        }
        yield Parity(setting, steps)
    finally:
        session.close()
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def test_the_four_compute_in_the_precision_that_is_claimed(parity):
    expected = parity.setting.images.dtype
    for name, step in parity.steps.items():
        assert {array.dtype for array in step.gradients + step.weights} == {expected}, name


def test_the_losses_are_equal(parity):
    losses = [step.loss for step in parity.steps.values()]
    np.testing.assert_allclose(losses, losses[0], rtol=parity.setting.tolerance)
    assert losses[0] > 50  # nats


def test_the_gradients_are_equal(parity):
    graph, *others = parity.steps.values()
    for other in others:
        for one, same in zip(graph.gradients, other.gradients, strict=True):
            assert np.abs(one).max() > 1e-3
            np.testing.assert_allclose(same, one, rtol=0, atol=parity.setting.tolerance * np.abs(one).max())


def largest_difference(one: Step, other: Step, share: float = 0.0) -> float:
    """Return by how much weights differ whose gradient is at least this share of the largest of its layer."""
    return max(
        np.abs(a - b)[np.abs(gradient) >= share * np.abs(gradient).max()].max()
        for a, b, gradient in zip(one.weights, other.weights, one.gradients, strict=True)
    )


def test_the_weights_after_a_step_of_adam_are_equal(parity):
    graph, *others = parity.steps.values()
    # Adam divides by gradients, some of which are nothing but rounding errors in single precision.
    share = 1e-3 if parity.setting.images.dtype == np.float32 else 0.0
    for other in others:
        assert largest_difference(graph, other, share) < parity.setting.tolerance
    before = parity.setting.weights["encoder"] + parity.setting.weights["decoder"]
    assert largest_difference(graph, graph._replace(weights=before)) == pytest.approx(LEARNING_RATE, rel=1e-3)


def test_with_the_epsilon_that_is_the_default_of_keras_the_step_is_another_one(parity):
    another = by_a_loop(parity.setting, written_out, epsilon=1e-7)
    assert largest_difference(parity.steps["graph"], another) > 1e-5
