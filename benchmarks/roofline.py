"""The rate of matrix products: what the hardware gives where nothing else stands in the way."""

import time

import tensorflow as tf


class Matmul:
    """Products of square matrices, as large as fits a cache comfortably."""

    def __init__(self, size: int = 2048, products: int = 10):
        self.flops = 2 * size**3 * products
        self.products = products
        self.matrices = {dtype: tf.ones((size, size), dtype) for dtype in ("float32", "bfloat16")}
        self.multiply = tf.function(lambda matrix: tf.matmul(matrix, matrix))

    def rates(self) -> dict[str, float]:
        """Return GFLOP/s for each precision."""
        return {dtype: self._rate(matrix) for dtype, matrix in self.matrices.items()}

    def _rate(self, matrix) -> float:
        began = time.perf_counter()
        for _ in range(self.products):
            product = self.multiply(matrix)
        product.numpy()
        return self.flops / (time.perf_counter() - began) / 1e9
