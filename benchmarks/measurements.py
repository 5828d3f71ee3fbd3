"""What is measured, part by part; every part returns what goes into `results.json`."""

import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks import anatomy, choosing, workers
from benchmarks.jobs import Job
from benchmarks.processes import Missing, Process

CONVOLUTIONAL = {
    "VAE.fit": ("ours", {}),
    "VAE.fit, bfloat16": ("ours", {"policy": "mixed_bfloat16"}),
    "tutorial's loop": ("tutorial", {}),
    "Keras fit": ("plain_keras", {}),
    "PyTorch": ("pytorch", {}),
    "PyTorch, channels last": ("pytorch", {"channels_last": True}),
    "PyTorch, channels last, fused Adam": ("pytorch", {"channels_last": True, "fused": True}),
    "PyTorch, compiled": ("pytorch", {"channels_last": True, "compiled": True}),
    "PyTorch, bfloat16": ("pytorch", {"channels_last": True, "fused": True, "bfloat16": True}),
    "PyTorch, bfloat16, compiled": ("pytorch", {"channels_last": True, "compiled": True, "bfloat16": True}),
    "JAX": ("jax_twin", {}),
}
PERCEPTRON = {
    "VAE.fit": ("ours", {}),
    "graph-era program": ("graph_program", {}),
    "graph-era program, fused": ("graph_program", {"fused": True}),
    "Keras fit": ("plain_keras", {}),
    "PyTorch": ("pytorch", {}),
    "PyTorch, fused Adam": ("pytorch", {"fused": True}),
    "PyTorch, compiled": ("pytorch", {"compiled": True}),
    "JAX": ("jax_twin", {}),
}
CONTENDERS = {"convolutional": CONVOLUTIONAL, "mlp": PERCEPTRON}
PATIENCE = 30.0
"""Seconds that a first epoch may take; a contender that takes longer has only that one, compiling included."""
TOLERANCE = {True: 1e-3, False: 1e-5}
"""How far a loss may be from ours, relatively: in bfloat16, and otherwise."""


def throughput(job: Job, say: Callable, repetitions: int = 5) -> dict:
    """Measure images per second of a training epoch, with the rate of matrix products beside it.

    The contenders take turns, so that what else the machine does meets all of them; the rates of a round are kept, and
    the targets compare within rounds.
    """
    running, missing = {}, {}
    for name, (module, options) in CONTENDERS[job.network].items():
        try:
            running[name] = Process(module, "Contender", job, **options)
        except Missing as error:
            missing[name] = str(error)
            say(f"  {name}: skipped ({error})")
    losses, comparing = {}, {}
    for name, process in running.items():
        losses[name], comparing[name] = process.ask("loss")
    for name, loss in losses.items():
        allowed = TOLERANCE["bfloat16" in name] * losses["VAE.fit"]
        if not abs(loss - losses["VAE.fit"]) <= allowed:
            raise AssertionError(f"{name} has the loss {loss}, VAE.fit {losses['VAE.fit']}, on equal weights and noise")
    first = {name: process.ask("epoch")[1] for name, process in running.items()}
    matmul = Process("roofline", "Matmul")
    matmul.ask("rates")
    seconds = {name: [took] if took > PATIENCE else [] for name, took in first.items()}
    busy = {name: [process.cpu] if first[name] > PATIENCE else [] for name, process in running.items()}
    rates = []
    for _ in range(repetitions):
        for name, process in running.items():
            if first[name] <= PATIENCE:
                seconds[name].append(warm(process))
                busy[name].append(process.cpu)
        rates.append(matmul.ask("rates")[0])
    contenders = {}
    for name, process in running.items():
        contenders[name] = {
            "images per second": summary(job.images / np.array(seconds[name])),
            "by round": (job.images / np.array(seconds[name])).tolist(),
            "CPU seconds per 1,000 images": summary(1000 * np.array(busy[name]) / job.images),
            "rounds": len(seconds[name]),
            "seconds before it runs": comparing[name] + first[name] - statistics.median(seconds[name]),
            "loss": losses[name],
            "peak memory in MB": process.peak_memory(),
        }
        say(f"  {name}: {contenders[name]['images per second']['median']:,.0f} images/s")
        process.close()
    matmul.close()
    return {
        "contenders": contenders,
        "missing": missing,
        "MFLOP per image": job.flops_per_image() / 1e6,
        "GFLOP/s": {key: summary([rate[key] for rate in rates]) for key in rates[0]},
    }


def warm(process: Process) -> float:
    """Return the seconds of an epoch right after another: a process that has waited finds its memory cold."""
    process.ask("epoch")
    return process.ask("epoch")[1]


