"""Densities against scipy and numerical integration, and the errors for images outside the support."""

import keras
import numpy as np
import pytest
import scipy
import tensorflow as tf
import tensorflow_probability as tfp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.special import expit

from vaecourse import likelihoods

IMAGE = (3, 2, 1)
BATCH = 4


def continuous_bernoulli_logpdf(x, logit):
    """Log-density of the continuous Bernoulli: a truncated exponential, mirrored where the logit is positive."""
    rate = np.abs(logit)
    return stats.truncexpon(b=rate, scale=1 / rate).logpdf(np.where(logit > 0, 1 - x, x))


def continuous_bernoulli_cdf(x, logit):
    rate = abs(logit)
    below = stats.truncexpon(b=rate, scale=1 / rate)
    return below.sf(1 - x) if logit > 0 else below.cdf(x)


def gaussian(scale, mean="sigmoid"):
    """Return a Gaussian with σ in use, learned ones moved away from where they start."""
    likelihood = likelihoods.Gaussian(scale, mean)
    likelihood.build((None, *IMAGE))
    for weight in likelihood.weights:
        weight.assign(np.random.default_rng(3).normal(-1, 0.5, size=weight.shape))
    return likelihood


def families() -> dict[str, likelihoods.Likelihood]:
    return {
        "bernoulli": likelihoods.Bernoulli(),
        "bernoulli of grays": likelihoods.Bernoulli(grays=True),
        "bernoulli, rectified": likelihoods.Bernoulli(grays=True, probability="rectified"),
        "continuous bernoulli": likelihoods.ContinuousBernoulli(),
        "gaussian": gaussian(0.5),
        "gaussian, linear mean": gaussian(1.0, "linear"),
        "gaussian, learned": gaussian("learned"),
        "gaussian, learned per pixel": gaussian("learned per pixel"),
    }


FAMILIES = families()
CONTINUOUS = [name for name in FAMILIES if not name.startswith("bernoulli")]


def images_for(likelihood, shape=(BATCH, *IMAGE)) -> np.ndarray:
    grays = np.random.default_rng(1).uniform(size=shape)
    return np.rint(grays) if likelihood.support == "{0, 1}" else grays


def outputs(*leading: int) -> np.ndarray:
    return np.random.default_rng(2).normal(0, 2, size=(*leading, BATCH, *IMAGE))


