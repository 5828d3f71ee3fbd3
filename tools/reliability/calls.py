"""Calls of the public functions of the module, each with one wrong argument: `python -m tools.reliability.calls`."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.reliability import limits, public, wrong
from vaecourse import data

NOT_WARMED = ("data.load", "data.write_shards", "data.stream", "clinic.effective_objective", "clinic.diagnose")
"""Functions whose right arguments would take long, need files, or write some."""


@dataclass(frozen=True)
class Case:
    """One call: of which function, which argument is wrong, and how."""

    name: str
    parameter: str
    drawn: wrong.Wrong


def cases(start: int, count: int) -> list[Case]:
    """Return calls drawn by hypothesis, each function and argument as often as the others."""
    pairs = [(name, parameter, of) for name, call in public.CALLS.items() for parameter, of in call.wrong.items()]
    each = -(-count // len(pairs))
    return [
        Case(name, parameter, drawn)
        for number, (name, parameter, of) in enumerate(pairs)
        for drawn in wrong.drawn(of, each, start + number)
    ]


def run(case: Case, folder: Path) -> dict[str, Any]:
    """Make the call of a case, and return what became of it: a wrong argument that is accepted is a finding."""
    call = public.CALLS[case.name]
    arguments = wrong.replaced(call.right, case.parameter, case.drawn.value)
    found = limits.watched(lambda: call.function(**arguments), folder, case.drawn.told)
    if found["became"] == "accepted" and not found["finding"]:
        found["finding"] = "accepted"
    return {"kind": case.name.split(".")[0], "what": f"{case.name}({case.parameter}={case.drawn.label})", **found}


if __name__ == "__main__":
    os.environ["VAECOURSE_DATA"] = os.getcwd()
    begin, first, number = map(int, sys.argv[1:])
    data.write_shards([public.grays()], "there")
    for name, call in public.CALLS.items():  # compiles what is compiled once, so that a refusal is timed alone
        if name not in NOT_WARMED:
            call.function(**{parameter: make() for parameter, make in call.right.items()})
    limits.work(cases(first, number), run, begin)
