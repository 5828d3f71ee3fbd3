"""The tests, tested: with a plausible slip in the source, the test that should notice it fails."""

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import test_data
import test_digit_graph
import test_digit_models
import test_distributed
import test_evaluation
import test_graph_era
import test_likelihoods
import test_linear_gaussian
import test_models
import test_networks
import test_objectives
import test_plotting
import test_recipes
import test_training
from mutations import Mutation, both_tests_of, mutated, without_fixtures

from vaecourse import (
    graph_era,
    models,
    training,
)
from vaecourse.course import digit_graph
from vaecourse.models import linear_gaussian


def of_family(name: str) -> Callable:
    """Return the test of the density of a likelihood that is made when the test is called."""

    def test(tiny, binary):
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(test_likelihoods, "FAMILIES", test_likelihoods.families())
            test_likelihoods.test_log_prob_is_the_sum_of_the_log_densities_of_the_pixels(name)

    return test


def of_gray_levels(name: str) -> Callable:
    """Return a test of both likelihoods with a location and a scale."""

    def test(tiny, binary):
        for family in (models.likelihoods.Gaussian, models.likelihoods.DiscretizedLogistic):
            getattr(test_likelihoods, f"test_{name}")(family)

    return test


def of_linear_gaussian(test: Callable) -> Callable:
    def run(tiny, binary):
        model = linear_gaussian.LinearGaussian.random(7, 3, seed=1)
        test(model, model.sample(test_linear_gaussian.N, seed=2))

    return run


def the_loop(tiny, binary):
    images = binary[: test_models.N]
    train = test_models.trainer(tiny, images)
    options = {"kl": "monte_carlo", "samples": 3, "beta": 0.5}
    test_models.test_fit_is_the_loop_written_out(train, None, tiny, images, options)


def the_evaluation(tiny, binary):
    vae = tiny(beta=0.5, kl="monte_carlo", seed=3)
    test_models.test_evaluate_is_the_mean_over_images_of_their_terms(vae, binary, training.EVALUATION_BATCH + 16)


def the_estimate(tiny, binary):
    n = training.EVALUATION_BATCH + 16
    test_evaluation.test_every_image_has_its_terms_and_weighs_the_same_however_the_batches_fall(tiny, binary, n, 1)


def the_last_layer(tiny, binary):
    test_networks.test_the_layer_to_one_channel_is_a_transposed_convolution((2, 6, 5, 3), "float64")


def the_bias_in_half_precision(tiny, binary):
    test_networks.test_upsampling_is_a_transposed_convolution("bfloat16", {})


def the_optimizer(tiny, binary):
    test_training.test_the_fused_optimizer_is_that_of_keras(test_training.EXACT, compiled=False)


def of_digits(test: Callable, *names: str) -> Callable:
    """Return a test of models that know digits, with models that are made when it is called."""

    def run(tiny, binary):
        x, y = binary[: test_digit_models.N], np.arange(test_digit_models.N) % test_digit_models.CLASSES
        arguments = {"x": x, "y": y, "name": names[0] if names else None}
        if "untrained" in inspect.signature(test).parameters:
            arguments["untrained"] = {name: test_digit_models.build(name) for name in names}
        test(**{name: arguments[name] for name in inspect.signature(test).parameters})

    return run


def in_a_folder(test: Callable, *arguments) -> Callable:
    def run(tiny, binary):
        with tempfile.TemporaryDirectory() as folder:
            test(*arguments, Path(folder))

    return run


def of_the_graph(test: Callable, *arguments, graph=graph_era, small=test_graph_era.SMALL) -> Callable:
    def run(tiny, binary):
        sessions = []

        def started(**options):
            program = graph.build(**small | options)
            sessions.append(graph_era.start(program))
            return program, sessions[-1]

        try:
            test(started, binary[: 5 * test_graph_era.BATCH].reshape(-1, graph_era.INPUT_SIZE), *arguments)
        finally:
            for session in sessions:
                session.close()

    return run


def of_the_digit_graph(test: Callable) -> Callable:
    digits = np.arange(5 * test_graph_era.BATCH, dtype=np.int32) % 10
    return of_the_graph(test, digits, graph=digit_graph, small=test_digit_graph.SMALL)


def of_the_graph_alone(test: Callable, *arguments) -> Callable:
    """Return a test of the graph that takes no images."""
    return of_the_graph(lambda started, images: test(started, *arguments))


