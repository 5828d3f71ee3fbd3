"""Every contender in a process of its own, which does something only when it is asked."""

import importlib
import multiprocessing
import os
import resource
import threading
import time
from typing import Any


class Missing(Exception):
    """A contender whose framework is not installed."""


class Process:
    """A contender elsewhere.

    Parameters
    ----------
    module : str
        Of this package.
    kind : str
        The class in it.
    *arguments, **options
        With which it is built there.

    Raises
    ------
    Missing
        If something that the module imports is not installed.
    """

    def __init__(self, module: str, kind: str, *arguments, **options):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, module, kind, arguments, options), daemon=True)
        self.process.start()
        other.close()
        self._answer()

    def ask(self, method: str, *arguments, **options) -> tuple[Any, float]:
        """Call a method there, and return its result and its time in seconds; `cpu` has that of all its processors."""
        self.pipe.send((method, arguments, options))
        result, took, self.cpu = self._answer()
        return result, took

    def peak_memory(self) -> float:
        """Return the most memory that the process has held so far, in MB."""
        return self.ask("peak_memory")[0]

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join()

    def _answer(self):
        try:
            answer = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise RuntimeError(f"a contender ended with exit code {self.process.exitcode}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _end_with_the_parent():
    multiprocessing.parent_process().join()
    os._exit(1)  # an epoch that nobody waits for would slow down whatever is measured next


def _serve(pipe, module, kind, arguments, options):
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        contender = getattr(importlib.import_module(f"benchmarks.{module}"), kind)(*arguments, **options)
        pipe.send(None)
        while True:
            method, arguments, options = pipe.recv()
            if method == "peak_memory":
                pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0.0, 0.0))
                continue
            began, busy = time.perf_counter(), time.process_time()
            result = getattr(contender, method)(*arguments, **options)
            pipe.send((result, time.perf_counter() - began, time.process_time() - busy))
    except EOFError:
        pass
    except ImportError as error:
        pipe.send(Missing(str(error)))
    except Exception as error:  # told to whoever asked
        pipe.send(RuntimeError(f"{module}.{kind}: {type(error).__name__}: {error}"))
