"""A VAE whose prior is learned, together with it or afterwards."""

from numbers import Integral
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import data
from vaecourse.models import likelihoods
from vaecourse.models.priors import Prior, VampPrior
from vaecourse.models.vae import VAE
from vaecourse.training import EVALUATION_BATCH, Adam
from vaecourse.training.inputs import Array


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class PriorVAE(VAE):
    r"""VAE with a prior of :mod:`vaecourse.models.priors` in place of N(0, I).

    The KL to such a prior has no closed form.  It is estimated by log q(z|x) − log p(z) at the z of the likelihood, and
    `fit` trains the prior together with the networks :cite:p:`tomczak2018,chen2017`.

    Parameters
    ----------
    encoder, decoder : keras.Model
    prior : vaecourse.models.priors.Prior
    likelihood : str or likelihoods.Likelihood
    kl : {"monte_carlo"}
    **options
        As for :class:`~vaecourse.models.VAE`.

    Raises
    ------
    TypeError
        If the prior is none of these.
    ValueError
        If `kl` is another, or prior and networks disagree about the number of latents or the shape of the images.

    Notes
    -----
    The metric `kl` is that to the learned prior.  Introduced in the chapter *Priors*.
    """

    _parts = ("encoder", "decoder", "prior", "likelihood")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        prior: Prior,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        *,
        kl: str = "monte_carlo",
        **options: Any,
    ) -> None:
        if not isinstance(prior, Prior):
            raise TypeError(f"expected a prior of vaecourse.models.priors, got {type(prior).__name__}")
        if kl != "monte_carlo":
            raise ValueError(f"a KL to a learned prior has no closed form: kl must be 'monte_carlo', got {kl!r}")
        if decoder.input_shape[-1] != prior.latent_dim:
            raise ValueError(
                f"the prior is one of {prior.latent_dim} latents, the decoder takes {decoder.input_shape[-1]}"
            )
        if isinstance(prior, VampPrior) and prior.image_shape != decoder.output_shape[1:]:
            raise ValueError(
                f"the pseudo-inputs have the shape {prior.image_shape}, the images {decoder.output_shape[1:]}"
            )
        self.prior = prior
        super().__init__(encoder, decoder, likelihood, kl=kl, **options)

    def prior_distribution(self, y: Array | None = None) -> tfp.distributions.Distribution:
        """Return p(z), whose events are latents `(d,)`."""
        return self.prior.distribution(self.encoder)

    def sample(self, n: int, seed: int = 0, y: Array | None = None) -> tf.Tensor:
        """Decode `n` draws from the learned prior; the mean images `(n, height, width, channels)`."""
        return self.decode(self.prior_distribution().sample(n, seed=(seed, n)), y).mean()

    def _kl(
        self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor | None, y: Array | None, training: bool
    ) -> tf.Tensor:
        if eps is None:
            raise ValueError("a KL to a learned prior has no closed form: it is estimated at the noise of a sample")
        z, log_q = self.sample_and_log_q(mean, logvar, eps)
        return log_q - self.prior.distribution(self.encoder, training).log_prob(z)


def fitted_prior(
    vae: VAE, prior: Prior, images: np.ndarray, epochs: int = 10, batch_size: int = 100, rate: float = 2e-3
) -> PriorVAE:
    r"""Fit a prior to the aggregate posterior of a VAE that stays as it is.

    Maximizes E_{q(z)} log p(z) by Adam, on one new draw z ~ q(z|x) of every image and epoch.  That is the one part of
    the ELBO in which the prior stands, and maximizing it minimizes KL(q(z) ‖ p(z)) over the priors of this kind.
    Neither network learns, and the decoder is not even asked.

    Parameters
    ----------
    vae : VAE
        Trained.  Its posterior is a normal distribution, and it knows no labels.
    prior : vaecourse.models.priors.Prior
        Is changed.
    images : array `(n, height, width, channels)`
        Those that the VAE was trained on.
    epochs, batch_size : int
    rate : float
        Adam's learning rate, which falls to zero along a cosine.

    Returns
    -------
    PriorVAE
        Of the networks of `vae`, which are shared and not copied, and of the prior.

    Raises
    ------
    TypeError, ValueError
        If the images cannot be used, the posterior of the model is not that of a plain `VAE`, or there is no epoch.
    """
    if type(vae).sample_and_log_q is not VAE.sample_and_log_q or vae.classes:
        raise ValueError(
            f"a prior is fitted to normal posteriors without labels, as a VAE has them, not to a {type(vae).__name__}'s"
        )
    if not all(isinstance(number, Integral) and number >= 1 for number in (epochs, batch_size)):
        raise ValueError(f"expected integers epochs ≥ 1 and batch_size ≥ 1, got {epochs!r} and {batch_size!r}")
    with_prior = PriorVAE(
        vae.encoder, vae.decoder, prior, vae.likelihood, beta=vae.beta, samples=vae.samples, seed=vae.seed
    )
    encoded = [vae.posterior_parameters(x) for x in data.batches(vae.checked(images), EVALUATION_BATCH)]
    mean, logvar = (tf.concat(part, 0) for part in zip(*encoded, strict=True))
    steps = epochs * -(-len(images) // batch_size)
    optimizer = Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    weights = prior.trainable_variables
    optimizer.build(weights)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32)])
    def learn(rows: tf.Tensor, step: tf.Tensor) -> None:
        shape = (tf.shape(rows)[0], vae.latent_dim)
        eps = tf.random.stateless_normal(shape, tf.stack([vae.seed, step]), dtype=mean.dtype)
        z = vae.reparameterize(tf.gather(mean, rows), tf.gather(logvar, rows), eps)
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(prior.distribution(vae.encoder).log_prob(z))
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    step_of = learn.get_concrete_function()
    for step in range(steps if weights else 0):
        if step % (steps // epochs) == 0:
            order = np.random.default_rng((vae.seed, step)).permutation(len(images)).astype(np.int32)
        first = step % (steps // epochs) * batch_size
        step_of(tf.constant(order[first : first + batch_size]), tf.constant(step))
    return with_prior
