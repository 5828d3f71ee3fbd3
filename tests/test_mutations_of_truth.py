"""The tests, tested, of what lies behind the bound: audits, importance weights, flows, diagnoses."""

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import test_audit
import test_broken
import test_diagnosis
import test_evaluation
import test_flows
import test_importance
import test_strangers
import test_tightness
from mutations import Mutation, both_tests_of, without_fixtures

from vaecourse import measures, specimens
from vaecourse.models import linear_gaussian


def of_tightness(test: Callable) -> Callable:
    def run(tiny, binary):
        model = linear_gaussian.LinearGaussian.random(20, 3, seed=0)
        vae = test_tightness.linear_vae(model)
        vae.likelihood.check = lambda images: None
        x = model.sample(test_tightness.N, seed=1).astype(np.float32)
        test(model=model, vae=vae, x=x, images=x.reshape(-1, *test_tightness.SHAPE))

    return run


def the_fit(model, vae, x, images):
    fitted = measures.fitted_posteriors(vae, images, 150, samples=64, evaluation_samples=400, progress=False)
    test_tightness.test_fitted_posteriors_are_the_best_diagonal_gaussians(model, fitted, x)


def with_monkeypatch(test: Callable) -> Callable:
    def run(tiny, binary):
        with pytest.MonkeyPatch.context() as monkeypatch:
            test(monkeypatch)

    return run


def of_flows(test: Callable, **arguments) -> Callable:
    """Return a test of flows, with images and models that are made when it is called."""

    def run(tiny, binary):
        names = inspect.signature(test).parameters
        made = {"binary": lambda: binary, "linear": test_flows.linear_vae}
        test(**arguments, **{name: made[name]() for name in names if name not in arguments})

    return run


def of_a_diagnosis(test: Callable, *arguments) -> Callable:
    return lambda tiny, binary: test(binary, *arguments)


def refused_is_failed(test: Callable) -> Callable:
    def run(tiny, binary):
        try:
            test(tiny, binary)
        except ValueError as refused:
            pytest.fail(str(refused))

    return run


def of_two_groups(test: Callable) -> Callable:
    def run(tiny, binary):
        images = binary[:400].copy()
        images[:, 0, 0, 0] = np.arange(len(images)) % 2
        test(images)

    return run


def of_the_world(name: str) -> Callable:
    return without_fixtures(test_strangers.test_a_loss_of_the_world_gets_the_right_answer, name)


