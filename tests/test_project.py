"""What the project says about itself agrees: dependencies, address, licenses, links, commands."""

import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import vaecourse
from tools import address, chapters, lowest, processors, results
from vaecourse import recipes

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
NOT_LOCKED = {"gpu", "bench", "export", "audit"}  # the lock is of what builds and tests the book
ON_COLAB = {"tensorflow": "2.20.0", "keras": "3.13.2", "numpy": "2.1.3", "tensorflow-probability": "0.25.0"}
ELSEWHERE = "https://git.example.org/some-one/a.course"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project_files() -> list[Path]:
    """Return what git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def locked() -> dict[str, list[Requirement]]:
    pins = {}
    for line in read("requirements.lock").splitlines():
        if line and line[0] not in " #":
            pin = Requirement(line)
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


# --- dependencies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)])
def test_every_dependency_says_what_needs_it(line):
    assert re.search(rf'"{re.escape(line)}".*#\s*\w', read("pyproject.toml")), f"no comment beside {line}"


@pytest.mark.parametrize(
    "requirement",
    [
        Requirement(line)
        for lines in (PROJECT["dependencies"], *(EXTRAS[name] for name in EXTRAS if name not in NOT_LOCKED))
        for line in lines
    ],
    ids=str,
)
def test_every_dependency_is_locked_inside_its_range(requirement):
    if requirement.name == PROJECT["name"]:  # an extra that includes another one
        assert requirement.extras <= set(EXTRAS)
        return
    pins = locked()[canonicalize_name(requirement.name)]
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), f"{pin} is locked; pyproject.toml wants {requirement}"


def test_conda_installs_the_same_list():
    dependencies = yaml.safe_load(read("environment.yml"))["dependencies"]
    python, pip, through_pip = dependencies
    name, _, version = python.partition("=")
    assert name == "python"
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    assert pip == "pip"
    assert through_pip == {"pip": ["-e .[book,test]"]}


@pytest.mark.parametrize(("name", "version"), ON_COLAB.items())
def test_bounds_admit_what_colab_ships(name, version):
    (requirement,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == name)
    assert requirement.specifier.contains(version)
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.13")


def test_the_lowest_environment_has_every_dependency_at_its_lower_bound(tmp_path):
    pins = [Requirement(line) for line in lowest.lower_bounds()]
    assert [pin.name for pin in pins] == [Requirement(line).name for line in PROJECT["dependencies"]]
    for pin, line in zip(pins, PROJECT["dependencies"], strict=True):
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert f">={exact.version}" in line
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["numpy<3"]\n')
    with pytest.raises(ValueError, match="numpy<3 has no lower bound"):
        lowest.lower_bounds(tmp_path)
    assert all((ROOT / "tests" / name).exists() for name in lowest.TESTS)
    assert (ROOT / lowest.CHAPTER).exists()


# --- address ---------------------------------------------------------------------------------------------------------


def test_address_is_the_same_everywhere():
    url = address.current()
    assert f"git clone {url} vaecourse\n" in read("README.md")
    assert f"{address.COLAB}/{'/'.join(url.split('/')[-2:])}>" in read("README.md")
    assert yaml.safe_load(read("CITATION.cff"))["repository-code"] == url
    assert yaml.safe_load(read("_config.yml"))["repository"]["url"] == url
    for name in filter(lambda name: (ROOT / name).exists(), address.DOCUMENTS):
        named = set(re.findall(r"https://github\.com/[\w.-]+/vaecourse", read(name)))
        assert named <= {url, "https://github.com/you/vaecourse"}, name


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)
def test_chapter_begins_with_the_set_up_cell(path):
    chapter = chapters.read(path)
    first = chapters.code_cells(chapter)[0]
    assert address.set_up_cells(chapter) == [first]
    assert first.source == address.set_up_cell(address.current()), f"make address URL={address.current()}"


@pytest.fixture
def copy(tmp_path) -> Path:
    """Return a copy of everything that names the address, with a small chapter that has outputs."""
    for name in ("_config.yml", *address.DOCUMENTS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).exists():
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    cell = nbformat.v4.new_code_cell(address.set_up_cell(address.current()), metadata={"tags": ["set-up"]})
    output = nbformat.v4.new_output("execute_result", {"text/plain": "σ"}, execution_count=2, metadata={})
    shown = nbformat.v4.new_code_cell("sigma", execution_count=2, outputs=[output])
    chapter = tmp_path / "book" / "chapters" / "small.ipynb"
    chapter.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, shown]), chapter)
    return tmp_path


def test_address_changes_everywhere_and_back(copy):
    def contents():
        return {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()}

    before, url = contents(), address.current(copy)
    address.change(ELSEWHERE, copy)
    assert address.current(copy) == ELSEWHERE
    assert not [name for name, text in contents().items() if url.encode() in text]
    assert f"git clone {ELSEWHERE} vaecourse\n" in (copy / "README.md").read_text(encoding="utf-8")
    chapter = chapters.read(copy / "book" / "chapters" / "small.ipynb")
    assert chapter.cells[0].source == address.set_up_cell(ELSEWHERE)
    assert chapter.cells[1].outputs[0].data["text/plain"] == "σ"
    address.change(url, copy)
    assert contents() == before


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/You/course", "https://you.github.io/course/"),
        ("https://github.com/You/you.github.io", "https://you.github.io/"),
        (f"https://github.com/{address.PLACEHOLDER}/course", ""),
        ("https://example.org/you/course", ""),
    ],
)
def test_where_the_book_of_a_repository_is_published(url, expected):
    assert address.published(url) == expected


def test_set_up_cell_differs_in_its_first_line_alone():
    placeholder, set_one = (address.set_up_cell(url).splitlines() for url in (address.current(), ELSEWHERE))
    assert set_one[0] == f'REPOSITORY = "{ELSEWHERE}"'
    assert set_one[1:] == placeholder[1:]
    assert len(set_one) <= 8
    assert any(f'"{address.PLACEHOLDER}" in REPOSITORY' in line for line in set_one[1:])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "you/vaecourse",
        "http://github.com/you/vaecourse",
        "https://github.com/you",
        "https://github.com/you/vaecourse/",
        "https://github.com/you/vaecourse.git",
        "https://github.com/you/vaecourse/tree/main",
        "git@github.com:you/vaecourse.git",
        'https://github.com/you/"; import os',
    ],
)
def test_other_addresses_are_refused(copy, url):
    before = (copy / "_config.yml").read_bytes()
    with pytest.raises(ValueError, match=r"expected an address like https://github\.com/you/vaecourse"):
        address.change(url, copy)
    assert (copy / "_config.yml").read_bytes() == before


def test_configuration_without_address_is_refused(tmp_path):
    (tmp_path / "_config.yml").write_text("title: a book\nrepository:\n  branch: main\nlaunch:\n  url: none\n")
    with pytest.raises(ValueError, match="states no url"):
        address.current(tmp_path)


# --- what stands in the files ----------------------------------------------------------------------------------------


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    registries = r"pypi\.org|pythonhosted\.org|anaconda\.(?:org|com)|registry\.npmjs|npmjs\.(?:org|com)"
    paths = r"(?<![\w.~])/(?:root|work|home|Users|opt|mnt|tmp/ipykernel_\d+)/|[A-Z]:\\+Users"
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # an image
            continue
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in re.finditer(f"{registries}|{paths}", text)]
    assert not found


def test_licenses_cover_code_and_text():
    assert PROJECT["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License\n\nCopyright (c) 2026 The vaecourse developers\n")
    assert "https://creativecommons.org/licenses/by/4.0/" in read("LICENSE-TEXT")


def test_citation_is_complete():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "repository-code"} <= set(citation)
    assert citation["version"] == vaecourse.__version__


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["dynamic"]
    source = read(PYPROJECT["tool"]["hatch"]["version"]["path"])
    assert re.findall(r'(?m)^__version__ = "(.*)"$', source) == [vaecourse.__version__]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name):
    text = re.sub(r"```.*?```", "", read(name), flags=re.DOTALL)
    headings = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)", text)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (ROOT / target).exists(), f"{name} links to {target}, which is not there"


@pytest.mark.parametrize("path", chapters.paths(), ids=lambda path: path.stem)
def test_readme_lists_every_chapter_by_its_title(path):
    if path.parent.name == "chapters":
        assert f"[{chapters.title(chapters.read(path))}]({path.relative_to(ROOT).as_posix()})" in read("README.md")


def test_readme_shows_the_results_of_the_executed_chapters():
    shown = read("README.md").split(results.BEGIN)[1].split(results.END)[0]
    assert shown == results.for_readme(), "make execute"
    assert len(results.rows()) == len({recipe.source for recipe in recipes.RECIPES.values()})


def test_a_result_is_what_the_chapter_of_the_recipe_printed(monkeypatch, tmp_path):
    monkeypatch.setattr(chapters, "ROOT", tmp_path)
    path = tmp_path / "book" / "chapters" / "conv-cvae.ipynb"
    path.parent.mkdir(parents=True)
    printed = nbformat.v4.new_output("stream", text="test ELBO -1.00 ± 0.25; more\nand more\n")
    cell = nbformat.v4.new_code_cell("", metadata={"tags": ["measured-tf-cvae"]}, outputs=[printed])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert results.measured("tf-cvae") == "test ELBO −1.00 ± 0.25"
    with pytest.raises(ValueError, match="0 cells tagged measured-tf-cvae-improved"):
        results.measured("tf-cvae-improved")
    cell.outputs.clear()
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    with pytest.raises(ValueError, match="has not been executed"):
        results.measured("tf-cvae")


def test_commands_that_are_named_exist():
    targets = set(re.findall(r"(?m)^([a-z-]+):", read("Makefile")))
    workflows = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / ".github/workflows").glob("*.yml"))
    assert workflows
    for name in ("README.md", "CONTRIBUTING.md", *workflows):
        named = set(re.findall(r"(?m)(?:`|^\s*|run: )make ([a-z-]+)", read(name)))
        assert named <= targets, name


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_pin_their_actions(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step)


def test_the_listing_in_contributing_has_a_line_for_every_module():
    (listing,) = re.findall(r"```text\n(data/.*?)```", read("CONTRIBUTING.md"), flags=re.DOTALL)
    listed = {}
    for line in listing.splitlines():
        name, _, said = line.strip().partition(" ")
        assert said.strip(), line
        if name.endswith("/"):
            listed[name[:-1]] = modules = []
        else:
            modules.append(name)
    assert list(listed) == re.findall(r"(?m)^:mod:`vaecourse\.(\w+)`", vaecourse.__doc__)
    for package, modules in listed.items():
        there = {path.stem for path in (ROOT / "vaecourse" / package).glob("*.py")} - {"__init__"}
        assert len(modules) == len(there)
        assert set(modules) == there


def test_continuous_integration_imitates_every_processor():
    (job,) = [job for job in yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"].values() if "SETTING" in str(job)]
    assert job["strategy"]["matrix"]["setting"] == list(processors.SETTINGS)


def test_example_of_the_readme_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL)
    names = {}
    exec(example.replace("epochs=5", "epochs=1"), names)
    assert names["images"].shape == (16, 28, 28, 1)
    assert re.search(r"-\d+\.\d\d ± \d+\.\d\d", capsys.readouterr().out)
