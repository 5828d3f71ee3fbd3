r"""The terms of the ELBO and their estimators, per image, in nats.

Posterior q(z|x) = N(`mean`, diag exp(`logvar`)), prior p(z) = N(0, I).  All functions sum over latents (the last
axis) and keep the batch: a mean over the batch is taken last, by whoever trains or reports.  Noise is always an
argument, `eps` ~ N(0, I), so that every estimate can be repeated.
"""

from typing import NamedTuple

import tensorflow as tf


class Terms(NamedTuple):
    """The two terms of the ELBO, per image `(batch,)`, in nats."""

    log_likelihood: tf.Tensor
    kl: tf.Tensor


def reparameterize(mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
    r"""Turn noise into a sample of the posterior: `z = mean + exp(½ logvar) · eps` :cite:p:`kingma2014`.

    Parameters
    ----------
    mean, logvar : tensor `(batch, d)`
    eps : tensor `(..., batch, d)`
        Standard normal; leading axes are samples.

    Returns
    -------
    tensor of the shape of `eps`
    """
    return mean + tf.exp(0.5 * logvar) * eps


def analytic_kl(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    r"""KL(q(z|x) ‖ p(z)) in closed form: ½ Σ_j (μ_j² + σ_j² − ln σ_j² − 1).

    Returns
    -------
    tensor `(batch,)`, nats
        See appendix B of :cite:p:`kingma2014`.
    """
    return 0.5 * tf.reduce_sum(mean**2 + tf.exp(logvar) - logvar - 1.0, axis=-1)


def monte_carlo_kl(mean: tf.Tensor, logvar: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
    r"""Estimate KL(q(z|x) ‖ p(z)) by log q(z|x) − log p(z) at one sample: ½ Σ_j (z_j² − ε_j² − ln σ_j²).

    Unbiased, with variance Σ_j [(σ_j² − 1)²/2 + μ_j² σ_j²].  It is computed from the noise, not from `z`: recovering
    ε as (z − μ)/σ loses a quarter of a nat in float32 at ln σ² = −60.

    Parameters
    ----------
    mean, logvar : tensor `(batch, d)`
    eps : tensor `(..., batch, d)`

    Returns
    -------
    tensor `(..., batch)`, nats
    """
    return sampled_kl(reparameterize(mean, logvar, eps), eps, logvar)


def sampled_kl(z: tf.Tensor, eps: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    r"""Log q(z|x) − log p(z) = ½ Σ_j (z_j² − ε_j² − ln σ_j²) of a sample z that was made of the noise ε.

    Parameters
    ----------
    z, eps : tensor `(..., batch, d)`
    logvar : tensor `(batch, d)`

    Returns
    -------
    tensor `(..., batch)`, nats
    """
    return 0.5 * tf.reduce_sum(z**2 - eps**2 - logvar, axis=-1)


def monte_carlo_kl_variance(mean: tf.Tensor, logvar: tf.Tensor) -> tf.Tensor:
    r"""Variance of :func:`monte_carlo_kl` over the noise: Σ_j [(σ_j² − 1)²/2 + μ_j² σ_j²], in nats².

    With ε standard normal a single latent contributes ½((σ²−1)ε² + 2μσε) plus a constant; ε² has variance 2 and is
    uncorrelated with ε.
    """
    variance = tf.exp(logvar)
    return tf.reduce_sum(0.5 * (variance - 1.0) ** 2 + mean**2 * variance, axis=-1)


def elbo(log_likelihood: tf.Tensor, kl: tf.Tensor, beta: float = 1.0) -> tf.Tensor:
    r"""Evidence lower bound per image: log p(x|z) − β KL.

    With β = 1 its mean over the noise is at most log p(x); with any other β it is the objective of
    :cite:t:`higgins2017`, and a bound only for β ≥ 1.
    """
    return log_likelihood - beta * kl


def importance_weighted_bound(log_weights: tf.Tensor) -> tf.Tensor:
    r"""Bound of :cite:t:`burda2016`: log (1/K) Σ_k w_k, w_k = p(x, z_k)/q(z_k|x).

    Parameters
    ----------
    log_weights : tensor `(K, batch)`
        log p(x|z_k) − (log q(z_k|x) − log p(z_k)), from K samples of q.

    Returns
    -------
    tensor `(batch,)`, nats
        Its mean over the noise does not fall as K grows and is at most log p(x); K = 1 is the ELBO.
    """
    samples = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(samples)
