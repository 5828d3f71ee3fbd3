"""What is trained: images, batches, initial weights and noise, the same for every contender."""

import functools
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from vaecourse import data, networks

GRAY_CONSTANT = 784 * (0.5 * np.log(2 * np.pi) + np.log(0.5))
"""What −log N(x; mean, ¼) has beside Σ (x − mean)²/½, in nats."""


@dataclass(frozen=True)
class Job:
    """A network and how it is fed.

    Attributes
    ----------
    network : {"convolutional", "mlp"}
        The tf-cvae network on thresholded pixels, with Bernoulli likelihood and sampled KL; or zoltowski's on grays,
        with σ = ½ and the KL in closed form.
    batch_size : int
    images : int
        How many make an epoch; a multiple of the batch.
    gain : float
        By how much the initial weights are larger than Glorot's rule has them: where outputs are small, all losses are
        alike, whatever a network does.
    """

    network: str
    batch_size: int
    images: int
    gain: float = 1.0

    @property
    def latent_dim(self) -> int:
        """Number of latents: 2, or 20."""
        return {"convolutional": 2, "mlp": 20}[self.network]

    @property
    def learning_rate(self) -> float:
        """Of Adam, as in the source."""
        return {"convolutional": 1e-4, "mlp": 1e-3}[self.network]

    def build(self):
        """Return the encoder and decoder of the course, with initial weights that are the same every time."""
        built = getattr(networks, self.network)(self.latent_dim, seed=0)
        for network in built:
            network.set_weights([self.gain * weight for weight in network.get_weights()])
        return built

    def build_plain(self):
        """Return the same networks of Keras' own layers only, as the rivals have them."""
        encoder, decoder = self.build()
        plain = keras.models.clone_model(decoder, clone_function=_plain)
        plain.set_weights(decoder.get_weights())
        return encoder, plain

    def train_images(self) -> np.ndarray:
        """Return the images of an epoch, `(images, 28, 28, 1)`."""
        return prepared("train", self.network)[: self.images]

    def first_batch(self) -> np.ndarray:
        """Return the images on which all contenders must have the same loss."""
        return self.train_images()[: self.batch_size]

    def noise(self) -> np.ndarray:
        """Return the noise of that loss, `(batch, d)`."""
        return np.random.default_rng(0).normal(size=(self.batch_size, self.latent_dim)).astype(np.float32)

    def flops_per_image(self) -> int:
        """Return the multiplications and additions of a training step for each image, without element-wise work.

        A layer is applied once forward and twice backward, to its inputs and to its weights; the first has no inputs
        to differentiate.
        """
        forward = [_flops(layer) for network in self.build() for layer in network.layers if hasattr(layer, "kernel")]
        return 3 * sum(forward) - forward[0]


@functools.cache
def prepared(part: str, network: str) -> np.ndarray:
    """Return the training or test images of MNIST as a network wants them."""
    grays = data.scale(getattr(data.load("mnist"), f"{part}_images"))
    return data.binarize(grays) if network == "convolutional" else grays


def _plain(layer):
    kind = layers.Conv2DTranspose if isinstance(layer, layers.Conv2DTranspose) else type(layer)
    return kind.from_config(layer.get_config())


def _flops(layer) -> int:
    *window, _, _ = layer.kernel.shape
    if not window:
        return 2 * int(np.prod(layer.kernel.shape))
    transposed = isinstance(layer, layers.Conv2DTranspose)
    positions = (layer.input if transposed else layer.output).shape[1:3]
    return 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(positions))
