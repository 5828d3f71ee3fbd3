"""Data sets in several files: every image once, in an order that is known."""

import json
import pickle

import numpy as np
import pytest
import tensorflow as tf

from vaecourse import data, training

LENGTHS = (7, 1, 12, 5)
every_format = pytest.mark.parametrize("form", data.streams.FORMATS)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((25, 28, 28, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def y():
    return np.arange(25)


def chunks(*arrays):
    """Cut arrays into pieces of those lengths."""
    ends = np.cumsum(LENGTHS)
    for end, length in zip(ends, LENGTHS, strict=True):
        pieces = tuple(array[end - length : end] for array in arrays)
        yield pieces if len(pieces) > 1 else pieces[0]


@every_format
@pytest.mark.parametrize("size", [1, 4, 10, 25, 30])
def test_without_a_seed_the_batches_are_those_of_the_joined_arrays(form, size, x, y, tmp_path):
    streamed = data.stream(data.write_shards(chunks(x, y), tmp_path, form), size)
    expected = data.batches((x, y), size)
    assert streamed.cardinality() == expected.cardinality() == len(list(streamed))
    for (images, labels), (same_images, same_labels) in zip(streamed, expected, strict=True):
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(labels, same_labels)
    assert streamed.element_spec[0].shape.as_list() == [None, 28, 28, 1]


def order(dataset) -> list[int]:
    return np.concatenate([labels for _, labels in dataset.as_numpy_iterator()]).tolist()


@every_format
def test_with_a_seed_every_image_comes_once_in_an_order_of_seed_and_step(form, x, y, tmp_path):
    folder = data.write_shards(chunks(x, y), tmp_path, form)
    step = tf.Variable(0)
    streamed = data.stream(folder, 4, seed=3, step=step)
    first = order(streamed)
    assert sorted(first) == list(range(25))
    assert first == order(streamed) == order(data.stream(folder, 9, seed=3))
    step.assign(7)
    assert order(streamed) == order(data.stream(folder, 4, seed=3, step=7))
    different = [first, order(streamed), order(data.stream(folder, 4, seed=4)), list(range(25))]
    assert len({tuple(found) for found in different}) == 4
    for images, labels in streamed:
        np.testing.assert_array_equal(images, x[labels])
    files = np.searchsorted(np.cumsum(LENGTHS), first, side="right")
    assert np.count_nonzero(np.diff(files)) == len(LENGTHS) - 1, "the images of a file stay together"


@every_format
def test_bytes_and_images_without_labels_stay_what_they_are(form, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (25, 28, 28, 1), np.uint8)
    streamed = data.stream(data.write_shards(chunks(images), tmp_path, form), 8)
    np.testing.assert_array_equal(np.concatenate(list(streamed.as_numpy_iterator())), images)


def test_a_model_trains_on_files_as_on_arrays(tiny, binary, tmp_path):
    folder = data.write_shards(chunks(binary[:25]), tmp_path)
    expected, streamed = tiny(), tiny()
    expected.fit(binary[:25], batch_size=4, epochs=2, shuffle=False, verbose=0)
    streamed.fit(data.stream(folder, 4), epochs=2, verbose=0)
    for weight, other in zip(streamed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_every_epoch_has_its_order(tiny, binary, tmp_path):
    folder = data.write_shards(chunks(binary[:25], np.arange(25)), tmp_path)
    start, seen = training.EpochStart(), []
    streamed = data.stream(folder, 25, seed=0, step=start.step)

    def noted(x, labels):
        tf.numpy_function(lambda values: seen.append(tuple(values)), [labels], [])
        return x

    tiny().fit(streamed.map(noted), epochs=3, verbose=0, callbacks=[start])
    assert len(set(seen)) == 3


def test_what_is_no_data_set_in_files_is_refused(x, y, tmp_path):
    with pytest.raises(ValueError, match="at least one chunk"):
        data.write_shards([], tmp_path)
    with pytest.raises(ValueError, match="format"):
        data.write_shards([x], tmp_path, "hdf5")
    for wrong in ([x, x[:, :14]], [x, x.astype(np.float64)], [x, x[:0]], [(x, y[:3])], [(x, y), x]):
        with pytest.raises(ValueError, match="expected chunks of at least one image, of equal lengths"):
            data.write_shards(wrong, tmp_path / "wrong")
    with pytest.raises(ValueError, match="images, or images and labels, got 3 arrays in chunk 0"):
        data.write_shards([(x, y, y)], tmp_path / "wrong")
    with pytest.raises(FileNotFoundError, match=r"has no index\.json"):
        data.stream(tmp_path / "nowhere", 4)
    folder = data.write_shards(chunks(x), tmp_path)
    with pytest.raises(ValueError, match="batch size of at least 1, got 0"):
        data.stream(folder, 0)
    (folder / "00002.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"00002\.npz is missing or empty"):
        data.stream(folder, 4)


@every_format
def test_a_failed_writing_leaves_what_was_there(form, x, tmp_path):
    data.write_shards(chunks(x), tmp_path / "shards", form)
    before = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    for wrong in ([x + 1, x[:0]], [x + 1, x.astype(object)]):
        for folder in ("shards", "new"):
            with pytest.raises((TypeError, ValueError), match="chunk"):
                data.write_shards(wrong, tmp_path / folder, form)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    assert not list((tmp_path / "new").iterdir())


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path):
    for chunks_of_none in (None, 3):
        with pytest.raises(TypeError, match="not iterable"):
            data.write_shards(chunks_of_none, tmp_path / "new")
    with pytest.raises(TypeError, match="expected chunks of numbers, got object in chunk 0"):
        data.write_shards([np.array([None, "code"])], tmp_path / "new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"files": {}}', "\x00"])
def test_a_damaged_index_is_named(text, x, tmp_path):
    folder = data.write_shards(chunks(x), tmp_path)
    (folder / "index.json").write_text(text)
    with pytest.raises(ValueError, match=r"index\.json is damaged"):
        data.stream(folder, 4)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("format", "pickle"),
        ("files", {}),
        ("files", {"../00000.npz": 7}),
        ("files", {"00000.npz": -7}),
        ("arrays", {"z": [[28, 28, 1], "float32"]}),
        ("arrays", {"x": [[28, 28, 1], "object"]}),
        ("arrays", {"x": [[-28, 28, 1], "float32"]}),
    ],
)
def test_an_index_that_says_something_else_is_refused(part, wrong, x, tmp_path):
    folder = data.write_shards(chunks(x), tmp_path)
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, part: wrong}))
    with pytest.raises(ValueError, match=r"index\.json does not say"):
        data.stream(folder, 4)


@every_format
@pytest.mark.parametrize("damage", ["cut", "shorter", "pickled"])
def test_a_damaged_file_is_noticed_where_it_is_read(damage, form, x, tmp_path):
    folder = data.write_shards(chunks(x), tmp_path / "a", form)
    file = folder / f"00002.{form}"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    elif damage == "shorter":
        other = data.write_shards(chunks(x), tmp_path / "b", form)
        file.write_bytes((other / f"00001.{form}").read_bytes())
    else:
        file.write_bytes(pickle.dumps({"x": x}))
    with pytest.raises(tf.errors.OpError, match="00002"):
        list(data.stream(folder, 4))
