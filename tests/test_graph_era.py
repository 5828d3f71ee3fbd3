"""The program of 2017: its formulas in numpy, its training written out, and no trace of it outside of its graph."""

import ast
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tools import chapters
from vaecourse import graph_era

D, HIDDEN, BATCH = 3, 8, 20
SMALL = {"latent_dim": D, "hidden_size": HIDDEN, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def images(grays):
    return grays[: 5 * BATCH].reshape(-1, graph_era.INPUT_SIZE)


@pytest.fixture
def started():
    """Return a function that builds a program and starts it; the sessions are closed after the test."""
    sessions = []

    def start(**options):
        program = graph_era.build(**SMALL | options)
        sessions.append(graph_era.start(program))
        return program, sessions[-1]

    yield start
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def idle():
    """A program that no test trains."""
    program = graph_era.build(**SMALL)
    session = graph_era.start(program)
    yield program, session
    session.close()


def noise(step: int, n: int = BATCH) -> np.ndarray:
    return np.random.default_rng(step).normal(size=(n, D))


def run_steps(program, session, images, steps) -> None:
    """Take optimizer steps with known noise, which a session's own would not be."""
    for step in steps:
        session.run(program.train_step, {program.x: images[:BATCH], program.eps: noise(step)})


def values(program, session) -> list[np.ndarray]:
    """Return everything that the program holds: weights, and what Adam remembers."""
    with program.graph.as_default():
        return session.run(tf.compat.v1.global_variables())


def assert_equal(one, other) -> None:
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)


# --- the formulas -------------------------------------------------------------------------------------------------


def in_numpy(weights, x, eps) -> dict[str, np.ndarray]:
    """Every quantity of the program, from the weights that the Keras networks would hold."""
    w1, b1, w2, b2, w3, b3 = weights["encoder"]
    v1, c1, v2, c2, v3, c3 = weights["decoder"]
    mean, logvar = np.split(expit(expit(x @ w1 + b1) @ w2 + b2) @ w3 + b3, 2, axis=1)
    z = mean + np.exp(logvar / 2) * eps
    x_hat = expit(expit(expit(z @ v1 + c1) @ v2 + c2) @ v3 + c3)
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
    return {"mean": mean, "logvar": logvar, "z": z, "x_hat": x_hat, "kl": kl}


@pytest.mark.parametrize("objective", graph_era.OBJECTIVES)
def test_every_quantity_is_that_of_its_formula(started, images, objective):
    program, session = started(objective=objective, dtype=tf.float64)
    x, eps = images[:BATCH].astype(np.float64), noise(0)
    expected = in_numpy(graph_era.weights(program, session), x, eps)
    x_hat = expected["x_hat"]
    per_pixel = {
        "squared_error": 2 * (x - x_hat) ** 2,
        "cross_entropy": -(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat)),
        "guarded_cross_entropy": -(x * np.log(1e-10 + x_hat) + (1 - x) * np.log(1e-10 + 1 - x_hat)),
    }[objective]
    expected["reconstruction_loss"] = per_pixel.sum(axis=1)
    expected["loss"] = (expected["reconstruction_loss"] + expected["kl"]).mean()
    measured = session.run({name: getattr(program, name) for name in expected}, {program.x: x, program.eps: eps})
    for name, value in expected.items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-10, atol=1e-13, err_msg=name)


def all_weights_zero_but_the_last_bias(program, value) -> dict[str, np.ndarray]:
    """Return what is fed for a decoder whose logits are all the same."""
    weights = {variable.name: np.zeros(variable.shape) for variable in program.variables}
    return weights | {program.variables[-1].name: np.full(graph_era.INPUT_SIZE, value)}


