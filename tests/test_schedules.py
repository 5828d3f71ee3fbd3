"""Weights of the KL that change while a model trains."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vaecourse import VAE, data, networks, training
from vaecourse.models import ConditionalVAE, ImportanceWeightedVAE
from vaecourse.training import BetaSchedule, cyclical, linear_warmup


@pytest.fixture(scope="module")
def images():
    return data.binarize(data.scale(data.load("digits").train_images[:60]))


def compiled(**options):
    vae = VAE(*networks.mlp(latent_dim=2, hidden=(8,), seed=0), seed=3, **options)
    vae.compile(keras.optimizers.Adam(1e-2))
    return vae


def fitted(images, *callbacks, epochs=3, **options):
    vae = compiled(**options)
    vae.fit(images, batch_size=20, epochs=epochs, verbose=0, callbacks=callbacks)
    return vae


def assert_equal_weights(one, other):
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_weight_of_one_changes_no_bit_of_a_training(images):
    assert_equal_weights(fitted(images, BetaSchedule(lambda step: 1.0)), fitted(images))


def test_a_constant_weight_is_a_factor_of_beta(images):
    scheduled = fitted(images, BetaSchedule(lambda step: 0.5), beta=4.0)
    assert_equal_weights(scheduled, fitted(images, beta=2.0))  # factors of two are exact


def test_a_step_weighs_the_kl_by_the_number_of_batches_before_it(images):
    """A plain loop over the same batches and the same noise, which writes the objective out."""
    weight = linear_warmup(7, start=0.25)
    scheduled, vae = fitted(images, BetaSchedule(weight), beta=3.0), compiled()
    for step in range(9):
        (x,) = list(data.batches(images, 20, seed=3, step=step - step % 3))[step % 3 : step % 3 + 1]
        with tf.GradientTape() as tape:
            terms = vae.terms(x, vae.noise(20, step), training=True)
            loss = tf.reduce_mean(3.0 * weight(step) * terms.kl - terms.log_likelihood)
        weights = vae.trainable_variables
        vae.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    for by_callback, by_loop in zip(scheduled.get_weights(), vae.get_weights(), strict=True):
        # Adam divides by the root of the squares: a gradient's rounding moves a step of 0.01 by as many parts
        np.testing.assert_allclose(by_callback, by_loop, atol=9 * 0.01 * 1e-4)


def test_the_loss_has_the_weight_of_the_moment_and_the_elbo_has_not(images):
    vae = compiled()
    history = vae.fit(
        images,
        batch_size=60,
        epochs=2,
        verbose=0,
        validation_data=images,
        callbacks=[BetaSchedule(lambda step: (0.0, 5.0)[step])],
    ).history
    for part in ("", "val_"):
        loss, likelihood, kl, elbo = (
            np.array(history[part + name]) for name in ("loss", "log_likelihood", "kl", "elbo")
        )
        np.testing.assert_allclose(loss, [0, 5] * kl - likelihood, rtol=1e-5)
        np.testing.assert_allclose(elbo, likelihood - kl, rtol=1e-5)


def test_after_a_training_the_weight_is_beta_again_and_not_saved(images, tmp_path):
    vae = fitted(images, BetaSchedule(lambda step: 0.1), beta=2.0)
    assert float(vae.kl_weight) == 1
    vae.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for model in (vae, again):
        found = model.evaluate(images, verbose=0, return_dict=True)
        assert found["loss"] == pytest.approx(2 * found["kl"] - found["log_likelihood"], rel=1e-5)


def test_a_resumed_training_goes_on_with_the_weight_of_its_step(images, tmp_path):
    def stop(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    schedule = BetaSchedule(cyclical(4))
    interruption = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    with pytest.raises(KeyboardInterrupt):
        fitted(images, training.resume_from(tmp_path), schedule, interruption)
    resumed = fitted(images, training.resume_from(tmp_path), schedule)
    assert_equal_weights(resumed, fitted(images, schedule))


def test_a_schedule_of_keras_is_a_schedule(images):
    by_keras = keras.optimizers.schedules.PolynomialDecay(0.0, 4, end_learning_rate=1.0)
    assert_equal_weights(fitted(images, BetaSchedule(by_keras)), fitted(images, BetaSchedule(linear_warmup(4))))


def test_a_model_that_knows_labels_has_a_weight_too(images):
    labels = data.load("digits").train_labels[:60]
    ends = []
    for beta, weight in ((0.5, 1.0), (1.0, 0.5)):
        vae = ConditionalVAE(*networks.mlp(2, hidden=(8,), classes=10, conditional=True, seed=0), beta=beta, seed=1)
        vae.compile("adam")
        vae.fit(images, labels, epochs=2, verbose=0, callbacks=[BetaSchedule(lambda step, w=weight: w)])
        ends.append(vae)
    assert_equal_weights(*ends)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.0), (4, 0.0), (5, 0.5), (8, 0.0)])
def test_cycles_climb_and_wait(step, expected):
    assert cyclical(4)(step) == expected


def test_cycles_come_to_an_end():
    assert [cyclical(4, rise=1.0, cycles=2)(step) for step in range(10)] == [
        0,
        0.25,
        0.5,
        0.75,
        0,
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]


def test_warm_up_grows_in_equal_steps():
    np.testing.assert_allclose([linear_warmup(4, 0.2)(step) for step in range(6)], [0.2, 0.4, 0.6, 0.8, 1, 1])


@pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf])
def test_weights_that_are_none_are_refused_before_a_step(images, weight):
    vae = compiled()
    with pytest.raises(ValueError, match="after 0 batches"):
        vae.fit(images, verbose=0, callbacks=[BetaSchedule(lambda step: weight)])
    assert int(vae.optimizer.iterations) == 0


def test_a_number_is_no_schedule():
    with pytest.raises(TypeError, match="expected a callable"):
        BetaSchedule(0.5)


def test_a_model_without_a_weight_of_the_kl_is_refused(images):
    iwae = ImportanceWeightedVAE(*networks.mlp(latent_dim=2, hidden=(8,), seed=0))
    iwae.compile("adam")
    plain = keras.Sequential([keras.layers.Dense(1)])
    plain.compile(loss="mse")
    for model, arrays in ((iwae, (images,)), (plain, (np.zeros((4, 1)), np.zeros((4, 1))))):
        with pytest.raises(TypeError, match="has no weight of a KL"):
            model.fit(*arrays, verbose=0, callbacks=[BetaSchedule(lambda step: 1.0)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: linear_warmup(0),
        lambda: linear_warmup(1.5),
        lambda: cyclical(10, rise=0.0),
        lambda: cyclical(10, rise=1.5),
        lambda: cyclical(10, start=-0.1),
        lambda: cyclical(10, cycles=0),
    ],
)
def test_schedules_that_are_none_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_a_loop_of_ones_own_can_drive_a_schedule(images):
    vae, schedule = compiled(), BetaSchedule(linear_warmup(4))
    schedule.set_model(vae)
    schedule.on_train_begin()
    seen = []
    for batch in range(3):
        schedule.on_train_batch_begin(batch)
        seen.append(float(vae.kl_weight))
        vae.train_on_batch(images[:20])
    schedule.on_train_end()
    assert (*seen, float(vae.kl_weight)) == (0, 0.25, 0.5, 1)


@pytest.mark.parametrize("cycles", [1.5, float("inf"), "2", 0])
def test_cycles_are_counted_in_whole_numbers(cycles):
    with pytest.raises(ValueError, match="expected at least one batch and one cycle"):
        cyclical(10, cycles=cycles)
