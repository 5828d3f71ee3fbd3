r"""What the loss of a model weighs, and from which distribution it draws z, with the loss as a black box.

Stand-ins take the place of the two networks: one says what posterior the encoder is to report, the other answers as
the decoder and keeps the z that it was handed.  So what the second half of the encoder's output *means* need not be
assumed: z at noise of ±1 shows mean and standard deviation of the distribution that is really drawn from, and the loss
either is a multiple of the KL of that distribution, or it is not.  Only then is asked of which other distribution, or
to which other prior, the KL may be: :func:`vaecourse.clinic.divergences.kl_term`, which the audit asks, too.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from vaecourse.clinic import samplers, targets
from vaecourse.clinic.asking import Probe
from vaecourse.clinic.divergences import READINGS, KLTerm, kl_term
from vaecourse.clinic.fitting import line, unexplained
from vaecourse.clinic.normal import normal_kl
from vaecourse.clinic.thresholds import THRESHOLDS
from vaecourse.models import VAE

_GRID = np.arange(-10.0, 4.01, 0.25)
_POSTERIORS = 8  # in one call, each at noise of both signs
_WIDEST = (-5.0, 3.0)  # log-variances over which a sampler is compared with the KL


@dataclass(frozen=True)
class Weighed:
    """What probing says of a loss; NaN stands for what cannot be known.

    Attributes
    ----------
    kl, likelihood : float
        Weight of the KL per weight of the log-likelihood, and the latter.
    kl_error, likelihood_error : float
        Share of the loss that no multiple of the term explains.
    targets : array `(images, images)`
        Share with which each image is compared with the output for each other.
    ratio : (float, float)
        Smallest and largest standard deviation of z, per what the KL assumes.
    mean_error, std_error : float
    reading : str
        What the KL reads as the second half of the encoder's output; "" where it has no name.
    drawn : bool
        Whether the KL is that of the distribution that z is drawn from, whatever its name.
    prior : (float, float)
        Mean and variance of each latent's prior.
    why : str
        Why the KL is none.
    """

    kl: float
    likelihood: float
    kl_error: float
    likelihood_error: float
    targets: np.ndarray
    ratio: tuple[float, float]
    mean_error: float
    std_error: float
    reading: str
    drawn: bool
    prior: tuple[float, float]
    why: str


def weigh(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int) -> Weighed:
    """Probe the loss of a model.

    Parameters
    ----------
    vae : VAE
        It is left alone.
    x : tensor `(batch, height, width, channels)`
        A few images.
    y : tensor `(batch,)`, optional
        Their labels, for a model that knows labels.
    seed : int
        Of the posteriors and outputs that stand-ins report.
    """
    probe, rng = Probe(vae, x, y), np.random.default_rng(seed)
    likelihood, likelihood_error, whom = targets.weight(probe, rng)
    kl = _FlowKL(probe, rng) if probe.flows else _KL(probe, rng)
    weight = kl.slope / likelihood if likelihood > 0 else np.nan
    return Weighed(weight, likelihood, kl.error, likelihood_error, whom, *kl.drawn())


class _KL:
    """The part of a loss that depends on a normal posterior."""

    def __init__(self, probe: Probe, rng: np.random.Generator) -> None:
        self.probe, self.term, self.why = probe, KLTerm("none"), ""
        self.draws_itself, self.reading, self.spread = False, "", np.full(len(_GRID), np.nan)
        self._look_at_the_sampler(rng)
        regimes = [self._losses(*posteriors) for posteriors in self._posteriors(rng)]
        features, losses = (np.concatenate(parts) for parts in zip(*regimes, strict=True))
        self.slope, intercept = line(features, losses)
        self.error = max(unexplained(loss, intercept + self.slope * kl) for kl, loss in regimes)
        self.agrees = self.error < THRESHOLDS.form
        if not self.agrees:
            self._ask_what_it_is()

    def _look_at_the_sampler(self, rng: np.random.Generator) -> None:
        """Find σ as a function of the second half, and how far z is from mean + σ · eps."""
        probe = self.probe
        mean, second = (np.repeat(values[:, np.newaxis], probe.d, axis=1) for values in (0 * _GRID + 0.7, _GRID))
        _, center, spread = probe.both(mean, second)
        eps = rng.normal(size=mean.shape)
        once, twice = (probe.at(mean, second, eps)[1] for _ in range(2))
        self.spread = spread[:, 0]
        if not np.array_equal(once, twice, equal_nan=True):
            self._let_it_draw()
            return
        named = [name for name, reading in READINGS.items() if self._is(reading.deviation)]
        self.reading = named[0] if named else ""
        off = np.abs(once - center - spread * eps) - 1e-5 * (1 + np.abs(once))  # what rounding leaves
        self.mean_error = max(0.0, float((off / (spread + 1e-6)).max()))

    def _let_it_draw(self) -> None:
        """Let a sampler that takes no noise draw often."""
        self.draws_itself, vae = True, self.probe.vae

        def sampler(mean: np.ndarray, second: np.ndarray) -> np.ndarray:
            return np.asarray(vae.reparameterize(mean, second, np.zeros_like(mean)))

        found = samplers.sampler_reading(sampler, self.probe.d)
        self.reading, self.mean_error = found.reading or "", 0.0 if found.reading else np.nan
        deviation = READINGS[found.reading].deviation if found.reading else lambda v: np.nan * v
        with np.errstate(all="ignore"):
            self.spread = deviation(_GRID)

    def _is(self, deviation: Any) -> bool:
        with np.errstate(all="ignore"):
            expected = np.abs(deviation(_GRID))
        legal = np.isfinite(expected) & np.isfinite(self.spread) & (expected > 1e-3)
        return bool(legal.sum() > 8 and np.allclose(self.spread[legal], expected[legal], rtol=2e-3, atol=1e-6))

    def _second(self, logvar: np.ndarray) -> np.ndarray:
        """Return the second halves of which the sampler makes these log-variances, as nearly as it can."""
        positive = np.isfinite(self.spread) & (self.spread > 1e-6)
        drawn = np.log(np.where(positive, self.spread, 1)) * 2
        rising = positive & (np.diff(drawn, prepend=-np.inf) > 1e-4)
        if self.reading in READINGS:
            return READINGS[self.reading].argument(np.exp(logvar / 2))
        return np.interp(logvar, drawn[rising], _GRID[rising]) if rising.sum() > 2 else logvar

    def _posteriors(self, rng: np.random.Generator) -> Any:
        """Yield means and second halves: close to the prior, narrow, far from it, and moderate ones."""
        shape = (_POSTERIORS, self.probe.d)
        for _ in range(3):
            small = 10 ** rng.uniform(-2, 0, (_POSTERIORS, 1))
            yield small * rng.uniform(-0.5, 0.5, shape), self._second(small * rng.uniform(-0.5, 0.5, shape))
        for _ in range(3):
            yield rng.uniform(-0.5, 0.5, shape), self._second(rng.uniform(-8, 2, shape))
        for _ in range(3):
            yield rng.normal(size=shape), self._second(rng.uniform(*_WIDEST, shape))
        for size in (4, 8, 16):
            yield size * rng.normal(size=shape), self._second(rng.uniform(-4, 2, shape))

    def _losses(self, mean: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the KL of what is drawn, and the losses: of each posterior, or of all together."""
        loss, center, spread = self.probe.both(mean.astype(np.float32), second.astype(np.float32))
        if self.draws_itself:
            center, spread = mean, np.exp(np.interp(second, _GRID, np.log(self.spread)))
            if self.reading:
                spread = READINGS[self.reading].deviation(second)
        with np.errstate(all="ignore"):
            kl = normal_kl(center, spread).sum(axis=-1)
        return (kl, loss) if loss.ndim else (kl.mean(keepdims=True), loss[np.newaxis])

    def _ask_what_it_is(self) -> None:
        loss = self.probe.compiled()
        self.term = kl_term(
            lambda *stacks: np.array([loss(*both) for both in zip(*stacks, strict=True)]), (2, self.probe.d)
        )
        if self.term.kind == "other":
            self.slope, self.why = np.nan, "; ".join(self.term.notes)
        else:
            self.slope, self.error = self.term.slope, 0.0

    def drawn(self) -> tuple[tuple[float, float], float, float, str, bool, tuple[float, float], str]:
        """Return what of :class:`Weighed` is about the sampler and the prior."""
        if self.agrees or self.term.kind == "none":
            return (1.0, 1.0), self.mean_error, 0.0, self.reading, True, (0.0, 1.0), ""
        reads = self.term.reading or "log σ²"
        prior = (self.term.prior_mean, self.term.prior_variance)
        with np.errstate(all="ignore"):
            assumed = READINGS[reads].deviation(_GRID)
        inside = (np.log(assumed**2) >= _WIDEST[0]) & (np.log(assumed**2) <= _WIDEST[1])
        ratio = self.spread[inside] / assumed[inside]
        least, most, error = float(ratio.min()), float(ratio.max()), float(np.abs(ratio - 1).max())
        named = self.term.reading or ""
        return (least, most), self.mean_error, error, named, error < THRESHOLDS.drawn, prior, self.why


