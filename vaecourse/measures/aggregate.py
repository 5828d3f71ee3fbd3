r"""The aggregate posterior q(z), the mixture of the approximate posteriors of all images, and what the KL consists of.

With N images, q(z) = (1/N) Σ_i q(z|x_i).  The mean KL of a VAE is the sum of what z tells about which image it came
from and of the distance of q(z) from the prior :cite:p:`hoffman2016`:

.. math:: \frac1N \sum_i \mathrm{KL}(q(z|x_i) \,\|\, p(z)) = I(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)).
"""

from numbers import Integral
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import special

from vaecourse.measures.batching import checked_without_labels, posterior_parameters
from vaecourse.measures.estimate import Estimate
from vaecourse.models import VAE

_AT_ONCE = 5_000_000  # densities of latents in memory


class KLParts(NamedTuple):
    """What the mean KL consists of, in nats, each with its standard error over images.

    Attributes
    ----------
    mutual_information : Estimate
        I(x; z) of a code and the number of its image; at most ln N.
    marginal_kl : Estimate
        KL(q(z) ‖ p(z)), which a better prior could save.
    total_correlation : Estimate or None
        KL(q(z) ‖ Π_j q(z_j)), and
    dimension_wise : Estimate or None
        Σ_j KL(q(z_j) ‖ p(z_j)): the parts of the marginal KL where the prior is N(0, I) :cite:p:`chen2018`.
    """

    mutual_information: Estimate
    marginal_kl: Estimate
    total_correlation: Estimate | None
    dimension_wise: Estimate | None


def aggregate_log_density(mean: np.ndarray, logvar: np.ndarray, z: np.ndarray, each: bool = False) -> np.ndarray:
    r"""Return log q(z) = ln (1/N) Σ_i N(z; μ_i, diag exp(ln σ_i²)), in nats.

    Parameters
    ----------
    mean, logvar : array `(N, d)`
        Of the approximate posteriors of N images.
    z : array `(n, d)`
    each : bool
        Whether to return log q(z_j) of every latent by itself.

    Returns
    -------
    array `(n,)`, or `(n, d)` of every latent by itself

    Raises
    ------
    TypeError
        If one of them has other numbers than real ones.
    ValueError
        If the shapes do not fit each other, there is no image, or a number is not finite.
    """
    given = {"mean": np.asarray(mean), "logvar": np.asarray(logvar), "z": np.asarray(z)}
    if strange := [f"{name} of {part.dtype}" for name, part in given.items() if part.dtype.kind not in "fiu"]:
        raise TypeError(f"expected arrays of real numbers, got {', '.join(strange)}")
    mean, logvar, z = (part.astype(np.float64) for part in given.values())
    if mean.ndim != 2 or mean.shape != logvar.shape or z.ndim != 2 or z.shape[1] != mean.shape[1] or not len(mean):
        raise ValueError(f"expected mean and logvar (N, d) and z (n, d), got {mean.shape}, {logvar.shape}, {z.shape}")
    if strange := [name for name, part in given.items() if not np.isfinite(part).all()]:
        raise ValueError(f"expected finite numbers, got NaN or inf in {', '.join(strange)}")
    parts = [_of_a_part(mean, logvar, part, each) for part in np.array_split(z, 1 + z.size * len(mean) // _AT_ONCE)]
    return np.concatenate(parts) - np.log(len(mean))


def kl_parts(vae: VAE, images: np.ndarray, samples: int = 1, seed: int = 0) -> KLParts:
    r"""Estimate what the mean KL of these images consists of, for their own aggregate posterior.

    At samples z of q(z|x_i) the mean of ln q(z|x_i) − ln q(z) is I(x; z), that of ln q(z) − ln p(z) the marginal KL,
    that of ln q(z) − Σ_j ln q(z_j) the total correlation.  q(z) is computed from all N images, so that its density is
    exact, at a cost of N² densities for each sample; with fewer images I(x; z) is smaller, since it is at most ln N.

    Parameters
    ----------
    vae : VAE
        Whose approximate posterior is a diagonal normal distribution.
    images : array `(N, height, width, channels)`
    samples : int
        Samples of z for each image.
    seed : int

    Returns
    -------
    KLParts
        `mutual_information` and `marginal_kl` add up to the mean KL at the same samples.  The standard errors are those
        of a mean over images.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images, is told labels, or has another posterior; if there is no sample.
    """
    if type(vae).sample_and_log_q is not VAE.sample_and_log_q or type(vae).reparameterize is not VAE.reparameterize:
        raise ValueError(
            f"expected a model whose q(z|x) is a diagonal normal distribution, got a {type(vae).__name__}: the mixture "
            "of other densities is not known here"
        )
    if not (isinstance(samples, Integral) and samples >= 1 and isinstance(seed, Integral)):
        raise ValueError(f"expected at least one sample and an integer seed, got samples={samples!r}, seed={seed!r}")
    images = checked_without_labels(vae, images)
    mean, logvar = posterior_parameters(vae, images)
    found = [_at_one_sample(vae, mean, logvar, (seed, sample)) for sample in range(samples)]
    information, marginal, *factors = zip(*found, strict=True)
    parts = [None if part[0] is None else _mean(part) for part in factors]
    return KLParts(_mean(information), _mean(marginal), *parts)


def _at_one_sample(
    vae: VAE, mean: np.ndarray, logvar: np.ndarray, seed: tuple[int, int]
) -> tuple[np.ndarray | None, ...]:
    eps = tf.random.stateless_normal(mean.shape, seed, dtype=mean.dtype)
    z, log_q = (part.numpy() for part in vae.sample_and_log_q(mean, logvar, eps))
    aggregate = aggregate_log_density(mean, logvar, z)
    log_prior = vae.prior_distribution().log_prob(z).numpy()
    if type(vae).prior_distribution is not VAE.prior_distribution:
        return log_q - aggregate, aggregate - log_prior, None, None
    each = aggregate_log_density(mean, logvar, z, each=True).sum(axis=1)
    return log_q - aggregate, aggregate - log_prior, aggregate - each, each - log_prior


def _mean(values: tuple) -> Estimate:
    return Estimate.of(np.mean(values, axis=0))


def _of_a_part(mean: np.ndarray, logvar: np.ndarray, z: np.ndarray, each: bool) -> np.ndarray:
    standardized = (z[:, np.newaxis] - mean) * np.exp(-0.5 * logvar)
    log_density = -0.5 * (standardized**2 + logvar + np.log(2 * np.pi))
    return special.logsumexp(log_density if each else log_density.sum(axis=-1), axis=1)
