"""The variational autoencoder and its relatives, with their parts: objectives, likelihoods, networks, layers."""

from vaecourse.models import likelihoods, linear_gaussian, networks, objectives, pixels
from vaecourse.models.digits import ConditionalVAE, DigitVAE, SemiSupervisedVAE
from vaecourse.models.flows import CouplingFlow, FlowVAE
from vaecourse.models.importance import GRADIENTS, ImportanceWeightedVAE
from vaecourse.models.linear_gaussian import LinearGaussian
from vaecourse.models.objectives import Terms
from vaecourse.models.vae import VAE

__all__ = [
    "GRADIENTS",
    "VAE",
    "ConditionalVAE",
    "CouplingFlow",
    "DigitVAE",
    "FlowVAE",
    "ImportanceWeightedVAE",
    "LinearGaussian",
    "SemiSupervisedVAE",
    "Terms",
    "likelihoods",
    "linear_gaussian",
    "networks",
    "objectives",
    "pixels",
]
