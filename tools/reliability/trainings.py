"""Trainings, downloads and chapters in child processes that are killed, or find the disk full or closed.

Children are forked after TensorFlow is imported and before it computes anything, so that each begins at once.
"""

import hashlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vaecourse import data, models, networks, training

EPOCHS, IMAGES, BATCH = 12, 320, 32
SHAPE = (8, 8, 1)
FAILED = 3
"""The exit code of a child that says what went wrong."""


class Child:
    """A function in a process of its own, which writes to a file what it returns, or what went wrong."""

    def __init__(self, function: Callable[..., str], *arguments: Any, answer: Path) -> None:
        answer.unlink(missing_ok=True)
        self.answer, self.killed = answer, False
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            os.setsid()  # whatever it starts ends with it
            code = FAILED
            try:
                text, code = function(*arguments), 0
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                answer.with_suffix(".trace").write_text(traceback.format_exc())
            answer.write_text(text)
            os._exit(code)

    def kill(self) -> None:
        """End the process, and those that it has started, at this moment."""
        self.killed = os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        if self.killed:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def wait(self, seconds: float = 600.0) -> str:
        """Return what the function returned, or what went wrong; a process that does not end is killed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if os.waitpid(self.pid, os.WNOHANG) != (0, 0):
                return self.answer.read_text() if self.answer.exists() else "killed"
            time.sleep(0.05)
        self.kill()
        return "did not end"


class Marks(keras.callbacks.Callback):
    """Tell by a file that training has begun, and how it goes; do something at the end of an epoch."""

    def __init__(self, mark: Path, then: Callable[[int], None] = lambda epoch: None) -> None:
        super().__init__()
        self.mark, self.then = mark, then

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.mark.write_text(f"{self.model.optimizer.iterations.numpy()}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.then(epoch)


def train(folder: Path, mark: Path, then: Callable[[int], None] = lambda epoch: None) -> str:
    """Train a small model that resumes from a folder; return a digest of its weights and of its optimizer's."""
    images = (np.random.default_rng(0).random((IMAGES, *SHAPE)) < 0.4).astype(np.float32)
    vae = models.VAE(*networks.mlp(2, (8,), image_shape=SHAPE, seed=0), seed=1)
    vae.compile("adam")
    vae.fit(
        images,
        batch_size=BATCH,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[Marks(mark, then), training.resume_from(folder)],
    )
    return data.array_digest([np.asarray(v) for v in (*vae.weights, *vae.optimizer.variables)])


def train_and_die_between_the_files(folder: Path, mark: Path, at: int) -> str:
    """Train, and be killed where the weights of an epoch are written and its number is not."""
    from keras.src.callbacks import backup_and_restore

    whole, opened = backup_and_restore.file_utils.File, []

    def opens(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" in mode:
            opened.append(path)
            if len(opened) == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return whole(path, mode, *arguments, **options)

    backup_and_restore.file_utils.File = opens
    return train(folder, mark)


def train_on_a_full_disk(folder: Path, mark: Path, at: int) -> str:
    """Train, and find that nothing more can be written after so many epochs."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(epoch: int) -> None:
        if epoch == at:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    try:
        return train(folder, mark, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def train_as_nobody(folder: Path, mark: Path) -> str:
    """Train with backups in a folder that this process may not write to, even if an administrator runs it."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        return train(folder, mark)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


def load(origin: str, cache: Path, digest: str) -> str:
    """Load what stands for MNIST from an address into a cache; return a digest of it."""
    from vaecourse.data import datasets

    os.environ.pop("VAECOURSE_DATA", None)
    os.environ["KERAS_HOME"] = str(cache)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, the progress of the download
    datasets._MNIST, datasets._DIGESTS["mnist"] = origin, digest
    return data.array_digest(list(data.load("mnist")[1:]))


def execute(chapter: Path, replaced: bool = False) -> str:
    """Execute a chapter as `make execute` does; or be killed in the moment in which it is replaced."""
    from tools import execute

    if replaced:

        def die(*_: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        execute.os.replace = die
    return f"{execute.execute(chapter):.0f} s"


def digest(path: Path) -> str:
    """Return a digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
