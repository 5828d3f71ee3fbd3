"""TensorFlow, started as the backend of Keras and without its native start-up log."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_native_log() -> Iterator[None]:
    """Discard what native code writes to file descriptor 2 while the block runs.

    TensorFlow logs the instruction sets it could use before Python can configure it, in words that differ from
    machine to machine, and the first run of a session says which passes it leaves out.  Python's own errors are not
    lost: they are raised, not written.
    """
    try:
        kept = os.dup(2)
    except OSError:  # no stderr at all, as under pythonw
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


_NEEDED = (
    "vaecourse needs the TensorFlow backend of Keras, and Keras is set to {}. Set the environment variable "
    "KERAS_BACKEND=tensorflow before Keras is imported, or change the backend in ~/.keras/keras.json"
)

with quiet_native_log():
    import tensorflow
    import tensorflow_probability  # noqa: F401

    tensorflow.config.list_physical_devices()  # the search for devices is logged natively, too
try:
    import keras
except ImportError as error:  # of the framework that Keras is set to, which need not be installed
    raise ImportError(_NEEDED.format(f"a backend that cannot be imported ({error})")) from error
if keras.config.backend() != "tensorflow":
    raise ImportError(_NEEDED.format(keras.config.backend()))
