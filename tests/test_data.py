"""Images in: what is loaded, what is made of it, in which order it comes, and what happens when files are damaged."""

import contextlib
import gc
import os
import pickle
import pwd
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from vaecourse import VAE, course, data, networks, training
from vaecourse.data import datasets, names


def test_digits_are_real_digits_resized(digits):
    images, labels = np.concatenate(digits[1::2]), np.concatenate(digits[2::2])
    assert images.shape == (1797, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert len(digits.test_images) == 297
    source = load_digits()
    np.testing.assert_array_equal(labels, source.target)
    # The center of pixel i of 28 lies at (i + ½)/3.5 − ½ of 8; between the centers of the source values are linear.
    centers = (np.arange(28) + 0.5) / 3.5 - 0.5
    weights = np.stack([np.interp(centers, np.arange(8), unit) for unit in np.eye(8)], axis=1)
    expected = weights @ source.images @ weights.T * (255 / 16)
    assert np.abs(images - expected).max() <= 0.5 + 1e-9


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match="unknown data set 'cifar'; there are mnist, fashion_mnist, digits"):
        data.load("cifar")


@pytest.mark.parametrize("there", [("left", "right"), {"left": 1, "right": 2}], ids=["tuple", "table"])
def test_a_name_is_known_or_refused_with_those_that_there_are(there):
    assert names.known("right", there, "side") == "right"
    for unknown in ("middle", "", "lef", None, 1, ["left"]):
        with pytest.raises(ValueError, match=r"^unknown side .*; there are left, right$"):
            names.known(unknown, there, "side")


def test_every_data_set_with_a_digest_can_be_fetched():
    assert set(datasets._FETCH) == {*datasets._DIGESTS, "cifar10"} == set(data.DATASETS) - {"digits"}


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_real_data_sets_where_they_are_at_hand(name):
    folder = os.environ.get("VAECOURSE_DATA", "")
    if not Path(folder, f"{name}.npz").is_file():
        pytest.skip(f"no {name}.npz in VAECOURSE_DATA")
    images = data.load(name)
    assert images.train_images.shape == (60_000, 28, 28)
    assert images.test_images.shape == (10_000, 28, 28)
    assert set(images.train_labels) == set(images.test_labels) == set(range(10))


def test_the_digest_sees_values_shapes_and_types_but_not_storage():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    digest = data.array_digest([array])
    assert data.array_digest([np.asfortranarray(array)]) == digest
    changed = array.copy()
    changed[2, 3] += 1
    for other in (changed, array.reshape(4, 3), array.astype(np.int8), array[:2]):
        assert data.array_digest([other]) != digest


# --- files --------------------------------------------------------------------------------------------------------


def test_a_data_folder_is_read_and_nothing_else(small_mnist, without_data, monkeypatch, tmp_path):
    np.savez(tmp_path / "mnist.npz", **small_mnist)
    monkeypatch.setenv("VAECOURSE_DATA", str(tmp_path))
    images = data.load("mnist")
    assert images.name == "mnist"
    for loaded, written in zip(images[1:], small_mnist.values(), strict=True):
        np.testing.assert_array_equal(loaded, written)
    assert not without_data.exists()


