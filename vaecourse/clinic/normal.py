"""The KL of normal distributions, for all measurements; it is not the module's own, which is what they examine."""

import numpy as np


def normal_kl(mean: np.ndarray, deviation: np.ndarray, center: float = 0.0, variance: float = 1.0) -> np.ndarray:
    r"""Return KL(N(mean, deviation²) ‖ N(center, variance)) of each element, in nats.

    Of a negative deviation it is NaN, and infinite or NaN where the numbers of a broken model are too large.

    ½ ((deviation² + (mean − center)²)/variance − 2 ln deviation + ln variance − 1)
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ratio = (deviation**2 + (mean - center) ** 2) / variance
        return 0.5 * (ratio - 2 * np.log(deviation) + np.log(variance) - 1)
