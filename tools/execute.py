"""Re-execute chapters in full on real MNIST, in place, and record the run: `make execute [CHAPTER=elbo]`."""

import base64
import datetime
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tools import chapters


def main(names: list[str]) -> None:
    """Execute the named chapters, or all; a chapter that fails keeps its old outputs."""
    os.environ.setdefault("VAECOURSE_BUDGET", "full")
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    if os.environ["VAECOURSE_BUDGET"] != "full":
        sys.exit("make execute writes the outputs that are published: it needs VAECOURSE_BUDGET=full, or unset")
    from vaecourse import data

    data.load("mnist")  # raises where there is no real MNIST
    known = {path.stem: path for path in chapters.paths()}
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"no chapter {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in names or known:
        print(f"{name} …", flush=True)
        seconds = execute(known[name])
        print(f"{name}: {seconds:.0f} s", flush=True)
    update_the_readme()


def update_the_readme() -> None:
    """Bring the table of results up to date, unless a chapter that it needs has not run yet."""
    from tools import results

    try:
        results.update_readme()
    except ValueError as missing:
        print(f"README.md keeps its table of results: {missing}")


def execute(path: Path) -> float:
    """Execute one chapter from a clean kernel, write it with the record of the run, and return the seconds it took."""
    chapter = chapters.read(path)
    module = chapters.module_digest(chapter)
    client = NotebookClient(
        chapter, timeout=None, kernel_name="python3", record_timing=False, resources={"metadata": {"path": path.parent}}
    )
    start = time.monotonic()
    client.execute()
    seconds = time.monotonic() - start
    for cell in chapters.code_cells(chapter):
        cell.metadata.pop("execution", None)
    chapter.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            chapters.RECORD: {
                "date": datetime.date.today().isoformat(),
                "data": "mnist",
                "budget": "full",
                "device": device(),
                "versions": versions(),
                "seconds": round(seconds),
                "code": chapters.code_digest(chapter),
                "module": module,
            },
        }
    )
    nbformat.write(chapter, path)
    save_cover(chapter, chapters.COVERS / f"{path.stem}.png")
    return seconds


def save_cover(chapter: nbformat.NotebookNode, target: Path) -> None:
    """Save the figure of the cell tagged `cover`: the picture by which the index shows the chapter."""
    (cell,) = [cell for cell in chapters.code_cells(chapter) if "cover" in chapters.tags(cell)]
    (png,) = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    target.write_bytes(base64.b64decode(png))


def device() -> str:
    """Describe what TensorFlow computes on here."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{len(os.sched_getaffinity(0))} CPU cores"


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on."""
    from importlib.metadata import version

    packages = ("tensorflow", "keras", "tensorflow-probability", "numpy")
    return {"python": ".".join(map(str, sys.version_info[:3]))} | {name: version(name) for name in packages}


if __name__ == "__main__":
    main(sys.argv[1:])
