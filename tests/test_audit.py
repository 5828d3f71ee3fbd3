"""The audit against losses whose family, β and scale are known because the test made them."""

import math

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from strangers import PIXELS, cross_entropy, kl, sigmoid, sse
from strangers import SIGMAS as READINGS

from vaecourse import audit, likelihoods, objectives
from vaecourse.clinic import divergences, probing, reconstructions, samplers

SMALL = (6, 5, 1)


def told(found: audit.Objective) -> str:
    """Return what is said of a loss in one line, however its lines are broken."""
    return " ".join(str(found).split())


def good(x, output, mean, logvar):
    return sse(x, output) + kl(mean, logvar).sum(1)


def true_sampler(mean, logvar, eps):
    return mean + np.exp(logvar / 2) * eps


def slipped_sampler(mean, logvar, eps):
    return mean + np.exp(logvar) * eps


def continuous_bernoulli(x, p):
    """By the mean of exp(logit · x) over [0, 1], which TFP has no part in."""
    logit = np.log(p / (1 - p)).astype(np.float64)
    logit[abs(logit) < 1e-6] = 1e-6
    return cross_entropy(x, p) + np.log1p(-p) + np.log(np.expm1(logit) / logit)


ENERGIES = {
    ("Bernoulli", "probability"): lambda x, o, s: cross_entropy(x, o),
    ("Bernoulli", "logits"): lambda x, o, s: cross_entropy(x, sigmoid(o)),
    ("continuous Bernoulli", "probability"): lambda x, o, s: continuous_bernoulli(x, o),
    ("Gaussian", "mean"): lambda x, o, s: -scipy.stats.norm.logpdf(x, o, math.sqrt(s)),
    ("Gaussian", "sigmoid"): lambda x, o, s: -scipy.stats.norm.logpdf(x, sigmoid(o), math.sqrt(s)),
    ("Laplace", "mean"): lambda x, o, s: -scipy.stats.laplace.logpdf(x, o, s),
    ("Laplace", "sigmoid"): lambda x, o, s: -scipy.stats.laplace.logpdf(x, sigmoid(o), s),
}
# How pixels, latents and images are reduced: what multiplies β, given the numbers of pixels and latents.
REDUCTIONS = {
    "one per image": (lambda r, k: r.sum(PIXELS) + k.sum(1), lambda n, d: 1),
    "mean of sums": (lambda r, k: np.mean(r.sum(PIXELS) + k.sum(1)), lambda n, d: 1),
    "sum": (lambda r, k: r.sum() + k.sum(), lambda n, d: 1),
    "mean over pixels": (lambda r, k: np.mean(r) + k.sum(1).mean(), lambda n, d: n),
    "mean over all": (lambda r, k: np.mean(r) + np.mean(k), lambda n, d: n / d),
    "mean over latents": (lambda r, k: r.sum(PIXELS) + k.mean(1), lambda n, d: 1 / d),
}


def recover(name, scale, beta, reduction, latent_dim=2, image_shape=SMALL, batch_size=8, factor=1.0):
    """Make a loss, and check that everything that went into it is found."""
    reduce, multiplies = REDUCTIONS[reduction]

    def loss(x, output, mean, logvar):
        return factor * np.float32(reduce(ENERGIES[name](x, output, scale), beta * kl(mean, logvar)))

    found = audit.effective_objective(loss, latent_dim=latent_dim, image_shape=image_shape, batch_size=batch_size)
    beta *= multiplies(math.prod(image_shape), latent_dim)
    assert (found.family, found.output, found.posterior) == (*name, "log σ²")
    assert found.beta == pytest.approx(beta, rel=0.002)
    assert any("maximized" in note for note in found.notes) == (factor < 0)
    if name[0] in ("Gaussian", "Laplace"):
        assert found.scale == pytest.approx(scale, rel=0.002)
        assert found.product == pytest.approx(beta * scale * (2 if name[0] == "Gaussian" else 1), rel=0.002)
    else:
        assert found.scale is None
        assert found.product == found.beta


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_family_beta_and_scale_are_recovered_whatever_the_reduction(name, reduction):
    recover(name, 0.4, 0.7, reduction, latent_dim=3)


