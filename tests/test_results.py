"""The tables of results and of numbers to compare with: made from what the chapters have printed."""

import nbformat
import numpy as np
import pytest

from tools import chapters, numbers
from vaecourse import data


@pytest.mark.parametrize("name", numbers.TABLES)
def test_every_table_can_be_made(name):
    head, rule, *rows = numbers.table(name).splitlines()
    assert len(rows) >= 3
    assert {line.count(" | ") for line in (head, rule, *rows)} == {head.count(" | ")}


def test_every_table_stands_on_the_page():
    page = (chapters.ROOT / "book" / "reference" / "numbers.md").read_text(encoding="utf-8")
    for name in numbers.TABLES:
        assert f"```{{numbers-table}} {name}\n```" in page


def test_a_standard_error_says_over_what():
    for name in ("thresholded", "drawn", "coins", "densities", "levels"):
        head, _, *rows = (line.strip("| \n").split(" | ") for line in numbers.table(name).splitlines())
        for row in rows:
            cells = dict(zip(head, row, strict=True))
            assert cells["± over"].strip() or "±" not in "".join(row), row


def test_conversions_are_right():
    table = numbers.conversions()
    nats_per_pixel, bits_per_pixel = 100 / 784, 100 / 784 / np.log(2)
    assert f"{nats_per_pixel:.4f}" in table
    assert f"{bits_per_pixel:.3f}" in table
    assert f"{784 * np.log(2):.2f}" in table


def test_constants_are_those_of_a_normal_distribution():
    from scipy import stats

    table = numbers.constants()
    for sigma in numbers.SIGMAS:
        constant = -784 * stats.norm(scale=sigma).logpdf(0.0)
        assert f"| {constant:+,.2f} |".replace("-", "−") in table


def test_baselines_by_digit_are_those_of_mnist():
    try:
        images = data.load("mnist")
    except (ConnectionError, FileNotFoundError) as error:
        pytest.skip(str(error))
    train, test = (data.binarize(data.scale(x)).reshape(len(x), -1) for x in (images.train_images, images.test_images))
    shares = np.stack([train[images.train_labels == digit].mean(axis=0, dtype=np.float64) for digit in range(10)])
    shares = shares.clip(1e-4, 1 - 1e-4)
    log_likelihoods = test @ np.log(shares.T) + (1 - test) @ np.log1p(-shares.T)
    given = log_likelihoods[np.arange(len(test)), images.test_labels]
    prior = np.log(np.bincount(images.train_labels) / len(train))
    mixture = np.logaddexp.reduce(log_likelihoods + prior, axis=1)
    measured = {"the digit is given": -given.mean(), "a mixture over the digits": -mixture.mean()}
    assert measured == pytest.approx(numbers.CLASS_CONDITIONAL, abs=0.006)


def test_a_number_is_what_the_chapter_printed_once(monkeypatch, tmp_path):
    monkeypatch.setattr(chapters, "ROOT", tmp_path)
    path = tmp_path / "book" / "chapters" / "some.ipynb"
    path.parent.mkdir(parents=True)
    printed = nbformat.v4.new_output("stream", text="cost: 5.5 ± 0.5\ntest ELBO -1.00 ± 0.25; more\n")
    cell = nbformat.v4.new_code_cell("", metadata={"tags": ["measured-it"]}, outputs=[printed])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert numbers.printed("some", r"^cost: ([\d.]+ ± [\d.]+)$") == ("5.5\u00a0±\u00a00.5",)
    assert numbers.measured("some", "it") == "−1.00\u00a0±\u00a00.25"
    with pytest.raises(ValueError, match="0 times; expected once"):
        numbers.printed("some", "price")
    with pytest.raises(ValueError, match="2 times; expected once"):
        numbers.printed("some", "±")
    with pytest.raises(ValueError, match="no test ELBO of other"):
        numbers.measured("some", "other")


def test_an_error_over_seeds_shrinks_with_their_number():
    text, over = numbers.over_seeds("time-to-result", "fast")
    mean, error = (float(part.replace("−", "-")) for part in text.split("\u00a0±\u00a0"))
    assert over == "5 seeds"
    assert -158 < mean < -155
    assert 0 < error < 0.5
