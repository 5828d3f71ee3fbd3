"""How long to train, and how to survive an interruption."""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import keras
import tensorflow as tf

from vaecourse import data

T = TypeVar("T")

LENGTHS = ("full", "quick")
MODES = ("mnist/full", "mnist/quick", "digits/quick")


@dataclass(frozen=True)
class Budget:
    """What a chapter may spend: the data at hand, and the length of its runs.

    Attributes
    ----------
    images : vaecourse.data.Images
    length : {"full", "quick"}
    """

    images: data.Images
    length: str

    @property
    def mode(self) -> str:
        """``"mnist/full"``, ``"mnist/quick"`` or ``"digits/quick"``."""
        return f"{self.images.name}/{self.length}"

    def choose(self, full: T, quick: T) -> T:
        """Return the first value in the full budget, the second in the quick one."""
        return full if self.length == "full" else quick

    def __str__(self) -> str:
        train, test = len(self.images.train_images), len(self.images.test_images)
        return f"{self.mode}: {train:,} training and {test:,} test images of 28×28 pixels"


def chapter_budget() -> Budget:
    """Return the budget of a chapter, from the environment and the data at hand.

    ``VAECOURSE_BUDGET`` says ``full`` or ``quick``; without it a chapter is run in full.  MNIST that cannot be had
    is replaced by scikit-learn's digits, and the budget by the quick one, unless ``VAECOURSE_BUDGET`` asks for the
    full one or ``VAECOURSE_DATA`` names a folder.

    Raises
    ------
    ValueError
        If ``VAECOURSE_BUDGET`` has another value.
    ConnectionError
        If the full budget is asked for and MNIST cannot be had.
    """
    asked = os.environ.get("VAECOURSE_BUDGET")
    if asked and asked not in LENGTHS:
        raise ValueError(f"VAECOURSE_BUDGET is {asked!r}; expected 'full' or 'quick'")
    try:
        return Budget(data.load("mnist"), asked or "full")
    except ConnectionError as error:
        if asked == "full":
            raise
        print(f"MNIST cannot be downloaded here; going on with scikit-learn's 8×8 digits. ({type(error).__name__})")
        return Budget(data.load("digits"), "quick")


def resume_from(folder: str | os.PathLike) -> keras.callbacks.Callback:
    """Return the callback that resumes a killed training from its last finished epoch.

    Pass it to `fit` with the same model, data and number of epochs as before.  Weights and optimizer are restored
    from `folder`, and since the noise and the order of the images depend on the seed and the optimizer step alone,
    the resumed training ends with the weights of an uninterrupted one.  The backup is removed when training ends;
    what else is in the folder stays.

    Raises
    ------
    OSError
        By `fit`, if there is a backup, and neither it nor the one before can be read.
    """
    return _Resume(os.path.join(folder, "backup"), double_checkpoint=True)


@keras.saving.register_keras_serializable("vaecourse")
class Adam(keras.optimizers.Adam):
    """Keras' Adam, with one operation for each weight where Keras has a dozen :cite:p:`kingma2015`.

    Parameters, state and updates are Keras' own, up to rounding.  The fused operation reads and writes every number
    once, which a perceptron, whose weights do not fit into the processor's cache, feels most.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight; gradients by index, and amsgrad, are left to Keras."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )


class EpochStart(keras.callbacks.Callback):
    """Tells a data set at which optimizer step its epoch begins: `step`, a `tf.Variable`.

    The data set cannot read the optimizer's own counter: inside a compiled step, which fetches its batch and counts
    itself in no fixed order, the two would race.
    """

    def __init__(self):
        super().__init__()
        self.step = tf.Variable(0)

    def on_epoch_begin(self, epoch, logs=None):
        self.step.assign(int(self.model.optimizer.iterations))


class _Resume(keras.callbacks.BackupAndRestore):
    """Keras' backup, made proof against a kill between its two files, and against a later `fit`.

    Keras writes the weights and then the number of the epoch.  Killed in between, it would resume the weights of one
    epoch with the number of another; the optimizer's counter, which is saved with the weights, knows better, together
    with the step at which the training began.  And it would begin every later `fit` of the same model at the epoch
    from which this one was resumed.
    """

    def on_train_begin(self, logs=None):
        first_step = Path(self.backup_dir, "first_step")
        if not any(first_step.parent.glob("*.weights.h5*")):  # nothing to resume: the training begins here
            first_step.parent.mkdir(parents=True, exist_ok=True)
            first_step.write_text(str(int(self.model.optimizer.iterations)))
        with contextlib.suppress(json.JSONDecodeError):  # killed while the number was being written
            super().on_train_begin(logs)
        if self.params["steps"]:
            done = int(self.model.optimizer.iterations) - int(first_step.read_text())
            self.model._initial_epoch = done // self.params["steps"]

    def on_epoch_begin(self, epoch, logs=None):
        self.model._initial_epoch = None


def listens_to_batches(callback: keras.callbacks.Callback) -> bool:
    """Say whether a callback wants to be called around every batch, and not only every so many."""
    if getattr(callback, "save_freq", None) == "epoch":  # it has the methods, and does nothing in them
        return False
    names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    methods = {name: getattr(callback, name) for name in names}
    return any(getattr(m, "__func__", m) is not getattr(keras.callbacks.Callback, name) for name, m in methods.items())


@keras.saving.register_keras_serializable("vaecourse")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that climbs linearly to `peak` and falls linearly to 0.

    Parameters
    ----------
    peak : float
    steps : int
        Optimizer steps of the whole training.
    warmup : float
        Share of the steps spent climbing, below 1.
    """

    def __init__(self, peak: float, steps: int, warmup: float = 0.0):
        super().__init__()
        self.peak, self.steps, self.warmup = peak, steps, warmup

    def __call__(self, step):
        """Return the learning rate of an optimizer step, from 0 on."""
        climbing = round(self.warmup * self.steps)
        step = tf.cast(step, tf.float32)
        climbed = step / climbing if climbing else 1.0
        left = (self.steps - step) / (self.steps - climbing)
        return self.peak * tf.maximum(tf.minimum(climbed, left), 0.0)

    def get_config(self):
        """Return what builds it again."""
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


def cosine_decay(peak: float, steps: int, warmup: float = 0.0) -> keras.optimizers.schedules.CosineDecay:
    """Return a learning rate that climbs linearly to `peak` and falls to 0 along half a cosine.

    Parameters
    ----------
    peak : float
    steps : int
        Optimizer steps of the whole training.
    warmup : float
        Share of the steps spent climbing.
    """
    climbing = round(warmup * steps)
    if not climbing:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(0.0, steps - climbing, warmup_target=peak, warmup_steps=climbing)
