"""Images in: three data sets, verified; scaling, binarization, and the batches of an epoch."""

import hashlib
import os
import uuid
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

IMAGE_SHAPE = (28, 28, 1)

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
# SHA-256 over the shapes and bytes of the four arrays: the same pixels in another zip are the same data.
_DIGESTS = {
    "mnist": "72f393efcb62341c9a05cecb9ecaf56941ec97e3139ad361841a7588a454f51c",
    "fashion_mnist": "61af3f0d17defb9efb5d6392c5e8ad0da3f1b7a6ffcf2710eac3ed89b24d635d",
}
DATASETS = (*_DIGESTS, "digits")
_MNIST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"


class Images(NamedTuple):
    """A data set: images `(n, 28, 28)` and labels `(n,)`, all uint8."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(name: str) -> Images:
    """Load a data set as uint8 images and labels.

    With the environment variable ``VAECOURSE_DATA`` set, ``NAME.npz`` in that folder is read and nothing else is
    tried.  Otherwise Keras' cache is read, and what is not there is downloaded to it.  No file is ever overwritten.

    Parameters
    ----------
    name : {"mnist", "fashion_mnist", "digits"}
        ``digits`` are the 1,797 handwritten digits of 8×8 pixels that scikit-learn carries, resized to 28×28: 1,500
        for training and 297 for testing.  They need neither files nor a network.

    Returns
    -------
    Images
        Verified against a digest of the arrays.

    Raises
    ------
    ValueError
        If the name is unknown, or a file does not hold the arrays of the data set.
    FileNotFoundError
        If ``VAECOURSE_DATA`` is set and the file is not there.
    PermissionError
        If the cache cannot be written to.
    ConnectionError
        If the data set is not in the cache and cannot be downloaded.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; there are {', '.join(DATASETS)}")
    if name == "digits":
        return _digits()
    folder = os.environ.get("VAECOURSE_DATA")
    if folder:
        return _read(Path(folder) / f"{name}.npz", name)
    cached = _cache() / f"{name}.npz"
    if not cached.exists():
        _download(name, cached)
    return _read(cached, name)


def array_digest(arrays: list[np.ndarray]) -> str:
    """SHA-256 over the shapes, dtypes and bytes of some arrays, independent of how they are stored."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def scale(images: np.ndarray) -> np.ndarray:
    """Turn uint8 images `(n, 28, 28)` into float32 grays in [0, 1] of shape `(n, 28, 28, 1)`.

    Raises
    ------
    TypeError
        If the images are not uint8: dividing floats by 255 twice is a common and silent mistake.
    ValueError
        If the shape is not `(n, height, width)` or `(n, height, width, channels)`, or there is no image.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise TypeError(f"expected uint8 images with values 0 to 255, got {images.dtype}; are they scaled already?")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"expected images of shape (n, height, width), n ≥ 1; got {images.shape}")
    return images.astype(np.float32) / np.float32(255)


def binarize(grays: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Threshold grays: pixels above `threshold` become 1, the others 0, as float32."""
    return (_grays(grays) > threshold).astype(np.float32)


def binarize_stochastically(grays: np.ndarray, seed: int) -> np.ndarray:
    """Draw every pixel from Bernoulli(gray), as float32; another `seed` gives another draw.

    Drawn once it is a *fixed* stochastic binarization, as in :cite:t:`larochelle2011`; drawn anew at every epoch it is
    the *dynamic* one of :cite:t:`burda2016`.
    """
    grays = _grays(grays)
    return (np.random.default_rng(seed).random(grays.shape, dtype=np.float32) < grays).astype(np.float32)


def epoch_order(n: int, seed: int, step: int | tf.Tensor) -> tf.Tensor:
    """Return the order in which an epoch that begins at optimizer step `step` visits `n` images.

    A function of its arguments alone: a resumed training therefore shuffles as the uninterrupted one would have.
    """
    return tf.random.experimental.stateless_shuffle(tf.range(n), seed=tf.stack([seed, tf.cast(step, tf.int32)]))


def batches(arrays, batch_size: int, seed: int | None = None, step=0) -> tf.data.Dataset:
    """Return the batches of one epoch as a `tf.data.Dataset`; the last one may be short.

    The images stay one tensor, from which a batch is gathered by index: the order is a permutation that is known
    beforehand, not the state of a shuffle buffer.

    Parameters
    ----------
    arrays : array or tuple of arrays
        Of equal length `n`; batches have the same structure.
    batch_size : int
    seed : int, optional
        Without it the batches come in order.
    step : int or tf.Variable
        The optimizer step at which the epoch begins.  A variable is read anew each time the data set is iterated,
        so that every epoch has its own order.

    Raises
    ------
    ValueError
        If there is no image, the lengths differ, or the batch size is not positive.
    """
    tensors = tf.nest.map_structure(tf.convert_to_tensor, arrays)
    lengths = {int(tensor.shape[0]) for tensor in tf.nest.flatten(tensors)}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"expected at least one image and arrays of equal length, got lengths {sorted(lengths)}")
    if batch_size < 1:
        raise ValueError(f"expected a batch size of at least 1, got {batch_size}")
    (n,) = lengths
    count = -(-n // batch_size)

    def order(_):
        return tf.range(n) if seed is None else epoch_order(n, seed, step)

    def batch(indices, i):
        chosen = indices[i * batch_size : (i + 1) * batch_size]
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, chosen), tensors)

    def epoch(indices):
        return tf.data.Dataset.range(count).map(lambda i: batch(indices, i))

    dataset = tf.data.Dataset.from_tensors(0).map(order).flat_map(epoch)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread may sleep through the end of an epoch, for as long as the epoch took
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


def _grays(grays: np.ndarray) -> np.ndarray:
    grays = np.asarray(grays)
    if grays.dtype.kind != "f":
        raise TypeError(f"expected float grays in [0, 1], got {grays.dtype}; scale uint8 images first")
    if not grays.size or not (grays.min() >= 0 and grays.max() <= 1):  # NaN fails the comparison too
        raise ValueError("expected at least one image, with grays in [0, 1]")
    return grays


def _cache() -> Path:
    """Where Keras keeps its data sets."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _read(path: Path, name: str) -> Images:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; VAECOURSE_DATA must name a folder that holds {path.name}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[key] for key in _ARRAYS]
    except PermissionError:
        raise
    except Exception as error:  # damaged bytes fail in a dozen ways: BadZipFile, zlib.error, OSError, KeyError, ...
        raise ValueError(
            f"{path} is not a sound npz file with {', '.join(_ARRAYS)} ({error}); move it away and fetch it again"
        ) from error
    if array_digest(arrays) != _DIGESTS[name]:
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
            f"cannot write to Keras' cache {target.parent} ({error}); set KERAS_HOME to a folder that can be "
            f"written to, or VAECOURSE_DATA to one that holds {target.name}"
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


_FETCH = {"mnist": _fetch_mnist, "fashion_mnist": _fetch_fashion_mnist}


def _digits() -> Images:
    from scipy import ndimage
    from sklearn.datasets import load_digits

    digits = load_digits()
    enlarged = ndimage.zoom(digits.images, (1, 3.5, 3.5), order=1, grid_mode=True, mode="nearest")
    images = np.rint(enlarged * (255 / 16)).clip(0, 255).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    return Images("digits", images[:1500], labels[:1500], images[1500:], labels[1500:])
