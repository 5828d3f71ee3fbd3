"""The scripts of live figures in V8 without a browser: no document, no pictures, only what they compute."""

import json
import math
from typing import Any

from py_mini_racer import MiniRacer

from vaecourse.live import page

_AS_JSON = """(value) => JSON.stringify(value, (key, v) => {
    if (typeof v === "number" && !Number.isFinite(v)) return { number: String(v) };
    return ArrayBuffer.isView(v) ? Array.from(v) : v;
})"""


class Scripts:
    """The scripts that all figures share, and those of single figures.

    Parameters
    ----------
    *figures : str
        Names of figures.
    edited : pair of str, optional
        A line of the scripts and what stands there instead, for tests of the tests.
    """

    def __init__(self, *figures: str, edited: tuple[str, str] | None = None) -> None:
        self.engine = MiniRacer()
        code = "".join(map(page.script, (*page.SHARED, *(f"{name}.js" for name in figures))))
        if edited:
            assert code.count(edited[0]) == 1, "the original text must occur exactly once"
            code = code.replace(*edited)
        self.engine.eval(code + "; const live = vaecourseLive; const given = {};")

    def give(self, name: str, value: Any) -> None:
        """Set `given[name]`, with arrays unpacked."""
        self.engine.eval(f"given[{json.dumps(name)}] = live.unpack({json.dumps(value)}); 0")

    def get(self, expression: str) -> Any:
        """Return the value of an expression; a typed array is a list of numbers."""
        return _numbers(json.loads(self.engine.eval(f"({_AS_JSON})({expression})")))


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    if isinstance(value, dict):
        if value.keys() == {"number"}:
            return math.inf if value["number"] == "Infinity" else float(value["number"].replace("Infinity", "inf"))
        return {key: _numbers(inner) for key, inner in value.items()}
    return value
