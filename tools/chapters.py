"""The chapters as files: which there are, what their code is, and the record of their last full run."""

import ast
import hashlib
import math
import re
from pathlib import Path

import nbformat
import yaml

from tools import dependencies

ROOT = Path(__file__).parents[1]
RECORD = "vaecourse"
COVERS = ROOT / "book" / "_static" / "covers"
SHOWN = 3  # of the modules that have changed since a run
TIME = re.compile(r"^\*\*It takes\*\* .*$", re.MULTILINE)
WORDS_A_MINUTE = 150  # of prose and code, with a look at every figure
SOLUTION = "solution"  # the tag of a code cell that answers an exercise


def pages(root: Path | None = None) -> list[str]:
    """Return the names of all pages of the book, in the order of its table of contents."""
    contents = yaml.safe_load(((root or ROOT) / "_toc.yml").read_text(encoding="utf-8"))
    names, unread = [contents["root"]], list(contents["parts"])
    while unread:
        entry = unread.pop(0)
        names += [entry["file"]] if "file" in entry else []
        unread = entry.get("chapters", []) + entry.get("sections", []) + unread
    return names


def paths(root: Path | None = None) -> list[Path]:
    """Return the notebooks of the book, in the order of its table of contents."""
    root = root or ROOT
    return [path for name in pages(root) if (path := root / f"{name}.ipynb").exists()]


def read(path: Path) -> nbformat.NotebookNode:
    """Read a chapter."""
    return nbformat.read(path, as_version=4)


def code_cells(chapter: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells of a chapter."""
    return [cell for cell in chapter.cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def code_digest(chapter: nbformat.NotebookNode) -> str:
    """Digest the code of a chapter; the set-up cell, which carries the repository's address, is left out."""
    sources = [cell.source for cell in code_cells(chapter) if "set-up" not in tags(cell)]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def module_digests(chapter: nbformat.NotebookNode) -> dict[str, str]:
    """Digest each module of the companion module that a chapter uses, by itself or through other modules."""
    modules = dependencies.modules(ROOT)
    code = "\n".join(cell.source for cell in code_cells(chapter) if "set-up" not in tags(cell))
    used = modules.used_by(ast.parse(code))
    return {name.removeprefix(f"{dependencies.NAME}."): modules.digest(name) for name in used}


def record(chapter: nbformat.NotebookNode) -> dict:
    """Return what `make execute` wrote about the last full run of a chapter, or an empty dictionary."""
    return chapter.metadata.get(RECORD, {})


def why_not_current(chapter: nbformat.NotebookNode) -> str:
    """Say why the outputs of a chapter do not come from its present cells and modules; nothing if they do."""
    last = record(chapter)
    if not last:
        return "it has never run in full"
    if last["code"] != code_digest(chapter):
        return "its cells have changed since"
    then, now = last["modules"], module_digests(chapter)
    changed = sorted(name for name in then | now if then.get(name) != now.get(name))
    if not changed:
        return ""
    if len(changed) > SHOWN + 1:
        changed[SHOWN:] = [f"{len(changed) - SHOWN} more modules"]
    *others, last_one = changed
    return f"{', '.join(others)} and {last_one} have changed since" if others else f"{last_one} has changed since"


def title(chapter: nbformat.NotebookNode) -> str:
    """Return the first heading of a chapter."""
    return chapter.cells[0].source.splitlines()[0].lstrip("# ")


def time(chapter: nbformat.NotebookNode) -> str:
    """Say how long a chapter takes to read, to the next five minutes, and how long its last full run took."""
    cells = [cell for cell in chapter.cells if not {"set-up", SOLUTION} & set(tags(cell))]
    words = sum(len(re.findall(r"\w+", cell.source)) for cell in cells)
    reading = f"**It takes** about {5 * math.ceil(words / WORDS_A_MINUTE / 5)} minutes to read"
    last = record(chapter)
    if not last:
        return f"{reading}."
    minutes = round(last["seconds"] / 60)
    running = "less than a minute" if last["seconds"] < 60 else f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{reading}, and {running} to run on {re.sub('^2 CPU', 'two CPU', last['device'])}."


def set_time(chapter: nbformat.NotebookNode) -> bool:
    """Write how long a chapter takes into its first cell, and return whether that changed the cell."""
    first = chapter.cells[0]
    said = TIME.sub(time(chapter), first.source)
    changed, first.source = said != first.source, said
    return changed
