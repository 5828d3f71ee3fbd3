"""All chapters in one file: `make notebooks` writes `_build/vaecourse-notebooks.zip`."""

import sys
import tempfile
import zipfile
from pathlib import Path

from tools import chapters, colab

NAME = "vaecourse-notebooks.zip"
FOLDER = "vaecourse-notebooks"
ALWAYS = (2020, 1, 1, 0, 0, 0)  # so that the same notebooks make the same file


def write(target: Path, notebooks: list[Path]) -> Path:
    """Write notebooks into a zip file, numbered in the order of the book."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for number, path in enumerate(notebooks, 1):
            entry = zipfile.ZipInfo(f"{FOLDER}/{number:02}-{path.name}", ALWAYS)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, path.read_bytes())
    return target


def main(arguments: list[str]) -> None:
    """Write the zip file, to the path given or into `_build`."""
    target = Path(arguments[0]) if arguments else chapters.ROOT / "_build" / NAME
    with tempfile.TemporaryDirectory() as folder:
        write(target, colab.write(Path(folder)))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
