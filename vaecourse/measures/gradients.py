"""The noise of a gradient: its mean and variance over draws of the noise."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vaecourse.data import amounts
from vaecourse.measures.estimate import Estimate
from vaecourse.models import VAE


class GradientMoments(NamedTuple):
    """Means and variances of a gradient over repetitions, which fall into groups of equal size.

    Attributes
    ----------
    mean, variance : array `(groups, parameters)`
        In nats, and nats squared, per unit of the parameter.
    repetitions : int
        In each group.
    """

    mean: np.ndarray
    variance: np.ndarray
    repetitions: int

    def signal_to_noise(self) -> Estimate:
        r"""Return the root mean square of abs(mean)/(standard deviation) over the coordinates that have any noise.

        The square is estimated without bias for normal gradients: of n repetitions the mean of mean²/variance, times
        (n − 3)/(n − 1), less 1/n.

        Raises
        ------
        ValueError
            If no coordinate has any noise.
        """

        def squared(mean: np.ndarray, variance: np.ndarray, n: int) -> float:
            noisy = variance > 0
            if not noisy.any():
                raise ValueError("this gradient has no noise, and no ratio of signal to noise; see norm")
            return np.mean(mean[noisy] ** 2 / variance[noisy]) * (n - 3) / (n - 1) - 1 / n

        return self._root(squared)

    def norm(self) -> Estimate:
        r"""Return the length of the mean gradient, which is the signal: the root of Σ_j (mean_j² − variance_j/n)."""
        return self._root(lambda mean, variance, n: np.sum(mean**2 - variance / n))

    def _root(self, squared: Callable[[np.ndarray, np.ndarray, int], float]) -> Estimate:
        """Return the root of an unbiased estimate of a square, with the error of the jackknife over the groups."""
        every = np.arange(len(self.mean))
        value = np.sqrt(max(squared(*self._joined(every)), 0.0))
        without_one = np.array([squared(*self._joined(np.delete(every, group))) for group in every])
        error = np.sqrt((len(every) - 1) * without_one.var())
        return Estimate(float(value), float(error / (2 * value) if value else np.sqrt(error)))

    def _joined(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Return mean, variance and number of the repetitions of some groups together."""
        n = self.repetitions * len(groups)
        mean = self.mean[groups].mean(axis=0)
        between = self.repetitions * ((self.mean[groups] - mean) ** 2).sum(axis=0)
        return mean, ((self.repetitions - 1) * self.variance[groups].sum(axis=0) + between) / (n - 1), n


def gradient_moments(
    model: VAE, x: np.ndarray, repetitions: int, seed: int = 0, groups: int = 10
) -> dict[str, GradientMoments]:
    """Return means and variances, over the noise, of the gradient of the objective on a batch of images.

    Parameters
    ----------
    model : VAE
        Which learns from images alone; of its own number of samples.
    x : array `(n, height, width, channels)`
        The objective is averaged over these images, and its gradient is one vector per repetition.
    repetitions : int
        Draws of the noise, at least four in each group.
    seed : int
        The noise of a repetition is a function of the seed and of the number of the repetition.
    groups : int
        Into how many groups of equal size the repetitions fall, so that errors can be estimated.

    Returns
    -------
    dict
        From "encoder" and "decoder" to the moments; parameters of the likelihood count among the decoder's.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images, or the repetitions cannot be divided into such groups.
    """
    seed = amounts.seed(seed)
    size = amounts.count(repetitions, "repetition", least=0) // groups
    if repetitions % groups or size < 4:
        raise ValueError(f"expected repetitions in {groups} equal groups of at least 4, got {repetitions}")
    x = tf.convert_to_tensor(model.checked(x))
    encoder = model.encoder.trainable_variables
    known = {id(variable) for variable in encoder}
    parts = {"encoder": encoder, "decoder": [v for v in model.trainable_variables if id(v) not in known]}

    @tf.function
    def gradients(repetition: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = (model.samples, len(x), model.latent_dim)
        eps = tf.random.stateless_normal(shape, tf.stack([seed, repetition]), dtype=model.variable_dtype)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.objective(x, None, eps)["loss"])
        found = tape.gradient(loss, parts, unconnected_gradients="zero")
        return {name: tf.concat([tf.reshape(g, [-1]) for g in found[name]], 0) for name in parts}

    sums = {name: np.zeros((2, groups, sum(int(tf.size(v)) for v in parts[name]))) for name in parts}
    for repetition in range(repetitions):
        for name, gradient in gradients(tf.constant(repetition)).items():
            gradient = gradient.numpy().astype(np.float64)
            sums[name][0, repetition // size] += gradient
            sums[name][1, repetition // size] += gradient**2
    return {
        name: GradientMoments(total / size, np.maximum(squares - total**2 / size, 0) / (size - 1), size)
        for name, (total, squares) in sums.items()
    }


def gradient_signal_to_noise(model: VAE, x: np.ndarray, repetitions: int, seed: int = 0) -> dict[str, Estimate]:
    r"""Measure the signal-to-noise ratio of the gradient :cite:p:`rainforth2018`, for "encoder" and "decoder".

    The ratio of a coordinate is abs(mean)/(standard deviation) over the noise; returned is the root of the mean of its
    square.  The square is freed of what the noise of n repetitions adds to it: without any signal the mean of
    mean²/variance is not 0 but, for normal gradients, (n − 1)/(n (n − 3)).

    Parameters and errors are those of :func:`gradient_moments`.
    """
    return {name: found.signal_to_noise() for name, found in gradient_moments(model, x, repetitions, seed).items()}
