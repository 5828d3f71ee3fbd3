"""How far single latents stand for single factors of the images, where the factors are known."""

import numpy as np


def mutual_information(codes: np.ndarray, factors: np.ndarray, bins: int = 20) -> np.ndarray:
    r"""Estimate the mutual information of every latent and every factor, by counting.

    A latent is cut into bins that hold equally many images, and I = Σ p(a, b) ln [p(a, b)/(p(a) p(b))] is computed from
    the counts.  Of an independent latent that is not 0 but (bins − 1)(levels − 1)/2n nats on average.

    Parameters
    ----------
    codes : array `(n, d)`
        Latents of the images: samples of q(z|x), so that a latent that is not used is noise.
    factors : int array `(n, k)`
        Levels of the factors.
    bins : int
        At least two.

    Returns
    -------
    array `(d, k)`, nats

    Raises
    ------
    TypeError
        If the factors are no integers.
    ValueError
        If the arrays do not fit each other, codes are not finite, or there are fewer than two bins.
    """
    codes, factors = np.asarray(codes), np.asarray(factors)
    if factors.dtype.kind not in "iu":
        raise TypeError(f"expected integer levels of the factors, got {factors.dtype}")
    if not (codes.ndim == factors.ndim == 2 and len(codes) == len(factors) >= 2):
        raise ValueError(f"expected codes (n, d) and factors (n, k), n ≥ 2; got {codes.shape} and {factors.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("the codes contain NaN or infinite values")
    if bins < 2:
        raise ValueError(f"expected at least two bins, got {bins}")
    edges = np.quantile(codes, np.arange(1, bins) / bins, axis=0)
    binned = [np.searchsorted(edge, code, side="right") for edge, code in zip(edges.T, codes.T, strict=True)]
    levels = [np.unique(factor, return_inverse=True)[1] for factor in factors.T]
    return np.array([[_counted(code, factor) for factor in levels] for code in binned])


def mutual_information_gap(codes: np.ndarray, factors: np.ndarray, bins: int = 20) -> np.ndarray:
    r"""Return the mutual information gap (MIG) of every factor :cite:p:`chen2018`.

    The gap is I of the latent that says most about the factor less I of the second one, in units of the factor's
    entropy: 1 if one latent says all and no other says anything, 0 if two say equally much.  The MIG of a model is the
    mean over factors.

    Parameters and errors are those of :func:`mutual_information`.

    Returns
    -------
    array `(k,)`

    Raises
    ------
    ValueError
        If there is one latent only, or a factor has a single level.
    """
    information = np.sort(mutual_information(codes, factors, bins), axis=0)
    if len(information) < 2:
        raise ValueError("a gap needs at least two latents, got one")
    entropies = np.array([_counted(*[np.unique(factor, return_inverse=True)[1]] * 2) for factor in factors.T])
    if not (entropies > 0).all():
        raise ValueError(f"expected factors of at least two levels, got entropies of {entropies} nats")
    return (information[-1] - information[-2]) / entropies


def _counted(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mutual information, in nats, of two arrays of small integers; of an array and itself, its entropy."""
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1 / len(first))
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    return float(np.sum(joint[joint > 0] * np.log(joint[joint > 0] / product[joint > 0])))
