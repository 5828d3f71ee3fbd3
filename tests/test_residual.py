"""Residual networks: shapes, sizes, a block that begins as the identity, seeds, saving, and how a decoder enlarges."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from vaecourse import VAE, measures, models, training
from vaecourse.models import residual_networks

SMALL = {"latent_dim": 3, "filters": (4, 6), "image_shape": (8, 12, 3)}


def convolution(inputs: int, outputs: int) -> int:
    return 3 * 3 * inputs * outputs + outputs


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


@pytest.mark.parametrize("upsampling", models.UPSAMPLINGS)
@pytest.mark.parametrize("image_shape", [(28, 28, 1), (12, 8, 3)])
def test_the_encoder_ends_in_two_numbers_for_each_latent_and_the_decoder_in_an_image(upsampling, image_shape):
    encoder, decoder = residual_networks(5, (4, 6), image_shape, upsampling=upsampling)
    assert encoder.input_shape == decoder.output_shape == (None, *image_shape)
    assert (encoder.output_shape, decoder.input_shape) == ((None, 10), (None, 5))
    assert decoder(encoder(tf.zeros((2, *image_shape)))[:, :5]).shape == (2, *image_shape)


@pytest.mark.parametrize("upsampling", models.UPSAMPLINGS)
@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_the_sizes_are_those_of_the_layers(upsampling, blocks):
    encoder, decoder = residual_networks(**SMALL, blocks=blocks, upsampling=upsampling)
    inside = 2 * blocks * (convolution(4, 4) + convolution(6, 6))
    assert encoder.count_params() == convolution(3, 4) + convolution(4, 6) + dense(2 * 3 * 6, 6) + inside
    enlarging = convolution(6, 4) + convolution(4, 4)
    assert decoder.count_params() == dense(3, 2 * 3 * 6) + enlarging + convolution(4, 3) + inside


def test_new_blocks_are_the_identity_and_trained_ones_are_not():
    x = np.random.default_rng(0).random((4, 8, 12, 3)).astype(np.float32)
    plain, deep = (residual_networks(**SMALL, blocks=blocks)[0] for blocks in (0, 2))
    kernels = [layer for layer in plain.layers if hasattr(layer, "kernel")]
    assert len(kernels) == 3
    ends = [layer for layer in deep.layers if isinstance(layer, layers.Dense) or _strided(layer)]
    for ours, theirs in zip(kernels, ends, strict=True):
        theirs.set_weights(ours.get_weights())
    np.testing.assert_array_equal(plain(x), deep(x))
    zero = [layer for layer in deep.layers if hasattr(layer, "kernel") and not np.any(layer.get_weights()[0])]
    assert len(zero) == 4
    zero[0].kernel.assign(tf.ones_like(zero[0].kernel))
    assert np.abs(plain(x) - deep(x)).max() > 1e-3


def _strided(layer: layers.Layer) -> bool:
    return isinstance(layer, layers.Conv2D) and layer.strides == (2, 2)


@pytest.mark.parametrize("upsampling", models.UPSAMPLINGS)
def test_initial_weights_are_a_function_of_the_seed(upsampling):
    first, again, other = (
        [w for part in residual_networks(**SMALL, seed=seed, upsampling=upsampling) for w in part.get_weights()]
        for seed in (1, 1, 2)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    drawn = [(one, two) for one, two in zip(first, other, strict=True) if np.any(one)]
    assert drawn
    assert all(np.any(one != two) for one, two in drawn)
    keras.utils.set_random_seed(3)
    unseeded = [residual_networks(**SMALL)[0].get_weights()[0] for _ in range(2)]
    assert np.any(unseeded[0] != unseeded[1])


def test_how_a_decoder_enlarges():
    kinds = {
        how: [type(layer) for layer in residual_networks(**SMALL, upsampling=how)[1].layers]
        for how in models.UPSAMPLINGS
    }
    assert kinds["resize"].count(layers.UpSampling2D) == kinds["transposed"].count(layers.Conv2DTranspose) == 2
    assert layers.Conv2DTranspose not in kinds["resize"]
    assert layers.UpSampling2D not in kinds["transposed"]


@pytest.mark.parametrize("upsampling", models.UPSAMPLINGS)
def test_equal_weights_leave_a_grid_by_transposed_convolutions_and_none_by_resizing(upsampling):
    """With all kernels equal a transposed convolution adds 1, 2 or 4 terms, in turns; resizing always adds nine."""
    _, decoder = residual_networks(1, (2, 2), (32, 32, 1), blocks=0, upsampling=upsampling)
    for layer in decoder.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(tf.ones_like(layer.kernel))
    image = decoder(tf.ones((1, 1))).numpy()
    inside = (image / image.max())[:, 8:-8, 8:-8]  # at the border every convolution lacks terms
    energy = measures.checkerboard_energy(inside)[0]
    assert energy > 1e-3 if upsampling == "transposed" else energy < 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 0}, "at least one latent, got 0"),
        ({"filters": (4,)}, r"two positive numbers of filters, got \(4,\)"),
        ({"filters": (4, 0)}, "two positive numbers of filters"),
        ({"blocks": -1}, "0 or more blocks, got -1"),
        ({"image_shape": (8, 12)}, r"image shape \(height, width, channels\), got \(8, 12\)"),
        ({"image_shape": (8, 10, 3)}, "multiples of 4"),
        ({"upsampling": "bicubic"}, "unknown upsampling 'bicubic'; there are resize, transposed"),
    ],
)
def test_other_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        residual_networks(**{**SMALL, **change})


def test_a_model_of_them_is_trained_saved_and_loaded(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 12, 3)).astype(np.float32) / np.float32(255)
    vae = VAE(*residual_networks(**SMALL, seed=0), likelihood="discretized_logistic")
    vae.compile(training.Adam(1e-2))
    losses = vae.fit(images, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    vae.save(tmp_path / "residual.keras")
    loaded = keras.saving.load_model(tmp_path / "residual.keras")
    assert measures.elbo(loaded, images) == measures.elbo(vae, images)
