"""Densities against scipy and numerical integration, and the errors for images outside the support."""

import keras
import numpy as np
import policies
import pytest
import scipy
import tensorflow as tf
import tensorflow_probability as tfp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.special import expit

from vaecourse import VAE, data, likelihoods, networks
from vaecourse.models import pixels
from vaecourse.models.pixels import DiscretizedLogistic, bits_per_dimension, gray_level_log_mass

IMAGE = (3, 2, 1)
BATCH = 4
LEVELS = np.arange(256).reshape(-1, 1, 1, 1) / 255


def continuous_bernoulli_logpdf(x, logit):
    """Log-density of the continuous Bernoulli: a truncated exponential, mirrored where the logit is positive."""
    rate = np.abs(logit)
    return stats.truncexpon(b=rate, scale=1 / rate).logpdf(np.where(logit > 0, 1 - x, x))


def continuous_bernoulli_cdf(x, logit):
    rate = abs(logit)
    below = stats.truncexpon(b=rate, scale=1 / rate)
    return below.sf(1 - x) if logit > 0 else below.cdf(x)


def in_use(likelihood):
    """Return a likelihood with its scale in use, learned ones moved away from where they start."""
    likelihood.build((None, *IMAGE[:2], channels(likelihood)))
    for weight in likelihood.weights:
        weight.assign(np.random.default_rng(3).normal(-1, 0.5, size=weight.shape))
    return likelihood


def channels(likelihood) -> int:
    """Return how many channels the decoder has for images of one."""
    return 2 if getattr(likelihood, "scale", None) == "decoded" else 1


def families() -> dict[str, likelihoods.Likelihood]:
    return {
        "bernoulli": likelihoods.Bernoulli(),
        "bernoulli of grays": likelihoods.Bernoulli(grays=True),
        "bernoulli, rectified": likelihoods.Bernoulli(grays=True, probability="rectified"),
        "continuous bernoulli": likelihoods.ContinuousBernoulli(),
        "gaussian": in_use(likelihoods.Gaussian(0.5)),
        "gaussian, linear mean": in_use(likelihoods.Gaussian(1.0, "linear")),
        "gaussian, learned": in_use(likelihoods.Gaussian("learned")),
        "gaussian, learned per pixel": in_use(likelihoods.Gaussian("learned per pixel")),
        "gaussian, decoded": in_use(likelihoods.Gaussian("decoded", floor=0.02)),
        "discretized": in_use(likelihoods.DiscretizedLogistic(0.1)),
        "discretized, sigmoid mean": in_use(likelihoods.DiscretizedLogistic(0.02, "sigmoid")),
        "discretized, learned": in_use(likelihoods.DiscretizedLogistic()),
        "discretized, learned per pixel": in_use(likelihoods.DiscretizedLogistic("learned per pixel")),
        "discretized, decoded": in_use(likelihoods.DiscretizedLogistic("decoded", floor=0.02)),
    }


FAMILIES = families()
GRAYS = [name for name in FAMILIES if not name.startswith("bernoulli")]
DISCRETIZED = [name for name in FAMILIES if name.startswith("discretized")]
CONTINUOUS = [name for name in GRAYS if name not in DISCRETIZED]


def images_for(likelihood, shape=(BATCH, *IMAGE)) -> np.ndarray:
    return of_support(likelihood, np.random.default_rng(1).uniform(-0.1, 1.1, size=shape).clip(0, 1))


def of_support(likelihood, grays: np.ndarray) -> np.ndarray:
    """Return the nearest images of which the likelihood can be asked."""
    parts = {"{0, 1}": 1, "{0, 1/255, …, 1}": 255}
    if likelihood.support not in parts:
        return grays
    return np.rint(grays * parts[likelihood.support]).astype(grays.dtype) / parts[likelihood.support]


