"""Small residual networks of images, whose decoder enlarges by resizing or by transposed convolutions.

The builder returns `(encoder, decoder)` as those of :mod:`vaecourse.models.networks` do.
"""

import itertools
from collections.abc import Sequence

import keras
from keras import layers

from vaecourse.data import amounts
from vaecourse.data.names import known
from vaecourse.models.layers import full_precision

UPSAMPLINGS = ("resize", "transposed")
"""How a decoder may double the size of an image."""

_FACTOR = 4  # images are halved, and doubled, twice


def residual_networks(
    latent_dim: int = 32,
    filters: Sequence[int] = (16, 32),
    image_shape: tuple[int, int, int] = (32, 32, 3),
    seed: int | None = None,
    *,
    blocks: int = 1,
    upsampling: str = "resize",
) -> tuple[keras.Model, keras.Model]:
    r"""Build an encoder and a decoder with residual blocks :cite:p:`he2016`: blocks that add to what they are given.

    A block returns h + conv(relu(conv(relu(h)))).  Its second kernel begins at zero, so that a new block is the
    identity, and a deep network begins as a shallow one.

    Parameters
    ----------
    latent_dim : int
        Number of latents, `d`.
    filters : (int, int)
        Channels at half and at a quarter of the size; the decoder has them in reverse, and at full size as many as at
        half.
    image_shape : (height, width, channels)
        Height and width must be multiples of 4.
    seed : int, optional
        Of which the initial weights are a function; otherwise they come from Keras' global generator.
    blocks : int
        Residual blocks at half and at a quarter of the size, in the encoder and in the decoder; 0 leaves them out.
    upsampling : {"resize", "transposed"}
        How the decoder doubles a size.  A transposed convolution of 3×3 pixels and stride 2 gives neighboring pixels
        different numbers of terms, and may leave a checkerboard :cite:p:`odena2016`; to repeat every pixel and then to
        convolve with stride 1 does not.

    Returns
    -------
    encoder, decoder : keras.Model
        From images `(batch, height, width, channels)` to mean and log-variance side by side, `(batch, 2·d)`; and from
        latents `(batch, d)` to the raw parameters of p(x|z), of the shape of an image.

    Raises
    ------
    ValueError
        If there is no latent, not two numbers of filters, a negative number of blocks, no such upsampling, or the
        images cannot be halved twice.
    """
    _check(latent_dim, filters, image_shape, blocks)
    known(upsampling, UPSAMPLINGS, "upsampling")
    build = _Layers(seed, blocks)
    height, width, channels = image_shape
    first, second = filters
    image = keras.Input(image_shape)
    h = build.blocks(build.convolution(first, strides=2)(image))
    h = build.blocks(build.convolution(second, strides=2)(layers.ReLU()(h)))
    h = layers.Flatten()(layers.ReLU()(h))
    encoder = keras.Model(image, build.dense(2 * latent_dim, **full_precision())(h), name="encoder")
    z = keras.Input((latent_dim,))
    quarter = height // _FACTOR, width // _FACTOR, second
    h = layers.Reshape(quarter)(build.dense(quarter[0] * quarter[1] * second)(z))
    h = build.enlarged(build.blocks(h), first, upsampling)
    h = build.enlarged(build.blocks(h), first, upsampling)
    decoder = keras.Model(z, build.convolution(channels)(layers.ReLU()(h)), name="decoder")
    return encoder, decoder


class _Layers:
    """Makes layers whose initial kernels are functions of a seed and of their number."""

    def __init__(self, seed: int | None, blocks: int) -> None:
        self.seed, self.count, self.number = seed, blocks, itertools.count()

    def kernel(self) -> keras.initializers.Initializer:
        number = next(self.number)
        return keras.initializers.GlorotUniform(None if self.seed is None else 1000 * self.seed + number)

    def dense(self, width: int, **options: str) -> layers.Dense:
        return layers.Dense(width, kernel_initializer=self.kernel(), **options)

    def convolution(self, filters: int, strides: int = 1, zero: bool = False) -> layers.Conv2D:
        initializer = "zeros" if zero else self.kernel()
        return layers.Conv2D(filters, 3, strides=strides, padding="same", kernel_initializer=initializer)

    def blocks(self, h: keras.KerasTensor) -> keras.KerasTensor:
        filters = h.shape[-1]
        for _ in range(self.count):
            change = self.convolution(filters)(layers.ReLU()(h))
            change = self.convolution(filters, zero=True)(layers.ReLU()(change))
            h = layers.Add()([h, change])
        return h

    def enlarged(self, h: keras.KerasTensor, filters: int, upsampling: str) -> keras.KerasTensor:
        h = layers.ReLU()(h)
        if upsampling == "resize":
            return self.convolution(filters)(layers.UpSampling2D(2, interpolation="nearest")(h))
        kernel = self.kernel()
        return layers.Conv2DTranspose(filters, 3, strides=2, padding="same", kernel_initializer=kernel)(h)


def _check(latent_dim: int, filters: Sequence[int], image_shape: tuple[int, int, int], blocks: int) -> None:
    amounts.count(latent_dim, "latent")
    amounts.image_shape(image_shape, multiple=_FACTOR)
    if len(filters) != 2 or min(filters) < 1:
        raise ValueError(f"expected two positive numbers of filters, got {tuple(filters)}")
    if blocks < 0:
        raise ValueError(f"expected 0 or more blocks, got {blocks}")
