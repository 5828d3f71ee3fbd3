"""What the figures without a model compute in the page, held to SciPy and TensorFlow Probability in V8."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, special, stats

from vaecourse import likelihoods
from vaecourse.live import by_hand
from vaecourse.models import objectives
from vaecourse.models.likelihoods import gray_level_log_mass

v8 = pytest.importorskip("v8", reason="mini-racer, which brings V8, is not installed")

N = 200
EXACT = {"rtol": 0, "atol": 1e-6}
NOISE = by_hand.NOISE


@pytest.fixture(scope="module")
def scripts():
    return v8.Scripts("bound_by_hand", "gradient_lab", "pixel_lab", "draw_a_digit", "which_slip")


@pytest.fixture(scope="module")
def settings():
    """Random x, mean and σ of q in the ranges of the sliders."""
    rng = np.random.default_rng(0)
    return np.stack([rng.uniform(-3, 3, N), rng.uniform(-3, 3, N), np.exp(rng.uniform(-3.5, 1, N))], axis=1)


def by_grid(x, mean, sigma):
    """Return log p(x), the ELBO and the gap as the chapter on the ELBO computes them, on a wide grid."""
    grid = np.linspace(-25, 25, 50_001)
    spacing = grid[1] - grid[0]
    log_joint = stats.norm.logpdf(x, by_hand.curve(grid), NOISE) + stats.norm.logpdf(grid)
    evidence = special.logsumexp(log_joint) + np.log(spacing)
    log_q = stats.norm.logpdf(grid, mean, sigma)
    q = np.exp(log_q) * spacing
    return evidence, np.sum(q * (log_joint - log_q)), np.sum(q * (log_q - log_joint + evidence))


def test_the_bound_by_hand_is_that_of_a_grid(scripts, settings):
    found = scripts.get(
        f"""{settings.tolist()}.map(([x, mean, sigma]) => {{
            const bound = live.part("bound"), terms = bound.terms(x, mean, sigma, {NOISE});
            const {{ logEvidence }} = bound.evidence(x, {NOISE});
            return [logEvidence, terms.elbo, logEvidence - terms.elbo, terms.reconstruction - terms.kl, terms.kl];
        }})"""
    )
    expected = np.array([by_grid(*setting) for setting in settings])
    np.testing.assert_allclose(np.array(found)[:, :3], expected, **EXACT)
    np.testing.assert_allclose(np.array(found)[:, 3], expected[:, 1], **EXACT)
    mean, logvar = settings[:, 1, np.newaxis], 2 * np.log(settings[:, 2, np.newaxis])
    np.testing.assert_allclose(np.array(found)[:, 4], objectives.analytic_kl(mean, logvar), **EXACT)


def test_the_posterior_of_the_page_is_normalized_and_has_two_humps_at_the_first_x(scripts):
    posterior = np.array(scripts.get(f"live.part('bound').evidence(1.8, {NOISE}).posterior"))
    grid = np.linspace(-8, 8, 8001)
    assert np.sum(posterior) * 0.002 == pytest.approx(1, abs=1e-9)
    inner = posterior[1:-1]
    humps = grid[1:-1][(inner > posterior[:-2]) & (inner > posterior[2:]) & (inner > 0.1)]
    np.testing.assert_allclose(humps, [0.59, 1.71], atol=0.05)


@pytest.mark.parametrize("k", [1, 8])
def test_the_bound_of_many_draws_is_that_of_their_weights(scripts, k):
    x, mean, sigma, groups = 1.8, 0.7, 0.4, 50
    found = scripts.get(f"live.part('bound').ofDraws({x}, {mean}, {sigma}, {NOISE}, {k}, {groups}, 3)")
    eps = np.reshape(scripts.get(f"live.part('maths').generator(3).normals({k * groups})"), (groups, k))
    z = mean + sigma * eps
    log_weights = (
        stats.norm.logpdf(x, by_hand.curve(z), NOISE) + stats.norm.logpdf(z) - stats.norm.logpdf(z, mean, sigma)
    )
    bounds = np.asarray(objectives.importance_weighted_bound(tf.constant(log_weights.T)))
    np.testing.assert_allclose([found["mean"], found["error"]], [bounds.mean(), stats.sem(bounds)], **EXACT)


@pytest.mark.parametrize("start", [(0.3, 0.2), (2.0, 0.2), (0.0, 1.0)])
def test_climbing_ends_on_a_hump(scripts, start):
    """Where the search of the chapter ends, too: on one of the two maxima of the ELBO."""

    def lacking(q):
        return -by_grid(1.8, q[0], np.exp(q[1]))[1]

    end = scripts.get(
        f"""(() => {{
            let q = {{ mean: {start[0]}, sigma: {start[1]}, moved: true }};
            for (let i = 0; i < 5000 && q.moved; i++) q = live.part("bound").step(1.8, q.mean, q.sigma, {NOISE});
            return [q.mean, Math.log(q.sigma)];
        }})()"""
    )
    best = optimize.minimize(lacking, end, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
    np.testing.assert_allclose(end, best.x, atol=2e-3)


def in_lab(scripts, call):
    return np.array(scripts.get(f"[0, 1, 2].map((kind) => live.part('gradients').{call})"))


def test_the_estimates_of_every_draw_are_those_of_the_formulas(scripts):
    rng = np.random.default_rng(1)
    for mu, sigma in zip(rng.uniform(-2, 2, N), np.exp(rng.uniform(-3, 0.7, N)), strict=True):
        eps = rng.normal(size=4)
        cost = (mu + sigma * eps) ** 2
        others = (cost.sum() - cost) / 3
        expected = cost * eps / sigma, (cost - others) * eps / sigma, 2 * (mu + sigma * eps)
        np.testing.assert_allclose(
            in_lab(scripts, f"each(kind, {mu}, {sigma}, {eps.tolist()})"), expected, rtol=1e-9, atol=1e-6
        )


@pytest.mark.parametrize(("mu", "sigma", "n"), [(1.0, 0.5, 2), (-0.4, 1.5, 8), (0.0, 0.1, 4)])
def test_the_standard_deviations_are_those_of_many_estimates(scripts, mu, sigma, n):
    """With 40,000 estimates a measured standard deviation is off by about √((κ − 1)/4/40,000) of itself, κ < 60."""
    eps = np.random.default_rng(2).normal(size=(40_000, n))
    cost = (mu + sigma * eps) ** 2
    others = (cost.sum(axis=1, keepdims=True) - cost) / (n - 1)
    means = [each.mean(axis=1) for each in (cost * eps / sigma, (cost - others) * eps / sigma, 2 * (mu + sigma * eps))]
    found = in_lab(scripts, f"deviation(kind, {mu}, {sigma}, {n})")
    np.testing.assert_allclose([values.std() for values in means], found, rtol=4 * np.sqrt(59 / 4 / 40_000))
    score = np.sqrt((mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2) / n)  # as in the chapter
    np.testing.assert_allclose(found[[0, 2]], [score, 2 * sigma / np.sqrt(n)], **EXACT)


FAMILIES = [
    lambda s: likelihoods.Gaussian(s),
    lambda s: likelihoods.DiscretizedLogistic(float(s * np.sqrt(3) / np.pi), mean="sigmoid"),
    lambda s: likelihoods.ContinuousBernoulli(),
    lambda s: likelihoods.Bernoulli(grays=True),
]


def expected_of(kind, output, sigma, level):
    """Return log density, log mass and slope of one pixel in double precision, by the module."""
    family = FAMILIES[kind](sigma)
    x = tf.constant(level / 255, tf.float64, (1, 1, 1, 1))
    with tf.GradientTape() as tape:
        o = tf.constant(output, tf.float64, (1, 1, 1, 1))
        tape.watch(o)
        pixels = family.pixels(o)
        log_prob = pixels.log_prob(x)
    density = pixels.density.log_prob(x) if kind == 1 else log_prob
    mass = log_prob if kind == 3 else gray_level_log_mass(pixels, x)
    return [float(tf.reduce_sum(v)) for v in (density, mass, tape.gradient(log_prob, o))]


@pytest.mark.parametrize("kind", range(4))
def test_a_pixel_costs_what_the_likelihoods_say(scripts, kind):
    """The scales are powers of two and sums of few, which single precision holds, in which layers keep them."""
    rng = np.random.default_rng(kind)
    levels = [0, 255] if kind == 3 else [0, 255, *rng.integers(0, 256, N // 4)]
    for level in levels[: N // 4]:
        output, sigma = rng.uniform(-6, 6), float(rng.integers(4, 128) / 128)
        if kind == 1:
            sigma = float(np.float32(sigma * np.sqrt(3) / np.pi)) * np.pi / np.sqrt(3)
        arguments = f"{kind}, {output}, {sigma}"
        density, mass, slope = scripts.get(
            f"[live.part('pixel').logDensity({arguments}, {level / 255}), "
            f"live.part('pixel').logMass({arguments}, {level}), live.part('pixel').slope({arguments}, {level})]"
        )
        expected = expected_of(kind, output, sigma, int(level))
        np.testing.assert_allclose([density, mass, slope], expected, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("kind", range(3))
def test_the_probabilities_of_all_levels_add_up_to_one(scripts, kind):
    for output, sigma in ((-2.2, 0.13), (0.0, 0.5), (1e-6, 0.05), (6.0, 0.02)):
        call = f"live.part('pixel').logMass({kind}, {output}, {sigma}, k)"
        total = scripts.get(f"Array.from({{ length: 256 }}, (_, k) => Math.exp({call})).reduce((a, b) => a + b)")
        assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (by_hand.bound_by_hand, {"x": 7.0}, "from -3 to 3"),
        (by_hand.gradient_lab, {"sigma": 0.0}, "sigma from 0.05"),
        (by_hand.pixel_lab, {"level": 300}, "level from 0 to 255"),
    ],
)
def test_what_no_slider_reaches_is_refused(make, options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)


def reduced(scripts, ink, shape, centered):
    height, width = ink.shape
    call = f"reduced({ink.ravel().tolist()}, {width}, {height}, {list(shape)}, {str(centered).lower()})"
    return np.reshape(scripts.get(f"live.part('drawing').{call}"), shape)


def test_a_drawing_is_shrunk_by_areas(scripts):
    ink = np.random.default_rng(0).uniform(0.1, 1, (28, 28))
    expected = ink.reshape(7, 4, 7, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(reduced(scripts, ink, (7, 7), False), expected, **EXACT)
    assert reduced(scripts, np.zeros((8, 8)), (4, 4), True).max() == 0


def test_a_drawing_is_centered_and_scaled_as_mnist_is(scripts):
    """Twenty of 28 pixels high, wherever and however large it was drawn, with its center of mass in the middle."""
    for top, left, size in ((3, 5, 40), (60, 70, 60)):
        ink = np.zeros((140, 140))
        ink[top : top + size, left : left + size // 2] = 1
        image = reduced(scripts, ink, (28, 28), True)
        rows, columns = np.indices(image.shape) + 0.5
        middle = [np.sum(image * axis) / image.sum() for axis in (rows, columns)]
        np.testing.assert_allclose(middle, [14, 14], atol=0.05)
        assert np.sum(image.max(axis=1) > 0.5) == pytest.approx(20, abs=1)


def test_the_quiz_gives_points(scripts):
    points = [[0, 0, 4], [1, 0, 3], [0, 1, 2], [2, 1, 1], [9, 4, 1]]
    for hints, wrong, expected in points:
        assert scripts.get(f"live.part('quiz').points({hints}, {wrong})") == expected
