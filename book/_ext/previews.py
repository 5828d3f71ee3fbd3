"""Sphinx extension of this book: the first mention of a term or symbol in a chapter leads to its entry, with a preview.

Terms are those of the glossary, symbols those of the table of notation, whose rows get a name each.
"""

import html
import re

from docutils import nodes
from sphinx import addnodes

CHAPTERS, NOTATION = "book/chapters/", "book/reference/notation"
SHORT = 4  # letters: shorter terms, and single common words, are too often meant otherwise
LETTERS = {"x", "y", "z", "d"}  # that mean the same everywhere; other single letters are often local
SYMBOL = re.compile(r'<a class="symbol [^"]*" href="[^"#]*#(symbol-\d+)"')
PASSED_OVER = (
    nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.raw, nodes.caption, nodes.table,
    addnodes.pending_xref,
)  # fmt: skip


def name_the_rows(app, doctree):
    """Give each row of the table of notation an id."""
    if app.env.docname == NOTATION:
        for number, row in enumerate(_rows(doctree)):
            row["ids"] = [f"symbol-{number}"]


def notation(app):
    """Return two mappings of the table of notation: from symbols to ids of rows, and from these to what they say."""
    if not hasattr(app, "course_notation"):
        rows, meanings = {}, {}
        for row in _rows(app.env.get_doctree(NOTATION)):
            (name,) = row["ids"]
            meanings[name] = row[2].astext()
            for symbol in row[0].findall(nodes.math):
                if len(symbol.astext()) > 1 or symbol.astext() in LETTERS:
                    rows.setdefault(symbol.astext(), name)
        app.course_notation = rows, meanings
    return app.course_notation


def name_the_links(app, pagename, templatename, context, doctree):
    """Say to those who listen what a symbol is: a formula alone gives a link no name."""
    if doctree is None or not pagename.startswith(CHAPTERS):
        return
    _, meanings = notation(app)
    context["body"] = SYMBOL.sub(
        lambda found: f'{found[0]} aria-label="{html.escape(meanings[found[1]])}"', context["body"]
    )


def _rows(doctree):
    return [row for body in doctree.findall(nodes.tbody) for row in body.findall(nodes.row)]


def lead_to_notation(app, doctree, docname):
    """Link the first mention of each symbol that stands by itself in running text."""
    if not docname.startswith(CHAPTERS):
        return
    left = dict(notation(app)[0])
    page = app.builder.get_relative_uri(docname, NOTATION)
    for paragraph in list(doctree.findall(nodes.paragraph)):
        for symbol in [] if _inside(paragraph, PASSED_OVER) else list(paragraph.findall(nodes.math)):
            if symbol.astext() in left and not _inside(symbol.parent, PASSED_OVER):
                row = left[symbol.astext()]
                left = {each: place for each, place in left.items() if place != row}
                link = nodes.reference("", "", internal=True, refuri=f"{page}#{row}", classes=["symbol"])
                symbol.parent.replace(symbol, link)
                link += symbol


def terms(app):
    """Return the terms that are looked for, each with its entry in the glossary, and the pattern that finds them."""
    if not hasattr(app, "course_terms"):
        names = [name for kind, name in app.env.get_domain("std").objects if kind == "term"]
        long = [name for name in names if len(name) > SHORT and (" " in name or "-" in name)]
        entries = {name.lower(): name for name in sorted(long, key=len, reverse=True)}
        either = "|".join(map(re.escape, entries)) or r"(?!)"
        app.course_terms = entries, re.compile(rf"\b(?:{either})\b", re.IGNORECASE)
    return app.course_terms


def lead_to_glossary(app, doctree, docname):
    """Link the first mention of each term that stands in running text."""
    if not docname.startswith(CHAPTERS):
        return
    standard = app.env.get_domain("std")
    seen = set()
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if _inside(paragraph, PASSED_OVER):
            continue
        for text in list(paragraph.findall(nodes.Text)):
            if not _inside(text, PASSED_OVER):
                _link(app, standard, docname, text, seen)


def _inside(node, kinds):
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def _link(app, standard, docname, text, seen):
    entries, pattern = terms(app)
    new, end, words = [], 0, text.astext()
    for found in pattern.finditer(words):
        place = standard.objects["term", entries[found[0].lower()]]
        if place in seen:
            continue
        seen.add(place)
        address = app.builder.get_relative_uri(docname, place[0]) + "#" + place[1]
        link = nodes.reference("", found[0], internal=True, refuri=address, classes=["term"])
        new += [nodes.Text(words[end : found.start()]), link]
        end = found.end()
    if new:
        text.parent.replace(text, [*new, nodes.Text(words[end:])])


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-read", name_the_rows)
    app.connect("doctree-resolved", lead_to_glossary)
    app.connect("doctree-resolved", lead_to_notation)
    app.connect("html-page-context", name_the_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
