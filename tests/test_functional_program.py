"""The functional Keras program as its chapter prints it: corrected it is the recipe, as published it copies images."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import optimize, stats

from tools import chapters
from vaecourse import VAE, course, likelihoods, networks, objectives, recipes
from vaecourse.course import slips

CHAPTER = next(path for path in chapters.paths() if path.stem == "keras-vae")
N = 12

CORRECTED = (
    "class GaussianSample",
    "def negative_elbo",
    "class NegativeELBO",
    "def build_encoder",
    "def build_decoder",
    "def build_program",
)
PUBLISHED = ("class Sampling", "def source_loss", "class LossLayer")
MEASURED = ("def loss_and_gradients", "def with_two_heads", "def as_sampled", "def sigma_of_the_program")


@pytest.fixture(scope="module")
def x(grays):
    return grays[:N]


@pytest.fixture(scope="module")
def budget(digits):
    return course.Budget(digits, "quick")


def printed(*beginnings: str, **names) -> dict:
    """Execute the chapter's cells that define these, with changes of their text, and return what they define."""
    changes = names.pop("changes", {})
    sources = [cell.source for cell in chapters.code_cells(chapters.read(CHAPTER))]
    namespace = {"keras": keras, "layers": layers, "np": np, "tf": tf, "VAE": VAE, **names}
    for beginning in beginnings:
        (source,) = [text for text in sources if f"\n{text}".find(f"\n{beginning}") >= 0]
        for original, replacement in changes.items():
            source = source.replace(original, replacement)
        exec(source, namespace)
    return namespace


def assert_is_the_recipe(x, budget, changes=None) -> None:
    """At equal weights and noise, the corrected program has the loss, the gradients and the pictures of the recipe."""
    names = printed(*CORRECTED, *MEASURED[:2], few=x, changes=changes or {})
    program, repaired = names["build_program"](), recipes.get("theailearner-repaired").build(budget)
    program.get_layer("encoder").set_weights(names["with_two_heads"](repaired.encoder.get_weights()))
    program.get_layer("decoder").set_weights(repaired.decoder.get_weights())
    loss, gradients = names["loss_and_gradients"](program, program.get_layer("sampler"))
    eps = keras.random.normal((len(x), 2), seed=keras.random.SeedGenerator(0))
    parts = [repaired.encoder.trainable_variables, repaired.decoder.trainable_variables]
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(repaired.objective(x, None, eps)["loss"])
    of_encoder, of_decoder = tape.gradient(expected, parts)
    # 784 rounded terms, added in another order: at most 784 units of 2⁻²⁴, relative to a sum of positive numbers
    assert loss == pytest.approx(float(expected), rel=784 * 2.0**-24)
    for found, wanted in zip(gradients, [*names["with_two_heads"](of_encoder), *of_decoder], strict=True):
        assert np.linalg.norm(found - wanted) < 1e-3 * np.linalg.norm(wanted)
    program.get_layer("sampler").generator.state.assign([0, 0])
    np.testing.assert_allclose(program(x), repaired.reconstruct(x, eps), atol=1e-5)


def test_the_corrected_program_is_the_recipe(x, budget):
    assert_is_the_recipe(x, budget)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("keras.ops.exp(0.5 * logvar)", "keras.ops.exp(logvar)"),
        ("keras.ops.sum(pixels, axis=(1, 2))", "keras.ops.mean(pixels, axis=(1, 2))"),
        ("-0.5 * keras.ops.sum(inner, axis=-1)", "-keras.ops.mean(inner, axis=-1) * 0.392"),
        ("from_logits=True", "from_logits=False"),
        ('3, padding="same")(h)  # no rectifier', '3, padding="same", activation="relu")(h)'),
        ("return keras.ops.sigmoid(logits)", "return x"),
    ],
)
def test_each_correction_that_is_undone_is_noticed(x, budget, right, wrong):
    assert any(right in cell.source for cell in chapters.code_cells(chapters.read(CHAPTER)))
    with pytest.raises(AssertionError):
        assert_is_the_recipe(x, budget, {right: wrong})


