"""The tests again and again, on other examples and in another order, as on three kinds of processors: none may fail."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools import processors
from tools.reliability.figures import ROOT, cloned, digest_of_sources, earlier


def measure(options: argparse.Namespace, before: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Run tests in rounds, each under the next setting, and list what failed, with the seed that shows it again.

    The rounds are added to those of the same sources, whose seeds they continue.
    """
    files, sources = options.tests or numerical_tests(), digest_of_sources()
    names = [Path(file).name for file in files]
    same = (before.get("sources"), before.get("files")) == (sources, names)
    runs = dict(before["runs"] if same else dict.fromkeys(processors.SETTINGS, 0))
    failures, tests = (list(before["failures"]), before["tests"]) if same else ([], 0)
    first, end = sum(runs.values()), time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.workers) as executor:
        copy = cloned(Path(folder, "copy"))

        def round_of(number: int) -> tuple[str, int, list[str], int] | None:
            name, seed = list(processors.SETTINGS)[number % len(processors.SETTINGS)], number + 1
            return None if time.monotonic() > end else (name, seed, *tested(copy, files, name, seed))

        for done in executor.map(round_of, range(first, first + options.rounds)):
            if done:
                name, seed, failed, passed = done
                runs[name] += 1
                tests = max(tests, passed + len(failed))
                failures += [f"{each}, {name}, seed {seed}" for each in failed]
                say(f"seed {seed}, {name}: {passed} passed; failed: {', '.join(failed) or 'none'}")
    added = {"earlier": earlier(before) if same else [], "sources": sources}
    return {"runs": runs, "tests": tests, "files": names, "failures": failures, **added}


def tested(copy: Path, files: Sequence[str], name: str, seed: int) -> tuple[list[str], int]:
    """Run tests once under a setting; return which failed, and how many passed."""
    variables = processors.SETTINGS[name].environment(processors.vector_units())
    environment = {**os.environ, **variables, "HYPOTHESIS_PROFILE": "fresh", "PYTHONPATH": str(copy)}
    run = subprocess.run(command(files, seed), cwd=copy, env=environment, capture_output=True, text=True, check=False)
    return outcome(run.returncode, run.stdout + (run.stderr if run.returncode not in (0, 1) else ""))


def numerical_tests() -> list[str]:
    """Return the files of tests in which something is computed."""
    left_out = {f"test_{name}.py" for name in processors.NO_NUMBERS}
    return [f"tests/{path.name}" for path in sorted((ROOT / "tests").glob("test_*.py")) if path.name not in left_out]


def command(files: Sequence[str], seed: int) -> list[str]:
    """Return the command that runs tests in an order and on examples that depend on a seed."""
    order = ["-p", "random_order", "--random-order-bucket=module", f"--random-order-seed={seed}"]
    options = ["-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}"]
    return [sys.executable, "-m", "pytest", *options, *order, "-m", "not unmutated", *files]


def outcome(code: int, output: str) -> tuple[list[str], int]:
    """Return which tests failed, and how many passed; an interpreter that crashed is a failure, too.

    Raises
    ------
    RuntimeError
        If no test ran, or the run was broken off.
    """
    if code < 0:
        return [f"the interpreter, by signal {-code}"], 0
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+?::.*?)(?: - .*)?$", output, re.MULTILINE)
    passed = re.search(r"(\d+) passed", output)
    if code not in (0, 1) or not (failed or passed):
        raise RuntimeError(f"the tests did not run, or not to their end; exit code {code}: {output[-3000:]}")
    return failed, int(passed.group(1)) if passed else 0
