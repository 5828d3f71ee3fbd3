"""The parts of a diagnosis, each against a closed form: lines, asked losses, gradients, pixels, regressions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse import VAE, models, networks
from vaecourse.clinic import (
    asking,
    findings,
    fitting,
    judging,
    known,
    normal,
    own,
    paths,
    pictures,
    regression,
    thresholds,
)
from vaecourse.course import foreign

tfd = tfp.distributions


@pytest.mark.parametrize("seed", range(3))
def test_a_line_is_that_of_least_squares_and_leaves_what_is_added(seed):
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=50), rng.normal(size=50)
    slope, intercept = fitting.line(x, 3 * x - 2 + noise)
    np.testing.assert_allclose((slope, intercept), np.polyfit(x, 3 * x - 2 + noise, 1))
    fitted = 3 * x - 2
    left = fitting.unexplained(fitted + 0.1 * noise, fitted)
    assert left == pytest.approx(0.1 * np.sqrt(np.mean(noise**2)) / np.std(fitted), rel=0.05)
    assert fitting.unexplained(fitted, fitted) == 0
    assert fitting.unexplained(np.full(50, np.nan), fitted) == 1
    assert np.isnan(fitting.line(x, np.full(50, np.inf))).all()
    assert fitting.unexplained(np.full(5, 200.0), np.full(5, 200.0 + 1e-6)) < 0.01  # what does not change has no error


def test_the_kl_of_normals_is_that_of_tensorflow_probability():
    rng = np.random.default_rng(0)
    mean, deviation, center, variance = rng.normal(size=20), rng.uniform(0.1, 3, 20), 0.7, 2.5
    expected = tfd.kl_divergence(tfd.Normal(mean, deviation), tfd.Normal(np.full(20, center), np.sqrt(variance)))
    np.testing.assert_allclose(normal.normal_kl(mean, deviation, center, variance), expected, rtol=1e-12)


def test_a_loss_is_asked_about_posteriors_and_outputs_that_no_network_said(binary):
    vae = VAE(*networks.mlp(3, (4,), seed=0))
    x, rng = tf.constant(binary[:4]), np.random.default_rng(0)
    mean, logvar, eps = rng.normal(size=(3, 4, 3)).astype(np.float32)
    logits = rng.normal(size=(4, 28, 28, 1)).astype(np.float32)
    loss, z, seen = asking.Probe(vae, x, None)(x, None, mean, logvar, logits, eps)
    kl = tfd.kl_divergence(
        tfd.MultivariateNormalDiag(mean, np.exp(logvar / 2)), tfd.MultivariateNormalDiag(tf.zeros(3))
    )
    pixels = tf.reduce_sum(tfd.Bernoulli(logits).log_prob(x), axis=(1, 2, 3))
    np.testing.assert_allclose(loss, kl - pixels, rtol=1e-5)  # sums of 784 float32
    np.testing.assert_allclose(z, mean + np.exp(logvar / 2) * eps, rtol=1e-5, atol=1e-6)
    assert seen is None  # a probe says the posterior itself


def rehearsal(sampler, used=True):
    encoder, decoder = (tf.Variable([[0.5, -0.5]]), tf.Variable([[2.0]]))

    def decode(z, **_):
        return z @ decoder if used else 0 * z

    def loss(said, decoder_of_loss):
        mean, logvar = said[0][:, :1], said[0][:, 1:]
        kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(logvar) - logvar - 1)
        return tf.reduce_sum((decoder_of_loss(sampler(mean, logvar)) - 1) ** 2) + kl

    return paths.Rehearsal(loss, lambda: [tf.identity(encoder)], decode, ([encoder], [decoder]))


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (lambda m, v: m + tf.exp(v / 2), ("flows", "flows", "flows", "flows", "flows")),
        (lambda m, v: tf.stop_gradient(m + tf.exp(v / 2)), ("no path", "flows", "flows", "no path", "no path")),
        (lambda m, v: m + tf.stop_gradient(tf.exp(v / 2)), ("flows", "flows", "flows", "flows", "zero")),
    ],
)
def test_which_gradients_arrive_is_seen_without_looking_into_the_loss(sampler, expected):
    assert tuple(paths.gradients(rehearsal(sampler)).values()) == expected


def test_a_decoder_that_multiplies_by_nothing_sends_nothing():
    found = paths.gradients(rehearsal(lambda m, v: m + tf.exp(v / 2), used=False))
    assert (found[paths.ENCODER], found[paths.ENCODER_KL], found[paths.DECODER]) == ("zero", "flows", "no path")


def test_what_pixels_reach_and_where_they_cannot_learn_is_counted():
    x = np.zeros((2, 4, 4, 1))
    x[0] = 1
    image = np.full(x.shape, 0.3)
    image[1, 0] = 0.6  # four of sixteen pixels of a blank image are wrong, and all of the other
    gradient = np.ones(x.shape)
    gradient[1] = 0
    m = pictures.of_the_pixels({"image": image, "gradient": gradient}, x)
    assert (m["smallest decoded pixel"], m["largest decoded pixel"]) == (0.3, 0.6)
    assert m["share of wrong pixels"] == 20 / 32
    assert m["share of pixels out of reach"] == 1  # 0 is 0.3 from the nearest, 1 is 0.4
    assert m["share of zero-gradient pixels"] == 0.5
    assert m["share of wrong pixels without gradient"] == 4 / 20
    assert m["stripes of period 2"] == 0  # too small to tell


def test_stripes_of_period_two_stand_out_and_noise_does_not():
    images = np.random.default_rng(0).random((20, 16, 16, 1))
    striped = images + np.arange(16)[:, None, None] % 2
    assert pictures.checkerboard(images, images) < 2
    assert pictures.checkerboard(striped, images) > thresholds.THRESHOLDS.checkerboard
    assert pictures.checkerboard(striped, striped) <= 1


@pytest.mark.parametrize("nats", [7.8, 7.9])
def test_a_gap_is_a_finding_from_a_hundredth_of_a_nat_per_pixel(nats):
    measured = {"gap": nats, "gap standard error": 0.1}
    found = {finding.name for finding in judging.judge(measured, 2, 784)}
    assert ("worse on held-out images" in found) == (nats > 784 * thresholds.THRESHOLDS.overfit)


def test_what_an_output_stands_for_is_known_or_not():
    output = np.array([-3.0, 0.0, 3.0])
    np.testing.assert_allclose(known.as_image(("Bernoulli", "logits"), output), 1 / (1 + np.exp([3.0, 0, -3])))
    assert known.as_image(None, output) is None
    np.testing.assert_array_equal(known.as_image(None, output / 6 + 0.5), output / 6 + 0.5)
    assert known.Known().family is known.Known().scale is None


def test_a_regression_finds_a_weight_and_says_how_well(grays):
    images = (foreign.small(grays[:300]) > 0.5).astype(np.float32)
    net = foreign.build(images)
    model = own.from_callables(net.encode, net.decode, net.loss)
    found = regression.estimate(model, images, seed=0)
    assert isinstance(found, regression.Estimated)
    assert abs(found.weight - 1) < 4 * found.error < 1
    assert (found.why, found.mixed) == ("", "")
    assert regression.REPEATS > 1


def test_every_report_says_what_its_errors_leave_out():
    text = " ".join(str(findings.Report("VAE", 1, 1, (), {})).split())
    assert text.endswith(findings.OF_SEEDS)


def test_what_a_model_minimizes_beside_its_bound_is_no_part_of_the_bound(grays, labels):
    x, y = tf.constant(grays[:20]), labels[:20].astype(int)
    parts = networks.mlp_with_classifier(2, (8,), seed=0)
    digit = models.DigitVAE(*parts, "gaussian", classification_weight=7.0)
    plain = VAE(*networks.mlp(2, (8,), seed=0), "gaussian")
    for vae, y_of in ((digit, y), (plain, None)):
        eps = vae.noise(20, 0)
        terms, loss = vae.terms(x, eps), next(iter(vae.objective(x, y_of, eps).values()))
        beside = loss + terms.log_likelihood - terms.kl
        np.testing.assert_allclose(beside, vae.beside_the_bound(x, y_of), rtol=1e-4, atol=1e-3)  # of some hundred nats
    cross_entropy = keras.losses.sparse_categorical_crossentropy(y, digit.logits(x), from_logits=True)
    np.testing.assert_allclose(digit.beside_the_bound(x, y), 7 * cross_entropy, rtol=1e-4)