@pytest.mark.parametrize("seed", range(40))
def test_family_beta_and_scale_of_a_random_loss_are_recovered(seed):
    rng = np.random.default_rng(seed)
    name, reduction = (list(choices)[rng.integers(len(choices))] for choices in (ENERGIES, REDUCTIONS))
    scale, beta = np.exp(rng.uniform([-4, -4], [0.7, 3]))
    image_shape = (*rng.integers(2, 13, 2).tolist(), int(rng.choice([1, 3])))
    latent_dim, batch_size = int(rng.integers(1, 31)), int(rng.integers(2, 13))
    recover(name, scale, beta, reduction, latent_dim, image_shape, batch_size, factor=rng.choice([1.0, -1.0]))


def test_a_scale_is_recovered_where_the_equation_of_the_normalizer_is_flat_and_where_it_is_0():
    recover(("Gaussian", "mean"), 1 / (2 * math.pi * math.e), 1.0, "sum")
    recover(("Gaussian", "mean"), 1 / (2 * math.pi), 1.0, "sum")
    recover(("Laplace", "mean"), 0.5, 1.0, "sum")


@pytest.mark.parametrize("constant", [0.0, 3.0, -30.0, 1000.0])
@pytest.mark.parametrize("seed", range(4))
def test_without_a_normalizer_only_the_product_is_known(constant, seed):
    least = -7 if constant < 100 else -1  # beside a constant of 1,000, rounding hides what a small weight does
    a, b = np.exp(np.random.default_rng(seed).uniform([-3, least], [3, 2])).astype(np.float32)

    def loss(x, output, mean, logvar):
        return a * sse(x, output) + b * kl(mean, logvar).sum(1) + np.float32(constant)

    found = audit.effective_objective(loss, image_shape=SMALL)
    assert found.product == pytest.approx(b / a, rel=0.01)
    assert found.scale is found.beta is None
    assert "cannot be known" in told(found)
    stated = audit.effective_objective(loss, image_shape=SMALL, sigma2=0.3)
    assert stated.scale == 0.3
    assert stated.beta == pytest.approx(b / a / 0.6, rel=0.01)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_the_vae_of_the_course_optimizes_what_it_says(tiny, likelihood, beta):
    vae = tiny(likelihood=likelihoods.get(likelihood), beta=beta)

    def loss(x, output, mean, logvar):
        return -objectives.elbo(vae.likelihood.log_prob(output, x), objectives.analytic_kl(mean, logvar), vae.beta)

    found = audit.effective_objective(loss, vae.reparameterize)
    assert found.family == {"gaussian": "Gaussian", "bernoulli": "Bernoulli"}.get(likelihood, "continuous Bernoulli")
    assert found.output == ("sigmoid" if likelihood == "gaussian" else "logits")
    assert found.beta == pytest.approx(beta, rel=1e-4)
    assert found.scale == (pytest.approx(0.25, rel=1e-4) if likelihood == "gaussian" else None)
    assert found.sampler_agrees


def test_the_keras_program_of_averages_and_a_slip():
    """:cite:t:`theailearner`: clipped cross-entropy averaged over the batch and its pixels, KL over latents."""

    def loss(x, output, mean, logvar):
        reconstruction = keras.losses.binary_crossentropy(tf.reshape(x, (1, -1)), tf.reshape(output, (1, -1)))
        return tf.reduce_mean(reconstruction - 5e-4 * tf.reduce_mean(1 + logvar - mean**2 - tf.exp(logvar), axis=-1))

    found = audit.effective_objective(loss, slipped_sampler)
    assert (found.family, found.output) == ("Bernoulli", "probability")
    assert found.beta == pytest.approx(0.392, rel=1e-3)
    assert (found.posterior, found.sampler, found.sampler_agrees) == ("log σ²", "log σ", False)


