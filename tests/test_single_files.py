"""The single files of the chapters: plain Markdown with nothing of MyST left, the same formulas, code and outputs."""

import base64
import io
import itertools
import re
import tomllib
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from mdit_py_plugins.dollarmath import dollarmath_plugin
from packaging.requirements import Requirement
from PIL import Image

from tools import chapters, colab, diagrams, places, plain_markdown, wheel
from tools.citations import Citations

ROOT = chapters.ROOT
NAMES = [path.stem for path in chapters.paths()]
MEGABYTES = 10  # what Colab and GitHub open without trouble
COMMONMARK = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, allow_space=False, double_inline=True)
MYST = places.parser(RendererHTML)
LEFT = re.compile(r":::|\{[\w:-]+\}$|^\([\w-]+\)=|^% |^\+\+\+|\[\]\(|\{\{")  # in words, code and formulas aside

# The commands of the chapters' formulas, all known to MathJax and to KaTeX.  One that is not here is misspelled, or a
# macro that no notebook program knows, or missing from this list.
COMMANDS = """
    alpha approx arg bar begin beta Big big Bigg bigg biggl biggr Bigl bigl Bigr bigr bmod boldsymbol cdot cdots
    circ color Delta delta det dfrac displaystyle dots ell end epsilon eta exists exp forall frac gamma ge geq
    hat in infty int intercal kappa Lambda lambda langle lceil ldots le left leftarrow leq lfloor lim limits ln
    log longmapsto Longrightarrow lVert lvert mapsto mathbb mathbf mathcal mathit mathop mathrm mathsf max mid
    min mu nabla ne neq not nu odot omega operatorname overline partial Phi phi pi pm prod propto psi qquad quad
    rangle rceil rfloor rho right rightarrow rVert rvert Sigma sigma sim simeq sin sqrt sum sup tag tau text
    textbf textit textstyle tfrac Theta theta tilde times to top underbrace underset varepsilon varphi Vert vert
    widehat widetilde xi zeta
"""


@pytest.fixture(scope="module")
def book() -> places.Book:
    return places.Book()


@pytest.fixture(scope="module")
def files(book) -> dict[str, nbformat.NotebookNode]:
    return {path.stem: colab.single_file(path, book) for path in chapters.paths()}


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


def words(notebook) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def tokens(parser: MarkdownIt, text: str) -> list:
    """Return all tokens of a text, those in others and in directives as well."""
    found = []
    for token in parser.parse(text):
        inside = token.children or []
        if token.type in ("fence", "colon_fence") and token.info.startswith("{"):
            inside = tokens(parser, token.content)
        found += [token, *inside]
    return found


def formulas(parser: MarkdownIt, text: str) -> list[str]:
    kinds = ("math", "amsmath")
    return [" ".join(token.content.split()) for token in tokens(parser, text) if token.type.startswith(kinds)]


def anchors(notebook) -> set[str]:
    return {anchor for cell in words(notebook) for anchor in re.findall(r'<a id="([^"]+)"></a>', cell.source)}


def links(notebook) -> list[tuple[str, str]]:
    found = []
    for cell in words(notebook):
        every = tokens(COMMONMARK, cell.source)
        for token, following in itertools.pairwise(every):
            if token.type == "link_open":
                found.append((token.attrs["href"], following.type))
    return found


def test_commonmark_leaves_nothing_of_myst(files, name):
    for cell in words(files[name]):
        for token in tokens(COMMONMARK, cell.source):
            assert token.type != "fence" or not token.info.startswith(("{", ":")), token.content
            for line in token.content.splitlines() if token.type == "text" else ():
                assert not LEFT.search(line), cell.source


def test_formulas_are_those_of_the_chapter_and_need_no_macro(files, name):
    shown = {cell.id: cell.source for cell in words(files[name])}
    for cell in words(chapters.read(ROOT / "book" / "chapters" / f"{name}.ipynb")):
        assert formulas(COMMONMARK, shown.get(cell.id, "")) == formulas(MYST, cell.source), cell.source
    for text in shown.values():
        for formula in formulas(COMMONMARK, text):
            assert set(re.findall(r"\\([A-Za-z]+)", formula)) <= set(COMMANDS.split()), formula


def test_every_link_has_a_text_and_leads_somewhere(files, name):
    for address, first in links(files[name]):
        assert first != "link_close", f"{address}: a link without a text"
        parts = urlsplit(address)
        if parts.scheme:
            assert parts.scheme == "https" or parts.netloc, address
            continue
        file, there = parts.path.removesuffix(".ipynb"), parts.fragment
        assert not file or file in NAMES, address
        assert not there or there in anchors(files[file or name]), address


def test_pictures_are_in_the_file(files, name):
    for cell in words(files[name]):
        assert "<img" not in cell.source
        for token in tokens(COMMONMARK, cell.source):
            if token.type == "image":
                kind, _, data = token.attrs["src"].partition(",")
                assert kind == "data:image/png;base64"
                assert Image.open(io.BytesIO(base64.b64decode(data))).width > 500
                assert len(token.content) > 30, "the alternative text"


