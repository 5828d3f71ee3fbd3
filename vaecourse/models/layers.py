"""Keras layers that the networks need and Keras does not have."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("vaecourse")
class VarianceFloor(layers.Layer):
    r"""From the mean and s, side by side, to the mean and log(floor + exp(s)): the variance stays above the floor."""

    def __init__(self, floor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not floor > 0:
            raise ValueError(f"expected a positive floor, got {floor!r}")
        self.floor = floor

    def call(self, parameters: tf.Tensor) -> tf.Tensor:
        mean, s = keras.ops.split(parameters, 2, axis=-1)
        return keras.ops.concatenate([mean, keras.ops.logaddexp(s, math.log(self.floor))], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floor": self.floor}


@keras.saving.register_keras_serializable("vaecourse")
class Upsampling(layers.Conv2DTranspose):
    """Keras' transposed convolution, with a gradient of the bias that half precision does not spoil.

    That gradient is a sum over all pixels of a batch.  Keras adds a bias by an operation whose gradient is added up in
    half precision on a CPU: terms soon are too small to change what has been summed before, and the result may not
    even have the right sign.  Sums need more digits than their terms :cite:p:`micikevicius2018`; those of an ordinary
    addition have them.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if inputs.dtype.size >= 4 or not self.use_bias or self.data_format == "channels_first":
            return super().call(inputs)
        options = {"output_padding": self.output_padding, "dilation_rate": self.dilation_rate}
        outputs = keras.ops.conv_transpose(inputs, self.kernel, self.strides, self.padding, **options)
        return self.activation(outputs + tf.cast(self.bias, outputs.dtype))


@keras.saving.register_keras_serializable("vaecourse")
class ToOneChannel(Upsampling):
    """A transposed convolution of 3×3 pixels and stride 1 to a single channel, faster on CPUs than Keras' own.

    It has a bias and no activation, and pads so that the size stays.  Libraries spread the work of a convolution over
    output channels, and here there is one.  Instead, one matrix product gives every pixel its nine contributions, and
    nine shifted planes are added up.  Parameters, weights, gradients and results are those of
    :class:`keras.layers.Conv2DTranspose`, up to rounding.  On a GPU, and in half precision, where it would gain
    nothing, this is :class:`Upsampling`.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if inputs.dtype.size < 4 or tf.config.list_logical_devices("GPU"):
            return super().call(inputs)
        return _to_one_channel(inputs, tf.cast(self.kernel, inputs.dtype)) + tf.cast(self.bias, inputs.dtype)


@tf.custom_gradient
def _to_one_channel(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    _, height, width, channels = inputs.shape
    planes = tf.matmul(tf.reshape(inputs, (-1, channels)), tf.reshape(kernel, (9, channels)), transpose_b=True)
    planes = tf.pad(tf.reshape(planes, (-1, height, width, 9)), [[0, 0], [1, 1], [1, 1], [0, 0]])
    shifted = [planes[:, 2 - i : 2 - i + height, 2 - j : 2 - j + width, 3 * i + j] for i in range(3) for j in range(3)]

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        of_inputs = tf.nn.conv2d(upstream, kernel, 1, "SAME")
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=upstream, filter_sizes=kernel.shape, out_backprop=inputs, strides=[1] * 4, padding="SAME"
        )
        return of_inputs, of_kernel

    return tf.add_n(shifted)[..., tf.newaxis], gradient


def full_precision() -> dict[str, str]:
    """Return the option of a layer that computes with as many digits as the weights have, whatever the others do.

    A mean that is rounded to half precision may be off by a good part of the posterior's standard deviation.
    """
    return {"dtype": keras.config.dtype_policy().variable_dtype}
