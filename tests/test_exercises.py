"""Exercises: the question is open, and all of the solution, words and code, is closed until the reader opens it."""

import re

import nbformat
import pytest

from tools import chapters

OPEN = '<details class="solution">\n<summary>Solution</summary>'
CLOSE = "</details>"
QUESTION = re.compile(r"^\*\*\d+\.\*\*", re.MULTILINE)
CODE = "<code cell>"
HIDDEN = {"source_hidden": True, "outputs_hidden": True}

every_chapter = pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)


def part_with_exercises(chapter) -> str:
    """Return the text from the heading of the exercises to the next, with a mark for every code cell."""
    texts = [cell.source if cell.cell_type == "markdown" else CODE for cell in chapter.cells]
    after = re.split(r"^## Exercises$", "\n\n".join(texts), maxsplit=1, flags=re.MULTILINE)[1]
    return re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]


def open_answers(chapter) -> list[str]:
    """Return the questions that are followed by anything but a question's text and one closed solution."""
    _, *exercises = QUESTION.split(part_with_exercises(chapter))
    closed = re.compile(f"(?P<question>[^<]*?)\n{re.escape(OPEN)}(?P<solution>.*?){CLOSE}", re.DOTALL)
    whole = [closed.fullmatch(exercise.strip()) for exercise in exercises]
    return [text for text, match in zip(exercises, whole, strict=True) if not match or not match["solution"].strip()]


def chapter_of(*sources: str):
    """Return a chapter whose exercises are these cells; a cell of code begins with `print`."""
    cells = [nbformat.v4.new_markdown_cell("## Exercises")]
    for source in sources:
        code = source.startswith("print")
        cells.append(nbformat.v4.new_code_cell(source) if code else nbformat.v4.new_markdown_cell(source))
    return nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell("## What comes next")])


@every_chapter
def test_no_answer_is_open(path):
    assert not open_answers(chapters.read(path))


@every_chapter
def test_there_are_exercises_and_they_are_counted_from_one(path):
    numbers = QUESTION.findall(part_with_exercises(chapters.read(path)))
    assert numbers == [f"**{number}.**" for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= 3


@every_chapter
def test_the_code_of_a_solution_is_hidden_in_notebooks_too(path):
    depth = 0
    for cell in chapters.read(path).cells:
        if cell.cell_type == "markdown":
            depth += cell.source.count('<details class="solution">')
            closed = re.findall(r"^</details>", cell.source, re.MULTILINE)
            depth -= len(closed) - cell.source.count('<details class="derivation">')
        else:
            assert (chapters.SOLUTION in chapters.tags(cell)) == (depth > 0), cell.source
            assert cell.metadata.get("jupyter", {}) == (HIDDEN if depth else {}), cell.source
    assert depth == 0


SOLVED = f"**1.** What is one and one?\n\n{OPEN}"


def test_a_closed_solution_passes():
    assert not open_answers(chapter_of(SOLVED, "print(1 + 1)", f"It is two.\n\n{CLOSE}"))
    assert not open_answers(chapter_of(f"{SOLVED}\n\nIt is two.\n\n{CLOSE}"))


@pytest.mark.parametrize(
    "cells",
    [
        ("**1.** What is one and one?", "print(1 + 1)"),
        (SOLVED, "print(1 + 1)", f"{CLOSE}\n\nIt is two."),
        (SOLVED, "print(1 + 1)"),
        (f"{SOLVED}\n\n{CLOSE}",),
        ("**1.** What is one and one?", f"Two.\n\n{OPEN}\n\n{CLOSE}", f"**2.** Two?\n\n{OPEN}\n\n4\n\n{CLOSE}"),
        ("**1.** What is one and one?", "print(1 + 1)", f"{OPEN}\n\nIt is two.\n\n{CLOSE}"),
    ],
    ids=["no solution", "words after it", "never closed", "empty", "an empty one", "code before it"],
)
def test_an_open_answer_is_found(cells):
    assert len(open_answers(chapter_of(*cells))) == 1
