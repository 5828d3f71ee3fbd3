r"""Priors that are learned: a mixture of normal distributions, one of approximate posteriors, and a flow.

What a prior can win is known before one is built.  Averaged over images,

.. math:: \mathrm{KL}(q(z|x) \| p(z)) = I(x; z) + \mathrm{KL}(q(z) \| p(z)),

where q(z), the aggregate posterior, is the mean of q(z|x) over images :cite:p:`hoffman2016`.  The prior stands in the
second term alone, which is zero where p(z) = q(z).
"""

from numbers import Integral
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.data import amounts
from vaecourse.models import likelihoods
from vaecourse.models.flows import CouplingFlow

tfd = tfp.distributions


class Prior(keras.layers.Layer):
    """A distribution of latents with weights of its own.

    Parameters
    ----------
    latent_dim : int
        d.

    Raises
    ------
    ValueError
        If there is no latent.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        _at_least_one(latent_dim=latent_dim)
        self.latent_dim: int = latent_dim
        self.built = True  # the weights are created at once: Keras would else expect them at the first call

    def distribution(
        self, encoder: keras.Model | None = None, training: bool = False
    ) -> tfp.distributions.Distribution:
        """Return p(z), whose events are latents `(d,)`.

        Parameters
        ----------
        encoder : keras.Model, optional
            That of the model whose prior it is.
        training : bool
            Mode in which the encoder is called, if it is.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class MixturePrior(Prior):
    r"""Mixture of normal distributions: p(z) = Σ_k π_k N(z; m_k, diag s_k²), with π, m and s learned.

    One component begins as N(0, I).  Several begin with equal weights, unit variances and means drawn from N(0, I).

    Parameters
    ----------
    latent_dim : int
        d.
    components : int
    seed : int
        Of the initial means.

    Raises
    ------
    ValueError
        If there is no latent or no component.
    """

    def __init__(self, latent_dim: int, components: int = 50, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        _at_least_one(components=components)
        self.components: int = components
        self.seed: int = seed
        shape = (components, latent_dim)
        drawn = np.random.default_rng(seed).normal(size=shape) if components > 1 else np.zeros(shape)
        self.means = self.add_weight(name="means", shape=shape, initializer="zeros")
        self.logvars = self.add_weight(name="logvars", shape=shape, initializer="zeros")
        self.logits = self.add_weight(name="logits", shape=(components,), initializer="zeros")
        self.means.assign(drawn)

    def distribution(
        self, encoder: keras.Model | None = None, training: bool = False
    ) -> tfp.distributions.Distribution:
        """Return the mixture; the encoder has no part in it."""
        means, logvars, logits = (tf.convert_to_tensor(part) for part in (self.means, self.logvars, self.logits))
        normals = tfd.MultivariateNormalDiag(means, tf.exp(0.5 * logvars))
        return tfd.MixtureSameFamily(tfd.Categorical(logits), normals)

    def get_config(self) -> dict[str, Any]:
        return _configured(super().get_config(), self, "latent_dim", "components", "seed")


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class VampPrior(Prior):
    r"""Mixture of approximate posteriors, p(z) = (1/K) Σ_k q(z|u_k), at learned images u_k :cite:p:`tomczak2018`.

    If the u_k were all images of the data, p(z) would be the aggregate posterior q(z), the best of all priors for this
    encoder, and would overfit.  A few of them that are learned, the *pseudo-inputs*, do nearly as well.

    Parameters
    ----------
    latent_dim : int
        d.
    image_shape : (height, width, channels)
    components : int
        K.
    seed : int
        Of the initial pseudo-inputs, whose pixels begin near ½: sigmoids of small noise.  See :meth:`start_at`.

    Raises
    ------
    ValueError
        If there is no latent or no pseudo-input, or the shape is not one of images.

    Notes
    -----
    Pixels are sigmoids of the weights, and so always grays.
    """

    def __init__(
        self, latent_dim: int, image_shape: tuple[int, int, int], components: int = 50, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(latent_dim, **kwargs)
        _at_least_one(components=components)
        self.image_shape: tuple[int, ...] = amounts.image_shape(image_shape)
        self.components: int = components
        self.seed: int = seed
        shape = (components, *image_shape)
        self.pixels = self.add_weight(name="pixels", shape=shape, initializer="zeros")
        self.pixels.assign(0.1 * np.random.default_rng(seed).normal(size=shape))

    @property
    def pseudo_inputs(self) -> tf.Tensor:
        """The images u_k as they stand, `(components, height, width, channels)`."""
        return tf.sigmoid(tf.convert_to_tensor(self.pixels))

    def start_at(self, images: np.ndarray) -> None:
        """Let the pseudo-inputs begin at images of the data, a tenth of gray mixed in: near 0 and 1 a sigmoid is flat.

        Parameters
        ----------
        images : array `(components, height, width, channels)`
            Grays in [0, 1].

        Raises
        ------
        ValueError
            If there are not as many images as pseudo-inputs, or they are no grays.
        """
        images = np.asarray(images, np.float64)
        expected = (self.components, *self.image_shape)
        if images.shape != expected or not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(f"expected images {expected} in [0, 1], one for each pseudo-input, got {images.shape}")
        mixed = 0.9 * images + 0.05
        self.pixels.assign(np.log(mixed) - np.log1p(-mixed))

    def distribution(
        self, encoder: keras.Model | None = None, training: bool = False
    ) -> tfp.distributions.Distribution:
        """Return the mixture of what the encoder makes of the pseudo-inputs."""
        if encoder is None:
            raise ValueError("a VampPrior is made of approximate posteriors: expected the encoder of its model")
        output = tf.cast(encoder(self.pseudo_inputs, training=training), self.variable_dtype)
        mean, logvar = tf.split(output, 2, axis=-1)
        normals = tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))
        return tfd.MixtureSameFamily(tfd.Categorical(tf.zeros(self.components, mean.dtype)), normals)

    def get_config(self) -> dict[str, Any]:
        return _configured(super().get_config(), self, "latent_dim", "image_shape", "components", "seed")


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class FlowPrior(Prior):
    r"""Normal noise that a flow has moved: z = f(ε), log p(z) = log N(ε; 0, I) − ln \|det ∂f/∂ε\|, ε = f⁻¹(z).

    The flow is a :class:`~vaecourse.models.CouplingFlow` whose context is always zero: one flow, not one for each
    image.  It begins as the identity, and p(z) as N(0, I).

    Parameters
    ----------
    latent_dim : int
        d, at least 2.
    steps : int
        With 0 the prior is N(0, I) and has no weights.
    hidden : int
        Width of the hidden layer of each step's network.
    seed : int
        Of the initial weights.

    Raises
    ------
    ValueError
        As for :class:`~vaecourse.models.CouplingFlow`.
    """

    def __init__(self, latent_dim: int, steps: int = 6, hidden: int = 64, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        self.flow = CouplingFlow(latent_dim, steps, hidden, seed)
        self.flow.built = True  # it is asked for its bijector, and never called
        self.steps: int = steps
        self.hidden: int = hidden
        self.seed: int = seed

    def distribution(
        self, encoder: keras.Model | None = None, training: bool = False
    ) -> tfp.distributions.Distribution:
        """Return the distribution of the moved noise; the encoder has no part in it."""
        zeros = tf.zeros(self.latent_dim, self.variable_dtype)
        noise = tfd.MultivariateNormalDiag(zeros, tf.ones_like(zeros))
        return tfd.TransformedDistribution(noise, self.flow.bijector(tf.concat([zeros, zeros], 0)))

    def get_config(self) -> dict[str, Any]:
        return _configured(super().get_config(), self, "latent_dim", "steps", "hidden", "seed")


def _configured(config: dict[str, Any], layer: keras.layers.Layer, *names: str) -> dict[str, Any]:
    return {**config, **{name: getattr(layer, name) for name in names}}


def _at_least_one(**numbers: Any) -> None:
    for name, number in numbers.items():
        if not isinstance(number, Integral) or int(number) < 1:
            raise ValueError(f"expected an integer {name} ≥ 1, got {number!r}")
