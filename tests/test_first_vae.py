"""The first chapter: words are explained where they first appear, and its diagrams can be read on any ground."""

import re
import xml.etree.ElementTree as ET

import pytest

from tools import chapters

CHAPTER = chapters.read(chapters.ROOT / "book" / "chapters" / "first-vae.ipynb")
DIAGRAMS = chapters.ROOT / "book" / "_static" / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"
WORDS = (
    "generative model",
    "sample",
    "latent",
    "encoder",
    "decoder",
    "reconstruction",
    "likelihood",
    "nat",
    "hole",
    "prior",
    "approximate posterior",
    "true posterior",
    "KL",
    "ELBO",
)


NOT_READ = re.compile(
    r"<!--.*?-->|\{\w+\}`[^`]*`|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|!?\[[^\]]*\]\([^)]*\)|^#.*?$", re.DOTALL | re.MULTILINE
)


def prose() -> str:
    """What explains the model: without introduction, headings, links, formulas, code and alternative texts."""
    cells = [cell.source for cell in CHAPTER.cells[1:] if cell.cell_type == "markdown"]
    return NOT_READ.sub(" ", "\n\n".join(cells).split("## Questions that beginners ask")[0])


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_explained_where_it_first_appears(word):
    first = re.search(rf"(?<![\w-])(\*\*)?{word}s?(?![\w-])", prose())
    assert first, f"{word} does not occur"
    assert first[1], prose()[max(0, first.start() - 80) : first.end() + 40]


def test_a_posterior_is_approximate_or_true():
    assert not re.findall(r"(?<!approximate )(?<!true )\bposterior\b", prose(), re.IGNORECASE)


def luminance(color: str) -> float:
    digits = color.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", ["graphical-model", "encoder-decoder"])
def test_a_diagram_is_small_described_and_has_its_own_ground(name):
    path = DIAGRAMS / f"{name}.svg"
    assert path.stat().st_size < 8_192
    assert f"../_static/diagrams/{name}.svg" in "".join(cell.source for cell in CHAPTER.cells)
    root = ET.parse(path).getroot()
    assert root.find(f"{SVG}title").text
    assert len(root.find(f"{SVG}desc").text) > 100
    width, height = (float(side) for side in root.get("viewBox").split()[2:])
    panel = root.find(f"{SVG}rect")  # drawn first, so that a dark page does not show through
    assert panel.get("fill") == "#ffffff"
    assert float(panel.get("width")) >= width - 2
    assert float(panel.get("height")) >= height - 2


@pytest.mark.parametrize("name", ["graphical-model", "encoder-decoder"])
def test_the_text_of_a_diagram_stands_out(name):
    """Black text may stand on every tint, colored text stands on the white panel or on white."""
    source = (DIAGRAMS / f"{name}.svg").read_text()
    filled = re.findall(r'<(?:rect|path|circle)[^>]*fill="(#\w+)"', source)
    tints = {color for color in filled if luminance(color) > 0.5}
    inks = re.findall(r'<text[^>]*fill="(#\w+)"', source)
    for ink, ground in [("#222222", tint) for tint in tints] + [(ink, "#ffffff") for ink in inks]:
        assert (luminance(ground) + 0.05) / (luminance(ink) + 0.05) >= 4.5, (ink, ground)
