"""One variational autoencoder, five tutorials: the companion module of the course.

A package imports only from those above it in this table.

========================= =============================================================================
package                   subject
========================= =============================================================================
:mod:`vaecourse.data`     data sets, pixels, and the batches of an epoch
:mod:`vaecourse.training` Keras' `fit`, `evaluate` and `predict`; optimizers; resuming
:mod:`vaecourse.models`   the models, with their objectives, likelihoods, networks and layers
:mod:`vaecourse.measures` bounds, log-likelihoods, gaps, the noise of gradients, latents
:mod:`vaecourse.clinic`   what is wrong with a loss, or with a model
:mod:`vaecourse.live`     figures that answer in the page, without a kernel
:mod:`vaecourse.course`   budgets, recipes of the sources, broken models, the program of 2017, plots
========================= =============================================================================

Everything is in nats per image: sums over pixels and latents, means over the batch.
"""

import importlib
from types import ModuleType

import vaecourse._start  # noqa: F401, before all that imports TensorFlow

# isort: split
from vaecourse import clinic, course, data, live, measures, models, training
from vaecourse.clinic import audit, diagnose
from vaecourse.course import graph_era, recipes, specimens
from vaecourse.models import (
    VAE,
    ConditionalVAE,
    DigitVAE,
    FlowVAE,
    ImportanceWeightedVAE,
    LinearGaussian,
    SemiSupervisedVAE,
    likelihoods,
    networks,
    objectives,
)

__version__ = "0.1.0"
__all__ = [
    "VAE",
    "ConditionalVAE",
    "DigitVAE",
    "FlowVAE",
    "ImportanceWeightedVAE",
    "LinearGaussian",
    "SemiSupervisedVAE",
    "audit",
    "clinic",
    "course",
    "data",
    "diagnose",
    "graph_era",
    "likelihoods",
    "live",
    "measures",
    "models",
    "networks",
    "objectives",
    "plotting",
    "recipes",
    "specimens",
    "training",
]


def __getattr__(name: str) -> ModuleType:
    if name == "plotting":  # it needs matplotlib: imported where it is asked for
        return importlib.import_module("vaecourse.course.plotting")
    raise AttributeError(f"module 'vaecourse' has no attribute {name!r}")
