"""The companion module as a wheel, and a set-up cell that carries it: no repository, no address.

The same sources give the same bytes: hatchling writes the files in order, with one date for all.
"""

import base64
import hashlib
import os
import shutil
import tempfile
import textwrap
from functools import cache
from pathlib import Path
from unittest import mock

from hatchling.builders.wheel import WheelBuilder

DATE = str(1577836800)  # the first day of 2020; any fixed date would do
LINE = 120
WITH = ("vaecourse", "pyproject.toml", "README.md", "LICENSE")  # what the wheel is made from

SET_UP = '''\
# @title Set-up: run this cell first. It carries the module vaecourse and installs it where it is missing.
import importlib.util
import re
import subprocess
import sys
import tempfile
from base64 import b64decode
from importlib import metadata
from pathlib import Path


def install(*what):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *what], check=True)
    importlib.invalidate_caches()


def is_installed(requirement):
    try:
        return bool(metadata.version(re.match(r"[\\w.-]+", requirement)[0]))
    except metadata.PackageNotFoundError:
        return False


def set_up(wheel):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "@NAME@")
        file.write_bytes(b64decode(wheel))
        install("--no-deps", str(file))
        needed = [line for line in metadata.requires("vaecourse") if "extra ==" not in line]
        missing = [line for line in needed if not is_installed(line)]
        if missing:  # whatever is there stays as it is
            present = {f"{found.name}=={found.version}" for found in metadata.distributions() if found.name}
            Path(folder, "present.txt").write_text("\\n".join(sorted(present)))
            install("--constraint", str(Path(folder, "present.txt")), *missing)


if importlib.util.find_spec("vaecourse") is None:
    set_up("""
@WHEEL@
""")
import vaecourse  # noqa: F401  # before TensorFlow, whose start-up log it silences
'''


@cache
def build(root: Path) -> tuple[str, bytes]:
    """Build the wheel, and return its name and its bytes.

    Parameters
    ----------
    root : Path
        Folder of the project.
    """
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"SOURCE_DATE_EPOCH": DATE}):
        copied = Path(folder, "project")
        for name in WITH:  # away from what git ignores, and from what Python has cached
            source, target = root / name, copied / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        for path in copied.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (built,) = WheelBuilder(str(copied)).build(directory=folder, versions=["standard"])
        return Path(built).name, Path(built).read_bytes()


def set_up_cell(root: Path) -> str:
    """Return the text of a set-up cell that carries the wheel."""
    name, wheel = build(root)
    lines = "\n".join(textwrap.wrap(base64.b64encode(wheel).decode(), LINE))
    return SET_UP.replace("@NAME@", name).replace("@WHEEL@", lines).strip()


def digest(root: Path) -> str:
    """Return the digest of the wheel."""
    return hashlib.sha256(build(root)[1]).hexdigest()