@pytest.mark.parametrize("logit", [5.0, 20.0, 25.0])
@pytest.mark.parametrize("guard", [0.0, 1e-10])
def test_ink_where_there_is_none_costs_its_logit_or_what_the_guard_allows(started, guard, logit):
    program, session = started(objective="guarded_cross_entropy" if guard else "cross_entropy", dtype=tf.float64)
    feed = {program.x: np.zeros((1, graph_era.INPUT_SIZE))} | all_weights_zero_but_the_last_bias(program, logit)
    cost, gradients = session.run([program.reconstruction_loss, program.gradients], feed)
    left = expit(-logit)  # the probability of no ink: at a logit of 25 rounded by 8e-6 of itself
    np.testing.assert_allclose(cost / graph_era.INPUT_SIZE, -np.log(guard + left), rtol=1e-7)
    np.testing.assert_allclose(gradients[-1], expit(logit) * left / (guard + left), rtol=1e-4)


@pytest.mark.parametrize(
    ("pixel", "logit", "cost"), [(1.0, -100.0, -np.log(1e-10)), (0.0, 100.0, np.inf), (1.0, 100.0, np.nan)]
)
def test_in_single_precision_the_guard_is_lost_in_the_second_logarithm(started, pixel, logit, cost):
    """There 10⁻¹⁰ + 1 is 1: an output of exactly 1 costs infinity, and no number at all where there is ink."""
    program, session = started(objective="guarded_cross_entropy")
    image = {program.x: np.full((1, graph_era.INPUT_SIZE), pixel)}
    feed = image | all_weights_zero_but_the_last_bias(program, logit)
    measured = session.run(program.reconstruction_loss, feed)
    np.testing.assert_allclose(measured / graph_era.INPUT_SIZE, [cost], rtol=1e-6)


def test_programs_that_differ_in_the_loss_alone_begin_with_the_same_weights_and_noise(started, images):
    programs = [started(objective=objective, seed=3) for objective in graph_era.OBJECTIVES]
    first, *others = (session.run([*p.variables, p.eps], {p.x: images}) for p, session in programs)
    for other in others:
        assert_equal(other, first)


def test_latents_can_be_fed_to_draw_pictures(idle, images):
    program, session = idle
    z, eps = session.run([program.z, program.eps], {program.x: images[:BATCH], program.eps: noise(0)})
    by_z = session.run(program.x_hat, {program.z: z})
    by_x = session.run(program.x_hat, {program.x: images[:BATCH], program.eps: eps})
    np.testing.assert_allclose(by_z, by_x, rtol=1e-6)


def test_every_run_has_noise_of_its_own_that_is_standard_normal(idle, images):
    program, session = idle
    draws = np.stack([session.run(program.eps, {program.x: np.tile(images, (20, 1))}) for _ in range(2)])
    for power, moment, spread in ((1, 0, 1), (2, 1, np.sqrt(2)), (4, 3, np.sqrt(96))):
        assert abs((draws**power).mean() - moment) < 4 * spread / np.sqrt(draws.size)
    assert abs((draws[0] * draws[1]).mean()) < 4 / np.sqrt(draws[0].size)


def test_initial_weights_are_truncated_normal_and_biases_begin_at_a_tenth(started):
    program, session = started(hidden_size=50)
    for values_of in session.run(program.variables):
        if values_of.ndim == 1:
            np.testing.assert_array_equal(values_of, np.float32(0.1))
        else:
            assert np.abs(values_of).max() <= 0.2
            # A normal distribution that is cut at two deviations has 0.880 of its deviation, and a kurtosis of 2.37.
            relative_error = np.sqrt((2.37 - 1) / 4 / values_of.size)
            np.testing.assert_allclose(values_of.std(), 0.08796, rtol=4 * relative_error)
            assert abs(values_of.mean()) < 4 * 0.08796 / np.sqrt(values_of.size)


def test_variables_are_made_in_the_graph_that_is_open():
    with tf.Graph().as_default() as graph:
        weight = graph_era.weight_variable((2, 3), tf.float64)
        bias = graph_era.bias_variable((3,), tf.float64)
        assert weight.graph is bias.graph is graph
    assert (tuple(weight.shape), tuple(bias.shape), weight.dtype.base_dtype) == ((2, 3), (3,), tf.float64)


