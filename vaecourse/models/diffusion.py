r"""Diffusion as a VAE of many levels, whose posterior is fixed and whose bound is the ELBO."""

import math
from numbers import Integral
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vaecourse.models import likelihoods
from vaecourse.models.images import ImageModel
from vaecourse.training.inputs import Array


class DiffusionTerms(NamedTuple):
    """The terms of the bound of a diffusion model, in nats.

    Attributes
    ----------
    log_likelihood : tensor `(batch,)`
        log p(x|z₀), at one z₀.
    prior_kl : tensor `(batch,)`
        KL(q(z_T|x) ‖ N(0, I)).
    level_kls : tensor `(levels, batch)`
        KL(q(z_{t−1}|z_t, x) ‖ p(z_{t−1}|z_t)) at one z_t, for t = 1 … T.
    """

    log_likelihood: tf.Tensor
    prior_kl: tf.Tensor
    level_kls: tf.Tensor

    @property
    def elbo(self) -> tf.Tensor:
        """The bound per image, `(batch,)`: the first term less all others."""
        return self.log_likelihood - self.prior_kl - tf.reduce_sum(self.level_kls, axis=0)


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class DiffusionVAE(ImageModel):
    r"""VAE of T levels of latents that are noisier and noisier copies of a binary image :cite:p:`ho2020,kingma2021`.

    With x̃ = 2x − 1, pixels of ±1, the posterior has no weights:
    q(z_t|x) = N(α_t x̃, σ_t² I), α_t² + σ_t² = 1.  The ratio of signal to noise, SNR_t = α_t²/σ_t², falls from level 0
    to T, its logarithm in equal steps.  The model begins at z_T ~ N(0, I) and goes down,
    p(z_{t−1}|z_t) = q(z_{t−1}|z_t, x̃ = x̂(z_t)), where a network makes x̂ of z_t, its guess of the image.  Both
    distributions are normal with the same variance, so that

    .. math:: \mathrm{KL}_t = \tfrac12 (\mathrm{SNR}_{t-1} - \mathrm{SNR}_t) \|\tilde x - \hat x(z_t)\|^2
        = \tfrac12 \Big(\frac{\mathrm{SNR}_{t-1}}{\mathrm{SNR}_t} - 1\Big) \|\varepsilon - \hat\varepsilon(z_t)\|^2,

    where ε̂ = (z_t − α_t x̂)/σ_t is what the guess says about the noise.  At the bottom
    log p(x|z₀) = −Σ ln(1 + exp(−x̃ · 2 α₀ z₀/σ₀²)), which needs no network.  A training step draws one level for each
    image and multiplies its KL by T.

    Parameters
    ----------
    network : keras.Model
        Maps z `(batch, height, width, channels)` and the log-ratio of signal to noise `(batch, 1)` to what is added to
        the logits 2 α z/σ² that a pixel has by itself: x̂ = tanh(½ logits).
    levels : int
        T.  The network is told the ratio, not the number of the level, so that a trained model can be measured with
        other levels; a model that is to be trained on with them must be compiled again.
    log_snr : (float, float)
        ln SNR of level 0 and of level T.
    seed : int
        As for :class:`~vaecourse.models.VAE`.

    Raises
    ------
    ValueError
        If the shapes of the network do not fit, there is no level, or the ratio does not fall.

    Notes
    -----
    The images are binary.  Metrics: `loss`, `elbo`, `log_likelihood`, `prior_kl`, `diffusion_kl` (the sum over levels,
    estimated from one).  Introduced in the chapter *Priors*.
    """

    measured = ("loss", "elbo", "log_likelihood", "prior_kl", "diffusion_kl")
    directions = MappingProxyType({"loss": "min", "elbo": "max", "log_likelihood": "max"})
    _parts = ("network",)
    _choices = ("levels", "log_snr", "seed")

    def __init__(
        self,
        network: keras.Model,
        levels: int = 100,
        log_snr: tuple[float, float] = (3.0, -8.0),
        *,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shapes = [tuple(tensor.shape[1:]) for tensor in (*network.inputs, *network.outputs)]
        if len(shapes) != 3 or len(shapes[0]) != 3 or shapes[1:] != [(1,), shapes[0]]:
            raise ValueError(
                "expected a network from images (height, width, channels) and one number to images of their shape, "
                f"got one of shapes {shapes}"
            )
        if not (isinstance(levels, Integral) and levels >= 1 and isinstance(seed, Integral) and 0 <= seed < 2**31):
            raise ValueError(f"expected integers levels ≥ 1 and 0 ≤ seed < 2³¹, got levels={levels!r}, seed={seed!r}")
        high, low = map(float, log_snr)
        if not (math.isfinite(high - low) and high > low):
            raise ValueError(f"expected log_snr to fall from level 0 to level T, got {log_snr!r}")
        self.network: keras.Model = network
        self.levels: int = levels
        self.log_snr: tuple[float, float] = (high, low)
        self.seed = seed
        self.image_shape = shapes[0]
        self.likelihood = likelihoods.Bernoulli()
        self.latent_dim: int = math.prod(self.image_shape) + 1  # the last number of the noise chooses the level
        self.supports_jit = False
        self._prepare()
        self._build()

    def log_snr_of(self, level: Array) -> tf.Tensor:
        """Return ln SNR_t of levels t, from 0 to T: a straight line."""
        high, low = self.log_snr
        return high + (low - high) * tf.cast(level, self.variable_dtype) / self.levels

    def noised(self, x: Array, log_snr: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """Return z = α (2x − 1) + σ ε of images and noise `(..., height, width, channels)`."""
        signal, noise = _signal_and_noise(log_snr)
        return signal * (2 * tf.cast(x, self.variable_dtype) - 1) + noise * eps

    def logits(self, z: Array, log_snr: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the log-odds of pixels of 1, given z of the images' shape and ln SNR `(batch, 1, 1, 1)`."""
        added = self.network([z, tf.reshape(log_snr, (-1, 1))], training=training)
        return _pixel_logits(z, log_snr) + tf.cast(added, self.variable_dtype)

    def guess(self, z: Array, log_snr: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return x̂ = tanh(½ :meth:`logits`), the mean of 2x − 1 that the network expects."""
        return tf.tanh(0.5 * self.logits(z, log_snr, training))

    def level_kl(self, x: Array, level: Array, eps: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return KL_t of images at levels t `(batch,)`, from 1 to T, and noise of the images' shape: `(batch,)`."""
        level = tf.reshape(level, (-1, 1, 1, 1))
        return self._kl_between(x, self.log_snr_of(level), self.log_snr_of(level - 1), eps, training)

    def terms(self, x: Array, seed: int = 0) -> DiffusionTerms:
        """Return all terms of the bound of images, with every level; all noise is a function of the seed."""
        x = tf.cast(self.checked(x), self.variable_dtype)
        images, number = tf.TensorSpec(x.shape, x.dtype), tf.TensorSpec((), x.dtype)
        kl_between = tf.function(self._kl_between, autograph=False).get_concrete_function(
            images, number, number, images
        )
        levels = [
            kl_between(x, *map(self.log_snr_of, (level, level - 1)), self._noise_of(x.shape, seed, level))
            for level in range(1, self.levels + 1)
        ]
        return DiffusionTerms(*self._ends(x, self._noise_of(x.shape, seed, 0)), tf.stack(levels))

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the objective, negated, the ELBO and its terms per image, each `(batch,)`, in nats.

        The last number of the noise `(batch, d)` or `(samples, batch, d)` chooses the level; of several samples the
        first is used.
        """
        x, eps = tf.cast(self.checked(x), self.variable_dtype), eps[0] if eps.shape.rank == 3 else eps
        share = 0.5 * tf.math.erfc(-eps[:, -1] / math.sqrt(2))
        level = tf.clip_by_value(tf.math.ceil(share * self.levels), 1, self.levels)
        eps = tf.reshape(eps[:, :-1], tf.shape(x))
        log_likelihood, prior_kl = self._ends(x, eps)
        diffusion = self.levels * self.level_kl(x, level, eps, training)
        elbo = log_likelihood - prior_kl - diffusion
        values = (-elbo, elbo, log_likelihood, prior_kl, diffusion)
        return dict(zip(self.measured, values, strict=True))

    def noise(self, batch: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
        """Return the standard normal noise of the step after `step` batches: `(batch, d)`."""
        seed = tf.stack([self.seed, tf.cast(step, tf.int32)])
        return tf.random.stateless_normal((batch, self.latent_dim), seed, dtype=self.variable_dtype)

    def sample(self, n: int, seed: int = 0, kept: int = 0) -> tf.Tensor:
        """Go down all levels from noise; the mean images `(n, height, width, channels)`.

        Parameters
        ----------
        n : int
        seed : int
        kept : int
            With a positive number, the guesses x̂, as grays, of so many levels on the way are returned before the
            images: `(kept + 1, n, height, width, channels)`.
        """
        shape, shown = (n, *self.image_shape), []
        z = self._noise_of(shape, seed, 0)
        latents, number = tf.TensorSpec(shape, z.dtype), tf.TensorSpec((), z.dtype)
        down = tf.function(self._down, autograph=False).get_concrete_function(latents, number, number, latents)
        for level in range(self.levels, 0, -1):
            z, guess = down(z, *map(self.log_snr_of, (level, level - 1)), self._noise_of(shape, seed, level))
            shown.append(0.5 * (guess + 1))
        images = self.likelihood(_pixel_logits(z, self.log_snr_of(0)))
        chosen = np.linspace(0, self.levels - 1, kept).round().astype(int)
        return tf.stack([*(shown[i] for i in chosen), images]) if kept else images

    def call(self, x: Any, training: bool = False) -> tf.Tensor:
        """Return the guess of images, as grays, from their noisy copies half-way up, with noise of a fixed seed."""
        x = tf.cast(self.checked(x), self.variable_dtype)
        log_snr = tf.fill((tf.shape(x)[0], 1, 1, 1), self.log_snr_of(self.levels / 2))
        eps = tf.random.stateless_normal(tf.shape(x), (self.seed, -1), dtype=x.dtype)
        return self.likelihood(self.logits(self.noised(x, log_snr, eps), log_snr, bool(training)))

    # --- inside ----------------------------------------------------------------------------------------------------

    def _kl_between(
        self, x: Array, upper: tf.Tensor, lower: tf.Tensor, eps: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Return the KL of the level below, whose ln SNR is `lower`, given the z of `upper`, the noisier one."""
        told = tf.broadcast_to(upper, (tf.shape(x)[0], 1, 1, 1))
        missed = 2 * tf.cast(x, self.variable_dtype) - 1 - self.guess(self.noised(x, upper, eps), told, training)
        return 0.5 * _summed((tf.exp(lower) - tf.exp(upper)) * missed**2)

    def _noise_of(self, shape: tuple[int, ...], seed: int, level: int) -> tf.Tensor:
        return tf.random.stateless_normal(shape, (seed, level), dtype=self.variable_dtype)

    def _down(self, z: tf.Tensor, upper: tf.Tensor, lower: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw z_{t−1} given z_t, and return the guess."""
        guess = self.guess(z, tf.fill((tf.shape(z)[0], 1, 1, 1), upper))
        (signal, _), (signal_below, noise_below) = _signal_and_noise(upper), _signal_and_noise(lower)
        kept = tf.exp(upper - lower)  # the share of z's precision about z_{t−1}: SNR_t/SNR_{t−1}
        mean = signal_below * guess * (1 - kept) + z * kept * signal_below / signal
        return mean + noise_below * tf.sqrt(1 - kept) * eps, guess

    def _ends(self, x: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return log p(x|z₀) and KL(q(z_T|x) ‖ N(0, I)), each `(batch,)`."""
        first, last = self.log_snr_of(0), self.log_snr_of(self.levels)
        logits = _pixel_logits(self.noised(x, first, eps), first)
        signal, noise = _signal_and_noise(last)
        kl = 0.5 * (signal**2 * (2 * x - 1) ** 2 + noise**2 - 1 - 2 * tf.math.log(noise))
        return self.likelihood.log_prob(logits, x), _summed(kl)


def _signal_and_noise(log_snr: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return α and σ, whose squares add up to one."""
    return tf.sqrt(tf.sigmoid(log_snr)), tf.sqrt(tf.sigmoid(-log_snr))


def _pixel_logits(z: tf.Tensor, log_snr: tf.Tensor) -> tf.Tensor:
    """Return the log-odds of a pixel of 1 against one of −1 that z gives by itself, where both are as frequent."""
    signal, noise = _signal_and_noise(log_snr)
    return 2 * signal * z / noise**2


def _summed(per_pixel: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(per_pixel, axis=(-3, -2, -1))
