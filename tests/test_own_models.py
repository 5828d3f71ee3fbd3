"""Models that the course does not contain, put to the diagnosis: no sound one is condemned, every slip is named."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from vaecourse import VAE, data, likelihoods, models, networks, objectives, specimens
from vaecourse.clinic import diagnose, own, paths, regression
from vaecourse.clinic.adapted import AdaptedModel
from vaecourse.course import foreign

GRAYS = ("gaussian", "squared error", "laplace", "student")


@pytest.fixture(scope="module")
def small_images(digits):
    grays = foreign.small(data.scale(digits.train_images[:300]))
    return {True: grays, False: (grays > 0.5).astype(np.float32)}


def reported(small_images, name, **changes):
    model = foreign.FOREIGN[name]
    images = small_images[model.options.get("pixel") in GRAYS]
    return diagnose(foreign.build(images, **model.options | changes), images)


# --- of others, as functions of arrays ------------------------------------------------------------------------------


def test_there_are_thirty_of_them():
    assert len(foreign.FOREIGN) >= 30
    assert 10 < sum(model.healthy for model in foreign.FOREIGN.values()) < len(foreign.FOREIGN) - 10


@pytest.mark.parametrize("name", [name for name, model in foreign.FOREIGN.items() if model.healthy])
def test_no_healthy_model_is_condemned(small_images, name):
    report = reported(small_images, name)
    assert not report.faults, str(report)


@pytest.mark.parametrize("name", [name for name, model in foreign.FOREIGN.items() if not model.healthy])
def test_a_broken_model_is_named_and_by_nothing_else(small_images, name):
    report = reported(small_images, name)
    assert {finding.name for finding in report.findings} & foreign.FOREIGN[name].accepted, str(report)
    assert {finding.name for finding in report.faults} <= foreign.FOREIGN[name].accepted, str(report)
    assert not report.healthy


def test_an_estimated_weight_has_an_error_that_covers_the_truth(small_images):
    for name, truth in {"images only": 1, "images only, β 4": 4, "images only, kl twice": 2}.items():
        m = reported(small_images, name).measurements
        assert 0 < m["kl weight standard error"] < 0.2 * truth
        assert abs(m["kl weight"] - truth) < 4 * m["kl weight standard error"]


def test_a_wide_error_is_said_instead_of_a_weight(small_images, monkeypatch):
    monkeypatch.setattr(regression, "THRESHOLDS", regression.THRESHOLDS._replace(estimate=1e-6))
    report = reported(small_images, "images only")
    assert "too wide" in next(finding.measured for finding in report.unknown)
    assert np.isnan(report.measurements["kl weight"])


def test_the_share_of_losses_that_are_not_finite_is_that_of_the_images(small_images):
    images = small_images[False]
    model = foreign.build(images)

    def lost(x):
        return np.where(np.arange(len(x)) % 8 == 0, np.nan, np.broadcast_to(model.loss(x), len(x)))

    report = diagnose(dataclasses.replace(model, loss=lost), images)
    assert "non-finite loss" in report
    assert report.measurements["share of non-finite losses"] == 1 / 8


def test_held_out_images_show_a_gap(small_images):
    images = small_images[False]
    model = foreign.build(images)
    report = diagnose(model, images, held_out=1 - images)
    assert "worse on held-out images" in report
    assert report.measurements["gap"] > 4 * report.measurements["gap standard error"]
    assert "worse on held-out images" not in diagnose(model, images, held_out=images[::-1])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"encode": lambda x: x}, TypeError, "returns \\(mean, logvar\\)"),
        ({"encode": lambda x: (x[:, 0, 0], x[:1, 0, 0])}, ValueError, "expected mean and logvar \\(n, d\\)"),
        ({"decode": lambda z: z}, ValueError, "as many numbers as an image has"),
        ({"decode": lambda z: z[:1]}, ValueError, "an output for each of 2"),
        ({"loss": lambda x: "nine", "loss_of_parts": None}, TypeError, "a loss that returns a number"),
        ({"loss": lambda x: np.zeros(3), "loss_of_parts": None}, ValueError, "a loss of shape"),
    ],
)
def test_functions_that_return_something_else_are_refused(small_images, change, error, message):
    model = dataclasses.replace(foreign.build(small_images[False]), **change)
    with pytest.raises(error, match=message):
        diagnose(model, small_images[False])


def test_what_is_no_function_and_no_reading_is_refused():
    with pytest.raises(TypeError, match="from_keras"):
        own.from_callables(3, abs, abs)
    with pytest.raises(ValueError, match="for reading"):
        own.OwnModel(abs, abs, abs, reading="variance")
    with pytest.raises(TypeError, match="from_callables"):
        own.from_keras(keras.Sequential([keras.Input((2,)), layers.Dense(1)]))


# --- hand-written Keras models --------------------------------------------------------------------------------------


class Sampling(layers.Layer):
    def __init__(self, factor=0.5, **options):
        super().__init__(**options)
        self.generator, self.factor = keras.random.SeedGenerator(7), factor

    def call(self, mean, logvar):
        return mean + ops.exp(self.factor * logvar) * keras.random.normal(ops.shape(mean), seed=self.generator)


def keras_networks(three: bool, factor: float = 0.5):
    inputs = keras.Input((7, 7, 1))
    hidden = layers.Dense(16, "relu")(layers.Flatten()(inputs))
    outputs = [layers.Dense(2)(hidden), layers.Dense(2)(hidden)]
    if three:
        outputs.append(Sampling(factor)(*outputs))
    decoder = [keras.Input((2,)), layers.Dense(16, "relu"), layers.Dense(49, "sigmoid"), layers.Reshape((7, 7, 1))]
    return keras.Model(inputs, outputs), keras.Sequential(decoder)


class StepByHand(keras.Model):
    """In the manner of keras.io: three outputs, and a train_step with trackers."""

    def __init__(self, factor=0.5, roll=0):
        super().__init__()
        self.encoder, self.decoder = keras_networks(True, factor)
        self.tracker, self.roll = keras.metrics.Mean("total_loss"), roll

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, x):
        with tf.GradientTape() as tape:
            mean, logvar, z = self.encoder(x)
            pixels = keras.losses.binary_crossentropy(ops.roll(x, self.roll, axis=0), self.decoder(z))
            kl = -0.5 * (1 + logvar - ops.square(mean) - ops.exp(logvar))
            total = ops.mean(ops.sum(pixels, axis=(1, 2))) + ops.mean(ops.sum(kl, axis=1))
        gradients = tape.gradient(total, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.tracker.update_state(total)
        return {"loss": self.tracker.result()}


class LossByHand(keras.Model):
    """In the manner of Deep Learning with Python: two outputs, a sampler, compute_loss, and a mean over latents."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = keras_networks(False)
        self.sampler = Sampling()

    def call(self, x):
        return self.encoder(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        mean, logvar = y_pred
        pixels = keras.losses.binary_crossentropy(x, self.decoder(self.sampler(mean, logvar)))
        kl = -0.5 * (1 + logvar - ops.square(mean) - ops.exp(logvar))
        return ops.mean(ops.sum(pixels, axis=(1, 2))) + ops.mean(kl)


@pytest.fixture(scope="module")
def trained(small_images):
    def train(model):
        keras.utils.set_random_seed(0)
        model.compile(keras.optimizers.Adam(1e-2))
        model.fit(small_images[False], batch_size=50, epochs=10, verbose=0)
        return model

    return train


def test_a_model_of_keras_is_read_off_its_own_step_and_left_as_it_was(small_images, trained):
    images, model = small_images[False], trained(StepByHand())
    state = [np.array(v.numpy()) for v in [*model.variables, *model.metrics_variables, *model.optimizer.variables]]
    attributes = dict(vars(model))
    report = diagnose(own.from_keras(model), images)
    assert not report.faults, str(report)
    assert report.measurements["kl weight"] == pytest.approx(1, abs=1e-3)
    assert report.measurements["the KL reads"] == "log σ²"
    after = [v.numpy() for v in [*model.variables, *model.metrics_variables, *model.optimizer.variables]]
    assert all(map(np.array_equal, state, after))
    assert all(vars(model)[name] is value for name, value in attributes.items())
    model.fit(images, epochs=1, verbose=0)


def test_a_mean_over_latents_is_named(small_images, trained):
    report = diagnose(own.from_keras(trained(LossByHand())), small_images[False])
    assert "kl weight 1/d" in {finding.name for finding in report.faults}
    assert report.measurements["kl weight"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "name"), [({"factor": 1.0}, "sampler and kl disagree"), ({"roll": 1}, "likelihood of another form")]
)
def test_slips_of_a_model_of_keras_are_named(small_images, options, name):
    report = diagnose(own.from_keras(StepByHand(**options)), small_images[False])
    assert name in report, str(report)


