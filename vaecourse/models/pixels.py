r"""Pixels as random variables: what all likelihoods share, and the 256 gray levels of a byte.

Level k is the gray k/255.  Its bin reaches half a level to both sides; the bins of the levels 0 and 255 are open, and
take whatever a density has below 0 and above 1.  The probability of a level is the mass in its bin.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.training import errors

tfb, tfd = tfp.bijectors, tfp.distributions

PACKAGE = "vaecourse"

HALF = 0.5 / 255
"""Half the width of a bin, as a gray."""

TOLERANCE = 1e-3
"""By how many levels a gray may miss its level: rounding, of whatever kind, and nothing else."""


class Likelihood(keras.layers.Layer):
    """What the likelihoods share: images of any shape as events, and a check of the images they can be asked about."""

    support = "[0, 1]"
    hint = "vaecourse.data.scale turns uint8 images into grays"

    def distribution(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        """Return p(x|z) for the decoder output `(batch, height, width, channels)`: events are images."""
        return tfd.Independent(self.pixels(output), reinterpreted_batch_ndims=3)

    def pixels(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        """Return the distributions of the single pixels, of the shape of `output`."""
        raise NotImplementedError

    def log_prob(self, output: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """Log p(x|z) per image in nats; leading axes of `output` beyond those of `images` are samples of z."""
        return tf.reduce_sum(self.pixels(output).log_prob(images), axis=(-3, -2, -1))

    def call(self, output: tf.Tensor) -> tf.Tensor:
        return self.pixels(output).mean()

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def supports(self, images: tf.Tensor) -> tf.Tensor:
        """Return whether all pixels of a batch are in the support, a bool scalar."""
        return tf.reduce_all((images >= 0) & (images <= 1))  # NaN fails the comparison, too

    def requirement(self, images: tf.Tensor) -> tf.Operation | None:
        """Return the assertion that a batch is in the support, for compiled steps."""
        sentence = (
            f"{type(self).__name__} expects pixels in {self.support}, got a batch with pixels from {{}} to {{}}; "
            "vaecourse.data.scale turns uint8 images into grays, vaecourse.data.binarize grays into zeros and ones"
        )
        ends = tf.reduce_min(images), tf.reduce_max(images)
        return errors.require(self.supports(images), ValueError, sentence, *ends)

    def check(self, images: np.ndarray) -> None:
        """Raise `ValueError` if there is no image, or pixels are not finite or outside the likelihood's support."""
        images = np.asarray(images)
        if not images.size:
            raise ValueError("expected at least one image")
        low, high = images.min(), images.max()  # NaN if a pixel is
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("the images contain NaN or infinite pixels")
        if low < 0 or high > 1:
            raise ValueError(
                f"{type(self).__name__} expects pixels in {self.support}, got {low:g} to {high:g}; {Likelihood.hint}"
            )
        with tf.init_scope():  # these are numbers, also where a function is being traced
            supported = bool(self.supports(images))
        if not supported:
            name = type(self).__name__
            raise ValueError(f"{name} expects pixels in {self.support}, got grays in between; {self.hint}")


class DiscretizedLogistic(tfp.distributions.Distribution):
    r"""The 256 gray levels, with the masses of a logistic density in their bins :cite:p:`kingma2016,salimans2017`.

    With the sigmoid S and the edges a < b of a bin in units of the scale, the mass is S(b) − S(a), which is
    S(b) S(−a) (1 − exp(a − b)).  The logs of the three factors lose no digit, and have a gradient, however far the bin
    is from the location.  Of the open bins, one factor is left: S(b) of level 0, S(−a) of level 255.

    Parameters
    ----------
    loc, scale : tensors
        Location and scale of the density: its mean, and its standard deviation times √3/π, as grays.

    Notes
    -----
    :meth:`log_prob` takes grays that are levels, in [0, 1].  :meth:`mean` is that of the density's variable, clipped to
    [0, 1]; the mean over the levels is the same but for a fiftieth of a level, where the scale is a level or more.
    """

    def __init__(self, loc: tf.Tensor, scale: tf.Tensor) -> None:
        self.density = tfd.Logistic(loc, scale)
        super().__init__(
            dtype=self.density.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters={"loc": loc, "scale": scale},
        )

    def _batch_shape(self) -> tf.TensorShape:
        return self.density.batch_shape

    def _batch_shape_tensor(self) -> tf.Tensor:
        return self.density.batch_shape_tensor()

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _log_prob(self, grays: tf.Tensor) -> tf.Tensor:
        loc, scale = self.density.loc, self.density.scale
        above_low = tf.math.log_sigmoid((loc - grays + HALF) / scale)
        below_high = tf.math.log_sigmoid((grays + HALF - loc) / scale)
        log_mass = above_low + below_high + tf.math.log(-tf.math.expm1(-2 * HALF / scale))
        log_mass = tf.where(grays < HALF, below_high, log_mass)
        return tf.where(grays > 1 - HALF, above_low, log_mass)

    def _mean(self) -> tf.Tensor:
        """Return ∫₀¹ P(X > x) dx, which is the mean of X clipped to [0, 1]."""
        loc, scale = self.density.loc, self.density.scale
        return scale * (tf.math.softplus(loc / scale) - tf.math.softplus((loc - 1) / scale))

    def _sample_n(self, n: int, seed: Any = None) -> tf.Tensor:
        return tf.round(255 * tf.clip_by_value(self.density.sample(n, seed=seed), 0, 1)) / 255


