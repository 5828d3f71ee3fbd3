r"""Priors that are networks of a condition, and p(z|y), the prior of a digit.

A diagonal Gaussian prior N(m, diag s²) needs no estimator of its own.  In the coordinates u = (z − m)/s it is standard
normal, the approximate posterior has the mean (μ − m)/s and the log-variance ln σ² − ln s², and a KL is the same in all
coordinates.
"""

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.models import likelihoods
from vaecourse.models.digits import ConditionalVAE
from vaecourse.models.vae import VAE
from vaecourse.training.inputs import Array

tfd = tfp.distributions


def relative_to(
    mean: tf.Tensor, logvar: tf.Tensor, prior_mean: tf.Tensor, prior_logvar: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Return mean and log-variance of a Gaussian in the coordinates in which another one is standard normal.

    (μ − m)/s and ln σ² − ln s².  The estimators of :mod:`vaecourse.models.objectives`, called on them, estimate the KL
    to N(m, diag s²): in closed form it is ½ Σ_j [(μ_j − m_j)²/s_j² + σ_j²/s_j² − ln(σ_j²/s_j²) − 1], in nats.

    Parameters
    ----------
    mean, logvar : tensor `(..., d)`
        μ and ln σ².
    prior_mean, prior_logvar : tensor `(..., d)`
        m and ln s².
    """
    return (mean - prior_mean) * tf.exp(-0.5 * prior_logvar), logvar - prior_logvar


class LearnedPrior(VAE):
    """VAE whose prior is a diagonal Gaussian that a network makes of a condition."""

    _parts = ("encoder", "decoder", "prior", "likelihood")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        prior: keras.Model,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        **options: Any,
    ) -> None:
        self.prior: keras.Model = prior
        super().__init__(encoder, decoder, likelihood, **options)
        if prior.output_shape[-1] != 2 * self.latent_dim:
            raise ValueError(
                f"the prior ends in {prior.output_shape[-1]} numbers; {self.latent_dim} latents need "
                f"{2 * self.latent_dim}: their means and log-variances"
            )
        expected, got = self.condition_shape, tuple(prior.input_shape[1:])
        if got != expected:
            raise ValueError(f"expected a prior that takes conditions of shape {expected}, got one that takes {got}")

    @property
    def condition_shape(self) -> tuple[int, ...]:
        """Shape of one input of the prior."""
        return (self.classes,)

    def prior_parameters(self, y: Array, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and log-variance of p(z|y), each `(batch, d)`."""
        output = self.prior(self._prior_input(self.checked_labels(y)), training=training)
        mean, logvar = tf.split(tf.cast(output, self.variable_dtype), 2, axis=-1)
        return mean, logvar

    def prior_distribution(self, y: Array | None = None) -> tfp.distributions.MultivariateNormalDiag:
        """Return p(z|y) for conditions y."""
        if y is None:
            raise ValueError(f"a {type(self).__name__} has a prior for every condition: expected conditions y")
        mean, logvar = self.prior_parameters(y)
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def sample(self, n: int, seed: int = 0, y: Array | None = None) -> tf.Tensor:
        """Decode `n` draws from the priors of as many conditions; the mean images `(n, height, width, channels)`."""
        if y is None or len(y) != n:
            raise ValueError(f"{type(self).__name__} draws from p(z|y): expected {n} conditions y, one for each draw")
        eps = tf.random.stateless_normal((n, self.latent_dim), (seed, n), dtype=self.variable_dtype)
        return self.decode(self.reparameterize(*self.prior_parameters(y), eps), y).mean()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _prior_input(self, y: Array) -> tf.Tensor:
        raise NotImplementedError

    def _kl(
        self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor | None, y: Array | None, training: bool
    ) -> tf.Tensor:
        return super()._kl(*relative_to(mean, logvar, *self.prior_parameters(y, training)), eps, y, training)


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class LearnedPriorVAE(LearnedPrior, ConditionalVAE):
    r"""Conditional VAE with a prior of its own for every digit.

    `fit` maximizes log p(x|z, y) − β KL(q(z|x, y) ‖ p(z|y)), with β = 1 a bound on log p(x|y).  Where the prior network
    returns zeros, p(z|y) = N(0, I), and the model is a :class:`~vaecourse.models.ConditionalVAE`.

    Parameters
    ----------
    encoder, decoder : keras.Model
        As for :class:`~vaecourse.models.ConditionalVAE`.
    prior : keras.Model
        Maps one number for each class to `(batch, 2·d)`: mean and log-variance of p(z|y), side by side.
    likelihood, **options
        As for :class:`~vaecourse.models.VAE`.

    Raises
    ------
    ValueError
        If the shapes of the networks do not fit each other.

    Notes
    -----
    The metric `kl` is that to p(z|y).  Introduced in the chapter *Conditioning*.
    """

    def _prior_input(self, y: Array) -> tf.Tensor:
        return self.probabilities(y)
