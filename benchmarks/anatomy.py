"""Where the time of a training step goes: the networks alone, with the loss, with the update, and in `VAE.fit`."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.jobs import Job
from benchmarks.ours import Contender
from benchmarks.processes import Process

PIECES = {
    "networks": "both networks, forward and backward",
    "objective": "gradients of the loss",
    "step": "whole steps, the update included",
    "fit": "`VAE.fit`",
}
"""Each has all that the one before it has."""


class Anatomy(Contender):
    """The model of :class:`benchmarks.ours.Contender`, of whose steps only a part is done."""

    def __init__(self, job: Job):
        super().__init__(job)
        self.batches = tf.constant(job.train_images().reshape(-1, job.batch_size, 28, 28, 1))
        self.loops = {piece: tf.function(self._loop(getattr(self, f"_{piece}"))) for piece in list(PIECES)[:-1]}
        self.epoch()  # gives the optimizer its variables

    def run(self, piece: str) -> None:
        """Do a piece for the images of an epoch, each batch once."""
        if piece == "fit":
            self.epoch()
        else:
            self.loops[piece]().numpy()

    def _loop(self, piece: Callable) -> Callable:
        def loop() -> tf.Tensor:
            used = 0.0
            for x in self.batches:
                used += tf.add_n([tf.reshape(part, [-1])[0] for part in piece(x)])  # what nobody uses is left out
            return used

        return loop

    def _networks(self, x: tf.Tensor) -> list:
        with tf.GradientTape() as tape:
            outputs = self.vae.decoder(self.vae.encoder(x)[:, : self.job.latent_dim])
        return tape.gradient(outputs, self.vae.trainable_variables)

    def _objective(self, x: tf.Tensor) -> list:
        with tf.GradientTape() as tape:
            eps = self.vae.noise(self.job.batch_size, 0)
            loss = tf.reduce_mean(self.vae.objective(x, None, eps, training=True)["loss"])
        return tape.gradient(loss, self.vae.trainable_variables)

    def _step(self, x: tf.Tensor) -> list:
        return list(self.vae.train_step(x).values())


def anatomy(say: Callable, jobs: dict[str, Job], repetitions: int = 7) -> dict:
    """Measure the seconds of every piece, in turns, for each network and batch."""
    found = {}
    for name, job in jobs.items():
        process = Process("anatomy", "Anatomy", job)
        for piece in PIECES:  # compiles
            process.ask("run", piece)
        rounds = [[process.ask("run", piece)[1] for piece in PIECES] for _ in range(repetitions)]
        process.close()
        found[name] = dict(zip(PIECES, (1000 / job.images * np.array(rounds).T).tolist(), strict=True))
        say(f"  {name}: {found[name]}")
    return found
