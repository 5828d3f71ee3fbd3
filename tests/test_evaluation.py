"""Held-out numbers against brute force and closed forms, and pictures of which every pixel is known."""

import itertools

import numpy as np
import pytest
import scipy
import tensorflow as tf
from scipy import stats
from scipy.special import expit

from vaecourse import VAE, data, likelihoods, measures, models, networks, objectives, training
from vaecourse.measures import latents

PIXELS = (2, 2, 1)
QUADRATURE = {"points": 128, "reach": 6.0}


def make_small() -> VAE:
    """Build a VAE of images of four pixels: all 16 of them can be listed, and its integrals done by force.

    Its posterior is wider than the prior, so that importance weights have all their moments.
    """
    vae = VAE(*networks.mlp(latent_dim=2, hidden=(8,), activation="tanh", image_shape=PIXELS, seed=0))
    rng = np.random.default_rng(0)
    vae.decoder.set_weights([1.5 * rng.normal(size=weight.shape) for weight in vae.decoder.get_weights()])
    means, widths = 0.3 * rng.normal(size=(8, 2)), np.zeros((8, 2))
    vae.encoder.layers[-1].set_weights([np.hstack([means, widths]), np.array([0, 0, 0.3, 0.5])])
    return vae


@pytest.fixture(scope="module")
def small():
    return make_small()


ALL_IMAGES = np.array(list(itertools.product([0, 1], repeat=4)), np.float32).reshape(-1, *PIXELS)


@pytest.fixture(scope="module")
def all_images():
    return ALL_IMAGES


def make_window() -> VAE:
    """Build a VAE that shows its two latents: the logits of its two pixels."""
    encoder, decoder = networks.mlp(latent_dim=2, hidden=(), image_shape=(1, 2, 1), seed=0)
    decoder.set_weights([np.eye(2), np.zeros(2)])
    return VAE(encoder, decoder)


@pytest.fixture(scope="module")
def window():
    return make_window()


# --- estimates ----------------------------------------------------------------------------------------------------


def test_an_estimate_is_a_mean_with_its_standard_error():
    values = np.random.default_rng(0).normal(size=(50, 2))
    estimate = measures.Estimate.of(values)
    assert estimate.mean == pytest.approx(values.mean(), rel=1e-13)
    assert estimate.standard_error == pytest.approx(stats.sem(values.ravel()), rel=1e-13)
    assert str(measures.Estimate(-157.024, 0.436)) == f"{measures.Estimate(-157.024, 0.436)}" == "-157.02 ± 0.44"
    assert f"{measures.Estimate(0.8123, 0.0042):.1%}" == "81.2% ± 0.4%"
    mean, standard_error = estimate
    assert (mean, standard_error) == (estimate.mean, estimate.standard_error)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_values_have_no_standard_error(values):
    with pytest.raises(ValueError, match=f"at least two values, got {len(values)}"):
        measures.Estimate.of(np.array(values))


@pytest.mark.parametrize(("n", "samples"), [(training.EVALUATION_BATCH + 16, 1), (30, 40), (2, 501)])
def test_every_image_has_its_terms_and_weighs_the_same_however_the_batches_fall(tiny, binary, n, samples):
    vae, x = tiny(), binary[:n]
    terms = measures.elbo_terms(vae, x, samples)
    assert terms.log_likelihood.shape == terms.kl.shape == (n,)
    np.testing.assert_allclose(terms.kl, objectives.analytic_kl(*vae.posterior_parameters(x)), rtol=1e-5)
    estimate = measures.elbo(vae, x, samples)
    assert estimate.mean == pytest.approx((terms.log_likelihood - terms.kl).mean(dtype=np.float64), rel=1e-6)


def test_the_elbo_does_not_depend_on_beta(tiny, binary):
    plain, weighted = (measures.elbo(tiny(beta=beta), binary[:20]) for beta in (1.0, 4.0))
    assert plain == weighted


