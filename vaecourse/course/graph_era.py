"""A VAE as one wrote it in 2017: placeholders, weight variables, a graph, and a session :cite:p:`zoltowski`.

This is a program for TensorFlow 1, run by `tf.compat.v1`.  A graph is built once, as data; a session then runs the
parts of it that are asked for, on arrays that are fed to its placeholders.  Everything lives in a graph of its own, so
that eager execution stays on outside of it.  No model, network or optimizer of the other packages takes part.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vaecourse._start import quiet_native_log
from vaecourse.data.names import known

v1 = tf.compat.v1

OBJECTIVES = ("squared_error", "cross_entropy", "guarded_cross_entropy")
GUARD = 1e-10  # in the logarithms of the source's cross-entropy
INPUT_SIZE = 784


class Program(NamedTuple):
    """A graph, and the nodes of it that one runs or feeds.

    `loss` is the mean over the batch, in nats, of `reconstruction_loss + kl`; `gradients` are those of `loss`, in the
    order of `variables`.  Any node can be fed, so noise is given by feeding `eps`, and latents by feeding `z`.
    """

    graph: tf.Graph
    x: tf.Tensor
    mean: tf.Tensor
    logvar: tf.Tensor
    eps: tf.Tensor
    z: tf.Tensor
    x_hat: tf.Tensor
    reconstruction_loss: tf.Tensor
    kl: tf.Tensor
    loss: tf.Tensor
    variables: list
    gradients: list
    train_step: tf.Operation
    initializer: tf.Operation
    saver: tf.compat.v1.train.Saver


def weight_variable(shape: Sequence[int], dtype: tf.DType) -> tf.Variable:
    """Create a matrix of weights, drawn from N(0, 0.1²) truncated at two deviations."""
    return v1.Variable(v1.truncated_normal(shape, stddev=0.1, dtype=dtype), use_resource=False)


def bias_variable(shape: Sequence[int], dtype: tf.DType) -> tf.Variable:
    """Create a vector of biases that begin at 0.1."""
    return v1.Variable(v1.constant(0.1, shape=shape, dtype=dtype), use_resource=False)


def build(
    objective: str = "squared_error",
    latent_dim: int = 20,
    hidden_size: int = 500,
    learning_rate: float = 1e-3,
    seed: int = 0,
    dtype: tf.DType = tf.float32,
) -> Program:
    """Build the graph: encoder, sample, decoder, loss, optimizer, saver.

    Parameters
    ----------
    objective : {"squared_error", "cross_entropy", "guarded_cross_entropy"}
        Σ (x − x̂)²/0.5, which is −log N(x; x̂, ¼) without its constant 784 · (½ ln 2π + ln ½) = 177.02 nats; or
        −Σ [x ln x̂ + (1 − x) ln(1 − x̂)], computed from the logits; or, as in a comment of the source,
        −Σ [x ln(g + x̂) + (1 − x) ln(g + 1 − x̂)] with g = 10⁻¹⁰; in single precision g + 1 is 1, and no guard.
    latent_dim, hidden_size : int
    learning_rate : float
        Of Adam; its ε is 10⁻⁸.
    seed : int, of the initial weights and the noise
    dtype : tf.DType

    Raises
    ------
    ValueError
        If the objective is unknown, or there is no latent.
    """
    known(objective, OBJECTIVES, "objective")
    if latent_dim < 1 or hidden_size < 1:
        raise ValueError(f"expected at least one latent and one hidden unit, got {latent_dim} and {hidden_size}")
    graph = tf.Graph()
    with graph.as_default():
        v1.set_random_seed(seed)
        x = v1.placeholder(dtype, shape=[None, INPUT_SIZE], name="x")

        def layer(value: tf.Tensor, inputs: int, outputs: int) -> tf.Tensor:
            return v1.matmul(value, weight_variable([inputs, outputs], dtype)) + bias_variable([outputs], dtype)

        # encoder
        h1 = v1.sigmoid(layer(x, INPUT_SIZE, hidden_size))
        h2 = v1.sigmoid(layer(h1, hidden_size, hidden_size))
        mean = layer(h2, hidden_size, latent_dim)
        logvar = layer(h2, hidden_size, latent_dim)

        # sample
        eps = v1.random_normal(v1.shape(mean), dtype=dtype)
        z = mean + v1.sqrt(v1.exp(logvar)) * eps

        # decoder
        h3 = v1.sigmoid(layer(z, latent_dim, hidden_size))
        h4 = v1.sigmoid(layer(h3, hidden_size, hidden_size))
        logits = layer(h4, hidden_size, INPUT_SIZE)
        x_hat = v1.sigmoid(logits)

        # loss
        if objective == "squared_error":
            per_pixel = v1.square(x - x_hat) / 0.5
        elif objective == "cross_entropy":
            per_pixel = v1.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
        else:
            per_pixel = -(x * v1.log(GUARD + x_hat) + (1 - x) * v1.log(GUARD + 1 - x_hat))  # in this order
        reconstruction_loss = v1.reduce_sum(per_pixel, 1)
        kl = -0.5 * v1.reduce_sum(1 + logvar - v1.square(mean) - v1.exp(logvar), 1)
        loss = v1.reduce_mean(reconstruction_loss + kl)

        # optimizer
        optimizer = v1.train.AdamOptimizer(learning_rate)
        gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
        train_step = optimizer.apply_gradients(zip(gradients, variables, strict=True))
        initializer = v1.global_variables_initializer()
        saver = v1.train.Saver()
    return Program(
        graph, x, mean, logvar, eps, z, x_hat, reconstruction_loss, kl, loss, list(variables), list(gradients),
        train_step, initializer, saver,
    )  # fmt: skip


def start(program: Program) -> tf.compat.v1.Session:
    """Open a session in which the variables have their initial values; the caller closes it.

    Not to be entered by `with`: inside, its graph is where every operation goes, and nothing is eager.
    """
    session = v1.Session(graph=program.graph)
    with quiet_native_log():
        session.run(program.initializer)
    return session


def train(
    program: Program,
    session: tf.compat.v1.Session,
    images: np.ndarray,
    epochs: int,
    batch_size: int = 100,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train as the source does: for every batch a run of the loss, then a run of the step, each with its own noise.

    Parameters
    ----------
    program, session : what :func:`build` and :func:`start` return
    images : array `(n, 784)`
        Grays in [0, 1].  What does not fill a batch is left out of the epoch.
    epochs, batch_size, seed : int
        The seed is that of the order of the images.
    on_epoch : callable, optional
        Called after every epoch with its number, from 1, and its mean loss.

    Returns
    -------
    list of float
        For every epoch the mean of the losses before each update, in nats.

    Raises
    ------
    ValueError
        If the images are not of this shape, not in [0, 1], or fewer than a batch.
    """
    _check(images)
    if not 1 <= batch_size <= len(images):
        raise ValueError(f"expected batches of 1 to {len(images)} images, got batch_size={batch_size}")
    batches, losses = len(images) // batch_size, []
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        total = 0.0
        for i in range(batches):
            feed = {program.x: images[order[i * batch_size : (i + 1) * batch_size]]}
            total += session.run(program.loss, feed_dict=feed)
            session.run(program.train_step, feed_dict=feed)
        losses.append(float(total / batches))
        if on_epoch is not None:
            on_epoch(epoch + 1, losses[-1])
    return losses


