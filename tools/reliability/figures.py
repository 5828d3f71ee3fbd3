"""What was measured, with where and when, as a file and as tables of the book.

This module imports nothing that computes: the book is built with it.
"""

import contextlib
import datetime
import importlib.metadata
import json
import math
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools import processors
from tools.tables import markdown

ROOT = Path(__file__).parents[2]
PATH = ROOT / "benchmarks" / "reliability.json"
PACKAGES = ("tensorflow", "keras", "numpy", "pytest", "hypothesis", "cosmic-ray", "pytest-random-order", "pip-audit")
NOT_MEASURED = "not measured yet"


def read() -> dict[str, Any]:
    """Return what was measured last, by part, or nothing."""
    return json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}


@contextlib.contextmanager
def measuring(part: str, command: str) -> Iterator[dict[str, Any]]:
    """Hand out a table for the figures of a part; write it with its provenance, and leave the other parts alone."""
    found: dict[str, Any] = {}
    sources, start = commit(), time.monotonic()
    yield found
    found["measured"] = provenance(command, sources, time.monotonic() - start)
    text = json.dumps({**read(), part: found}, indent=1, ensure_ascii=False, sort_keys=True)
    PATH.write_text(text + "\n", encoding="utf-8")


def provenance(command: str, sources: str, seconds: float) -> dict[str, Any]:
    """Return when, of which commit, on what, with which versions and by which command something was measured."""
    return {
        "command": command,
        "commit": sources,
        "date": datetime.date.today().isoformat(),
        "processor": processors.describe(),
        "seconds": round(seconds),
        "versions": {"python": platform.python_version()} | _versions(),
    }


def earlier(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return when, on what and by which commands the figures were measured that new ones are added to."""
    return [*part.get("earlier", []), part["measured"]] if "measured" in part else []


def commit() -> str:
    """Return the commit of the sources, with a plus sign where the module or its tests differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "vaecourse", "tests", "tools")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def cloned(copy: Path) -> Path:
    """Make a copy of what is committed, which nobody changes while it is tested, and return its path."""
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(copy)], check=True)
    return copy


def digest_of_sources() -> str:
    """Return the git objects of the module and of its tests: mutants, and rounds, of the same sources add up."""
    trees = ["HEAD:vaecourse", "HEAD:tests"]
    called = subprocess.run(["git", "rev-parse", *trees], cwd=ROOT, capture_output=True, text=True, check=True)
    return " ".join(line[:12] for line in called.stdout.split())


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a probability by Wilson's score.

    Raises
    ------
    ValueError
        If there was no trial, or there were more successes than trials.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"expected 0 ≤ successes ≤ trials and a trial, got {successes} of {trials}")
    share, weight = successes / trials, z**2 / trials
    center, half = share + weight / 2, z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    low, high = ((center + sign * half) / (1 + weight) for sign in (-1, 1))
    return low if successes else 0.0, high if successes < trials else 1.0


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


# --- tables ----------------------------------------------------------------------------------------------------------


def of_all(figures: dict[str, Any]) -> str:
    """Return the table of all parts: what was asked for, what came out, and by which commands."""
    rows = [
        (
            title,
            asked,
            summary(figures[part]) if part in figures else NOT_MEASURED,
            ", then ".join(f"`{place['command']}`" for place in earlier(figures.get(part, {}))),
        )
        for part, (title, asked, summary) in SUMMARIES.items()
    ]
    return markdown(("Figure", "Asked for", "Measured", "Command"), rows)


def of_places(figures: dict[str, Any]) -> str:
    """Return when, of which commit, on what and with which versions each part was measured, in one go or in several."""
    rows = []
    for part in filter(figures.get, SUMMARIES):
        for place in earlier(figures[part]):
            versions = ", ".join(f"{name} {version}" for name, version in place["versions"].items())
            minutes = f"{place['seconds'] / 60:.1f} min"
            rows.append((part, place["date"], f"`{place['commit']}`", minutes, place["processor"], versions))
    return markdown(("Part", "Date", "Commit", "Took", "Processor", "Versions"), rows)


