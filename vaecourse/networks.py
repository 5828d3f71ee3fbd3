"""Keras encoders and decoders: one builder for each architecture of the sources.

Every builder returns `(encoder, decoder)`.  The encoder maps images `(batch, 28, 28, 1)` to `(batch, 2·d)`: the mean
and the log-variance of q(z|x), side by side.  The decoder maps `z` `(batch, d)` to the raw parameters of p(x|z), of
the shape of an image: a likelihood decides what they mean.

With a `seed` the initial weights are a function of it; otherwise they come from Keras' global generator.
"""

import math
from collections.abc import Sequence

import keras
from keras import layers

from vaecourse.data import IMAGE_SHAPE


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
        If there is no latent, or the shape is not one of images that can be halved twice.
    """
    _check(latent_dim, image_shape, multiple=4)
    height, width, channels = image_shape
    first, second = filters
    encoder = keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(first, 3, strides=2, activation="relu"),
            layers.Conv2D(second, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(2 * latent_dim),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(height // 4 * (width // 4) * first, activation="relu"),
            layers.Reshape((height // 4, width // 4, first)),
            layers.Conv2DTranspose(second, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(first, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(channels, 3, padding="same"),
        ],
        name="decoder",
    )
    return _seeded(encoder, decoder, seed)


def pooled(
    latent_dim: int = 2,
    filters: Sequence[int] = (16, 32),
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Build the network of :cite:t:`theailearner`: convolutions and pooling down, transposed convolutions up.

    The output is raw; the rectifier that the source puts there belongs to its likelihood.  Parameters and errors as for
    :func:`convolutional`.
    """
    _check(latent_dim, image_shape, multiple=4)
    height, width, channels = image_shape
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
            layers.Dense(2 * latent_dim),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(height // 4 * (width // 4) * second, activation="relu"),
            layers.Reshape((height // 4, width // 4, second)),
            layers.Conv2DTranspose(second, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(first, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(channels, 3, padding="same"),
        ],
        name="decoder",
    )
    return _seeded(encoder, decoder, seed)


def mlp(
    latent_dim: int = 20,
    hidden: Sequence[int] = (500, 500),
    activation: str = "sigmoid",
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int | None = None,
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

    Raises
    ------
    ValueError
        If there is no latent, or the shape is not one of images.
    """
    _check(latent_dim, image_shape)
    encoder = keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Flatten(),
            *(layers.Dense(width, activation=activation) for width in hidden),
            layers.Dense(2 * latent_dim),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            *(layers.Dense(width, activation=activation) for width in reversed(hidden)),
            layers.Dense(math.prod(image_shape)),
            layers.Reshape(image_shape),
        ],
        name="decoder",
    )
    return _seeded(encoder, decoder, seed)


def _seeded(encoder: keras.Model, decoder: keras.Model, seed: int | None) -> tuple[keras.Model, keras.Model]:
    """Draw the kernels anew, by Keras' default initializer but as a function of the seed."""
    if seed is not None:
        kernels = [
            layer.kernel for network in (encoder, decoder) for layer in network.layers if hasattr(layer, "kernel")
        ]
        for index, kernel in enumerate(kernels):
            kernel.assign(keras.initializers.GlorotUniform(1000 * seed + index)(kernel.shape))
    return encoder, decoder


def _check(latent_dim: int, image_shape: tuple[int, int, int], multiple: int = 1) -> None:
    if latent_dim < 1:
        raise ValueError(f"expected at least one latent, got latent_dim={latent_dim}")
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"expected an image shape (height, width, channels), got {image_shape}")
    if image_shape[0] % multiple or image_shape[1] % multiple:
        raise ValueError(f"expected height and width in multiples of {multiple}, got {image_shape}")
