"""Keras encoders and decoders: one builder for each architecture of the sources.

Every builder returns `(encoder, decoder)`.  The encoder maps images `(batch, 28, 28, 1)` to `(batch, 2·d)`: the mean
and the log-variance of q(z|x), side by side.  The decoder maps `z` `(batch, d)` to the raw parameters of p(x|z), of
the shape of an image: a likelihood decides what they mean.

With a `seed` the initial weights are a function of it; otherwise they come from Keras' global generator.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from vaecourse.data import IMAGE_SHAPE, amounts
from vaecourse.models.layers import ToOneChannel, Upsampling, VarianceFloor, full_precision


def convolutional(
    latent_dim: int = 2,
    filters: Sequence[int] = (32, 64),
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Build the network of TensorFlow's tutorial :cite:p:`tfcvae`: strided convolutions down, transposed ones up.

    Parameters
    ----------
    latent_dim : int
        Number of latents, `d`.
    filters : (int, int)
        Channels of the two convolutions; the decoder mirrors them.
    image_shape : (height, width, channels)
        Height and width must be multiples of 4.
    seed : int, optional

    Raises
    ------
    ValueError
        If there is no latent, or the images cannot be halved twice.
    """
    amounts.count(latent_dim, "latent")
    amounts.image_shape(image_shape, multiple=4)
    first, second = filters
    encoder = keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(first, 3, strides=2, activation="relu"),
            layers.Conv2D(second, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(2 * latent_dim, **full_precision()),
        ],
        name="encoder",
    )
    return _seeded((encoder, _upsampling_decoder(latent_dim, (first, second, first), image_shape)), seed)


def pooled(
    latent_dim: int = 2,
    filters: Sequence[int] = (16, 32),
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Build the network of :cite:t:`theailearner`: convolutions and pooling down, transposed convolutions up.

    The output is raw; the rectifier of the source belongs to its likelihood.  For the rest see :func:`convolutional`.
    """
    amounts.count(latent_dim, "latent")
    amounts.image_shape(image_shape, multiple=4)
    first, second = filters
    encoder = keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(first, 3, padding="same", activation="relu"),
            layers.Conv2D(first, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(second, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(2 * latent_dim, **full_precision()),
        ],
        name="encoder",
    )
    return _seeded((encoder, _upsampling_decoder(latent_dim, (second, second, first), image_shape)), seed)


def mlp(
    latent_dim: int = 20,
    hidden: Sequence[int] = (500, 500),
    activation: str = "sigmoid",
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int | None = None,
    *,
    initial_deviation: float | None = None,
    initial_bias: float = 0.0,
    variance_floor: float = 0.0,
    classes: int = 0,
    conditional: bool = False,
) -> tuple[keras.Model, keras.Model]:
    """Build a multilayer perceptron: 500–500 in :cite:t:`zoltowski`, 128 in :cite:t:`zeldes`.

    Parameters
    ----------
    latent_dim : int
        Number of latents, `d`.
    hidden : sequence of int
        Widths of the hidden layers; the decoder has them in reverse.
    activation : str
        Of the hidden layers.
    image_shape : (height, width, channels)
    seed : int, optional
    initial_deviation : float, optional
        Of initial weights from a normal distribution truncated at two deviations; without it, Glorot's rule holds.
    initial_bias : float
        What the biases begin with.
    variance_floor : float
        What is added to the exponential to give the variance, 10⁻⁵ in :cite:t:`zeldes`.
    classes : int
        How many inputs the decoder has beside the latents.
    conditional : bool
        Whether the encoder takes `classes` numbers, too.

    Raises
    ------
    ValueError
        If there is no latent, the shape is not one of images, the floor is not a finite number from 0 on, or a
        conditional encoder has no classes.
    """
    amounts.count(latent_dim, "latent")
    amounts.image_shape(image_shape)
    floor = amounts.amount(variance_floor, "variance floor", 0)
    if conditional and not classes:
        raise ValueError("a conditional encoder needs classes, got classes=0")

    def dense(width: int, **options: Any) -> layers.Dense:
        return layers.Dense(width, bias_initializer=keras.initializers.Constant(initial_bias), **options)

    image = keras.Input(image_shape)
    condition = [keras.Input((classes,))] if conditional else []
    features = layers.Flatten()(image)
    if conditional:
        features = layers.Concatenate()([features, *condition])
    for width in hidden:
        features = dense(width, activation=activation)(features)
    parameters = dense(2 * latent_dim, **full_precision())(features)
    if floor:
        parameters = VarianceFloor(floor)(parameters)
    encoder = keras.Model([image, *condition] if conditional else image, parameters, name="encoder")
    decoder = keras.Sequential(
        [
            keras.Input((latent_dim + classes,)),
            *(dense(width, activation=activation) for width in reversed(hidden)),
            dense(math.prod(image_shape)),
            layers.Reshape(image_shape),
        ],
        name="decoder",
    )
    return _seeded((encoder, decoder), seed, initial_deviation)


def mlp_with_classifier(
    latent_dim: int = 10,
    hidden: Sequence[int] = (128,),
    activation: str = "sigmoid",
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int | None = None,
    *,
    classes: int = 10,
    **options: Any,
) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Build the three networks of :cite:t:`zeldes`: those of :func:`mlp`, and a classifier with hidden layers alike.

    Parameters and errors as for :func:`mlp`.  The classifier returns logits `(batch, classes)`.
    """
    encoder, decoder = mlp(latent_dim, hidden, activation, image_shape, seed, classes=classes, **options)
    classifier = keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Flatten(),
            *(layers.Dense(width, activation=activation) for width in hidden),
            layers.Dense(classes),
        ],
        name="classifier",
    )
    _seeded((classifier,), None if seed is None else seed + _CLASSIFIER_SEED)
    return encoder, decoder, classifier


