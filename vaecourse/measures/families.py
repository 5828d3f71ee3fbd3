"""The best posterior of an image among families that are richer than a diagonal Gaussian, the decoder being fixed."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from vaecourse.data.names import known
from vaecourse.measures.batching import batches_of, checked_posterior, checked_without_labels
from vaecourse.models import VAE, objectives

FAMILIES = ("diagonal", "full", "flow")

_STEPS, _HIDDEN = 4, 8  # of a flow: how often one half of the latents moves, and how wide its networks are
_PORTION = 50  # samples that are decoded at once, of each image


def fitted_family_elbo(
    vae: VAE,
    images: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    family: str = "full",
    steps: int = 200,
    learning_rate: float = 0.03,
    samples: int = 8,
    evaluation_samples: int = 500,
    seed: int = 0,
) -> np.ndarray:
    r"""Maximize the ELBO of every image over a q of its own, out of a family :cite:p:`cremer2018`.

    All families are maps z = mean + D A f(ε) of standard normal noise, with D the diagonal matrix of the standard
    deviations.  In the diagonal family A and f are the identity.  In the full one A is a lower triangular matrix with
    ones on its diagonal, so that q may be any Gaussian.  In the flow, f moves one half of the latents by what a small
    network makes of the other, four times in turn :cite:p:`dinh2017`; mean, D, A and the networks are the image's own.
    Each family contains the one before.  All start at the same diagonal Gaussian.

    Parameters
    ----------
    vae : VAE
        With at least two latents.
    images : array `(n, height, width, channels)`
        All are fitted side by side.
    start : (mean, logvar), each `(n, d)`
        Best that of :func:`~vaecourse.measures.fitted_posteriors`.
    family : {"diagonal", "full", "flow"}
    steps, learning_rate, samples, evaluation_samples, seed
        As for :func:`~vaecourse.measures.fitted_posteriors`.

    Returns
    -------
    array `(n,)`
        ELBO of the fitted q on fresh noise, in nats.

    Raises
    ------
    TypeError, ValueError
        If the model has a single latent, is told labels or cannot use the images; the family is unknown; there is no
        step; `samples` is odd, or one of the two numbers of samples is below two; or the start has another shape.
    """
    known(family, FAMILIES, "family")
    images = checked_without_labels(vae, images)
    if vae.latent_dim < 2 or steps < 1 or min(samples, evaluation_samples) < 2 or samples % 2:
        raise ValueError(
            f"expected two latents or more, steps ≥ 1, and even samples, got {vae.latent_dim}, steps={steps}, "
            f"samples={samples}, evaluation_samples={evaluation_samples}"
        )
    mean, logvar = checked_posterior(vae, images, start)
    n, d = mean.shape
    variables = [keras.Variable(value) for value in _parameters(n, d, family, seed)]
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))

    def elbos(eps: tf.Tensor, part: slice, parameters: Sequence[tf.Tensor]) -> tf.Tensor:
        z, log_q = _moved(eps, mean[part], logvar[part], parameters)
        return vae.log_likelihood(images[part], z) + vae.prior_distribution().log_prob(z) - log_q

    @tf.function(autograph=False)
    def gradients(key: tf.Tensor) -> list[tf.Tensor]:
        half = tf.random.stateless_normal((samples // 2, n, d), key, dtype=mean.dtype)
        with tf.GradientTape() as tape:
            values = [variable.value for variable in variables]
            loss = -tf.reduce_sum(tf.reduce_mean(elbos(tf.concat([half, -half], 0), slice(None), values), axis=0))
        return tape.gradient(loss, values)

    for step in range(steps):
        optimizer.apply(gradients(tf.constant([seed, step])), variables)

    def evaluated(part: slice) -> np.ndarray:
        eps = tf.random.stateless_normal((evaluation_samples, n, d), [seed, -1], dtype=mean.dtype)[:, part]
        own = [tf.convert_to_tensor(variable)[part] for variable in variables]
        portions = [elbos(eps[first : first + _PORTION], part, own) for first in range(0, len(eps), _PORTION)]
        return tf.concat(portions, 0).numpy().mean(axis=0, dtype=float)

    return np.concatenate([evaluated(part) for part in batches_of(n, 10)])


def _parameters(n: int, d: int, family: str, seed: int) -> list[np.ndarray]:
    """Return what is fitted, at its start: shifts of mean and log-variance, what fills A, and the networks of f."""
    zeros: Callable[..., np.ndarray] = lambda *shape: np.zeros((n, *shape), np.float32)  # noqa: E731
    parameters = [zeros(d), zeros(d)]
    if family == "diagonal":
        return parameters
    parameters.append(zeros(d, d))
    rng = np.random.default_rng(seed)
    for step in range(_STEPS if family == "flow" else 0):
        kept = _kept(d, step)
        first = rng.normal(size=(n, kept + 1, _HIDDEN)).astype(np.float32)
        parameters += [first, zeros(_HIDDEN + 1, 2 * (d - kept))]  # a last layer of zeros: f begins as the identity
    return parameters


def _kept(d: int, step: int) -> int:
    return d - d // 2 if step % 2 else d // 2


def _moved(
    eps: tf.Tensor, mean: np.ndarray, logvar: np.ndarray, parameters: Sequence[tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return z = mean + D A f(ε) `(samples, n, d)`, and log q(z) `(samples, n)`."""
    d = mean.shape[-1]
    shift, widening, *rest = parameters
    log_q = -0.5 * tf.reduce_sum(eps**2, axis=-1) - 0.5 * d * np.log(2 * np.pi)
    if rest:
        matrix, *networks = rest
        for step in range(len(networks) // 2):
            eps, log_det = _coupled(eps, step, *networks[2 * step : 2 * step + 2])
            log_q -= log_det
        below = tf.linalg.band_part(matrix, -1, 0) - tf.linalg.band_part(matrix, 0, 0)
        eps += tf.einsum("nij,snj->sni", below, eps)
    q = mean + tf.exp(0.5 * logvar) * shift, logvar + widening
    return objectives.reparameterize(*q, eps), log_q - 0.5 * tf.reduce_sum(q[1], axis=-1)


def _coupled(eps: tf.Tensor, step: int, first: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Move one half of the noise by what a network makes of the other; the last row of each layer is its bias."""
    d, kept = eps.shape[-1], _kept(eps.shape[-1], step)
    left, right = tf.split(eps, [d // 2, d - d // 2], axis=-1)
    still, moved = (right, left) if step % 2 else (left, right)
    hidden = tf.tanh(tf.einsum("snk,nkh->snh", still, first[:, :kept]) + first[:, kept])
    output = tf.einsum("snh,nhm->snm", hidden, last[:, :-1]) + last[:, -1]
    shift, log_scale = tf.split(output, 2, axis=-1)
    log_scale = tf.tanh(log_scale)
    moved = tf.exp(log_scale) * moved + shift
    pair = [moved, still] if step % 2 else [still, moved]
    return tf.concat(pair, axis=-1), tf.reduce_sum(log_scale, axis=-1)
