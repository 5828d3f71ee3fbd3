"""CIFAR-10 :cite:p:`krizhevsky2009`: its archive of plain bytes read, and its arrays recognized."""

import hashlib
import io
import tarfile
import zlib
from pathlib import Path

import keras
import numpy as np

NAME = "cifar10"

IMAGE_SHAPE = (32, 32, 3)

_ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"  # the other version of the archive holds pickles

_ARCHIVE_DIGEST = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"  # SHA-256, of 170,052,171 bytes

_FOLDER = "cifar-10-batches-bin"

# The files of the archive, in order, with their MD5 as published: it recognizes damage, the digest above strangers.
_TRAINING = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
}
_TEST = {"test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d"}

_RECORDS = 10_000  # in each of the files

_BYTES = 1 + int(np.prod(IMAGE_SHAPE))  # of a record: the label, then the planes of red, green and blue

_CLASSES = 10


def fetch(path: Path) -> None:
    """Download the archive beside `path`, verify it, and write its arrays to `path` as an npz file.

    The archive is removed in any case.

    Raises
    ------
    ValueError
        If what was downloaded is not the archive.
    """
    archive = path.with_name(f"{path.stem}.tar.gz")
    try:
        keras.utils.get_file(archive.name, origin=_ORIGIN, cache_subdir=str(path.parent), file_hash=_ARCHIVE_DIGEST)
        x_train, y_train, x_test, y_test = read_archive(archive)
    finally:
        archive.unlink(missing_ok=True)
    np.savez_compressed(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def read_archive(path: str | Path) -> list[np.ndarray]:
    """Read the archive of CIFAR-10, in the version of plain bytes, ``cifar-10-binary.tar.gz``.

    Nothing is unpacked to the disk, and nothing of it is run.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of four arrays
        Training images `(50000, 32, 32, 3)` and labels `(50000,)`, then those for testing, 10,000; all uint8.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not the archive, or one of its files is missing, damaged, or of another kind.
    """
    content = Path(path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != _ARCHIVE_DIGEST:
        raise ValueError(
            f"{path} is not the archive of {NAME}: expected a file with SHA-256 {_ARCHIVE_DIGEST}, got one of "
            f"{len(content):,} bytes with {digest}; fetch it again from {_ORIGIN}"
        )
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            parts = [
                [_member(archive, name, expected) for name, expected in files.items()] for files in (_TRAINING, _TEST)
            ]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is no sound archive ({error}); fetch it again from {_ORIGIN}") from error
    return [array for part in parts for array in _images_and_labels(np.concatenate(part))]


def are_cifar10(arrays: list[np.ndarray]) -> bool:
    """Return whether four arrays, as :func:`read_archive` returns them, hold what the files of the archive hold."""
    for files, (images, labels) in zip((_TRAINING, _TEST), (arrays[:2], arrays[2:]), strict=True):
        count = _RECORDS * len(files)
        if images.shape != (count, *IMAGE_SHAPE) or labels.shape != (count,):
            return False
        if images.dtype != np.uint8 or labels.dtype != np.uint8:
            return False
        planes = images.transpose(0, 3, 1, 2).reshape(count, -1)
        records = np.concatenate([labels[:, np.newaxis], planes], axis=1)
        found = [_md5(part.tobytes()) for part in np.split(records, len(files))]
        if found != list(files.values()):
            return False
    return True


def _member(archive: tarfile.TarFile, name: str, expected: str) -> np.ndarray:
    """Return the records of one file, `(10000, 3073)`, checked from the outside in."""
    name = f"{_FOLDER}/{name}"
    try:
        file = archive.extractfile(name)
    except KeyError as error:
        raise ValueError(f"the archive has no {name}; it has {', '.join(archive.getnames())}") from error
    content = file.read() if file is not None else b""
    if len(content) != _RECORDS * _BYTES:
        raise ValueError(
            f"expected {_RECORDS:,} records of {_BYTES:,} bytes in {name}, got {len(content):,} bytes, "
            f"which are {len(content) / _BYTES:.2f} records"
        )
    records = np.frombuffer(content, np.uint8).reshape(_RECORDS, _BYTES)
    if records[:, 0].max() >= _CLASSES:
        row = int(np.argmax(records[:, 0] >= _CLASSES))
        raise ValueError(f"expected labels from 0 to {_CLASSES - 1} in {name}, got {records[row, 0]} in record {row}")
    if _md5(content) != expected:
        raise ValueError(f"{name} has MD5 {_md5(content)}, expected {expected}: its images have been changed")
    return records


def _images_and_labels(records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width, channels = IMAGE_SHAPE
    planes = records[:, 1:].reshape(-1, channels, height, width)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].copy()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
