"""Several devices and several processes train as one does, and a killed one stops the others, which then resume.

The processes are real ones, on this machine's loopback; the devices are logical ones.  They are started first, and do
their work while this process trains the same models alone.
"""

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import distributed
import keras
import numpy as np
import pytest
import tensorflow as tf

from vaecourse import data, models, networks, training
from vaecourse.training import replicas, unsupported

PROGRAM = Path(distributed.__file__)
free_ports = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "distributed.py"))["free_ports"]
MIRRORED = ("VAE", "FlowVAE", "ImportanceWeightedVAE", "DigitVAE")
WORKERS = ("ConditionalVAE", "SemiSupervisedVAE")
# Ten steps of rounding: weights of the order of 1 within a few units in the last place, losses of 50 nats likewise.
TOLERANCES = {
    "weights": {"atol": 2e-6},
    "losses": {"rtol": 1e-6, "atol": 1e-5},
    "evaluated": {"rtol": 1e-6, "atol": 1e-5},
}


def start(*commands: list[str], cluster: bool = True) -> list[subprocess.Popen]:
    """Start processes with these arguments, as the workers of a cluster or each by itself."""
    hosts = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    processes = []
    for index, arguments in enumerate(commands):
        task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task if cluster else {}), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, str(PROGRAM), *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        processes.append(subprocess.Popen(command, env=environment, text=True, **pipes))
    return processes