def test_initial_weights_are_a_function_of_the_seed(started):
    first, again, other = (graph_era.weights(*started(seed=seed)) for seed in (1, 1, 2))
    for network in ("encoder", "decoder"):
        for one, same, different in zip(first[network], again[network], other[network], strict=True):
            np.testing.assert_array_equal(one, same)
            assert one.ndim == 1 or (one != different).any()


# --- training -----------------------------------------------------------------------------------------------------


class WithNoise:
    """A session in which noise is a function of how many steps there were."""

    def __init__(self, program, session):
        self.program, self.session, self.steps = program, session, 0

    def run(self, fetches, feed_dict):
        result = self.session.run(fetches, {**feed_dict, self.program.eps: noise(self.steps)})
        self.steps += fetches is self.program.train_step
        return result


def test_train_measures_the_loss_before_every_update_on_batches_without_remainder(started, images):
    (program, session), (other, by_hand) = started(), started()
    reported = []
    images = images[:-1]
    measured = graph_era.train(
        program, WithNoise(program, session), images, 2, BATCH, seed=5, on_epoch=lambda *epoch: reported.append(epoch)
    )
    rng, step, expected = np.random.default_rng(5), 0, []
    for _ in range(2):
        order, losses = rng.permutation(len(images)), []
        for chosen in np.split(order[: 4 * BATCH], 4):
            feed = {other.x: images[chosen], other.eps: noise(step)}
            losses.append(by_hand.run([other.loss, other.train_step, other.eps], feed)[0])
            step += 1
        expected.append(np.mean(losses))
    np.testing.assert_allclose(measured, expected, rtol=1e-6)
    assert reported == [(1, measured[0]), (2, measured[1])]
    assert_equal(values(program, session), values(other, by_hand))
    assert measured[1] < measured[0] - 10  # nats


def test_a_loss_is_measured_with_other_noise_than_the_step_that_follows_it(started, images):
    program, session = started()
    drawn = []

    class Watched:
        def run(self, fetches, feed_dict):
            result, eps = session.run([fetches, program.eps], feed_dict)
            drawn.append(eps)
            return result

    graph_era.train(program, Watched(), images, 1, BATCH)
    assert len(drawn) == 2 * len(images) // BATCH
    assert len(np.unique(np.concatenate(drawn))) == sum(eps.size for eps in drawn)


def test_without_a_learning_rate_nothing_is_trained(started, images):
    program, session = started(learning_rate=0.0)
    before = session.run(program.variables)
    (loss,) = graph_era.train(program, WithNoise(program, session), images[:BATCH], 1, BATCH)
    assert_equal(session.run(program.variables), before)
    order = np.random.default_rng(0).permutation(BATCH)
    again = session.run(program.loss, {program.x: images[order], program.eps: noise(0)})
    assert loss == pytest.approx(again, rel=1e-6)


@pytest.mark.parametrize("objective", ["cross_entropy", "guarded_cross_entropy"])
def test_the_cross_entropies_are_trained_too(started, images, objective):
    program, session = started(objective=objective)
    losses = graph_era.train(program, session, images, 3, BATCH)
    assert losses[-1] < losses[0] - 10  # nats


def test_two_programs_live_side_by_side(started, images):
    (one, of_one), (other, of_other) = started(seed=1), started(seed=2)
    for step in range(3):
        run_steps(one, of_one, images, [step])
        run_steps(other, of_other, images, [step])
    for seed, program, session in ((1, one, of_one), (2, other, of_other)):
        alone, of_alone = started(seed=seed)
        run_steps(alone, of_alone, images, range(3))
        assert_equal(values(program, session), values(alone, of_alone))


# --- checkpoints --------------------------------------------------------------------------------------------------