def test_what_is_closed_is_closed_in_every_cell(files, name):
    """A notebook program draws each cell by itself, so that `<details>` must not reach from one to another."""
    for cell in words(files[name]):
        depth = 0
        for end in re.findall(r"<(/?)details\b", cell.source):
            depth += -1 if end else 1
            assert depth in (0, 1), cell.source
        assert depth == 0, cell.source
        assert cell.source.count("<details") == cell.source.count("<summary>")


def test_code_and_outputs_are_those_of_the_chapter(files, name):
    chapter = chapters.read(ROOT / "book" / "chapters" / f"{name}.ipynb")
    pairs = zip(chapters.code_cells(chapter), chapters.code_cells(files[name]), strict=True)
    for before, after in pairs:
        if "set-up" in chapters.tags(before):
            assert after.source == wheel.set_up_cell(ROOT)
            assert after.metadata["jupyter"]["source_hidden"]
            continue
        assert after.source.removeprefix(f"{colab.CODE_TITLE}\n") == before.source
        assert after.outputs == before.outputs
        hidden = after.metadata.get("jupyter", {}).get("outputs_hidden", False)
        assert hidden == (chapters.SOLUTION in chapters.tags(before)) == after.source.startswith(colab.CODE_TITLE)


def test_captions_stand_under_their_figures_and_count_them(files, name, book):
    count, cells = 0, files[name].cells
    chapter = chapters.read(ROOT / "book" / "chapters" / f"{name}.ipynb")
    for cell in chapters.code_cells(chapter):
        if "name" in (figure := cell.metadata.get("mystnb", {}).get("figure", {})):
            count += 1
            (place,) = [i for i, other in enumerate(cells) if other.id == cell.id]
            assert f"**{book.labels[figure['name']].text}.**" in cells[place + 1].source
            assert book.labels[figure["name"]].number.split(".")[-1] == str(count)
            assert figure["name"] in anchors(files[name])


def test_is_a_valid_notebook_of_moderate_size(files, name):
    nbformat.validate(files[name])
    assert len({cell.id for cell in files[name].cells}) == len(files[name].cells)
    assert len(nbformat.writes(files[name])) < MEGABYTES * 1e6


def test_what_is_cited_is_listed_with_its_link(files):
    text = "\n".join(cell.source for cell in words(files["elbo"]))
    assert "for each image (Kingma and Welling, 2014; Rezende et al., 2014)" in text
    assert "(https://arxiv.org/abs/1312.6114)" in files["elbo"].cells[-1].source
    assert files["elbo"].cells[-1].source.startswith("## References")
    assert "Alemi" not in files["elbo"].cells[-1].source, "nothing there cites it"
    with pytest.raises(ValueError, match="has no nobody2000"):
        Citations(ROOT).textual("nobody2000")


WRITTEN = {
    "Costs \\$5, *a_b* and `c`.": "Costs \\$5, *a_b* and `c`.",
    "(here)=\n% a comment\n\n## There": '<a id="here"></a>\n\n## There',
    "see {numref}`fig-elbo-model`": "see [Fig. 4.1](#fig-elbo-model)",
    "see {numref}`figure %s <fig-elbo-model>`": "see [figure 4.1](#fig-elbo-model)",
    "{ref}`symptom-nan`": "[The loss is NaN](diagnosis.ipynb#symptom-nan)",
    "[](diagnosis.ipynb#symptom-nan)": "[The loss is NaN](diagnosis.ipynb#symptom-nan)",
    "{doc}`setup`": "[Setting up: MNIST, pixels and random numbers](setup.ipynb)",
    "{doc}`a table <../reference/numbers>` and {term}`posterior collapse`": "a table and posterior collapse",
    "{func}`vaecourse.models.objectives.analytic_kl`": "`vaecourse.models.objectives.analytic_kl()`",
    "{class}`~vaecourse.models.VAE`": "`VAE`",
    "{cite:t}`kingma2014` {cite:p}`zoltowski`": "Kingma and Welling (2014) (Zoltowski)",
    "```{note}\n:class: x\nOne *line*.\n\n$$x$$\n```": "> **Note**\n>\n> One *line*.\n>\n> $$x$$",
    ":::{admonition} Two {term}`nats`\nwords\n:::": "> **Two nats**\n>\n> words",
    ":::{dropdown} Why\nBecause.\n:::": "<details>\n<summary>Why</summary>\n\nBecause.\n\n</details>",
    "::::{tab-set}\n\n:::{tab-item} A\none\n:::\n\n:::{tab-item} B\ntwo\n:::\n::::": "**A**\n\none\n\n**B**\n\ntwo",
    "\\begin{align*}\na &= b\n\\end{align*}": "$$\n\\begin{align*}\na &= b\n\\end{align*}\n$$",
    "Two[^1].\n\n[^1]: A *note*.": "Two<sup>1</sup>.\n\n<sup>1</sup> A *note*.",
    "term\n: what it is": "**term**\n\nwhat it is",
    "| a | b |\n|:-|-:|\n| $x$ | `y` \\| z |": "| a | b |\n| :--- | ---: |\n| $x$ | `y` \\| z |",
    "```python\nx = '{note}'\n```": "```python\nx = '{note}'\n```",
}


