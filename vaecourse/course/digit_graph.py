"""The digit-conditioned VAE as it was written: placeholders, one graph, a session :cite:p:`zeldes`.

Three networks of dense layers and two losses, run by `tf.compat.v1` in a graph of its own.  `tf.layers.dense` and
`tf.contrib.distributions.Normal`, of which the source makes use, are gone; what they computed is written out here.  No
model, network or optimizer of the other packages takes part.  :func:`vaecourse.course.graph_era.start` opens a session.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

INPUT_SIZE, DIGITS = 784, 10


class Program(NamedTuple):
    """A graph, and the nodes of it that one runs or feeds.

    `vae_loss` and `classifier_loss` are means over the batch in nats, the second with its weight; `loss` is their sum,
    and `gradients` are those of `loss`, in the order of `variables`.  Any node can be fed: noise by feeding `eps`,
    latents by feeding `z`, and a digit of one's choice by feeding `probabilities`.
    """

    graph: tf.Graph
    x: tf.Tensor
    y: tf.Tensor
    mean: tf.Tensor
    variance: tf.Tensor
    eps: tf.Tensor
    z: tf.Tensor
    logits: tf.Tensor
    probabilities: tf.Tensor
    x_hat: tf.Tensor
    vae_loss: tf.Tensor
    classifier_loss: tf.Tensor
    loss: tf.Tensor
    variables: list
    gradients: list
    train_step: tf.Operation
    initializer: tf.Operation


def dense(value: tf.Tensor, units: int) -> tf.Tensor:
    """Multiply by a matrix drawn by Glorot's rule and add biases that begin at 0, as `tf.layers.dense` did."""
    inputs = int(value.shape[-1])
    limit = math.sqrt(6 / (inputs + units))
    matrix = v1.random_uniform([inputs, units], -limit, limit, dtype=value.dtype)
    kernel, bias = (v1.Variable(v, use_resource=False) for v in (matrix, tf.zeros([units], value.dtype)))
    return v1.matmul(value, kernel) + bias


def build(
    latent_dim: int = 10,
    hidden_size: int = 128,
    scale: float = 0.5,
    classification_weight: float = 10.0,
    learning_rate: float = 1e-3,
    seed: int = 0,
    dtype: tf.DType = tf.float32,
) -> Program:
    """Build the graph: encoder, sample, classifier, decoder, both losses, optimizer.

    The losses of an image x of the digit y are −log N(x; x̂(z, π(x)), σ²) + KL(q(z|x) ‖ N(0, I)) and −w log π_y(x).

    Parameters
    ----------
    latent_dim, hidden_size : int
    scale : float
        σ.
    classification_weight : float
        w.
    learning_rate : float
        Of Adam, with ε = 10⁻⁸.
    seed : int
        Of the initial weights and the noise.
    dtype : tf.DType

    Raises
    ------
    ValueError
        If there is no latent or no hidden unit, or the scale is not positive.
    """
    if latent_dim < 1 or hidden_size < 1:
        raise ValueError(f"expected at least one latent and one hidden unit, got {latent_dim} and {hidden_size}")
    if not scale > 0:
        raise ValueError(f"expected a positive scale, got {scale!r}")
    graph = tf.Graph()
    with graph.as_default():
        v1.set_random_seed(seed)
        x = v1.placeholder(dtype, [None, INPUT_SIZE], name="x")
        y = v1.placeholder(tf.int32, [None], name="y")

        # the three networks
        h = v1.sigmoid(dense(x, hidden_size))
        mean, variance = dense(h, latent_dim), 1e-5 + v1.exp(dense(h, latent_dim))
        eps = v1.random_normal(v1.shape(mean), dtype=dtype)
        z = mean + v1.sqrt(variance) * eps
        logits = dense(v1.sigmoid(dense(x, hidden_size)), DIGITS)
        probabilities = v1.nn.softmax(logits)
        h = v1.sigmoid(dense(v1.concat([z, probabilities], axis=1), hidden_size))
        x_hat = v1.sigmoid(dense(h, INPUT_SIZE))

        # the two losses
        log_density = -0.5 * ((x - x_hat) / scale) ** 2 - 0.5 * math.log(2 * math.pi) - math.log(scale)
        kl = 0.5 * v1.reduce_sum(mean**2 + variance - 1 - v1.log(variance), axis=1)
        vae_loss = v1.reduce_mean(kl - v1.reduce_sum(log_density, axis=1))
        cross_entropy = v1.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        classifier_loss = classification_weight * v1.reduce_mean(cross_entropy)
        loss = vae_loss + classifier_loss

        optimizer = v1.train.AdamOptimizer(learning_rate)
        gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
        train_step = optimizer.apply_gradients(zip(gradients, variables, strict=True))
        initializer = v1.global_variables_initializer()
    return Program(
        graph, x, y, mean, variance, eps, z, logits, probabilities, x_hat, vae_loss, classifier_loss, loss,
        list(variables), list(gradients), train_step, initializer,
    )  # fmt: skip


