"""Sphinx extension of this book: a page loads the scripts, icons and fonts that it uses, and shows before they run."""

import re
import shutil
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

import built

AFTER_MATHJAX = 900  # a priority: its files have been copied
THEBE = re.compile(
    r"\s*<(?:script[^>]*|link[^>]*)sphinx-thebe[^>]*>(?:</script>)?|\s*<script>const THEBE_JS_URL.*?</script>"
)
SEARCH = re.compile(r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
OPTIONS = re.compile(r'<script src="([^"]*documentation_options\.js)[^"]*"></script>')
WAITING = re.compile(r"<script (?![^>]*\b(?:defer|async)\b)([^>]*\bsrc=)")
TWICE = "    <script>var togglebuttonSelector = '.toggle, .admonition.dropdown';</script>\n"
SEARCH_PAGE = "search.html"

MATHJAX = "_static/mathjax"
PARTS = (  # all that formulas need, and not the menu
    "startup.js",  # which begins when all of the file has been read
    "core.js",
    "input/tex.js",
    "output/chtml.js",
    "output/chtml/fonts/tex.js",
    "a11y/assistive-mml.js",
)
FONTS = "output/chtml/fonts/woff-v2"

ICON = r'(?:"[\w-]+"|\w+):\[\d+,\d+,\[[^\]]*\],"[0-9a-f]*",(?:"[^"]*"|\[[^\]]*\])\]'
ICONS = re.compile(rf"(?<=\{{){ICON}(?:,{ICON})*(?=\}})")
NAMED = re.compile(r"\bfa-([a-z0-9-]+)")
GLYPH = re.compile(r'--pst-icon-[a-z-]+:\s*"([^"]+)"')
CODE = re.compile(r'content:\s*"\\([0-9a-f]{4,5})"')
THEME = "pydata-sphinx-theme.css"  # which has the codes of all icons
CLASSES = re.compile(r'(?:\.fa-[a-z0-9-]+:before,?)+\{content:"[^"]*"\}')  # of the font; pages draw icons by the script
SOLID = "_static/vendor/fontawesome/webfonts/fa-solid-900"


def trim_pages(outdir):
    """Take out of the pages what they do not use, and let them be shown before scripts run."""
    options = (outdir / "_static" / "documentation_options.js").read_text(encoding="utf-8")

    def trimmed(path, text):
        text = THEBE.sub("", text)
        text = text.replace(TWICE, "", text.count(TWICE) - 1)
        if path == outdir / SEARCH_PAGE:
            return text
        text = SEARCH.sub("", text)
        text = OPTIONS.sub(lambda _: f"<script>{options}</script>", text)
        head, end, body = text.partition("</head>")
        return WAITING.sub(r"<script defer \1", head) + end + body

    built.rewrite(outdir, trimmed)


def trim_mathjax(outdir):
    """Leave of MathJax one script, of the parts that this book uses, and the fonts."""
    whole = outdir / MATHJAX
    names = ", ".join(f'"{part.removesuffix(".js")}"' for part in PARTS)
    parts = [(whole / part).read_text(encoding="utf-8") for part in PARTS]
    parts.insert(1, f"MathJax.loader.preLoad({names});")
    trimmed = outdir / f"{MATHJAX}-trimmed"
    shutil.rmtree(trimmed, ignore_errors=True)
    shutil.copytree(whole / FONTS, trimmed / FONTS)
    (trimmed / "tex-chtml.js").write_text("\n".join(parts), encoding="utf-8")
    shutil.rmtree(whole)
    trimmed.rename(whole)


def trim_icons(outdir, texts):
    """Leave those icons that a page, a script or a style names."""
    script = outdir / "_static" / "scripts" / "fontawesome.js"
    named = {name for text in texts for name in NAMED.findall(text)}
    icons = ICONS.sub(lambda found: _kept(found[0], named), script.read_text(encoding="utf-8"))
    script.write_text(icons, encoding="utf-8")


def _kept(icons, named):
    entries = re.findall(ICON, icons)
    kept = [
        entry
        for entry in entries
        if named & {entry.split(":")[0].strip('"'), *re.findall(r'"([a-z0-9-]+)"', _aliases(entry))}
    ]
    return ",".join(kept)


def _aliases(entry):
    return re.search(r"\[\d+,\d+,\[([^\]]*)\]", entry)[1]


def trim_font(outdir):
    """Leave those glyphs of the font of icons that styles name."""
    styles = sorted((outdir / "_static").rglob("*.css"))
    texts = {path: path.read_text(encoding="utf-8") for path in styles}
    glyphs = {glyph for text in texts.values() for glyph in GLYPH.findall(text)}
    glyphs |= {chr(int(code, 16)) for path in styles if path.name != THEME for code in CODE.findall(texts[path])}
    font = TTFont(outdir / f"{SOLID}.ttf")
    trimming = subset.Subsetter(subset.Options(layout_features=[], notdef_outline=True))
    trimming.populate(text="".join(glyphs))
    trimming.subset(font)
    font.flavor = "woff"
    font.save(outdir / f"{SOLID}.woff")
    for suffix in (".ttf", ".woff2"):
        (outdir / f"{SOLID}{suffix}").unlink()
    for path, text in texts.items():
        new = re.sub(
            r"(fa-solid-900)\.woff2\) ?format\(\"woff2\"\),url\([^)]*\) ?format\(\"truetype\"\)",
            r'\1.woff) format("woff")',
            text,
        )
        new = CLASSES.sub("", new)
        if new != text:
            path.write_text(new, encoding="utf-8")


def trim(app, exception):
    """Trim the built book."""
    if exception or app.builder.format != "html":
        return
    outdir = Path(app.outdir)
    trim_pages(outdir)
    trim_mathjax(outdir)
    for cache in outdir.glob("tippy_*_cache.json"):  # of previews that a server would give
        cache.unlink()
    scripts = [path for path in sorted((outdir / "_static").rglob("*.js")) if path.name != "fontawesome.js"]
    styles = [path for path in sorted((outdir / "_static").rglob("*.css")) if path.name != THEME]
    trim_icons(outdir, [path.read_text(encoding="utf-8") for path in [*built.pages(outdir), *scripts, *styles]])
    trim_font(outdir)


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", trim, priority=AFTER_MATHJAX)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