class _FlowKL:
    """The part of a loss that depends on a posterior that is no normal distribution, but of which log q is known."""

    def __init__(self, probe: Probe, rng: np.random.Generator) -> None:
        regimes, off, vae = [], [], probe.vae
        for size in (0.1, 0.5, 1.0, 4.0):
            shape = (2 * _POSTERIORS, probe.d)
            mean, eps, second = size * rng.normal(size=shape), rng.normal(size=shape), rng.uniform(-5, 2, shape)
            loss, z = probe.at(mean, second, eps)
            expected, log_q = (
                np.asarray(a, float) for a in vae.sample_and_log_q(*map(np.float32, (mean, second, eps)))
            )
            kl = log_q + 0.5 * (expected**2 + np.log(2 * np.pi)).sum(axis=-1)
            regimes.append((kl, loss) if loss.ndim else (kl.mean(keepdims=True), loss[np.newaxis]))
            off.append(np.abs(z - expected) / (1 + np.abs(expected)))
        features, losses = (np.concatenate(parts) for parts in zip(*regimes, strict=True))
        self.slope, intercept = line(features, losses)
        self.error = max(unexplained(loss, intercept + self.slope * kl) for kl, loss in regimes)
        self.off = float(np.max(off))
        no_multiple = "it is no multiple of log q(z|x) − log p(z), with the log q of sample_and_log_q"
        self.why = "" if self.error < THRESHOLDS.form else no_multiple

    def drawn(self) -> tuple[tuple[float, float], float, float, str, bool, tuple[float, float], str]:
        """Return what of :class:`Weighed` is about the sampler and the prior."""
        return (1.0, 1.0), self.off, 0.0, "", True, (0.0, 1.0), self.why