def test_a_sampled_kl_is_averaged_exactly_over_two_values_of_its_noise():
    def loss(x, output, mean, logvar, eps):
        log_likelihood = likelihoods.Bernoulli().log_prob(output, x)
        return -tf.reduce_mean(objectives.elbo(log_likelihood, objectives.monte_carlo_kl(mean, logvar, eps), 2.0))

    assert audit.effective_objective(loss, latent_dim=5, image_shape=SMALL).beta == pytest.approx(2.0, rel=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_compiled_and_eager_tensorflow_give_the_same(compiled):
    def loss(x, output, mean, logvar):
        return tf.reduce_sum(tf.abs(x - output)) + 0.7 * tf.reduce_sum(objectives.analytic_kl(mean, logvar))

    found = audit.effective_objective(tf.function(loss) if compiled else loss, b=0.5, image_shape=SMALL)
    assert (found.family, found.scale) == ("Laplace", 0.5)
    assert found.beta == pytest.approx(1.4, rel=1e-4)


STRANGERS = {
    "Huber": lambda x, o: tf.reduce_sum(tf.where(abs(x - o) < 1, (x - o) ** 2 / 2, abs(x - o) - 0.5), PIXELS),
    "log-cosh": lambda x, o: tf.reduce_sum(tf.math.log(tf.cosh(x - o)), PIXELS),
    "norm, not its square": lambda x, o: np.sqrt(sse(x, o)),
    "structural similarity": lambda x, o: 1 - tf.image.ssim(x, o, 1.0),
    "squares of differences between neighbors": lambda x, o: (np.diff(x - o, axis=1) ** 2).sum(PIXELS),
    "fourth power": lambda x, o: ((x - o) ** 4).sum(PIXELS),
    "weights of pixels": lambda x, o: ((x - o) ** 2 * np.linspace(0, 2, 12)[:, None, None]).sum(PIXELS),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_loss_that_is_no_known_likelihood_is_none_of_these(name):
    found = audit.effective_objective(
        lambda x, o, m, v: STRANGERS[name](x, o) + kl(m, v).sum(1), true_sampler, image_shape=(12, 12, 1)
    )
    assert (found.family, found.output, found.product, found.beta) == ("none of these", None, None, None)
    assert found.posterior == "log σ²"
    assert found.sampler_agrees
    assert ("only for outputs between 0 and 1" in told(found)) == (name == "Huber")


@pytest.mark.parametrize("posterior", READINGS)
@pytest.mark.parametrize("sampler", READINGS)
@pytest.mark.parametrize("draws_itself", [False, True])
def test_what_kl_and_sampler_read_as_what_is_told(posterior, sampler, draws_itself):
    rng = np.random.default_rng(5)

    def loss(x, output, mean, second):
        return np.mean(sse(x, output) + kl(mean, 2 * np.log(READINGS[posterior](second))).sum(1))

    def with_noise(mean, second, eps):
        return mean + READINGS[sampler](second) * eps

    def drawing(mean, second):
        return with_noise(mean, second, rng.normal(size=mean.shape))

    found = audit.effective_objective(loss, drawing if draws_itself else with_noise, image_shape=SMALL)
    assert (found.posterior, found.sampler) == (posterior, sampler)
    assert found.sampler_agrees == (posterior == sampler)
    assert any("no bound" in note for note in found.notes) == (posterior != sampler)


WRONG_SAMPLERS = {
    "not around the mean": lambda mean, logvar, eps: 2 * mean + np.exp(logvar / 2) * eps,
    "no noise": lambda mean, logvar, eps: mean,
    "not straight in the noise": lambda mean, logvar, eps: mean + np.exp(logvar / 2) * np.tanh(eps),
    "one draw for all": lambda mean, logvar: mean + np.exp(logvar / 2) * np.random.default_rng(1).normal(),
    "shifted": lambda mean, logvar: mean + np.exp(logvar / 2) * np.random.default_rng(1).normal(0.1, 1, mean.shape),
    "3 % too wide": lambda mean, logvar: np.random.default_rng(1).normal(mean, 1.03 * np.exp(logvar / 2)),
}


@pytest.mark.parametrize("name", WRONG_SAMPLERS)
def test_a_sampler_of_no_known_distribution_is_told(name):
    found = audit.effective_objective(
        lambda x, o, m, v: sse(x, o) + kl(m, v).sum(1), WRONG_SAMPLERS[name], image_shape=SMALL
    )
    assert found.sampler is found.sampler_agrees is None
    assert "the sampler does not draw" in found.notes[-1]


WRONG_TERMS = {
    "no mean": lambda m, v: (np.exp(v) - v - 1) / 2,
    "variance of two in one place": lambda m, v: (m**2 / 4 + np.exp(v) - v - 1) / 2,
    "free bits": lambda m, v: np.maximum(kl(m, v), 1.0),
    "capacity": lambda m, v: np.abs(kl(m, v).sum(1, keepdims=True) - 5.0),
    "penalty on the mean": lambda m, v: m**2 / 2,
}


@pytest.mark.parametrize("name", WRONG_TERMS)
def test_a_term_that_is_no_kl_is_told(name):
    found = audit.effective_objective(
        lambda x, o, m, v: sse(x, o) + WRONG_TERMS[name](m, v).sum(1), true_sampler, image_shape=SMALL
    )
    assert (found.family, found.product, found.beta, found.posterior) == ("Gaussian", None, None, None)
    assert found.sampler == "log σ²"
    assert "no KL to N(0, I)" in told(found)


@pytest.mark.parametrize(("beta", "constant"), [(1e-3, 1e4), (1e-2, 1e3)])
def test_where_rounding_hides_the_kl_its_weight_cannot_be_known(beta, constant):
    found = audit.effective_objective(
        lambda x, o, m, v: np.float32(sse(x, o) + beta * kl(m, v).sum(1) + constant), sigma2=0.5, image_shape=SMALL
    )
    assert found.beta is None
    assert "rounding of the loss hides" in told(found)


def test_a_kl_that_is_subtracted_has_a_negative_beta():
    found = audit.effective_objective(
        lambda x, o, m, v: 2 * sse(x, o) - kl(m, v).sum(1), sigma2=0.25, image_shape=SMALL
    )
    assert found.beta == pytest.approx(-1, rel=1e-3)
    assert any("subtracted" in note for note in found.notes)


def test_an_autoencoder_has_a_beta_of_0_and_a_constant_no_likelihood():
    found = audit.effective_objective(lambda x, o, m, v: sse(x, o), true_sampler, image_shape=SMALL)
    assert (found.product, found.beta, found.posterior) == (0, 0, None)
    assert "autoencoder" in told(found)
    found = audit.effective_objective(lambda x, o, m, v: kl(m, v).sum(1), image_shape=SMALL)
    assert found.family == "none of these"
    assert "does not depend on the images" in told(found)


def test_a_product_of_the_terms_is_not_taken_for_a_sum():
    found = audit.effective_objective(lambda x, o, m, v: sse(x, o) * (1 + kl(m, v).sum(1)), image_shape=SMALL)
    assert found.product is None
    assert "not the sum" in told(found)


def test_a_beta_that_depends_on_the_batch_is_told():
    """One term averaged over the batch and the other not."""
    found = audit.effective_objective(
        lambda x, o, m, v: sse(x, o).mean() + kl(m, v).sum(), sigma2=0.5, batch_size=6, image_shape=SMALL
    )
    assert found.beta == pytest.approx(6, rel=1e-3)
    assert any("depends on the size of the batch" in note for note in found.notes)


def test_the_findings_can_be_read():
    found = audit.effective_objective(
        lambda x, o, m, v: 2 * sse(x, o) + kl(m, v).sum(1), slipped_sampler, sigma2=0.25, image_shape=SMALL
    )
    assert isinstance(found, audit.Objective)
    assert str(found).splitlines() == [
        "likelihood  Gaussian, output read as mean",
        "β·2σ²       0.5",
        "pixel σ²    0.25",
        "β           1",
        "KL          to N(0, I); the posterior's σ is given as log σ²",
        "probed      pixels 0 to 1, outputs −4 to 4, ln σ² of the posterior −10 to 2, means",
        "            within 6, and close to the prior",
        "note        the sampler takes its second argument for log σ, the KL for log σ²: no",
        "            bound at any β",
    ]
    assert found.probed in told(found)
    assert str(found) in found._repr_html_()
    with pytest.raises(AttributeError):
        found.beta = 2.0


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (lambda *a: None, TypeError, "returns a number, got NoneType"),
        (lambda x, o, m, v: "12 nats", TypeError, "returns a number, got str"),
        (lambda x, o, m, v: (x - o) ** 2, ValueError, r"for each of 8 images, got shape \(8, 6, 5, 1\)"),
        (lambda x, o, m, v: kl(m, v), ValueError, r"got shape \(8, 2\)"),
        (lambda x, o, m, v: np.log(o - 1).sum(), ValueError, "the loss is not finite"),
        (lambda x, o, m, v: good(x, o, m, v) + np.random.default_rng().normal(), ValueError, "it draws inside"),
        (lambda m, v, x, o: good(x, o, m, v), ValueError, None),
    ],
)
def test_a_loss_that_cannot_be_probed_is_refused(loss, error, message):
    with pytest.raises(error, match=message):
        audit.effective_objective(loss, image_shape=SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma2": -1.0}, "positive, finite sigma2"),
        ({"sigma2": math.nan}, "positive, finite sigma2"),
        ({"b": 1.0}, "got b=1, but the likelihood of the loss, Gaussian"),
        ({"latent_dim": 0}, "latent_dim=0"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"image_shape": (28, 28)}, r"image_shape=\(28, 28\)"),
        ({"sampler": lambda m, v, eps: eps[:1]}, r"the shape of its mean, \(64, 2\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        audit.effective_objective(good, **{"image_shape": SMALL} | options)


def test_a_scale_that_contradicts_the_normalizer_is_refused():
    def loss(x, output, mean, logvar):
        return -scipy.stats.norm.logpdf(x, output, 0.5).sum(PIXELS) + kl(mean, logvar).sum(1)

    assert audit.effective_objective(loss, sigma2=0.25, image_shape=SMALL).beta == pytest.approx(1, rel=1e-3)
    with pytest.raises(ValueError, match=r"got a scale of 1, but the loss is normalized for one of 0\.25"):
        audit.effective_objective(loss, sigma2=1.0, image_shape=SMALL)


# --- how a loss is probed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_is_the_negative_log_likelihood_but_for_the_normalizer(name):
    """At the scale at which the energy is not divided: σ² = ½ of a Gaussian, b = 1 of a Laplace."""
    scale = {"Gaussian": 0.5, "Laplace": 1.0}.get(name[0])
    normalizer = {"Gaussian": 0.5 * math.log(2 * math.pi * 0.5), "Laplace": math.log(2)}.get(name[0], 0.0)
    x, output = probing.paired_stacks((8, *SMALL), (0, 1), (0.03, 0.97), stream=5)
    losses = np.array([ENERGIES[name](a, b, scale).sum(PIXELS).mean() for a, b in zip(x, output, strict=True)])
    line = probing.best_line(reconstructions.energy, [name], (x, output), losses)
    assert isinstance(line, probing.Line)
    assert line.name == name
    assert line.slope == pytest.approx(1, rel=1e-5)
    assert line.intercept == pytest.approx(normalizer * math.prod(SMALL), abs=1e-3)


@pytest.mark.parametrize("reading", READINGS)
def test_a_divergence_is_the_kl_in_every_reading(reading):
    assert READINGS.keys() == divergences.READINGS.keys()
    mean, second = probing.paired_stacks((8, 3), (-4, 4), (0.1, 3), stream=6)
    expected = kl(mean, 2 * np.log(READINGS[reading](second))).sum(2).mean(1)
    np.testing.assert_allclose(divergences.divergence(reading, mean, second), expected, rtol=1e-5)


def test_no_line_is_better_than_a_wrong_one():
    stacks = probing.paired_stacks((8, 3), (-4, 4), (0.1, 3), stream=7)
    losses = 2 * divergences.divergence("σ", *stacks) + 5
    line = probing.best_line(divergences.divergence, divergences.READINGS, stacks, losses)
    assert line.name == "σ"
    np.testing.assert_allclose((line.slope, line.intercept), (2, 5), rtol=1e-9)
    assert probing.best_line(divergences.divergence, ["log σ", "σ²"], stacks, losses) is None
    off = np.std(losses) * np.where(np.arange(probing.PROBES) % 2, 1, -1)
    assert probing.best_line(divergences.divergence, ["σ"], stacks, losses + 0.5 * probing.TOLERANCE * off)
    assert probing.best_line(divergences.divergence, ["σ"], stacks, losses + 2 * probing.TOLERANCE * off) is None


def test_probes_fill_parts_of_their_intervals_and_their_means_vary():
    shape, intervals = (8, *SMALL), ((0, 1), (-4, 4))
    for stack, again, (low, high) in zip(
        *(probing.paired_stacks(shape, *intervals, stream=1) for _ in range(2)), intervals, strict=True
    ):
        np.testing.assert_array_equal(stack, again)
        assert stack.shape == (probing.PROBES, *shape)
        assert stack.dtype == np.float32
        assert low <= stack.min() < stack.max() <= high
        # Of two uniform ends the middle has the standard deviation (high − low)/√24; that of a mean over all elements
        # of one full interval would be (high − low)/√(12 · 240).
        assert stack.reshape(probing.PROBES, -1).mean(1).std() > 0.5 * (high - low) / math.sqrt(24)


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda x, output, mean, logvar: 0, 4),
        (lambda x, output, mean, logvar, eps: 0, 5),
        (lambda x, output, mean, logvar, beta=1.0: 0, 4),
        (lambda x, output, mean, logvar, *rest, beta: 0, 4),
        (lambda: 0, 0),
    ],
)
def test_required_arguments_are_those_without_a_default_that_may_be_given_by_position(function, count):
    assert probing.required_arguments(function) == count


