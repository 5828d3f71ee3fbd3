"""Whatever Keras' `compile`, `fit`, `evaluate` and `predict` take is honored or refused, for arrays and data sets."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from vaecourse import VAE, data, diagnose, models, networks, training

N, D, CLASSES = 24, 2, 3
SHAPE = (4, 4, 1)
MODELS = ("VAE", "FlowVAE", "ImportanceWeightedVAE", "DigitVAE", "ConditionalVAE", "SemiSupervisedVAE")
LABELED = MODELS[3:]
every_model = pytest.mark.parametrize("name", MODELS)


@keras.saving.register_keras_serializable("tests")
class Spy(layers.Layer):
    """A layer that changes nothing and notes the mode in which it is called."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.modes = []

    def call(self, x, training=None):
        self.modes.append(training)
        return x


class Penalty(layers.Layer):
    """A layer that changes nothing and asks for a small norm of what goes through it."""

    def call(self, x):
        self.add_loss(0.01 * tf.reduce_sum(x**2))
        return x


@pytest.fixture(scope="module")
def x():
    return (np.random.default_rng(0).random((N, *SHAPE)) < 0.4).astype(np.float32)


@pytest.fixture(scope="module")
def y():
    return np.arange(N) % CLASSES


def with_layer(network: keras.Model, layer: layers.Layer | None) -> keras.Model:
    """Return the network with a layer before its last one."""
    if layer is None:
        return network
    inputs = network.inputs if len(network.inputs) > 1 else network.inputs[0]
    return keras.Model(inputs, network.layers[-1](layer(network.layers[-1].input)), name=network.name)


def build(name: str = "VAE", encoder=None, decoder=None, classifier=None, **options) -> VAE:
    """Build a small model of a class, each network with a layer of one's own before its last."""
    labeled = name in LABELED
    conditional = name in ("ConditionalVAE", "SemiSupervisedVAE")
    classes = {"classes": CLASSES, "conditional": conditional} if labeled else {}
    parts = list(networks.mlp(D, (6,), "tanh", SHAPE, seed=0, **classes))
    parts = [with_layer(network, layer) for network, layer in zip(parts, (encoder, decoder), strict=True)]
    if name in ("DigitVAE", "SemiSupervisedVAE"):
        judge = networks.mlp_with_classifier(D, (6,), "tanh", SHAPE, seed=1, classes=CLASSES)[2]
        parts.append(with_layer(judge, classifier))
    if name == "FlowVAE":
        parts.append(models.CouplingFlow(D, 1, 4))
    return getattr(models, name)(*parts, likelihood="bernoulli", **options)


def examples(name: str, x, y) -> tuple:
    return (x, y) if name in LABELED else (x,)


# --- the mode of the networks ----------------------------------------------------------------------------------------


@every_model
def test_networks_train_in_fit_and_nowhere_else(name, x, y):
    spies = {"encoder": Spy(), "decoder": Spy()}
    if name in ("DigitVAE", "SemiSupervisedVAE"):
        spies["classifier"] = Spy()
    vae = build(name, **spies)
    vae.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    given = examples(name, x, y)

    def heard(call) -> set:
        for spy in spies.values():
            spy.modes.clear()
        call()
        return set().union(*(spy.modes for spy in spies.values()))

    assert heard(lambda: vae.fit(*given, batch_size=N, verbose=0)) == {True}
    assert heard(lambda: vae.train_on_batch(*given)) == {True}
    labels = {"y": y} if name in LABELED else {}
    z = np.zeros((N, D), np.float32)
    for call in (
        lambda: vae.evaluate(*given, verbose=0),
        lambda: vae.test_on_batch(*given),
        lambda: vae.predict(given if name == "ConditionalVAE" else x, verbose=0),
        lambda: vae.encode(x, **labels),
        lambda: vae.decode(z, **labels),
        lambda: vae.sample(N, **labels),
        lambda: vae.reconstruct(x, **labels),
        lambda: vae.terms(x, vae.noise(N, 0), **labels),
        lambda: vae.log_weights(x, np.zeros((2, N, D), np.float32), **labels),
    ):
        assert heard(call) == {False}
    assert heard(lambda: vae(given if name == "ConditionalVAE" else x, training=True)) >= {True}


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_batch_normalization_learns_the_statistics_of_the_batch(part, x):
    norm = layers.BatchNormalization(momentum=0.75)
    vae = build(**{part: norm})
    vae.compile(keras.optimizers.SGD(0.0))
    network = getattr(vae, part)
    before = keras.Model(network.inputs, norm.input)
    entering = before(x if part == "encoder" else vae.reparameterize(*vae.posterior_parameters(x), vae.noise(N, 0)))
    vae.fit(x, batch_size=N, shuffle=False, verbose=0)
    # moving = 0.75 · start + 0.25 · of the batch; four units of rounding of numbers below 1
    np.testing.assert_allclose(norm.moving_mean, 0.25 * np.mean(entering, axis=0), atol=4 * 2.0**-24, rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 0.75 + 0.25 * np.var(entering, axis=0), rtol=1e-5)
    moved = norm.moving_mean.numpy()
    vae.evaluate(x, verbose=0)
    vae.predict(x, verbose=0)
    np.testing.assert_array_equal(norm.moving_mean, moved)


