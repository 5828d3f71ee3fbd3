"""When a measurement of a model is a finding, and the report of what was found.

What is judged is what :mod:`vaecourse.clinic.measuring` measures; :mod:`vaecourse.clinic.advice` has the words.
"""

import html
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np

from vaecourse.clinic import advice


class Thresholds(NamedTuple):
    """Where a measurement becomes a finding, each with its reason."""

    weight: float = 0.02
    """Relative error of a weight in the loss: probing is exact to 10⁻³, and a slip changes a weight by more."""
    zero: float = 1e-5
    """Weight of the KL that counts as none: what remains of rounding."""
    form: float = 0.01
    """Share of the loss that no multiple of the KL, or of the log-likelihood, explains: rounding leaves 10⁻⁴."""
    drawn: float = 0.02
    """Relative error of the standard deviation and mean of z: rounding leaves 10⁻⁵."""
    active: float = 0.01
    """Variance over images of the posterior mean of an active latent :cite:p:`burda2016`."""
    collapsed: float = 0.05
    """Nats of KL: early in a training all means may agree and yet be far from the prior's."""
    dependence: float = 1e-5
    """Variance of decoded pixels over z, per variance of pixels over images: after few steps 10⁻³, unused 10⁻¹²."""
    aggregate: float = 10.0
    """Nats per latent from aggregate posterior to prior, of a spread or shift of about five; after few steps, 3."""
    wrong: float = 0.5
    """How far the mean of a wrong pixel is off: no threshold on ink would tell it from its opposite."""
    dead: float = 1e-3
    """Share of wrong pixels without gradient: from logits it is 0."""
    reach: float = 0.2
    """How far a pixel is from the nearest that is ever decoded, to be out of reach."""
    confined: float = 0.5
    """Share of pixels out of reach: it takes the background, since a blurred image lacks no more than its ink."""
    logvar: float = 20.0
    """Size of a log-variance: beyond it σ is below 5·10⁻⁵ or above 2·10⁴, and float32 runs out soon after."""


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its name, what was measured, what that means, and what to try."""

    name: str
    measured: str
    meaning: str
    remedy: str


@dataclass(frozen=True)
class Report:
    """What :func:`vaecourse.clinic.diagnose` found; `name in report` says whether a finding has that name.

    Attributes
    ----------
    model : str
        Name of the model's class.
    images, given : int
        How many images were looked at, and out of how many.
    findings : tuple of Finding
    measurements : mapping from a name to a number or an array
        In nats where they are terms of the loss.  Arrays have one entry per latent, but for *drawn std per assumed*:
        the smallest and the largest.
    """

    model: str
    images: int
    given: int
    findings: tuple[Finding, ...]
    measurements: Mapping[str, float | np.ndarray]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __contains__(self, name: str) -> bool:
        return any(finding.name == name for finding in self.findings)

    def __str__(self) -> str:
        lines = [self._title()]
        for finding in self.findings:
            lines += ["", finding.name]
            for part in ("measured", "meaning", "remedy"):
                text = f"  {part:8}  {getattr(finding, part)}"
                lines += textwrap.wrap(text, 96, subsequent_indent=12 * " ")
        lines += ["", "measurements", *(f"  {name:39} {_shown(value)}" for name, value in self.measurements.items())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        title, findings, numbers = html.escape(self._title()), "", ""
        for finding in self.findings:
            name, measured, meaning, remedy = (html.escape(text) for text in astuple(finding))
            findings += f"<dt><b>{name}</b>: {measured}</dt><dd>{meaning}<br><i>{remedy}</i></dd>"
        for name, value in self.measurements.items():
            numbers += f"<tr><td>{html.escape(name)}</td><td>{html.escape(_shown(value))}</td></tr>"
        return (
            f"<p><b>{title}</b></p><dl>{findings}</dl>"
            f"<details><summary>measurements</summary><table>{numbers}</table></details>"
        )

    def _title(self) -> str:
        count = {0: "nothing found", 1: "1 finding"}.get(len(self.findings), f"{len(self.findings)} findings")
        return f"{self.model} on {self.images:,} of {self.given:,} images: {count}"


def judge(measurements: Mapping[str, float | np.ndarray], latent_dim: int, pixels: int) -> tuple[Finding, ...]:
    """Return what is wrong, causes before their effects.

    Parameters
    ----------
    measurements : mapping
        As :mod:`vaecourse.clinic.measuring` takes them.  What has not been measured is not judged.
    latent_dim, pixels : int
        How many latents the model has, and how many pixels an image has.
    """
    return tuple(
        Finding(name, measured, *advice.WORDS[name]) for name, measured in _found(measurements, latent_dim, pixels)
    )


def _found(m: Mapping, latent_dim: int, pixels: int) -> Iterator[tuple[str, str]]:
    t = THRESHOLDS
    if m["share of pixels out of range"] > 0:
        yield "pixels out of range", f"pixels from {m['smallest pixel']:g} to {m['largest pixel']:g}"
    if m["log-likelihood form error"] > t.form:
        share = f"{m['log-likelihood form error']:.1%} of the loss's spread over outputs of the decoder"
        yield "likelihood of another form", f"{share} is no log-likelihood"
    if m["kl form error"] > t.form:
        yield "kl of another form", f"{m['kl form error']:.1%} of the loss's spread over posteriors is no KL"
    yield from _wrong_weights(m, latent_dim, pixels)
    if m["drawn std error"] > t.drawn or m["drawn mean error"] > t.drawn:
        least, most = m["drawn std per assumed"]
        measured = f"the standard deviation of z is {least:.3g} to {most:.3g} times what the KL assumes"
        yield "sampler and kl disagree", measured
    if m["share of non-finite weights"] > 0:
        yield "non-finite weights", f"{m['share of non-finite weights']:.1%} of the weights are NaN or infinite"
    if m["share of non-finite losses"] > 0:
        yield "non-finite loss", f"the loss of {m['share of non-finite losses']:.1%} of the images is NaN or infinite"
    if "kl" not in m:
        return
    if m["active units"] < 1 and m["kl"] < t.collapsed:
        yield "posterior collapse", f"0 of {latent_dim} latents active, KL {m['kl']:.2g} nats"
    if m["decoded variance per image variance"] < t.dependence:
        ratio = m["decoded variance per image variance"]
        yield "decoder ignores latents", f"over z, decoded pixels vary {ratio:.1g} times as much as pixels over images"
    if m["aggregate kl, from below"] > t.aggregate * latent_dim:
        measured = (
            f"at least {m['aggregate kl, from below']:.1f} nats; variances of z {_shown(m['aggregate variance'])}"
        )
        yield "aggregate posterior far from prior", measured
    if max(-m["smallest log-variance"], m["largest log-variance"]) > t.logvar:
        measured = f"log-variances from {m['smallest log-variance']:.1f} to {m['largest log-variance']:.1f}"
        yield "log-variances extreme", measured
    if m["share of wrong pixels without gradient"] > t.dead:
        of_wrong, of_all = m["share of wrong pixels without gradient"], m["share of zero-gradient pixels"]
        yield "pixels without gradient", f"{of_wrong:.1%} of the pixels that are wrong by over ½, {of_all:.1%} of all"
    if m["share of pixels out of reach"] > t.confined:
        low, high = m["smallest decoded pixel"], m["largest decoded pixel"]
        share = f"{m['share of pixels out of reach']:.0%} of the images' pixels are far outside"
        yield "probabilities confined", f"decoded pixels lie in [{low:.3f}, {high:.3f}]; {share}"


def _wrong_weights(m: Mapping, d: int, pixels: int) -> Iterator[tuple[str, str]]:
    beta, scale = m["kl weight"], m["log-likelihood weight"]
    measured = f"effective β = {beta:.4g}, with d = {d} latents and {pixels} pixels"

    def near(value: float, expected: float) -> bool:
        return abs(value / expected - 1) < THRESHOLDS.weight

    if scale <= 0:
        yield "log-likelihood weight not positive", f"weight of the log-likelihood {scale:.4g}"
    elif np.isnan(beta) or near(beta, 1):
        return
    elif near(beta, pixels) or (near(scale, 1 / pixels) and beta > 1):
        yield "mean over pixels", f"{measured}; weight of the log-likelihood {scale:.4g}"
    elif abs(beta) < THRESHOLDS.zero:
        yield "kl weight zero", measured
    elif beta < 0:
        yield "kl weight negative", measured
    elif near(beta, 2):
        yield "kl weight doubled", measured
    elif near(beta, 1 / d):
        yield "kl weight 1/d", measured
    else:
        yield f"kl weight too {'small' if beta < 1 else 'large'}", measured


def _shown(value: float | np.ndarray) -> str:
    if np.ndim(value) == 0:
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    value = np.asarray(value)
    shown = [f"{entry:.3g}" for entry in value[:8].astype(float)]
    return " ".join(shown) + (f" … ({len(value)})" if len(value) > 8 else "")
