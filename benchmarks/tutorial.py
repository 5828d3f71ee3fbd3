"""The loop of TensorFlow's tutorial: `tf.data` shuffles and batches, and one compiled function makes a step."""

import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks.jobs import Job
from benchmarks.ours import test_elbo

SHUFFLE_BUFFER = 60_000


class Contender:
    """The three-term objective, written out, in a loop over batches."""

    def __init__(self, job: Job):
        self.job = job
        self.encoder, self.decoder = job.build_plain()
        self.optimizer = keras.optimizers.Adam(job.learning_rate)
        self.batches = tf.data.Dataset.from_tensor_slices(job.train_images())
        self.batches = self.batches.shuffle(SHUFFLE_BUFFER).batch(job.batch_size)
        self.step = tf.function(self._step)

    def loss(self) -> float:
        """Return the loss of the job's first batch, weights and noise, in nats."""
        return float(self._loss(self.job.first_batch(), self.job.noise()))

    def epoch(self) -> None:
        """Train for an epoch."""
        for images in self.batches:
            self.step(images)

    def _step(self, images):
        with tf.GradientTape() as tape:
            loss = self._loss(images, tf.random.normal((tf.shape(images)[0], self.job.latent_dim)))
        weights = self.encoder.trainable_variables + self.decoder.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    def _loss(self, images, eps):
        mean, logvar = tf.split(self.encoder(images), 2, axis=1)
        z = eps * tf.exp(logvar * 0.5) + mean
        logits = self.decoder(z)
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(logits=logits, labels=images)
        log_px_z = -tf.reduce_sum(cross_entropy, axis=[1, 2, 3])
        return -tf.reduce_mean(log_px_z + log_normal(z, 0.0, 0.0) - log_normal(z, mean, logvar))


class Trainer:
    """The tutorial's training: constant learning rate, batches of 32, all of MNIST."""

    def train(self, seed: int, epochs: int) -> list[dict]:
        """Train, and return epochs, seconds so far, those of the fastest epoch, and test ELBO after 1, 2, 5 and all.

        The time of the evaluations does not count.
        """
        keras.utils.set_random_seed(seed)
        contender = Contender(Job("convolutional", 32, 60_000))
        seconds, results = [], []
        for epoch in range(1, epochs + 1):
            began = time.perf_counter()
            contender.epoch()
            seconds.append(time.perf_counter() - began)
            if epoch in (1, 2, 5, epochs):
                elbo = test_elbo(contender.encoder, contender.decoder)
                results.append({"epochs": epoch, "seconds": sum(seconds), "fastest epoch": min(seconds), "elbo": elbo})
        return results


def log_normal(z, mean, logvar):
    """Return the log density of a diagonal normal distribution, summed over latents."""
    return -0.5 * tf.reduce_sum((z - mean) ** 2 * tf.exp(-logvar) + logvar + np.log(2 * np.pi).astype("f4"), axis=1)
