"""The tests, tested, of the weight of the KL and of its parts."""

import test_aggregate
import test_schedules
from mutations import Mutation, both_tests_of, without_fixtures

from vaecourse import VAE, networks


def of_images(test, *arguments):
    return lambda tiny, binary: test(binary[:60], *arguments)


def of_parts(test):
    return lambda tiny, binary: test(VAE(*networks.mlp(3, hidden=(8,), initial_deviation=0.4, seed=0)), binary[:40])


THE_LOOP = of_images(test_schedules.test_a_step_weighs_the_kl_by_the_number_of_batches_before_it)
THE_DENSITY = without_fixtures(test_aggregate.assert_the_density_is_that_of_a_mixture)

MUTATIONS = [
    Mutation(
        "a schedule that is not followed",
        "training.schedules",
        "        self.model.kl_weight.assign(weight)\n",
        "        pass\n",
        THE_LOOP,
    ),
    Mutation(
        "a schedule one batch late",
        "training.schedules",
        "weight = float(self.weight(step))",
        "weight = float(self.weight(max(0, step - 1)))",
        THE_LOOP,
    ),
    Mutation(
        "a weight that stays after the training",
        "training.schedules",
        "    def on_train_end(self, logs: Any = None) -> None:\n        self.model.kl_weight.assign(1.0)",
        "    def on_train_end(self, logs: Any = None) -> None:\n        pass",
        of_images(test_schedules.test_a_loop_of_ones_own_can_drive_a_schedule),
    ),
    Mutation(
        "a cycle that does not begin again",
        "training.schedules",
        "min(1.0, step % batches / (rise * batches))",
        "min(1.0, step / (rise * batches))",
        without_fixtures(test_schedules.test_cycles_climb_and_wait, 4, 0.0),
    ),
    Mutation(
        "a mixture that is not divided by its number",
        "measures.aggregate",
        "return np.concatenate(parts) - np.log(len(mean))",
        "return np.concatenate(parts)",
        THE_DENSITY,
    ),
    Mutation(
        "a mixture of variances taken for deviations",
        "measures.aggregate",
        "(z[:, np.newaxis] - mean) * np.exp(-0.5 * logvar)",
        "(z[:, np.newaxis] - mean) * np.exp(-logvar)",
        THE_DENSITY,
    ),
    Mutation(
        "the prior in the place of the mixture",
        "measures.aggregate",
        "return log_q - aggregate, aggregate - log_prior, aggregate - each, each - log_prior",
        "return log_q - log_prior, aggregate - log_prior, aggregate - each, each - log_prior",
        of_parts(test_aggregate.test_the_parts_add_up_to_the_kl_at_the_same_samples),
    ),
]

test_a_slip_is_noticed, test_without_the_slip_its_test_passes = both_tests_of(MUTATIONS)