def test_a_rounding_error_is_four_units_in_the_last_place_of_the_largest_loss():
    assert probing.rounding_error(np.array([1.0, -8.0])) == 4 * 8 * 2.0**-23


def test_a_prober_calls_the_loss_once_for_each_probe_and_rests_where_the_loss_is_small():
    seen = []

    def loss(x, output, mean, logvar):
        seen.append((x, output, mean, logvar))
        return sse(x, output) + mean.sum(1)

    prober = probing.Prober(loss, (8, *SMALL), (8, 3))
    prober.refuse_what_changes()  # nothing has
    seen.clear()
    means, _ = probing.paired_stacks((8, 3), (-4, 4), (0, 1), stream=1)
    losses = prober(None, None, means)
    assert len(seen) == len(losses) == probing.PROBES
    for probe, mean, value in zip(seen, means, losses, strict=True):
        assert [argument.shape for argument in probe] == [(8, *SMALL)] * 2 + [(8, 3)] * 2
        assert [len(np.unique(argument)) for argument in (*probe[:2], probe[3])] == [1, 1, 1]
        assert value == pytest.approx(mean.sum() / 8, rel=1e-5, abs=1e-5)  # at rest, x is the output


def test_a_further_probe_is_on_the_line_to_twice_the_tolerance_and_what_rounding_hides():
    line = probing.Line("a", 2.0, 5.0)
    features = np.array([0.0, 20.0, 100.0])
    for share, expected in ((1.9, True), (2.1, False)):
        losses = 5 + 2 * features * (1 + share * probing.TOLERANCE)
        assert probing.continues(line, features, losses).tolist() == [True, expected, expected]
    assert not probing.continues(line, features, np.array([5.0, np.nan, 205.0])).all()
    assert probing.continues(line, features, 5 + 2 * features + 0.5, absolute=0.3).all()


