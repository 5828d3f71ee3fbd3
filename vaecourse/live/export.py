"""A VAE as a live figure carries it: its networks layer by layer, its likelihood, and how it draws its latents."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.live.layers import Node, node_of
from vaecourse.live.packing import packed
from vaecourse.models import VAE, likelihoods

MOST_WEIGHTS = 3_000_000
"""A page of more weights than these would weigh more than 6 MB, and be slow."""

DRAWN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half": lambda logvar: np.exp(0.5 * logvar),
    "full": np.exp,
    "point": np.zeros_like,
    "value": lambda logvar: logvar,
}
"""Standard deviations that models draw with, as functions of the log-variance that they report."""


def network(model: keras.Model, precision: str = "float16") -> dict[str, Any]:
    """Return a Keras network as a list of nodes and one array of weights.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, also with other such models as layers, of the layers that
        :data:`vaecourse.live.layers` lists.
    precision : {"float16", "float32"}
        Of the weights.

    Raises
    ------
    ValueError
        If a layer is not supported, the model has no graph of layers, or weights are too many or not finite.
    """
    if not (isinstance(model, keras.Sequential) or type(model).__name__ == "Functional") or not model.built:
        raise ValueError(
            f"{model.name!r} ({type(model).__name__}) has no graph of layers that could be read: "
            "expected a built keras.Sequential or a functional keras.Model"
        )
    if model.count_params() > MOST_WEIGHTS:
        raise ValueError(
            f"{model.name!r} has {model.count_params():,} weights; a live figure takes at most {MOST_WEIGHTS:,}, "
            "and a page should have far fewer"
        )
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise ValueError(f"weights of {model.name!r} are NaN or infinite: train it anew, and diagnose it first")
    reader = _Reader(len(model.inputs))
    output = reader.read(model.outputs[0], {id(tensor): i for i, tensor in enumerate(model.inputs)})
    weights = np.concatenate([np.zeros(0), *(np.ravel(weight) for weight in reader.weights)])
    return {"nodes": reader.nodes, "output": output, "weights": packed(weights, precision)}


class _Reader:
    """Follows the tensors of a model back to its inputs, and writes down every layer on the way, once."""

    def __init__(self, inputs: int) -> None:
        self.nodes: list[Node] = []
        self.weights: list[np.ndarray] = []
        self.inputs, self.size = inputs, 0

    def read(self, tensor: Any, known: dict[int, int]) -> int:
        """Return the index of the value of a tensor; `known` has those of this model that have been read."""
        if id(tensor) not in known:
            layer, index, position = tensor._keras_history
            arguments = layer._inbound_nodes[index].input_tensors
            sources = [self.read(argument, known) for argument in arguments]
            if hasattr(layer, "outputs") and hasattr(layer, "inputs"):
                inner = {id(inside): source for inside, source in zip(layer.inputs, sources, strict=True)}
                known[id(tensor)] = self.read(layer.outputs[position], inner)
            else:
                shapes = [tuple(argument.shape[1:]) for argument in arguments]
                known[id(tensor)] = self._write(layer, sources, shapes, tuple(tensor.shape[1:]))
        return known[id(tensor)]

    def _write(self, layer: keras.layers.Layer, sources: list[int], shapes: list[tuple], shape: tuple) -> int:
        for node, weights in zip(*node_of(layer, shapes, shape), strict=True):
            places = {}
            for name, weight in weights.items():
                places[name] = [self.size, weight.size]
                self.size += weight.size
                self.weights.append(weight)
            self.nodes.append({**node, "from": sources, "at": places})
            sources = [self.inputs + len(self.nodes) - 1]
        return sources[0]


def described(vae: VAE, *, encoder: bool = False, precision: str = "float16") -> dict[str, Any]:
    """Return a VAE as `vaecourseLive` builds it again.

    Parameters
    ----------
    vae : VAE
        Whose approximate posterior is a normal distribution with a diagonal covariance.
    encoder : bool
        Whether the encoder comes along; without it the page can decode only.
    precision : {"float16", "float32"}
        Of the weights.  With float16 a probability is off by at most about 10⁻³.

    Raises
    ------
    TypeError
        If it is no VAE.
    ValueError
        If a part of it is not supported; the error says which.
    """
    if not isinstance(vae, VAE):
        raise TypeError(
            f"expected a vaecourse.VAE, got {type(vae).__name__}; VAE(encoder, decoder) makes one of any two networks"
        )
    if type(vae).sample_and_log_q is not VAE.sample_and_log_q:
        raise ValueError(f"the approximate posterior of a {type(vae).__name__} is bent, and live figures draw ellipses")
    if hasattr(vae, "prior_parameters"):
        raise ValueError(f"the prior of a {type(vae).__name__} is learned, and live figures know N(0, I) alone")
    parts = {"decoder": network(vae.decoder, precision)}
    if encoder:
        parts["encoder"] = network(vae.encoder, precision)
    return {
        "latents": vae.latent_dim,
        "image_shape": list(vae.image_shape),
        "classes": vae.classes,
        "told": len(vae.encoder.inputs) == 2,
        "likelihood": of_likelihood(vae.likelihood, vae.image_shape[-1]),
        **_posterior(vae),
        **parts,
    }


def of_likelihood(likelihood: likelihoods.Likelihood, channels: int) -> dict[str, Any]:
    """Return a likelihood, of images with so many channels, as `likelihood` in `scripts/models.js` takes it."""
    kinds = (likelihoods.Bernoulli, likelihoods.ContinuousBernoulli, likelihoods.LocationScale)
    if not isinstance(likelihood, kinds):
        raise ValueError(f"live figures know the likelihoods of vaecourse, not {type(likelihood).__name__}")
    if isinstance(likelihood, likelihoods.Bernoulli):
        return {"name": "bernoulli" if likelihood.probability == "sigmoid" else "rectified", "channels": channels}
    if isinstance(likelihood, likelihoods.ContinuousBernoulli):
        return {"name": "continuous_bernoulli", "channels": channels}
    name = "gaussian" if isinstance(likelihood, likelihoods.Gaussian) else "discretized_logistic"
    family = {"name": name, "channels": channels, "mean": likelihood.mean}
    if likelihood.scale == "decoded":
        return family | {"decoded": True, "floor": likelihood.floor, "start": float(likelihood.start)}
    return family | {"scale": np.ravel(likelihood.sigma).astype(float).tolist()}


def _posterior(vae: VAE) -> dict[str, Any]:
    """Return how the model reads the log-variance, and what it draws, by a few probes of both."""
    rng = np.random.default_rng(0)
    mean, logvar, eps = (rng.normal(size=(16, vae.latent_dim)).astype(np.float32) for _ in range(3))
    z = np.asarray(vae.reparameterize(tf.constant(mean), tf.constant(logvar), tf.constant(eps)))
    drawn = [name for name, rule in DRAWN.items() if np.allclose(z, mean + rule(logvar) * eps, atol=1e-4)]
    if not drawn:
        raise ValueError(
            f"{type(vae).__name__}.reparameterize draws neither mean + exp(½ logvar) · eps nor in a way that live "
            "figures know"
        )
    return {"drawn": drawn[0], "logvar": _reported(vae)}


def _reported(vae: VAE) -> float | None:
    """Return the constant that a model reports as log-variance whatever its encoder says, or None."""
    x = np.random.default_rng(1).integers(0, 2, (4, *vae.image_shape)).astype(np.float32)
    y = np.zeros(len(x), np.int32) if vae.classes else None
    said = np.asarray(vae._encoder_output(tf.constant(x), y, False), np.float64)
    mean, logvar = (np.asarray(part, np.float64) for part in vae.posterior_parameters(x, y))
    own_mean, own_logvar = np.split(said, 2, axis=-1)
    if np.allclose(mean, own_mean, atol=1e-4) and np.allclose(logvar, own_logvar, atol=1e-4):
        return None
    if np.allclose(mean, own_mean, atol=1e-4) and np.ptp(logvar) < 1e-6:
        return float(logvar[0, 0])
    raise ValueError(f"{type(vae).__name__}.posterior_parameters changes what the encoder returns")


def summary(vae: VAE) -> str:
    """Return in a few words what a model is, how large its decoder is and how long it was trained."""
    likelihood = type(vae.likelihood).__name__
    words = f"{type(vae).__name__} with {vae.latent_dim} latents, {likelihood} likelihood, "
    words += f"decoder of {vae.decoder.count_params():,} weights"
    epochs = len(getattr(getattr(vae, "history", None), "epoch", []))
    return words + (f", {epochs} epoch{'s' * (epochs != 1)} of training" if epochs else "")
