"""Which gradients arrive: of the reconstruction and of the KL, at the encoder and at the decoder.

Each of :data:`PATHS` either flows, or is zero, or has no path, in which case TensorFlow returns None.  The terms are
told apart without looking into the loss: what still reaches the encoder when the decoder says something constant is
the KL's, and what goes through the z that the decoder is handed is the reconstruction's.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

Network = Callable[..., tf.Tensor]

FLOWS, ZERO, NO_PATH = "flows", "zero", "no path"


class Rehearsal(NamedTuple):
    """A loss that lets its networks be exchanged.

    Attributes
    ----------
    loss : callable
        ``loss(said, decoder)``: the loss, if the encoder says this, a list of tensors, and a function is the decoder.
    said : list of tensors
        What the encoder says, as a function of its weights: evaluated under a tape.
    decoder : callable
    weights : (list, list)
        Those of encoder and decoder that are trained.
    """

    loss: Callable[[list[tf.Tensor], Network], tf.Tensor]
    said: Callable[[], list[tf.Tensor]]
    decoder: Network
    weights: tuple[Sequence[Any], Sequence[Any]]


ENCODER, ENCODER_KL, DECODER = "reconstruction to encoder", "kl to encoder", "reconstruction to decoder"
MEAN, SECOND = "reconstruction to mean", "reconstruction to σ"
PATHS = (ENCODER, ENCODER_KL, DECODER, MEAN, SECOND)
"""Names of the paths: three to the weights of a network, two to the halves of what the encoder says."""


def gradients(rehearsal: Rehearsal) -> dict[str, str]:
    """Follow the gradients of a loss on a batch to its networks; return what arrives on each of :data:`PATHS`.

    Raises
    ------
    ValueError
        If the loss never calls its decoder.
    """
    handed: list[tf.Tensor] = []
    outputs: list[tf.Tensor] = []

    def watching(inputs: Any, **options: Any) -> tf.Tensor:
        """Let a gradient stop at z, which the decoder is handed, and keep both ends."""
        z = tf.nest.flatten(inputs)[0]
        cut = tf.stop_gradient(z)
        tape.watch(cut)
        handed.extend((z, cut))
        others = tf.nest.flatten(inputs)[1:]
        output = rehearsal.decoder([cut, *others] if others else cut, **options)
        outputs.append(tf.convert_to_tensor(output))
        return output

    encoder, decoder = rehearsal.weights
    with tf.GradientTape(persistent=True) as tape:
        said = [tf.convert_to_tensor(part) for part in rehearsal.said()]
        inputs = [tf.identity(tf.stop_gradient(part)) for part in said]
        for part in inputs:
            tape.watch(part)
        loss = rehearsal.loss(inputs, watching)
        if not handed:
            raise ValueError("the loss does not call the decoder")
        calls = len(handed)
        constant = rehearsal.loss(inputs, lambda *_, **__: tf.stop_gradient(outputs[0]))
    at_said: list[Any] = [None] * len(inputs)
    for z, cut in zip(handed[:calls:2], handed[1:calls:2], strict=True):  # a loss may decode more than once
        at_z = tape.gradient(loss, cut)
        if at_z is not None:
            more = tape.gradient(z, inputs, output_gradients=at_z)
            at_said = [_sum(one, other) for one, other in zip(at_said, more, strict=True)]
    of_kl = tape.gradient(constant, inputs) if hasattr(constant, "dtype") else [None] * len(inputs)
    halves = [half for part in at_said for half in (tf.split(part, 2, axis=-1) if _both(part, inputs) else [part])]
    if len(inputs) == 1 and len(halves) == 1:
        halves *= 2
    to_weights = [_behind(tape, said, upstream, encoder) for upstream in (at_said, of_kl)]
    arrived: list[str] = [
        *to_weights,
        _state(tape.gradient(loss, decoder)),
        *map(_state, ([half] for half in halves[:2])),
    ]
    return dict(zip(PATHS, arrived, strict=True))


def _sum(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def _both(part: tf.Tensor | None, inputs: Sequence[tf.Tensor]) -> bool:
    return part is not None and len(inputs) == 1


def _behind(tape: tf.GradientTape, said: Sequence[tf.Tensor], upstream: Sequence, weights: Sequence) -> str:
    """Return what arrives at the weights of an encoder of what arrives at what it says."""
    known = [(part, gradient) for part, gradient in zip(said, upstream, strict=True) if gradient is not None]
    if not known or not weights:
        return NO_PATH
    parts, gradient = zip(*known, strict=True)
    return _state(tape.gradient(parts, weights, output_gradients=list(gradient)))


def _state(gradients: Sequence[tf.Tensor | None]) -> str:
    there = [gradient for gradient in gradients if gradient is not None]
    if not there:
        return NO_PATH
    return ZERO if float(tf.linalg.global_norm(there)) == 0 else FLOWS  # NaN is not nothing
