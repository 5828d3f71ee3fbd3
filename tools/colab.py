"""Every chapter as a single file that runs anywhere: `make colab` writes `_build/colab/NAME.ipynb`.

Colab, Kaggle, VS Code and JupyterLab know neither MyST nor the rest of the book.  So the words become plain Markdown,
the first cell carries the module, captions stand under their figures, and what was cited is listed at the end.  Code
and outputs stay as they are committed.
"""

import copy
import re
import sys
from pathlib import Path

import nbformat

from tools import chapters, wheel
from tools.places import Book
from tools.plain_markdown import CLOSE, Plain

FOLDER = chapters.ROOT / "_build" / "colab"
BRANCH = "colab"  # to which the workflow publishes the files, and from which Colab opens them
OPENED = re.compile(r"<(/?)details\b")
CONTINUED = "<details>\n<summary>Solution, continued</summary>\n\n"
CODE_FOLLOWS = "The code and what it prints are in the next cells, which are closed."
CODE_TITLE = "# @title Code of the solution"
CLOSED = {"source_hidden": True, "outputs_hidden": True}


def single_file(path: Path, book: Book) -> nbformat.NotebookNode:
    """Return a chapter as a notebook that needs nothing of the book.

    Parameters
    ----------
    path : Path
        The chapter.
    book : Book
        Where its words refer to.
    """
    chapter = copy.deepcopy(chapters.read(path))
    page = path.relative_to(book.root).with_suffix("").as_posix()
    plain = Plain(book, page)
    cells, closed = [], False  # closed: inside of a solution
    for cell in chapter.cells:
        if cell.cell_type == "markdown":
            cell.source, closed = _details_in_one_cell(plain.render(cell.source), closed)
            cells += [cell] if cell.source else []
            continue
        cells.append(cell)
        figure = cell.metadata.pop("mystnb", {}).get("figure", {})
        if "set-up" in chapters.tags(cell):
            _carry_the_wheel(cell, book.root)
        elif chapters.SOLUTION in chapters.tags(cell):
            _close(cell)
        if "name" in figure:
            number = book.labels[figure["name"]].text
            caption = plain.render(figure["caption"])
            text = f'<a id="{figure["name"]}"></a>**{number}.** {caption}'
            if chapters.SOLUTION in chapters.tags(cell):
                text = f"<details>\n<summary>{number}</summary>\n\n{text}\n\n{CLOSE}"
            cells.append(nbformat.v4.new_markdown_cell(text, id=f"{cell.id}-caption"))
    if references := plain.citations.references():
        cells.append(nbformat.v4.new_markdown_cell(references, id="references"))
    cells.insert(1, nbformat.v4.new_markdown_cell(_about(book, page), id="about-this-file"))
    chapter.cells = cells
    chapter.metadata["colab"] = {"provenance": [], "toc_visible": True}
    return chapter


def write(folder: Path = FOLDER, root: Path = chapters.ROOT) -> list[Path]:
    """Write the single files of all chapters into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    book, written = Book(root), []
    for path in chapters.paths(root):
        target = folder / path.name
        nbformat.write(nbformat.validator.normalize(single_file(path, book))[1], target)
        written.append(target)
    return written


def _details_in_one_cell(text: str, closed: bool) -> tuple[str, bool]:
    """Return the text of a cell with every `<details>` closed in the cell that opens it, and whether one is still open.

    A notebook program draws each cell by itself.
    """
    if closed:
        rest = text.removeprefix(CLOSE).lstrip()
        text, closed = (rest, False) if rest != text else (CONTINUED + text, True)
    depth = sum(-1 if end else 1 for end in OPENED.findall(text))
    if depth > 0:
        nothing = text.rstrip().endswith("</summary>")
        text = f"{text.rstrip()}\n\n{CODE_FOLLOWS if nothing else ''}".rstrip() + f"\n\n{CLOSE}"
    return text, depth > 0


def _carry_the_wheel(cell: nbformat.NotebookNode, root: Path) -> None:
    cell.source, cell.outputs = wheel.set_up_cell(root), []
    cell.metadata["jupyter"] = {"source_hidden": True}
    cell.metadata["cellView"] = "form"  # as Colab hides code


def _close(cell: nbformat.NotebookNode) -> None:
    cell.source = f"{CODE_TITLE}\n{cell.source}"
    cell.metadata["jupyter"] = CLOSED
    cell.metadata["cellView"] = "form"
    cell.metadata["collapsed"] = True  # as Colab hides outputs


def _about(book: Book, page: str) -> str:
    title = f"[Variational autoencoders: one model, five sources]({book.published}{page}.html)"
    course = title if book.published else "*Variational autoencoders: one model, five sources*"
    return (
        f"This is a chapter of the course {course}, as a single file. The next cell contains the course's module and "
        "installs it where it is missing; whatever else is installed stays as it is. The solutions of the exercises "
        "are closed. Text: CC BY 4.0, code: MIT, The vaecourse developers."
    )


def main(arguments: list[str]) -> None:
    """Write all single files, into the folder given or into `_build/colab`."""
    for path in write(*map(Path, arguments)):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
