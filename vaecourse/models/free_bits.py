"""A floor under the KL of every latent: free bits, a cure of posterior collapse."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.models import likelihoods, objectives
from vaecourse.models.vae import VAE
from vaecourse.training.inputs import Array


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class FreeBitsVAE(VAE):
    r"""VAE whose latents may each carry some nats for which the objective does not charge :cite:p:`kingma2016`.

    With KL_j(x) = KL(q(z_j|x) ‖ p(z_j)) of one latent, and averages over the B images of a batch, `fit` minimizes

    .. math:: -\frac1B \sum_i \log p(x_i|z_i) + \beta \sum_j \max\Big(\lambda, \frac1B \sum_i \mathrm{KL}_j(x_i)\Big).

    Where a latent has less than λ, its KL has no gradient, and nothing draws it to the prior.  The loss of a single
    image is −log p(x|z) + β [KL(x) + Σ_j max(0, λ − mean of KL_j)], which has that average.

    Parameters
    ----------
    *parts
        As for :class:`~vaecourse.models.VAE`: encoder, decoder and likelihood.
    free_nats : float
        λ, for each latent.  With 0 this is a :class:`~vaecourse.models.VAE`.
    **options
        As for :class:`~vaecourse.models.VAE`, with the KL in closed form.

    Raises
    ------
    ValueError
        If λ is negative or not finite, or another `kl` than ``"analytic"`` is asked for.

    Notes
    -----
    The metrics `elbo` and `kl` are those of a VAE: nothing is free in them.  Averages are over the batch, or over the
    part of it that a replica has.
    """

    _choices = (*VAE._choices, "free_nats")

    def __init__(self, *parts: Any, free_nats: float = 0.25, kl: str = "analytic", **options: Any) -> None:
        if kl != "analytic":
            raise ValueError(f"the floor is one of the KL in closed form: kl must be 'analytic', got {kl!r}")
        if not (np.isfinite(free_nats) and free_nats >= 0):
            raise ValueError(f"expected a finite number of free nats of at least 0, got {free_nats!r}")
        self.free_nats: float = free_nats
        super().__init__(*parts, kl=kl, **options)

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the objective, negated, the ELBO and its two terms per image, each `(batch,)`, in nats."""
        mean, logvar = self.posterior_parameters(x, y, training)
        log_likelihood = self.log_likelihood(x, self.reparameterize(mean, logvar, eps), y, training)
        log_likelihood = tf.reduce_mean(log_likelihood, axis=0) if eps.shape.rank == 3 else log_likelihood
        kl = self._kl(mean, logvar, None, y, training)
        charged = kl + unused(objectives.analytic_kl(mean[..., tf.newaxis], logvar[..., tf.newaxis]), self.free_nats)
        return {
            "loss": -objectives.elbo(log_likelihood, charged, self.beta * self.kl_weight),
            "elbo": objectives.elbo(log_likelihood, kl),
            "log_likelihood": log_likelihood,
            "kl": kl,
        }


def unused(kl: tf.Tensor, free_nats: float) -> tf.Tensor:
    r"""Return by how much the latents stay below the floor: Σ_j max(0, λ − mean over the batch of KL_j).

    Parameters
    ----------
    kl : tensor `(batch, d)`
        Of every image and latent.
    free_nats : float
        λ.

    Returns
    -------
    scalar tensor, nats
    """
    kl = tf.nn.relu(tf.reduce_mean(kl, axis=0))  # by rounding, a mean may be below 0
    return tf.reduce_sum(tf.nn.relu(free_nats - kl))
