"""`python -m benchmarks [part ...]`: measure, print the table, write the file of this machine and the figure."""

import argparse
import datetime
import importlib.metadata
import json
from pathlib import Path

from benchmarks import figure, report
from benchmarks.measurements import JOBS, PARTS
from tools import processors

FIGURE = Path(__file__).parents[1] / "book" / "_static" / "speed" / "throughput.png"
PACKAGES = ("tensorflow", "keras", "numpy", "torch", "jax")


def main() -> None:
    """Measure the parts that were asked for, all by default; what was measured before of the others stays."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all by default")
    asked = parser.parse_args().parts or list(PARTS)
    if unknown := set(asked) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    machine = processors.kind()
    path = report.file_of(machine)
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results["machine"] = machine
    path.parent.mkdir(exist_ok=True)
    for part in asked:
        print(part, flush=True)
        results[part] = PARTS[part](lambda line: print(line, flush=True))
        results.setdefault("measured", {})[part] = place()
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(report.of_targets(results))
    print(report.of_chapters(results))
    if set(asked) & set(JOBS) and path == report.RESULTS:  # the figure is of the machine that the page speaks of
        figure.draw(results, FIGURE)


def place() -> str:
    """Return when, on what and with which versions a part was measured: processor, vector units, oneDNN, packages."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{datetime.date.today()}, {processors.describe()}, {', '.join(versions)}"


if __name__ == "__main__":
    main()
