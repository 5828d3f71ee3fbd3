"""Which tests cover a module, and whether they notice a mutant of it."""

import ast
import functools
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tools import processors

MOST = 6
"""Files of tests that a mutant is tried on: those that mention its module most.  A test elsewhere may notice more."""
SECONDS = 600
"""Of processor time for the tests of one mutant; what takes longer does not end."""
NOT_THESE = (*processors.NO_NUMBERS, "reliability", "security", "mutations", "distributed")
NOT_THESE += tuple(f"mutations_of_{part}" for part in ("conditioning", "kl", "priors", "rate_distortion", "truth"))
"""Tests without numbers; tests that compare the source with a copy, and would see any change; tests of processes."""


def tried(copy: Path, mutant: dict[str, Any]) -> dict[str, Any]:
    """Apply a mutant, run the tests that cover its module until one fails, and take the mutant back."""
    module = mutant["module"]
    apply = "from cosmic_ray.cli import main; main()"
    arguments = ["apply", module, mutant["operator"], str(mutant["occurrence"])]
    subprocess.run([sys.executable, "-c", apply, *arguments], cwd=copy, check=True, capture_output=True)
    try:
        diff = subprocess.run(
            ["git", "diff", "--unified=0", "--", module], cwd=copy, check=True, capture_output=True, text=True
        ).stdout
        files = covering(copy, module)
        return {**mutant, "changed": changed(diff), "tests": files, **outcome(*run_tests(copy, files))}
    finally:
        subprocess.run(["git", "checkout", "--quiet", "--", module], cwd=copy, check=True)


def confirm(copy: Path, mutants: list[dict[str, Any]]) -> None:
    """Drop what is no evidence: a test that fails, or does not end, on the source as it is.

    Raises
    ------
    RuntimeError
        If the tests that noticed something cannot be run on the source as it is.
    """
    noticed = sorted({each["by"] for each in mutants if each["outcome"] == "noticed"})
    if not noticed:
        return
    _, output = run_tests(copy, noticed, "--maxfail=1000000")
    if not re.search(r"\d+ (passed|failed)", output):
        raise RuntimeError(f"the tests did not run on the source as it is: {output[-2000:]}")
    failing = set(re.findall(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", output, re.MULTILINE))
    for mutant in mutants:
        if mutant.get("by") in failing:
            mutant["outcome"] = "unknown"
    mutants[:] = [mutant for mutant in mutants if mutant["outcome"] != "unknown"]


def run_tests(copy: Path, tests: list[str], *options: str) -> tuple[int, str]:
    """Run tests in a copy of the sources until one fails, within the limit of time; return the exit code and output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-rfE",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        *options,
        *tests,
    ]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=copy, env=environment, **pipes) as run:
        if hasattr(resource, "prlimit"):  # Linux
            resource.prlimit(run.pid, resource.RLIMIT_CPU, (SECONDS, SECONDS))
        output, _ = run.communicate()
    return run.returncode, output


def outcome(code: int, output: str) -> dict[str, str]:
    """Return what became of a mutant: noticed by a test, without being imported, by not ending, or not at all.

    Raises
    ------
    RuntimeError
        If there were no tests to run.
    """
    if code == 0:
        return {"outcome": "survived"}
    if code < 0:
        return {"outcome": "no end"}
    if code == 5:
        raise RuntimeError("no test was collected")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", output, re.MULTILINE)
    return {"outcome": "noticed", "by": failed.group(1)} if failed else {"outcome": "no import"}


def changed(diff: str) -> list[str]:
    """Return the line that was changed, as it was and as it is."""
    lines = [
        [line[1:].strip() for line in diff.splitlines() if re.match(rf"\{sign}(?!\{sign})", line)] for sign in "-+"
    ]
    return [" ".join(of) for of in lines]


def covering(root: Path, module: str, most: int = MOST) -> list[str]:
    """Return the files of tests that are most about a module: that import it, or mention what it defines.

    What is said of the modules that import it counts half.

    Raises
    ------
    ValueError
        If no test mentions any of them.
    """
    importing = [root / each for each in importers(root, module)]
    scores = {
        path: _mentions(path, root / module) + max((_mentions(path, each) for each in importing), default=0.0) / 2
        for path in _files_of_tests(root)
    }
    chosen = sorted((path for path, score in scores.items() if score > 0), key=lambda path: -scores[path])
    if not chosen:
        raise ValueError(f"no test mentions {module}, nor a module that imports it")
    return [str(path.relative_to(root)) for path in chosen[:most]]


def importers(root: Path, module: str) -> list[str]:
    """Return the modules that import one."""
    name = module.removesuffix(".py").replace("/", ".")
    found = []
    for path in sorted((root / "vaecourse").rglob("*.py")):
        imported = set()
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.ImportFrom):
                imported |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
        if name in imported and path.name != "__init__.py":
            found.append(str(path.relative_to(root)))
    return found


@functools.cache
def _files_of_tests(root: Path) -> list[Path]:
    left_out = {f"test_{name}.py" for name in NOT_THESE}
    return [path for path in sorted((root / "tests").glob("test_*.py")) if path.name not in left_out]


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _mentions(path: Path, module: Path) -> float:
    """Return how much a file of tests is about a module: three for an import, one for a name, and the share of all."""
    counts, imported = _identifiers(path)
    defined = {node.name for node in _parsed(module).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    mentioned = {name for name in defined if counts[name]}
    score = 3 * (f"{module.parent.name}.{module.stem}" in imported) + len(mentioned)
    return score + sum(counts[name] for name in mentioned) / counts.total() if score else 0.0


@functools.cache
def _identifiers(path: Path) -> tuple[Counter, set[str]]:
    found: Counter = Counter()
    imported = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Name):
            found[node.id] += 1
        elif isinstance(node, ast.Attribute):
            found[node.attr] += 1
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found[node.value] += 1
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vaecourse"):
            imported |= {f"{(node.module or '').split('.')[-1]}.{alias.name}" for alias in node.names}
    return found, imported
