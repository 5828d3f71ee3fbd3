"""Four data sets as arrays: found in a folder, in Keras' cache or by a download, and verified."""

import hashlib
import os
import uuid
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from vaecourse.data import cifar
from vaecourse.data.names import known

IMAGE_SHAPE = (28, 28, 1)

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")

# SHA-256 over the shapes, dtypes and bytes of the four arrays: the same pixels in another zip are the same data.
_DIGESTS = {
    "mnist": "72f393efcb62341c9a05cecb9ecaf56941ec97e3139ad361841a7588a454f51c",
    "fashion_mnist": "61af3f0d17defb9efb5d6392c5e8ad0da3f1b7a6ffcf2710eac3ed89b24d635d",
}

DATASETS = (*_DIGESTS, "digits", cifar.NAME)

_MNIST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"


class Images(NamedTuple):
    """A data set: images `(n, 28, 28)`, in color `(n, 32, 32, 3)`, and labels `(n,)`, all uint8."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(name: str) -> Images:
    """Load a data set as uint8 images and labels.

    With the environment variable ``VAECOURSE_DATA`` set, ``NAME.npz`` in that folder is read and nothing else is
    tried.  Otherwise Keras' cache is read, and what is not there is downloaded to it: the folder ``datasets`` in
    ``KERAS_HOME``, or without that variable in ``.keras`` in the home directory.  No file is ever overwritten.

    Parameters
    ----------
    name : {"mnist", "fashion_mnist", "digits", "cifar10"}
        ``digits`` are the 1,797 handwritten digits of 8×8 pixels that scikit-learn carries, resized to 28×28: 1,500
        for training and 297 for testing.  They need neither files nor a network.  ``cifar10`` are 60,000 photographs
        of 32×32 pixels in color :cite:p:`krizhevsky2009`, read by :func:`vaecourse.data.cifar.read_archive`.

    Returns
    -------
    Images
        Verified against a digest of the arrays.

    Raises
    ------
    ValueError
        If the name is unknown, or a file does not hold the arrays of the data set.
    FileNotFoundError
        If ``VAECOURSE_DATA`` is set and the file is not there, or if there is no home directory for the cache.
    PermissionError
        If the file cannot be read, or the cache cannot be written to.
    ConnectionError
        If the data set is not in the cache and cannot be downloaded.
    """
    if known(name, DATASETS, "data set") == "digits":
        return _digits()
    folder = os.environ.get("VAECOURSE_DATA")
    if folder:
        return _read(Path(folder).absolute() / f"{name}.npz", name)
    cached = _cache(name) / f"{name}.npz"
    if not os.path.exists(cached):  # Path.exists raises where the folder may not be looked into
        _download(name, cached)
    return _read(cached, name)


def array_digest(arrays: list[np.ndarray]) -> str:
    """Return SHA-256 over the shapes, dtypes and bytes of some arrays, independent of how they are stored."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


_ELSEWHERE = "set KERAS_HOME to a folder that can be written to, or VAECOURSE_DATA to one that holds {}.npz"


def _cache(name: str) -> Path:
    """Return the folder in which Keras keeps its data sets."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    try:
        return Path(home).expanduser() / "datasets"
    except RuntimeError as error:  # no HOME, and a user without an entry in passwd, as in a container
        raise FileNotFoundError(
            f"{name} is looked for in Keras' cache, {home}/datasets, and there is no home directory; "
            + _ELSEWHERE.format(name)
        ) from error


def _read(path: Path, name: str) -> Images:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[key] for key in _ARRAYS]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"{path} does not exist; VAECOURSE_DATA must name a folder that holds {name}.npz"
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"{path} may not be read ({error.strerror}); change its permissions, or set VAECOURSE_DATA to a folder "
            f"with a {name}.npz that may"
        ) from error
    except Exception as error:  # damaged bytes fail in a dozen ways: BadZipFile, zlib.error, OSError, KeyError, ...
        raise ValueError(
            f"{path} is not a sound npz file with {', '.join(_ARRAYS)} ({error}); move it away and fetch it again"
        ) from error
    if not (cifar.are_cifar10(arrays) if name == cifar.NAME else array_digest(arrays) == _DIGESTS[name]):
        raise ValueError(f"{path} does not hold the arrays of {name}; move it away and fetch it again")
    return Images(name, *arrays)


def _download(name: str, target: Path) -> None:
    """Fetch under another name, verify, then rename: an interrupted download leaves no half file behind."""
    fetched = target.with_name(f"{name}.{uuid.uuid4().hex}.npz")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.touch()
        fetched.unlink()
    except OSError as error:
        raise PermissionError(
            f"cannot write to Keras' cache {target.parent} ({error}); {_ELSEWHERE.format(name)}"
        ) from error
    try:
        _FETCH[name](fetched)
        _read(fetched, name)
        if not target.exists():
            fetched.rename(target)
    except Exception as error:  # keras raises a bare Exception when a download fails
        raise ConnectionError(
            f"{name} is not in {target.parent} and could not be downloaded ({error}); connect and try again, or set "
            f"VAECOURSE_DATA to a folder that holds {target.name}"
        ) from error
    finally:
        fetched.unlink(missing_ok=True)


def _fetch_mnist(path: Path) -> None:
    keras.utils.get_file(path.name, origin=_MNIST, cache_subdir=str(path.parent))


def _fetch_fashion_mnist(path: Path) -> None:
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    np.savez_compressed(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


_FETCH = {"mnist": _fetch_mnist, "fashion_mnist": _fetch_fashion_mnist, cifar.NAME: cifar.fetch}


def _digits() -> Images:
    from scipy import ndimage
    from sklearn.datasets import load_digits

    digits = load_digits()
    enlarged = ndimage.zoom(digits.images, (1, 3.5, 3.5), order=1, grid_mode=True, mode="nearest")
    images = np.rint(enlarged * (255 / 16)).clip(0, 255).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    return Images("digits", images[:1500], labels[:1500], images[1500:], labels[1500:])
