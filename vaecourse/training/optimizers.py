"""Adam as one operation for each weight, and learning rates that climb and fall."""

import keras
import tensorflow as tf

from vaecourse.data import amounts


@keras.saving.register_keras_serializable("vaecourse")
class Adam(keras.optimizers.Adam):
    """Keras' Adam, with one operation for each weight where Keras has a dozen :cite:p:`kingma2015`.

    Parameters, state and updates are Keras' own, up to rounding.  The fused operation reads and writes every number
    once, which a perceptron, whose weights do not fit into the processor's cache, feels most.
    """

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Update one weight; gradients by index, and amsgrad, are left to Keras."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.constant(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable("vaecourse")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that climbs linearly to `peak` and falls linearly to 0.

    Parameters
    ----------
    peak : float
    steps : int
        Optimizer steps of the whole training.
    warmup : float
        Share of the steps spent climbing, below 1.

    Raises
    ------
    ValueError
        If one of them has no such value.
    """

    def __init__(self, peak: float, steps: int, warmup: float = 0.0) -> None:
        super().__init__()
        _climbing(steps, warmup)
        self.peak, self.steps, self.warmup = amounts.amount(peak, "peak", 0), steps, warmup

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the learning rate of an optimizer step, from 0 on."""
        climbing = _climbing(self.steps, self.warmup)
        step = tf.cast(step, tf.float32)
        climbed = step / climbing if climbing else 1.0
        left = (self.steps - step) / (self.steps - climbing)
        return self.peak * tf.maximum(tf.minimum(climbed, left), 0.0)

    def get_config(self) -> dict[str, float]:
        """Return what builds it again."""
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup}


def cosine_decay(peak: float, steps: int, warmup: float = 0.0) -> keras.optimizers.schedules.CosineDecay:
    """Return a learning rate that climbs linearly to `peak` and falls to 0 along half a cosine.

    Parameters
    ----------
    peak : float
    steps : int
        Optimizer steps of the whole training.
    warmup : float
        Share of the steps spent climbing, below 1.

    Raises
    ------
    ValueError
        If one of them has no such value.
    """
    amounts.amount(peak, "peak", 0)
    climbing = _climbing(steps, warmup)
    if not climbing:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(0.0, steps - climbing, warmup_target=peak, warmup_steps=climbing)


def _climbing(steps: int, warmup: float) -> int:
    """Return in how many steps of a training the learning rate climbs, given their share."""
    return round(amounts.amount(warmup, "warmup", 0, 1) * amounts.count(steps, "step"))