@pytest.mark.parametrize("layer", ["LossLayer", "ReturnsItsInput"])
def test_a_layer_that_returns_its_input_trains_alike_and_copies(x, layer):
    names = printed(*PUBLISHED, *MEASURED[:1], few=x)
    encoder, decoder = networks.pooled(2, seed=0)
    inputs, sampler = keras.Input((28, 28, 1)), names["Sampling"](seed=0)
    mean, s = keras.ops.split(encoder(inputs), 2, axis=-1)
    tensors = [inputs, layers.ReLU()(decoder(sampler([mean, s]))), mean, s]
    models = [keras.Model(inputs, names[name]()(tensors)) for name in ("LossLayer", layer)]
    (loss, wanted), (other, found) = (names["loss_and_gradients"](model, sampler) for model in models)
    assert other == pytest.approx(loss, rel=784 * 2.0**-24)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())
    copied = (models[1].predict(x, verbose=0) == x).all(axis=(1, 2, 3))
    assert copied.all() == copied.any() == (layer == "ReturnsItsInput")


def test_the_backend_of_keras_has_none_of_the_functions_of_the_source():
    for name in ("random_normal", "shape", "exp", "int_shape", "flatten", "mean", "square"):
        assert not hasattr(keras.backend, name)


def test_the_true_kl_of_the_slip_is_twice_the_charge_but_for_a_square():
    """True − 2 · charged = ½ Σ ((1 − v)² − μ²), v = exp(s)."""
    mean, s = np.random.default_rng(0).normal(size=(2, 50, 3))
    true, charged = (np.asarray(objectives.analytic_kl(mean, logvar)) for logvar in (2 * s, s))
    expected = 0.5 * np.sum((1 - np.exp(s)) ** 2 - mean**2, axis=1)
    np.testing.assert_allclose(true - 2 * charged, expected, atol=1e-12)
    assert ((true > 2 * charged) == (expected > 0)).all()
    assert 0 < np.mean(true > 2 * charged) < 1


@pytest.mark.parametrize("beta", [1.0, 0.392])
@pytest.mark.parametrize("a", [1.0, 30.0, 1000.0])
def test_the_best_sigma_of_the_program_is_that_of_equation_4(a, beta):
    def charge(log_v):
        v = np.exp(log_v)
        return a / 2 * v**2 + beta / 2 * (v - log_v)

    found = np.exp(optimize.minimize_scalar(charge, bounds=(-12, 2), method="bounded", options={"xatol": 1e-10}).x)
    by_formula = printed("a = np.array")["sigma_of_the_program"](a, beta)
    assert by_formula == pytest.approx(found, rel=1e-5)  # the root of the rounding of float64, times a hundred
    assert 1.4 < 1 / np.sqrt(1 + a) / by_formula < (1.52 if beta == 1 else 2.35)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_slipped_model_as_it_samples_has_the_deviation_of_its_sampler(x, factor):
    vae = slips.SlippedVAE(*networks.pooled(2, seed=0), likelihoods.Bernoulli(grays=True, probability="rectified"))
    drawn = printed(MEASURED[2])["as_sampled"](vae, factor)
    mean, s = vae.posterior_parameters(x)
    np.testing.assert_allclose(drawn.encode(x).mean(), mean, atol=1e-6)
    np.testing.assert_allclose(drawn.encode(x).stddev(), factor * np.exp(s), rtol=1e-5)
    assert np.abs(s).max() > 1e-3
    if factor == 1:
        eps = vae.noise(N, 0)
        np.testing.assert_allclose(drawn.reconstruct(x, eps), vae.reconstruct(x, eps), atol=1e-5)


def test_a_pixel_below_zero_costs_its_gray_times_sixteen_nats():
    likelihood = likelihoods.Bernoulli(grays=True, probability="rectified")
    grays = np.linspace(0, 1, 9, dtype=np.float32)
    cost = -likelihood.pixels(-tf.ones(9)).log_prob(grays)
    np.testing.assert_allclose(cost, -np.log(1e-7) * grays, atol=1e-5)


def test_the_square_holds_less_than_half_of_the_prior():
    mass = (stats.norm.cdf(1) - stats.norm.cdf(-1)) ** 2
    draws = np.random.default_rng(0).normal(size=(100_000, 2))
    within = np.mean((np.abs(draws) <= 1).all(axis=1))
    assert abs(within - mass) < 5 * np.sqrt(mass * (1 - mass) / len(draws))
    assert mass < 0.5
