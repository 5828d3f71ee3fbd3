"""What is wanted, as ratios within one run, and whether it was met."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.measurements import linear_fit_error

PUBLISHED = -157.02
"""Test ELBO of the tutorial after its ten epochs, in nats :cite:p:`tfcvae`."""


@dataclass(frozen=True)
class Target:
    """A wish, and how its measure is taken from the results.

    Attributes
    ----------
    wish : str
    sense : {"≥", "≤"}
    bound : float
    unit : str
    measure : callable
        From the results to a number; `KeyError` where a part or a rival is missing.
    """

    wish: str
    sense: str
    bound: float
    unit: str
    measure: Callable[[dict], float]

    def verdict(self, results: dict) -> tuple[str, str, str, str]:
        """Return the wish, what it asks for, what was measured, and "met", "missed" or "not measured"."""
        asked = f"{self.sense} {self.bound:g}{self.unit}".replace("-", "−")
        try:
            value = self.measure(results)
        except KeyError:
            return self.wish, asked, "", "not measured"
        met = value >= self.bound if self.sense == "≥" else value <= self.bound
        return self.wish, asked, f"{value:.2f}{self.unit}".replace("-", "−"), "met" if met else "missed"


CONVOLUTIONAL, PERCEPTRON = "convolutional-32", "mlp-100"


def throughput_over(rival: str = "", half: bool = False, part: str = CONVOLUTIONAL) -> Callable[[dict], float]:
    """Return the measure: images per second of `VAE.fit` over those of the fastest rival whose name begins so.

    Where the rates of the rounds are known, it is the median over rounds: within a round all met the same machine.
    """

    def measure(results: dict) -> float:
        contenders = {
            name: contender for name, contender in results[part]["contenders"].items() if ("bfloat16" in name) == half
        }
        ours = contenders["VAE.fit, bfloat16" if half else "VAE.fit"]
        rivals = [
            contender
            for name, contender in contenders.items()
            if name.startswith(rival) and not name.startswith("VAE.fit")
        ]
        if not rivals:
            raise KeyError(rival)
        return min(_ratio(ours, each) for each in rivals)

    return measure


def _ratio(ours: dict, theirs: dict) -> float:
    rounds = [each.get("by round", []) for each in (ours, theirs)]
    if len(rounds[0]) == len(rounds[1]) > 0:
        return float(np.median(np.divide(*rounds)))
    return ours["images per second"]["median"] / theirs["images per second"]["median"]


def over_the_fastest_round_of_the_tutorial(results: dict) -> float:
    """Return images per second of the fastest round of `VAE.fit` over that of the tutorial's loop.

    It leaves out what `tf.data` makes that loop wait at the end of an epoch, which comes and goes.
    """
    contenders = results[CONVOLUTIONAL]["contenders"]
    ours, theirs = (contenders[name]["images per second"]["range"][1] for name in ("VAE.fit", "tutorial's loop"))
    return ours / theirs


def seconds(trainings: list) -> float:
    """Return the median seconds of whole trainings."""
    return float(np.median([training[-1]["seconds"] for training in trainings]))


def elbos(trainings: list) -> np.ndarray:
    """Return the test ELBOs after the last epoch."""
    return np.array([training[-1]["elbo"] for training in trainings])


def half_precision_gap(results: dict) -> float:
    """Return by how much the mean test ELBO of the fast recipe differs between bfloat16 and float32, in nats."""
    half, full = (elbos(results[part]["fast"]).mean() for part in ("half-precision", "time-to-result"))
    return abs(float(half - full))


def sooner(results: dict) -> float:
    """Return the time of the tutorial's ten epochs over that of the fast recipe."""
    return seconds(results["time-to-result"]["tutorial"]) / seconds(results["time-to-result"]["fast"])


def sooner_than_the_fastest_epochs(results: dict) -> float:
    """Return the same, each epoch of the tutorial as long as its fastest: without the waiting."""
    ends = [training[-1] for training in results["time-to-result"]["tutorial"]]
    tutorial = float(np.median([end["epochs"] * end["fastest epoch"] for end in ends]))
    return tutorial / seconds(results["time-to-result"]["fast"])


