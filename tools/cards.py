"""The cards of the chapters on the first page: number, title, picture, and how long each takes."""

import re
from collections.abc import Mapping

import yaml

from tools import chapters


def titles() -> dict[str, str]:
    """Return the titles of the chapters as the table of contents has them, with their numbers, by file name."""
    contents = yaml.safe_load((chapters.ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found, number = {}, 0
    for part in contents["parts"]:
        for entry in part["chapters"]:
            path = chapters.ROOT / f"{entry['file']}.ipynb"
            if path.exists():
                number += part.get("numbered", False)
                title = entry.get("title") or chapters.title(chapters.read(path))
                found[path.stem] = f"{number}. {title}" if part.get("numbered", False) else title
    return found


def takes(name: str) -> str:
    """Say how long a chapter takes to read and to run."""
    said = chapters.time(chapters.read(_path(name))).removeprefix("**It takes** ").rstrip(".")
    said = re.sub(r",? and (.*) to run on .*", r" · \1 to run", said).replace("less than a minute", "under 1 minute")
    return re.sub(r"minutes?", "min", said)


def grid(texts: Mapping[str, str]) -> str:
    """Return the cards of some chapters in Markdown, each with what is said about it."""
    found = titles()
    cards = (_card(name, found[name], text) for name, text in texts.items())
    return ":::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n".join(cards) + ":::::\n"


def _card(name: str, title: str, text: str) -> str:
    picture = f":img-bottom: /book/_static/covers/{name}.png\n:img-alt: {_alternative(name)}\n"
    picture *= (chapters.COVERS / f"{name}.png").exists()  # a new chapter has none before it is executed
    head = f"::::{{grid-item-card}} {title}\n:link: /book/chapters/{name}\n:link-type: doc\n:class-card: chapter\n"
    return f"{head}{picture}\n{text}\n\n:::{{card-footer}}\n{takes(name)}\n:::\n::::\n"


def _alternative(name: str) -> str:
    """Return the alternative text of the figure that is the chapter's picture."""
    for cell in chapters.code_cells(chapters.read(_path(name))):
        if "cover" in chapters.tags(cell):
            return " ".join(cell.metadata["mystnb"]["image"]["alt"].split())
    raise ValueError(f"{name} has no cell tagged cover")


def _path(name: str):
    return chapters.ROOT / "book" / "chapters" / f"{name}.ipynb"
