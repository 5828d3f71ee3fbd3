"""From the raw output of a decoder to p(x|z), a distribution over images.

A likelihood is a small Keras layer: it may own a parameter (a learned σ), travels with the model when it is saved, and
called on a decoder's output it returns the mean image.  `distribution(output)` is the `tfp.distributions` object whose
events are whole images, so that its `log_prob` is summed over pixels: shape `(batch,)`, in nats.
"""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.data.names import known
from vaecourse.training import errors

tfb, tfd = tfp.bijectors, tfp.distributions

PACKAGE = "vaecourse"


class Likelihood(keras.layers.Layer):
    """What the likelihoods share: images of any shape as events, and a check of the images they can be asked about."""

    support = "[0, 1]"

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
                f"{type(self).__name__} expects pixels in {self.support}, got {low:g} to {high:g}; "
                "vaecourse.data.scale turns uint8 images into grays"
            )


@keras.saving.register_keras_serializable(PACKAGE)
class Bernoulli(Likelihood):
    r"""Pixels are coin flips: log p(x|z) = Σ x ln p + (1 − x) ln(1 − p).

    Parameters
    ----------
    grays : bool
        By default only 0 and 1 are accepted, and the value is the log of a probability.  With ``grays=True`` any x in
        [0, 1] is: the value is then minus the cross-entropy, the *expected* log-likelihood of a pixel that is
        binarized with probability x.  It is no density of the gray itself (see :class:`ContinuousBernoulli`).
    probability : {"sigmoid", "rectified"}
        How the decoder's output becomes p.  Rectified, as in :cite:t:`theailearner`, it is clipped to
        [10⁻⁷, 1 − 10⁻⁷], as Keras' `binary_crossentropy` does: a pixel that leaves this range has no gradient.
    """

    def __init__(self, grays: bool = False, probability: str = "sigmoid", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if probability not in ("sigmoid", "rectified"):
            raise ValueError(f"expected 'sigmoid' or 'rectified' for probability, got {probability!r}")
        self.grays = grays
        self.probability = probability
        self.support = "[0, 1]" if grays else "{0, 1}"

    def pixels(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        if self.probability == "rectified":
            return tfd.Bernoulli(probs=tf.clip_by_value(output, 1e-7, 1 - 1e-7), dtype=output.dtype)
        return tfd.Bernoulli(logits=output, dtype=output.dtype)

    def log_prob(self, output: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        """As the distribution's `log_prob`, by TensorFlow's fused cross-entropy where there are logits."""
        if self.probability == "rectified":
            return super().log_prob(output, images)
        shape = tf.broadcast_dynamic_shape(tf.shape(output), tf.shape(images))
        images, logits = tf.broadcast_to(images, shape), tf.broadcast_to(output, shape)
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
        return -tf.reduce_sum(cross_entropy, axis=(-3, -2, -1))

    def supports(self, images: tf.Tensor) -> tf.Tensor:
        return super().supports(images) if self.grays else tf.reduce_all((images == 0) | (images == 1))

    def check(self, images: np.ndarray) -> None:
        super().check(images)
        if not self.grays and not ((images == 0) | (images == 1)).all():
            raise ValueError(
                "Bernoulli expects pixels in {0, 1}, got grays; binarize them (vaecourse.data.binarize), "
                "or pass grays=True to train on the cross-entropy of grays"
            )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grays": self.grays, "probability": self.probability}


@keras.saving.register_keras_serializable(PACKAGE)
class ContinuousBernoulli(Likelihood):
    r"""Grays with density C(p) p^x (1 − p)^(1−x) on [0, 1] :cite:p:`loaizaganem2019`; p = sigmoid(output).

    The normalizer C(p) is what the cross-entropy on grays leaves out.
    """

    def pixels(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        return tfd.ContinuousBernoulli(logits=output, dtype=output.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class Gaussian(Likelihood):
    r"""Grays with density N(x; mean, σ²): log p(x|z) = −Σ [(x − mean)²/2σ² + ln σ + ½ ln 2π].

    Parameters
    ----------
    scale : float or {"learned", "learned per pixel"}
        σ, fixed; or one σ for all pixels, or one for each, learned with the other weights from σ = ½.
        A σ per pixel has no optimum on MNIST: the density of a pixel that never changes grows without bound.
    mean : {"sigmoid", "linear"}
        How the decoder's output becomes the mean.
    """

    def __init__(self, scale: float | str = 0.5, mean: str = "sigmoid", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(scale, str) and scale not in ("learned", "learned per pixel"):
            raise ValueError(f"expected a number, 'learned' or 'learned per pixel' for scale, got {scale!r}")
        if not isinstance(scale, str) and not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"expected a positive, finite scale, got {scale!r}")
        if mean not in ("sigmoid", "linear"):
            raise ValueError(f"expected 'sigmoid' or 'linear' for mean, got {mean!r}")
        self.scale = scale
        self.mean = mean

    def build(self, input_shape: tuple) -> None:
        if isinstance(self.scale, str):
            shape = () if self.scale == "learned" else tuple(input_shape[-3:])
            self.log_scale = self.add_weight(
                name="log_scale", shape=shape, initializer=keras.initializers.Constant(np.log(0.5)), dtype="float32"
            )

    @property
    def sigma(self) -> tf.Tensor:
        """σ as it stands: a scalar, or `(height, width, channels)` per pixel."""
        return tf.exp(tf.convert_to_tensor(self.log_scale)) if isinstance(self.scale, str) else tf.constant(self.scale)

    def pixels(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        mean = tf.sigmoid(output) if self.mean == "sigmoid" else output
        return tfd.Normal(mean, tf.cast(self.sigma, output.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "mean": self.mean}


_LIKELIHOODS = {"bernoulli": Bernoulli, "continuous_bernoulli": ContinuousBernoulli, "gaussian": Gaussian}


def get(likelihood: str | Likelihood, **options: Any) -> Likelihood:
    """Return a likelihood by name, built with `options`; or the likelihood that was given, as it is.

    The names are ``"bernoulli"``, ``"continuous_bernoulli"`` and ``"gaussian"``.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    return _LIKELIHOODS[known(likelihood, _LIKELIHOODS, "likelihood")](**options)


def gray_level_log_mass(pixels: tfp.distributions.Distribution, images: np.ndarray) -> tf.Tensor:
    r"""Log of the probability that each image takes its 256 gray levels, per image in nats.

    A density has the unit 1/gray and may be arbitrarily large; a probability has none and is at most 1.  The mass of
    level k is the integral of the density over the bin of width 1/255 around k/255; the outermost bins take the tails.
    In this unit densities of different families can be compared.

    Parameters
    ----------
    pixels : tfd.Distribution
        Continuous, of the shape of the images: :meth:`Likelihood.pixels`.
    images : array `(batch, height, width, channels)`
        Grays that are multiples of 1/255.

    Raises
    ------
    ValueError
        If an image has pixels between the gray levels.
    """
    levels = np.asarray(images, np.float64) * 255
    if np.abs(levels - np.rint(levels)).max() > 1e-3:
        raise ValueError("expected grays that are multiples of 1/255; these images have pixels in between")
    constant = functools.partial(tf.constant, dtype=pixels.dtype)
    levels = constant(np.rint(levels))
    if isinstance(pixels, tfd.ContinuousBernoulli):
        log_mass = _continuous_bernoulli_log_mass(pixels.logits, levels)
    else:
        on_levels = tfb.Shift(constant(-0.5))(tfb.Scale(constant(255)))(pixels)
        log_mass = tfd.QuantizedDistribution(on_levels, low=constant(0), high=constant(255)).log_prob(levels)
    return tf.reduce_sum(log_mass, axis=(-3, -2, -1))


def _continuous_bernoulli_log_mass(logits: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Log of the integral of the density, proportional to exp(logits · x) on [0, 1], over the bin of each level.

    Differences of the cumulative distribution, as TFP would take them, vanish where the logits are large.
    """
    low, high = tf.maximum(levels - 0.5, 0) / 255, tf.minimum(levels + 0.5, 255) / 255
    rate = tf.maximum(tf.abs(logits), 1e-6)  # the density falls at this rate, away from 0 or from 1
    start = tf.where(logits < 0, low, 1 - high)
    return -rate * start + tf.math.log(tf.math.expm1(-rate * (high - low)) / tf.math.expm1(-rate))
