r"""What is wrong with a model: findings with their meaning and cure, from the model and images alone.

:mod:`vaecourse.clinic.measuring` measures a model of this course, :mod:`vaecourse.clinic.strangers` any other, and
:mod:`vaecourse.clinic.judging` judges what was measured.
"""

from types import MappingProxyType

import numpy as np
import tensorflow as tf

from vaecourse.clinic import findings, judging, measuring, strangers
from vaecourse.clinic.own import OwnModel
from vaecourse.models import VAE, AutoregressiveVAE, PriorVAE, TwoLevelVAE
from vaecourse.models.conditional import LearnedPrior

MOST_IMAGES = 1000
"""How many images are looked at: the time that the mutual information takes grows with the square of their number."""

FEWEST_IMAGES = 100
"""How many images are needed: moments over fewer mean little."""

_INSTEAD = (
    "See measures.elbo_terms, measures.importance_log_likelihood and, with a PriorVAE, measures.kl_parts; "
    "or examine a VAE of the same networks"
)


def diagnose(
    vae: VAE | OwnModel,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    seed: int = 0,
    *,
    held_out: np.ndarray | None = None,
) -> findings.Report:
    r"""Look for what is wrong with a VAE, and say what it means and what to try.

    Parameters
    ----------
    vae : VAE or OwnModel
        A model of this course, trained or not, compiled or not; it is left as it is, and other threads may use it
        meanwhile.  Of any other model :mod:`vaecourse.clinic.own` makes an :class:`~vaecourse.clinic.own.OwnModel`.
    images : array `(n, height, width, channels)`
        At least 100, prepared as for training; of more than 1,000, the seed chooses 1,000.  For an `OwnModel`, images
        as its functions take them.
    labels : array `(n,)`, optional
        For models that know digits.
    seed : int
        Of the choice and of all noise that is not the model's own: a second call gives the same report.
    held_out : array, optional
        Images that the model has not been trained on, if it has been on `images`: the report then has the gap.

    Returns
    -------
    vaecourse.clinic.findings.Report

    Raises
    ------
    TypeError
        If `vae` is neither; if its prior is not one normal distribution for all images, as that of a `PriorVAE`,
        `TwoLevelVAE`, `LearnedPriorVAE` or `CompletionVAE`; if its pixels depend on each other, as those of an
        `AutoregressiveVAE`; if an `OwnModel` is given labels; or if the images are not float arrays.
    ValueError
        If there are too few images, or the model refuses them or the labels.

    Notes
    -----
    With L the loss, the *kl weight* is the slope of L over the KL, at a fixed output of the decoder, per slope of L
    over −log p(x|z), at a fixed posterior.  The former is found with noise of ±1, for which the mean of the Monte Carlo
    KL is the closed form; log p(x|z) is summed from the densities of the pixels.  The KL is that of the distribution
    that z is drawn from, whatever the encoder's output is called; where the loss has another, a model says so by
    `sample_and_log_q`, or the audit's list of readings and priors is gone through.

    The *mutual information* of image and latents is the mean of log q(z|x) − log q(z), where the aggregate posterior
    q(z) is the mean of q(z|x) over the images looked at; KL = I(x; z) + KL(q(z) ‖ p(z)) :cite:p:`hoffman2016`.  With n
    images it is at most ln n, so that where latents say more than that, *aggregate kl*, the second term, comes out too
    large.  *Aggregate kl, at least* is that of a normal distribution with mean and covariance of q(z), which is never
    above.

    Where weights or losses are not finite, only the loss is probed.
    """
    if isinstance(vae, OwnModel):
        if labels is not None:
            raise TypeError("an OwnModel takes no labels: let its functions know them")
        return _of_a_stranger(vae, np.asarray(images), seed, held_out)
    if not isinstance(vae, VAE):
        raise TypeError(
            f"expected a vaecourse.VAE or an OwnModel, got {type(vae).__name__}: "
            "vaecourse.clinic.own.from_keras(model) takes a keras.Model with encoder, decoder and train_step, and "
            "from_callables(encode, decode, loss) any other"
        )
    if isinstance(vae, AutoregressiveVAE):
        raise TypeError(
            "a diagnosis compares a loss with the likelihood of pixels that, given the latents, are independent; "
            f"those of {type(vae).__name__} depend on each other. {_INSTEAD}"
        )
    if isinstance(vae, LearnedPrior | PriorVAE | TwoLevelVAE):
        raise TypeError(
            "a diagnosis compares the KL of a loss with closed forms to one normal prior for all images; the prior of "
            f"a {type(vae).__name__} is another. {_INSTEAD}"
        )
    images, labels = vae.checked(images), vae.checked_labels(labels)
    _refuse_few(images)
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"expected a label for each image, got {len(images)} images and {len(labels)} labels")
    if held_out is not None and vae.classes:
        raise ValueError("held-out images of a model that knows labels need labels: diagnose them by themselves")
    x, y, chosen = images, labels, _chosen(len(images), seed)
    x = tf.cast(tf.gather(images, chosen), vae.variable_dtype)
    y = None if labels is None else tf.gather(labels, chosen)
    others = None
    if held_out is not None:
        held_out = vae.checked(held_out)
        others = tf.cast(tf.gather(held_out, _chosen(len(held_out), seed)), vae.variable_dtype)
    measured, weighed = measuring.of_the_loss(vae, x[:8], None if y is None else y[:8], seed)
    measured |= measuring.of_the_images(vae, x, y, seed, weighed, others)
    found = judging.judge(measured, vae.latent_dim, int(np.prod(vae.image_shape)))
    return findings.Report(type(vae).__name__, len(chosen), len(images), found, MappingProxyType(measured))


def _of_a_stranger(model: OwnModel, images: np.ndarray, seed: int, held_out: np.ndarray | None) -> findings.Report:
    if images.dtype.kind != "f":
        raise TypeError(f"expected float images, got {images.dtype}; vaecourse.data.scale turns uint8 to grays")
    _refuse_few(images)
    chosen = _chosen(len(images), seed)
    x = images[chosen].astype(np.float32)
    others = None if held_out is None else held_out[_chosen(len(held_out), seed)].astype(np.float32)
    measured = strangers.measure(model, x, seed, others)
    latent_dim = len(np.atleast_1d(measured["active"]))
    found = judging.judge(measured, latent_dim, int(np.prod(x.shape[1:])))
    return findings.Report(model.name, len(chosen), len(images), found, MappingProxyType(measured))


def _chosen(n: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(n)[:MOST_IMAGES])


def _refuse_few(images: np.ndarray) -> None:
    if len(images) < FEWEST_IMAGES:
        raise ValueError(f"a diagnosis needs at least {FEWEST_IMAGES} images, got {len(images)}")
