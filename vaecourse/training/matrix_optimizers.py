"""Optimizers that treat a kernel as a matrix: Muon makes its updates orthogonal, and SOAP is Adam in a turned basis.

Adam scales every weight by itself.  A kernel is a matrix from inputs to outputs, and its gradient is far from round:
few directions are steep, many flat.  Both optimizers even them out, at the price of a few products of small matrices
a step.  A convolution's kernel `(height, width, in, out)` is read as a matrix of all but its last axis times the last.
"""

import re
from typing import Any

import keras
import tensorflow as tf

from vaecourse.data import amounts


@keras.saving.register_keras_serializable("vaecourse")
class Muon(keras.optimizers.Muon):
    """Keras' Muon :cite:p:`jordan2024,liu2025muon`, for the kernels of convolutions as well.

    The momentum of a kernel is replaced by the nearest matrix with orthonormal rows or columns, by five steps of an
    iteration, and scaled so that a learning rate of Adam fits.  Biases, kernels with a side of one, and layers that
    `exclude_layers` names are trained by Adam.  Keras leaves kernels with more than two axes to Adam.

    Parameters
    ----------
    learning_rate : float or schedule
    weight_decay, adam_weight_decay : float, optional
        None here; Keras has 0.004 for both.
    **options
        As Keras' own.

    Raises
    ------
    ValueError
        As Keras' own.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        *,
        weight_decay: float | None = None,
        adam_weight_decay: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, adam_weight_decay=adam_weight_decay, **options)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        if not _is_kernel(variable):
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(name, variable.path) for name in self.exclude_layers)

    def zeropower_via_newtonschulz5(self, x: tf.Tensor, steps: int) -> tf.Tensor:
        """Return the nearest matrix with orthonormal rows or columns, roughly, in the shape of the kernel."""
        return tf.reshape(super().zeropower_via_newtonschulz5(_as_matrix(x), steps), x.shape)

    def lr_adjust(self, x: tf.Tensor) -> tf.Tensor:
        """Return the update scaled as in :cite:t:`liu2025muon`: as large, by root mean square, as one of Adam."""
        return tf.reshape(super().lr_adjust(_as_matrix(x)), x.shape)


@keras.saving.register_keras_serializable("vaecourse")
class SOAP(keras.optimizers.Optimizer):
    r"""Adam in the eigenbasis of Shampoo's preconditioner :cite:p:`vyas2025`.

    For the gradient G of a kernel, running means of G Gᵀ and Gᵀ G have eigenvectors Q_L and Q_R.  Adam's second
    moments are kept of Q_Lᵀ G Q_R, the step is computed there and turned back.  With Q = I it is Adam, which is what
    biases and sides of more than `largest` rows or columns get.

    Parameters
    ----------
    learning_rate : float or schedule
    beta_1, beta_2 : float
        Decay of the first moments; of the second moments and of the two matrices.
    epsilon : float
    frequency : int
        The bases are brought up to date every so many steps, by one step of orthogonal iteration.
    largest : int
        Rows or columns beyond which a side keeps its basis.

    Raises
    ------
    ValueError
        If one of them has no such value.

    Notes
    -----
    The first step of a kernel only finds its bases.  As in Adam, both moments are corrected by the number of all steps,
    that one included: the authors' program begins to count, and to average gradients, at the second.
    """

    def __init__(
        self,
        learning_rate: Any = 3e-3,
        beta_1: float = 0.95,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        frequency: int = 10,
        largest: int = 640,
        name: str = "soap",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **options)
        self.beta_1 = amounts.amount(beta_1, "beta_1", 0, 1)
        self.beta_2 = amounts.amount(beta_2, "beta_2", 0, 1)
        self.epsilon = amounts.amount(epsilon, "epsilon", 0)
        self.frequency, self.largest = amounts.count(frequency, "frequency"), amounts.count(largest, "largest")

    def build(self, variables: list) -> None:
        """Create the moments of all weights, and two matrices and two bases for each kernel."""
        if self.built:
            return
        super().build(variables)
        self._first = [self.add_variable_from_reference(v, name="momentum") for v in variables]
        self._second = [self.add_variable_from_reference(v, name="velocity") for v in variables]
        self._sides: list[list] = []
        for variable in variables:
            sides = []
            if _is_kernel(variable):
                for side, size in enumerate(_matrix_shape(variable.shape)):
                    if size <= self.largest:
                        parts = [
                            self.add_variable((size, size), initializer=how, name=f"{what}_{side}")
                            for what, how in (("scatter", "zeros"), ("basis", "identity"))
                        ]
                        sides.append((side, *parts))
            self._sides.append(sides)

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """Update one weight; the first step only finds the bases."""
        index = self._get_variable_index(variable)
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        sides = self._sides[index]
        shape = _matrix_shape(variable.shape) if sides else tuple(variable.shape)
        g = tf.reshape(gradient, shape)
        step = tf.cast(self.iterations + 1, variable.dtype)
        first, second = self._first[index], self._second[index]
        m = tf.reshape(self.beta_1 * first + (1 - self.beta_1) * gradient, shape)
        turned = _turned(g, sides)
        v = self.beta_2 * tf.reshape(second.value, shape) + (1 - self.beta_2) * turned**2
        corrected = tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        update = _turned(m, sides) / (tf.sqrt(v) + self.epsilon) * corrected
        update = _turned(update, sides, back=True)
        started = tf.cast(step > 1 if sides else True, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        first.assign(tf.reshape(m, variable.shape))
        second.assign(tf.reshape(v * started, variable.shape))
        variable.assign_sub(tf.reshape(rate * started * update, variable.shape))
        for side, scatter, basis in sides:
            product = tf.matmul(g, g, transpose_b=True) if side == 0 else tf.matmul(g, g, transpose_a=True)
            scatter.assign(self.beta_2 * scatter + (1 - self.beta_2) * product)
            basis.assign(self._renewed(scatter.value, basis.value))

    def _renewed(self, scatter: tf.Tensor, basis: tf.Tensor) -> tf.Tensor:
        """Return the basis that the next step uses: the eigenvectors at first, then their iteration now and then."""
        step = self.iterations

        def iterated() -> tf.Tensor:
            return tf.linalg.qr(tf.matmul(scatter, basis))[0]

        def eigenvectors() -> tf.Tensor:
            return tf.reverse(tf.linalg.eigh(scatter)[1], [1])

        later = tf.cond(tf.equal(step % self.frequency, 0), iterated, lambda: tf.identity(basis))
        return tf.cond(tf.equal(step, 0), eigenvectors, lambda: later)

    def get_config(self) -> dict[str, Any]:
        """Return what builds it again."""
        names = ("beta_1", "beta_2", "epsilon", "frequency", "largest")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _is_kernel(variable: keras.Variable) -> bool:
    return len(variable.shape) >= 2 and min(_matrix_shape(variable.shape)) > 1


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    size = 1
    for extent in shape[:-1]:
        size *= extent
    return size, shape[-1]


def _as_matrix(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, _matrix_shape(x.shape))


def _turned(matrix: tf.Tensor, sides: list, back: bool = False) -> tf.Tensor:
    """Return Q_Lᵀ M Q_R, or Q_L M Q_Rᵀ, with the bases of the sides that have one."""
    for side, _, basis in sides:
        if side == 0:
            matrix = tf.matmul(basis.value, matrix, transpose_a=not back)
        else:
            matrix = tf.matmul(matrix, basis.value, transpose_b=back)
    return matrix
