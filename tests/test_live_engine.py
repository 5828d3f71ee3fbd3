"""Networks, likelihoods and terms of the ELBO in JavaScript, held to Keras and TensorFlow Probability in V8."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy import special, stats

from vaecourse import VAE, ConditionalVAE, DigitVAE, data, likelihoods, networks
from vaecourse.course.slips import MisreadVAE, SlippedVAE
from vaecourse.live import export, packing
from vaecourse.live import layers as exported
from vaecourse.models.layers import VarianceFloor

v8 = pytest.importorskip("v8", reason="mini-racer, which brings V8, is not installed")

N = 200
"""How many random inputs are compared."""

rng = np.random.default_rng


@pytest.fixture(scope="module")
def scripts():
    return v8.Scripts()


def computed(scripts, model, inputs, precision="float32"):
    """Return what the network in the page makes of the same inputs, one after the other."""
    scripts.give("network", export.network(model, precision))
    scripts.give("inputs", [packing.packed(x, "float32") for x in inputs])
    return np.array(
        scripts.get(
            """(() => {
                const net = live.part("engine").network(given.network), n = given.inputs[0].dims[0];
                const part = (x, i) => x.subarray((i * x.length) / n, ((i + 1) * x.length) / n);
                return Array.from({ length: n }, (_, i) => Array.from(net(...given.inputs.map((x) => part(x, i)))));
            })()"""
        )
    )


def shaken(model, seed=0):
    """Give every weight a random value: biases and moments of batches are 0 and 1 in the beginning."""
    generator = rng(seed)
    weights = [w + 0.3 * generator.uniform(0.2, 1, w.shape) for w in model.get_weights()]
    model.set_weights([w.astype("float32") for w in weights])
    return model


def varied(model, seed=0):
    """Let every bias have a value, and the others differ from what is drawn in the beginning."""
    generator = rng(seed)
    model.set_weights([w + generator.normal(0, 0.05, w.shape).astype("float32") for w in model.get_weights()])


def one(layer, *shapes):
    """Return a model of one layer."""
    inputs = [keras.Input(shape) for shape in shapes]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    return shaken(keras.Model(inputs, layer(inputs)))


CONVOLUTIONS = [
    kind(3, size, strides=strides, padding=padding)
    for kind in (layers.Conv2D, layers.Conv2DTranspose)
    for size, strides, padding in (
        (3, 1, "same"),
        (3, 2, "same"),
        (4, 2, "same"),
        (2, 2, "valid"),
        ((3, 2), (1, 2), "same"),
        (5, 3, "valid"),
        (1, 2, "same"),
    )
]
POOLS = [
    kind(size, strides, padding)
    for kind in (layers.MaxPooling2D, layers.AveragePooling2D)
    for size, strides, padding in ((2, None, "valid"), (3, 2, "same"), (2, 1, "same"))
]
ON_IMAGES = [
    *CONVOLUTIONS,
    *POOLS,
    layers.GlobalMaxPooling2D(),
    layers.GlobalAveragePooling2D(),
    layers.UpSampling2D(2),
    layers.UpSampling2D((3, 2), interpolation="bilinear"),
    layers.Resizing(9, 4, interpolation="nearest"),
    layers.Resizing(9, 11),
    layers.ZeroPadding2D(((1, 0), (2, 1))),
    layers.Cropping2D(((1, 2), (0, 1))),
    layers.BatchNormalization(),
    layers.BatchNormalization(scale=False, center=False),
    layers.Rescaling(2.0, -1.0),
    layers.Flatten(),
    layers.Reshape((7, 12)),
    layers.Dropout(0.5),
    layers.Softmax(),
]
ON_VECTORS = [
    *(layers.Dense(7, name) for name in (*exported.ACTIVATIONS, "linear", "softmax", None)),
    layers.Activation("relu"),
    layers.ReLU(),
    layers.ReLU(6),
    layers.ReLU(negative_slope=0.1),
    layers.LeakyReLU(0.3),
    layers.ELU(0.7),
    layers.BatchNormalization(),
    VarianceFloor(0.1),
]


def named(layer):
    return layer.name


@pytest.mark.parametrize("layer", ON_IMAGES, ids=named)
def test_a_layer_of_images_is_that_of_keras(scripts, layer):
    model = one(layer, (7, 6, 2))
    x = rng(1).normal(size=(20, 7, 6, 2)).astype("float32")
    expected = np.asarray(model(x)).reshape(20, -1)
    np.testing.assert_allclose(computed(scripts, model, [x]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", ON_VECTORS, ids=named)
def test_a_layer_of_vectors_is_that_of_keras(scripts, layer):
    model = one(layer, (6,))
    x = rng(2).normal(size=(20, 6), scale=3).astype("float32")
    np.testing.assert_allclose(computed(scripts, model, [x]), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [layers.Concatenate(), layers.Add()], ids=named)
def test_layers_of_two_inputs_are_those_of_keras(scripts, layer):
    model = one(layer, (4, 3), (4, 3))
    x, y = rng(3).normal(size=(2, 20, 4, 3)).astype("float32")
    np.testing.assert_allclose(computed(scripts, model, [x, y]), np.asarray(model([x, y])).reshape(20, -1), rtol=1e-6)


def test_networks_in_networks_and_branches_are_followed(scripts):
    inner = keras.Sequential([layers.Dense(5, "tanh"), layers.Dense(4, "relu")])
    x = keras.Input((4,))
    twice = inner(inner(x))
    model = shaken(keras.Model(x, layers.Add()([twice, layers.Dense(4)(x), x])))
    z = rng(4).normal(size=(N, 4)).astype("float32")
    np.testing.assert_allclose(computed(scripts, model, [z]), model(z), rtol=1e-5, atol=1e-5)


def gray_levels(n, shape):
    return rng(5).integers(0, 256, (n, *shape)).astype("float32") / 255


def small(likelihood="bernoulli", kind=VAE, latents=3):
    return kind(*networks.mlp(latents, (16,), "softplus", seed=0), likelihood)


MODELS = {
    "convolutional": (lambda: VAE(*networks.convolutional(2, seed=0)), "float16"),
    "in color": (lambda: VAE(*networks.convolutional(2, image_shape=(12, 8, 3), seed=0)), "float32"),
    "five latents": (lambda: small(latents=5), "float32"),
    "grays as coins": (lambda: small(likelihoods.Bernoulli(grays=True)), "float32"),
    "rectified": (lambda: small(likelihoods.Bernoulli(probability="rectified")), "float32"),
    "continuous": (lambda: small("continuous_bernoulli"), "float32"),
    "gaussian": (lambda: small("gaussian"), "float32"),
    "learned": (lambda: small(likelihoods.Gaussian("learned per pixel", "linear")), "float32"),
    "levels": (lambda: small("discretized_logistic"), "float32"),
    "slipped": (lambda: small(kind=SlippedVAE), "float32"),
    "misread": (lambda: small(kind=MisreadVAE), "float32"),
}


def images_for(vae):
    x = gray_levels(N, vae.image_shape)
    return x if getattr(vae.likelihood, "grays", True) else data.binarize(x)


def in_page(scripts, vae, precision, x, eps, y=None):
    """Return mean, logvar, the mean image and the terms at these images and noise, as the page computes them."""
    scripts.give("vae", export.described(vae, encoder=True, precision=precision))
    scripts.give("x", packing.packed(x, "float32"))
    scripts.give("eps", packing.packed(eps, "float32"))
    scripts.give("y", [] if y is None else y.tolist())
    return scripts.get(
        """(() => {
            const vae = live.part("models").model(given.vae), n = given.x.dims[0], d = vae.latents;
            const size = given.x.length / n;
            return Array.from({ length: n }, (_, i) => {
                const x = given.x.subarray(i * size, (i + 1) * size), eps = given.eps.subarray(i * d, (i + 1) * d);
                const { mean, logvar } = vae.encode(x, given.y[i]);
                const z = vae.draw(mean, logvar, eps);
                const image = Array.from(vae.image(z, given.y[i]));
                return { mean, logvar, image, ...vae.terms(x, mean, logvar, eps, given.y[i]) };
            });
        })()"""
    )


def check_model(scripts, vae, precision, y=None):
    for network in (vae.encoder, vae.decoder):
        varied(network)
    x, eps = images_for(vae), rng(6).normal(size=(N, vae.latent_dim)).astype("float32")
    found = in_page(scripts, vae, precision, x, eps, y)
    mean, logvar = vae.posterior_parameters(x, y)
    at_most = 1e-3 if precision == "float16" else 1e-5
    scale = max(1.0, float(np.abs(mean).max()))
    np.testing.assert_allclose([one["mean"] for one in found], mean, atol=at_most * scale, rtol=at_most)
    np.testing.assert_allclose([one["logvar"] for one in found], logvar, atol=at_most * scale, rtol=at_most)
    image = np.asarray(vae.decode(vae.reparameterize(mean, logvar, eps), y).mean()).reshape(N, -1)
    np.testing.assert_allclose([one["image"] for one in found], image, atol=at_most)
    terms = vae.terms(x, eps, y)
    for name, expected in (("logLikelihood", terms.log_likelihood), ("kl", terms.kl)):
        np.testing.assert_allclose([one[name] for one in found], expected, atol=0.01, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_and_terms_are_those_of_the_model(scripts, name):
    make, precision = MODELS[name]
    check_model(scripts, make(), precision)


@pytest.mark.parametrize("told", [False, True])
def test_models_that_know_digits_are_told_them_in_the_page(scripts, told):
    if told:
        vae = ConditionalVAE(*networks.mlp(4, (16,), classes=10, conditional=True, seed=0), "gaussian")
    else:
        vae = DigitVAE(*networks.mlp_with_classifier(4, (16,), variance_floor=1e-5, seed=0), "gaussian")
    check_model(scripts, vae, "float32", np.arange(N) % 10)


def test_a_scale_that_the_decoder_returns_is_that_of_each_pixel(scripts):
    for family in (likelihoods.Gaussian("decoded", "linear"), likelihoods.DiscretizedLogistic("decoded")):
        output = rng(9).normal(size=(N, 2, 3, 4)).astype("float32")
        x = gray_levels(N, (2, 3, 2))
        scripts.give("family", export.of_likelihood(family, 2))
        scripts.give("output", packing.packed(output, "float32"))
        scripts.give("x", packing.packed(x, "float32"))
        found = scripts.get(
            """Array.from({ length: given.x.dims[0] }, (_, i) => {
                const { mean, logProb } = live.part("models").likelihood(given.family);
                const output = given.output.subarray(24 * i, 24 * (i + 1));
                const x = given.x.subarray(12 * i, 12 * (i + 1));
                return [logProb(output, x), ...mean(output, new Array(12).fill(0))];
            })"""
        )
        distribution = family.distribution(tf.constant(output))
        np.testing.assert_allclose(np.array(found)[:, 0], distribution.log_prob(x), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(np.array(found)[:, 1:], np.reshape(distribution.mean(), (N, -1)), atol=1e-5)


def test_the_special_functions_are_those_of_scipy(scripts):
    x = np.concatenate([np.linspace(-30, 30, 241), [1e-9, -1e-9, 0.0]])
    p = np.concatenate([np.linspace(0.001, 0.999, 201), [1e-9, 1 - 1e-9]])
    for name, expected in {
        "sigmoid": special.expit(x),
        "softplus": np.logaddexp(0, x),
        "logSigmoid": special.log_expit(x),
        "erf": special.erf(x),
        "ndtr": special.ndtr(x),
        "logNdtr": special.log_ndtr(x),
    }.items():
        found = scripts.get(f"{x.tolist()}.map(live.part('maths').{name})")
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15, err_msg=name)
    np.testing.assert_allclose(scripts.get(f"{p.tolist()}.map(live.part('maths').ndtri)"), special.ndtri(p), atol=1e-8)
    values = rng(7).normal(size=50, scale=40).tolist()
    assert scripts.get(f"live.part('maths').logSumExp({values})") == pytest.approx(special.logsumexp(values), abs=1e-9)
    found = scripts.get(f"live.part('maths').estimate({values})")
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["error"] == pytest.approx(stats.sem(values))


def test_the_noise_is_normal_and_the_same_every_time(scripts):
    noise = scripts.get("live.part('maths').generator(3).normals(4000)")
    assert noise == scripts.get("live.part('maths').generator(3).normals(4000)")
    assert stats.kstest(noise, "norm").pvalue > 0.01


KINDS = [("float32", 1e-7), ("float16", 5e-4), ("bytes", 0.5 / 255 + 1e-7), ("bits", 0)]


@pytest.mark.parametrize(("kind", "error"), KINDS)
def test_arrays_arrive_as_they_were_packed(scripts, kind, error):
    values = rng(8).uniform(size=(5, 7))
    if kind == "bits":
        values = values.round()
    scripts.give("array", packing.packed(values, kind))
    assert scripts.get("given.array.dims") == [5, 7]
    np.testing.assert_allclose(scripts.get("Array.from(given.array)"), values.ravel(), atol=error)


def test_small_and_large_halves_arrive(scripts):
    values = [0.0, -0.0, 6e-8, -3e-5, 1.0, -2.5, 65504.0]
    scripts.give("array", packing.packed(values, "float16"))
    assert scripts.get("Array.from(given.array)") == [float(np.float16(v)) for v in values]


SLIPS = {
    "a bias forgotten": ("for (let o = 0; o < out.length; o += C) out.set(node.bias, o);", "out.fill(0);"),
    "pixels beside their place": (
        "const s = q * node.strides[1] + j - node.before[1];\n              if (s < 0 || s >= W)",
        "const s = q * node.strides[1] + j;\n              if (s < 0 || s >= W)",
    ),
    "negative values let through": ("if (out[i] < 0) out[i] = 0;", ";"),
    "a logit taken for a probability": ("mean: (family, o) => sigmoid(o),", "mean: (family, o) => o,"),
    "the log-variance left out of the KL": ("+ Math.exp(logvar[j]) - logvar[j] - 1", "+ Math.exp(logvar[j]) - 1"),
    "a variance taken for a standard deviation": ("half: (v) => Math.exp(0.5 * v)", "half: (v) => Math.exp(v)"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_line_undone_is_noticed(slip):
    vae = VAE(*networks.convolutional(2, image_shape=(8, 8, 1), seed=0))
    with pytest.raises(AssertionError, match="Not equal"):
        check_model(v8.Scripts(edited=SLIPS[slip]), vae, "float32")


def test_the_same_model_is_right_where_no_line_is_undone(scripts):
    check_model(scripts, VAE(*networks.convolutional(2, image_shape=(8, 8, 1), seed=0)), "float32")
