"""What a diagnosis measures, against closed forms; and what it says of models that are broken, or are not."""

import collections
import itertools
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate

from vaecourse import (
    VAE,
    ConditionalVAE,
    course,
    likelihoods,
    measures,
    models,
    networks,
    objectives,
    recipes,
    specimens,
)
from vaecourse.clinic import advice, diagnosis, findings, judging, measuring, thresholds
from vaecourse.clinic.stand_ins import StandIn, with_networks

tfd = tfp.distributions

CAUSES = {
    "pixels out of range",
    "likelihood of another form",
    "kl of another form",
    "log-likelihood weight not positive",
    "mean over pixels",
    "kl weight zero",
    "kl weight negative",
    "kl weight doubled",
    "kl weight 1/d",
    "kl weight too small",
    "kl weight too large",
    "sampler and kl disagree",
}
"""Findings about the loss, which no length of training brings about."""


def names(report) -> set[str]:
    return {finding.name for finding in report.findings}


# --- broken models are named, healthy ones pass ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def examine(digits):
    """Train a specimen on a few digits and diagnose it on others."""

    def run(specimen: specimens.Specimen, seed: int = 0) -> findings.Report:
        vae = specimen.build(seed)
        specimen.fit(vae, specimen.prepare(digits.train_images[:1000]), epochs=2)
        return diagnosis.diagnose(vae, specimen.prepare(digits.test_images))

    return run


@pytest.mark.parametrize("name", specimens.SPECIMENS)
def test_a_broken_model_is_named_by_its_effect_and_by_no_other_cause(examine, name):
    specimen = specimens.get(name)
    report = examine(specimen)
    assert any(accepted in report for accepted in specimen.accepted)
    assert not report.healthy
    assert names(report) & CAUSES <= specimen.accepted


def test_the_model_without_a_slip_passes(examine):
    assert examine(specimens.SOUND).healthy


EPOCHS = {
    "tf-cvae": 3,
    "tf-cvae-improved": 3,
    "tf-cvae-fast": 3,
    "theailearner": 2,
    "theailearner-repaired": 3,
    "zoltowski": 8,
    "zoltowski-improved": 2,
    "zeldes": 2,
    "zeldes-improved": 2,
}


@pytest.fixture(scope="module")
def examine_recipe(digits):
    """Train a recipe on digits, for part of its quick run, and diagnose it."""
    budget = course.Budget(digits, "quick")

    def run(name: str) -> findings.Report:
        recipe = recipes.get(name)
        vae = recipe.build(budget)
        (train, test), labels = recipe.images(budget), recipe.labels(budget) if vae.classes else (None, None)
        vae.fit(train, labels[0], batch_size=recipe.batch_size, epochs=EPOCHS[name], verbose=0)
        return diagnosis.diagnose(vae, test, labels[1])

    return run


@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if name not in ("theailearner", "zeldes")])
def test_a_recipe_that_is_a_vae_passes(examine_recipe, name):
    report = examine_recipe(name)
    assert report.healthy, str(report)
    assert report.measurements["kl weight"] == pytest.approx(1, abs=1e-3)


def test_the_program_whose_decoder_is_told_by_a_classifier_fails_by_that_alone(examine_recipe):
    report = examine_recipe("zeldes")
    assert [finding.name for finding in report.faults] == ["decoder told more than z"], str(report)
    assert report.measurements["kl weight"] == pytest.approx(1, abs=1e-3)


def test_the_functional_program_as_it_is_fails_by_its_weight_and_its_sampler(examine_recipe):
    report = examine_recipe("theailearner")
    assert {"kl weight too small", "sampler and kl disagree"} <= names(report)
    assert report.measurements["kl weight"] == pytest.approx(0.392, abs=1e-3)


# --- the loss as a black box ----------------------------------------------------------------------------------------


class Weighed(VAE):
    """Minimizes scale · (−log p(x|z) + weight · KL), whatever its beta is."""

    weight, scale = 1.0, 1.0

    def objective(self, x, y, eps, training=False):
        terms = self.terms(x, eps, y)
        return {"loss": self.scale * (-terms.log_likelihood + self.weight * terms.kl)}


def weighed(weight, scale, d, model=Weighed, likelihood="bernoulli", **options) -> VAE:
    vae = model(*networks.mlp(d, (8,), seed=0), likelihood, **options)
    vae.weight, vae.scale = weight, scale
    return vae