def outputs(*leading: int, likelihood=None) -> np.ndarray:
    shape = (*leading, BATCH, *IMAGE[:2], channels(likelihood))
    return np.random.default_rng(2).normal(0, 2, size=shape)


def location_and_scale(likelihood, output) -> tuple[np.ndarray, np.ndarray]:
    if likelihood.scale == "decoded":
        output, h = np.split(output, 2, axis=-1)
        scale = likelihood.floor + likelihood.start * np.exp(h)
    else:
        scale = np.asarray(likelihood.sigma, np.float64)
    return expit(output) if likelihood.mean == "sigmoid" else output, scale


def logistic_log_mass(images, location, scale) -> np.ndarray:
    """Log of a difference of the distribution function, between the edges of a bin, on the side of the lesser tail."""
    low, high = np.rint(255 * images) - 0.5, np.rint(255 * images) + 0.5
    low, high = np.where(low < 0, -np.inf, low / 255), np.where(high > 255, np.inf, high / 255)
    logistic = stats.logistic(location, scale)
    above = low > location
    larger = np.where(above, logistic.logsf(low), logistic.logcdf(high))
    return log_difference(larger, np.where(above, logistic.logsf(high), logistic.logcdf(low)))


def expected_log_prob(likelihood, output, images) -> np.ndarray:
    """Log-density of every pixel, in scipy."""
    if isinstance(likelihood, likelihoods.LocationScale):
        mean, scale = location_and_scale(likelihood, output)
        if isinstance(likelihood, likelihoods.Gaussian):
            return stats.norm(mean, scale).logpdf(images)
        return logistic_log_mass(images, mean, scale)
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
    likelihood = FAMILIES[name]
    output, images = outputs(likelihood=likelihood), images_for(likelihood)
    expected = expected_log_prob(likelihood, output, images).sum(axis=(1, 2, 3))
    # Near p = ½ the normalizer of the continuous Bernoulli is 0/0; a series, good to nine digits, takes over there.
    np.testing.assert_allclose(likelihood.log_prob(tf.constant(output), images), expected, rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_is_that_of_the_distribution(name):
    likelihood = FAMILIES[name]
    output, images = tf.constant(outputs(likelihood=likelihood)), images_for(likelihood)
    distribution = likelihood.distribution(output)
    assert distribution.event_shape == IMAGE
    np.testing.assert_allclose(likelihood.log_prob(output, images), distribution.log_prob(images), rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_takes_leading_axes_as_samples(name):
    likelihood = FAMILIES[name]
    output, images = outputs(5, likelihood=likelihood), images_for(likelihood)
    log_prob = likelihood.log_prob(tf.constant(output), images)
    assert log_prob.shape == (5, BATCH)
    one_by_one = [likelihood.log_prob(tf.constant(sample), images) for sample in output]
    np.testing.assert_allclose(log_prob, one_by_one, rtol=1e-13)


@pytest.mark.parametrize("name", FAMILIES)
def test_called_on_an_output_a_likelihood_returns_the_mean_image(name):
    likelihood = FAMILIES[name]
    output = tf.constant(outputs(likelihood=likelihood), tf.float32)
    mean = likelihood(output)
    assert mean.shape == likelihood.compute_output_shape(output.shape) == (BATCH, *IMAGE)
    np.testing.assert_allclose(mean, likelihood.distribution(output).mean(), rtol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_likelihood_made_anew_from_its_configuration_is_the_same(name):
    likelihood = FAMILIES[name]
    output = tf.constant(outputs(likelihood=likelihood))
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


@pytest.mark.parametrize("name", GRAYS)
@pytest.mark.parametrize("value", [-4.0, -0.3, 0.7, 6.0])
def test_the_masses_of_the_gray_levels_sum_to_one(name, value):
    log_mass = gray_level_log_mass(first_pixel(FAMILIES[name], value), LEVELS)
    np.testing.assert_allclose(np.exp(log_mass).sum(), 1, atol=1e-9)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("value", [-4.0, -0.3, 0.7, 6.0])
def test_the_mass_of_a_gray_level_is_a_difference_of_the_cumulative_distribution(name, value):
    likelihood = FAMILIES[name]
    edges = (np.arange(257) - 0.5) / 255
    edges[[0, -1]] = -np.inf, np.inf
    if isinstance(likelihood, likelihoods.Gaussian):
        mean, scale = location_and_scale(likelihood, np.full(channels(likelihood), value))
        cumulative = stats.norm(mean, np.ravel(scale)[0]).cdf(edges)
    else:
        cumulative = continuous_bernoulli_cdf(edges.clip(0, 1), value)
    masses = np.exp(gray_level_log_mass(first_pixel(likelihood, value), LEVELS))
    # Differences of numbers near 1 are good to 1e-16, absolutely.
    np.testing.assert_allclose(masses, np.diff(cumulative), atol=1e-12)


def log_difference(larger, smaller):
    """Log of exp(larger) − exp(smaller)."""
    return larger + np.log1p(-np.exp(smaller - larger))


@pytest.mark.parametrize("logit", [-60.0, -7.0, -0.01, 0.3, 60.0])
def test_the_mass_of_an_unlikely_gray_level_of_the_continuous_bernoulli_is_right(logit):
    pixels = FAMILIES["continuous bernoulli"].pixels(tf.fill(LEVELS.shape, tf.constant(logit, tf.float64)))
    edges = ((np.arange(257) - 0.5) / 255).clip(0, 1)
    # ∫ exp(logit · x) dx over a bin, over the same integral from 0 to 1; the logs of both, from the larger end.
    ends = np.sort(logit * np.stack([edges[:-1], edges[1:]]), axis=0)
    expected = log_difference(ends[1], ends[0]) - log_difference(max(logit, 0), min(logit, 0))
    np.testing.assert_allclose(gray_level_log_mass(pixels, LEVELS), expected, rtol=1e-9)


@pytest.mark.parametrize(("mean", "sigma"), [(0.5, 0.5), (0.0, 0.02), (1.0, 0.05), (-3.0, 0.3)])
def test_the_mass_of_an_unlikely_gray_level_of_the_gaussian_is_right(mean, sigma):
    likelihood = likelihoods.Gaussian(sigma, mean="linear")
    pixels = likelihood.pixels(tf.fill(LEVELS.shape, tf.constant(mean, tf.float64)))
    edges = (np.arange(257) - 0.5) / 255
    edges[[0, -1]] = -np.inf, np.inf
    normal = stats.norm(mean, float(likelihood.sigma))
    low, high = edges[:-1], edges[1:]
    above = low > mean  # differences of the smaller tail lose nothing
    larger = np.where(above, normal.logsf(low), normal.logcdf(high))
    expected = log_difference(larger, np.where(above, normal.logsf(high), normal.logcdf(low)))
    np.testing.assert_allclose(gray_level_log_mass(pixels, LEVELS), expected, rtol=1e-9)


def first_pixel(likelihood, value: float) -> tfp.distributions.Distribution:
    """Return the distribution of the first pixel, at this output of the decoder, once for each gray level."""
    output = np.full((256, 1, 1, channels(likelihood)), value)
    if getattr(likelihood, "scale", None) != "learned per pixel":
        return likelihood.pixels(tf.constant(output))
    location, scale = likelihood.location_and_scale(tf.constant(output))
    family = tfp.distributions.Normal if isinstance(likelihood, likelihoods.Gaussian) else DiscretizedLogistic
    return family(location, scale[:1, :1])


def test_the_mass_of_an_image_is_the_product_over_its_pixels():
    output = tf.constant(outputs())
    images = np.rint(255 * images_for(FAMILIES["gaussian"])) / 255
    whole = gray_level_log_mass(FAMILIES["gaussian"].pixels(output), images)
    assert whole.shape == (BATCH,)
    by_pixel = [
        gray_level_log_mass(
            FAMILIES["gaussian"].pixels(output[:, row : row + 1, column : column + 1]),
            images[:, row : row + 1, column : column + 1],
        )
        for row, column in np.ndindex(*IMAGE[:2])
    ]
    np.testing.assert_allclose(whole, np.sum(by_pixel, axis=0), rtol=1e-12)


def test_pixels_between_the_gray_levels_have_no_mass():
    pixels = FAMILIES["gaussian"].pixels(tf.constant(outputs()))
    with pytest.raises(ValueError, match="multiples of 1/255"):
        gray_level_log_mass(pixels, np.full((BATCH, *IMAGE), 0.5))


@st.composite
def wild_outputs(draw):
    """A decoder's output in [−60, 60], of one head and with a second in [−20, 20], and grays, in float32."""
    shape = draw(hnp.array_shapes(min_dims=4, max_dims=4, max_side=3))
    one, other, grays = (
        draw(hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32)))
        for low, high in ((-60, 60), (-20, 20), (0, 1))
    )
    return (one, np.concatenate([one, other], -1)), grays


def assert_precise(single: np.ndarray, double: np.ndarray) -> None:
    assert np.isfinite(single).all()
    np.testing.assert_array_less(np.abs(single - double), 1e-3 * np.maximum(1, np.abs(double)))


# Not where the probability is rectified: in single precision 1 − 10⁻⁷ is another number.
@pytest.mark.parametrize("name", [name for name in FAMILIES if "learned" not in name and "rectified" not in name])
@given(example=wild_outputs())
def test_log_prob_and_its_gradient_hold_in_single_precision(name, example):
    likelihood = FAMILIES[name]
    output, images = example[0][channels(likelihood) - 1], of_support(likelihood, example[1])
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


@pytest.mark.parametrize("name", [name for name in GRAYS if "learned" not in name and name != "gaussian, decoded"])
@settings(max_examples=15)
@given(example=wild_outputs())
def test_the_mass_of_gray_levels_holds_in_single_precision(name, example):
    output, images = example[0][channels(FAMILIES[name]) - 1], np.rint(255 * example[1]) / np.float32(255)
    assert_precise(
        *(
            gray_level_log_mass(FAMILIES[name].pixels(tf.constant(output, dtype)), images).numpy()
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


SCALED = [likelihoods.Gaussian, likelihoods.DiscretizedLogistic]
scaled = pytest.mark.parametrize("family", SCALED)


@scaled
@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, "shared"])
def test_a_scale_that_is_none_is_refused(family, scale):
    with pytest.raises(ValueError, match="scale"):
        family(scale)


@scaled
def test_a_mean_or_a_lower_limit_that_is_none_is_refused(family):
    with pytest.raises(ValueError, match="for mean, got 'tanh'"):
        family(mean="tanh")
    with pytest.raises(ValueError, match="positive, finite floor of the scale, got 0"):
        family("decoded", floor=0)


def test_likelihoods_are_found_by_name_with_their_options():
    assert isinstance(likelihoods.get("continuous_bernoulli"), likelihoods.ContinuousBernoulli)
    assert likelihoods.get("bernoulli", grays=True).grays
    assert likelihoods.get("gaussian", scale=0.1).scale == 0.1
    assert likelihoods.get("discretized_logistic", mean="sigmoid").mean == "sigmoid"
    given_one = likelihoods.Bernoulli()
    assert likelihoods.get(given_one) is given_one
    with pytest.raises(ValueError, match="unknown likelihood 'poisson'; there are bernoulli"):
        likelihoods.get("poisson")


def test_a_likelihood_must_say_what_its_pixels_are():
    with pytest.raises(NotImplementedError):
        likelihoods.Likelihood().distribution(tf.zeros((1, *IMAGE)))


# --- gray levels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("location", "scale"), [(0.4, 0.03), (-2.0, 0.3), (1.0, 0.004), (0.5, 5.0), (3.0, 0.01)])
def test_a_discretized_logistic_is_the_differences_of_the_distribution_function(location, scale):
    log_mass = discretized(location, scale).log_prob(LEVELS).numpy()
    np.testing.assert_allclose(np.exp(log_mass).sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(log_mass, logistic_log_mass(LEVELS, location, scale), rtol=1e-9)


def discretized(location: float, scale: float, dtype=tf.float64) -> DiscretizedLogistic:
    return DiscretizedLogistic(*(tf.fill(LEVELS.shape, tf.constant(value, dtype)) for value in (location, scale)))


@pytest.mark.parametrize("location", [-1000.0, -3.0, 0.5, 4.0, 1000.0])
@pytest.mark.parametrize("scale", [1e-3, 1 / 255, 0.1, 1e4])
def test_the_gradient_of_a_discretized_logistic_is_finite_and_not_lost_in_the_far_tails(location, scale):
    location, scale = tf.fill(LEVELS.shape, location), tf.fill(LEVELS.shape, scale)
    with tf.GradientTape() as tape:
        tape.watch([location, scale])
        log_mass = DiscretizedLogistic(location, scale).log_prob(LEVELS.astype(np.float32))
    assert np.isfinite(log_mass).all()
    by_location, by_scale = (gradient.numpy() for gradient in tape.gradient(log_mass, [location, scale]))
    assert np.isfinite(by_location).all()
    assert np.isfinite(by_scale).all()
    far = np.abs(LEVELS - location) > 40 * scale + 1 / 255
    far &= (LEVELS > 0) | (location > 0)  # outward of an open bin everything is won already
    far &= (LEVELS < 1) | (location < 1)
    expected = np.sign(LEVELS - location) / scale  # in the tails the density falls at the rate 1/scale
    np.testing.assert_allclose(by_location[far], expected[far], rtol=1e-5)


@pytest.mark.parametrize("location", [-0.2, 0.0, 0.3, 1.0, 1.4])
@pytest.mark.parametrize("scale", [1 / 255, 0.05, 0.4])
def test_the_mean_of_a_discretized_logistic_is_that_over_its_levels(location, scale):
    distribution = discretized(location, scale)
    over_levels = (np.exp(distribution.log_prob(LEVELS)) * LEVELS).sum()
    np.testing.assert_allclose(distribution.mean(), over_levels, atol=0.02 / 255)


def test_samples_of_a_discretized_logistic_are_levels_with_their_probabilities():
    distribution = DiscretizedLogistic(tf.constant([0.002, 0.5]), tf.constant([0.01, 0.2]))
    samples = distribution.sample(20_000, seed=(1, 2)).numpy()
    assert samples.shape == (20_000, 2)
    assert pixels.are_levels(samples)
    for level in (0, 1, 3, 128, 255):
        probability = np.exp(distribution.log_prob(np.float32(level / 255)))
        found = (np.rint(255 * samples) == level).mean(axis=0)
        error = np.sqrt(probability * (1 - probability) / len(samples))
        assert (np.abs(found - probability) < 4.5 * error + 1e-6).all()


@pytest.mark.parametrize("name", DISCRETIZED)
def test_a_probability_is_at_most_one_and_its_own_mass(name):
    likelihood = FAMILIES[name]
    output, images = tf.constant(outputs(likelihood=likelihood)), images_for(likelihood)
    log_prob = likelihood.log_prob(output, images)
    assert (log_prob.numpy() < 0).all()
    np.testing.assert_allclose(gray_level_log_mass(likelihood.pixels(output), images), log_prob, rtol=1e-9)


@pytest.mark.parametrize("name", DISCRETIZED)
def test_a_discretized_likelihood_refuses_grays_between_the_levels(name):
    images = images_for(FAMILIES[name])
    assert FAMILIES[name].supports(images)
    FAMILIES[name].check(images.astype(np.float32))
    images[0, 0, 0, 0] = 100.5 / 255
    assert not FAMILIES[name].supports(images)
    with pytest.raises(ValueError, match=r"expects pixels in \{0, 1/255, …, 1\}, got grays in between") as refusal:
        FAMILIES[name].check(images)
    assert str(refusal.value).endswith(FAMILIES[name].hint)


def test_all_bytes_are_levels_in_single_precision_and_halves_of_them_are_not():
    grays = data.scale(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    assert pixels.are_levels(grays)
    assert not pixels.are_levels(grays + np.float32(pixels.HALF))
    assert not pixels.are_levels(grays + np.float32(2 * pixels.TOLERANCE / 255))


def test_bits_per_dimension_are_eight_where_all_levels_are_equally_probable():
    nats = -3 * 2 * np.log(256)
    assert bits_per_dimension(nats, IMAGE) == likelihoods.bits_per_dimension(nats, IMAGE) == pytest.approx(8)
    np.testing.assert_allclose(bits_per_dimension(np.array([0.0, -12 * np.log(2)]), (2, 2, 3)), [0, 1])
    with pytest.raises(ValueError, match=r"shape of an image, got \(28, 0, 1\)"):
        bits_per_dimension(nats, (28, 0, 1))


# --- a decoder with two heads ---------------------------------------------------------------------------------------


@scaled
def test_a_decoded_scale_stays_above_its_lower_limit_and_starts_at_a_standard_deviation_of_a_half(family):
    likelihood = family("decoded", floor=0.01)
    h = np.array([-1e4, -20.0, 0.0, 3.0], np.float32).reshape(4, 1, 1, 1)
    _, scale = likelihood.location_and_scale(tf.constant(np.concatenate([0 * h, h], -1)))
    assert (scale.numpy() >= np.float32(0.01)).all()
    np.testing.assert_allclose(scale[0], 0.01, rtol=1e-6)
    deviation = 1 if family is likelihoods.Gaussian else np.pi / np.sqrt(3)
    np.testing.assert_allclose(scale[2:, 0, 0, 0] - 0.01, [0.5 / deviation, 0.5 / deviation * np.e**3], rtol=1e-5)


@scaled
def test_a_decoder_with_the_wrong_number_of_channels_is_refused(family):
    images = np.zeros((BATCH, *IMAGE), np.float32)
    with pytest.raises(ValueError, match="two heads, so an even number of channels; got 1"):
        family("decoded")(tf.zeros((BATCH, *IMAGE)))
    with pytest.raises(ValueError, match="two heads, so an even number of channels; got 3"):
        family("decoded").log_prob(tf.zeros((BATCH, *IMAGE[:2], 3)), images)
    with pytest.raises(ValueError, match="expected 2 channels of the decoder for these images, got 4"):
        family("decoded").log_prob(tf.zeros((BATCH, *IMAGE[:2], 4)), images)
    with pytest.raises(ValueError, match="expected 1 channels of the decoder for these images, got 2"):
        family(0.5).log_prob(tf.zeros((BATCH, *IMAGE[:2], 2)), images)


def test_colors_have_locations_in_the_first_half_of_the_channels_and_scales_in_the_second():
    likelihood = likelihoods.Gaussian("decoded", "linear")
    output = np.random.default_rng(0).normal(size=(2, 4, 4, 6))
    normal = likelihood.pixels(tf.constant(output))
    np.testing.assert_array_equal(normal.loc, output[..., :3])
    np.testing.assert_allclose(normal.scale, 1 / 255 + 0.5 * np.exp(output[..., 3:]), rtol=1e-6)


@scaled
def test_a_decoded_scale_has_no_single_value(family):
    with pytest.raises(ValueError, match="depends on z"):
        family("decoded").sigma  # noqa: B018


@scaled
def test_two_heads_fit_the_mean_and_the_deviation_of_what_they_see(family):
    """Of many grays at one z, the best scale is that of their spread, and the lower limit where they are all equal."""
    rng = np.random.default_rng(0)
    grays = np.stack([rng.normal(0.5, 0.1, 4000), np.full(4000, 100 / 255)], -1).clip(0, 1)
    images = (np.rint(255 * grays) / 255).astype(np.float32).reshape(-1, 1, 2, 1)
    likelihood, output = family("decoded", "linear", floor=0.01), tf.Variable(tf.zeros((1, 1, 2, 2)))
    optimizer = keras.optimizers.Adam(0.05)
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(likelihood.log_prob(output, images))
        optimizer.apply_gradients([(tape.gradient(loss, output), output)])
    location, scale = likelihood.location_and_scale(tf.convert_to_tensor(output))
    np.testing.assert_allclose(np.ravel(location), [0.5, 100 / 255], atol=0.01)
    deviation = np.ravel(scale) * (1 if family is likelihoods.Gaussian else np.pi / np.sqrt(3))
    assert 0.09 < deviation[0] < 0.115
    assert 0.01 < np.ravel(scale)[1] < 0.013


# --- in a model -----------------------------------------------------------------------------------------------------


def small_vae(likelihood) -> VAE:
    vae = VAE(*networks.mlp(latent_dim=2, hidden=(16,), activation="relu", seed=0), likelihood)
    vae.compile(keras.optimizers.Adam(1e-2))
    return vae


@pytest.mark.parametrize("scale", ["learned", "learned per pixel"])
def test_a_model_of_gray_levels_learns_is_saved_and_loaded(grays, tmp_path, scale):
    vae = small_vae(likelihoods.DiscretizedLogistic(scale))
    elbo = vae.fit(grays, batch_size=50, epochs=4, verbose=0).history["elbo"]
    assert elbo[-1] > elbo[0] + 100
    assert vae.likelihood.sigma.numpy().mean() < 0.9 * vae.likelihood.start
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert loaded.likelihood.get_config() == vae.likelihood.get_config()
    np.testing.assert_array_equal(loaded.likelihood.sigma, vae.likelihood.sigma)
    assert loaded.evaluate(grays, verbose=0) == vae.evaluate(grays, verbose=0)


def test_a_compiled_step_refuses_grays_between_the_levels(grays):
    between = (grays + np.float32(0.5 / 255)).clip(0, 1)
    batches = tf.data.Dataset.from_tensor_slices(between).batch(50)  # only a step sees what is in it
    with pytest.raises(ValueError, match=r"expects pixels in \{0, 1/255, …, 1\}"):
        small_vae("discretized_logistic").fit(batches, verbose=0)


def test_a_head_of_scales_is_saved_with_a_network_that_ends_in_its_likelihood(tmp_path):
    likelihood = likelihoods.Gaussian("decoded", floor=0.05)
    latents = keras.Input((2,))
    both = keras.layers.Reshape((3, 2, 2))(keras.layers.Dense(12)(latents))
    network = keras.Model(latents, likelihood(both))
    assert network.output_shape == (None, *IMAGE)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(loaded(z), network(z))
    assert (loaded.layers[-1].scale, loaded.layers[-1].floor) == ("decoded", 0.05)


@pytest.mark.half_precision
def test_in_mixed_precision_gray_levels_are_computed_with_all_digits(grays):
    with policies.built_in("mixed_bfloat16"):
        vae = small_vae("discretized_logistic")
    history = vae.fit(grays, batch_size=50, epochs=2, verbose=0).history["elbo"]
    assert vae.likelihood.weights[0].dtype == "float32"
    assert vae.log_likelihood(grays[:4], np.zeros((4, 2), np.float32)).dtype == tf.float32
    single = small_vae("discretized_logistic").fit(grays, batch_size=50, epochs=2, verbose=0).history["elbo"]
    np.testing.assert_allclose(history, single, rtol=0.02)
