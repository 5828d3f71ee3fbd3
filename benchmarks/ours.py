"""The companion module: `VAE.fit` with everything on."""

import time

import keras

from benchmarks.jobs import Job, prepared
from vaecourse import VAE, course, measures, recipes, training


class Contender:
    """`VAE.fit` as a reader calls it: checks, shuffling, metrics in nats, explicit noise.

    Parameters
    ----------
    job : Job
    policy : str
        Keras' policy for the precision of the layers.
    samples : int
        Samples of z for each image.
    """

    def __init__(self, job: Job, policy: str = "float32", samples: int = 1):
        self.job = job
        keras.config.set_dtype_policy(policy)
        likelihood, kl = ("bernoulli", "monte_carlo") if job.network == "convolutional" else ("gaussian", "analytic")
        self.vae = VAE(*job.build(), likelihood, kl=kl, samples=samples)
        keras.config.set_dtype_policy("float32")
        self.vae.compile(training.Adam(job.learning_rate))

    def loss(self) -> float:
        """Return the loss of the job's first batch, weights and noise, in nats."""
        terms = self.vae.terms(self.job.first_batch(), self.job.noise())
        return float((terms.kl - terms.log_likelihood).numpy().mean())

    def epoch(self) -> None:
        """Train for an epoch."""
        self.vae.fit(self.job.train_images(), batch_size=self.job.batch_size, verbose=0)


class Trainer:
    """Whole trainings by recipe, on all of MNIST."""

    def __init__(self, recipe: str, policy: str = "float32"):
        self.recipe = recipes.get(recipe)
        self.policy = policy
        self.budget = course.chapter_budget()
        self.train_images, self.test_images = self.recipe.images(self.budget)

    def train(self, seed: int, epochs: int | None = None) -> list[dict]:
        """Train, and return epochs, seconds and test ELBO; the schedule spans the epochs."""
        recipe = self.recipe.lasting(epochs) if epochs else self.recipe
        keras.config.set_dtype_policy(self.policy)
        vae = recipe.build(self.budget, seed)
        keras.config.set_dtype_policy("float32")
        epochs = recipe.run(self.budget).epochs
        began = time.perf_counter()
        vae.fit(self.train_images, batch_size=recipe.batch_size, epochs=epochs, verbose=0)
        seconds = time.perf_counter() - began
        return [{"epochs": epochs, "seconds": seconds, "elbo": measures.elbo(vae, self.test_images).mean}]


class Judge:
    """The yardsticks that take longest, on a model with two latents; how it was trained does not change their time."""

    def __init__(self):
        self.vae = recipes.get("tf-cvae").build(course.chapter_budget())
        self.test_images = prepared("test", "convolutional")

    def exact(self) -> float:
        """Return the mean log p(x) of all test images on a grid of 256² points, in nats."""
        return float(measures.exact_log_likelihood(self.vae, self.test_images, 256).mean())

    def by_samples(self) -> float:
        """Return the mean log p(x) of 1,000 images by 5,000 importance samples each, in nats."""
        return float(measures.importance_log_likelihood(self.vae, self.test_images[:1000], 5000).mean())


def test_elbo(encoder: keras.Model, decoder: keras.Model) -> float:
    """Return the test ELBO of networks that were trained elsewhere: the same yardstick for all."""
    return measures.elbo(VAE(encoder, decoder), prepared("test", "convolutional")).mean
