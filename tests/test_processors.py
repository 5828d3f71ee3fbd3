"""The settings that imitate other processors, and what is said about this one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tools import processors

FOUND = "import json, numpy; print(json.dumps(numpy.show_config(mode='dicts')['SIMD Extensions'].get('found', [])))"
each_setting = pytest.mark.parametrize("name", processors.SETTINGS)


@each_setting
def test_numpy_leaves_the_vector_units_alone_without_a_warning(name):
    """NumPy warns of groups that it does not know, and refuses to start where one is part of its baseline."""
    setting, found = processors.SETTINGS[name], processors.vector_units()
    command = [sys.executable, "-W", "error", "-c", FOUND]
    environment = os.environ | setting.environment(found)
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [group for group in found if group not in setting.without]
    assert not result.stderr


def test_only_groups_that_are_found_are_disabled():
    setting = processors.Setting("an example", {"A": "1"}, ("X86_V4", "X86_V3"))
    assert setting.environment(["X86_V3", "X86_V2"]) == {"A": "1", "NPY_DISABLE_CPU_FEATURES": "X86_V3"}
    assert setting.environment(["X86_V2"]) == {"A": "1"}


def test_the_settings_differ_in_all_that_moves_last_digits():
    told = [setting.variables for setting in processors.SETTINGS.values()]
    values = {
        key: {variables[key] for variables in told if key in variables} for variables in told for key in variables
    }
    assert values["ONEDNN_MAX_CPU_ISA"] == {"SSE41", "AVX2"}
    assert values["TF_ENABLE_ONEDNN_OPTS"] == {"0", "1"}
    assert values["TF_NUM_INTRAOP_THREADS"] == values["OMP_NUM_THREADS"] == {"1", "2"}
    assert values["HYPOTHESIS_PROFILE"] == {"fresh"}
    assert [bool({"X86_V3", "AVX2"} & set(s.without)) for s in processors.SETTINGS.values()] == [True, False, False]
    assert [{"X86_V4", "AVX512F"} <= set(s.without) for s in processors.SETTINGS.values()] == [True, True, False]


@pytest.mark.parametrize(
    ("units", "words"), [(["X86_V3", "X86_V4"], "with"), (["AVX2", "AVX512F"], "with"), (["X86_V3"], "without")]
)
def test_processors_of_one_name_are_told_apart_by_their_widest_units(monkeypatch, units, words):
    monkeypatch.setattr(processors, "vector_units", lambda: units)
    monkeypatch.setattr(processors, "model", lambda: "One Name")
    assert processors.kind() == f"One Name, {words} AVX-512"


def test_examples_are_repeatable_unless_they_are_asked_to_be_fresh():
    assert settings.get_profile("repeatable").derandomize
    assert not settings.get_profile("fresh").derandomize
    asked = os.environ.get("HYPOTHESIS_PROFILE", "repeatable")
    assert settings().derandomize == settings.get_profile(asked).derandomize


def test_the_processor_is_described_in_a_line(monkeypatch, capsys):
    """Some processors have oneDNN on by default, others off; here it is what the variable asks for."""
    option = "0" if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "1" else "1"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", option)
    processors.main([])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(processors.model())
    assert line.endswith("oneDNN on" if option == "1" else "oneDNN off")
    assert f"{processors.cores()} cores" in line


def test_what_does_not_depend_on_the_processor_is_left_out():
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(processors.NO_NUMBERS) <= files
    assert {"models", "mutations", "training"} <= files - set(processors.NO_NUMBERS)
    assert "unmutated" not in " ".join(processors.command())


@pytest.fixture
def runs(monkeypatch):
    """Return the environments in which the tests were run; they fail where NumPy leaves something alone."""
    told = []

    def run(command, cwd, env, check):
        told.append(env)
        return subprocess.CompletedProcess(command, returncode=int("NPY_DISABLE_CPU_FEATURES" in env))

    monkeypatch.setattr(processors, "vector_units", lambda: ["X86_V3"])
    monkeypatch.setattr(processors.subprocess, "run", run)
    return told


def test_every_setting_is_tried_and_said_before_it_runs(runs, capsys):
    with pytest.raises(SystemExit, match=r"failed under sse41$"):
        processors.test([])
    assert len(runs) == len(processors.SETTINGS)
    said = capsys.readouterr().out
    assert "sse41, an old processor, one thread:\n  TF_ENABLE_ONEDNN_OPTS=1\n  ONEDNN_MAX_CPU_ISA=SSE41\n" in said
    assert "  NPY_DISABLE_CPU_FEATURES=X86_V3\n\navx2" in said


def test_one_setting_is_run_by_its_name(runs):
    processors.test(["plain"])
    assert [env["TF_ENABLE_ONEDNN_OPTS"] for env in runs] == ["0"]
    with pytest.raises(SystemExit, match="no setting sse2; there are sse41, avx2, plain"):
        processors.test(["sse2"])
