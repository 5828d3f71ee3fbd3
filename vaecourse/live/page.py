"""A live figure as an object: it displays itself in notebooks and in the book, and is saved as one HTML file."""

import base64
import hashlib
import html
import json
import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from vaecourse.live.stills import png


@cache
def script(name: str) -> str:
    """Return the text of a file in `vaecourse/live/scripts`."""
    return files("vaecourse.live").joinpath("scripts", name).read_text(encoding="utf-8")


SHARED = ("start.js", "maths.js", "engine.js", "models.js", "controls.js", "charts.js")
"""Scripts that all figures have, in the order in which they need each other."""


@cache
def version() -> str:
    """Return a digest of all scripts: figures of one version share them on a page."""
    names = sorted(entry.name for entry in files("vaecourse.live").joinpath("scripts").iterdir())
    return hashlib.sha256("".join(map(script, names)).encode()).hexdigest()[:12]


def _with_links(caption: str) -> str:
    """Return a caption as HTML, in which `[words](address)` has become a link."""
    return re.sub(r"\[([^\]]+)\]\(((?:#|https://|\./)[^)\s]+)\)", r'<a href="\2">\1</a>', html.escape(caption))


class LiveFigure:
    """A figure that answers, in the page and without a kernel.

    Parameters
    ----------
    name : str
        Of the script that draws it.
    title : str
        What the figure is, for readers who do not see it.
    caption : str
        Which model, trained how; `[words](#address)` becomes a link.
    data : dict
        What the script is given.
    still : array `(height, width)`
        Ink in [0, 1] of a picture for readers without JavaScript.
    """

    def __init__(self, name: str, title: str, caption: str, data: dict[str, Any], still: np.ndarray) -> None:
        self.name, self.title, self.caption, self.data, self.still = name, title, caption, data, still

    def html(self) -> str:
        """Return the figure as a piece of HTML that needs nothing else."""
        shared = version()
        content = json.dumps({"figure": self.name, **self.data}, separators=(",", ":"), allow_nan=False)
        content = content.replace("<", "\\u003c")
        picture = base64.b64encode(png(self.still)).decode("ascii")
        code = "".join(map(script, (*SHARED, f"{self.name}.js"))).replace('"VERSION"', json.dumps(shared))
        code += "vaecourseLive.start();"
        title = html.escape(self.title)
        caption = f"<figcaption>{_with_links(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure class="vl tex2jax_ignore mathjax_ignore" data-version="{shared}" data-figure="{self.name}" '
            f'role="group" aria-label="{title}">'
            f"<style>{script('style.css')}</style>"
            f'<img class="vl-still" alt="{title}" src="data:image/png;base64,{picture}">'
            f'<div class="vl-stage" hidden></div>{caption}'
            f'<script type="application/json">{content}</script><script>{code}</script></figure>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        picture = base64.b64encode(png(self.still)).decode("ascii")
        return {"text/html": self.html(), "image/png": picture, "text/plain": f"<live figure: {self.title}>"}

    def save(self, path: str | os.PathLike) -> Path:
        """Write the figure as one HTML file, which opens from disk and needs no network."""
        title = html.escape(self.title)
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        head += f"<title>{title}</title><style>body{{margin:1rem}}</style>"
        body = f"<main><h1>{title}</h1>{self.html()}</main>"
        page = f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'
        path = Path(path)
        path.write_text(page, encoding="utf-8")
        return path
