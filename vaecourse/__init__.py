"""One variational autoencoder, five tutorials: the companion module of the course.

Rooms, from the ground floor up; a room imports only from the floors below it.

====== ==================================================================
floor  rooms
====== ==================================================================
7      :mod:`~vaecourse.tightness`, :mod:`~vaecourse.diagnosis`
6      :mod:`~vaecourse.recipes`, :mod:`~vaecourse.evaluation`,
       :mod:`~vaecourse.findings`
5      :mod:`~vaecourse.digit_models`, :mod:`~vaecourse.importance`,
       :mod:`~vaecourse.flows`, :mod:`~vaecourse.broken`
4      :mod:`~vaecourse.models`, :mod:`~vaecourse.linear_gaussian`
3      :mod:`~vaecourse.fitting`, :mod:`~vaecourse.audit`,
       :mod:`~vaecourse.annealing`
2      :mod:`~vaecourse.objectives`, :mod:`~vaecourse.training`
1      :mod:`~vaecourse.data`, :mod:`~vaecourse.networks`,
       :mod:`~vaecourse.likelihoods`, :mod:`~vaecourse.graph_era`,
       :mod:`~vaecourse.plotting`
====== ==================================================================

Everything is in nats per image: sums over pixels and latents, means over the batch.
"""

from vaecourse._quiet import quiet_native_log

with quiet_native_log():
    import tensorflow
    import tensorflow_probability  # noqa: F401

    tensorflow.config.list_physical_devices()  # the search for devices is logged natively, too

from vaecourse import (
    annealing,
    audit,
    broken,
    data,
    diagnosis,
    digit_models,
    evaluation,
    findings,
    fitting,
    flows,
    graph_era,
    importance,
    likelihoods,
    linear_gaussian,
    models,
    networks,
    objectives,
    recipes,
    tightness,
    training,
)
from vaecourse.diagnosis import diagnose
from vaecourse.digit_models import ConditionalVAE, DigitVAE, SemiSupervisedVAE
from vaecourse.flows import FlowVAE
from vaecourse.importance import ImportanceWeightedVAE
from vaecourse.models import VAE

__version__ = "0.1.0"
__all__ = [
    "VAE",
    "ConditionalVAE",
    "DigitVAE",
    "FlowVAE",
    "ImportanceWeightedVAE",
    "SemiSupervisedVAE",
    "annealing",
    "audit",
    "broken",
    "data",
    "diagnose",
    "diagnosis",
    "digit_models",
    "evaluation",
    "findings",
    "fitting",
    "flows",
    "graph_era",
    "importance",
    "likelihoods",
    "linear_gaussian",
    "models",
    "networks",
    "objectives",
    "recipes",
    "tightness",
    "training",
]
