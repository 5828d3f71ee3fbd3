"""Networks for models whose latents are no single vector: a denoiser, and coders of places."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from vaecourse.data import IMAGE_SHAPE, amounts
from vaecourse.models.layers import full_precision


def denoiser(
    hidden: Sequence[int] = (500, 500), image_shape: tuple[int, int, int] = IMAGE_SHAPE, seed: int = 0
) -> keras.Model:
    """Build the network of a :class:`~vaecourse.models.DiffusionVAE` from a perceptron.

    Every hidden layer is told ln SNR, by a few waves of it of different lengths.  The last layer begins at zero, at the
    guess of pixels that know nothing of each other.

    Parameters
    ----------
    hidden : sequence of int
        Widths of the hidden layers.
    image_shape : (height, width, channels)
    seed : int
        The initial weights are a function of it.

    Raises
    ------
    ValueError
        If there is no hidden layer, or the shape is not one of images.
    """
    _check(hidden, image_shape)
    z, log_snr = keras.Input(image_shape), keras.Input((1,))
    waves = [scale * log_snr for scale in (0.1, 0.25, 0.5)]
    told = layers.Concatenate()([0.1 * log_snr, *map(keras.ops.sin, waves), *map(keras.ops.cos, waves)])
    features = layers.Flatten()(z)
    for index, width in enumerate(hidden):
        seen, said = (_dense(width, 1000 * seed + 2 * index + part) for part in (0, 1))
        features = layers.Activation("gelu")(seen(features) + said(told))
    last = layers.Dense(math.prod(image_shape), kernel_initializer="zeros", **full_precision())
    return keras.Model([z, log_snr], layers.Reshape(image_shape)(last(features)), name="denoiser")


def vector_mlp(
    places: int = 16,
    vector_dim: int = 8,
    hidden: Sequence[int] = (200, 200),
    activation: str = "relu",
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """Build encoder and decoder of a :class:`~vaecourse.models.VectorQuantizedVAE` from perceptrons.

    Parameters
    ----------
    places : int
        N, how many entries of the codebook describe an image.
    vector_dim : int
        D, the length of an entry.
    hidden : sequence of int
        Widths of the hidden layers; the decoder has them in reverse.
    activation : str
    image_shape : (height, width, channels)
    seed : int
        The initial weights are a function of it.

    Raises
    ------
    ValueError
        If there is no place, vector or hidden layer, or the shape is not one of images.
    """
    _check(hidden, image_shape)
    _check((places, vector_dim), image_shape)
    encoder = keras.Sequential([keras.Input(image_shape), layers.Flatten()], name="encoder")
    decoder = keras.Sequential([keras.Input((places, vector_dim)), layers.Flatten()], name="decoder")
    for index, width in enumerate(hidden):
        encoder.add(_dense(width, 1000 * seed + index, activation))
        decoder.add(_dense(hidden[-1 - index], 1000 * seed + 100 + index, activation))
    encoder.add(_dense(places * vector_dim, 1000 * seed + 50))
    encoder.add(layers.Reshape((places, vector_dim)))
    decoder.add(_dense(math.prod(image_shape), 1000 * seed + 150))
    decoder.add(layers.Reshape(image_shape))
    return encoder, decoder


def _dense(width: int, seed: int, activation: str | None = None) -> layers.Dense:
    return layers.Dense(width, activation, kernel_initializer=keras.initializers.GlorotUniform(seed))


def _check(numbers: Sequence[int], image_shape: tuple[int, int, int]) -> None:
    if not numbers or min(numbers) < 1:
        raise ValueError(f"expected at least one layer, and widths of at least one, got {tuple(numbers)}")
    amounts.image_shape(image_shape)
