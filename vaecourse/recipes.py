"""The sources as data: what each trains, how long, and the number it should reach.

A recipe names parts that the other modules provide; a further source is a further entry, not further code.  What a
trained recipe must reach is a band, reference ± tolerance, for each of the three modes of
:class:`vaecourse.training.Budget`: the full one is the course's claim, the quick ones catch breakage in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from vaecourse import data, likelihoods, models, networks, training


@dataclass(frozen=True)
class Band:
    """Where a measured value must lie: `reference` ± `tolerance`."""

    reference: float
    tolerance: float

    def check(self, value: float) -> None:
        """Raise `AssertionError` if the value is not finite or lies outside."""
        if not abs(value - self.reference) <= self.tolerance:
            raise AssertionError(f"measured {value:.2f}; expected {self}")

    def __str__(self) -> str:
        return f"{self.reference:g} ± {self.tolerance:g}"


@dataclass(frozen=True)
class Run:
    """One training: epochs, images, and the band of the test ELBO in nats."""

    epochs: int
    train_images: int
    test_images: int
    elbo: Band


@dataclass(frozen=True)
class Recipe:
    """A source's model, or an improved one, with everything needed to repeat it.

    Attributes
    ----------
    source : str
        Key of the bibliography.
    network : str
        A builder in :mod:`vaecourse.networks`.
    network_options : mapping
    pixels : {"thresholded", "grays"}
        What is made of the images.
    likelihood : Likelihood configuration: name and options.
    kl, beta : see :class:`vaecourse.models.VAE`
    batch_size : int
    learning_rate : float
        Of Adam; the peak where a schedule is named.
    schedule : {"constant", "cosine"}
    warmup : float
        Share of the steps in which the learning rate climbs to its peak.
    published : float, optional
        Test ELBO that the source reports, in nats.
    runs : mapping from mode to Run
    """

    source: str
    network: str
    pixels: str
    batch_size: int
    learning_rate: float
    runs: Mapping[str, Run]
    network_options: Mapping = field(default_factory=dict)
    likelihood: str = "bernoulli"
    likelihood_options: Mapping = field(default_factory=dict)
    kl: str = "analytic"
    beta: float = 1.0
    schedule: str = "constant"
    warmup: float = 0.0
    published: float | None = None

    def run(self, budget: training.Budget) -> Run:
        """Return the training that a budget allows."""
        return self.runs[budget.mode]

    def images(self, budget: training.Budget) -> tuple[np.ndarray, np.ndarray]:
        """Return training and test images, prepared as the recipe wants them and as many as the budget allows."""
        run = self.run(budget)
        prepare = {"thresholded": data.binarize, "grays": np.asarray}[self.pixels]
        train = data.scale(budget.images.train_images[: run.train_images])
        test = data.scale(budget.images.test_images[: run.test_images])
        return prepare(train), prepare(test)

    def steps(self, budget: training.Budget) -> int:
        """Return the optimizer steps of the whole training."""
        run = self.run(budget)
        return run.epochs * -(-run.train_images // self.batch_size)

    def networks(self, seed: int = 0) -> tuple[keras.Model, keras.Model]:
        """Build encoder and decoder, with initial weights of this seed."""
        return getattr(networks, self.network)(**self.network_options, seed=seed)

    def optimizer(self, budget: training.Budget) -> keras.optimizers.Optimizer:
        """Build the optimizer; a schedule spans the steps of the budget."""
        rate = self.learning_rate
        if self.schedule == "cosine":
            rate = training.cosine_decay(rate, self.steps(budget), self.warmup)
        return keras.optimizers.Adam(rate)

    def build(self, budget: training.Budget, seed: int = 0) -> models.VAE:
        """Build and compile the model, ready for `fit`."""
        likelihood = likelihoods.get(self.likelihood, **self.likelihood_options)
        vae = models.VAE(*self.networks(seed), likelihood, kl=self.kl, beta=self.beta, seed=seed)
        vae.compile(self.optimizer(budget))
        return vae


RECIPES = {
    "tf-cvae": Recipe(
        source="tfcvae",
        network="convolutional",
        network_options={"latent_dim": 2, "filters": (32, 64)},
        pixels="thresholded",
        kl="monte_carlo",
        batch_size=32,
        learning_rate=1e-4,
        published=-157.02,
        runs={
            "mnist/full": Run(10, 60_000, 10_000, Band(-157.0, 2.5)),
            "mnist/quick": Run(1, 10_000, 2_000, Band(-225.0, 15.0)),
            "digits/quick": Run(8, 1_500, 297, Band(-314.0, 10.0)),
        },
    ),
    "tf-cvae-improved": Recipe(
        source="tfcvae",
        network="convolutional",
        network_options={"latent_dim": 2, "filters": (32, 64)},
        pixels="thresholded",
        batch_size=32,
        learning_rate=3e-3,
        schedule="cosine",
        warmup=0.1,
        runs={
            "mnist/full": Run(10, 60_000, 10_000, Band(-148.0, 2.0)),
            "mnist/quick": Run(1, 10_000, 2_000, Band(-180.0, 6.0)),
            "digits/quick": Run(8, 1_500, 297, Band(-240.0, 15.0)),
        },
    ),
}


def get(name: str) -> Recipe:
    """Return a recipe by name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
