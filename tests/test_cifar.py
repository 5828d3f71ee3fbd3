"""CIFAR-10 from an archive that the test makes: what is read, what is refused, and what is left on the disk."""

import hashlib
import io
import os
import tarfile

import numpy as np
import pytest

from vaecourse import data
from vaecourse.data import cifar, datasets

RECORDS = 6
NAMES = [*cifar._TRAINING, *cifar._TEST]


@pytest.fixture
def files() -> dict[str, bytes]:
    """Return the six files, with six records each instead of ten thousand."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (len(NAMES), RECORDS, 3073), dtype=np.uint8)
    records[:, :, 0] %= 10
    return {name: part.tobytes() for name, part in zip(NAMES, records, strict=True)}


def packed(files: dict[str, bytes], folder: str = "cifar-10-batches-bin") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


@pytest.fixture
def published(files, monkeypatch):
    """Let these files be the published ones; return what makes an archive of others pass for the published archive."""
    monkeypatch.setattr(cifar, "_RECORDS", RECORDS)
    for expected in (cifar._TRAINING, cifar._TEST):
        for name in expected:
            monkeypatch.setitem(expected, name, hashlib.md5(files[name], usedforsecurity=False).hexdigest())

    def written(path, content: bytes):
        path.write_bytes(content)
        monkeypatch.setattr(cifar, "_ARCHIVE_DIGEST", hashlib.sha256(content).hexdigest())
        return path

    return written


def test_records_become_images_and_labels(files, published, tmp_path):
    arrays = cifar.read_archive(published(tmp_path / "archive", packed(files)))
    assert [array.shape for array in arrays] == [(30, 32, 32, 3), (30,), (6, 32, 32, 3), (6,)]
    assert all(array.dtype == np.uint8 for array in arrays)
    # by hand: the third record of the second file, its green at row 5, column 7
    record = files["data_batch_2.bin"][2 * 3073 : 3 * 3073]
    assert arrays[1][RECORDS + 2] == record[0]
    assert arrays[0][RECORDS + 2, 5, 7, 1] == record[1 + 1024 + 5 * 32 + 7]
    assert cifar.are_cifar10(arrays)
    assert os.listdir(tmp_path) == ["archive"]


def truncated(files):
    return packed(files)[:-2000]


def short_by_a_byte(files):
    return packed({**files, "data_batch_3.bin": files["data_batch_3.bin"][:-1]})


def without_a_member(files):
    return packed({name: content for name, content in files.items() if name != "test_batch.bin"})


def in_another_folder(files):
    return packed(files, "cifar-100-binary")


def with_a_wrong_label(files):
    content = bytearray(files["data_batch_4.bin"])
    content[3073] = 10
    return packed({**files, "data_batch_4.bin": bytes(content)})


def with_a_wrong_pixel(files):
    content = bytearray(files["test_batch.bin"])
    content[100] ^= 1
    return packed({**files, "test_batch.bin": bytes(content)})


def with_two_files_exchanged(files):
    first, second = files["data_batch_1.bin"], files["data_batch_2.bin"]
    return packed({**files, "data_batch_1.bin": second, "data_batch_2.bin": first})


def with_a_folder_in_place_of_a_file(files):
    written = io.BytesIO(packed(files))
    with tarfile.open(fileobj=written) as archive:
        members = [(member, archive.extractfile(member).read()) for member in archive.getmembers()]
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for member, content in members:
            if member.name.endswith("data_batch_5.bin"):
                member.type, member.size, content = tarfile.DIRTYPE, 0, b""
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def no_archive(files):
    return b"<html>404 Not Found</html>"


DAMAGES = [
    (truncated, "no sound archive|end of file|records of 3,073 bytes"),
    (no_archive, "no sound archive"),
    (short_by_a_byte, r"expected 6 records of 3,073 bytes in .*data_batch_3\.bin, got 18,437 bytes"),
    (without_a_member, r"no cifar-10-batches-bin/test_batch\.bin; it has .*data_batch_1\.bin"),
    (in_another_folder, r"no cifar-10-batches-bin/data_batch_1\.bin"),
    (with_a_wrong_label, r"expected labels from 0 to 9 in .*data_batch_4\.bin, got 10 in record 1"),
    (with_a_wrong_pixel, r"test_batch\.bin has MD5"),
    (with_two_files_exchanged, r"data_batch_1\.bin has MD5"),
    (with_a_folder_in_place_of_a_file, r"data_batch_5\.bin, got 0 bytes"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES, ids=lambda part: getattr(part, "__name__", ""))
def test_an_archive_with_other_contents_is_refused(damage, message, files, published, tmp_path):
    path = published(tmp_path / "archive", damage(files))
    with pytest.raises(ValueError, match=message):
        cifar.read_archive(path)
    assert os.listdir(tmp_path) == ["archive"]


def test_an_archive_of_another_digest_is_not_even_opened(files, published, monkeypatch, tmp_path):
    path = published(tmp_path / "archive", packed(files))
    monkeypatch.setattr(tarfile, "open", None)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"archive is not the archive of cifar10: expected .* SHA-256 .* got one of"):
        cifar.read_archive(path)


def test_no_archive_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.tar\.gz"):
        cifar.read_archive(tmp_path / "nowhere.tar.gz")


@pytest.fixture
def arrays(files, published, tmp_path) -> dict[str, np.ndarray]:
    found = cifar.read_archive(published(tmp_path / "archive", packed(files)))
    return dict(zip(datasets._ARRAYS, found, strict=True))


@pytest.mark.parametrize(
    "changed",
    [
        {"x_train": lambda x: x[:-1]},
        {"x_train": lambda x: x[::-1]},
        {"x_test": lambda x: x[..., ::-1]},
        {"x_test": lambda x: x.astype(np.int16)},
        {"y_test": lambda y: y[:, np.newaxis]},
        {"y_train": lambda y: (y + 1) % 10},
        {"y_train": lambda y: y.astype(np.int64)},
    ],
)
def test_other_arrays_are_not_taken_for_cifar10(changed, arrays):
    assert cifar.are_cifar10(list(arrays.values()))
    for key, change in changed.items():
        arrays[key] = change(arrays[key])
    assert not cifar.are_cifar10(list(arrays.values()))


def test_a_data_folder_is_read_and_nothing_else(arrays, without_data, monkeypatch, tmp_path):
    monkeypatch.setenv("VAECOURSE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"cifar10\.npz does not exist"):
        data.load("cifar10")
    np.savez(tmp_path / "cifar10.npz", **arrays)
    images = data.load("cifar10")
    assert images.name == "cifar10"
    for loaded, written in zip(images[1:], arrays.values(), strict=True):
        np.testing.assert_array_equal(loaded, written)
    assert data.scale(images.test_images).shape == (RECORDS, 32, 32, 3)
    np.savez(tmp_path / "cifar10.npz", **{**arrays, "x_test": 255 - arrays["x_test"]})
    with pytest.raises(ValueError, match=r"cifar10\.npz does not hold the arrays of cifar10"):
        data.load("cifar10")
    assert not without_data.exists()


def downloading(content, monkeypatch):
    def get_file(name, origin, cache_subdir, file_hash):
        assert origin.endswith("/cifar-10-binary.tar.gz")
        assert file_hash == cifar._ARCHIVE_DIGEST
        with open(os.path.join(cache_subdir, name), "wb") as file:
            file.write(content)

    monkeypatch.setitem(datasets._FETCH, "cifar10", cifar.fetch)
    monkeypatch.setattr("keras.utils.get_file", get_file)


def test_a_download_keeps_the_arrays_and_not_the_archive(files, published, without_data, monkeypatch, tmp_path):
    content = packed(files)
    published(tmp_path / "archive", content)
    downloading(content, monkeypatch)
    for _ in range(2):
        assert data.load("cifar10").train_images.shape == (30, 32, 32, 3)
        monkeypatch.setattr("keras.utils.get_file", None)  # the second time the cache has it
    assert os.listdir(without_data) == ["cifar10.npz"]


def test_a_failed_download_leaves_nothing(files, published, without_data, monkeypatch, tmp_path):
    content = packed(files)
    published(tmp_path / "archive", content)
    downloading(content[:5000], monkeypatch)
    with pytest.raises(ConnectionError, match=r"cifar10 is not in .* could not be downloaded .*SHA-256"):
        data.load("cifar10")
    assert os.listdir(without_data) == []


def test_the_published_digests_are_those_of_six_files():
    digests = [*cifar._TRAINING.values(), *cifar._TEST.values()]
    assert len(set(digests)) == len(NAMES) == 6
    assert all(len(bytes.fromhex(digest)) == 16 for digest in digests)
    assert len(bytes.fromhex(cifar._ARCHIVE_DIGEST)) == 32
