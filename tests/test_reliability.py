"""The figures of reliability: what counts, what is drawn, what is a finding, and which tests are about a module."""

import argparse
import json
import math
import random
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import chapters
from tools.reliability import __main__ as program
from tools.reliability import bad_input, calls, covering, damage, faults, figures, flake, limits, mutants, public, wrong
from vaecourse import data


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "PATH", tmp_path / "reliability.json")
    return figures.PATH


# --- figures ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_solves_the_equation_of_wilson(drawn):
    successes, trials = drawn
    low, high = figures.wilson(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:  # where the score is just 1.96 standard errors of the bound away
        error = np.sqrt(bound * (1 - bound) / trials)
        assert abs(successes / trials - bound) == pytest.approx(1.96 * error, rel=1e-6)


@pytest.mark.parametrize("drawn", [(0, 0), (-1, 3), (4, 3)])
def test_a_share_of_nothing_is_refused(drawn):
    with pytest.raises(ValueError, match=f"got {drawn[0]} of {drawn[1]}"):
        figures.wilson(*drawn)


def test_a_part_is_written_with_its_provenance_and_leaves_the_others_alone(elsewhere):
    elsewhere.write_text(json.dumps({"flake": {"runs": 3}}))
    with figures.measuring("security", "the command") as found:
        found["programs"] = 7
    assert figures.read()["flake"] == {"runs": 3}
    assert figures.read()["security"]["programs"] == 7
    assert set(figures.read()["security"]["measured"]) >= {"command", "commit", "date", "processor", "versions"}


def test_a_part_that_fails_keeps_its_old_figures(elsewhere):
    elsewhere.write_text(json.dumps({"flake": {"runs": 3}}))
    with pytest.raises(ZeroDivisionError), figures.measuring("flake", ""):
        1 / 0  # noqa: B018
    assert figures.read() == {"flake": {"runs": 3}}


@pytest.mark.parametrize("name", figures.TABLES)
def test_every_table_of_the_page_has_what_was_measured_or_says_that_it_was_not(name, elsewhere):
    assert figures.table(name).count("\n") >= 1


def test_what_was_measured_in_several_goes_is_listed_with_each(elsewhere):
    with figures.measuring("flake", "the command") as found:
        found |= {"runs": {"avx2": 20}, "tests": 3, "failures": []}
        found["earlier"] = [figures.provenance("another", "0123456789ab", 90.0)]
    assert "| `another`, then `the command` |" in figures.table("all")
    rows = [line.split(" | ") for line in figures.table("measured").splitlines()[2:]]
    assert [row[0] for row in rows] == ["| flake", "| flake"]
    assert [row[2] for row in rows] == ["`0123456789ab`", f"`{figures.commit()}`"]
    assert rows[0][3] == "1.5 min"


@pytest.mark.parametrize("name", figures.TABLES)
def test_the_tables_of_what_is_committed_are_whole(name):
    lines = figures.table(name).splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1, lines


def test_the_page_shows_every_table():
    page = (figures.ROOT / "book/reference/reliability.md").read_text(encoding="utf-8")
    assert all(f"```{{reliability-table}} {name}\n" in page for name in figures.TABLES)


def test_parts_are_those_of_the_table_and_unknown_ones_are_refused(capsys):
    assert list(program.PARTS) == list(figures.SUMMARIES)
    with pytest.raises(SystemExit):
        program.main(["mutation"])
    assert "unknown parts: mutation; there are mutations, flake" in capsys.readouterr().err


# --- mutants ---------------------------------------------------------------------------------------------------------

CODE = "def half(x: int | None, y: str = 'a' * 2) -> int | str:\n    z: int | float = x / 2\n    return z\n"


def test_changes_of_type_hints_are_left_out_and_others_are_grouped_by_place(tmp_path):
    (tmp_path / "m.py").write_text(CODE)

    def mutation(operator: str, line: int, column: int, occurrence: int = 0) -> dict:
        return {"module_path": "m.py", "operator_name": operator, "start_pos": [line, column], "occurrence": occurrence}

    hints = [mutation("core/ReplaceBinaryOperator_BitOr_Add", *at) for at in [(1, 15), (1, 47), (2, 11)]]
    divisions = [mutation(f"core/ReplaceBinaryOperator_Div_{name}", 2, 23) for name in ("Add", "Mul")]
    number = mutation("core/NumberReplacer", 2, 25, 1)
    places = mutants.grouped([*hints, *divisions, number], tmp_path)["m.py"]
    assert sorted(len(place) for place in places) == [1, 2]


def test_a_sample_is_a_function_of_its_seed_and_weighs_places_not_operators():
    places = {"m.py": [[{"place": i, "which": k} for k in range(1 + 9 * (i % 2))] for i in range(100)]}
    drawn = mutants.sample(places, 3, 100)
    assert drawn == mutants.sample(places, 3, 100) != mutants.sample(places, 4, 100)
    assert sorted(each["place"] for each in drawn) == list(range(100))
    assert len(mutants.sample(places, 0, 1000)) == 100


def test_justified_survivors_are_no_part_of_the_score(monkeypatch, tmp_path):
    monkeypatch.setattr(mutants, "JUSTIFIED", tmp_path / "justified.json")
    mutants.JUSTIFIED.write_text(json.dumps([{"module": "a.py", "changed": ["x = 1", "x = 2"], "why": "never read"}]))
    tried = [{"module": "a.py", "changed": ["x = 1", "x = 2"], "outcome": "survived"}]
    other = {"module": "a.py", "changed": ["x = 1", "x = 0"]}
    tried += [{**other, "outcome": "survived"}, {**other, "outcome": "noticed"}]
    found = mutants.summary(tried, 500)
    assert (found["tried"], found["noticed"], found["justified"]) == (2, 1, 1)
    assert found["mutants"][0]["justified"] == "never read"


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (0, "5 passed", {"outcome": "survived"}),
        (1, "FAILED tests/t.py::test_a[b c] - x", {"outcome": "noticed", "by": "tests/t.py::test_a[b c]"}),
        (1, "ERROR tests/t.py::test_a - ValueError", {"outcome": "noticed", "by": "tests/t.py::test_a"}),
        (2, "ERROR tests/t.py - TypeError: x\n1 error", {"outcome": "no import"}),
        (4, "ImportError while loading conftest", {"outcome": "no import"}),
        (-9, "", {"outcome": "no end"}),
    ],
)  # fmt: skip
def test_what_became_of_a_mutant_is_read_from_the_tests(code, output, expected):
    assert covering.outcome(code, output) == expected


