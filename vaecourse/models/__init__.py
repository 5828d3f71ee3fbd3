"""The variational autoencoder and its relatives, with their parts: objectives, likelihoods, networks, layers."""

from vaecourse.models import likelihoods, linear_gaussian, networks, objectives, pixels
from vaecourse.models.autoregressive import AutoregressiveVAE, earlier_pixels
from vaecourse.models.completion import CompletionVAE, given_quadrants
from vaecourse.models.conditional import LearnedPriorVAE
from vaecourse.models.diffusion import DiffusionTerms, DiffusionVAE
from vaecourse.models.digits import ConditionalVAE, DigitVAE, SemiSupervisedVAE
from vaecourse.models.flows import CouplingFlow, FlowVAE
from vaecourse.models.free_bits import FreeBitsVAE
from vaecourse.models.importance import GRADIENTS, ImportanceWeightedVAE
from vaecourse.models.level_networks import denoiser, vector_mlp
from vaecourse.models.linear_gaussian import LinearGaussian
from vaecourse.models.objectives import Terms
from vaecourse.models.prior_vae import PriorVAE, fitted_prior
from vaecourse.models.priors import FlowPrior, MixturePrior, Prior, VampPrior
from vaecourse.models.residual import UPSAMPLINGS, residual_networks
from vaecourse.models.total_correlation import BatchParts, TotalCorrelationVAE, batch_parts
from vaecourse.models.two_level import LevelTerms, TwoLevelVAE
from vaecourse.models.two_level_networks import LinearTwoLevel, two_level_mlp
from vaecourse.models.vae import VAE
from vaecourse.models.vector_quantized import VectorQuantizedVAE, perplexity, straight_through

__all__ = [
    "GRADIENTS",
    "UPSAMPLINGS",
    "VAE",
    "AutoregressiveVAE",
    "BatchParts",
    "CompletionVAE",
    "ConditionalVAE",
    "CouplingFlow",
    "DiffusionTerms",
    "DiffusionVAE",
    "DigitVAE",
    "FlowPrior",
    "FlowVAE",
    "FreeBitsVAE",
    "ImportanceWeightedVAE",
    "LearnedPriorVAE",
    "LevelTerms",
    "LinearGaussian",
    "LinearTwoLevel",
    "MixturePrior",
    "Prior",
    "PriorVAE",
    "SemiSupervisedVAE",
    "Terms",
    "TotalCorrelationVAE",
    "TwoLevelVAE",
    "VampPrior",
    "VectorQuantizedVAE",
    "batch_parts",
    "denoiser",
    "earlier_pixels",
    "fitted_prior",
    "given_quadrants",
    "likelihoods",
    "linear_gaussian",
    "networks",
    "objectives",
    "perplexity",
    "pixels",
    "residual_networks",
    "straight_through",
    "two_level_mlp",
    "vector_mlp",
]
