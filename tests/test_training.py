"""Trainings that are killed and resumed, checkpoints that are damaged, and learning rates."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from vaecourse import VAE, course, data, networks, training
from vaecourse.training import compiled

EPOCHS, STEPS_PER_EPOCH = 4, 4


class Pause(keras.callbacks.Callback):
    """Notes the batches of a training, and at one of them says so and waits to be killed."""

    def __init__(self, at: str = "never"):
        super().__init__()
        self.at, self.batches, self.epoch = at, [], None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append((self.epoch, batch))
        if f"{self.epoch}.{batch}" == self.at:
            print("paused", flush=True)
            sys.stdin.read()


def train(folder, pause: str = "never") -> tuple[list, list[np.ndarray]]:
    """Train with checkpoints; return the batches that were trained on, and counter and weights at the end."""
    images = data.binarize(data.scale(data.load("digits").train_images[:100]))
    vae = VAE(*networks.mlp(latent_dim=2, hidden=(16,), seed=0), kl="monte_carlo", seed=5)
    vae.compile(keras.optimizers.Adam(1e-2))
    pause = Pause(pause)
    vae.fit(images, epochs=EPOCHS, verbose=0, callbacks=[training.resume_from(folder), pause])
    return pause.batches, [vae.optimizer.iterations.numpy(), *vae.get_weights()]


def test_a_training_killed_within_an_epoch_and_resumed_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    """The killed training is a process of its own; the others are not, since every process imports for seconds."""
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_training as test; "
    program += f"test.train({str(tmp_path / 'killed')!r}, '2.1')"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", program], text=True, **pipes) as killed:
        uninterrupted, expected = train(tmp_path / "uninterrupted")
        assert killed.stdout.readline() == "paused\n"
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    assert os.listdir(tmp_path / "killed")

    rest, weights = train(tmp_path / "killed")
    batches = [(epoch, batch) for epoch in range(EPOCHS) for batch in range(STEPS_PER_EPOCH)]
    assert uninterrupted == batches
    assert rest == batches[2 * STEPS_PER_EPOCH :]
    assert expected[0] == EPOCHS * STEPS_PER_EPOCH
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert os.listdir(tmp_path / "killed") == os.listdir(tmp_path / "uninterrupted") == []


class Interruption(keras.callbacks.Callback):
    """Ends a training as a user does, in the middle of the fourth epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 3 and batch == 1:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def images(binary):
    return binary[:100]


@pytest.fixture(scope="module")
def uninterrupted(tiny, images):
    vae = tiny()
    vae.fit(images, epochs=EPOCHS, verbose=0)
    return vae.get_weights()


@pytest.fixture(scope="module")
def left_behind(tiny, images, tmp_path_factory):
    """The checkpoints of an interrupted training, by name."""
    folder = tmp_path_factory.mktemp("interrupted") / "checkpoints"
    with pytest.raises(KeyboardInterrupt):
        tiny().fit(images, epochs=EPOCHS, verbose=0, callbacks=[training.resume_from(folder), Interruption()])
    return {path.name: path.read_bytes() for path in (folder / "backup").iterdir()}


@pytest.fixture
def folder(left_behind, tmp_path):
    backup = tmp_path / "checkpoints" / "backup"
    backup.mkdir(parents=True)
    for name, content in left_behind.items():
        (backup / name).write_bytes(content)
    return backup.parent


def resumed(vae, images, folder) -> list[int]:
    """The epochs that are left to a resumed training."""
    return vae.fit(images, epochs=EPOCHS, verbose=0, callbacks=[training.resume_from(folder)]).epoch


def assert_equal_weights(vae, expected) -> None:
    for weight, other in zip(vae.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, other)


