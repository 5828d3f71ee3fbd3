"""Data sets larger than memory: images in several files, of which a few are in memory at a time."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vaecourse.data.epochs import epoch_order
from vaecourse.data.names import known

FORMATS = ("npz", "tfrecord")
_INDEX = "index.json"


def write_shards(chunks: Iterable[Any], folder: str | os.PathLike, format: str = "npz") -> Path:
    """Write chunks of a data set to a folder, one file each, with an index that :func:`stream` reads.

    Parameters
    ----------
    chunks : iterable of arrays `(n, ...)`, or of pairs of such arrays
        Images, or images and labels; n may differ.  One chunk is in memory at a time.
    folder : path
        Made if it is not there; files of the same names are overwritten.
    format : {"npz", "tfrecord"}
        NumPy's files, or TensorFlow's, with one record for each image.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If there is no chunk, one is empty, shapes or dtypes differ, or the format is unknown.
    """
    known(format, FORMATS, "format")
    folder, files, specification = Path(folder), {}, None
    folder.mkdir(parents=True, exist_ok=True)
    for number, chunk in enumerate(chunks):
        arrays = dict(zip("xy", chunk if isinstance(chunk, tuple) else (chunk,), strict=False))
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        found = {name: [list(array.shape[1:]), array.dtype.name] for name, array in arrays.items()}
        specification = specification or found
        lengths = {len(array) for array in arrays.values()}
        if found != specification or len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"expected chunks of at least one image, of equal lengths and of {specification}; chunk {number} has "
                f"{sorted(lengths)} images of {found}"
            )
        path = folder / f"{number:05d}.{format}"
        _WRITERS[format](path, arrays)
        files[path.name] = len(arrays["x"])
    if not files:
        raise ValueError("expected at least one chunk of images")
    index = {"format": format, "files": files, "arrays": specification}
    (folder / _INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    return folder


def stream(
    folder: str | os.PathLike, batch_size: int, seed: int | None = None, step: int | tf.Variable = 0
) -> tf.data.Dataset:
    """Return the batches of one epoch of a data set that :func:`write_shards` wrote; the last one may be short.

    Every image comes once.  Without a seed the batches are those of :func:`batches` on all chunks, joined.  With a seed
    the files come in an order, and the images of each file in another, that are functions of the seed and the step: a
    resumed training sees the order of the uninterrupted one, and all workers of a training see the same.  Images of one
    file stay near each other, so a file should hold a mixture of all kinds of images.

    Up to three files are in memory at a time.

    Parameters
    ----------
    folder : path
    batch_size : int
    seed : int, optional
    step : int or tf.Variable
        After how many batches of the training the epoch begins.  To `fit` the data set, pass the `step` of a
        :class:`vaecourse.training.EpochStart`, and that object among the callbacks.

    Returns
    -------
    tf.data.Dataset
        Of images as they were written, or of images and labels; `map` makes floats of bytes.

    Raises
    ------
    FileNotFoundError
        If the folder has no index, or a file is missing.
    ValueError
        If the batch size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1, got {batch_size}")
    folder = Path(folder)
    if not (folder / _INDEX).is_file():
        raise FileNotFoundError(f"{folder} has no {_INDEX}: expected a folder that vaecourse.data.write_shards wrote")
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    paths = [folder / name for name in index["files"]]
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{missing[0]} is missing, which {folder / _INDEX} names")
    read = _READERS[index["format"]](index["arrays"])
    names = tf.constant([str(path) for path in paths])

    def order(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        files, now = tf.range(len(paths)), tf.convert_to_tensor(step, tf.int32)
        return files if seed is None else epoch_order(len(paths), seed, now), now

    def load(file: tf.Tensor, now: tf.Tensor) -> dict[str, tf.Tensor]:
        arrays = read(names[file])
        if seed is None:
            return arrays
        own = tf.random.experimental.stateless_fold_in(tf.stack([seed, now]), file)
        rows = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(arrays["x"])[0]), seed=own)
        return {name: tf.gather(array, rows) for name, array in arrays.items()}

    def epoch(files: tf.Tensor, now: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(files).map(lambda file: load(file, now), 2, deterministic=True)

    def unpacked(arrays: dict[str, tf.Tensor]) -> Any:
        return (arrays["x"], arrays["y"]) if "y" in arrays else arrays["x"]

    dataset = tf.data.Dataset.from_tensors(0).map(order).flat_map(epoch).rebatch(batch_size).map(unpacked)
    count = -(-sum(index["files"].values()) // batch_size)
    options = tf.data.Options()
    options.autotune.enabled = False  # as of the batches of arrays
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


# --- inside ----------------------------------------------------------------------------------------------------------


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _write_records(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in range(len(arrays["x"])):
            values = {name: tf.train.BytesList(value=[array[row].tobytes()]) for name, array in arrays.items()}
            features = {name: tf.train.Feature(bytes_list=value) for name, value in values.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _read_npz(arrays: dict[str, tuple]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    def load(path: bytes) -> list[np.ndarray]:
        with np.load(path.decode()) as file:
            return [file[name] for name in arrays]

    def read(path: tf.Tensor) -> dict[str, tf.Tensor]:
        loaded = tf.numpy_function(load, [path], [dtype for _, dtype in arrays.values()], stateful=False)
        return {
            name: tf.ensure_shape(array, (None, *shape))
            for array, (name, (shape, _)) in zip(loaded, arrays.items(), strict=True)
        }

    return read


def _read_records(arrays: dict[str, tuple]) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    features = {name: tf.io.FixedLenFeature((), tf.string) for name in arrays}

    def read(path: tf.Tensor) -> dict[str, tf.Tensor]:
        most = tf.cast(tf.int32.max, tf.int64)
        records = tf.data.Dataset.get_single_element(tf.data.TFRecordDataset(path).batch(most))
        parsed = tf.io.parse_example(records, features)
        return {
            name: tf.reshape(tf.io.decode_raw(parsed[name], dtype), (-1, *shape))
            for name, (shape, dtype) in arrays.items()
        }

    return read


_WRITERS = {"npz": _write_npz, "tfrecord": _write_records}
_READERS = {"npz": _read_npz, "tfrecord": _read_records}