@pytest.mark.parametrize("seed", range(6))
def test_weight_and_scale_of_the_kl_are_read_off_the_loss(binary, seed):
    rng = np.random.default_rng(seed)
    weight, scale, d = rng.normal() * 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-3, 2), int(rng.integers(1, 30))
    vae = weighed(
        weight,
        scale,
        d,
        kl=["analytic", "monte_carlo"][seed % 2],
        samples=1 + seed % 3,
        likelihood=["bernoulli", "gaussian", "continuous_bernoulli"][seed % 3],
        beta=7.0,
    )
    measurements = diagnosis.diagnose(vae, binary[:100], seed=seed).measurements
    assert measurements["kl weight"] == pytest.approx(weight, rel=1e-3)
    assert measurements["log-likelihood weight"] == pytest.approx(scale, rel=1e-3)


@pytest.mark.parametrize(
    ("weight", "d", "name"),
    [
        (1, 5, None),
        (1.01, 5, None),
        (1, 1, None),
        (0, 5, "kl weight zero"),
        (-1, 5, "kl weight negative"),
        (-0.2, 5, "kl weight negative"),
        (2, 5, "kl weight doubled"),
        (0.2, 5, "kl weight 1/d"),
        (0.2, 7, "kl weight too small"),
        (3.1, 5, "kl weight too large"),
        (784, 5, "mean over pixels"),
    ],
)
@pytest.mark.parametrize("scale", [1, 1 / 784, 30])
def test_a_weight_is_named_by_what_it_amounts_to_in_whatever_unit_the_loss_is(binary, weight, d, name, scale):
    report = diagnosis.diagnose(weighed(weight, scale, d), binary[:100])
    assert names(report) & CAUSES == ({name} if name else set())


class Upside(Weighed):
    def objective(self, x, y, eps, training=False):
        terms = self.terms(x, eps, y)
        return {"loss": terms.log_likelihood + terms.kl}


class WithoutLogvar(Weighed):
    def objective(self, x, y, eps, training=False):
        terms = self.terms(x, eps, y)
        mean, logvar = self.posterior_parameters(x, y)
        return {"loss": -terms.log_likelihood + 0.5 * tf.reduce_sum(mean**2 + tf.exp(logvar), -1)}


class Absolute(Weighed):
    def objective(self, x, y, eps, training=False):
        terms = self.terms(x, eps, y)
        error = tf.reduce_sum(tf.abs(x - self.reconstruct(x, eps)), axis=(1, 2, 3))
        return {"loss": error + terms.kl}


class OwnNoise(VAE):
    def reparameterize(self, mean, logvar, eps):
        return mean + 0 * eps


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Upside, "log-likelihood weight not positive"),
        (WithoutLogvar, "kl of another form"),
        (Absolute, "likelihood of another form"),
        (OwnNoise, "sampler and kl disagree"),
    ],
)
def test_a_loss_of_another_form_is_named(binary, model, name):
    assert name in diagnosis.diagnose(weighed(1, 1, 3, model), binary[:100])


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0])
def test_what_the_sampler_draws_is_compared_with_what_the_kl_assumes(binary, exponent):
    class Drawing(VAE):
        def reparameterize(self, mean, logvar, eps):
            return mean + tf.exp(exponent * logvar) * eps

    report = diagnosis.diagnose(weighed(1, 1, 3, Drawing), binary[:100])
    least, most = report.measurements["std of z over the KL's"]
    reach = [math.exp((exponent - 0.5) * logvar) for logvar in (-5, 3)]  # of the log-variances that are tried
    assert min(reach) - 1e-4 <= least <= most <= max(reach) + 1e-4
    assert math.log(most / least) >= 0.7 * abs(math.log(reach[0] / reach[1])) - 1e-6
    assert ("sampler and kl disagree" in report) == (exponent != 0.5)


class Odd(VAE):
    """Draws with σ = softplus(v) + 0.05, a convention without a name, and pays for that."""

    def reparameterize(self, mean, second, eps):
        return mean + (tf.nn.softplus(second) + 0.05) * eps

    def objective(self, x, y, eps, training=False):
        mean, second = self.posterior_parameters(x, y)
        std = tf.nn.softplus(second) + 0.05
        kl = tf.reduce_sum(0.5 * (mean**2 + std**2 - 1) - tf.math.log(std), -1)
        return {"loss": kl - self.log_likelihood(x, self.reparameterize(mean, second, eps))}


