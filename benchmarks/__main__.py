"""`python -m benchmarks [part ...]`: measure, print the table, write `results.json` and the figure of the book."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
from pathlib import Path

from benchmarks import report
from benchmarks.measurements import JOBS, PARTS

FIGURE = Path(__file__).parents[1] / "book" / "_static" / "speed" / "throughput.png"
PACKAGES = ("tensorflow", "keras", "numpy", "torch", "jax")


def main() -> None:
    """Measure the parts that were asked for, all by default; what was measured before of the others stays."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all by default")
    asked = parser.parse_args().parts or list(PARTS)
    if unknown := set(asked) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    results = report.results()
    for part in asked:
        print(part, flush=True)
        results[part] = PARTS[part](lambda line: print(line, flush=True))
        results.setdefault("measured", {})[part] = place()
        report.RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(report.of_targets(results))
    print(report.of_chapters(results))
    if set(asked) & set(JOBS):
        report.draw(results, FIGURE)


def place() -> str:
    """Return when, on what and with which versions a part was measured."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{datetime.date.today()}, {os.cpu_count()} × {platform.machine()}, {', '.join(versions)}"


if __name__ == "__main__":
    main()
