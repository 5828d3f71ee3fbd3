"""The variational autoencoder, once: every source is this model with other parts."""

from numbers import Integral
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.models import likelihoods, objectives
from vaecourse.training import Trainable

tfd = tfp.distributions


class Terms(NamedTuple):
    """The two terms of the ELBO, per image `(batch,)`, in nats."""

    log_likelihood: tf.Tensor
    kl: tf.Tensor


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class VAE(Trainable):
    r"""Variational autoencoder :cite:p:`kingma2014,rezende2014`.

    Prior p(z) = N(0, I); posterior q(z|x) = N(mean, diag exp(logvar)) by the encoder; p(x|z) by the decoder and a
    likelihood.  `fit` maximizes the mean over images of log p(x|z) − β KL(q(z|x) ‖ p(z)), z ~ q(z|x).

    Whatever is random is a function of `seed` and the optimizer step: the noise of a step, and the order of the
    images in the epoch that begins at it.  Two trainings from the same weights are therefore the same.

    Parameters
    ----------
    encoder, decoder : keras.Model
        As :mod:`vaecourse.networks` builds them.
    likelihood : str or likelihoods.Likelihood
    kl : {"analytic", "monte_carlo"}
        In closed form, or estimated at the same z as the likelihood, as in the tutorial of TensorFlow.
    beta : float
        Weight of the KL in the objective.  The metric `elbo` has weight 1 whatever β is.
    samples : int
        Samples of z for each image and step.
    seed : int
        From 0 to 2³¹ − 1.

    Notes
    -----
    The metrics are means over images, in nats: `loss` (the objective, negated), `elbo`, `log_likelihood`, `kl`.

    Every method that takes labels `y` hands them to both networks.  The networks of this class see no labels, and `y`
    must be None; those of :mod:`vaecourse.digit_models` may.
    """

    measured = ("loss", "elbo", "log_likelihood", "kl")
    classes = 0
    """How many inputs of the decoder are not latents but say which digit to draw."""

    def __init__(
        self, encoder, decoder, likelihood="bernoulli", *, kl="analytic", beta=1.0, samples=1, seed=0, **kwargs
    ):
        super().__init__(**kwargs)
        if kl not in ("analytic", "monte_carlo"):
            raise ValueError(f"expected 'analytic' or 'monte_carlo' for kl, got {kl!r}")
        if not (np.isfinite(beta) and beta >= 0):
            raise ValueError(f"expected a finite beta of at least 0, got {beta!r}")
        if not (isinstance(samples, Integral) and samples >= 1 and isinstance(seed, Integral) and 0 <= seed < 2**31):
            raise ValueError(f"expected integers samples ≥ 1 and 0 ≤ seed < 2³¹, got samples={samples}, seed={seed}")
        self.latent_dim = decoder.input_shape[-1] - self.classes
        if encoder.output_shape[-1] != 2 * self.latent_dim:
            raise ValueError(
                f"the encoder ends in {encoder.output_shape[-1]} numbers; a decoder of {self.latent_dim} "
                f"latents needs {2 * self.latent_dim}: their means and log-variances"
            )
        self.image_shape = decoder.output_shape[1:]
        if encoder.inputs[0].shape[1:] != self.image_shape:
            raise ValueError(
                f"the decoder returns images of shape {self.image_shape}, "
                f"the encoder takes {encoder.inputs[0].shape[1:]}"
            )
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihoods.get(likelihood)
        self.kl = kl
        self.beta = beta
        self.samples = samples
        self.seed = seed
        self.supports_jit = False  # XLA would drop the check for finite losses, and slows convolutions on CPUs
        self._measure()
        self._build()

    # --- the model -------------------------------------------------------------------------------------------------

    def checked(self, x):
        """Return images after refusing what the model cannot be asked about, as :meth:`encode` says.

        Of a symbolic tensor only shape and dtype are known.
        """
        if not hasattr(x, "dtype"):
            raise TypeError(f"expected an array of images, got {type(x).__name__}")
        if tuple(x.shape[1:]) != self.image_shape or x.shape[0] == 0:
            raise ValueError(
                f"expected images of shape (n, {', '.join(map(str, self.image_shape))}), n ≥ 1; got {tuple(x.shape)}"
            )
        if not tf.as_dtype(x.dtype).is_floating:
            raise TypeError(f"expected float images, got {x.dtype}; vaecourse.data.scale turns uint8 to grays")
        if isinstance(x, np.ndarray) or hasattr(x, "numpy"):
            self.likelihood.check(np.asarray(x))
        return x

    def checked_labels(self, y):
        """Return labels after refusing what the model cannot use: any, in a model that learns from images alone."""
        if y is not None:
            raise ValueError(
                "a VAE learns from images alone: its y must be None, and a data set must be mapped to its images"
            )
        return None

    def posterior_parameters(self, x, y=None) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and log-variance of q(z|x), each `(batch, d)`."""
        x, y = self.checked(x), self.checked_labels(y)
        output = tf.cast(self._encoder_output(x, self._condition(x, y)), self.variable_dtype)
        mean, logvar = tf.split(output, 2, axis=-1)
        return mean, logvar

    def encode(self, x, y=None) -> tfd.MultivariateNormalDiag:
        """Return q(z|x) for images `(batch, height, width, channels)`.

        Raises
        ------
        TypeError, ValueError
            If the images are not floats, not of the model's shape, not finite, or outside the likelihood's support.
        """
        mean, logvar = self.posterior_parameters(x, y)
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return the posterior samples of the noise `eps`: :func:`vaecourse.objectives.reparameterize`."""
        return objectives.reparameterize(mean, logvar, eps)

    def decode(self, z, y=None) -> tfd.Distribution:
        """Return p(x|z) for latents `(..., d)`: a distribution whose events are images."""
        return self.likelihood.distribution(self._decoder_output(z, self.checked_labels(y)))

    def sample(self, n: int, seed: int = 0, y=None) -> tf.Tensor:
        """Decode `n` draws from the prior; the mean images `(n, height, width, channels)`."""
        z = tf.random.stateless_normal((n, self.latent_dim), (seed, n), dtype=self.variable_dtype)
        return self.decode(z, y).mean()

    def reconstruct(self, x, eps=None, y=None) -> tf.Tensor:
        """Encode and decode; the mean images.

        Parameters
        ----------
        x : images
        eps : array `(batch, d)`, optional
            Noise of the posterior sample that is decoded; without it the posterior mean is.
        y : labels, in a model that takes them
        """
        y = self._condition(x, y)
        mean, logvar = self.posterior_parameters(x, y)
        z = mean if eps is None else self.reparameterize(mean, logvar, eps)
        return self.likelihood(self._decoder_output(z, y))

    def call(self, x):
        """Return :meth:`reconstruct` of `x`: a tensor, as Keras' `predict`, `save` and `export` need it."""
        return self.reconstruct(x)

    # --- the objective ---------------------------------------------------------------------------------------------

    def noise(self, batch: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
        """Return the standard normal noise of optimizer step `step`: `(batch, d)`, or `(samples, batch, d)`."""
        shape = (batch, self.latent_dim) if self.samples == 1 else (self.samples, batch, self.latent_dim)
        seed = tf.stack([self.seed, tf.cast(step, tf.int32)])
        return tf.random.stateless_normal(shape, seed, dtype=self.variable_dtype)

    def terms(self, x, eps: tf.Tensor, y=None) -> Terms:
        """Return both terms of the ELBO per image, at the posterior samples of the noise `eps`.

        Noise with a leading axis of samples is averaged over it.
        """
        terms = self._sampled_terms(x, eps, y, self.kl)
        return Terms(*(tf.reduce_mean(term, axis=0) if term.shape.rank == 2 else term for term in terms))

    def losses(self, x, y, eps):
        """Return the objective, negated, the ELBO and its two terms per image, each `(batch,)`, in nats."""
        terms = self.terms(x, eps, y)
        return {
            "loss": -objectives.elbo(*terms, self.beta),
            "elbo": objectives.elbo(*terms),
            "log_likelihood": terms.log_likelihood,
            "kl": terms.kl,
        }

    def log_weights(self, x, eps: tf.Tensor, y=None) -> tf.Tensor:
        """Return log p(x, z)/q(z|x) per sample and image, `(samples, batch)`, for noise `(samples, batch, d)`."""
        log_likelihood, kl = self._sampled_terms(x, eps, y, "monte_carlo")
        return log_likelihood - kl

    # --- Keras -----------------------------------------------------------------------------------------------------

    _parts = ("encoder", "decoder", "likelihood")
    _choices = ("kl", "beta", "samples", "seed")

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self._parts}
        return {**super().get_config(), **parts, **{name: getattr(self, name) for name in self._choices}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in cls._parts}
        return cls(**{**config, **parts})

    # --- inside ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self(tf.zeros((1, *self.image_shape)))  # BackupAndRestore and load_model ask for a model that is built

    def _sampled_terms(self, x, eps, y, kl: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Return log p(x|z) of every sample, and the KL: in closed form, or of every sample log q(z|x) − log p(z)."""
        y = self._condition(x, y)
        mean, logvar = self.posterior_parameters(x, y)
        log_likelihood = self.log_likelihood(x, self.reparameterize(mean, logvar, eps), y)
        if kl == "analytic":
            return log_likelihood, objectives.analytic_kl(mean, logvar)
        return log_likelihood, objectives.monte_carlo_kl(mean, logvar, eps)

    def _condition(self, x, y):
        """Return what stands for labels that were not given."""
        return y

    def _encoder_output(self, x, y) -> tf.Tensor:
        return self.encoder(x)

    def _decoder_input(self, z, y) -> tf.Tensor:
        return z

    def _decoder_output(self, z, y=None) -> tf.Tensor:
        z = self._decoder_input(tf.convert_to_tensor(z, self.variable_dtype), y)
        output = self.decoder(tf.reshape(z, (-1, z.shape[-1])))
        return tf.cast(tf.reshape(output, tf.concat([tf.shape(z)[:-1], self.image_shape], 0)), self.variable_dtype)

    def log_likelihood(self, x, z, y=None) -> tf.Tensor:
        """Return log p(x|z) of images `(batch, ...)` at latents `(..., batch, d)`: `(..., batch)`, in nats."""
        return self.likelihood.log_prob(self._decoder_output(z, y), tf.cast(x, self.variable_dtype))