def test_a_restored_program_continues_where_it_was_saved(started, images, tmp_path):
    program, session = started(seed=1)
    run_steps(program, session, images, range(3))
    name = graph_era.save(program, session, tmp_path / "vae")
    saved = values(program, session)
    run_steps(program, session, images, range(3, 6))
    for other, fresh in (started(seed=2), (program, session)):
        graph_era.restore(other, fresh, name)
        assert_equal(values(other, fresh), saved)
    continued, again = started(seed=2)
    graph_era.restore(continued, again, tmp_path / "vae")
    for one, of_one in ((program, session), (continued, again)):
        run_steps(one, of_one, images, range(3, 6))
    assert_equal(values(continued, again), values(program, session))


def test_what_adam_remembers_is_part_of_a_checkpoint(started, images, tmp_path):
    program, session = started()
    run_steps(program, session, images, range(2))
    assert graph_era.save(program, session, tmp_path / "vae") == program.saver.last_checkpoints[-1]
    shapes = dict(tf.train.list_variables(str(tmp_path / "vae")))
    slots = [name for name in shapes if name.endswith(("/Adam", "/Adam_1"))]
    assert len(slots) == 2 * len(program.variables)
    assert len(shapes) == 3 * len(program.variables) + 2  # and the two powers of its decay rates


def test_a_checkpoint_that_is_not_there_is_missed_and_nothing_is_lost(idle, tmp_path):
    program, session = idle
    before = values(program, session)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        graph_era.restore(program, session, tmp_path / "vae")
    assert_equal(values(program, session), before)


# --- errors, and the world outside --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x.reshape(-1, 28, 28, 1), r"shape \(n, 784\), got \(100, 28, 28, 1\)"),
        (lambda x: x[0], "shape"),
        (lambda x: x[:, :-1], "shape"),
        (lambda x: 255 * x, "vaecourse.data.scale"),
        (lambda x: x - 0.1, r"grays in \[0, 1\]"),
        (lambda x: np.where(x > 0, np.nan, x), r"grays in \[0, 1\]"),
        (lambda x: x[: BATCH - 1], "batches of 1 to 19 images, got batch_size=20"),
    ],
)
def test_images_that_cannot_be_trained_on_are_refused(idle, images, spoil, message):
    program, session = idle
    before = values(program, session)
    with pytest.raises(ValueError, match=message):
        graph_era.train(program, session, spoil(images), 1, BATCH)
    assert_equal(values(program, session), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"objective": "mse"},
            "unknown objective 'mse'; there are squared_error, cross_entropy, guarded_cross_entropy",
        ),
        ({"latent_dim": 0}, "at least one latent"),
        ({"hidden_size": 0}, "one hidden unit"),
    ],
)
def test_programs_that_cannot_be_built_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        graph_era.build(**options)


def test_outside_of_the_graph_everything_is_eager(started, images, tmp_path):
    program, session = started()
    assert isinstance(program, graph_era.Program)
    assert {program.initializer.graph, program.train_step.graph, program.x.graph} == {program.graph}
    graph_era.train(program, session, images, 1, BATCH)
    graph_era.restore(program, session, graph_era.save(program, session, tmp_path / "vae"))
    assert tf.executing_eagerly()
    assert float(tf.constant(1.0) + 1) == 2
    assert tf.compat.v1.get_default_session() is None
    assert tf.compat.v1.get_default_graph() is not program.graph


def test_in_a_fresh_process_the_program_is_silent_and_leaves_eager_execution_on(tmp_path):
    program = (
        "import numpy as np, tensorflow as tf; from vaecourse import graph_era as era;"
        "program = era.build(hidden_size=4); session = era.start(program);"
        "era.train(program, session, np.zeros((4, 784)), 1, batch_size=2);"
        f"era.restore(program, session, era.save(program, session, {str(tmp_path / 'vae')!r})); session.close();"
        "print(tf.executing_eagerly(), float(tf.constant(1.0)))"
    )
    program = "import vaecourse;" + program  # which mutes the import of TensorFlow
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True 1.0\n", "")


# --- the chapter --------------------------------------------------------------------------------------------------


