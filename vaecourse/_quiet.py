"""TensorFlow without its native start-up log."""

import contextlib
import os


@contextlib.contextmanager
def quiet_native_log():
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
