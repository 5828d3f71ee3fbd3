"""log p(x|y) of models that know a condition, by importance weights."""

import numpy as np
import tensorflow as tf

from vaecourse.measures.batching import per_image
from vaecourse.models import VAE, objectives
from vaecourse.models.conditional import LearnedPrior

PROPOSALS = ("posterior", "prior")


def conditional_log_likelihood(
    vae: VAE,
    images: np.ndarray,
    samples: int = 100,
    seed: int = 0,
    labels: np.ndarray | None = None,
    proposal: str = "posterior",
) -> np.ndarray:
    r"""Estimate log p(x|y) of every image by log (1/K) Σ_k p(x, z_k|y)/r(z_k), z_k ~ r.

    Its mean over the noise does not fall as K grows, and is at most log p(x|y), whatever r is.  With r = q(z|x, y) the
    weights vary less than with r = p(z|y), which is what :cite:t:`sohn2015` call the Monte Carlo estimate.

    Parameters
    ----------
    vae : ConditionalVAE, LearnedPriorVAE, CompletionVAE or SemiSupervisedVAE
        Of a :class:`~vaecourse.models.completion.CompletionVAE` the estimate is of log p(x″ | x′), the pixels that are
        not given.
    images : array `(n, height, width, channels)`
    samples : int
        K.
    seed : int
    labels : array `(n,)`, optional
        For models that know digits.
    proposal : {"posterior", "prior"}
        r.

    Returns
    -------
    array `(n,)`
        In nats.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images or the labels, there is no sample, or no such proposal.
    """
    if proposal not in PROPOSALS:
        raise ValueError(f"expected {' or '.join(map(repr, PROPOSALS))} for proposal, got {proposal!r}")

    @tf.function(autograph=False, reduce_retracing=True)
    def bound(x: tf.Tensor, eps: tf.Tensor, y: tf.Tensor | None = None) -> tf.Tensor:
        if proposal == "posterior":
            return objectives.importance_weighted_bound(vae.log_weights(x, eps, y))
        z = eps
        if isinstance(vae, LearnedPrior):
            z = objectives.reparameterize(*vae.prior_parameters(x if y is None else y), eps)
        return objectives.importance_weighted_bound(vae.log_likelihood(x, z, y))

    return per_image(vae, images, samples, seed, bound, labels)
