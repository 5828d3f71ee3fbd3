"""Annealed importance sampling: log p(x) of any model, from below and, where z is known, above."""

import functools
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
        Of chains from the prior, the mean of the weights w estimates p(x) without bias; of chains from the posterior,
        the mean of 1/w estimates 1/p(x) without bias.
    acceptance : tensor or array `(n,)`
        The share of the proposals that were accepted.
    from_posterior : bool
        Whether the chains started there.
    """

    log_weights: tf.Tensor
    acceptance: tf.Tensor
    from_posterior: bool = False

    @property
    def log_likelihood(self) -> np.ndarray:
        """Estimates of log p(x), `(n,)` in nats: on average too low from the prior, and too high from the posterior."""
        sign = -1 if self.from_posterior else 1
        return sign * objectives.importance_weighted_bound(sign * self.log_weights).numpy()

    @property
    def standard_error(self) -> np.ndarray:
        """Standard errors of these estimates, `(n,)` in nats, from the spread of the chains."""
        log_weights = (-1 if self.from_posterior else 1) * np.asarray(self.log_weights)
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
    posterior_samples: tf.Tensor | None = None,
    prior: tfp.distributions.Distribution | None = None,
) -> AnnealedWeights:
    r"""Estimate ∫ p(x|z) p(z) dz for any p(x|z), by annealed importance sampling :cite:p:`neal2001`.

    Chains start at exact samples of the prior and follow p(z) p(x|z)^β while β climbs from 0 to 1 in equal steps, by
    one transition of Hamiltonian Monte Carlo each; for decoders see :cite:t:`wu2017`.  The weight of a chain is
    w = Π_t p(x|z_t)^(β_{t+1} − β_t), z_t being the state that the transition of step t left.  The mean of the weights
    is p(x) whatever the settings are, but with few steps it is the mean of very unequal weights.

    Their logarithm is too low on average.  Chains that start at exact samples of the posterior and go the other way, to
    the prior, err in the other direction: the mean of their inverse weights is 1/p(x).  The two together enclose
    log p(x) :cite:p:`grosse2015`.

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
    posterior_samples : tensor `(chains, n, d)` or `(n, d)`, optional
        Exact samples of p(z|x), at which the chains start and then go to the prior; one for each image serves all
        chains.  An image that the model itself has drawn comes with one: the z that it was drawn from.
    prior : distribution, optional
        p(z), whose events are `(d,)`.  Without it, N(0, I).

    Returns
    -------
    AnnealedWeights

    Raises
    ------
    ValueError
        If there is no chain, step or leapfrog, the step size is not positive, the deviations are not `(n, d)`, or the
        samples of the posterior are not of their shape.
    """
    if min(chains, steps, leapfrogs) < 1 or not step_size > 0:
        raise ValueError(
            f"expected at least one chain, step and leapfrog and a positive step size, got chains={chains}, "
            f"steps={steps}, leapfrogs={leapfrogs}, step_size={step_size}"
        )
    deviation = tf.convert_to_tensor(deviation)
    if deviation.shape.rank != 2:
        raise ValueError(f"expected deviations of shape (n, d), got {tuple(deviation.shape)}")
    dtype, shape = deviation.dtype, (chains, *deviation.shape)
    backwards = posterior_samples is not None
    if backwards:
        posterior_samples = tf.convert_to_tensor(posterior_samples, dtype)
        if tuple(posterior_samples.shape) not in (shape, shape[1:]):
            raise ValueError(
                f"expected posterior samples of shape {shape} or {shape[1:]}, got {posterior_samples.shape}"
            )
        posterior_samples = tf.broadcast_to(posterior_samples, shape)
    if prior is None:
        prior = tfd.Sample(tfd.Normal(tf.zeros((), dtype), 1.0), deviation.shape[-1])

    def joint(z: tf.Tensor) -> tf.Tensor:
        return prior.log_prob(z) + log_likelihood(z)

    def make_kernel(annealed_target: Callable[[tf.Tensor], tf.Tensor]) -> tfp.mcmc.TransitionKernel:
        def transition(progress: tf.Tensor) -> tfp.mcmc.TransitionKernel:
            beta = 1 - progress if backwards else progress
            size = step_size / tf.sqrt(1 + beta * (deviation**-2 - 1))
            return tfp.mcmc.HamiltonianMonteCarlo(annealed_target, step_size=size, num_leapfrog_steps=leapfrogs)

        return _Fresh(transition, steps, dtype)

    @_compiled
    def run(seed: tf.Tensor) -> tuple[tf.Tensor, _Results]:
        start = posterior_samples if backwards else prior.sample(shape[:2], seed=seed)
        ends = (joint, prior.log_prob) if backwards else (prior.log_prob, joint)
        return tfp.mcmc.sample_annealed_importance_chain(
            steps, *ends, start, make_kernel, parallel_iterations=1, seed=tf.bitwise.invert(seed)
        )[1:]

    log_weights, results = run(tf.convert_to_tensor(seed, tf.int32))
    acceptance = tf.reduce_mean(results.inner_results.accepted, axis=0) / steps
    return AnnealedWeights(-log_weights if backwards else log_weights, acceptance, backwards)


def annealed_importance_sampling(
    vae: VAE,
    images: np.ndarray,
    seed: int = 0,
    progress: bool = True,
    posterior_samples: np.ndarray | None = None,
    **settings: Any,
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
    posterior_samples : array `(chains, n, d)` or `(n, d)`, optional
        With them the chains go from the posterior to the prior, and estimate log p(x) from above.
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

    start = () if posterior_samples is None else (_checked_samples(vae, images, posterior_samples),)

    @_compiled
    def run(x: tf.Tensor, deviation: tf.Tensor, seed: tf.Tensor, *start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return annealed_importance_weights(
            lambda z: vae.log_likelihood(x, z),
            deviation,
            seed,
            posterior_samples=start[0] if start else None,
            prior=vae.prior_distribution(),
            **settings,
        )[:2]

    results = [
        run(images[batch], deviation[batch], tf.constant([seed, batch.start]), *(z[..., batch, :] for z in start))
        for batch in batches_of(len(images), _BATCH, progress)
    ]
    log_weights, acceptance = (np.concatenate(part, axis=-1) for part in zip(*results, strict=True))
    return AnnealedWeights(log_weights, acceptance, bool(start))


def _compiled(function: Callable) -> Callable:
    """Compile a function that every call makes anew; TensorFlow, which counts by the code, would warn of the fifth."""
    return tf.function(functools.partial(function), autograph=False)


def _checked_samples(vae: VAE, images: np.ndarray, samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples, vae.variable_dtype)
    if samples.ndim not in (2, 3) or samples.shape[-2:] != (len(images), vae.latent_dim):
        raise ValueError(f"expected posterior samples (…, {len(images)}, {vae.latent_dim}), got {samples.shape}")
    return samples


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