def test_dropout_drops_in_fit_alone(x):
    vae = build(encoder=layers.Dropout(0.99, seed=0))
    vae.compile(keras.optimizers.SGD(0.0))
    trained = vae.fit(x, batch_size=N, shuffle=False, verbose=0).history["kl"][0]
    mean, logvar = vae.encode(x).mean(), np.log(np.square(vae.encode(x).stddev()))
    kl = 0.5 * np.sum(np.square(mean) + np.exp(logvar) - logvar - 1, axis=1).mean()
    assert vae.evaluate(x, verbose=0, return_dict=True)["kl"] == pytest.approx(kl, rel=1e-5)
    assert abs(trained - kl) > 0.1 * kl  # hardly a unit is left of six: what remains of the KL is that of the biases


@pytest.mark.parametrize("layer", [layers.RandomFlip, lambda: layers.RandomTranslation(0.5, 0.5)])
def test_augmentation_changes_no_image_that_is_encoded(layer, x):
    """Keras' layers for augmentation act unless they are told not to."""
    augmented = keras.Sequential([keras.Input(SHAPE), layer(), layers.Flatten(), layers.Dense(2 * D)])
    plain = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), augmented.layers[-1]])
    vae = VAE(augmented, build().decoder)
    vae.compile("adam")
    np.testing.assert_array_equal(tf.concat(vae.posterior_parameters(x), axis=1), plain(x))
    assert vae.evaluate(x, verbose=0) == vae.evaluate(x, verbose=0)
    vae.fit(x, batch_size=N, verbose=0)
    np.testing.assert_array_equal(vae.predict(x, verbose=0), vae.predict(x, verbose=0))


# --- what networks add to the loss -----------------------------------------------------------------------------------


def penalized(kind: str, units: int) -> layers.Layer:
    return {
        "kernel": lambda: layers.Dense(units, kernel_regularizer=keras.regularizers.L2(0.1)),
        "bias": lambda: layers.Dense(units, bias_initializer="ones", bias_regularizer=keras.regularizers.L1(0.1)),
        "activity": lambda: layers.Dense(units, activity_regularizer=keras.regularizers.L2(0.1)),
        "add_loss": Penalty,
    }[kind]()


