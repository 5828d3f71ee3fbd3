"""A child process in which calls are made under watch: of time, of memory, of what is written, and of its life."""

import contextlib
import hashlib
import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

SECONDS = 1.0
"""Of processor time, in which a call must be refused."""
MEGABYTES = 1000.0
"""By which the memory of the process may grow in a call."""
PATIENCE = 120
"""Seconds after which a call that does not return is ended, with its process."""
STANDARD = (TypeError, ValueError, OSError, LookupError)
"""The kinds of exceptions that may say what is wrong; OSError has those of files and of the connection below it."""


OF_DATA_SETS = ("InvalidArgumentError", "UnknownError", "ResourceExhaustedError")
"""What TensorFlow raises where a data set reads a file; but for a loss of data, the file must be named."""
SUFFIXES = (".npz", ".tfrecord", ".json")


def watched(call: Callable[[], Any], folder: Path, given: Sequence[str]) -> dict[str, Any]:
    """Make a call, and return what became of it: `refused`, `accepted`, or a finding in words.

    Parameters
    ----------
    call : callable
    folder : path
        In which nothing may be written.
    given : sequence of str
        Texts of which one must be in the message, if there is any: of what the caller gave.
    """
    before, memory, start = contents(folder), _peak(), time.process_time()
    error: BaseException | None = None
    try:
        call()
    except Exception as raised:
        error = raised
    seconds, grown = time.process_time() - start, _peak() - memory
    found = {"seconds": round(seconds, 3), "megabytes": round(grown, 1), "became": "accepted", "finding": ""}
    if error is not None:
        found |= {"became": "refused", "error": type(error).__name__, "message": str(error)[-300:]}
        found["finding"] = fault_of(error, given)
        if not found["finding"] and seconds > SECONDS:
            found["finding"] = f"refused after {seconds:.1f} s"
    if not found["finding"] and grown > MEGABYTES:
        found["finding"] = f"took {grown:.0f} MB"
    if (changed := contents(folder)) != before:
        found["finding"] = f"wrote {', '.join(sorted({name for name, _ in set(before) ^ set(changed)}))}"
    return found


def fault_of(error: BaseException, given: Sequence[str] = ()) -> str:
    """Say what is wrong with an exception as an answer to a wrong argument, or nothing."""
    message = str(error)
    named = any(each in message for each in given if each.endswith(SUFFIXES))
    if type(error).__name__ == "DataLossError" or (type(error).__name__ in OF_DATA_SETS and named):
        return ""
    if type(error).__module__ != "builtins" or not isinstance(error, STANDARD):
        return f"raised {type(error).__module__}.{type(error).__name__}: {message[:150]}"
    if len(message) < 10:
        return f"says only {message!r}"
    if given and not any(each in message for each in given):
        return f"does not say what was given: {message[:150]}"
    return ""


def contents(folder: Path) -> list[tuple[str, str]]:
    """Return the files of a folder, with digests of what is in them."""
    return [
        (str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    ]


def limit_memory(megabytes: float = MEGABYTES) -> None:
    """Let this process take only so much more memory than it has: what asks for more raises MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:  # Linux
        most = pages * resource.getpagesize() + int(2 * megabytes * 1e6)  # threads reserve more than they use
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


# --- the child, and who starts it again where it has ended -----------------------------------------------------------


def work(cases: Sequence[Any], run: Callable[[Any, Path], dict[str, Any]], begin: int) -> None:
    """Run cases from one on, in the working folder, and print what became of each; of the child."""
    limit_memory()
    for number in range(begin, len(cases)):
        print(json.dumps({"begun": number, "of": len(cases)}), flush=True)
        try:
            found = run(cases[number], Path.cwd())
        except Exception:
            found = {"became": "broken", "finding": traceback.format_exc()[-600:]}
        print(json.dumps({"done": number, **found}), flush=True)


def results(module: str, arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Start `python -m module BEGIN …` and yield what became of each case; go on after one that ends the process."""
    begin = 0
    while True:
        finished = True
        with tempfile.TemporaryDirectory() as folder, _started(module, [str(begin), *arguments], folder) as lines:
            begun = None
            while (line := _next(lines)) is not None:
                said = json.loads(line) if line.startswith("{") else {}
                if "begun" in said:
                    begun = said["begun"]
                elif "done" in said:
                    begin, begun = said["done"] + 1, None
                    yield said
            if begun is not None:
                yield {"done": begun, "became": "ended", "finding": "ended the process, or did not return"}
                begin, finished = begun + 1, False
        if finished:
            return


@contextlib.contextmanager
def _started(module: str, arguments: Sequence[str], folder: str) -> Iterator[queue.Queue]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": folder}
    environment |= {"KERAS_HOME": str(Path(folder, "keras"))}
    command = [sys.executable, "-m", module, *arguments]
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    lines: queue.Queue = queue.Queue()

    def read() -> None:
        for line in child.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        yield lines
    finally:
        child.kill()
        child.wait()


def _next(lines: queue.Queue) -> str | None:
    for _ in range(PATIENCE):  # and not all at once: a machine that sleeps, or stops both processes, does not count
        with contextlib.suppress(queue.Empty):
            return lines.get(timeout=1)
    return None
