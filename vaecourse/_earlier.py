"""Names that chapters still use from the time before the module had packages; nothing else imports this.

A name goes as soon as no chapter uses it: `tests/test_architecture.py` says when.
"""

import inspect
import sys

from vaecourse import clinic, course, data, measures, models, training
from vaecourse.models import flows, importance

__all__ = ["annealing", "broken", "evaluation", "flows", "importance", "tightness"]

annealing = evaluation = tightness = measures
broken = course.specimens

training.Budget, training.chapter_budget = course.Budget, course.chapter_budget
models.SlippedVAE = course.specimens.SlippedVAE
measures.anneal = measures.annealed_importance_weights
measures.Estimate.value = property(lambda self: self.mean)
importance.binarized_batches, importance.gradient_moments = data.binarized_batches, measures.gradient_moments
sys.modules["vaecourse.diagnosis"] = clinic.diagnosis
sys.modules["vaecourse.linear_gaussian"] = models.linear_gaussian


class _Losses(list):
    """Keras' list of penalties, which chapters call as the method that is now `objective`."""

    def __init__(self, model, penalties):
        super().__init__(penalties)
        self.model = model

    def __call__(self, x, y, eps):
        return vars(self.model).get("_inherited_objective", self.model.objective)(x, y, eps)


def _adopt(cls, **options):
    """Take a method `losses` of a chapter's class for the `objective` that it was written as."""
    super(training.Trainable, cls).__init_subclass__(**options)
    overridden = vars(cls).get("losses")
    if not inspect.isfunction(overridden):
        return

    def objective(self, x, y, eps, training=False):
        inherited = super(cls, self).objective
        vars(self)["_inherited_objective"] = lambda x, y, eps: inherited(x, y, eps, training)
        try:
            return overridden(self, x, y, eps)
        finally:
            del vars(self)["_inherited_objective"]

    del cls.losses
    cls.objective = objective


training.Trainable.losses = property(lambda self: _Losses(self, super(training.Trainable, self).losses))
training.Trainable.__init_subclass__ = classmethod(_adopt)