@pytest.mark.parametrize("kind", ["kernel", "bias", "activity", "add_loss"])
@pytest.mark.parametrize(
    ("name", "part"), [("VAE", "encoder"), ("ConditionalVAE", "decoder"), ("DigitVAE", "classifier")]
)
def test_penalties_are_in_the_loss_that_is_minimized_and_reported(name, part, kind, x, y):
    vae = build(name, **{part: penalized(kind, 16 if part == "decoder" else 6)})
    rate = 1e-3
    vae.compile(keras.optimizers.SGD(rate), run_eagerly=True)
    before = [weight.numpy() for weight in vae.trainable_variables]
    with tf.GradientTape() as tape:
        objective = vae.objective(x, y if name in LABELED else None, vae.noise(N, 0), training=True)
        penalty = tf.add_n(list(vae.losses))
        loss = tf.reduce_mean(objective["loss"]) + penalty
    gradients = tape.gradient(loss, vae.trainable_variables)
    assert penalty > 0
    history = vae.fit(*examples(name, x, y), batch_size=N, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(float(loss), rel=1e-5)
    for start, gradient, weight in zip(before, gradients, vae.trainable_variables, strict=True):
        np.testing.assert_allclose(weight, start - rate * gradient, rtol=1e-5, atol=1e-6)
    evaluated = vae.evaluate(*examples(name, x, y), verbose=0, return_dict=True)
    expected = sum(float(penalty) for penalty in vae.losses)
    if name == "VAE":
        assert evaluated["loss"] + evaluated["elbo"] == pytest.approx(expected, rel=1e-4)


def test_without_penalties_keras_has_none_to_report(x):
    vae = build()
    vae.compile("adam")
    assert list(vae.losses) == []
    evaluated = vae.evaluate(x, verbose=0, return_dict=True)
    assert evaluated["loss"] == -evaluated["elbo"]


# --- options of compile ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"metrics": ["mse"]}, r"has its metrics built in \(loss, elbo, log_likelihood, kl\)"),
        ({"weighted_metrics": [keras.metrics.MeanSquaredError()]}, "has its metrics built in"),
        ({"metrics": {"output": "mae"}}, "has its metrics built in"),
        ({"loss": "mse"}, "has its objective built in"),
        ({"loss_weights": [0.5]}, "has its objective built in"),
    ],
)
def test_losses_and_metrics_of_others_are_refused(option, message):
    vae = build()
    with pytest.raises(ValueError, match=message):
        vae.compile("adam", **option)
    assert not vae.compiled


