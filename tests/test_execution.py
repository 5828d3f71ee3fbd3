"""Which chapters are current, why the others are not, and that a run which does not end well changes nothing."""

import base64
import io
import json
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError
from PIL import Image

from tools import chapters, dependencies, execute

ROOT = chapters.ROOT

MADE_UP = {
    "__init__": """\
import vaecourse._start
from vaecourse import high, low
from vaecourse.high import deep
from vaecourse.high import Model
def __getattr__(name):
    if name == "drawn":
        return importlib.import_module("vaecourse.high.drawn")
""",
    "_start": "STARTED = 1\n",
    "low.__init__": """\
from vaecourse.low.pixels import scale
from vaecourse.low.sets import load as fetch
OWN = 1
""",
    "low.pixels": """\
from vaecourse.low.words import WORDS
def scale(x):
    'Halve.'
    return x / 2
BAND = Band(1.0, 0.5)
""",
    "low.sets": "def load(): return 1\n",
    "low.words": "WORDS = 1\n",
    "high.__init__": "from vaecourse.high import deep\nfrom vaecourse.high.models import Model\n",
    "high.deep": "from vaecourse import low\nfrom vaecourse.high.models import Model\ndef deep(): low.fetch()\n",
    "high.models": "class Model: pass\n",
    "high.drawn": "from vaecourse import high, low\ndef draw(): low.scale(high.deep.deep)\n",
}


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """Return a writer of the made-up module, in which some modules can be given other code."""

    def write(**changed: str) -> None:
        for name, code in MADE_UP.items():
            path = tmp_path / "vaecourse" / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(changed.get(name.replace(".", "_"), code))

    monkeypatch.setattr(chapters, "ROOT", tmp_path)
    write()
    return write


def notebook(*cells: str, record: dict | None = None) -> nbformat.NotebookNode:
    """Return a chapter of these code cells, the first of which is its cover."""
    chapter = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    chapter.cells[0].metadata.tags = ["cover"]
    if record is not None:
        chapter.metadata[chapters.RECORD] = record
    return chapter


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("from vaecourse import low; low.scale(1)", "low.pixels low.words"),
        ("from vaecourse import low as lowest; lowest.fetch()", "low.sets"),
        ("from vaecourse.low import fetch", "low.sets"),
        ("from vaecourse.low import sets", "low.sets"),
        ("from vaecourse.low.pixels import scale", "low.pixels low.words"),
        ("import vaecourse; vaecourse.low.fetch()", "low.sets"),
        ("import vaecourse.low.sets as sets", "low.sets"),
        ("import numpy as low; low.scale(1)", ""),
        ("from vaecourse import Model; Model()", "high.models"),
        ("from vaecourse import deep", "high.deep high.models low.sets"),
        ("from vaecourse import high; high.deep.deep()", "high.deep high.models low.sets"),
        ("from vaecourse import drawn", "high.deep high.drawn high.models low.pixels low.sets low.words"),
        # of a package: nothing, what only its __init__ has, and all that it gathers
        ("from vaecourse import low", ""),
        ("from vaecourse import low; low.OWN", "low.__init__ low.pixels low.sets low.words"),
        ("from vaecourse import low; getattr(low, name)", "low.pixels low.sets low.words"),
    ],
)
def test_a_chapter_uses_the_modules_that_define_what_it_names(made_up, code, used):
    assert " ".join(chapters.module_digests(notebook(*code.split("; ")))) == used


def test_the_digests_of_modules_are_of_what_makes_the_numbers_of_a_chapter(made_up):
    chapter = notebook("from vaecourse import low", "low.scale(1)")
    before, pixels = chapters.module_digests(chapter), MADE_UP["low.pixels"]
    made_up(
        low_pixels=pixels.replace("Halve.", "Return a half.")
        .replace("1.0, 0.5", "1.5, 0.7")
        .replace("2\n", "2  # so\n")
    )
    assert chapters.module_digests(chapter) == before, "docstrings, comments and bands make no number"
    made_up(low_pixels=pixels.replace("x / 2", "x / 3"))
    assert changed(before, chapters.module_digests(chapter)) == {"low.pixels"}
    made_up(low_words="WORDS = 2")
    assert changed(before, chapters.module_digests(chapter)) == {"low.words"}, "one that is used through another counts"
    made_up(low_sets="def load(): return 2", high_models="class Model: x = 1")
    assert chapters.module_digests(chapter) == before, "one that is not used does not"


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_why_a_chapter_is_not_current(made_up):
    cells = ["from vaecourse import deep, low", "low.scale(deep)"]
    chapter = notebook(*cells)
    assert chapters.why_not_current(chapter) == "it has never run in full"
    record = {"code": chapters.code_digest(chapter), "modules": chapters.module_digests(chapter)}
    assert chapters.why_not_current(notebook(*cells, record=record)) == ""
    assert chapters.why_not_current(notebook(*cells, "1 + 1", record=record)) == "its cells have changed since"
    for modules, why in (
        (("low.words",), "low.words has changed since"),
        (("low.words", "low.sets"), "low.sets and low.words have changed since"),
        (
            ("high.deep", "low.pixels", "low.sets", "low.words"),
            "high.deep, low.pixels, low.sets and low.words have changed since",
        ),
        (tuple(record["modules"]), "high.deep, high.models, low.pixels and 2 more modules have changed since"),
    ):
        made_up(**{module.replace(".", "_"): f"{MADE_UP[module]}NEW = 1\n" for module in modules})
        assert chapters.why_not_current(notebook(*cells, record=record)) == why
    made_up(high_deep="from vaecourse.high.models import Model\ndef deep(): pass")
    why = chapters.why_not_current(notebook(*cells, record=record))
    assert why == "high.deep and low.sets have changed since", "a module that is not used any more counts, too"


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)
def test_every_module_that_a_chapter_uses_is_found(path):
    """A name that cannot be followed would be taken for one that the `__init__` of a package defines itself."""
    used = chapters.module_digests(chapters.read(path))
    assert used
    assert not [name for name in used if name.endswith(dependencies.INIT)]


