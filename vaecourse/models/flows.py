"""Normalizing flows on z: posteriors that are no longer a diagonal normal distribution."""

from numbers import Integral
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from vaecourse.models import likelihoods, objectives
from vaecourse.models.vae import VAE
from vaecourse.training.inputs import Array

tfb, tfd = tfp.bijectors, tfp.distributions


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class CouplingFlow(layers.Layer):
    r"""An invertible map of noise that differs from image to image: affine coupling :cite:p:`dinh2017`.

    Every step keeps one half of the coordinates and moves the other by what a small network makes of the kept half
    and of a context, which says what image it is:

    .. math:: \epsilon_b \leftarrow e^{s} \epsilon_b + t, \qquad (t, s) = \mathrm{network}(\epsilon_a, \text{context}).

    s goes through a tanh, so that no step scales by more than e or less than 1/e.

    The halves change places from step to step.  The Jacobian is triangular, so that ln \|det\| = Σ s; and the step is
    undone by (ε_b − t) e⁻ˢ, with the same t and s, since ε_a has stayed.  So map and
    inverse both have a closed form and take one pass a step; planar flows :cite:p:`rezende2015` have no inverse in
    closed form, and inverse autoregressive ones :cite:p:`kingma2016` need one pass per latent for it.

    The last layer of each network begins at zero, and the flow therefore as the identity.

    Parameters
    ----------
    latent_dim : int
        d, at least 2.
    steps : int
        With 0 the flow is the identity and has no weights.
    hidden : int
        Width of the hidden layer of each step's network.
    seed : int
        The initial weights are a function of it.

    Raises
    ------
    ValueError
        If there are fewer than two latents, `steps` is negative or `hidden` is not positive.
    """

    def __init__(self, latent_dim: int, steps: int = 4, hidden: int = 64, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # in half precision ε would lose what the determinant counts on
        if not (isinstance(latent_dim, Integral) and latent_dim >= 2):
            raise ValueError(f"coupling moves one half of the latents by the other: expected d ≥ 2, got {latent_dim!r}")
        if not (isinstance(steps, Integral) and steps >= 0 and isinstance(hidden, Integral) and hidden >= 1):
            raise ValueError(f"expected integers steps ≥ 0 and hidden ≥ 1, got steps={steps!r}, hidden={hidden!r}")
        self.latent_dim: int = latent_dim
        self.half: int = latent_dim // 2
        self.steps: int = steps
        self.hidden: int = hidden
        self.seed: int = seed
        self.networks: list[keras.Model] = [self._network(step) for step in range(steps)]

    def call(self, eps: tf.Tensor, context: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        r"""Move noise, and say how much it was stretched.

        Parameters
        ----------
        eps : tensor `(..., batch, d)`
            Standard normal; leading axes are samples.
        context : tensor `(batch, 2·d)`
            Mean and log-variance of the image's normal distribution, side by side.

        Returns
        -------
        tensor `(..., batch, d)`, tensor `(..., batch)`
            f(ε), and ln \|det ∂f/∂ε\|.
        """
        log_det = tf.zeros(tf.shape(eps)[:-1], eps.dtype)
        for step in range(self.steps):
            first, last = tf.split(eps, [self.half, self.latent_dim - self.half], axis=-1)
            kept, moved = (last, first) if step % 2 else (first, last)
            shift, log_scale = self._shift_and_log_scale(step, kept, context)
            moved = tf.exp(log_scale) * moved + shift
            eps = tf.concat([moved, kept] if step % 2 else [kept, moved], axis=-1)
            log_det += tf.reduce_sum(log_scale, axis=-1)
        return eps, log_det

    def bijector(self, context: tf.Tensor) -> tfp.bijectors.Bijector:
        """Return the same map as a bijector of TFP, which has the inverse, too."""

        def of(step: int) -> tfp.bijectors.RealNVP:
            kept = self.half - self.latent_dim if step % 2 else self.half  # negative: the last ones
            return tfb.RealNVP(kept, shift_and_log_scale_fn=lambda x, _: self._shift_and_log_scale(step, x, context))

        return tfb.Chain([of(step) for step in reversed(range(self.steps))])

    def get_config(self) -> dict[str, Any]:
        choices = {name: getattr(self, name) for name in ("latent_dim", "steps", "hidden", "seed")}
        return {**super().get_config(), **choices}

    # --- inside ----------------------------------------------------------------------------------------------------

    def _network(self, step: int) -> keras.Model:
        kept = self.latent_dim - self.half if step % 2 else self.half
        seed = 1000 * self.seed + step
        return keras.Sequential(
            [
                keras.Input((kept + 2 * self.latent_dim,)),
                layers.Dense(self.hidden, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed)),
                layers.Dense(2 * (self.latent_dim - kept), kernel_initializer="zeros"),
            ]
        )

    def _shift_and_log_scale(self, step: int, kept: tf.Tensor, context: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        context = tf.broadcast_to(context, tf.concat([tf.shape(kept)[:-1], tf.shape(context)[-1:]], 0))
        inputs = tf.concat([kept, context], axis=-1)
        output = self.networks[step](tf.reshape(inputs, (-1, inputs.shape[-1])))
        output = tf.cast(tf.reshape(output, tf.concat([tf.shape(kept)[:-1], output.shape[-1:]], 0)), kept.dtype)
        shift, log_scale = tf.split(output, 2, axis=-1)
        return shift, tf.tanh(log_scale)  # a step scales by e at most, so that training cannot run away


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class FlowVAE(VAE):
    r"""VAE whose posterior is a normal distribution bent by a flow :cite:p:`rezende2015`.

    With f the flow of an image, z = mean + exp(½ logvar) · f(ε), ε ~ N(0, I).  That is the flow z₀ ↦ z on the diagonal
    normal z₀ = mean + exp(½ logvar) · ε, written in the units of that distribution: both maps have the determinant of
    f, and

    .. math:: \log q(z|x) = \log q_0(z_0|x) - \sum_k \ln |\det \partial f_k|.

    KL(q ‖ p) has no closed form and is estimated by log q(z|x) − log p(z) at the z of the likelihood.

    Parameters
    ----------
    encoder, decoder : keras.Model
    flow : CouplingFlow
    likelihood : str or likelihoods.Likelihood
    kl : {"monte_carlo"}
    **options
        As for :class:`~vaecourse.models.VAE`.

    Notes
    -----
    :meth:`posterior_parameters` returns those of the normal distribution before the flow.  Without noise
    :meth:`reconstruct` decodes what the flow makes of its center, which need not be the mean of q.

    Raises
    ------
    ValueError
        If `kl` is another, or flow and decoder disagree about the number of latents.
    """

    _parts = ("encoder", "decoder", "flow", "likelihood")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        flow: CouplingFlow,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        *,
        kl: str = "monte_carlo",
        **options: Any,
    ) -> None:
        if kl != "monte_carlo":
            raise ValueError(f"a KL with a flow has no closed form: kl must be 'monte_carlo', got {kl!r}")
        if decoder.input_shape[-1] != flow.latent_dim:
            raise ValueError(f"the flow moves {flow.latent_dim} latents, the decoder takes {decoder.input_shape[-1]}")
        self.flow = flow
        super().__init__(encoder, decoder, likelihood, kl=kl, **options)

    def encode(self, x: Array, y: Array | None = None) -> tfp.distributions.TransformedDistribution:
        """Return q(z|x): samples and `log_prob`, which inverts the flow; mean and variance are not known."""
        mean, logvar = self.posterior_parameters(x, y)
        normal = tfb.Chain([tfb.Shift(mean), tfb.ScaleMatvecDiag(tf.exp(0.5 * logvar))])
        flow = self.flow.bijector(tf.concat([mean, logvar], axis=-1))
        noise = tfd.MultivariateNormalDiag(tf.zeros_like(mean), tf.ones_like(mean))
        return tfd.TransformedDistribution(noise, tfb.Chain([normal, flow]))

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return the posterior samples of the noise `eps`: mean + exp(½ logvar) · f(eps)."""
        return super().reparameterize(mean, logvar, self._flowed(mean, logvar, eps)[0])

    def sample_and_log_q(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the sample of the noise, which the flow has moved, and log q: the stretching taken off."""
        flowed, log_det = self._flowed(mean, logvar, eps)
        z = objectives.reparameterize(mean, logvar, flowed)
        return z, self.prior_distribution().log_prob(eps) - 0.5 * tf.reduce_sum(logvar, axis=-1) - log_det

    def reconstruct(
        self, x: Array, eps: Array | None = None, y: Array | None = None, training: bool = False
    ) -> tf.Tensor:
        """As for a VAE; without noise, the image of ε = 0 is decoded."""
        eps = tf.zeros((tf.shape(x)[0], self.latent_dim), self.variable_dtype) if eps is None else eps
        return super().reconstruct(x, eps, y, training)

    def _flowed(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.flow(eps, tf.concat([mean, logvar], axis=-1))

    def _sampled_terms(
        self, x: Array, eps: tf.Tensor, y: Array | None, kl: str, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        mean, logvar = self.posterior_parameters(x, y, training)
        flowed, log_det = self._flowed(mean, logvar, eps)
        z = objectives.reparameterize(mean, logvar, flowed)
        return self.log_likelihood(x, z, y, training), objectives.sampled_kl(z, eps, logvar) - log_det
