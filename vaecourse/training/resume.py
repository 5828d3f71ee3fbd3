"""Where a training stands: at which step an epoch begins, and how a killed training goes on."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from vaecourse.training import replicas


def resume_from(folder: str | os.PathLike) -> keras.callbacks.Callback:
    """Return the callback that resumes a killed training from its last finished epoch.

    Pass it to `fit` with the same model, data and number of epochs as before.  Weights and optimizer are restored
    from `folder`, and since the noise and the order of the images depend on the seed and the optimizer step alone,
    the resumed training ends with the weights of an uninterrupted one.  The backup is removed when training ends;
    what else is in the folder stays.

    Of several workers the first one writes, and all read: the folder must be one that all of them see.

    Raises
    ------
    OSError
        By `fit`, if there is a backup, and neither it nor the one before can be read; on every worker, if they do not
        all read the same one.
    """
    return _Resume(os.path.join(folder, "backup"), double_checkpoint=True)


def batches_seen(optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
    """Return how many batches an optimizer has been handed, an integer scalar.

    While gradients are accumulated over several batches this is more than the number of its steps, which it counts
    as `iterations`.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    counter = next(variable for variable in optimizer.variables if variable.name == "iteration")
    return tf.convert_to_tensor(counter)


class EpochStart(keras.callbacks.Callback):
    """Tell a data set at which optimizer step its epoch begins: `step`, a `tf.Variable`.

    Batches are counted, not updates: the two differ while gradients are accumulated.  The data set cannot read the
    optimizer's own counter: a compiled step fetches its batch and counts itself in no fixed order, so that the two
    would race.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step = tf.Variable(0)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.step.assign(int(batches_seen(self.model.optimizer)))


class _Resume(keras.callbacks.BackupAndRestore):
    """Keras' backup, made proof against a kill between its two files, and against a later `fit`.

    Keras writes the weights and then the number of the epoch.  A training that was killed in between would be resumed
    with the weights of one epoch and the number of another.  So the number is computed from the optimizer's counter,
    which is saved with the weights, and from the step at which the training began.  Keras would also begin every later
    `fit` of the same model at the epoch from which this one was resumed.
    """

    def on_train_begin(self, logs: Any = None) -> None:
        strategy = self.model.distribute_strategy
        if not replicas.is_chief(strategy):
            self._use_a_copy()
        replicas.wait_for_all(strategy)  # nothing is written before all have their copy
        self._restore()
        seen = int(batches_seen(self.model.optimizer))
        if not replicas.agreed(strategy, seen):
            raise OSError(
                f"the workers have read different backups, this one that of {seen} batches: the folder of "
                "resume_from must be one that all of them share"
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model._initial_epoch = None

    def _use_a_copy(self) -> None:
        """Read and write a copy, as a worker other than the first.

        It must write, too, since saving and loading in the scope of a strategy creates variables on all workers.
        """
        model, params = self.model, self.params
        shared = str(getattr(self, "shared", self.backup_dir))
        self.shared, self.temporary = shared, tempfile.TemporaryDirectory()
        copy = os.path.join(self.temporary.name, "backup")
        if os.path.isdir(shared):
            shutil.copytree(shared, copy)
        super().__init__(copy, double_checkpoint=True)
        self.set_model(model)
        self.set_params(params)

    def _restore(self) -> None:
        first_step = Path(self.backup_dir, "first_step")
        if not any(first_step.parent.glob("*.weights.h5*")):  # nothing to resume: the training begins here
            first_step.parent.mkdir(parents=True, exist_ok=True)
            first_step.write_text(str(int(batches_seen(self.model.optimizer))))
        with contextlib.suppress(json.JSONDecodeError):  # killed while the number was being written
            super().on_train_begin()
        if self.params["steps"]:
            done = int(batches_seen(self.model.optimizer)) - int(first_step.read_text())
            self.model._initial_epoch = done // self.params["steps"]


def listens_to_batches(callback: keras.callbacks.Callback) -> bool:
    """Say whether a callback wants to be called around every batch, and not only every so many."""
    if getattr(callback, "save_freq", None) == "epoch":  # it has the methods, and does nothing in them
        return False
    names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    methods = {name: getattr(callback, name) for name in names}
    return any(getattr(m, "__func__", m) is not getattr(keras.callbacks.Callback, name) for name, m in methods.items())
