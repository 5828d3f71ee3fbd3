"""Models broken on purpose, each by one slip, which a diagnosis must name.

Every specimen is the same small VAE but for its slip, and :data:`SOUND` is that VAE without one.  The slips are those
of programs that people wrote.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers

from vaecourse import data
from vaecourse._start import quiet_native_log
from vaecourse.course.slips import MiscountedVAE, MisreadVAE, SlippedVAE, UncheckedBernoulli
from vaecourse.data.names import known
from vaecourse.models import VAE, likelihoods, networks

LATENT_DIM = 4

HIDDEN = (128,)

BATCH_SIZE = 32


@dataclass(frozen=True)
class Specimen:
    """A model with a slip, and what a diagnosis must say about it.

    Attributes
    ----------
    slip : str
        What was done, in a sentence.
    accepted : frozenset of str
        Names of findings of :func:`vaecourse.clinic.diagnose`, of which the report must contain at least one.
    model : type
        :class:`~vaecourse.models.VAE` or a subclass.
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
        return None


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
    return SPECIMENS[known(name, SPECIMENS, "specimen")]
