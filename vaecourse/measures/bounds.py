"""The bounds that a model reaches on images it has not seen."""

import numpy as np
import tensorflow as tf

from vaecourse import data
from vaecourse.measures.estimate import Estimate
from vaecourse.models import VAE, SemiSupervisedVAE, Terms, objectives
from vaecourse.training import EVALUATION_BATCH


def elbo_terms(vae: VAE, images: np.ndarray, samples: int = 1, seed: int = 0, labels=None) -> Terms:
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
    return Terms(*(np.concatenate(part) for part in zip(*terms, strict=True)))


def elbo(vae: VAE, images: np.ndarray, samples: int = 1, seed: int = 0, labels=None) -> Estimate:
    """Return the mean ELBO over images, in nats, with its standard error; given labels, of log p(x|y)."""
    return Estimate.of(objectives.elbo(*elbo_terms(vae, images, samples, seed, labels)))


def bound(vae: SemiSupervisedVAE, images: np.ndarray, labels=None, samples: int = 1, seed=0) -> Estimate:
    """Return the mean over images of :meth:`vaecourse.SemiSupervisedVAE.bound`.

    Without labels it bounds log p(x), with them log p(x, y).
    """

    def per_image(x, eps, y=None):
        return tf.reduce_mean(tf.stack([vae.bound(x, one, y) for one in tf.unstack(eps)]), axis=0)

    return Estimate.of(np.concatenate(_by_batch(vae, images, samples, seed, per_image, labels=labels)))


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
