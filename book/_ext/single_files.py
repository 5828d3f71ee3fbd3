"""Sphinx extension of this book: every chapter is offered as a file that runs anywhere, and all of them in one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # Sphinx runs from anywhere

from tools import bundle, chapters, colab, pdf

AFTER_THE_THEME = 900  # whose buttons are changed


def lead_buttons_to_single_file(app, pagename, templatename, context, doctree):
    """Let the buttons for download and for Colab lead to the single file of a chapter."""
    root = Path(app.srcdir)
    if root / f"{pagename}.ipynb" not in chapters.paths(root):
        return
    name = f"{Path(pagename).name}.ipynb"
    for group in context["header_buttons"]:
        for button in group.get("buttons", []):
            if button.get("label") == "download-source-button":
                button["url"] = context["pathto"](f"{colab.FOLDER.name}/{name}", 1)
                button["text"] = "Single file (.ipynb)"
                button["tooltip"] = "Download the chapter as a file that runs anywhere"
            elif button.get("text") == "Colab":
                repository = button["url"].partition("/blob/")[0]
                button["url"] = f"{repository}/blob/{colab.BRANCH}/{name}"


def write_single_files(app, exception):
    """Put the single files, and all of them in one, beside the pages, and remove a PDF of an earlier book."""
    if exception is None and app.builder.format == "html":
        outdir = Path(app.outdir)
        bundle.write(outdir / bundle.NAME, colab.write(outdir / colab.FOLDER.name, Path(app.srcdir)))
        (outdir / pdf.NAME).unlink(missing_ok=True)


def setup(app):
    """Register with Sphinx."""
    app.connect("html-page-context", lead_buttons_to_single_file, priority=AFTER_THE_THEME)
    app.connect("build-finished", write_single_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