def test_without_a_test_nothing_survives():
    with pytest.raises(RuntimeError, match="no test"):
        covering.outcome(5, "no tests ran")


def test_the_changed_line_is_read_from_the_difference():
    diff = "--- a/m.py\n+++ b/m.py\n@@ -1 +1 @@\n-    return -x + 1\n+    return -x - 1\n"
    assert covering.changed(diff) == ["return -x + 1", "return -x - 1"]


@pytest.mark.parametrize(
    ("module", "test"),
    [
        ("models/flows.py", "flows"),
        ("models/linear_gaussian.py", "linear_gaussian"),
        ("measures/frechet.py", "frechet"),
        ("clinic/divergences.py", "audit"),
        ("clinic/measuring.py", "diagnosis"),
        ("training/schedules.py", "schedules"),
    ],
)
def test_the_tests_of_a_module_are_found_by_what_they_mention(module, test):
    assert f"tests/test_{test}.py" in covering.covering(figures.ROOT, f"vaecourse/{module}", 2)


def test_a_failure_on_the_source_as_it_is_is_no_evidence(monkeypatch, tmp_path):
    output = "FAILED tests/t.py::test_b - assert 1\n1 failed, 1 passed"
    monkeypatch.setattr(covering, "run_tests", lambda *_: (1, output))
    tried = [{"outcome": "noticed", "by": f"tests/t.py::test_{name}"} for name in "ab"] + [{"outcome": "survived"}]
    covering.confirm(tmp_path, tried)
    assert [each["outcome"] for each in tried] == ["noticed", "survived"]


# --- flake -----------------------------------------------------------------------------------------------------------


def test_failures_are_named_and_a_run_without_tests_is_none():
    output = "FAILED tests/t.py::test_a[1 - 2] - assert\nERROR tests/t.py::test_b - x\n1 failed, 7 passed, 1 error"
    failed, passed = flake.outcome(1, output)
    assert failed[1:] == ["tests/t.py::test_b"]
    assert failed[0].startswith("tests/t.py::test_a[1")
    assert passed == 7
    assert flake.outcome(-11, "7 passed") == (["the interpreter, by signal 11"], 0)
    for code, said in [(4, "ERROR: not found"), (5, "no tests ran"), (2, "1 passed, Interrupted")]:
        with pytest.raises(RuntimeError, match=f"did not run.* {code}"):
            flake.outcome(code, said)


def test_the_numerical_tests_are_those_of_the_other_processors():
    files = flake.numerical_tests()
    assert "tests/test_objectives.py" in files
    assert "tests/test_notebooks.py" not in files


def test_rounds_add_up_while_the_sources_are_the_same(monkeypatch):
    seen = []

    def tested(copy, files, name, seed):
        assert (copy / files[0]).exists()
        seen.append((name, seed))
        return ["t.py::test_x"] if seed == 2 else [], 7

    monkeypatch.setattr(flake, "tested", tested)
    options = argparse.Namespace(tests=[], rounds=2, workers=1, minutes=math.inf)
    first = flake.measure(options, {}, lambda line: None) | {"measured": "on one machine"}
    second = flake.measure(options, first, lambda line: None)
    assert seen == [("sse41", 1), ("avx2", 2), ("plain", 3), ("sse41", 4)]
    assert second["runs"] == {"sse41": 2, "avx2": 1, "plain": 1}
    assert second["failures"] == ["t.py::test_x, avx2, seed 2"]
    assert second["tests"] == 8
    assert second["earlier"] == ["on one machine"]
    anew = flake.measure(options, second | {"sources": "others"}, lambda line: None)
    assert sum(anew["runs"].values()) == 2
    assert anew["earlier"] == []
    none = flake.measure(argparse.Namespace(tests=[], rounds=2, workers=2, minutes=-1), {}, lambda line: None)
    assert sum(none["runs"].values()) == 0


