"""The built book: no warnings, no network, no page or picture missing, and what is asked for is found."""

import base64
import hashlib
import importlib
import io
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

import vaecourse
from tools import address, bundle, chapters, pdf, questions, results

ADDRESS = "https://github.com/reader/course"
PUBLISHED = re.escape("https://reader.github.io/course/")


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """Build the book as `make book` does, from a copy whose address has been set."""
    copied = tmp_path_factory.mktemp("book") / "course"
    ignored = shutil.ignore_patterns(".venv*", "_build", ".git", ".*cache", "output", "__pycache__")
    shutil.copytree(chapters.ROOT, copied, ignore=ignored)
    address.change(ADDRESS, copied)
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", ".", "--all", "-W", "--keep-going"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=copied)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    return copied / "_build" / "html"


@pytest.fixture(scope="module")
def pages(html):
    found = {path: BeautifulSoup(path.read_text(), "html.parser") for path in sorted((html / "book").rglob("*.html"))}
    assert len(found) >= len(chapters.paths()) + 4
    return found


def test_no_page_needs_a_network(pages):
    for path, page in pages.items():
        loaded = [tag.get("src") or "" for tag in page.find_all(["script", "img", "iframe", "source"])]
        loaded += [tag["href"] for tag in page.find_all("link", href=True) if "stylesheet" in (tag.get("rel") or [])]
        assert not [address for address in loaded if urlsplit(address).netloc], path.name


def test_formulas_are_drawn_by_a_bundled_mathjax(html, pages):
    page = pages[html / "book" / "chapters" / "elbo.html"]
    (script,) = [tag["src"] for tag in page.find_all("script", src=True) if "mathjax" in tag["src"]]
    assert (html / "book" / "chapters" / script.split("?")[0]).resolve().exists()
    assert page.select(".math")


def test_every_internal_link_and_picture_leads_somewhere(pages):
    for path, page in pages.items():
        for tag, attribute in [("a", "href"), ("img", "src")]:
            for link in page.find_all(tag, **{attribute: True}):
                parts = urlsplit(link[attribute])
                if parts.scheme or parts.netloc or not parts.path:
                    continue
                assert (path.parent / unquote(parts.path)).resolve().exists(), f"{path.name}: {link[attribute]}"


def test_every_link_to_a_place_on_a_page_leads_to_it(pages):
    places = {path.resolve(): {tag["id"] for tag in page.select("[id]")} for path, page in pages.items()}
    for path, page in pages.items():
        for link in page.select("article a[href*='#']"):
            parts = urlsplit(link["href"])
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if not parts.netloc and parts.fragment and target in places:
                assert unquote(parts.fragment) in places[target], f"{path.name}: {link['href']}"


def test_every_picture_has_alternative_text(pages):
    for path, page in pages.items():
        for picture in page.select("article img"):
            alternative = picture.get("alt", "")
            assert alternative, f"{path.name}: {picture['src']}"
            assert not alternative.endswith((".png", ".gif")), f"{path.name}: {picture['src']}"


def test_no_picture_moves_by_itself(pages):
    """An animated picture cannot be stopped; a chapter shows its frames side by side, and only writes the animation."""
    for path, page in pages.items():
        assert not [image["src"] for image in page.select("img") if image["src"].endswith(".gif")], path.name


def test_the_run_page_lists_every_chapter(html, pages):
    table = pages[html / "book" / "reference" / "run.html"].select_one("article table").get_text()
    for path in chapters.paths():
        assert chapters.title(chapters.read(path)) in table
    assert "never" not in table


def test_the_run_page_says_whether_outputs_come_from_the_present_code(html, pages):
    rows = pages[html / "book" / "reference" / "run.html"].select("article table tbody tr")
    said = {row.select("td")[0].get_text(): row.select("td")[-1].get_text() for row in rows}
    for path in chapters.paths():
        why_not = chapters.why_not_current(chapters.read(path))
        assert said[chapters.title(chapters.read(path))] == (f"no: {why_not}" if why_not else "yes")


def test_every_name_of_the_module_in_a_text_is_a_link(pages):
    for path, page in pages.items():
        for name in page.select("article code.xref.py"):
            if name.get_text().startswith("vaecourse"):
                assert name.find_parent("a"), f"{path.name}: {name.get_text()}"


def test_the_index_shows_what_every_source_reports_and_what_was_measured(html, pages):
    tables = [table.get_text() for table in pages[html / "book" / "index.html"].select("article table")]
    (table,) = [text for text in tables if results.HEAD[2] in text]
    for _, _, claim, measured, improved in results.rows():
        assert claim in table
        assert measured in table
        assert improved in table


