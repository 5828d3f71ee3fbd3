"""Execute chapters in full on real MNIST, in place, and record the run.

`make execute` runs the chapters whose outputs are not current: those that have never run in full, and those of which
cells, or modules that they use, have changed since.  `CHAPTER=elbo` runs that one in any case, `CHAPTER=all` runs all.
Whatever runs, every chapter is told how long it takes to read and to run, which it says on top.
"""

import base64
import contextlib
import datetime
import gzip
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from tools import chapters, processors

ALL = "all"
CARD = 640  # pixels of the longer side
FORMATS = "--InlineBackend.figure_formats={'retina', 'svg'}"
"""Figures have two pixels for one of the page, as modern screens do; those of lines are kept as lines as well."""
METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
OPENING = re.compile(r"<svg\b[^>]*>")
PNG, SVG = "image/png", "image/svg+xml"
HEAVY = 250_000  # characters of an SVG, which a browser draws slowly


def main(names: list[str]) -> None:
    """Execute the named chapters, all, or without a name those that are not current; say why each runs or does not."""
    os.environ.setdefault("VAECOURSE_BUDGET", "full")
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # native messages differ from processor to processor
    if os.environ["VAECOURSE_BUDGET"] != "full":
        sys.exit("make execute writes the outputs that are published: it needs VAECOURSE_BUDGET=full, or unset")
    known = {path.stem: path for path in chapters.paths()}
    unknown = set(names) - {*known, ALL}
    if unknown:
        sys.exit(f"no chapter {', '.join(sorted(unknown))}; there are {', '.join(known)}, and {ALL} for every one")
    due = {name: why for name in known if (why := why_it_runs(known[name], names))}
    for name in due if names else known:
        print(f"{name} runs: {due[name]}" if name in due else f"{name} is current", flush=True)
    if due:
        from vaecourse import data

        data.load("mnist")  # raises where there is no real MNIST
    failed = [name for name in due if not succeeds(known[name])]
    for path in known.values():
        update_the_time(path)
    update_the_readme()
    if failed:
        sys.exit(f"failed, and left as they were: {', '.join(failed)}")


def why_it_runs(path: Path, names: list[str]) -> str:
    """Say why a chapter is to be executed where these were named, or nothing if it is not."""
    if ALL in names or path.stem in names:
        return "it was asked for"
    return "" if names else chapters.why_not_current(chapters.read(path))


def succeeds(path: Path) -> bool:
    """Execute a chapter, tell how it went, and return whether it ran to its end."""
    print(f"{path.stem} …", flush=True)
    try:
        print(f"{path.stem}: {execute(path):.0f} s", flush=True)
    except CellExecutionError as error:
        print(f"{path.stem} failed:\n{error}", file=sys.stderr, flush=True)
        return False
    return True


def update_the_time(path: Path) -> None:
    """Bring the sentence up to date that says how long a chapter takes."""
    chapter = chapters.read(path)
    if chapters.set_time(chapter):
        replace(path, (nbformat.writes(chapter) + "\n").encode())


def update_the_readme() -> None:
    """Bring the table of results up to date, unless a chapter that it needs has not run yet."""
    from tools import results

    try:
        results.update_readme()
    except ValueError as missing:
        print(f"README.md keeps its table of results: {missing}")


def execute(path: Path) -> float:
    """Execute one chapter from a clean kernel, write it with the record of the run, and return the seconds it took.

    Nothing is written before the last cell has succeeded, and then each file is replaced in one step, so a run that
    fails or is killed leaves the chapter as it was.
    """
    chapter = chapters.read(path)
    modules = chapters.module_digests(chapter)
    client = NotebookClient(
        chapter,
        timeout=None,
        kernel_name="python3",
        extra_arguments=[FORMATS],
        record_timing=False,
        resources={"metadata": {"path": path.parent}},
    )
    start = time.monotonic()
    client.execute()
    seconds = time.monotonic() - start
    for cell in chapters.code_cells(chapter):
        cell.metadata.pop("execution", None)
        leave_out_what_a_figure_returns(cell)
        keep_lines_as_lines(cell)
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
                "modules": modules,
            },
        }
    )
    cover = picture_of_the_cover(chapter)
    replace(path, (nbformat.writes(chapter) + "\n").encode())
    replace(chapters.COVERS / f"{path.stem}.png", cover)
    return seconds


def leave_out_what_a_figure_returns(cell: nbformat.NotebookNode) -> None:
    """Drop the value of a cell that draws, such as a list of ticks, where a semicolon was forgotten."""

    def is_picture(output: nbformat.NotebookNode) -> bool:
        return any(mime.startswith("image/") for mime in output.get("data", {}))

    if any(is_picture(output) for output in cell.outputs):
        cell.outputs = [o for o in cell.outputs if o.output_type != "execute_result" or is_picture(o)]


def keep_lines_as_lines(cell: nbformat.NotebookNode) -> None:
    """Keep a figure as SVG, in the size of its PNG, where it holds no pixels, is drawn fast and weighs less."""
    for output in cell.outputs:
        svg, png = (output.get("data", {}).get(kind) for kind in (SVG, PNG))
        if not svg or not png:
            continue
        del output.data[SVG]
        if "<image" not in svg and len(svg) < HEAVY and len(gzip.compress(svg.encode())) < len(base64.b64decode(png)):
            output.data[SVG] = _sized(METADATA.sub("", svg), **output.metadata[PNG])


def _sized(svg: str, **size: int) -> str:
    """Return an SVG that is shown in another width and height."""
    opening = OPENING.search(svg)[0]
    sized = opening
    for side, pixels in size.items():
        sized = re.sub(rf'\b{side}="[^"]*"', f'{side}="{pixels}"', sized, count=1)
    return svg.replace(opening, sized, 1)


def picture_of_the_cover(chapter: nbformat.NotebookNode) -> bytes:
    """Return the figure of the cell tagged `cover`, in the size of a card: by it the index shows the chapter."""
    (cell,) = [cell for cell in chapters.code_cells(chapter) if "cover" in chapters.tags(cell)]
    (png,) = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.thumbnail((CARD, CARD))
    small = io.BytesIO()
    picture.save(small, "PNG", optimize=True)
    return small.getvalue()


def replace(target: Path, content: bytes) -> None:
    """Give a file new content in one step: whoever reads it, or ends this process, finds the old or the new."""
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()


def device() -> str:
    """Describe what TensorFlow computes on here."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{processors.cores()} CPU cores"


def versions() -> dict[str, str]:
    """Return the versions that numbers depend on."""
    from importlib.metadata import version

    packages = ("tensorflow", "keras", "tensorflow-probability", "numpy")
    return {"python": ".".join(map(str, sys.version_info[:3]))} | {name: version(name) for name in packages}


if __name__ == "__main__":
    main(sys.argv[1:])
