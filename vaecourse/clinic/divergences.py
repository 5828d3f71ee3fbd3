r"""The KL that a loss contains: of which posterior, to which prior, and on which part of the range.

A loss is called at means and second arguments of the posterior.  The second argument may mean ln σ², ln σ, σ, σ², or
either of the last two before a softplus: each reading gives three sums over latents, of mean², of σ² and of −ln σ², and
a KL to N(m, s²) is the combination of them with the weights 1/2s², 1/2s² and ½ (and −m/s² for the mean itself).  What
fits on moderate posteriors is then tried where trained models live: at narrow posteriors, close to the prior, and far
from it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from vaecourse.clinic import probing
from vaecourse.clinic.normal import normal_kl

LOG_VARIANCES = (-10.0, 2.0)
"""Of the posteriors at which a KL is tried: those of trained models."""

MEANS = 6.0
"""How far from the prior's mean the posteriors go, in its standard deviations: 18 nats of KL."""

_SLACK = 3e-4  # nats: an error of the KL that nobody would call a floor
_HIDDEN = 0.005  # nats: where rounding hides more, free bits and targets in use would not be seen


class Reading(NamedTuple):
    """What the second argument of a posterior means: σ as a function of it, and it as a function of σ."""

    deviation: Callable[[Any], Any]
    argument: Callable[[Any], Any]


@np.errstate(over="ignore")
def _exp(v: Any) -> Any:
    """Return exp(v); infinity, without a warning, where the argument is no logarithm and too large for one."""
    return np.exp(v)


def _softplus(v: Any) -> Any:
    return np.logaddexp(0, v)


def _inverse_softplus(value: Any) -> Any:
    return value + np.log(-np.expm1(-value))


READINGS: dict[str, Reading] = {
    "log σ²": Reading(lambda v: _exp(v / 2), lambda s: 2 * np.log(s)),
    "log σ": Reading(_exp, np.log),
    "σ": Reading(lambda v: v, lambda s: s),
    "σ²": Reading(np.sqrt, np.square),
    "σ before a softplus": Reading(_softplus, _inverse_softplus),
    "σ² before a softplus": Reading(lambda v: np.sqrt(_softplus(v)), lambda s: _inverse_softplus(s**2)),
}
"""What the second argument of a posterior may mean, by name."""


