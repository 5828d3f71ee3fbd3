"""The gradient of the importance-weighted bound: three estimators against the exact one, and what their noise does.

Two small models in float64.  One has a single latent, so that an expectation over two samples is a double sum over
Gauss–Hermite nodes and everything random disappears.  The other is linear and Gaussian, with a posterior that a
diagonal q can equal.
"""

import contextlib
import datetime
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import long_training
from vaecourse import course, data, likelihoods, measures, models, networks, objectives, training
from vaecourse.models import GRADIENTS

PLAIN, LANDING, DOUBLY = GRADIENTS
SIGMA = 0.5
each_gradient = pytest.mark.parametrize("gradient", GRADIENTS)


@contextlib.contextmanager
def float64():
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")  # of the inputs, which else would be rounded
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_floatx("float32")


def curved(**options) -> models.ImportanceWeightedVAE:
    """Build a VAE of one latent and four pixels, whose posterior is far from Gaussian."""
    with float64():
        parts = networks.mlp(1, (3,), "tanh", (2, 2, 1), seed=1)
        for part in parts:
            part.set_weights([1.7 * weight for weight in part.get_weights()])
        return models.ImportanceWeightedVAE(*parts, **options)


def linear(width: float = 1.0, shift: float = 0.0, **options) -> models.ImportanceWeightedVAE:
    """Build a linear VAE whose q is `width` times as wide as the true posterior, and off by `shift`."""
    rng = np.random.default_rng(0)
    weights = np.linalg.qr(rng.normal(size=(6, 2)))[0] * [0.8, 0.4]  # orthogonal columns: a diagonal posterior
    bias = rng.uniform(0.3, 0.7, 6)
    variance = 1 / (1 + (weights**2).sum(axis=0) / SIGMA**2)
    projection = weights * variance / SIGMA**2
    with float64():
        encoder = keras.Sequential([keras.Input((3, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
        decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(6), keras.layers.Reshape((3, 2, 1))])
        logvar = np.log(variance) + 2 * np.log(width)
        mean = shift - bias @ projection
        encoder.set_weights([np.hstack([projection, 0 * projection]), np.hstack([mean, logvar])])
        decoder.set_weights([weights.T, bias])
        return models.ImportanceWeightedVAE(encoder, decoder, likelihoods.Gaussian(SIGMA, "linear"), **options)


PATTERN = np.array([1.0, 0.0, 1.0, 1.0]).reshape(1, 2, 2, 1)
FEW = np.random.default_rng(3).random((4, 3, 2, 1))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def gradients(model, loss, variables=None) -> np.ndarray:
    """Return the gradient of a function of no arguments, as one vector."""
    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, variables or model.trainable_variables)
    return np.concatenate([np.ravel(part) for part in found])


def expected_gradient(model, losses, variables) -> np.ndarray:
    """Return the gradient of the expectation of `losses(x, eps)` over two samples of one latent, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    first, second = np.meshgrid(nodes, nodes)
    eps = np.stack([first.ravel(), second.ravel()])[: model.samples, :, np.newaxis]
    x = tf.constant(np.repeat(PATTERN, eps.shape[1], axis=0))
    return gradients(
        model, lambda: tf.reduce_sum(losses(x, tf.constant(eps)) * np.outer(weights, weights).ravel()), variables
    )


def exact_gradient(model, variables) -> np.ndarray:
    """Return the gradient of the exact bound, on the way that evaluation takes."""
    return -expected_gradient(
        model, lambda x, eps: objectives.importance_weighted_bound(model.log_weights(x, eps)), variables
    )


def estimator_mean(model, variables) -> np.ndarray:
    return expected_gradient(model, lambda x, eps: model.objective(x, None, eps)["loss"], variables)


# --- the value and its gradients -------------------------------------------------------------------------------------


@each_gradient
@pytest.mark.parametrize("samples", [1, 5])
def test_the_value_is_the_importance_weighted_bound(gradient, samples):
    model = linear(1.3, samples=samples, gradient=gradient)
    eps = tf.constant(noise(samples, 4, 2))
    losses = model.objective(FEW, None, eps)
    assert tuple(losses) == model.measured
    log_weights = model.log_weights(FEW, eps)
    np.testing.assert_allclose(losses["bound"], objectives.importance_weighted_bound(log_weights), rtol=1e-12)
    np.testing.assert_allclose(losses["loss"], -losses["bound"], rtol=0)
    np.testing.assert_allclose(losses["elbo"], np.mean(log_weights, axis=0), rtol=1e-12)
    np.testing.assert_allclose(losses["elbo"], losses["log_likelihood"] - losses["kl"], rtol=1e-12)


@pytest.mark.parametrize(("gradient", "power"), [(LANDING, 1), (DOUBLY, 2)])
def test_the_gradients_are_the_formulas_of_the_papers(gradient, power):
    model = curved(samples=3, gradient=gradient)
    x, eps = tf.constant(np.repeat(PATTERN, 2, axis=0)), tf.constant(noise(3, 2, 1))
    measured = gradients(model, lambda: tf.reduce_sum(model.objective(x, None, eps)["bound"]))
    mean, logvar = model.posterior_parameters(x)
    z = tf.constant(model.reparameterize(mean, logvar, eps))
    with tf.GradientTape() as tape:
        tape.watch(z)
        joint = model.decode(z).log_prob(x) - 0.5 * tf.reduce_sum(z**2, -1)
        log_weights = joint + 0.5 * tf.reduce_sum((z - mean) ** 2 / tf.exp(logvar) + logvar, -1)
        normalized = tf.nn.softmax(log_weights, axis=0)
    along_z = tape.gradient(log_weights, z)  # ∂ log w_k/∂z_k, with q held fixed
    factor = normalized[..., tf.newaxis] ** power * along_z

    def through_z():
        mean, logvar = model.posterior_parameters(x)
        return tf.reduce_sum(factor * model.reparameterize(mean, logvar, eps))

    for_encoder = gradients(model, through_z, model.encoder.trainable_variables)
    for_decoder = gradients(
        model,
        lambda: tf.reduce_sum(normalized * model.decode(z).log_prob(x)),
        model.decoder.trainable_variables,
    )
    np.testing.assert_allclose(measured, np.concatenate([for_encoder, for_decoder]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("gradient", "samples"), [(PLAIN, 1), (PLAIN, 2), (LANDING, 1), (DOUBLY, 1), (DOUBLY, 2)])
def test_the_estimators_have_the_gradient_of_the_exact_bound_as_their_mean(gradient, samples):
    model = curved(samples=samples, gradient=gradient)
    exact = exact_gradient(model, model.trainable_variables)
    mean = estimator_mean(model, model.trainable_variables)
    np.testing.assert_allclose(mean, exact, atol=1e-6 * np.abs(exact).max())


def test_sticking_the_landing_is_biased_for_more_than_one_sample():
    model = curved(samples=2, gradient=LANDING)
    for variables, bias in ((model.encoder.trainable_variables, True), (model.decoder.trainable_variables, False)):
        exact, mean = exact_gradient(model, variables), estimator_mean(model, variables)
        off = np.linalg.norm(mean - exact) / np.linalg.norm(exact)
        assert off > 0.2 if bias else off < 1e-6


@pytest.mark.parametrize("samples", [1, 4])
def test_at_the_true_posterior_the_landing_is_stuck_for_every_noise(samples):
    size = {}
    for gradient in GRADIENTS:
        model = linear(samples=samples, gradient=gradient)
        eps = tf.constant(noise(samples, 4, 2))
        per_image = model.objective(FEW, None, eps)["bound"]
        encoder = model.encoder.trainable_variables
        found = gradients(model, lambda m=model, e=eps: tf.reduce_sum(m.objective(FEW, None, e)["bound"]), encoder)
        size[gradient] = np.abs(found).max()
        again = model.objective(FEW, None, tf.constant(noise(samples, 4, 2, seed=1)))["bound"]
        np.testing.assert_allclose(per_image, again, rtol=1e-12)  # every weight is p(x)
    assert size[LANDING] < 1e-12
    assert size[DOUBLY] < 1e-12
    assert size[PLAIN] > 0.1


def test_the_gradient_is_the_same_whether_or_not_the_forward_pass_is_compiled():
    model = curved(samples=3, gradient=DOUBLY)
    eps = tf.constant(noise(3, 1, 1))
    compiled = tf.function(lambda eps: tf.reduce_sum(model.objective(tf.constant(PATTERN), None, eps)["loss"]))
    eager = gradients(model, lambda: tf.reduce_sum(model.objective(PATTERN, None, eps)["loss"]))
    np.testing.assert_allclose(gradients(model, lambda: compiled(eps)), eager, rtol=1e-10)


# --- as a Keras model ------------------------------------------------------------------------------------------------


def small(**options) -> models.ImportanceWeightedVAE:
    vae = models.ImportanceWeightedVAE(*networks.mlp(latent_dim=2, hidden=(16,), seed=0), **options)
    vae.compile(keras.optimizers.Adam(1e-2))
    return vae


def test_with_one_sample_and_the_plain_gradient_it_is_the_vae(tiny, binary):
    weighted, ordinary = small(samples=1), tiny(kl="monte_carlo")
    histories = [vae.fit(binary[:100], epochs=2, verbose=0).history for vae in (weighted, ordinary)]
    for name in ordinary.measured:
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5)
    for one, other in zip(weighted.get_weights(), ordinary.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@each_gradient
def test_fit_raises_the_bound_above_the_elbo(binary, gradient):
    vae = small(samples=8, gradient=gradient)
    before = vae.evaluate(binary[:100], verbose=0, return_dict=True)
    vae.fit(binary[:100], epochs=10, batch_size=20, verbose=0)
    after = vae.evaluate(binary[:100], verbose=0, return_dict=True)
    assert set(after) == set(vae.measured)
    assert after["bound"] > before["bound"] + 200
    assert after["elbo"] + 1 < after["bound"] == -after["loss"]


def test_what_is_saved_is_what_was_trained(binary, tmp_path):
    vae = small(samples=3, gradient=DOUBLY, seed=5)
    vae.fit(binary[:100], verbose=0)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert (loaded.samples, loaded.gradient, loaded.seed) == (3, DOUBLY, 5)
    assert loaded.evaluate(binary[:50], verbose=0) == vae.evaluate(binary[:50], verbose=0)
    for model in (vae, loaded):
        model.fit(binary[:100], verbose=0)
    for one, other in zip(vae.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient": "straight_through"}, "unknown gradient 'straight_through'; there are plain"),
        ({"beta": 2.0}, "neither kl nor beta"),
        ({"kl": "analytic"}, "neither kl nor beta"),
        ({"samples": 0}, "samples ≥ 1"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


# --- dynamic binarization --------------------------------------------------------------------------------------------


def test_every_epoch_draws_its_own_pixels(grays):
    step = tf.Variable(0)
    batches = data.binarized_batches(grays[:50], 20, seed=1, step=step)
    assert len(batches) == 3
    assert [len(x) for x in batches] == [20, 20, 10]
    first, again = (np.concatenate(list(batches)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    step.assign(3)
    assert (np.concatenate(list(batches)) != first).any()
    assert (np.concatenate(list(data.binarized_batches(grays[:50], 20, seed=2))) != first).any()


def test_every_epoch_visits_the_images_in_its_own_order():
    numbered = np.eye(49, dtype=np.float32).reshape(49, 7, 7, 1)  # nothing is left to chance in pixels of 0 and 1
    visits = []
    for step in (0, 5):
        x = np.concatenate(list(data.binarized_batches(numbered, 10, seed=1, step=step)))
        visits.append(x.reshape(49, 49).argmax(axis=1).tolist())
    assert sorted(visits[0]) == sorted(visits[1]) == list(range(49))
    assert visits[0] != visits[1]


def test_pixels_are_drawn_with_the_probability_of_their_gray():
    grays = np.linspace(0, 1, 784, dtype=np.float32).reshape(1, 28, 28, 1)
    x = np.concatenate(list(data.binarized_batches(np.repeat(grays, 4000, axis=0), 500)))
    assert set(np.unique(x)) == {0, 1}
    p = grays[0].astype(np.float64)
    off = (x.mean(axis=0) - p)[(p > 0) & (p < 1)] / np.sqrt(p * (1 - p) / 4000)[(p > 0) & (p < 1)]
    assert abs(off.mean()) < 4 / np.sqrt(782)
    assert abs(off.std() - 1) < 4 / np.sqrt(2 * 782)
    assert not x[:, 0, 0].any()
    assert x[:, -1, -1].all()


def test_the_pixels_do_not_share_the_noise_of_the_latents():
    half = np.full((1, 28, 28, 1), 0.5, np.float32)
    vae = models.VAE(*networks.mlp(latent_dim=784, hidden=(4,), seed=0), seed=3)
    for step in range(3):
        (x,) = data.binarized_batches(half, 1, seed=3, step=step)
        pixels, latents = np.reshape(x, (-1, 2)).T, np.reshape(vae.noise(1, step), (-1, 2)).T
        together = np.corrcoef(np.concatenate([pixels, latents, np.abs(latents)]))  # normals are made in pairs
        assert np.abs(together[:2, 2:]).max() < 4.5 / np.sqrt(392)


def test_an_interrupted_training_sees_the_pixels_of_an_uninterrupted_one(grays):
    def run(*lengths: int):
        vae = small(samples=2)
        for epochs in lengths:
            epoch = training.EpochStart()
            batches = data.binarized_batches(grays[:60], 20, vae.seed, epoch.step)
            vae.fit(batches, epochs=epochs, callbacks=[epoch], verbose=0)
        return vae.get_weights()

    for one, other in zip(run(3), run(1, 2), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("factor", [2, np.nan, -1])
def test_only_grays_are_binarized(grays, factor):
    with pytest.raises(ValueError, match=r"expected grays in \[0, 1\], got (0 to 2|nan to nan|-1 to -?0)"):
        data.binarized_batches(factor * grays, 20)


# --- signal and noise ------------------------------------------------------------------------------------------------


def test_moments_are_those_of_the_gradients_one_by_one():
    model = linear(1.5, samples=3, gradient=DOUBLY)
    found = measures.gradient_moments(model, FEW, 8, seed=2, groups=2)
    each = []
    for repetition in range(8):
        eps = tf.random.stateless_normal((3, 4, 2), (2, repetition), dtype=tf.float64)
        each.append(gradients(model, lambda e=eps: tf.reduce_mean(model.objective(FEW, None, e)["loss"])))
    each = np.array(each).reshape(2, 4, -1)
    joined = {part: np.hstack([getattr(found[name], part) for name in found]) for part in ("mean", "variance")}
    np.testing.assert_allclose(joined["mean"], each.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(joined["variance"], each.var(axis=1, ddof=1), atol=1e-10)


@each_gradient
def test_by_their_standard_errors_the_estimators_agree_with_the_exact_gradient(gradient):
    model = curved(samples=2, gradient=gradient)
    found = measures.gradient_moments(model, PATTERN, 3000)
    for name, part in (("encoder", model.encoder), ("decoder", model.decoder)):
        error = np.sqrt(found[name].variance.mean(axis=0) / 3000)
        off = (found[name].mean.mean(axis=0) - exact_gradient(model, part.trainable_variables))[error > 0]
        worst = np.abs(off / error[error > 0]).max()
        if (gradient, name) == (LANDING, "encoder"):
            assert worst > 8
        else:
            assert worst < 4.5


def test_the_double_reparameterization_has_less_noise_than_the_plain_gradient():
    noises = {}
    for gradient in GRADIENTS:
        model = linear(1.2, samples=8, gradient=gradient)
        found = measures.gradient_moments(model, FEW, 400)
        noises[gradient] = {name: moments.variance.mean() for name, moments in found.items()}
    assert noises[DOUBLY]["encoder"] < 0.1 * noises[PLAIN]["encoder"]
    assert noises[DOUBLY]["decoder"] == pytest.approx(noises[PLAIN]["decoder"], rel=1e-9)


SCALE = 10.0 ** np.random.default_rng(1).uniform(-3, 3, 500)


def moments(ratio: float, repetitions: int) -> measures.GradientMoments:
    """Return moments of normal gradients of very different scales, with a known ratio of signal to noise."""
    drawn = SCALE * (ratio + noise(10, repetitions // 10, 500))
    drawn[..., 0] = 0  # a weight that no image moves
    return measures.GradientMoments(drawn.mean(axis=1), drawn.var(axis=1, ddof=1), repetitions // 10)


@pytest.mark.parametrize("ratio", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("repetitions", [100, 2000])
def test_signal_and_ratio_are_measured_within_their_errors(ratio, repetitions):
    found = moments(ratio, repetitions)
    length = ratio * np.linalg.norm(SCALE[1:])
    for measured, exact in ((found.signal_to_noise(), ratio), (found.norm(), length)):
        error = 2 * measured.mean * measured.standard_error if measured.mean else measured.standard_error**2
        assert abs(measured.mean**2 - exact**2) < 4 * error
    if repetitions == 2000 and ratio > 0.1:
        assert found.signal_to_noise().standard_error < 0.02 * ratio


def test_without_noise_there_is_a_signal_but_no_ratio():
    certain = measures.GradientMoments(np.full((10, 4), 3.0), np.zeros((10, 4)), 20)
    assert certain.norm() == measures.Estimate(pytest.approx(6.0), pytest.approx(0.0))
    with pytest.raises(ValueError, match="no noise"):
        certain.signal_to_noise()


def test_the_plain_signal_drowns_as_samples_grow_and_the_double_one_rises():
    sizes, many = np.array([4, 16, 64]), np.random.default_rng(4).random((32, 3, 2, 1))
    slopes = {}
    for gradient in GRADIENTS:
        ratios = []
        for samples in sizes:
            model = linear(1.6, 0.3, samples=int(samples), gradient=gradient)
            found = measures.gradient_signal_to_noise(model, many, 300, seed=1)
            ratios.append([found[name].mean for name in ("encoder", "decoder")])
        slopes[gradient] = np.polyfit(np.log(sizes), np.log(ratios), 1)[0]
    assert slopes[PLAIN][0] == pytest.approx(-0.5, abs=0.15)
    assert slopes[DOUBLY][0] == pytest.approx(0.5, abs=0.2)
    assert slopes[PLAIN][1] == pytest.approx(0.6, abs=0.15)
    assert slopes[LANDING][0] > 0.4  # of a gradient that is not the bound's


@pytest.mark.parametrize("repetitions", [5, 30, 1001])
def test_too_few_repetitions_are_refused(repetitions):
    with pytest.raises(ValueError, match="10 equal groups of at least 4"):
        measures.gradient_signal_to_noise(linear(), FEW, repetitions)


# --- the longer trainings -------------------------------------------------------------------------------------------


def test_the_numbers_of_the_longer_trainings_say_where_they_are_from():
    """The file is what the script writes: all runs, under its settings, each with a complete provenance."""
    measured = course.long_runs()
    assert measured["settings"] == json.loads(json.dumps(long_training.SETTINGS))
    assert {run["name"] for run in measured["runs"]} == set(long_training.RUNS)
    for run in measured["runs"]:
        source = run["provenance"]
        assert re.fullmatch("[0-9a-f]{40}", source["commit"])
        assert datetime.date.fromisoformat(source["date"])
        assert set(source["versions"]) == {"python", *long_training.PACKAGES}
        assert source["threads"] == 1
        assert "benchmarks.long_training" in source["command"]
        assert source["device"]
        assert run["seconds of training"] > 60
        assert [int(epoch) for epoch in run["curve"]] == list(long_training.AT)
        assert long_training.AT[-1] == measured["settings"]["epochs"]


def test_a_longer_training_has_the_objective_of_its_name_and_its_numbers_are_in_order():
    for run in course.long_runs()["runs"]:
        model = long_training.build(run["name"])
        assert isinstance(model, models.ImportanceWeightedVAE) == run["name"].startswith("IWAE")
        assert model.samples == (1 if run["name"].endswith("1") else 5)
        (elbo, _), (log_p, _) = run["ELBO"], run["log p(x)"]
        (bound, _) = list(run["curve"].values())[-1]
        assert elbo < log_p < -45.53  # the entropy of the pixels
        assert bound < log_p + 3
        assert 0 < run["active latents"] <= 50


def test_an_estimate_in_two_parts_has_the_error_of_both():
    level, climb = np.random.default_rng(0).normal(size=(2, 100))
    mean, error = long_training.combined(level, climb)
    assert mean == pytest.approx(level.mean() + climb.mean(), abs=1e-3)
    assert error == pytest.approx(np.sqrt((level.var(ddof=1) + climb.var(ddof=1)) / 100), abs=1e-3)
