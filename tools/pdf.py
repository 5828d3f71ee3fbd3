"""The whole book as one PDF, with its solutions open: `make pdf` prints the pages that `make book` has built.

All pages are put into one, so that links lead from chapter to chapter in the PDF, too, and a browser prints it.
"""

import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

from tools import chapters

HTML = chapters.ROOT / "_build" / "html"
NAME = "vaecourse.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
OFFER = re.compile(r'<span class="pdf">.*?</span>', re.DOTALL)  # on the first page
LINK = f'<span class="pdf"><a href="../{NAME}">The whole book as a PDF</a>, with the solutions open.</span>'
PRINTED = "printed.html"  # beside the pages, so that pictures are found
WAIT = 600_000  # milliseconds, for thousands of formulas
STYLE = """
  .bd-article section.page { break-before: page; }
  .bd-article :is(a.headerlink, .copybtn, nav, .pst-js-only) { display: none !important; }
  .bd-main .bd-content .bd-article-container { max-width: none !important; padding: 0; }
"""
READY = "() => document.readyState === 'complete' && (!window.MathJax || MathJax.startup.promise.then(() => true))"


def together(html: Path, names: list[str]) -> str:
    """Return one page of all pages: its anchors carry the name of their page, and its links lead to them."""
    book = BeautifulSoup((html / f"{names[0]}.html").read_text(encoding="utf-8"), "html.parser")
    whole = book.select_one("article.bd-article")
    whole.clear()
    for name in names:
        path = html / f"{name}.html"
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").select_one("article.bd-article")
        _prefix(page, name, path, html, set(names))
        section = book.new_tag("section", attrs={"class": "page", "id": name})
        section.extend(list(page.contents))
        whole.append(section)
    for script in book.select("head script[src]"):
        if "mathjax" not in script["src"]:  # whatever else a page does, paper does not
            script.decompose()
    style = book.new_tag("style")
    style.string = STYLE
    book.head.append(style)
    book.body.clear()
    for tag, classes in (("div", "bd-main"), ("div", "bd-content"), ("div", "bd-article-container")):
        outer = book.new_tag(tag, attrs={"class": classes})
        (book.body.select("div") or [book.body])[-1].append(outer)
    outer.append(whole)
    return str(book)


def _prefix(page: Tag, name: str, path: Path, html: Path, names: set[str]) -> None:
    for tag in page.select("[id]"):
        tag["id"] = f"{name}--{tag['id']}"
    for tag in page.select("script, iframe"):
        tag.decompose()
    for tag in page.select("details"):
        tag["open"] = ""
    for tag in page.select("img"):
        tag["loading"] = "eager"
    for tag, attribute in (("a", "href"), ("img", "src")):
        for link in page.select(f"{tag}[{attribute}]"):
            parts = urlsplit(link[attribute])
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            there = target.relative_to(html.resolve()).as_posix() if target.is_relative_to(html.resolve()) else ""
            page_name = there.removesuffix(".html")
            if page_name in names and there.endswith(".html"):
                link[attribute] = f"#{page_name}--{unquote(parts.fragment)}" if parts.fragment else f"#{page_name}"
            elif tag == "img":
                link[attribute] = f"../{there}"
            else:
                del link[attribute]  # a page or a file that the PDF does not have


def browser() -> str:
    """Return the path of a browser.

    Raises
    ------
    FileNotFoundError
        If the machine has none.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(f"make pdf prints with a browser, and there is none: install one of {', '.join(BROWSERS)}")


def offer(html: Path) -> None:
    """Link the PDF on the first page, if it has been made."""
    index = html / "book" / "index.html"
    if (html / NAME).exists() and index.exists():
        index.write_text(OFFER.sub(LINK, index.read_text(encoding="utf-8")), encoding="utf-8")


def write(html: Path = HTML, names: list[str] | None = None) -> Path:
    """Print the built book, and return the path of the PDF."""
    from playwright.sync_api import sync_playwright  # only who prints needs it

    names = names or chapters.pages()
    executable = browser()
    if missing := [name for name in names if not (html / f"{name}.html").exists()]:
        raise FileNotFoundError(f"{missing[0]}.html is not in {html}; run make book first")
    printed, target = html / "book" / PRINTED, html / NAME
    printed.write_text(together(html, names), encoding="utf-8")
    try:
        with sync_playwright() as driver:
            started = driver.chromium.launch(executable_path=executable, args=list(FLAGS))
            page = started.new_page()
            page.set_default_timeout(WAIT)
            page.goto(printed.as_uri())
            page.wait_for_function(READY)
            page.pdf(
                path=target,
                format="A4",
                outline=True,
                tagged=True,
                margin=dict.fromkeys(("top", "bottom", "left", "right"), "18mm"),
            )
            started.close()
    finally:
        printed.unlink()
    offer(html)
    return target


def main() -> None:
    """Print the book."""
    try:
        target = write()
    except (ImportError, FileNotFoundError) as error:
        sys.exit(str(error))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
