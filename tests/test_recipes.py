"""The sources as data: every recipe can be built, says what it trains, and knows what it must reach."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import report, targets
from vaecourse import VAE, course, data, likelihoods, models, networks, recipes, specimens

each_recipe = pytest.mark.parametrize("name", recipes.RECIPES)


@pytest.fixture(scope="module")
def budget(digits):
    return course.Budget(digits, "quick")


@pytest.fixture(scope="module")
def full_budget():
    """The full budget, with blank images in place of MNIST's."""
    blank = np.zeros((60_000, 28, 28), np.uint8)
    labels = np.zeros(60_000, np.uint8)
    return course.Budget(data.Images("mnist", blank, labels, blank[:10_000], labels[:10_000]), "full")


@each_recipe
def test_a_recipe_names_parts_that_there_are(name):
    recipe = recipes.get(name)
    assert recipe is recipes.RECIPES[name]
    assert recipe.network in vars(networks)
    assert recipe.model in {**vars(models), **vars(specimens)}
    assert isinstance(likelihoods.get(recipe.likelihood, **recipe.likelihood_options), likelihoods.Likelihood)
    assert recipe.pixels in ("thresholded", "grays")
    assert recipe.schedule in ("constant", "cosine", "linear")


@each_recipe
def test_a_recipe_says_where_it_is_trained_and_what_its_source_reports(name):
    recipe = recipes.get(name)
    assert re.fullmatch("[a-z]+(-[a-z]+)*", recipe.chapter)
    # A recipe repeats its source, or improves on the one that does.
    assert bool(recipe.claim) == (not recipe.improves)
    if recipe.improves:
        assert recipes.get(recipe.improves).source == recipe.source
        assert name.startswith(f"{recipe.improves}-")
    assert recipe.published is None or f"{recipe.published:.2f}".replace("-", "−") in recipe.claim


@each_recipe
def test_a_recipe_has_a_band_for_every_mode(name):
    runs = recipes.get(name).runs
    assert tuple(runs) == course.MODES
    for run in runs.values():
        assert isinstance(run, recipes.Run)
        assert min(run.epochs, run.train_images, run.test_images) >= 1
        assert run.elbo.reference < 0 < run.elbo.tolerance < abs(run.elbo.reference) / 4
        assert run.claims.keys() <= runs["mnist/full"].claims.keys()
        assert all(isinstance(band, recipes.Band) and band.tolerance > 0 for band in run.claims.values())
    assert runs["mnist/full"].first + runs["mnist/full"].train_images <= 60_000
    assert runs["mnist/full"].test_images <= 10_000
    assert runs["digits/quick"].train_images <= 1_500
    assert runs["digits/quick"].test_images <= 297


@pytest.mark.parametrize("name", [name for name, recipe in recipes.RECIPES.items() if recipe.published is not None])
def test_the_published_number_is_within_the_band_of_the_full_run(name):
    recipe = recipes.get(name)
    recipe.runs["mnist/full"].elbo.check(recipe.published)


@pytest.mark.parametrize(
    ("name", "part", "key"),
    [
        ("tf-cvae", "time-to-result", "tutorial"),
        ("tf-cvae-improved", "epochs", "improved"),
        ("tf-cvae-fast", "time-to-result", "fast"),
    ],
)
def test_the_band_of_a_full_run_is_as_wide_as_the_seeds_that_were_measured_ask_for(name, part, key):
    elbos = targets.elbos(report.results()[part][key])
    band, spread = recipes.get(name).runs["mnist/full"].elbo, elbos.std(ddof=1)
    assert abs(elbos.mean() - band.reference) + 4 * spread <= band.tolerance <= 8 * spread


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
    assert type(first).__name__ == recipe.model
    assert (first.kl, first.beta, first.seed) == (recipe.kl, recipe.beta, 1)
    assert {option: getattr(first, option) for option in recipe.model_options} == recipe.model_options
    assert first.optimizer.epsilon == recipe.epsilon
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
        assert end == pytest.approx(recipe.learning_rate if recipe.schedule == "constant" else 0, abs=1e-9)


def test_a_recipe_of_another_length_is_the_same_otherwise(budget):
    recipe = recipes.get("tf-cvae-improved")
    longer = recipe.lasting(25)
    assert {run.epochs for run in longer.runs.values()} == {25}
    assert longer.steps(budget) == 25 * recipe.steps(budget) / recipe.run(budget).epochs
    assert longer.lasting(recipe.run(budget).epochs).runs[budget.mode] == recipe.run(budget)
    assert longer.build(budget).optimizer.learning_rate == recipe.build(budget).optimizer.learning_rate


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


def assert_configured(name: str, **expected) -> recipes.Run:
    """Compare a recipe with what its source says, and return its full run."""
    recipe = recipes.get(name)
    assert {field: getattr(recipe, field) for field in expected} == expected
    assert (recipe.schedule, recipe.published) == ("constant", None)
    return recipe.runs["mnist/full"]


def test_theailearner_is_configured_as_it_is_published():
    latents = 2
    run = assert_configured(
        "theailearner",
        model="SlippedVAE",
        network="pooled",
        pixels="grays",
        likelihood="bernoulli",
        kl="analytic",
        beta=5e-4 * 784 * 2 / latents,  # of a KL that is half as large, and averaged over latents
        batch_size=256,
        learning_rate=1e-3,
        epsilon=784 * 1e-7,  # that of Keras, for a loss that is 784 times larger
    )
    assert (run.epochs, run.train_images, run.test_images, run.first) == (10, 60_000, 10_000, 0)
    for built, source in zip(recipes.get("theailearner").networks(), networks.pooled(latents), strict=True):
        assert built.count_params() == source.count_params()


