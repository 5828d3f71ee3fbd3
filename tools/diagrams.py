"""The drawings of the book as PNG, since not every notebook program shows SVG in Markdown: `python -m tools.diagrams`.

It needs Chromium, and is needed only after a drawing has changed; each picture notes of which drawing it is.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tools import chapters, pdf

FOLDER = chapters.ROOT / "book" / "_static" / "diagrams"
SCALE = 2  # of pixels to a point of the drawing
COLORS = 64
SOURCE = "Source"  # what the picture calls the digest of its drawing


def digest(drawing: Path) -> str:
    """Return what a picture notes of its drawing."""
    return hashlib.sha256(drawing.read_bytes()).hexdigest()


def draw(drawing: Path) -> None:
    """Write the picture of a drawing beside it, on white."""
    width, height = re.search(r'width="(\d+)" height="(\d+)"', drawing.read_text(encoding="utf-8")).groups()
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder, "page.html"), Path(folder, "shot.png")
        page.write_text(f'<body style="margin:0;background:white"><img style="display:block" src="{drawing.as_uri()}">')
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"]
        size = [f"--window-size={width},{height}", f"--force-device-scale-factor={SCALE}", f"--screenshot={shot}"]
        subprocess.run([pdf.browser(), *flags, *size, page.as_uri()], check=True, capture_output=True, timeout=60)
        noted = PngInfo()
        noted.add_text(SOURCE, digest(drawing))
        picture = Image.open(shot).convert("RGB").quantize(COLORS)
        picture.save(drawing.with_suffix(".png"), optimize=True, pnginfo=noted)


if __name__ == "__main__":
    for file in sys.argv[1:] or sorted(FOLDER.glob("*.svg")):
        draw(Path(file).resolve())