class Cut(StepByHand):
    """A step in which gradients stop: on their way through z, through σ, through the KL, or before the decoder."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def train_step(self, x):
        stop = {name: ops.stop_gradient if name == self.at else lambda x: x for name in ("z", "σ", "kl", "output")}
        with tf.GradientTape() as tape:
            mean, logvar, z = self.encoder(x)
            if self.at == "σ":
                z = mean + ops.exp(0.5 * ops.stop_gradient(logvar)) * keras.random.normal(ops.shape(mean), seed=1)
            pixels = keras.losses.binary_crossentropy(x, stop["output"](self.decoder(stop["z"](z))))
            kl = stop["kl"](-0.5 * (1 + logvar - ops.square(mean) - ops.exp(logvar)))
            total = ops.mean(ops.sum(pixels, axis=(1, 2))) + ops.mean(ops.sum(kl, axis=1))
        weights = self.trainable_weights
        pairs = zip(tape.gradient(total, weights), weights, strict=True)
        self.optimizer.apply_gradients([(gradient, weight) for gradient, weight in pairs if gradient is not None])
        return {"loss": total}


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("z", "gradient cut"),
        ("σ", "gradient of σ cut"),
        ("kl", "gradient of the kl cut"),
        ("output", "decoder without gradient"),
    ],
)
def test_gradients_that_do_not_arrive_are_named(small_images, at, name):
    report = diagnose(own.from_keras(Cut(at)), small_images[False])
    assert name in {finding.name for finding in report.faults}, str(report)


@pytest.mark.parametrize("kind", [StepByHand, LossByHand])
def test_gradients_of_a_sound_step_all_arrive(small_images, kind):
    report = diagnose(own.from_keras(kind()), small_images[False])
    assert {report.measurements[name] for name in paths.PATHS} == {paths.FLOWS}


def test_the_sampler_of_a_model_of_keras_draws_what_its_layer_draws(small_images):
    draw = AdaptedModel(StepByHand(), lambda x: x).functions()["sampler"]
    mean, second = np.full((5000, 2), 3, np.float32), np.full((5000, 2), -2, np.float32)
    z, sigma = draw(mean, second), np.exp(-1)
    assert np.abs(z.mean(0) - 3).max() < 5 * sigma / 5000**0.5
    assert np.abs(z.std(0) - sigma).max() < 5 * sigma / (2 * 5000) ** 0.5


def test_an_encoder_that_returns_four_things_is_refused(small_images):
    model = StepByHand()
    model.encoder = keras.Model(model.encoder.input, [*model.encoder.outputs, model.encoder.outputs[0]])
    with pytest.raises(TypeError, match="maybe z, got 4 outputs"):
        AdaptedModel(model, lambda x: x).encode(tf.constant(small_images[False][:2]))


def test_two_calls_of_the_loss_draw_differently(small_images):
    adapted = own.from_keras(StepByHand())
    first, second = (adapted.losses(small_images[False][:20]) for _ in range(2))
    assert first != second


@pytest.mark.parametrize("wrong", [keras.Sequential([keras.Input((2,)), layers.Dense(1)]), object()])
def test_a_model_that_is_none_is_told_of_the_adapters(binary, wrong):
    with pytest.raises(TypeError, match=r"from_keras.*from_callables"):
        diagnose(wrong, binary)


def test_an_encoder_with_three_outputs_is_told_what_to_do():
    encoder, decoder = keras_networks(True)
    with pytest.raises(ValueError, match=r"one output.*got 3"):
        VAE(encoder, decoder)


# --- models of this course, and classes derived from them -----------------------------------------------------------


class Derived(VAE):
    """A VAE whose loss is written out: what its subclasses change is one line each."""

    def kl_of(self, mean, second):
        return objectives.analytic_kl(mean, second)

    def objective(self, x, y, eps, training=False):
        mean, second = self.posterior_parameters(x, y)
        log_likelihood = self.log_likelihood(x, self.reparameterize(mean, second, eps), y)
        kl = self.kl_of(mean, second)
        return {
            "loss": self.total(x, log_likelihood, kl),
            "elbo": log_likelihood - kl,
            "log_likelihood": log_likelihood,
            "kl": kl,
        }

    def total(self, x, log_likelihood, kl):
        return kl - log_likelihood


def of(**methods) -> type[VAE]:
    return type("Stranger", (Derived,), methods)


def normal_kl(mean, std, prior=1.0):
    return tf.reduce_sum(0.5 * ((mean**2 + std**2) / prior - 1 + np.log(prior)) - tf.math.log(std), -1)


def per_latent(vae, mean, logvar):
    return 0.5 * (mean**2 + tf.exp(logvar) - logvar - 1)


def distance(vae, mean, logvar):
    z, p = (
        vae.reparameterize(mean, logvar, tf.ones_like(mean)),
        tf.random.stateless_normal((200, vae.latent_dim), (1, 2)),
    )

    def similar(a, b):
        return tf.reduce_mean(tf.exp(-tf.reduce_sum((a[:, None] - b[None]) ** 2, -1) / (2 * vae.latent_dim)))

    return 100 * (similar(z, z) + similar(p, p) - 2 * similar(z, p))


def with_squares(vae, x, log_likelihood, kl):
    mean, _ = vae.posterior_parameters(x)
    image = vae.likelihood(vae._decoder_output(mean, None))
    return kl - log_likelihood + tf.reduce_sum((x - image) ** 2, (1, 2, 3))


def bent_flow():
    flow = models.CouplingFlow(specimens.LATENT_DIM, 2, hidden=8, seed=0)
    rng = np.random.default_rng(0)
    for network in flow.networks:
        network.set_weights([weight + rng.normal(size=weight.shape) * 0.1 for weight in network.get_weights()])
    return flow


UNKNOWN = "kl weight"
LOG_SIGMA = {
    "reparameterize": lambda vae, mean, v, eps: mean + tf.exp(v) * eps,
    "kl_of": lambda vae, mean, v: normal_kl(mean, tf.exp(v)),
}
SOFTPLUS = {
    "reparameterize": lambda vae, mean, v, eps: mean + tf.nn.softplus(v) * eps,
    "kl_of": lambda vae, mean, v: normal_kl(mean, tf.nn.softplus(v)),
}
FLOORED = {
    "posterior_parameters": lambda vae, x, y=None, training=False: (
        VAE.posterior_parameters(vae, x, y)[0],
        tf.maximum(VAE.posterior_parameters(vae, x, y)[1], -4.0),
    )
}
CLIPPED = {
    "reparameterize": lambda vae, mean, v, eps: mean + (tf.nn.softplus(v) + 0.05) * eps,
    "kl_of": lambda vae, mean, v: normal_kl(mean, tf.nn.softplus(v) + 0.05),
}

STRANGERS = {
    "sound": (of(), {}),
    "log σ in both": (of(**LOG_SIGMA), {}),
    "softplus σ in both": (of(**SOFTPLUS), {}),
    "softplus σ with a floor in both": (of(**CLIPPED), {}),
    "floor in posterior_parameters": (of(**FLOORED), {}),
    "noise of its own": (of(reparameterize=lambda vae, m, v, e: m + tf.exp(v / 2) * tf.random.normal(tf.shape(m))), {}),
    "monte carlo": (VAE, {"kl": "monte_carlo"}),
    "five samples": (VAE, {"samples": 5}),
    "importance weighted": (models.ImportanceWeightedVAE, {"samples": 5}),
    "doubly reparameterized": (models.ImportanceWeightedVAE, {"samples": 3, "gradient": "doubly_reparameterized"}),
}
BROKEN = {
    "free bits": (
        of(kl_of=lambda vae, m, v: tf.reduce_sum(tf.maximum(per_latent(vae, m, v), 0.5), -1)),
        {"kl of another form"},
    ),
    "free bits, small": (
        of(kl_of=lambda vae, m, v: tf.reduce_sum(tf.maximum(per_latent(vae, m, v), 0.05), -1)),
        {"kl of another form"},
    ),
    "free bits of the batch": (
        of(kl_of=lambda vae, m, v: tf.reduce_sum(tf.maximum(tf.reduce_mean(per_latent(vae, m, v), 0), 0.5))),
        {"kl of another form"},
    ),
    "mmd": (of(kl_of=distance), {"kl of another form"}),
    "|logvar|": (of(kl_of=lambda vae, m, v: objectives.analytic_kl(m, tf.abs(v))), {"kl of another form"}),
    "β by an attribute": (of(total=lambda vae, x, ll, kl: 0.3 * kl - ll), {"kl weight too small"}),
    "β 1.5": (of(total=lambda vae, x, ll, kl: 1.5 * kl - ll), {"kl weight too large"}),
    "bce + mse": (of(total=with_squares), {"likelihood of another form"}),
    "cut": (
        of(reparameterize=lambda vae, m, v, e: tf.stop_gradient(objectives.reparameterize(m, v, e))),
        {"gradient cut"},
    ),
    "σ cut": (of(reparameterize=lambda vae, m, v, e: m + tf.stop_gradient(tf.exp(v / 2)) * e), {"gradient of σ cut"}),
    "kl cut": (of(total=lambda vae, x, ll, kl: tf.stop_gradient(kl) - ll), {"gradient of the kl cut"}),
    "no noise": (of(reparameterize=lambda vae, m, v, e: m + 0 * e), {"sampler and kl disagree"}),
    "one ε": (of(reparameterize=lambda vae, m, v, e: m + tf.exp(v / 2) * e[:, :1]), {"sampler and kl disagree"}),
    "neighbor": (
        of(log_likelihood=lambda vae, x, z, y=None, training=False: VAE.log_likelihood(vae, tf.roll(x, 1, 0), z)),
        {"reconstruction compared with another image"},
    ),
    "term of the images": (
        of(total=lambda vae, x, ll, kl: kl - ll + tf.reduce_sum(x, (1, 2, 3))),
        {"loss is not minus the elbo"},
    ),
}


@pytest.fixture(scope="module")
def parts(digits):
    """Networks that are trained once, for all classes that only read them otherwise; and images."""
    vae = specimens.SOUND.build()
    specimens.SOUND.fit(vae, specimens.SOUND.prepare(digits.train_images[:1000]), epochs=2)
    return vae.encoder, vae.decoder, specimens.SOUND.prepare(digits.test_images[:200])


@pytest.mark.parametrize("name", STRANGERS)
def test_a_sound_class_has_no_findings(parts, name):
    cls, options = STRANGERS[name]
    report = diagnose(cls(*parts[:2], **options), parts[2])
    assert report.healthy, str(report)
    assert not report.remarks, str(report)
    assert report.measurements["kl weight"] == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_class_is_named_and_by_no_other_fault(parts, name):
    cls, accepted = BROKEN[name]
    report = diagnose(cls(*parts[:2]), parts[2])
    assert {finding.name for finding in report.faults} == accepted, str(report)
    weightless = {"kl of another form", "likelihood of another form"}
    assert (UNKNOWN in report) == bool(accepted & weightless)


def test_a_flow_is_measured_by_its_own_density(parts):
    vae = models.FlowVAE(*parts[:2], bent_flow())
    report = diagnose(vae, parts[2])
    assert report.healthy, str(report)
    assert report.measurements["loss + elbo"] == pytest.approx(0, abs=1e-2)
    assert "mutual information" not in report.measurements


def test_a_flow_without_its_determinant_is_named(parts):
    class Slipped(models.FlowVAE):
        def objective(self, x, y, eps, training=False):
            mean, logvar = self.posterior_parameters(x)
            z, _ = self.sample_and_log_q(mean, logvar, eps)
            kl = objectives.sampled_kl(z, eps, logvar)
            return {"loss": kl - self.log_likelihood(x, z)}

    assert "kl of another form" in diagnose(Slipped(*parts[:2], bent_flow()), parts[2])


def test_another_prior_is_named_as_such(parts):
    report = diagnose(of(kl_of=lambda vae, m, v: normal_kl(m, tf.exp(v / 2), 4.0))(*parts[:2]), parts[2])
    assert [finding.name for finding in report.findings] == ["prior is not standard normal"]
    assert report.measurements["variance of the prior"] == pytest.approx(4, abs=1e-2)


def test_the_scale_and_the_constant_of_a_loss_are_remarks(parts):
    for change, name in {"scale of the loss": lambda loss: loss / 784, "constant": lambda loss: loss - 720.0}.items():
        report = diagnose(of(total=lambda vae, x, ll, kl, of=name: of(kl - ll))(*parts[:2]), parts[2])
        assert report.healthy
        assert [change in remark.name for remark in report.remarks] == [True]


def test_what_a_classifier_says_beside_z_is_named_and_labels_are_not(digits):
    grays, y = data.scale(digits.train_images[:300]), digits.train_labels[:300].astype(np.int32)
    zeldes = models.DigitVAE(*networks.mlp_with_classifier(2, (16,), seed=0))
    encoder, decoder = networks.mlp(2, (16,), seed=0, classes=10, conditional=True)
    classifier = networks.mlp_with_classifier(2, (16,), seed=0)[2]
    others = [models.ConditionalVAE(encoder, decoder), models.SemiSupervisedVAE(encoder, decoder, classifier)]
    told = "decoder told more than z"
    assert told in diagnose(zeldes, grays, y)
    for vae in others:
        report = diagnose(vae, grays, y)
        assert told not in report
        assert "loss is not minus the elbo" not in report
        assert report.measurements["kl weight"] == pytest.approx(1, abs=2e-3)


def test_grays_are_in_the_range_of_a_continuous_bernoulli(parts, digits):
    grays = data.scale(digits.test_images[:200])
    for likelihood in (
        likelihoods.ContinuousBernoulli(),
        likelihoods.DiscretizedLogistic(),
        likelihoods.Gaussian("learned"),
    ):
        report = diagnose(VAE(*parts[:2], likelihood), grays)
        assert "pixels out of range" not in report
        assert "loss is not minus the elbo" not in report


def test_stripes_that_the_images_do_not_have_are_a_checkerboard(parts):
    encoder, decoder, images = parts
    stripes = 8.0 * (np.arange(28) % 2 - 0.5)[:, np.newaxis, np.newaxis] * np.ones((28, 28, 1), np.float32)
    striped = keras.Sequential([decoder, layers.Lambda(lambda logits: logits + stripes)])
    striped.build((None, specimens.LATENT_DIM))
    assert "checkerboard" in diagnose(VAE(encoder, striped), images)


def test_learned_by_heart_is_worse_on_held_out_images(digits):
    images = specimens.SOUND.prepare(digits.train_images[:120])
    vae = specimens.SOUND.build()
    vae.optimizer.learning_rate = 3e-3
    vae.fit(np.tile(images, (20, 1, 1, 1)), batch_size=40, verbose=0)
    held_out = specimens.SOUND.prepare(digits.test_images[:200])
    assert "worse on held-out images" not in diagnose(vae, images)
    assert "worse on held-out images" in diagnose(vae, images, held_out=held_out)


def test_findings_say_their_thresholds(parts):
    report = diagnose(BROKEN["β 1.5"][0](*parts[:2]), parts[2])
    assert "a finding beyond 1 ± 0.02" in report.findings[0].measured
    assert "another seed" in str(report)
    assert "another seed" in report._repr_html_()
