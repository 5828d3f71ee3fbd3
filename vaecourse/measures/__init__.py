"""Numbers from a trained model: bounds, log-likelihoods, gaps, the noise of gradients, what the latents hold."""

from vaecourse.measures.annealed_importance import (
    AnnealedWeights,
    annealed_importance_sampling,
    annealed_importance_weights,
)
from vaecourse.measures.bounds import bound, elbo, elbo_terms
from vaecourse.measures.digits import accuracy, leakage, sample_accuracy
from vaecourse.measures.estimate import Estimate
from vaecourse.measures.gaps import FittedPosteriors, Gaps, fitted_posteriors
from vaecourse.measures.gradients import GradientMoments, gradient_moments, gradient_signal_to_noise
from vaecourse.measures.importance_sampling import importance_bounds, importance_log_likelihood, log_weights
from vaecourse.measures.latents import active_units, interpolation, manifold, traversal
from vaecourse.measures.quadrature import exact_log_likelihood, exact_posterior

__all__ = [
    "AnnealedWeights",
    "Estimate",
    "FittedPosteriors",
    "Gaps",
    "GradientMoments",
    "accuracy",
    "active_units",
    "annealed_importance_sampling",
    "annealed_importance_weights",
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
