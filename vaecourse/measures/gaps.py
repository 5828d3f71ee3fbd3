"""How far the ELBO is below log p(x), and why: the best posterior of each image, and the two gaps it tells apart."""

from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vaecourse.measures.batching import (
    batches_of,
    checked_posterior,
    checked_without_labels,
    posterior_parameters,
    specification,
)
from vaecourse.measures.estimate import Estimate
from vaecourse.measures.importance_sampling import log_weights
from vaecourse.models import VAE, objectives

_BATCH = 50  # images whose posteriors are moved at once


class FittedPosteriors(NamedTuple):
    """Means and log-variances fitted to each image, `(n, d)`, and their ELBO on fresh noise, `(n,)`, in nats."""

    mean: np.ndarray
    logvar: np.ndarray
    elbo: np.ndarray


def fitted_posteriors(
    vae: VAE,
    images: np.ndarray,
    steps: int = 200,
    learning_rate: float = 0.1,
    samples: int = 8,
    evaluation_samples: int = 500,
    seed: int = 0,
    start: tuple[np.ndarray, np.ndarray] | None = None,
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
        Whose prior is N(0, I): the KL is that to N(0, I), whatever the model says.  For another prior, see
        :func:`~vaecourse.measures.fitted_family_elbo`, whose diagonal family is the same.
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
        Where to begin; without it, at mean and log-variance of the encoder.
    progress : bool
        Whether to show progress bars: of the steps, and of the evaluation.

    Returns
    -------
    FittedPosteriors

    Raises
    ------
    TypeError, ValueError
        If the model is told labels or cannot use the images, there is no step, the number of samples is odd, or the
        start has another shape.
    """
    images = checked_without_labels(vae, images)
    if steps < 1 or samples < 2 or samples % 2:
        raise ValueError(f"expected steps ≥ 1 and an even number of samples ≥ 2, got steps={steps}, samples={samples}")
    start = posterior_parameters(vae, images) if start is None else start
    start_mean, start_logvar = checked_posterior(vae, images, start)
    shift = keras.Variable(np.zeros((2, *start_mean.shape), vae.variable_dtype))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))

    @tf.function(autograph=False, input_signature=specification(vae, 4))
    def gradient(
        x: tf.Tensor,
        mean: tf.Tensor,
        logvar: tf.Tensor,
        shift_mean: tf.Tensor,
        shift_logvar: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        half = tf.random.stateless_normal((samples // 2, tf.shape(x)[0], vae.latent_dim), seed, dtype=mean.dtype)
        eps = tf.concat([half, -half], axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([shift_mean, shift_logvar])
            q = _shifted(mean, logvar, shift_mean, shift_logvar)
            expected = tf.reduce_mean(vae.log_likelihood(x, objectives.reparameterize(*q, eps)), axis=0)
            loss = -tf.reduce_sum(objectives.elbo(expected, objectives.analytic_kl(*q)))
        return tf.stack(tape.gradient(loss, [shift_mean, shift_logvar]))

    batches = list(batches_of(len(images), _BATCH))
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


def _shifted(
    mean: tf.Tensor, logvar: tf.Tensor, shift_mean: tf.Tensor, shift_logvar: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    return mean + tf.exp(0.5 * logvar) * shift_mean, logvar + shift_logvar


@dataclass(frozen=True)
class Gaps:
    r"""log p(x) − ELBO, split in two :cite:p:`cremer2018`: means over the same images, in nats.

    The total is the sum of the approximation gap, log p(x) minus the ELBO of the best diagonal Gaussian, and of the
    amortization gap, the ELBO of that best one minus the ELBO of the encoder's q.  The standard errors of the gaps are
    those of differences taken image by image, and far smaller than those of the three values.
    """

    log_likelihood: Estimate
    fitted_elbo: Estimate
    elbo: Estimate
    approximation: Estimate
    amortization: Estimate
    total: Estimate

    @classmethod
    def of(cls, log_likelihood: np.ndarray, fitted_elbo: np.ndarray, elbo: np.ndarray) -> "Gaps":
        """Return the gaps of log p(x), the ELBO of the best q, and that of the encoder's q, each `(n,)` in nats.

        Raises
        ------
        ValueError
            If the three are not arrays `(n,)` of one length, or of a single image.
        """
        values = [np.asarray(value, float) for value in (log_likelihood, fitted_elbo, elbo)]
        if len({value.shape for value in values}) != 1 or values[0].ndim != 1:
            raise ValueError(f"expected three arrays (n,) of one length, got {[value.shape for value in values]}")
        exact, fitted, encoded = values
        parts = (exact, fitted, encoded, exact - fitted, fitted - encoded, exact - encoded)
        return cls(*(Estimate.of(part) for part in parts))
