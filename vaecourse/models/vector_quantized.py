r"""Vector quantization: latents that are entries of a codebook, and a gradient that passes a choice by."""

import math
from numbers import Integral
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse import data
from vaecourse.models import likelihoods
from vaecourse.models.images import ImageModel
from vaecourse.training import EVALUATION_BATCH
from vaecourse.training.inputs import Array


def perplexity(codes: np.ndarray, entries: int) -> float:
    r"""Return how many entries of a codebook are in use: exp(−Σ_k f_k ln f_k), f_k the share of entry k.

    1 where a single entry is chosen throughout, and `entries` where all are chosen equally often.

    Parameters
    ----------
    codes : integer array
        The numbers of the chosen entries, from 0 on.
    entries : int
        The size of the codebook.

    Raises
    ------
    ValueError
        If there are no codes, or they are not integers from 0 to `entries` − 1.
    """
    codes = np.asarray(codes).ravel()
    if not (codes.size and codes.dtype.kind in "iu" and codes.min() >= 0 and codes.max() < entries):
        raise ValueError(f"expected integers from 0 to {entries - 1}, at least one, got {codes.dtype} {codes[:5]} …")
    share = np.bincount(codes, minlength=entries) / codes.size
    used = share[share > 0]
    return float(np.exp(-(used * np.log(used)).sum()))