def memory_growth(results: dict) -> float:
    """Return by how much twenty further epochs raise the peak memory, in percent."""
    before, after = results["scaling"]["memory in MB, at first and 20 epochs later"]
    return 100 * (after / before - 1)


def import_cost(results: dict) -> float:
    """Return what `import vaecourse` costs over its two big parts, in percent."""
    return 100 * (results["imports"]["ours"]["median"] / results["imports"]["theirs"]["median"] - 1)


TARGETS = [
    Target("Time to −157.02 nats: the tutorial's ten epochs, over the fast recipe", "≥", 15, "×", sooner),
    Target("The same, with ten times the tutorial's fastest epoch", "≥", 15, "×", sooner_than_the_fastest_epochs),
    Target(
        "Lowest test ELBO of five fresh seeds, schedule chosen on validation images",
        "≥",
        PUBLISHED,
        " nats",
        lambda results: min(training["elbo"] for training in results["schedule"]["certified"]),
    ),
    Target(
        "Lowest test ELBO of the fast recipe, seeds 0 to 4",
        "≥",
        PUBLISHED,
        " nats",
        lambda results: float(elbos(results["time-to-result"]["fast"]).min()),
    ),
    Target("Convolutions, float32: throughput over the best rival", "≥", 1.2, "×", throughput_over()),
    Target("The same, over the tutorial's loop", "≥", 1.2, "×", throughput_over("tutorial")),
    Target("The same, fastest round over fastest round", "≥", 1.2, "×", over_the_fastest_round_of_the_tutorial),
    Target("The same, over Keras' default fit", "≥", 1.2, "×", throughput_over("Keras")),
    Target("The same, over the best float32 PyTorch", "≥", 1.2, "×", throughput_over("PyTorch")),
    Target("bfloat16: throughput over the best bfloat16 PyTorch", "≥", 1.05, "×", throughput_over("PyTorch", True)),
    Target("bfloat16: test ELBO apart from that of float32, mean of five seeds", "≤", 0.3, " nats", half_precision_gap),
    Target("Perceptron: throughput over the best rival", "≥", 1.1, "×", throughput_over(part=PERCEPTRON)),
    Target(
        "Perceptron: over the graph-era program as its source runs it",
        "≥",
        1.6,
        "×",
        lambda results: _ratio(*(results[PERCEPTRON]["contenders"][name] for name in ("VAE.fit", "graph-era program"))),
    ),
    Target(
        "Test ELBO of the tf-cvae network after ten epochs, mean of three seeds",
        "≥",
        -147.0,
        " nats",
        lambda results: float(np.mean([training["elbo"] for training in results["ten-epochs"]["test"]])),
    ),
    Target(
        "Exact log p(x) of 10,000 images on a grid of 256²",
        "≤",
        8,
        " s",
        lambda results: results["log-likelihoods"]["exact"]["seconds"],
    ),
    Target(
        "log p(x) of 1,000 images by 5,000 samples each",
        "≤",
        240,
        " s",
        lambda results: results["log-likelihoods"]["by_samples"]["seconds"],
    ),
    Target(
        "Time by images, 1,000 to 60,000: farthest from a straight line",
        "≤",
        10,
        " %",
        lambda results: 100 * linear_fit_error(results["scaling"]["seconds"]["images"]),
    ),
    Target(
        "Time by samples of z, 1 to 50: farthest from a straight line",
        "≤",
        10,
        " %",
        lambda results: 100 * linear_fit_error(results["scaling"]["seconds"]["samples"]),
    ),
    Target("Peak memory: growth over twenty further epochs", "≤", 1, " %", memory_growth),
    Target("`import vaecourse` over `import tensorflow, tensorflow_probability`", "≤", 5, " %", import_cost),
]


def verdicts(results: dict) -> Iterator[tuple[str, str, str, str]]:
    """Return the rows of the table of targets."""
    return (target.verdict(results) for target in TARGETS)
