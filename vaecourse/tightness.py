"""How tight the bound is: importance-weighted curves, per-image posteriors, annealed importance sampling.

For models that learn from images alone.  Whatever the encoder or :func:`fitted_posteriors` proposes is taken as the
diagonal Gaussian N(mean, diag exp(logvar)), and everything is in nats per image.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vaecourse import annealing, data, models, objectives
from vaecourse.evaluation import Estimate

_PORTION = 50  # samples, and
_BATCH = 10  # images: 500 decoded at a time, where the processor's caches are still of use


# --- importance weights -------------------------------------------------------------------------------------------


def log_weights(
    vae: models.VAE, images: np.ndarray, samples: int = 5000, seed: int = 0, posterior=None, progress: bool = True
) -> np.ndarray:
    r"""Draw the importance weights log p(x, z_k)/q(z_k|x), z_k ~ q, of every image.

    Their mean over k estimates the ELBO without bias, and :func:`importance_bounds` makes of them the bounds for any
    number of samples.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    samples : int
        They are decoded in portions: memory does not grow with their number, but for the result.
    seed : int
        The noise is a function of it, and not of the posterior: two posteriors can be compared on the same noise.
    posterior : (mean, logvar), each `(n, d)`, optional
        Of q; without it, the encoder's.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    float32 array `(samples, n)`, nats
    """
    images = _checked(vae, images)
    if samples < 1:
        raise ValueError(f"expected at least one sample, got {samples}")
    mean, logvar = _proposed(vae, images, posterior)
    portion = min(samples, _PORTION)

    @tf.function(autograph=False, input_signature=_signature(vae, 2))
    def weights(x, mean, logvar, seed):
        eps = tf.random.stateless_normal((portion, tf.shape(x)[0], vae.latent_dim), seed, dtype=mean.dtype)
        z = objectives.reparameterize(mean, logvar, eps)
        return _log_likelihood(vae, x, z) - objectives.monte_carlo_kl(mean, logvar, eps)

    bar = keras.utils.Progbar(len(images), verbose=int(progress))
    result = np.empty((samples, len(images)), np.float32)
    for first in range(0, len(images), _BATCH):
        batch = slice(first, first + _BATCH)
        inputs = images[batch], mean[batch], logvar[batch]
        for start in range(0, samples, portion):
            values = weights(*inputs, tf.random.experimental.stateless_fold_in([seed, first], start)).numpy()
            result[start : start + portion, batch] = values[: samples - start]
        bar.update(min(first + _BATCH, len(images)))
    return result


def importance_bounds(log_weights: np.ndarray, sizes: Iterable[int]) -> dict[int, np.ndarray]:
    r"""Estimate the bound of :cite:t:`burda2016`, E log (1/K) Σ_k w_k, for many K from one set of weights.

    The samples are cut into disjoint groups of K, over which the bound is averaged.  Every estimate is unbiased for
    its K, and so every curve of them rises on average; K = 1 is the ELBO.

    Parameters
    ----------
    log_weights : array `(samples, n)`
    sizes : iterable of int
        The K, from 1 to the number of samples.

    Returns
    -------
    dict from K to array `(n,)`, nats
    """
    samples, bounds = len(log_weights), {}
    for size in sizes:
        if not 1 <= size <= samples:
            raise ValueError(f"expected sizes from 1 to the {samples} samples there are, got {size}")
        groups = np.asarray(log_weights[: samples // size * size]).reshape(samples // size, size, -1)
        bounds[size] = objectives.importance_weighted_bound(groups.swapaxes(0, 1)).numpy().mean(axis=0, dtype=float)
    return bounds


# --- the best diagonal Gaussian of each image ---------------------------------------------------------------------


class FittedPosteriors(NamedTuple):
    """Means and log-variances fitted to each image, `(n, d)`, and their ELBO on fresh noise, `(n,)`, in nats."""

    mean: np.ndarray
    logvar: np.ndarray
    elbo: np.ndarray


def fitted_posteriors(
    vae: models.VAE,
    images: np.ndarray,
    steps: int = 200,
    learning_rate: float = 0.1,
    samples: int = 8,
    evaluation_samples: int = 500,
    seed: int = 0,
    start=None,
    progress: bool = True,
) -> FittedPosteriors:
    """Maximize the ELBO of every image over mean and log-variance of its own q, the decoder being fixed.

    The optimum is the best that a diagonal Gaussian can do; what the encoder loses to it is the price of one network
    for all images :cite:p:`cremer2018`.  Adam works element by element, so that all images are fitted side by side
    and none knows of the others.  It moves the means in units of the standard deviations it starts with, and its
    learning rate falls to 0 along half a cosine.  What it finds is an optimum near its start: of a posterior with
    several modes, one.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    steps : int
    learning_rate : float
        Its first value.
    samples : int
        Samples of z for each image and step, half of them the mirror image of the others: an even number.
    evaluation_samples : int
        Samples for the ELBO of the result.
    seed : int
    start : (mean, logvar), each `(n, d)`, optional
        Where to begin; without it, at the encoder's q.
    progress : bool
    """
    images = _checked(vae, images)
    if steps < 1 or samples < 2 or samples % 2:
        raise ValueError(f"expected steps ≥ 1 and an even number of samples ≥ 2, got steps={steps}, samples={samples}")
    start_mean, start_logvar = _proposed(vae, images, start)
    shift = keras.Variable(np.zeros((2, *start_mean.shape), vae.variable_dtype))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))

    @tf.function(autograph=False, input_signature=_signature(vae, 4))
    def gradient(x, mean, logvar, shift_mean, shift_logvar, seed):
        half = tf.random.stateless_normal((samples // 2, tf.shape(x)[0], vae.latent_dim), seed, dtype=mean.dtype)
        eps = tf.concat([half, -half], axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([shift_mean, shift_logvar])
            q = _shifted(mean, logvar, shift_mean, shift_logvar)
            expected = tf.reduce_mean(_log_likelihood(vae, x, objectives.reparameterize(*q, eps)), axis=0)
            loss = -tf.reduce_sum(objectives.elbo(expected, objectives.analytic_kl(*q)))
        return tf.stack(tape.gradient(loss, [shift_mean, shift_logvar]))

    size = 5 * _BATCH
    batches = [slice(first, first + size) for first in range(0, len(images), size)]
    bar = keras.utils.Progbar(steps, verbose=int(progress))
    for step in range(steps):
        gradients = [
            gradient(images[b], start_mean[b], start_logvar[b], *shift[:, b], tf.constant([seed, -number]))
            for number, b in enumerate(batches, start=1 + step * len(batches))
        ]
        optimizer.apply([tf.concat(gradients, axis=1)], [shift])
        bar.update(step + 1)
    mean, logvar = (part.numpy() for part in _shifted(start_mean, start_logvar, *tf.convert_to_tensor(shift)))
    fresh = log_weights(vae, images, evaluation_samples, seed, (mean, logvar), progress)
    return FittedPosteriors(mean, logvar, fresh.mean(axis=0, dtype=float))


@dataclass(frozen=True)
class Gaps:
    r"""What the ELBO lacks to log p(x), split in two :cite:p:`cremer2018`: means over the same images.

    log p(x) − ELBO is the sum of the approximation gap, which even the best diagonal Gaussian leaves, and of the
    amortization gap, by which the encoder's q falls short of that best one.  The errors of the gaps are those of
    differences taken image by image, and far smaller than those of the three values.
    """

    log_likelihood: Estimate
    fitted_elbo: Estimate
    elbo: Estimate
    approximation: Estimate
    amortization: Estimate
    total: Estimate

    @classmethod
    def of(cls, log_likelihood: np.ndarray, fitted_elbo: np.ndarray, elbo: np.ndarray) -> "Gaps":
        """Return the gaps of three values per image, each `(n,)` in nats."""
        values = [np.asarray(value, float) for value in (log_likelihood, fitted_elbo, elbo)]
        if len({value.shape for value in values}) != 1 or values[0].ndim != 1:
            raise ValueError(f"expected three arrays (n,) of one length, got {[value.shape for value in values]}")
        exact, fitted, encoded = values
        parts = (exact, fitted, encoded, exact - fitted, fitted - encoded, exact - encoded)
        return cls(*(Estimate.of(part) for part in parts))


# --- annealed importance sampling ---------------------------------------------------------------------------------


def annealed_importance_sampling(
    vae: models.VAE, images: np.ndarray, seed: int = 0, progress: bool = True, **settings
) -> annealing.Annealed:
    """Estimate log p(x) of a few images from annealed chains, as a check on importance sampling.

    The encoder lends them the scale of their steps, and has no other influence.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
        Each costs `chains` · `steps` · (`leapfrogs` + 2) passes through the decoder and back.
    seed : int
    progress : bool
    **settings
        Of :func:`vaecourse.annealing.anneal`: `chains`, `steps`, `leapfrogs`, `step_size`.
    """
    images = _checked(vae, images)
    deviation = np.exp(0.5 * _proposed(vae, images)[1])

    @tf.function(autograph=False)
    def run(x, deviation, seed):
        return annealing.anneal(lambda z: _log_likelihood(vae, x, z), deviation, seed, **settings)

    bar = keras.utils.Progbar(len(images), verbose=int(progress))
    results = []
    for first in range(0, len(images), _BATCH):
        batch = slice(first, first + _BATCH)
        results.append(run(images[batch], deviation[batch], tf.constant([seed, first])))
        bar.update(min(first + _BATCH, len(images)))
    return annealing.Annealed(*(np.concatenate(part, axis=-1) for part in zip(*results, strict=True)))


# --- inside -------------------------------------------------------------------------------------------------------


def _checked(vae: models.VAE, images: np.ndarray) -> np.ndarray:
    if vae.classes:
        raise ValueError(
            f"expected a VAE that learns from images alone, got a {type(vae).__name__}, which is told digits"
        )
    return vae.checked(images)


def _proposed(vae: models.VAE, images: np.ndarray, posterior=None) -> list[np.ndarray]:
    """Return mean and log-variance of q: those that are given, or the encoder's."""
    if posterior is None:
        batches = [vae.posterior_parameters(x) for x in data.batches(images, 50 * _BATCH)]
        posterior = [np.concatenate(part) for part in zip(*batches, strict=True)]
    mean, logvar = (np.asarray(part, vae.variable_dtype) for part in posterior)
    if not mean.shape == logvar.shape == (len(images), vae.latent_dim):
        raise ValueError(f"expected mean and logvar {(len(images), vae.latent_dim)}, got {mean.shape}, {logvar.shape}")
    return [mean, logvar]


def _log_likelihood(vae: models.VAE, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    output = vae.decoder(tf.reshape(z, (-1, vae.latent_dim)))
    return vae.likelihood.log_prob(tf.reshape(output, tf.concat([tf.shape(z)[:-1], vae.image_shape], 0)), x)


def _signature(vae: models.VAE, latents: int) -> list[tf.TensorSpec]:
    """Return the signature of a function of images, so many arrays of latents, and a seed: it is traced once."""
    dtype = vae.variable_dtype
    parameters = [tf.TensorSpec((None, vae.latent_dim), dtype)] * latents
    return [tf.TensorSpec((None, *vae.image_shape), dtype), *parameters, tf.TensorSpec((2,), tf.int32)]


def _shifted(mean, logvar, shift_mean, shift_logvar):
    return mean + tf.exp(0.5 * logvar) * shift_mean, logvar + shift_logvar
