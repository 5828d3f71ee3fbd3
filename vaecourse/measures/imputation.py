"""Missing pixels: draws from p(missing | observed) of a VAE by a Markov chain on z and the missing pixels."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy import special

from vaecourse.measures.batching import checked_without_labels, images_at_once
from vaecourse.models import VAE, LinearGaussian, likelihoods
from vaecourse.training import EVALUATION_BATCH


class Imputation(NamedTuple):
    """What a chain drew for every image, after its burn-in.

    Attributes
    ----------
    mean : array `(n, height, width, channels)`
        Observed pixels as they are given; in place of the missing ones the mean of E[x|z] over the draws of z.
    images : array `(kept, n, height, width, channels)`
        Whole images, in which the missing pixels are drawn.
    latents : array `(kept, n, d)`
        The draws of z from which these pixels were drawn.
    acceptance : array `(n,)`
        The share of proposals that were accepted after the burn-in; 1 without the correction.
    """

    mean: np.ndarray
    images: np.ndarray
    latents: np.ndarray
    acceptance: np.ndarray


def impute(
    vae: VAE,
    images: np.ndarray,
    observed: np.ndarray,
    steps: int = 100,
    *,
    burn_in: int = 50,
    warm_up: int = 20,
    every: int = 1,
    metropolis: bool = True,
    seed: int = 0,
) -> Imputation:
    r"""Draw missing pixels given the observed ones, by alternating between z and the missing pixels.

    A step draws z' ~ q(z|x) for the image x as it is completed so far, and then the missing pixels from p(x|z).  If
    every z' is taken, that is pseudo-Gibbs sampling :cite:p:`rezende2014`, whose draws follow p(missing | observed)
    only if q(z|x) is the true posterior.  Metropolis within Gibbs :cite:p:`mattei2018` takes z' with probability

    .. math:: \min\Big(1, \frac{p(x, z')\, q(z|x)}{p(x, z)\, q(z'|x)}\Big),

    and otherwise keeps z; its draws follow p(missing | observed) in the long run, whatever q is.

    Parameters
    ----------
    vae : VAE
        That learns from images alone.
    images : array `(n, height, width, channels)`
        What stands in the place of a missing pixel is not looked at, and may be NaN.
    observed : bool array `(height, width, channels)` or `(n, height, width, channels)`
        Which pixels are known, of all images or of each.
    steps : int
        After the burn-in.
    burn_in : int
        Steps that are dropped.
    warm_up : int
        How many steps take every z' before the burn-in begins: from its random beginning, a chain that compares z with
        z' may not move for long.
    every : int
        Of the steps, each how-manieth is kept.
    metropolis : bool
        Whether z' is accepted by the rule above, or always.
    seed : int
        The draws are functions of it; the chain of an image begins at z ~ p(z).

    Returns
    -------
    Imputation

    Raises
    ------
    TypeError, ValueError
        If the model is told labels, cannot use the images, or has a cross-entropy on grays as its likelihood, which is
        no density to draw from; if the mask is none; if there is no step to keep.

    Notes
    -----
    Consecutive draws are correlated: the standard error of a mean over a chain is larger than that of as many
    independent draws.
    """
    observed = _checked_mask(observed, np.shape(images))
    if isinstance(vae.likelihood, likelihoods.Bernoulli) and vae.likelihood.grays:
        raise ValueError(
            "expected a likelihood that pixels can be drawn from; a cross-entropy on grays is none: binarize the pixels"
        )
    if not (steps >= every >= 1 and min(burn_in, warm_up) >= 0):
        numbers = f"steps={steps}, every={every}, burn_in={burn_in}, warm_up={warm_up}"
        raise ValueError(f"expected steps ≥ every ≥ 1, burn_in ≥ 0 and warm_up ≥ 0, got {numbers}")
    given = checked_without_labels(vae, np.where(observed, images, np.zeros((), np.asarray(images).dtype)))
    step, parts = _compiled_step(vae), []
    for index, first in enumerate(range(0, len(given), EVALUATION_BATCH)):
        rows = slice(first, first + EVALUATION_BATCH)
        start = tf.random.fold_in(tf.constant([seed, 0]), index)
        chain = _Chain(step, given[rows], observed[rows], start, metropolis)
        parts.append(chain.run(vae, warm_up, burn_in, steps, every))
    mean, drawn, latents, accepted = zip(*parts, strict=True)
    return Imputation(
        np.concatenate(mean), np.concatenate(drawn, 1), np.concatenate(latents, 1), np.concatenate(accepted)
    )


def missing_log_likelihood(vae: VAE, images: np.ndarray, observed: np.ndarray, latents: np.ndarray) -> np.ndarray:
    r"""Estimate log p(missing | observed) of every image by log (1/S) Σ_s p(missing | z_s), z_s ~ p(z | observed).

    The average has the right mean, so its logarithm is too low on average, by the less the more draws there are.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
        Whole images: the pixels that were missing are scored.
    observed : bool array `(height, width, channels)` or `(n, height, width, channels)`
    latents : array `(S, n, d)`
        As :func:`impute` returns them for these images.

    Returns
    -------
    array `(n,)`
        In nats.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images, the mask is none, or the latents are not of these images.
    """
    observed = _checked_mask(observed, np.shape(images))
    images = checked_without_labels(vae, images)
    latents = np.asarray(latents, images.dtype)
    if latents.ndim != 3 or latents.shape[1:] != (len(images), vae.latent_dim):
        raise ValueError(f"expected latents (S, {len(images)}, {vae.latent_dim}), got {latents.shape}")
    found = np.empty(len(images))
    size = images_at_once(len(latents))
    for first in range(0, len(images), size):
        rows = slice(first, first + size)
        pixels = vae.decode(latents[:, rows]).distribution.log_prob(images[rows]).numpy()
        scores = np.where(observed[rows], 0.0, pixels).sum(axis=(-3, -2, -1))
        found[rows] = special.logsumexp(scores, axis=0) - np.log(len(latents))
    return found


def exact_imputation(model: LinearGaussian, x: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return mean and covariance of p(missing | observed) of a linear-Gaussian model, in closed form.

    With the covariance C = W Wᵀ + σ² I of x, its blocks of missing (m) and observed (o) pixels and the bias b, they are
    b_m + C_mo C_oo⁻¹ (x_o − b_o) and C_mm − C_mo C_oo⁻¹ C_om.

    Parameters
    ----------
    model : LinearGaussian
    x : array `(n, pixels)`
        What stands in the place of a missing pixel is not looked at.
    observed : bool array `(pixels,)`

    Returns
    -------
    mean : array `(n, missing)`
    covariance : array `(missing, missing)`

    Raises
    ------
    TypeError, ValueError
        If the mask is none.
    """
    x = np.asarray(x, np.float64)
    _checked_mask(observed, x.shape)
    covariance = model.weights @ model.weights.T + model.sigma**2 * np.eye(len(model.bias))
    seen, missing = np.flatnonzero(observed), np.flatnonzero(~np.asarray(observed))
    gain = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, missing)])
    mean = model.bias[missing] + (x[:, seen] - model.bias[seen]) @ gain
    return mean, covariance[np.ix_(missing, missing)] - covariance[np.ix_(missing, seen)] @ gain


