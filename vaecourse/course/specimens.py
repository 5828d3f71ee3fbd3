"""Models broken on purpose, each by one slip: what a diagnosis must name.

Every specimen is the same small VAE but for its slip, and :data:`SOUND` is that VAE without one.  The slips are those
of programs that people wrote; where :class:`~vaecourse.VAE` would refuse one, a small subclass does what a
program without checks does.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers

from vaecourse import data
from vaecourse._start import quiet_native_log
from vaecourse.models import VAE, likelihoods, networks, objectives

LATENT_DIM = 4

HIDDEN = (128,)

BATCH_SIZE = 32

OBJECTIVES: dict[str, Callable] = {
    "kl negated": lambda vae, log_likelihood, kl: -log_likelihood - kl,
    "kl averaged": lambda vae, log_likelihood, kl: -log_likelihood + kl / vae.latent_dim,
    "kl twice": lambda vae, log_likelihood, kl: -log_likelihood + kl + kl,
    "pixels averaged": lambda vae, log_likelihood, kl: -log_likelihood / np.prod(vae.image_shape) + kl,
}
"""Losses per image, each of which should have been minus the ELBO, from its terms in nats."""


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class MiscountedVAE(VAE):
    """VAE that minimizes one of :data:`OBJECTIVES`; its other metrics are right.

    Parameters
    ----------
    encoder, decoder, likelihood, **options
        As for :class:`~vaecourse.VAE`.
    miscount : str
        A key of :data:`OBJECTIVES`.
    """

    _choices = (*VAE._choices, "miscount")

    def __init__(self, encoder, decoder, likelihood="bernoulli", *, miscount="kl negated", **options):
        if miscount not in OBJECTIVES:
            raise ValueError(f"unknown miscount {miscount!r}; there are {', '.join(OBJECTIVES)}")
        super().__init__(encoder, decoder, likelihood, **options)
        self.miscount = miscount

    def objective(self, x, y, eps, training=False):
        right = super().objective(x, y, eps, training)
        return right | {"loss": OBJECTIVES[self.miscount](self, right["log_likelihood"], right["kl"])}


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class SlippedVAE(VAE):
    """A VAE that draws z = mean + exp(logvar) · eps, while its KL reads exp(logvar) as the variance.

    The slip of :cite:t:`theailearner`, and of programs it was taken from.  Its objective is no lower bound, and
    :meth:`encode` and :meth:`log_weights` speak of the posterior that its KL assumes, not of the one it draws from.
    """

    def reparameterize(self, mean, logvar, eps):
        """Return samples whose standard deviation is what the KL takes for the variance."""
        return objectives.reparameterize(mean, 2 * logvar, eps)


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class MisreadVAE(VAE):
    """VAE that draws z = mean + logvar · eps: what its KL reads as ln σ², its sampler reads as σ."""

    def reparameterize(self, mean, logvar, eps):
        """Return samples whose standard deviation is what the KL takes for the log-variance."""
        return mean + logvar * eps


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class UncheckedBernoulli(likelihoods.Bernoulli):
    """Bernoulli likelihood that takes any numbers for pixels, as a bare cross-entropy does."""

    def check(self, images):
        """Refuse nothing."""


@dataclass(frozen=True)
class Specimen:
    """A model with a slip, and what a diagnosis must say about it.

    Attributes
    ----------
    slip : str
        What was done, in a sentence.
    accepted : frozenset of str
        Names of findings of :func:`vaecourse.diagnosis.diagnose`, of which the report must contain at least one.
    model : type
        :class:`~vaecourse.VAE` or a subclass.
    options : mapping
        Of the model.
    likelihood : function that builds the likelihood
    before, after : function that builds a layer, optional
        What the decoder has before its first layer, and after its last.
    scaled : bool
        Whether the pixels are scaled to [0, 1] and thresholded.
    learning_rate : float
        Of Adam.
    diverges : bool
        Whether the training may end in a loss that is not finite.
    """

    slip: str
    accepted: frozenset[str]
    model: type[VAE] = VAE
    options: Mapping = field(default_factory=dict)
    likelihood: Callable[[], likelihoods.Likelihood] = likelihoods.Bernoulli
    before: Callable[[], layers.Layer] | None = None
    after: Callable[[], layers.Layer] | None = None
    scaled: bool = True
    learning_rate: float = 1e-3
    diverges: bool = False

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Return uint8 images `(n, 28, 28)` as the float32 that the specimen is trained on, `(n, 28, 28, 1)`."""
        scaled = data.scale(images)
        return data.binarize(scaled) if self.scaled else np.rint(255 * scaled)

    def build(self, seed: int = 0) -> VAE:
        """Build and compile the model; everything random is a function of the seed."""
        encoder, decoder = networks.mlp(LATENT_DIM, HIDDEN, "relu", seed=seed)
        ends = [[make()] if make else [] for make in (self.before, self.after)]
        decoder = keras.Sequential([keras.Input((LATENT_DIM,)), *ends[0], *decoder.layers, *ends[1]], name="decoder")
        vae = self.model(encoder, decoder, self.likelihood(), seed=seed, **self.options)
        vae.compile(keras.optimizers.Adam(self.learning_rate))
        return vae

    def fit(self, vae: VAE, images: np.ndarray, epochs: int = 1) -> keras.callbacks.History | None:
        """Train; if the specimen may diverge, a loss that is not finite ends the training, and None is returned."""
        if not self.diverges:
            return vae.fit(images, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
        with contextlib.suppress(FloatingPointError), quiet_native_log():  # TensorFlow logs the failure, too
            return vae.fit(images, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)


SOUND = Specimen("Nothing was done: this is the model that the others should have been.", frozenset())

SPECIMENS: dict[str, Specimen] = {
    "kl sign": Specimen(
        "The loss subtracts both the log-likelihood and the KL.",
        frozenset({"kl weight negative"}),
        MiscountedVAE,
        {"miscount": "kl negated"},
        diverges=True,
    ),
    "kl averaged": Specimen(
        "The KL is reduced by a mean, over latents as over the batch.",
        frozenset({"kl weight 1/d"}),
        MiscountedVAE,
        {"miscount": "kl averaged"},
    ),
    "kl twice": Specimen(
        "A layer adds the KL to the loss, and the loss function adds it, too.",
        frozenset({"kl weight doubled"}),
        MiscountedVAE,
        {"miscount": "kl twice"},
    ),
    "logvar as std": Specimen(
        "The noise is multiplied by exp(logvar).",
        frozenset({"sampler and kl disagree"}),
        SlippedVAE,
    ),
    "logvar as sigma": Specimen(
        "The noise is multiplied by the second half of the encoder's output, as it is.",
        frozenset({"sampler and kl disagree"}),
        MisreadVAE,
    ),
    "relu output": Specimen(
        "The decoder's last layer is a rectifier, whose output is taken for a probability.",
        frozenset({"pixels without gradient"}),
        likelihood=lambda: likelihoods.Bernoulli(probability="rectified"),
        after=layers.ReLU,
    ),
    "sigmoid twice": Specimen(
        "The decoder ends in a sigmoid, and the loss expects logits.",
        frozenset({"probabilities confined"}),
        after=lambda: layers.Activation("sigmoid"),
    ),
    "pixels averaged": Specimen(
        "The cross-entropy is reduced as Keras' losses do it, by a mean over the last axes.",
        frozenset({"mean over pixels"}),
        MiscountedVAE,
        {"miscount": "pixels averaged"},
    ),
    "decoder without z": Specimen(
        "The decoder is handed a constant of the right shape, left over from a test.",
        frozenset({"decoder ignores latents"}),
        before=lambda: layers.Rescaling(0.0, offset=1.0),
    ),
    "beta large": Specimen(
        "The weight of the KL was taken over from a project with other images: β = 200.",
        frozenset({"kl weight too large"}),
        options={"beta": 200.0},
    ),
    "beta small": Specimen(
        "The weight of the KL was lowered until the reconstructions looked sharp: β = 0.001.",
        frozenset({"kl weight too small"}),
        options={"beta": 1e-3},
    ),
    "pixels unscaled": Specimen(
        "The images go into the model as they come from the file, and nothing checks them.",
        frozenset({"pixels out of range"}),
        likelihood=UncheckedBernoulli,
        scaled=False,
        diverges=True,
    ),
    "learning rate": Specimen(
        "Adam was given a learning rate of 1.",
        frozenset({"non-finite weights", "non-finite loss"}),
        learning_rate=1.0,
        diverges=True,
    ),
}


def get(name: str) -> Specimen:
    """Return a specimen by name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in SPECIMENS:
        raise ValueError(f"unknown specimen {name!r}; there are {', '.join(SPECIMENS)}")
    return SPECIMENS[name]
