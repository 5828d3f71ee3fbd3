"""Numbers from a trained model: bounds, log-likelihoods, gaps, the noise of gradients, what the latents hold."""

from vaecourse.measures.aggregate import KLParts, aggregate_log_density, kl_parts
from vaecourse.measures.annealed_importance import (
    AnnealedWeights,
    annealed_importance_sampling,
    annealed_importance_weights,
)
from vaecourse.measures.anomalies import auroc, compressed_size, mutated
from vaecourse.measures.bounds import bound, elbo, elbo_terms
from vaecourse.measures.checkerboard import checkerboard_energy
from vaecourse.measures.conditional import conditional_log_likelihood
from vaecourse.measures.digits import accuracy, leakage, sample_accuracy, substitutes, verdicts
from vaecourse.measures.disentanglement import mutual_information, mutual_information_gap
from vaecourse.measures.estimate import Estimate
from vaecourse.measures.families import FAMILIES, fitted_family_elbo
from vaecourse.measures.frechet import classifier_features, frechet_distance
from vaecourse.measures.gaps import FittedPosteriors, Gaps, fitted_posteriors
from vaecourse.measures.gradients import GradientMoments, gradient_moments, gradient_signal_to_noise
from vaecourse.measures.importance_sampling import importance_bounds, importance_log_likelihood, log_weights
from vaecourse.measures.imputation import Imputation, exact_imputation, impute, missing_log_likelihood
from vaecourse.measures.latents import active_units, interpolation, manifold, traversal
from vaecourse.measures.paths import plane, prior_norm, spherical, straight, through_data
from vaecourse.measures.quadrature import exact_log_likelihood, exact_posterior, exact_posterior_samples
from vaecourse.measures.reliability import WeightDiagnosis, pareto_shape, weight_diagnosis

__all__ = [
    "FAMILIES",
    "AnnealedWeights",
    "Estimate",
    "FittedPosteriors",
    "Gaps",
    "GradientMoments",
    "Imputation",
    "KLParts",
    "WeightDiagnosis",
    "accuracy",
    "active_units",
    "aggregate_log_density",
    "annealed_importance_sampling",
    "annealed_importance_weights",
    "auroc",
    "bound",
    "checkerboard_energy",
    "classifier_features",
    "compressed_size",
    "conditional_log_likelihood",
    "elbo",
    "elbo_terms",
    "exact_imputation",
    "exact_log_likelihood",
    "exact_posterior",
    "exact_posterior_samples",
    "fitted_family_elbo",
    "fitted_posteriors",
    "frechet_distance",
    "gradient_moments",
    "gradient_signal_to_noise",
    "importance_bounds",
    "importance_log_likelihood",
    "impute",
    "interpolation",
    "kl_parts",
    "leakage",
    "log_weights",
    "manifold",
    "missing_log_likelihood",
    "mutated",
    "mutual_information",
    "mutual_information_gap",
    "pareto_shape",
    "plane",
    "prior_norm",
    "sample_accuracy",
    "spherical",
    "straight",
    "substitutes",
    "through_data",
    "traversal",
    "verdicts",
    "weight_diagnosis",
]
