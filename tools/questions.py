"""The page *Find your question*: its entries, and the headings to which they may lead."""

import re
from pathlib import Path
from typing import NamedTuple

import nbformat

from tools import chapters

PAGE = chapters.ROOT / "book" / "reference" / "questions.md"
DEPTH = 3  # headings down to this level have an anchor; see `myst_heading_anchors` in _config.yml
_ENTRY = re.compile(r"- (?P<words>.+) → \[[^\]]*\]\((?P<page>[^()#\s]+)(?:#(?P<anchor>[^()\s]+))?\)")
_FENCE = re.compile(r"^(```|~~~|:::).*?^\1\s*$", re.DOTALL | re.MULTILINE)


class Entry(NamedTuple):
    """What somebody asks, and the section that answers.

    Attributes
    ----------
    words : str
        The question, the symptom or the message, without markup.
    page : pathlib.Path
    anchor : str
        Of the section; empty for the page as a whole.
    """

    words: str
    page: Path
    anchor: str


def entries(page: Path = PAGE) -> list[Entry]:
    """Return the entries of the page.

    Raises
    ------
    ValueError
        If an item of its lists is no entry.
    """
    found = []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            entry = _ENTRY.fullmatch(line)
            if not entry:
                raise ValueError(f"expected '- words → [](page#anchor)', got {line!r}")
            words = entry["words"].replace("`", "").replace("*", "")
            found.append(Entry(words, (page.parent / entry["page"]).resolve(), entry["anchor"] or ""))
    return found


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a notebook or a page in Markdown."""
    found: set[str] = set()
    for level, title in headings(page):
        if level <= DEPTH:
            anchor, number = slug(title), 1
            while anchor in found:  # as MyST does it
                anchor, number = f"{anchor}-{number}", number + 1
            found.add(anchor)
    return found


def headings(page: Path) -> list[tuple[int, str]]:
    """Return level and words of every heading of a notebook or a page in Markdown."""
    if page.suffix == ".ipynb":
        cells = nbformat.read(page, as_version=4).cells
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    else:
        texts = [page.read_text(encoding="utf-8")]
    prose = "\n\n".join(_FENCE.sub("", text) for text in texts)
    return [(len(marks), title) for marks, title in re.findall(r"(?m)^(#+) +(.+?) *$", prose)]


def slug(title: str) -> str:
    """Return the anchor of a heading, as MyST makes it."""
    words = re.sub(r"\$[^$]*\$", "", title)
    return re.sub(r"[^\w\u4e00-\u9fff\- ]", "", words.lower().replace(" ", "-"))
