"""An environment of the lowest versions that `pyproject.toml` admits, and the tests in it: `make test-lowest`.

The dependencies of the module are at their lower bounds.  What builds the book and runs the tests is as pip chooses it:
no reader brings it along.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-lowest"
LOWEST_PYTHON = (3, 11)
CHAPTER = "book/chapters/reparameterization.ipynb"
TESTS = (  # of what the module takes from its dependencies
    "test_data.py",
    "test_models.py",
    "test_keras.py",
    "test_objectives.py",
    "test_likelihoods.py",
    "test_networks.py",
    "test_flows.py",
    "test_training.py",
    "test_plotting.py",
)


def lower_bounds(root: Path = ROOT) -> list[str]:
    """Return the dependencies of the module, each at its lower bound.

    Raises
    ------
    ValueError
        If a dependency has none.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [_lowest(Requirement(line)) for line in project["dependencies"]]


def _lowest(requirement: Requirement) -> str:
    bounds = [each.version for each in requirement.specifier if each.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"{requirement} has no lower bound")
    return f"{requirement.name}=={bounds[0]}"


def main() -> None:
    """Set the environment up, and run the tests and a chapter in it."""
    if sys.version_info[:2] != LOWEST_PYTHON:
        sys.exit("only Python 3.11 has wheels of all lowest versions: rm -r .venv; make test-lowest PYTHON=python3.11")
    python, made_of = FOLDER / "bin" / "python", FOLDER / "pyproject.toml"
    wanted = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if not made_of.exists() or made_of.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
        bounds = FOLDER / "bounds.txt"
        bounds.write_text("\n".join([*lower_bounds(), ""]))
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--constraint", bounds, "--editable", ".[test]"], cwd=ROOT, check=True)
        made_of.write_text(wanted, encoding="utf-8")
    pytest = [python, "-m", "pytest", "-q", "-m", "not unmutated"]
    subprocess.run([*pytest, *(f"tests/{name}" for name in TESTS)], cwd=ROOT, check=True)
    subprocess.run([*pytest, "--nbval-lax", CHAPTER], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