def test_the_first_page_leads_to_the_questions_and_shows_every_chapter(html, pages):
    index = pages[html / "book" / "index.html"]
    assert index.select_one("article h2").find_previous("a", href="reference/questions.html")
    assert all(page.select_one("nav.find a") for page in pages.values())
    shown = [card.get_text() for card in index.select(".sd-card.chapter")]
    assert len(shown) == len(chapters.paths())
    assert all("min to read" in card and "min to run" in card for card in shown)


# --- weight, and what readers and their programs meet ----------------------------------------------------------------


def test_pictures_have_a_size_and_load_when_they_are_near(html, pages):
    for path, page in pages.items():
        for picture in page.select("article img"):
            assert picture.get("loading") == "lazy", f"{path.name}: {picture['src'][:80]}"
            assert float(picture["width"]) > 0, f"{path.name}: {picture['src'][:80]}"
            assert float(picture["height"]) > 0, f"{path.name}: {picture['src'][:80]}"
    assert not (html / "_static" / "covers").exists() or not list((html / "_static" / "covers").iterdir())


def test_a_converted_picture_has_the_pixels_that_were_executed(html):
    output = next(
        output["data"]["image/png"]
        for cell in chapters.code_cells(chapters.read(html.parents[1] / "book" / "chapters" / "elbo.ipynb"))
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {}) and "text/html" not in output["data"]
    )
    png = base64.b64decode(output)
    name = hashlib.sha256(png).hexdigest()
    with Image.open(io.BytesIO(png)) as executed, Image.open(html / "_images" / f"{name}.webp") as shown:
        assert np.array_equal(np.asarray(executed.convert("RGB")), np.asarray(shown.convert("RGB")))


def test_pages_load_what_they_use(html, pages):
    for path, page in pages.items():
        loaded = [tag["src"] for tag in page.select("script[src]")]
        assert not [script for script in loaded if "thebe" in script or "searchindex" in script], path.name
        assert bool(page.select(".math")) <= any("mathjax" in script for script in loaded), path.name
        waiting = [tag["src"] for tag in page.select("head script[src]") if not {"defer", "async"} & set(tag.attrs)]
        assert not waiting, path.name
    mathjax = {
        path.relative_to(html / "_static" / "mathjax").parts[0] for path in (html / "_static/mathjax").rglob("*")
    }
    assert mathjax == {"tex-chtml.js", "output"}
    assert (html / "_static" / "scripts" / "fontawesome.js").stat().st_size < 150_000


def test_scripts_of_previews_are_in_the_book(html, pages):
    page = pages[html / "book" / "chapters" / "elbo.html"]
    scripts = [tag["src"] for tag in page.select("script[src*='tippy']")]
    assert len(scripts) == 3  # popper, tippy, and what the page previews
    shown = "".join((html / "book" / "chapters" / script.split("?")[0]).resolve().read_text() for script in scripts)
    assert "bibliography.html#" in shown
    assert "glossary.html#term-" in shown
    assert page.select("article a.term")
    assert "notation.html#symbol-" in shown
    beta = page.find("a", class_="symbol", string="\\(\\beta\\)")
    target, _, row = beta["href"].partition("#")
    entry = pages[(html / "book" / "chapters" / target).resolve()].find("tr", id=row)
    assert "weight of the KL" in entry.get_text()
    assert "weight of the KL" in beta["aria-label"], "a formula alone gives a link no name"


def test_signatures_are_real(pages):
    signatures = {tag["id"]: tag.get_text() for page in pages.values() for tag in page.select("dt.sig[id]")}
    assert "likelihood='bernoulli'" in signatures["vaecourse.models.vae.VAE"]
    assert "encoder, decoder" in signatures["vaecourse.models.vae.VAE"]
    hidden = [name for name, text in signatures.items() if "(*args, **kwargs)" in text]
    assert not hidden
    assert not [page for page in pages.values() if "Alias for field number" in page.get_text()]


def test_the_reference_leads_to_the_source(html, pages):
    place = pages[html / "book/reference/api/models.html"].find(id="vaecourse.models.vae.VAE")
    source, _, anchor = place.select_one("a.viewcode-link, a:has(.viewcode-link)")["href"].partition("#")
    code = BeautifulSoup((html / "book/reference/api" / source).read_text(), "html.parser")
    assert "class VAE" in code.find(id=anchor).get_text()


