"""Annealed importance sampling: log p(x) of any model with a normal prior, by a way that needs no encoder."""

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.measures.likelihood import _BATCH, checked, proposed
from vaecourse.models import VAE, objectives

tfd = tfp.distributions


class Annealed(NamedTuple):
    """Logarithms of the weights of annealed chains, `(chains, n)`, and the share of accepted proposals, `(n,)`."""

    log_weights: tf.Tensor
    acceptance: tf.Tensor

    @property
    def log_likelihood(self) -> np.ndarray:
        """Estimates of log p(x), `(n,)` in nats: from below on average, since it is p(x) that is unbiased."""
        return objectives.importance_weighted_bound(self.log_weights).numpy()

    @property
    def standard_error(self) -> np.ndarray:
        """Standard errors of these estimates, `(n,)` in nats, from the spread of the chains."""
        log_weights = np.asarray(self.log_weights)
        weights = np.exp(log_weights - log_weights.max(axis=0))
        return weights.std(axis=0, ddof=1) / weights.mean(axis=0) / math.sqrt(len(weights))


def anneal(
    log_likelihood: Callable[[tf.Tensor], tf.Tensor],
    deviation: tf.Tensor,
    seed: tf.Tensor,
    chains: int = 16,
    steps: int = 500,
    leapfrogs: int = 4,
    step_size: float = 0.4,
) -> Annealed:
    r"""Estimate ∫ p(x|z) N(z; 0, I) dz by annealed importance sampling :cite:p:`neal2001`.

    Chains start at exact samples of the prior and follow p(z) p(x|z)^β while β climbs from 0 to 1 in equal steps, by
    one transition of Hamiltonian Monte Carlo each; for decoders see :cite:t:`wu2017`.  The mean of the weights is
    p(x) whatever the settings are, but with few steps it is the mean of very unequal ones.

    Parameters
    ----------
    log_likelihood : callable
        Differentiable log p(x|z) `(chains, n)` of z `(chains, n, d)`.
    deviation : tensor `(n, d)`
        Standard deviations of the posterior, as far as they are known: those of q will do.  The leapfrog's step at β
        is `step_size` times (1 + β (deviation⁻² − 1))^(−1/2), which for a Gaussian is the deviation at β.
    seed : two integers
    chains, steps, leapfrogs : int
        With `step_size` = 0.4 four leapfrogs are a quarter of a turn: the next state of a Gaussian is nearly
        independent of the last.
    step_size : float
    """
    if min(chains, steps, leapfrogs) < 1 or not step_size > 0:
        raise ValueError(
            f"expected at least one chain, step and leapfrog and a positive step size, got chains={chains}, "
            f"steps={steps}, leapfrogs={leapfrogs}, step_size={step_size}"
        )
    deviation = tf.convert_to_tensor(deviation)
    if deviation.shape.rank != 2:
        raise ValueError(f"expected deviations of shape (n, d), got {tuple(deviation.shape)}")
    dtype = deviation.dtype
    prior = tfd.Sample(tfd.Normal(tf.zeros((), dtype), 1.0), deviation.shape[-1])

    def target(z):
        return prior.log_prob(z) + log_likelihood(z)

    def make_kernel(annealed_target):
        def transition(beta):
            size = step_size / tf.sqrt(1 + beta * (deviation**-2 - 1))
            return tfp.mcmc.HamiltonianMonteCarlo(annealed_target, step_size=size, num_leapfrog_steps=leapfrogs)

        return _Fresh(transition, steps, dtype)

    @tf.function(autograph=False)
    def run(seed):
        start = tf.random.stateless_normal((chains, *deviation.shape), seed, dtype=dtype)
        return tfp.mcmc.sample_annealed_importance_chain(
            steps, prior.log_prob, target, start, make_kernel, parallel_iterations=1, seed=tf.bitwise.invert(seed)
        )[1:]

    log_weights, results = run(tf.convert_to_tensor(seed, tf.int32))
    return Annealed(log_weights, tf.reduce_mean(results.inner_results.accepted, axis=0) / steps)


class _Results(NamedTuple):
    inner_results: NamedTuple
    step: tf.Tensor
    accepted: tf.Tensor


class _Fresh(tfp.mcmc.TransitionKernel):
    """A kernel that is told β, and begins every step anew.

    TFP's chain hands a kernel the log-density and the gradient that the step before has left, those of another β.  A
    kernel that accepts by them leaves nothing invariant, and p(x) would not be the mean of the weights.
    """

    is_calibrated = True

    def __init__(self, transition, steps, dtype):
        self.transition, self.steps, self.dtype = transition, steps, dtype

    def bootstrap_results(self, state):
        inner = self.transition(tf.zeros((), self.dtype)).bootstrap_results(state)
        return _Results(inner, tf.zeros((), tf.int32), tf.zeros(state.shape[:-1], self.dtype))

    def one_step(self, state, previous, seed=None):
        kernel = self.transition(tf.cast(previous.step + 1, self.dtype) / self.steps)
        state, inner = kernel.one_step(state, kernel.bootstrap_results(state), seed=seed)
        accepted = previous.accepted + tf.cast(inner.is_accepted, self.dtype)
        return state, _Results(inner, previous.step + 1, accepted)


def annealed_importance_sampling(
    vae: VAE, images: np.ndarray, seed: int = 0, progress: bool = True, **settings
) -> Annealed:
    """Estimate log p(x) of a few images from annealed chains, as a check on importance sampling.

    The encoder lends them the scale of their steps, and has no other influence.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
        Each costs `chains` · `steps` · (`leapfrogs` + 2) passes through the decoder and back.
    seed : int
    progress : bool
    **settings
        Of :func:`anneal`: `chains`, `steps`, `leapfrogs`, `step_size`.
    """
    images = checked(vae, images)
    deviation = np.exp(0.5 * proposed(vae, images)[1])

    @tf.function(autograph=False)
    def run(x, deviation, seed):
        return anneal(lambda z: vae.log_likelihood(x, z), deviation, seed, **settings)

    bar = keras.utils.Progbar(len(images), verbose=int(progress))
    results = []
    for first in range(0, len(images), _BATCH):
        batch = slice(first, first + _BATCH)
        results.append(run(images[batch], deviation[batch], tf.constant([seed, first])))
        bar.update(min(first + _BATCH, len(images)))
    return Annealed(*(np.concatenate(part, axis=-1) for part in zip(*results, strict=True)))