class WiderPrior(VAE):
    def objective(self, x, y, eps, training=False):
        terms, (mean, logvar) = self.terms(x, eps, y), self.posterior_parameters(x, y)
        kl = 0.5 * tf.reduce_sum((mean**2 + tf.exp(logvar)) / 4 - logvar - 1 + np.log(4.0), -1)
        return {"loss": kl - terms.log_likelihood}


class OtherTarget(VAE):
    def objective(self, x, y, eps, training=False):
        mean, logvar = self.posterior_parameters(x, y)
        log_likelihood = self.log_likelihood(tf.roll(x, 1, 0), self.reparameterize(mean, logvar, eps))
        return {"loss": objectives.analytic_kl(mean, logvar) - log_likelihood}


class Cut(VAE):
    def reparameterize(self, mean, logvar, eps):
        return tf.stop_gradient(super().reparameterize(mean, logvar, eps))


class SharedNoise(VAE):
    def reparameterize(self, mean, logvar, eps):
        return super().reparameterize(mean, logvar, eps[..., :1])


def small_report(model, images):
    return diagnosis.diagnose(weighed(1, 1, 3, model), images[:100])


def test_a_convention_that_has_no_name_is_sound_if_it_is_kept(binary):
    report = small_report(Odd, binary)
    assert not names(report) & CAUSES
    assert report.measurements["kl weight"] == pytest.approx(1, abs=1e-3)
    assert report.measurements["loss + elbo"] == pytest.approx(0, abs=1e-2)


def test_where_there_is_no_kl_there_is_no_weight(binary):
    report = small_report(WithoutLogvar, binary)
    assert [finding.name for finding in report.unknown] == ["kl weight"]
    assert not {name for name in names(report) if name.startswith("kl weight ")}


def test_another_target_is_named(binary):
    assert "reconstruction compared with another image" in small_report(OtherTarget, binary)


def test_a_cut_gradient_is_named(binary):
    assert "gradient cut" in small_report(Cut, binary)
    assert "gradient cut" not in small_report(VAE, binary)


def test_a_sampler_that_shares_its_noise_is_named(binary):
    assert "sampler and kl disagree" in small_report(SharedNoise, binary)


def test_another_prior_is_a_remark(binary):
    report = small_report(WiderPrior, binary)
    assert "prior is not standard normal" in {finding.name for finding in report.remarks}
    assert report.measurements["variance of the prior"] == pytest.approx(4, rel=1e-2)
    assert not names(report) & CAUSES


# --- posteriors, pixels and the prior -------------------------------------------------------------------------------


def told(means, logvars) -> VAE:
    """Return a VAE that is told the posteriors of two groups of images, of which the first pixel is 0 or 1."""

    class Told(VAE):
        def posterior_parameters(self, x, y=None, training=False):
            group = tf.cast(tf.round(x[:, 0, 0, 0]), tf.int32)
            return tuple(tf.gather(np.array(values, np.float32), group) for values in (means, logvars))

    return Told(*networks.mlp(len(means[0]), (8,), seed=0))


@pytest.fixture(scope="module")
def halves(binary):
    """Images of which every other begins with ink."""
    images = binary[:400].copy()
    images[:, 0, 0, 0] = np.arange(len(images)) % 2
    return images


def test_the_decomposition_of_the_kl_is_that_of_a_mixture(halves):
    means, logvar = [[-1.0], [1.5]], -1.0
    m = diagnosis.diagnose(told(means, [[logvar]] * 2), halves).measurements
    z = np.linspace(-12, 12, 100_001)
    groups = np.array([tfd.Normal(mean[0], math.exp(logvar / 2)).prob(z) for mean in np.float64(means)])
    q, prior = groups.mean(axis=0), np.asarray(tfd.Normal(np.float64(0), 1).prob(z))
    information = integrate.trapezoid(groups * np.log(groups / q), z).mean()
    aggregate = integrate.trapezoid(q * np.log(q / prior), z)
    tolerance = 4 * m["mutual information standard error"]
    assert tolerance < 0.2 * information
    assert m["mutual information"] == pytest.approx(information, abs=tolerance)
    assert m["aggregate kl"] == pytest.approx(aggregate, abs=tolerance)
    assert m["aggregate kl, at least"] == pytest.approx(
        0.5 * (m["aggregate variance"][0] - 1 + 0.25**2 - math.log(m["aggregate variance"][0])), abs=1e-5
    )
    assert m["aggregate kl, at least"] < aggregate
    np.testing.assert_allclose(m["aggregate mean"], 0.25, atol=1e-6)
    np.testing.assert_allclose(m["aggregate variance"], 1.25**2 + math.exp(logvar), rtol=1e-6)


