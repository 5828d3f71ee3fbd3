"""No code of strangers is run: none is unpickled, evaluated, or loaded with a model; workflows do what they must."""

from pathlib import Path

import keras
import pytest
from keras import layers

from tools.reliability import security
from tools.reliability.figures import ROOT
from vaecourse import models, networks


@pytest.mark.parametrize("path", security.PROGRAMS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_program_runs_what_it_reads(path):
    assert not security.unsafe_of(path)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "np.load('x.npz', allow_pickle=True)",
        "keras.saving.load_model('x.keras', safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "yaml.load(text)",
        "subprocess.run('ls', shell=True)",
    ],
)
def test_the_check_of_programs_sees_what_is_unsafe(code):
    assert security.unsafe(code)


@pytest.fixture
def with_lambda(tmp_path) -> Path:
    """Return the file of a VAE whose decoder has a layer with Python code of its own."""
    encoder, decoder = networks.mlp(latent_dim=2, hidden=(4,), seed=0)
    striped = keras.Sequential([decoder, layers.Lambda(lambda logits: logits + 1.0)])
    vae = models.VAE(encoder, striped, seed=0)
    vae.save(tmp_path / "stranger.keras")
    return tmp_path / "stranger.keras"


def test_a_model_of_strangers_that_contains_code_is_refused(with_lambda):
    with pytest.raises(ValueError, match="unsafe"):
        keras.saving.load_model(with_lambda)


def test_what_the_module_registers_is_its_own_classes_and_functions():
    ours = {name: found for name, found in keras.saving.get_custom_objects().items() if name.startswith("vaecourse")}
    assert ours
    assert all(found.__module__.startswith("vaecourse.") for found in ours.values())


@pytest.mark.parametrize("path", security.WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_only_do_what_they_need_and_run_actions_that_cannot_change(path):
    assert not security.faults_of_workflow(path.stem, path.read_text())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("contents: read", "contents: write"),
        ("  push:", "  pull_request_target:"),
        ("        run: |", "        run: echo ${{ github.event.head_commit.message }}\n        other: |"),
        ("    permissions:\n      contents: write", "    permissions:\n      packages: write"),
        ("actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "actions/checkout@v7"),
        ("  # v7.0.1", ""),
    ],
)
def test_the_check_of_workflows_sees_what_is_unsafe(right, wrong):
    text = (ROOT / ".github/workflows/pages.yml").read_text()
    assert right in text
    assert security.faults_of_workflow("pages", text.replace(right, wrong, 1))


def test_packages_that_nobody_looked_up_are_not_called_safe():
    skipped, clean = {"name": "a", "skip_reason": "not found"}, {"name": "b", "version": "1", "vulns": []}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1"}]}
    assert security.said([skipped, skipped]) == "no database of vulnerabilities could be reached"
    assert security.said([skipped, clean]) == "none known of 1 packages; 1 are in no database"
    assert security.said([clean, bad]) == "c 2 (CVE-1) of 2 packages"
