"""Names that chapters still use from the time before the module had packages; nothing else imports this.

A name goes as soon as no chapter uses it: `tests/test_architecture.py` says when.
"""

import sys

from vaecourse import clinic, course, data, measures, models, training
from vaecourse.models import flows, importance

__all__ = ["annealing", "broken", "evaluation", "flows", "importance", "tightness"]

annealing = evaluation = tightness = measures
broken = course.specimens

training.Budget, training.chapter_budget = course.Budget, course.chapter_budget
models.SlippedVAE = course.specimens.SlippedVAE
importance.binarized_batches, importance.gradient_moments = data.binarized_batches, measures.gradient_moments
sys.modules["vaecourse.diagnosis"] = clinic.diagnosis
sys.modules["vaecourse.linear_gaussian"] = models.linear_gaussian
