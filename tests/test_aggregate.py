"""What the KL consists of, against mixtures of scipy and against cases in which the parts are known."""

import numpy as np
import pytest
from scipy import stats

from vaecourse import VAE, data, measures, networks
from vaecourse.measures import aggregate, aggregate_log_density, kl_parts
from vaecourse.models import CouplingFlow, FlowVAE


@pytest.fixture(scope="module")
def images():
    return data.binarize(data.scale(data.load("digits").train_images[:40]))


@pytest.fixture(scope="module")
def vae():
    return VAE(*networks.mlp(latent_dim=3, hidden=(8,), initial_deviation=0.4, seed=0))


def drawn(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.uniform(-3, 1, (n, d)), rng.normal(size=(7, d))


def assert_the_density_is_that_of_a_mixture():
    mean, logvar, z = drawn(5, 3)
    single = stats.norm.pdf(z[:, None], mean, np.exp(0.5 * logvar))
    np.testing.assert_allclose(aggregate_log_density(mean, logvar, z), np.log(single.prod(-1).mean(1)), rtol=1e-12)
    np.testing.assert_allclose(aggregate_log_density(mean, logvar, z, each=True), np.log(single.mean(1)), rtol=1e-12)


@pytest.mark.parametrize("at_once", [1, 10**9])
def test_the_density_is_that_of_a_mixture(at_once, monkeypatch):
    monkeypatch.setattr(aggregate, "_AT_ONCE", at_once)
    assert_the_density_is_that_of_a_mixture()


def test_the_parts_add_up_to_the_kl_at_the_same_samples(vae, images):
    parts = kl_parts(vae, images, samples=3, seed=1)
    assert parts.mutual_information.mean + parts.marginal_kl.mean == pytest.approx(
        parts.mutual_information.mean + parts.total_correlation.mean + parts.dimension_wise.mean, rel=1e-6
    )
    kl = measures.Estimate.of(measures.elbo_terms(vae, images).kl)
    many = kl_parts(vae, images, samples=200)
    total = many.mutual_information.mean + many.marginal_kl.mean
    mean, logvar = measures.batching.posterior_parameters(vae, images)
    variance = (0.5 * (np.exp(logvar) - 1) ** 2 + mean**2 * np.exp(logvar)).sum() / len(images) ** 2 / 200
    assert abs(total - kl.mean) < 5 * np.sqrt(variance)  # the closed form, and samples of known variance


def parts_of(vae, mean, logvar, monkeypatch, samples=20):
    parameters = mean.astype(np.float32), logvar.astype(np.float32)
    monkeypatch.setattr(aggregate, "posterior_parameters", lambda *_: parameters)
    images = np.zeros((len(mean), 28, 28, 1), np.float32)
    return kl_parts(vae, images, samples)


def test_codes_far_apart_tell_which_image_it_was(vae, monkeypatch):
    mean = 100 * np.random.default_rng(0).normal(size=(64, 3))
    parts = parts_of(vae, mean, np.full((64, 3), -4.0), monkeypatch)
    assert parts.mutual_information.mean == pytest.approx(np.log(64), abs=1e-4)


def test_posteriors_equal_to_the_prior_have_no_part(vae, monkeypatch):
    parts = parts_of(vae, np.zeros((20, 3)), np.zeros((20, 3)), monkeypatch)
    np.testing.assert_allclose([part.mean for part in parts], 0, atol=1e-5)


def test_a_slanted_cloud_has_the_total_correlation_of_its_normal_distribution(vae, monkeypatch):
    """TC of a normal distribution is −½ ln det of its correlations; the KL of a margin N(0, s²) is known, too."""
    n, rho, s2 = 1024, 0.8, 0.3
    root = np.linalg.cholesky([[1 - s2, rho, 0], [rho, 1.5 - s2, 0], [0, 0, 1 - s2]])
    quantiles = stats.qmc.Sobol(3, seed=0).random(n)
    mean = stats.norm.ppf(quantiles) @ root.T
    parts = parts_of(vae, mean, np.full((n, 3), np.log(s2)), monkeypatch, samples=2)
    correlation = rho / np.sqrt(1.5)
    expected = -0.5 * np.log(1 - correlation**2)
    # kernels of so large a variance smooth what n points leave of noise to a few hundredths
    assert abs(parts.total_correlation.mean - expected) < 4 * parts.total_correlation.standard_error + 0.02
    margins = 0.5 * (1.5 - 1 - np.log(1.5))
    assert abs(parts.dimension_wise.mean - margins) < 4 * parts.dimension_wise.standard_error + 0.02


def test_another_prior_changes_the_marginal_kl_alone(vae, images):
    class Wide(VAE):
        def prior_distribution(self, y=None):
            return super().prior_distribution().copy(distribution=_normal(2.0))

    wide = Wide(vae.encoder, vae.decoder)
    one, other = kl_parts(vae, images), kl_parts(wide, images)
    assert isinstance(one, measures.KLParts)
    assert one.mutual_information == other.mutual_information
    assert other.total_correlation is other.dimension_wise is None
    assert one.marginal_kl != other.marginal_kl


def _normal(deviation):
    import tensorflow_probability as tfp

    return tfp.distributions.Normal(0.0, deviation)


def test_what_cannot_be_split_is_refused(vae, images):
    flow = FlowVAE(*networks.mlp(latent_dim=2, hidden=(8,), seed=0), CouplingFlow(2, 1))
    with pytest.raises(ValueError, match="diagonal normal distribution, got a FlowVAE"):
        kl_parts(flow, images)
    with pytest.raises(ValueError, match="at least one sample"):
        kl_parts(vae, images, samples=0)
    with pytest.raises(ValueError, match="expected mean and logvar"):
        aggregate_log_density(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((4, 3)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["mean", "logvar", "z"])
def test_numbers_that_are_not_finite_are_refused_by_name(part, wrong):
    parts = {name: np.zeros((3, 2)) for name in ("mean", "logvar", "z")}
    parts[part][1, 1] = wrong
    with pytest.raises(ValueError, match=f"got NaN or inf in {part}"):
        aggregate_log_density(**parts)
    parts[part] = np.zeros((3, 2), complex)
    with pytest.raises(TypeError, match=f"got {part} of complex128"):
        aggregate_log_density(**parts)
