"""The program of the chapter "A VAE from an empty file": the same in its three languages, and as the module's VAE."""

import importlib.util
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tools import chapters
from vaecourse import VAE

FOLDER = chapters.ROOT / "book" / "chapters"
LISTINGS = FOLDER / "listings"
CHAPTER = chapters.read(FOLDER / "from-scratch.ipynb")
SHAPE, LATENT_DIM, HIDDEN = (28, 28, 1), 3, 16
# A sum of n numbers in float32 is off by at most about n · 2⁻²⁴ of the sum of their absolute values; the longest is
# over the pixels of an image.
ROUNDING = 784 * 2.0**-24


def listing(name):
    """Import a listing, which is no part of a package."""
    specification = importlib.util.spec_from_file_location(name, LISTINGS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def program(name: str) -> str:
    """Return the text of a listing without the sentence at its top."""
    return (LISTINGS / f"{name}.py").read_text(encoding="utf-8").split('"""\n\n', 1)[1].rstrip("\n")


@pytest.fixture(scope="module")
def plain():
    return listing("vae_keras")


@pytest.fixture
def vae(plain):
    keras.utils.set_random_seed(0)
    return plain.VAE(plain.build_encoder(SHAPE, LATENT_DIM, HIDDEN), plain.build_decoder(SHAPE, LATENT_DIM, HIDDEN))


@pytest.fixture(scope="module")
def x(binary):
    return binary[:50]


@pytest.fixture(scope="module")
def eps():
    return np.random.default_rng(0).standard_normal((50, LATENT_DIM), np.float32)


def loss_and_gradients(two_terms, weights):
    with tf.GradientTape() as tape:
        log_likelihood, kl = two_terms()
        loss = tf.reduce_mean(kl - log_likelihood)
    return float(loss), [gradient.numpy() for gradient in tape.gradient(loss, weights)]


def assert_equal_but_for_rounding(arrays, expected):
    for array, other in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=0, atol=ROUNDING * np.abs(other).max())


# --- the program in Keras ------------------------------------------------------------------------------------------


def test_the_listing_is_what_the_cells_of_the_chapter_define():
    cells = [cell.source for cell in chapters.code_cells(CHAPTER)]
    parts = program("vae_keras").split("\n\n\n")
    source = "\n\n\n".join(cells)
    positions = [source.index(part) for part in parts]
    assert positions == sorted(positions)
    assert len(parts) == 8


@pytest.mark.parametrize("name", ["vae_keras", "vae_pytorch", "vae_jax"])
def test_the_tabs_show_the_listings(name):
    (tabs,) = [cell.source for cell in CHAPTER.cells if "{tab-set}" in cell.source]
    assert program(name) in re.findall(r"```python\n(.*?)\n```", tabs, re.DOTALL)


def test_the_program_is_short_and_needs_nothing_of_the_module():
    text = (LISTINGS / "vae_keras.py").read_text(encoding="utf-8")
    assert "vaecourse" not in text
    assert sum(bool(line.strip()) for line in program("vae_keras").splitlines()) < 70


def test_loss_and_gradients_are_those_of_the_module(plain, vae, x, eps):
    weights = vae.trainable_variables
    loss, gradients = loss_and_gradients(lambda: plain.terms(vae.encoder, vae.decoder, x, eps), weights)
    theirs = VAE(vae.encoder, vae.decoder)
    expected, expected_gradients = loss_and_gradients(lambda: theirs.terms(x, eps), weights)
    assert loss == pytest.approx(expected, rel=ROUNDING)
    assert_equal_but_for_rounding(gradients, expected_gradients)


def test_noise_and_evaluation_are_those_of_the_module(vae, x):
    theirs = VAE(vae.encoder, vae.decoder, seed=0)
    np.testing.assert_array_equal(vae.noise(x, 0, 7), theirs.noise(len(x), 7))
    for model in (vae, theirs):
        model.compile("adam")
    options = {"batch_size": 20, "verbose": 0, "return_dict": True}  # the last batch is short
    ours, expected = vae.evaluate(x, **options), theirs.evaluate(x, **options)
    assert all(ours[name] == pytest.approx(expected[name], rel=ROUNDING) for name in ours)


def test_a_model_that_was_never_trained_can_be_saved_and_loaded(vae, x, tmp_path):
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), vae.predict(x, verbose=0))


ON_TWO_DEVICES = """
import numpy as np
import vaecourse  # quiets the log of TensorFlow
import keras
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
{program}

{replicated}

def numbered(model):  # the noise tells the step that it was asked for
    class Numbered(model):
        def noise(self, x, seed, step):
            return tf.ones((tf.shape(x)[0], 2)) * tf.cast(step, tf.float32)
    keras.utils.set_random_seed(0)
    return Numbered(build_encoder((4, 4, 1), 2, 5), build_decoder((4, 4, 1), 2, 5))

x = np.random.default_rng(0).integers(0, 2, (8, 4, 4, 1)).astype(np.float32)
alone = numbered(VAE)
eps = np.repeat([[0.0], [1.0]], 4, axis=0).repeat(2, axis=1).astype(np.float32)
with tf.GradientTape() as tape:
    log_likelihood, kl = terms(alone.encoder, alone.decoder, x, eps)
    loss = tf.reduce_mean(kl - log_likelihood)
gradients = tape.gradient(loss, alone.trainable_variables)
for model in (ReplicatedVAE, VAE):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        twins = numbered(model)
        before = [w.numpy() for w in twins.trainable_variables]
        twins.compile(keras.optimizers.SGD(1.0))
    history = twins.fit(tf.data.Dataset.from_tensor_slices(x).batch(8), verbose=0).history
    moves = [b - w.numpy() for b, w in zip(before, twins.trainable_variables)]
    ratios = [np.linalg.norm(m) / np.linalg.norm(g) for m, g in zip(moves, gradients)]
    apart = max(np.abs(m - g).max() for m, g in zip(moves, gradients))
    print(model.__name__, apart, *ratios, history["loss"][0], float(loss))
"""