def test_posteriors_that_are_all_alike_carry_nothing_and_are_the_aggregate(halves):
    m = diagnosis.diagnose(told([[0.3, -0.4]] * 2, [[0.5, -1.0]] * 2), halves).measurements
    assert m["mutual information"] == pytest.approx(0, abs=1e-6)
    assert m["aggregate kl"] == pytest.approx(m["kl"], abs=1e-6)
    assert m["aggregate kl, at least"] == pytest.approx(m["kl"], abs=1e-5)


def test_posteriors_that_do_not_overlap_carry_the_number_of_their_groups(halves):
    m = diagnosis.diagnose(told([[-50.0], [50.0]], [[0.0]] * 2), halves).measurements
    assert m["mutual information"] == pytest.approx(math.log(2), abs=1e-6)
    assert m["mutual information at most"] == pytest.approx(math.log(len(halves)))


def test_the_terms_are_those_of_the_distributions(tiny, binary):
    vae = tiny(beta=3.0)
    m = diagnosis.diagnose(vae, binary).measurements
    q = vae.encode(binary)
    per_latent = tfd.Normal(q.mean(), q.stddev()).kl_divergence(tfd.Normal(0.0, 1.0)).numpy().mean(axis=0)
    np.testing.assert_allclose(m["kl per latent"], per_latent, rtol=1e-4)
    assert m["kl"] == pytest.approx(per_latent.sum(), rel=1e-4)
    expected = measures.elbo(vae, binary, samples=20)
    assert m["elbo"] == pytest.approx(expected.mean, abs=4 * m["elbo standard error"])
    assert m["elbo standard error"] == pytest.approx(expected.standard_error, rel=0.3)
    assert m["loss"] == pytest.approx(3 * m["kl"] - m["log_likelihood"], rel=1e-5)
    assert (m["active"] == measures.active_units(vae, binary)).all()


def test_active_units_are_counted(halves):
    vae = told([[-1.0, 0.05], [1.0, -0.05]], [[0.0, 0.0]] * 2)
    m = diagnosis.diagnose(vae, halves).measurements
    assert m["active"].tolist() == [True, False] == measures.active_units(vae, halves).tolist()
    assert m["active units"] == 1


def constant_decoder(output: np.ndarray, likelihood) -> VAE:
    """Return a VAE whose decoder says the same of every z."""
    encoder, decoder = networks.mlp(2, (4,), seed=0)
    kernel, _ = decoder.layers[-2].get_weights()
    decoder.layers[-2].set_weights([0 * kernel, output.ravel()])
    return VAE(encoder, decoder, likelihood)


def test_pixels_that_are_wrong_and_cannot_learn_are_counted(binary):
    output = np.full((28, 28, 1), 0.25, np.float32)
    output[:14], output[14:16] = -0.1, 1.2
    report = diagnosis.diagnose(constant_decoder(output, likelihoods.Bernoulli(probability="rectified")), binary)
    m = report.measurements
    dead_and_wrong = binary[:, :14].sum() + (1 - binary[:, 14:16]).sum()
    wrong = dead_and_wrong + binary[:, 16:].sum()  # where ¼ is said, ink is wrong and learns
    assert m["share of zero-gradient pixels"] == pytest.approx(16 / 28)
    assert m["share of wrong pixels"] == pytest.approx(wrong / binary.size)
    assert m["share of wrong pixels without gradient"] == pytest.approx(dead_and_wrong / wrong)
    assert {"pixels without gradient", "decoder ignores latents"} <= names(report)


def test_logits_however_wrong_have_a_gradient(binary):
    output = np.where(np.arange(784) % 2, 60, -60).astype(np.float32).reshape(28, 28, 1)
    report = diagnosis.diagnose(constant_decoder(output, "bernoulli"), binary)
    assert report.measurements["share of wrong pixels"] > 0.4
    assert report.measurements["share of wrong pixels without gradient"] == 0