@pytest.mark.parametrize("reading", READINGS)
def test_a_reading_and_its_argument_are_inverses_over_the_range_that_is_probed(reading):
    sigma = np.exp(np.linspace(*divergences.LOG_VARIANCES, 50) / 2)
    one = divergences.READINGS[reading]
    assert isinstance(one, divergences.Reading)
    np.testing.assert_allclose(one.deviation(one.argument(sigma)), sigma, rtol=1e-9)


@pytest.mark.parametrize("reading", READINGS)
def test_a_kl_term_is_found_with_its_reading_prior_slope_and_intercept(reading):
    def losses(means, seconds):
        return 3 * divergences.divergence(reading, means, seconds, 0.5, 2.0) + 7

    term = divergences.kl_term(losses, (8, 3))
    assert isinstance(term, divergences.KLTerm)
    assert (term.kind, term.reading, term.notes) == ("kl", reading, ())
    found = (term.prior_mean, term.prior_variance, term.slope, term.intercept)
    np.testing.assert_allclose(found, (0.5, 2, 3, 7), rtol=1e-4)
    prior = term.at_the_prior((8, 3))
    np.testing.assert_allclose(term.divergence(*prior), [0], atol=1e-5)
    means, seconds = term.stacks((8, 3), stream=1)
    assert np.abs(means - 0.5).max() <= divergences.MEANS * math.sqrt(2) + 1e-5
    log_variances = 2 * np.log(divergences.READINGS[reading].deviation(seconds.astype(float)) / math.sqrt(2))
    low, high = divergences.LOG_VARIANCES
    assert low - 1e-3 <= log_variances.min() < log_variances.max() <= high + 1e-3


