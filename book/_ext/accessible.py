"""Sphinx extension of this book: what the theme draws has names for those who listen."""

import re

import built

AFTER_MATHJAX = 890
CHANGES = (
    # The bibliography: the role of its entries has been withdrawn.
    (re.compile(r'role="doc-biblioentry"'), 'role="listitem"'),
    # The arrows of the sidebar, which open a part of the contents.
    (re.compile(r'<summary><span class="toctree-toggle" role="presentation">'),
     '<summary aria-label="Pages below"><span class="toctree-toggle" role="presentation">'),
    # Names that lack the words that are seen: the words themselves are the name.
    (re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r'(<i class="theme-switch [^>]*?)\s*title="[^"]*"'), r'\1 aria-hidden="true"'),
)  # fmt: skip


def name(app, exception):
    """Name things on the built pages."""
    if exception or app.builder.format != "html":
        return

    def named(path, text):
        for pattern, words in CHANGES:
            text = pattern.sub(words, text)
        return text

    built.rewrite(app.outdir, named)


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", name, priority=AFTER_MATHJAX)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
