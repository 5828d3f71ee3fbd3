"""Environments in which the module is not installed: new and empty ones that are lent the packages of the running one.

All but vaecourse is lent, as Colab has it installed, by links in a folder that a .pth file names.  (Naming the running
site-packages itself would not do: Python would not process the .pth file in it that makes an editable vaecourse
importable, but pip would still see its metadata, and take it for installed.)
"""

import json
import os
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient


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


def without_vaecourse(folder: Path, monkeypatch) -> Environment:
    """Make an environment in a folder that has every package of the running one but vaecourse."""
    for variable in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"):
        monkeypatch.delenv(variable, raising=False)
    environment = Environment(folder / "environment", folder / "content")
    environment.content.mkdir()
    own_pip = not Path(sysconfig.get_path("purelib"), "pip").exists()  # else pip is lent, too: that is faster
    venv.create(environment.prefix, with_pip=own_pip, symlinks=os.name != "nt")
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment.prefix)}))
    lent = folder / "lent"
    lent.mkdir()
    for packages in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(packages).iterdir():
            if not entry.name.startswith(("vaecourse", "__")) and entry.suffix != ".pth":
                (lent / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
    (own / "lent.pth").write_text(f"{lent}\n")
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    command = [str(environment.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
    absent = environment.run("-c", "import vaecourse")
    assert absent.returncode == 1
    assert "ModuleNotFoundError: No module named 'vaecourse'" in absent.stderr
    return environment


def skip_without_package_index(asked: subprocess.CompletedProcess) -> None:
    """Skip if pip found no version at all of what it was asked for; any other trouble is for the test to find."""
    if "(from versions: none)" in asked.stderr:
        pytest.skip("pip reaches no package index, and needs one for the build back end of vaecourse, hatchling")