MUTATIONS = [
    Mutation(
        "KL with the wrong sign",
        "models",
        "return 0.5 * tf.reduce_sum(mean**2",
        "return -0.5 * tf.reduce_sum(mean**2",
        without_fixtures(test_objectives.test_analytic_kl_is_that_of_the_distributions),
    ),
    Mutation(
        "KL averaged over latents",
        "models",
        "return 0.5 * tf.reduce_sum(mean**2",
        "return 0.5 * tf.reduce_mean(mean**2",
        without_fixtures(test_objectives.test_analytic_kl_is_that_of_the_distributions),
    ),
    Mutation(
        "Monte Carlo KL averaged over latents",
        "models",
        "return 0.5 * tf.reduce_sum(z**2",
        "return 0.5 * tf.reduce_mean(z**2",
        without_fixtures(test_objectives.test_monte_carlo_kl_is_the_log_ratio_at_the_sample),
    ),
    Mutation(
        "Monte Carlo KL without the log-variance",
        "models",
        "(z**2 - eps**2 - logvar, axis=-1)",
        "(z**2 - eps**2, axis=-1)",
        without_fixtures(test_objectives.test_monte_carlo_kl_has_the_mean_and_the_variance_of_the_formulas),
    ),
    Mutation(
        "variance of the Monte Carlo KL off by a factor in one term",
        "models",
        "0.5 * (variance - 1.0) ** 2",
        "(variance - 1.0) ** 2",
        without_fixtures(test_objectives.test_monte_carlo_kl_has_the_mean_and_the_variance_of_the_formulas),
    ),
    Mutation(
        "variance used as standard deviation",
        "models",
        "mean + tf.exp(0.5 * logvar) * eps",
        "mean + tf.exp(logvar) * eps",
        without_fixtures(test_objectives.test_reparameterize_has_the_standard_deviation_of_the_log_variance),
    ),
    Mutation(
        "KL added to the ELBO",
        "models",
        "return log_likelihood - beta * kl",
        "return log_likelihood + beta * kl",
        without_fixtures(test_objectives.test_elbo_is_the_log_likelihood_minus_beta_times_the_kl, 1.0),
    ),
    Mutation(
        "beta dropped from the ELBO",
        "models",
        "return log_likelihood - beta * kl",
        "return log_likelihood - kl",
        without_fixtures(test_objectives.test_elbo_is_the_log_likelihood_minus_beta_times_the_kl, 4.0),
    ),
    Mutation(
        "weights summed instead of averaged",
        "models",
        "axis=0) - tf.math.log(samples)",
        "axis=0)",
        without_fixtures(test_objectives.test_importance_weighted_bound_is_the_log_of_the_mean_weight),
    ),
    Mutation(
        "log-likelihood averaged over pixels",
        "models",
        "return tf.reduce_sum(self.pixels(output).log_prob(images), axis=(-3, -2, -1))",
        "return tf.reduce_mean(self.pixels(output).log_prob(images), axis=(-3, -2, -1))",
        of_family("gaussian"),
    ),
    Mutation(
        "cross-entropy averaged over pixels",
        "models",
        "return -tf.reduce_sum(cross_entropy",
        "return -tf.reduce_mean(cross_entropy",
        of_family("bernoulli"),
    ),
    Mutation(
        "density of the Gaussian without its constant",
        "models",
        "tf.reduce_sum(self.pixels(output).log_prob(images), ",
        "tf.reduce_sum(self.pixels(output).log_prob(images) + 0.5 * np.log(2 * np.pi), ",
        of_family("gaussian"),
    ),
    Mutation(
        "variance in place of the standard deviation of the pixels",
        "models",
        "scale = tf.cast(self.sigma, output.dtype)",
        "scale = tf.cast(self.sigma, output.dtype) ** 2",
        of_family("gaussian, learned"),
    ),
    Mutation(
        "heads of a decoder exchanged",
        "models",
        "output, h = tf.split(output, 2, axis=-1)",
        "h, output = tf.split(output, 2, axis=-1)",
        of_family("gaussian, decoded"),
    ),
    Mutation(
        "a decoded scale without its lower limit",
        "models",
        "scale = self.floor + self.start * tf.exp(h)",
        "scale = self.start * tf.exp(h)",
        of_gray_levels("a_decoded_scale_stays_above_its_lower_limit_and_starts_at_a_standard_deviation_of_a_half"),
    ),
    Mutation(
        "channels of the decoder not counted",
        "models",
        "if channels != images.shape[-1]:",
        "if channels < images.shape[-1]:",
        of_gray_levels("a_decoder_with_the_wrong_number_of_channels_is_refused"),
    ),
    Mutation(
        "bins of gray levels twice as wide",
        "models",
        "HALF = 0.5 / 255",
        "HALF = 1 / 255",
        of_family("discretized"),
    ),
    Mutation(
        "width of the bin left out of the discretized logistic",
        "models",
        "below_high + tf.math.log(-tf.math.expm1(-2 * HALF / scale))",
        "below_high",
        of_family("discretized"),
    ),
    Mutation(
        "the tail below black left out",
        "models",
        "log_mass = tf.where(grays < HALF, below_high, log_mass)",
        "log_mass = tf.where(grays < -HALF, below_high, log_mass)",
        of_family("discretized"),
    ),
    Mutation(
        "the tail above white left out",
        "models",
        "return tf.where(grays > 1 - HALF, above_low, log_mass)",
        "return tf.where(grays > 1 + HALF, above_low, log_mass)",
        of_family("discretized"),
    ),
    Mutation(
        "mean of a discretized logistic not clipped",
        "models",
        "return scale * (tf.math.softplus(loc / scale) - tf.math.softplus((loc - 1) / scale))",
        "return loc + 0 * scale",
        without_fixtures(test_likelihoods.test_the_mean_of_a_discretized_logistic_is_that_over_its_levels, -0.2, 0.05),
    ),
    Mutation(
        "grays between the levels taken for levels",
        "models",
        "tf.round(255 * images)) < TOLERANCE)",
        "tf.round(255 * images)) < 1)",
        without_fixtures(test_likelihoods.test_all_bytes_are_levels_in_single_precision_and_halves_of_them_are_not),
    ),
    Mutation(
        "bits counted as nats",
        "models",
        "return -log_mass / (dimensions * math.log(2))",
        "return -log_mass / dimensions",
        without_fixtures(test_likelihoods.test_bits_per_dimension_are_eight_where_all_levels_are_equally_probable),
    ),
    Mutation(
        "cross-entropy in place of the continuous Bernoulli",
        "models",
        "return tfd.ContinuousBernoulli(logits=output, dtype=output.dtype)",
        "return tfd.Bernoulli(logits=output, dtype=output.dtype)",
        of_family("continuous bernoulli"),
    ),
    Mutation(
        "labels left in order while images are shuffled",
        "data",
        "[tf.gather(tensor, chosen) for tensor in tensors]",
        "[tf.gather(tensor, tf.sort(chosen) if tensor.shape.rank == 1 else chosen) for tensor in tensors]",
        without_fixtures(test_data.test_labels_stay_with_their_images),
    ),
    Mutation(
        "every epoch in the same order",
        "data",
        "seed=tf.stack([seed, tf.cast(step, tf.int32)])",
        "seed=tf.stack([seed, 0 * tf.cast(step, tf.int32)])",
        without_fixtures(test_data.test_another_seed_or_step_gives_another_order),
    ),
    Mutation(
        "the last, short batch dropped",
        "data",
        "count = -(-n // batch_size)",
        "count = n // batch_size",
        without_fixtures(test_data.test_batches_visit_every_image_once_and_only_the_last_is_short, 100, 32, None),
    ),
    Mutation(
        "grays divided by 256",
        "data",
        "np.float32(255)",
        "np.float32(256)",
        without_fixtures(test_data.test_scale_divides_by_255_and_adds_a_channel),
    ),
    Mutation(
        "beta dropped from the training",
        "models",
        '"loss": -objectives.elbo(*terms, self.beta * self.kl_weight),',
        '"loss": -objectives.elbo(*terms, self.kl_weight),',
        the_loop,
    ),
    Mutation(
        "the same noise at every step",
        "models.vae",
        "seed = tf.stack([self.seed, tf.cast(step, tf.int32)])",
        "seed = tf.stack([self.seed, 0 * tf.cast(step, tf.int32)])",
        lambda tiny, binary: test_models.test_noise_is_standard_normal_and_a_function_of_seed_and_step(tiny),
    ),
    Mutation(
        "metrics averaged over batches",
        "training",
        ".update_state(per_image, part.weights)",
        ".update_state(tf.reduce_mean(per_image))",
        the_evaluation,
    ),
    Mutation(
        "beta in the metric that has none",
        "models",
        '"elbo": objectives.elbo(*terms),',
        '"elbo": objectives.elbo(*terms, self.beta),',
        the_evaluation,
    ),
    Mutation(
        "variance as the scale of the posterior",
        "models",
        "return tfp.distributions.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))",
        "return tfp.distributions.MultivariateNormalDiag(mean, tf.exp(logvar))",
        lambda tiny, binary: test_models.test_encode_has_the_standard_deviation_of_the_log_variance(tiny(), binary),
    ),
    Mutation(
        "terms summed over samples",
        "models",
        "tf.reduce_mean(term, axis=0) if",
        "tf.reduce_sum(term, axis=0) if",
        lambda tiny, binary: test_models.test_the_terms_of_several_samples_are_their_means(
            tiny, binary[: test_models.N], "analytic"
        ),
    ),
    Mutation(
        "test ELBO averaged over batches",
        "measures",
        "lambda *parts: np.concatenate(parts)",
        "lambda *parts: np.array([np.mean(part) for part in parts])",
        the_estimate,
    ),
    Mutation(
        "standard deviation in place of the standard error",
        "measures",
        "float(values.std(ddof=1) / math.sqrt(values.size))",
        "float(values.std(ddof=1))",
        without_fixtures(test_evaluation.test_an_estimate_is_a_mean_with_its_standard_error),
    ),
    Mutation(
        "variances of the posterior in place of those that are optimal for a diagonal one",
        "models",
        "np.broadcast_to(-np.log(precision), mean.shape)",
        "np.broadcast_to(np.log(np.diag(self.posterior_covariance)), mean.shape)",
        of_linear_gaussian(test_linear_gaussian.test_the_mean_field_posterior_is_where_the_gap_is_smallest),
    ),
    Mutation(
        "spread of the posterior left out of the exact ELBO",
        "models",
        "self.log_likelihood(x, mean) - spread -",
        "self.log_likelihood(x, mean) -",
        of_linear_gaussian(test_linear_gaussian.test_what_the_elbo_lacks_to_the_log_likelihood_is_the_gap),
    ),
    Mutation(
        "rows and columns of a grid exchanged",
        "course",
        "images.swapaxes(1, 2)",
        "images.swapaxes(0, 1).swapaxes(1, 2)",
        without_fixtures(test_plotting.test_tile_puts_every_image_in_its_place),
    ),
    Mutation(
        "colors drawn as ink, in an animation",
        "course",
        "inked = 1 - picture if picture.ndim == 2 else picture",
        "inked = 1 - picture",
        in_a_folder(test_plotting.test_an_animation_shows_colors_as_a_grid_shows_them, np.float32, 1),
    ),
    Mutation(
        "KL of the digit dropped from the bound",
        "models",
        "bounds.append(expected - kl)",
        "bounds.append(expected)",
        of_digits(test_digit_models.test_where_it_is_not_known_the_bound_is_the_sum_over_digits, "SemiSupervisedVAE"),
    ),
    Mutation(
        "KL of the digit with the wrong sign",
        "models",
        "bounds.append(expected - kl)",
        "bounds.append(expected + kl)",
        of_digits(
            test_digit_models.test_where_the_digit_is_known_the_bound_is_that_of_a_conditional_vae_less_ln_10,
            "SemiSupervisedVAE",
        ),
    ),
    Mutation(
        "labels ignored by the bound",
        "models",
        "if y is not None:\n            y = tf.cast",
        "if False:\n            y = tf.cast",
        of_digits(test_digit_models.test_known_and_unknown_digits_can_be_mixed),
    ),
    Mutation(
        "ELBOs of the digits not weighed by their probabilities",
        "models",
        "tf.gather_nd(w, pairs) * objectives.elbo(",
        "objectives.elbo(",
        of_digits(test_digit_models.test_where_it_is_not_known_the_bound_is_the_sum_over_digits, "SemiSupervisedVAE"),
    ),
    Mutation(
        "weight of the classification dropped",
        "models",
        "self.classification_weight * cross_entropy(y, logits)",
        "cross_entropy(y, logits)",
        of_digits(test_digit_models.test_the_losses_of_a_digit_vae_are_those_of_its_source),
    ),
    Mutation(
        "unknown digits classified, too",
        "models",
        "tf.where(known, self.classification_weight * penalty, tf.zeros_like(penalty))",
        "self.classification_weight * penalty",
        of_digits(test_digit_models.test_known_and_unknown_digits_can_be_mixed),
    ),
    Mutation(
        "decoder told the labels in place of the probabilities",
        "models",
        "terms = self.terms(x, eps, tf.nn.softmax(logits), training)",
        "terms = self.terms(x, eps, y, training)",
        of_digits(test_digit_models.test_the_losses_of_a_digit_vae_are_those_of_its_source),
    ),
    Mutation(
        "encoder not told the digit",
        "models",
        "self.probabilities(y)], training",
        "0 * self.probabilities(y)], training",
        of_digits(
            test_digit_models.test_the_terms_of_a_conditional_vae_are_those_of_the_distributions, "ConditionalVAE"
        ),
    ),
    Mutation(
        "labels not handed to the loss by `fit`",
        "training",
        "self.objective(x, y, eps, training=True)",
        "self.objective(x, None if y is None else 0 * y, eps, training=True)",
        of_digits(test_digit_models.test_fit_is_the_loop_written_out, "ConditionalVAE"),
    ),
    Mutation(
        "no slip in the model of the slip",
        "course",
        "objectives.reparameterize(mean, 2 * logvar, eps)",
        "objectives.reparameterize(mean, logvar, eps)",
        lambda tiny, binary: test_models.test_a_slipped_vae_draws_with_the_variance_as_the_deviation(
            binary[: test_models.N]
        ),
    ),
    Mutation(
        "rectified probability not kept from zero",
        "models",
        "tf.clip_by_value(output, 1e-7, 1 - 1e-7)",
        "tf.clip_by_value(output, 0, 1)",
        of_family("bernoulli, rectified"),
    ),
    Mutation(
        "floor of the variance dropped",
        "models",
        "keras.ops.logaddexp(s, math.log(self.floor))",
        "s",
        without_fixtures(test_networks.test_the_variance_is_the_floor_and_an_exponential),
    ),
    Mutation(
        "planes of the last layer shifted the other way",
        "models",
        "2 - i : 2 - i + height",
        "i : i + height",
        the_last_layer,
    ),
    Mutation(
        "gradient of the last layer by the kernel turned around",
        "models",
        "tf.nn.conv2d(upstream, kernel, 1",
        "tf.nn.conv2d(upstream, kernel[::-1, ::-1], 1",
        the_last_layer,
    ),
    Mutation(
        "gradient of a bias summed in half precision",
        "models",
        "outputs + tf.cast(self.bias, outputs.dtype)",
        "tf.nn.bias_add(outputs, tf.cast(self.bias, outputs.dtype))",
        the_bias_in_half_precision,
        (pytest.mark.half_precision,),
    ),
    Mutation(
        "squares of the gradient not corrected for their start",
        "training",
        "beta2_power=beta_2**step",
        "beta2_power=0 * beta_2",
        the_optimizer,
    ),
    Mutation(
        "replicas that average over their own images",
        "training",
        "tf.reduce_sum(counted) / tf.cast(self.images, per_image.dtype)",
        "tf.reduce_mean(counted)",
        without_fixtures(test_distributed.test_the_shares_of_a_mean_add_up_to_it),
    ),
    Mutation(
        "replicas that draw the same noise",
        "training",
        "tf.gather(draw(self.images), tf.minimum(self.rows, self.images - 1), axis=-2)",
        "draw(tf.shape(x)[0])",
        without_fixtures(test_distributed.test_the_shares_of_a_mean_add_up_to_it),
    ),
    Mutation(
        "images that fill up a batch and count",
        "training",
        "self.counts = rows < self.images",
        "self.counts = rows >= 0",
        without_fixtures(test_distributed.test_the_shares_of_a_mean_add_up_to_it),
    ),
    Mutation(
        "learning rate that does not climb",
        "training",
        "tf.minimum(climbed, left)",
        "left",
        lambda tiny, binary: test_training.test_linear_decay_climbs_and_falls_in_straight_lines(0.25),
    ),
    Mutation(
        "samples judged by other digits",
        "measures",
        "vae.sample(len(labels), seed, labels).numpy(), labels)",
        "vae.sample(len(labels), seed, labels).numpy(), labels[::-1])",
        without_fixtures(test_evaluation.test_samples_are_judged_by_the_digits_that_were_asked_for),
    ),
    Mutation(
        "another image's probabilities that are the image's own",
        "measures",
        "np.roll(alike, 1)",
        "np.roll(alike, 0)",
        without_fixtures(test_evaluation.test_what_a_decoder_is_told_instead_keeps_less_and_less_of_the_image),
    ),
    Mutation(
        "probabilities averaged over all images",
        "measures",
        "probabilities[alike].mean(axis=0)",
        "probabilities.mean(axis=0)",
        without_fixtures(test_evaluation.test_what_a_decoder_is_told_instead_keeps_less_and_less_of_the_image),
    ),
    Mutation(
        "graph of the digit-conditioned VAE whose decoder is not told the digit",
        "course",
        "v1.concat([z, probabilities], axis=1)",
        "v1.concat([z, 0 * probabilities], axis=1)",
        of_the_digit_graph(test_digit_graph.test_every_quantity_is_that_of_its_formula),
    ),
    Mutation(
        "weight of the classifier left out of its graph",
        "course",
        "classification_weight * v1.reduce_mean(cross_entropy)",
        "v1.reduce_mean(cross_entropy)",
        of_the_digit_graph(test_digit_graph.test_every_quantity_is_that_of_its_formula),
    ),
    Mutation(
        "images set aside trained on",
        "course",
        "train[run.first : run.first + run.train_images]",
        "train[: run.train_images]",
        without_fixtures(test_recipes.test_a_run_begins_with_its_first_image_and_labels_go_with_images),
    ),
    Mutation(
        "KL of the graph with the wrong sign",
        "course",
        "kl = -0.5 * v1.reduce_sum(",
        "kl = 0.5 * v1.reduce_sum(",
        of_the_graph(test_graph_era.test_every_quantity_is_that_of_its_formula, "squared_error"),
    ),
    Mutation(
        "squared error of the graph averaged over pixels",
        "course",
        "reconstruction_loss = v1.reduce_sum(per_pixel, 1)",
        "reconstruction_loss = v1.reduce_mean(per_pixel, 1)",
        of_the_graph(test_graph_era.test_every_quantity_is_that_of_its_formula, "squared_error"),
    ),
    Mutation(
        "variance of the graph used as standard deviation",
        "course",
        "mean + v1.sqrt(v1.exp(logvar)) * eps",
        "mean + v1.exp(logvar) * eps",
        of_the_graph(test_graph_era.test_every_quantity_is_that_of_its_formula, "cross_entropy"),
    ),
    Mutation(
        "cross-entropy of the graph without its guard",
        "course",
        "v1.log(GUARD + x_hat) + (1 - x) * v1.log(GUARD + 1 - x_hat)",
        "v1.log(x_hat) + (1 - x) * v1.log(1 - x_hat)",
        of_the_graph_alone(
            test_graph_era.test_ink_where_there_is_none_costs_its_logit_or_what_the_guard_allows, 1e-10, 25.0
        ),
    ),
    Mutation(
        "guard of the graph added where it is not lost",
        "course",
        "(1 - x) * v1.log(GUARD + 1 - x_hat)",
        "(1 - x) * v1.log(v1.maximum(1 - x_hat, GUARD))",
        of_the_graph_alone(
            test_graph_era.test_in_single_precision_the_guard_is_lost_in_the_second_logarithm, 0.0, 100.0, np.inf
        ),
    ),
    Mutation(
        "loss of the graph measured after the step",
        "course",
        """            total += session.run(program.loss, feed_dict=feed)
            session.run(program.train_step, feed_dict=feed)
""",
        """            session.run(program.train_step, feed_dict=feed)
            total += session.run(program.loss, feed_dict=feed)
""",
        of_the_graph(test_graph_era.test_train_measures_the_loss_before_every_update_on_batches_without_remainder),
    ),
]


test_a_slip_is_noticed, test_without_the_slip_its_test_passes = both_tests_of(MUTATIONS)


def test_a_mutated_module_is_restored_even_after_a_failure():
    before, vae = dict(vars(models)), models.VAE

    def fail():
        with mutated("models", '"elbo": objectives.elbo(*terms),', '"elbo": objectives.elbo(*terms, self.beta),'):
            assert models.VAE is not vae
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert dict(vars(models)) == before
    assert keras.saving.get_registered_object("vaecourse>VAE") is vae
