"""The models broken on purpose: that each is what its slip says, and otherwise a model like any other."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from vaecourse import VAE, data, networks, objectives, specimens
from vaecourse.clinic import advice
from vaecourse.course import slips


@pytest.fixture(scope="module")
def batch(digits):
    return specimens.SOUND.prepare(digits.train_images[:16])


@pytest.mark.parametrize(
    ("name", "log_likelihood_weight", "kl_weight"),
    [
        ("kl sign", 1, -1),
        ("kl averaged", 1, 1 / specimens.LATENT_DIM),
        ("kl twice", 1, 2),
        ("pixels averaged", 1 / 784, 1),
        ("beta large", 1, 200),
        ("beta small", 1, 0.001),
    ],
)
def test_a_loss_has_the_weights_of_its_slip(batch, name, log_likelihood_weight, kl_weight):
    vae = specimens.get(name).build()
    losses = vae.objective(batch, None, vae.noise(len(batch), 0))
    expected = kl_weight * losses["kl"] - log_likelihood_weight * losses["log_likelihood"]
    np.testing.assert_allclose(losses["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(losses["elbo"], losses["log_likelihood"] - losses["kl"], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "std"), [("logvar as std", lambda v: tf.exp(v)), ("logvar as sigma", lambda v: v), ("kl sign", None)]
)
def test_a_sampler_has_the_standard_deviation_of_its_slip(name, std):
    vae, logvar = specimens.get(name).build(), tf.constant([[-2.0, -1.0, 0.5, 1.0]])
    drawn = vae.reparameterize(3 * tf.ones_like(logvar), logvar, tf.ones_like(logvar)) - 3
    expected = std(logvar) if std else objectives.reparameterize(0.0, logvar, tf.ones_like(logvar))
    np.testing.assert_allclose(drawn, expected, rtol=1e-5)


def test_a_decoder_ends_as_its_slip_says(batch):
    reached = {}
    for name in ("relu output", "sigmoid twice", "decoder without z"):
        vae = specimens.get(name).build()
        reached[name] = np.asarray(vae.decoder(10 * tf.random.stateless_normal((50, specimens.LATENT_DIM), (0, 0))))
    assert reached["relu output"].min() == 0 < 1 < reached["relu output"].max()
    assert 0 < reached["sigmoid twice"].min() < 0.1 < 0.9 < reached["sigmoid twice"].max() < 1
    # In every row the same sums, over 4 latents and then 128 hidden units, but added in an order that may differ: two
    # such sums of n terms are at most 2 n u Σ |terms| apart, with u = eps/2.  The latents would make them differ by 8.
    w, b, v, c = (np.abs(weight) for weight in vae.decoder.get_weights())
    largest = ((w.sum(axis=0) + b) @ v + c).max()
    bound = (len(w) + 1 + len(v) + 1) * np.finfo(np.float32).eps * largest
    assert bound < 1e-3
    assert np.ptp(reached["decoder without z"], axis=0).max() <= bound


def test_images_are_prepared_as_the_specimen_wants_them(digits):
    images = digits.train_images[:20]
    assert np.array_equal(specimens.SOUND.prepare(images), data.binarize(data.scale(images)))
    unscaled = specimens.get("pixels unscaled").prepare(images)
    assert unscaled.dtype == np.float32
    assert np.array_equal(unscaled[..., 0], images)


@pytest.mark.parametrize("name", specimens.SPECIMENS)
def test_a_slip_is_told_without_the_name_of_its_finding(name):
    specimen = specimens.get(name)
    assert specimen.slip.endswith(".")
    assert set() < specimen.accepted <= set(advice.WORDS)
    assert not any(accepted in specimen.slip for accepted in specimen.accepted)
    assert specimen.diverges or not specimen.accepted & {"non-finite loss", "non-finite weights"}


@pytest.mark.parametrize("name", specimens.SPECIMENS)
def test_a_specimen_is_a_function_of_the_seed_and_survives_saving(name, batch, digits, tmp_path):
    specimen = specimens.get(name)
    one, same, other = (specimen.build(seed) for seed in (1, 1, 2))
    x = specimen.prepare(digits.train_images[:16])
    eps = one.noise(len(x), 0)
    losses = [np.asarray(vae.objective(x, None, eps)["loss"]) for vae in (one, same, other)]
    assert np.array_equal(losses[0], losses[1], equal_nan=True)
    assert not np.array_equal(losses[0], losses[2], equal_nan=True)
    one.save(tmp_path / "specimen.keras")
    loaded = keras.saving.load_model(tmp_path / "specimen.keras")
    assert type(loaded) is type(one)
    np.testing.assert_allclose(loaded.objective(x, None, eps)["loss"], losses[0], rtol=1e-6)


def test_only_a_failure_that_belongs_to_the_specimen_is_swallowed(batch):
    fast = specimens.get("learning rate")
    assert fast.fit(fast.build(), batch, epochs=20) is None
    surprised = dataclasses.replace(fast, diverges=False)
    with pytest.raises(FloatingPointError):
        surprised.fit(surprised.build(), batch, epochs=20)
    with pytest.raises(ValueError, match="grays"):
        fast.fit(fast.build(), batch * 0.5)
    assert specimens.SOUND.fit(specimens.SOUND.build(), batch).history.keys() == {
        "loss",
        "elbo",
        "log_likelihood",
        "kl",
    }


def test_the_classes_of_the_specimens_are_vaes_of_their_own():
    assert {slips.MiscountedVAE, slips.MisreadVAE} <= set(VAE.__subclasses__())
    slips.UncheckedBernoulli().check(np.array([-3.0, 300.0]))
    assert slips.UncheckedBernoulli().supports(tf.constant([-3.0, 300.0, np.nan]))
    assert {s.options.get("miscount") for s in specimens.SPECIMENS.values()} - {None} == set(slips.MISCOUNTS)
    assert all(isinstance(specimen, specimens.Specimen) for specimen in specimens.SPECIMENS.values())
    vae = specimens.SOUND.build()
    assert vae.latent_dim == specimens.LATENT_DIM
    assert vae.encoder.layers[2].units == specimens.HIDDEN[0]
    assert specimens.BATCH_SIZE == 32


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown specimen 'kl'; there are kl sign,"):
        specimens.get("kl")
    with pytest.raises(ValueError, match="unknown miscount 'kl'"):
        slips.MiscountedVAE(*networks.mlp(2, (4,)), miscount="kl")
