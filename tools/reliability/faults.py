"""What is left after a kill, with a full disk, in a closed folder, after half a download: nothing is lost or half."""

import argparse
import contextlib
import http.server
import io
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHAIN = 4
"""How often a training is killed before it is left to end: between, it resumes."""


def measure(options: argparse.Namespace, before: dict[str, Any], say: Callable[[str], None]) -> dict[str, Any]:
    """Kill trainings, downloads and executions, and compare what they leave, and how they go on."""
    from tools.reliability import trainings  # which imports TensorFlow

    draw = random.Random(options.seed)
    rows, failures = [], []
    for what, must, check in CHECKS:
        number = options.kills if check is killed else 1
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            held, tried, notes = check(trainings, Path(folder), draw, number)
        rows.append([what.format(tried), must, f"{held} of {tried}"])
        failures += [f"{rows[-1][0]}: {note}" for note in notes]
        say(" | ".join(rows[-1]) + "".join(f"\n  {note}" for note in notes))
    counts = [tuple(map(int, row[2].split(" of "))) for row in rows]
    return {
        "rows": rows,
        "held": sum(held for held, _ in counts),
        "tried": sum(tried for _, tried in counts),
        "kills": counts[0][1] + counts[1][1],
        "failures": failures,
    }


Outcome = tuple[int, int, list[str]]


def killed(trainings: Any, folder: Path, draw: random.Random, number: int) -> Outcome:
    """Kill a training at random moments, again and again while it resumes, and let it end."""
    expected, seconds = _uninterrupted(trainings, folder)
    kills = held = chains = 0
    notes = []
    while kills < number:
        chains += 1
        here, mark = folder / f"backup{chains}", folder / "mark"
        in_this = 0
        while in_this < CHAIN and kills + in_this < number:
            mark.unlink(missing_ok=True)
            child = trainings.Child(trainings.train, here, mark, answer=folder / "answer")
            _wait_for(mark)
            time.sleep(draw.uniform(0, 0.7 * seconds))
            child.kill()
            if not child.killed:  # it had ended before
                break
            in_this += 1
        kills += in_this
        last = trainings.Child(trainings.train, here, mark, answer=folder / "answer").wait()
        held += in_this * (last == expected)
        notes += [] if last == expected else [f"after {in_this} kills: {last} instead of {expected}"]
    return held, kills, notes


def between(trainings: Any, folder: Path, draw: random.Random, number: int) -> Outcome:
    """Kill a training between the two files of its backup."""
    expected, _ = _uninterrupted(trainings, folder)
    return _then_resumes(trainings, folder, expected, trainings.train_and_die_between_the_files, (2, 5, 9), "killed")


def full_disk(trainings: Any, folder: Path, draw: random.Random, number: int) -> Outcome:
    """Let a training find the disk full."""
    expected, _ = _uninterrupted(trainings, folder)
    return _then_resumes(trainings, folder, expected, trainings.train_on_a_full_disk, (1, 4, 8), "Error")


def _then_resumes(trainings: Any, folder: Path, expected: str, first: Callable, moments: tuple, said: str) -> Outcome:
    notes = []
    for at in moments:
        here, mark = folder / f"backup{at}", folder / "mark"
        before = trainings.Child(first, here, mark, at, answer=folder / "answer").wait()
        after = trainings.Child(trainings.train, here, mark, answer=folder / "answer").wait()
        if said not in before:
            notes.append(f"epoch {at}: {before} instead of an end")
        elif after != expected:
            notes.append(f"epoch {at}: {before}, then {after} instead of {expected}")
    return len(moments) - len(notes), len(moments), notes


def closed(trainings: Any, folder: Path, draw: random.Random, number: int) -> Outcome:
    """Let a training have a folder for its backup that it may not write to."""
    here = folder / "closed"
    here.mkdir(mode=0o555)
    (folder / "marks").mkdir()
    (folder / "marks").chmod(0o777)
    said = trainings.Child(trainings.train_as_nobody, here, folder / "marks" / "mark", answer=folder / "answer").wait()
    right = said.startswith("PermissionError") and str(here) in said and not list(here.iterdir())
    return int(right), 1, [] if right else [f"said {said!r}, and left {list(here.iterdir())}"]