def test_on_two_devices_the_gradient_is_that_of_the_whole_batch_and_noise_differs():
    (replicated,) = [c.source for c in chapters.code_cells(CHAPTER) if "class ReplicatedVAE" in c.source]
    code = ON_TWO_DEVICES.format(program=program("vae_keras"), replicated=replicated)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=chapters.ROOT)
    assert told.returncode == 0, told.stderr[-2000:]
    rows = {name: [float(value) for value in values] for name, *values in map(str.split, told.stdout.splitlines())}
    apart, *ratios, logged, loss = rows["ReplicatedVAE"]
    assert apart < 1e-5
    assert logged == pytest.approx(loss, rel=1e-5)
    _, *ratios, logged, loss = rows["VAE"]  # equal noise, and a mean on each device
    assert np.median(ratios) == pytest.approx(2, rel=0.3)


# --- the program in PyTorch and JAX --------------------------------------------------------------------------------


def adams_step(vae, gradients):
    """Return the weights after a step of Keras' Adam."""
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.apply_gradients(zip(map(tf.constant, gradients), vae.trainable_variables, strict=True))
    return vae.get_weights()


def test_pytorch_has_the_same_loss_gradients_and_step(plain, vae, x, eps):
    torch = pytest.importorskip("torch")
    twin = listing("vae_pytorch").VAE(SHAPE, LATENT_DIM, HIDDEN)
    parameters = list(twin.parameters())
    with torch.no_grad():
        for parameter, array in zip(parameters, vae.get_weights(), strict=True):
            parameter.copy_(torch.from_numpy(array.T.copy()))
    expected, gradients = loss_and_gradients(
        lambda: plain.terms(vae.encoder, vae.decoder, x, eps), vae.trainable_variables
    )
    optimizer = torch.optim.Adam(parameters, 1e-3, eps=1e-7)
    loss = listing("vae_pytorch").train_step(twin, optimizer, torch.from_numpy(x), torch.from_numpy(eps))
    assert loss == pytest.approx(expected, rel=ROUNDING)
    assert_equal_but_for_rounding([p.grad.numpy().T for p in parameters], gradients)
    gradients = [parameter.grad.numpy().T.copy() for parameter in parameters]
    for parameter, gradient, weight in zip(parameters, gradients, adams_step(vae, gradients), strict=True):
        # Keras adds ε before it corrects for the start, PyTorch afterwards: as if ε were 1e-7/√0.001 in the first step
        difference = np.abs(parameter.detach().numpy().T - weight)
        assert (difference <= 1e-7 + 1e-3 * 3.2e-6 / np.maximum(np.abs(gradient), 3.2e-6)).all()


def test_pytorch_trains_and_weighs_images_alike(binary):
    torch = pytest.importorskip("torch")
    module = listing("vae_pytorch")
    torch.manual_seed(0)
    twin, images = module.VAE(SHAPE, LATENT_DIM, HIDDEN), torch.from_numpy(binary)
    before = module.evaluate(twin, images)
    module.fit(twin, images, epochs=30)
    assert module.evaluate(twin, images) < before - 100
    with torch.no_grad():
        twin.encoder[-1].weight.zero_()
        twin.encoder[-1].bias.copy_(torch.tensor([0.0] * LATENT_DIM + [-60.0] * LATENT_DIM))  # no noise is left
    whole = module.evaluate(twin, images, batch_size=600)
    assert module.evaluate(twin, images, batch_size=256) == pytest.approx(whole, rel=ROUNDING)


def test_jax_has_the_same_loss_gradients_and_step(plain, vae, x, eps):
    jax = pytest.importorskip("jax")
    module = listing("vae_jax")
    arrays = [jax.numpy.asarray(array) for array in vae.get_weights()]
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    weights = [pairs[:2], pairs[2:]]
    expected, gradients = loss_and_gradients(
        lambda: plain.terms(vae.encoder, vae.decoder, x, eps), vae.trainable_variables
    )
    found = jax.tree.leaves(jax.grad(module.loss)(weights, x, eps))
    assert_equal_but_for_rounding(map(np.asarray, found), gradients)
    zeros = jax.tree.map(jax.numpy.zeros_like, weights)
    (moved, *_, step), loss = module.train_step((weights, zeros, zeros, 0), x, eps)
    assert float(loss) == pytest.approx(expected, rel=ROUNDING)
    assert int(step) == 1
    for weight, other in zip(jax.tree.leaves(moved), adams_step(vae, list(map(np.asarray, found))), strict=True):
        np.testing.assert_allclose(weight, other, rtol=0, atol=1e-6)


def test_jax_trains_and_weighs_images_alike(binary):
    jax = pytest.importorskip("jax")
    module = listing("vae_jax")
    weights = module.initial_weights(jax.random.key(0), SHAPE, LATENT_DIM, HIDDEN)
    images = jax.numpy.asarray(binary)
    before = module.evaluate(weights, images)
    weights = module.fit(weights, images, epochs=30)
    assert module.evaluate(weights, images) < before - 100
    (first, (kernel, _)), decoder = weights
    bias = jax.numpy.asarray([0.0] * LATENT_DIM + [-60.0] * LATENT_DIM)  # no noise is left
    weights = [[first, (jax.numpy.zeros_like(kernel), bias)], decoder]
    whole = module.evaluate(weights, images, batch_size=600)
    assert module.evaluate(weights, images, batch_size=256) == pytest.approx(whole, rel=ROUNDING)
