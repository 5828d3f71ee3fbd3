"""Numbers and pictures from a trained model, on images it has not seen."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import data, digit_models, likelihoods, models, objectives
from vaecourse.fitting import EVALUATION_BATCH

tfd = tfp.distributions


@dataclass(frozen=True)
class Estimate:
    """A mean over images with its standard error."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, per_image: np.ndarray) -> "Estimate":
        """Return the mean of values per image, each weighing the same, and the standard error of that mean.

        Raises
        ------
        ValueError
            If there are fewer than two values: one has no standard error.
        """
        values = np.asarray(per_image, np.float64).ravel()
        if values.size < 2:
            raise ValueError(f"expected at least two values, got {values.size}")
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.standard_error:.2f}"


def elbo_terms(vae: models.VAE, images: np.ndarray, samples: int = 1, seed: int = 0, labels=None) -> models.Terms:
    """Return log-likelihood and KL of every image, as numpy arrays `(n,)` in nats.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    samples : int
        Samples of z for each image, over which both terms are averaged.
    seed : int
    labels : array `(n,)`, optional
        For models that know digits: the terms are then those of a bound on log p(x|y).
    """
    terms = _by_batch(vae, images, samples, seed, vae.terms, labels=labels)
    return models.Terms(*(np.concatenate(part) for part in zip(*terms, strict=True)))


def elbo(vae: models.VAE, images: np.ndarray, samples: int = 1, seed: int = 0, labels=None) -> Estimate:
    """Return the mean ELBO over images, in nats, with its standard error; given labels, of log p(x|y)."""
    return Estimate.of(objectives.elbo(*elbo_terms(vae, images, samples, seed, labels)))