def only_the_head(content: bytes) -> bytes:
    return content[: len(content) // 2]


def nothing(content: bytes) -> bytes:
    return b""


def noise(content: bytes) -> bytes:
    return np.random.default_rng(0).bytes(len(content))


@pytest.mark.parametrize("damage", [only_the_head, nothing, noise], ids=lambda damage: damage.__name__)
def test_training_goes_on_from_the_epoch_before_where_the_last_checkpoint_is_damaged(
    damage, folder, tiny, images, uninterrupted
):
    latest = folder / "backup" / "latest.weights.h5"
    latest.write_bytes(damage(latest.read_bytes()))
    vae = tiny()
    assert resumed(vae, images, folder) == [2, 3]
    assert_equal_weights(vae, uninterrupted)


@pytest.mark.parametrize("written", ['{"epoch": 2, "batch": 0}', '{"epo', ""], ids=["old", "half", "empty"])
def test_the_optimizer_knows_the_epoch_better_than_a_number_that_was_being_written(
    written, folder, tiny, images, uninterrupted
):
    (folder / "backup" / "training_metadata.json").write_text(written)
    vae = tiny()
    assert resumed(vae, images, folder) == [3]
    assert_equal_weights(vae, uninterrupted)


def test_an_interrupted_model_goes_on_where_it_is_fitted_again_as_in_a_notebook(tiny, images, uninterrupted, tmp_path):
    vae = tiny()
    with pytest.raises(KeyboardInterrupt):
        vae.fit(images, epochs=EPOCHS, verbose=0, callbacks=[training.resume_from(tmp_path), Interruption()])
    assert int(vae.optimizer.iterations) == 3 * STEPS_PER_EPOCH + 2
    assert resumed(vae, images, tmp_path) == [3]
    assert_equal_weights(vae, uninterrupted)


def test_a_resumed_training_counts_its_epochs_from_where_it_began(tiny, images, uninterrupted, tmp_path):
    """Of a model that had been trained before, by a training of its own."""

    def trained_before():
        vae = tiny()
        vae.fit(images, epochs=2, verbose=0)
        return vae

    class InterruptedEarly(Interruption):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch + 2

    with pytest.raises(KeyboardInterrupt):
        trained_before().fit(
            images, epochs=2, verbose=0, callbacks=[training.resume_from(tmp_path), InterruptedEarly()]
        )
    vae = trained_before()
    assert vae.fit(images, epochs=2, verbose=0, callbacks=[training.resume_from(tmp_path)]).epoch == [1]
    assert_equal_weights(vae, uninterrupted)


def test_where_no_checkpoint_can_be_read_training_does_not_start_anew_in_silence(folder, tiny, images):
    for path in (folder / "backup").glob("*.h5*"):
        path.write_bytes(b"")
    with pytest.raises(OSError, match=r"h5|file"):
        resumed(tiny(), images, folder)
    assert (folder / "backup" / "latest.weights.h5").exists()


def test_a_later_training_of_a_resumed_model_starts_at_its_first_epoch(folder, tiny, images):
    vae = tiny()
    for epochs in ([3], [0, 1]):
        callbacks = [training.resume_from(folder)] if epochs == [3] else []
        assert vae.fit(images, epochs=epochs[-1] + 1, verbose=0, callbacks=callbacks).epoch == epochs


def test_what_else_is_in_the_folder_is_left_there(folder, tiny, images):
    (folder / "notes.txt").write_text("mine")
    resumed(tiny(), images, folder)
    assert os.listdir(folder) == ["notes.txt"]


def test_the_start_of_an_epoch_is_the_step_of_the_optimizer(tiny, images):
    start = training.EpochStart()
    steps = []
    record = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: steps.append(int(start.step)))
    tiny().fit(images, epochs=3, verbose=0, callbacks=[start, record])
    assert steps == [0, STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH]


class Silent(keras.callbacks.Callback):
    """A callback that does not listen to batches, and notes how many steps are run at once."""

    at_once = None

    def on_epoch_end(self, epoch, logs=None):
        self.at_once = self.model.steps_per_execution


class Counter(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)