def expected_log_prob(likelihood, output, images) -> np.ndarray:
    """Log-density of every pixel, in scipy."""
    if isinstance(likelihood, likelihoods.Gaussian):
        mean = expit(output) if likelihood.mean == "sigmoid" else output
        return stats.norm(mean, np.asarray(likelihood.sigma, np.float64)).logpdf(images)
    if isinstance(likelihood, likelihoods.ContinuousBernoulli):
        return continuous_bernoulli_logpdf(images, output)
    if likelihood.probability == "rectified":
        p = np.clip(output, 1e-7, 1 - 1e-7)
        return images * np.log(p) + (1 - images) * np.log1p(-p)
    if likelihood.grays:
        return images * np.log(expit(output)) + (1 - images) * np.log(expit(-output))
    return stats.bernoulli(expit(output)).logpmf(images)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_is_the_sum_of_the_log_densities_of_the_pixels(name):
    likelihood, output = FAMILIES[name], outputs()
    images = images_for(likelihood)
    expected = expected_log_prob(likelihood, output, images).sum(axis=(1, 2, 3))
    # Near p = ½ the normalizer of the continuous Bernoulli is 0/0; a series, good to nine digits, takes over there.
    np.testing.assert_allclose(likelihood.log_prob(tf.constant(output), images), expected, rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_is_that_of_the_distribution(name):
    likelihood, output = FAMILIES[name], tf.constant(outputs())
    images = images_for(likelihood)
    distribution = likelihood.distribution(output)
    assert distribution.event_shape == IMAGE
    np.testing.assert_allclose(likelihood.log_prob(output, images), distribution.log_prob(images), rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_takes_leading_axes_as_samples(name):
    likelihood, output = FAMILIES[name], outputs(5)
    images = images_for(likelihood)
    log_prob = likelihood.log_prob(tf.constant(output), images)
    assert log_prob.shape == (5, BATCH)
    one_by_one = [likelihood.log_prob(tf.constant(sample), images) for sample in output]
    np.testing.assert_allclose(log_prob, one_by_one, rtol=1e-13)


@pytest.mark.parametrize("name", FAMILIES)
def test_called_on_an_output_a_likelihood_returns_the_mean_image(name):
    likelihood, output = FAMILIES[name], tf.constant(outputs(), tf.float32)
    mean = likelihood(output)
    assert mean.shape == output.shape == likelihood.compute_output_shape(output.shape)
    np.testing.assert_allclose(mean, likelihood.distribution(output).mean(), rtol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_likelihood_made_anew_from_its_configuration_is_the_same(name):
    likelihood, output = FAMILIES[name], tf.constant(outputs())
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(likelihood))
    again(output)
    again.set_weights(likelihood.get_weights())
    images = images_for(likelihood)
    np.testing.assert_array_equal(again.log_prob(output, images), likelihood.log_prob(output, images))
    assert again.support == likelihood.support
    assert keras.saving.get_registered_name(type(likelihood)) == f"{likelihoods.PACKAGE}>{type(likelihood).__name__}"


@pytest.mark.parametrize("logit", [-30.0, -3.0, -1e-3, 0.0, 0.5, 8.0])
def test_the_continuous_bernoulli_integrates_to_one(logit):
    pixels = likelihoods.ContinuousBernoulli().pixels(tf.constant([logit], tf.float64))
    integral, error = scipy.integrate.quad(lambda x: float(pixels.prob([x])[0]), 0, 1, epsabs=1e-9)
    assert error < 1e-8
    np.testing.assert_allclose(integral, 1, atol=1e-7)


def test_the_log_likelihood_of_grays_is_the_expectation_over_their_binarizations():
    output = tf.constant(outputs())
    grays = images_for(FAMILIES["bernoulli of grays"])
    of_one, of_zero = (FAMILIES["bernoulli"].pixels(output).log_prob(bit) for bit in (1, 0))
    expected = (grays * of_one + (1 - grays) * of_zero).numpy().sum(axis=(1, 2, 3))
    np.testing.assert_allclose(FAMILIES["bernoulli of grays"].log_prob(output, grays), expected, rtol=1e-12)


def test_a_rectified_probability_gives_the_cross_entropy_of_keras():
    output, images = outputs(), images_for(FAMILIES["bernoulli, rectified"])
    by_keras = keras.ops.binary_crossentropy(images, np.maximum(output, 0))
    assert (output < 0).any()
    assert (output > 1).any()
    expected = -np.sum(by_keras, axis=(1, 2, 3))
    np.testing.assert_allclose(FAMILIES["bernoulli, rectified"].log_prob(output, images), expected, rtol=1e-9)


@pytest.mark.parametrize(("value", "gradient"), [(-0.1, 0.0), (1.1, 0.0), (0.25, 4.0)])
def test_a_pixel_whose_rectified_probability_leaves_the_unit_interval_cannot_learn(value, gradient):
    output = tf.fill((1, 1, 1, 1), tf.constant(value, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(output)
        log_prob = FAMILIES["bernoulli, rectified"].log_prob(output, np.ones((1, 1, 1, 1)))
    assert tape.gradient(log_prob, output).numpy().item() == gradient
    if value < 0:
        np.testing.assert_allclose(log_prob, np.log(1e-7), rtol=1e-12)  # −16.12 nats


def test_a_probability_that_is_none_is_refused():
    with pytest.raises(ValueError, match="for probability, got 'softmax'"):
        likelihoods.Bernoulli(probability="softmax")


def test_a_learned_sigma_is_positive_shared_or_one_for_each_pixel_and_starts_at_a_half():
    for scale, shape in (("learned", ()), ("learned per pixel", IMAGE)):
        likelihood = likelihoods.Gaussian(scale)
        likelihood.build((None, *IMAGE))
        assert likelihood.sigma.shape == shape
        np.testing.assert_allclose(likelihood.sigma, 0.5, rtol=1e-6)
        likelihood.log_scale.assign(np.full(shape, -3.0))
        np.testing.assert_allclose(likelihood.sigma, np.exp(-3), rtol=1e-6)


def test_the_gradient_of_a_learned_sigma_vanishes_where_it_is_the_root_mean_square_error():
    output, images = tf.constant(outputs(), tf.float32), images_for(FAMILIES["gaussian"]).astype(np.float32)
    likelihood = likelihoods.Gaussian("learned")
    likelihood.build((None, *IMAGE))
    root_mean_square = np.sqrt(np.mean((images - expit(output)) ** 2))
    for scale, sign in ((0.9, 1), (1.0, 0), (1.1, -1)):
        likelihood.log_scale.assign(np.log(scale * root_mean_square))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(likelihood.log_prob(output, images))
        gradient = tape.gradient(total, likelihood.trainable_variables[0].value)
        # Of a log-density with n pixels it is n (RMS²/σ² − 1): single precision leaves 1e-4 of n at the optimum.
        assert abs(gradient) < 1e-4 * images.size if sign == 0 else sign * gradient > 0.1 * images.size


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("value", [-4.0, -0.3, 0.7, 6.0])
def test_the_masses_of_the_gray_levels_sum_to_one(name, value):
    levels = np.arange(256).reshape(-1, 1, 1, 1) / 255
    pixels = first_pixel(FAMILIES[name], np.full(levels.shape, value))
    log_mass = likelihoods.gray_level_log_mass(pixels, levels)
    np.testing.assert_allclose(np.exp(log_mass).sum(), 1, atol=1e-9)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("value", [-4.0, -0.3, 0.7, 6.0])
def test_the_mass_of_a_gray_level_is_a_difference_of_the_cumulative_distribution(name, value):
    levels = np.arange(256).reshape(-1, 1, 1, 1) / 255
    likelihood = FAMILIES[name]
    pixels = first_pixel(likelihood, np.full(levels.shape, value))
    edges = (np.arange(257) - 0.5) / 255
    edges[[0, -1]] = -np.inf, np.inf
    if isinstance(likelihood, likelihoods.Gaussian):
        mean = expit(value) if likelihood.mean == "sigmoid" else value
        cumulative = stats.norm(mean, np.ravel(likelihood.sigma)[0].astype(np.float64)).cdf(edges)
    else:
        cumulative = continuous_bernoulli_cdf(edges.clip(0, 1), value)
    # Differences of numbers near 1 are good to 1e-16, absolutely.
    np.testing.assert_allclose(np.exp(likelihoods.gray_level_log_mass(pixels, levels)), np.diff(cumulative), atol=1e-12)


def log_difference(larger, smaller):
    """Log of exp(larger) − exp(smaller)."""
    return larger + np.log1p(-np.exp(smaller - larger))


@pytest.mark.parametrize("logit", [-60.0, -7.0, -0.01, 0.3, 60.0])
def test_the_mass_of_an_unlikely_gray_level_of_the_continuous_bernoulli_is_right(logit):
    levels = np.arange(256).reshape(-1, 1, 1, 1) / 255
    pixels = FAMILIES["continuous bernoulli"].pixels(tf.fill(levels.shape, tf.constant(logit, tf.float64)))
    edges = ((np.arange(257) - 0.5) / 255).clip(0, 1)
    # ∫ exp(logit · x) dx over a bin, over the same integral from 0 to 1; the logs of both, from the larger end.
    ends = np.sort(logit * np.stack([edges[:-1], edges[1:]]), axis=0)
    expected = log_difference(ends[1], ends[0]) - log_difference(max(logit, 0), min(logit, 0))
    np.testing.assert_allclose(likelihoods.gray_level_log_mass(pixels, levels), expected, rtol=1e-9)


@pytest.mark.parametrize(("mean", "sigma"), [(0.5, 0.5), (0.0, 0.02), (1.0, 0.05), (-3.0, 0.3)])
def test_the_mass_of_an_unlikely_gray_level_of_the_gaussian_is_right(mean, sigma):
    levels = np.arange(256).reshape(-1, 1, 1, 1) / 255
    likelihood = likelihoods.Gaussian(sigma, mean="linear")
    pixels = likelihood.pixels(tf.fill(levels.shape, tf.constant(mean, tf.float64)))
    edges = (np.arange(257) - 0.5) / 255
    edges[[0, -1]] = -np.inf, np.inf
    normal = stats.norm(mean, float(likelihood.sigma))
    low, high = edges[:-1], edges[1:]
    above = low > mean  # differences of the smaller tail lose nothing
    larger = np.where(above, normal.logsf(low), normal.logcdf(high))
    expected = log_difference(larger, np.where(above, normal.logsf(high), normal.logcdf(low)))
    np.testing.assert_allclose(likelihoods.gray_level_log_mass(pixels, levels), expected, rtol=1e-9)


def first_pixel(likelihood, values: np.ndarray) -> tfp.distributions.Distribution:
    """Return the distribution of the first pixel of an image, where every pixel has its own σ."""
    pixels = likelihood.pixels(tf.constant(values))
    if likelihood is FAMILIES["gaussian, learned per pixel"]:
        return tfp.distributions.Normal(pixels.loc[:, :1, :1], pixels.scale[:1, :1])
    return pixels


def test_the_mass_of_an_image_is_the_product_over_its_pixels():
    output = tf.constant(outputs())
    images = np.rint(255 * images_for(FAMILIES["gaussian"])) / 255
    whole = likelihoods.gray_level_log_mass(FAMILIES["gaussian"].pixels(output), images)
    assert whole.shape == (BATCH,)
    by_pixel = [
        likelihoods.gray_level_log_mass(
            FAMILIES["gaussian"].pixels(output[:, row : row + 1, column : column + 1]),
            images[:, row : row + 1, column : column + 1],
        )
        for row, column in np.ndindex(*IMAGE[:2])
    ]
    np.testing.assert_allclose(whole, np.sum(by_pixel, axis=0), rtol=1e-12)


def test_pixels_between_the_gray_levels_have_no_mass():
    pixels = FAMILIES["gaussian"].pixels(tf.constant(outputs()))
    with pytest.raises(ValueError, match="multiples of 1/255"):
        likelihoods.gray_level_log_mass(pixels, np.full((BATCH, *IMAGE), 0.5))


@st.composite
def wild_outputs(draw):
    """A decoder's output in [−60, 60] and grays, in float32, of any small shape."""
    shape = draw(hnp.array_shapes(min_dims=4, max_dims=4, max_side=3))
    output = draw(hnp.arrays(np.float32, shape, elements=st.floats(-60, 60, width=32)))
    return output, draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))


def assert_precise(single: np.ndarray, double: np.ndarray) -> None:
    assert np.isfinite(single).all()
    np.testing.assert_array_less(np.abs(single - double), 1e-3 * np.maximum(1, np.abs(double)))


# Not where the probability is rectified: in single precision 1 − 10⁻⁷ is another number.
@pytest.mark.parametrize("name", [name for name in FAMILIES if "learned" not in name and "rectified" not in name])
@given(example=wild_outputs())
def test_log_prob_and_its_gradient_hold_in_single_precision(name, example):
    likelihood = FAMILIES[name]
    output, images = example
    if likelihood.support == "{0, 1}":
        images = np.rint(images)
    values, gradients = [], []
    for dtype in (tf.float32, tf.float64):
        in_dtype = tf.constant(output, dtype)
        with tf.GradientTape() as tape:
            tape.watch(in_dtype)
            log_prob = likelihood.log_prob(in_dtype, tf.constant(images, dtype))
        values.append(log_prob.numpy())
        gradients.append(tape.gradient(log_prob, in_dtype).numpy())
    assert values[0].dtype == np.float32
    assert_precise(*values)
    assert_precise(*gradients)


@pytest.mark.parametrize("name", [name for name in CONTINUOUS if "learned" not in name])
@settings(max_examples=15)
@given(example=wild_outputs())
def test_the_mass_of_gray_levels_holds_in_single_precision(name, example):
    output, images = example
    images = np.rint(255 * images) / np.float32(255)
    assert_precise(
        *(
            likelihoods.gray_level_log_mass(FAMILIES[name].pixels(tf.constant(output, dtype)), images).numpy()
            for dtype in (tf.float32, tf.float64)
        )
    )


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (np.nan, "NaN"),
        (np.inf, "NaN or infinite"),
        (-0.1, "expects pixels in"),
        (1.1, "vaecourse.data.scale"),
    ],
)
def test_images_outside_the_support_are_refused(name, damage, message):
    images = images_for(FAMILIES[name])
    FAMILIES[name].check(images)
    images[-1, -1, -1, -1] = damage
    with pytest.raises(ValueError, match=message):
        FAMILIES[name].check(images)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_image_at_all_is_refused(name):
    with pytest.raises(ValueError, match="at least one image"):
        FAMILIES[name].check(np.zeros((0, *IMAGE)))


