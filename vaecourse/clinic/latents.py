"""What is measured of the posteriors of many images: which latents are used, what they carry, what they cover."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.clinic.normal import normal_kl
from vaecourse.clinic.thresholds import THRESHOLDS
from vaecourse.measures.estimate import Estimate
from vaecourse.measures.latents import active_by_means

tfd = tfp.distributions


def of_the_latents(each: Mapping[str, np.ndarray], prior: tuple[float, float]) -> dict[str, float | np.ndarray]:
    """Measure posteriors in the unit of the prior's standard deviation.

    Parameters
    ----------
    each : mapping
        The arrays `mean`, `z` and, where the posterior is a normal distribution, `logvar`, each `(n, d)`, and `kl`.
    prior : (float, float)
        Mean and variance of each latent's prior.
    """
    shift, scale = prior[0], prior[1] ** 0.5
    mean, z = ((each[name].astype(float) - shift) / scale for name in ("mean", "z"))
    active = active_by_means(mean, THRESHOLDS.active)
    center, covariance = mean.mean(axis=0), np.atleast_2d(np.cov(mean, rowvar=False, bias=True))
    measured: dict[str, float | np.ndarray] = {"active units": int(active.sum()), "active": active}
    if "logvar" not in each:  # mean and variance of the aggregate are those of z, whatever its form
        center, covariance = z.mean(axis=0), np.atleast_2d(np.cov(z, rowvar=False, bias=True))
        return measured | _of_the_aggregate(center, covariance)
    logvar = each["logvar"].astype(float) - 2 * np.log(scale)
    information = Estimate.of(_log_posterior_ratio(mean, logvar, z))
    covariance = covariance + np.diag(np.exp(logvar).mean(axis=0))
    return {
        "kl per latent": normal_kl(mean, np.exp(logvar / 2)).mean(axis=0),
        **measured,
        "mutual information": information.mean,
        "mutual information standard error": information.standard_error,
        "mutual information at most": float(np.log(len(mean))),
        "aggregate kl": float(each["kl"].mean()) - information.mean,
        **_of_the_aggregate(center, covariance),
        "smallest log-variance": float(logvar.min()),
        "largest log-variance": float(logvar.max()),
    }


def _of_the_aggregate(center: np.ndarray, covariance: np.ndarray) -> dict[str, float | np.ndarray]:
    from_below = 0.5 * (np.trace(covariance) + center @ center - len(center) - np.linalg.slogdet(covariance)[1])
    return {
        "aggregate kl, at least": float(from_below),
        "aggregate mean": center,
        "aggregate variance": np.diag(covariance),
    }


def _log_posterior_ratio(mean: np.ndarray, logvar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return log q(z|x) − log q(z) of each image's z, q(z) being the mixture of the posteriors of all."""
    posteriors = tfd.Normal(mean, np.exp(logvar / 2))

    def log_posterior(z: np.ndarray) -> tf.Tensor:
        return tf.reduce_sum(posteriors.log_prob(z), axis=-1)

    portions = np.array_split(z[:, np.newaxis], -(-len(z) // 50))  # all pairs of z and posterior, some at a time
    log_mixture = [tf.reduce_logsumexp(log_posterior(some), axis=1) for some in portions]
    return (log_posterior(z) - tf.concat(log_mixture, axis=0)).numpy() + np.log(len(z))
