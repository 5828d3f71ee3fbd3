"""What the extensions share that change the built pages."""

from pathlib import Path


def pages(outdir):
    """Return the built pages."""
    found = sorted(Path(outdir).rglob("*.html"))
    return [path for path in found if not {"_static", "_sources"} & set(path.relative_to(outdir).parts)]


def rewrite(outdir, change):
    """Let `change(path, text)` give every page its new text."""
    for path in pages(outdir):
        text = path.read_text(encoding="utf-8")
        new = change(path, text)
        if new != text:
            path.write_text(new, encoding="utf-8")