def test_grays_are_refused_by_the_bernoulli_unless_it_is_asked_to_take_them():
    grays = images_for(FAMILIES["bernoulli of grays"])
    FAMILIES["bernoulli of grays"].check(grays)
    with pytest.raises(ValueError, match="binarize"):
        FAMILIES["bernoulli"].check(grays)


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, "shared"])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="scale"):
        likelihoods.Gaussian(scale)


def test_a_mean_that_is_none_is_refused():
    with pytest.raises(ValueError, match="for mean, got 'tanh'"):
        likelihoods.Gaussian(mean="tanh")


def test_likelihoods_are_found_by_name_with_their_options():
    assert isinstance(likelihoods.get("continuous_bernoulli"), likelihoods.ContinuousBernoulli)
    assert likelihoods.get("bernoulli", grays=True).grays
    assert likelihoods.get("gaussian", scale=0.1).scale == 0.1
    given_one = likelihoods.Bernoulli()
    assert likelihoods.get(given_one) is given_one
    with pytest.raises(ValueError, match="unknown likelihood 'poisson'; there are bernoulli"):
        likelihoods.get("poisson")


def test_a_likelihood_must_say_what_its_pixels_are():
    with pytest.raises(NotImplementedError):
        likelihoods.Likelihood().distribution(tf.zeros((1, *IMAGE)))