MUTATIONS = [
    Mutation(
        "σ read where the KL has log σ²",
        "clinic",
        '"log σ²": Reading(lambda v: _exp(v / 2),',
        '"log σ²": Reading(lambda v: _exp(v / 3),',
        without_fixtures(test_audit.test_what_kl_and_sampler_read_as_what_is_told, "log σ²", "σ", False),
    ),
    Mutation(
        "β·σ² taken for β·2σ²",
        "clinic",
        '"Gaussian": ("sigma2", 2.0,',
        '"Gaussian": ("sigma2", 1.0,',
        without_fixtures(test_audit.test_a_scale_that_contradicts_the_normalizer_is_refused),
    ),
    Mutation(
        "losses averaged over pixels taken to have no normalizer",
        "clinic",
        "shares = (1, height * width * channels, channels, height * width, width)",
        "shares = (1, channels, width)",
        without_fixtures(test_audit.recover, ("Gaussian", "mean"), 0.4, 0.7, "mean over pixels"),
    ),
    Mutation(
        "losses averaged over channels taken to have no normalizer",
        "clinic",
        "shares = (1, height * width * channels, channels, height * width, width)",
        "shares = (1, height * width * channels, height * width, width)",
        of_the_world("Gaussian averaged over channels"),
    ),
    Mutation(
        "any constant taken for a normalizer",
        "clinic",
        "        for factor in _factors(probe.images):\n",
        "        for factor in (1.0,):\n"
        "            constant = normalizer(1 / unit / line.slope) * math.prod(shape[1:])\n",
        without_fixtures(test_audit.test_without_a_normalizer_only_the_product_is_known, 3.0, 0),
    ),
    Mutation(
        "no normalizer recognized without its ½ ln 2π",
        "clinic",
        "for part in (0.0, omitted, *(",
        "for part in (0.0, *(",
        of_the_world("σ-VAE without ½ ln 2π"),
    ),
    Mutation(
        "outputs probed between 0 and 1 alone",
        "clinic",
        "    where = _where_it_breaks(probe, line)\n",
        '    where = ""\n',
        without_fixtures(test_audit.test_a_loss_that_is_no_known_likelihood_is_none_of_these, "Huber"),
    ),
    Mutation(
        "a KL believed wherever it was not tried",
        "clinic",
        "    broken = [where for where, posteriors in tries.items()",
        "    broken = [where for where, posteriors in {}.items()",
        of_the_world("free bits of the batch, 0.1"),
    ),
    Mutation(
        "a KL tried with wide posteriors only",
        "clinic",
        "LOG_VARIANCES = (-10.0, 2.0)",
        "LOG_VARIANCES = (-0.1, 2.0)",
        of_the_world("|log σ²|"),
    ),
    Mutation(
        "a KL not tried close to the prior",
        "clinic",
        "small = 10 ** rng.uniform(-2.5, -0.5,",
        "small = 10 ** rng.uniform(0.5, 0.6,",
        of_the_world("free bits of an image, 0.05"),
    ),
    Mutation(
        "no KL but to N(0, I)",
        "clinic",
        "else _to_another_prior(READINGS, stacks, losses)",
        "else None",
        of_the_world("prior N(0, 4)"),
    ),
    Mutation(
        "σ by a softplus taken for σ",
        "clinic",
        "Reading(_softplus, _inverse_softplus),",
        "Reading(lambda v: v, lambda s: s),",
        of_the_world("σ by softplus"),
    ),
    Mutation(
        "rounding taken for a proof that there is no floor",
        "clinic",
        "    if hidden > _HIDDEN:",
        "    if False:",
        without_fixtures(test_audit.test_where_rounding_hides_the_kl_its_weight_cannot_be_known, 1e-2, 1e3),
    ),
    Mutation(
        "a schedule that has hardly begun taken to stand still",
        "clinic",
        "        if np.ptp(losses) > rounding_error(losses):",
        "        if np.ptp(losses) > 1e9:",
        without_fixtures(test_strangers.test_a_loss_that_counts_its_calls_is_refused, 10_000),
    ),
    Mutation(
        "noise of any shape taken for normal",
        "clinic",
        "if abs(kurtosis - 3) >",
        "if abs(kurtosis - 3) > 9 +",
        without_fixtures(test_strangers.test_a_flawed_sampler_is_not_vouched_for_and_its_flaw_named, "uniform"),
    ),
    Mutation(
        "latents taken to be drawn apart",
        "clinic",
        "np.abs(correlation - np.eye(d)).max() > 6 / math.sqrt(n)",
        "np.abs(correlation - np.eye(d)).max() > 6",
        without_fixtures(
            test_strangers.test_a_flawed_sampler_is_not_vouched_for_and_its_flaw_named, "one ε for all latents, drawn"
        ),
    ),
    Mutation(
        "a sampler compared with its KL at moderate σ alone",
        "clinic",
        "        for log_variance in _LOG_VARIANCES:",
        "        for log_variance in (0.0,):",
        without_fixtures(test_strangers.test_a_flawed_sampler_is_not_vouched_for_and_its_flaw_named, "ReLU on log σ²"),
    ),
    Mutation(
        "the two terms never varied together",
        "clinic",
        "    return bool(straight and",
        "    return bool(True or",
        without_fixtures(test_audit.test_a_product_of_the_terms_is_not_taken_for_a_sum),
    ),
    Mutation(
        "weight of the KL not compared between batches",
        "clinic",
        "double = probing.Prober(call, (2 * batch_size, *image_shape), (2 * batch_size, latent_dim))",
        "double = probe",
        without_fixtures(test_audit.test_a_beta_that_depends_on_the_batch_is_told),
    ),
    Mutation(
        "sampled KL probed at one side of the noise",
        "clinic",
        "for sign in (1, -1)]",
        "for sign in (1, 1)]",
        without_fixtures(test_audit.test_a_sampled_kl_is_averaged_exactly_over_two_values_of_its_noise),
    ),
    Mutation(
        "sign of the KL lost",
        "clinic",
        "product = kl.slope / likelihood.slope",
        "product = abs(kl.slope / likelihood.slope)",
        without_fixtures(test_audit.test_a_kl_that_is_subtracted_has_a_negative_beta),
    ),
    Mutation(
        "any sampler of a known kind taken for that of the KL",
        "clinic",
        "if drawn.reading == posterior:",
        "if drawn.reading:",
        without_fixtures(test_audit.test_what_kl_and_sampler_read_as_what_is_told, "log σ²", "log σ", True),
    ),
    Mutation(
        "bounds of overlapping samples: those of the first group only",
        "measures",
        "(groups.swapaxes(0, 1)).numpy().mean(axis=0, dtype=float)",
        "(groups.swapaxes(0, 1)).numpy()[0].astype(float)",
        without_fixtures(test_tightness.test_bounds_are_averages_over_disjoint_groups),
    ),
    Mutation(
        "every portion of the weights from the same noise",
        "measures",
        "stateless_fold_in([seed, batch.start], start)",
        "stateless_fold_in([seed, batch.start], 0 * start)",
        of_tightness(
            lambda model, vae, x, images: test_tightness.test_no_sample_is_drawn_twice_and_none_is_left_out(
                vae, images, 73, 3
            )
        ),
    ),
    Mutation(
        "weights without the proposal's density",
        "measures",
        "return vae.log_likelihood(x, z) - objectives.sampled_kl(z, eps, logvar)",
        "return vae.log_likelihood(x, z)",
        of_tightness(
            lambda model, vae, x, images: test_tightness.test_a_posterior_can_be_given_and_meets_the_same_noise(
                model, vae, images, x
            )
        ),
    ),
    Mutation(
        "weights of the model's own posterior without its density",
        "models",
        "return log_likelihood - kl",
        "return log_likelihood",
        of_tightness(
            lambda model, vae, x, images: test_tightness.test_the_mean_of_the_log_weights_is_the_exact_elbo(
                model, vae, images, x
            )
        ),
    ),
    Mutation(
        "weights of the normal distribution before the flow",
        "measures",
        "if not q:\n            return vae.log_weights(x, eps)\n        mean, logvar = q",
        "mean, logvar = q or vae.posterior_parameters(x)",
        without_fixtures(test_tightness.test_without_a_posterior_the_weights_are_those_of_the_flow),
    ),
    Mutation(
        "importance-weighted bound of the last portion alone",
        "measures",
        "np.logaddexp.reduce([total[batch], *weights])",
        "np.logaddexp.reduce(weights)",
        lambda tiny, binary: test_evaluation.test_the_importance_weighted_bound_is_that_of_the_weights(
            test_evaluation.make_small(), test_evaluation.ALL_IMAGES, 120
        ),
    ),
    Mutation(
        "latents active by their standard deviation, not their variance",
        "measures",
        "np.var(means, axis=0) > threshold",
        "np.std(means, axis=0) > threshold",
        lambda tiny, binary: test_evaluation.test_active_units_are_those_whose_mean_varies(
            test_evaluation.make_window()
        ),
    ),
    Mutation(
        "posteriors fitted to the likelihood alone",
        "measures",
        "objectives.elbo(expected, objectives.analytic_kl(*q))",
        "objectives.elbo(expected, 0 * objectives.analytic_kl(*q))",
        of_tightness(the_fit),
    ),
    Mutation(
        "log-variances of the fit moved by half",
        "measures",
        "logvar + shift_logvar",
        "logvar + 0 * shift_logvar",
        of_tightness(the_fit),
    ),
    Mutation(
        "approximation and amortization exchanged",
        "measures",
        "exact - fitted, fitted - encoded, exact - encoded",
        "fitted - encoded, exact - fitted, exact - encoded",
        without_fixtures(test_tightness.test_gaps_are_differences_image_by_image),
    ),
    Mutation(
        "annealed chains that accept by the density of the step before",
        "measures",
        "kernel.bootstrap_results(state), seed=seed)",
        "previous.inner_results, seed=seed)",
        without_fixtures(test_tightness.test_annealed_weights_have_the_mean_p, 2, 40),
    ),
    Mutation(
        "annealed weights averaged as logarithms",
        "measures",
        "sign * objectives.importance_weighted_bound(sign * self.log_weights).numpy()",
        "tf.reduce_mean(self.log_weights, axis=0).numpy()",
        without_fixtures(test_tightness.test_annealed_weights_have_the_mean_p, 2, 40),
    ),
    Mutation(
        "chains from the posterior whose weights are taken the wrong way round",
        "measures",
        "AnnealedWeights(-log_weights if backwards else log_weights,",
        "AnnealedWeights(log_weights,",
        without_fixtures(test_tightness.test_chains_from_the_posterior_have_the_mean_of_one_over_p, 20),
    ),
    Mutation(
        "bound from above averaged as if it were from below",
        "measures",
        "        sign = -1 if self.from_posterior else 1",
        "        sign = 1",
        without_fixtures(test_tightness.test_chains_from_the_posterior_have_the_mean_of_one_over_p, 20),
    ),
    Mutation(
        "tail of the weights without its threshold",
        "measures",
        "weights[-tail:] - weights[-tail - 1]",
        "weights[-tail:]",
        without_fixtures(test_tightness.test_the_tail_of_weights_is_that_of_the_theory),
    ),
    Mutation(
        "shape of a tail with the sign of hydrologists",
        "measures",
        "shape = np.log1p(-b * y).mean()",
        "shape = -np.log1p(-b * y).mean()",
        without_fixtures(test_tightness.test_the_shape_of_pareto_draws_is_found, 0.5),
    ),
    Mutation(
        "effective samples counted by the largest weight",
        "measures",
        "total**2 / (weights**2).sum(axis=0)",
        "total / weights[-1]",
        without_fixtures(test_tightness.test_effective_samples_and_the_largest_weight_are_those_of_the_formulas),
    ),
    Mutation(
        "flow of an image without its log-determinant",
        "measures",
        "log_q -= log_det",
        "log_q -= 0 * log_det",
        without_fixtures(
            test_tightness.test_a_flow_comes_closer_to_a_bent_posterior_than_any_gaussian_and_never_past_log_p
        ),
    ),
    Mutation(
        "covariance of the full family left out",
        "measures",
        'eps += tf.einsum("nij,snj->sni", below, eps)',
        'eps += 0 * tf.einsum("nij,snj->sni", below, eps)',
        with_monkeypatch(test_tightness.test_the_full_family_finds_the_posterior_and_the_diagonal_one_stays),
    ),
    Mutation(
        "draws from the posterior with their latents exchanged",
        "measures",
        "np.stack([fine[0, column], fine[1, row]], axis=-1) + inside",
        "np.stack([fine[1, row], fine[0, column]], axis=-1) + inside",
        without_fixtures(test_tightness.test_draws_from_the_grid_are_draws_from_the_posterior_of_pixels),
    ),
    Mutation(
        "proposal inflated in its deviation, not its covariance",
        "models",
        "np.sqrt(inflation) * exact.scale_tril",
        "inflation * exact.scale_tril",
        without_fixtures(test_tightness.test_weights_have_their_mean_and_bounds_their_gap_in_closed_form, 10),
    ),
    Mutation(
        "second moment of a proposal that is too narrow taken for finite",
        "models",
        ".min() <= 0:",
        ".min() <= -np.inf:",
        without_fixtures(test_tightness.test_mean_field_at_fifty_latents_is_where_importance_sampling_fails),
    ),
    Mutation(
        "the double reparameterization forgets the second weight",
        "models",
        "lambda upstream: upstream * later[0]",
        "lambda upstream: upstream",
        lambda tiny, binary: test_importance.test_the_gradients_are_the_formulas_of_the_papers(
            test_importance.DOUBLY, 2
        ),
    ),
    Mutation(
        "log q keeps the derivative by its own mean",
        "models",
        "eps += (z - tf.stop_gradient(z)) * tf.exp(-0.5 * logvar)",
        "eps += (z - mean - tf.stop_gradient(z - mean)) * tf.exp(-0.5 * logvar)",
        lambda tiny, binary: test_importance.test_at_the_true_posterior_the_landing_is_stuck_for_every_noise(4),
    ),
    Mutation(
        "the weights are normalized over the images",
        "models",
        "tf.nn.softmax(log_weights, axis=0)",
        "tf.nn.softmax(log_weights, axis=1)",
        lambda tiny, binary: test_importance.test_the_gradients_are_the_formulas_of_the_papers(
            test_importance.DOUBLY, 2
        ),
    ),
    Mutation(
        "every epoch has the order of the first",
        "data",
        "return batches(grays, batch_size, seed, step)",
        "return batches(grays, batch_size, seed)",
        lambda tiny, binary: test_importance.test_every_epoch_visits_the_images_in_its_own_order(),
    ),
    Mutation(
        "the ratio of signal to noise keeps what the noise adds",
        "measures",
        "* (n - 3) / (n - 1) - 1 / n",
        "",
        lambda tiny, binary: test_importance.test_signal_and_ratio_are_measured_within_their_errors(0.02, 100),
    ),
    Mutation(
        "the variance of a group is that of its mean",
        "measures",
        "np.maximum(squares - total**2 / size, 0) / (size - 1)",
        "np.maximum(squares - total**2 / size, 0) / (size - 1) / size",
        lambda tiny, binary: test_importance.test_moments_are_those_of_the_gradients_one_by_one(),
    ),
    Mutation(
        "log-determinant with the wrong sign",
        "models.flows",
        "log_det += tf.reduce_sum(log_scale",
        "log_det -= tf.reduce_sum(log_scale",
        of_flows(test_flows.test_the_log_determinant_is_that_of_the_jacobian, latent_dim=2, steps=4),
    ),
    Mutation(
        "log-determinant averaged over latents",
        "models.flows",
        "log_det += tf.reduce_sum(log_scale",
        "log_det += tf.reduce_mean(log_scale",
        of_flows(test_flows.test_the_log_determinant_is_that_of_the_jacobian, latent_dim=5, steps=2),
    ),
    Mutation(
        "log-determinant of the last step alone",
        "models.flows",
        "log_det += tf.reduce_sum(log_scale",
        "log_det = tf.reduce_sum(log_scale",
        of_flows(test_flows.test_the_log_determinant_is_that_of_the_jacobian, latent_dim=3, steps=3),
    ),
    Mutation(
        "flow that moves the same half in every step",
        "models.flows",
        "kept, moved = (last, first) if step % 2 else (first, last)",
        "kept, moved = first, last",
        of_flows(test_flows.test_the_bijector_is_the_same_map_and_undoes_it, latent_dim=2, steps=3),
    ),
    Mutation(
        "bijector with its steps in the wrong order",
        "models.flows",
        "of(step) for step in reversed(range(self.steps))",
        "of(step) for step in range(self.steps)",
        of_flows(test_flows.test_the_bijector_is_the_same_map_and_undoes_it, latent_dim=2, steps=3),
    ),
    Mutation(
        "flow that does not know the image",
        "models.flows",
        "inputs = tf.concat([kept, context], axis=-1)",
        "inputs = tf.concat([kept, 0 * context], axis=-1)",
        of_flows(test_flows.test_every_coordinate_moves_and_depends_on_the_others_and_on_the_context),
    ),
    Mutation(
        "flow that does not begin as the identity",
        "models.flows",
        'kernel_initializer="zeros"',
        'kernel_initializer="ones"',
        of_flows(test_flows.test_a_flow_at_its_initial_weights_is_a_vae, steps=4, samples=1),
    ),
    Mutation(
        "flow whose initial weights do not depend on the seed",
        "models.flows",
        "seed = 1000 * self.seed + step",
        "seed = 1000 + step",
        of_flows(test_flows.test_initial_weights_are_a_function_of_the_seed),
    ),
    Mutation(
        "bound without the log-determinant",
        "models.flows",
        "objectives.sampled_kl(z, eps, logvar) - log_det",
        "objectives.sampled_kl(z, eps, logvar)",
        of_flows(test_flows.test_the_terms_are_those_of_the_distributions),
    ),
    Mutation(
        "bound with the log-determinant added to the KL",
        "models.flows",
        "objectives.sampled_kl(z, eps, logvar) - log_det",
        "objectives.sampled_kl(z, eps, logvar) + log_det",
        of_flows(test_flows.test_the_elbo_is_below_the_exact_likelihood_by_the_divergence_from_the_posterior),
    ),
    Mutation(
        "density of the noise taken after the flow",
        "models.flows",
        "objectives.sampled_kl(z, eps, logvar)",
        "objectives.sampled_kl(z, flowed, logvar)",
        of_flows(test_flows.test_the_mean_weight_is_the_likelihood),
    ),
    Mutation(
        "posterior without its flow",
        "models.flows",
        "tfb.Chain([normal, flow])",
        "normal",
        of_flows(test_flows.test_the_terms_are_those_of_the_distributions),
    ),
    Mutation(
        "posterior with the flow after the normal distribution",
        "models.flows",
        "tfb.Chain([normal, flow])",
        "tfb.Chain([flow, normal])",
        of_flows(test_flows.test_the_terms_are_those_of_the_distributions),
    ),
    Mutation(
        "analytic KL accepted with a flow",
        "models.flows",
        'if kl != "monte_carlo":',
        'if kl not in ("monte_carlo", "analytic"):',
        of_flows(
            test_flows.test_what_cannot_be_is_refused,
            make=lambda: test_flows.small(kl="analytic"),
            message="no closed form",
        ),
    ),
    Mutation(
        "weight of the KL in the unit of the loss",
        "clinic",
        "kl.slope / likelihood if likelihood > 0",
        "kl.slope if likelihood > 0",
        of_a_diagnosis(test_diagnosis.test_weight_and_scale_of_the_kl_are_read_off_the_loss, 0),
    ),
    Mutation(
        "σ of the drawn taken for half of it",
        "clinic",
        "np.abs(z[:n] - z[n:]) / 2",
        "np.abs(z[:n] - z[n:]) / 4",
        of_a_diagnosis(test_diagnosis.test_weight_and_scale_of_the_kl_are_read_off_the_loss, 0),
    ),
    Mutation(
        "a sampler's share of one draw not seen",
        "clinic",
        "off = np.abs(once - center - spread * eps)",
        "off = 0 * np.abs(once - center - spread * eps)",
        of_a_diagnosis(test_diagnosis.test_a_sampler_that_shares_its_noise_is_named),
    ),
    Mutation(
        "the conventions of a model assumed",
        "clinic",
        "self.agrees = self.error < THRESHOLDS.form",
        "self.agrees = False",
        of_a_diagnosis(test_diagnosis.test_a_convention_that_has_no_name_is_sound_if_it_is_kept),
    ),
    Mutation(
        "a weight given though there is no KL",
        "clinic",
        "elif _no_likelihood(m) or _no_kl(m) or np.isnan(beta):",
        "elif False:",
        of_a_diagnosis(test_diagnosis.test_where_there_is_no_kl_there_is_no_weight),
    ),
    Mutation(
        "a target taken for the image itself",
        "clinic",
        "targets = _of_whom(seen, x) @ np.rint(share)",
        "targets = np.eye(n)",
        of_a_diagnosis(test_diagnosis.test_another_target_is_named),
    ),
    Mutation(
        "a cut gradient taken for a flowing one",
        "clinic",
        "if not there:\n        return NO_PATH",
        "if not there:\n        return FLOWS",
        of_a_diagnosis(test_diagnosis.test_a_cut_gradient_is_named),
    ),
    Mutation(
        "a healthy prior of another variance not named",
        "clinic",
        'elif m.get("variance of the prior", 1.0) != 1',
        'elif m.get("variance of the prior", 1.0) > 9',
        of_a_diagnosis(test_diagnosis.test_another_prior_is_a_remark),
    ),
    Mutation(
        "mutual information without the number of images",
        "clinic",
        ".numpy() + np.log(len(z))",
        ".numpy()",
        of_two_groups(test_diagnosis.test_the_decomposition_of_the_kl_is_that_of_a_mixture),
    ),
    Mutation(
        "aggregate posterior of the means alone",
        "clinic",
        "covariance + np.diag(np.exp(logvar).mean(axis=0))",
        "covariance + 1e-9 * np.eye(len(center))",
        of_two_groups(test_diagnosis.test_the_decomposition_of_the_kl_is_that_of_a_mixture),
    ),
    Mutation(
        "pixels without gradient counted though they are right",
        "clinic",
        "float(flat[wrong].mean())",
        "float(flat.mean())",
        of_a_diagnosis(test_diagnosis.test_pixels_that_are_wrong_and_cannot_learn_are_counted),
    ),
    Mutation(
        "variance of decoded pixels over pixels",
        "clinic",
        "np.var(decoded, axis=0).mean()",
        "np.var(decoded)",
        of_a_diagnosis(test_diagnosis.test_the_decoder_of_a_linear_model_varies_over_the_prior_as_its_weights_say),
    ),
    Mutation(
        "networks not put back",
        "clinic",
        "other = object.__new__(type(model))",
        "other = model",
        of_a_diagnosis(test_diagnosis.test_a_model_whose_loss_fails_midway_is_left_as_it_was, 1),
    ),
    Mutation(
        "other threads asked to use the stand-ins",
        "clinic",
        "other = object.__new__(type(model))",
        "other = model",
        of_a_diagnosis(test_diagnosis.test_another_thread_gets_the_numbers_of_the_model_itself, None, "VAE"),
    ),
    Mutation(
        "methods that are attributes left with the networks of the model",
        "clinic",
        "MethodType(value.__func__, other)",
        "value",
        refused_is_failed(
            of_a_diagnosis(test_diagnosis.test_methods_that_a_model_keeps_as_attributes_speak_of_the_stand_ins)
        ),
    ),
    Mutation(
        "β = 1/d not told from any small β",
        "clinic",
        "elif near(beta, 1 / d):",
        "elif near(beta, 1 / pixels):",
        of_a_diagnosis(
            test_diagnosis.test_a_weight_is_named_by_what_it_amounts_to_in_whatever_unit_the_loss_is,
            0.2,
            5,
            "kl weight 1/d",
            1,
        ),
    ),
    Mutation(
        "a report that obeys what it shows",
        "clinic",
        "html.escape(text) for text in texts",
        "text for text in texts",
        without_fixtures(test_diagnosis.test_html_shows_what_it_is_given_and_does_not_obey),
    ),
    Mutation(
        "latents not quite cut off",
        "course",
        "layers.Rescaling(0.0, offset=1.0)",
        "layers.Rescaling(1e-3, offset=1.0)",
        lambda tiny, binary: test_broken.test_a_decoder_ends_as_its_slip_says(binary[:16]),
    ),
    Mutation(
        "KL that was to be averaged summed",
        "course",
        "-log_likelihood + kl / vae.latent_dim",
        "-log_likelihood + kl",
        lambda tiny, binary: test_broken.test_a_loss_has_the_weights_of_its_slip(
            binary[:16], "kl averaged", 1, 1 / specimens.LATENT_DIM
        ),
    ),
]


test_a_slip_is_noticed, test_without_the_slip_its_test_passes = both_tests_of(MUTATIONS)
