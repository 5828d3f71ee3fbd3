"""The same networks in JAX: plain functions, one compiled step, Adam written out."""

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.jobs import GRAY_CONSTANT, Job


class Contender:
    """A loop over shuffled batches of a resident array."""

    def __init__(self, job: Job):
        self.job = job
        self.images = jnp.asarray(job.train_images())
        weights = [[jnp.asarray(array) for array in network.get_weights()] for network in job.build()]
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self.state = (weights, zeros, zeros, 0)
        self.key = jax.random.key(0)
        self.step = jax.jit(self._step)

    def loss(self) -> float:
        """Return the loss of the job's first batch, weights and noise, in nats."""
        return float(self._loss(self.state[0], self.job.first_batch(), self.job.noise()))

    def epoch(self) -> None:
        """Train for an epoch."""
        self.key, key = jax.random.split(self.key)
        order, size = jax.random.permutation(key, len(self.images)), self.job.batch_size
        for first in range(0, len(order), size):
            self.state = self.step(self.state, self.images, order[first : first + size], key)
        jax.block_until_ready(self.state)

    def _step(self, state, images, chosen, key):
        weights, means, squares, count = state
        batch, count = images[chosen], count + 1
        eps = jax.random.normal(jax.random.fold_in(key, count), (len(chosen), self.job.latent_dim))
        gradients = jax.grad(self._loss)(weights, batch, eps)
        means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
        squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, squares, gradients)
        rate = self.job.learning_rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        moved = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, means, squares)
        return moved, means, squares, count

    def _loss(self, weights, images, eps):
        encoder, decoder = weights
        convolutional = self.job.network == "convolutional"
        outputs = encode(encoder, images) if convolutional else perceptron(encoder, images.reshape(len(images), -1))
        mean, logvar = jnp.split(outputs, 2, axis=-1)
        z = mean + jnp.exp(0.5 * logvar) * eps
        if convolutional:
            logits = decode(decoder, z)
            pixels = jnp.sum(jax.nn.softplus(logits) - images * logits, axis=(1, 2, 3))
            kl = 0.5 * jnp.sum(z**2 - eps**2 - logvar, axis=-1)
        else:
            errors = images.reshape(len(images), -1) - jax.nn.sigmoid(perceptron(decoder, z))
            pixels = jnp.sum(errors**2, axis=1) / 0.5 + GRAY_CONSTANT
            kl = 0.5 * jnp.sum(mean**2 + jnp.exp(logvar) - logvar - 1, axis=-1)
        return jnp.mean(pixels + kl)


def encode(weights, images):
    """Return what the convolutional encoder does."""
    k1, b1, k2, b2, w, b = weights
    hidden = jax.nn.relu(convolve(images, k1, stride=2) + b1)
    hidden = jax.nn.relu(convolve(hidden, k2, stride=2) + b2)
    return hidden.reshape(len(images), -1) @ w + b


def decode(weights, z):
    """Return what the convolutional decoder does."""
    w, b, k1, b1, k2, b2, k3, b3 = weights
    hidden = jax.nn.relu(z @ w + b).reshape(len(z), 7, 7, -1)
    hidden = jax.nn.relu(upsample(hidden, k1) + b1)
    hidden = jax.nn.relu(upsample(hidden, k2) + b2)
    return convolve(hidden, turned(k3), padding=[(1, 1)] * 2) + b3


def perceptron(weights, x):
    """Return what a perceptron with sigmoids does."""
    *hidden, w, b = weights
    for kernel, bias in zip(hidden[::2], hidden[1::2], strict=True):
        x = jax.nn.sigmoid(x @ kernel + bias)
    return x @ w + b


def convolve(x, kernel, stride=1, padding="VALID", dilation=1):
    """Return a convolution of `(batch, height, width, channels)`."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, (dilation, dilation), None, layout)


def upsample(x, kernel):
    """Return a transposed convolution of stride 2, cropped as Keras crops it."""
    return convolve(x, turned(kernel), padding=[(2, 1)] * 2, dilation=2)


def turned(kernel):
    """Return the kernel of a transposed convolution as that of a convolution."""
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)