class _Chain:
    """The chains of a batch of images, side by side."""

    def __init__(self, step: Any, given: np.ndarray, observed: np.ndarray, seed: tf.Tensor, metropolis: bool) -> None:
        self.step, self.observed, self.metropolis = step, tf.constant(observed), tf.constant(metropolis)
        self.x, self.seed, self.taken = tf.constant(given), seed, 0

    def advance(self, z: tf.Tensor, metropolis: bool | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        self.taken += 1
        seed = tf.random.fold_in(self.seed, self.taken)
        self.x, z, accepted, mean = self.step(self.x, z, self.observed, tf.constant(metropolis), seed)
        return z, accepted, mean

    def run(self, vae: VAE, warm_up: int, burn_in: int, steps: int, every: int) -> tuple[np.ndarray, ...]:
        z = vae.prior_distribution().sample(len(self.x), seed=self.seed)
        self.x = tf.where(self.observed, self.x, vae.decode(z).sample(seed=tf.random.fold_in(self.seed, 0)))
        for index in range(warm_up + burn_in):
            z, *_ = self.advance(z, self.metropolis & (index >= warm_up))
        total, share, images, latents = tf.zeros_like(self.x), tf.zeros_like(self.x[:, 0, 0, 0]), [], []
        for index in range(1, steps + 1):
            z, accepted, mean = self.advance(z, self.metropolis)
            total, share = total + mean / steps, share + accepted / steps
            if index % every == 0:
                images.append(self.x.numpy())
                latents.append(z.numpy())
        return tf.where(self.observed, self.x, total).numpy(), np.stack(images), np.stack(latents), share.numpy()


def _compiled_step(vae: VAE) -> Any:
    dtype = vae.variable_dtype
    of_images, of_latents = tf.TensorSpec((None, *vae.image_shape), dtype), tf.TensorSpec((None, vae.latent_dim), dtype)
    mask, seed = tf.TensorSpec((None, *vae.image_shape), tf.bool), tf.TensorSpec((2,), tf.int32)
    prior = vae.prior_distribution()

    @tf.function(input_signature=[of_images, of_latents, mask, tf.TensorSpec((), tf.bool), seed])
    def step(
        x: tf.Tensor, z: tf.Tensor, observed: tf.Tensor, metropolis: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        seeds = tf.random.split(seed, 3)
        q = vae.encode(x)
        proposal = q.sample(seed=seeds[0])

        def log_weight(latents: tf.Tensor) -> tf.Tensor:
            return vae.log_likelihood(x, latents) + prior.log_prob(latents) - q.log_prob(latents)

        uniform = tf.random.stateless_uniform(tf.shape(x)[:1], seeds[1], dtype=dtype)
        accepted = (tf.math.log(uniform) < log_weight(proposal) - log_weight(z)) | ~metropolis
        z = tf.where(accepted[:, tf.newaxis], proposal, z)
        pixels = vae.decode(z)
        x = tf.where(observed, x, tf.cast(pixels.sample(seed=seeds[2]), dtype))
        return x, z, tf.cast(accepted, dtype), pixels.mean()

    return step


def _checked_mask(observed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    observed = np.asarray(observed)
    if observed.dtype != bool:
        raise TypeError(f"expected observed as a bool array, true where a pixel is known, got {observed.dtype.name}")
    if observed.shape not in (shape, shape[1:]):
        raise ValueError(f"expected a mask of shape {shape[1:]} or {shape}, got {observed.shape}")
    observed = np.broadcast_to(observed, shape)
    if observed.reshape(len(observed), -1).all(axis=1).any():
        raise ValueError("expected a missing pixel in every image, got a mask that is true everywhere")
    return observed