def straight_through(continuous: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Return `chosen`, with the gradient of `continuous` in place of its own :cite:p:`bengio2013`."""
    return continuous + tf.stop_gradient(chosen - continuous)


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class VectorQuantizedVAE(ImageModel):
    r"""VQ-VAE :cite:p:`oord2017`: an image is described by N numbers k_n, each the nearest of K entries of a codebook.

    The encoder makes N vectors h_n of an image, and q(k|x) is certain: k_n = argmin_k \|h_n − e_k\|.  With a uniform
    prior over K entries the KL of an image is N ln K, whatever the weights are, and the bound is

    .. math:: \log p(x) \ge \log p(x|e_{k_1}, \dots, e_{k_N}) - N \ln K.

    The choice has no gradient.  The decoder's is handed to the encoder as if h had been decoded
    (:func:`straight_through`), and two more terms bring entries and vectors together:

    .. math:: \text{loss} = -\log p(x|e)
        + \sum_n \|\mathrm{sg}[h_n] - e_{k_n}\|^2 + c \sum_n \|h_n - \mathrm{sg}[e_{k_n}]\|^2,

    with sg the identity that has no gradient and c the weight of the *commitment*.

    Parameters
    ----------
    encoder : keras.Model
        Maps images to vectors `(batch, ..., D)`; the axes in between are the N places.
    decoder : keras.Model
        Maps such vectors to the raw parameters of p(x|z), of the shape of the images.
    entries : int
        K, at least 2.
    likelihood : str or likelihoods.Likelihood
    commitment : float
        c.
    seed : int
        Of the initial codebook, whose entries are drawn from N(0, 1/D), and of the order of the images.

    Raises
    ------
    ValueError
        If the shapes of the networks do not fit each other, or a choice has no such value.

    Notes
    -----
    Metrics: `loss`, `elbo`, `log_likelihood`, `codebook` (the squared distance Σ_n \|h_n − e_{k_n}\|²).  Introduced in
    the chapter *Priors*.
    """

    measured = ("loss", "elbo", "log_likelihood", "codebook")
    directions = MappingProxyType({"loss": "min", "elbo": "max", "log_likelihood": "max"})
    _parts = ("encoder", "decoder", "likelihood")
    _choices = ("entries", "commitment", "seed")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        entries: int = 64,
        likelihood: str | likelihoods.Likelihood = "bernoulli",
        *,
        commitment: float = 0.25,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        code_shape = tuple(encoder.output_shape[1:])
        if len(code_shape) < 2 or code_shape != tuple(decoder.input_shape[1:]):
            raise ValueError(
                "expected an encoder that ends in vectors (places, D), and a decoder that takes them, got "
                f"{code_shape} and {tuple(decoder.input_shape[1:])}"
            )
        if tuple(encoder.input_shape[1:]) != tuple(decoder.output_shape[1:]):
            raise ValueError(
                f"the decoder returns images of shape {decoder.output_shape[1:]}, the encoder takes "
                f"{encoder.input_shape[1:]}"
            )
        if not (isinstance(entries, Integral) and entries >= 2 and isinstance(seed, Integral) and 0 <= seed < 2**31):
            raise ValueError(f"expected integers entries ≥ 2 and 0 ≤ seed < 2³¹, got {entries!r} and {seed!r}")
        if not (np.isfinite(commitment) and commitment > 0):
            raise ValueError(f"expected a positive commitment, without which nothing ties h to e, got {commitment!r}")
        self.encoder: keras.Model = encoder
        self.decoder: keras.Model = decoder
        self.likelihood = likelihoods.get(likelihood)
        self.entries: int = entries
        self.commitment: float = commitment
        self.seed = seed
        self.image_shape = tuple(decoder.output_shape[1:])
        self.places: int = math.prod(code_shape[:-1])
        shape = (entries, code_shape[-1])
        self.codebook: keras.Variable = self.add_weight(shape, "zeros", name="codebook", autocast=False)
        drawn = np.random.default_rng(seed).normal(size=(entries, code_shape[-1]))
        self.codebook.assign(drawn / math.sqrt(code_shape[-1]))
        self.supports_jit = False
        self._prepare()
        self._build()

    @property
    def rate(self) -> float:
        """KL of an image to the uniform prior, N ln K nats."""
        return self.places * math.log(self.entries)

    def codes(self, x: Array) -> tf.Tensor:
        """Return the numbers of the nearest entries, `(batch, ...)`, of images."""
        return self._nearest(self._vectors(self.checked(x), False))

    def decode(self, codes: Array) -> Any:
        """Return p(x|e) of entries by their numbers `(batch, ...)`: a distribution whose events are images."""
        codes = np.asarray(codes)
        if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= self.entries:
            raise ValueError(f"expected integers from 0 to {self.entries - 1}, got {codes.dtype} {codes.ravel()[:5]} …")
        output = self.decoder(self._looked_up(tf.constant(codes, tf.int32)))
        return self.likelihood.distribution(tf.cast(output, self.variable_dtype))

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Return the loss, the bound and its parts per image, each `(batch,)`; the noise is not used."""
        vectors = self._vectors(self.checked(x), training)
        chosen = self._looked_up(self._nearest(vectors))
        output = self.decoder(straight_through(vectors, chosen), training=training)
        log_likelihood = self.likelihood.log_prob(tf.cast(output, self.variable_dtype), tf.cast(x, vectors.dtype))
        moved = _squared(tf.stop_gradient(vectors) - chosen)
        committed = _squared(vectors - tf.stop_gradient(chosen))
        return {
            "loss": -log_likelihood + moved + self.commitment * committed,
            "elbo": log_likelihood - self.rate,
            "log_likelihood": log_likelihood,
            "codebook": moved,
        }

    def noise(self, batch: int | tf.Tensor, step: int | tf.Tensor) -> tf.Tensor:
        """Return zeros: the model has no noise."""
        return tf.zeros((batch, 1), self.variable_dtype)

    def codebook_perplexity(self, images: np.ndarray) -> float:
        """Return the :func:`perplexity` of all codes of images."""
        codes = [self.codes(x) for x in data.batches(self.checked(images), EVALUATION_BATCH)]
        return perplexity(np.concatenate(codes), self.entries)

    def sample(self, n: int, seed: int = 0) -> tf.Tensor:
        """Decode `n` draws from the uniform prior over codes; the mean images `(n, height, width, channels)`."""
        shape = (n, *self.encoder.output_shape[1:-1])
        return self.decode(np.random.default_rng((seed, n)).integers(self.entries, size=shape)).mean()

    def call(self, x: Any, training: bool = False) -> tf.Tensor:
        """Return the mean images of the codes of `x`."""
        vectors = self._vectors(self.checked(x), bool(training))
        output = self.decoder(self._looked_up(self._nearest(vectors)), training=bool(training))
        return self.likelihood(tf.cast(output, self.variable_dtype))

    # --- inside ----------------------------------------------------------------------------------------------------

    def _vectors(self, x: Array, training: bool) -> tf.Tensor:
        return tf.cast(self.encoder(x, training=training), self.variable_dtype)

    def _nearest(self, vectors: tf.Tensor) -> tf.Tensor:
        """Return the number of the nearest entry; |h|² is the same for all and is left out of |h − e|²."""
        book = tf.convert_to_tensor(self.codebook)
        distances = tf.reduce_sum(book**2, axis=-1) - 2 * tf.tensordot(vectors, book, [[-1], [-1]])
        return tf.argmin(distances, axis=-1, output_type=tf.int32)

    def _looked_up(self, codes: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.convert_to_tensor(self.codebook), codes)


def _squared(difference: tf.Tensor) -> tf.Tensor:
    """Return the sum of squares per image, `(batch,)`."""
    return tf.reduce_sum(difference**2, axis=list(range(1, difference.shape.rank)))
