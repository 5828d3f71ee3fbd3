"""The variational autoencoder, once: every source is this model with other parts."""

from numbers import Integral
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import data, likelihoods, objectives, training

tfd = tfp.distributions

EVALUATION_BATCH = 500


class Terms(NamedTuple):
    """The two terms of the ELBO, per image `(batch,)`, in nats."""

    log_likelihood: tf.Tensor
    kl: tf.Tensor


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class VAE(keras.Model):
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
    """

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
        self.latent_dim = decoder.input_shape[-1]
        if encoder.output_shape[-1] != 2 * self.latent_dim:
            raise ValueError(
                f"the encoder ends in {encoder.output_shape[-1]} numbers; a decoder of {self.latent_dim} "
                f"latents needs {2 * self.latent_dim}: their means and log-variances"
            )
        if encoder.input_shape != decoder.output_shape:
            raise ValueError(
                f"the decoder returns images of shape {decoder.output_shape[1:]}, "
                f"the encoder takes {encoder.input_shape[1:]}"
            )
        self.image_shape = encoder.input_shape[1:]
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihoods.get(likelihood)
        self.kl = kl
        self.beta = beta
        self.samples = samples
        self.seed = seed
        self.supports_jit = False  # XLA would drop the check for finite losses, and slows convolutions on CPUs
        self._means = {name: keras.metrics.Mean(name) for name in ("loss", "elbo", "log_likelihood", "kl")}
        self(tf.zeros((1, *self.image_shape)))  # builds: BackupAndRestore and load_model ask for it

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

    def posterior_parameters(self, x) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and log-variance of q(z|x), each `(batch, d)`."""
        output = tf.cast(self.encoder(self.checked(x)), self.variable_dtype)
        mean, logvar = tf.split(output, 2, axis=-1)
        return mean, logvar

    def encode(self, x) -> tfd.MultivariateNormalDiag:
        """Return q(z|x) for images `(batch, height, width, channels)`.

        Raises
        ------
        TypeError, ValueError
            If the images are not floats, not of the model's shape, not finite, or outside the likelihood's support.
        """
        mean, logvar = self.posterior_parameters(x)
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def reparameterize(self, mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return the posterior samples of the noise `eps`: :func:`vaecourse.objectives.reparameterize`."""
        return objectives.reparameterize(mean, logvar, eps)

    def decode(self, z) -> tfd.Distribution:
        """Return p(x|z) for latents `(..., d)`: a distribution whose events are images."""
        return self.likelihood.distribution(self._decoder_output(z))

    def sample(self, n: int, seed: int = 0) -> tf.Tensor:
        """Decode `n` draws from the prior; the mean images `(n, height, width, channels)`."""
        z = tf.random.stateless_normal((n, self.latent_dim), (seed, n), dtype=self.variable_dtype)
        return self.decode(z).mean()

    def reconstruct(self, x, eps=None) -> tf.Tensor:
        """Encode and decode; the mean images.

        Parameters
        ----------
        x : images
        eps : array `(batch, d)`, optional
            Noise of the posterior sample that is decoded; without it the posterior mean is.
        """
        mean, logvar = self.posterior_parameters(x)
        z = mean if eps is None else self.reparameterize(mean, logvar, eps)
        return self.likelihood(self._decoder_output(z))

    def call(self, x):
        """Return :meth:`reconstruct` of `x`: a tensor, as Keras' `predict`, `save` and `export` need it."""
        return self.reconstruct(x)

    # --- the objective ---------------------------------------------------------------------------------------------

    def noise(self, batch: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
        """Return the standard normal noise of optimizer step `step`: `(batch, d)`, or `(samples, batch, d)`."""
        shape = (batch, self.latent_dim) if self.samples == 1 else (self.samples, batch, self.latent_dim)
        seed = tf.stack([self.seed, tf.cast(step, tf.int32)])
        return tf.random.stateless_normal(shape, seed, dtype=self.variable_dtype)

    def terms(self, x, eps: tf.Tensor) -> Terms:
        """Return both terms of the ELBO per image, at the posterior samples of the noise `eps`.

        Noise with a leading axis of samples is averaged over it.
        """
        mean, logvar = self.posterior_parameters(x)
        log_likelihood = self._log_likelihood(x, self.reparameterize(mean, logvar, eps))
        if self.kl == "analytic":
            kl = objectives.analytic_kl(mean, logvar)
        else:
            kl = objectives.monte_carlo_kl(mean, logvar, eps)
        return Terms(_mean_over_samples(log_likelihood), _mean_over_samples(kl))

    def log_weights(self, x, eps: tf.Tensor) -> tf.Tensor:
        """Return log p(x, z)/q(z|x) per sample and image, `(samples, batch)`, for noise `(samples, batch, d)`."""
        mean, logvar = self.posterior_parameters(x)
        log_likelihood = self._log_likelihood(x, self.reparameterize(mean, logvar, eps))
        return log_likelihood - objectives.monte_carlo_kl(mean, logvar, eps)

    # --- Keras -----------------------------------------------------------------------------------------------------

    def compile(self, optimizer="adam", loss=None, **kwargs):
        """Compile with an optimizer; the objective is the model's own, so `loss` must be None."""
        if loss is not None:
            raise ValueError("a VAE has its objective built in; choose a likelihood, kl and beta instead of a loss")
        super().compile(optimizer=optimizer, **kwargs)
        self.optimizer.build(self.trainable_variables)  # or a first `fit` that fails would leave it unbuildable

    def compile_from_config(self, config):
        """Compile as the saved model was; Keras asks for this wherever `compile` is overridden."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        *,
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        validation_batch_size=None,
        **kwargs,
    ):
        """Train as Keras' `fit` does: progress bar, callbacks, validation, history.

        Parameters
        ----------
        x : array of images, or anything else that Keras trains on
            An array is checked, held as one tensor and shuffled anew every epoch, by `seed` and optimizer step.
        y : None
            A VAE learns from images alone.
        batch_size : int
            32 by default.
        validation_data : array of images, (images, None), or a `tf.data.Dataset`
        epochs, callbacks, validation_split, shuffle, validation_batch_size, **kwargs
            As Keras' own; `callbacks` is a list.

        Raises
        ------
        TypeError, ValueError
            If the images cannot be trained on: see :meth:`encode`.
        FloatingPointError
            If the loss of a step is not finite.  The weights are those of the step before.
        """
        if y is not None or kwargs.get("sample_weight") is not None or kwargs.get("class_weight") is not None:
            raise ValueError("a VAE learns from images alone: y, sample_weight and class_weight must be None")
        if not self.compiled:
            raise ValueError("compile the model before fitting it: vae.compile(keras.optimizers.Adam(1e-3))")
        if isinstance(validation_data, tuple | list):
            validation_data = _images_only(validation_data)
        if validation_split and validation_data is None:
            if not (_is_array(x) and 0 < validation_split < 1):
                raise ValueError("validation_split sets aside a share between 0 and 1 of an array of images")
            kept = int(len(x) * (1 - validation_split))
            x, validation_data = x[:kept], x[kept:]
        if _is_array(validation_data):
            validation_data = data.batches(self.checked(validation_data), validation_batch_size or EVALUATION_BATCH)
        if _is_array(x):
            epoch_start = training.EpochStart()
            seed = self.seed if shuffle else None
            x = data.batches(self.checked(x), 32 if batch_size is None else batch_size, seed, epoch_start.step)
            x = x.take(kwargs.pop("steps_per_epoch", None) or -1)
            callbacks = [epoch_start, *(callbacks or ())]
            batch_size = None
        try:
            kwargs |= {"epochs": epochs, "callbacks": callbacks, "validation_data": validation_data}
            shuffle = shuffle and not isinstance(x, tf.data.Dataset)  # which Keras would only warn about
            return super().fit(x, batch_size=batch_size, shuffle=shuffle, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            if _NOT_FINITE not in str(error):
                raise
            raise FloatingPointError(
                f"the loss is not finite at optimizer step {int(self.optimizer.iterations)}; the weights are those "
                "before that step. Lower the learning rate, and look at the scale of the images and the log-variances"
            ) from None

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """Return the metrics on images, as Keras' `evaluate` does; every image weighs the same.

        The noise depends on the seed and on how many images came before, so a second call gives the same numbers.
        """
        if y is not None:
            raise ValueError("a VAE is evaluated on images alone: y must be None")
        if _is_array(x):
            x, batch_size = data.batches(self.checked(x), batch_size or EVALUATION_BATCH), None
        return super().evaluate(x, batch_size=batch_size, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Return :meth:`reconstruct` of images as an array, as Keras' `predict` does."""
        return super().predict(self.checked(x) if _is_array(x) else x, *args, **kwargs)

    def train_step(self, batch):
        x = _images_only(batch)
        with tf.GradientTape() as tape:
            terms = self.terms(x, self.noise(tf.shape(x)[0], self.optimizer.iterations))
            loss = -tf.reduce_mean(objectives.elbo(*terms, self.beta))
            scaled_loss = self.optimizer.scale_loss(loss)
        with tf.control_dependencies([tf.debugging.Assert(tf.math.is_finite(loss), [_NOT_FINITE])]):
            gradients = tape.gradient(scaled_loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self._update_metrics(terms)

    def test_step(self, batch):
        x = _images_only(batch)
        seen = tf.cast(self._means["loss"].count, tf.int32)
        shape = (self.samples, tf.shape(x)[0], self.latent_dim)
        eps = tf.random.stateless_normal(shape, tf.stack([-1 - self.seed, seen]), dtype=self.variable_dtype)
        return self._update_metrics(self.terms(x, eps))

    @property
    def metrics(self):
        return list(self._means.values())

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        parts = {name: serialize(getattr(self, name)) for name in ("encoder", "decoder", "likelihood")}
        choices = {name: getattr(self, name) for name in ("kl", "beta", "samples", "seed")}
        return {**super().get_config(), **parts, **choices}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "decoder", "likelihood")
        }
        return cls(**{**config, **parts})

    # --- inside ----------------------------------------------------------------------------------------------------

    def _decoder_output(self, z) -> tf.Tensor:
        z = tf.convert_to_tensor(z, self.variable_dtype)
        output = self.decoder(tf.reshape(z, (-1, z.shape[-1])))
        return tf.cast(tf.reshape(output, tf.concat([tf.shape(z)[:-1], self.image_shape], 0)), self.variable_dtype)

    def _log_likelihood(self, x, z) -> tf.Tensor:
        return self.likelihood.log_prob(self._decoder_output(z), tf.cast(x, self.variable_dtype))

    def _update_metrics(self, terms: Terms) -> dict[str, tf.Tensor]:
        values = {
            "loss": -objectives.elbo(*terms, self.beta),
            "elbo": objectives.elbo(*terms),
            "log_likelihood": terms.log_likelihood,
            "kl": terms.kl,
        }
        for name, per_image in values.items():
            self._means[name].update_state(per_image)
        return {name: mean.result() for name, mean in self._means.items()}


_NOT_FINITE = "the loss is not finite"


def _is_array(x) -> bool:
    return isinstance(x, np.ndarray | tf.Tensor)


def _images_only(batch):
    """Return the images of `x`, `(x,)` or `(x, None)`."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    if y is not None or sample_weight is not None:
        raise ValueError("a VAE learns from images alone; map the data set to its images first")
    return x


def _mean_over_samples(per_image: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(per_image, axis=0) if per_image.shape.rank == 2 else per_image
