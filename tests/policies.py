"""Keras' dtype policies, for models that are built in one: half precision, or double."""

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def built_in(policy: str) -> Iterator[None]:
    """Let the layers that are made inside have a policy; those that are made afterwards have the former one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