IN_TENSORFLOW_1 = {
    "pixels": "grays",
    "likelihood": "gaussian",
    "likelihood_options": {"scale": 0.5},
    "kl": "analytic",
    "beta": 1.0,
    "batch_size": 100,
    "learning_rate": 1e-3,
    "epsilon": 1e-8,
}


def test_zoltowski_is_configured_as_it_is_published():
    run = assert_configured(
        "zoltowski",
        model="VAE",
        network="mlp",
        **IN_TENSORFLOW_1,
    )
    assert (run.epochs, run.train_images, run.test_images, run.first) == (50, 55_000, 10_000, 5_000)
    for built, source in zip(recipes.get("zoltowski").networks(), networks.mlp(20, (500, 500)), strict=True):
        assert built.count_params() == source.count_params()
        for weight in built.get_weights():
            assert np.abs(weight).max() <= 0.2
            assert weight.ndim > 1 or (weight == np.float32(0.1)).all()


def test_zeldes_is_configured_as_it_is_published():
    run = assert_configured(
        "zeldes",
        model="DigitVAE",
        network="mlp_with_classifier",
        **IN_TENSORFLOW_1,
    )
    assert (run.epochs, run.train_images, run.test_images, run.first) == (20, 55_000, 10_000, 5_000)
    built, source = recipes.get("zeldes").networks(), networks.mlp_with_classifier(10, (128,))
    assert [network.count_params() for network in built] == [network.count_params() for network in source]


@pytest.fixture(scope="module")
def a_batch(budget):
    """Images, their digits, and noise of ten latents."""
    images, labels = data.scale(budget.images.train_images[:40]), budget.images.train_labels[:40]
    return images, labels, np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)


def test_the_loss_of_theailearner_is_that_of_its_source(budget, a_batch):
    vae = recipes.get("theailearner").build(budget)
    x, _, eps = a_batch
    eps = eps[:, :2]
    mean, s = tf.split(vae.encoder(x), 2, axis=-1)
    x_hat = tf.nn.relu(vae.decoder(mean + tf.exp(s) * eps))
    cross_entropy = tf.reduce_mean(keras.losses.binary_crossentropy(x, x_hat))
    kl = -5e-4 * tf.reduce_mean(1 + s - mean**2 - tf.exp(s))
    assert 5e-4 * float(tf.reduce_mean(mean**2)) > 1e-6  # of a KL that would be missed
    loss = tf.reduce_mean(vae.objective(x, None, eps)["loss"]) / 784
    np.testing.assert_allclose(loss, cross_entropy + kl, rtol=2e-6)


def test_the_loss_of_zeldes_is_that_of_its_source(budget, a_batch):
    vae = recipes.get("zeldes").build(budget)
    x, y, eps = a_batch
    assert isinstance(vae.encoder.layers[-1], networks.VarianceFloor)
    before_the_floor = keras.Model(vae.encoder.input, vae.encoder.layers[-1].input)
    mean, s = tf.split(before_the_floor(x), 2, axis=-1)
    variance = 1e-5 + tf.exp(s)
    logits = vae.classifier(x)
    z = tf.concat([mean + tf.sqrt(variance) * eps, tf.nn.softmax(logits)], axis=1)
    squared_error = tf.reduce_sum((x - tf.sigmoid(vae.decoder(z))) ** 2, axis=(1, 2, 3))
    kl = 0.5 * tf.reduce_sum(variance + mean**2 - 1 - tf.math.log(variance), axis=1)
    vae_loss = 2 * squared_error + 784 * (0.5 * np.log(2 * np.pi) + np.log(0.5)) + kl
    classifier_loss = 10 * keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
    losses = vae.objective(x, y, eps)
    for name, expected in {"vae_loss": vae_loss, "classifier_loss": classifier_loss}.items():
        np.testing.assert_allclose(losses[name], expected, rtol=1e-5)
    np.testing.assert_allclose(losses["loss"], vae_loss + classifier_loss, rtol=1e-5)


def test_a_run_begins_with_its_first_image_and_labels_go_with_images():
    numbers = np.arange(60, dtype=np.uint8)
    images = np.tile(numbers[:, np.newaxis, np.newaxis], (1, 28, 28))
    budget = course.Budget(data.Images("digits", images, numbers % 10, images[::-1], numbers[::-1] % 10), "quick")
    run = recipes.Run(1, 20, 15, recipes.Band(-1.0, 1.0), first=7)
    recipe = recipes.Recipe("none", "none", "mlp", "grays", 100, 1e-3, {"digits/quick": run})
    for part, expected in zip(recipe.images(budget), (np.arange(7, 27), np.arange(59, 44, -1)), strict=True):
        np.testing.assert_array_equal(np.rint(255 * part[:, 0, 0, 0]), expected)
    for part, expected in zip(recipe.labels(budget), (np.arange(7, 27), np.arange(59, 44, -1)), strict=True):
        np.testing.assert_array_equal(part, expected % 10)


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
