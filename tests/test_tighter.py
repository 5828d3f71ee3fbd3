"""The chapter on training on the tighter bound: what its control is, and that its words are those of its numbers."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tools import chapters
from vaecourse import VAE, ImportanceWeightedVAE, course, networks, objectives

CHAPTER = chapters.read(chapters.ROOT / "book" / "chapters" / "tighter.ipynb")
WORDS = "\n\n".join(cell.source for cell in CHAPTER.cells if cell.cell_type == "markdown")
CONTROL = ("ELBO", 5)


def built(objective, changes=()):
    """Build a model as the chapter's cell does, with changes of its text."""
    (source,) = [cell.source for cell in chapters.code_cells(CHAPTER) if cell.source.startswith("def build(")]
    for right, wrong in changes:
        assert source.count(right) == 1
        source = source.replace(right, wrong)
    names = {"networks": networks, "VAE": VAE, "ImportanceWeightedVAE": ImportanceWeightedVAE}
    exec(source, names)
    return names["build"](objective, 0, latent_dim=3, hidden=(8,))


def assert_has_the_samples_and_not_the_bound(control, x):
    """The control is the ELBO, averaged over as many draws of the noise as the tighter bound is made of."""
    five = built(("IWAE", 5))
    assert control.samples == five.samples == 5
    for one, other in zip(control.get_weights(), five.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    eps = tf.random.stateless_normal((5, len(x), 3), seed=(0, 0))
    mean, logvar = control.posterior_parameters(x)
    log_likelihood = np.mean([control.log_likelihood(x, objectives.reparameterize(mean, logvar, e)) for e in eps], 0)
    elbo = log_likelihood - objectives.analytic_kl(mean, logvar).numpy()
    np.testing.assert_allclose(-control.objective(x, None, eps)["loss"], elbo, rtol=1e-5)
    of_five = five.objective(x, None, eps)
    assert np.all(of_five["bound"] > of_five["elbo"])


def test_the_control_has_the_samples_and_not_the_bound(binary):
    assert_has_the_samples_and_not_the_bound(built(CONTROL), binary[:4])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('kl="analytic", samples=samples', 'kl="analytic"'),
        ('return VAE(*parts, kl="analytic", samples=samples, seed=seed)', "pass"),
        ('kl="analytic"', 'kl="monte_carlo"'),
    ],
)
def test_another_control_is_noticed(binary, right, wrong):
    with pytest.raises(AssertionError):
        assert_has_the_samples_and_not_the_bound(built(CONTROL, [(right, wrong)]), binary[:4])


def test_the_words_on_the_long_trainings_are_those_of_their_numbers():
    measured = course.long_runs()
    of_bound, of_both, of_samples = (measured["differences of log p(x)"][name] for name in (
        "IWAE, K = 5 − ELBO, 5 samples", "IWAE, K = 5 − IWAE, K = 1", "ELBO, 5 samples − IWAE, K = 1",
    ))  # fmt: skip
    for value, error in (of_bound, of_samples):
        assert f"{value:.2f} ± {error:.2f} nats" in WORDS
        assert value > 3 * error
    assert f"mostly the bound's: {of_bound[0]:.1f} of {of_both[0]:.1f} nats" in WORDS
    active = {run["name"]: run["active latents"] for run in measured["runs"]}
    assert f"{active['IWAE, K = 5']} against {active['ELBO, 5 samples']} after" in WORDS
    assert active["IWAE, K = 1"] == active["ELBO, 5 samples"] < active["IWAE, K = 5"]


def test_the_words_on_the_short_trainings_are_those_of_their_outputs():
    """In one and two epochs the samples gain more than twice what the bound gains; after six, still more than it."""
    printed = "".join(o.get("text", "") for cell in chapters.code_cells(CHAPTER) for o in cell.outputs)
    rows = re.findall(
        r"(\d) epochs: five samples in place of one \[(.*?)\]; the bound in place of the ELBO \[(.*?)\]", printed
    )
    gains = {int(n): [np.mean([float(v) for v in of.split()]) for of in both] for n, *both in rows}
    assert set(gains) == {1, 2, 6}
    assert all(of_samples > 2 * abs(of_bound) for of_samples, of_bound in gains.values())
    assert gains[6][0] < gains[2][0] < gains[1][0]
    assert "In one or two epochs most of the gain is that of the samples" in WORDS