# --- wrong arguments and files ---------------------------------------------------------------------------------------


def raises(error):
    def call():
        raise error

    return call


def test_what_is_a_finding_and_what_is_not(tmp_path):
    refused = limits.watched(raises(ValueError("expected a number, got 7")), tmp_path, ("7",))
    assert (refused["became"], refused["finding"]) == ("refused", "")
    for error, finding in [
        (ValueError("expected a number"), "does not say"),
        (ValueError("no"), "says only"),
        (AssertionError("expected a number, got 7"), "builtins.AssertionError"),
        (MemoryError("expected a number, got 7"), "MemoryError"),
        (subprocess.SubprocessError("expected a number, got 7"), "subprocess.SubprocessError"),
    ]:
        assert finding in limits.watched(raises(error), tmp_path, ("7",))["finding"]
    assert limits.watched(lambda: None, tmp_path, ("7",)) | {"seconds": 0, "megabytes": 0} == {
        "seconds": 0, "megabytes": 0, "became": "accepted", "finding": "",
    }  # fmt: skip


def test_what_a_call_writes_is_seen(tmp_path):
    (tmp_path / "there").write_text("a")
    assert limits.watched(lambda: (tmp_path / "new").touch(), tmp_path, ())["finding"] == "wrote new"
    assert limits.watched(lambda: (tmp_path / "there").write_text("b"), tmp_path, ())["finding"] == "wrote there"


def test_cases_are_a_function_of_their_seed_and_of_all_functions():
    drawn = calls.cases(1, 84)
    described = [(case.name, case.parameter, case.drawn.label) for case in drawn]
    assert described == [(case.name, case.parameter, case.drawn.label) for case in calls.cases(1, 84)]
    assert {case.name for case in drawn} == set(public.CALLS)


def test_an_accepted_wrong_argument_is_a_finding(monkeypatch, tmp_path):
    accepts = public.Call(lambda x: x, {"x": lambda: 1}, {})
    monkeypatch.setitem(public.CALLS, "data.accepts", accepts)
    found = calls.run(calls.Case("data.accepts", "x", wrong.Wrong("-1", -1, ("-1",))), tmp_path)
    assert (found["kind"], found["what"], found["finding"]) == ("data", "data.accepts(x=-1)", "accepted")


@pytest.mark.parametrize("harm", damage.DAMAGES, ids=lambda harm: harm.__name__)
def test_a_damaged_file_is_another_file(harm):
    whole = damage.saved(damage.ARRAYS)
    content = harm(whole, damage.ARRAYS, random.Random(0))
    assert content != whole
    assert len(content) < 2_000_000


def test_findings_are_counted_by_kind():
    found = [{"kind": "a", "became": "refused", "seconds": 0.1, "megabytes": 2.0, "finding": ""}] * 2
    found += [{"kind": "a", "became": "accepted", "seconds": 9.0, "megabytes": 0.0, "finding": ""}]
    found += [{"kind": "b", "became": "ended", "what": "f(x=1)", "finding": "ended"}] * 2
    counted = bad_input.summary(found)
    assert counted["kinds"] == {"a": [3, 2, 1, 0], "b": [2, 0, 0, 2]}
    assert (counted["most seconds"], counted["findings"]) == (0.1, ["f(x=1): ended"])


# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_check_that_does_not_hold_is_counted_and_said(monkeypatch):
    def half(trainings, folder, draw, number):
        return 1, 2, ["the second did not"]

    monkeypatch.setattr(faults, "CHECKS", (("Twice {}", "it holds", half), ("Again {}", "it holds", half)))
    said = []
    found = faults.measure(argparse.Namespace(seed=0, kills=3), {}, said.append)
    assert (found["held"], found["tried"]) == (2, 4)
    assert found["rows"][0] == ["Twice 2", "it holds", "1 of 2"]
    assert "the second did not" in said[0]


def test_a_server_cuts_what_it_sends(small_mnist, without_data, monkeypatch):
    from vaecourse.data import datasets

    with faults._server(bytes(10_000), "cut") as (origin, _):
        monkeypatch.setattr(datasets, "_MNIST", origin)
        monkeypatch.setitem(datasets._FETCH, "mnist", datasets._fetch_mnist)
        with pytest.raises(ConnectionError, match="could not be downloaded"):
            data.load("mnist")
    assert not list(without_data.iterdir())


def test_figures_name_only_parts_and_chapters_that_there_are():
    assert set(figures.read()) <= set(program.PARTS)
    assert chapters.paths()
