"""The results as tables in Markdown."""

import itertools
import json
import re
from pathlib import Path

import numpy as np

from benchmarks import anatomy, measurements, targets
from tools import chapters
from tools.tables import markdown

RESULTS = Path(__file__).with_name("results.json")
"""What was measured on the machine that the page speaks of; other machines have files beside it, in `machines`."""
HEAD_OF_TARGETS = ("Target", "Asked for")
HEAD_OF_CONTENDERS = ("Contender", "Images per second", "Range", "Before it runs", "Peak memory")


def results() -> dict:
    """Return what was measured last, or nothing."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def file_of(machine: str) -> Path:
    """Return the file for what is measured on a machine, which is named by its processor."""
    if results().get("machine", machine) == machine:
        return RESULTS
    name = re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-")
    return RESULTS.with_name("machines") / f"{name}.json"


def of_other_machines() -> list[dict]:
    """Return what was measured on every machine but that of the page."""
    paths = sorted(RESULTS.with_name("machines").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def beside(results: dict) -> list[dict]:
    """Return these results, and those of every other machine."""
    name = results.get("machine")
    return [results, *(other for other in of_other_machines() if other["machine"] != name)]


def throughputs(results: dict) -> dict:
    """Return what was measured of throughput, by network and batch."""
    return {job: results[job] for job in measurements.JOBS if job in results}


def title(job: str) -> str:
    """Return how a network and its batch are called where they are read."""
    return f"{measurements.JOBS[job].network}, batches of {measurements.JOBS[job].batch_size}"


def of_targets(results: dict) -> str:
    """Return the table of the targets, with a column for each machine."""
    machines = beside(results)
    verdicts = [targets.verdicts(machine) for machine in machines]
    rows = [
        (*first[:2], *(" ".join(filter(None, verdict[2:])) for verdict in (first, *others)))
        for first, *others in zip(*verdicts, strict=True)
    ]
    return markdown((*HEAD_OF_TARGETS, *(machine.get("machine", "here") for machine in machines)), rows)


def of_throughput(results: dict, job: str) -> str:
    """Return the table of the contenders for one network and batch, the fastest first."""
    measured = results[job]
    order = sorted(measured["contenders"].items(), key=lambda item: -item[1]["images per second"]["median"])
    rows = [
        (
            name,
            f"{contender['images per second']['median']:,.0f}",
            "{:,.0f} to {:,.0f}".format(*contender["images per second"]["range"]),
            f"{max(contender['seconds before it runs'], 0):.1f} s",
            f"{contender['peak memory in MB']:,.0f} MB",
        )
        for name, contender in order
    ]
    return markdown(HEAD_OF_CONTENDERS, [*rows, *((name, "not installed", "", "", "") for name in measured["missing"])])


def of_machines(results: dict) -> str:
    """Return images per second on every machine, the share of those of `VAE.fit`, and the processor time, if known."""
    machines = beside(results)
    rows = [
        (title(job), name, *(_beside(machine, job, name) for machine in machines))
        for job, of in measurements.JOBS.items()
        for name in measurements.CONTENDERS[of.network]
    ]
    return markdown(("Network", "Contender", *(machine["machine"] for machine in machines)), rows)


def _beside(machine: dict, job: str, name: str) -> str:
    contenders = machine.get(job, {}).get("contenders", {})
    if name not in contenders:
        return ""
    rate = contenders[name]["images per second"]["median"]
    text = f"{rate:,.0f}, {rate / contenders['VAE.fit']['images per second']['median']:.2f} of ours"
    busy = contenders[name].get("CPU seconds per 1,000 images")
    return f"{text}, {busy['median']:.2f} s CPU per 1,000" if busy else text


def of_roofline(results: dict) -> str:
    """Return, for every network and batch, the share of the matrix products' rate that `VAE.fit` uses."""
    rows = []
    for job, measured in throughputs(results).items():
        for name, precision in (("VAE.fit", "float32"), ("VAE.fit, bfloat16", "bfloat16")):
            if name in measured["contenders"]:
                rate = measured["contenders"][name]["images per second"]["median"]
                ceiling = measured["GFLOP/s"][precision]["median"]
                share = rate * measured["MFLOP per image"] / 1e3 / ceiling
                rows.append(
                    (title(job), precision, f"{measured['MFLOP per image']:.1f}", f"{ceiling:,.0f}", f"{share:.0%}")
                )
    return markdown(("Network", "Precision", "MFLOP per image", "Matrix products, GFLOP/s", "Share used"), rows)


def of_anatomy(results: dict) -> str:
    """Return the seconds of every piece of a training step, and the median share of those of `VAE.fit` in the round."""
    rows = []
    for job, pieces in results["anatomy"].items():
        whole = np.array(pieces["fit"])
        shares = [f"{np.median(of):.3f} s, {np.median(of / whole):.0%}" for of in map(np.array, pieces.values())]
        rows.append((title(job), *shares))
    return markdown(("Seconds for 1,000 images", *anatomy.PIECES.values()), rows)


def of_quality(results: dict) -> str:
    """Return the test ELBO after 1, 2, 5 and 10 epochs, of the tutorial's loop and of the improved recipe."""

    def column(trainings: list, epochs: int) -> str:
        values = [mark["elbo"] for training in trainings for mark in training if mark["epochs"] == epochs]
        spread = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
        return f"{sum(values) / len(values):.1f}{spread}".replace("-", "−")

    quality = {"tutorial": results["time-to-result"]["tutorial"], "improved": results["epochs"]["improved"]}
    rows = [
        (str(epochs), *(column(quality[name], epochs) for name in ("tutorial", "improved"))) for epochs in (1, 2, 5, 10)
    ]
    return markdown(("Epochs", "The tutorial's loop", "`tf-cvae-improved`, its schedule as long"), rows)


