"""Damaged files of data, read as the module reads them: `python -m tools.reliability.damage`."""

import io
import json
import os
import pickle
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools.reliability import limits
from vaecourse import data

_random = np.random.default_rng(0)
ARRAYS = {
    "x_train": _random.integers(0, 256, (40, 28, 28), dtype=np.uint8),
    "y_train": _random.integers(0, 10, 40, dtype=np.uint8),
    "x_test": _random.integers(0, 256, (10, 28, 28), dtype=np.uint8),
    "y_test": _random.integers(0, 10, 10, dtype=np.uint8),
}
TOUCHED = "unpickled"


class Touches:
    """What makes a file where it is unpickled: evidence that code of strangers has run."""

    def __reduce__(self) -> tuple[Callable, tuple[str, str]]:
        return open, (TOUCHED, "w")


def saved(arrays: dict[str, Any], compressed: bool = True) -> bytes:
    """Return arrays as an npz file."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def truncated(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return the beginning of a file."""
    return whole[: draw.randrange(len(whole))]


def bit_flipped(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return a file with one bit changed."""
    position = draw.randrange(len(whole))
    return whole[:position] + bytes([whole[position] ^ 1 << draw.randrange(8)]) + whole[position + 1 :]


def zip_bomb(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return a small archive whose members announce two or four gigabytes each, and unpack to 32 megabytes of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                length = draw.choice([2**31, 2**32])
                np.lib.format.write_array_header_1_0(
                    member, {"descr": "|u1", "fortran_order": False, "shape": (length,)}
                )
                for _ in range(32):  # of the gigabytes that the header announces
                    member.write(bytes(2**20))
    return file.getvalue()


def huge_header(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return an archive whose members claim terabytes, or a length below zero."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in arrays:
            member = io.BytesIO()
            shape = (draw.choice([2**40, 2**62, -1]), 28, 28)
            np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", member.getvalue())
    return file.getvalue()


def pickled(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return a pickle that makes a file where it is read."""
    return pickle.dumps(Touches(), protocol=draw.randrange(2, 6))


def pickled_members(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return an archive with an array of objects, pickled."""
    chosen = draw.choice(list(arrays))
    return saved({**arrays, chosen: np.array([Touches()] * len(arrays[chosen]), dtype=object)})


def wrong_dtypes(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return an archive with an array of another data type."""
    chosen = draw.choice(list(arrays))
    return saved({**arrays, chosen: arrays[chosen].astype(draw.choice(["f4", "i8", "?", "U3", "c8", ">u2"]))})


def wrong_shapes(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return an archive with an array of another shape."""
    chosen = draw.choice(list(arrays))
    array = arrays[chosen]
    return saved({**arrays, chosen: draw.choice([array[:0], array[1:], array[None], array.ravel()[:7], array[0]])})


def wrong_members(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return an archive in which an array has another name."""
    chosen, other = draw.choice(list(arrays)), draw.choice(["z", "../x", "x_train2"])
    return saved({(other if name == chosen else name): array for name, array in arrays.items()})


def no_archive(whole: bytes, arrays: dict[str, Any], draw: random.Random) -> bytes:
    """Return what is no archive, or the beginning of one."""
    return draw.choice([b"", b"PK\x03\x04", b"<html>404</html>", draw.randbytes(500), b"\x93NUMPY\x01\x00"])


DAMAGES = (
    truncated,
    bit_flipped,
    zip_bomb,
    huge_header,
    pickled,
    pickled_members,
    wrong_dtypes,
    wrong_shapes,
    wrong_members,
    no_archive,
)


def of_data_set(damage: Callable, draw: random.Random, folder: Path) -> Callable[[], Any]:
    """Damage a file like that of MNIST; return what reads it."""
    path = folder / "mnist.npz"
    path.write_bytes(damage(saved(ARRAYS), ARRAYS, draw))
    return lambda: data.load("mnist")


def of_shard(damage: Callable, draw: random.Random, folder: Path) -> Callable[[], Any]:
    """Damage one of the files that `data.stream` reads; return what reads all."""
    chunks = {"x": ARRAYS["x_train"][:8], "y": ARRAYS["y_train"][:8]}
    data.write_shards([tuple(chunks.values())] * 2, folder / "shards")
    path = folder / "shards" / "00001.npz"
    path.write_bytes(damage(path.read_bytes(), chunks, draw))
    return lambda: [batch for batch in data.stream(folder / "shards", 4)]


def of_records(damage: Callable, draw: random.Random, folder: Path) -> Callable[[], Any]:
    """Damage a file of TensorFlow's records likewise."""
    chunks = {"x": ARRAYS["x_train"][:8], "y": ARRAYS["y_train"][:8]}
    data.write_shards([tuple(chunks.values())] * 2, folder / "shards", "tfrecord")
    path = folder / "shards" / "00001.tfrecord"
    path.write_bytes(damage(path.read_bytes(), chunks, draw))
    return lambda: [batch for batch in data.stream(folder / "shards", 4)]


def of_index(damage: Callable, draw: random.Random, folder: Path) -> Callable[[], Any]:
    """Put something else into the index of the files; return what reads all."""
    data.write_shards([ARRAYS["x_train"][:8]] * 2, folder / "shards")
    path = folder / "shards" / "index.json"
    index = json.loads(path.read_text())
    wrong = [
        {},
        [],
        None,
        {**index, "format": "pickle"},
        {**index, "files": {"../../etc/passwd": 3}},
        {**index, "files": {"00000.npz": -3}},
        {**index, "files": {"00000.npz": 4}},
        {**index, "files": {}},
        {**index, "arrays": {"x": [[28, 28], "object"]}},
        {**index, "arrays": {"x": [[5], "uint8"]}},
        {**index, "arrays": {"z": [[28, 28], "uint8"]}},
        {**index, "arrays": {"x": [[28, 28], "float32"]}},
    ]
    texts = [json.dumps(each) for each in wrong] + ["", "{", "\x00", path.read_text()[:40]]
    path.write_text(draw.choice(texts))
    return lambda: [batch for batch in data.stream(folder / "shards", 4)]


NAMED = ("mnist.npz", "00000.npz", "00001.npz", "00001.tfrecord", "index.json", "passwd")
"""Files of which a message must name one."""
READERS = {
    of_data_set: DAMAGES,
    of_shard: DAMAGES,
    of_records: (truncated, bit_flipped, no_archive),
    of_index: (of_index,),
}


def run(case: tuple[Callable, Callable, int], folder: Path) -> dict[str, Any]:
    """Damage a file and read it: it must be refused in words, or what was read is what was written."""
    reader, damage, start = case
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    read = reader(damage, random.Random(start), folder)
    found = limits.watched(read, folder, NAMED)
    if found["became"] == "accepted" and not found["finding"] and damage is not bit_flipped:
        found["finding"] = "accepted"
    return {"kind": f"file: {damage.__name__.replace('_', ' ')}", "what": f"{reader.__name__} {start}", **found}


def cases(start: int, count: int) -> list[tuple[Callable, Callable, int]]:
    """Return readers, damages and seeds."""
    return [
        (reader, damage, 1000 * start + number)
        for reader, damages in READERS.items()
        for damage in damages
        for number in range(count)
    ]


if __name__ == "__main__":
    os.environ["VAECOURSE_DATA"] = os.getcwd()
    begin, first, number = map(int, sys.argv[1:])
    for reader in (of_shard, of_records):  # the first reading starts TensorFlow
        reader(lambda whole, arrays, draw: whole, random.Random(0), Path.cwd())()
    limits.work(cases(first, number), run, begin)