def train(
    program: Program,
    session: tf.compat.v1.Session,
    images: np.ndarray,
    digits: np.ndarray,
    epochs: int,
    batch_size: int = 100,
    seed: int = 0,
) -> dict[str, list[float]]:
    """Train as the source does, and measure both losses on all images after every epoch.

    Parameters
    ----------
    program, session
    images : array `(n, 784)`
        Grays in [0, 1].  What does not fill a batch is left out of the epoch.
    digits : integer array `(n,)`
    epochs, batch_size : int
    seed : int
        Of the order of the images.

    Returns
    -------
    dict
        Under ``"vae_loss"`` and ``"classifier_loss"``, one number for each epoch.

    Raises
    ------
    ValueError
        If images and digits are not of these shapes and ranges, or fewer than a batch.
    """
    if np.ndim(images) != 2 or np.shape(images)[1] != INPUT_SIZE or np.shape(digits) != np.shape(images)[:1]:
        raise ValueError(
            f"expected images (n, {INPUT_SIZE}) and n digits, got {np.shape(images)} and {np.shape(digits)}"
        )
    if not (np.min(images) >= 0 and np.max(images) <= 1):
        raise ValueError("expected grays in [0, 1]; vaecourse.data.scale turns uint8 images into grays")
    if not (np.min(digits) >= 0 and np.max(digits) < DIGITS):
        raise ValueError(f"expected digits from 0 to {DIGITS - 1}, got {np.min(digits)} to {np.max(digits)}")
    if not 1 <= batch_size <= len(images):
        raise ValueError(f"expected batches of 1 to {len(images)} images, got batch_size={batch_size}")
    rng = np.random.default_rng(seed)
    history: dict[str, list[float]] = {"vae_loss": [], "classifier_loss": []}
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for i in range(0, len(images) - batch_size + 1, batch_size):
            chosen = order[i : i + batch_size]
            session.run(program.train_step, {program.x: images[chosen], program.y: digits[chosen]})
        measured = session.run([program.vae_loss, program.classifier_loss], {program.x: images, program.y: digits})
        for name, value in zip(history, measured, strict=True):
            history[name].append(float(value))
    return history


def weights(
    program: Program, session: tf.compat.v1.Session, values: Sequence[np.ndarray] | None = None
) -> dict[str, list[np.ndarray]]:
    """Return the weights as the networks of :func:`vaecourse.models.networks.mlp_with_classifier` hold them.

    That encoder has one layer for mean and log-variance, this program two.

    Parameters
    ----------
    program, session
    values : sequence of arrays, optional
        Something else in the order of `variables`, such as gradients, to be arranged alike.

    Returns
    -------
    dict
        Under ``"encoder"``, ``"decoder"`` and ``"classifier"``, what `get_weights` of the Keras networks returns.
    """
    values = session.run(program.variables) if values is None else list(values)
    w_mean, b_mean, w_variance, b_variance = values[2:6]
    joined = [np.concatenate([w_mean, w_variance], axis=1), np.concatenate([b_mean, b_variance])]
    return {"encoder": [*values[:2], *joined], "classifier": values[6:10], "decoder": values[10:]}
