"""What is known of digits: by a classifier of images and of samples, by the latents, and by what a decoder is told."""

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

    The classifier has to choose: a sample that it recognizes looks more like this digit than like the others.  Whether
    it can be read is another question, and so is whether it looks like any image of the data.

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


def verdicts(judge: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the probabilities that a classifier gives to its classes, `(n, classes)`.

    Parameters
    ----------
    judge : keras.Model
        Returns logits.
    images : array `(n, height, width, channels)`
    """
    return np.concatenate([tf.nn.softmax(judge(x)) for x in data.batches(images, EVALUATION_BATCH)])


def substitutes(probabilities: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Return what a decoder can be told in place of the probabilities that a classifier gives to each image.

    Each substitute keeps less of the image.  The difference of what the decoder then reaches is what the part left out
    was worth, in nats.

    Parameters
    ----------
    probabilities : array `(n, classes)`
        π(y|x).
    labels : integer array `(n,)`
    seed : int
        Of the choice of other images.

    Returns
    -------
    dict of arrays `(n, classes)`
        Under ``"its own"`` the probabilities; under ``"another image's"`` those of another image that the classifier
        takes for the same digit (its own, if there is none); under ``"average"`` the mean over all
        images that the classifier takes for that digit; under ``"hardened"`` 1 for the digit of the largest
        probability; under ``"true digit"`` 1 for the label.

    Raises
    ------
    ValueError
        If there is not one label for each row of probabilities.
    """
    if np.ndim(probabilities) != 2 or np.shape(labels) != np.shape(probabilities)[:1]:
        raise ValueError(
            f"expected probabilities (n, classes) and n labels, got {np.shape(probabilities)} and {np.shape(labels)}"
        )
    rng = np.random.default_rng(seed)
    modes = np.argmax(probabilities, axis=1)
    certain = np.eye(probabilities.shape[1], dtype=probabilities.dtype)
    other, average = np.empty_like(probabilities), np.empty_like(probabilities)
    for mode in np.unique(modes):
        alike = rng.permutation(np.flatnonzero(modes == mode))
        other[alike] = probabilities[np.roll(alike, 1)]
        average[alike] = probabilities[alike].mean(axis=0)
    return {
        "its own": probabilities,
        "another image's": other,
        "average": average,
        "hardened": certain[modes],
        "true digit": certain[labels],
    }


def leakage(
    vae: VAE,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    neighbors: int = 15,
    seed: int = 0,
) -> Estimate:
    """Return how well the digit can be read from z ~ q(z|x), by the vote of the nearest neighbors.

    This is a lower limit: another reader may do better.  If the codes of all digits had the same distribution, p(z|y) =
    p(z), none could do better than to answer the most frequent digit.

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
