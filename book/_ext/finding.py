"""Sphinx extension of this book: its search finds sections, by the words of those who ask."""

import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))  # Sphinx runs from anywhere

from tools import questions


class unindexed(nodes.comment):
    """What is shown and not searched: Sphinx' indexer passes over comments."""


def lead_questions_to_sections(app, doctree):
    """Enter each question of *Find your question* into the search index, for its section."""
    env = app.env
    source = Path(env.doc2path(env.docname)).resolve()
    env.note_dependency(str(questions.PAGE))
    sections = list(doctree.findall(nodes.section))
    of_anchor = {section.get("slug"): section for section in sections}
    of_anchor[""] = next(iter(sections), None)  # the page as a whole
    for entry in questions.entries():
        section = of_anchor.get(entry.anchor)  # a wrong link is reported where it stands
        if entry.page == source and section is not None:
            anchor = section["ids"][0] if entry.anchor else ""
            words = entry.words.replace(";", ",")  # a semicolon would make two entries
            section.insert(1, addnodes.index(entries=[("single", words, anchor, "main", None)]))


def leave_set_up_cells_out(_, doctree):
    """Keep the first cell, which is the same in every chapter, out of the search index."""
    for cell in list(doctree.findall(nodes.container)):
        if "tag_set-up" in cell.get("classes", []):
            cell.replace_self(unindexed("", "", cell.deepcopy()))


def find_by_words(_, config):
    """Add the search by words to Sphinx' own."""
    config.html_search_scorer = str(HERE / "finding.js")


def setup(app):
    """Register with Sphinx."""
    app.add_node(unindexed, html=(lambda *_: None, lambda *_: None))
    app.connect("config-inited", find_by_words)
    app.connect("doctree-read", lead_questions_to_sections)
    app.connect("doctree-read", leave_set_up_cells_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
