r"""The importance-weighted autoencoder, and what the gradient of its bound is worth.

With K samples z_k ~ q(z|x) and weights w_k = p(x, z_k)/q(z_k|x) the bound is log (1/K) Σ_k w_k.  Its value is one; its
gradient with respect to the encoder can be estimated in several ways, which differ in noise, and one in its mean.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vaecourse import data, likelihoods, models, objectives

GRADIENTS = ("plain", "sticking_the_landing", "doubly_reparameterized")


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class ImportanceWeightedVAE(models.VAE):
    r"""VAE trained on the importance-weighted bound log (1/K) Σ_k w_k :cite:p:`burda2016`.

    `fit` maximizes the mean of the bound over images.  There is no β in it and no KL in closed form: with K = 1 and
    the plain gradient this is a :class:`~vaecourse.models.VAE` with ``kl="monte_carlo"``.

    Parameters
    ----------
    encoder, decoder, likelihood, seed
        As for :class:`~vaecourse.models.VAE`.
    samples : int
        K.
    gradient : {"plain", "sticking_the_landing", "doubly_reparameterized"}
        How the gradient for the encoder's weights φ is estimated.  With w̃_k = w_k/Σ_j w_j and z_k = z(ε_k, φ) it is

        - plain: Σ_k w̃_k d log w_k/dφ, the derivative of the bound as it is written;
        - sticking the landing :cite:p:`roeder2017`: Σ_k w̃_k (∂ log w_k/∂z_k) ∂z_k/∂φ, without the derivative of
          log q(z|x) by its own parameters.  Zero wherever q is the true posterior.  Unbiased for K = 1 only;
        - doubly reparameterized :cite:p:`tucker2019`: Σ_k w̃_k² (∂ log w_k/∂z_k) ∂z_k/∂φ.  Unbiased for every K.

        The decoder's gradient is Σ_k w̃_k d log w_k/dθ in all of them.

    Raises
    ------
    ValueError
        If the name of the gradient is unknown.

    Notes
    -----
    The metrics, in nats: `loss` and `bound`, one the negative of the other; `elbo`, `log_likelihood` and `kl`, averages
    over the K samples.
    """

    measured = ("loss", "bound", "elbo", "log_likelihood", "kl")
    _choices = ("samples", "seed", "gradient")

    def __init__(self, encoder, decoder, likelihood="bernoulli", *, samples=5, gradient="plain", seed=0, **kwargs):
        if gradient not in GRADIENTS:
            raise ValueError(f"unknown gradient {gradient!r}; there are {', '.join(GRADIENTS)}")
        if {"kl", "beta"} & kwargs.keys():
            raise ValueError("the importance-weighted bound has neither kl nor beta to choose; leave them out")
        super().__init__(encoder, decoder, likelihood, kl="monte_carlo", samples=samples, seed=seed, **kwargs)
        self.gradient = gradient

    def losses(self, x, y, eps):
        """Return the bound, negated and as it is, the ELBO and its two terms per image, each `(batch,)`, in nats."""
        eps = eps if eps.shape.rank == 3 else eps[tf.newaxis]  # a single sample has no axis of its own
        mean, logvar = self.posterior_parameters(x, y)
        z = self.reparameterize(mean, logvar, eps)
        later = []
        if self.gradient == "doubly_reparameterized":
            z = _times_on_the_way_back(z, later)
        if self.gradient != "plain":  # log q depends on the encoder through z alone; its value stays exact
            logvar = tf.stop_gradient(logvar)
            eps += (z - tf.stop_gradient(z)) * tf.exp(-0.5 * logvar)
        log_likelihood = self._log_likelihood(x, z, y)
        kl = objectives.sampled_kl(z, eps, logvar)
        log_weights = log_likelihood - kl
        later.append(tf.stop_gradient(tf.nn.softmax(log_weights, axis=0))[..., tf.newaxis])
        bound = objectives.importance_weighted_bound(log_weights)
        averages = [tf.reduce_mean(values, axis=0) for values in (log_weights, log_likelihood, kl)]
        return dict(zip(self.measured, (-bound, bound, *averages), strict=True))


def binarized_batches(grays: np.ndarray, batch_size: int, seed: int = 0, step=0) -> tf.data.Dataset:
    """Return the batches of one epoch, binarized dynamically: every pixel is drawn anew from Bernoulli(gray).

    What is drawn, and the order, is a function of the seed and the optimizer step, so that a repeated or resumed
    training sees the same pixels.

    Parameters
    ----------
    grays : array `(n, height, width, channels)`
        In [0, 1].
    batch_size : int
    seed : int
    step : int or tf.Variable
        The optimizer step at which the epoch begins.  To `fit` a data set, pass the `step` of a
        :class:`vaecourse.training.EpochStart`, and that object among the callbacks.

    Raises
    ------
    ValueError
        If the images are no grays in [0, 1].
    """
    likelihoods.Bernoulli(grays=True).check(grays)

    def draw(index, x):
        # below zero, where neither the noise of a training step nor the order of an epoch looks
        counter = -1 - tf.cast(step, tf.int32) - tf.cast(index, tf.int32)
        uniform = tf.random.stateless_uniform(tf.shape(x), tf.stack([seed, counter]), dtype=x.dtype)
        return tf.cast(uniform < x, x.dtype)

    return data.batches(grays, batch_size, seed, step).enumerate().map(draw).prefetch(2)


class Measured(NamedTuple):
    """What was estimated, with its standard error."""

    value: float
    standard_error: float


class GradientMoments(NamedTuple):
    """Means and variances of a gradient over repetitions, in groups.

    Attributes
    ----------
    mean, variance : array `(groups, parameters)`
    repetitions : int
        In each group.
    """

    mean: np.ndarray
    variance: np.ndarray
    repetitions: int

    def signal_to_noise(self) -> Measured:
        """Return the root mean square, over the coordinates that have any noise, of abs(mean)/(standard deviation).

        Raises
        ------
        ValueError
            If no coordinate has any.
        """

        def squared(mean, variance, n):
            noisy = variance > 0
            if not noisy.any():
                raise ValueError("this gradient has no noise, and no ratio of signal to noise; see norm")
            return np.mean(mean[noisy] ** 2 / variance[noisy]) * (n - 3) / (n - 1) - 1 / n

        return self._root(squared)

    def norm(self) -> Measured:
        """Return the length of the mean gradient: the signal itself."""
        return self._root(lambda mean, variance, n: np.sum(mean**2 - variance / n))

    def _root(self, squared) -> Measured:
        """Return the root of an unbiased estimate of a square, with the error of the jackknife over the groups."""
        every = np.arange(len(self.mean))
        value = np.sqrt(max(squared(*self._joined(every)), 0.0))
        without_one = np.array([squared(*self._joined(np.delete(every, group))) for group in every])
        error = np.sqrt((len(every) - 1) * without_one.var())
        return Measured(float(value), float(error / (2 * value) if value else np.sqrt(error)))

    def _joined(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Return mean, variance and number of the repetitions of some groups together."""
        n = self.repetitions * len(groups)
        mean = self.mean[groups].mean(axis=0)
        between = self.repetitions * ((self.mean[groups] - mean) ** 2).sum(axis=0)
        return mean, ((self.repetitions - 1) * self.variance[groups].sum(axis=0) + between) / (n - 1), n