def test_the_decoder_of_a_linear_model_varies_over_the_prior_as_its_weights_say(grays):
    encoder = networks.mlp(3, (4,), seed=0)[0]
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(784), keras.layers.Reshape((28, 28, 1))])
    *kernel, bias = np.random.default_rng(0).normal(size=(4, 784)).astype(np.float32)
    decoder.layers[0].set_weights([np.stack(kernel), bias])
    vae = VAE(encoder, decoder, likelihoods.Gaussian(mean="linear"))
    ratio = diagnosis.diagnose(vae, grays).measurements["variance over z, per that of images"]
    assert ratio == pytest.approx(np.square(kernel).sum() / grays.var(axis=0).sum(), rel=0.25)  # 100 draws of the prior


# --- when a measurement is a finding --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(examine):
    report = examine(specimens.SOUND)
    assert report.healthy
    return report.measurements


T = findings.THRESHOLDS


@pytest.mark.parametrize(
    ("name", "measurement", "threshold", "others"),
    [
        ("kl weight too large", "kl weight", 1 + T.weight, {}),
        ("kl weight negative", "kl weight", -T.zero, {}),
        ("kl weight zero", "kl weight", T.zero, {}),
        ("kl of another form", "loss that no KL explains", T.form, {}),
        ("likelihood of another form", "loss that no likelihood explains", T.form, {}),
        ("sampler and kl disagree", "error of the std of z", T.drawn, {}),
        ("sampler and kl disagree", "error of the mean of z", T.drawn, {}),
        ("log-likelihood weight not positive", "log-likelihood weight", 0.0, {}),
        ("pixels out of range", "share of pixels out of range", 0.0, {}),
        ("non-finite weights", "share of non-finite weights", 0.0, {}),
        ("non-finite loss", "share of non-finite losses", 0.0, {}),
        ("posterior collapse", "active units", 1, {"kl": 0.0}),
        ("posterior collapse", "kl", T.collapsed, {"active units": 0}),
        ("decoder ignores latents", "variance over z, per that of images", T.dependence, {}),
        ("aggregate posterior far from prior", "aggregate kl, at least", specimens.LATENT_DIM * T.aggregate, {}),
        ("log-variances extreme", "smallest log-variance", -T.logvar, {}),
        ("log-variances extreme", "largest log-variance", T.logvar, {}),
        ("pixels without gradient", "share of wrong pixels without gradient", T.dead, {}),
        ("probabilities confined", "share of pixels out of reach", T.confined, {}),
    ],
)
def test_a_finding_begins_at_its_threshold(sound, name, measurement, threshold, others):
    def found(value):
        return {f.name for f in judging.judge({**sound, **others, measurement: value}, specimens.LATENT_DIM, 784)}

    step = 1e-3 * (abs(threshold) or 1.0)
    assert (name in found(threshold - step)) != (name in found(threshold + step))


def test_every_finding_has_words_and_every_word_is_plain():
    for name, (meaning, remedy) in advice.WORDS.items():
        assert name == name.lower() or "KL" in name
        assert meaning[-1] == remedy[-1] == "."


def test_the_thresholds_stand_in_one_place():
    assert isinstance(T, thresholds.Thresholds)
    assert min(T) > 0
    assert (T.active, T.wrong, T.reach) == (0.01, 0.5, 0.2)


# --- the report -----------------------------------------------------------------------------------------------------


def test_a_report_says_what_was_found_in_text_and_in_html(tiny, binary):
    report = diagnosis.diagnose(tiny(beta=2.0), binary)
    finding = report.findings[0]
    assert (type(finding), type(report)) == (findings.Finding, findings.Report)
    assert finding.name == "kl weight doubled"
    assert finding.name in report
    assert "kl weight zero" not in report
    assert "β = 2" in finding.measured
    for text in (finding.name, finding.measured, finding.remedy[:20], "mutual information", "600 of 600 images"):
        assert text in str(report)
        assert text in report._repr_html_()
    assert (finding.meaning, finding.remedy) == advice.WORDS[finding.name]
    assert max(map(len, str(report).splitlines())) <= 96


def test_html_shows_what_it_is_given_and_does_not_obey():
    hostile = "<script>&"
    finding = findings.Finding(*4 * [hostile])
    shown = findings.Report(hostile, 1, 1, (finding,), {hostile: 1.0})._repr_html_()
    assert hostile not in shown
    assert shown.count("&lt;script&gt;&amp;") == 6