def convolutional_classifier(
    classes: int = 10, image_shape: tuple[int, int, int] = IMAGE_SHAPE, seed: int | None = None
) -> keras.Model:
    """Build a small convolutional classifier, which returns logits: a judge of images that no VAE has trained.

    In training, half of its last features are dropped at random.
    """
    amounts.image_shape(image_shape, multiple=4)
    classifier = keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5, seed=seed),
            layers.Dense(classes),
        ],
        name="classifier",
    )
    return _seeded((classifier,), seed)[0]


_CLASSIFIER_SEED = 500_000  # its initial weights shall not be those of the encoder


def _upsampling_decoder(latent_dim: int, filters: Sequence[int], image_shape: tuple[int, int, int]) -> keras.Model:
    """Build a decoder that begins at a quarter of the size and doubles it twice."""
    height, width, channels = image_shape
    first, second, third = filters
    last = ToOneChannel if channels == 1 else layers.Conv2DTranspose
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(height // 4 * (width // 4) * first, activation="relu"),
            layers.Reshape((height // 4, width // 4, first)),
            Upsampling(second, 3, strides=2, padding="same", activation="relu"),
            Upsampling(third, 3, strides=2, padding="same", activation="relu"),
            last(channels, 3, padding="same"),
        ],
        name="decoder",
    )


def _seeded(built: tuple[keras.Model, ...], seed: int | None, deviation: float | None = None) -> tuple:
    """Draw the kernels anew as a function of the seed: by Glorot's rule, or truncated normal of this deviation."""
    kernels = [layer.kernel for network in built for layer in network.layers if hasattr(layer, "kernel")]
    for index, kernel in enumerate(kernels if seed is not None or deviation is not None else ()):
        drawn_from = None if seed is None else 1000 * seed + index
        glorot = keras.initializers.GlorotUniform(drawn_from)
        initializer = glorot if deviation is None else keras.initializers.TruncatedNormal(0.0, deviation, drawn_from)
        kernel.assign(initializer(kernel.shape))
    return built
