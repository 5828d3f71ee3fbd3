"""Training by Keras: `fit`, `evaluate` and `predict`, on one device or several, optimizers, and resuming."""

from vaecourse.training.compiled import STEPS_PER_EXECUTION
from vaecourse.training.matrix_optimizers import SOAP, Muon
from vaecourse.training.optimizers import Adam, LinearDecay, cosine_decay
from vaecourse.training.replicas import is_chief
from vaecourse.training.resume import EpochStart, batches_seen, listens_to_batches, resume_from
from vaecourse.training.schedules import BetaSchedule, cyclical, linear_warmup
from vaecourse.training.trainable import EVALUATION_BATCH, Trainable

__all__ = [
    "EVALUATION_BATCH",
    "SOAP",
    "STEPS_PER_EXECUTION",
    "Adam",
    "BetaSchedule",
    "EpochStart",
    "LinearDecay",
    "Muon",
    "Trainable",
    "batches_seen",
    "cosine_decay",
    "cyclical",
    "is_chief",
    "linear_warmup",
    "listens_to_batches",
    "resume_from",
]
