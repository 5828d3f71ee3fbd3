"""The builders: shapes, layer sizes of the sources, and initial weights as a function of the seed."""

import keras
import numpy as np
import policies
import pytest
import tensorflow as tf

from vaecourse import data, networks

SMALL = {
    networks.convolutional: {"filters": (4, 8)},
    networks.pooled: {"filters": (4, 8)},
    networks.mlp: {"hidden": (12, 8)},
}
HALF = pytest.param("bfloat16", marks=pytest.mark.half_precision)
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


@pytest.mark.parametrize("dtype", ["float32", "float64", HALF])
@pytest.mark.parametrize("shape", [(2, 28, 28, 32), (1, 5, 3, 1), (3, 1, 2, 7)], ids=str)
def test_the_layer_to_one_channel_is_a_transposed_convolution(shape, dtype):
    rng = np.random.default_rng(0)
    x, weights = tf.constant(rng.normal(size=shape), dtype), tf.constant(rng.normal(size=(*shape[:3], 1)), dtype)
    kernel = rng.normal(size=(3, 3, 1, shape[-1]))
    results = []
    for build in (networks.ToOneChannel, keras.layers.Conv2DTranspose):
        layer = build(1, 3, padding="same", dtype=dtype)
        layer.build(shape)
        layer.set_weights([kernel, np.array([0.3])])
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x)
            total = tf.reduce_sum(weights * tf.sin(output))
        results.append([output, *tape.gradient(total, [x, layer.kernel.value, layer.bias.value])])
    tolerance = {"float32": 1e-4, "float64": 1e-12, "bfloat16": 0.3}[dtype]
    for ours, theirs in zip(*results, strict=True):
        ours, theirs = tf.cast(ours, "float64"), tf.cast(theirs, "float64")
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())


def gradients_of_upsampling(build, dtype: str, **options):
    """Return output and gradients of a layer, for a loss whose slopes are those of a VAE: small, of either sign."""
    rng = np.random.default_rng(0)
    x = tf.cast(rng.normal(size=(32, 14, 14, 8)), dtype)
    slopes = tf.cast(0.4 + rng.normal(size=(32, 28, 28, 4)), dtype)
    layer = build(4, 3, strides=2, padding="same", dtype=dtype, **options)
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x)
        total = tf.reduce_sum(slopes * output)
    weights = [weight.value for weight in layer.weights]
    return [tf.cast(result, "float64").numpy() for result in (output, *tape.gradient(total, [x, *weights]))]


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "tanh"}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", HALF])
def test_upsampling_is_a_transposed_convolution(dtype, options):
    expected = gradients_of_upsampling(keras.layers.Conv2DTranspose, "float32", **options)
    results = gradients_of_upsampling(networks.Upsampling, dtype, **options)
    for index, (ours, theirs) in enumerate(zip(results, expected, strict=True)):
        tolerance = {"float32": 1e-5, "bfloat16": 0.02}[dtype]
        if dtype == "bfloat16" and index == 2:
            # The gradient of the kernel is left to TensorFlow.  On some processors it adds up the 32 images in half
            # precision, and every addition may be off by a unit of rounding, 2⁻⁸.
            tolerance = 32 * 2**-8
        assert np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs)


@pytest.mark.half_precision
def test_keras_sums_the_gradient_of_a_bias_in_half_precision():
    """The reason for the layer; where this fails, it is no longer needed."""
    dtypes = ("float32", "bfloat16")
    expected, keras_own = (gradients_of_upsampling(keras.layers.Conv2DTranspose, dtype)[-1] for dtype in dtypes)
    assert np.linalg.norm(keras_own - expected) > 0.2 * np.linalg.norm(expected)


def test_the_decoder_of_the_convolutional_networks_has_these_layers_and_survives_saving(tmp_path):
    decoder = networks.convolutional(seed=0)[1]
    kinds = [networks.Upsampling, networks.Upsampling, networks.ToOneChannel]
    assert [type(layer) for layer in decoder.layers[-3:]] == kinds
    decoder.save(tmp_path / "decoder.keras")
    again = keras.saving.load_model(tmp_path / "decoder.keras")
    z = tf.random.stateless_normal((3, 2), (0, 0))
    np.testing.assert_array_equal(again(z), decoder(z))


@pytest.mark.half_precision
@builders
def test_in_mixed_precision_means_and_log_variances_are_not_rounded(builder):
    with policies.built_in("mixed_bfloat16"):
        encoder, _ = builder(2, seed=0, **SMALL[builder])
    output = encoder(tf.random.stateless_uniform((4, 28, 28, 1), (0, 0)))
    assert "bfloat16" in {layer.compute_dtype for layer in encoder.layers}
    assert output.dtype == tf.float32
    assert tf.reduce_any(tf.cast(tf.cast(output, tf.bfloat16), tf.float32) != output)


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


# --- the options of the perceptron --------------------------------------------------------------------------------


def test_initial_weights_can_be_truncated_normal_with_biases_of_choice():
    options = {"hidden": (40, 30), "initial_deviation": 0.1, "initial_bias": 0.1}
    first, again, other = (weights(networks.mlp(20, seed=seed, **options)) for seed in (1, 1, 2))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        if one.ndim == 1:
            np.testing.assert_array_equal(one, np.float32(0.1))
            continue
        assert not np.isclose(one, different).all()
        assert np.abs(one).max() <= 0.2
        # A normal distribution that is cut at two deviations has 0.880 of its deviation, and a kurtosis of 2.37.
        np.testing.assert_allclose(one.std(), 0.08796, rtol=4 * np.sqrt((2.37 - 1) / 4 / one.size))
        assert abs(one.mean()) < 4 * 0.08796 / np.sqrt(one.size)


