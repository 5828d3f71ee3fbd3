"""The bounds that a model reaches on images it has not seen."""

import numpy as np

from vaecourse.measures.batching import per_image
from vaecourse.measures.estimate import Estimate
from vaecourse.models import VAE, SemiSupervisedVAE, Terms, objectives


def elbo_terms(
    vae: VAE, images: np.ndarray, samples: int = 1, seed: int = 0, labels: np.ndarray | None = None
) -> Terms:
    """Return the two terms of the ELBO of every image: log p(x|z) and KL(q(z|x) ‖ p(z)), averaged over samples of z.

    Parameters
    ----------
    vae : VAE
    images : array `(n, height, width, channels)`
    samples : int
        Samples of z for each image, over which both terms are averaged.
    seed : int
    labels : array `(n,)`, optional
        For models that know labels: the terms are then those of a bound on log p(x|y).

    Returns
    -------
    Terms
        `log_likelihood` and `kl`, arrays `(n,)`, in nats.

    Raises
    ------
    TypeError, ValueError
        If the model cannot use the images or the labels, or there is no sample.
    """
    return per_image(vae, images, samples, seed, vae.terms, labels)


def elbo(vae: VAE, images: np.ndarray, samples: int = 1, seed: int = 0, labels: np.ndarray | None = None) -> Estimate:
    """Return the mean over images of the ELBO, log p(x|z) − KL(q(z|x) ‖ p(z)), in nats, with its standard error.

    Its mean over the noise is at most log p(x), whatever β the model was trained with; given labels, at most
    log p(x|y).  Of a :class:`~vaecourse.models.CompletionVAE` it is a bound on log p(x″ | x′), and of a
    :class:`~vaecourse.DigitVAE` without labels it is no bound.  Parameters and errors are those of :func:`elbo_terms`;
    there must be two images at least.
    """
    return Estimate.of(objectives.elbo(*elbo_terms(vae, images, samples, seed, labels)))


def bound(
    vae: SemiSupervisedVAE,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    samples: int = 1,
    seed: int = 0,
) -> Estimate:
    """Return the mean over images of :meth:`vaecourse.SemiSupervisedVAE.bound`, in nats, with its standard error.

    Without labels it is a bound on log p(x), with them on log p(x, y).  Parameters and errors are those of
    :func:`elbo_terms`; a label of −1 says that the digit is not known.
    """
    return Estimate.of(per_image(vae, images, samples, seed, vae.bound, labels))
