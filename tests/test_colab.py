"""A chapter where the module is not installed, as on Colab: a real environment, a real kernel, a real pip."""

import ast
import importlib.metadata
import importlib.util
import shutil
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest
from environments import Environment, skip_without_package_index, without_vaecourse
from nbclient.exceptions import CellExecutionError

from tools import address, chapters, places, wheel
from tools import colab as single_files

ROOT = Path(__file__).parents[1]
FOUND = """\
import keras, tensorflow
keras.__version__, tensorflow.__version__, tensorflow.__file__, vaecourse.__file__"""
RUNS = "reparameterization"  # the chapter that runs as a single file
LOAD_DIGITS = 'vaecourse.data.load("digits").train_images.shape'


@pytest.fixture
def colab(tmp_path, monkeypatch) -> Environment:
    """Return an environment like Colab's: all but the module is installed."""
    return without_vaecourse(tmp_path, monkeypatch)


@pytest.fixture
def repository(tmp_path) -> str:
    """Return the address of a new git repository that holds the working tree, committed or not."""
    clone = tmp_path / "repository"
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():  # a file that is tracked may have been deleted
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    git(clone, "init", "--quiet")
    git(clone, "add", "--all")
    git(clone, "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "all")
    return clone.as_uri()


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def shown(cell: nbformat.NotebookNode) -> str:
    return cell.outputs[-1]["data"]["text/plain"]


def test_set_up_cell_installs_the_module_and_nothing_else(colab, repository):
    download = ("-m", "pip", "download", "--no-deps", "--retries=1", "--timeout=15", "hatchling")
    skip_without_package_index(colab.run(*download))
    before = colab.distributions()
    assert "vaecourse" not in before
    set_up = address.set_up_cell(repository)
    _, found, digits, again = colab.execute(set_up, FOUND, LOAD_DIGITS, set_up)
    *versions, tensorflow, module = ast.literal_eval(shown(found))
    assert versions == [importlib.metadata.version(name) for name in ("keras", "tensorflow")]
    assert Path(tensorflow).resolve() == Path(importlib.util.find_spec("tensorflow").origin).resolve()
    assert Path(module).is_relative_to(colab.prefix)
    assert shown(digits) == "(1500, 28, 28)"
    after = colab.distributions()
    assert set(after) - set(before) == {"vaecourse"}
    assert {name: after[name] for name in before} == before
    assert not again.outputs  # the module is there now: nothing to install, nothing to say


def test_set_up_cell_says_that_the_address_is_not_set(colab):
    with pytest.raises(CellExecutionError, match="set REPOSITORY to the address") as failed:
        colab.execute(address.set_up_cell(f"https://github.com/{address.PLACEHOLDER}/vaecourse"))
    assert failed.value.ename == "ImportError"
    assert "vaecourse" not in colab.distributions()


# --- the single files ------------------------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, no data, the quick budget: chapters take the digits, and pip has what stands in a folder."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("VAECOURSE_DATA", raising=False)
    monkeypatch.setenv("VAECOURSE_BUDGET", "quick")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


def take_back(environment: Environment, name: str) -> None:
    """Let an environment no longer have a package that it has been lent."""
    for entry in (environment.prefix.parent / "lent").glob(f"{name}*"):
        entry.unlink()
    assert name not in environment.distributions()


def run_cell(environment: Environment, source: str) -> subprocess.CompletedProcess:
    """Run a set-up cell, which is too long for a command line, without its last line, the import."""
    file = environment.content / "cell.py"
    file.write_text(
        source.replace("\nimport vaecourse ", "\n# import vaecourse "), encoding="utf-8"
    )  # which takes long
    return environment.run(str(file))


def write_wheel(folder: Path, name: str, version: str, needs: str) -> None:
    """Write a wheel with nothing in it, that needs something."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_a_single_file_runs_in_an_environment_without_the_module_offline(colab, offline):
    (path,) = [path for path in chapters.paths() if path.stem == RUNS]
    notebook = single_files.single_file(path, places.Book())
    before = colab.distributions()
    cells = colab.execute(*(cell.source for cell in chapters.code_cells(notebook)), "vaecourse.__file__")
    assert Path(ast.literal_eval(shown(cells[-1]))).is_relative_to(colab.prefix)
    assert any("digits" in output.get("text", "") for cell in cells for output in cell.outputs)
    assert set(colab.distributions()) - set(before) == {"vaecourse"}
    assert {name: version for name, version in colab.distributions().items() if name != "vaecourse"} == before


def test_the_wheel_in_the_set_up_cell_brings_what_is_missing_and_nothing_else(colab, offline, tmp_path):
    take_back(colab, "imageio")
    before = colab.distributions()
    write_wheel(tmp_path, "imageio", "2.1", "")  # older than pyproject.toml admits
    write_wheel(tmp_path, "imageio", "99.0", "Requires-Dist: numpy>=1.26")
    ran = run_cell(colab, wheel.set_up_cell(ROOT))
    assert ran.returncode == 0, ran.stderr
    after = colab.distributions()
    assert after["imageio"].startswith("99.0 ")
    assert set(after) - set(before) == {"vaecourse", "imageio"}
    assert {name: after[name] for name in before} == before
    again = run_cell(colab, wheel.set_up_cell(ROOT).replace('"pip"', '"no-pip"'))
    assert again.returncode == 0, "the module is there: nothing to install"


def test_the_wheel_in_the_set_up_cell_replaces_nothing_for_what_is_missing(colab, offline, tmp_path):
    take_back(colab, "imageio")
    before = colab.distributions()
    write_wheel(tmp_path, "imageio", "99.0", "Requires-Dist: numpy<1")
    ran = run_cell(colab, wheel.set_up_cell(ROOT))
    assert ran.returncode != 0
    assert "CalledProcessError" in ran.stderr
    after = colab.distributions()
    assert {name: after[name] for name in before} == before
