"""From the raw output of a decoder to p(x|z), a distribution over images.

A likelihood is a small Keras layer: it may own a parameter (a learned σ), travels with the model when it is saved, and
called on a decoder's output it returns the mean image.  `distribution(output)` is the `tfp.distributions` object whose
events are whole images, so that its `log_prob` is summed over pixels: shape `(batch,)`, in nats.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.data.names import known
from vaecourse.models import pixels
from vaecourse.models.pixels import PACKAGE, Likelihood
from vaecourse.models.pixels import bits_per_dimension as bits_per_dimension
from vaecourse.models.pixels import gray_level_log_mass as gray_level_log_mass

tfd = tfp.distributions


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
        if not grays:
            self.support = "{0, 1}"
            self.hint = (
                "binarize them (vaecourse.data.binarize), or pass grays=True to train on the cross-entropy of grays"
            )

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

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grays": self.grays, "probability": self.probability}


@keras.saving.register_keras_serializable(PACKAGE)
class ContinuousBernoulli(Likelihood):
    r"""Grays with density C(p) p^x (1 − p)^(1−x) on [0, 1] :cite:p:`loaizaganem2019`; p = sigmoid(output).

    The normalizer C(p) is what the cross-entropy on grays leaves out.
    """

    def pixels(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        return tfd.ContinuousBernoulli(logits=output, dtype=output.dtype)


class LocationScale(Likelihood):
    r"""What the likelihoods of grays share that have a location and a scale for each pixel.

    Parameters
    ----------
    scale : float or {"learned", "learned per pixel", "decoded"}
        A number is fixed.  Learned is one scale for all pixels, or one for each, beginning at a standard deviation of
        ½.  A decoded scale is a function of z, and the decoder has two heads: of its channels, twice those of the
        images, the first half are for the locations, and the second half, h, for the scales: `floor` + c exp(h), with a
        constant c that makes the standard deviation about ½ at h = 0.  It is for networks of one's own: a
        :class:`~vaecourse.models.VAE` refuses a decoder whose channels are not those of the images.
    mean : {"sigmoid", "linear"}
        How the decoder's output becomes the location.
    floor : float
        Lower limit of a decoded scale; without it, the density of a pixel that is hit grows without bound.  By default
        it is one gray level.

    Raises
    ------
    ValueError
        If an option has no such value; later, if the decoder's channels are not those that the images and the scale
        ask for.
    """

    start = 0.5

    def __init__(self, scale: float | str, mean: str, floor: float = 1 / 255, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        names = ("learned", "learned per pixel", "decoded")
        if isinstance(scale, str) and scale not in names:
            raise ValueError(f"expected a number, or one of {', '.join(names)} for scale, got {scale!r}")
        if not isinstance(scale, str) and not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"expected a positive, finite scale, got {scale!r}")
        if mean not in ("sigmoid", "linear"):
            raise ValueError(f"expected 'sigmoid' or 'linear' for mean, got {mean!r}")
        if not (np.isfinite(floor) and floor > 0):
            raise ValueError(f"expected a positive, finite floor of the scale, got {floor!r}")
        self.scale, self.mean, self.floor = scale, mean, floor

    def build(self, input_shape: tuple) -> None:
        self.compute_output_shape(input_shape)  # refuses an odd number of channels
        if self.scale in ("learned", "learned per pixel"):
            shape = () if self.scale == "learned" else tuple(input_shape[-3:])
            initializer = keras.initializers.Constant(np.log(self.start))
            self.log_scale = self.add_weight(name="log_scale", shape=shape, initializer=initializer, dtype="float32")

    @property
    def sigma(self) -> tf.Tensor:
        """The scale as it stands: a scalar, or `(height, width, channels)` per pixel; a decoded one depends on z."""
        if self.scale == "decoded":
            raise ValueError("a decoded scale depends on z; see the distributions that pixels(output) returns")
        return tf.exp(tf.convert_to_tensor(self.log_scale)) if isinstance(self.scale, str) else tf.constant(self.scale)

    def location_and_scale(self, output: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return both for every pixel, for the decoder output `(..., height, width, channels)`."""
        if self.scale == "decoded":
            output, h = tf.split(output, 2, axis=-1)
            scale = self.floor + self.start * tf.exp(h)
        else:
            scale = tf.cast(self.sigma, output.dtype)
        return tf.sigmoid(output) if self.mean == "sigmoid" else output, scale

    def log_prob(self, output: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        channels = self.compute_output_shape(output.shape)[-1]
        if channels != images.shape[-1]:
            needed = images.shape[-1] * (2 if self.scale == "decoded" else 1)
            raise ValueError(f"expected {needed} channels of the decoder for these images, got {output.shape[-1]}")
        return super().log_prob(output, images)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if self.scale != "decoded":
            return input_shape
        *others, channels = input_shape
        if channels % 2:
            raise ValueError(
                f"a decoded scale needs a decoder with two heads, so an even number of channels; got {channels}"
            )
        return (*others, channels // 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "mean": self.mean, "floor": self.floor}


@keras.saving.register_keras_serializable(PACKAGE)
class Gaussian(LocationScale):
    r"""Grays with density N(x; mean, σ²): log p(x|z) = −Σ [(x − mean)²/2σ² + ln σ + ½ ln 2π].

    Parameters as for :class:`LocationScale`.  A learned σ per pixel has no optimum on MNIST: the density of a pixel
    that never changes grows without bound, as that of a decoded σ would but for its lower limit.
    """

    def __init__(self, scale: float | str = 0.5, mean: str = "sigmoid", **kwargs: Any) -> None:
        super().__init__(scale, mean, **kwargs)

    def pixels(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        return tfd.Normal(*self.location_and_scale(output))


@keras.saving.register_keras_serializable(PACKAGE)
class DiscretizedLogistic(LocationScale):
    r"""The 256 gray levels, with the masses of a logistic density in their bins :cite:p:`kingma2016,salimans2017`.

    With the sigmoid S, the location m and the scale s of a pixel,
    log p(x|z) = Σ ln[S((x + ½/255 − m)/s) − S((x − ½/255 − m)/s)].  The bins of 0 and 1 are open and take the tails, so
    that locations below 0 or above 1 make sense, and the mean is linear by default.  The value is the log of a
    probability, never positive.  Parameters as for :class:`LocationScale`; the standard deviation is πs/√3.
    """

    support = "{0, 1/255, …, 1}"
    hint = "vaecourse.data.scale turns uint8 images into such grays"
    start = 0.5 * 3**0.5 / np.pi

    def __init__(self, scale: float | str = "learned", mean: str = "linear", **kwargs: Any) -> None:
        super().__init__(scale, mean, **kwargs)

    def pixels(self, output: tf.Tensor) -> tfp.distributions.Distribution:
        return pixels.DiscretizedLogistic(*self.location_and_scale(output))

    def supports(self, images: tf.Tensor) -> tf.Tensor:
        return super().supports(images) & pixels.are_levels(images)


_LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "discretized_logistic": DiscretizedLogistic,
}


def get(likelihood: str | Likelihood, **options: Any) -> Likelihood:
    """Return a likelihood by name, built with `options`; or the likelihood that was given, as it is.

    The names are ``"bernoulli"``, ``"continuous_bernoulli"``, ``"gaussian"`` and
    ``"discretized_logistic"``.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    return _LIKELIHOODS[known(likelihood, _LIKELIHOODS, "likelihood")](**options)
