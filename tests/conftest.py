"""What the tests share: a few real digits, and models that train in a second."""

import gc
import os

import keras
import matplotlib
import numpy as np
import pytest
from hypothesis import settings

from vaecourse import data, models, networks
from vaecourse.data import datasets

matplotlib.use("Agg")
gc.freeze()  # what the libraries brought is not looked through again at every collection
gc.set_threshold(100_000, 50, 100)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.register_profile("fresh", derandomize=False, deadline=None, max_examples=40, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_runtest_setup(item):
    """Leave half precision out where oneDNN is limited: TensorFlow multiplies in it by what the processor has."""
    if item.get_closest_marker("half_precision") and "ONEDNN_MAX_CPU_ISA" in os.environ:
        pytest.skip("products in bfloat16 by vector units that oneDNN leaves alone end in a crash")


@pytest.fixture(scope="session")
def digits() -> data.Images:
    return data.load("digits")


@pytest.fixture(scope="session")
def grays(digits) -> np.ndarray:
    return data.scale(digits.train_images[:600])


@pytest.fixture(scope="session")
def labels(digits) -> np.ndarray:
    return digits.train_labels[:600]


@pytest.fixture(scope="session")
def binary(grays) -> np.ndarray:
    return data.binarize(grays)


@pytest.fixture(scope="session")
def tiny():
    """Build a small compiled VAE; equal arguments give equal weights."""

    def build(steps_per_execution: int | None = None, **options) -> models.VAE:
        vae = models.VAE(*networks.mlp(latent_dim=2, hidden=(16,), seed=0), **options)
        vae.compile(keras.optimizers.Adam(1e-2), steps_per_execution=steps_per_execution)
        return vae

    return build


@pytest.fixture
def without_data(monkeypatch, tmp_path):
    """No data folder, an empty cache, and no network: any download fails."""

    def offline(path):
        raise Exception("URL fetch failure: no network")

    monkeypatch.delenv("VAECOURSE_DATA", raising=False)
    monkeypatch.delenv("VAECOURSE_BUDGET", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in datasets._FETCH:
        monkeypatch.setitem(datasets._FETCH, name, offline)
    return tmp_path / "keras" / "datasets"


@pytest.fixture
def small_mnist(monkeypatch) -> dict[str, np.ndarray]:
    """Arrays that stand in for MNIST, so that its files can be written, damaged and verified in no time."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (40, 28, 28), dtype=np.uint8),
        "y_train": rng.integers(0, 10, 40, dtype=np.uint8),
        "x_test": rng.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        "y_test": rng.integers(0, 10, 10, dtype=np.uint8),
    }
    monkeypatch.setitem(datasets._DIGESTS, "mnist", data.array_digest(list(arrays.values())))
    return arrays


@pytest.fixture(scope="module", autouse=True)
def _free_graphs():
    """Free the graphs of a file's models: those of a whole session at once take the collector half a minute."""
    yield
    gc.collect()
