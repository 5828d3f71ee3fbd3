"""The cards of the chapters on the first page: part, number, title, picture, and how long each takes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from tools import chapters


class Place(NamedTuple):
    """Where a chapter stands in the table of contents."""

    part: str
    title: str


def places() -> dict[str, Place]:
    """Return part and title of every chapter, with its number if it has one, by file name."""
    contents = yaml.safe_load((chapters.ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found, number = {}, 0
    for part in contents["parts"]:
        numbered = part.get("numbered", False)
        for entry in part["chapters"]:
            path = chapters.ROOT / f"{entry['file']}.ipynb"
            if path.exists():
                number += numbered
                title = entry.get("title") or chapters.title(chapters.read(path))
                found[path.stem] = Place(part["caption"], f"{number}. {title}" if numbered else title)
    return found


def takes(name: str) -> str:
    """Say how many minutes a chapter takes to read and to run."""
    said = chapters.time(chapters.read(_path(name))).removeprefix("**It takes** about ").rstrip(".")
    said = re.sub(r",? and (.*) to run on .*", r" · \1 to run", said).replace("less than a minute", "under 1 minute")
    return re.sub(r"minutes?", "min", said)


def grid(texts: Mapping[str, str]) -> str:
    """Return the cards of chapters in Markdown, each with what is said about it."""
    found = places()
    cards = (_card(name, found[name], text) for name, text in texts.items())
    return ":::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n".join(cards) + ":::::\n"


def _card(name: str, place: Place, text: str) -> str:
    picture = f":img-top: /book/_static/covers/{name}.png\n:img-alt: {_alternative(name)}\n"
    picture *= (chapters.COVERS / f"{name}.png").exists()  # a new chapter has none before it is executed
    head = (
        f"::::{{grid-item-card}} {place.title}\n:link: /book/chapters/{name}\n:link-type: doc\n:class-card: chapter\n"
    )
    foot = f":::{{card-footer}}\n{place.part} · {takes(name)}\n:::\n"
    return f"{head}{picture}\n{text}\n\n{foot}::::\n"


def _alternative(name: str) -> str:
    """Return the alternative text of the figure that is the chapter's picture."""
    for cell in chapters.code_cells(chapters.read(_path(name))):
        if "cover" in chapters.tags(cell):
            return " ".join(cell.metadata["mystnb"]["image"]["alt"].split())
    raise ValueError(f"{name} has no cell tagged cover")


def _path(name: str) -> Path:
    return chapters.ROOT / "book" / "chapters" / f"{name}.ipynb"
