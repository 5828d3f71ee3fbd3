"""Images completed from a part of them: conditioning on pixels, with a prior p(z|x′) that sees the same part."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.data import IMAGE_SHAPE
from vaecourse.models import likelihoods
from vaecourse.models.conditional import LearnedPrior
from vaecourse.training.inputs import Array

tfd = tfp.distributions


def given_quadrants(number: int, image_shape: Sequence[int] = IMAGE_SHAPE) -> np.ndarray:
    """Return which pixels are given when one, two or three quadrants of an image are :cite:p:`sohn2015`.

    One is the lower left, two are the left half, three are all but the lower right.

    Returns
    -------
    bool array of the shape of an image

    Raises
    ------
    ValueError
        If the number is another.
    """
    if number not in (1, 2, 3):
        raise ValueError(f"expected one, two or three quadrants, got {number!r}")
    given = np.zeros(tuple(image_shape), bool)
    rows, columns = image_shape[0] // 2, image_shape[1] // 2
    given[rows:, :columns] = True
    given[:rows, :columns] |= number >= 2
    given[:rows] |= number == 3
    return given


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class CompletionVAE(LearnedPrior):
    r"""VAE that completes images: the pixels that are given are its condition, the others are what it models.

    With x′ the given pixels and x″ the others, p(x″ | x′) = ∫ p(x″ | z, x′) p(z|x′) dz, the conditional model of
    :cite:t:`sohn2015`.  `fit` takes whole images x and maximizes log p(x″ | z, x′) − β KL(q(z|x) ‖ p(z|x′)), with β = 1
    a bound on log p(x″ | x′).

    Parameters
    ----------
    encoder : keras.Model
        Takes whole images.
    decoder : keras.Model
        Takes latents and, after them, as many numbers as an image has pixels: the given ones, and zeros for the others.
        What it returns for the given pixels is not used.
    prior : keras.Model
        Maps images of which the other pixels are zero to `(batch, 2·d)`: mean and log-variance of p(z|x′).
    given : bool array of the shape of an image
        Which pixels are given; :func:`given_quadrants` makes some.
    likelihood, **options
        As for :class:`~vaecourse.models.VAE`.

    Raises
    ------
    ValueError
        If the shapes do not fit each other, or all pixels are given.

    Notes
    -----
    Conditions `y` are images, of which the given pixels alone are looked at.  Without them, those of the image itself
    are the condition.  Mean images have the given pixels where they are given.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        prior: keras.Model,
        given: Any,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        **options: Any,
    ) -> None:
        given = np.asarray(given)
        if given.dtype != bool or given.shape != tuple(decoder.output_shape[1:]) or given.all():
            raise ValueError(
                f"expected given as a bool array of shape {tuple(decoder.output_shape[1:])}, not true everywhere, got "
                f"{given.dtype.name} {given.shape}"
            )
        self._given: np.ndarray = given  # which says how many inputs of the decoder are pixels
        super().__init__(encoder, decoder, prior, likelihood, **options)

    @property
    def given(self) -> np.ndarray:
        """Which pixels are given, a bool array of the shape of an image."""
        return self._given

    @property
    def classes(self) -> int:
        """How many inputs of the decoder are not latents but pixels that are given, or zeros in their places."""
        return self._given.size

    @property
    def condition_shape(self) -> tuple[int, ...]:
        return self.image_shape

    def checked_labels(self, y: Any) -> Any:
        """Return conditions, after refusing what are no images that this model can be asked about."""
        return None if y is None else self.checked(y)

    def decode(self, z: Array, y: Array | None = None) -> tfp.distributions.Distribution:
        """Return p(x″ | z, x′): a distribution whose events are images, of which the given pixels are certain."""
        pixels = self.likelihood.pixels(self._decoder_output(z, self.checked_labels(y)))
        given = tf.cast(y, self.variable_dtype)
        return tfd.Independent(tfd.Masked(pixels, ~self._given, safe_sample_fn=lambda _: given), 3)

    def log_likelihood(self, x: Array, z: Array, y: Array | None = None, training: bool = False) -> tf.Tensor:
        """Return log p(x″ | z, x′) of images `(batch, ...)` at latents `(..., batch, d)`: `(..., batch)`, in nats."""
        pixels = self.likelihood.pixels(self._decoder_output(z, self._condition(x, y), training))
        log_prob = pixels.log_prob(tf.cast(x, self.variable_dtype))
        return tf.reduce_sum(tf.where(self._given, tf.zeros_like(log_prob), log_prob), axis=(-3, -2, -1))

    def reconstruct(
        self, x: Array, eps: Array | None = None, y: Array | None = None, training: bool = False
    ) -> tf.Tensor:
        """Encode whole images and decode them; the given pixels are those of the images."""
        return tf.where(self._given, tf.cast(x, self.variable_dtype), super().reconstruct(x, eps, y, training))

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        if y is not None:
            raise ValueError(
                "a CompletionVAE learns from whole images, and takes the condition from them: y must be None"
            )
        return super().objective(x, None, eps, training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "given": self._given.tolist()}

    # --- inside ----------------------------------------------------------------------------------------------------

    def _condition(self, x: Array, y: Array | None) -> Array:
        return x if y is None else y

    def _part(self, y: Array) -> tf.Tensor:
        """Return images in which the pixels that are not given are zero."""
        y = tf.cast(y, self.variable_dtype)
        return tf.where(self._given, y, tf.zeros_like(y))

    def _prior_input(self, y: Array) -> tf.Tensor:
        return self._part(y)

    def _decoder_input(self, z: tf.Tensor, y: Array | None) -> tf.Tensor:
        if y is None:
            raise ValueError("a CompletionVAE decodes latents of images of which a part is given: expected images y")
        part = tf.reshape(self._part(y), (-1, self.classes))
        return tf.concat([z, tf.broadcast_to(part, tf.concat([tf.shape(z)[:-1], [self.classes]], 0))], axis=-1)
