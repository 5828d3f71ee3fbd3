"""Requirements inside of compiled steps: what is refused there is raised outside as a standard exception.

A compiled step can only fail with TensorFlow's `InvalidArgumentError`, whose text is a page long.  `require` adds an
assertion to a step, and `in_words` turns its failure into the exception and the sentence that were meant.
"""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

_KINDS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (ValueError, FloatingPointError)}
_REFUSAL = re.compile(r"<(\w+)> (.*?) <end>\]((?: \[[^\]]*\])*)", re.DOTALL)


def require(condition: tf.Tensor, kind: type[Exception], sentence: str, *values: tf.Tensor) -> tf.Operation | None:
    """Return the assertion that a condition holds; what must not run before it needs it as a control dependency.

    Parameters
    ----------
    condition : bool tensor, scalar
    kind : {ValueError, FloatingPointError}
        What :func:`in_words` raises where the condition does not hold.
    sentence : str
        With a place ``{}`` for each of the values.
    *values : scalar tensors

    Raises
    ------
    ValueError, FloatingPointError
        At once, if the condition does not hold and nothing is being compiled.
    """
    if tf.executing_eagerly():  # the assertion would fail in other words than in a compiled step
        if not condition:
            raise kind(_filled(sentence, [f"{value.numpy():.7g}" for value in values]))
        return None
    return tf.debugging.Assert(condition, [f"<{kind.__name__}> {sentence} <end>", *values])


@contextlib.contextmanager
def in_words() -> Iterator[None]:
    """Raise what :func:`require` was asked to raise, instead of TensorFlow's error; other errors stay as they are."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError) as error:
        raise ConnectionError(
            "another worker of this training has stopped, or cannot be reached. Start all workers again: with the "
            "callback vaecourse.training.resume_from they go on from the last finished epoch"
        ) from error
    except tf.errors.InvalidArgumentError as error:
        refusal = _REFUSAL.search(str(error))
        if refusal is None:
            raise
        kind, sentence, values = refusal.groups()
        raise _KINDS[kind](_filled(sentence, re.findall(r"\[([^\]]*)\]", values))) from None


def _filled(sentence: str, values: list[str]) -> str:
    """Return a sentence with values in their places; other braces, as those of a set, stay."""
    for value in values:
        sentence = sentence.replace("{}", value, 1)
    return sentence
