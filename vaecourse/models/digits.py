"""VAEs that know which digit an image shows: as a source wrote it, conditioned in earnest, and half supervised."""

import os
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vaecourse.models import likelihoods, objectives
from vaecourse.models.labels import ClassifyingVAE, LabeledVAE, cross_entropy
from vaecourse.training.inputs import Array


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class DigitVAE(ClassifyingVAE):
    r"""VAE whose decoder is told the digit by a classifier :cite:p:`zeldes`.

    Three networks: q(z|x) by the encoder, π(y|x) by the classifier, p(x|z, y) by the decoder.  `fit` minimizes the mean
    over images of −log p(x|z, π(x)) + β KL(q(z|x) ‖ p(z)) − w log π(y|x), z ~ q(z|x).  That is the objective of the
    source, and no bound on anything: the decoder is trained on the probabilities of the classifier, not on digits, and
    no term is paid for them.

    Parameters
    ----------
    encoder, decoder, classifier : keras.Model
        The decoder takes latents and, after them, one number for each class; the classifier returns logits.
    likelihood : str or likelihoods.Likelihood
    classification_weight : float
        w.
    **options
        As for :class:`~vaecourse.models.VAE`.

    Notes
    -----
    Labels `y` are integers `(batch,)`, or probabilities `(batch, classes)`.  :meth:`terms` given labels returns the
    terms of a bound on log p(x|y); without them, those of the objective above.

    The metrics: `loss`, `vae_loss` (the first two terms), `classifier_loss` (the third), `log_likelihood`, `kl`, and
    `accuracy`, the share of images that are classified rightly.
    """

    measured = ("loss", "vae_loss", "classifier_loss", "log_likelihood", "kl", "accuracy")
    directions = MappingProxyType(
        {"loss": "min", "vae_loss": "min", "classifier_loss": "min", "log_likelihood": "max", "accuracy": "max"}
    )

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        y = self._labels_to_learn_from(y)
        logits = self.logits(x, training)
        terms = self.terms(x, eps, tf.nn.softmax(logits), training)
        vae_loss = -objectives.elbo(*terms, self.beta * self.kl_weight)
        classifier_loss = self.classification_weight * cross_entropy(y, logits)
        return {
            "loss": vae_loss + classifier_loss,
            "vae_loss": vae_loss,
            "classifier_loss": classifier_loss,
            "log_likelihood": terms.log_likelihood,
            "kl": terms.kl,
            "accuracy": tf.cast(tf.argmax(logits, -1) == tf.cast(y, tf.int64), logits.dtype),
        }

    def beside_the_bound(self, x: Array, y: Array | None = None) -> tf.Tensor:
        """Return the weighted cross-entropy of the classifier, per image."""
        return self.classification_weight * cross_entropy(y, self.logits(x))

    def _condition(self, x: Array, y: Array | None) -> Array | None:
        return self.classify(x).probs_parameter() if y is None else y


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class ConditionalVAE(LabeledVAE):
    r"""VAE whose encoder and decoder are both told the digit :cite:p:`kingma2014semi`; its prior is not.

    q(z|x, y) and p(x|z, y); `fit` maximizes log p(x|z, y) − β KL(q(z|x, y) ‖ p(z)), with β = 1 a bound on log p(x|y).

    Parameters
    ----------
    encoder, decoder : keras.Model
        The encoder takes an image and one number for each class; the decoder latents and, after them, as many numbers.
    likelihood, **options
        As for :class:`~vaecourse.models.VAE`.

    Notes
    -----
    The metrics are those of a VAE.  There is no classifier: whatever is asked needs labels.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        likelihood: str | likelihoods.Likelihood = "gaussian",
        **options: Any,
    ) -> None:
        if "classification_weight" in options:
            raise TypeError("a ConditionalVAE has no classifier to weigh: classification_weight is not its option")
        self.encoder = encoder  # which knows how many classes there are
        super().__init__(encoder, decoder, likelihood, **options)

    @property
    def classes(self) -> int:
        """How many inputs of the decoder are not latents but say which digit to draw."""
        return self.encoder.inputs[1].shape[-1]

    def call(self, x: Any, training: bool = False) -> tf.Tensor:
        """Return :meth:`reconstruct` of `x`, a pair of images and labels."""
        images, y = x
        if tf.is_symbolic_tensor(y) and y.dtype.is_floating and y.shape.rank == 1:
            y = tf.cast(y, tf.int32)  # Keras traces every input of a model that is exported as floats
        return self.reconstruct(images, y=y, training=bool(training))

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return super().objective(x, self._labels_to_learn_from(y), eps, training)

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ) -> None:
        """Write the model for use without this package, as Keras' `export` does; labels are integers `(batch,)`."""
        if input_signature is None:
            images = keras.InputSpec(shape=(None, *self.image_shape), dtype=self.input_dtype)
            input_signature = [(images, keras.InputSpec(shape=(None,), dtype="int32"))]
        super().export(filepath, format=format, verbose=verbose, input_signature=input_signature, **options)

    def _build(self) -> None:
        self((tf.zeros((1, *self.image_shape)), tf.zeros(1, tf.int32)))

    def _condition(self, x: Array, y: Array | None) -> Array | None:
        if y is None:
            raise ValueError(f"{type(self).__name__} encodes images of known digits: expected labels y")
        return y


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class SemiSupervisedVAE(ClassifyingVAE):
    r"""The model M2 of :cite:t:`kingma2014semi`: a conditional VAE that infers the digits it is not told.

    With ℓ(x, y) the ELBO of a :class:`ConditionalVAE`, p(y) uniform and w(y) the posterior of the digit, the bound on
    log p(x) is Σ_y w(y) ℓ(x, y) − KL(w ‖ p(y)), w = q(y|x) by the classifier.  Where the digit is known, w is certain,
    and the same formula bounds log p(x, y) = log p(x|y) − ln (classes).  `fit` maximizes the mean of this bound, plus
    `classification_weight` · log q(y|x) where the digit is known.

    Parameters
    ----------
    encoder, decoder : keras.Model
        As for :class:`ConditionalVAE`.
    classifier : keras.Model
        Returns logits.
    likelihood, classification_weight, **options
        As for :class:`DigitVAE`.

    Notes
    -----
    A label of −1 says that the digit is not known.  The metrics are `loss` and `bound`.
    """

    measured = ("loss", "bound")
    directions = MappingProxyType({"loss": "min", "bound": "max"})
    lowest_label = -1

    def bound(self, x: Array, eps: tf.Tensor, y: Array | None = None, beta: float = 1.0) -> tf.Tensor:
        """Return the bound per image, `(batch,)` in nats: on log p(x, y) where `y` is a digit, else on log p(x).

        The sum over digits runs over those of positive weight: one for an image with a label, all for one without.
        """
        return self._bounds(x, eps, y, self.logits(self.checked(x)), (beta,))[0]

    def _bounds(
        self,
        x: Array,
        eps: tf.Tensor,
        y: Array | None,
        logits: tf.Tensor,
        betas: tuple[float, ...],
        training: bool = False,
    ) -> list[tf.Tensor]:
        """Return the bound for several β, given what the classifier says."""
        q = tf.nn.softmax(logits)
        w = q
        if y is not None:
            y = tf.cast(y, tf.int32)
            with tf.control_dependencies([tf.debugging.assert_greater_equal(y, -1, "expected labels from -1 on")]):
                digit = self.probabilities(tf.maximum(y, 0))
            w = tf.where(y[:, tf.newaxis] < 0, q, digit)
        pairs = tf.where(w > 0)
        image, digit = pairs[:, 0], pairs[:, 1]
        terms = self.terms(tf.gather(x, image), tf.gather(eps, image, axis=-2), digit, training)
        kl = tf.reduce_sum(tf.math.xlogy(w, w), axis=-1) + np.log(self.classes)
        bounds = []
        for beta in betas:
            weighted = tf.gather_nd(w, pairs) * objectives.elbo(*terms, beta)
            expected = tf.math.unsorted_segment_sum(weighted, image, tf.shape(w, tf.int64)[0])
            bounds.append(expected - kl)
        return bounds

    def objective(self, x: Array, y: Array | None, eps: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        y = self._labels_to_learn_from(y)
        logits = self.logits(x, training)
        objective, bound = self._bounds(x, eps, y, logits, (self.beta * self.kl_weight, 1.0), training)
        known = tf.cast(y, tf.int32) >= 0
        penalty = cross_entropy(tf.where(known, tf.cast(y, tf.int32), 0), logits)
        supervised = tf.where(known, self.classification_weight * penalty, tf.zeros_like(penalty))
        return {"loss": supervised - objective, "bound": bound}

    def beside_the_bound(self, x: Array, y: Array | None = None) -> tf.Tensor:
        """Return the weighted cross-entropy of the classifier and ln (classes), by which log p(x, y) is below."""
        return self.classification_weight * cross_entropy(y, self.logits(x)) + np.log(self.classes)

    def terms(self, x: Array, eps: tf.Tensor, y: Array | None = None, training: bool = False) -> objectives.Terms:
        """Return the terms of the bound on log p(x|y); without labels ask for :meth:`bound`."""
        return super().terms(x, eps, _known(y), training)

    def log_weights(self, x: Array, eps: tf.Tensor, y: Array | None = None) -> tf.Tensor:
        """Return log p(x, z|y)/q(z|x, y); without labels ask for :meth:`bound`."""
        return super().log_weights(x, eps, _known(y))

    def _condition(self, x: Array, y: Array | None) -> Array | None:
        return self.classify(x).mode() if y is None else y


def _known(y: Array | None) -> Array:
    if y is None:
        raise ValueError("without labels the digits are summed out: ask for bound, not for the terms of one digit")
    return y
