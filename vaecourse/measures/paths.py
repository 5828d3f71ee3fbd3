"""Paths and planes in the space of the latents: straight, along a sphere, through the codes of data."""

import math

import numpy as np
from scipy import spatial, special
from scipy.sparse import coo_array, csgraph

from vaecourse.data import amounts


def prior_norm(latent_dim: int) -> tuple[float, float]:
    r"""Return mean and standard deviation of ‖z‖ for z ~ N(0, I) in d dimensions.

    ‖z‖ has a chi distribution: its mean is √2 Γ((d + 1)/2)/Γ(d/2), close to √d, and its variance is d less the square
    of that, close to ½.  So in many dimensions nearly all draws lie in a thin shell.

    Raises
    ------
    ValueError
        If there is no latent.
    """
    latent_dim = amounts.count(latent_dim, "latent")
    mean = math.sqrt(2) * math.exp(special.gammaln((latent_dim + 1) / 2) - special.gammaln(latent_dim / 2))
    return mean, math.sqrt(latent_dim - mean**2)


def straight(first: np.ndarray, second: np.ndarray, steps: int = 10) -> np.ndarray:
    """Return latents at equal steps on the straight line between two.

    Parameters
    ----------
    first, second : array `(d,)`
        The ends, which are returned, too.
    steps : int
        How many latents are returned, at least two.

    Returns
    -------
    array `(steps, d)`

    Raises
    ------
    ValueError
        If the ends are not two arrays of one shape `(d,)`, not finite, or there are fewer than two steps.
    """
    first, second = _checked_ends(first, second, steps)
    share = np.linspace(0, 1, steps)[:, np.newaxis]
    return (1 - share) * first + share * second


def spherical(first: np.ndarray, second: np.ndarray, steps: int = 10) -> np.ndarray:
    r"""Return latents on the arc between two: the direction turns at a constant speed.

    With the angle θ between the ends and their directions u, v, the direction at the share t is
    [sin((1 − t) θ) u + sin(t θ) v]/sin θ :cite:p:`white2016`, and the norm changes linearly from that of the first to
    that of the second.  For ends of one norm all latents have this norm.  (In the source, the two ends themselves stand
    in the place of u and v; that is the same for ends of one norm.)

    Parameters
    ----------
    first, second : array `(d,)`
        The ends, which are returned, too.
    steps : int
        How many latents are returned, at least two.

    Returns
    -------
    array `(steps, d)`
        Of parallel ends, the straight line between them.

    Raises
    ------
    ValueError
        As by :func:`straight`; if an end is zero, which has no direction; if the ends point in opposite directions, so
        that every half circle between them is as short as any other.
    """
    first, second = _checked_ends(first, second, steps)
    norms = np.linalg.norm(first), np.linalg.norm(second)
    if not min(norms) > 0:
        raise ValueError("expected two ends that are not zero: zero has no direction")
    u, v = first / norms[0], second / norms[1]
    angle = 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))  # exact for small angles and for large ones
    if angle > math.pi - 1e-6:
        raise ValueError("expected ends that do not point in opposite directions: no arc between them is the shortest")
    share = np.linspace(0, 1, steps)[:, np.newaxis]
    if angle < 1e-6:  # the arc and its chord differ by less than rounding
        direction = (1 - share) * u + share * v
    else:
        direction = (np.sin((1 - share) * angle) * u + np.sin(share * angle) * v) / math.sin(angle)
    path = ((1 - share) * norms[0] + share * norms[1]) * direction
    path[0], path[-1] = first, second
    return path


def through_data(codes: np.ndarray, first: int, second: int, neighbors: int = 10) -> np.ndarray:
    r"""Return which codes lie on the shortest way from one to another that never leaves the data.

    The codes are the nodes of a graph, each joined to its nearest neighbors; an edge costs its length squared, so that
    many short steps are cheaper than a long one.

    Parameters
    ----------
    codes : array `(n, d)`
        Such as the means of q(z|x) of n images.
    first, second : int
        The numbers of the two ends.
    neighbors : int
        To how many others each code is joined, from 1 to n − 1.

    Returns
    -------
    integer array `(steps,)`
        Numbers of codes, from `first` to `second`.

    Raises
    ------
    ValueError
        If the codes are no finite array `(n, d)`, there is no such number, or the graph does not connect the two.
    """
    codes = np.asarray(codes, np.float64)
    n = len(codes)
    if codes.ndim != 2 or not np.isfinite(codes).all() or not 1 <= neighbors < n:
        raise ValueError(f"expected finite codes (n, d) and 1 ≤ neighbors < n, got {codes.shape} and {neighbors}")
    if not (0 <= first < n and 0 <= second < n):
        raise ValueError(f"expected two numbers from 0 to {n - 1}, got {first} and {second}")
    distances, nearest = spatial.KDTree(codes).query(codes, neighbors + 1)
    rows = np.repeat(np.arange(n), neighbors + 1)
    cost = np.maximum(distances.ravel() ** 2, np.finfo(np.float64).tiny)  # a graph takes zero for no edge
    graph = coo_array((cost, (rows, nearest.ravel())), (n, n)).tocsr()
    _, before = csgraph.dijkstra(graph, directed=False, indices=first, return_predecessors=True)
    path = [second]
    while path[-1] != first:
        path.append(int(before[path[-1]]))
        if path[-1] < 0:
            raise ValueError(f"codes {first} and {second} are not connected by {neighbors} neighbors: take more")
    return np.array(path[::-1])


def plane(origin: np.ndarray, right: np.ndarray, up: np.ndarray, n: int = 20, reach: float = 2.0) -> np.ndarray:
    """Return an n×n grid of latents on a plane through many dimensions, as the rows and columns of a picture.

    Parameters
    ----------
    origin : array `(d,)`
        The latent in the middle.
    right, up : array `(d,)`
        Two directions.  They are made orthogonal, the second to the first, and of length one.
    n : int
        Points on each side of the grid.
    reach : float
        Half the side of the square.

    Returns
    -------
    array `(n, n, d)`
        The first row is the uppermost.

    Raises
    ------
    ValueError
        If the arrays have not one shape `(d,)`, or the directions are zero or parallel.
    """
    origin, right = _checked_ends(origin, right, 2)
    _, up = _checked_ends(origin, up, 2)
    up = up - right * (up @ right) / max(right @ right, np.finfo(np.float64).tiny)
    lengths = np.linalg.norm(right), np.linalg.norm(up)
    if not min(lengths) > 1e-9:
        raise ValueError("expected two directions that are neither zero nor parallel")
    axis = np.linspace(-reach, reach, n)
    across = axis[np.newaxis, :, np.newaxis] * right / lengths[0]
    upwards = axis[::-1, np.newaxis, np.newaxis] * up / lengths[1]
    return origin + across + upwards


def _checked_ends(first: np.ndarray, second: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not np.isfinite([first, second]).all():
        raise ValueError(f"expected two finite arrays of one shape (d,), got {first.shape} and {second.shape}")
    if steps < 2:
        raise ValueError(f"expected at least two steps, got {steps}")
    return first, second
