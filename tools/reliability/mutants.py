"""Mutants of the numerical core, which the tests must notice: made by cosmic-ray, one at a time, in a copy.

A mutant is the source with one operator, number or condition changed.  A place is where a kind of change applies; of a
random sample of places, one change each is tried, so that operators with a dozen replacements do not outweigh others.
Changes of type hints are left out: the module does not import with them, or is the same.

A mutant is noticed if a test fails, and that test passes on the source as it is.
"""

import argparse
import ast
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.reliability import covering
from tools.reliability.figures import cloned, digest_of_sources, earlier

CORE = (
    *(f"vaecourse/models/{name}.py" for name in ("objectives", "likelihoods", "pixels", "flows", "importance")),
    *(f"vaecourse/models/{name}.py" for name in ("conditional", "vae", "linear_gaussian")),
    "vaecourse/measures",
    "vaecourse/clinic",
    "vaecourse/data/pixels.py",
    "vaecourse/data/epochs.py",
    "vaecourse/training/optimizers.py",
    "vaecourse/training/schedules.py",
)
JUSTIFIED = Path(__file__).with_name("justified.json")
"""Survivors that no test can notice, each with the reason: by module, the line as it is and as it was changed."""


def measure(options: argparse.Namespace, before: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Try a sample of mutants, and add it to those of the same sources and of other seeds."""
    sources = digest_of_sources()
    kept = before.get("mutants", []) if before.get("sources") == sources else []
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        copies = [cloned(Path(folder, f"copy{number}")) for number in range(options.workers)]
        sites = places(copies[0])
        known = {_key(each) for each in kept}
        chosen = [mutant for mutant in sample(sites, options.seed, options.mutants) if _key(mutant) not in known]
        left, tried = iter(chosen), []

        def work(copy: Path) -> None:
            while time.monotonic() < end and (mutant := next(left, None)) is not None:
                found = covering.tried(copy, mutant)
                tried.append(found)
                say(f"{len(tried)} of {len(chosen)}: {found['module']}:{found['line']} {found['outcome']}")

        with ThreadPoolExecutor(len(copies)) as executor:
            list(executor.map(work, copies))
        covering.confirm(copies[0], tried)
    found = summary([*kept, *tried], sum(map(len, sites.values())) if sites else 0)
    added = {"earlier": earlier(before) if kept else [], "seeds": _seeds(before, kept, options.seed)}
    return {**found, **added, "sources": sources}


def summary(mutants: list[dict[str, Any]], population: int) -> dict[str, Any]:
    """Count what was noticed among the mutants that can be; those that are justified are not in the score."""
    reasons = json.loads(JUSTIFIED.read_text(encoding="utf-8")) if JUSTIFIED.exists() else []
    for mutant in mutants:
        mutant.pop("justified", None)
        for each in reasons:
            if mutant["outcome"] == "survived" and (each["module"], each["changed"]) == (
                mutant["module"],
                mutant["changed"],
            ):
                mutant["justified"] = each["why"]
    outcomes = [mutant["outcome"] for mutant in mutants]
    justified = sum("justified" in mutant for mutant in mutants)
    return {
        "mutants": mutants,
        "population": population,
        "tried": len(mutants) - justified,
        "noticed": len(mutants) - outcomes.count("survived"),
        "justified": justified,
        "outcomes": {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
    }


def places(copy: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Return, for each module of the core, its places, each a list of the mutants there."""
    work = copy.with_name("work")
    modules = json.dumps([path for path in CORE if (copy / path).exists()])
    configuration = (
        f'[cosmic-ray]\nmodule-path = {modules}\ntimeout = 1.0\nexcluded-modules = []\ntest-command = "true"\n'
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    work.with_suffix(".toml").write_text(configuration)
    cosmic_ray(copy, "init", str(work.with_suffix(".toml")), str(work.with_suffix(".sqlite")))
    dumped = cosmic_ray(copy, "dump", str(work.with_suffix(".sqlite")))
    return grouped([json.loads(line)[0]["mutations"][0] for line in dumped.splitlines()], copy)


def grouped(mutations: list[dict[str, Any]], copy: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Return mutations by module and place, without those of type hints."""
    hints = {module: lines_of_hints((copy / module).read_text()) for module in {m["module_path"] for m in mutations}}
    found: dict[str, dict[tuple, list[dict[str, Any]]]] = {}
    for mutation in mutations:
        start, module = tuple(mutation["start_pos"]), mutation["module_path"]
        if any(first <= start < last for first, last in hints[module]):
            continue
        operator = mutation["operator_name"].split("_")[0]
        mutant = {"module": module, "operator": mutation["operator_name"], "line": start[0]}
        mutant["occurrence"] = mutation["occurrence"]
        found.setdefault(module, {}).setdefault((operator, start), []).append(mutant)
    by_operator: Callable = lambda mutant: (mutant["operator"], mutant["occurrence"])  # noqa: E731
    return {
        module: [sorted(mutants, key=by_operator) for _, mutants in sorted(of.items())]
        for module, of in sorted(found.items())
    }


def lines_of_hints(code: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where the type hints of a program begin and end, as lines and columns."""
    found = []
    for node in ast.walk(ast.parse(code)):
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(hint, ast.expr) and hint.end_lineno is not None and hint.end_col_offset is not None:
                found.append(((hint.lineno, hint.col_offset), (hint.end_lineno, hint.end_col_offset)))
    return found


def sample(sites: dict[str, list[list[dict[str, Any]]]], seed: int, count: int) -> list[dict[str, Any]]:
    """Return one mutant of each of some places, drawn without replacement."""
    draw = random.Random(seed)
    everywhere = [site for of in sites.values() for site in of]
    return [draw.choice(site) for site in draw.sample(everywhere, min(count, len(everywhere)))]


def cosmic_ray(copy: Path, *arguments: str) -> str:
    """Call cosmic-ray in a copy of the sources, and return what it prints."""
    command = [sys.executable, "-c", "from cosmic_ray.cli import main; main()", *arguments]
    called = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if called.returncode:
        raise RuntimeError(f"cosmic-ray {' '.join(arguments)} failed: {called.stderr.strip() or called.stdout.strip()}")
    return called.stdout


def _key(mutant: dict[str, Any]) -> tuple:
    return mutant["module"], mutant["operator"], mutant["occurrence"]


def _seeds(before: dict[str, Any], kept: list, seed: int) -> list[int]:
    return sorted({*(before.get("seeds", []) if kept else []), seed})
