"""What stands between Keras and the models: what they are given, what is refused in steps, who does what."""

import itertools

import keras
import numpy as np
import policies
import pytest
import tensorflow as tf

from vaecourse import VAE, data, likelihoods, models, training
from vaecourse.models import images, labels, layers
from vaecourse.training import compiled, errors, inputs, steps


class Foreign:
    """An array of another library, of which numpy can make one of its own."""

    def __array__(self, dtype=None, copy=None):
        return np.ones((2, 3), dtype)


def test_arrays_of_other_libraries_become_arrays_and_data_sets_stay():
    converted = inputs.as_array(Foreign())
    assert inputs.is_array(converted)
    np.testing.assert_array_equal(converted, np.ones((2, 3)))
    batches = data.batches(np.ones((2, 3)), 1)
    for other in (batches, None, [np.ones(3)], {"x": np.ones(3)}, iter([])):
        assert inputs.as_array(other) is other
        assert not inputs.is_array(other)
    tensor = tf.ones((2, 3))
    assert inputs.as_array(tensor) is tensor
    assert inputs.is_array(tensor)


def test_a_batch_is_images_and_perhaps_labels():
    assert inputs.unpack("x") == inputs.unpack(("x",)) == inputs.unpack(["x"]) == ("x", None)
    assert inputs.unpack(("x", "y")) == ("x", "y")
    for refused in (lambda: inputs.unpack(("x", "y", "w")), lambda: inputs.refuse_weights(None, {0: 1.0})):
        with pytest.raises(ValueError, match="every image weighs the same"):
            refused()
    with pytest.raises(ValueError, match="brings its own labels"):
        inputs.refuse_labels("y")
    assert inputs.refuse_weights(None) is inputs.refuse_labels(None) is None


def test_a_data_set_is_shortened_to_the_steps_that_are_asked_for():
    batches = data.batches(np.arange(10.0), 2)
    three, steps_left = inputs.shortened(batches, 3)
    assert (len(list(three)), steps_left) == (3, None)
    assert inputs.shortened(batches, None) == (batches, None)
    assert inputs.shortened("no data set", 3) == ("no data set", 3)
    assert len(list(inputs.shortened(batches.repeat(), 7)[0])) == 7
    with pytest.warns(UserWarning, match="6 steps were asked for, and the input ran out of data after 5"):
        inputs.shortened(batches, 6)


@pytest.mark.parametrize("compile_step", [tf.function, lambda step: step], ids=["compiled", "eager"])
@pytest.mark.parametrize("kind", [ValueError, FloatingPointError])
def test_what_is_required_in_a_step_is_refused_in_words_outside(kind, compile_step):
    @compile_step
    def step(x):
        ends = tf.reduce_min(x), tf.reduce_max(x)
        with tf.control_dependencies([errors.require(tf.reduce_all(x < 2), kind, "below {2}, not {} to {}", *ends)]):
            return x + 1

    with errors.in_words():
        np.testing.assert_array_equal(step(tf.constant([0.0, 1.0])), [1, 2])
    with pytest.raises(kind, match=r"^below \{2\}, not 0.5 to 3$"), errors.in_words():
        step(tf.constant([0.5, 3.0]))


def test_errors_that_nobody_required_stay_as_they_are():
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"), errors.in_words():
        tf.debugging.Assert(tf.constant(False), ["mine"])
    with pytest.raises(ZeroDivisionError), errors.in_words():
        1 / 0  # noqa: B018


def test_every_class_adds_one_thing():
    """From Keras' model to those that know labels."""
    chain = [keras.Model, steps.Steps, compiled.Compiled, training.Trainable, images.ImageModel, VAE]
    chain += [labels.LabeledVAE, labels.ClassifyingVAE, models.DigitVAE]
    for lower, upper in itertools.pairwise(chain):
        assert issubclass(upper, lower)
    assert issubclass(models.ConditionalVAE, labels.LabeledVAE)
    assert not issubclass(models.ConditionalVAE, labels.ClassifyingVAE)
    assert issubclass(models.SemiSupervisedVAE, labels.ClassifyingVAE)


@pytest.mark.parametrize(
    ("likelihood", "inside", "outside"),
    [
        (likelihoods.Bernoulli(), [0, 1], 0.5),
        (likelihoods.Bernoulli(grays=True), [0, 0.5, 1], 1.5),
        (likelihoods.ContinuousBernoulli(), [0, 0.5, 1], -0.5),
        (likelihoods.Gaussian(), [0, 0.5, 1], 255),
    ],
    ids=str,
)
def test_a_batch_is_in_the_support_where_an_array_is(likelihood, inside, outside):
    for pixels in (inside, [*inside, outside], [*inside, np.nan]):
        supported = pixels == inside
        image = np.reshape(np.float32(pixels), (1, -1, 1, 1))
        assert bool(likelihood.supports(tf.constant(image))) == supported
        if supported:
            likelihood.check(image)
        else:
            with pytest.raises(ValueError, match="pixels"):
                likelihood.check(image)


def test_the_terms_have_names(tiny, binary):
    terms = tiny().terms(binary[:4], np.zeros((4, 2), np.float32))
    assert isinstance(terms, models.Terms)
    assert terms._fields == ("log_likelihood", "kl")


def test_a_layer_in_full_precision_has_that_of_the_weights():
    with policies.built_in("mixed_bfloat16"):
        assert layers.full_precision() == {"dtype": "float32"}


def test_grays_are_floats_between_0_and_1():
    grays = np.float32([[0, 0.5, 1]])
    assert data.check_grays(grays) is grays
    with pytest.raises(TypeError, match="expected float grays"):
        data.check_grays(np.uint8([[0, 255]]))
    for wrong in ([[0.0, 1.5]], [[-0.1]], [[np.nan]], [[]]):
        with pytest.raises(ValueError, match="grays in"):
            data.check_grays(np.float32(wrong))
