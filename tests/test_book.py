"""The built book: no warnings, no network, no page or picture missing."""

import importlib
import pkgutil
import shutil
import subprocess
import sys
import types
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

import vaecourse
from tools import address, chapters, results

ADDRESS = "https://github.com/reader/course"


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """Build the book as `make book` does, from a copy whose address has been set."""
    copied = tmp_path_factory.mktemp("book") / "course"
    ignored = shutil.ignore_patterns(".venv", "_build", ".git", ".*cache", "output", "__pycache__")
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


def test_every_picture_has_alternative_text(pages):
    for path, page in pages.items():
        for picture in page.select("article img"):
            alternative = picture.get("alt", "")
            assert alternative, f"{path.name}: {picture['src']}"
            assert not alternative.endswith((".png", ".gif")), f"{path.name}: {picture['src']}"


def test_the_animation_is_in_the_page(html, pages):
    page = pages[html / "book" / "chapters" / "conv-cvae.html"]
    (gif,) = [image["src"] for image in page.select("article img") if image["src"].endswith(".gif")]
    assert (html / "book" / "chapters" / gif).resolve().read_bytes()[:6] == b"GIF89a"


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
    assert f"https://colab.research.google.com/github/reader/course/blob/main/{notebook}" in links
    assert f"{ADDRESS}/edit/main/{notebook}" in links


def test_buttons_are_hidden_while_no_address_is_set(monkeypatch):
    monkeypatch.syspath_prepend(chapters.ROOT / "book" / "_ext")
    course = importlib.import_module("course")
    options = {"use_repository_button": True, "launch_buttons": {"colab_url": "https://example.org"}}
    for url, shown in ((ADDRESS, True), (f"https://github.com/{address.PLACEHOLDER}/vaecourse", False)):
        config = types.SimpleNamespace(html_theme_options={**options, "repository_url": url})
        course.hide_buttons_without_address(None, config)
        assert config.html_theme_options["use_repository_button"] is shown
        assert bool(config.html_theme_options["launch_buttons"]) is shown