def test_every_page_describes_itself(pages):
    for path, page in pages.items():
        (description,) = page.select("meta[name=description]")
        assert len(description["content"]) > 20, path.name
        assert page.select_one("meta[property='og:title']"), path.name
        assert page.select_one("meta[property='og:image']")["content"].startswith("https://reader.github.io/course/")
        assert page.select_one("link[rel=canonical]")["href"].startswith("https://reader.github.io/course/book/")


def test_a_published_book_has_a_sitemap_and_a_page_for_what_does_not_exist(html, pages):
    sitemap = (html / "sitemap.xml").read_text()
    for path in pages:
        assert f"<loc>https://reader.github.io/course/{path.relative_to(html)}</loc>" in sitemap
    assert "/course/_static/" in (html / "404.html").read_text()


def test_all_notebooks_are_in_one_file(html, pages):
    with zipfile.ZipFile(html / bundle.NAME) as file:
        assert file.testzip() is None
        names = sorted(file.namelist())
    assert [name.split("-", 2)[2] for name in names] == [path.name for path in chapters.paths()]
    assert pages[html / "book" / "index.html"].select_one(f"article a[href='../{bundle.NAME}']")


def test_the_first_page_leads_to_the_pdf_once_it_is_made(html, tmp_path):
    shutil.copytree(html / "book", tmp_path / "book", ignore=shutil.ignore_patterns("chapters", "reference"))
    pdf.offer(tmp_path)
    index = tmp_path / "book" / "index.html"
    assert "make pdf" in BeautifulSoup(index.read_text(), "html.parser").select_one("span.pdf").get_text()
    (tmp_path / pdf.NAME).touch()
    pdf.offer(tmp_path)
    assert f'href="../{pdf.NAME}"' in index.read_text()


def test_links_lead_from_page_to_page_in_the_pdf(html):
    names = ["book/index", "book/reference/notation", "book/reference/glossary"]
    whole = BeautifulSoup(pdf.together(html, names), "html.parser")
    places = {tag["id"] for tag in whole.select("[id]")}
    links = [link["href"] for link in whole.select("article a[href^='#']")]
    assert "#book/reference/glossary" in links
    assert not {link for link in links if link[1:] not in places}


def test_a_machine_without_a_browser_is_told_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="install one of chromium"):
        pdf.browser()


# --- search ----------------------------------------------------------------------------------------------------------

ASKED = {  # in the words of somebody who asks; the section that answers must be among the first three
    "blurry": "diagnosis#samples-all-alike-or-blurry-mode-averaging",
    "negative loss": "diagnosis#the-loss-is-negative",
    "NaN": "diagnosis#the-loss-is-nan",
    "posterior collapse": "diagnosis#the-kl-is-at-zero-posterior-collapse-kl-vanishing",
    "KL vanishing": "diagnosis#the-kl-is-at-zero-posterior-collapse-kl-vanishing",
    "beta": "elbo#and-what-it-does-to-the-bound",
    "ELBO": "elbo",
    "which likelihood": "likelihoods#which-one-to-use",
    "install on Colab": "index#three-ways-to-use-it",
    "interpolate between digits": "conv-cvae#exercises",
    "is -100 a good ELBO": "numbers#thresholded-pixels",
    "validation loss is zero": "from-scratch#why-is-my-val-loss-zero-or-missing",
    "all samples look the same": "diagnosis#samples-all-alike-or-blurry-mode-averaging",
    "how do I save the encoder": "from-scratch#saving-the-whole-the-encoder-or-the-weights",
    "bits per dimension": "likelihoods#bits-per-dimension",
    "No loss to compute": "from-scratch#why-is-my-val-loss-zero-or-missing",
    "placeholder": "graph-era#porting-tensorflow-1-code-to-tensorflow-2",
}
ASK = """<!doctype html><meta charset="utf-8"><body><script>
const DOCUMENTATION_OPTIONS = {}, SPHINX_HIGHLIGHT_ENABLED = false, _ready = () => {}, _ = (text) => text;
</script><script src="_static/searchtools.js"></script><script src="_static/language_data.js"></script>
<script src="searchindex.js"></script><script>
const found = {};
for (const query of QUERIES) {
  const [asked, ...terms] = Search._parseQuery(query);
  found[query] = Search._performSearch(asked, ...terms).reverse().map(([page, , anchor]) => page + anchor);
}
document.body.textContent = JSON.stringify(found);
</script>"""


