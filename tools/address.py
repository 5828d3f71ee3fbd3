"""The repository's address, set everywhere at once: `make address URL=https://github.com/you/vaecourse`.

It stands in one place, `repository.url` of `_config.yml`; launch buttons and edit links follow from there.  What is
derived from it is rewritten here: the set-up cell of every chapter, and the links in the documents.
"""

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import nbformat

from tools import chapters

ROOT = Path(__file__).parents[1]
PLACEHOLDER = "YOUR-ACCOUNT"  # the account of an address that has not been set
DOCUMENTS = ("README.md", "CITATION.cff", "CONTRIBUTING.md", "book/index.md")
COLAB = "https://colab.research.google.com/github"

_CONFIGURED = re.compile(r"(?m)^(repository:\n(?:[ \t]+.*\n)*?[ \t]+url:[ \t]*)(\S+)")
_ADDRESS = re.compile(r"https://[\w.-]+/[\w.-]+/[\w.-]+(?<!\.git)")


def current(root: Path = ROOT) -> str:
    """Return the address that `_config.yml` states.

    Raises
    ------
    ValueError
        If it states none.
    """
    stated = _CONFIGURED.search((root / "_config.yml").read_text(encoding="utf-8"))
    if stated is None:
        raise ValueError("_config.yml states no url under repository:")
    return stated[2]


def published(url: str) -> str:
    """Return the address of the book that GitHub publishes for a repository; empty if there is none."""
    host, owner, name = urlsplit(url).netloc, *urlsplit(url).path.split("/")[1:]
    if host != "github.com" or owner == PLACEHOLDER:
        return ""
    site = f"{owner.lower()}.github.io"
    return f"https://{site}/" if name.lower() == site else f"https://{site}/{name}/"  # the first is an account's own


def set_up_cell(url: str) -> str:
    """Return the text of the set-up cell, the same in every chapter: it installs the module where it is missing.

    What is installed already, such as Colab's TensorFlow, stays as it is.
    """
    return f'''\
REPOSITORY = "{url}"
try:
    import vaecourse
except ModuleNotFoundError as missing:  # as on Colab: install the module, and nothing else
    if "{PLACEHOLDER}" in REPOSITORY:
        raise ImportError("set REPOSITORY to the address of this repository") from missing
    %pip install --quiet git+{{REPOSITORY}}
    import vaecourse  # noqa: F401'''


def set_up_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the cells of a chapter that are tagged `set-up`: one, if all is well."""
    return [cell for cell in chapters.code_cells(notebook) if "set-up" in chapters.tags(cell)]


def change(url: str, root: Path = ROOT) -> None:
    """Set the address in the configuration, the documents and the set-up cells; outputs of notebooks are kept.

    Parameters
    ----------
    url : str
        Of the form ``https://host/owner/name``.
    root : Path
        Folder of the project.

    Raises
    ------
    ValueError
        If the address is of another form.  Nothing has been changed then.
    """
    if not _ADDRESS.fullmatch(url):
        raise ValueError(f"expected an address like https://github.com/you/vaecourse, without .git; got {url!r}")
    old = current(root)
    config = root / "_config.yml"
    config.write_text(_CONFIGURED.sub(rf"\g<1>{url}", config.read_text(encoding="utf-8")), encoding="utf-8")
    for document in (path for name in DOCUMENTS if (path := root / name).exists()):
        text = document.read_text(encoding="utf-8")
        for before, after in ((old, url), (COLAB + urlsplit(old).path, COLAB + urlsplit(url).path)):
            text = re.sub(rf"{re.escape(before)}(?![\w-])", after, text)  # not the beginning of a longer name
        document.write_text(text, encoding="utf-8")
    for path in sorted((root / "book").rglob("*.ipynb")):
        notebook = chapters.read(path)
        stale = [cell for cell in set_up_cells(notebook) if cell.source != set_up_cell(url)]
        for cell in stale:
            cell.source = set_up_cell(url)
        if stale:
            nbformat.write(notebook, path)


def main(arguments: list[str]) -> None:
    """Set the address given; without one, print which is set."""
    if not arguments:
        print(current())
        return
    try:
        change(arguments[0])
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
