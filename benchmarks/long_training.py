"""`python -m benchmarks.long_training FOLDER [name ...]`: one longer training of each objective of a chapter.

The importance-weighted bound of one sample and of five, and the ELBO with five samples, on the same network, batches,
schedule and number of epochs.  About half an hour on one idle thread.  What is measured of each image stays in the
folder, so that the trainings may run one by one, and the numbers in `vaecourse/course/long_training.json`, from which
the chapter on tighter bounds reads them.
"""

import argparse
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import time
from pathlib import Path

import keras
import numpy as np

from vaecourse import VAE, data, measures, models, networks, training

FILE = Path(__file__).parents[1] / "vaecourse" / "course" / "long_training.json"
PACKAGES = ("tensorflow", "keras", "numpy", "tensorflow-probability")
SETTINGS = {
    "latents": 50,
    "hidden": [200, 200],
    "activation": "tanh",
    "batch": 50,
    "peak": 2e-3,
    "warmup": 0.05,
    "schedule": "cosine",
    "epochs": 40,
    "training images": 60_000,
    "seed": 0,
    "curve": {"every": 5, "samples": 50},
    "log p(x)": {"level": 5, "climb": 5000, "every": 25},
}
RUNS = ("IWAE, K = 5", "ELBO, 5 samples", "IWAE, K = 1")
AT = (1, 2, 4, 6, 10, 15, 20, 30, 40)


def build(name: str) -> VAE:
    """Return an untrained model of one of the objectives, named by its last figure's number of samples."""
    parts = networks.mlp(SETTINGS["latents"], tuple(SETTINGS["hidden"]), SETTINGS["activation"], seed=SETTINGS["seed"])
    if name.startswith("ELBO"):
        return VAE(*parts, kl="analytic", samples=5, seed=SETTINGS["seed"])
    return models.ImportanceWeightedVAE(*parts, samples=int(name[-1]), seed=SETTINGS["seed"])


class Curve(keras.callbacks.Callback):
    """The bound of fifty samples on a part of the test images, after some of the epochs."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__()
        self.images, self.found, self.spent = images, {}, 0.0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch + 1 not in AT:
            return
        before = time.process_time()
        bound = measures.importance_log_likelihood(self.model, self.images, SETTINGS["curve"]["samples"])
        self.found[epoch + 1] = estimate(bound)
        self.spent += time.process_time() - before
        print(epoch + 1, self.found[epoch + 1], flush=True)


def run(name: str, grays: np.ndarray, test: np.ndarray) -> tuple[dict, np.ndarray, np.ndarray]:
    """Train, and return what was measured, the bound of five samples, and its climb to five thousand on some images."""
    vae, start, curve = build(name), training.EpochStart(), Curve(test[:: SETTINGS["curve"]["every"]])
    steps = SETTINGS["epochs"] * -(-len(grays) // SETTINGS["batch"])
    vae.compile(training.Adam(training.cosine_decay(SETTINGS["peak"], steps, warmup=SETTINGS["warmup"])))
    batches = data.binarized_batches(grays, SETTINGS["batch"], seed=SETTINGS["seed"], step=start.step)
    before = time.process_time()
    vae.fit(batches, epochs=SETTINGS["epochs"], callbacks=[start, curve], verbose=0)
    seconds = time.process_time() - before - curve.spent
    rule = SETTINGS["log p(x)"]
    level = measures.importance_log_likelihood(vae, test, rule["level"])
    some = slice(None, None, rule["every"])
    climb = measures.importance_log_likelihood(vae, test[some], rule["climb"]) - level[some]
    means = np.concatenate([vae.posterior_parameters(part)[0] for part in np.array_split(test, 20)])
    found = {
        "name": name,
        "seconds of training": round(seconds),
        "curve": curve.found,
        "ELBO": estimate(measures.elbo_terms(vae, test, samples=5)),
        "log p(x)": combined(level, climb),
        "active latents": int((means.var(axis=0) > 0.01).sum()),
    }
    print(found, flush=True)
    return found, level, climb


def estimate(values: np.ndarray | tuple) -> list[float]:
    """Return mean and standard error over images, to three decimals."""
    if isinstance(values, tuple):
        values = values[0] - values[1]
    return [round(float(number), 3) for number in measures.Estimate.of(values)]


def combined(level: np.ndarray, climb: np.ndarray) -> list[float]:
    """Return the mean bound of all images plus the mean climb of some, with the error of both."""
    level, climb = measures.Estimate.of(level), measures.Estimate.of(climb)
    return [round(level.mean + climb.mean, 3), round(float(np.hypot(level.standard_error, climb.standard_error)), 3)]


def provenance() -> dict:
    """Return when, where and with what the numbers were made."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "commit": commit,
        "date": str(datetime.date.today()),
        "command": "python -m benchmarks.long_training FOLDER",
        "device": f"one thread of a CPU, {platform.machine()}",
        "threads": int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0")),
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
    }


def gather(folder: Path) -> dict:
    """Return all that the folder holds, with every two compared image by image."""
    paths = {name: folder / f"{name}.npz" for name in RUNS if (folder / f"{name}.npz").exists()}
    values = {name: np.load(path) for name, path in paths.items()}
    runs = [json.loads(str(found["found"])) for found in values.values()]
    differences = {
        f"{first} − {second}": combined(*(values[first][part] - values[second][part] for part in ("level", "climb")))
        for first, second in itertools.combinations(values, 2)
    }
    return {"settings": SETTINGS, "runs": runs, "differences of log p(x)": differences}


def main() -> None:
    """Run what was asked for, all by default, and write what there is so far."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_training", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {RUNS}; all by default")
    asked = parser.parse_args()
    images, source = data.load("mnist"), provenance()
    grays = data.scale(images.train_images)
    test = data.binarize_stochastically(data.scale(images.test_images), seed=0)
    for name in asked.names or RUNS:
        found, level, climb = run(name, grays, test)
        text = json.dumps({**found, "provenance": source}, ensure_ascii=False)
        np.savez(asked.folder / f"{name}.npz", found=text, level=level, climb=climb)
        FILE.write_text(json.dumps(gather(asked.folder), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