CHAPTER = chapters.read(chapters.ROOT / "book" / "chapters" / "graph-era.ipynb")
WORDS = "\n\n".join(cell.source for cell in CHAPTER.cells if cell.cell_type == "markdown")


def test_what_the_program_reaches_comes_before_the_graph_and_the_graph_before_the_port():
    parts = (
        "What the program reaches",
        "Graphs and sessions",
        "The VAE as a TensorFlow 1",
        "Porting",
        "Testing the port",
    )
    places = [WORDS.index(f"\n## {part}") for part in parts]
    assert places == sorted(places)
    text = "\n\n".join(cell.source for cell in CHAPTER.cells)
    assert text.index("fig, ax = plt.subplots()") < text.index("## Graphs and sessions")


def test_the_words_of_the_source_are_explained_and_its_last_wish_leads_to_a_chapter():
    for words in (
        "loss.eval(feed_dict=…)",
        "train_step.run(feed_dict=…)",
        "InteractiveSession",
        "davidz_vae_150_epochs",
    ):
        assert f"`{words}`" in WORDS
    code = "\n".join(cell.source for cell in chapters.code_cells(CHAPTER))
    assert "program.loss.eval(feed_dict=" in code
    assert "program.train_step.run(feed_dict=" in code
    last = WORDS.split("## What comes next")[1]
    assert "normalizing flow" in last
    assert "does this" in last
    assert "has not come" not in WORDS


def test_exercises_are_of_three_kinds():
    exercises = WORDS.split("## Exercises")[1]
    kinds = re.findall(r"^\*\*\d+\.\*\* \*(\w+)\.\*", exercises, re.MULTILINE)
    assert 6 <= len(kinds) <= 8
    assert set(kinds) == {"Check", "Derive", "Experiment"}


@pytest.fixture(scope="module")
def columns():
    """Return both programs of the table, as text."""
    (cell,) = [cell for cell in chapters.code_cells(CHAPTER) if cell.source.startswith("listing = {")]
    listing = ast.literal_eval(cell.source.removeprefix("listing = "))
    return ["\n".join(column) for column in zip(*listing.values(), strict=True)]


@pytest.fixture(scope="module")
def of_2017(columns, grays):
    given = {"batch": grays[:10].reshape(10, -1), "noise": np.random.default_rng(4).normal(size=(10, 20)).astype("f")}
    names = {"tf": tf.compat.v1, **given}
    with tf.Graph().as_default():
        exec(columns[0], names)
    return names


def of_2026(column, of_2017) -> dict:
    initializers = keras.initializers
    names = {"Adam": keras.optimizers.Adam, "Dense": keras.layers.Dense, "Sequential": keras.Sequential}
    names |= {"TruncatedNormal": initializers.TruncatedNormal, "Constant": initializers.Constant, "tf": tf}
    names |= {name: of_2017[name] for name in ("batch", "noise", "initial")}
    exec(column, names)
    return names


def agree(one: dict, other: dict) -> bool:
    results = [[np.asarray(names[name]) for name in ("before", "after", "picture", "drawn")] for names in (one, other)]
    return all(np.abs(a - b).max() < 1e-4 * np.abs(a).max() for a, b in zip(*results, strict=True))


def test_the_two_programs_of_the_table_agree(columns, of_2017):
    assert agree(of_2017, of_2026(columns[1], of_2017))
    assert tf.executing_eagerly()


@pytest.mark.parametrize(
    ("original", "slip"), [("tf.sqrt(tf.exp(logvar))", "tf.exp(logvar)"), ("1) / 0.5", "1)"), ("1e-3", "1e-2")]
)
def test_a_slip_in_the_port_of_the_table_is_noticed(columns, of_2017, original, slip):
    assert columns[1].count(original) == 1
    assert not agree(of_2017, of_2026(columns[1].replace(original, slip), of_2017))


def test_the_lines_of_the_table_fit_beside_each_other(columns):
    assert max(map(len, "\n".join(columns).splitlines())) <= 58
