"""From which distribution a sampler draws: around its mean, with which standard deviation, independently, normally."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vaecourse.clinic import probing
from vaecourse.clinic.divergences import LOG_VARIANCES, READINGS

_DRAWS = 40_000
_LOG_VARIANCES = (LOG_VARIANCES[0], -6.0, -2.0, 0.0, 0.5, LOG_VARIANCES[1])


@dataclass(frozen=True)
class SamplerReading:
    """What a sampler takes its second argument for, a key of `READINGS`; or None, and what is wrong with it."""

    reading: str | None
    flaw: str = ""


def sampler_reading(sampler: Callable, latent_dim: int) -> SamplerReading:
    """Find out what a sampler takes its second argument for.

    Parameters
    ----------
    sampler : callable
        ``sampler(mean, second, eps)``, or ``sampler(mean, second)`` if it draws by itself: then the moments of 40,000
        draws decide: mean, deviation, kurtosis and correlation, within five to ten of their standard errors.
    latent_dim : int

    Raises
    ------
    ValueError
        If it returns another shape than that of its mean.
    """
    draws_itself = probing.required_arguments(sampler) < 3
    moderate = {second: _drawn(sampler, latent_dim, second, draws_itself) for second in (0.3, 1.0, 1.7)}
    for name, reading in READINGS.items():
        if any(flaw(reading.deviation(second)) for second, flaw in moderate.items()):
            continue
        for log_variance in _LOG_VARIANCES:
            deviation = math.exp(log_variance / 2)
            second = float(reading.argument(deviation))
            if what := _drawn(sampler, latent_dim, second, draws_itself)(float(reading.deviation(np.float32(second)))):
                where = f"where ln σ² is {log_variance:g}".replace("-", "−")
                return SamplerReading(None, f"it takes its second argument for {name}, but {where}, {what}")
        return SamplerReading(name)
    flaws = [flaw(READINGS["log σ²"].deviation(second)) for second, flaw in moderate.items()]
    shapes = [flaw for flaw in flaws if flaw and "deviation" not in flaw]
    return SamplerReading(None, shapes[0] if shapes else "its standard deviation is none that is known here")


def _drawn(sampler: Callable, d: int, second: float, draws_itself: bool) -> Callable[[float], str]:
    """Draw at one second argument, and return what tells the flaw of the draws, were σ the given one."""
    rng, rows = np.random.default_rng(0), _DRAWS if draws_itself else 64
    mean = (rng.normal(size=(1, d)) * np.ones((rows, 1))).astype(np.float32)
    eps = rng.normal(size=mean.shape).astype(np.float32)
    z = np.asarray(sampler(mean, np.full_like(mean, second), *([] if draws_itself else [eps])), np.float64)
    if z.shape != mean.shape:
        raise ValueError(f"expected a sampler that returns z of the shape of its mean, {mean.shape}, got {z.shape}")
    off = z - mean
    rounding = 4 * float(np.finfo(np.float32).eps) * float(np.abs(mean).max() + np.abs(off).max())
    return lambda sigma: (_flaw_of_the_moments if draws_itself else _flaw_of_the_noise)(off, eps, sigma, rounding)


def _flaw_of_the_noise(off: np.ndarray, eps: np.ndarray, sigma: float, rounding: float) -> str:
    if np.abs(off).max() <= rounding:
        return "" if sigma * np.abs(eps).max() <= rounding else "no noise is added"
    if np.abs(off - sigma * eps).max() <= 0.005 * sigma * np.abs(eps).max() + rounding:
        return ""
    if np.ptp(off, axis=1).max() <= rounding and off.shape[1] > 1:
        return "all latents of an image share one draw"
    if np.ptp(off, axis=0).max() <= rounding:
        return "all images share one draw"
    slope = float((off * eps).sum() / (eps**2).sum())
    if np.abs(off - slope * eps).max() > 0.005 * np.abs(off).max() + rounding:
        return "z is not mean + σ · eps for any σ"
    return "its standard deviation is another"


def _flaw_of_the_moments(off: np.ndarray, _: np.ndarray, sigma: float, rounding: float) -> str:
    n, d = off.shape
    if np.ptp(off, axis=0).max() <= rounding:
        return "all images share one draw, or none is made"
    spread = float(off.std())
    correlation = np.corrcoef(off, rowvar=False) if d > 1 else np.eye(1)
    if d > 1 and np.abs(correlation - np.eye(d)).max() > 6 / math.sqrt(n):
        return "latents are drawn together: their correlation is not 0"
    if np.abs(off.mean(axis=0)).max() > 7 * spread / math.sqrt(n):
        return "z is not drawn around its mean"
    kurtosis = float(((off / spread) ** 4).mean())
    if abs(kurtosis - 3) > 5 * math.sqrt(96 / off.size):
        return f"the noise is not normal: its kurtosis is {kurtosis:.2f} and not 3"
    if abs(spread / sigma - 1) > 5 / math.sqrt(2 * off.size) + rounding / sigma:
        return "its standard deviation is another"
    if np.abs(off.std(axis=0) / sigma - 1).max() > 6 / math.sqrt(2 * n) + rounding / sigma:
        return "its standard deviation is another in some of the latents"
    return ""