def test_a_data_folder_without_the_file_is_an_error_even_if_the_cache_has_it(
    small_mnist, without_data, monkeypatch, tmp_path
):
    without_data.mkdir(parents=True)
    np.savez(without_data / "mnist.npz", **small_mnist)
    assert data.load("mnist").name == "mnist"
    monkeypatch.setenv("VAECOURSE_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"elsewhere/mnist\.npz does not exist"):
        data.load("mnist")


@pytest.mark.parametrize("kind", ["the file itself", "another file", "no folder", "a link to nowhere"])
def test_a_data_folder_that_is_none_is_named(kind, small_mnist, without_data, monkeypatch, tmp_path):
    named = tmp_path / "mnist.npz"
    if kind == "the file itself":
        np.savez(named, **small_mnist)
    elif kind == "another file":
        named.write_text("")
    elif kind == "a link to nowhere":
        named.symlink_to(tmp_path / "gone")
    monkeypatch.setenv("VAECOURSE_DATA", str(named))
    with pytest.raises(FileNotFoundError, match=r"mnist\.npz/mnist\.npz does not exist; VAECOURSE_DATA must name"):
        data.load("mnist")


def test_a_relative_data_folder_is_named_from_the_root(without_data, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAECOURSE_DATA", "arrays")
    with pytest.raises(FileNotFoundError, match=f"^{tmp_path}/arrays/mnist.npz does not exist"):
        data.load("mnist")


@pytest.fixture
def without_permissions(tmp_path):
    """Let this process have no right to look into `tmp_path`, not even that of an administrator."""
    user = os.geteuid()
    mode = tmp_path.stat().st_mode
    tmp_path.chmod(0)
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)
    tmp_path.chmod(mode)


def test_a_data_folder_that_may_not_be_read_is_named(without_data, without_permissions, monkeypatch, tmp_path):
    monkeypatch.setenv("VAECOURSE_DATA", str(tmp_path))
    with pytest.raises(PermissionError, match=r"mnist\.npz may not be read \(Permission denied\); .* VAECOURSE_DATA"):
        data.load("mnist")


def truncated(path, arrays):
    np.savez_compressed(path, **arrays)
    path.write_bytes(path.read_bytes()[:-1000])


def with_a_flipped_byte(path, arrays):
    np.savez_compressed(path, **arrays)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)


def empty(path, arrays):
    path.touch()


def not_a_zip(path, arrays):
    path.write_text("<html>404 Not Found</html>")


def a_single_array(path, arrays):
    with path.open("wb") as file:
        np.save(file, arrays["x_train"])


def pickled(path, arrays):
    path.write_bytes(pickle.dumps(arrays))


def pickled_arrays(path, arrays):
    np.savez(path, **{**arrays, "x_train": np.array([*arrays["x_train"], "a"], dtype=object)})


def a_missing_key(path, arrays):
    np.savez(path, **{key: array for key, array in arrays.items() if key != "y_test"})


def other_arrays(path, arrays):
    np.savez(path, **{**arrays, "x_test": 255 - arrays["x_test"]})


def labels_in_another_order(path, arrays):
    np.savez(path, **{**arrays, "y_train": arrays["y_train"][::-1]})


DAMAGES = [
    truncated,
    with_a_flipped_byte,
    empty,
    not_a_zip,
    a_single_array,
    pickled,
    pickled_arrays,
    a_missing_key,
    other_arrays,
    labels_in_another_order,
]


@pytest.mark.parametrize("in_cache", [False, True], ids=["folder", "cache"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_named_and_left_as_it_is(damage, in_cache, small_mnist, without_data, monkeypatch):
    without_data.mkdir(parents=True)
    path = without_data / "mnist.npz"
    damage(path, small_mnist)
    before = path.read_bytes()
    if not in_cache:
        monkeypatch.setenv("VAECOURSE_DATA", str(path.parent))
    with pytest.raises(ValueError, match=r"datasets/mnist\.npz .*move it away and fetch it again"):
        data.load("mnist")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["mnist.npz"]


def test_any_damage_to_a_file_is_noticed(small_mnist, tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **small_mnist)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(whole), 40):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"mnist\.npz"):
            datasets._read(path, "mnist")
    for position in rng.integers(0, len(whole), 80):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        with contextlib.suppress(ValueError):  # a date in the archive, and the like, may change and nothing is lost
            for loaded, written in zip(datasets._read(path, "mnist")[1:], small_mnist.values(), strict=True):
                np.testing.assert_array_equal(loaded, written)


# --- downloads ----------------------------------------------------------------------------------------------------


def test_a_download_is_verified_kept_and_not_repeated(small_mnist, without_data, monkeypatch):
    fetched = []

    def fetch(path):
        fetched.append(path)
        np.savez(path, **small_mnist)

    monkeypatch.setitem(datasets._FETCH, "mnist", fetch)
    for _ in range(2):
        np.testing.assert_array_equal(data.load("mnist").test_labels, small_mnist["y_test"])
    assert len(fetched) == 1
    assert os.listdir(without_data) == ["mnist.npz"]


def broken_connection(path, arrays):
    np.savez(path, **arrays)
    path.write_bytes(path.read_bytes()[:5000])
    raise Exception("URL fetch failure: connection reset by peer")


