"""What the measures share: batches that cover every image once, noise, and what is refused before anything is drawn."""

import contextlib
import io

import numpy as np
import pytest
import tensorflow as tf

from vaecourse import VAE, models, networks, training
from vaecourse.measures import batching


@pytest.mark.parametrize("samples", [1, 2, 7, 50, training.EVALUATION_BATCH, 10 * training.EVALUATION_BATCH])
def test_a_batch_decodes_as_many_latents_as_an_evaluation_and_at_least_one_image(samples):
    n = batching.images_at_once(samples)
    assert n == 1 or n * samples <= training.EVALUATION_BATCH < (n + 1) * samples


@pytest.mark.parametrize("samples", [0, -1])
def test_no_sample_is_too_few(samples):
    with pytest.raises(ValueError, match=f"at least one sample, got {samples}"):
        batching.images_at_once(samples)


@pytest.mark.parametrize(("n", "size"), [(1, 10), (10, 10), (11, 10), (30, 10), (5, 1)])
def test_batches_cover_every_image_once_and_in_order(n, size):
    batches = [np.arange(n)[batch] for batch in batching.batches_of(n, size)]
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(n))
    assert max(map(len, batches)) <= size


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_counts_the_images_if_asked_to(progress):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        list(batching.batches_of(25, 10, progress))
    assert ("25/25" in shown.getvalue()) == bool(shown.getvalue()) == progress


@pytest.mark.parametrize(("n", "samples"), [(training.EVALUATION_BATCH + 16, 1), (30, 40)])
def test_every_image_is_evaluated_once_with_noise_of_its_own(tiny, binary, n, samples):
    def function(x, eps):
        return {"images": x, "noise": tf.transpose(eps, (1, 0, 2))}

    found, again, other = (batching.per_image(tiny(), binary[:n], samples, seed, function) for seed in (0, 0, 1))
    np.testing.assert_array_equal(found["images"], binary[:n])
    assert found["noise"].shape == (n, samples, 2)
    assert len(np.unique(found["noise"])) == found["noise"].size
    np.testing.assert_array_equal(found["noise"], again["noise"])
    assert np.intersect1d(found["noise"], other["noise"]).size == 0


def test_posterior_parameters_are_those_of_the_encoder_however_the_batches_fall(tiny, binary):
    images = np.resize(binary, (training.EVALUATION_BATCH + 3, *binary.shape[1:]))
    found = batching.posterior_parameters(tiny(), images)
    for part, expected in zip(found, tiny().posterior_parameters(images), strict=True):
        # A row of a product of 784 terms may differ by its order of summation: 784 roundings at the very worst.
        np.testing.assert_allclose(part, expected, rtol=0, atol=784 * np.finfo(np.float32).eps * np.abs(expected).max())


def test_labels_go_to_the_encoder_with_their_images(grays, labels):
    vae = models.ConditionalVAE(*networks.mlp(2, (4,), classes=10, conditional=True))
    found = batching.posterior_parameters(vae, grays[:20], labels[:20])[0]
    np.testing.assert_allclose(found, vae.posterior_parameters(grays[:20], labels[:20])[0], rtol=1e-5, atol=1e-6)
    assert (found != batching.posterior_parameters(vae, grays[:20], (labels[:20] + 1) % 10)[0]).all()


def test_a_posterior_is_taken_in_the_precision_of_the_model_and_needs_a_row_for_each_image(tiny, binary):
    given = np.zeros((3, 2)), np.ones((3, 2))
    mean, logvar = batching.checked_posterior(tiny(), binary[:3], given)
    assert mean.dtype == logvar.dtype == np.float32
    np.testing.assert_array_equal([mean, logvar], given)
    for wrong in ((given[0][:2], given[1]), (given[0], given[1][:, :1])):
        with pytest.raises(ValueError, match=r"expected mean and logvar \(3, 2\), got"):
            batching.checked_posterior(tiny(), binary[:3], wrong)


def test_images_are_taken_in_the_precision_of_the_model_and_models_that_know_labels_are_refused(tiny, binary):
    images = batching.checked_without_labels(tiny(), binary[:3].astype(np.float64))
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, binary[:3])
    with pytest.raises(ValueError, match="from images alone, got a ConditionalVAE"):
        batching.checked_without_labels(
            models.ConditionalVAE(*networks.mlp(2, (4,), classes=10, conditional=True)), binary[:3]
        )
    with pytest.raises(TypeError, match="expected float images"):
        batching.checked_without_labels(tiny(), binary[:3].astype(int))


def test_a_compiled_function_with_the_specification_is_traced_once():
    vae = VAE(*networks.mlp(3, hidden=(4,), image_shape=(2, 2, 1)))
    traced = []

    @tf.function(input_signature=batching.specification(vae, 2))
    def function(x, mean, logvar, seed):
        traced.append((x.shape, mean.shape, logvar.shape, seed.shape))
        return tf.shape(x)[0]

    for n in (1, 5):
        latents = np.zeros((n, 3), np.float32)
        assert function(np.zeros((n, 2, 2, 1), np.float32), latents, latents, np.array([0, n], np.int32)) == n
    assert traced == [((None, 2, 2, 1), (None, 3), (None, 3), (2,))]