def test_a_loss_without_posterior_has_no_kl_term():
    assert divergences.kl_term(lambda means, seconds: np.full(len(means), 3.0), (8, 3)).kind == "none"


def test_a_sampler_is_read_or_its_flaw_told():
    assert samplers.sampler_reading(slipped_sampler, 3) == samplers.SamplerReading("log σ")
    flawed = samplers.sampler_reading(lambda mean, second, eps: mean, 3)
    assert (flawed.reading, flawed.flaw) == (None, "no noise is added")


@pytest.mark.parametrize("sigma2", [0.01, 0.3])
def test_likelihood_and_scale_of_a_prober(sigma2):
    def loss(x, output, mean, logvar):
        return -scipy.stats.norm.logpdf(x, output, math.sqrt(sigma2)).sum(PIXELS) + kl(mean, logvar).sum(1)

    probe = probing.Prober(loss, (8, *SMALL), (8, 2))
    line, notes = reconstructions.likelihood(probe)
    assert (line.name, notes) == (("Gaussian", "mean"), [])
    assert line.slope == pytest.approx(0.5 / sigma2, rel=1e-4)
    term = divergences.kl_term(probe.of_the_latents, (8, 2))
    assert reconstructions.scale(probe, line, term) == (pytest.approx(sigma2, rel=1e-4), [])
    assert {reads for _, reads in reconstructions.ENERGIES} | {None} == set(reconstructions.OUTPUTS)
    assert set(reconstructions.SCALES) == {name[0] for name in reconstructions.ENERGIES if name[1] == "mean"}


def test_sums_are_over_all_but_the_batch():
    assert probing.summed(np.ones((3, 4, 5, 2))).tolist() == [10.0] * 3


@pytest.mark.parametrize(("sigma", "flaw"), [(0.0, ""), (1e-9, ""), (1e-2, "no noise is added")])
def test_noise_that_is_lost_in_the_rounding_of_the_mean_is_not_missing(sigma, flaw):
    eps = np.ones((4, 2), np.float32)
    assert samplers._flaw_of_the_noise(0 * eps, eps, sigma, rounding=1e-6) == flaw
