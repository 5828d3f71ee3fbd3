"""The variational autoencoder, once: every source is this model with other parts."""

from collections.abc import Mapping
from numbers import Integral
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.models import likelihoods, objectives
from vaecourse.models.images import ImageModel, sizes
from vaecourse.models.objectives import Terms
from vaecourse.training.inputs import Array


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class VAE(ImageModel):
    r"""Variational autoencoder :cite:p:`kingma2014,rezende2014`: a Keras model of images that learns from images alone.

    A VAE describes an image x by latents z, a few real numbers.  The prior is p(z) = N(0, I).  The decoder and a
    likelihood give p(x|z), the distribution of the image given its latents.  The encoder gives the approximate
    posterior q(z|x) = N(mean, diag exp(logvar)), the distribution of the latents given the image.  :meth:`fit`
    maximizes the mean over images of log p(x|z) − β KL(q(z|x) ‖ p(z)), z ~ q(z|x); with β = 1 that is the evidence
    lower bound (ELBO), whose mean over z is at most log p(x).

    Parameters
    ----------
    encoder : keras.Model
        Maps images `(batch, height, width, channels)` to `(batch, 2·d)`: mean and log-variance, side by side.
    decoder : keras.Model
        Maps latents `(batch, d)` to the raw parameters of p(x|z), of the shape of the images.  Any Keras networks of
        these shapes will do; :mod:`vaecourse.models.networks` builds those of the course.
    likelihood : {"bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic"} or likelihoods.Likelihood
        How the decoder's output is turned into p(x|z).
    kl : {"analytic", "monte_carlo"}
        Whether the KL is computed in closed form, or estimated at the z of the likelihood.
    beta : float
        Weight of the KL in the objective.  The metric `elbo` has weight 1 whatever β is.
    samples : int
        Samples of z for each image and step.
    seed : int
        From 0 to 2³¹ − 1.  The noise of a step and the order of the images in an epoch are functions of the seed and of
        the number of batches before, so that two trainings from the same weights are the same, and a training that
        :func:`vaecourse.training.resume_from` resumes ends like one that was never interrupted.

    Raises
    ------
    ValueError
        If an option has no such value, or the shapes of the networks do not fit each other.

    Notes
    -----
    Everything is in nats per image: sums over pixels and latents, means over images.  The metrics are `loss` (minus the
    objective, and what regularizers of the networks add), `elbo`, `log_likelihood` and `kl`.

    In `fit` the networks are called with ``training=True``, everywhere else with ``training=False``: dropout, batch
    normalization and augmentation of a reader's own networks behave as in any Keras model.

    Every method that takes labels `y` hands them to both networks.  The networks of this class see no labels, and `y`
    must be None; those of :class:`~vaecourse.models.DigitVAE`, :class:`~vaecourse.models.ConditionalVAE` and
    :class:`~vaecourse.models.SemiSupervisedVAE` do.

    Examples
    --------
    >>> from vaecourse import VAE, data, measures, networks
    >>> digits = data.load("digits")
    >>> train, test = (data.binarize(data.scale(x)) for x in (digits.train_images, digits.test_images))
    >>> vae = VAE(*networks.mlp(latent_dim=2, hidden=(64,), activation="relu", seed=0), likelihood="bernoulli")
    >>> vae.compile("adam")
    >>> history = vae.fit(train, epochs=2, verbose=0)
    >>> measures.elbo(vae, test).mean < -200  # nats
    True
    >>> vae.encode(test[:8]).mean().shape, vae.reconstruct(test[:8]).shape, vae.sample(3).shape
    (TensorShape([8, 2]), TensorShape([8, 28, 28, 1]), TensorShape([3, 28, 28, 1]))
    """

    measured: tuple[str, ...] = ("loss", "elbo", "log_likelihood", "kl")
    directions: Mapping[str, str] = MappingProxyType({"loss": "min", "elbo": "max", "log_likelihood": "max"})

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        *,
        kl: str = "analytic",
        beta: float = 1.0,
        samples: int = 1,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kl not in ("analytic", "monte_carlo"):
            raise ValueError(f"expected 'analytic' or 'monte_carlo' for kl, got {kl!r}")
        if not (np.isfinite(beta) and beta >= 0):
            raise ValueError(f"expected a finite beta of at least 0, got {beta!r}")
        if not (isinstance(samples, Integral) and samples >= 1 and isinstance(seed, Integral) and 0 <= seed < 2**31):
            raise ValueError(f"expected integers samples ≥ 1 and 0 ≤ seed < 2³¹, got samples={samples}, seed={seed}")
        self.latent_dim, self.image_shape = sizes(encoder, decoder, self.classes)
        self.encoder: keras.Model = encoder
        self.decoder: keras.Model = decoder
        self.likelihood = likelihoods.get(likelihood)
        self.kl: str = kl
        self.beta: float = beta
        self.samples = samples
        self.seed = seed
        self.kl_weight: tf.Variable = tf.Variable(1.0, trainable=False, dtype=self.variable_dtype, name="kl_weight")
        self.supports_jit = False  # XLA would drop the check for finite losses, and slows convolutions on CPUs
        self._prepare()
        self._build()

    @property
    def classes(self) -> int:
        """How many inputs of the decoder are not latents but say which digit to draw."""
        return 0

    def prior_distribution(self, y: Array | None = None) -> tfp.distributions.Distribution:
        """Return p(z), whose events are latents `(d,)`."""
        normal = tfp.distributions.Normal(tf.zeros((), self.variable_dtype), 1.0)
        return tfp.distributions.Sample(normal, self.latent_dim)

    def posterior_parameters(
        self, x: Array, y: Array | None = None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and log-variance of q(z|x), each `(batch, d)`."""
        x, y = self.checked(x), self.checked_labels(y)
        output = tf.cast(self._encoder_output(x, self._condition(x, y), training), self.variable_dtype)
        mean, logvar = tf.split(output, 2, axis=-1)
        return mean, logvar

    def encode(self, x: Array, y: Array | None = None) -> tfp.distributions.MultivariateNormalDiag:
        """Return q(z|x) for images `(batch, height, width, channels)`.

        Raises
        ------
        TypeError, ValueError
            If the images are not floats, not of the model's shape, not finite, or outside the likelihood's support.
        """
        mean, logvar = self.posterior_parameters(x, y)
        return tfp.distributions.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return the posterior samples of the noise `eps`: :func:`vaecourse.models.objectives.reparameterize`."""
        return objectives.reparameterize(mean, logvar, eps)

    def sample_and_log_q(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the posterior sample z of the noise `eps`, of its shape, and log q(z|x), `(..., batch)`."""
        log_q = tfp.distributions.Normal(0.0, 1.0).log_prob(eps) - 0.5 * logvar
        return self.reparameterize(mean, logvar, eps), tf.reduce_sum(log_q, axis=-1)

    def decode(self, z: Array, y: Array | None = None) -> tfp.distributions.Distribution:
        """Return p(x|z) for latents `(..., d)`: a distribution whose events are images."""
        return self.likelihood.distribution(self._decoder_output(z, self.checked_labels(y)))

    def log_likelihood(self, x: Array, z: Array, y: Array | None = None, training: bool = False) -> tf.Tensor:
        """Return log p(x|z) of images `(batch, ...)` at latents `(..., batch, d)`: `(..., batch)`, in nats."""
        return self.likelihood.log_prob(self._decoder_output(z, y, training), tf.cast(x, self.variable_dtype))

    def sample(self, n: int, seed: int = 0, y: Array | None = None) -> tf.Tensor:
        """Decode `n` draws from the prior; the mean images `(n, height, width, channels)`."""
        z = tf.random.stateless_normal((n, self.latent_dim), (seed, n), dtype=self.variable_dtype)
        return self.decode(z, y).mean()

    def reconstruct(
        self, x: Array, eps: Array | None = None, y: Array | None = None, training: bool = False
    ) -> tf.Tensor:
        """Encode and decode; the mean images.

        Parameters
        ----------
        x : images
        eps : array `(batch, d)`, optional
            Noise of the posterior sample that is decoded; without it the posterior mean is.
        y : labels, in a model that takes them
        training : bool
            Mode in which the networks are called.
        """
        y = self._condition(x, y)
        mean, logvar = self.posterior_parameters(x, y, training)
        z = mean if eps is None else self.reparameterize(mean, logvar, eps)
        return self.likelihood(self._decoder_output(z, y, training))

    def call(self, x: Any, training: bool = False) -> tf.Tensor:
        """Return :meth:`reconstruct` of `x`: a tensor, as Keras' `predict`, `save` and `export` need it."""
        return self.reconstruct(x, training=bool(training))

    def noise(self, batch: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
        """Return the standard normal noise of the step after `step` batches: `(batch, d)`, or `(samples, batch, d)`."""
        shape = (batch, self.latent_dim) if self.samples == 1 else (self.samples, batch, self.latent_dim)
        seed = tf.stack([self.seed, tf.cast(step, tf.int32)])
        return tf.random.stateless_normal(shape, seed, dtype=self.variable_dtype)

    def terms(self, x: Array, eps: tf.Tensor, y: Array | None = None, training: bool = False) -> Terms:
        """Return both terms of the ELBO per image, at the posterior samples of the noise `eps`.

        Noise with a leading axis of samples is averaged over it.
        """
        terms = self._sampled_terms(x, eps, y, self.kl, training)
        return Terms(*(tf.reduce_mean(term, axis=0) if term.shape.rank == 2 else term for term in terms))

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the objective, negated, the ELBO and its two terms per image, each `(batch,)`, in nats."""
        terms = self.terms(x, eps, y, training)
        return {
            "loss": -objectives.elbo(*terms, self.beta * self.kl_weight),
            "elbo": objectives.elbo(*terms),
            "log_likelihood": terms.log_likelihood,
            "kl": terms.kl,
        }

    def log_weights(self, x: Array, eps: tf.Tensor, y: Array | None = None) -> tf.Tensor:
        """Return log p(x, z)/q(z|x) per sample and image, `(samples, batch)`, for noise `(samples, batch, d)`."""
        log_likelihood, kl = self._sampled_terms(x, eps, y, "monte_carlo")
        return log_likelihood - kl

    _parts: tuple[str, ...] = ("encoder", "decoder", "likelihood")
    _choices: tuple[str, ...] = ("kl", "beta", "samples", "seed")

    # --- inside ----------------------------------------------------------------------------------------------------

    def _sampled_terms(
        self, x: Array, eps: tf.Tensor, y: Array | None, kl: str, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return log p(x|z) of every sample, and the KL: in closed form, or of every sample log q(z|x) − log p(z)."""
        y = self._condition(x, y)
        mean, logvar = self.posterior_parameters(x, y, training)
        log_likelihood = self.log_likelihood(x, self.reparameterize(mean, logvar, eps), y, training)
        return log_likelihood, self._kl(mean, logvar, None if kl == "analytic" else eps, y, training)

    def _kl(
        self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor | None, y: Array | None, training: bool
    ) -> tf.Tensor:
        """Return KL(q(z|x) ‖ p(z)) in closed form, or its estimate at the posterior samples of the noise."""
        if eps is None:
            return objectives.analytic_kl(mean, logvar)
        return objectives.monte_carlo_kl(mean, logvar, eps)

    def _encoder_output(self, x: Array, y: Array | None, training: bool) -> tf.Tensor:
        return self.encoder(x, training=training)

    def _decoder_input(self, z: tf.Tensor, y: Array | None) -> tf.Tensor:
        return z

    def _decoder_output(self, z: Array, y: Array | None = None, training: bool = False) -> tf.Tensor:
        z = self._decoder_input(tf.convert_to_tensor(z, self.variable_dtype), y)
        output = self.decoder(tf.reshape(z, (-1, z.shape[-1])), training=training)
        return tf.cast(tf.reshape(output, tf.concat([tf.shape(z)[:-1], self.image_shape], 0)), self.variable_dtype)
