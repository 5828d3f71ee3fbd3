"""The plan of the house: which room may import which, how large it may be, and what an import may do."""

import ast
import graphlib
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import vaecourse

HOUSE = Path(vaecourse.__file__).parent
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in HOUSE.glob("*.py")}
ROOMS = sorted(name for name in SOURCES if not name.startswith("_"))
each_room = pytest.mark.parametrize("room", ROOMS)


def floors() -> dict[str, int]:
    """Read the table in the docstring of the package."""
    table, floor = {}, None
    for line in vaecourse.__doc__.splitlines():
        if rooms := re.findall(r":mod:`~vaecourse\.(\w+)`", line):
            floor = int(line.split()[0]) if line[0].isdigit() else floor
            table |= dict.fromkeys(rooms, floor)
    return table


def imported_by(room: str) -> set[str]:
    """Every module that a room names in an import statement, wherever it stands."""
    names = set()
    for node in ast.walk(ast.parse(SOURCES[room])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_imported_by(room: str) -> set[str]:
    return {name.split(".")[1] for name in imported_by(room) if name.startswith("vaecourse.")} & set(ROOMS)


def test_the_table_names_every_room():
    assert sorted(floors()) == ROOMS


@each_room
def test_a_room_imports_only_from_lower_floors_or_on_the_ground_floor(room):
    floor = floors()
    for other in rooms_imported_by(room):
        assert floor[other] < floor[room] or floor[other] == floor[room] == 1, f"{room} imports {other}"


def test_no_room_imports_itself_in_a_circle():
    order = list(graphlib.TopologicalSorter({room: rooms_imported_by(room) for room in ROOMS}).static_order())
    assert sorted(order) == ROOMS


@pytest.mark.parametrize("room", SOURCES)
def test_nothing_imports_the_plots(room):
    assert "vaecourse.plotting" not in imported_by(room)
    if room != "plotting":
        assert not any(name.split(".")[0] in ("matplotlib", "imageio", "PIL") for name in imported_by(room))


@each_room
def test_tensorflow_probability_is_used_for_distributions_and_sampling_only(room):
    imported = imported_by(room)
    assert not any(name.startswith(("tf_keras", "tensorflow.keras", "tensorflow_probability.")) for name in imported)
    parts = {
        node.attr
        for node in ast.walk(ast.parse(SOURCES[room]))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tfp"
    }
    assert parts <= {"distributions", "bijectors", "mcmc"}


@pytest.mark.parametrize("room", SOURCES)
def test_a_room_can_be_read_in_one_sitting(room):
    assert len(SOURCES[room].splitlines()) <= 350


def public_names(room: str) -> dict[str, object]:
    """The functions, classes and constants that a room defines for others."""
    module = import_module(f"vaecourse.{room}")
    defined = {
        target.id
        for node in ast.parse(SOURCES[room]).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    }
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and (name in defined or getattr(value, "__module__", None) == module.__name__)
    }


@each_room
def test_every_public_function_and_class_says_what_it_is_for(room):
    assert import_module(f"vaecourse.{room}").__doc__
    for name, value in public_names(room).items():
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__doc__, f"{room}.{name}"
            assert not value.__doc__.startswith(f"{name}("), f"{room}.{name} has only a generated description"


@each_room
def test_every_public_name_is_used_in_some_test(room):
    words = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    names = set(public_names(room))
    for value in public_names(room).values():
        if inspect.isclass(value):
            names |= {name for name in vars(value) if not name.startswith("_")}
    assert names - words - KERAS_CALLS_THEM == set()


# Overridden for Keras, which calls them in every test that trains, saves or builds.
CONFIGURATION = {"get_config", "from_config", "compile_from_config"}
KERAS_CALLS_THEM = {"call", "train_step", "test_step", "update_step", *CONFIGURATION}


def test_importing_the_package_is_silent_and_needs_no_plots_and_no_digits():
    """In a process where matplotlib and scikit-learn, which Keras imports if it can, are not to be had."""
    program = "import sys; sys.modules |= {'matplotlib': None, 'sklearn': None}; import vaecourse"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_package_names_its_rooms():
    for name in vaecourse.__all__:
        assert hasattr(vaecourse, name)
    models = {"VAE", "ConditionalVAE", "DigitVAE", "FlowVAE", "ImportanceWeightedVAE", "SemiSupervisedVAE"}
    assert set(vaecourse.__all__) == models | {"diagnose"} | set(ROOMS) - {"plotting"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", vaecourse.__version__)
