"""How well digits are recognized: by a classifier, in samples, and in the latents."""

import keras
import numpy as np

from vaecourse import data
from vaecourse.measures.bounds import _by_batch
from vaecourse.measures.estimate import Estimate
from vaecourse.models import DigitVAE
from vaecourse.training import EVALUATION_BATCH


def accuracy(classifier: keras.Model, images: np.ndarray, labels: np.ndarray) -> Estimate:
    """Return the share of images whose label has the largest of the classifier's outputs."""
    if len(images) != len(labels):
        raise ValueError(f"expected a label for each image, got {len(images)} images and {len(labels)} labels")
    right = [np.argmax(classifier(x), axis=-1) == y for x, y in data.batches((images, labels), EVALUATION_BATCH)]
    return Estimate.of(np.concatenate(right))


def sample_accuracy(vae: DigitVAE, judge: keras.Model, per_class: int = 100, seed: int = 0) -> Estimate:
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


def leakage(vae: DigitVAE, train: tuple, test: tuple, neighbors: int = 15, seed: int = 0) -> Estimate:
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
