"""The chapters as files: which there are, what their code is, and the record of their last full run."""

import ast
import hashlib
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).parents[1]
RECORD = "vaecourse"
COVERS = ROOT / "book" / "_static" / "covers"


def paths() -> list[Path]:
    """Return the notebooks of the book, in the order of its table of contents."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    return [path for name in names if (path := ROOT / f"{name}.ipynb").exists()]


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


def module_digest(chapter: nbformat.NotebookNode) -> str:
    """Digest the code of the rooms of the companion module that a chapter uses, by itself or through other rooms.

    Docstrings, comments and bands, which change no number, are left out.
    """
    rooms = {file.stem: ast.parse(file.read_text()) for file in sorted((ROOT / "vaecourse").glob("*.py"))}
    exported = {name: room for room, name in _imported(rooms.pop("__init__")) if room}
    unseen = [_imported(ast.parse(cell.source)) for cell in code_cells(chapter) if "set-up" not in tags(cell)]
    used = set()
    while unseen:
        named = {exported.get(name, name) if room == "" else room for room, name in unseen.pop()}
        unseen += [_imported(rooms[room]) for room in named & set(rooms) - used]
        used |= named & set(rooms)
    for node in (node for room in used for node in ast.walk(rooms[room])):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Band":
            node.args = []
    return hashlib.sha256("\0".join(ast.dump(rooms[room]) for room in sorted(used)).encode()).hexdigest()[:16]


def _imported(tree: ast.Module) -> set[tuple[str, str]]:
    """Return what is imported from the companion module: room and name, the room empty for `from vaecourse import`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("vaecourse."):
            room = node.module.partition(".")[2]
            found |= {(room, alias.name) for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "vaecourse":
            found.add(("", node.attr))
    return found


def record(chapter: nbformat.NotebookNode) -> dict:
    """Return what `make execute` wrote about the last full run of a chapter, or an empty dictionary."""
    return chapter.metadata.get(RECORD, {})


def title(chapter: nbformat.NotebookNode) -> str:
    """Return the first heading of a chapter."""
    return chapter.cells[0].source.splitlines()[0].lstrip("# ")
