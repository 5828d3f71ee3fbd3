"""The tests, tested, of free bits, autoregressive decoders, the total correlation and the mutual information gap."""

from collections.abc import Callable

import test_collapse
import test_disentanglement
from mutations import Mutation, both_tests_of, without_fixtures


def of_images(test: Callable) -> Callable:
    return lambda tiny, binary: test(binary)


FLOOR = of_images(test_collapse.test_free_bits_by_hand)
IN_TURN = without_fixtures(test_collapse.test_drawing_all_pixels_at_once_ends_where_drawing_them_in_turn_does)
MIXTURES = without_fixtures(test_disentanglement.test_the_parts_of_a_whole_data_set_are_those_of_mixtures)
UNBIASED = without_fixtures(test_disentanglement.test_the_density_of_a_batch_is_unbiased)

MUTATIONS = [
    Mutation(
        "free nats given image by image",
        "models.free_bits",
        "    kl = tf.nn.relu(tf.reduce_mean(kl, axis=0))  # by rounding, a mean may be below 0\n",
        "    return tf.reduce_mean(tf.reduce_sum(tf.nn.relu(free_nats - kl), axis=1))\n",
        without_fixtures(test_collapse.test_a_floor_counts_what_is_missing),
    ),
    Mutation(
        "free nats taken off the KL, which then rewards an unused latent",
        "models.free_bits",
        "charged = kl + unused(",
        "charged = kl - unused(",
        FLOOR,
    ),
    Mutation(
        "an ELBO in which nats are free",
        "models.free_bits",
        '"elbo": objectives.elbo(log_likelihood, kl),',
        '"elbo": objectives.elbo(log_likelihood, charged),',
        FLOOR,
    ),
    Mutation(
        "the floor not weighted by β",
        "models.free_bits",
        '"loss": -objectives.elbo(log_likelihood, charged, self.beta * self.kl_weight),',
        '"loss": -objectives.elbo(log_likelihood, charged, self.kl_weight),',
        FLOOR,
    ),
    Mutation(
        "rows that include the pixel's own",
        "models.autoregressive",
        "layers.Cropping2D(((0, 1), (0, 0)))(rows)",
        "layers.Cropping2D(((1, 0), (0, 0)))(rows)",
        without_fixtures(test_collapse.test_a_context_sees_earlier_pixels_alone),
    ),
    Mutation(
        "a likelihood without the context",
        "models.autoregressive",
        "output = self._decoder_output(z, y, training) + self._context_output(x, training)",
        "output = self._decoder_output(z, y, training)",
        without_fixtures(test_collapse.test_the_context_changes_the_likelihood_and_pixels_depend_on_each_other),
    ),
    Mutation(
        "pixels drawn once, each as if those before it were zero",
        "models.autoregressive",
        "return tf.while_loop(lambda x, before: tf.reduce_any(x != before), again, first)[0]",
        "return first[0]",
        IN_TURN,
    ),
    Mutation(
        "a total correlation weighed once more",
        "models.total_correlation",
        "(self.correlation - 1.0) * self.kl_weight",
        "self.correlation * self.kl_weight",
        of_images(test_disentanglement.test_the_objective_by_hand),
    ),
    Mutation(
        "an image's own density weighed as the others'",
        "models.total_correlation",
        "own / n + (1.0 - own) * (n - 1.0) / (n * others)",
        "(own + (1.0 - own)) / (others + 1.0)",
        UNBIASED,
    ),
    Mutation(
        "latents summed before the images",
        "models.total_correlation",
        "log_marginals = tf.reduce_logsumexp(pairs + log_weight[..., tf.newaxis], axis=-2)",
        "log_marginals = tf.reduce_sum(pairs + log_weight[..., tf.newaxis], axis=-2)",
        MIXTURES,
    ),
    Mutation(
        "the density of the other image's latent",
        "models.total_correlation",
        "log_prob(z[..., tf.newaxis, :])",
        "log_prob(z[..., tf.newaxis, :, :])",
        MIXTURES,
    ),
    Mutation(
        "a gap to the smallest in place of the second",
        "measures.disentanglement",
        "information[-1] - information[-2]",
        "information[-1] - information[0]",
        without_fixtures(test_disentanglement.test_a_perfect_code_has_a_gap_of_one_and_noise_of_none),
    ),
    Mutation(
        "the larger side of a cross for its arm",
        "data.sprites",
        "(np.minimum(across, down) <= half // 4)",
        "(np.minimum(across, down) <= half)",
        without_fixtures(test_disentanglement.test_the_factors_of_shapes_can_be_read_off_the_images),
    ),
]


test_a_slip_is_noticed, test_without_the_slip_its_test_passes = both_tests_of(MUTATIONS)
