"""Where everything stands in the book that its words may refer to, and under which address a single file finds it."""

import base64
import posixpath
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

from docutils import nodes
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.tree import SyntaxTreeNode
from myst_parser.config.main import MdParserConfig
from myst_parser.mdit_to_docutils.base import default_slugify
from myst_parser.parsers.mdit import create_md_parser

from tools import address, cards, chapters, dependencies

EXTENSIONS = {"amsmath", "colon_fence", "deflist", "dollarmath", "html_image"}  # those of _config.yml, as a test holds


class Heading(NamedTuple):
    """A heading: its text, the part of an address that leads to it in MyST, and the one in the published page."""

    text: str
    slug: str
    published: str

    @classmethod
    def of(cls, node: SyntaxTreeNode) -> Self:
        """Return what a node of a heading says."""
        text = "".join(child.content for child in node.walk() if child.type in ("text", "code_inline"))
        whole = "".join(child.content for child in node.walk() if child.type in ("text", "code_inline", "math_inline"))
        return cls(text, default_slugify(text), nodes.make_id(whole))


class Place(NamedTuple):
    """Where a label stands, its number, and the text by which one refers to it."""

    page: str
    anchor: str
    number: str
    text: str


class Book:
    """Every page of the book, with its title, headings, figures, equations and targets.

    Parameters
    ----------
    root : Path
        Folder of the project.
    """

    def __init__(self, root: Path = chapters.ROOT) -> None:
        self.root = root
        self.published = address.published(address.current(root))
        self.titles: dict[str, str] = {}
        self.headings: dict[str, dict[str, Heading]] = {}  # of each page, by slug
        self.labels: dict[str, Place] = {}
        self.wanted: set[tuple[str, str]] = set()  # headings that something links to
        self._modules = dependencies.modules(root)
        self._numbers = {name: place.title.partition(". ")[0] for name, place in cards.places().items()}
        self._notebooks = {page for page in self._files if (root / f"{page}.ipynb").exists()}
        self._links: list[tuple[str, str]] = []
        for file in self._files:
            self._read(file)
        for page, target in self._links:
            path, _, anchor = target.partition("#")
            if anchor and "://" not in target:
                self.wanted.add((self.page(path, page) if path else page, anchor))

    @cached_property
    def _files(self) -> list[str]:
        return chapters.pages(self.root)

    def _read(self, page: str) -> None:
        if page in self._notebooks:
            cells = chapters.read(self.root / f"{page}.ipynb").cells
        else:
            text = (self.root / f"{page}.md").read_text(encoding="utf-8")
            cells = [chapters.nbformat.v4.new_markdown_cell(text)]
        number = self._numbers.get(Path(page).name, "")
        prefix = f"{number}." if number.isdecimal() else ""
        figures = equations = 0
        headings = self.headings[page] = {}
        for cell in cells:
            if cell.cell_type == "code":
                figure = cell.metadata.get("mystnb", {}).get("figure", {})
                if "name" in figure:
                    figures += 1
                    number = f"{prefix}{figures}"
                    self.labels[figure["name"]] = Place(page, figure["name"], number, f"Fig. {number}")
                continue
            target = ""
            for node in SyntaxTreeNode(parser(RendererHTML).parse(cell.source)).walk():
                if node.type == "myst_target":
                    target = node.content
                elif node.type == "heading":
                    heading = Heading.of(node)
                    headings[heading.slug] = heading
                    self.titles.setdefault(page, heading.text)
                    if target:
                        self.labels[target] = Place(page, target, "", heading.text)
                    target = ""
                elif node.type == "math_block_label":
                    equations += 1
                    number = f"{prefix}{equations}"
                    self.labels[node.info] = Place(page, node.info, number, f"({number})")
                elif node.type == "link" and page in self._notebooks:
                    self._links.append((page, str(node.attrs["href"])))

    def place(self, label: str, here: str) -> Place:
        """Return where a label stands; `here` is the page that refers to it."""
        if label not in self.labels:
            raise ValueError(f"{here} refers to {label}, which nothing in the book is called")
        return self.labels[label]

    def page(self, file: str, here: str) -> str:
        """Return the page that a link means, relative to the page it stands on."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), file))
        page = path if path in self.titles else posixpath.splitext(path)[0]
        if page not in self.titles:
            raise ValueError(f"{here} links to {file}, which is no page of the book")
        return page

    def text(self, page: str, anchor: str) -> str:
        """Return the text of a link that has none: the heading that it leads to."""
        return self.headings[page][anchor].text if anchor else self.titles[page]

    def described(self, name: str) -> tuple[str, str]:
        """Return page and anchor of the description of a name of the module."""
        parts, home = name.split("."), self._modules.home(name)
        module = home.removesuffix(f".{dependencies.INIT}")
        first = next(n for n in range(1, len(parts) + 1) if self._modules.home(".".join(parts[:n])) == home)
        gathered = parts[first - 1] in self._modules.defined(home) and parts[:first] != module.split(".")
        inside = parts[first - 1 :] if gathered else parts[first:]  # else the name so far is that of the module
        page = posixpath.join("book/reference/api", *module.split(".")[1:2])
        return page, ".".join((module, *inside)) if inside else f"module-{module}"

    def address(self, page: str, anchor: str, here: str) -> str:
        """Return where a single file finds a place of the book; nothing for a page that is no file of its own."""
        end = f"#{anchor}" if anchor else ""
        if page == here:
            return end
        if self.published:
            heading = self.headings.get(page, {}).get(anchor)
            return f"{self.published}{page}.html" + (f"#{heading.published}" if heading else end)
        return f"{posixpath.basename(page)}.ipynb{end}" if page in self._notebooks else ""

    def picture(self, file: str, here: str) -> str:
        """Return a picture of the book as an address that contains it; of a drawing, the picture beside it.

        Notebook programs do not all show SVG in Markdown, but PNG they do.
        """
        path = (self.root / here).parent / file
        png = path.with_suffix(".png")
        return f"data:image/png;base64,{base64.b64encode(png.read_bytes()).decode()}"


def parser(renderer: type) -> MarkdownIt:
    """Return a parser of the book's Markdown, as `_config.yml` sets it up."""
    return create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), renderer)
