r"""The KL in three parts, of which one is penalized more: the β-TCVAE.

With the aggregate posterior q(z) = mean over the N training images of q(z|x), averaged over images,
KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ Π_j q(z_j)) + Σ_j KL(q(z_j) ‖ p(z_j)): mutual information, total correlation,
and dimension-wise KL :cite:p:`chen2018`.
"""

from numbers import Integral
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.models import likelihoods, objectives
from vaecourse.models.vae import VAE
from vaecourse.training import errors
from vaecourse.training.inputs import Array

tfd = tfp.distributions


class BatchParts(NamedTuple):
    """Estimates at one z of each image, `(..., batch)`, in nats; their sum is log q(z|x) − log p(z)."""

    information: tf.Tensor
    total_correlation: tf.Tensor
    dimension_wise: tf.Tensor


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class TotalCorrelationVAE(VAE):
    r"""β-TCVAE: a VAE that is charged more than once for the total correlation of its latents :cite:p:`chen2018`.

    `fit` minimizes −log p(x|z) + β KL(q(z|x) ‖ p(z)) + (β_TC − 1) TC, so that with β = 1 mutual information and
    dimension-wise KL have the weight 1, and the total correlation has β_TC.

    Parameters
    ----------
    *parts
        As for :class:`~vaecourse.models.VAE`: encoder, decoder and likelihood.
    training_images : int
        N, how many images the model is trained on: the estimate of q(z) depends on it.
    correlation : float
        β_TC.  With 1 this is a :class:`~vaecourse.models.VAE`.
    **options
        As for :class:`~vaecourse.models.VAE`.

    Raises
    ------
    ValueError
        If there are fewer than two training images, the weight is negative or not finite, or a batch has one image.

    Notes
    -----
    The metrics are those of a VAE and `total_correlation`, the estimate from the batch, whose bias :func:`batch_parts`
    explains.
    """

    measured = (*VAE.measured, "total_correlation")
    _choices = (*VAE._choices, "training_images", "correlation")

    def __init__(self, *parts: Any, training_images: int, correlation: float = 6.0, **options: Any) -> None:
        if not (isinstance(training_images, Integral) and training_images >= 2):
            raise ValueError(f"expected at least two training images, got {training_images!r}")
        if not (np.isfinite(correlation) and correlation >= 0):
            raise ValueError(f"expected a finite weight of the total correlation of at least 0, got {correlation!r}")
        self.training_images: int = training_images
        self.correlation: float = correlation
        super().__init__(*parts, **options)

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return `measured` per image, each `(batch,)`, in nats."""
        mean, logvar = self.posterior_parameters(x, y, training)
        z = self.reparameterize(mean, logvar, eps)
        terms = (
            self.log_likelihood(x, z, y, training),
            self._kl(mean, logvar, None if self.kl == "analytic" else eps, y, training),
            batch_parts(z, mean, logvar, self.training_images).total_correlation,
        )
        log_likelihood, kl, correlation = (tf.reduce_mean(t, axis=0) if t.shape.rank == 2 else t for t in terms)
        weighted = objectives.elbo(log_likelihood, kl, self.beta * self.kl_weight)
        return {
            "loss": (self.correlation - 1.0) * self.kl_weight * correlation - weighted,
            "elbo": objectives.elbo(log_likelihood, kl),
            "log_likelihood": log_likelihood,
            "kl": kl,
            "total_correlation": correlation,
        }


def batch_parts(z: tf.Tensor, mean: tf.Tensor, logvar: tf.Tensor, training_images: int) -> BatchParts:
    r"""Estimate the three parts of the KL from a batch of B among N images.

    The density of z under q(z) is estimated by that of its own image and those of the others in the batch,

    .. math:: \hat q(z_i) = \frac1N q(z_i|x_i) + \frac{N - 1}{N} \frac{1}{B - 1} \sum_{k \ne i} q(z_i|x_k),

    and every q(z_j) likewise: the stratified estimate of :cite:t:`chen2018` with equal weights for all others.  It is
    unbiased where the batch is drawn without putting back; its logarithm is not, and is too small on average.  With
    B = N it is exact.

    Parameters
    ----------
    z : tensor `(..., batch, d)`
        One sample of each image's q(z|x); leading axes are samples.
    mean, logvar : tensors `(batch, d)`
    training_images : int
        N, at least B.

    Raises
    ------
    ValueError
        If the batch has one image, of which nothing can be said about the others.
    """
    batch = tf.shape(mean)[0]
    sentence = "a batch of one image says nothing about q(z): choose a batch size that leaves no single image over"
    with tf.control_dependencies([errors.require(batch > 1, ValueError, sentence)]):
        n, others = tf.cast(training_images, z.dtype), tf.cast(batch - 1, z.dtype)
    own = tf.eye(batch, dtype=z.dtype)
    log_weight = tf.math.log(own / n + (1.0 - own) * (n - 1.0) / (n * others))
    pairs = tfd.Normal(mean, tf.exp(0.5 * logvar)).log_prob(z[..., tf.newaxis, :])  # of z_i, given the image k
    log_q = tf.reduce_logsumexp(tf.reduce_sum(pairs, axis=-1) + log_weight, axis=-1)
    log_marginals = tf.reduce_logsumexp(pairs + log_weight[..., tf.newaxis], axis=-2)
    log_product = tf.reduce_sum(log_marginals, axis=-1)
    given_image = tf.reduce_sum(tfd.Normal(mean, tf.exp(0.5 * logvar)).log_prob(z), axis=-1)
    log_prior = tf.reduce_sum(tfd.Normal(tf.zeros((), z.dtype), 1.0).log_prob(z), axis=-1)
    return BatchParts(given_image - log_q, log_q - log_product, log_product - log_prior)
