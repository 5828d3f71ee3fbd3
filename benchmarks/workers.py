"""How training scales with processes: `examples/distributed.py` with one worker and with two."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools import processors

PROGRAM = Path(__file__).parents[1] / "examples" / "distributed.py"
LAYOUTS = {"one worker, one thread": (1, 1), "two workers, one thread each": (2, 1), "one worker, two threads": (1, 2)}
"""Workers, and threads of each."""
JOBS = {
    "convolutional, batches of 128": ("convolutional", 128, 12_800),
    "convolutional, batches of 512": ("convolutional", 512, 12_800),
    "mlp, batches of 128": ("mlp", 128, 60_000),
}
"""Network, batch of all workers together, and training images."""


def workers(say: Callable, repetitions: int = 3) -> dict:
    """Measure images per second of every layout, in turns; validation on 10,000 images is a part of every epoch."""
    found = {}
    for job, (network, batch, images) in JOBS.items():
        rates: dict[str, list[float]] = {layout: [] for layout in LAYOUTS}
        for _ in range(repetitions):
            for layout, (count, threads) in LAYOUTS.items():
                options = {"workers": count, "network": network, "batch": batch, "images": images}
                rates[layout].append(rate(threads, **options))
        found[job] = rates
        say(f"  {job}: {rates}")
    return found


def rate(threads: int, **options) -> float:
    """Return the images per second of one run of the program on MNIST, after the first of three epochs."""
    environment = {**os.environ, **processors.threads(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = {**options, "data": "mnist", "epochs": 3, "folder": folder}
        command = [sys.executable, str(PROGRAM), *(f"--{name}={value}" for name, value in arguments.items())]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    printed = re.search(r"(\d+) images per second", run.stdout)
    if run.returncode or not printed:
        raise RuntimeError(f"{PROGRAM.name} ended with exit code {run.returncode}: {run.stderr[-500:]}")
    return float(printed.group(1))
