"""A model whose networks say what they are told, so that its loss can be asked about posteriors and outputs.

Stand-ins take the place of the two networks: one says what posterior the encoder is to report, the other answers as
the decoder and keeps the z that it was handed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from vaecourse.clinic.stand_ins import StandIn, with_networks
from vaecourse.models import VAE


class Probe:
    """A model whose networks say what they are told, on a few images."""

    def __init__(self, vae: VAE, x: tf.Tensor, y: tf.Tensor | None) -> None:
        self.vae, self.x, self.y, self.d = vae, x, y, vae.latent_dim
        self.flows = type(vae).sample_and_log_q is not VAE.sample_and_log_q
        self.black = np.zeros((1, *vae.image_shape), np.float32)

    def images(self, which: Any) -> tuple[tf.Tensor, tf.Tensor | None]:
        return tf.gather(self.x, which), None if self.y is None else tf.gather(self.y, which)

    def __call__(
        self, x: tf.Tensor, y: tf.Tensor | None, mean: Any, second: Any, output: np.ndarray, eps: Any
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """Return the loss, the z that the decoder is handed, and the images that the encoder is."""
        mean, second, eps = (tf.cast(part, self.vae.variable_dtype) for part in (mean, second, eps))
        encoder = StandIn(self.vae.encoder, tf.concat([mean, second], axis=-1))
        decoder = StandIn(self.vae.decoder, output)
        probed = with_networks(self.vae, encoder=encoder, decoder=decoder)
        probed.__dict__["posterior_parameters"] = lambda *_, **__: (mean, second)
        noise = tf.broadcast_to(eps, self.vae.noise(len(x), 0).shape)
        loss = np.asarray(loss_of(probed, x, y, noise)).astype(float)
        handed = [given[: len(x), : self.d].numpy().astype(float) for given in decoder.asked]
        drawn = max(handed, key=lambda z: np.abs(z - mean).mean(), default=np.full(mean.shape, np.nan))
        return loss, drawn, encoder.given  # a loss may decode the mean of z as well

    def at(self, mean: Any, second: Any, eps: Any, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return loss and z of many posteriors of one image, whose decoder says one and the same."""
        x, y = self.images(np.full(len(mean), first))
        return self(x, y, mean, second, np.broadcast_to(self.black, (len(mean), *self.black.shape[1:])), eps)[:2]

    def both(self, mean: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the loss, or losses, at noise of ±1, over which a sampled KL is exact, and mean and std of z."""
        n = len(mean)
        eps = np.concatenate([np.ones_like(mean), -np.ones_like(mean)])
        loss, z = self.at(np.tile(mean, (2, 1)), np.tile(second, (2, 1)), eps)
        loss = (loss[:n] + loss[n:]) / 2 if loss.ndim else loss
        return loss, (z[:n] + z[n:]) / 2, np.abs(z[:n] - z[n:]) / 2

    def compiled(self) -> Callable[[np.ndarray, np.ndarray], float]:
        """Return the mean loss as a function of mean and second half, compiled where the loss can be."""

        def loss(mean: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
            eps = tf.concat([tf.ones_like(mean), -tf.ones_like(mean)], axis=0)
            mean, second = tf.tile(mean, (2, 1)), tf.tile(second, (2, 1))
            encoder = StandIn(self.vae.encoder, tf.concat([mean, second], axis=-1))
            probed = with_networks(self.vae, encoder=encoder, decoder=StandIn(self.vae.decoder, self.black))
            probed.__dict__["posterior_parameters"] = lambda *_, **__: (mean, second)
            x, y = self.images(np.zeros(4, int))
            return tf.reduce_mean(loss_of(probed, x, y, tf.broadcast_to(eps, self.vae.noise(4, 0).shape)))

        spec = tf.TensorSpec((2, self.d), self.vae.variable_dtype)
        graph = tf.function(loss, autograph=False, input_signature=[spec, spec])
        try:
            graph.get_concrete_function()
        except Exception:  # a loss that goes through NumPy cannot be compiled, and can be asked all the same
            return lambda mean, second: float(np.mean(self.both(mean, second)[0]))
        return lambda mean, second: float(
            graph(mean.astype(self.vae.variable_dtype), second.astype(self.vae.variable_dtype))
        )


def loss_of(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, eps: tf.Tensor) -> tf.Tensor:
    """Return what `fit` minimizes, but for the penalties of regularizers."""
    return next(iter(vae.objective(x, y, eps).values()))
