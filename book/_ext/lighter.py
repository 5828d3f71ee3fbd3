"""Sphinx extension of this book: pictures weigh little, have a size before they load, and load when they are near.

Outputs of chapters stay as they were executed: what is changed is the built pages.  A PNG becomes a lossless WebP,
which has the same pixels, and a tap on a picture shows it by itself, as large as it is.
"""

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

import built

AFTER_ALL_OTHERS = 950  # a priority: every file of the book has been written
IMAGE = re.compile(r'(?P<link><a\b[^>]*>\s*)?(?P<tag><img\b[^>]*?\bsrc="(?P<src>[^"]+)"[^>]*?)\s*/?>')
STYLED = re.compile(r'\s*\bstyle="(?=[^"]*width)[^"]*"')
IN_PIXELS = re.compile(r"\b(width|height):\s*([\d.]+)px")
OF_SVG = re.compile(r"<svg\b[^>]*>", re.DOTALL)
DIGEST = re.compile(r"[0-9a-f]{64}")  # the name of a picture that is called after its content
DATA = "data:image/png;base64,"
CARD = (480, 288)  # a picture of a card is shown at half of this, or smaller
COPIES = (
    "_sources",
    "_static/covers",
    "_static/diagrams",
    "_static/speed",
    "_static/tippy",
)  # copied whole, whether used or not; previews have another name in every build
MAPS = ("_static/scripts/*.map", "_static/styles/*.map")  # for the authors of the theme


def lighten(app, exception):
    """Convert the pictures of all pages, and remove copies that no page uses."""
    if exception or app.builder.format != "html":
        return
    outdir = Path(app.outdir)
    texts = {path: path.read_text(encoding="utf-8") for path in built.pages(outdir)}
    used = {}  # the largest size at which each picture is needed
    for path, text in texts.items():
        for picture, limit in _pictures(path, text, outdir):
            used[picture] = limit and used.get(picture, limit)
    with ThreadPoolExecutor() as pool:
        written = dict(zip(used, pool.map(_lossless, *zip(*used.items(), strict=True)), strict=True))
    sizes = {path: _size(path) for path in set(written.values())}
    for path, text in texts.items():
        new = IMAGE.sub(lambda found, page=path: _tag(found, page, outdir, written, sizes), text)
        if new != text:
            path.write_text(new, encoding="utf-8")
            texts[path] = new
    for before, after in written.items():
        if before != after:
            before.unlink()
    _remove_copies(outdir, "\n".join(texts.values()))


def _pictures(page, text, outdir):
    for found in IMAGE.finditer(text):
        picture = _file(found["src"], page, outdir)
        if picture is not None:
            yield picture, CARD if "sd-card-img" in found["tag"] else None


def _file(src, page, outdir):
    """Return the file of a picture, or nothing where it is none of the book's files."""
    parts = urlsplit(src)
    if parts.scheme or parts.netloc or not parts.path or "${" in src:
        return None
    path = (page.parent / unquote(parts.path)).resolve()
    return path if path.is_file() and path.is_relative_to(outdir.resolve()) else None


def _lossless(path, limit):
    """Write a PNG as a lossless WebP, not larger than a limit, and return the path of the smaller file."""
    if path.suffix != ".png":
        return path
    target = path.with_suffix(".webp")
    if not (DIGEST.fullmatch(path.stem) and target.exists()):
        with Image.open(path) as picture:
            if picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255):
                picture = picture.convert("RGB")  # matplotlib writes transparency where there is none
            if limit:
                picture = picture.convert("RGB")
                picture.thumbnail(limit, Image.Resampling.LANCZOS)
            picture.save(target, "WEBP", lossless=True, exact=True, quality=80)
    if target.stat().st_size < path.stat().st_size:
        return target
    target.unlink()
    return path


def _size(path):
    """Return width and height of a picture in pixels."""
    if path.suffix != ".svg":
        with Image.open(path) as picture:
            return picture.size
    tag = OF_SVG.search(path.read_text(encoding="utf-8"))[0]
    stated = [re.search(rf'\b{name}="([\d.]+)(?:px|pt)?"', tag) for name in ("width", "height")]
    if all(stated):
        return tuple(float(number[1]) for number in stated)
    return tuple(map(float, re.search(r'viewBox="([^"]+)"', tag)[1].replace(",", " ").split()[2:]))


def _tag(found, page, outdir, written, sizes):
    """Return the tag of a picture with its size, and whatever else a page needs to load it late."""
    tag, src, link = found["tag"], found["src"], found["link"] or ""
    path = _file(src, page, outdir)
    if path is not None:
        size, target = sizes[written[path]], src.replace(path.name, written[path].name)
        link = link.replace(path.name, written[path].name)  # to the picture by itself, where it is shown smaller
    elif src.startswith(DATA):
        with Image.open(io.BytesIO(base64.b64decode(src.removeprefix(DATA)))) as picture:
            size, target = picture.size, ""
    else:
        return found[0]
    styled = STYLED.search(tag)
    shown = {name: float(number) for name, number in IN_PIXELS.findall(styled[0])} if styled else {}
    if len(shown) == 2:  # the size at which a program drew it; a narrow page makes it smaller in proportion
        size, tag = (shown["width"], shown["height"]), STYLED.sub("", tag)
    if target:
        tag = tag.replace(f'src="{src}"', f'src="{target}"')
    if not re.search(r"\swidth=", tag):
        tag += f' width="{round(size[0])}" height="{round(size[1])}"'
    if "logo__image" in tag:
        return f"{link}{tag}>"
    if "loading=" not in tag:
        tag += ' loading="lazy" decoding="async"'
    alone = target and not link and "sd-card-img" not in tag
    return f'<a class="alone" href="{target}">{tag}></a>' if alone else f"{link}{tag}>"


def _remove_copies(outdir, text):
    """Remove what is copied beside the pages and named by none of them."""
    for folder in COPIES:
        for path in (outdir / folder).rglob("*"):
            if path.is_file() and f"{folder}/{path.relative_to(outdir / folder).as_posix()}" not in text:
                path.unlink()
    for pattern in MAPS:
        for path in outdir.glob(pattern):
            path.unlink()


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", lighten, priority=AFTER_ALL_OTHERS)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
