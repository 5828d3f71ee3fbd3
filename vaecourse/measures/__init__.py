"""Numbers from a trained model: bounds, log-likelihoods, gaps, the noise of gradients, what the latents hold."""

from vaecourse.measures.annealed_importance import Annealed, anneal, annealed_importance_sampling
from vaecourse.measures.bounds import bound, elbo, elbo_terms
from vaecourse.measures.digits import accuracy, leakage, sample_accuracy
from vaecourse.measures.estimate import Estimate
from vaecourse.measures.gaps import FittedPosteriors, Gaps, fitted_posteriors
from vaecourse.measures.gradients import GradientMoments, gradient_moments, gradient_signal_to_noise
from vaecourse.measures.latents import active_units, interpolation, manifold, traversal
from vaecourse.measures.likelihood import (
    exact_log_likelihood,
    exact_posterior,
    importance_bounds,
    importance_log_likelihood,
    log_weights,
)

__all__ = [
    "Annealed",
    "Estimate",
    "FittedPosteriors",
    "Gaps",
    "GradientMoments",
    "accuracy",
    "active_units",
    "anneal",
    "annealed_importance_sampling",
    "bound",
    "elbo",
    "elbo_terms",
    "exact_log_likelihood",
    "exact_posterior",
    "fitted_posteriors",
    "gradient_moments",
    "gradient_signal_to_noise",
    "importance_bounds",
    "importance_log_likelihood",
    "interpolation",
    "leakage",
    "log_weights",
    "manifold",
    "sample_accuracy",
    "traversal",
]
