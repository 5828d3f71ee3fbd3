"""The program of the chapter "A VAE from an empty file", in JAX."""

import math

import jax
import jax.numpy as jnp


def initial_network(key, inputs, hidden, outputs):
    glorot, keys = jax.nn.initializers.glorot_uniform(), jax.random.split(key)
    first = glorot(keys[0], (inputs, hidden)), jnp.zeros(hidden)
    return [first, (glorot(keys[1], (hidden, outputs)), jnp.zeros(outputs))]


def initial_weights(key, image_shape=(28, 28, 1), latent_dim=10, hidden=256):
    pixels, (one, other) = math.prod(image_shape), jax.random.split(key)
    encoder = initial_network(one, pixels, hidden, 2 * latent_dim)
    return [encoder, initial_network(other, latent_dim, hidden, pixels)]


def perceptron(network, x):
    (kernel, bias), (last_kernel, last_bias) = network
    return jax.nn.relu(x @ kernel + bias) @ last_kernel + last_bias


def terms(weights, x, eps):
    encoder, decoder = weights
    mean, logvar = jnp.split(perceptron(encoder, x.reshape(len(x), -1)), 2, axis=-1)
    z = mean + jnp.exp(0.5 * logvar) * eps
    logits = perceptron(decoder, z).reshape(x.shape)
    cross_entropy = jax.nn.softplus(logits) - x * logits
    kl = 0.5 * jnp.sum(mean**2 + jnp.exp(logvar) - logvar - 1.0, axis=-1)
    return -jnp.sum(cross_entropy, axis=(1, 2, 3)), kl


@jax.jit
def loss(weights, x, eps):
    log_likelihood, kl = terms(weights, x, eps)
    return jnp.mean(kl - log_likelihood)


def noise(x, weights, seed, step):
    latent_dim = len(weights[1][0][0])
    key = jax.random.fold_in(jax.random.key(seed), step)
    return jax.random.normal(key, (len(x), latent_dim))


@jax.jit
def train_step(state, x, eps):
    weights, means, squares, step = state
    value, gradients = jax.value_and_grad(loss)(weights, x, eps)
    means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
    squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, squares, gradients)
    rate = 1e-3 * jnp.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))  # Adam
    moves = jax.tree.map(lambda m, v: rate * m / (jnp.sqrt(v) + 1e-7), means, squares)
    weights = jax.tree.map(jnp.subtract, weights, moves)
    return (weights, means, squares, step + 1), value


def evaluate(weights, images, seed=1, batch_size=500):
    total = 0.0
    for start in range(0, len(images), batch_size):
        x = images[start : start + batch_size]
        total += float(loss(weights, x, noise(x, weights, seed, start))) * len(x)
    return total / len(images)


def fit(weights, images, epochs, seed=0, batch_size=100):
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = weights, zeros, zeros, 0
    for _ in range(epochs):
        key = jax.random.fold_in(jax.random.key(seed + 1), state[3])
        order = jax.random.permutation(key, len(images))
        for start in range(0, len(images), batch_size):
            x = images[order[start : start + batch_size]]
            state, _ = train_step(state, x, noise(x, weights, seed, state[3]))
    return state[0]
