"""Slips put into the source on purpose, for the tests of the tests.

A mutated module is its source with one line changed, executed in the module's own namespace; the others, which look
names up when they are called, then use it.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import keras
import pytest

from vaecourse import digit_models, fitting, models

INHERITING = {fitting: (models, digit_models), models: (digit_models,)}
"""Modules whose classes are made of those of another, and made anew when it is mutated."""


@dataclass
class Mutation:
    """A slip, and the test that must notice it, called with what it needs of `tiny` and binary images."""

    slip: str
    module: ModuleType
    original: str
    mutated: str
    test: Callable


@contextlib.contextmanager
def mutated(module: ModuleType, original: str, replacement: str) -> Iterator[None]:
    sources = {part: Path(part.__file__).read_text(encoding="utf-8") for part in (module, *INHERITING.get(module, ()))}
    assert sources[module].count(original) == 1, "the original text must occur exactly once"
    sources[module] = sources[module].replace(original, replacement)
    names, registered = {part: dict(vars(part)) for part in sources}, dict(keras.saving.get_custom_objects())
    try:
        for part, source in sources.items():
            exec(compile(source, part.__file__, "exec"), vars(part))
        yield
    finally:
        for part, before in names.items():
            vars(part).clear()
            vars(part).update(before)
        keras.saving.get_custom_objects().clear()
        keras.saving.get_custom_objects().update(registered)


def check(mutation: Mutation, tiny, binary) -> None:
    """The test passes on the module as it is, and fails on the one with the slip."""
    mutation.test(tiny, binary)
    failures = (AssertionError, pytest.fail.Exception)  # the second, of a `pytest.raises` in which nothing is raised
    with mutated(mutation.module, mutation.original, mutation.mutated), pytest.raises(failures):
        mutation.test(tiny, binary)


def without_fixtures(test: Callable, *arguments) -> Callable:
    return lambda tiny, binary: test(*arguments)