def test_a_large_set_is_sampled_and_the_report_says_so(tiny, binary):
    many = np.concatenate([binary, binary])
    report = diagnosis.diagnose(tiny(), many)
    assert (report.images, report.given, report.model) == (1000, 1200, "VAE") == (diagnosis.MOST_IMAGES, 1200, "VAE")
    other = diagnosis.diagnose(tiny(), many, seed=1)
    assert other.measurements["elbo"] != report.measurements["elbo"]


def test_a_diagnosis_can_be_repeated_and_leaves_the_model_as_it_was(tiny, binary):
    vae, untouched = tiny(), tiny()
    for model in (vae, untouched):
        model.fit(binary[:64], epochs=1, verbose=0)
    before, attributes = vae.get_weights(), dict(vars(vae))
    metrics = {metric.name: float(metric.result()) for metric in vae.metrics}
    first, second = (diagnosis.diagnose(vae, binary, seed=3) for _ in range(2))
    assert str(first) == str(second)
    assert all(np.array_equal(first.measurements[name], second.measurements[name]) for name in first.measurements)
    assert vars(vae).keys() == attributes.keys()
    assert all(vars(vae)[name] is attributes[name] for name in attributes)
    assert {metric.name: float(metric.result()) for metric in vae.metrics} == metrics
    assert all(map(np.array_equal, vae.get_weights(), before))
    for model in (vae, untouched):
        model.fit(binary[:64], epochs=1, verbose=0)
    assert all(map(np.array_equal, vae.get_weights(), untouched.get_weights()))


WITHOUT_ONE_NORMAL_PRIOR = {
    "LearnedPriorVAE": lambda: models.LearnedPriorVAE(
        *networks.mlp(2, (8,), classes=10, conditional=True),
        keras.Sequential([keras.Input((10,)), keras.layers.Dense(4)]),
    ),
    "CompletionVAE": lambda: models.CompletionVAE(
        *networks.mlp(2, (8,), classes=784), networks.mlp(2, (8,))[0], models.given_quadrants(1)
    ),
}


@pytest.mark.parametrize("name", WITHOUT_ONE_NORMAL_PRIOR)
def test_a_prior_of_each_condition_is_refused(name, binary):
    with pytest.raises(TypeError, match=f"one normal prior for all images; the prior of a {name} is another"):
        diagnosis.diagnose(WITHOUT_ONE_NORMAL_PRIOR[name](), binary)


def test_pixels_that_depend_on_each_other_are_refused(binary):
    vae = models.AutoregressiveVAE(*networks.mlp(2, (8,)), models.earlier_pixels())
    with pytest.raises(TypeError, match="those of AutoregressiveVAE depend on each other"):
        diagnosis.diagnose(vae, binary)


def test_a_sound_flow_is_not_said_to_have_no_kl(binary):
    report = diagnosis.diagnose(MODELS["FlowVAE"](), binary)
    assert report.measurements["why it is no KL"] == ""
    assert report.measurements["loss that no KL explains"] < 0.01


# --- a model that is in use meanwhile -------------------------------------------------------------------------------


MODELS = {
    "VAE": lambda **options: VAE(*networks.mlp(2, (16,), seed=0), **options),
    "ImportanceWeightedVAE": lambda: models.ImportanceWeightedVAE(*networks.mlp(2, (16,), seed=0), samples=3),
    "FlowVAE": lambda: models.FlowVAE(*networks.mlp(2, (16,), seed=0), models.CouplingFlow(2, 2, hidden=8)),
    "DigitVAE": lambda: models.DigitVAE(*networks.mlp_with_classifier(2, (16,), seed=0)),
    "ConditionalVAE": lambda: ConditionalVAE(*networks.mlp(2, (16,), seed=0, classes=10, conditional=True)),
}


def asked(vae: VAE, x: np.ndarray, y: np.ndarray | None) -> list[np.ndarray]:
    """Return what a model answers: reconstructions, posteriors, samples, and its metrics."""
    sampled = None if y is None else y[:3]
    q = vae.encode(x, y)
    answers = [vae.reconstruct(x, y=y), q.sample(seed=(0, 0)), vae.sample(3, seed=1, y=sampled)]
    answers += list(vae.evaluate(x, y, verbose=0, return_dict=True).values())
    return [np.asarray(answer) for answer in answers]


def in_another_thread(function):
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(function)
        assert future.exception() is None
        return future.result()


