"""The report of what was found about a model.

:mod:`vaecourse.clinic.judging` says what is a finding, by :mod:`vaecourse.clinic.thresholds`, and
:mod:`vaecourse.clinic.advice` has the words.
"""

import html
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vaecourse.clinic.thresholds import THRESHOLDS as THRESHOLDS

FAULT, UNKNOWN, REMARK = "fault", "cannot be known", "remark"
"""What a finding may be: something wrong; a question without an answer, and why; something to know, and no fault."""

OF_SEEDS = "Errors are over images. A training with another seed differs by more: train three before two are compared."


@dataclass(frozen=True)
class Finding:
    """One thing that was found: its name, what was measured, what that means, what to try, and of which kind it is."""

    name: str
    measured: str
    meaning: str
    remedy: str
    kind: str = FAULT


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
        In nats where they are terms of the loss.  Arrays have one entry per latent, but for *std of z over the KL's*:
        the smallest and the largest.
    """

    model: str
    images: int
    given: int
    findings: tuple[Finding, ...]
    measurements: Mapping[str, float | str | np.ndarray]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found that is wrong, and nothing remained that cannot be known."""
        return not self.faults and not self.unknown

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(finding for finding in self.findings if finding.kind == FAULT)

    @property
    def unknown(self) -> tuple[Finding, ...]:
        """What cannot be known of this model, and why."""
        return tuple(finding for finding in self.findings if finding.kind == UNKNOWN)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What is no fault, but should be known before the model is compared with others."""
        return tuple(finding for finding in self.findings if finding.kind == REMARK)

    def __contains__(self, name: str) -> bool:
        return any(finding.name == name for finding in self.findings)

    def __str__(self) -> str:
        lines = [self._title()]
        for finding in self.findings:
            lines += ["", finding.name if finding.kind == FAULT else f"{finding.name} ({finding.kind})"]
            for part in ("measured", "meaning", "remedy"):
                if text := getattr(finding, part):
                    lines += textwrap.wrap(f"  {part:8}  {text}", 96, subsequent_indent=12 * " ")
        lines += ["", "measurements", *(f"  {name:39} {_shown(value)}" for name, value in self._told())]
        return "\n".join([*lines, "", *textwrap.wrap(OF_SEEDS, 96)])

    def _repr_html_(self) -> str:
        title, findings, numbers = html.escape(self._title()), "", ""
        for finding in self.findings:
            texts = (finding.name, finding.kind, finding.measured, finding.meaning, finding.remedy)
            name, kind, measured, meaning, remedy = (html.escape(text) for text in texts)
            kind = "" if finding.kind == FAULT else f" ({kind})"
            findings += f"<dt><b>{name}</b>{kind}: {measured}</dt><dd>{meaning}<br><i>{remedy}</i></dd>"
        for name, value in self._told():
            numbers += f"<tr><td>{html.escape(name)}</td><td>{html.escape(_shown(value))}</td></tr>"
        return (
            f"<p><b>{title}</b></p><dl>{findings}</dl>"
            f"<details><summary>measurements</summary><table>{numbers}</table><p>{OF_SEEDS}</p></details>"
        )

    def _told(self) -> list[tuple[str, float | str | np.ndarray]]:
        """Return the measurements that there is something to be said of."""
        return [
            (name, value) for name, value in self.measurements.items() if not (isinstance(value, str) and not value)
        ]

    def _title(self) -> str:
        counts = [_many(self.faults, "finding") or "nothing found"]
        counts += [f"{len(self.unknown)} cannot be known"] * bool(self.unknown)
        counts += [_many(self.remarks, "remark")] * bool(self.remarks)
        return f"{self.model} on {self.images:,} of {self.given:,} images: {', '.join(counts)}"


def _many(things: tuple, name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) > 1 else ''}" if things else ""


def _shown(value: float | str | np.ndarray) -> str:
    """Return a measurement in short; what is no number cannot be known."""
    if np.ndim(value) == 0:
        if not isinstance(value, float):
            return str(value)
        return "cannot be known" if np.isnan(value) else f"{value:.4g}"
    value = np.asarray(value)
    shown = [f"{entry:.3g}" for entry in value[:8].astype(float)]
    return " ".join(shown) + (f" … ({len(value)})" if len(value) > 8 else "")
