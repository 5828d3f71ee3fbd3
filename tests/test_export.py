"""What Keras' `export` writes gives the same numbers in other programs, which do not have this package."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_keras import MODELS, SHAPE, N, build

FORMATS = {"tf_saved_model": ".saved", "onnx": ".onnx", "litert": ".tflite"}
NEEDED = {"tf_saved_model": (), "onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}


def available(form: str) -> bool:
    return all(importlib.util.find_spec(name) for name in NEEDED[form])


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a process without the package makes of every model in every format, and what was expected."""
    folder = tmp_path_factory.mktemp("exported")
    random = np.random.default_rng(0)
    x, y = (random.random((N, *SHAPE)) < 0.4).astype(np.float32), np.arange(N, dtype=np.int32) % 3
    vae = build("VAE")
    exported = {name: (build(name), [x, y] if name == "ConditionalVAE" else [x]) for name in MODELS[1:]}
    exported |= {"whole": (vae, [x]), "encoder": (vae.encoder, [x]), "decoder": (vae.decoder, [vae.encode(x).mean()])}
    expected, inputs = {}, {}
    for name, (model, arrays) in exported.items():
        expected[name] = np.asarray(model(arrays[0] if len(arrays) == 1 else tuple(arrays)))
        inputs |= {f"{name}/{number}": array for number, array in enumerate(arrays)}
        for form, suffix in FORMATS.items():
            if available(form):
                model.export(folder / f"{name}{suffix}", format=form, verbose=False)
    vae.save(folder / "whole.keras")
    np.savez(folder / "inputs.npz", **inputs)
    program = Path(__file__).with_name("exported.py")
    environment = {**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(program), str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return expected, np.load(folder / "answers.npz")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["whole", "encoder", "decoder", *MODELS[1:]])
def test_an_exported_model_gives_the_same_numbers_without_the_package(name, form, answers):
    if not available(form):
        pytest.skip(f"{' and '.join(NEEDED[form])} must be installed: pip install vaecourse[export]")
    expected, given = answers
    np.testing.assert_allclose(given[f"{name}{FORMATS[form]}"], expected[name], **ROUNDING)


def test_a_saved_model_needs_the_package_and_says_so(answers):
    assert "Could not locate class 'VAE'" in str(answers[1]["said"])