def ask_meanwhile(vae: VAE, question) -> list:
    """Let the first calls of `objective` and `decode` ask a question in another thread; return where answers come."""
    answers, ours, calls = [], threading.current_thread(), collections.Counter()

    def ask(name):
        if threading.current_thread() is ours:
            calls[name] += 1
            if calls[name] <= 2:
                answers.append(in_another_thread(question))

    class Asking(type(vae)):
        def objective(self, *arguments, **options):
            ask("objective")
            return super().objective(*arguments, **options)

        def decode(self, *arguments, **options):
            ask("decode")
            return super().decode(*arguments, **options)

    vae.__class__ = Asking
    return answers


@pytest.mark.parametrize("name", MODELS)
def test_another_thread_gets_the_numbers_of_the_model_itself(binary, labels, name):
    vae = MODELS[name]()
    vae.compile("adam", run_eagerly=True)  # nothing is asked so often that tracing would pay
    y = labels[:200] if vae.classes else None
    x = binary[:200]
    expected = asked(vae, x[:20], None if y is None else y[:20])
    before = dict(vars(vae))
    answers = ask_meanwhile(vae, lambda: asked(vae, x[:20], None if y is None else y[:20]))
    diagnosis.diagnose(vae, x, y)
    assert len(answers) == 4
    for answer in answers:
        for told, own in zip(answer, expected, strict=True):
            np.testing.assert_allclose(told, own, rtol=1e-5, atol=1e-5)  # sums of up to 784 terms, rounded to float32
    assert all(vars(vae)[attribute] is before[attribute] for attribute in ("encoder", "decoder", "likelihood"))


def test_a_model_can_be_asked_all_the_time_that_it_is_diagnosed(tiny, binary):
    vae, done = tiny(), threading.Event()
    expected = vae.reconstruct(binary).numpy()

    def serve():
        worst = 0.0
        while not done.is_set():
            worst = max(worst, float(np.abs(vae.reconstruct(binary) - expected).max()))
        return worst

    with ThreadPoolExecutor(1) as pool:
        worst = pool.submit(serve)
        try:
            report = diagnosis.diagnose(vae, binary)
        finally:
            done.set()
    assert worst.exception() is None
    assert worst.result() <= 1e-5  # probabilities in float32; those of a stand-in are off by tenths
    assert report.measurements["kl weight"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["VAE", "ConditionalVAE"])
def test_two_diagnoses_of_one_model_at_once_find_what_each_finds_alone(binary, labels, name):
    vae = MODELS[name]()
    y = labels[:300] if vae.classes else None
    alone = [diagnosis.diagnose(vae, binary[:300], y, seed) for seed in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda seed: diagnosis.diagnose(vae, binary[:300], y, seed), (0, 1)))
    for one, other in zip(alone, together, strict=True):
        assert names(one) == names(other)
        for measurement, value in one.measurements.items():
            # the same sums in float32; errors that are but rounding are compared with the thresholds of findings
            if isinstance(value, str):
                assert other.measurements[measurement] == value
            else:
                np.testing.assert_allclose(other.measurements[measurement], value, rtol=1e-4, atol=1e-5)
    assert alone[0].measurements["elbo"] != alone[1].measurements["elbo"]


@pytest.mark.parametrize("calls", [0, 1, 20, 36])
def test_a_model_whose_loss_fails_midway_is_left_as_it_was(binary, calls):
    counted = itertools.count()

    class Failing(VAE):
        def objective(self, x, y, eps, training=False):
            if next(counted) == calls:
                raise ZeroDivisionError
            return super().objective(x, y, eps, training)

    vae = Failing(*networks.mlp(2, (4,), seed=0))
    before, expected = dict(vars(vae)), vae.reconstruct(binary).numpy()
    with pytest.raises(ZeroDivisionError):
        diagnosis.diagnose(vae, binary)
    assert vars(vae).keys() == before.keys()
    assert all(vars(vae)[name] is before[name] for name in before)
    np.testing.assert_array_equal(vae.reconstruct(binary), expected)


