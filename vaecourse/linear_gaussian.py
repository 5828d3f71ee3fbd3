"""A VAE without networks, on which everything is known: the oracle of the course and of its tests."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import objectives

tfd = tfp.distributions


@dataclass(frozen=True)
class LinearGaussian:
    r"""Probabilistic PCA :cite:p:`tipping1999`: p(z) = N(0, I), p(x|z) = N(`weights` z + `bias`, σ² I).

    Everything that a VAE bounds or estimates has a closed form here: p(x) = N(b, W Wᵀ + σ² I), and the posterior is
    N(S Wᵀ (x − b)/σ², S) with S = (I + Wᵀ W/σ²)⁻¹.  All results are float64, in nats.

    Attributes
    ----------
    weights : array `(pixels, d)`
    bias : array `(pixels,)`
    sigma : float
    """

    weights: np.ndarray
    bias: np.ndarray
    sigma: float

    @classmethod
    def random(cls, pixels: int, latent_dim: int, sigma: float = 0.5, seed: int = 0) -> "LinearGaussian":
        """Draw weights ~ N(0, 1/d) and a bias ~ N(0, 1) from a seed."""
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(pixels, latent_dim)) / np.sqrt(latent_dim)
        return cls(weights, rng.normal(size=pixels), sigma)

    @property
    def posterior_covariance(self) -> np.ndarray:
        """S, the same for every x: `(d, d)`."""
        return np.linalg.inv(np.eye(self.weights.shape[1]) + self.weights.T @ self.weights / self.sigma**2)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draw `x` `(n, pixels)` from p(x)."""
        rng = np.random.default_rng((seed, n))
        z = rng.normal(size=(n, self.weights.shape[1]))
        return z @ self.weights.T + self.bias + self.sigma * rng.normal(size=(n, len(self.bias)))

    def log_prob(self, x: np.ndarray) -> tf.Tensor:
        """Exact log p(x), `(batch,)`."""
        covariance = self.weights @ self.weights.T + self.sigma**2 * np.eye(len(self.bias))
        return tfd.MultivariateNormalTriL(self.bias, np.linalg.cholesky(covariance)).log_prob(x)

    def posterior(self, x: np.ndarray) -> tfd.MultivariateNormalTriL:
        """Exact p(z|x)."""
        covariance = self.posterior_covariance
        mean = (x - self.bias) @ self.weights @ covariance / self.sigma**2
        return tfd.MultivariateNormalTriL(mean, np.linalg.cholesky(covariance))

    def mean_field_posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and log-variance of the diagonal q that is closest to the posterior in KL(q ‖ posterior).

        Its mean is the posterior's; its variances are the inverses of the diagonal of the posterior's *precision*.
        """
        mean = self.posterior(x).mean().numpy()
        precision = 1 + (self.weights**2).sum(axis=0) / self.sigma**2
        return mean, np.broadcast_to(-np.log(precision), mean.shape)

    def log_likelihood(self, x: np.ndarray, z: np.ndarray) -> tf.Tensor:
        """Log p(x|z) for `z` `(..., batch, d)`."""
        pixels = tfd.Normal(tf.linalg.matvec(self.weights, z) + self.bias, tf.constant(self.sigma, tf.float64))
        return tf.reduce_sum(pixels.log_prob(x), axis=-1)

    def elbo(self, x: np.ndarray, mean: np.ndarray, logvar: np.ndarray) -> tf.Tensor:
        """Exact ELBO of q = N(mean, diag exp(logvar)): the expectation over z is taken in closed form."""
        spread = tf.reduce_sum(tf.exp(logvar) * (self.weights**2).sum(axis=0), axis=-1) / (2 * self.sigma**2)
        return self.log_likelihood(x, mean) - spread - objectives.analytic_kl(mean, logvar)

    def gap(self, x: np.ndarray, mean: np.ndarray, logvar: np.ndarray) -> tf.Tensor:
        """KL(q ‖ posterior): what the ELBO of q lacks to log p(x)."""
        q = tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * tf.convert_to_tensor(logvar)))
        return tfd.kl_divergence(q, self.posterior(x))

    def log_weights(self, x: np.ndarray, mean: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> tf.Tensor:
        """Log p(x, z)/q(z|x) at z = mean + exp(½ logvar) · eps, `(samples, batch)`."""
        z = objectives.reparameterize(mean, logvar, eps)
        return self.log_likelihood(x, z) - objectives.monte_carlo_kl(mean, logvar, eps)
