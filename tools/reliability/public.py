"""The public functions of the module, with arguments that are right, and what is wrong for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tools.reliability import wrong
from tools.reliability.right import SHAPE, binary, bytes_, gaussian, grays, latents, of, parts, vae
from tools.reliability.wrong import Wrong
from vaecourse import clinic, data, measures, models, networks, training
from vaecourse.models import likelihoods, linear_gaussian

KNOWN_LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic")


@dataclass(frozen=True)
class Call:
    """A public function, arguments that are right, and what is wrong for each."""

    function: Callable
    right: dict[str, Callable[[], Any]]
    wrong: dict[str, st.SearchStrategy[Wrong]]


ON_IMAGES = wrong.images(SHAPE)
ON_PIXELS = wrong.images(SHAPE, any_shape=True)
NO_WEIGHT = st.sampled_from([np.nan, np.inf])  # that of −inf is 0
COUNT, SEED = wrong.counts(), wrong.seeds()

CALLS: dict[str, Call] = {
    "data.load": Call(data.load, {"name": of("digits")}, {"name": wrong.names(*data.DATASETS)}),
    "data.scale": Call(data.scale, {"images": bytes_}, {"images": wrong.images((28, 28), "uint8")}),
    "data.binarize": Call(
        data.binarize,
        {"grays": grays, "threshold": of(0.5)},
        {"grays": ON_PIXELS, "threshold": wrong.numbers()},
    ),
    "data.binarize_stochastically": Call(
        data.binarize_stochastically,
        {"grays": grays, "seed": of(0)},
        {"grays": ON_PIXELS, "seed": wrong.seeds(none=True)},
    ),
    "data.batches": Call(
        data.batches,
        {"arrays": grays, "batch_size": of(2), "seed": of(0)},
        {"arrays": wrong.OBJECTS.map(wrong._object), "batch_size": COUNT, "seed": wrong.seeds(none=True)},
    ),
    "data.binarized_batches": Call(
        data.binarized_batches,
        {"grays": grays, "batch_size": of(2), "seed": of(0)},
        {"grays": ON_PIXELS, "batch_size": COUNT, "seed": SEED},
    ),
    "data.write_shards": Call(
        data.write_shards,
        {"chunks": lambda: [grays()], "folder": of("shards"), "format": of("npz")},
        {
            "chunks": wrong.OBJECTS.map(wrong._object),
            "folder": st.sampled_from([None, 3, 1.5, [], {}]).map(wrong._object),
            "format": wrong.names("npz", "tfrecord"),
        },
    ),
    "data.stream": Call(
        data.stream,
        {"folder": of("there"), "batch_size": of(2), "seed": of(0)},
        {"folder": st.text(max_size=9).map(lambda x: Wrong(repr(x), x, (x.strip("/"),))), "batch_size": COUNT},
    ),
    "training.cosine_decay": Call(
        training.cosine_decay,
        {"peak": of(1e-3), "steps": of(10), "warmup": of(0.1)},
        {"peak": wrong.numbers(least=0.0), "steps": COUNT, "warmup": wrong.numbers(least=0.0, most=1.0)},
    ),
    "training.LinearDecay": Call(
        training.LinearDecay,
        {"peak": of(1e-3), "steps": of(10), "warmup": of(0.1)},
        {"peak": wrong.numbers(least=0.0), "steps": COUNT, "warmup": wrong.numbers(least=0.0, most=1.0)},
    ),
    "training.linear_warmup": Call(
        training.linear_warmup,
        {"batches": of(10), "start": of(0.0)},
        {"batches": COUNT, "start": wrong.numbers(least=0.0)},
    ),
    "training.cyclical": Call(
        training.cyclical,
        {"batches": of(10), "rise": of(0.5), "start": of(0.0), "cycles": of(2)},
        {
            "batches": COUNT,
            "rise": wrong.numbers(least=0.0, most=1.0),
            "start": wrong.numbers(least=0.0),
            "cycles": wrong.counts(none=True),
        },
    ),
    "networks.mlp": Call(
        networks.mlp,
        {"latent_dim": of(2), "hidden": of((4,)), "image_shape": of(SHAPE)},
        {"latent_dim": COUNT, "activation": wrong.names("relu"), "variance_floor": wrong.numbers(least=0.0)},
    ),
    "networks.convolutional": Call(networks.convolutional, {"latent_dim": of(2)}, {"latent_dim": COUNT}),
    "models.VAE": Call(
        lambda **options: models.VAE(*parts(), **options),
        {"kl": of("analytic"), "beta": of(1.0), "samples": of(1), "seed": of(0), "likelihood": of("bernoulli")},
        {
            "kl": wrong.names("analytic", "monte_carlo"),
            "beta": wrong.numbers(least=0.0),
            "samples": COUNT,
            "seed": wrong.counts(least=0),
            "likelihood": wrong.names(*KNOWN_LIKELIHOODS),
        },
    ),
    "models.ImportanceWeightedVAE": Call(
        lambda **options: models.ImportanceWeightedVAE(*parts(), **options),
        {"samples": of(5), "gradient": of("plain")},
        {"samples": COUNT, "gradient": wrong.names(*models.GRADIENTS)},
    ),
    "models.given_quadrants": Call(
        models.given_quadrants, {"number": of(1), "image_shape": of(SHAPE)}, {"number": COUNT}
    ),
    "VAE.encode": Call(lambda x: vae().encode(x), {"x": binary}, {"x": ON_IMAGES}),
    "VAE.reconstruct": Call(lambda x: vae().reconstruct(x), {"x": binary}, {"x": ON_IMAGES}),
    "VAE.fit": Call(
        lambda **given: vae().fit(verbose=0, **given),
        {"x": binary, "batch_size": of(2), "epochs": of(1)},
        {
            "x": ON_IMAGES,
            "y": st.just(Wrong("labels", np.arange(3), ("y must be None",))),
            "batch_size": wrong.counts(none=True),
        },
    ),
    "VAE.evaluate": Call(
        lambda **given: vae().evaluate(verbose=0, **given),
        {"x": binary, "batch_size": of(2)},
        {"x": ON_IMAGES, "batch_size": wrong.counts(none=True)},
    ),
    "likelihoods.get": Call(
        likelihoods.get, {"likelihood": of("bernoulli")}, {"likelihood": wrong.names(*KNOWN_LIKELIHOODS)}
    ),
    "likelihoods.Gaussian": Call(
        likelihoods.Gaussian, {}, {"sigma": wrong.numbers(least=0.0).filter(lambda drawn: drawn.value != "learned")}
    ),
    "measures.elbo": Call(
        lambda **given: measures.elbo(vae(), **given),
        {"images": binary, "samples": of(1), "seed": of(0)},
        {"images": ON_IMAGES, "samples": COUNT, "seed": SEED},
    ),
    "measures.kl_parts": Call(
        lambda **given: measures.kl_parts(vae(), **given),
        {"images": binary, "samples": of(1), "seed": of(0)},
        {"images": ON_IMAGES, "samples": COUNT, "seed": SEED},
    ),
    "measures.exact_log_likelihood": Call(
        lambda **given: measures.exact_log_likelihood(vae(), **given),
        {"images": binary, "points": of(16), "reach": of(6.0)},
        {"images": ON_IMAGES, "points": COUNT, "reach": wrong.numbers(least=0.0)},
    ),
    "measures.importance_log_likelihood": Call(
        lambda **given: measures.importance_log_likelihood(vae(), **given),
        {"images": binary, "samples": of(4), "seed": of(0)},
        {"images": ON_IMAGES, "samples": COUNT, "seed": SEED},
    ),
    "measures.importance_bounds": Call(
        measures.importance_bounds,
        {"log_weights": lambda: np.zeros((6, 3)), "sizes": of([1, 2])},
        {
            "log_weights": wrong.arrays((6, 3), strange=NO_WEIGHT),
            "sizes": COUNT.map(lambda x: Wrong(x.label, [x.value], x.told)),
        },
    ),
    "measures.weight_diagnosis": Call(
        measures.weight_diagnosis, {"log_weights": lambda: np.zeros((60, 3))}, {"log_weights": wrong.arrays((60, 3))}
    ),
    "measures.active_units": Call(
        lambda **given: measures.active_units(vae(), **given),
        {"images": binary, "threshold": of(0.01)},
        {"images": ON_IMAGES, "threshold": wrong.numbers(least=0.0)},
    ),
    "measures.interpolation": Call(
        lambda **given: measures.interpolation(vae(), **given),
        {"first": lambda: latents()[0], "second": lambda: latents()[1], "steps": of(3)},
        {"first": wrong.arrays((2,)), "steps": COUNT},
    ),
    "measures.manifold": Call(
        lambda **given: measures.manifold(vae(), **given),
        {"n": of(2), "quantiles": of((0.1, 0.9))},
        {"n": COUNT, "quantiles": wrong.OBJECTS.map(wrong._object)},
    ),
    "measures.frechet_distance": Call(
        measures.frechet_distance,
        {"features_a": lambda: np.eye(5), "features_b": lambda: np.eye(5)},
        {"features_a": wrong.arrays((5, 5))},
    ),
    "measures.aggregate_log_density": Call(
        measures.aggregate_log_density,
        {"mean": latents, "logvar": latents, "z": latents},
        {"mean": wrong.arrays((3, 2)), "logvar": wrong.arrays((3, 2)), "z": wrong.arrays((3, 2))},
    ),
    "measures.gradient_moments": Call(
        lambda **given: measures.gradient_moments(vae(), **given),
        {"x": binary, "repetitions": of(40), "seed": of(0)},
        {"x": ON_IMAGES, "repetitions": COUNT, "seed": SEED},
    ),
    "LinearGaussian.random": Call(
        linear_gaussian.LinearGaussian.random,
        {"pixels": of(5), "latent_dim": of(2), "sigma": of(0.5)},
        {"pixels": COUNT, "latent_dim": COUNT, "sigma": wrong.numbers(least=0.0)},
    ),
    "LinearGaussian.log_prob": Call(
        lambda x: gaussian().log_prob(x), {"x": lambda: np.zeros((3, 5))}, {"x": wrong.arrays((3, 5))}
    ),
    "clinic.effective_objective": Call(
        clinic.effective_objective,
        {"loss": of("a text")},
        {"loss": wrong.OBJECTS.filter(lambda x: not callable(x)).map(wrong._object)},
    ),
    "clinic.diagnose": Call(lambda images: clinic.diagnose(vae(), images), {"images": binary}, {"images": ON_IMAGES}),
}
