"""Trainings of all models of the course, for one process or several.

`python distributed.py OUT.npz NAME/NAME FOLDER [EPOCH]` trains the models that are named and saves what came out; then
it trains one with backups in the folder, if there is a folder, and pauses in the epoch.  `devices` in the place of the
epoch trains on two devices instead of several workers.

The cluster is that of `TF_CONFIG`.  Every batch is ragged: 21 images in batches of 5 end with a batch of one, which one
of two replicas does not see, and the first batch does not divide either.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":  # a process of its own, which starts anywhere
    sys.path[:0] = [str(Path(__file__).parents[1])]

import vaecourse  # noqa: F401, before TensorFlow

# isort: split
import keras
import numpy as np
import tensorflow as tf
from keras import layers

from vaecourse import likelihoods, models, networks, training

SHAPE, D, CLASSES, EPOCHS = (8, 8, 1), 2, 3, 2
_random = np.random.default_rng(0)
X = (_random.random((21, *SHAPE)) < 0.4).astype(np.float32)
Y = np.arange(21) % CLASSES
HELD_OUT, HELD_OUT_Y = X[:7], Y[:7]


def _regularized() -> list[keras.Model]:
    encoder, decoder = networks.mlp(D, (6,), "tanh", SHAPE, seed=0)
    inputs = layers.Input(encoder.output_shape[1:])
    start = keras.initializers.GlorotUniform(1)
    outputs = layers.Dense(2 * D, kernel_regularizer=keras.regularizers.L2(0.1), kernel_initializer=start)(inputs)
    return [keras.Sequential([encoder, keras.Model(inputs, outputs)]), decoder]


def _labeled(conditional: bool) -> list[keras.Model]:
    parts = networks.mlp(D, (6,), "tanh", SHAPE, seed=0, classes=CLASSES, conditional=conditional)
    return [*parts, networks.mlp_with_classifier(D, (6,), "tanh", SHAPE, seed=1, classes=CLASSES)[2]]


def _mlp() -> list[keras.Model]:
    return list(networks.mlp(D, (6,), "tanh", SHAPE, seed=0))


MODELS: dict[str, Callable[[], models.VAE]] = {
    "VAE": lambda: models.VAE(*_mlp(), seed=3),
    "VAE, convolutional": lambda: models.VAE(*networks.convolutional(D, image_shape=SHAPE, seed=0), kl="monte_carlo"),
    "VAE, three samples": lambda: models.VAE(*_mlp(), samples=3, beta=0.5),
    "VAE, learned sigma": lambda: models.VAE(*_mlp(), likelihood=likelihoods.Gaussian("learned")),
    "VAE, regularized": lambda: models.VAE(*_regularized()),
    "FlowVAE": lambda: models.FlowVAE(*_mlp(), models.CouplingFlow(D, 2, 4)),
    "ImportanceWeightedVAE": lambda: models.ImportanceWeightedVAE(*_mlp(), gradient="doubly_reparameterized"),
    "DigitVAE": lambda: models.DigitVAE(*_labeled(False), likelihood="bernoulli"),
    "ConditionalVAE": lambda: models.ConditionalVAE(*_labeled(True)[:2], likelihood="bernoulli"),
    "SemiSupervisedVAE": lambda: models.SemiSupervisedVAE(*_labeled(True), likelihood="bernoulli"),
}
OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "VAE": lambda: keras.optimizers.Adam(1e-2, clipnorm=1.0),
    "FlowVAE": lambda: keras.optimizers.AdamW(1e-2, weight_decay=0.1),
    "DigitVAE": lambda: keras.optimizers.SGD(1e-2, momentum=0.9, global_clipnorm=1.0),
}


def labels_of(name: str) -> dict[str, np.ndarray]:
    """Return what is trained on and what is held out, with labels where a model learns from them."""
    if name not in ("DigitVAE", "ConditionalVAE", "SemiSupervisedVAE"):
        return {}
    return {"y": np.where(np.arange(21) % 4, Y, -1) if name == "SemiSupervisedVAE" else Y}


def train(name: str, as_data_set: bool = False, **options) -> dict[str, np.ndarray]:
    """Train a model in the scope in which this is called; return weights, losses and metrics."""
    vae = MODELS[name]()
    vae.compile(OPTIMIZERS.get(name, training.Adam)())
    examples = labels_of(name)
    held_out = (HELD_OUT, examples["y"][:7]) if examples else HELD_OUT
    x, size = X, 5
    if as_data_set:
        x, size = tf.data.Dataset.from_tensor_slices((X, examples["y"]) if examples else X).batch(5), None
        examples = {}
    options |= {"epochs": EPOCHS, "verbose": 0, "validation_data": held_out}
    history = vae.fit(x, **examples, batch_size=size, **options)
    evaluated = vae.evaluate(*(held_out if isinstance(held_out, tuple) else (held_out,)), batch_size=4, verbose=0)
    weights = np.concatenate([weight.ravel() for weight in vae.get_weights()])
    return {"weights": weights, "losses": np.array(list(history.history.values())), "evaluated": np.array(evaluated)}


def trainings(strategy: tf.distribute.Strategy, names=MODELS, **options) -> Iterator[tuple[str, dict]]:
    """Train models under a strategy."""
    for name in names:
        with strategy.scope():
            yield name, train(name, **options)


class Pause(keras.callbacks.Callback):
    """Says that a training is in the middle of an epoch, and waits to be killed."""

    def __init__(self, epoch: int):
        super().__init__()
        self.wanted, self.epoch = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.wanted, 1):
            print("paused", flush=True)
            sys.stdin.read()


def train_and_resume(folder: str, *callbacks: keras.callbacks.Callback) -> tuple[list[int], np.ndarray]:
    """Train for four epochs with backups, in the scope in which this is called; return the epochs, and the weights."""
    vae = MODELS["VAE"]()
    vae.compile("adam")
    history = vae.fit(X, batch_size=5, epochs=4, verbose=0, callbacks=[training.resume_from(folder), *callbacks])
    return history.epoch, np.concatenate([weight.ravel() for weight in vae.get_weights()])


def strategy_of(devices: bool) -> tf.distribute.Strategy:
    """Return two logical devices of this process, or the workers that `TF_CONFIG` names."""
    if not devices:
        return tf.distribute.MultiWorkerMirroredStrategy()
    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


if __name__ == "__main__":
    out, names, folder, *rest = sys.argv[1:]
    strategy = strategy_of(rest == ["devices"])
    trained = dict(trainings(strategy, names.split("/") if names else ()))
    found = {f"{name}/{part}": value for name, parts in trained.items() for part, value in parts.items()}
    np.savez(out, **found)
    if folder:
        with strategy.scope():
            epochs, weights = train_and_resume(folder, *(Pause(int(epoch)) for epoch in rest))
        np.savez(out, **found, epochs=epochs, resumed=weights)
