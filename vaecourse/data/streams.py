"""Data sets larger than memory: images in several files, of which a few are in memory at a time."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vaecourse.data.epochs import epoch_order
from vaecourse.data.names import known

FORMATS = ("npz", "tfrecord")
_INDEX = "index.json"
_UNFINISHED = ".unfinished"
_NUMBERS = "biuf"  # kinds of dtypes: objects would be pickled


def write_shards(chunks: Iterable[Any], folder: str | os.PathLike, format: str = "npz") -> Path:
    """Write chunks of a data set to a folder, one file each, with an index that :func:`stream` reads.

    Parameters
    ----------
    chunks : iterable of arrays `(n, ...)`, or of pairs of such arrays
        Images, or images and labels; n may differ.  One chunk is in memory at a time.
    folder : path
        Made if it is not there; files of the same names are replaced, once all chunks have been written.
    format : {"npz", "tfrecord"}
        NumPy's files, or TensorFlow's, with one record for each image.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    TypeError
        If the chunks are nothing to iterate over, or hold anything but numbers.
    ValueError
        If there is no chunk, one is empty, shapes or dtypes differ, or the format is unknown; then nothing is left.
    """
    known(format, FORMATS, "format")
    folder, written = Path(folder), list[Path]()
    try:
        index = {"format": format, **_write_chunks(iter(chunks), folder, format, written)}
        for path in written:
            os.replace(path, path.with_name(path.name.removesuffix(_UNFINISHED)))
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    (folder / _INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    return folder


def _write_chunks(chunks: Iterator[Any], folder: Path, format: str, written: list[Path]) -> dict[str, Any]:
    files, specification = {}, None
    for number, chunk in enumerate(chunks):
        parts = chunk if isinstance(chunk, tuple) else (chunk,)
        if len(parts) > 2:
            raise ValueError(f"expected images, or images and labels, got {len(parts)} arrays in chunk {number}")
        arrays = dict(zip("xy", parts, strict=False))
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        found = {name: [list(array.shape[1:]), array.dtype.name] for name, array in arrays.items()}
        specification = specification or found
        lengths = {len(array) for array in arrays.values()}
        if found != specification or len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"expected chunks of at least one image, of equal lengths and of {specification}; chunk {number} has "
                f"{sorted(lengths)} images of {found}"
            )
        if strange := [array.dtype for array in arrays.values() if array.dtype.kind not in _NUMBERS]:
            raise TypeError(f"expected chunks of numbers, got {strange[0]} in chunk {number}")
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{number:05d}.{format}"
        written.append(folder / f"{name}{_UNFINISHED}")
        _WRITERS[format](written[-1], arrays)
        files[name] = len(arrays["x"])
    if not files:
        raise ValueError("expected at least one chunk of images, got none")
    return {"files": files, "arrays": specification}


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
        If the batch size or the seed is no such number, or the index is damaged.
    tf.errors.OpError
        By the data set, where a file is damaged, or holds other arrays than the index says; the message names it.
    """
    if not (isinstance(batch_size, Integral) and batch_size >= 1):
        raise ValueError(f"expected a batch size of at least 1, got {batch_size!r}")
    if not (seed is None or isinstance(seed, Integral)):
        raise ValueError(f"expected an integer seed, got {seed!r}")
    folder = Path(folder)
    index = _read_index(folder)
    paths = [folder / name for name in index["files"]]
    if missing := [path for path in paths if not (path.is_file() and path.stat().st_size)]:
        raise FileNotFoundError(f"{missing[0]} is missing or empty, which {folder / _INDEX} names")
    read = _READERS[index["format"]](index["arrays"], list(index["files"].values()))
    names = tf.constant([str(path) for path in paths])

    def order(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        files, now = tf.range(len(paths)), tf.convert_to_tensor(step, tf.int32)
        return files if seed is None else epoch_order(len(paths), seed, now), now

    def load(file: tf.Tensor, now: tf.Tensor) -> dict[str, tf.Tensor]:
        arrays = read(names[file], file)
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


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / _INDEX
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {_INDEX}: expected a folder that vaecourse.data.write_shards wrote")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        files, arrays = index["files"], index["arrays"]
        sound = (
            index["format"] in FORMATS
            and len(files) > 0
            and all(name == Path(name).name and type(count) is int and count > 0 for name, count in files.items())
            and list(arrays) in (["x"], ["x", "y"])
            and all(np.dtype(dtype).kind in _NUMBERS and min([0, *shape]) == 0 for shape, dtype in arrays.values())
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); write the files again") from error
    if not sound:
        raise ValueError(f"{path} does not say what vaecourse.data.write_shards writes; write the files again")
    return index


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _write_records(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in range(len(arrays["x"])):
            values = {name: tf.train.BytesList(value=[array[row].tobytes()]) for name, array in arrays.items()}
            features = {name: tf.train.Feature(bytes_list=value) for name, value in values.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


Reader = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def _read_npz(arrays: dict[str, tuple], counts: list[int]) -> Reader:
    def load(path: str) -> list[np.ndarray]:
        with np.load(path, allow_pickle=False) as archive:
            return [archive[name] for name in arrays]

    return _reader(load, "npz file", arrays, counts)


def _read_records(arrays: dict[str, tuple], counts: list[int]) -> Reader:
    features = {name: tf.io.FixedLenFeature((), tf.string) for name in arrays}

    def load(path: str) -> list[np.ndarray]:
        most = tf.cast(tf.int32.max, tf.int64)
        records = tf.data.Dataset.get_single_element(tf.data.TFRecordDataset(path).batch(most))
        parsed = tf.io.parse_example(records, features)
        flat = {name: tf.io.decode_raw(parsed[name], dtype) for name, (_, dtype) in arrays.items()}
        return [tf.reshape(flat[name], (-1, *shape)).numpy() for name, (shape, _) in arrays.items()]

    return _reader(load, "file of records", arrays, counts)


def _reader(load: Callable[[str], list[np.ndarray]], kind: str, arrays: dict[str, tuple], counts: list[int]) -> Reader:
    """Return what reads a file in a data set, and names it where it is damaged or holds something else."""

    def checked(path: bytes, file: int) -> list[np.ndarray]:
        try:
            loaded = load(path.decode())
        except Exception as error:  # damaged bytes fail in a dozen ways
            raise ValueError(f"{path.decode()} is not a sound {kind} with {', '.join(arrays)} ({error})") from error
        found = [(list(array.shape), array.dtype.name) for array in loaded]
        expected = [([counts[file], *shape], dtype) for shape, dtype in arrays.values()]
        if found != expected:
            raise ValueError(f"{path.decode()} holds arrays of {found}; {_INDEX} says {expected}")
        return loaded

    def read(path: tf.Tensor, file: tf.Tensor) -> dict[str, tf.Tensor]:
        loaded = tf.numpy_function(checked, [path, file], [dtype for _, dtype in arrays.values()], stateful=False)
        return {
            name: tf.ensure_shape(array, (None, *shape))
            for array, (name, (shape, _)) in zip(loaded, arrays.items(), strict=True)
        }

    return read


_WRITERS = {"npz": _write_npz, "tfrecord": _write_records}
_READERS = {"npz": _read_npz, "tfrecord": _read_records}
