"""The page *Find your question*: enough entries, none twice, and every one leads to a section that is there."""

import re

import pytest

from tools import cards, chapters, questions

BOOK = chapters.ROOT / "book"
ENTRIES = questions.entries()


def test_there_are_enough_questions_and_none_is_asked_twice():
    asked = [entry.words.casefold() for entry in ENTRIES]
    assert len(asked) >= 120
    assert len(asked) == len(set(asked)), {words for words in asked if asked.count(words) > 1}


@pytest.mark.parametrize("page", sorted({entry.page for entry in ENTRIES}), ids=lambda page: page.stem)
def test_every_entry_leads_to_a_heading(page):
    anchors = questions.anchors(page)
    missing = {entry.anchor for entry in ENTRIES if entry.page == page and entry.anchor} - anchors
    assert not missing, f"{page.name} has {sorted(anchors)}"


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)
def test_every_chapter_answers_questions_by_its_sections(path):
    assert len({entry.anchor for entry in ENTRIES if entry.page == path and entry.anchor}) >= 2


@pytest.mark.parametrize("name", ["reference/numbers.md", "reference/glossary.md", "index.md"])
def test_links_to_sections_from_the_other_pages_lead_to_headings(name):
    page = BOOK / name
    for target, anchor in re.findall(r"\]\(([^)#:\s]+)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in questions.anchors((page.parent / target).resolve()), f"{target}#{anchor}"


def test_the_first_screen_leads_to_the_questions():
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    assert "(reference/questions.md)" in text[: text.index("\n## ")]


def test_the_glossary_has_enough_terms():
    (listed,) = re.findall(r"```\{glossary\}\n(.*?)```", (BOOK / "reference" / "glossary.md").read_text(), re.DOTALL)
    terms = re.findall(r"(?m)^\S.*$", listed)
    assert len(terms) == len({term.casefold() for term in terms})
    definitions = listed.strip().split("\n\n")
    assert len(definitions) >= 50
    for definition in definitions:
        assert definition.count("\n  ") == 1, definition
        assert "](" in definition or "{mod}" in definition, definition


def test_every_chapter_has_a_card():
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    named = re.findall(r"(?m)^([\w-]+): .", "\n".join(re.findall(r"```\{chapter-cards\}\n(.*?)```", text, re.DOTALL)))
    assert named == [path.stem for path in chapters.paths()]


def test_a_card_has_part_number_title_and_minutes():
    places = cards.places()
    assert places["first-vae"].title.startswith("1. ")
    assert not places["errata"].title[0].isdigit()
    minutes = re.compile(r"\d+ min to read( · (\d+|under 1) min to run)?")
    assert all(minutes.fullmatch(cards.takes(name)) for name in places)
    card = cards.grid({"setup": "What it says."})
    for part in ("2. Setting up", "What it says.", "Foundations", cards.takes("setup")):
        assert part in card


# --- how the page is read ---------------------------------------------------------------------------------------------


def test_an_entry_is_read_without_its_markup(tmp_path):
    page = tmp_path / "questions.md"
    page.write_text("# Page\n\n- `NaN`, or *inf*: why? → [](../a.ipynb#the-loss-is-nan)\n- All of it → [Page](b.md)\n")
    nan, whole = questions.entries(page)
    assert nan == ("NaN, or inf: why?", (tmp_path / ".." / "a.ipynb").resolve(), "the-loss-is-nan")
    assert whole == ("All of it", tmp_path.resolve() / "b.md", "")


@pytest.mark.parametrize("line", ["- no arrow [](a.md)", "- no link → a.md", "- two → [](a.md) → [](b.md"])
def test_an_item_that_is_no_entry_is_refused(tmp_path, line):
    page = tmp_path / "questions.md"
    page.write_text(f"{line}\n")
    with pytest.raises(ValueError, match="expected '- words"):
        questions.entries(page)


def test_anchors_are_those_of_myst(tmp_path):
    page = tmp_path / "page.md"
    lines = [
        "# A title: of two parts",
        "```python",
        "# no heading",
        "```",
        "## `code` and $x^2$",
        "## Twice",
        "## Twice",
    ]
    page.write_text("\n".join([*lines, "#### Too deep"]))
    assert questions.anchors(page) == {"a-title-of-two-parts", "code-and-", "twice", "twice-1"}
    assert questions.slug("β, σ² and `tf.function`") == "β-σ²-and-tffunction"