@pytest.mark.parametrize("myst", WRITTEN)
def test_myst_becomes_plain_markdown(book, myst):
    page = "book/chapters/elbo"
    assert plain_markdown.Plain(book, page).render(myst) == WRITTEN[myst]


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("{unheard}`of`", "no single file can show the role {unheard}"),
        ("```{unheard} of\n```", "no single file can show the directive {unheard}"),
        ("{numref}`fig-none`", "refers to fig-none, which nothing in the book is called"),
        ("[x](nowhere.ipynb)", "links to nowhere.ipynb, which is no page of the book"),
    ],
)
def test_what_cannot_be_shown_is_refused(book, myst, message):
    with pytest.raises(ValueError, match=message):
        plain_markdown.Plain(book, "book/chapters/elbo").render(myst)


def test_with_an_address_links_lead_to_the_published_page(book, monkeypatch):
    monkeypatch.setattr(book, "published", "https://reader.github.io/course/")
    plain = plain_markdown.Plain(book, "book/chapters/elbo")
    page = "https://reader.github.io/course/book"
    assert plain.render("[x](setup.ipynb)") == f"[x]({page}/chapters/setup.html)"
    assert plain.render("{doc}`x <../index>`") == f"[x]({page}/index.html)"
    assert plain.render("{term}`nats`") == f"[nats]({page}/reference/glossary.html#term-nats)"
    described = f"{page}/reference/api/models.html#vaecourse.models.vae.VAE.elbo_terms"
    assert plain.render("{meth}`~vaecourse.models.VAE.elbo_terms`") == f"[`elbo_terms()`]({described})"
    assert plain.render("see {numref}`fig-elbo-model`") == "see [Fig. 4.1](#fig-elbo-model)", "this file has it"
    with_formula = f"{page}/chapters/tightness.html#the-exact-log-p-x-on-a-grid-of-latents"
    assert plain.render("[x](tightness.ipynb#the-exact-log-px-on-a-grid-of-latents)") == f"[x]({with_formula})"
    gathered = f"{page}/reference/api/course.html#module-vaecourse.course.specimens"
    assert plain.render("{mod}`vaecourse.specimens`") == f"[`vaecourse.specimens`]({gathered})"


def test_markdown_is_read_as_the_book_reads_it():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert set(config["parse"]["myst_enable_extensions"]) == places.EXTENSIONS


@pytest.mark.parametrize("drawing", sorted(diagrams.FOLDER.glob("*.svg")), ids=lambda path: path.stem)
def test_pictures_of_drawings_are_of_the_present_drawings(drawing):
    picture = Image.open(drawing.with_suffix(".png"))
    assert picture.text[diagrams.SOURCE] == diagrams.digest(drawing), "python -m tools.diagrams"


# --- the wheel -------------------------------------------------------------------------------------------------------


def test_the_wheel_is_the_same_for_the_same_sources(tmp_path):
    copied = tmp_path / "elsewhere"
    for file in (ROOT / "vaecourse").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            target = copied / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())  # with another date
            target.chmod(0o600)
    for name in set(wheel.WITH) - {"vaecourse"}:
        (copied / name).write_bytes((ROOT / name).read_bytes())
    (copied / "vaecourse" / "__pycache__").mkdir()
    (copied / "vaecourse" / "__pycache__" / "stale.pyc").write_bytes(b"stale")
    assert wheel.build(copied) == wheel.build(ROOT)
    (copied / "vaecourse" / "__init__.py").write_text("changed = True\n__version__ = '0'\n")
    wheel.build.cache_clear()
    assert wheel.build(copied)[1] != wheel.build(ROOT)[1]


def test_the_wheel_holds_the_module_and_names_the_dependencies():
    name, content = wheel.build(ROOT)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        inside = {path for path in file.namelist() if path.startswith("vaecourse/")}
        (metadata,) = [file.read(path).decode() for path in file.namelist() if path.endswith("METADATA")]
    sources = [path for path in (ROOT / "vaecourse").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert inside == {path.relative_to(ROOT).as_posix() for path in sources}
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    named = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert {str(Requirement(line)) for line in named if "extra ==" not in line} == {str(Requirement(x)) for x in listed}
    assert f'"{name}"' in wheel.set_up_cell(ROOT)


def test_the_set_up_cell_carries_the_wheel_and_no_address():
    cell = wheel.set_up_cell(ROOT)
    carried = cell.split('"""')[1]
    assert base64.b64decode(carried) == wheel.build(ROOT)[1]
    assert "://" not in cell.replace(carried, "")
    assert max(map(len, cell.splitlines())) <= wheel.LINE
    compile(cell, "set-up", "exec")


def test_writing_makes_a_file_for_every_chapter(tmp_path, monkeypatch):
    monkeypatch.setattr(chapters, "paths", lambda root: [Path(root, "book/chapters/setup.ipynb")])
    (written,) = colab.write(tmp_path / "new" / "folder")
    assert nbformat.read(written, as_version=4).metadata["colab"]["toc_visible"]
