"""A chapter where the module is not installed, as on Colab: a real environment, a real kernel, a real pip.

The environment is new and empty, and is lent the packages of the running one, as Colab has them installed: all but
vaecourse.  They are linked into a folder that a .pth file names.  (Naming the running site-packages itself would not
do: Python would not process the .pth file in it that makes an editable vaecourse importable, but pip would still see
its metadata, and take it for installed.)
"""

import ast
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools import address

ROOT = Path(__file__).parents[1]
FOUND = """\
import keras, tensorflow
keras.__version__, tensorflow.__version__, tensorflow.__file__, vaecourse.__file__"""
LOAD_DIGITS = 'vaecourse.data.load("digits").train_images.shape'


@dataclass
class Environment:
    """A virtual environment away from the repository, and the folder its kernels run in."""

    prefix: Path
    content: Path

    @property
    def python(self) -> Path:
        return self.prefix / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def run(self, *arguments) -> subprocess.CompletedProcess:
        """Run Python with these arguments."""
        return subprocess.run([self.python, *arguments], cwd=self.content, capture_output=True, text=True, check=False)

    def distributions(self) -> dict[str, str]:
        """Ask a new process which distributions it sees, and from where."""
        code = """if True:
            from importlib.metadata import distributions
            import json
            print(json.dumps({d.name: f"{d.version} in {d.locate_file('')}" for d in distributions()}))"""
        return json.loads(self.run("-c", code).stdout)

    def execute(self, *cells: str) -> list[nbformat.NotebookNode]:
        """Execute cells in a kernel of this environment, and return them with their outputs."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        resources = {"metadata": {"path": self.content}}
        NotebookClient(notebook, timeout=300, kernel_name="colab", resources=resources).execute()
        return notebook.cells


@pytest.fixture
def colab(tmp_path, monkeypatch) -> Environment:
    """Return a new environment that has every package of the running one but vaecourse, and its own pip."""
    for variable in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"):
        monkeypatch.delenv(variable, raising=False)
    environment = Environment(tmp_path / "environment", tmp_path / "content")
    environment.content.mkdir()
    venv.create(environment.prefix, with_pip=True, symlinks=os.name != "nt")
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment.prefix)}))
    lent = tmp_path / "lent"
    lent.mkdir()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if not entry.name.startswith(("vaecourse", "pip", "__")) and entry.suffix != ".pth":
                (lent / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
    (own / "lent.pth").write_text(f"{lent}\n")
    kernel = tmp_path / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    command = [str(environment.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    absent = environment.run("-c", "import vaecourse")
    assert absent.returncode == 1
    assert "ModuleNotFoundError: No module named 'vaecourse'" in absent.stderr
    return environment


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


def skip_without_package_index(environment: Environment) -> None:
    """Skip if pip finds no version at all of the build back end; any other trouble is for the test to find."""
    asked = environment.run("-m", "pip", "download", "--no-deps", "--retries=1", "--timeout=15", "hatchling")
    if "(from versions: none)" in asked.stderr:
        pytest.skip("pip reaches no package index, and needs one for the build back end of vaecourse, hatchling")


def test_set_up_cell_installs_the_module_and_nothing_else(colab, repository):
    skip_without_package_index(colab)
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