def test_callbacks_that_listen_to_batches_are_told_from_those_that_do_not(tmp_path):
    silent = [Silent(), keras.callbacks.History(), keras.callbacks.EarlyStopping(), training.EpochStart()]
    silent += [training.resume_from(tmp_path), keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")]
    silent += [keras.callbacks.LambdaCallback(on_epoch_end=print)]
    listening = [Counter(), keras.callbacks.ModelCheckpoint(tmp_path / "model.keras", save_freq=5)]
    listening += [keras.callbacks.LambdaCallback(on_train_batch_end=print), keras.callbacks.TerminateOnNaN()]
    assert not any(training.listens_to_batches(callback) for callback in silent)
    assert all(training.listens_to_batches(callback) for callback in listening)


def test_a_callback_that_listens_to_batches_hears_every_one(tiny, images, monkeypatch):
    monkeypatch.setattr(compiled, "STEPS_PER_EXECUTION", 2)
    vae, silent, counter, epochs = tiny(), Silent(), Counter(), 5
    assert epochs * STEPS_PER_EPOCH >= 10 * 2
    vae.fit(images, epochs=epochs, verbose=0, callbacks=[silent])
    assert silent.at_once == 2
    vae.fit(images, epochs=epochs, verbose=0, callbacks=[silent, counter])
    assert silent.at_once == 1
    assert counter.batches == epochs * list(range(STEPS_PER_EPOCH))
    vae.fit(images, epochs=epochs, verbose=0, callbacks=[silent])
    assert silent.at_once == 2
    assert int(vae.optimizer.iterations) == 3 * epochs * STEPS_PER_EPOCH
    several = vae.evaluate(images, batch_size=7, verbose=0)
    assert len(vae.predict(images, batch_size=1, verbose=0)) == len(images)
    vae.fit(images, epochs=1, verbose=0, callbacks=[silent])
    assert silent.at_once == 1  # a short training
    assert len(several) == len(vae.evaluate(images, batch_size=7, verbose=0))


def test_the_number_of_steps_in_an_execution_is_the_users_where_he_chooses(tiny, images):
    vae, silent = tiny(steps_per_execution=3), Silent()
    vae.fit(images, verbose=0, callbacks=[Counter(), silent])
    assert silent.at_once == 3


def test_an_epoch_cut_short_is_no_longer_for_the_steps_of_an_execution(tiny, images):
    for x in (images, data.batches(images, 32).repeat()):
        vae = tiny()
        vae.fit(x, steps_per_epoch=2, epochs=2, verbose=0)
        assert int(vae.optimizer.iterations) == 4


def apply_to(optimizer, weight, gradient):
    optimizer.apply_gradients([(gradient, weight)])


# Keras rounds 0.9 and 0.999 to single precision, whatever that of the weights; these it cannot round.
EXACT = {"beta_1": 0.875, "beta_2": 1 - 2**-10}
OPTIONS = [EXACT, {**EXACT, "epsilon": 2**-10}, {**EXACT, "clipnorm": 0.1}, {"amsgrad": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("compiled", [True, False])
def test_the_fused_optimizer_is_that_of_keras(options, compiled):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(5, 3)), rng.normal(size=(20, 5, 3))
    rate = training.cosine_decay(0.1, steps=20, warmup=0.2)
    results = []
    for build in (training.Adam, keras.optimizers.Adam):
        weight, optimizer = keras.Variable(start, dtype="float64"), build(rate, **options)
        optimizer.build([weight])

        apply = functools.partial(apply_to, optimizer, weight)
        for gradient in gradients:
            (tf.function(apply) if compiled else apply)(tf.constant(gradient))
        results.append([weight.numpy(), *(variable.numpy() for variable in optimizer.variables)])
        assert np.abs(weight.numpy() - start).max() > 0.1
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_the_fused_optimizer_survives_saving():
    optimizer = training.Adam(1e-3, beta_2=0.99)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is training.Adam
    assert again.get_config() == optimizer.get_config()


def test_adam_by_name_is_the_fused_one(tiny):
    vae = tiny()
    vae.compile("adam")
    assert type(vae.optimizer) is training.Adam
    vae.compile(keras.optimizers.Adam())
    assert type(vae.optimizer) is keras.optimizers.Adam


def test_cosine_decay_falls_from_the_peak_to_nothing_along_half_a_cosine():
    rate = training.cosine_decay(3e-3, steps=200)
    for step in (0, 50, 100, 150, 200):
        expected = 3e-3 * (1 + np.cos(np.pi * step / 200)) / 2
        np.testing.assert_allclose(rate(step), expected, rtol=1e-5, atol=1e-9)


def test_cosine_decay_climbs_in_a_straight_line_where_a_share_of_the_steps_warms_up():
    rate = training.cosine_decay(3e-3, steps=200, warmup=0.1)
    for step in (0, 5, 10, 20):
        np.testing.assert_allclose(rate(step), 3e-3 * step / 20, rtol=1e-5, atol=1e-9)
    for step in (20, 65, 110, 155, 200):
        expected = 3e-3 * (1 + np.cos(np.pi * (step - 20) / 180)) / 2
        np.testing.assert_allclose(rate(step), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_linear_decay_climbs_and_falls_in_straight_lines(warmup):
    rate = training.LinearDecay(4e-3, steps=200, warmup=warmup)
    climbing = 200 * warmup
    for step in (0, 10, 50, 51, 125, 199, 200, 230):
        expected = 4e-3 * (step / climbing if step < climbing else max(0, (200 - step) / (200 - climbing)))
        np.testing.assert_allclose(rate(step), expected, rtol=1e-5, atol=1e-9)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    assert (type(again), again.get_config()) == (training.LinearDecay, rate.get_config())


def test_a_budget_says_what_it_is(digits):
    budget = course.Budget(digits, "quick")
    assert budget.mode == "digits/quick"
    assert budget.mode in course.MODES
    assert budget.length in course.LENGTHS
    assert str(budget) == "digits/quick: 1,500 training and 297 test images of 28×28 pixels"
    assert isinstance(budget.images, data.Images)