def test_methods_that_a_model_keeps_as_attributes_speak_of_the_stand_ins(binary):
    class Keeping(VAE):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.read, self.draw = self.posterior_parameters, self.decode

        def objective(self, x, y, eps, training=False):
            mean, logvar = self.read(x)
            log_likelihood = self.draw(self.reparameterize(mean, logvar, eps)).log_prob(x)
            return {"loss": -objectives.elbo(log_likelihood, objectives.analytic_kl(mean, logvar))}

    vae = Keeping(*networks.mlp(2, (4,), seed=0))
    measurements = diagnosis.diagnose(vae, binary[:200]).measurements
    assert measurements["kl weight"] == pytest.approx(1, abs=1e-3)
    assert measurements["log-likelihood weight"] == pytest.approx(1, abs=1e-3)
    assert vae.read.__self__ is vae.draw.__self__ is vae


def test_a_stand_in_answers_for_a_network_and_keeps_what_it_was_asked(tiny, binary):
    vae, x = tiny(), binary[:5]
    mean, logvar = np.float32([0.5, -1.0]), np.float32([-2.0, 1.0])
    encoder, decoder = StandIn(vae.encoder, np.concatenate([mean, logvar])[np.newaxis]), StandIn(vae.decoder)
    assert encoder.given is encoder.said is decoder.given is decoder.said is None
    assert encoder.output_shape == vae.encoder.output_shape
    own, probed = vae.reconstruct(x), with_networks(vae, encoder=encoder, decoder=decoder)
    shown = probed.reconstruct(x)
    np.testing.assert_array_equal(encoder.given, x)
    np.testing.assert_array_equal(encoder.said, np.tile(np.concatenate([mean, logvar]), (5, 1)))
    np.testing.assert_array_equal(decoder.given, np.tile(mean, (5, 1)))
    np.testing.assert_array_equal(shown, vae.likelihood(decoder.said))
    np.testing.assert_array_equal(decoder.said, vae.decoder(decoder.given, training=False))
    np.testing.assert_array_equal(vae.reconstruct(x), own)
    assert type(probed) is type(vae)
    assert probed.likelihood is vae.likelihood
    for one, other in zip(probed.weights, vae.weights, strict=True):
        assert one is other


def test_the_loss_and_the_images_are_measured_apart(tiny, binary):
    """Each of the two says what it can without the other, and together they say what a diagnosis reports."""
    vae, x = tiny(), tf.constant(binary[:200])
    of_the_loss, weighed = measuring.of_the_loss(vae, x[:8], None, seed=0)
    of_the_images = measuring.of_the_images(vae, x, None, 0, weighed)
    assert not of_the_loss.keys() & of_the_images.keys()
    reported = diagnosis.diagnose(vae, binary[:200]).measurements
    assert reported.keys() == of_the_loss.keys() | of_the_images.keys()
    for name, value in (of_the_loss | of_the_images).items():
        np.testing.assert_array_equal(reported[name], value)


def test_weights_that_are_not_finite_do_not_hide_the_loss(tiny, binary):
    vae = tiny(beta=2.0)
    kernel = vae.encoder.layers[2].kernel
    kernel.assign(tf.fill(kernel.shape, np.nan))
    report = diagnosis.diagnose(vae, binary)
    assert {"non-finite weights", "non-finite loss", "kl weight doubled"} == names(report)
    share = np.prod(kernel.shape) / sum(map(np.size, vae.get_weights()))
    assert report.measurements["share of non-finite weights"] == pytest.approx(share)
    assert report.measurements["share of non-finite losses"] == 1


def test_what_cannot_be_diagnosed_is_refused(tiny, binary, grays):
    vae = tiny()
    with pytest.raises(TypeError, match="got Sequential"):
        diagnosis.diagnose(vae.decoder, binary)
    with pytest.raises(ValueError, match=f"at least {diagnosis.FEWEST_IMAGES} images, got 99"):
        diagnosis.diagnose(vae, binary[:99])
    with pytest.raises(ValueError, match="got grays"):
        diagnosis.diagnose(vae, grays)
    with pytest.raises(TypeError, match="expected float images"):
        diagnosis.diagnose(vae, binary.astype(np.uint8))
    with pytest.raises(ValueError, match="learns from images alone"):
        diagnosis.diagnose(vae, binary, np.zeros(len(binary), int))
    conditional = ConditionalVAE(*recipes.get("zeldes-improved").networks())
    with pytest.raises(ValueError, match="a label for each image, got 600 images and 599 labels"):
        diagnosis.diagnose(conditional, grays, np.zeros(599, int))
    with pytest.raises(ValueError, match="expected integer labels"):
        diagnosis.diagnose(conditional, grays)
