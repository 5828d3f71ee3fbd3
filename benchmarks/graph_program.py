"""The graph-era program: as the source runs it, a run of the loss and a run of the step; or both fused into one."""

import numpy as np

from benchmarks.jobs import GRAY_CONSTANT, Job
from vaecourse import graph_era


class Contender:
    """A session that is fed batch by batch."""

    def __init__(self, job: Job, fused: bool = False):
        self.job = job
        self.fused = fused
        self.images = job.train_images().reshape(job.images, -1)
        self.program = graph_era.build()
        self.session = graph_era.start(self.program)
        self.random = np.random.default_rng(0)

    def loss(self) -> float:
        """Return the loss of the job's first batch, weights and noise, in nats, with the constant it leaves out."""
        encoder, decoder = (network.get_weights() for network in self.job.build())
        (w, b), latent_dim = encoder[4:], self.job.latent_dim
        values = [*encoder[:4], w[:, :latent_dim], b[:latent_dim], w[:, latent_dim:], b[latent_dim:], *decoder]
        for variable, value in zip(self.program.variables, values, strict=True):
            self.session.run(variable.initializer, {variable.initializer.inputs[1]: value})
        feed = {self.program.x: self.images[: self.job.batch_size], self.program.eps: self.job.noise()}
        return float(self.session.run(self.program.loss, feed)) + GRAY_CONSTANT

    def epoch(self) -> None:
        """Train for an epoch."""
        if not self.fused:
            graph_era.train(self.program, self.session, self.images, 1, self.job.batch_size)
            return
        order, size = self.random.permutation(len(self.images)), self.job.batch_size
        for first in range(0, len(order), size):
            feed = {self.program.x: self.images[order[first : first + size]]}
            self.session.run([self.program.loss, self.program.train_step], feed)
