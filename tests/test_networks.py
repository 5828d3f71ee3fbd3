"""The builders: shapes, layer sizes of the sources, and initial weights as a function of the seed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vaecourse import data, networks

SMALL = {
    networks.convolutional: {"filters": (4, 8)},
    networks.pooled: {"filters": (4, 8)},
    networks.mlp: {"hidden": (12, 8)},
}
builders = pytest.mark.parametrize("builder", SMALL, ids=lambda builder: builder.__name__)


def convolution(inputs: int, outputs: int) -> int:
    return 3 * 3 * inputs * outputs + outputs


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


@builders
@pytest.mark.parametrize("latent_dim", [1, 2, 7])
@pytest.mark.parametrize("image_shape", [(28, 28, 1), (12, 8, 3)])
def test_the_encoder_ends_in_two_numbers_for_each_latent_and_the_decoder_in_an_image(builder, latent_dim, image_shape):
    encoder, decoder = builder(latent_dim, image_shape=image_shape, **SMALL[builder])
    assert encoder.output_shape == (None, 2 * latent_dim)
    assert encoder.input_shape == decoder.output_shape == (None, *image_shape)
    assert decoder(encoder(tf.zeros((3, *image_shape)))[:, :latent_dim]).shape == (3, *image_shape)


@builders
def test_the_output_is_raw(builder):
    for network in builder(2, **SMALL[builder]):
        last = [layer for layer in network.layers if layer.weights][-1]
        assert last.activation is keras.activations.linear


def test_the_convolutional_network_is_that_of_the_tutorial_of_tensorflow():
    encoder, decoder = networks.convolutional()
    assert encoder.count_params() == convolution(1, 32) + convolution(32, 64) + dense(6 * 6 * 64, 4)
    assert decoder.count_params() == (
        dense(2, 7 * 7 * 32) + convolution(32, 64) + convolution(64, 32) + convolution(32, 1)
    )


def test_the_pooled_network_is_that_of_its_source():
    encoder, decoder = networks.pooled()
    assert encoder.count_params() == (
        convolution(1, 16) + convolution(16, 16) + convolution(16, 32) + dense(7 * 7 * 32, 32) + dense(32, 4)
    )
    assert decoder.count_params() == (
        dense(2, 7 * 7 * 32) + convolution(32, 32) + convolution(32, 16) + convolution(16, 1)
    )


def test_the_multilayer_perceptron_is_that_of_its_source():
    encoder, decoder = networks.mlp()
    assert encoder.count_params() == dense(784, 500) + dense(500, 500) + dense(500, 40)
    assert decoder.count_params() == dense(20, 500) + dense(500, 500) + dense(500, 784)
    hidden = [layer for network in (encoder, decoder) for layer in network.layers if layer.weights]
    assert sum(layer.activation is keras.activations.sigmoid for layer in hidden) == 4


@builders
def test_images_are_those_of_mnist_unless_another_shape_is_asked_for(builder):
    encoder, decoder = builder(2, **SMALL[builder])
    assert encoder.input_shape == decoder.output_shape == (None, *data.IMAGE_SHAPE) == (None, 28, 28, 1)


def weights(pair) -> list[np.ndarray]:
    return [weight for network in pair for weight in network.get_weights()]


@builders
def test_initial_weights_are_a_function_of_the_seed(builder):
    first, again, other = (weights(builder(2, seed=seed, **SMALL[builder])) for seed in (1, 1, 2))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        if one.ndim == 1:
            np.testing.assert_array_equal(one, 0)
        else:
            assert not np.isclose(one, different).all()


@builders
def test_initial_kernels_are_glorot_uniform_and_differ_between_layers(builder):
    kernels = [weight for weight in weights(builder(2, seed=0, **SMALL[builder])) if weight.ndim > 1]
    for kernel in kernels:
        *receptive, inputs, outputs = kernel.shape
        limit = np.sqrt(6 / (np.prod(receptive, dtype=int) * (inputs + outputs)))
        assert np.abs(kernel).max() <= limit
        # The standard deviation of n uniform draws is 1/√3 of the limit, within a relative 0.45/√n at one sigma.
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=4 * 0.45 / np.sqrt(kernel.size))
    heads = [tuple(kernel.ravel()[:4] / np.abs(kernel).max()) for kernel in kernels]
    assert len(set(heads)) == len(heads)


@builders
def test_without_a_seed_initial_weights_come_from_the_generator_of_keras(builder):
    def after_seeding():
        keras.utils.set_random_seed(5)
        return weights(builder(2, **SMALL[builder])), weights(builder(2, **SMALL[builder]))

    (first, second), (again, _) = after_seeding(), after_seeding()
    for one, next_one, same in zip(first, second, again, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim == 1 or not np.isclose(one, next_one).all()


@builders
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 0}, "at least one latent"),
        ({"image_shape": (28, 28)}, "height, width, channels"),
        ({"image_shape": (28, 0, 1)}, "height, width, channels"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(builder, options, message):
    with pytest.raises(ValueError, match=message):
        builder(**options)


@pytest.mark.parametrize("builder", [networks.convolutional, networks.pooled])
def test_images_that_cannot_be_halved_twice_are_refused(builder):
    with pytest.raises(ValueError, match="multiples of 4, got"):
        builder(image_shape=(28, 30, 1))
