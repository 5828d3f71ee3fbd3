"""A decoder that also sees the earlier pixels of the image: strong enough to do without the latents."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from vaecourse.data import IMAGE_SHAPE
from vaecourse.models import likelihoods
from vaecourse.models.vae import VAE
from vaecourse.training.inputs import Array

tfd = tfp.distributions


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class AutoregressiveVAE(VAE):
    r"""VAE whose pixels depend on the latents and on the pixels before them, row by row :cite:p:`gulrajani2017`.

    The decoder's output for the latents and that of a context network for the image are added, and give

    .. math:: \log p(x|z) = \sum_i \log p(x_i | x_{<i}, z).

    What neighboring pixels say about each other need not pass through z, so that little of it may be used: that is
    posterior collapse :cite:p:`bowman2016`.

    Parameters
    ----------
    encoder, decoder : keras.Model
        As for :class:`~vaecourse.models.VAE`.
    context : keras.Model
        Maps images to tensors of the shape of the decoder's output.  What it returns for a pixel may depend on the
        pixels in the rows above, and to the left in the same row, alone; :func:`earlier_pixels` builds one.
    likelihood : str or likelihoods.Likelihood
    **options
        As for :class:`~vaecourse.models.VAE`.

    Raises
    ------
    ValueError
        If the shapes do not fit, or the context network sees the pixel itself or one after it.

    Notes
    -----
    Pixels are drawn one after the other, so :meth:`sample` and :meth:`reconstruct` return draws from p(x|z), not mean
    images: the mean of a pixel depends on what was drawn before it.  Every pixel is a function of the earlier ones and
    of noise of its own.  So all are drawn at once, from an image of zeros, and again with the same noise from the image
    that came out, until none changes: after t rounds the first t pixels are final.
    """

    _parts = ("encoder", "decoder", "context", "likelihood")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        context: keras.Model,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        **options: Any,
    ) -> None:
        self.context: keras.Model = context
        _check_context(context, decoder.output_shape[1:])
        super().__init__(encoder, decoder, likelihood, **options)

    def decode(self, z: Array, y: Array | None = None) -> tfp.distributions.Autoregressive:
        """Return p(x|z) for latents `(..., d)`: `log_prob` of images and `sample`; the mean is not known."""
        output = self._decoder_output(z, self.checked_labels(y))

        def given(x: tf.Tensor) -> tfp.distributions.Distribution:
            return self.likelihood.distribution(output + self._context_output(x))

        return tfd.Autoregressive(given, tf.zeros_like(output), num_steps=output.shape[-3] * output.shape[-2])

    def log_likelihood(self, x: Array, z: Array, y: Array | None = None, training: bool = False) -> tf.Tensor:
        """Return log p(x|z) of images `(batch, ...)` at latents `(..., batch, d)`: `(..., batch)`, in nats."""
        x = tf.cast(x, self.variable_dtype)
        output = self._decoder_output(z, y, training) + self._context_output(x, training)
        return self.likelihood.log_prob(output, x)

    def sample(self, n: int, seed: int = 0, y: Array | None = None) -> tf.Tensor:
        """Draw `n` latents from the prior, and an image from each; `(n, height, width, channels)`."""
        z = self.prior_distribution(y).sample(n, seed=tf.constant((seed, n)))
        return self.drawn(z, seed, y)

    def reconstruct(
        self, x: Array, eps: Array | None = None, y: Array | None = None, training: bool = False
    ) -> tf.Tensor:
        """Encode, and draw an image: of the posterior mean, or of the posterior sample of the noise `eps`."""
        mean, logvar = self.posterior_parameters(x, y, training)
        return self.drawn(mean if eps is None else self.reparameterize(mean, logvar, eps), y=y)

    def drawn(self, z: Array, seed: int = 0, y: Array | None = None) -> tf.Tensor:
        """Draw an image from p(x|z) for every one of the latents `(n, d)`, as a function of the seed."""
        output = self._decoder_output(z, self.checked_labels(y))

        def again(x: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pixels = self.likelihood.pixels(output + self._context_output(x))
            return pixels.sample(seed=tf.constant((seed, 1))), x

        first = again(tf.zeros_like(output), output)
        return tf.while_loop(lambda x, before: tf.reduce_any(x != before), again, first)[0]

    def _build(self) -> None:
        self.likelihood(
            tf.zeros((1, *self.image_shape))
        )  # which no draw calls, and Keras would warn that it is unbuilt
        super()._build()

    def _context_output(self, x: Array, training: bool = False) -> tf.Tensor:
        output = self.context(tf.reshape(x, (-1, *self.image_shape)), training=training)
        return tf.reshape(tf.cast(output, self.variable_dtype), tf.shape(x))


def earlier_pixels(
    filters: int = 32,
    reach: int = 3,
    dropout: float = 0.0,
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int | None = None,
) -> keras.Model:
    r"""Build a context network: one convolution over the rows above, one over the pixels to the left.

    It is a PixelCNN :cite:p:`oord2016` with a single layer that looks around.  A pixel sees `reach` rows above it, as
    many columns to both sides, and as many pixels to its left.

    Parameters
    ----------
    filters : int
        Features of a pixel.
    reach : int
    dropout : float
        Share of the pixels that are hidden from the network in training :cite:p:`bowman2016`: from 0, and below 1.
    image_shape : (height, width, channels)
    seed : int, optional
        Initial weights and hidden pixels are a function of it.

    Raises
    ------
    ValueError
        If there is no filter or no reach, or the share is none.
    """
    if not (filters >= 1 and reach >= 1 and 0 <= dropout < 1):
        raise ValueError(
            f"expected filters ≥ 1, reach ≥ 1, 0 ≤ dropout < 1; got filters={filters}, reach={reach}, dropout={dropout}"
        )

    def convolution(channels: int, size: Any, number: int, **options: Any) -> layers.Conv2D:
        drawn_from = None if seed is None else 1000 * seed + 500 + number
        return layers.Conv2D(channels, size, kernel_initializer=keras.initializers.GlorotUniform(drawn_from), **options)

    image = keras.Input(image_shape)
    seen = layers.Dropout(dropout, noise_shape=(None, *image_shape[:2], 1), seed=seed)(image)
    rows = layers.ZeroPadding2D(((reach, 0), (reach, reach)))(seen)
    rows = convolution(filters, (reach, 2 * reach + 1), 0)(rows)
    left = layers.ZeroPadding2D(((0, 0), (reach, 0)))(seen)
    left = convolution(filters, (1, reach), 1, use_bias=False)(left)
    features = layers.Add()([layers.Cropping2D(((0, 1), (0, 0)))(rows), layers.Cropping2D(((0, 0), (0, 1)))(left)])
    features = convolution(filters, 1, 2, activation="relu")(layers.ReLU()(features))
    return keras.Model(image, convolution(image_shape[-1], 1, 3)(features), name="context")


_PLACES = 64


def _check_context(context: keras.Model, image_shape: tuple[int, int, int]) -> None:
    """Refuse a context network of other shapes, or one that sees the pixel that it is asked about, or a later one.

    All pixels from some place on are replaced by others, for 64 places at most; up to and including that place, the
    output must stay.

    Raises
    ------
    ValueError
        If it does not.
    """
    if not tuple(context.input_shape[1:]) == tuple(context.output_shape[1:]) == tuple(image_shape):
        raise ValueError(
            f"expected a context network from images {tuple(image_shape)} to tensors of the same shape, got one from "
            f"{tuple(context.input_shape[1:])} to {tuple(context.output_shape[1:])}"
        )
    height, width, channels = image_shape
    places = np.unique(np.linspace(0, height * width - 1, _PLACES).astype(int))
    one, other = np.random.default_rng(0).random((2, height * width, channels), dtype=np.float32)
    later = np.arange(height * width) >= places[:, np.newaxis]
    images = np.concatenate([one[np.newaxis], np.where(later[..., np.newaxis], other, one)])
    output = np.asarray(context(images.reshape(-1, *image_shape), training=False), np.float32)
    output = output.reshape(len(images), -1, channels)
    upto = np.arange(height * width) <= places[:, np.newaxis]
    moved = np.abs(output[1:] - output[0])[upto].max()
    if moved > 1e-4 * max(1.0, float(np.abs(output).max())):  # rows of one batch may differ by rounding
        raise ValueError(
            f"the context network sees a pixel that it is asked about, or a later one: its output moved by {moved:.2g} "
            "where no earlier pixel had changed; shift or mask its convolutions"
        )