def of_survivors(figures: dict[str, Any]) -> str:
    """Return the mutants that no test noticed, and what is known of each."""
    rows = [
        (
            f"`{each['module']}`, line {each['line']}",
            each["operator"].removeprefix("core/"),
            f"`{each['changed'][0]}` → `{each['changed'][1]}`".replace("|", "\\|"),
            each.get("justified", "no test notices it"),
        )
        for each in figures["mutations"]["mutants"]
        if each["outcome"] == "survived"
    ]
    return markdown(("Where", "Operator", "Line", "Why"), rows) if rows else "No mutant survived.\n"


def of_modules(figures: dict[str, Any]) -> str:
    """Return how many mutants of each module were tried, and noticed."""
    tried: dict[str, list[str]] = {}
    for each in figures["mutations"]["mutants"]:
        tried.setdefault(each["module"], []).append(each["outcome"])
    rows = [
        (f"`{module}`", str(len(outcomes)), str(len(outcomes) - outcomes.count("survived")))
        for module, outcomes in sorted(tried.items())
    ]
    return markdown(("Module", "Tried", "Noticed"), rows)


def of_faults(figures: dict[str, Any]) -> str:
    """Return what was done to trainings, downloads and chapters, and what came of it."""
    return markdown(("What happens", "What must hold", "Held"), figures["faults"]["rows"])


def of_security(figures: dict[str, Any]) -> str:
    """Return what was checked of the security, and what was found."""
    return markdown(("Check", "Found"), figures["security"]["rows"])


def of_kinds(figures: dict[str, Any]) -> str:
    """Return how many calls and files of each kind were refused, or were all right."""
    rows = [(kind, *map(str, counts)) for kind, counts in sorted(figures["bad-input"]["kinds"].items())]
    return markdown(("Wrong", "Tried", "Refused", "Harmless", "Findings"), rows)


def _mutations(part: dict[str, Any]) -> str:
    noticed, tried = part["noticed"], part["tried"]
    low, high = wilson(noticed, tried)
    justified = part["justified"]
    return (
        f"{noticed} of {tried} noticed, {noticed / tried:.0%} (95 % interval {low:.0%} to {high:.0%}); "
        f"{justified} further ones change nothing that can be noticed; drawn from {part['population']:,} places"
    )


def _flake(part: dict[str, Any]) -> str:
    runs = ", ".join(f"{setting} {count}" for setting, count in part["runs"].items())
    failed = len(part["failures"])
    return f"{sum(part['runs'].values())} runs ({runs}) of {part['tests']:,} tests: {failed or 'no'} failures"


def _bad_input(part: dict[str, Any]) -> str:
    tried = sum(counts[0] for counts in part["kinds"].values())
    refused, found = (sum(counts[i] for counts in part["kinds"].values()) for i in (1, 3))
    return (
        f"{tried:,} tried, {refused:,} refused in words, {found or 'no'} findings; at most "
        f"{part['most seconds']:.2f} s of processor time and {part['most megabytes']:.0f} MB for a refusal"
    )


def _faults(part: dict[str, Any]) -> str:
    return f"{part['held']} of {part['tried']} held; {part['kills']} trainings killed"


def _security(part: dict[str, Any]) -> str:
    return f"{part['programs']} programs read, {part['findings'] or 'no'} findings; pip-audit: {part['pip-audit']}"


SUMMARIES = {
    "mutations": ("Mutation score of the numerical core", "at least 95 % noticed", _mutations),
    "flake": ("Flaky tests", "no failure in 20 runs", _flake),
    "bad-input": ("Wrong arguments and damaged files", "500, each refused within 1 s and 1 GB", _bad_input),
    "faults": ("Kills, full disks, broken downloads", "20 kills, weights equal bit for bit", _faults),
    "security": ("Security", "no code of strangers runs", _security),
}

TABLES = {
    "all": of_all,
    "measured": of_places,
    "survivors": of_survivors,
    "modules": of_modules,
    "bad-input": of_kinds,
    "faults": of_faults,
    "security": of_security,
}


def table(name: str) -> str:
    """Return a table of what was measured last, or a line that says that it was not."""
    try:
        return TABLES[name](read())
    except KeyError as part:
        return f"Not measured yet: {part}.\n"
