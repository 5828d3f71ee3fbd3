"""A VAE without networks, on which everything is known: the oracle of the course and of its tests."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.data import amounts
from vaecourse.models import objectives

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
        amounts.count(pixels, "pixel"), amounts.count(latent_dim, "latent"), amounts.amount(sigma, "sigma", 0)
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
        x = amounts.reals(x, "images") if isinstance(x, np.ndarray) else np.asarray(x)
        if x.shape[-1:] != self.bias.shape or not np.isfinite(x).all():
            raise ValueError(f"expected finite numbers (batch, {len(self.bias)}), got {x.shape}, or NaN or inf")
        covariance = self.weights @ self.weights.T + self.sigma**2 * np.eye(len(self.bias))
        return tfd.MultivariateNormalTriL(self.bias, np.linalg.cholesky(covariance)).log_prob(x)

    def posterior(self, x: np.ndarray) -> tfp.distributions.MultivariateNormalTriL:
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

    def log_joint(self, x: np.ndarray, z: np.ndarray) -> tf.Tensor:
        """Log p(x, z) for `z` `(..., batch, d)`; less log q(z), it is an importance weight of whatever q there is."""
        prior = tfd.MultivariateNormalDiag(tf.zeros(self.weights.shape[1], tf.float64))
        return self.log_likelihood(x, z) + prior.log_prob(z)

    def wide_posterior(self, x: np.ndarray, inflation: float = 1.2) -> tfp.distributions.MultivariateNormalTriL:
        """Return the exact posterior, its covariance multiplied by `inflation`.

        As a proposal, its importance weights have a finite variance where the inflation is above ½.
        """
        if not inflation > 0:
            raise ValueError(f"expected a positive inflation, got {inflation!r}")
        exact = self.posterior(x)
        return tfd.MultivariateNormalTriL(exact.mean(), np.sqrt(inflation) * exact.scale_tril)

    def weight_second_moment(self, covariance: np.ndarray) -> float:
        r"""E_q[(w/p(x))²] of the weights w = p(x, z)/q(z), where q has the posterior's mean and this covariance C.

        With the posterior's covariance S it is (det C / det(2 S⁻¹ − C⁻¹))^½ / det S, the same for every x, or infinite
        where 2 S⁻¹ − C⁻¹ is not positive definite: q then falls off too fast somewhere.  For C = c S it is
        (c²/(2c − 1))^(d/2).

        Parameters
        ----------
        covariance : array `(d, d)`
        """
        posterior = self.posterior_covariance
        difference = 2 * np.linalg.inv(posterior) - np.linalg.inv(covariance)
        if np.linalg.eigvalsh(difference).min() <= 0:
            return np.inf
        logs = [np.linalg.slogdet(matrix).logabsdet for matrix in (covariance, posterior, difference)]
        return float(np.exp(0.5 * logs[0] - logs[1] - 0.5 * logs[2]))
