"""Networks for two levels of latents, and a case of them on which everything is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from vaecourse.data import IMAGE_SHAPE
from vaecourse.models import likelihoods, networks

tfd = tfp.distributions


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class LastLatents(layers.Layer):
    """The latents after the first `skipped`: what a decoder looks at that knows z₂ by z₁ alone."""

    def __init__(self, skipped: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if skipped < 1:
            raise ValueError(f"expected skipped ≥ 1, got {skipped!r}")
        self.skipped: int = skipped

    def call(self, z: tf.Tensor) -> tf.Tensor:
        return z[:, self.skipped :]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "skipped": self.skipped}


def two_level_mlp(
    top: int = 5,
    bottom: int = 20,
    hidden: Sequence[int] = (200, 200),
    activation: str = "relu",
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    seed: int = 0,
) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Build encoder, decoder and prior of a :class:`TwoLevelVAE` from perceptrons.

    Parameters
    ----------
    top, bottom : int
        How many latents z₂ and z₁ have.
    hidden : sequence of int
        Widths of the hidden layers of encoder and decoder; the prior has one, as wide as the last.
    activation : str
    image_shape : (height, width, channels)
    seed : int
        The initial weights are a function of it.

    Returns
    -------
    encoder, decoder, prior : keras.Model
        The decoder sees z₁ alone.  The prior begins as N(0, I), whatever z₂ is.
    """
    if min(top, bottom) < 1:
        raise ValueError(f"expected at least one latent on both levels, got top={top} and bottom={bottom}")
    encoder, _ = networks.mlp(top + bottom, hidden, activation, image_shape, seed)
    _, decode = networks.mlp(bottom, hidden, activation, image_shape, seed)
    decoder = keras.Sequential([keras.Input((top + bottom,)), LastLatents(top), decode], name="decoder")
    glorot = keras.initializers.GlorotUniform(1000 * seed + 700)
    prior = keras.Sequential(
        [
            keras.Input((top,)),
            layers.Dense(hidden[-1], activation, kernel_initializer=glorot),
            layers.Dense(2 * bottom, kernel_initializer="zeros"),
        ],
        name="prior",
    )
    return encoder, decoder, prior


@dataclass(frozen=True)
class LinearTwoLevel:
    r"""Two linear levels: p(z₂) = N(0, I), p(z₁|z₂) = N(A z₂, τ² I), p(x|z₁) = N(W z₁ + b, σ² I).

    Then p(x) = N(b, W (A Aᵀ + τ² I) Wᵀ + σ² I), and the true posterior of (z₂, z₁) is normal.  Where the columns of W
    are orthogonal, p(z₁|x, z₂) is a diagonal normal distribution: the prior times N((x − b)·w_j/w_j², σ²/w_j²) for each
    column w_j, which is just what :class:`~vaecourse.models.TwoLevelVAE` infers.  All results are float64, in nats.

    Attributes
    ----------
    weights : array `(pixels, d₁)`
        W.
    bias : array `(pixels,)`
        b.
    top_weights : array `(d₁, d₂)`
        A.
    sigma, tau : float
    """

    weights: np.ndarray
    bias: np.ndarray
    top_weights: np.ndarray
    sigma: float
    tau: float

    @classmethod
    def random(
        cls, pixels: int, bottom: int, top: int, sigma: float = 0.5, tau: float = 0.7, seed: int = 0
    ) -> "LinearTwoLevel":
        """Draw weights and a bias; the columns of W are orthogonal, with lengths between 1 and 2."""
        rng = np.random.default_rng(seed)
        columns = np.linalg.qr(rng.normal(size=(pixels, bottom)))[0] * rng.uniform(1, 2, bottom)
        return cls(columns, rng.uniform(size=pixels), rng.normal(size=(bottom, top)), sigma, tau)

    @property
    def _joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Covariance of (z₂, z₁), and the map from it to the mean of x."""
        down, top = self.top_weights, self.top_weights.shape[1]
        low = down @ down.T + self.tau**2 * np.eye(len(down))
        covariance = np.block([[np.eye(top), down.T], [down, low]])
        return covariance, np.hstack([np.zeros((len(self.bias), top)), self.weights])

    def log_prob(self, x: np.ndarray) -> tf.Tensor:
        """Exact log p(x) of `x` `(batch, pixels)`."""
        covariance, to_x = self._joint
        of_x = to_x @ covariance @ to_x.T + self.sigma**2 * np.eye(len(self.bias))
        return tfd.MultivariateNormalTriL(self.bias, np.linalg.cholesky(of_x)).log_prob(x)

    def posterior(self, x: np.ndarray) -> tfp.distributions.MultivariateNormalTriL:
        """Exact p(z₂, z₁|x)."""
        covariance, to_x = self._joint
        spread = np.linalg.inv(np.linalg.inv(covariance) + to_x.T @ to_x / self.sigma**2)
        return tfd.MultivariateNormalTriL((x - self.bias) @ to_x @ spread / self.sigma**2, np.linalg.cholesky(spread))

    def networks(self) -> tuple[keras.Model, keras.Model, keras.Model]:
        """Return encoder, decoder and prior for images `(pixels, 1, 1)` and a Gaussian likelihood with a linear mean.

        The encoder says of z₁ what the image says, by the formula above, and of z₂ mean and variances of p(z₂|x).
        With one z₂ and orthogonal columns the approximate posterior is therefore the true one.
        """
        pixels, bottom = self.weights.shape
        top = self.top_weights.shape[1]
        gain = self.weights / (self.weights**2).sum(axis=0)
        spread = np.asarray(self.posterior(self.bias).covariance())[:top, :top]
        covariance, to_x = self._joint
        whole = np.linalg.inv(np.linalg.inv(covariance) + to_x.T @ to_x / self.sigma**2)
        to_top = (to_x @ whole)[:, :top] / self.sigma**2
        means = np.hstack([to_top, gain])
        logvars = np.log(np.concatenate([np.diag(spread), self.sigma**2 / (self.weights**2).sum(axis=0)]))
        kernel = np.hstack([means, np.zeros_like(means)])
        encoder = _linear((pixels, 1, 1), kernel, np.concatenate([-self.bias @ means, logvars]))
        to_image = np.vstack([np.zeros((top, pixels)), self.weights.T])
        decoder = _linear((top + bottom,), to_image, self.bias, (pixels, 1, 1))
        down = np.hstack([self.top_weights.T, np.zeros((top, bottom))])
        constants = np.concatenate([np.zeros(bottom), np.full(bottom, 2 * np.log(self.tau))])
        return encoder, decoder, _linear((top,), down, constants)


def _linear(
    shape: tuple[int, ...], kernel: np.ndarray, bias: np.ndarray, image_shape: tuple[int, ...] | None = None
) -> keras.Model:
    reshaped = [layers.Reshape(image_shape)] if image_shape else []
    network = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(len(bias)), *reshaped])
    network.set_weights([kernel, bias])
    return network
