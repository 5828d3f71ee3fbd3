"""The tests, tested, of learned priors, levels, diffusion and vector quantization."""

import test_diffusion
import test_priors
import test_two_level
import test_vector_quantized
from mutations import Mutation, both_tests_of, without_fixtures

MIXTURE = without_fixtures(test_priors.test_a_mixture_is_that_of_scipy)
VAMP = without_fixtures(test_priors.test_a_vamp_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs)
SAMPLED = without_fixtures(test_priors.test_the_kl_is_log_q_less_log_p_at_the_sample, "mixture")
DRAWN = without_fixtures(test_priors.test_samples_are_drawn_from_the_learned_prior)
BAYES = without_fixtures(test_two_level.test_with_orthogonal_columns_the_approximate_posterior_is_the_true_one)
LEVELS = without_fixtures(test_two_level.test_the_terms_are_those_of_distributions)
NORMAL = without_fixtures(test_diffusion.test_the_terms_are_those_of_normal_distributions)
ON_AVERAGE = without_fixtures(test_diffusion.test_of_single_levels_the_objective_is_the_bound_on_average)
DOWN = without_fixtures(test_diffusion.test_a_step_down_is_a_draw_of_the_posterior_with_the_guess)
THROUGH = without_fixtures(test_vector_quantized.test_the_gradient_passes_the_choice_as_if_there_were_none)
PARTS = without_fixtures(test_vector_quantized.test_each_part_of_the_loss_moves_what_it_should)
TERMS = without_fixtures(test_vector_quantized.test_the_bound_and_the_loss_are_their_terms)

MUTATIONS = [
    Mutation(
        "log-variance taken for the log of the deviation",
        "models.priors",
        "normals = tfd.MultivariateNormalDiag(means, tf.exp(0.5 * logvars))",
        "normals = tfd.MultivariateNormalDiag(means, tf.exp(logvars))",
        MIXTURE,
    ),
    Mutation(
        "pseudo-inputs that are no grays",
        "models.priors",
        "return tf.sigmoid(tf.convert_to_tensor(self.pixels))",
        "return tf.convert_to_tensor(self.pixels)",
        VAMP,
    ),
    Mutation(
        "KL to N(0, I) although the prior is learned",
        "models.prior_vae",
        "return log_q - self.prior.distribution(self.encoder, training).log_prob(z)",
        "return log_q - VAE.prior_distribution(self).log_prob(z)",
        SAMPLED,
    ),
    Mutation(
        "draws from N(0, I) although the prior is learned",
        "models.prior_vae",
        "self.prior_distribution().sample(n, seed=(seed, n))",
        "tf.random.stateless_normal((n, self.latent_dim), (seed, n))",
        DRAWN,
    ),
    Mutation(
        "means averaged without their precisions",
        "models.two_level",
        "weight = tf.sigmoid(other_logvar - logvar)",
        "weight = 0.5",
        BAYES,
    ),
    Mutation(
        "precisions that do not add up",
        "models.two_level",
        "logvar - tf.nn.softplus(logvar - other_logvar)",
        "logvar",
        BAYES,
    ),
    Mutation(
        "log q without the deviation of the level above",
        "models.two_level",
        "return z, log_q - 0.5 * tf.reduce_sum(logvar[..., : self.top], -1)",
        "return z, log_q",
        LEVELS,
    ),
    Mutation(
        "KL of a level without its half",
        "models.diffusion",
        "return 0.5 * _summed((tf.exp(lower) - tf.exp(upper)) * missed**2)",
        "return _summed((tf.exp(lower) - tf.exp(upper)) * missed**2)",
        NORMAL,
    ),
    Mutation(
        "one level not multiplied by their number",
        "models.diffusion",
        "diffusion = self.levels * self.level_kl(x, level, eps, training)",
        "diffusion = self.level_kl(x, level, eps, training)",
        ON_AVERAGE,
    ),
    Mutation(
        "a step down with the variance of the level above",
        "models.diffusion",
        "return mean + noise_below * tf.sqrt(1 - kept) * eps, guess",
        "return mean + noise_below * eps, guess",
        DOWN,
    ),
    Mutation(
        "a choice without a gradient",
        "models.vector_quantized",
        "return continuous + tf.stop_gradient(chosen - continuous)",
        "return tf.stop_gradient(chosen)",
        THROUGH,
    ),
    Mutation(
        "codebook and commitment exchanged",
        "models.vector_quantized",
        "-log_likelihood + moved + self.commitment * committed",
        "-log_likelihood + self.commitment * moved + committed",
        PARTS,
    ),
    Mutation(
        "the rate of one place for that of all",
        "models.vector_quantized",
        "return self.places * math.log(self.entries)",
        "return math.log(self.entries)",
        TERMS,
    ),
]


test_a_slip_is_noticed, test_without_the_slip_its_test_passes = both_tests_of(MUTATIONS)