def gradient_moments(
    model: models.VAE, x: np.ndarray, repetitions: int, seed: int = 0, groups: int = 10
) -> dict[str, GradientMoments]:
    """Return means and variances over the noise of the gradient of the loss on a batch of images.

    Parameters
    ----------
    model : VAE
    x : images
        The loss is averaged over them, and their gradient is one vector per repetition.
    repetitions : int
        Draws of the noise, at least four in each group.
    seed : int
    groups : int
        Into how many groups of equal size the repetitions fall, so that errors can be estimated.

    Returns
    -------
    dict
        Of "encoder" and "decoder"; parameters of the likelihood count among the decoder's.

    Raises
    ------
    ValueError
        If the repetitions cannot be divided into such groups.
    """
    size = repetitions // groups
    if repetitions % groups or size < 4:
        raise ValueError(f"expected repetitions in {groups} equal groups of at least 4, got {repetitions}")
    x = tf.convert_to_tensor(model.checked(x))
    encoder = model.encoder.trainable_variables
    known = {id(variable) for variable in encoder}
    parts = {"encoder": encoder, "decoder": [v for v in model.trainable_variables if id(v) not in known]}

    @tf.function
    def gradients(repetition):
        shape = (model.samples, len(x), model.latent_dim)
        eps = tf.random.stateless_normal(shape, tf.stack([seed, repetition]), dtype=model.variable_dtype)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model.losses(x, None, eps)["loss"])
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


def gradient_signal_to_noise(model: models.VAE, x: np.ndarray, repetitions: int, seed: int = 0) -> dict[str, Measured]:
    r"""Measure the signal-to-noise ratio of the gradient :cite:p:`rainforth2018`, for "encoder" and "decoder".

    The ratio of a coordinate is abs(mean)/(standard deviation) over the noise; returned is the root of the mean of its
    square.  The square is freed of what the noise of n repetitions adds to it: without any signal the mean of
    mean²/variance is not 0 but, for normal gradients, (n − 1)/(n (n − 3)).

    Parameters and errors are those of :func:`gradient_moments`.
    """
    return {name: found.signal_to_noise() for name, found in gradient_moments(model, x, repetitions, seed).items()}


def _times_on_the_way_back(z: tf.Tensor, later: list) -> tf.Tensor:
    """Return `z`, and multiply what flows back through it by the first of `later`: a factor not known yet."""

    @tf.custom_gradient
    def through(z):
        return tf.identity(z), lambda upstream: upstream * later[0]

    return through(z)
