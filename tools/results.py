"""The table of the sources: what each published, and what the executed chapters measured; kept in the README, too."""

from collections.abc import Callable

from tools import chapters
from tools.tables import markdown
from vaecourse import recipes

HEAD = ("Source", "It reports", "Measured here, in full", "Improved")
BEGIN, END = "<!-- results -->\n", "<!-- /results -->\n"
TAG = "measured-"


def measured(recipe: str) -> str:
    """Return what the chapter of a recipe printed first, up to a semicolon, in the cell tagged `measured-<recipe>`."""
    path = chapters.ROOT / "book" / "chapters" / f"{recipes.get(recipe).chapter}.ipynb"
    cells = [cell for cell in chapters.code_cells(chapters.read(path)) if TAG + recipe in chapters.tags(cell)]
    if len(cells) != 1:
        raise ValueError(f"{path.name} has {len(cells)} cells tagged {TAG}{recipe}; expected one")
    printed = "".join(output.text for output in cells[0].outputs if output.output_type == "stream")
    if not printed:
        raise ValueError(f"{path.name} has not been executed: the cell tagged {TAG}{recipe} has printed nothing")
    return printed.splitlines()[0].split(";")[0].replace("-", "−")


def rows() -> list[tuple[str, str, str, str, str]]:
    """Return for every source its key, its chapter, and the last three columns of the table."""
    faithful = {name: recipe for name, recipe in recipes.RECIPES.items() if recipe.claim}
    better = {}
    for name, recipe in recipes.RECIPES.items():
        better.setdefault(recipe.improves, name)  # the first that improves a source
    return [
        (recipe.source, recipe.chapter, recipe.claim, measured(name), measured(better[name]))
        for name, recipe in faithful.items()
    ]


def table(source: Callable[[str, str], str]) -> str:
    """Return the table in Markdown; `source` says what stands in its first column for a source and its chapter."""
    return markdown(HEAD, ((source(key, chapter), *row) for key, chapter, *row in rows()))


def for_book() -> str:
    """Return the table as the book shows it, with citations and links."""
    return table(lambda key, chapter: f"{{cite:t}}`{key}`, [{_name(chapter)}](/book/chapters/{chapter}.ipynb)")


def for_readme() -> str:
    """Return the table as the README shows it."""
    return table(lambda _, chapter: f"[{_name(chapter)}](book/chapters/{chapter}.ipynb)")


def _name(chapter: str) -> str:
    """Return the title of a chapter up to a colon."""
    return chapters.title(chapters.read(chapters.ROOT / "book" / "chapters" / f"{chapter}.ipynb")).partition(":")[0]


def update_readme() -> None:
    """Write the table into the README, between its two marks."""
    path = chapters.ROOT / "README.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text(f"{before}{BEGIN}{for_readme()}{END}{rest.split(END)[1]}", encoding="utf-8")
