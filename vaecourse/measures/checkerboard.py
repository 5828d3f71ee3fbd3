r"""How strong a pattern of period two is in images: the trace that strided transposed convolutions leave."""

import numpy as np


def checkerboard_energy(images: np.ndarray) -> np.ndarray:
    r"""Return the energy of each image at the Nyquist frequency, where neighboring pixels take turns.

    A grid of period two is a sum of three patterns of signs: columns that take turns, rows that do, and the two
    multiplied.  Of an image x of h×w pixels the energy is

    .. math:: \sum_{s} \Big(\frac{1}{hw} \sum_{i,j} s_{ij}\, x_{ij}\Big)^2, \qquad
        s_{ij} \in \{(-1)^j, (-1)^i, (-1)^{i+j}\},

    averaged over the channels: the squares of three coefficients of its discrete Fourier transform, divided by hw.  In
    a photograph such patterns change their sign from place to place, and little is left of the sums; the artifact of a
    network has the same sign everywhere :cite:p:`odena2016`.

    Parameters
    ----------
    images : array `(n, height, width, channels)`
        Height and width even.

    Returns
    -------
    array `(n,)`
        In the unit of the pixels squared.

    Raises
    ------
    ValueError
        If the images are no such array.
    """
    images = np.asarray(images, np.float64)
    if images.ndim != 4 or images.size == 0 or images.shape[1] % 2 or images.shape[2] % 2:
        raise ValueError(f"expected images (n, height, width, channels) of even height and width, got {images.shape}")
    rows = (-1.0) ** np.arange(images.shape[1])[:, np.newaxis, np.newaxis]
    columns = (-1.0) ** np.arange(images.shape[2])[:, np.newaxis]
    amplitudes = [np.mean(images * signs, axis=(1, 2)) for signs in (columns, rows, rows * columns)]
    return np.sum(np.square(amplitudes), axis=0).mean(axis=-1)
