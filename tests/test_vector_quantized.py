"""Vector quantization: known codes, brute force, and the identity whose gradient is handed on."""

import keras
import numpy as np
import policies
import pytest
import tensorflow as tf

from vaecourse import clinic, models, networks

SHAPE = (4, 3, 1)


def pictures(n: int = 30, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, *SHAPE)) < 0.4).astype(np.float32)


def small(entries: int = 6, **options) -> models.VectorQuantizedVAE:
    return models.VectorQuantizedVAE(*models.vector_mlp(3, 2, (8,), "tanh", SHAPE), entries, **options)


@pytest.mark.parametrize(
    ("codes", "entries", "expected"),
    [([3, 3, 3], 5, 1.0), ([0, 1, 2, 3], 4, 4.0), ([0, 0, 1, 1], 9, 2.0), ([[0, 0], [0, 1]], 2, 4 / 27**0.25)],
)
def test_the_perplexity_of_known_codes(codes, entries, expected):
    assert np.isclose(models.perplexity(np.array(codes), entries), expected)


def test_the_gradient_passes_the_choice_as_if_there_were_none():
    vectors, weights = tf.constant([[0.2, -1.0]]), tf.constant([[3.0, 5.0]])
    chosen = tf.Variable([[1.0, 0.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vectors)
        value = models.straight_through(vectors, chosen)
        loss = tf.reduce_sum(weights * value)
    np.testing.assert_allclose(value, chosen)
    np.testing.assert_array_equal(tape.gradient(loss, vectors), weights)
    assert tape.gradient(loss, chosen) is None


def test_each_vector_takes_the_nearest_entry():
    vae, x = small(), pictures()
    vectors, book = vae.encoder(x).numpy(), vae.codebook.numpy()
    distances = np.linalg.norm(vectors[:, :, np.newaxis] - book, axis=-1)
    np.testing.assert_array_equal(vae.codes(x), distances.argmin(axis=-1))
    expected = vae.decoder(book[distances.argmin(axis=-1)])
    np.testing.assert_allclose(vae(x), tf.sigmoid(expected), rtol=1e-5)
    np.testing.assert_allclose(vae.decode(vae.codes(x)).mean(), vae(x), rtol=1e-5)
    assert np.isclose(vae.codebook_perplexity(x), models.perplexity(distances.argmin(axis=-1), 6))


def test_the_bound_and_the_loss_are_their_terms():
    vae, x = small(commitment=0.7), pictures()
    found = vae.objective(x, None, vae.noise(30, 0))
    vectors, codes = vae.encoder(x).numpy(), vae.codes(x).numpy()
    squared = ((vectors - vae.codebook.numpy()[codes]) ** 2).sum(axis=(1, 2))
    log_p = vae.decode(codes).log_prob(x).numpy()
    np.testing.assert_allclose(found["log_likelihood"], log_p, rtol=1e-5)
    np.testing.assert_allclose(found["elbo"], log_p - 3 * np.log(6), rtol=1e-5)
    np.testing.assert_allclose(found["codebook"], squared, rtol=1e-4)
    np.testing.assert_allclose(found["loss"], -log_p + 1.7 * squared, rtol=1e-5)
    assert np.isclose(vae.rate, 3 * np.log(6))


def test_the_bound_is_below_log_p_by_all_codes():
    """With 3 places of 2 entries there are 8 images that the decoder knows, and log p(x) is a sum over them."""
    vae, x = small(2), pictures()
    every = np.array(list(np.ndindex(2, 2, 2)))
    log_p = vae.decode(every).log_prob(x[:, np.newaxis]).numpy()
    exact = np.logaddexp.reduce(log_p, axis=1) - 3 * np.log(2)
    assert (vae.objective(x, None, None)["elbo"].numpy() < exact + 1e-5).all()


def test_each_part_of_the_loss_moves_what_it_should():
    """The decoder's gradient reaches the encoder and not the codebook; the codebook goes to the vectors alone."""
    vae, x = small(commitment=0.25), pictures()
    with tf.GradientTape(persistent=True) as tape:
        vectors = vae.encoder(x)
        found = vae.objective(x, None, None)
        likelihood, loss = tf.reduce_sum(found["log_likelihood"]), tf.reduce_sum(found["loss"])
    book = vae.codebook.value
    assert tape.gradient(likelihood, book) is None
    assert np.abs(tape.gradient(likelihood, vae.encoder.trainable_variables[0].value)).max() > 0
    chosen = vae.codes(x).numpy()
    moved = np.zeros_like(vae.codebook.numpy())
    np.add.at(moved, chosen, 2 * (vae.codebook.numpy()[chosen] - vectors.numpy()))
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(loss, book)), moved, rtol=1e-4, atol=1e-4)


def test_what_is_trained_and_saved_comes_back(tmp_path):
    x, vae = pictures(), small()
    vae.compile("adam")
    before = vae.codebook.numpy().copy()
    history = vae.fit(x, batch_size=15, epochs=3, verbose=0).history
    assert set(history) == set(vae.measured)
    assert np.abs(vae.codebook.numpy() - before).max() > 0
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(loaded.codes(x), vae.codes(x))
    np.testing.assert_array_equal(loaded(x), vae(x))
    np.testing.assert_array_equal(loaded.sample(4, seed=1), vae.sample(4, seed=1))
    assert vae.sample(4).shape == (4, *SHAPE)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: small(1), ValueError, "entries ≥ 2"),
        (lambda: small(commitment=0.0), ValueError, "positive commitment"),
        (lambda: models.VectorQuantizedVAE(*networks.mlp(2, (8,))), ValueError, "ends in vectors"),
        (lambda: models.VectorQuantizedVAE(models.vector_mlp()[0], other()), ValueError, "returns images of shape"),
        (lambda: small().decode([[0, 1, 6]]), ValueError, "integers from 0 to 5"),
        (lambda: small().decode(np.array([[0.0, 1.0, 2.0]])), ValueError, "integers from 0 to 5"),
        (lambda: small().codes(0.5 * pictures()), ValueError, "grays in between"),
        (lambda: models.perplexity(np.array([0.5]), 3), ValueError, "expected integers from 0 to 2"),
        (lambda: models.perplexity(np.array([3]), 3), ValueError, "expected integers from 0 to 2"),
        (lambda: models.vector_mlp(0), ValueError, "at least one"),
        (lambda: models.vector_mlp(3, 2, ()), ValueError, "at least one layer"),
        (lambda: clinic.diagnose(small(), pictures()), TypeError, "expected a vaecourse.VAE or an OwnModel"),
    ],
)
def test_what_cannot_be_is_refused(build, error, words):
    with pytest.raises(error, match=words):
        build()


@pytest.mark.half_precision
def test_in_mixed_precision_the_pixels_keep_their_digits():
    with policies.built_in("mixed_bfloat16"):
        vae = small()
    x = pictures()
    log_p = vae.decode(vae.codes(x)).log_prob(x)
    assert log_p.dtype == vae.sample(2).dtype == tf.float32
    np.testing.assert_allclose(log_p, vae.objective(x, None, vae.noise(len(x), 0))["log_likelihood"], rtol=1e-5)


def other() -> keras.Model:
    return keras.Sequential([keras.Input((16, 8)), keras.layers.Flatten(), keras.layers.Reshape((128, 1, 1))])
