"""Which modules of the companion module a piece of code uses, by itself or through others: read from the source alone.

A name is followed through what the packages gather to the module that defines it, so code that says `data.scale` uses
the module of `scale` and no other of that package.  Where code takes a package as a whole, it uses all of it.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

NAME = "vaecourse"
INIT = "__init__"


def modules(root: Path) -> "Modules":
    """Return the modules of the companion module that a folder holds; what has not changed is parsed only once."""
    files = {path.relative_to(root).with_suffix("").parts: path for path in sorted((root / NAME).rglob("*.py"))}
    return _parsed(tuple((".".join(parts), path.read_text(encoding="utf-8")) for parts, path in files.items()))


@functools.lru_cache(maxsize=2)
def _parsed(texts: tuple[tuple[str, str], ...]) -> "Modules":
    return Modules(dict(texts))


class Modules:
    """The modules of the companion module, by their full names; a package's own code is its `__init__`.

    Parameters
    ----------
    texts : dict
        From the full name of each module to its source.
    """

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts
        self.trees = {module: ast.parse(text) for module, text in texts.items()}
        self._bound = {module: self._imported(tree) for module, tree in self.trees.items()}
        self._named = {module: self._named_in(tree) for module, tree in self.trees.items()}

    def used_by(self, code: ast.AST) -> list[str]:
        """Return the sorted names of the modules that code uses, by itself or through other modules."""
        used, unseen = set(), self._named_in(code)
        while unseen:
            used |= unseen
            unseen = {name for module in unseen for name in self._named[module]} - used
        return sorted(used)

    def digest(self, module: str) -> str:
        """Digest the code of a module; docstrings, comments and bands, which change no number, are left out."""
        return _digest(self._texts[module])

    def defined(self, module: str) -> set[str]:
        """Return the names of the classes and functions that a module defines."""
        tree = self.trees.get(module, ast.Module([], []))
        return {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}

    def home(self, name: str) -> str:
        """Return the module that defines what a full name says; for a package as a whole, the name of the package."""
        module, parts = NAME, name.split(".")[1:]
        while parts:
            inside = f"{module}.{parts[0]}"
            owner = module if module in self.trees else f"{module}.{INIT}"
            elsewhere = self._bound[owner].get(parts[0], inside)
            if elsewhere != inside:
                module, parts = NAME, elsewhere.split(".")[1:] + parts[1:]
            elif inside in self.trees or f"{inside}.{INIT}" in self.trees:
                module, parts = inside, parts[1:]
            else:
                return owner
        return module

    def _named_in(self, code: ast.AST) -> set[str]:
        """Return the modules that code names itself: all that it imports, but of a package only what it takes of it."""
        bound = self._imported(code)
        named = {module for name in bound.values() if (module := self.home(name)) in self.trees}
        taken = [f"{bound[first]}{dot}{rest}" for first, dot, rest in _chains(code) if first in bound]
        while taken:
            if (module := self.home(taken.pop())) in self.trees:
                named.add(module)
            elif module not in named:  # a package as a whole
                named.add(module)
                taken += self._bound[f"{module}.{INIT}"].values()
        return named & set(self.trees)

    def _imported(self, code: ast.AST) -> dict[str, str]:
        """Return the full name behind each name that code imports from the companion module, or says in a string."""
        bound = {}
        for node in ast.walk(code):
            if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{NAME}."):
                bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                ours = [alias for alias in node.names if f"{alias.name}.".startswith(f"{NAME}.")]
                bound |= {alias.asname or NAME: alias.name if alias.asname else NAME for alias in ours}
            elif isinstance(node, ast.Constant) and node.value in self.trees:  # as for `importlib.import_module`
                bound[node.value.rpartition(".")[2]] = node.value
        return bound


@functools.cache
def _digest(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Band":
            node.args = []
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:8]


def _chains(code: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Yield each longest chain of attributes that begins with a name: the name, a dot if there is more, the rest."""
    inner = set()
    for node in ast.walk(code):  # from the outside in
        if id(node) not in inner and (chain := _dotted(node)):
            yield chain.partition(".")
        if isinstance(node, ast.Attribute):
            inner.add(id(node.value))


def _dotted(node: ast.AST) -> str:
    """Return a chain of attributes that begins with a name as text, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""
