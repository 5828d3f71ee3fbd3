"""How well digits are recognized: by a classifier in images, in what a model draws, and in the latents."""

import keras
import numpy as np
import tensorflow as tf

from vaecourse import data
from vaecourse.measures.batching import per_image
from vaecourse.measures.estimate import Estimate
from vaecourse.models import VAE
from vaecourse.training import EVALUATION_BATCH


def accuracy(classifier: keras.Model, images: np.ndarray, labels: np.ndarray) -> Estimate:
    """Return the share of images whose label has the largest of the classifier's outputs.

    Parameters
    ----------
    classifier : keras.Model
        Or another callable that takes images and returns one number for each class, `(batch, classes)`.
    images : array `(n, height, width, channels)`
    labels : integer array `(n,)`

    Raises
    ------
    ValueError
        If there is not one label for each image, or there are fewer than two images.
    """
    if len(images) != len(labels):
        raise ValueError(f"expected a label for each image, got {len(images)} images and {len(labels)} labels")
    right = [np.argmax(classifier(x), axis=-1) == y for x, y in data.batches((images, labels), EVALUATION_BATCH)]
    return Estimate.of(np.concatenate(right))


def sample_accuracy(vae: VAE, judge: keras.Model, per_class: int = 100, seed: int = 0) -> Estimate:
    """Return the share of class-conditional samples that a classifier takes for the digit that was asked for.

    Parameters
    ----------
    vae : DigitVAE, ConditionalVAE or SemiSupervisedVAE
    judge : keras.Model
        Returns logits.  It was trained on real images, and by nothing that the VAE has seen to its own advantage.
    per_class : int
        Samples for each class: mean images of draws from the prior.
    seed : int
    """
    labels = np.repeat(np.arange(vae.classes), per_class)
    return accuracy(judge, vae.sample(len(labels), seed, labels).numpy(), labels)


def leakage(
    vae: VAE,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    neighbors: int = 15,
    seed: int = 0,
) -> Estimate:
    """Return how well the digit can be read from z ~ q(z|x), by the vote of the nearest neighbors.

    If the latents held nothing but style, the digit would be read by chance.

    Parameters
    ----------
    vae : DigitVAE, ConditionalVAE or SemiSupervisedVAE
    train, test : (images, labels)
        Images whose latents vote, and images whose latents ask them.
    neighbors : int
        How many of the nearest vote.
    seed : int

    Returns
    -------
    Estimate
        The share of test images whose digit is read rightly.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images or the labels.
    """
    from sklearn.neighbors import KNeighborsClassifier

    def latents(x: tf.Tensor, eps: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return vae.reparameterize(*vae.posterior_parameters(x, y), eps)[0]

    train_z, test_z = (
        per_image(vae, images, 1, part + 2 * seed, latents, labels)
        for part, (images, labels) in enumerate((train, test))
    )
    reader = KNeighborsClassifier(neighbors).fit(train_z, train[1])
    return Estimate.of(reader.predict(test_z) == test[1])