def time_to_result(say: Callable, seeds: int = 5) -> dict:
    """Measure how long the fast recipe and the tutorial's ten epochs take, and what they reach."""
    processes = {
        "fast": Process("ours", "Trainer", "tf-cvae-fast"),
        "tutorial": Process("tutorial", "Trainer"),
    }
    results = {name: [] for name in processes}
    for seed in range(seeds):
        for name, process in processes.items():
            results[name].append(process.ask("train", seed, 10 if name == "tutorial" else None)[0])
            say(f"  seed {seed}, {name}: {results[name][-1]}")
    for process in processes.values():
        process.close()
    return results


def half_precision(say: Callable) -> dict:
    """Measure what the fast recipe reaches in bfloat16."""
    return {"fast": _trainings(say, [(None,)] * 5, "tf-cvae-fast", "mixed_bfloat16")}


def epochs(say: Callable) -> dict:
    """Measure the test ELBO of the improved recipe after 1, 2, 5 and 10 epochs, the last with several seeds."""
    return {"improved": _trainings(say, [(1, 2, 5, 10), (10,), (10,)], "tf-cvae-improved")}


def _trainings(say: Callable, lengths_by_seed: list[tuple], *recipe: str) -> list[list[dict]]:
    """Train by a recipe, for every seed as many times as there are lengths for it."""
    process = Process("ours", "Trainer", *recipe)
    results = []
    for seed, lengths in enumerate(lengths_by_seed):
        results.append([process.ask("train", seed, length)[0][0] for length in lengths])
        say(f"  seed {seed}: {results[-1]}")
    process.close()
    return results


def scaling(say: Callable, repetitions: int = 2) -> dict:
    """Measure how time grows with images and with samples of z, and memory with epochs."""
    images, samples = (1_000, 3_000, 10_000, 30_000, 60_000), (1, 2, 5, 10, 20, 50)
    few = Job("convolutional", 100, 1_000)
    processes = {
        "images": {n: Process("ours", "Contender", Job("convolutional", 100, n)) for n in images},
        "samples": {k: Process("ours", "Contender", few, samples=k) for k in samples},
    }
    seconds = {}
    for kind, of in processes.items():
        times = [{n: warm(process) for n, process in of.items()} for _ in range(repetitions)]
        seconds[kind] = {str(n): summary([time[n] for time in times]) for n in of}
    single = processes["samples"][1]
    memory = [single.peak_memory()]
    for _ in range(20):
        single.ask("epoch")
    memory.append(single.peak_memory())
    for of in processes.values():
        for process in of.values():
            process.close()
    say(f"  seconds by images {seconds['images']}, by samples {seconds['samples']}; memory {memory}")
    return {"seconds": seconds, "memory in MB, at first and 20 epochs later": memory}


def log_likelihoods(say: Callable) -> dict:
    """Measure what log p(x) takes: of all test images on a grid of 256², and of 1,000 images by 5,000 samples each."""
    process = Process("ours", "Judge")
    found = {}
    for what in ("exact", "by_samples"):
        _, seconds = process.ask(what)
        found[what] = {"seconds": seconds, "CPU seconds": process.cpu}
        say(f"  {what}: {found[what]}")
    process.close()
    return found


def imports(say: Callable, repetitions: int = 7) -> dict:
    """Measure what `import vaecourse` costs over importing TensorFlow and TensorFlow Probability."""
    statements = {"theirs": "import tensorflow, tensorflow_probability", "ours": "import vaecourse"}
    times = {name: [] for name in statements}
    for _ in range(repetitions):
        for name, statement in statements.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True)
            times[name].append(time.perf_counter() - began)
    say(f"  {times}")
    return {name: summary(seconds[1:]) for name, seconds in times.items()}


def summary(values) -> dict:
    """Return median and range."""
    return {"median": float(np.median(values)), "range": [float(np.min(values)), float(np.max(values))]}


def linear_fit_error(seconds: dict) -> float:
    """Return the largest relative deviation of times from the straight line that fits them best.

    The line is fitted to relative errors, so that the short times count as much as the long ones.
    """
    n = np.array([int(key) for key in seconds], float)
    t = np.array([value["median"] for value in seconds.values()])
    design = np.stack([1 / t, n / t], axis=1)
    line = np.linalg.lstsq(design, np.ones(len(t)), rcond=None)[0]
    return float(np.abs(design @ line - 1).max())


JOBS = {
    "convolutional-32": Job("convolutional", 32, 6_400, 1.5),
    "convolutional-128": Job("convolutional", 128, 12_800, 1.5),
    "mlp-100": Job("mlp", 100, 60_000, 1.5),
}
"""Networks and batches whose throughput is measured; a step of the perceptron takes so little that all images fit."""
PARTS = {
    **{name: functools.partial(throughput, job) for name, job in JOBS.items()},
    "anatomy": functools.partial(anatomy.anatomy, jobs=JOBS),
    "time-to-result": time_to_result,
    "half-precision": half_precision,
    "epochs": epochs,
    "schedule": choosing.schedule,
    "ten-epochs": choosing.ten_epochs,
    "log-likelihoods": log_likelihoods,
    "scaling": scaling,
    "workers": workers.workers,
    "imports": imports,
}
