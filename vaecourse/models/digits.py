"""VAEs that know which digit an image shows: as a source wrote it, conditioned in earnest, and half supervised."""

from numbers import Real

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.models import likelihoods, objectives
from vaecourse.models.vae import VAE

tfd = tfp.distributions


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class DigitVAE(VAE):
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
    lowest_label = 0
    _parts = ("encoder", "decoder", "classifier", "likelihood")
    _choices = (*VAE._choices, "classification_weight")

    def __init__(self, encoder, decoder, classifier, likelihood="gaussian", *, classification_weight=10.0, **options):
        if not (isinstance(classification_weight, Real) and np.isfinite(classification_weight)):
            raise ValueError(f"expected a finite classification_weight, got {classification_weight!r}")
        self.encoder, self.classifier = encoder, classifier  # which know how many classes there are
        self.classification_weight = classification_weight
        super().__init__(encoder, decoder, likelihood, **options)

    @property
    def classes(self) -> int:
        """How many inputs of the decoder are not latents but say which digit to draw."""
        return self.classifier.output_shape[-1]

    def checked_labels(self, y):
        """Return labels after refusing what names no digit; of a symbolic tensor only the dtype is known."""
        if y is None:
            return None
        if not hasattr(y, "dtype"):
            raise TypeError(f"expected an array of labels, got {type(y).__name__}")
        concrete = isinstance(y, np.ndarray) or hasattr(y, "numpy")
        if tf.as_dtype(y.dtype).is_floating:
            if tuple(y.shape[-1:]) != (self.classes,):
                raise ValueError(f"expected probabilities of {self.classes} classes, got shape {tuple(y.shape)}")
            if concrete and not (np.min(y) >= 0 and np.allclose(np.sum(y, axis=-1), 1, atol=1e-3)):
                raise ValueError("expected probabilities that are not negative and add up to 1")
        elif concrete:
            low, high = np.min(y), np.max(y)
            if low < self.lowest_label or high >= self.classes:
                raise ValueError(f"expected labels from {self.lowest_label} to {self.classes - 1}, got {low} to {high}")
        return y

    def classify(self, x) -> tfd.Categorical:
        """Return π(y|x): which digit the classifier takes each image for."""
        return tfd.Categorical(logits=self._logits(self.checked(x)))

    def losses(self, x, y, eps):
        y = self._labels_to_learn_from(y)
        logits = self._logits(x)
        terms = self.terms(x, eps, tf.nn.softmax(logits))
        vae_loss = -objectives.elbo(*terms, self.beta)
        classifier_loss = self.classification_weight * _cross_entropy(y, logits)
        return {
            "loss": vae_loss + classifier_loss,
            "vae_loss": vae_loss,
            "classifier_loss": classifier_loss,
            "log_likelihood": terms.log_likelihood,
            "kl": terms.kl,
            "accuracy": tf.cast(tf.argmax(logits, -1) == tf.cast(y, tf.int64), logits.dtype),
        }

    # --- inside ----------------------------------------------------------------------------------------------------

    def _condition(self, x, y):
        return self.classify(x).probs_parameter() if y is None else y

    def _logits(self, x) -> tf.Tensor:
        return tf.cast(self.classifier(x), self.variable_dtype)

    def _checked_examples(self, x, y=None):
        examples = super()._checked_examples(x, y)
        self._labels_to_learn_from(y)
        return examples

    def _labels_to_learn_from(self, y):
        if y is None or tf.as_dtype(y.dtype).is_floating:
            raise ValueError(f"{type(self).__name__} learns from images and their digits: expected integer labels")
        return y

    def _decoder_input(self, z, y):
        if y is None:
            raise ValueError(f"{type(self).__name__} decodes latents of known digits: expected labels y")
        y = self._probabilities(y)
        return tf.concat([z, tf.broadcast_to(y, tf.concat([tf.shape(z)[:-1], [self.classes]], 0))], axis=-1)

    def _probabilities(self, y) -> tf.Tensor:
        if tf.as_dtype(y.dtype).is_floating:
            return tf.cast(y, self.variable_dtype)
        y = tf.cast(y, tf.int32)
        message = f"expected labels from 0 to {self.classes - 1}"
        low, high = tf.debugging.assert_non_negative(y, message), tf.debugging.assert_less(y, self.classes, message)
        with tf.control_dependencies([low, high]):
            return tf.one_hot(y, self.classes, dtype=self.variable_dtype)


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class ConditionalVAE(DigitVAE):
    r"""VAE whose encoder and decoder are both told the digit :cite:p:`sohn2015`.

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

    measured = VAE.measured
    _parts = VAE._parts
    _choices = VAE._choices

    def __init__(self, encoder, decoder, likelihood="gaussian", **options):
        if "classification_weight" in options:
            raise TypeError("a ConditionalVAE has no classifier to weigh: classification_weight is not its option")
        super().__init__(encoder, decoder, None, likelihood, **options)

    @property
    def classes(self):
        return self.encoder.inputs[1].shape[-1]

    def call(self, x):
        """Return :meth:`reconstruct` of `x`, a pair of images and labels."""
        images, y = x
        return self.reconstruct(images, y=y)

    def predict(self, x, *args, **kwargs):
        """Return the reconstructions of `x`, a pair of images and labels, as an array."""
        return super(VAE, self).predict(x, *args, **kwargs)

    def classify(self, x):
        """Raise `TypeError`: this model has no classifier."""
        raise TypeError("a ConditionalVAE does not classify: a DigitVAE and a SemiSupervisedVAE do")

    def losses(self, x, y, eps):
        return VAE.losses(self, x, self._labels_to_learn_from(y), eps)

    def _build(self):
        self((tf.zeros((1, *self.image_shape)), tf.zeros(1, tf.int32)))

    def _condition(self, x, y):
        if y is None:
            raise ValueError(f"{type(self).__name__} encodes images of known digits: expected labels y")
        return y

    def _encoder_output(self, x, y):
        return self.encoder([tf.cast(x, self.variable_dtype), self._probabilities(y)])


@keras.saving.register_keras_serializable(likelihoods.PACKAGE)
class SemiSupervisedVAE(ConditionalVAE):
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
    lowest_label = -1
    _parts = DigitVAE._parts
    _choices = DigitVAE._choices

    def __init__(self, encoder, decoder, classifier, likelihood="gaussian", *, classification_weight=10.0, **options):
        DigitVAE.__init__(
            self, encoder, decoder, classifier, likelihood, classification_weight=classification_weight, **options
        )

    def call(self, x):
        """Return :meth:`reconstruct` of images, each as the digit that it most probably is."""
        return self.reconstruct(x)

    def predict(self, x, *args, **kwargs):
        """Return what calling the model on images returns, as an array."""
        return VAE.predict(self, x, *args, **kwargs)

    def classify(self, x):
        """Return q(y|x): which digit the classifier takes each image for."""
        return DigitVAE.classify(self, x)

    def bound(self, x, eps: tf.Tensor, y=None, beta: float = 1.0) -> tf.Tensor:
        """Return the bound per image, `(batch,)` in nats: on log p(x, y) where `y` is a digit, else on log p(x).

        The sum over digits runs over those of positive weight: one for an image with a label, all for one without.
        """
        return self._bounds(x, eps, y, self._logits(self.checked(x)), (beta,))[0]

    def _bounds(self, x, eps, y, logits: tf.Tensor, betas: tuple[float, ...]) -> list[tf.Tensor]:
        """Return the bound for several β, given what the classifier says."""
        q = tf.nn.softmax(logits)
        w = q
        if y is not None:
            y = tf.cast(y, tf.int32)
            with tf.control_dependencies([tf.debugging.assert_greater_equal(y, -1, "expected labels from -1 on")]):
                digit = self._probabilities(tf.maximum(y, 0))
            w = tf.where(y[:, tf.newaxis] < 0, q, digit)
        pairs = tf.where(w > 0)
        image, digit = pairs[:, 0], pairs[:, 1]
        terms = self.terms(tf.gather(x, image), tf.gather(eps, image, axis=-2), digit)
        kl = tf.reduce_sum(tf.math.xlogy(w, w), axis=-1) + np.log(self.classes)
        bounds = []
        for beta in betas:
            weighted = tf.gather_nd(w, pairs) * objectives.elbo(*terms, beta)
            expected = tf.math.unsorted_segment_sum(weighted, image, tf.shape(w, tf.int64)[0])
            bounds.append(expected - kl)
        return bounds

    def losses(self, x, y, eps):
        y = self._labels_to_learn_from(y)
        logits = self._logits(x)
        objective, bound = self._bounds(x, eps, y, logits, (self.beta, 1.0))
        known = tf.cast(y, tf.int32) >= 0
        cross_entropy = _cross_entropy(tf.where(known, tf.cast(y, tf.int32), 0), logits)
        supervised = tf.where(known, self.classification_weight * cross_entropy, tf.zeros_like(cross_entropy))
        return {"loss": supervised - objective, "bound": bound}

    def terms(self, x, eps, y=None):
        """Return the terms of the bound on log p(x|y); without labels ask for :meth:`bound`."""
        return super().terms(x, eps, self._known(y))

    def log_weights(self, x, eps, y=None):
        """Return log p(x, z|y)/q(z|x, y); without labels ask for :meth:`bound`."""
        return super().log_weights(x, eps, self._known(y))

    def _known(self, y):
        if y is None:
            raise ValueError("without labels the digits are summed out: ask for bound, not for the terms of one digit")
        return y

    def _build(self):
        VAE._build(self)

    def _condition(self, x, y):
        return self.classify(x).mode() if y is None else y


def _cross_entropy(y, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(y, tf.int32), logits=logits)