def test_the_variance_is_the_floor_and_an_exponential():
    floored, plain = (networks.mlp(3, hidden=(), seed=0, variance_floor=floor)[0] for floor in (1e-2, 0.0))
    images = tf.random.stateless_normal((200, 28, 28, 1), (0, 0))
    mean, s = np.split(plain(5 * images).numpy().astype(np.float64), 2, axis=1)
    floored_mean, logvar = np.split(floored(5 * images).numpy(), 2, axis=1)
    np.testing.assert_array_equal(floored_mean, mean)
    np.testing.assert_allclose(np.exp(logvar), 1e-2 + np.exp(s), rtol=1e-4)
    assert s.min() < np.log(1e-2) < s.max()


def test_a_floor_holds_where_the_exponential_is_nothing_and_has_a_gradient_of_its_share():
    floor = networks.VarianceFloor(1e-5)
    parameters = tf.constant([[0.0, 1.0, -200.0, 200.0]])
    np.testing.assert_allclose(floor(parameters), [[0, 1, np.log(1e-5), 200]], rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(floor))
    assert type(again) is networks.VarianceFloor
    assert again.floor == 1e-5
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="positive floor"):
            networks.VarianceFloor(bad)


@pytest.mark.parametrize("conditional", [False, True])
def test_classes_are_further_inputs(conditional):
    encoder, decoder = networks.mlp(3, hidden=(6,), classes=10, conditional=conditional)
    assert decoder.input_shape == (None, 13)
    assert encoder.output_shape == (None, 6)
    assert [tuple(value.shape) for value in encoder.inputs] == [(None, 28, 28, 1), (None, 10)][: 1 + conditional]
    assert encoder.count_params() == dense(784 + 10 * conditional, 6) + dense(6, 6)
    assert decoder.count_params() == dense(13, 6) + dense(6, 784)


def test_an_encoder_that_is_told_the_class_reads_the_image_as_one_that_is_not():
    encoder, _ = networks.mlp(3, hidden=(6,), classes=10, conditional=True, seed=0)
    image, condition = tf.ones((1, 28, 28, 1)), tf.eye(10)
    outputs = encoder([tf.repeat(image, 10, axis=0), condition]).numpy()
    assert len(np.unique(outputs.round(6), axis=0)) == 10
    kernel, bias = encoder.get_weights()[:2]
    hidden = 1 / (1 + np.exp(-(kernel[:784].sum(axis=0) + kernel[784:] + bias)))  # the class after the pixels
    np.testing.assert_allclose(outputs, hidden @ encoder.get_weights()[2], rtol=1e-4, atol=1e-5)


def test_a_conditional_encoder_needs_classes():
    with pytest.raises(ValueError, match="needs classes, got classes=0"):
        networks.mlp(2, conditional=True)


# --- classifiers --------------------------------------------------------------------------------------------------


def test_the_three_networks_are_those_of_their_source():
    encoder, decoder, classifier = networks.mlp_with_classifier()
    assert encoder.count_params() == dense(784, 128) + dense(128, 20)
    assert decoder.count_params() == dense(20, 128) + dense(128, 784)
    assert classifier.count_params() == dense(784, 128) + dense(128, 10)
    activations = [[layer.activation for layer in network.layers if layer.weights] for network in (encoder, classifier)]
    assert activations == 2 * [[keras.activations.sigmoid, keras.activations.linear]]


def test_a_classifier_beside_the_networks_leaves_them_as_they_are_and_has_weights_of_its_own():
    options = {"hidden": (6,), "seed": 4, "variance_floor": 1e-5, "initial_deviation": 0.1}
    encoder, decoder, classifier = networks.mlp_with_classifier(3, **options)
    for one, same in zip(weights((encoder, decoder)), weights(networks.mlp(3, classes=10, **options)), strict=True):
        np.testing.assert_array_equal(one, same)
    again, other = (networks.mlp_with_classifier(3, **options | {"seed": seed})[2] for seed in (4, 5))
    for one, same, different in zip(*(network.get_weights() for network in (classifier, again, other)), strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim == 1 or not np.isclose(one, different).all()
    assert not np.isclose(classifier.get_weights()[0], encoder.get_weights()[0]).all()


@pytest.mark.parametrize(("classes", "image_shape"), [(10, (28, 28, 1)), (3, (8, 12, 2))])
def test_the_convolutional_classifier_returns_logits_as_a_function_of_the_seed(classes, image_shape):
    height, width, channels = image_shape
    first, again, other = (networks.convolutional_classifier(classes, image_shape, seed) for seed in (1, 1, 2))
    assert first(tf.zeros((2, *image_shape))).shape == (2, classes)
    assert first.layers[-1].activation is keras.activations.linear
    pooled = height // 4 * (width // 4) * 64
    assert first.count_params() == convolution(channels, 32) + convolution(32, 64) + dense(pooled, classes)
    for one, same, different in zip(*(network.get_weights() for network in (first, again, other)), strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim == 1 or not np.isclose(one, different).all()
    with pytest.raises(ValueError, match="multiples of 4"):
        networks.convolutional_classifier(image_shape=(28, 30, 1))
