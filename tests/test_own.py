"""Models that were written without this course, as functions of arrays; their steps gone through without training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from vaecourse.clinic import audit, own, rehearsals

SHAPE = {"image_shape": (7, 7, 1)}


class Sampling(layers.Layer):
    def __init__(self, factor):
        super().__init__()
        self.generator, self.factor = keras.random.SeedGenerator(7), factor

    def call(self, mean, logvar):
        return mean + ops.exp(self.factor * logvar) * keras.random.normal(ops.shape(mean), seed=self.generator)


def networks(factor):
    x = keras.Input((7, 7, 1))
    hidden = layers.Dense(16, "relu")(layers.Flatten()(x))
    mean, logvar = layers.Dense(2)(hidden), layers.Dense(2)(hidden)
    decoder = [keras.Input((2,)), layers.Dense(49, "sigmoid"), layers.Reshape((7, 7, 1))]
    return keras.Model(x, [mean, logvar, Sampling(factor)(mean, logvar)]), keras.Sequential(decoder)


class ByStep(keras.Model):
    """In the manner of keras.io: three outputs, and a train_step with a tracker."""

    def __init__(self, factor=0.5, beta=1.0):
        super().__init__()
        self.encoder, self.decoder = networks(factor)
        self.tracker, self.beta = keras.metrics.Mean("total_loss"), beta

    def loss_of(self, x):
        mean, logvar, z = self.encoder(x)
        pixels = ops.sum(keras.losses.binary_crossentropy(x, self.decoder(z)), axis=(1, 2))
        return ops.mean(pixels) - self.beta * ops.mean(ops.sum(1 + logvar - mean**2 - ops.exp(logvar), axis=1)) / 2

    def train_step(self, x):
        with tf.GradientTape() as tape:
            total = self.loss_of(x)
        gradients = tape.gradient(total, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.tracker.update_state(total)
        return {"loss": self.tracker.result()}


class ByLoss(ByStep):
    """In the manner of a book: a compute_loss, and Keras' own step."""

    train_step = keras.Model.train_step

    def call(self, x):
        return self.decoder(self.encoder(x)[2])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.loss_of(x)


@pytest.fixture(params=[ByStep, ByLoss])
def style(request):
    return request.param


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_the_objective_of_a_hand_written_model_is_audited(style, beta):
    found = audit.effective_objective(own.from_keras(style(beta=beta)), **SHAPE)
    assert (found.family, found.posterior, found.sampler) == ("Bernoulli", "log σ²", "log σ²")
    assert found.beta == pytest.approx(beta, rel=1e-3)


def test_a_slip_in_the_layer_that_samples_is_seen(style):
    found = audit.effective_objective(own.from_keras(style(factor=1.0)), **SHAPE)
    assert (found.posterior, found.sampler, found.sampler_agrees) == ("log σ²", "log σ", False)


def test_an_audit_leaves_weights_metrics_optimizer_and_generators_as_they_were(style):
    model = style()
    model.compile(keras.optimizers.Adam(1e-3))
    x = np.random.default_rng(0).uniform(size=(32, 7, 7, 1)).astype(np.float32)
    model.fit(x, epochs=1, verbose=0)
    everything = [*model.variables, *model.optimizer.variables, *model.encoder.variables]
    before = [np.array(variable) for variable in everything]
    audit.effective_objective(own.from_keras(model), **SHAPE)
    for variable, value in zip(everything, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_encode_decode_and_losses_are_those_of_the_model(style):
    model = style()
    adapted, x = own.from_keras(model), np.full((3, 7, 7, 1), 0.5, np.float32)
    mean, logvar, _ = model.encoder(x)
    for said, expected in zip(adapted.posterior(x), (mean, logvar), strict=True):
        np.testing.assert_allclose(said, expected, rtol=1e-6)
    np.testing.assert_allclose(adapted.decoded(mean), model.decoder(mean), rtol=1e-6)
    assert adapted.losses(x).shape == ()
    parts = adapted.loss_of_parts(x, np.full_like(x, 0.5), np.zeros((3, 2)), np.zeros((3, 2)))
    assert parts == pytest.approx(49 * np.log(2), rel=1e-5)  # no KL, and a coin for each pixel


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"encode": lambda x: x}, TypeError, "returns \\(mean, logvar\\)"),
        ({"encode": lambda x: (x, x[:1])}, ValueError, "expected mean and logvar"),
        ({"decode": lambda z: z[:1]}, ValueError, "an output for each of 2"),
        ({"loss": lambda x: "nine"}, TypeError, "returns a number"),
        ({"loss": lambda x: np.zeros(3)}, ValueError, "a loss of shape"),
    ],
)
def test_functions_that_return_something_else_are_refused(change, error, message):
    functions = {"encode": lambda x: (x, x), "decode": lambda z: z, "loss": lambda x: 1.0} | change
    model, x = own.from_callables(**functions), np.zeros((2, 3))
    with pytest.raises(error, match=message):
        [act(x) for act in (model.posterior, model.decoded, model.losses)]


def test_what_is_no_model_and_no_reading_is_refused():
    with pytest.raises(TypeError, match="from_keras"):
        own.from_callables(3, abs, abs)
    with pytest.raises(ValueError, match="for reading"):
        own.OwnModel(abs, abs, abs, reading=own.READINGS[0] + "?")
    with pytest.raises(TypeError, match="from_callables"):
        own.from_keras(keras.Sequential([keras.Input((2,)), layers.Dense(1)]))


def test_an_idle_optimizer_keeps_what_it_is_given():
    idle, weight = rehearsals.Idle(keras.optimizers.SGD(0.25)), keras.Variable(1.0)
    idle.apply_gradients([(tf.constant(2.0), weight)])
    idle.apply([tf.constant(3.0)], [weight])
    idle.minimize(lambda: tf.constant(5.0))
    assert float(idle.scale_loss(tf.constant(7.0))) == 7
    assert [float(gradient) for gradient, _ in idle.gradients] == [2, 3]
    assert [float(loss) for loss in idle.losses] == [5, 7]
    assert float(weight) == 1
    assert float(idle.learning_rate) == 0.25


def test_a_rehearsed_metric_has_the_last_value_alone():
    metric = rehearsals.LastValue("loss")
    metric.update_state([1.0, 3.0])
    metric.reset_state()
    assert float(metric.result()) == 2


def test_a_step_is_gone_through_without_training():
    model = ByStep()
    before, x = model.get_weights(), np.zeros((4, 7, 7, 1), np.float32)
    with rehearsals.unchanged(model.encoder):
        step, idle = rehearsals.step_of(model, decoder=lambda z: tf.fill((4, 7, 7, 1), 0.5))
        loss = float(rehearsals.loss_of(step, idle, tf.constant(x)))
    assert loss >= 49 * np.log(2) - 1e-3
    assert len(idle.gradients) == len(model.trainable_weights)
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert rehearsals.Reached("z").z == "z"