_LARGE = io.BytesIO()
Image.new("RGBA", (1600, 800), "red").save(_LARGE, "PNG")
PNG = base64.b64encode(_LARGE.getvalue()).decode()
DRAW = f"""\
from IPython.display import publish_display_data
publish_display_data({{"image/png": "{PNG}"}})"""


@pytest.fixture
def chapter(monkeypatch, tmp_path):
    """Return a writer of a chapter whose first cell draws its cover, and the folder for covers."""
    monkeypatch.setattr(chapters, "COVERS", tmp_path / "covers")
    monkeypatch.setattr(chapters, "module_digests", lambda chapter: {"low.words": "0" * 8})
    chapters.COVERS.mkdir()
    (chapters.COVERS / "small.png").write_bytes(b"old")

    def write(*cells: str):
        path = tmp_path / "small.ipynb"
        nbformat.write(notebook(*cells), path)
        return path

    return write


def everything_in(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_writes_outputs_record_and_cover(chapter, tmp_path):
    path = chapter(DRAW, "1 + 1")
    execute.execute(path)
    written = chapters.read(path)
    assert written.cells[1].outputs[0].data["text/plain"] == "2"
    with Image.open(chapters.COVERS / "small.png") as cover:
        assert (cover.size, cover.getpixel((0, 0))) == ((execute.CARD, execute.CARD // 2), (255, 0, 0))
    assert chapters.why_not_current(written) == ""
    assert set(everything_in(tmp_path)) == {path, chapters.COVERS / "small.png"}, "no unfinished file stays"
    before = path.read_bytes()
    nbformat.write(written, path)
    assert path.read_bytes() == before, "the file is as nbformat writes it"


def test_figures_have_two_pixels_for_one_of_the_page(chapter):
    path = chapter(DRAW, "import matplotlib.pyplot as plt\nplt.figure(figsize=(2, 1), dpi=100)\nplt.plot([1])\nNone")
    execute.execute(path)
    (output,) = chapters.read(path).cells[1].outputs
    size = output.metadata["image/png"]
    with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as picture:
        assert np.allclose(picture.size, (2 * size.width, 2 * size.height), atol=2)


def test_figures_of_lines_are_kept_as_lines_in_the_size_of_their_pixels(chapter):
    plot = "import matplotlib.pyplot as plt\nplt.figure(figsize=(4, 3))\n{}\nNone"
    shown = ("plt.plot([1, 3, 2])", "plt.imshow([[1, 2]])", "plt.scatter(range(20_000), range(20_000))")
    path = chapter(DRAW, *(plot.format(what) for what in shown))
    execute.execute(path)
    (lines,), (pixels,), (heavy,) = (cell.outputs for cell in chapters.read(path).cells[1:])
    svg = ElementTree.fromstring(lines.data[execute.SVG])
    size = lines.metadata["image/png"]
    assert (svg.get("width"), svg.get("height")) == (str(size.width), str(size.height))
    assert svg.get("viewBox")
    assert svg.find("{*}metadata") is None
    assert execute.SVG not in pixels.data | heavy.data


def test_what_a_figure_returns_is_left_out_and_what_others_return_stays(chapter):
    path = chapter(DRAW, "import matplotlib.pyplot as plt\nplt.plot([1])", "[1]")
    execute.execute(path)
    _, drawn, text = chapters.read(path).cells
    assert [sorted(output.data) for output in drawn.outputs] == [["image/png", "image/svg+xml", "text/plain"]]
    assert text.outputs[0].data["text/plain"] == "[1]"


def test_a_chapter_says_how_long_it_takes(chapter, monkeypatch):
    path = chapter(DRAW, "\n".join(f"x = {number}" for number in range(900)))
    first = chapters.read(path)
    first.cells.insert(0, nbformat.v4.new_markdown_cell("# Title\n\n**It takes** a while.\n\nMore."))
    nbformat.write(first, path)
    execute.update_the_time(path)
    assert chapters.read(path).cells[0].source == "# Title\n\n**It takes** about 15 minutes to read.\n\nMore."
    for seconds, said in ((20, "less than a minute"), (70, "1 minute"), (170, "3 minutes")):
        ran = chapters.read(path)
        ran.metadata[chapters.RECORD] = {"seconds": seconds, "device": "2 CPU cores"}
        nbformat.write(ran, path)
        execute.update_the_time(path)
        said = f"**It takes** about 15 minutes to read, and {said} to run on two CPU cores."
        assert said in chapters.read(path).cells[0].source


def test_a_failing_run_leaves_the_chapter_as_it_was(chapter, tmp_path):
    path = chapter(DRAW, "1 / 0")
    before = everything_in(tmp_path)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute.execute(path)
    assert everything_in(tmp_path) == before


def test_a_run_without_a_cover_leaves_the_chapter_as_it_was(chapter, tmp_path):
    path = chapter("1 + 1")
    before = everything_in(tmp_path)
    with pytest.raises(ValueError, match="not enough values"):
        execute.execute(path)
    assert everything_in(tmp_path) == before


def test_a_killed_run_leaves_the_chapter_as_it_was(chapter, tmp_path):
    path = chapter(DRAW, "open('started', 'w').close()\nimport time\ntime.sleep(60)")
    before = everything_in(tmp_path)
    program = f"from tools import execute\nfrom pathlib import Path\nexecute.execute(Path({str(path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    started, end = tmp_path / "started", time.monotonic() + 60
    while not started.exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    started.unlink()
    assert everything_in(tmp_path) == before


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_bytes(b"old")
    execute.replace(target, b"new")
    assert everything_in(tmp_path) == {target: b"new"}

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(execute.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        execute.replace(target, b"newer")
    assert everything_in(tmp_path) == {target: b"new"}


@pytest.fixture
def make_execute(monkeypatch, tmp_path, capsys):
    """Return `make execute` over three made-up chapters, of which one is current, and what it executed and said."""
    paths = [tmp_path / f"{name}.ipynb" for name in ("one", "two", "three")]
    whys = {"one": "it has never run in full", "two": "", "three": "its cells have changed since"}
    for path in paths:
        path.write_text(json.dumps(path.stem))
    monkeypatch.setattr(chapters, "paths", lambda: paths)
    monkeypatch.setattr(chapters, "read", lambda path: path.stem)
    monkeypatch.setattr(chapters, "why_not_current", whys.get)
    monkeypatch.setattr(execute, "update_the_readme", lambda: None)
    monkeypatch.setattr(execute, "update_the_time", lambda path: None)
    monkeypatch.setattr("vaecourse.data.load", lambda name: None)
    monkeypatch.setenv("VAECOURSE_BUDGET", "full")

    def run(*names: str, failing: str = "") -> tuple[list[str], str]:
        ran = []

        def executed(path):
            ran.append(path.stem)
            if path.stem == failing:
                raise CellExecutionError("a cell failed", "ValueError", "of that value")
            return 1.0

        monkeypatch.setattr(execute, "execute", executed)
        execute.main(list(names))
        return ran, capsys.readouterr().out

    return run


def test_without_a_name_those_run_that_are_not_current_and_each_says_why(make_execute):
    ran, said = make_execute()
    assert ran == ["one", "three"]
    assert said.splitlines()[:3] == [
        "one runs: it has never run in full",
        "two is current",
        "three runs: its cells have changed since",
    ]


def test_a_named_chapter_runs_in_any_case_and_all_are_every_one(make_execute):
    assert make_execute("two") == (["two"], "two runs: it was asked for\ntwo …\ntwo: 1 s\n")
    assert make_execute("all")[0] == ["one", "two", "three"]
    with pytest.raises(SystemExit, match="no chapter four; there are one, two, three, and all for every one"):
        make_execute("four")


def test_a_chapter_that_fails_does_not_keep_the_others_from_running(make_execute, capsys):
    with pytest.raises(SystemExit, match="failed, and left as they were: one"):
        make_execute(failing="one")
    assert "three: 1 s" in capsys.readouterr().out


def test_what_is_published_needs_the_full_budget(make_execute, monkeypatch):
    monkeypatch.setenv("VAECOURSE_BUDGET", "quick")
    with pytest.raises(SystemExit, match="needs VAECOURSE_BUDGET=full"):
        make_execute()
