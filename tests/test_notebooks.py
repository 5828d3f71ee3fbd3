"""The chapters as files: executed in one go, in full, and every cell either compared or checked by itself."""

import re
import statistics

import pytest

from tools import chapters, results

PATHS = chapters.paths()
READ = {path.stem: chapters.read(path) for path in PATHS}
DEPENDS = "nbval-ignore-output"  # the output depends on budget, device or data
KNOWN_TAGS = {DEPENDS, "set-up", "budget", "cover", "hide-input", chapters.SOLUTION}

every_chapter = pytest.mark.parametrize("name", READ)


def text_of(cell) -> str:
    """What a cell prints or displays as text, without the text that stands for a figure."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            texts.append(output.text)
        elif not any(mime.startswith("image/") for mime in output.get("data", {})):
            texts.append(output.get("data", {}).get("text/plain", ""))
    return "".join(texts)


def figures_of(cell) -> list:
    return [o for o in cell.outputs if any(mime.startswith("image/") for mime in o.get("data", {}))]


def test_the_notebooks_of_the_folder_are_the_chapters_of_the_contents():
    assert {path.name for path in (chapters.ROOT / "book").rglob("*.ipynb")} == {path.name for path in PATHS}
    assert len(PATHS) >= 8


@every_chapter
def test_was_executed_from_top_to_bottom_in_one_go(name):
    counts = [cell.execution_count for cell in chapters.code_cells(READ[name])]
    assert counts == list(range(1, len(counts) + 1)), "make execute CHAPTER=" + name


@every_chapter
def test_outputs_come_from_a_full_run_of_these_very_cells(name):
    record = chapters.record(READ[name])
    assert record["budget"] == "full"
    assert record["data"] == "mnist"
    assert record["code"] == chapters.code_digest(READ[name]), f"the code has changed: make execute CHAPTER={name}"
    assert {"date", "device", "versions", "seconds"} <= set(record)


@every_chapter
def test_a_changed_cell_changes_the_digest(name):
    changed = chapters.read(next(path for path in PATHS if path.stem == name))
    chapters.code_cells(changed)[-1].source += "\n1 + 1"
    assert chapters.code_digest(changed) != chapters.code_digest(READ[name])


@every_chapter
def test_an_output_that_is_not_compared_is_checked_by_its_cell(name):
    for cell in chapters.code_cells(READ[name]):
        if DEPENDS in chapters.tags(cell) and "budget" not in chapters.tags(cell) and text_of(cell):
            assert re.search(r"\bassert\b|\.check\(", cell.source), cell.source


@every_chapter
def test_only_the_budget_line_may_print_unchecked(name):
    lines = [cell.source for cell in chapters.code_cells(READ[name]) if "budget" in chapters.tags(cell)]
    calls = [re.fullmatch(r"budget = course\.chapter_budget\(\)\nprint\(budget\)", line) for line in lines]
    assert len(calls) <= 1
    assert all(calls), lines


@every_chapter
def test_a_compared_output_names_no_measurement_of_the_machine(name):
    for cell in chapters.code_cells(READ[name]):
        if DEPENDS not in chapters.tags(cell):
            assert not re.search(r"perf_counter\(\)|list_.*_devices|budget\.mode", cell.source) or not text_of(cell)


@every_chapter
def test_a_cell_that_hides_its_value_by_a_semicolon_is_not_compared(name):
    """Nbval runs cells without a history, and without one IPython shows the value all the same."""
    for cell in chapters.code_cells(READ[name]):
        assert not cell.source.rstrip().endswith(";") or DEPENDS in chapters.tags(cell), cell.source


@every_chapter
def test_every_figure_has_alternative_text(name):
    figures = 0
    for cell in chapters.code_cells(READ[name]):
        if figures_of(cell):
            figures += 1
            alternative = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alternative) > 30, cell.source
    assert figures


@every_chapter
def test_outputs_are_clean(name):
    for cell in chapters.code_cells(READ[name]):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", (cell.source, output.get("text"))
            assert "WARNING" not in output.get("text", ""), (cell.source, output.get("text"))
        assert not re.search(r"/(root|home|tmp|work|Users)/", text_of(cell)), cell.source


@every_chapter
def test_tags_are_known_and_metadata_is_scrubbed(name):
    assert set(READ[name].metadata) == {"kernelspec", "language_info", chapters.RECORD}
    for cell in chapters.code_cells(READ[name]):
        assert {tag for tag in chapters.tags(cell) if not tag.startswith(results.TAG)} <= KNOWN_TAGS
        assert set(cell.metadata) <= {"tags", "mystnb", "jupyter"}


@every_chapter
def test_code_cells_are_short(name):
    lengths = sorted(
        sum(bool(line.strip()) for line in cell.source.splitlines())
        for cell in chapters.code_cells(READ[name])
        if "set-up" not in chapters.tags(cell)
    )
    assert statistics.median(lengths) <= 6
    assert lengths[int(0.9 * (len(lengths) - 1))] <= 20


@every_chapter
def test_opens_with_aims_and_ends_with_summary_exercises_and_the_way_on(name):
    prose = "\n".join(cell.source for cell in READ[name].cells if cell.cell_type == "markdown")
    for part in ("Afterwards you can", "You need", "It takes", "## Summary", "## Exercises", "## What comes next"):
        assert part in prose


@every_chapter
def test_says_how_long_it_takes(name):
    (said,) = chapters.TIME.findall(READ[name].cells[0].source)
    assert said == chapters.time(READ[name]), "make execute"


@every_chapter
def test_words_need_no_macro_and_no_title_from_elsewhere(name):
    """A notebook program knows neither the macros of the book nor the titles of other pages."""
    for cell in READ[name].cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\\(E|KL|ELBO|Normal|Var|d)(?![A-Za-z])|\[\]\(", cell.source), cell.source


ABBREVIATIONS = {
    "AUROC",
    "BETA",
    "CIFAR",
    "CIWAE",
    "CVAE",
    "ELBO",
    "FLOP",
    "IWAE",
    "LPIPS",
    "MIWAE",
    "MNIST",
    "NVAE",
    "NVIDIA",
    "PIWAE",
    "REBAR",
    "REINFORCE",
    "SSIM",
    "TCVAE",
}
NO_PROSE = re.compile(r"^```.*?^```|`[^`]*`|\$[^$]*\$|\]\([^)]*\)", re.DOTALL | re.MULTILINE)


def capitals(text: str) -> set[str]:
    """The words of four letters or more that a text writes in capitals, outside of code, formulas and addresses."""
    return set(re.findall(r"\b[A-Z]{4,}\b", NO_PROSE.sub(" ", text)))


@every_chapter
def test_no_place_for_a_number_is_left_open(name):
    """Prose written before a run has words in capitals where its numbers belong."""
    found = {word for cell in READ[name].cells if cell.cell_type == "markdown" for word in capitals(cell.source)}
    assert found <= ABBREVIATIONS


def test_a_place_for_a_number_is_seen():
    assert capitals("costs TEST nats, `CODE` and $\\mathrm{ELBO}$; GUARDWORDS\n```\nLISTING\n```\n") == {
        "TEST",
        "GUARDWORDS",
    }


PAIR = re.compile(r"(?<![\w.])[-−]?(\d[\d,]*(?:\.\d+)?)%? ?± ?(\d[\d,]*(?:\.\d+)?)")


def pairs(text: str) -> list[tuple[str, str]]:
    """The values with errors, such as 1.5 ± 0.2, that a text holds, without signs."""
    return [(value.replace(",", ""), error.replace(",", "")) for value, error in PAIR.findall(text)]


def is_rounded(said: str, number: str) -> bool:
    return abs(float(said) - float(number)) <= 0.5001 * 10.0 ** -len(said.partition(".")[2])


def unprinted(paragraph: str, printed: dict[str, list[tuple[str, str]]], name: str) -> list[tuple[str, str]]:
    """The values with errors of a paragraph that neither its chapter prints nor one that it links to, nor it cites."""
    linked = re.findall(r"\]\(([\w-]+)\.ipynb", paragraph)
    if "{cite" in paragraph and not linked:
        return []
    known = [pair for each in (name, *linked) for pair in printed[each]]
    said = pairs(paragraph.replace("{,}", ",").replace("$", ""))
    return [pair for pair in said if not any(all(map(is_rounded, pair, other)) for other in known)]


@pytest.fixture(scope="module")
def printed():
    return {name: [pair for cell in chapters.code_cells(READ[name]) for pair in pairs(text_of(cell))] for name in READ}


@every_chapter
def test_a_value_with_its_error_is_one_that_was_printed_or_is_cited(name, printed):
    for cell in READ[name].cells:
        if cell.cell_type == "markdown":
            for paragraph in re.split(r"\n\n|\n(?=[|-] )", cell.source):
                assert not unprinted(paragraph, printed, name), paragraph


def test_a_value_that_was_printed_otherwise_is_seen():
    printed = {"one": pairs("gain -5.904 ± 0.087"), "other": pairs("1,234.5 ± 2.0")}
    assert not unprinted("−5.90 ± 0.09 nats, and 5.9 ± 0.1", printed, "one")
    assert unprinted("5.91 ± 0.09 nats", printed, "one") == [("5.91", "0.09")]
    assert unprinted("1{,}235 ± 2", printed, "one") == [("1235", "2")]
    assert not unprinted("1{,}235 ± 2, see [the other](other.ipynb#there)", printed, "one")
    assert not unprinted("{cite:t}`somebody` has 88.0 ± 1.7", printed, "one")
    assert unprinted("{cite:t}`somebody`, see [the other](other.ipynb): 88.0 ± 1.7", printed, "one")
