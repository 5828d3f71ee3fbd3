"""Wrong arguments and damaged files: each must be refused in words, soon, without a trace; or do no harm."""

import argparse
from collections.abc import Callable
from typing import Any

from tools.reliability import limits

FILES = 12
"""Damaged files of each kind."""


def measure(options: argparse.Namespace, before: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Make calls with wrong arguments, and read damaged files; list what was not refused as it must be."""
    found = []
    for module, count in (("tools.reliability.calls", options.calls), ("tools.reliability.damage", FILES)):
        for result in limits.results(module, [str(options.seed), str(count)]):
            found.append(result)
            if result["finding"]:
                say(f"{result.get('what', result['done'])}: {result['finding']}")
    return summary(found)


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Count what was tried, refused, harmless and found, by kind, and keep the findings, one of each sort."""
    kinds: dict[str, list[int]] = {}
    for each in found:
        counts = kinds.setdefault(each.get("kind", "ended"), [0, 0, 0, 0])
        counts[0] += 1
        counts[3 if each["finding"] else 1 if each["became"] == "refused" else 2] += 1
    refused = [each for each in found if each["became"] == "refused"]
    sorts = {(each.get("what", "").split("=")[0], each["finding"][:40]): each for each in found if each["finding"]}
    return {
        "kinds": kinds,
        "most seconds": max((each["seconds"] for each in refused), default=0.0),
        "most megabytes": max((each["megabytes"] for each in refused), default=0.0),
        "findings": [f"{each.get('what') or each['done']}: {each['finding']}" for each in sorts.values()],
    }