def test_estimates_are_functions_of_the_seed(small, all_images):
    for estimate in (measures.elbo, measures.importance_log_likelihood):
        first, again, other = (np.array(estimate(small, all_images, 5, seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert (first != other).all()


def test_more_samples_leave_less_noise(small, all_images):
    many = np.repeat(all_images, 50, axis=0)

    def spread(samples):
        log_likelihood = measures.elbo_terms(small, many, samples).log_likelihood
        return log_likelihood.reshape(16, 50).var(axis=1).mean()

    # A hundredth, within the factor by which a mean of 16 variances of 50 draws may be off.
    assert 1 / 200 < spread(100) / spread(1) < 1 / 50


# --- log p(x), three ways -----------------------------------------------------------------------------------------


def brute_force(vae: VAE, images: np.ndarray) -> np.ndarray:
    """∫ p(x|z) p(z) dz by the adaptive rule of scipy, in double precision, from the weights of the decoder."""
    first, first_bias, second, second_bias = (weight.astype(np.float64) for weight in vae.decoder.get_weights())

    def joint(z2, z1, x):
        logits = np.tanh(np.array([z1, z2]) @ first + first_bias) @ second + second_bias
        likelihood = np.prod(np.where(x == 1, expit(logits), expit(-logits)))
        return likelihood * np.exp(-(z1**2 + z2**2) / 2) / (2 * np.pi)

    integrals = [
        scipy.integrate.dblquad(joint, -7, 7, -7, 7, args=(x.ravel(),), epsabs=1e-7, epsrel=1e-5)[0] for x in images
    ]
    return np.log(integrals)


def test_quadrature_is_the_integral(small, all_images):
    some = all_images[[0, 5, 15]]
    np.testing.assert_allclose(
        measures.exact_log_likelihood(small, some, **QUADRATURE), brute_force(small, some), atol=1e-4
    )


def test_quadrature_gives_all_images_together_the_probability_one(small, all_images):
    log_probabilities = measures.exact_log_likelihood(small, all_images, **QUADRATURE)
    assert np.exp(log_probabilities).sum() == pytest.approx(1, abs=1e-5)


def test_quadrature_is_exact_where_the_pixels_are_coins(window):
    images = np.array(list(itertools.product([0, 1], repeat=2)), np.float32).reshape(-1, 1, 2, 1)
    # By symmetry: pixels are independent and each is 1 with probability E sigmoid(z) = ½.
    np.testing.assert_allclose(measures.exact_log_likelihood(window, images, **QUADRATURE), np.log(1 / 4), atol=1e-5)


def test_importance_sampling_finds_what_quadrature_finds(small, all_images):
    runs = 16
    exact = measures.exact_log_likelihood(small, all_images, **QUADRATURE)
    many = np.tile(all_images, (runs, 1, 1, 1))
    bounds = measures.importance_log_likelihood(small, many, samples=250).reshape(runs, -1)
    ratios = np.exp(bounds - exact)  # unbiased for 1
    # Of 16 runs the standard error is itself uncertain: a t distribution with 15 degrees of freedom passes 5 with
    # probability 2e-4.
    np.testing.assert_array_less(np.abs(ratios.mean(axis=0) - 1), 5 * stats.sem(ratios))
    assert ratios.std() < 0.2


def test_the_bounds_are_in_order(small, all_images):
    exact = measures.exact_log_likelihood(small, all_images, **QUADRATURE)
    many = np.tile(all_images, (20, 1, 1, 1))
    bounds = [measures.importance_log_likelihood(small, many, samples).mean() for samples in (1, 5, 50)]
    assert np.all(np.diff([*bounds, exact.mean()]) > 0)


@pytest.fixture
def drawn(small, monkeypatch):
    """The noise of every call of the model's own weights, as it is drawn."""
    noise = []

    def log_weights(x, eps):
        tf.py_function(lambda eps: noise.append(eps.numpy()), [eps], [])
        return VAE.log_weights(small, x, eps)

    monkeypatch.setattr(small, "log_weights", log_weights)
    return noise


@pytest.mark.parametrize("samples", [1, 50, 51, 120])
def test_portions_of_samples_are_one_importance_sample(small, all_images, samples, drawn):
    measured = measures.importance_log_likelihood(small, all_images[:1], samples)
    eps = np.concatenate(drawn)
    assert len(eps) == len(np.unique(eps, axis=0)) == samples
    expected = scipy.special.logsumexp(VAE.log_weights(small, all_images[:1], eps), axis=0) - np.log(samples)
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


@pytest.mark.parametrize(("n", "samples"), [(40, 120), (3, 2000), (1100, 2)])
def test_what_is_decoded_at_once_grows_with_neither_images_nor_samples(small, all_images, n, samples, drawn):
    measures.importance_log_likelihood(small, np.resize(all_images, (n, *PIXELS)), samples)
    assert sum(len(eps) * eps.shape[1] for eps in drawn) == n * samples
    assert max(len(eps) * eps.shape[1] for eps in drawn) <= training.EVALUATION_BATCH


@pytest.mark.parametrize("samples", [1, 7, 120])
def test_the_importance_weighted_bound_is_that_of_the_weights(small, all_images, samples):
    """The weights are drawn in one place: a bound of them is, in double precision, the bound that keeps none."""
    weights = measures.log_weights(small, all_images, samples, seed=3, progress=False).astype(float)
    expected = scipy.special.logsumexp(weights, axis=0) - np.log(samples)
    measured = measures.importance_log_likelihood(small, all_images, samples, seed=3)
    np.testing.assert_allclose(measured, expected, rtol=samples * np.finfo(float).eps)


def test_importance_samples_of_neighbouring_seeds_share_no_noise(small, all_images):
    """Two portions of one seed must not be a portion of the next, or an average over seeds would be no average."""
    portions = [
        measures.importance_log_likelihood(small, all_images, 50, seed=1),
        measures.importance_log_likelihood(small, all_images, 50, seed=0),
    ]
    both = measures.importance_log_likelihood(small, all_images, 100, seed=0)
    assert not np.allclose(both, np.logaddexp(*portions) - np.log(2), rtol=1e-5)


def test_quadrature_is_for_two_latents_and_binary_pixels(all_images):
    three = VAE(*networks.mlp(latent_dim=3, hidden=(4,), image_shape=PIXELS))
    gaussian = VAE(*networks.mlp(latent_dim=2, hidden=(4,), image_shape=PIXELS), "gaussian")
    for vae in (three, gaussian):
        with pytest.raises(ValueError, match="two latents and a Bernoulli likelihood; see importance_log_likelihood"):
            measures.exact_log_likelihood(vae, all_images)


@pytest.mark.parametrize("grid", [{"points": 1}, {"reach": 0.0}, {"reach": np.inf}])
def test_a_grid_has_two_points_on_a_side_and_a_size(small, all_images, grid):
    for function in (measures.exact_log_likelihood, measures.exact_posterior):
        with pytest.raises(ValueError, match="at least two points on a side and a positive reach"):
            function(small, all_images, **grid)


@pytest.mark.parametrize(
    "function",
    [
        measures.elbo,
        measures.elbo_terms,
        measures.exact_log_likelihood,
        lambda vae, images: measures.importance_log_likelihood(vae, images, samples=2),
        measures.active_units,
    ],
)
def test_images_that_cannot_be_evaluated_are_refused(function, small, all_images):
    for bad, error in (
        (all_images[:, :1], ValueError),
        (all_images[:0], ValueError),
        (all_images / 2, ValueError),
        (np.where(all_images > 0, np.nan, 0), ValueError),
        (all_images.astype(np.uint8), TypeError),
    ):
        with pytest.raises(error):
            function(small, bad)


@pytest.mark.parametrize("estimate", [measures.elbo, measures.elbo_terms, measures.importance_log_likelihood])
def test_no_sample_is_too_few(estimate, small, all_images):
    with pytest.raises(ValueError, match="at least one sample, got 0"):
        estimate(small, all_images, samples=0)


# --- latents and pictures -----------------------------------------------------------------------------------------


def test_active_units_are_those_whose_mean_varies(window):
    window.encoder.set_weights([np.array([[0.3, 0.0, 0, 0], [0.0, 0.15, 0, 0]]), np.array([0, 5.0, 0, 0])])
    images = data.binarize(np.random.default_rng(0).uniform(size=(1200, 1, 2, 1)))
    # The variance of a fair coin is ¼, so the means vary by 0.3²/4 = 0.0225 and 0.15²/4 = 0.0056.
    assert measures.active_units(window, images).tolist() == [True, False]
    assert measures.active_units(window, images, threshold=0.004).tolist() == [True, True]
    assert measures.active_units(window, images, threshold=0.03).tolist() == [False, False]
    means = window.posterior_parameters(images)[0]
    assert latents.active_by_means(means, 0.004).tolist() == [True, True]
    assert latents.active_by_means(means).tolist() == [True, False]


@pytest.mark.parametrize("n", [2, 5])
def test_the_manifold_shows_the_first_latent_to_the_right_and_the_second_upwards(window, n):
    pictures = measures.manifold(window, n, quantiles=(0.1, 0.9))
    assert pictures.shape == (n, n, 1, 2, 1)
    axis = stats.norm.ppf(np.linspace(0.1, 0.9, n))
    for row, column in np.ndindex(n, n):
        np.testing.assert_allclose(pictures[row, column].ravel(), expit([axis[column], axis[n - 1 - row]]), atol=1e-5)


def test_an_interpolation_goes_in_equal_steps_from_the_first_to_the_second(window):
    pictures = measures.interpolation(window, np.array([-1.0, 2.0]), np.array([3.0, 0.0]), steps=5)
    expected = expit([[-1, 2], [0, 1.5], [1, 1], [2, 0.5], [3, 0]])
    np.testing.assert_allclose(pictures.reshape(5, 2), expected, atol=1e-6)


@pytest.mark.parametrize("latent", [0, 1])
def test_a_traversal_moves_one_latent_and_leaves_the_start_as_it_is(window, latent):
    z = np.array([0.5, -0.5])
    pictures = measures.traversal(window, z, latent, np.array([-2.0, 0.0, 2.0]))
    expected = np.tile(z, (3, 1))
    expected[:, latent] = [-2, 0, 2]
    np.testing.assert_allclose(pictures.reshape(3, 2), expit(expected), atol=1e-6)
    np.testing.assert_array_equal(z, [0.5, -0.5])


@pytest.mark.parametrize("latent", [-1, 2])
def test_a_latent_that_is_not_there_cannot_be_traversed(window, latent):
    with pytest.raises(ValueError, match=f"latent from 0 to 1, got {latent}"):
        measures.traversal(window, np.zeros(2), latent, np.zeros(3))


@pytest.mark.parametrize("quantiles", [(0.0, 0.95), (0.05, 1.0)])
def test_a_manifold_ends_before_infinity(window, quantiles):
    with pytest.raises(ValueError, match="quantiles between 0 and 1, got"):
        measures.manifold(window, 3, quantiles)


def test_a_manifold_needs_two_latents():
    vae = VAE(*networks.mlp(latent_dim=3, hidden=(), image_shape=PIXELS), likelihoods.Bernoulli())
    with pytest.raises(ValueError, match="two latents, this model has 3"):
        measures.manifold(vae)


# --- models that know digits --------------------------------------------------------------------------------------

LAMPS = (1, 10, 1)


@pytest.fixture(scope="module")
def half_supervised():
    """A half-supervised model of real digits, and the conditional one that has its networks."""
    encoder, decoder, classifier = networks.mlp_with_classifier(2, hidden=(8,), seed=0, conditional=True)
    semi = models.SemiSupervisedVAE(encoder, decoder, classifier)
    return semi, models.ConditionalVAE(encoder, decoder)


def lamps(reading: float = 0.0) -> models.DigitVAE:
    """A model of images of ten lamps that lights that of the digit, and reads the digit, or nothing, into a latent."""
    encoder, decoder, classifier = networks.mlp_with_classifier(1, hidden=(), image_shape=LAMPS)
    encoder.set_weights([np.stack([reading * np.arange(10), np.zeros(10)], axis=1), np.zeros(2)])
    decoder.set_weights([np.vstack([np.zeros((1, 10)), 20 * np.eye(10)]), np.full(10, -10.0)])
    return models.DigitVAE(encoder, decoder, classifier)


def lamp_images(labels) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[labels].reshape(-1, *LAMPS)


@pytest.mark.parametrize("samples", [1, 60])
def test_labels_stay_with_their_images_however_the_batches_fall(half_supervised, grays, labels, samples):
    _, conditional = half_supervised
    x, y = grays[:50], labels[:50]
    terms = measures.elbo_terms(conditional, x, samples, labels=y)
    assert terms.log_likelihood.shape == terms.kl.shape == (50,)
    np.testing.assert_allclose(terms.kl, objectives.analytic_kl(*conditional.posterior_parameters(x, y)), rtol=1e-5)
    estimate = measures.elbo(conditional, x, samples, labels=y)
    assert estimate.mean == pytest.approx((terms.log_likelihood - terms.kl).mean(dtype=np.float64), rel=1e-6)


@pytest.mark.parametrize("samples", [1, 3])
def test_given_labels_the_bound_is_the_elbo_of_the_conditional_model_less_ln_10(
    half_supervised, grays, labels, samples
):
    semi, conditional = half_supervised
    x, y = grays[:50], labels[:50]
    of_pairs, conditioned = (
        measures.bound(semi, x, y, samples, seed=2),
        measures.elbo(conditional, x, samples, 2, y),
    )
    assert of_pairs.mean == pytest.approx(conditioned.mean - np.log(10), rel=1e-5)
    assert of_pairs.standard_error == pytest.approx(conditioned.standard_error, rel=1e-3)
    unknown = measures.bound(semi, x, np.full(50, -1), samples, seed=2)
    assert measures.bound(semi, x, samples=samples, seed=2) == unknown
    assert abs(unknown.mean - of_pairs.mean) > 1e-3


def test_bad_labels_cannot_be_evaluated(half_supervised, grays):
    for function, model in zip((measures.bound, measures.elbo), half_supervised, strict=True):
        with pytest.raises(ValueError, match="got 10 to 10"):
            function(model, grays[:5], labels=np.full(5, 10))
        with pytest.raises(ValueError, match="equal length"):
            function(model, grays[:5], labels=np.zeros(4, int))
    with pytest.raises(ValueError, match="images alone"):
        measures.elbo(VAE(*networks.mlp(2, hidden=(4,))), np.zeros((5, 28, 28, 1), np.float32), labels=np.zeros(5))


def show(x):
    """Return the lamps as logits: a classifier of images of lamps that is never wrong."""
    return np.reshape(x, (-1, 10))


@pytest.mark.parametrize("n", [10, training.EVALUATION_BATCH + 20])
def test_accuracy_is_the_share_of_images_whose_label_has_the_largest_output(n):
    labels = np.arange(n) % 10
    right = measures.accuracy(show, lamp_images(labels), labels)
    assert (right.mean, right.standard_error) == (1, 0)
    said = np.where(labels == 3, 4, labels)  # one of ten images is taken for another digit
    estimate = measures.accuracy(show, lamp_images(said), labels)
    assert estimate.mean == pytest.approx(0.9, rel=1e-12)
    assert estimate.standard_error == pytest.approx(np.sqrt(0.9 * 0.1 / (n - 1)), rel=1e-9)
    with pytest.raises(ValueError, match=f"a label for each image, got {n} images and {n - 1} labels"):
        measures.accuracy(show, lamp_images(labels), labels[:-1])


def test_samples_are_judged_by_the_digits_that_were_asked_for():
    assert measures.sample_accuracy(lamps(), show, per_class=7).mean == 1
    swapped = measures.sample_accuracy(lamps(), lambda x: show(x)[:, [1, 0, *range(2, 10)]], per_class=7)
    assert swapped.mean == pytest.approx(0.8, rel=1e-12)
    assert swapped.standard_error == pytest.approx(np.sqrt(0.8 * 0.2 / 69), rel=1e-9)


def test_verdicts_are_probabilities_of_all_classes_for_every_image():
    labels = np.arange(training.EVALUATION_BATCH + 20) % 10
    p = measures.verdicts(lambda x: 2 * show(x), lamp_images(labels))
    np.testing.assert_allclose(p, scipy.special.softmax(2 * np.eye(10)[labels], axis=1), rtol=1e-6)


def test_what_a_decoder_is_told_instead_keeps_less_and_less_of_the_image():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    own = rng.dirichlet(np.ones(3), size=60)
    told = measures.substitutes(own, labels, seed=1)
    assert told["its own"] is own
    np.testing.assert_array_equal(told["true digit"], np.eye(3)[labels])
    np.testing.assert_array_equal(told["hardened"], np.eye(3)[own.argmax(axis=1)])
    for mode in range(3):
        alike = own.argmax(axis=1) == mode
        assert 1 < alike.sum() < 59
        np.testing.assert_allclose(told["average"][alike], np.tile(own[alike].mean(axis=0), (alike.sum(), 1)))
        others = told["another image's"][alike]
        np.testing.assert_array_equal(np.sort(others, axis=0), np.sort(own[alike], axis=0))  # each of them once
        assert np.abs(others - own[alike]).sum(axis=1).min() > 0  # and never the image's own


def test_an_image_that_no_other_resembles_keeps_its_own_probabilities():
    own = np.array([[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]])
    np.testing.assert_array_equal(measures.substitutes(own, np.zeros(3, int))["another image's"], own[[1, 0, 2]])
    with pytest.raises(ValueError, match=r"n labels, got \(3, 2\) and \(2,\)"):
        measures.substitutes(own, np.zeros(2, int))


def test_digits_leak_where_they_can_be_read_from_the_latents():
    labels = np.arange(1000) % 10
    train, test = (lamp_images(labels), labels), (lamp_images(labels[::-1]), labels[::-1])
    assert measures.leakage(lamps(reading=100.0), train, test).mean == 1
    # Latents that are nothing but noise are read by chance; the standard error is that of a share of a tenth.
    blind = measures.leakage(lamps(), train, test)
    assert abs(blind.mean - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 1000)
    assert blind == measures.leakage(lamps(), train, test)
    assert blind != measures.leakage(lamps(), train, test, seed=1)
