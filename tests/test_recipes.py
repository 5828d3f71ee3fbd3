"""The sources as data: every recipe can be built, says what it trains, and knows what it must reach."""

import keras
import numpy as np
import pytest

from vaecourse import VAE, data, likelihoods, networks, recipes, training

each_recipe = pytest.mark.parametrize("name", recipes.RECIPES)


@pytest.fixture(scope="module")
def budget(digits):
    return training.Budget(digits, "quick")


@pytest.fixture(scope="module")
def full_budget():
    """The full budget, with blank images in place of MNIST's."""
    blank = np.zeros((60_000, 28, 28), np.uint8)
    labels = np.zeros(60_000, np.uint8)
    return training.Budget(data.Images("mnist", blank, labels, blank[:10_000], labels[:10_000]), "full")


@each_recipe
def test_a_recipe_names_parts_that_there_are(name):
    recipe = recipes.get(name)
    assert recipe is recipes.RECIPES[name]
    assert recipe.network in vars(networks)
    assert isinstance(likelihoods.get(recipe.likelihood, **recipe.likelihood_options), likelihoods.Likelihood)
    assert recipe.pixels in ("thresholded", "grays")
    assert recipe.schedule in ("constant", "cosine")


@each_recipe
def test_a_recipe_has_a_band_for_every_mode(name):
    runs = recipes.get(name).runs
    assert tuple(runs) == training.MODES
    for run in runs.values():
        assert isinstance(run, recipes.Run)
        assert min(run.epochs, run.train_images, run.test_images) >= 1
        assert run.elbo.reference < 0 < run.elbo.tolerance < abs(run.elbo.reference) / 4
    assert runs["mnist/full"].train_images <= 60_000
    assert runs["mnist/full"].test_images <= 10_000
    assert runs["digits/quick"].train_images <= 1_500
    assert runs["digits/quick"].test_images <= 297


@pytest.mark.parametrize("name", [name for name, recipe in recipes.RECIPES.items() if recipe.published is not None])
def test_the_published_number_is_within_the_band_of_the_full_run(name):
    recipe = recipes.get(name)
    recipe.runs["mnist/full"].elbo.check(recipe.published)


@each_recipe
def test_a_recipe_prepares_images_that_its_likelihood_takes(name, budget):
    recipe = recipes.get(name)
    train, test = recipe.images(budget)
    run = recipe.run(budget)
    assert train.shape == (run.train_images, 28, 28, 1)
    assert test.shape == (run.test_images, 28, 28, 1)
    for images in (train, test):
        likelihoods.get(recipe.likelihood, **recipe.likelihood_options).check(images)
    scaled = data.scale(budget.images.test_images[: run.test_images])
    np.testing.assert_array_equal(test, data.binarize(scaled) if recipe.pixels == "thresholded" else scaled)


@each_recipe
def test_a_recipe_is_built_ready_to_fit_and_as_a_function_of_the_seed(name, budget):
    recipe = recipes.get(name)
    first, again, other = (recipe.build(budget, seed) for seed in (1, 1, 2))
    assert isinstance(first, VAE)
    assert first.compiled
    assert (first.kl, first.beta, first.seed) == (recipe.kl, recipe.beta, 1)
    assert isinstance(first.likelihood, type(likelihoods.get(recipe.likelihood)))
    assert first.latent_dim == recipe.network_options.get("latent_dim", first.latent_dim)
    for one, same, different in zip(*(vae.get_weights() for vae in (first, again, other)), strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim < 2 or (one != different).any()


@each_recipe
def test_the_learning_rate_spans_the_steps_of_the_budget(name, budget, full_budget):
    recipe = recipes.get(name)
    for spent in (budget, full_budget):
        run = recipe.run(spent)
        batches = data.batches(np.arange(run.train_images), recipe.batch_size)
        assert recipe.steps(spent) == run.epochs * len(batches)
        optimizer = recipe.optimizer(spent)
        assert isinstance(optimizer, keras.optimizers.Adam)
        optimizer.iterations.assign(round(recipe.warmup * recipe.steps(spent)))
        peak = float(optimizer.learning_rate)
        optimizer.iterations.assign(recipe.steps(spent))
        end = float(optimizer.learning_rate)
        assert peak == pytest.approx(recipe.learning_rate)
        assert end == pytest.approx(0 if recipe.schedule == "cosine" else recipe.learning_rate, abs=1e-9)


def test_the_tutorial_of_tensorflow_is_configured_as_it_is_published():
    recipe = recipes.get("tf-cvae")
    assert (recipe.network, recipe.pixels, recipe.likelihood, recipe.kl, recipe.beta) == (
        "convolutional", "thresholded", "bernoulli", "monte_carlo", 1.0,
    )  # fmt: skip
    assert (recipe.batch_size, recipe.learning_rate, recipe.schedule) == (32, 1e-4, "constant")
    run = recipe.runs["mnist/full"]
    assert (run.epochs, run.train_images, run.test_images, recipe.published) == (10, 60_000, 10_000, -157.02)
    for built, source in zip(recipe.networks(), networks.convolutional(latent_dim=2, filters=(32, 64)), strict=True):
        assert built.count_params() == source.count_params()


@pytest.mark.parametrize("value", [-160.1, -153.9, np.nan, -np.inf])
def test_a_value_outside_its_band_is_an_assertion_error(value):
    with pytest.raises(AssertionError, match="expected -157 ± 3"):
        recipes.Band(-157.0, 3.0).check(value)


@pytest.mark.parametrize("value", [-160.0, -157.0, -154.0])
def test_a_value_within_its_band_passes(value):
    recipes.Band(-157.0, 3.0).check(value)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match=r"unknown recipe 'vqvae'; there are tf-cvae"):
        recipes.get("vqvae")


def test_a_recipe_of_grays_leaves_them_gray(budget):
    gray = recipes.Recipe(
        source="none",
        chapter="none",
        network="mlp",
        network_options={"latent_dim": 2, "hidden": (4,)},
        pixels="grays",
        likelihood="gaussian",
        likelihood_options={"scale": 0.25},
        beta=0.5,
        batch_size=100,
        learning_rate=1e-3,
        runs={"digits/quick": recipes.Run(1, 50, 20, recipes.Band(-1.0, 1.0))},
    )
    _, test = gray.images(budget)
    np.testing.assert_array_equal(test, data.scale(budget.images.test_images[:20]))
    vae = gray.build(budget)
    assert (vae.likelihood.scale, vae.beta) == (0.25, 0.5)
