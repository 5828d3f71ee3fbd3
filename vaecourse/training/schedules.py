r"""A weight of the KL that changes while a model trains: warm-up and cycles, as cures of posterior collapse."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import keras
import numpy as np

from vaecourse.training.resume import batches_seen

Weight = Callable[[int], Any]


class BetaSchedule(keras.callbacks.Callback):
    r"""Multiply the weight β of the KL by a number that depends on how many batches were seen :cite:p:`bowman2016`.

    In `fit` a model minimizes −log p(x|z) + β w(t) KL, where t counts the batches before the step.  The metrics `elbo`
    and `kl` do not change their meaning, so that a training with a schedule can be compared with one without; `loss`
    and `val_loss` have the weight of the moment.  When the training ends, w is 1 again.

    w depends on the optimizer's counter alone: a training that :func:`vaecourse.training.resume_from` resumes ends
    like one that was never interrupted.

    Parameters
    ----------
    weight : callable
        From t = 0, 1, … to w(t), finite and at least 0.  :func:`linear_warmup` and :func:`cyclical` make two, and any
        schedule of :mod:`keras.optimizers.schedules` is one.

    Raises
    ------
    TypeError
        If the weight is no callable; by `fit`, if the model has no weight of the KL.
    ValueError
        By `fit`, if a weight is negative or not finite.

    Examples
    --------
    >>> from vaecourse.training import BetaSchedule, linear_warmup
    >>> warmup = BetaSchedule(linear_warmup(1000))  # vae.fit(images, callbacks=[warmup])
    >>> [float(warmup.weight(step)) for step in (0, 250, 1000, 5000)]
    [0.0, 0.25, 1.0, 1.0]
    """

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        if not callable(weight):
            raise TypeError(f"expected a callable from batches to weights, got {type(weight).__name__}")
        self.weight = weight

    def on_train_begin(self, logs: Any = None) -> None:
        if "beta" not in getattr(self.model, "_choices", ()):  # as of an importance-weighted bound
            raise TypeError(f"a {type(self.model).__name__} has no weight of a KL that could change")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        step = int(batches_seen(self.model.optimizer))
        weight = float(self.weight(step))
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"expected finite weights of at least 0, got {weight} after {step} batches")
        self.model.kl_weight.assign(weight)

    def on_train_end(self, logs: Any = None) -> None:
        self.model.kl_weight.assign(1.0)


def linear_warmup(batches: int, start: float = 0.0) -> Weight:
    r"""Return a weight that grows in equal steps from `start` to 1, and stays there.

    w(t) = start + (1 − start) min(1, t / batches) :cite:p:`bowman2016,sonderby2016`.

    Parameters
    ----------
    batches : int
        After how many the weight is 1, at least one.
    start : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If one of them has no such value.
    """
    return cyclical(batches, 1.0, start, cycles=1)


def cyclical(batches: int, rise: float = 0.5, start: float = 0.0, cycles: int | None = None) -> Weight:
    r"""Return a weight that climbs to 1 again and again :cite:p:`fu2019`.

    In a cycle of so many batches the weight grows in equal steps from `start` to 1 during the share `rise` of them, and
    stays at 1 for the rest.

    Parameters
    ----------
    batches : int
        Of a cycle, at least one.
    rise : float
        Share of a cycle, above 0 and at most 1.
    start : float
        Between 0 and 1.
    cycles : int, optional
        After so many the weight stays at 1.

    Raises
    ------
    ValueError
        If one of them has no such value.
    """
    counts = [batches] if cycles is None else [batches, cycles]
    if not all(isinstance(count, Integral) and count >= 1 for count in counts):
        raise ValueError(f"expected at least one batch and one cycle, got batches={batches!r}, cycles={cycles!r}")
    if not (0 < rise <= 1 and 0 <= start <= 1):
        raise ValueError(f"expected 0 < rise ≤ 1 and 0 ≤ start ≤ 1, got rise={rise!r}, start={start!r}")

    def weight(step: int) -> float:
        if cycles is not None and step >= cycles * batches:
            return 1.0
        return start + (1 - start) * min(1.0, step % batches / (rise * batches))

    return weight
