"""The tests, tested, of models that know a condition."""

from collections.abc import Callable

import numpy as np
import test_conditioning
from mutations import Mutation, both_tests_of, without_fixtures


def of_conditions(test: Callable) -> Callable:
    """Return a test of images and labels, with both made when it is called."""

    def run(tiny, binary):
        x, y = binary[: test_conditioning.N], np.arange(test_conditioning.N) % test_conditioning.CLASSES
        names = test.__code__.co_varnames[: test.__code__.co_argcount]
        test(**{name: value for name, value in (("x", x), ("y", y)) if name in names})

    return run


KL = without_fixtures(test_conditioning.test_the_kl_between_two_gaussians_is_that_of_tfp_and_so_is_its_gradient)
ONLY_THE_GIVEN = of_conditions(
    test_conditioning.test_only_the_given_pixels_are_looked_at_and_only_the_others_are_scored
)

MUTATIONS = [
    Mutation(
        "difference of the means in the unit of the variance",
        "models",
        "(mean - prior_mean) * tf.exp(-0.5 * prior_logvar)",
        "(mean - prior_mean) * tf.exp(-prior_logvar)",
        KL,
    ),
    Mutation(
        "variance of the prior left out of the KL",
        "models",
        "prior_logvar), logvar - prior_logvar",
        "prior_logvar), logvar",
        KL,
    ),
    Mutation(
        "KL to the standard normal although the prior is learned",
        "models",
        "super()._kl(*relative_to(mean, logvar, *self.prior_parameters(y, training)), eps",
        "super()._kl(mean, logvar, eps",
        of_conditions(test_conditioning.test_the_terms_are_those_of_distributions),
    ),
    Mutation(
        "draws from the standard normal although the prior is learned",
        "models",
        "self.decode(self.reparameterize(*self.prior_parameters(y), eps), y).mean()",
        "self.decode(eps, y).mean()",
        of_conditions(test_conditioning.test_the_prior_of_a_digit_is_what_the_network_says_and_is_drawn_from),
    ),
    Mutation(
        "a prior that sees the whole image",
        "models.completion",
        "        return self._part(y)\n",
        "        return tf.cast(y, self.variable_dtype)\n",
        ONLY_THE_GIVEN,
    ),
    Mutation(
        "a decoder that sees the whole image",
        "models.completion",
        "part = tf.reshape(self._part(y), (-1, self.classes))",
        "part = tf.reshape(tf.cast(y, self.variable_dtype), (-1, self.classes))",
        ONLY_THE_GIVEN,
    ),
    Mutation(
        "given pixels scored",
        "models.completion",
        "return tf.reduce_sum(tf.where(self._given, tf.zeros_like(log_prob), log_prob), axis=(-3, -2, -1))",
        "return tf.reduce_sum(log_prob, axis=(-3, -2, -1))",
        ONLY_THE_GIVEN,
    ),
    Mutation(
        "draws of the prior weighted as if they were the encoder's",
        "measures.conditional",
        "        z = eps\n",
        "        return objectives.importance_weighted_bound(vae.log_weights(x, eps, y))\n",
        of_conditions(test_conditioning.test_for_a_model_of_digits_it_is_the_importance_weighted_bound),
    ),
    Mutation(
        "a learned prior that is not drawn from",
        "measures.conditional",
        "if isinstance(vae, LearnedPrior):",
        "if False:",
        of_conditions(test_conditioning.test_for_a_model_of_digits_it_is_the_importance_weighted_bound),
    ),
]


test_a_slip_is_noticed, test_without_the_slip_its_test_passes = both_tests_of(MUTATIONS)
