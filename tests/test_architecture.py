"""The plan of the module: its packages and their order, how large a file may be, and what an import may do."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import vaecourse
from tools import chapters

FOLDER = Path(vaecourse.__file__).parent
PACKAGES = re.findall(r"(?m)^:mod:`vaecourse\.(\w+)`", vaecourse.__doc__)
"""In the order of the table in the docstring: each imports from those before it only."""
FILES = {
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(FOLDER.rglob("*.py"))
}
SOURCES = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
MODULES = [name for name in SOURCES if not re.search(r"\._", name) and name.count(".") == 2]
each_module = pytest.mark.parametrize("module", MODULES)
every_file = pytest.mark.parametrize("module", SOURCES)


def imported_by(module: str) -> set[str]:
    """Return the full name of everything that a module imports, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(SOURCES[module])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in SOURCES else node.module)
    return names


def test_the_table_names_every_package_and_there_is_nothing_else_to_find():
    assert sorted(PACKAGES) == sorted(path.name for path in FOLDER.iterdir() if (path / "__init__.py").exists())
    assert 1 < len(PACKAGES) <= 7
    assert {path.stem for path in FOLDER.glob("*.py")} <= {"__init__", "_start"}


def test_the_linter_of_imports_knows_the_packages_in_the_order_of_the_table():
    """`make lint` holds the order, and that nothing is imported in a circle: see `tool.importlinter`."""
    contracts = tomllib.loads((chapters.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = [contract["layers"] for contract in contracts["contracts"] if contract["type"] == "layers"]
    assert layers == PACKAGES[::-1], "from the last to the first"


@every_file
def test_a_module_imports_modules_and_not_what_its_own_package_gathers(module):
    """The one circle that the linter does not see, since it leads through the `__init__` of the package."""
    if module.count(".") == 2:
        assert module.rpartition(".")[0] not in imported_by(module)


@every_file
def test_tensorflow_probability_is_used_for_distributions_and_sampling_only(module):
    imported = imported_by(module)
    assert not any(name.startswith(("tf_keras", "tensorflow.keras", "tensorflow_probability.")) for name in imported)
    parts = {
        node.attr
        for node in ast.walk(ast.parse(SOURCES[module]))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tfp"
    }
    assert parts <= {"distributions", "bijectors", "mcmc"}


@every_file
def test_a_module_can_be_read_in_one_sitting(module):
    assert len(SOURCES[module].splitlines()) <= 250


def public_names(module: str) -> dict[str, object]:
    """Return the functions, classes and constants that a module defines for others."""
    imported = import_module(module)
    defined = {
        target.id
        for node in ast.parse(SOURCES[module]).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    return {
        name: value
        for name, value in vars(imported).items()
        if not name.startswith("_") and (name in defined or getattr(value, "__module__", None) == module)
    }


@each_module
def test_every_public_function_and_class_says_what_it_is_for(module):
    assert import_module(module).__doc__
    for name, value in public_names(module).items():
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__doc__, f"{module}.{name}"
            assert not value.__doc__.startswith(f"{name}("), f"{module}.{name} has only a generated description"


@each_module
def test_every_public_name_is_used_in_some_test(module):
    words = set()
    for path in Path(__file__).parent.glob("*.py"):
        words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    names = set(public_names(module))
    for value in public_names(module).values():
        if inspect.isclass(value):
            names |= {name for name in vars(value) if not name.startswith("_")}
    assert names - words - KERAS_CALLS_THEM == set()


# Overridden for Keras, which calls them in every test that trains, saves or builds.
CONFIGURATION = {"get_config", "from_config", "compile_from_config", "get_compile_config"}
KERAS_CALLS_THEM = {"call", "train_step", "test_step", "predict_step", "update_step", *CONFIGURATION}


def test_importing_the_package_is_silent_and_needs_no_plots_and_no_digits():
    """In a process where matplotlib and scikit-learn, which Keras imports if it can, are not to be had."""
    program = "import sys; sys.modules |= {'matplotlib': None, 'sklearn': None}; import vaecourse"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("name", vaecourse.__all__)
def test_the_short_names_are_there(name):
    assert hasattr(vaecourse, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_that_name'"):
        vaecourse.nothing_of_that_name  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_gathers_is_there_and_every_gathered_name_has_one_home(package):
    gathered = import_module(f"vaecourse.{package}")
    assert gathered.__doc__
    assert all(hasattr(gathered, name) for name in gathered.__all__)