@pytest.mark.parametrize("asked", [1, 3, None])
def test_the_steps_per_execution_that_were_asked_for_are_run(asked, x, tmp_path, monkeypatch):
    monkeypatch.setattr("vaecourse.training.compiled.STEPS_PER_EXECUTION", 4)
    heard = []

    class Listener(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            heard.append(self.model.steps_per_execution)

    vae = build()
    vae.compile("adam", steps_per_execution=asked)
    vae.save(tmp_path / "vae.keras")
    for model in (vae, keras.models.load_model(tmp_path / "vae.keras")):
        model.fit(x, batch_size=4, epochs=7, callbacks=[Listener()], verbose=0)  # 42 steps: no short training
    assert set(heard) == {asked or 4}


def test_eager_steps_are_honored(x):
    vae = build()
    vae.compile("adam", run_eagerly=True)
    assert vae.run_eagerly
    eager = vae.fit(x, batch_size=8, verbose=0).history
    compiled = build()
    compiled.compile("adam")
    np.testing.assert_allclose(eager["loss"], compiled.fit(x, batch_size=8, verbose=0).history["loss"], rtol=1e-5)


# --- pixels and labels of data sets ----------------------------------------------------------------------------------


class Sequence(keras.utils.PyDataset):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def __len__(self):
        return len(self.images) // 8

    def __getitem__(self, index):
        return (self.images[8 * index : 8 * (index + 1)],)


FORMS = {
    "array": lambda images: images,
    "tensor": tf.constant,
    "batches": lambda images: data.batches(images, 8),
    "tf.data": lambda images: tf.data.Dataset.from_tensor_slices(images).batch(8),
    "PyDataset": Sequence,
    "generator": lambda images: ((part,) for part in np.split(images, len(images) // 8)),
    "of unknown shape": lambda images: tf.data.Dataset.from_generator(
        lambda: iter(np.split(images, len(images) // 8)), output_types=tf.float32
    ),
}
WRONG = {"0 to 255": lambda x: 255 * x, "-1 to 1": lambda x: 2 * x - 1, "grays": lambda x: 0.3 * x}


@pytest.mark.parametrize(
    ("form", "wrong"), [*((form, "0 to 255") for form in FORMS), ("tf.data", "-1 to 1"), ("tf.data", "grays")]
)
def test_pixels_outside_the_support_are_refused_in_every_form(form, wrong, x):
    vae = build()
    vae.compile("adam")
    before = vae.get_weights()
    with pytest.raises(ValueError, match=r"Bernoulli expects pixels in"):
        vae.fit(FORMS[form](WRONG[wrong](x)), verbose=0)
    for weight, start in zip(vae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, start)


@pytest.mark.parametrize(
    "call", ["fit, validation", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch"]
)
def test_pixels_outside_the_support_are_refused_by_every_method(call, x):
    vae, wrong = build(), FORMS["tf.data"](x * 255)
    vae.compile("adam")
    calls = {
        "fit, validation": lambda: vae.fit(x, validation_data=wrong, verbose=0),
        "evaluate": lambda: vae.evaluate(wrong, verbose=0),
        "predict": lambda: vae.predict(wrong, verbose=0),
        "train_on_batch": lambda: vae.train_on_batch(x * 255),
        "test_on_batch": lambda: vae.test_on_batch(x * 255),
        "predict_on_batch": lambda: vae.predict_on_batch(x * 255),
    }
    with pytest.raises(ValueError, match="expects pixels in") as raised:
        calls[call]()
    assert "255" in str(raised.value)
    assert len(str(raised.value)) < 300


def test_what_is_no_number_is_refused_in_a_data_set(x):
    vae = build()
    vae.compile("adam")
    with pytest.raises(ValueError, match="expects pixels in"):
        vae.fit(FORMS["tf.data"](np.where(x > 0, np.nan, x)), verbose=0)
    with pytest.raises(TypeError, match="expected float images, got uint8"):
        vae.fit(FORMS["tf.data"](x.astype(np.uint8)), verbose=0)
    with pytest.raises(ValueError, match=r"expected images of shape \(n, 4, 4, 1\)"):
        vae.fit(FORMS["tf.data"](x[:, :2]), verbose=0)


@pytest.mark.parametrize("form", FORMS)
def test_pixels_inside_the_support_are_trained_on_in_every_form(form, x):
    vae = build()
    vae.compile(keras.optimizers.SGD(0.0), steps_per_execution=1)
    history = vae.fit(FORMS[form](x), batch_size=8 if form in ("array", "tensor") else None, verbose=0).history
    expected = -vae.objective(x, None, vae.noise(N, 0))["kl"].numpy().mean()
    assert -history["kl"][0] == pytest.approx(expected, rel=1e-5)


LABELS = {
    "(n, 1)": (lambda y: y[:, np.newaxis], None),
    "uint8": (lambda y: y.astype(np.uint8), None),
    "(n, 1) of int64": (lambda y: y[:, np.newaxis].astype(np.int64), None),
    "strings": (lambda y: np.array([f"d{i}" for i in y]), "expected integer labels .* got strings"),
    "objects": (lambda y: np.array([f"d{i}" for i in y], object), "expected integer labels .* got strings"),
    "bytes": (lambda y: np.array([f"d{i}" for i in y], "S"), "expected integer labels .* got strings"),
    "booleans": (lambda y: y > 1, "expected integer labels .* got bool"),
    "one-hot integers": (lambda y: np.eye(CLASSES, dtype=int)[y], "expected integer labels .* np.argmax"),
    "whole floats": (lambda y: y.astype(np.float32), "expected integer labels"),
    "a list": (lambda y: list(y), "expected integer labels .* got list"),
    "too large": (lambda y: y + 1, "expected labels from"),
}


@pytest.mark.parametrize("name", LABELED)
@pytest.mark.parametrize("form", LABELS)
def test_labels_of_other_forms_are_taken_or_refused_in_words_about_labels(name, form, x, y):
    make, message = LABELS[form]
    vae = build(name)
    vae.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    if message:
        with pytest.raises((TypeError, ValueError), match=message):
            vae.fit(x, make(y), verbose=0)
    else:
        np.testing.assert_array_equal(vae.checked_labels(make(y)), y)
        expected = vae.evaluate(x, y, verbose=0)
        assert vae.evaluate(x, make(y), verbose=0) == expected
        assert vae.evaluate(tf.data.Dataset.from_tensor_slices((x, make(y))).batch(500), verbose=0) == expected


@pytest.mark.parametrize("name", LABELED)
@pytest.mark.parametrize("wrong", [CLASSES, -2])
def test_labels_of_a_data_set_are_checked(name, wrong, x, y):
    vae = build(name)
    vae.compile("adam")
    with pytest.raises(ValueError, match=rf"expected labels from (0|-1) to {CLASSES - 1}, got"):
        vae.fit(tf.data.Dataset.from_tensor_slices((x, np.where(y == 1, wrong, y))).batch(8), verbose=0)


# --- steps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tf.data", "PyDataset"])
def test_exactly_so_many_steps_are_run_after_a_long_training(form, x, monkeypatch):
    monkeypatch.setattr("vaecourse.training.compiled.STEPS_PER_EXECUTION", 2)
    vae = build()
    vae.compile("adam")
    many = FORMS[form](np.concatenate(4 * [x]))
    vae.fit(x, batch_size=4, epochs=4, validation_data=many, validation_steps=3, validation_freq=4, verbose=0)
    assert int(vae.metrics[0].count) == 3 * 8
    vae.evaluate(many, steps=5, verbose=0)
    assert int(vae.metrics[0].count) == 5 * 8
    assert len(vae.predict(many, steps=3, verbose=0)) == 3 * 8
    assert len(vae.predict(np.concatenate(4 * [x]), batch_size=8, steps=3, verbose=0)) == 3 * 8
    vae.evaluate(np.concatenate(4 * [x]), batch_size=8, steps=3, verbose=0)
    assert int(vae.metrics[0].count) == 3 * 8


@pytest.mark.parametrize("form", ["array", "tf.data"])
def test_fewer_steps_than_were_asked_for_are_not_run_without_a_word(form, x):
    vae = build()
    vae.compile("adam")
    batches = FORMS[form](x)
    with pytest.warns(UserWarning, match="ran out of data"):
        vae.fit(batches, batch_size=8 if form == "array" else None, epochs=2, steps_per_epoch=10, verbose=0)
    assert int(vae.optimizer.iterations) <= 2 * 3
    with pytest.warns(UserWarning, match="ran out of data"):
        vae.evaluate(batches, steps=10, batch_size=8 if form == "array" else None, verbose=0)


def test_an_evaluation_inside_of_a_training_leaves_its_steps_alone(x, monkeypatch):
    monkeypatch.setattr("vaecourse.training.compiled.STEPS_PER_EXECUTION", 4)

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.evaluate(Sequence(x), steps=3, verbose=0)
            self.model.predict(Sequence(x), steps=3, verbose=0)

    alone, observed = build(), build()
    for vae, callbacks in ((alone, []), (observed, [Evaluate()])):
        vae.compile("adam")
        vae.fit(x, batch_size=4, epochs=7, callbacks=callbacks, verbose=0)
    for one, other in zip(alone.get_weights(), observed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# --- callbacks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "metric", "direction"),
    [
        ("VAE", "val_elbo", "max"),
        ("VAE", "log_likelihood", "max"),
        ("VAE", "val_loss", "min"),
        ("ImportanceWeightedVAE", "val_bound", "max"),
        ("DigitVAE", "val_accuracy", "max"),
        ("DigitVAE", "val_classifier_loss", "min"),
        ("SemiSupervisedVAE", "bound", "max"),
    ],
)
def test_callbacks_know_in_which_direction_a_metric_gets_better(name, metric, direction, x, y, tmp_path):
    vae = build(name)
    vae.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    watching = [
        keras.callbacks.EarlyStopping(metric, patience=1),
        keras.callbacks.ModelCheckpoint(
            str(tmp_path / "best.weights.h5"), metric, save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.ReduceLROnPlateau(metric),
    ]
    given = examples(name, x, y)
    vae.fit(*given, validation_data=given if len(given) > 1 else x, callbacks=watching, verbose=0)
    for callback in watching:
        assert callback.monitor_op(*((2, 1) if direction == "max" else (1, 2)))
    assert (tmp_path / "best.weights.h5").exists()


def test_a_direction_that_was_chosen_is_kept_and_one_that_nobody_knows_is_asked_for(x):
    vae = build()
    vae.compile("adam")
    stop = keras.callbacks.EarlyStopping("elbo", mode="min")
    vae.fit(x, callbacks=stop, verbose=0)  # Keras takes a single callback, too
    assert stop.mode == "min"
    with pytest.raises(ValueError, match="mode"):
        vae.fit(x, callbacks=[keras.callbacks.EarlyStopping("kl")], verbose=0)


# --- gradients that are accumulated, weights that are frozen ---------------------------------------------------------


@pytest.mark.parametrize("accumulated", [None, 3])
def test_no_two_batches_share_their_noise_or_their_order(accumulated, x):
    seen = []

    class Noted(VAE):
        def noise(self, batch, step):
            seen.append(int(step))
            return super().noise(batch, step)

    vae = Noted(*networks.mlp(D, (6,), "tanh", SHAPE, seed=0))
    vae.compile(keras.optimizers.SGD(1e-3, gradient_accumulation_steps=accumulated), run_eagerly=True)
    vae.fit(x, batch_size=12, epochs=4, verbose=0)
    assert seen == list(range(8))
    assert int(training.batches_seen(vae.optimizer)) == 8
    assert int(vae.optimizer.iterations) == 8 // (accumulated or 1)


def test_batches_are_counted_behind_a_loss_scale():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    optimizer.build([keras.Variable(1.0)])
    assert int(training.batches_seen(optimizer)) == 0


def test_a_model_that_is_frozen_says_so_and_is_evaluated(x):
    vae = build()
    vae.trainable = False
    vae.compile("adam")
    before = vae.get_weights()
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        history = vae.fit(x, verbose=0).history
    assert np.isfinite(history["elbo"][0])
    for weight, start in zip(vae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, start)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_frozen_network_stays_and_the_other_learns(part, x):
    vae = build()
    getattr(vae, part).trainable = False
    vae.compile(keras.optimizers.SGD(1e-2))
    before = {name: getattr(vae, name).get_weights() for name in ("encoder", "decoder")}
    vae.fit(x, verbose=0)
    for name, weights in before.items():
        same = [np.array_equal(a, b) for a, b in zip(weights, getattr(vae, name).get_weights(), strict=True)]
        assert all(same) == (name == part)


# --- files and surroundings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
@pytest.mark.parametrize("form", [str, lambda path: path])
def test_files_that_could_not_be_read_again_are_not_written(name, form, tmp_path, x):
    vae = build()
    with pytest.raises(ValueError, match=r"HDF5 format.*\.keras"):
        vae.save(form(tmp_path / name))
    vae.compile("adam")
    with pytest.raises(ValueError, match=r"HDF5 format|must end in `\.keras`"):  # ours, or Keras' own
        vae.fit(x, callbacks=[keras.callbacks.ModelCheckpoint(str(tmp_path / name))], verbose=0)
    assert not list(tmp_path.iterdir())
    vae.save(form(tmp_path / "model.keras"))
    vae.save_weights(form(tmp_path / "model.weights.h5"))


def test_a_conditional_model_is_exported_with_integer_labels(tmp_path, x, y):
    vae = build("ConditionalVAE")
    vae.export(tmp_path, verbose=False)
    loaded = tf.saved_model.load(tmp_path)
    np.testing.assert_allclose(
        loaded.serve((tf.constant(x), tf.constant(y, tf.int32))), vae.reconstruct(x, y=y), rtol=1e-5
    )


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_another_backend_of_keras_is_refused_at_import(backend):
    """Numpy is there, and jax need not be: what is said is the same."""
    program = f"import os; os.environ['KERAS_BACKEND'] = {backend!r}; import vaecourse"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: vaecourse needs the TensorFlow backend of Keras")
    assert "KERAS_BACKEND=tensorflow" in last


def test_a_diagnosis_listens_to_a_network_in_the_mode_of_its_use(x):
    spies = {"encoder": Spy(), "decoder": Spy()}
    vae = build(**spies)
    for spy in spies.values():
        spy.modes.clear()
    diagnose(vae, np.concatenate(5 * [x]))
    assert set(spies["encoder"].modes) == {False}
