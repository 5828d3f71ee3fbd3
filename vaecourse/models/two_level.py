r"""Two levels of latents: z₂, what is drawn first, and z₁, whose distribution z₂ decides."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.models import likelihoods, objectives
from vaecourse.models.conditional import relative_to
from vaecourse.models.vae import VAE
from vaecourse.training.inputs import Array

tfb, tfd = tfp.bijectors, tfp.distributions


class LevelTerms(NamedTuple):
    """The terms of the ELBO of two levels, of the shape of the noise without its last axis, in nats.

    Attributes
    ----------
    log_likelihood : tensor
        log p(x|z₁).
    kl_top : tensor
        KL(q(z₂|x) ‖ p(z₂)).
    kl_bottom : tensor
        KL(q(z₁|x, z₂) ‖ p(z₁|z₂)) at the z₂ of the noise.
    """

    log_likelihood: tf.Tensor
    kl_top: tf.Tensor
    kl_bottom: tf.Tensor


def product(
    mean: tf.Tensor, logvar: tf.Tensor, other_mean: tf.Tensor, other_logvar: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and log-variance of the normal density that is proportional to the product of two.

    Precisions, which are inverse variances, add up; the mean is that of both means, weighed by their precisions.
    """
    weight = tf.sigmoid(other_logvar - logvar)
    return weight * mean + (1 - weight) * other_mean, logvar - tf.nn.softplus(logvar - other_logvar)


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class TwoLevelVAE(VAE):
    r"""VAE with two levels of latents, inferred from the top down :cite:p:`sonderby2016`.

    The model draws z₂ ~ N(0, I), then z₁ ~ p(z₁|z₂) = N(m(z₂), diag s²(z₂)), then x ~ p(x|z₁).  The posterior is
    inferred in the same order and shares the network of the prior: q(z₂|x) is a normal distribution, and so is

    .. math:: q(z_1|x, z_2) \propto N(z_1; \hat\mu(x), \hat\sigma^2(x)) \; p(z_1|z_2),

    the prior times what the image says.  The bound has a KL for each level,

    .. math::

        \log p(x) \ge{} & E_q[\log p(x|z_1)] - \mathrm{KL}(q(z_2|x) \| p(z_2)) \\
        & - E_{q(z_2|x)} \mathrm{KL}(q(z_1|x, z_2) \| p(z_1|z_2)).

    Parameters
    ----------
    encoder : keras.Model
        Maps images to `(batch, 2·d)`, d = d₂ + d₁: the means of z₂ and z₁, the log-variances of z₂ and z₁.
    decoder : keras.Model
        Maps latents `(batch, d)`, z₂ before z₁, to the raw parameters of p(x|z).
    prior : keras.Model
        Maps z₂ `(batch, d₂)` to `(batch, 2·d₁)`: mean and log-variance of p(z₁|z₂).
    likelihood : str or likelihoods.Likelihood
    kl : {"analytic", "monte_carlo"}
        Whether the KL of a level is computed in closed form, given the level above, or estimated.
    **options
        As for :class:`~vaecourse.models.VAE`.

    Raises
    ------
    ValueError
        If the shapes of the networks do not fit each other.

    Notes
    -----
    Beside the metrics of a VAE there are `kl_top` and `kl_bottom`, whose sum is `kl`.  :meth:`posterior_parameters`
    returns what the encoder says before z₂ is known.  Introduced in the chapter *Priors*.
    """

    _parts = ("encoder", "decoder", "prior", "likelihood")
    measured = ("loss", "elbo", "log_likelihood", "kl", "kl_top", "kl_bottom")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        prior: keras.Model,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        **options: Any,
    ) -> None:
        latents, top = decoder.input_shape[-1], prior.input_shape[-1]
        if not 1 <= top < latents or prior.output_shape[-1] != 2 * (latents - top):
            raise ValueError(
                f"the decoder takes {latents} latents and the prior maps {top} numbers to {prior.output_shape[-1]}: "
                f"expected a prior from d₂ latents to means and log-variances of the other {latents} − d₂"
            )
        self.prior: keras.Model = prior
        self.top: int = top
        super().__init__(encoder, decoder, likelihood, **options)

    def bottom_prior(self, top: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and log-variance of p(z₁|z₂) for z₂ `(..., d₂)`, each `(..., d₁)`."""
        output = self.prior(tf.reshape(top, (-1, self.top)), training=training)
        output = tf.reshape(output, tf.concat([tf.shape(top)[:-1], output.shape[-1:]], 0))
        mean, logvar = tf.split(tf.cast(output, self.variable_dtype), 2, axis=-1)
        return mean, logvar

    def prior_distribution(self, y: Array | None = None) -> tfp.distributions.TransformedDistribution:
        """Return p(z₂, z₁), whose events are latents `(d,)`, z₂ first."""
        return tfd.TransformedDistribution(self._standard_normal(), self._below(self.bottom_prior))

    def encode(self, x: Array, y: Array | None = None) -> tfp.distributions.TransformedDistribution:
        """Return q(z₂, z₁|x): samples and `log_prob`; mean and variance of z₁ are not known."""
        mean, logvar = self.posterior_parameters(x, y)
        deviation = tf.exp(0.5 * logvar)
        first = tf.cast(tf.range(self.latent_dim) < self.top, mean.dtype)
        scale = tfb.ScaleMatvecDiag(first * deviation + (1 - first))
        below = self._below(lambda top: self._bottom_posterior(mean, logvar, top, False)[:2])
        chain = tfb.Chain([below, tfb.Shift(first * mean), scale])
        return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros_like(mean), tf.ones_like(mean)), chain)

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return the posterior samples (z₂, z₁) of the noise `eps`: z₂ first, then z₁ given z₂."""
        return self.sample_and_log_q(mean, logvar, eps)[0]

    def sample_and_log_q(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the posterior sample of the noise and log q(z₂|x) + log q(z₁|x, z₂)."""
        z, (_, second), _ = self._top_down(mean, logvar, eps, False)
        log_q = self._standard_normal().log_prob(eps) - 0.5 * tf.reduce_sum(second, -1)
        return z, log_q - 0.5 * tf.reduce_sum(logvar[..., : self.top], -1)

    def sample(self, n: int, seed: int = 0, y: Array | None = None) -> tf.Tensor:
        """Decode `n` draws from the prior, z₂ first; the mean images `(n, height, width, channels)`."""
        return self.decode(self.prior_distribution().sample(n, seed=(seed, n)), y).mean()

    def level_terms(self, x: Array, eps: tf.Tensor, training: bool = False, kl: str | None = None) -> LevelTerms:
        """Return the terms of the bound at the noise `eps` `(..., batch, d)`, one KL for each level.

        Parameters
        ----------
        x : images
        eps : tensor `(..., batch, d)`
        training : bool
        kl : {"analytic", "monte_carlo"}, optional
            Without it, that of the model.
        """
        mean, logvar = self.posterior_parameters(x, None, training)
        z, (bottom_mean, bottom_logvar), given = self._top_down(mean, logvar, eps, training)
        bottom = relative_to(bottom_mean, bottom_logvar, *given)
        top = mean[..., : self.top], logvar[..., : self.top]
        if (kl or self.kl) == "analytic":
            kls = objectives.analytic_kl(*top) + tf.zeros_like(eps[..., 0]), objectives.analytic_kl(*bottom)
        else:
            kls = tuple(
                objectives.monte_carlo_kl(*level, noise)
                for level, noise in ((top, eps[..., : self.top]), (bottom, eps[..., self.top :]))
            )
        return LevelTerms(self.log_likelihood(x, z, None, training), *kls)

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the objective, negated, the ELBO and its terms per image, each `(batch,)`, in nats."""
        terms = self.level_terms(x, eps, training)
        likelihood, top, bottom = (tf.reduce_mean(term, 0) if term.shape.rank == 2 else term for term in terms)
        return {
            "loss": -objectives.elbo(likelihood, top + bottom, self.beta * self.kl_weight),
            "elbo": objectives.elbo(likelihood, top + bottom),
            "log_likelihood": likelihood,
            "kl": top + bottom,
            "kl_top": top,
            "kl_bottom": bottom,
        }

    # --- inside ----------------------------------------------------------------------------------------------------

    def _sampled_terms(
        self, x: Array, eps: tf.Tensor, y: Array | None, kl: str, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        terms = self.level_terms(x, eps, training, kl)
        return terms.log_likelihood, terms.kl_top + terms.kl_bottom

    def _bottom_posterior(self, mean: tf.Tensor, logvar: tf.Tensor, top: tf.Tensor, training: bool) -> tuple:
        """Return mean and log-variance of q(z₁|x, z₂), then the pair of p(z₁|z₂)."""
        given = self.bottom_prior(top, training)
        return *product(mean[..., self.top :], logvar[..., self.top :], *given), given

    def _top_down(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor, training: bool) -> tuple:
        top = objectives.reparameterize(mean[..., : self.top], logvar[..., : self.top], eps[..., : self.top])
        center, spread, given = self._bottom_posterior(mean, logvar, top, training)
        z = tf.concat([top, objectives.reparameterize(center, spread, eps[..., self.top :])], -1)
        return z, (center, spread), given

    def _standard_normal(self) -> tfp.distributions.Distribution:
        zeros = tf.zeros(self.latent_dim, self.variable_dtype)
        return tfd.MultivariateNormalDiag(zeros, tf.ones_like(zeros))

    def _below(self, parameters: Any) -> tfp.bijectors.Bijector:
        """Return the map that keeps z₂ and makes of noise z₁, by mean and log-variance that are functions of z₂."""

        def shift_and_log_scale(top: tf.Tensor, _: int) -> tuple[tf.Tensor, tf.Tensor]:
            mean, logvar = parameters(top)
            return mean, 0.5 * logvar

        return tfb.RealNVP(self.top, shift_and_log_scale_fn=shift_and_log_scale)
