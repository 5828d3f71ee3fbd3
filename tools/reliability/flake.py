"""The tests again and again, on other examples and in another order, as on three kinds of processors: none may fail."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tools import processors
from tools.reliability.figures import ROOT


def measure(options: argparse.Namespace, before: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Run tests in rounds, each under the next setting, and list what failed, with the seed that shows it again."""
    files = options.tests or numerical_tests()
    runs, failures, tests = dict.fromkeys(processors.SETTINGS, 0), [], 0
    for number in range(options.rounds):
        name = list(processors.SETTINGS)[number % len(processors.SETTINGS)]
        seed = 1000 * options.seed + number + 1
        variables = processors.SETTINGS[name].environment(processors.vector_units())
        environment = {**os.environ, **variables, "HYPOTHESIS_PROFILE": "fresh"}
        run = subprocess.run(
            command(files, seed), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        failed, passed = outcome(run.returncode, run.stdout)
        runs[name] += 1
        tests = max(tests, passed + len(failed))
        failures += [f"{each}, {name}, seed {seed}" for each in failed]
        say(f"round {number + 1} of {options.rounds}, {name}: {passed} passed; failed: {', '.join(failed) or 'none'}")
    return {"runs": runs, "tests": tests, "files": [Path(file).name for file in files], "failures": failures}


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
    """Return which tests failed, and how many passed.

    Raises
    ------
    RuntimeError
        If no test ran.
    """
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+?::.*?)(?: - .*)?$", output, re.MULTILINE)
    passed = re.search(r"(\d+) passed", output)
    if code not in (0, 1) or not (failed or passed):
        raise RuntimeError(f"the tests did not run: {output[-1000:]}")
    return failed, int(passed.group(1)) if passed else 0