def importance_log_likelihood(vae: models.VAE, images: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    """Estimate log p(x) of every image from below by the importance-weighted bound :cite:p:`burda2016`.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    samples : int
        K.  Samples are drawn in portions, so that memory does not grow with K.
    seed : int

    Returns
    -------
    array `(n,)`, nats
        On average at most log p(x), and closer to it the larger K is.
    """
    if samples < 1:
        raise ValueError(f"expected at least one sample, got {samples}")
    portion = min(samples, 50)
    portions = [portion] * (samples // portion) + [samples % portion] * (samples % portion > 0)
    total = np.full(len(images), -np.inf)
    drawn = 0
    for size in portions:
        bounds = _by_batch(
            vae,
            images,
            size,
            seed,
            lambda x, eps: objectives.importance_weighted_bound(vae.log_weights(x, eps)),
            first=drawn,
        )
        drawn += len(bounds)
        total = np.logaddexp(total, np.concatenate(bounds) + math.log(size))
    return total - math.log(samples)


def exact_log_likelihood(vae: models.VAE, images: np.ndarray, points: int = 256, reach: float = 6.0) -> np.ndarray:
    """Compute log p(x) of every image by quadrature over z, for two latents and binary pixels.

    The integral ∫ p(x|z) p(z) dz is a sum over a grid of points × points latents in [−reach, reach]².  With Bernoulli
    pixels log p(x|z) is linear in x, so that one matrix product scores all images against many z.

    Returns
    -------
    array `(n,)`, nats

    Raises
    ------
    ValueError
        If the model has other than two latents, or another likelihood.
    """
    axis = np.linspace(-reach, reach, points, dtype=np.float32)
    total = np.full(len(images), -np.inf, np.float32)
    for joint in _joint_on_grid(vae, images, axis, axis):
        total = np.logaddexp(total, tf.reduce_logsumexp(joint, axis=-1))
    return total + 2 * math.log(axis[1] - axis[0])


def exact_posterior(vae: models.VAE, images: np.ndarray, center=(0.0, 0.0), reach=6.0, points=256) -> tuple:
    """Compute the true posterior log p(z|x) of a few images on a square grid, under the terms of the quadrature above.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    center : (float, float)
    reach : float
        Half the side of the square.  The density is normalized on it, so the posterior must lie inside.
    points : int
        On each side.

    Returns
    -------
    axes : array `(2, points)`
        The values of the two latents.
    log_density : array `(n, points, points)`
        The second latent grows along the rows, the first along the columns.
    """
    axes = np.asarray(center, np.float32)[:, np.newaxis] + np.linspace(-reach, reach, points, dtype=np.float32)
    joint = np.concatenate(list(_joint_on_grid(vae, images, *axes)), axis=-1)
    cell = 2 * math.log(axes[0, 1] - axes[0, 0])
    log_density = joint - tf.reduce_logsumexp(joint, axis=-1, keepdims=True) - cell
    return axes, log_density.numpy().reshape(len(images), points, points)


def _joint_on_grid(vae: models.VAE, images: np.ndarray, first: np.ndarray, second: np.ndarray) -> Iterator[tf.Tensor]:
    """Yield log p(x, z) of all images `(n, portion)`, a portion of the grid at a time."""
    if vae.latent_dim != 2 or not isinstance(vae.likelihood, likelihoods.Bernoulli):
        raise ValueError("quadrature needs two latents and a Bernoulli likelihood; see importance_log_likelihood")
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    pixels = tf.reshape(tf.cast(vae.checked(images), tf.float32), (len(images), -1))
    for z in np.array_split(grid, max(1, len(grid) // 2048)):
        logits = tf.reshape(vae.decode(z).distribution.logits, (len(z), -1))
        at_zero = -tf.reduce_sum(tf.nn.softplus(logits), axis=-1)
        log_prior = tf.reduce_sum(tfd.Normal(0.0, 1.0).log_prob(z), axis=-1)
        yield tf.matmul(pixels, logits, transpose_b=True) + at_zero + log_prior


def active_units(vae: models.VAE, images: np.ndarray, threshold: float = 0.01) -> np.ndarray:
    """Return which latents carry information: those whose posterior mean varies over the images.

    A latent is active if the variance of its posterior mean exceeds `threshold` :cite:p:`burda2016`.

    Returns
    -------
    bool array `(d,)`
    """
    means = np.concatenate([vae.posterior_parameters(x)[0] for x in data.batches(images, EVALUATION_BATCH)])
    return means.var(axis=0) > threshold


def manifold(vae: models.VAE, n: int = 20, quantiles: tuple[float, float] = (0.05, 0.95)) -> np.ndarray:
    """Decode an n×n grid of latents that the prior makes equally likely, for two latents.

    The grid stands on quantiles of the standard normal distribution.  The first latent grows to the right, the
    second upwards, as the axes of a scatter plot do.

    Returns
    -------
    array `(n, n, height, width, channels)`
        Mean images.
    """
    if vae.latent_dim != 2:
        raise ValueError(f"a manifold needs two latents, this model has {vae.latent_dim}")
    axis = tfd.Normal(0.0, 1.0).quantile(tf.linspace(*quantiles, n))
    across, up = tf.meshgrid(axis, axis[::-1])
    return vae.decode(tf.stack([across, up], axis=-1)).mean().numpy()


def interpolation(vae: models.VAE, first: np.ndarray, second: np.ndarray, steps: int = 10) -> np.ndarray:
    """Decode `steps` latents on the line from `first` to `second`, each `(d,)`; mean images `(steps, ...)`."""
    share = np.linspace(0, 1, steps, dtype=np.float32)[:, np.newaxis]
    return vae.decode((1 - share) * first + share * second).mean().numpy()


def traversal(vae: models.VAE, z: np.ndarray, latent: int, values: np.ndarray) -> np.ndarray:
    """Decode `z` `(d,)` with one latent set to each of `values`; mean images `(len(values), ...)`."""
    if not 0 <= latent < vae.latent_dim:
        raise ValueError(f"expected a latent from 0 to {vae.latent_dim - 1}, got {latent}")
    z = np.tile(np.asarray(z, np.float32), (len(values), 1))
    z[:, latent] = values
    return vae.decode(z).mean().numpy()


def bound(vae: digit_models.SemiSupervisedVAE, images: np.ndarray, labels=None, samples: int = 1, seed=0) -> Estimate:
    """Return the mean over images of :meth:`vaecourse.digit_models.SemiSupervisedVAE.bound`.

    Without labels it bounds log p(x), with them log p(x, y).
    """

    def per_image(x, eps, y=None):
        return tf.reduce_mean(tf.stack([vae.bound(x, one, y) for one in tf.unstack(eps)]), axis=0)

    return Estimate.of(np.concatenate(_by_batch(vae, images, samples, seed, per_image, labels=labels)))


def accuracy(classifier: keras.Model, images: np.ndarray, labels: np.ndarray) -> Estimate:
    """Return the share of images whose label has the largest of the classifier's outputs."""
    if len(images) != len(labels):
        raise ValueError(f"expected a label for each image, got {len(images)} images and {len(labels)} labels")
    right = [np.argmax(classifier(x), axis=-1) == y for x, y in data.batches((images, labels), EVALUATION_BATCH)]
    return Estimate.of(np.concatenate(right))


def sample_accuracy(vae: digit_models.DigitVAE, judge: keras.Model, per_class: int = 100, seed: int = 0) -> Estimate:
    """Return the share of class-conditional samples that a classifier takes for the digit that was asked for.

    Parameters
    ----------
    vae : DigitVAE, ConditionalVAE or SemiSupervisedVAE
    judge : keras.Model
        Returns logits; trained on real images, and by nothing that the VAE has seen to its own advantage.
    per_class : int
        Samples for each class; mean images of draws from the prior.
    seed : int
    """
    labels = np.repeat(np.arange(vae.classes), per_class)
    return accuracy(judge, vae.sample(len(labels), seed, labels).numpy(), labels)


def leakage(vae: digit_models.DigitVAE, train: tuple, test: tuple, neighbors: int = 15, seed: int = 0) -> Estimate:
    """Return how well the digit can be read from z ~ q, by the vote of the nearest neighbors.

    If the latents held nothing but style, it would be chance.

    Parameters
    ----------
    vae : DigitVAE, ConditionalVAE or SemiSupervisedVAE
    train, test : (images, labels)
        The neighbors, and those who ask them.
    neighbors : int
    seed : int

    Returns
    -------
    Estimate
        The share of test images whose digit is read rightly.
    """
    from sklearn.neighbors import KNeighborsClassifier

    def latents(x, eps, y=None):
        return vae.reparameterize(*vae.posterior_parameters(x, y), eps)[0]

    train_z, test_z = (
        np.concatenate(_by_batch(vae, images, 1, part + 2 * seed, latents, labels=labels))
        for part, (images, labels) in enumerate((train, test))
    )
    reader = KNeighborsClassifier(neighbors).fit(train_z, train[1])
    return Estimate.of(reader.predict(test_z) == test[1])


def _by_batch(vae, images, samples, seed, function, first=0, labels=None) -> list:
    """Return `function(x, eps[, y])` by batch; the noise is a function of the seed and a number, from `first` on."""
    if samples < 1:
        raise ValueError(f"expected at least one sample, got {samples}")
    images, labels = vae.checked(images), vae.checked_labels(labels)
    examples = (images,) if labels is None else (images, labels)
    size = max(1, EVALUATION_BATCH // samples)
    results = []
    for index, (x, *y) in enumerate(data.batches(examples, size), start=first):
        eps = tf.random.stateless_normal((samples, len(x), vae.latent_dim), (seed, index), dtype=vae.variable_dtype)
        results.append(tf.nest.map_structure(lambda tensor: tensor.numpy(), function(x, eps, *y)))
    return results