def are_levels(images: tf.Tensor) -> tf.Tensor:
    """Return whether all pixels are multiples of 1/255, a bool scalar."""
    return tf.reduce_all(tf.abs(255 * images - tf.round(255 * images)) < TOLERANCE)


def gray_level_log_mass(pixels: tfp.distributions.Distribution, images: np.ndarray) -> tf.Tensor:
    r"""Log of the probability that each image takes its 256 gray levels, per image in nats.

    A density has the unit 1/gray and may be arbitrarily large; a probability has none and is at most 1.  The mass of
    level k is the integral of the density over the bin of width 1/255 around k/255; the outermost bins take the tails.
    In this unit densities of different families can be compared.

    Parameters
    ----------
    pixels : tfd.Distribution
        Of the shape of the images: :meth:`vaecourse.models.likelihoods.Likelihood.pixels`.  A distribution over the
        levels is taken as it is.
    images : array `(batch, height, width, channels)`
        Grays that are multiples of 1/255.

    Raises
    ------
    ValueError
        If an image has pixels between the gray levels.
    """
    images = np.asarray(images, np.float64)
    if not are_levels(images):
        raise ValueError("expected grays that are multiples of 1/255; these images have pixels in between")
    constant = functools.partial(tf.constant, dtype=pixels.dtype)
    levels = constant(np.rint(255 * images))
    if isinstance(pixels, DiscretizedLogistic):
        log_mass = pixels.log_prob(levels / 255)
    elif isinstance(pixels, tfd.ContinuousBernoulli):
        log_mass = _continuous_bernoulli_log_mass(pixels.logits, levels)
    else:
        on_levels = tfb.Shift(constant(-0.5))(tfb.Scale(constant(255)))(pixels)
        log_mass = tfd.QuantizedDistribution(on_levels, low=constant(0), high=constant(255)).log_prob(levels)
    return tf.reduce_sum(log_mass, axis=(-3, -2, -1))


def bits_per_dimension(log_mass: Any, image_shape: Sequence[int]) -> Any:
    r"""Bits that one pixel of one channel costs: −log p / (n ln 2), for n pixels times channels.

    A model that gives all 256 levels the same probability has 8.  Lower is better, and 0 is the least.

    Parameters
    ----------
    log_mass : float or array
        Log-probability of images in nats, or a lower bound on it, as :func:`gray_level_log_mass` less the KL.  Of a
        log-*density* of grays in [0, 1] the result is no number of bits: it lacks the 8 of the width of a bin.
    image_shape : (height, width, channels)

    Raises
    ------
    ValueError
        If the shape has no pixel.
    """
    dimensions = math.prod(image_shape)
    if dimensions < 1:
        raise ValueError(f"expected the shape of an image, got {tuple(image_shape)}")
    return -log_mass / (dimensions * math.log(2))


def _continuous_bernoulli_log_mass(logits: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Log of the integral of the density, proportional to exp(logits · x) on [0, 1], over the bin of each level.

    Differences of the cumulative distribution, as TFP would take them, vanish where the logits are large.
    """
    low, high = tf.maximum(levels - 0.5, 0) / 255, tf.minimum(levels + 0.5, 255) / 255
    rate = tf.maximum(tf.abs(logits), 1e-6)  # the density falls at this rate, away from 0 or from 1
    start = tf.where(logits < 0, low, 1 - high)
    return -rate * start + tf.math.log(tf.math.expm1(-rate * (high - low)) / tf.math.expm1(-rate))
