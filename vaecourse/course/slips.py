"""Classes that slip: where a VAE or a likelihood would refuse to, these do what a program without checks does."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.data.names import known
from vaecourse.models import VAE, likelihoods, objectives

MISCOUNTS: dict[str, Callable[[VAE, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "kl negated": lambda vae, log_likelihood, kl: -log_likelihood - kl,
    "kl averaged": lambda vae, log_likelihood, kl: -log_likelihood + kl / vae.latent_dim,
    "kl twice": lambda vae, log_likelihood, kl: -log_likelihood + kl + kl,
    "pixels averaged": lambda vae, log_likelihood, kl: -log_likelihood / np.prod(vae.image_shape) + kl,
}
"""Losses per image, of a model and both terms in nats, each of which should have been minus the ELBO."""


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class MiscountedVAE(VAE):
    """VAE that minimizes one of :data:`MISCOUNTS`; its other metrics are right.

    Parameters
    ----------
    encoder, decoder, likelihood, **options
        As for :class:`~vaecourse.models.VAE`.
    miscount : str
        A key of :data:`MISCOUNTS`.

    Raises
    ------
    ValueError
        If it is none of these.
    """

    _choices = (*VAE._choices, "miscount")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        *,
        miscount: str = "kl negated",
        **options: Any,
    ) -> None:
        known(miscount, MISCOUNTS, "miscount")
        super().__init__(encoder, decoder, likelihood, **options)
        self.miscount = miscount

    def objective(self, x: Any, y: Any, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        right = super().objective(x, y, eps, training)
        return right | {"loss": MISCOUNTS[self.miscount](self, right["log_likelihood"], right["kl"])}


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class SlippedVAE(VAE):
    """VAE that draws z = mean + exp(logvar) · eps, while its KL reads exp(logvar) as the variance.

    This is the slip of :cite:t:`theailearner`, and of programs it was taken from.  The objective is no lower bound,
    and :meth:`encode` and :meth:`log_weights` speak of the posterior that the KL assumes, not of the one drawn from.
    """

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return samples whose standard deviation is what the KL takes for the variance."""
        return objectives.reparameterize(mean, 2 * logvar, eps)


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class MisreadVAE(VAE):
    """VAE that draws z = mean + logvar · eps: what its KL reads as ln σ², its sampler reads as σ."""

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return samples whose standard deviation is what the KL takes for the log-variance."""
        return mean + logvar * eps


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class UncheckedBernoulli(likelihoods.Bernoulli):
    """Bernoulli likelihood that takes any numbers for pixels, as a bare cross-entropy does."""

    def check(self, images: np.ndarray) -> None:
        """Refuse nothing."""

    def supports(self, images: tf.Tensor) -> tf.Tensor:
        """Return that all pixels are in the support."""
        return tf.constant(True)
