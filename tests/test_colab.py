"""A chapter where the module is not installed, as on Colab: a real environment, a real kernel, a real pip."""

import ast
import importlib.metadata
import importlib.util
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from environments import Environment, skip_without_package_index, without_vaecourse
from nbclient.exceptions import CellExecutionError

from tools import address

ROOT = Path(__file__).parents[1]
FOUND = """\
import keras, tensorflow
keras.__version__, tensorflow.__version__, tensorflow.__file__, vaecourse.__file__"""
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
