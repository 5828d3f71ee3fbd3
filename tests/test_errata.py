"""The appendix on errata: numbers stay, classes add up, versions are named, and nothing can be stale."""

import re

import pytest

from tools import chapters

NAME = "errata"
CHAPTER = chapters.read(chapters.ROOT / "book" / "chapters" / f"{NAME}.ipynb")
PROSE = [cell.source for cell in CHAPTER.cells if cell.cell_type == "markdown"]
CODE = "\n".join(cell.source for cell in chapters.code_cells(CHAPTER))
TOTAL = 25
KINDS = ("error", "omission", "age", "no error", "question")


def noted() -> dict[int, str]:
    """Return the class of every number, as the cells note it for the table."""
    found = re.findall(r'\bnote\(\s*(\d+),\s*"[^"]+",\s*"([^"]+)"', CODE)
    assert len(found) == len({number for number, _ in found})
    return {int(number): kind for number, kind in found}


def sections() -> dict[int, str]:
    """Return words and code of every number, in the order of the chapter."""
    text = "\n\n".join(cell.source for cell in CHAPTER.cells)
    parts = re.split(r"^### (\d+)\. ", text, flags=re.MULTILINE)[1:]
    numbers = [int(number) for number in parts[::2]]
    assert len(numbers) == len(set(numbers))
    return {
        number: re.split(r"^## ", part, flags=re.MULTILINE)[0]
        for number, part in zip(numbers, parts[1::2], strict=True)
    }


def printed() -> str:
    outputs = [output for cell in chapters.code_cells(CHAPTER) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_every_number_has_a_section_a_class_and_a_row():
    assert sorted(sections()) == sorted(noted()) == list(range(1, TOTAL + 1))
    assert set(noted().values()) == set(KINDS)
    for number, text in sections().items():
        assert f"note({number}, " in text, f"number {number} is noted in another section than its own"


@pytest.mark.parametrize("number", range(1, TOTAL + 1))
def test_every_number_has_a_check_that_is_called_on_both_versions(number):
    text = sections()[number]
    alone = {14: "keeps_its_constant(2 * squared_error + constant)"}  # no error: the source passes
    assert alone.get(number, "verdict(") in text


def test_the_summary_counts_what_the_cells_have_noted():
    kinds = list(noted().values())
    summary = next(text for text in PROSE if "## Summary" in text)
    counts = {kind: kinds.count(kind) for kind in KINDS}
    said = f"{counts['error']} are errors of the sources, {counts['omission']} are omissions and {counts['age']} is due"
    assert f"Of {TOTAL} numbers, {said}" in summary
    for kind, count in counts.items():
        assert re.search(rf"^ *{count} {kind} ", printed(), re.MULTILINE), "make execute CHAPTER=errata"


def test_effects_are_written_by_the_cells_alone():
    opening = PROSE[0]
    assert "|" not in opening
    assert not re.search(r"\d\.\d+ nats", opening)
    for text in PROSE:
        for sentence in re.split(r"(?<=[.:;])\s+", text):
            if re.search(r"\]\([\w-]+\.ipynb", sentence):
                assert not re.search(r"[−-]?\d+\.\d|\d %", sentence), f"a number of another chapter: {sentence}"


def test_every_source_has_a_version_and_a_date():
    sources = re.findall(r"^- \*\*(.+?)\*\*, \{cite:t\}`(\w+)`: (.*)$", PROSE[0], re.MULTILINE)
    assert [key for _, key, _ in sources] == ["tfcvae", "theailearner", "zeldes", "zoltowski"]
    for _, key, said in sources:
        assert re.search(r"https://\S+.*20\d\d|without a date", said), key
    listed = [number for which, *_ in sources for number in numbers_of(which)]
    assert sorted(listed) == list(range(1, TOTAL + 1))


def numbers_of(words: str) -> list[int]:
    """Read "9 to 13 and 24"."""
    ranges = re.findall(r"(\d+)(?: to (\d+))?", words)
    return [number for first, last in ranges for number in range(int(first), int(last or first) + 1)]


def test_numbers_are_read_as_they_are_written():
    assert numbers_of("9 to 13 and 24") == [9, 10, 11, 12, 13, 24]


def test_what_was_repaired_since_is_said_so():
    assert "*Repaired since:*" in PROSE[0]
    repaired = [number for number, text in sections().items() if "*Repaired since:*" in text]
    assert repaired == [6]
    assert "One error has been repaired since (6)" in next(text for text in PROSE if "## Summary" in text)


@pytest.mark.parametrize("key", ["tfcvae", "theailearner", "zeldes", "zoltowski"])
def test_a_source_has_an_address_in_the_references_or_is_said_to_have_none(key):
    text = (chapters.ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    (entry,) = re.findall(rf"@\w+\{{{key},\n(.*?)\n\}}", text, re.DOTALL)
    address = re.search(r"url = \{(https://[^}]+)\}", entry)
    assert re.search(r"https://[^/]+/\S", address[1]) if address else "No public address" in entry


def test_references_to_a_number_elsewhere_are_to_what_it_is_about():
    """Numbers stay; chapters refer to them."""
    about = {15: "classifier"}
    for path in chapters.paths():
        for cell in chapters.read(path).cells if path.stem != NAME else ():
            for sentence in re.split(r"(?<=[.])\s", cell.source if cell.cell_type == "markdown" else ""):
                for number in re.findall(r"\(number (\d+) of \[Errata", sentence):
                    assert about[int(number)] in sentence, sentence


def test_no_assertion_is_an_identity():
    """784 ln 2 bounds both from one side, whatever the network: these assertions could not fail."""
    assert "effects[20] < 784 * np.log(2)" not in CODE
    assert not re.search(r"> 784 \* np\.log\(2\)", CODE)
