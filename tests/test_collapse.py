"""Free bits, and a decoder that also sees earlier pixels."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from vaecourse import VAE, models, networks
from vaecourse.models import AutoregressiveVAE, FreeBitsVAE, earlier_pixels, free_bits

SMALL = (2, 2, 1)


def small(seed=0, **options):
    """A model of 2×2 binary images whose context has weights large enough to matter."""
    encoder, decoder = networks.mlp(2, (6,), "tanh", SMALL, seed=seed)
    context = earlier_pixels(5, reach=2, image_shape=SMALL, seed=seed)
    context.set_weights([2 * weight for weight in context.get_weights()])
    return AutoregressiveVAE(encoder, decoder, context, **options)


def all_images():
    return np.array(list(itertools.product((0.0, 1.0), repeat=4)), np.float32).reshape(-1, *SMALL)


def free(free_nats, **options):
    vae = FreeBitsVAE(*networks.mlp(3, (8,), seed=0), free_nats=free_nats, seed=3, **options)
    vae.compile(keras.optimizers.Adam(1e-2))
    return vae


def test_free_bits_by_hand(binary):
    """The mean loss is −log p(x|z) + β Σ_j max(λ, mean of KL_j), written out in numpy; the ELBO is that of a VAE."""
    x, vae = binary[:20], free(0.03, beta=2.0)
    vae.encoder.layers[-1].kernel.assign(
        vae.encoder.layers[-1].kernel * [1, 1, 0, 1, 1, 0]
    )  # the last latent is unused
    eps = vae.noise(20, 0)
    measured = {name: value.numpy() for name, value in vae.objective(x, None, eps).items()}
    mean, logvar = (part.numpy().astype(float) for part in vae.posterior_parameters(x))
    each = 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0)
    assert each.min() < 0.03 < each.max()  # both sides of the floor
    expected = 2 * np.maximum(each, 0.03).sum() - measured["log_likelihood"].mean()
    np.testing.assert_allclose(measured["loss"].mean(), expected, rtol=1e-6)
    plain = VAE(vae.encoder, vae.decoder).objective(x, None, eps)
    for name in ("elbo", "kl", "log_likelihood"):
        np.testing.assert_allclose(measured[name], plain[name], rtol=1e-6)


def test_below_the_floor_the_kl_has_no_gradient(binary):
    """With all latents below, the gradient is that of −log p(x|z) alone; with none, that of the VAE."""
    x = binary[:20]
    for free_nats, beta in ((100.0, 0.0), (0.0, 1.0)):
        vae = free(free_nats)
        plain = VAE(vae.encoder, vae.decoder, beta=beta)
        found = []
        for model in (vae, plain):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(model.objective(x, None, plain.noise(20, 0))["loss"])
            found.append(tape.gradient(loss, vae.encoder.trainable_variables))
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_no_free_nats_are_a_vae_bit_for_bit(binary):
    trained = []
    for vae in (free(0.0), VAE(*networks.mlp(3, (8,), seed=0), seed=3)):
        vae.compile(keras.optimizers.Adam(1e-2))
        vae.fit(binary[:60], batch_size=20, epochs=2, verbose=0)
        trained.append(vae.get_weights())
    for one, other in zip(*trained, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_floor_counts_what_is_missing():
    kl = np.array([[0.0, 1.0], [0.8, 3.0]], np.float32)  # image by image it would be ¼, half of the first image's ½
    np.testing.assert_allclose(free_bits.unused(kl, 0.5), 0.1, rtol=1e-6)


@pytest.mark.parametrize(
    "options", [{"free_nats": -1.0}, {"free_nats": np.inf}, {"free_nats": 1.0, "kl": "monte_carlo"}]
)
def test_free_bits_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="got"):
        free(**options)


def test_the_probabilities_of_all_images_sum_to_one():
    vae, x = small(), all_images()
    for z in np.random.default_rng(0).normal(size=(3, 1, 2)).astype(np.float32):
        log_p = vae.log_likelihood(x, np.repeat(z, 16, axis=0)).numpy().astype(float)
        np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-5)
        np.testing.assert_allclose(log_p, vae.decode(z).log_prob(x), rtol=1e-5)
        assert np.abs(np.exp(log_p) - 1 / 16).max() > 0.005


def test_the_context_changes_the_likelihood_and_pixels_depend_on_each_other():
    vae, x = small(), all_images()
    z = np.zeros((16, 2), np.float32)
    p = np.exp(vae.log_likelihood(x, z).numpy().astype(float))
    first, last = x[:, 0, 0, 0], x[:, 1, 1, 0]
    together, apart = p[(first == 1) & (last == 1)].sum(), p[first == 1].sum() * p[last == 1].sum()
    assert abs(together - apart) > 1e-3


def test_images_are_drawn_as_often_as_their_probability_says():
    vae, n = small(), 20_000
    z = np.tile(np.float32([[0.5, -1.0]]), (n, 1))
    drawn = vae.drawn(z, seed=1).numpy().reshape(n, 4) @ [8, 4, 2, 1]
    p = np.exp(vae.log_likelihood(all_images(), z[:16]).numpy().astype(float))
    counts = np.bincount(drawn.astype(int), minlength=16)
    assert (np.abs(counts - n * p) < 5 * np.sqrt(n * p * (1 - p))).all()  # standard deviations of a count


def test_drawing_all_pixels_at_once_ends_where_drawing_them_in_turn_does():
    encoder, decoder = networks.mlp(2, (6,), "tanh", (4, 4, 1), seed=1)
    context = earlier_pixels(5, reach=2, image_shape=(4, 4, 1), seed=1)
    context.set_weights([3 * weight for weight in context.get_weights()])
    vae = AutoregressiveVAE(encoder, decoder, context)
    z = np.random.default_rng(2).normal(size=(8, 2)).astype(np.float32)
    x = np.zeros((8, 4, 4, 1), np.float32)
    for row, column in itertools.product(range(4), range(4)):
        pixels = vae.likelihood.pixels(decoder(z) + context(x)).sample(seed=tf.constant((7, 1)))
        x[:, row, column] = pixels.numpy()[:, row, column]
    np.testing.assert_array_equal(vae.drawn(z, seed=7), x)
    assert 0 < x.mean() < 1
    noise = np.ones((8, 2), np.float32)
    mean, logvar = vae.posterior_parameters(x)
    np.testing.assert_array_equal(vae.reconstruct(x), vae.drawn(mean))
    np.testing.assert_array_equal(vae.reconstruct(x, noise), vae.drawn(vae.reparameterize(mean, logvar, noise)))
    np.testing.assert_array_equal(vae.sample(3, seed=5), vae.sample(3, seed=5))
    assert vae.sample(3).shape == (3, 4, 4, 1)


def test_an_autoregressive_model_trains_and_is_saved(tmp_path):
    x, vae = all_images(), small(seed=2, beta=0.5)
    vae.compile(keras.optimizers.Adam(1e-2))
    before = vae.evaluate(x, verbose=0, return_dict=True)["elbo"]
    vae.fit(x, epochs=5, batch_size=8, verbose=0)
    after = vae.evaluate(x, verbose=0, return_dict=True)["elbo"]
    assert after > before
    vae.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (type(loaded), loaded.beta) == (AutoregressiveVAE, 0.5)
    np.testing.assert_array_equal(loaded.log_likelihood(x, np.ones((16, 2))), vae.log_likelihood(x, np.ones((16, 2))))


def test_free_bits_are_saved(tmp_path):
    vae = free(0.7)
    vae.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").free_nats == 0.7


def test_both_together_are_one_model():
    class Both(FreeBitsVAE, AutoregressiveVAE):
        pass

    vae, x = small(), all_images()
    both = Both(vae.encoder, vae.decoder, vae.context, free_nats=3.0)
    measured, plain = (model.objective(x, None, vae.noise(16, 0)) for model in (both, vae))
    np.testing.assert_allclose(measured["elbo"], plain["elbo"], rtol=1e-5)
    assert (measured["loss"].numpy() > plain["loss"].numpy() + 5).all()


def test_a_context_that_sees_its_pixel_is_refused():
    parts = networks.mlp(2, (6,), image_shape=SMALL, seed=0)
    seeing = keras.Sequential([keras.Input(SMALL), keras.layers.Conv2D(1, 3, padding="same")])
    with pytest.raises(ValueError, match="sees a pixel that it is asked about"):
        AutoregressiveVAE(*parts, seeing)
    with pytest.raises(ValueError, match="expected a context network from images"):
        AutoregressiveVAE(*parts, earlier_pixels(2, image_shape=(4, 4, 1)))
    with pytest.raises(ValueError, match="dropout < 1"):
        models.earlier_pixels(dropout=1.0)


def test_a_context_sees_earlier_pixels_alone():
    context = earlier_pixels(4, reach=2, image_shape=(5, 5, 1), seed=0)
    x = np.random.default_rng(0).random((1, 5, 5, 1), dtype=np.float32)
    for place in range(25):
        changed = x.copy()
        changed.reshape(25)[place] += 1
        moved = np.abs(context(changed) - context(x)).reshape(25) > 1e-4
        assert not moved[: place + 1].any()
        assert moved.any() or place == 24


def test_hidden_pixels_are_hidden_in_training_alone():
    context = earlier_pixels(4, reach=1, dropout=0.5, image_shape=SMALL, seed=0)
    x = np.ones((8, *SMALL), np.float32)
    np.testing.assert_array_equal(context(x, training=False), context(x, training=False))
    assert np.ptp(context(x, training=True).numpy()[:, -1, -1]) > 0
