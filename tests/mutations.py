"""Slips put into the source on purpose, for the tests of the tests.

A mutated module is its source with one line changed, executed in the module's own namespace.  Whoever has imported one
of its classes or functions by name gets the new one, and modules whose classes inherit from a new one are executed
again, too.
"""

import contextlib
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import keras
import pytest


@dataclass
class Mutation:
    """A slip, and the test that must notice it, called with what it needs of `tiny` and binary images.

    The original text must occur exactly once in the package, or in the part of it that `where` names.
    """

    slip: str
    where: str
    original: str
    mutated: str
    test: Callable
    marks: tuple[pytest.MarkDecorator, ...] = ()


def source(module: ModuleType) -> str:
    return Path(module.__file__).read_text(encoding="utf-8")


def modules(where: str = "vaecourse") -> list[ModuleType]:
    """Return the imported modules of a package, those that are imported by others first."""
    return [module for name, module in list(sys.modules.items()) if f"{name}.".startswith(f"{where}.")]


def namespaces() -> list[dict]:
    """Return the namespaces that may hold a name of the package: its own, and those of the tests."""
    tests = [module for name, module in list(sys.modules.items()) if name.startswith(("test_", "conftest"))]
    return [vars(module) for module in (*modules(), *tests)]


def execute(module: ModuleType, text: str) -> None:
    """Execute a text as a module, and hand its new classes and functions to all who hold the old ones.

    AutoGraph compiles functions from their source, so the text is filed where Python looks it up, under a name of its
    own: the file of that name would be read anew.
    """
    file = f"<{module.__name__}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    old = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    exec(compile(text, file, "exec"), vars(module))
    new = {id(value): vars(module)[name] for name, value in old.items()}
    for namespace in namespaces():
        namespace |= {name: new[id(value)] for name, value in namespace.items() if id(value) in new}
    replaced = set(map(id, old.values()))
    for other in modules():
        bases = (base for value in vars(other).values() if isinstance(value, type) for base in value.__mro__[1:])
        if other is not module and not replaced.isdisjoint(map(id, bases)):
            execute(other, source(other))


@contextlib.contextmanager
def mutated(where: str, original: str, replacement: str) -> Iterator[None]:
    found = [module for module in modules(f"vaecourse.{where}") if original in source(module)]
    assert [source(module).count(original) for module in found] == [1], "the original text must occur exactly once"
    before, registered = [(names, dict(names)) for names in namespaces()], dict(keras.saving.get_custom_objects())
    try:
        execute(found[0], source(found[0]).replace(original, replacement))
        yield
    finally:
        for namespace, names in before:
            namespace.clear()
            namespace.update(names)
        keras.saving.get_custom_objects().clear()
        keras.saving.get_custom_objects().update(registered)


def check(mutation: Mutation, tiny, binary) -> None:
    """The test, which passes on the package as it is, fails on the one with the slip."""
    failures = (AssertionError, pytest.fail.Exception)  # the second, of a `pytest.raises` in which nothing is raised
    with mutated(mutation.where, mutation.original, mutation.mutated), pytest.raises(failures):
        mutation.test(tiny, binary)


def without_fixtures(test: Callable, *arguments) -> Callable:
    return lambda tiny, binary: test(*arguments)


def both_tests_of(mutations: list[Mutation]) -> tuple[Callable, Callable]:
    """Return two tests: that every slip is noticed, and that its test passes without it."""
    marked = [pytest.param(mutation, id=mutation.slip, marks=mutation.marks) for mutation in mutations]
    each = pytest.mark.parametrize("mutation", marked)

    @each
    def test_a_slip_is_noticed(mutation, tiny, binary):
        check(mutation, tiny, binary)

    @pytest.mark.unmutated
    @each
    def test_without_the_slip_its_test_passes(mutation, tiny, binary):
        """Otherwise its failure would say nothing.  `make test` leaves this to the files of the tests themselves."""
        mutation.test(tiny, binary)

    return test_a_slip_is_noticed, test_without_the_slip_its_test_passes
