"""Sphinx extension of this book: tables, cards, short links, no buttons that lead nowhere."""

import contextlib
import pkgutil
import sys
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).parents[2]))  # Sphinx runs from anywhere

from tools import address, cards, chapters, numbers
from tools.reliability import figures


class RunTable(Directive):
    """A table of when, on what, how long and by which code every chapter last ran in full."""

    head = ("Chapter", "Last full run", "On", "Minutes", "Outputs of the present code?")

    def run(self):
        """Build the table from the records in the chapters."""
        read = [chapters.read(path) for path in chapters.paths()]
        records = [chapters.record(chapter) for chapter in read]
        rows = [self._row(chapter) for chapter in read]
        total = sum(record.get("seconds", 0) for record in records) / 60
        rows.append(["All", "", "", f"{total:.1f}", ""])
        table = nodes.table(classes=["table"])
        group = nodes.tgroup(cols=len(self.head))
        group += [nodes.colspec(colwidth=1) for _ in self.head]
        group += nodes.thead("", self._cells(self.head))
        group += nodes.tbody("", *map(self._cells, rows))
        table += group
        return [table, nodes.paragraph(text=self._versions(records))]

    def _row(self, chapter):
        title, record = chapters.title(chapter), chapters.record(chapter)
        why_not = chapters.why_not_current(chapter)
        current = f"no: {why_not}" if why_not else "yes"
        if not record:
            return [title, "never", "", "", current]
        return [
            title,
            record["date"],
            f"{record['data']}, {record['device']}",
            f"{record['seconds'] / 60:.1f}",
            current,
        ]

    def _cells(self, texts):
        return nodes.row("", *(nodes.entry("", nodes.paragraph(text=text)) for text in texts))

    def _versions(self, records):
        used = {", ".join(f"{k} {v}" for k, v in r["versions"].items()) for r in records if r}
        return "Versions: " + "; ".join(sorted(used)) + "."


class ResultsTable(Directive):
    """A table of what the sources published and what the chapters measured."""

    def run(self):
        """Build the table from the recipes and the outputs of the chapters."""
        return self._parsed(self._markdown())

    def _markdown(self):
        from tools import results  # which imports the module, and so TensorFlow

        return results.for_book()

    def _parsed(self, markdown):
        container = nodes.container()
        lines = StringList(markdown.splitlines(), self.name)
        self.state.nested_parse(lines, self.content_offset, container)
        return container.children


class NumbersTable(ResultsTable):
    """A table of numbers to compare with, by its name in `tools.numbers`."""

    required_arguments = 1

    def _markdown(self):
        return numbers.table(self.arguments[0])


class ChapterCards(ResultsTable):
    """Cards of chapters: the content has a line for each, `name: what is said about it`."""

    has_content = True

    def _markdown(self):
        return cards.grid(yaml.safe_load("\n".join(self.content)))


class SpeedTable(ResultsTable):
    """A table of what `make bench` measured, by its name in `benchmarks.report`."""

    required_arguments = 1
    final_argument_whitespace = True

    def _markdown(self):
        from benchmarks import report

        name, *arguments = self.arguments[0].split(maxsplit=1)
        return report.table(name, *arguments)


class ReliabilityTable(ResultsTable):
    """A table of what `make audit-tests` measured, by name, of `tools.reliability`."""

    required_arguments = 1

    def _markdown(self):
        return figures.table(self.arguments[0])


def link_by_short_name(app, env, node, contnode):
    """Link a name as it is imported, say `vaecourse.data.load`, to where it is described."""
    name = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not name.startswith("vaecourse."):
        return None
    link = None
    with contextlib.suppress(ImportError, AttributeError):
        found = pkgutil.resolve_name(name)
        module, path = getattr(found, "__module__", ""), getattr(found, "__qualname__", "")
        home = f"{module}.{path}" if path else found.__name__
        python = env.get_domain("py")
        link = python.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, contnode)
    if link is None:
        logging.getLogger(__name__).warning("%s is described nowhere", name, location=node)
    return link


def hide_buttons_without_address(app, config):
    """Drop launch and repository buttons while the repository's address has not been set."""
    if address.PLACEHOLDER in config.html_theme_options.get("repository_url", ""):
        for button in (
            "use_repository_button",
            "use_edit_page_button",
            "use_issues_button",
            "use_source_button",
        ):
            config.html_theme_options[button] = False
        config.html_theme_options["launch_buttons"] = {}


def setup(app):
    """Register with Sphinx."""
    app.add_directive("run-table", RunTable)
    app.add_directive("results-table", ResultsTable)
    app.add_directive("speed-table", SpeedTable)
    app.add_directive("reliability-table", ReliabilityTable)
    app.add_directive("numbers-table", NumbersTable)
    app.add_directive("chapter-cards", ChapterCards)
    app.connect("missing-reference", link_by_short_name)
    app.connect("config-inited", hide_buttons_without_address)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