def download(trainings: Any, folder: Path, draw: random.Random, number: int) -> Outcome:
    """Break the connection in the middle, kill a download, then download."""
    content, digest = _archive(trainings)
    cache, notes = folder / "cache", []
    for fault in ("cut", "stall"):
        with _server(content, fault) as (origin, asked):
            child = trainings.Child(trainings.load, origin, cache, digest, answer=folder / "answer")
            if fault == "stall":
                asked.wait(120)
                time.sleep(0.5)
                child.kill()
                said = "killed" if child.killed else "ended"
            else:
                said = child.wait()
        if not (said == "killed" if fault == "stall" else said.startswith("ConnectionError")):
            notes.append(f"{fault}: {said}")
        if (cache / "datasets" / "mnist.npz").exists():
            notes.append(f"{fault}: left half a file where the data set is looked for")
    with _server(content, "") as (origin, _):
        said = trainings.Child(trainings.load, origin, cache, digest, answer=folder / "answer").wait()
    notes += [] if said == digest else [f"then: {said}"]
    return 3 - len(notes), 3, notes


def at_once(trainings: Any, folder: Path, draw: random.Random, number: int) -> Outcome:
    """Let two processes load at once into one cache."""
    content, digest = _archive(trainings)
    with _server(content, "slow") as (origin, _):
        children = [
            trainings.Child(trainings.load, origin, folder / "cache", digest, answer=folder / f"answer{i}")
            for i in range(2)
        ]
        said = [child.wait() for child in children]
    left = sorted(path.name for path in (folder / "cache" / "datasets").iterdir())
    right = said == [digest] * 2 and left == ["mnist.npz"]
    return int(right), 1, [] if right else [f"{said}, {left}"]


def chapter(trainings: Any, folder: Path, draw: random.Random, number: int) -> Outcome:
    """Kill `make execute` in the middle of a chapter, and in the moment in which the chapter is replaced."""
    import nbformat

    notes = []
    for name, replaced in (("early", False), ("late", False), ("replaced", True)):
        mark, path = folder / f"{name}.mark", folder / f"{name}.ipynb"
        figure = "import base64; from IPython.display import Image; Image(base64.b64decode('" + PIXEL + "'))"
        wait = "" if replaced else "import time; time.sleep(60)"
        sources = [f"open({str(mark)!r}, 'w').write('begun')", figure, wait]
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        cells[1].metadata["tags"] = ["cover"]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        before = trainings.digest(path)
        child = trainings.Child(trainings.execute, path, replaced, answer=folder / "answer")
        if replaced:
            ended = child.wait(300) == "killed"
        else:
            _wait_for(mark)
            time.sleep(draw.uniform(0, 2) if name == "late" else 0)
            child.kill()
            ended = child.killed
        if not ended or trainings.digest(path) != before:
            notes.append(f"{name}: ended {ended}, as it was: {trainings.digest(path) == before}")
    return 3 - len(notes), 3, notes


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="

CHECKS = (
    ("SIGKILL at {} random moments of a training", "resumed weights equal, bit for bit", killed),
    ("SIGKILL between the two files of a backup", "resumed weights equal, bit for bit", between),
    ("The disk is full at the end of an epoch", "it ends in words; resumed weights equal, bit for bit", full_disk),
    ("The folder of the backup may not be written to", "PermissionError names it; nothing is left", closed),
    ("A download is cut, one is killed, one arrives", "ConnectionError; no half file; the data set", download),
    ("Two processes load at once into one cache", "both get the data set; one file", at_once),
    ("`make execute` is killed, also while it writes", "the chapter is as it was", chapter),
)


def _uninterrupted(trainings: Any, folder: Path) -> tuple[str, float]:
    mark = folder / "mark"
    mark.unlink(missing_ok=True)
    child = trainings.Child(trainings.train, folder / "uninterrupted", mark, answer=folder / "answer")
    _wait_for(mark)
    start = time.monotonic()
    return child.wait(), time.monotonic() - start


def _wait_for(mark: Path, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not mark.exists() and time.monotonic() < end:
        time.sleep(0.02)


def _archive(trainings: Any) -> tuple[bytes, str]:
    import numpy as np

    random_ = np.random.default_rng(0)
    images = [random_.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (400, 100)]
    labels = [random_.integers(0, 10, len(each), dtype=np.uint8) for each in images]
    (x, test_x), (y, test_y) = images, labels
    arrays = {"x_train": x, "y_train": y, "x_test": test_x, "y_test": test_y}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue(), trainings.data.array_digest(list(arrays.values()))


@contextlib.contextmanager
def _server(content: bytes, fault: str) -> Iterator[tuple[str, threading.Event]]:
    asked, ended = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            with contextlib.suppress(OSError):
                self.wfile.write(content[:half])
                self.wfile.flush()
                asked.set()
                if fault == "stall":
                    ended.wait(120)
                if fault == "slow":
                    time.sleep(1)
                if fault != "cut":
                    self.wfile.write(content[half:])

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/mnist.npz", asked
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
