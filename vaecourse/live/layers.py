"""Keras layers as the engine in `scripts/engine.js` knows them: nodes of a graph, and the weights that they need."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import layers

from vaecourse.models.layers import VarianceFloor

Node = dict[str, Any]
Weights = dict[str, np.ndarray]

ACTIVATIONS: dict[str, dict[str, Any]] = {
    name: {"name": name}
    for name in ("relu", "sigmoid", "tanh", "softplus", "softsign", "selu", "silu", "relu6", "exponential")
} | {
    "swish": {"name": "silu"},
    "elu": {"name": "elu", "alpha": 1.0},
    "leaky_relu": {"name": "leaky_relu", "slope": 0.2},
    "gelu": {"name": "gelu"},  # by the error function, which is what Keras' gelu is unless asked otherwise
}
"""Activations of the engine by the name that Keras gives to the function."""

IDENTITIES = (
    layers.Flatten,
    layers.Reshape,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.ActivityRegularization,
    layers.Identity,
)
"""Layers that, outside of training, leave every number as it is."""


def node_of(layer: keras.layers.Layer, shapes: list[tuple], shape: tuple) -> tuple[list[Node], list[Weights]]:
    """Return the nodes of one layer, one after the other, with their weights.

    Parameters
    ----------
    layer : keras.layers.Layer
    shapes : list of tuple
        Of its inputs, without the batch.
    shape : tuple
        Of its output, without the batch.

    Raises
    ------
    ValueError
        If the engine has no such layer, or not with these options.
    """
    make = next((make for kinds, make in _MAKERS if isinstance(layer, kinds)), None)
    if make is None:
        raise ValueError(_refusal(layer, "is of a kind that live figures do not have"))
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        raise ValueError(_refusal(layer, "has its channels first"))
    node, weights = make(layer, shapes[0], shape)
    node = {"shape": list(shape), "from_shape": list(shapes[0])} | node
    function = getattr(layer, "activation", None)
    if function is None or node["kind"] == "softmax" or isinstance(layer, _RECTIFIERS):
        return [node], [weights]
    if getattr(function, "__name__", "") == "softmax":
        return [node, {"kind": "softmax", "shape": list(shape), "from_shape": list(shape)}], [weights, {}]
    return [node | _activation(layer, function)], [weights]


def _refusal(layer: keras.layers.Layer, reason: str) -> str:
    names = sorted({kind.__name__ for kinds, _ in _MAKERS for kind in kinds})
    return (
        f"a live figure cannot compute layer {layer.name!r} ({type(layer).__name__}), which {reason}; "
        f"it knows {', '.join(names)}"
    )


def _activation(layer: keras.layers.Layer, function: Callable) -> dict[str, Any]:
    name = getattr(function, "__name__", type(function).__name__)
    if name == "linear":
        return {}
    if name not in ACTIVATIONS or getattr(keras.activations, name, None) is not function:
        raise ValueError(_refusal(layer, f"has the activation {name!r}"))
    return {"activation": ACTIVATIONS[name]}


def _dense(layer: layers.Dense, shape: tuple, _: tuple) -> tuple[Node, Weights]:
    if len(shape) != 1:
        raise ValueError(_refusal(layer, f"is applied to {shape}, and not to a vector"))
    return {"kind": "dense"}, {"kernel": np.asarray(layer.kernel), "bias": _bias(layer, layer.units)}


def _bias(layer: Any, n: int) -> np.ndarray:
    return np.asarray(layer.bias) if layer.use_bias else np.zeros(n)


def _plain(layer: Any) -> None:
    if tuple(layer.dilation_rate) != (1, 1) or getattr(layer, "groups", 1) != 1:
        raise ValueError(_refusal(layer, "is dilated or has groups"))


def _before(shape: tuple, out: tuple, size: Iterable[int], strides: Iterable[int], padding: str) -> list[int]:
    """Return how many pixels are added above and to the left, of those that "same" adds on both sides."""
    if padding == "valid":
        return [0, 0]
    pairs = zip(shape[:2], out[:2], size, strides, strict=True)
    return [max((m - 1) * s + k - n, 0) // 2 for n, m, k, s in pairs]


def _conv(layer: layers.Conv2D, shape: tuple, out: tuple) -> tuple[Node, Weights]:
    _plain(layer)
    before = _before(shape, out, layer.kernel_size, layer.strides, layer.padding)
    node = {"kind": "conv", "size": layer.kernel_size, "strides": layer.strides, "before": before}
    return node, {"kernel": np.asarray(layer.kernel), "bias": _bias(layer, layer.filters)}


def _transposed(layer: layers.Conv2DTranspose, shape: tuple, out: tuple) -> tuple[Node, Weights]:
    _plain(layer)
    if layer.output_padding is not None:
        raise ValueError(_refusal(layer, "has an output_padding"))
    before = _before(out, shape, layer.kernel_size, layer.strides, layer.padding)
    node = {"kind": "transposed", "size": layer.kernel_size, "strides": layer.strides, "before": before}
    regrouped = np.asarray(layer.kernel).transpose(0, 1, 3, 2)  # from (·, ·, out, in) to (tap, in, out)
    return node, {"kernel": regrouped, "bias": _bias(layer, layer.filters)}


def _pool(layer: Any, shape: tuple, out: tuple) -> tuple[Node, Weights]:
    before = _before(shape, out, layer.pool_size, layer.strides, layer.padding)
    node = {"kind": "pool", "size": layer.pool_size, "strides": layer.strides, "before": before}
    return node | {"largest": isinstance(layer, layers.MaxPooling2D)}, {}


def _global_pool(layer: Any, shape: tuple, _: tuple) -> tuple[Node, Weights]:
    largest = isinstance(layer, layers.GlobalMaxPooling2D)
    whole = {"size": shape[:2], "strides": [1, 1], "before": [0, 0], "shape": [1, 1, shape[2]]}
    return {"kind": "pool", "largest": largest} | whole, {}


def _upsample(layer: layers.UpSampling2D, *_: tuple) -> tuple[Node, Weights]:
    interpolation = getattr(layer, "interpolation", "nearest")
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(_refusal(layer, f"interpolates by {interpolation!r}"))
    if isinstance(layer, layers.Resizing) and (layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio):
        raise ValueError(_refusal(layer, "crops or pads to an aspect ratio"))
    return {"kind": "upsample", "bilinear": interpolation == "bilinear"}, {}


def _pad(layer: Any, *_: tuple) -> tuple[Node, Weights]:
    if isinstance(layer, layers.ZeroPadding2D):
        return {"kind": "pad", "before": [layer.padding[0][0], layer.padding[1][0]]}, {}
    return {"kind": "pad", "before": [-layer.cropping[0][0], -layer.cropping[1][0]]}, {}


def _normalized(layer: layers.BatchNormalization, shape: tuple, _: tuple) -> tuple[Node, Weights]:
    if layer.axis not in (-1, len(shape)):
        raise ValueError(_refusal(layer, "normalizes another axis than the last"))
    scale = 1 / np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma)
    shift = -np.asarray(layer.moving_mean) * scale + (np.asarray(layer.beta) if layer.center else 0)
    return {"kind": "affine"}, {"scale": scale, "shift": shift}


def _rescaled(layer: layers.Rescaling, *_: tuple) -> tuple[Node, Weights]:
    scale, shift = np.broadcast_arrays(np.ravel(layer.scale).astype(float), np.ravel(layer.offset).astype(float))
    return {"kind": "affine"}, {"scale": scale, "shift": shift}


def _rectified(layer: Any, *_: tuple) -> tuple[Node, Weights]:
    if isinstance(layer, layers.LeakyReLU):
        return {"kind": "same", "activation": {"name": "leaky_relu", "slope": float(layer.negative_slope)}}, {}
    if isinstance(layer, layers.ELU):
        return {"kind": "same", "activation": {"name": "elu", "alpha": float(layer.alpha)}}, {}
    if layer.threshold or layer.max_value not in (None, 6):
        raise ValueError(_refusal(layer, "has a threshold or a largest value"))
    if layer.negative_slope and layer.max_value is None:
        return {"kind": "same", "activation": {"name": "leaky_relu", "slope": float(layer.negative_slope)}}, {}
    return {"kind": "same", "activation": {"name": "relu6" if layer.max_value else "relu"}}, {}


def _softmax(layer: layers.Softmax, shape: tuple, _: tuple) -> tuple[Node, Weights]:
    if layer.axis not in (-1, len(shape)):
        raise ValueError(_refusal(layer, "is taken over another axis than the last"))
    return {"kind": "softmax"}, {}


def _concatenated(layer: layers.Concatenate, shape: tuple, _: tuple) -> tuple[Node, Weights]:
    if layer.axis not in (-1, len(shape)):
        raise ValueError(_refusal(layer, "joins another axis than the last"))
    return {"kind": "concat"}, {}


_RECTIFIERS = (layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Softmax)

_MAKERS: tuple[tuple[tuple[type, ...], Callable[[Any, tuple, tuple], tuple[Node, Weights]]], ...] = (
    (IDENTITIES, lambda *_: ({"kind": "same"}, {})),
    ((layers.Activation,), lambda *_: ({"kind": "same"}, {})),
    ((layers.Dense,), _dense),
    ((layers.Conv2DTranspose,), _transposed),
    ((layers.Conv2D,), _conv),
    ((layers.MaxPooling2D, layers.AveragePooling2D), _pool),
    ((layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D), _global_pool),
    ((layers.UpSampling2D, layers.Resizing), _upsample),
    ((layers.ZeroPadding2D, layers.Cropping2D), _pad),
    ((layers.BatchNormalization,), _normalized),
    ((layers.Rescaling,), _rescaled),
    ((layers.ReLU, layers.LeakyReLU, layers.ELU), _rectified),
    ((layers.Softmax,), _softmax),
    ((layers.Concatenate,), _concatenated),
    ((layers.Add,), lambda *_: ({"kind": "add"}, {})),
    ((VarianceFloor,), lambda layer, *_: ({"kind": "floor", "log_floor": math.log(layer.floor)}, {})),
)