def of_fast(results: dict) -> str:
    """Return seconds and test ELBO of every seed, for the fast recipe and the tutorial's ten epochs."""
    columns = [
        [f"{training[-1]['seconds']:.1f} s, {training[-1]['elbo']:.2f}".replace("-", "−") for training in of]
        for of in (results["time-to-result"][name] for name in ("fast", "tutorial"))
    ]
    rows = [(str(seed), *texts) for seed, texts in enumerate(itertools.zip_longest(*columns, fillvalue=""))]
    return markdown(("Seed", "`tf-cvae-fast`", "The tutorial's ten epochs"), rows)


def of_schedule(results: dict) -> str:
    """Return the validation ELBOs of all schedules, the best first, and the test ELBOs of what was chosen."""
    found = results["schedule"]
    order = sorted(found["candidates"], key=lambda each: -sum(each["validation"]))
    rows = [(f"peak {each['peak']:g}, climb {each['climb']:.0%}", "validation", each["validation"]) for each in order]
    certified = [training["elbo"] for training in found["certified"]]
    rows.append(("the first of them, on fresh seeds", "test", certified))
    return markdown(("Schedule", "Images", "ELBO, by seed"), ((*row, _listed(elbos)) for *row, elbos in rows))


def of_ten_epochs(results: dict) -> str:
    """Return the validation ELBO of every way to train for ten epochs, and the test ELBOs of the best."""
    found = results["ten-epochs"]
    order = sorted(found["validation"].items(), key=lambda item: -item[1]["elbo"])
    rows = [(name, "validation", f"{of['seconds']:.0f} s", _listed([of["elbo"]])) for name, of in order]
    seconds = " ".join(f"{training['seconds']:.0f}" for training in found["test"]) + " s"
    rows.append((found["chosen"], "test", seconds, _listed([training["elbo"] for training in found["test"]])))
    return markdown(("Optimizer and gradient", "Images", "Training", "ELBO, by seed"), rows)


def _listed(elbos: list[float]) -> str:
    return ", ".join(f"{elbo:.2f}" for elbo in elbos).replace("-", "−")


def of_log_likelihoods(results: dict) -> str:
    """Return the seconds, and those of all processors together, that log p(x) takes."""
    names = {"exact": "10,000 images, a grid of 256² points", "by_samples": "1,000 images, 5,000 samples each"}
    rows = [
        (names[key], f"{found['seconds']:.1f} s", f"{found['CPU seconds']:.0f} s")
        for key, found in results["log-likelihoods"].items()
    ]
    return markdown(("", "Seconds", "Of all processors"), rows)


def of_workers(results: dict) -> str:
    """Return images per second of every layout of workers and threads, and the gain within rounds over the first."""
    rows = []
    for job, rates in results["workers"].items():
        one = np.array(next(iter(rates.values())))
        gains = [f"{np.median(rate):,.0f}, {np.median(rate / one):.2f} ×" for rate in map(np.array, rates.values())]
        rows.append((job, *gains))
    return markdown(("Images per second", *next(iter(results["workers"].values()))), rows)


def of_scaling(results: dict) -> str:
    """Return seconds by images and by samples of z, and the peak memory."""
    seconds = results["scaling"]["seconds"]
    rows = [
        (what, ", ".join(f"{int(n):,}: {time['median']:.2f} s" for n, time in seconds[key].items()))
        for what, key in (("an epoch, by images", "images"), ("2,000 images, by samples", "samples"))
    ]
    memory = results["scaling"]["memory in MB, at first and 20 epochs later"]
    rows.append(("peak memory", "{:,.0f} MB; after twenty further epochs {:,.0f} MB".format(*memory)))
    return markdown(("", "Measured"), rows)


def of_chapters(results: dict) -> str:
    """Return how long every chapter took when it was last executed in full, from its own record."""
    read = [chapters.read(path) for path in chapters.paths()]
    minutes = [chapters.record(chapter).get("seconds", 0) / 60 for chapter in read]
    rows = [(chapters.title(chapter), f"{spent:.1f}") for chapter, spent in zip(read, minutes, strict=True)]
    return markdown(("Chapter", "Minutes in full"), [*rows, ("All", f"{sum(minutes):.1f}")])


def of_places(results: dict) -> str:
    """Return when, on what and with which versions the parts were measured, on every machine."""
    parts: dict[str, list[str]] = {}
    for machine in beside(results):
        for part, place in machine["measured"].items():
            parts.setdefault(place, []).append(part)
    return markdown(("Parts", "Measured"), ((", ".join(names), place) for place, names in parts.items()))


TABLES = {
    "targets": of_targets,
    "throughput": of_throughput,
    "roofline": of_roofline,
    "anatomy": of_anatomy,
    "quality": of_quality,
    "fast": of_fast,
    "schedule": of_schedule,
    "ten-epochs": of_ten_epochs,
    "log-likelihoods": of_log_likelihoods,
    "scaling": of_scaling,
    "workers": of_workers,
    "chapters": of_chapters,
    "measured": of_places,
    "machines": of_machines,
}


def table(name: str, *arguments: str) -> str:
    """Return a table of what was measured last, first of all on the machine of the page, or say that it was not."""
    for machine in (results(), *of_other_machines()):
        try:
            return TABLES[name](machine, *arguments)
        except KeyError as error:
            missing = error
    return f"Not measured yet: {missing}.\n"
