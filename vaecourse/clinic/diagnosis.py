r"""What is wrong with a trained model: findings with their meaning and cure, from the model and images alone.

:mod:`vaecourse.clinic.measuring` measures, and :mod:`vaecourse.clinic.findings` judges what was measured.
"""

from types import MappingProxyType

import numpy as np
import tensorflow as tf

from vaecourse.clinic import findings, measuring
from vaecourse.models import VAE

MOST_IMAGES = 1000
"""How many images are looked at: the time that the mutual information takes grows with the square of their number."""

FEWEST_IMAGES = 100
"""How many images are needed: moments over fewer mean little."""


def diagnose(vae: VAE, images: np.ndarray, labels: np.ndarray | None = None, seed: int = 0) -> findings.Report:
    r"""Look for what is wrong with a VAE, and say what it means and what to try.

    Parameters
    ----------
    vae : VAE
        Trained or not, compiled or not.  It is left as it is, and other threads may use it meanwhile.
    images : array `(n, height, width, channels)`
        At least 100, prepared as for training; of more than 1,000, the seed chooses 1,000.
    labels : array `(n,)`, optional
        For models that know digits.
    seed : int
        Of the choice and of all noise: a second call gives the same report.

    Returns
    -------
    vaecourse.clinic.findings.Report

    Raises
    ------
    TypeError
        If `vae` is no VAE, or the images are not float arrays.
    ValueError
        If there are too few images, or the model refuses them or the labels.

    Notes
    -----
    With L the loss, the *kl weight* is the slope of L over the KL, at a fixed output of the decoder, per slope of L
    over −log p(x|z), at a fixed posterior.  The former is found with noise of ±1, for which the mean of the Monte Carlo
    KL is the closed form; log p(x|z) is summed from the densities of the pixels.

    The *mutual information* of image and latents is the mean of log q(z|x) − log q(z), where the aggregate posterior
    q(z) is the mean of q(z|x) over the images looked at; KL = I(x; z) + KL(q(z) ‖ p(z)) :cite:p:`hoffman2016`.  With n
    images it is at most ln n, so that where latents say more than that, *aggregate kl*, the second term, comes out too
    large.  *Aggregate kl, from below* is that of a normal distribution with mean and covariance of q(z), which is never
    above.

    Where weights or losses are not finite, only the loss is probed.
    """
    if not isinstance(vae, VAE):
        raise TypeError(f"expected a vaecourse.VAE, got {type(vae).__name__}")
    images, labels = vae.checked(images), vae.checked_labels(labels)
    if len(images) < FEWEST_IMAGES:
        raise ValueError(f"a diagnosis needs at least {FEWEST_IMAGES} images, got {len(images)}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"expected a label for each image, got {len(images)} images and {len(labels)} labels")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:MOST_IMAGES])
    x = tf.cast(tf.gather(images, chosen), vae.variable_dtype)
    y = None if labels is None else tf.gather(labels, chosen)
    of_the_loss = measuring.of_the_loss(vae, x[:8], None if y is None else y[:8], seed)
    measured = of_the_loss | measuring.of_the_images(vae, x, y, seed)
    found = findings.judge(measured, vae.latent_dim, int(np.prod(vae.image_shape)))
    return findings.Report(type(vae).__name__, len(chosen), len(images), found, MappingProxyType(measured))
