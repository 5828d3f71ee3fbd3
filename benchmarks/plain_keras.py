"""Keras' `fit` with its defaults, on a model as its guides write one: `add_loss` for the KL, a loss for the pixels."""

import keras
import numpy as np

from benchmarks.jobs import GRAY_CONSTANT, Job


class Contender:
    """A functional pair of networks in a `keras.Model`, compiled with Keras' Adam and a loss."""

    def __init__(self, job: Job):
        self.job = job
        convolutional = job.network == "convolutional"
        self.model = Plain(*job.build_plain(), sampled_kl if convolutional else analytic_kl)
        self.pixels = cross_entropy if convolutional else squared_error
        self.model.compile(keras.optimizers.Adam(job.learning_rate), loss=self.pixels)

    def loss(self) -> float:
        """Return the loss of the job's first batch, weights and noise, in nats."""
        images = self.job.first_batch()
        output = self.model.forward(images, self.job.noise())
        return float(np.mean(self.pixels(images, output)) + self.model.kl)

    def epoch(self) -> None:
        """Train for an epoch."""
        images = self.job.train_images()
        self.model.fit(images, images, batch_size=self.job.batch_size, verbose=0)


class Plain(keras.Model):
    """Encoder, sample, decoder."""

    def __init__(self, encoder, decoder, kl):
        super().__init__()
        self.encoder, self.decoder, self.kl_of = encoder, decoder, kl
        self.random = keras.random.SeedGenerator(0)

    def call(self, images):
        shape = (keras.ops.shape(images)[0], self.decoder.input_shape[-1])
        output = self.forward(images, keras.random.normal(shape, seed=self.random))
        self.add_loss(self.kl)
        return output

    def forward(self, images, eps):
        """Decode a sample of the posterior; the KL stays in `kl`."""
        mean, logvar = keras.ops.split(self.encoder(images), 2, axis=-1)
        z = mean + keras.ops.exp(0.5 * logvar) * eps
        self.kl = keras.ops.mean(self.kl_of(mean, logvar, z, eps))
        return self.decoder(z)


def sampled_kl(mean, logvar, z, eps):
    """Return log q(z|x) − log p(z)."""
    return 0.5 * keras.ops.sum(z**2 - eps**2 - logvar, axis=-1)


def analytic_kl(mean, logvar, z, eps):
    """Return KL(q(z|x) ‖ p(z))."""
    return 0.5 * keras.ops.sum(mean**2 + keras.ops.exp(logvar) - logvar - 1, axis=-1)


def cross_entropy(images, logits):
    """Return the cross-entropy of binary pixels, summed over an image."""
    pixels = keras.ops.binary_crossentropy(images, logits, from_logits=True)
    return keras.ops.sum(pixels, axis=(1, 2, 3))


def squared_error(images, output):
    """Return −log N(x; mean, ¼), summed over an image."""
    return keras.ops.sum((images - keras.ops.sigmoid(output)) ** 2, axis=(1, 2, 3)) / 0.5 + GRAY_CONSTANT