@pytest.fixture(scope="module")
def search_index(html):
    text = (html / "searchindex.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))


def test_every_question_is_in_the_search_index(search_index, pages, html):
    for entry in questions.entries():
        found = search_index["indexentries"][entry.words.replace(";", ",").lower()]
        page = entry.page.relative_to(chapters.ROOT).with_suffix("")
        (anchor,) = {anchor for number, anchor, _ in found if search_index["docnames"][number] == page.as_posix()}
        assert bool(anchor) == bool(entry.anchor)
        assert not anchor or pages[html / page.with_suffix(".html")].find(id=anchor)


def test_the_first_cell_of_the_chapters_is_shown_and_not_searched(search_index, pages, html):
    shown = pages[html / "book" / "chapters" / "elbo.html"].select_one(".tag_set-up").get_text()
    assert "REPOSITORY" in shown
    with_the_word = search_index["terms"].get("repositori", [])
    assert len(with_the_word if isinstance(with_the_word, list) else [with_the_word]) < len(chapters.paths()) / 2


@pytest.mark.skipif(not shutil.which("chromium"), reason="the search runs in a browser")
def test_search_finds_the_sections_that_answer(html):
    (html / "ask.html").write_text(ASK.replace("QUERIES", json.dumps(list(ASKED))), encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=9000",
    ]
    command = ["chromium", *flags, "--dump-dom", (html / "ask.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = json.loads(BeautifulSoup(dom, "html.parser").body.get_text())
    for query, answer in ASKED.items():
        first = [place.removeprefix("book/").split("/")[-1] for place in found[query][:3]]
        assert answer in first, f"{query}: {first}"


def test_every_public_name_has_its_place_in_the_reference(pages):
    identifiers = {tag["id"] for page in pages.values() for tag in page.select("[id]")}
    for module in public_modules():
        assert module in {identifier.removeprefix("module-") for identifier in identifiers}
        for name, value in vars(importlib.import_module(module)).items():
            if not name.startswith("_") and getattr(value, "__module__", "") == module and callable(value):
                assert f"{module}.{name}" in identifiers


def public_modules() -> list[str]:
    """Return the packages of the module, and the modules in them."""
    found = pkgutil.walk_packages(vaecourse.__path__, "vaecourse.")
    return [module.name for module in found if not module.name.split(".")[-1].startswith("_")]


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)
def test_launch_and_edit_buttons_lead_to_the_address(html, pages, path):
    page = pages[html / path.relative_to(chapters.ROOT).with_suffix(".html")]
    links = [tag["href"] for tag in page.find_all("a", href=True)]
    notebook = path.relative_to(chapters.ROOT)
    assert f"https://colab.research.google.com/github/reader/course/blob/colab/{path.name}" in links
    assert f"{ADDRESS}/edit/main/{notebook}" in links


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)
def test_a_chapter_offers_its_single_file_whose_links_lead_into_the_book(html, pages, path):
    page = html / path.relative_to(chapters.ROOT).with_suffix(".html")
    (link,) = [tag["href"] for tag in pages[page].select("a.btn-download-source-button")]
    file = (page.parent / link).resolve()
    assert file == html.resolve() / "colab" / path.name
    words = "".join(cell.source for cell in chapters.read(file).cells if cell.cell_type == "markdown")
    for target in re.findall(rf"\]\({PUBLISHED}([^)]*)\)", words):
        name, _, anchor = target.partition("#")
        assert not anchor or pages[html / name].find(id=unquote(anchor)), target
        assert (html / name).exists(), target
    for anchor, number in re.findall(r'<a id="([^"]+)"></a>\*\*(Fig\. [\d.]+)\.\*\*', words):
        assert pages[page].find(id=anchor).select_one(".caption-number").get_text().strip() == number


def test_buttons_are_hidden_while_no_address_is_set(monkeypatch):
    monkeypatch.syspath_prepend(chapters.ROOT / "book" / "_ext")
    course = importlib.import_module("course")
    options = {"use_repository_button": True, "launch_buttons": {"colab_url": "https://example.org"}}
    for url, shown in ((ADDRESS, True), (f"https://github.com/{address.PLACEHOLDER}/vaecourse", False)):
        config = types.SimpleNamespace(html_theme_options={**options, "repository_url": url})
        course.hide_buttons_without_address(None, config)
        assert config.html_theme_options["use_repository_button"] is shown
        assert bool(config.html_theme_options["launch_buttons"]) is shown