@dataclass(frozen=True)
class KLTerm:
    """What of a loss depends on the posterior.

    Attributes
    ----------
    kind : str
        ``"kl"``; ``"none"`` if nothing depends on the posterior; ``"other"`` if what does is no KL that is known here,
        or one on a part of the range only.
    reading : str
        What the second argument means, a key of :data:`READINGS`; None unless it is known.
    prior_mean, prior_variance : float
        Of the normal distribution, the same for all latents, to which the KL is.
    slope, intercept : float
        The loss is intercept + slope · KL, in nats summed over latents and averaged over the batch.
    notes : tuple of str
        Why it is of another kind, and how near it comes to a KL.
    """

    kind: str
    reading: str | None = None
    prior_mean: float = 0.0
    prior_variance: float = 1.0
    slope: float = 0.0
    intercept: float = 0.0
    notes: tuple[str, ...] = ()

    def divergence(self, mean: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the KL at stacks of both arguments, `(probes,)` in nats; 0 if the loss has none."""
        if self.reading is None:
            return np.zeros(len(mean))
        return divergence(self.reading, mean, second, self.prior_mean, self.prior_variance)

    def stacks(self, shape: tuple[int, ...], stream: int) -> list[np.ndarray]:
        """Draw posteriors `(probes, batch, d)` over the whole range, as means and second arguments."""
        mean, log_variance = probing.paired_stacks(shape, (-MEANS, MEANS), LOG_VARIANCES, stream)
        return self._posteriors(mean, log_variance)

    def at_the_prior(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Return one posterior `(1, batch, d)` that is the prior."""
        return self._posteriors(*np.zeros((2, 1, *shape)))

    def _posteriors(self, mean: np.ndarray, log_variance: np.ndarray) -> list[np.ndarray]:
        argument = READINGS[self.reading or "log σ²"].argument
        scale = np.sqrt(self.prior_variance)
        deviations = np.exp(np.asarray(log_variance, np.float64) / 2) * scale
        return [(self.prior_mean + scale * mean).astype(np.float32), argument(deviations).astype(np.float32)]


def divergence(
    reading: str, mean: np.ndarray, second: np.ndarray, prior_mean: float = 0.0, prior_variance: float = 1.0
) -> np.ndarray:
    r"""Return KL(N(mean, σ²) ‖ N(prior mean, prior variance)) of each probe, `(probes,)` in nats.

    It is summed over latents and averaged over the batch; the σ is that of `second` in the reading.
    """
    mean, deviation = mean.astype(np.float64), READINGS[reading].deviation(second.astype(np.float64))
    return probing.summed(normal_kl(mean, deviation, prior_mean, prior_variance))


def kl_term(loss: Callable[[np.ndarray, np.ndarray], np.ndarray], shape: tuple[int, ...]) -> KLTerm:
    """Find out which KL a loss contains.

    Parameters
    ----------
    loss : callable
        ``loss(means, seconds)`` with stacks `(probes, batch, d)`, that returns one loss for each probe.
    shape : (batch, d)
    """
    stacks = probing.paired_stacks(shape, (-4, 4), (0.1, 3), stream=2)
    losses = loss(*stacks)
    if not np.isfinite(losses).all():
        return KLTerm("other", notes=("it is not finite at positive second arguments",))
    if np.std(losses) <= probing.rounding_error(losses):
        narrow = KLTerm("none").stacks(shape, stream=9)
        if np.std(loss(*narrow)) <= probing.rounding_error(losses):
            return KLTerm("none")
        why = "rounding of the loss hides it at moderate posteriors: it shows at narrow ones only"
        return KLTerm("other", notes=(why,))
    line = probing.best_line(divergence, READINGS, stacks, losses)
    term = (
        KLTerm("kl", line.name, slope=line.slope, intercept=line.intercept)
        if line
        else _to_another_prior(READINGS, stacks, losses)
    )
    if term is None:
        return KLTerm("other", notes=_what_it_is_not(loss, shape))
    # At second arguments up to 3, the KL of some readings is in the hundreds, and hides the rest.
    stacks = term._posteriors(*probing.paired_stacks(shape, (-4, 4), (-3, 2), stream=17))
    losses = loss(*stacks)
    if not np.isfinite(losses).all():
        return KLTerm("other", notes=("it is not finite where ln σ² is between −3 and 2",))
    line = probing.best_line(divergence, [term.reading or ""], stacks, losses) if _is_standard(term) else None
    again = replace(term, slope=line.slope, intercept=line.intercept) if line else term
    hidden = probing.rounding_error(loss(*term.at_the_prior(shape))) / abs(again.slope)
    if hidden > _HIDDEN:
        smallest = f"rounding of the loss hides {hidden:.2g} nats of it, and with them a floor or a target"
        return KLTerm("other", slope=again.slope, intercept=again.intercept, notes=(smallest,))
    if not (broken := _where_it_breaks(loss, again, shape)):
        return again
    other = _to_another_prior([again.reading or ""], stacks, losses)
    if other and not _where_it_breaks(loss, other, shape):
        return other
    return KLTerm("other", slope=again.slope, intercept=again.intercept, notes=broken)


def normal(mean: float, variance: float) -> str:
    """Return what a normal prior of each latent is called."""
    return "N(0, I)" if (mean, variance) == (0, 1) else f"N({mean:.3g}, {variance:.3g})"


def _is_standard(term: KLTerm) -> bool:
    return (term.prior_mean, term.prior_variance) == (0, 1)


def _to_another_prior(names: Iterable[str], stacks: probing.Stacks, losses: np.ndarray) -> KLTerm | None:
    """Return the KL to a normal distribution, the same for all latents, that explains the losses, or None."""
    best, unexplained = None, probing.TOLERANCE * np.std(losses) + probing.rounding_error(losses)
    mean, second = (stack.astype(np.float64) for stack in stacks)
    for name in names:
        deviation = READINGS[name].deviation(second)
        columns = [mean, mean**2, deviation**2, -2 * np.log(deviation)]
        matrix = np.stack([*(probing.summed(column) for column in columns), np.ones(len(losses))], axis=1)
        weights = np.linalg.lstsq(matrix, losses)[0]
        residual = np.std(losses - matrix @ weights)
        of_mean, of_square, of_variance, of_logarithm, _ = map(float, weights)
        if residual >= unexplained or of_square == 0 or of_logarithm == 0:
            continue
        if abs(of_variance / of_square - 1) > 0.01 or of_logarithm / of_square <= 0:
            continue
        prior_mean, prior_variance = -of_mean / (2 * of_square), of_logarithm / of_square
        if prior_mean**2 < 1e-5 * prior_variance:  # what rounding leaves of none
            prior_mean = 0.0
        features = divergence(name, mean, second, prior_mean, prior_variance)
        intercept, slope = (float(c) for c in np.polynomial.polynomial.polyfit(features, losses, 1))
        if np.std(losses - slope * features - intercept) < probing.TOLERANCE * np.std(losses):
            best, unexplained = KLTerm("kl", name, prior_mean, prior_variance, slope, intercept), residual
    return best


def _where_it_breaks(loss: Callable, term: KLTerm, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Try a KL where trained models live, and say where it is none; nothing if it holds everywhere."""
    rng = np.random.default_rng(10)
    size = (probing.PROBES, *shape)
    small = 10 ** rng.uniform(-2.5, -0.5, (probing.PROBES, 1, 1))
    lonely = np.arange(shape[1]) == rng.integers(shape[1], size=(probing.PROBES, 1, 1))
    inside, outside = rng.uniform(-0.5, 0.5, (2, *size)) * [[[[1]]], [[[2 * MEANS]]]]
    narrow = rng.uniform(*LOG_VARIANCES, size=size)
    tries = {
        "close to the prior": (small * inside, 4 * small * rng.uniform(-0.5, 0.5, size)),
        "at narrow posteriors": (inside, narrow),
        "far from the prior": (outside, rng.uniform(-4, 2, size)),
        "where one latent alone is used": (outside * lonely, narrow * lonely),
    }
    broken = [where for where, posteriors in tries.items() if _off(loss, term, *posteriors).any()]
    if not broken:
        return ()
    what = f"it is {term.slope:.3g} · KL to {normal(term.prior_mean, term.prior_variance)}, given {term.reading},"
    grid, step = np.linspace(*LOG_VARIANCES, 25, retstep=True)
    means = np.full((len(grid), *shape), 0.3)
    off = _off(loss, term, means, np.broadcast_to(grid[:, np.newaxis, np.newaxis], means.shape))
    if (off[0] or off[-1]) and not off[np.argmin(np.abs(grid))]:
        low = max(grid[off & (grid < 0)], default=grid[0] - step) + step
        high = min(grid[off & (grid > 0)], default=grid[-1] + step) - step
        between = f"for ln σ² between {low:g} and {high:g} only".replace("-", "−")
        return (f"{what} {between}: beyond, σ is clipped or has a floor, or a sign is lost",)
    if "close to the prior" in broken:
        why = "a floor such as free bits, a target for the KL, weights that differ by latent, or something added to σ"
        return (f"{what} far from the prior, but not close to it: {why}",)
    return (f"{what} at moderate posteriors, but not {broken[0]}",)


def _off(loss: Callable, term: KLTerm, mean: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    """Return of each probe whether the loss is off the line; the posteriors are given in units of the prior's."""
    posteriors = term._posteriors(mean, log_variance)
    line = probing.Line(term.reading, term.slope, term.intercept)
    return ~probing.continues(line, term.divergence(*posteriors), loss(*posteriors), _SLACK, roundings=1)


def _what_it_is_not(loss: Callable, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Say why a term is no KL: it depends on the batch as a whole, or it is none in any reading."""
    mixed = [stack[:1] for stack in probing.paired_stacks(shape, (-1.5, 1.5), (0.2, 1.5), stream=11)]
    alone = [np.repeat(stack.transpose(1, 0, 2), shape[0], axis=1) for stack in mixed]
    together, apart = loss(*mixed), loss(*alone)
    if abs(together[0] - apart.mean()) > 4 * probing.rounding_error(apart) + 1e-3 * np.std(apart):
        return ("it depends on which images share a batch, as a distance between distributions or a floor does",)
    readings = ", ".join(READINGS)
    return (f"it is no KL of a normal posterior to a normal prior, whether the fourth argument is {readings}",)