@contextlib.contextmanager
def ended(processes: list[subprocess.Popen]):
    """Leave no process behind."""
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def finish(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Two logical devices, and two workers of which the second one is killed, at work while one process trains."""
    folder = tmp_path_factory.mktemp("distributed")
    devices = [[folder / "mirrored.npz", "/".join(MIRRORED), "", "devices"]]
    workers = [
        [folder / f"{i}.npz", "/".join(WORKERS), folder / "backup", *pause] for i, pause in enumerate([(), (2,)])
    ]
    with ended(start(*devices, cluster=False)) as mirrored, ended(start(*workers)) as cluster:
        alone = {name: distributed.train(name) for name in (*MIRRORED, *WORKERS)}
        uninterrupted = distributed.train_and_resume(folder / "alone")
        said = cluster[1].stdout.readline()
        cluster[1].send_signal(signal.SIGKILL)
        _, words = cluster[0].communicate(timeout=400)
        finish(mirrored)
    left_behind = os.listdir(folder / "backup" / "backup")
    with ended(start(*([folder / f"again{i}.npz", "", folder / "backup"] for i in range(2)))) as cluster:
        finish(cluster)
    return {
        "alone": alone,
        "mirrored": np.load(folder / "mirrored.npz"),
        "workers": [np.load(folder / f"{i}.npz") for i in range(2)],
        "said": said,
        "words": words,
        "left behind": left_behind,
        "again": [np.load(folder / f"again{i}.npz") for i in range(2)],
        "uninterrupted": uninterrupted,
        "backup": folder / "backup",
    }


@pytest.mark.parametrize("name", MIRRORED)
def test_two_devices_train_and_evaluate_as_one(everything, name):
    for part, expected in everything["alone"][name].items():
        np.testing.assert_allclose(everything["mirrored"][f"{name}/{part}"], expected, **TOLERANCES[part])


@pytest.mark.parametrize("name", WORKERS)
def test_two_workers_train_and_evaluate_as_one(everything, name):
    for part, expected in everything["alone"][name].items():
        first, second = (found[f"{name}/{part}"] for found in everything["workers"])
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, expected, **TOLERANCES[part])


def test_a_killed_worker_stops_the_others_in_words(everything):
    assert everything["said"] == "paused\n"
    assert "ConnectionError: another worker of this training has stopped" in everything["words"]
    assert "resume_from" in everything["words"]


def test_all_resume_from_the_last_finished_epoch_to_the_weights_of_an_uninterrupted_training(everything):
    epochs, weights = everything["uninterrupted"]
    assert epochs == [0, 1, 2, 3]
    assert "latest.weights.h5" in everything["left behind"]
    for found in everything["again"]:
        assert list(found["epochs"]) == [2, 3]
        np.testing.assert_allclose(found["resumed"], weights, **TOLERANCES["weights"])
    assert os.listdir(everything["backup"]) == []


# --- one process, which does not run what it is asked about ----------------------------------------------------------


class Two:
    """Stands in for a strategy of two replicas, for questions that do not run anything."""

    num_replicas_in_sync = 2


def parts(batches, count: int) -> list[np.ndarray]:
    vae = distributed.MODELS["ConditionalVAE"]()
    return [list(replicas._parts(vae, batches, count, first, 1).as_numpy_iterator()) for first in range(count)]


@pytest.mark.parametrize(("size", "count"), [(5, 2), (8, 3), (21, 4)])
def test_the_parts_of_a_batch_are_the_batch(size, count):
    """Rows that count are all rows, once each and in order; those that fill up do not count."""
    batches = tf.data.Dataset.from_tensor_slices((distributed.X, distributed.Y)).batch(size)
    pieces = parts(batches, count)
    assert {len(piece) for piece in pieces} == {-(-21 // size)}
    for batch, (x, y) in enumerate(batches.as_numpy_iterator()):
        assert len({len(piece[batch]) for piece in pieces}) == 1
        rows = np.concatenate([piece[batch] for piece in pieces])
        counted = rows[rows[:, -2] < rows[:, -1]]
        np.testing.assert_array_equal(counted[:, -2], np.arange(len(x)))
        np.testing.assert_array_equal(counted[:, :64], x.reshape(len(x), -1))
        np.testing.assert_array_equal(counted[:, 64], y)
        assert set(rows[:, -1]) == {len(x)}


def test_the_shares_of_a_mean_add_up_to_it():
    values, images = np.random.default_rng(0).normal(size=6).astype(np.float32), 5
    shares = [replicas.Part(tf.constant(rows), tf.fill([3], images)) for rows in ([0, 1, 2], [3, 4, 5])]
    total = sum(
        share.mean(tf.constant(values[rows])) for share, rows in zip(shares, (slice(3), slice(3, 6)), strict=True)
    )
    np.testing.assert_allclose(total, values[:5].mean(), rtol=1e-6)
    noise = [share.noise(lambda n: tf.reshape(tf.range(2 * n), (n, 2)), tf.zeros((3, 1))) for share in shares]
    np.testing.assert_array_equal(noise[0], [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(noise[1], [[6, 7], [8, 9], [8, 9]])


def test_one_process_is_the_chief_and_sees_whole_batches():
    assert training.is_chief()
    batches = tf.data.Dataset.range(3)
    assert replicas.spread(distributed.MODELS["VAE"](), batches) is batches
    unsupported.refuse(distributed.MODELS["VAE"]())  # nothing, on one device
    strategy = tf.distribute.get_strategy()
    assert not replicas.several(strategy)
    assert not replicas.several_workers(strategy)
    assert replicas.agreed(strategy, 3)
    replicas.wait_for_all(strategy)
    part, batch = replicas.part_of(distributed.MODELS["VAE"](), distributed.X)
    assert batch is distributed.X
    assert type(part) is replicas.Whole
    assert part.handed_over("gradients", None) == part.total("gradients") == "gradients"


def test_penalties_on_weights_are_right_and_others_are_refused(monkeypatch):
    regularized = distributed.MODELS["VAE, regularized"]()
    active = _with(keras.layers.Conv2D(1, 1, activity_regularizer="l2"), optimizer="adam")
    active(distributed.X)
    monkeypatch.setattr(replicas, "several", lambda strategy: True)
    unsupported.refuse_penalties(regularized)
    with pytest.raises(ValueError, match="penalties on activations"):
        unsupported.refuse_penalties(active)
    with pytest.raises(ValueError, match="trained by fit and evaluated by evaluate"):
        replicas.part_of(regularized, tf.constant(distributed.X))


def test_on_one_device_fit_is_the_plain_loop_to_the_last_bit():
    fitted, looped = distributed.MODELS["VAE"](), distributed.MODELS["VAE"]()
    fitted.compile("adam")
    fitted.fit(distributed.X, batch_size=5, epochs=2, verbose=0)
    optimizer = training.Adam()

    @tf.function(input_signature=[tf.TensorSpec((None, *distributed.SHAPE)), tf.TensorSpec((), tf.int32)])
    def step(x, number):
        with tf.GradientTape() as tape:
            measured = looped.objective(x, None, looped.noise(tf.shape(x)[0], number), training=True)
            loss = tf.reduce_mean(measured["loss"])
        weights = looped.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for epoch in range(2):
        for number, x in enumerate(data.batches(distributed.X, 5, looped.seed, 5 * epoch)):
            step(x, tf.constant(5 * epoch + number))
    for weight, other in zip(fitted.get_weights(), looped.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def _with(encoder_layer=None, **options):
    encoder, decoder = networks.mlp(2, (6,), "tanh", distributed.SHAPE, seed=0)
    if encoder_layer is not None:
        encoder = keras.Sequential([keras.Input(distributed.SHAPE), encoder_layer, encoder])
    vae = models.VAE(encoder, decoder)
    vae.compile(**options)
    return vae


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: _with(keras.layers.BatchNormalization()), "batch normalization"),
        (lambda: _with(keras.layers.Dropout(0.5)), "draw at random"),
        (lambda: _with(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=2)), "gradient_accumulation_steps"),
        (lambda: _with(optimizer=keras.optimizers.Adam(use_ema=True)), "use_ema"),
        (lambda: _with(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())), "LossScaleOptimizer"),
    ],
    ids=["batch normalization", "dropout", "accumulation", "average of weights", "loss scale"],
)
def test_what_several_replicas_cannot_do_is_refused_in_a_sentence(build, message):
    with pytest.raises(ValueError, match=message):
        unsupported._refuse_training(build())


def test_what_is_no_data_set_is_refused_on_several_replicas(monkeypatch):
    vae = distributed.MODELS["VAE"]()
    monkeypatch.setattr(type(vae), "distribute_strategy", Two())
    with pytest.raises(ValueError, match=r"on 2 replicas a model takes arrays, or a tf\.data\.Dataset"):
        replicas.spread(vae, iter([]))
    with pytest.raises(ValueError, match="steps_per_execution must be None or 1, got 5"):
        vae.compile(steps_per_execution=5)
    with pytest.raises(ValueError, match=r"expected tf\.distribute\.MirroredStrategy.*got Two"):
        unsupported.refuse(vae)


def test_the_page_counts_the_weights_that_are_exchanged():
    page = (Path(__file__).parents[1] / "book" / "reference" / "devices.md").read_text(encoding="utf-8")
    for network, latents in ((networks.convolutional, 2), (networks.mlp, 20)):
        weights = sum(part.count_params() for part in network(latents))
        assert f"| {weights:,} |" in page


@pytest.mark.parametrize(
    ("weights", "flops", "images", "gain"),
    [(69_989, 32.7e6, 128, 1.57), (1_316_824, 7.1e6, 128, 0.15), (30e6, 14e9, 128, 1.76), (30e6, 14e9, 512, 1.94)],
)
def test_the_gains_on_paper_are_those_of_the_formula(weights, flops, images, gain):
    alone = images * flops / 10e12
    exchange = 30e-6 + 2 * (2 - 1) / 2 * 4 * weights / 10e9
    assert alone / (alone / 2 + exchange) == pytest.approx(gain, abs=0.005)