def nothing_at_all(path, arrays):
    pass


@pytest.mark.parametrize(
    "interruption",
    [broken_connection, nothing_at_all, truncated, not_a_zip, other_arrays, a_missing_key],
    ids=lambda interruption: interruption.__name__,
)
def test_a_failed_download_is_an_error_of_the_connection_and_leaves_nothing(
    interruption, small_mnist, without_data, monkeypatch
):
    without_data.mkdir(parents=True)
    neighbor = without_data / "fashion_mnist.npz"
    neighbor.write_text("not ours")
    monkeypatch.setitem(datasets._FETCH, "mnist", lambda path: interruption(path, small_mnist))
    with pytest.raises(ConnectionError, match=r"mnist is not in .* could not be downloaded"):
        data.load("mnist")
    assert os.listdir(without_data) == ["fashion_mnist.npz"]
    assert neighbor.read_text() == "not ours"


def test_an_interrupt_during_a_download_leaves_nothing(small_mnist, without_data, monkeypatch):
    def interrupted(path):
        truncated(path, small_mnist)
        raise KeyboardInterrupt

    monkeypatch.setitem(datasets._FETCH, "mnist", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist")
    assert os.listdir(without_data) == []


def test_a_download_does_not_replace_a_file_that_came_meanwhile(small_mnist, without_data, monkeypatch):
    target = without_data / "mnist.npz"

    def fetch(path):
        np.savez(path, **small_mnist)
        np.savez_compressed(target, **small_mnist)
        fetch.written = target.read_bytes()

    monkeypatch.setitem(datasets._FETCH, "mnist", fetch)
    data.load("mnist")
    assert target.read_bytes() == fetch.written
    assert os.listdir(without_data) == ["mnist.npz"]


def test_two_that_load_at_once_into_one_cache_both_get_the_data(small_mnist, without_data, monkeypatch):
    both_fetch = threading.Barrier(2, timeout=20)

    def fetch(path):
        both_fetch.wait()
        np.savez(path, **small_mnist)
        both_fetch.wait()

    monkeypatch.setitem(datasets._FETCH, "mnist", fetch)
    with ThreadPoolExecutor(2) as executor:
        for images in executor.map(data.load, ["mnist", "mnist"]):
            np.testing.assert_array_equal(images.test_labels, small_mnist["y_test"])
    assert os.listdir(without_data) == ["mnist.npz"]


def test_mnist_is_fetched_by_keras_into_the_cache(small_mnist, without_data, monkeypatch):
    def get_file(name, origin, cache_subdir):
        assert origin.endswith("/mnist.npz")
        np.savez(Path(cache_subdir, name), **small_mnist)

    monkeypatch.setitem(datasets._FETCH, "mnist", datasets._fetch_mnist)
    monkeypatch.setattr("keras.utils.get_file", get_file)
    data.load("mnist")
    assert os.listdir(without_data) == ["mnist.npz"]


def test_fashion_mnist_is_fetched_by_keras_into_the_cache(small_mnist, without_data, monkeypatch):
    arrays = list(small_mnist.values())
    monkeypatch.setitem(datasets._DIGESTS, "fashion_mnist", data.array_digest(arrays))
    monkeypatch.setitem(datasets._FETCH, "fashion_mnist", datasets._fetch_fashion_mnist)
    monkeypatch.setattr("keras.datasets.fashion_mnist.load_data", lambda: (arrays[:2], arrays[2:]))
    np.testing.assert_array_equal(data.load("fashion_mnist").train_images, small_mnist["x_train"])
    assert os.listdir(without_data) == ["fashion_mnist.npz"]


def test_without_keras_home_the_cache_is_in_the_home_folder(small_mnist, without_data, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".keras" / "datasets").mkdir(parents=True)
    np.savez(tmp_path / ".keras" / "datasets" / "mnist.npz", **small_mnist)
    assert data.load("mnist").name == "mnist"


def nobody(user):
    raise KeyError(f"getpwuid(): uid not found: {user}")


def test_without_a_home_variable_the_home_folder_is_that_of_the_user(small_mnist, without_data, monkeypatch, tmp_path):
    for name in ("HOME", "KERAS_HOME"):
        monkeypatch.delenv(name)
    entry = pwd.struct_passwd(("reader", "x", 1, 1, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda user: entry)
    (tmp_path / ".keras" / "datasets").mkdir(parents=True)
    np.savez(tmp_path / ".keras" / "datasets" / "mnist.npz", **small_mnist)
    assert data.load("mnist").name == "mnist"


@pytest.mark.parametrize("keras_home", [None, "", "~/keras"])
def test_without_a_home_folder_the_message_says_what_to_set(keras_home, without_data, monkeypatch):
    """As in a container that is run by a user whom it does not know."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    if keras_home is None:
        monkeypatch.delenv("KERAS_HOME")
    else:
        monkeypatch.setenv("KERAS_HOME", keras_home)
    with pytest.raises(FileNotFoundError, match=r"no home directory; set KERAS_HOME to .* or VAECOURSE_DATA to"):
        data.load("mnist")
    assert data.load("digits").name == "digits"


def test_without_a_home_folder_a_cache_that_is_named_is_enough(small_mnist, without_data, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setitem(datasets._FETCH, "mnist", lambda path: np.savez(path, **small_mnist))
    assert data.load("mnist").name == "mnist"
    assert os.listdir(without_data) == ["mnist.npz"]


def test_a_cache_below_the_home_folder_is_found_as_keras_finds_it(small_mnist, without_data, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", "~/keras")
    without_data.mkdir(parents=True)
    np.savez(without_data / "mnist.npz", **small_mnist)
    assert data.load("mnist").name == "mnist"


def test_a_cache_that_may_not_be_looked_into_is_named(without_data, without_permissions):
    with pytest.raises(PermissionError, match=r"cannot write to Keras' cache .*Permission denied.*VAECOURSE_DATA"):
        data.load("mnist")


@pytest.mark.parametrize("blocked", ["keras", "keras/datasets"])
def test_a_cache_that_cannot_be_written_to_is_named(blocked, small_mnist, without_data, tmp_path, monkeypatch):
    monkeypatch.setitem(datasets._FETCH, "mnist", lambda path: np.savez(path, **small_mnist))
    blocked = tmp_path / blocked
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where a folder should be")
    with pytest.raises(PermissionError, match=r"cannot write to Keras' cache .*keras/datasets .*set KERAS_HOME"):
        data.load("mnist")
    assert blocked.read_text() == "a file where a folder should be"


# --- the budget of a chapter: what is at hand ---------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "mode"), [(None, "mnist/full"), ("full", "mnist/full"), ("quick", "mnist/quick")])
def test_with_mnist_the_budget_is_what_is_asked_for_and_full_by_default(
    asked, mode, small_mnist, without_data, monkeypatch, tmp_path, capsys
):
    np.savez(tmp_path / "mnist.npz", **small_mnist)
    monkeypatch.setenv("VAECOURSE_DATA", str(tmp_path))
    if asked:
        monkeypatch.setenv("VAECOURSE_BUDGET", asked)
    budget = course.chapter_budget()
    assert budget.mode == mode
    assert budget.choose(full=1, quick=2) == (1 if mode == "mnist/full" else 2)
    assert str(budget) == f"{mode}: 40 training and 10 test images of 28×28 pixels"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("asked", [None, "quick"])
def test_without_mnist_a_chapter_says_so_once_and_takes_the_digits(asked, without_data, monkeypatch, capsys):
    if asked:
        monkeypatch.setenv("VAECOURSE_BUDGET", asked)
    budget = course.chapter_budget()
    assert budget.mode == "digits/quick"
    assert len(budget.images.train_images) == 1500
    (line,) = capsys.readouterr().out.splitlines()
    assert "MNIST" in line
    assert "digits" in line


def test_without_mnist_the_full_budget_is_an_error(without_data, monkeypatch):
    monkeypatch.setenv("VAECOURSE_BUDGET", "full")
    with pytest.raises(ConnectionError, match="VAECOURSE_DATA"):
        course.chapter_budget()


@pytest.mark.parametrize("asked", [None, "quick", "full"])
def test_a_named_folder_without_mnist_is_an_error_in_every_budget(asked, without_data, monkeypatch, tmp_path):
    monkeypatch.setenv("VAECOURSE_DATA", str(tmp_path))
    if asked:
        monkeypatch.setenv("VAECOURSE_BUDGET", asked)
    with pytest.raises(FileNotFoundError, match=r"mnist\.npz"):
        course.chapter_budget()


def test_a_budget_that_is_none_is_refused(without_data, monkeypatch):
    monkeypatch.setenv("VAECOURSE_BUDGET", "nonsense")
    with pytest.raises(ValueError, match="VAECOURSE_BUDGET is 'nonsense'; expected 'full' or 'quick'"):
        course.chapter_budget()


# --- scaling and binarizing ---------------------------------------------------------------------------------------


def test_scale_divides_by_255_and_adds_a_channel():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    grays = data.scale(levels)
    assert grays.shape == (1, 16, 16, 1)
    assert grays.dtype == np.float32
    np.testing.assert_array_equal(grays.ravel(), (np.arange(256) / 255).astype(np.float32))
    assert data.scale(np.zeros((2, 4, 4, 3), np.uint8)).shape == (2, 4, 4, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_only_bytes_are_scaled(dtype):
    with pytest.raises(TypeError, match=r"expected uint8 images .* scaled already"):
        data.scale(np.zeros((2, 28, 28), dtype))


@pytest.mark.parametrize("shape", [(28, 28), (0, 28, 28), (2, 28, 28, 1, 1), ()])
def test_images_of_another_shape_are_not_scaled(shape):
    with pytest.raises(ValueError, match="expected images of shape"):
        data.scale(np.zeros(shape, np.uint8))


def test_binarize_cuts_above_the_threshold():
    grays = np.array([0, 0.2, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 1], np.float32)
    binary = data.binarize(grays)
    assert binary.dtype == np.float32
    np.testing.assert_array_equal(binary, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(data.binarize(grays, threshold=0.1), [0, 1, 1, 1, 1])


def test_stochastic_binarization_draws_each_pixel_with_its_gray_as_probability(grays):
    draws, n = 400, 50
    images = grays[:n]
    mean = np.mean([data.binarize_stochastically(images, seed) for seed in range(draws)], axis=0)
    standard_error = np.sqrt(images * (1 - images) / draws)
    certain = standard_error == 0
    np.testing.assert_array_equal(mean[certain], images[certain])
    deviations = (mean - images)[~certain] / standard_error[~certain]
    # Standardized deviations of many pixels: mean 0 and variance 1; of the variance, the kurtosis of a pixel with gray
    # g adds 1/(draws g (1 − g)), at most 255/draws, to the 2 of a normal distribution.
    assert abs(deviations.mean()) < 4 / np.sqrt(deviations.size)
    assert abs(np.mean(deviations**2) - 1) < 4 * np.sqrt((2 + 255 / draws) / deviations.size)


def test_stochastic_binarization_is_a_function_of_the_seed(grays):
    first = data.binarize_stochastically(grays, seed=1)
    assert first.dtype == np.float32
    assert set(np.unique(first)) == {0, 1}
    np.testing.assert_array_equal(first, data.binarize_stochastically(grays, seed=1))
    assert (first != data.binarize_stochastically(grays, seed=2)).any()


@pytest.mark.parametrize("binarize", [data.binarize, lambda grays: data.binarize_stochastically(grays, seed=0)])
def test_what_is_not_gray_is_not_binarized(binarize):
    with pytest.raises(TypeError, match="scale uint8 images first"):
        binarize(np.zeros((2, 28, 28), np.uint8))
    for bad in ([0.1, np.nan], [-0.1, 0.5], [0.5, 1.1], []):
        with pytest.raises(ValueError, match="grays in"):
            binarize(np.array(bad, np.float32))


def test_grays_that_are_checked_are_returned_as_they_are(grays):
    assert data.check_grays(grays) is grays
    np.testing.assert_array_equal(data.check_grays([0.0, 0.25, 1.0]), [0, 0.25, 1])
    with pytest.raises(ValueError, match=r"grays in \[0, 1\]"):
        data.check_grays([0.5, np.nan])


# --- order and batches --------------------------------------------------------------------------------------------


@given(n=st.integers(1, 200), seed=st.integers(0, 2**31 - 1), step=st.integers(0, 10**6))
def test_the_order_of_an_epoch_is_a_permutation_and_a_function_of_seed_and_step(n, seed, step):
    order = data.epoch_order(n, seed, step).numpy()
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, data.epoch_order(n, seed, step))


def test_another_seed_or_step_gives_another_order():
    orders = {tuple(data.epoch_order(100, seed, step).numpy()) for seed in range(4) for step in (0, 4, 8, 1875)}
    assert len(orders) == 16


def test_every_place_in_the_order_is_as_likely():
    n, epochs = 10, 2_000
    places = np.array([data.epoch_order(n, 0, step).numpy() for step in range(epochs)])
    counts = (places[..., np.newaxis] == np.arange(n)).sum(axis=0)
    standard_error = np.sqrt(epochs * (1 / n) * (1 - 1 / n))
    assert np.abs(counts - epochs / n).max() < 4 * standard_error


@pytest.mark.parametrize(("n", "batch_size"), [(1, 1), (7, 3), (9, 3), (5, 100), (100, 32)])
@pytest.mark.parametrize("seed", [None, 3])
def test_batches_visit_every_image_once_and_only_the_last_is_short(n, batch_size, seed):
    batches = [batch.numpy() for batch in data.batches(np.arange(n), batch_size, seed)]
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(n))
    assert len(batches) == len(data.batches(np.arange(n), batch_size, seed)) == -(-n // batch_size)
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}


def test_batches_come_in_the_order_of_the_epoch_or_as_they_stand_without_a_seed():
    for seed, expected in ((None, np.arange(50)), (3, data.epoch_order(50, 3, 8))):
        batches = data.batches(np.arange(50), 16, seed, step=8)
        np.testing.assert_array_equal(np.concatenate(list(batches)), expected)


def test_labels_stay_with_their_images():
    images = np.arange(50, dtype=np.float32).reshape(50, 1, 1, 1)
    labels = np.arange(50)
    visited = [(x.numpy().ravel(), y.numpy()) for x, y in data.batches((images, labels), 16, seed=3)]
    for x, y in visited:
        np.testing.assert_array_equal(x, y)
    assert (np.concatenate([y for _, y in visited]) != labels).any()


def test_a_variable_step_gives_every_epoch_its_own_order():
    step = tf.Variable(0)
    batches = data.batches(np.arange(50), 16, seed=3, step=step)
    for epoch in (0, 4, 8):
        step.assign(epoch)
        np.testing.assert_array_equal(np.concatenate(list(batches)), data.epoch_order(50, 3, epoch))


def test_batches_have_the_structure_of_the_arrays():
    x = np.arange(20.0)
    assert next(iter(data.batches(x, 6))).numpy().tolist() == x[:6].tolist()
    first, (second,) = next(iter(data.batches([x, (x + 1,)], 6)))  # tf.data makes tuples of lists
    assert (second - first).numpy().tolist() == [1.0] * 6
    named = next(iter(data.batches({"images": x, "labels": (x + 1, x + 2)}, 6)))
    assert (named["labels"][1] - named["images"]).numpy().tolist() == [2.0] * 6


def test_images_are_released_with_their_batches_without_the_garbage_collector():
    vae = VAE(*networks.mlp(2, (4,), image_shape=(2, 2, 1), seed=0))
    vae.compile(training.Adam(1e-3))
    gc.collect()
    gc.disable()
    try:
        images = tf.zeros((40, 2, 2, 1))
        held = weakref.ref(images)
        for batch in data.batches(images, 16, seed=0):
            assert batch.shape[0]
        vae.fit(images, epochs=2, verbose=0)
        del images, batch
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("arrays", "batch_size", "message"),
    [
        (np.zeros((0, 28, 28)), 32, "at least one image"),
        ((np.zeros((5, 28)), np.zeros(4)), 32, r"equal length, got lengths \[4, 5\]"),
        (np.zeros((5, 28)), 0, "batch size of at least 1, got 0"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(arrays, batch_size, message):
    with pytest.raises(ValueError, match=message):
        data.batches(arrays, batch_size)
