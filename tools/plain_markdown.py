"""Markdown of the book, in MyST, as plain Markdown that every notebook program renders.

MyST-Parser reads it and mdformat writes it, so that nothing is looked for by patterns: only the nodes that CommonMark
does not have are written here.  Converters that begin with Sphinx' documents do not do it: sphinx-tojupyter 0.6 leaves
out the outputs that are stored in a notebook, and a writer of documents, as sphinx-markdown-builder, knows no cells.
"""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

from docutils.parsers.rst import Directive, directives
from docutils.parsers.rst.directives.admonitions import Admonition
from mdformat.renderer import DEFAULT_RENDERERS, MDRenderer, RenderContext, RenderTreeNode
from myst_parser.parsers.directives import parse_directive_text
from sphinx.util.nodes import split_explicit_title

from tools.citations import Citations
from tools.places import Book, Heading, parser

ADMONITIONS = {"note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "error", "seealso"}
CLOSED = {"dropdown", "toggle"}
PYTHON = {"func": "()", "meth": "()", **dict.fromkeys(("class", "mod", "attr", "data", "exc", "obj"), "")}
CLOSE = "</details>"
WRITE = "_write_"  # and the type of node that a method writes


class Plain:
    """The words of a chapter as plain Markdown; it keeps what has been cited.

    Parameters
    ----------
    book : Book
        Where everything stands that may be referred to.
    page : str
        The page of the words, such as ``book/chapters/elbo``.
    """

    def __init__(self, book: Book, page: str) -> None:
        self.book, self.page, self.citations = book, page, Citations(book.root)
        self._directives: dict[str, Callable[[str, str, str], str]] = {
            **dict.fromkeys(ADMONITIONS | {"admonition"}, self._admonition),
            **dict.fromkeys(CLOSED, self._closed),
            "tab-set": lambda _, __, body: self.render(body),
            "tab-item": lambda _, title, body: f"**{title}**\n\n{self.render(body)}",
            "math": lambda _, __, body: f"$$\n{body}\n$$",
            "code-block": lambda _, language, body: f"```{language}\n{body}\n```",
        }
        self._roles: dict[str, Callable[[str], str]] = {
            **dict.fromkeys(("cite:p", "cite", "cite:ps"), self.citations.parenthetical),
            **dict.fromkeys(("cite:t", "cite:ts"), self.citations.textual),
            **dict.fromkeys(("numref", "eq", "ref"), self._label),
            **{prefix + kind: partial(self._name, end) for prefix in ("", "py:") for kind, end in PYTHON.items()},
            "doc": self._document,
            "term": self._term,
            "math": lambda text: f"${text}$",
            "sub": lambda text: f"<sub>{text}</sub>",
            "sup": lambda text: f"<sup>{text}</sup>",
        }
        self._parser = parser(MDRenderer)
        written = {name[len(WRITE) :]: getattr(self, name) for name in dir(self) if name.startswith(WRITE)}
        self._parser.options["parser_extension"] = [
            SimpleNamespace(RENDERERS=written, POSTPROCESSORS={"text": lambda text, *_: text.replace("$", r"\$")})
        ]
        self._parser.options.update({"mdformat": {}, "codeformatters": {}})

    def render(self, text: str) -> str:
        """Return Markdown of the book as plain Markdown.

        Raises
        ------
        ValueError
            If it has a role, a directive or a link that is not known.
        """
        return self._parser.render(text).strip()

    # --- directives and roles ----------------------------------------------------------------------------------------

    def _admonition(self, name: str, title: str, body: str) -> str:
        shown = self.render(f"**{title or name.capitalize()}**\n\n{body}")
        return "\n".join(f"> {line}".rstrip() for line in shown.splitlines())

    def _closed(self, name: str, title: str, body: str) -> str:
        return f"<details>\n<summary>{title or name.capitalize()}</summary>\n\n{self.render(body)}\n\n{CLOSE}"

    def _label(self, text: str) -> str:
        explicit, title, label = split_explicit_title(text)
        place = self.book.place(label, self.page)
        shown = title.replace("%s", place.number) if explicit else place.text
        return self._linked(shown, place.page, place.anchor)

    def _document(self, text: str) -> str:
        explicit, title, target = split_explicit_title(text)
        page = self.book.page(target, self.page)
        return self._linked(title if explicit else self.book.titles[page], page)

    def _term(self, text: str) -> str:
        _, title, term = split_explicit_title(text)
        return self._linked(title, "book/reference/glossary", f"term-{term.replace(' ', '-')}")

    def _name(self, end: str, text: str) -> str:
        explicit, title, name = split_explicit_title(text)
        short = name.lstrip("~")
        shown = title if explicit else (short.rpartition(".")[2] if name.startswith("~") else short) + end
        return self._linked(f"`{shown}`", *self.book.described(short))

    def _linked(self, text: str, page: str, anchor: str = "") -> str:
        address = self.book.address(page, anchor, self.page)
        return f"[{text}]({address})" if address else text

    # --- nodes that CommonMark does not have -------------------------------------------------------------------------

    def _write_myst_role(self, node: RenderTreeNode, _: RenderContext) -> str:
        name = node.meta["name"]
        if name not in self._roles:
            raise ValueError(f"{self.page}: no single file can show the role {{{name}}}; see tools/plain_markdown.py")
        return self._roles[name](node.content)

    def _write_fence(self, node: RenderTreeNode, context: RenderContext) -> str:
        name, _, first_line = node.info.strip().partition(" ")
        if not name.startswith("{"):
            return DEFAULT_RENDERERS["fence"](node, context)
        name = name.strip("{}")
        if name not in self._directives:
            raise ValueError(
                f"{self.page}: no single file can show the directive {{{name}}}; see tools/plain_markdown.py"
            )
        kind = _Titled if name not in ADMONITIONS else _Untitled
        parsed = parse_directive_text(kind, first_line, node.content, validate_options=False)
        return self._directives[name](name, " ".join(parsed.arguments), "\n".join(parsed.body).strip("\n"))

    _write_colon_fence = _write_fence

    def _write_myst_target(self, node: RenderTreeNode, _: RenderContext) -> str:
        return f'<a id="{node.content}"></a>'

    def _write_myst_line_comment(self, _: RenderTreeNode, __: RenderContext) -> str:
        return ""

    _write_myst_block_break = _write_myst_line_comment

    def _write_heading(self, node: RenderTreeNode, context: RenderContext) -> str:
        text = "".join(child.render(context) for child in node.children)
        heading = f"{'#' * int(node.tag[1])} {text}"
        anchor = Heading.of(node).slug
        named = anchor in self.book.labels  # then its target has written the anchor
        wanted = (self.page, anchor) in self.book.wanted and not named
        return f'<a id="{anchor}"></a>\n\n{heading}' if wanted else heading

    def _write_math_inline(self, node: RenderTreeNode, _: RenderContext) -> str:
        return f"${node.content.strip()}$"

    def _write_math_block(self, node: RenderTreeNode, _: RenderContext, tag: str = "") -> str:
        formula = node.content.strip()
        return f"$$\n{formula}{tag}\n$$" if "\n" in formula else f"$${formula}{tag}$$"

    _write_math_inline_double = _write_math_block
    _write_amsmath = _write_math_block  # in dollars: not every program takes a bare environment for a formula

    def _write_math_block_label(self, node: RenderTreeNode, context: RenderContext) -> str:
        place = self.book.place(node.info, self.page)
        return f'<a id="{node.info}"></a>\n\n' + self._write_math_block(node, context, f" \\tag{{{place.number}}}")

    def _write_footnote_ref(self, node: RenderTreeNode, _: RenderContext) -> str:
        return f"<sup>{node.meta['label']}</sup>"

    def _write_footnote_reference(self, node: RenderTreeNode, context: RenderContext) -> str:
        return f"<sup>{node.meta['label']}</sup> " + "\n\n".join(child.render(context) for child in node.children)

    def _write_dl(self, node: RenderTreeNode, context: RenderContext) -> str:
        return "\n\n".join(child.render(context) for child in node.children)

    _write_dd = _write_dl

    def _write_dt(self, node: RenderTreeNode, context: RenderContext) -> str:
        return f"**{self._write_th(node, context)}**"

    def _write_table(self, node: RenderTreeNode, context: RenderContext) -> str:
        head, *rows = [row for part in node.children for row in part.children]
        sides = [cell.attrs.get("style", "") for cell in head.children]
        rule = [":" * ("left" in s or "center" in s) + "---" + ":" * ("right" in s or "center" in s) for s in sides]
        lines = [[cell.render(context) for cell in row.children] for row in (head, *rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))

    def _write_th(self, node: RenderTreeNode, context: RenderContext) -> str:
        return "".join(child.render(context) for child in node.children).replace("|", r"\|")

    _write_td = _write_th

    # --- links and pictures ------------------------------------------------------------------------------------------

    def _write_link(self, node: RenderTreeNode, context: RenderContext) -> str:
        text, target = "".join(child.render(context) for child in node.children), str(node.attrs["href"])
        if "://" in target or target.startswith("mailto:"):
            return f"<{target}>" if node.info == "auto" else f"[{text}]({target})"
        file, _, anchor = target.partition("#")
        place = self.book.labels.get(anchor)
        page = self.book.page(file, self.page) if file else place.page if place else self.page
        return self._linked(text or (place.text if place else self.book.text(page, anchor)), page, anchor)

    def _write_image(self, node: RenderTreeNode, _: RenderContext) -> str:
        alternative = "".join(child.content for child in node.children).replace("\n", " ")
        return f"![{alternative}]({self.book.picture(str(node.attrs['src']), self.page)})"


class _Titled(Admonition):
    """A directive whose first line is its title."""

    option_spec: ClassVar = {"class": directives.class_option, "open": directives.flag}
    required_arguments, optional_arguments = 0, 1


class _Untitled(Directive):
    """A directive whose first line, if there is one, belongs to its text."""

    option_spec: ClassVar = _Titled.option_spec
    has_content = True
