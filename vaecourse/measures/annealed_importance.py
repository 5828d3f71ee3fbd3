"""Annealed importance sampling: log p(x) of any model with a normal prior, which needs no encoder."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.measures.batching import batches_of, checked_without_labels, posterior_parameters
from vaecourse.models import VAE, objectives

tfd = tfp.distributions

_BATCH = 10  # images whose chains run at once


class AnnealedWeights(NamedTuple):
    """Logarithms of the weights of annealed chains, in nats, and how often the chains moved.

    Attributes
    ----------
    log_weights : tensor or array `(chains, n)`
        The mean of the weights over the chains estimates p(x) without bias.
    acceptance : tensor or array `(n,)`
        The share of the proposals that were accepted.
    """

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


def annealed_importance_weights(
    log_likelihood: Callable[[tf.Tensor], tf.Tensor],
    deviation: tf.Tensor,
    seed: tf.Tensor,
    chains: int = 16,
    steps: int = 500,
    leapfrogs: int = 4,
    step_size: float = 0.4,
) -> AnnealedWeights:
    r"""Estimate ∫ p(x|z) N(z; 0, I) dz for any p(x|z), by annealed importance sampling :cite:p:`neal2001`.

    Chains start at exact samples of the prior and follow p(z) p(x|z)^β while β climbs from 0 to 1 in equal steps, by
    one transition of Hamiltonian Monte Carlo each; for decoders see :cite:t:`wu2017`.  The weight of a chain is
    w = Π_t p(x|z_t)^(β_{t+1} − β_t), z_t being the state that the transition of step t left.  The mean of the weights
    is p(x) whatever the settings are, but with few steps it is the mean of very unequal weights.

    Parameters
    ----------
    log_likelihood : callable
        Differentiable log p(x|z) `(chains, n)`, in nats, of z `(chains, n, d)`.
    deviation : tensor `(n, d)`
        Standard deviations of the posterior, as far as they are known: those of q will do.  The leapfrog's step at β
        is `step_size` times (1 + β (deviation⁻² − 1))^(−1/2), which for a Gaussian is the deviation at β.
    seed : two integers
    chains, steps, leapfrogs : int
        With `step_size` = 0.4 four leapfrogs are a quarter of a turn: the next state of a Gaussian is nearly
        independent of the last.
    step_size : float

    Returns
    -------
    AnnealedWeights

    Raises
    ------
    ValueError
        If there is no chain, step or leapfrog, the step size is not positive, or the deviations are not `(n, d)`.
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

    def target(z: tf.Tensor) -> tf.Tensor:
        return prior.log_prob(z) + log_likelihood(z)

    def make_kernel(annealed_target: Callable[[tf.Tensor], tf.Tensor]) -> tfp.mcmc.TransitionKernel:
        def transition(beta: tf.Tensor) -> tfp.mcmc.TransitionKernel:
            size = step_size / tf.sqrt(1 + beta * (deviation**-2 - 1))
            return tfp.mcmc.HamiltonianMonteCarlo(annealed_target, step_size=size, num_leapfrog_steps=leapfrogs)

        return _Fresh(transition, steps, dtype)

    @tf.function(autograph=False)
    def run(seed: tf.Tensor) -> tuple[tf.Tensor, _Results]:
        start = tf.random.stateless_normal((chains, *deviation.shape), seed, dtype=dtype)
        return tfp.mcmc.sample_annealed_importance_chain(
            steps, prior.log_prob, target, start, make_kernel, parallel_iterations=1, seed=tf.bitwise.invert(seed)
        )[1:]

    log_weights, results = run(tf.convert_to_tensor(seed, tf.int32))
    return AnnealedWeights(log_weights, tf.reduce_mean(results.inner_results.accepted, axis=0) / steps)


def annealed_importance_sampling(
    vae: VAE, images: np.ndarray, seed: int = 0, progress: bool = True, **settings: Any
) -> AnnealedWeights:
    """Estimate log p(x) of a few images from annealed chains, as a check on importance sampling.

    The encoder lends the chains the scale of their steps, and has no other influence.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
        Each costs `chains` · `steps` · (`leapfrogs` + 2) passes through the decoder and back.
    seed : int
    progress : bool
        Whether to show a progress bar.
    **settings
        Of :func:`annealed_importance_weights`: `chains`, `steps`, `leapfrogs`, `step_size`.

    Returns
    -------
    AnnealedWeights
        Of arrays `(chains, n)` and `(n,)`.

    Raises
    ------
    TypeError, ValueError
        If the model is told labels or cannot use the images, or the settings are refused.
    """
    images = checked_without_labels(vae, images)
    deviation = np.exp(0.5 * posterior_parameters(vae, images)[1])

    @tf.function(autograph=False)
    def run(x: tf.Tensor, deviation: tf.Tensor, seed: tf.Tensor) -> AnnealedWeights:
        return annealed_importance_weights(lambda z: vae.log_likelihood(x, z), deviation, seed, **settings)

    results = [
        run(images[batch], deviation[batch], tf.constant([seed, batch.start]))
        for batch in batches_of(len(images), _BATCH, progress)
    ]
    return AnnealedWeights(*(np.concatenate(part, axis=-1) for part in zip(*results, strict=True)))


class _Results(NamedTuple):
    inner_results: NamedTuple
    step: tf.Tensor
    accepted: tf.Tensor


class _Fresh(tfp.mcmc.TransitionKernel):
    """A transition kernel that is told β, and computes density and gradient anew at the beginning of every step.

    TFP's chain hands a kernel the log-density and the gradient that the step before has left, which are those of
    another β.  A kernel that accepts proposals by them does not leave p(z) p(x|z)^β invariant, and the mean of the
    weights would not be p(x).
    """

    is_calibrated = True

    def __init__(
        self, transition: Callable[[tf.Tensor], tfp.mcmc.TransitionKernel], steps: int, dtype: tf.DType
    ) -> None:
        self.transition, self.steps, self.dtype = transition, steps, dtype

    def bootstrap_results(self, state: tf.Tensor) -> _Results:
        inner = self.transition(tf.zeros((), self.dtype)).bootstrap_results(state)
        return _Results(inner, tf.zeros((), tf.int32), tf.zeros(state.shape[:-1], self.dtype))

    def one_step(
        self, state: tf.Tensor, previous: _Results, seed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, _Results]:
        kernel = self.transition(tf.cast(previous.step + 1, self.dtype) / self.steps)
        state, inner = kernel.one_step(state, kernel.bootstrap_results(state), seed=seed)
        accepted = previous.accepted + tf.cast(inner.is_accepted, self.dtype)
        return state, _Results(inner, previous.step + 1, accepted)
