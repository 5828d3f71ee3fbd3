r"""The importance-weighted autoencoder, and what the gradient of its bound is worth.

With K samples z_k ~ q(z|x) and weights w_k = p(x, z_k)/q(z_k|x) the bound is log (1/K) Σ_k w_k.  Its value is one; its
gradient with respect to the encoder can be estimated in several ways, which differ in noise, and one in its mean.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from vaecourse.data.names import known
from vaecourse.models import likelihoods, objectives
from vaecourse.models.vae import VAE
from vaecourse.training.inputs import Array

GRADIENTS = ("plain", "sticking_the_landing", "doubly_reparameterized")


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class ImportanceWeightedVAE(VAE):
    r"""VAE trained on the importance-weighted bound log (1/K) Σ_k w_k :cite:p:`burda2016`.

    `fit` maximizes the mean of the bound over images.  There is no β in it and no KL in closed form: with K = 1 and
    the plain gradient this is a :class:`~vaecourse.models.VAE` with ``kl="monte_carlo"``.

    Parameters
    ----------
    encoder, decoder, likelihood, seed
        As for :class:`~vaecourse.models.VAE`.
    samples : int
        K.
    gradient : {"plain", "sticking_the_landing", "doubly_reparameterized"}
        How the gradient for the encoder's weights φ is estimated.  With w̃_k = w_k/Σ_j w_j and z_k = z(ε_k, φ) it is

        - plain: Σ_k w̃_k d log w_k/dφ, the derivative of the bound as it is written;
        - sticking the landing :cite:p:`roeder2017`: Σ_k w̃_k (∂ log w_k/∂z_k) ∂z_k/∂φ, without the derivative of
          log q(z|x) by its own parameters.  Zero wherever q is the true posterior.  Unbiased for K = 1 only;
        - doubly reparameterized :cite:p:`tucker2019`: Σ_k w̃_k² (∂ log w_k/∂z_k) ∂z_k/∂φ.  Unbiased for every K.

        The decoder's gradient is Σ_k w̃_k d log w_k/dθ in all of them.

    Raises
    ------
    ValueError
        If the name of the gradient is unknown, or `kl` or `beta` is given.

    Notes
    -----
    The metrics, in nats: `loss` and `bound`, one the negative of the other; `elbo`, `log_likelihood` and `kl`, averages
    over the K samples.
    """

    measured = ("loss", "bound", "elbo", "log_likelihood", "kl")
    directions = MappingProxyType({**VAE.directions, "bound": "max"})
    _choices = ("samples", "seed", "gradient")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        *,
        samples: int = 5,
        gradient: str = "plain",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        known(gradient, GRADIENTS, "gradient")
        if {"kl", "beta"} & kwargs.keys():
            raise ValueError("the importance-weighted bound has neither kl nor beta to choose; leave them out")
        super().__init__(encoder, decoder, likelihood, kl="monte_carlo", samples=samples, seed=seed, **kwargs)
        self.gradient = gradient

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the bound, negated and as it is, the ELBO and its two terms per image, each `(batch,)`, in nats."""
        eps = eps if eps.shape.rank == 3 else eps[tf.newaxis]  # a single sample has no axis of its own
        mean, logvar = self.posterior_parameters(x, y, training)
        z = self.reparameterize(mean, logvar, eps)
        later: list[tf.Tensor] = []
        if self.gradient == "doubly_reparameterized":
            z = _times_on_the_way_back(z, later)
        if self.gradient != "plain":  # log q depends on the encoder through z alone; its value stays exact
            logvar = tf.stop_gradient(logvar)
            eps += (z - tf.stop_gradient(z)) * tf.exp(-0.5 * logvar)
        log_likelihood = self.log_likelihood(x, z, y, training)
        kl = objectives.sampled_kl(z, eps, logvar)
        log_weights = log_likelihood - kl
        later.append(tf.stop_gradient(tf.nn.softmax(log_weights, axis=0))[..., tf.newaxis])
        bound = objectives.importance_weighted_bound(log_weights)
        averages = [tf.reduce_mean(values, axis=0) for values in (log_weights, log_likelihood, kl)]
        return dict(zip(self.measured, (-bound, bound, *averages), strict=True))


def _times_on_the_way_back(z: tf.Tensor, later: list[tf.Tensor]) -> tf.Tensor:
    """Return `z`, and multiply what flows back through it by the first of `later`: a factor not known yet."""

    @tf.custom_gradient
    def through(z: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        return tf.identity(z), lambda upstream: upstream * later[0]

    return through(z)
