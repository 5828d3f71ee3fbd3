"""Muon and SOAP against their definitions in NumPy, on kernels of both kinds; saved, loaded, and refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vaecourse import VAE, networks, training

KERNELS = {"dense": (6, 4), "convolution": (3, 3, 2, 5), "wide": (3, 7)}
each_kernel = pytest.mark.parametrize("shape", KERNELS.values(), ids=KERNELS)


def variable(shape, seed=0):
    return keras.Variable(np.random.default_rng(seed).normal(size=shape).astype(np.float32), name="kernel")


def gradients(shape, steps, seed=1):
    return np.random.default_rng(seed).normal(size=(steps, *shape)).astype(np.float32)


def as_matrix(kernel):
    return np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])


def moved(optimizer, shape, steps):
    """Return the weights before and after steps along made-up gradients."""
    weight = variable(shape)
    before = as_matrix(weight)
    for gradient in gradients(shape, steps):
        optimizer.apply_gradients([(tf.constant(gradient), weight)])
    return before, as_matrix(weight)


@each_kernel
def test_a_step_of_muon_is_nearly_orthogonal_and_as_large_as_one_of_adam(shape):
    """The iteration brings singular values near 1, between 0.6 and 1.3; the scale is 0.2 √(longer side)."""
    before, after = moved(training.Muon(0.01, nesterov=False), shape, 1)
    values = np.linalg.svd((before - after) / (0.01 * 0.2 * np.sqrt(max(before.shape))), compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, v = np.linalg.svd(as_matrix(gradients(shape, 1)[0]), full_matrices=False)
    assert np.sum((before - after) * (u @ v)) > 0, "it goes down"


@each_kernel
def test_muon_reads_a_kernel_as_a_matrix_and_keeps_its_shape(shape):
    optimizer, kernel = training.Muon(), tf.constant(gradients(shape, 1)[0])
    orthogonal = optimizer.zeropower_via_newtonschulz5(kernel, 5)
    matrix = keras.optimizers.Muon().zeropower_via_newtonschulz5(tf.constant(as_matrix(kernel.numpy()), tf.float32), 5)
    assert orthogonal.shape == shape
    np.testing.assert_allclose(as_matrix(orthogonal.numpy()), matrix, atol=1e-6)
    scaled = optimizer.lr_adjust(orthogonal)
    np.testing.assert_allclose(scaled / orthogonal, 0.2 * np.sqrt(max(matrix.shape)), rtol=1e-5)


def soap_by_definition(weight, steps, rate=0.01, beta_1=0.95, beta_2=0.9, epsilon=1e-8, frequency=2):
    """Return the weights of :class:`SOAP` in double precision."""
    rows, columns = weight.shape
    left, right = np.zeros((rows, rows)), np.zeros((columns, columns))
    basis_left, basis_right = np.eye(rows), np.eye(columns)
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    for t, g in enumerate(steps, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        if t > 1:
            v = beta_2 * v + (1 - beta_2) * (basis_left.T @ g @ basis_right) ** 2
            step = basis_left.T @ m @ basis_right / (np.sqrt(v) + epsilon)
            step *= np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            weight = weight - rate * basis_left @ step @ basis_right.T
        left = beta_2 * left + (1 - beta_2) * g @ g.T
        right = beta_2 * right + (1 - beta_2) * g.T @ g
        if t == 1:
            basis_left, basis_right = (np.linalg.eigh(each)[1][:, ::-1] for each in (left, right))
        elif (t - 1) % frequency == 0:
            basis_left, basis_right = np.linalg.qr(left @ basis_left)[0], np.linalg.qr(right @ basis_right)[0]
    return weight


@pytest.mark.parametrize("shape", [(4, 4), (2, 1, 2, 4)], ids=["dense", "convolution"])
def test_soap_is_its_definition(shape):
    """Six steps, which bring the bases up to date twice; the signs of eigenvectors do not matter.

    The matrix has as many rows as columns: else the first gradient leaves directions out, in which any basis is right.
    """
    optimizer = training.SOAP(0.01, beta_1=0.95, beta_2=0.9, frequency=2)
    before, after = moved(optimizer, shape, 6)
    expected = soap_by_definition(before, [as_matrix(g) for g in gradients(shape, 6)])
    np.testing.assert_allclose(after, expected, atol=2e-5)
    assert np.abs(after - before).max() > 0.01


def test_without_a_side_that_is_small_enough_soap_is_adam():
    options = {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-8}
    _, turned = moved(training.SOAP(0.01, largest=1, **options), (6, 4), 5)
    _, plain = moved(keras.optimizers.Adam(0.01, **options), (6, 4), 5)
    np.testing.assert_allclose(turned, plain, atol=1e-6)


@pytest.mark.parametrize("build", [training.Muon, training.SOAP])
def test_biases_are_trained_by_adam(build):
    bias = variable((5,))
    before = bias.numpy()
    build(0.01).apply_gradients([(tf.constant(gradients((5,), 1)[0]), bias)])
    step = before - bias.numpy()
    np.testing.assert_allclose(np.abs(step), 0.01, rtol=1e-3)
    np.testing.assert_array_equal(np.sign(step), np.sign(gradients((5,), 1)[0]))


def small_vae(optimizer):
    vae = VAE(*networks.mlp(2, (8,), seed=0, image_shape=(8, 8, 1)), seed=0)
    vae.compile(optimizer)
    return vae


@pytest.mark.parametrize("build", [training.Muon, training.SOAP])
def test_they_train_and_a_saved_model_goes_on_as_if_it_had_not_been_saved(build, tmp_path):
    images = np.random.default_rng(0).integers(0, 2, (64, 8, 8, 1)).astype(np.float32)
    optimizer = build(training.cosine_decay(1e-2, 40))
    vae = small_vae(optimizer)
    history = vae.fit(images, batch_size=16, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    vae.save(tmp_path / "vae.keras")
    again = keras.models.load_model(tmp_path / "vae.keras")
    for model in (vae, again):
        model.fit(images, batch_size=16, epochs=2, verbose=0)
    for one, other in zip(vae.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequency": 0}, "frequency"),
        ({"largest": 1.5}, "largest"),
        ({"beta_2": 2}, "beta_2"),
        ({"epsilon": -1}, "eps"),
    ],
)
def test_wrong_options_of_soap_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        training.SOAP(**options)


def test_layers_that_are_excluded_are_trained_by_adam():
    """Adam's first step has one size for all weights, and a step of Muon has not."""
    vae = small_vae(training.Muon(0.01, exclude_layers=["mean_and_logvar", "dense"]))
    before = vae.encoder.get_weights()[0]
    vae.fit(np.ones((16, 8, 8, 1), np.float32), batch_size=16, verbose=0)
    sizes = np.abs(before - vae.encoder.get_weights()[0])
    np.testing.assert_allclose(sizes[sizes > 1e-6], 0.01, rtol=1e-2)


@pytest.mark.parametrize("names", [[], ["Wide"], ["wide"], ["^narrow/"], ["embed", "Wide/k"]], ids=repr)
def test_the_names_of_layers_are_read_as_keras_reads_them(names):
    widths = {"Wide": 4, "narrow": 3, "embedding_of_what": 2}
    built = keras.Sequential([keras.Input((5,)), *(keras.layers.Dense(width, name=n) for n, width in widths.items())])
    ours, theirs = (each.Muon(exclude_layers=names) for each in (training, keras.optimizers))
    by_adam = [ours._should_use_adamw(layer.kernel) for layer in built.layers]
    assert by_adam == [theirs._should_use_adamw(layer.kernel) for layer in built.layers]
    assert by_adam[2]
