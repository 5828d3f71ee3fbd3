"""A recipe: everything that is needed to repeat what a source trains, and the bands of what it must reach.

There is a band, reference ± tolerance, for each of the three modes of a :class:`~vaecourse.course.Budget`.  The band of
the full mode is the course's claim; those of the quick modes catch breakage in seconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import keras
import numpy as np

from vaecourse import data, training
from vaecourse.course.budget import Budget
from vaecourse.data.names import known
from vaecourse.models import VAE, likelihoods, networks

_PIXELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"thresholded": data.binarize, "grays": np.asarray}

_SCHEDULES: dict[str, Callable] = {"cosine": training.cosine_decay, "linear": training.LinearDecay}


@dataclass(frozen=True)
class Band:
    """Where a measured value must lie: `reference` ± `tolerance`."""

    reference: float
    tolerance: float

    def check(self, value: float) -> None:
        """Check a measured value.

        Raises
        ------
        AssertionError
            If the value is not finite, or lies outside of the band.
        """
        if not abs(value - self.reference) <= self.tolerance:
            raise AssertionError(f"measured {value:.2f}; expected {self}")

    def __str__(self) -> str:
        return f"{self.reference:g} ± {self.tolerance:g}"


@dataclass(frozen=True)
class Run:
    """One training: epochs, images, and the bands of what it must reach.

    Attributes
    ----------
    epochs : int
    train_images, test_images : int
    elbo : Band
        Of the test ELBO in nats; for a recipe whose objective is no ELBO, of the metric `vae_loss`, negated.
    claims : mapping from a name to a Band
        What else the chapter of the recipe measures.
    first : int
        The training image to begin with: the loader of TensorFlow 1 sets 5,000 aside.
    """

    epochs: int
    train_images: int
    test_images: int
    elbo: Band
    claims: Mapping[str, Band] = field(default_factory=dict)
    first: int = 0


@dataclass(frozen=True)
class Recipe:
    """A source's model, or an improved one, with everything needed to repeat it.

    Attributes
    ----------
    source : str
        Key of the bibliography.
    claim : str
        What the source reports, in words; empty for a recipe that is no source's.
    improves : str
        The recipe that this one does better; empty for a source's.
    network : str
        Name of a function in :mod:`vaecourse.models.networks`, which builds the networks.
    network_options : mapping
        What that function is called with.
    model : str
        Name of the model's class, as it is registered with Keras for this package.
    pixels : {"thresholded", "grays"}
        What is made of the images.
    likelihood, likelihood_options : str, mapping
        As for :func:`vaecourse.models.likelihoods.get`.
    kl, beta : str, float
        As for :class:`~vaecourse.models.VAE`.
    model_options : mapping
        Further options of the model.
    batch_size : int
    learning_rate, beta_2, epsilon : float
        Of Adam.  Where a schedule is named the learning rate is its peak; ε is 10⁻⁷ in Keras, 10⁻⁸ in TensorFlow 1.
    schedule : {"constant", "cosine", "linear"}
        How the learning rate falls.
    warmup : float
        Share of the steps in which the learning rate climbs to its peak before.
    published : float, optional
        Test ELBO that the source reports, in nats.
    chapter : str
        The chapter that trains it in full.
    runs : mapping from mode to Run
    """

    source: str
    chapter: str
    network: str
    pixels: str
    batch_size: int
    learning_rate: float
    runs: Mapping[str, Run]
    claim: str = ""
    improves: str = ""
    model: str = "VAE"
    model_options: Mapping = field(default_factory=dict)
    network_options: Mapping = field(default_factory=dict)
    likelihood: str = "bernoulli"
    likelihood_options: Mapping = field(default_factory=dict)
    kl: str = "analytic"
    beta: float = 1.0
    schedule: str = "constant"
    warmup: float = 0.0
    beta_2: float = 0.999
    epsilon: float = 1e-7
    published: float | None = None

    def run(self, budget: Budget) -> Run:
        """Return the training that a budget allows."""
        return self.runs[budget.mode]

    def images(self, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
        """Return training and test images, prepared as the recipe wants them and as many as the budget allows."""
        prepare = _PIXELS[known(self.pixels, _PIXELS, "preparation of pixels")]
        train, test = self._chosen(budget, budget.images.train_images, budget.images.test_images)
        return prepare(data.scale(train)), prepare(data.scale(test))

    def labels(self, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
        """Return the digits of the images that :meth:`images` returns."""
        return self._chosen(budget, budget.images.train_labels, budget.images.test_labels)

    def steps(self, budget: Budget) -> int:
        """Return the optimizer steps of the whole training."""
        run = self.run(budget)
        return run.epochs * -(-run.train_images // self.batch_size)

    def networks(self, seed: int = 0) -> tuple[keras.Model, ...]:
        """Build encoder, decoder and, where the model has one, classifier, with initial weights of this seed."""
        return getattr(networks, self.network)(**self.network_options, seed=seed)

    def lasting(self, epochs: int) -> "Recipe":
        """Return this recipe with other lengths of its runs; a schedule spans them."""
        return replace(self, runs={mode: replace(run, epochs=epochs) for mode, run in self.runs.items()})

    def optimizer(self, budget: Budget) -> keras.optimizers.Optimizer:
        """Build the optimizer; a schedule spans the steps of the budget."""
        rate = self.learning_rate
        if self.schedule != "constant":
            decay = _SCHEDULES[known(self.schedule, _SCHEDULES, "schedule")]
            rate = decay(rate, self.steps(budget), self.warmup)
        return training.Adam(rate, beta_2=self.beta_2, epsilon=self.epsilon)

    def build(self, budget: Budget, seed: int = 0) -> VAE:
        """Build and compile the model, ready for `fit`."""
        likelihood = likelihoods.get(self.likelihood, **self.likelihood_options)
        options = {"kl": self.kl, "beta": self.beta, **self.model_options}
        model = keras.saving.get_registered_object(f"{likelihoods.PACKAGE}>{self.model}")
        vae = model(*self.networks(seed), likelihood, seed=seed, **options)
        vae.compile(self.optimizer(budget))
        return vae

    def _chosen(self, budget: Budget, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        run = self.run(budget)
        return train[run.first : run.first + run.train_images], test[: run.test_images]
