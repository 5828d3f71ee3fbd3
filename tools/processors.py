"""What this processor computes with, and other processors imitated on it: `make test-processors`.

Numbers differ in their last digits between vector units, between numbers of threads, and with and without oneDNN, the
library that TensorFlow uses for convolutions and matrix products.  Each setting makes NumPy and TensorFlow compute as
on another machine, and runs the tests of numbers and every chapter in the quick budget.  Tests in half precision are
left out where oneDNN is limited: with AVX-512 in the processor, TensorFlow's products in bfloat16 crash then.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
AVX512 = ("X86_V4", "AVX512_ICL", "AVX512_SPR")  # groups of instructions, as numpy names them; before 2.4 it has more:
AVX512 += ("AVX512F", "AVX512CD", "AVX512_KNL", "AVX512_KNM", "AVX512_SKX", "AVX512_CLX", "AVX512_CNL")
AVX2 = ("X86_V3", "AVX2", "FMA3")
NO_NUMBERS = ("architecture", "benchmarks", "book", "colab", "execution", "notebooks", "processors", "project", "wheel")
"""The files of tests in which nothing depends on the processor."""


@dataclass(frozen=True)
class Setting:
    """A way to compute: variables of the environment, and groups of instructions that NumPy leaves alone."""

    imitates: str
    variables: dict[str, str]
    without: tuple[str, ...] = ()

    def environment(self, known: Sequence[str]) -> dict[str, str]:
        """Return the variables to set, where NumPy uses the known groups of instructions on this processor."""
        disabled = " ".join(group for group in self.without if group in known)
        return self.variables | ({"NPY_DISABLE_CPU_FEATURES": disabled} if disabled else {})


def threads(count: int) -> dict[str, str]:
    """Return the variables by which TensorFlow and its libraries use so many threads."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return dict.fromkeys(names, str(count))


SETTINGS = {
    "sse41": Setting(
        "an old processor, one thread",
        {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "SSE41", **threads(1)},
        AVX512 + AVX2,
    ),
    "avx2": Setting(
        "a processor without AVX-512, two threads",
        {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2", **threads(2)},
        AVX512,
    ),
    "plain": Setting(
        "TensorFlow without oneDNN, one thread within an operation; hypothesis tries other examples every time",
        {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_NUM_INTRAOP_THREADS": "1", "HYPOTHESIS_PROFILE": "fresh"},
    ),
}


def vector_units() -> list[str]:
    """Return the groups of instructions that NumPy found on this processor and can be told to leave alone."""
    return np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])


def describe() -> str:
    """Describe the processor in a line: model, vector units, cores, and whether TensorFlow computes by oneDNN."""
    units = ", ".join(vector_units()) or "none beyond the baseline"
    return f"{model()}; vector units of NumPy: {units}; {cores()} cores; oneDNN {onednn()}"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS has none


def model() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def kind() -> str:
    """Return the name of the processor, and whether it has AVX-512: processors of one name differ in that."""
    wide = {"X86_V4", "AVX512F"} & set(vector_units())
    return f"{model()}, {'with' if wide else 'without'} AVX-512"


def onednn() -> str:
    """Return whether TensorFlow computes by oneDNN, as its log says: the default depends on the processor."""
    log = subprocess.run(
        [sys.executable, "-c", "import tensorflow"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    return "on" if "oneDNN custom operations are on" in log else "off"


def command() -> list[str]:
    """Return the command that runs the tests of numbers and the chapters."""
    parallel = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadscope", "--no-loadscope-reorder"]
    ignored = [f"--ignore=tests/test_{name}.py" for name in NO_NUMBERS]
    return [sys.executable, "-m", "pytest", "--nbval", *parallel, *ignored, "tests", "book"]


def test(names: Sequence[str]) -> None:
    """Run the tests under the named settings, or all, and exit with those that failed.

    Raises
    ------
    SystemExit
        If a setting is unknown, or the tests fail under one.
    """
    unknown = set(names) - set(SETTINGS)
    if unknown:
        sys.exit(f"no setting {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    failed = []
    for name in names or SETTINGS:
        setting = SETTINGS[name]
        variables = setting.environment(vector_units())
        lines = [f"  {key}={value}" for key, value in variables.items()]
        print(f"\n{name}, {setting.imitates}:", *lines, sep="\n", flush=True)
        if subprocess.run(command(), cwd=ROOT, env={**os.environ, **variables}, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed under {', '.join(failed)}")


def main(arguments: Sequence[str]) -> None:
    """Describe the processor, and with the argument `test`, test under other settings."""
    print(describe(), flush=True)
    if arguments and arguments[0] == "test":
        test(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