def save(program: Program, session: tf.compat.v1.Session, path: str | Path) -> str:
    """Write a checkpoint of all variables, Adam's included, and return its name."""
    with program.graph.as_default():
        return program.saver.save(session, str(path), write_meta_graph=False)


def restore(program: Program, session: tf.compat.v1.Session, path: str | Path) -> None:
    """Read a checkpoint into a session.

    Raises
    ------
    FileNotFoundError
        If there is none of that name.
    """
    if not Path(f"{path}.index").is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # or the file that is read is announced
    try:
        with program.graph.as_default():
            program.saver.restore(session, str(path))
    finally:
        logger.setLevel(level)


def weights(
    program: Program, session: tf.compat.v1.Session, values: Sequence[np.ndarray] | None = None
) -> dict[str, list[np.ndarray]]:
    """Return the weights as the layers of :func:`vaecourse.models.networks.mlp` hold them.

    That network has one layer for mean and log-variance, this program two.

    Parameters
    ----------
    program, session : as above
    values : sequence of arrays, optional
        Something else in the order of `variables`, such as gradients, to be arranged alike.

    Returns
    -------
    dict
        Under ``"encoder"`` and ``"decoder"``, what `get_weights` of the Keras networks returns.
    """
    values = session.run(program.variables) if values is None else list(values)
    w_mean, b_mean, w_logvar, b_logvar = values[4:8]
    joined = [np.concatenate([w_mean, w_logvar], axis=1), np.concatenate([b_mean, b_logvar])]
    return {"encoder": [*values[:4], *joined], "decoder": values[8:]}


def _check(images: np.ndarray) -> None:
    if np.ndim(images) != 2 or np.shape(images)[1] != INPUT_SIZE:
        raise ValueError(f"expected images of shape (n, {INPUT_SIZE}), got {np.shape(images)}")
    if not (np.min(images) >= 0 and np.max(images) <= 1):
        raise ValueError("expected grays in [0, 1]; vaecourse.data.scale turns uint8 images into grays")
