"""A schedule chosen on validation images, certified on seeds that took no part; and how far ten epochs get.

Both train the tf-cvae network on thresholded pixels.  What is chosen, is chosen by the ELBO of 5,000 training images
that are kept out of the training; the test images are seen once, by what was chosen.
"""

import itertools
import time
from collections.abc import Callable

import numpy as np

from benchmarks.processes import Process
from vaecourse import VAE, data, measures, models, networks, training

VALIDATION = 5_000
SHORT = 44_000
"""Training images of a short training, which sees each of them once."""
PEAKS, CLIMBS = (4e-3, 5e-3, 6e-3), (0.2, 0.3, 0.4)
SEEDS = {"choosing": (20, 21, 22), "certifying": (30, 31, 32, 33, 34), "ten epochs": (0, 1, 2)}
VARIANTS = {
    "Adam, as the recipe": {"peak": 3e-3},
    "Adam, sticking the landing": {"peak": 3e-3, "landing": True},
    "Muon, sticking the landing": {"peak": 3e-3, "landing": True, "optimizer": "muon"},
    "SOAP, sticking the landing": {"peak": 3e-3, "landing": True, "optimizer": "soap"},
}
OPTIMIZERS = {"adam": training.Adam, "muon": training.Muon, "soap": training.SOAP}


class Trainer:
    """Trainings of the tf-cvae network, one after the other, on parts of MNIST."""

    def __init__(self) -> None:
        images = data.load("mnist")
        every = data.binarize(data.scale(images.train_images))
        self.images, self.validation = every, every[-VALIDATION:]
        self.test = data.binarize(data.scale(images.test_images))

    def short(self, seed: int, peak: float, climb: float, judge: str = "validation") -> dict:
        """Train once over :data:`SHORT` images, and return the seconds and the ELBO of the images that judge."""
        x = self.images[:SHORT]
        schedule = training.LinearDecay(peak, len(x) // 16, climb)
        vae = VAE(*networks.convolutional(2, (32, 64), seed=seed), seed=seed)
        return self._trained(vae, training.Adam(schedule, beta_2=0.98), x, judge, batch_size=16)

    def ten_epochs(
        self, seed: int, judge: str, peak: float, landing: bool = False, optimizer: str = "adam", epochs: int = 10
    ) -> dict:
        """Train for ten epochs, without the validation images if they judge, and return seconds and ELBO."""
        x = self.images[:-VALIDATION] if judge == "validation" else self.images
        schedule = training.cosine_decay(peak, epochs * -(-len(x) // 32), warmup=0.1)
        parts = networks.convolutional(2, (32, 64), seed=seed)
        vae = VAE(*parts, seed=seed)
        if landing:
            vae = models.ImportanceWeightedVAE(*parts, samples=1, gradient="sticking_the_landing", seed=seed)
        return self._trained(vae, OPTIMIZERS[optimizer](schedule), x, judge, batch_size=32, epochs=epochs)

    def _trained(self, vae: VAE, optimizer, x: np.ndarray, judge: str, **length: int) -> dict:
        vae.compile(optimizer)
        began = time.perf_counter()
        vae.fit(x, verbose=0, **length)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "elbo": measures.elbo(VAE(vae.encoder, vae.decoder), getattr(self, judge)).mean}


def schedule(say: Callable) -> dict:
    """Choose peak and climb of the fast recipe on validation images, and certify them on other seeds by test images."""
    process = Process("choosing", "Trainer")
    found = []
    for peak, climb in itertools.product(PEAKS, CLIMBS):
        elbos = [process.ask("short", seed, peak, climb)[0]["elbo"] for seed in SEEDS["choosing"]]
        found.append({"peak": peak, "climb": climb, "validation": elbos})
        say(f"  {found[-1]}")
    best = max(found, key=lambda candidate: np.mean(candidate["validation"]))
    chosen = best["peak"], best["climb"]
    certified = [process.ask("short", seed, *chosen, "test")[0] for seed in SEEDS["certifying"]]
    say(f"  chosen {chosen}, certified {certified}")
    process.close()
    return {"candidates": found, "chosen": chosen, "certified": certified}


def ten_epochs(say: Callable) -> dict:
    """Choose among optimizers and gradients on validation images, and train what was chosen on three seeds."""
    process = Process("choosing", "Trainer")
    found = {name: process.ask("ten_epochs", 0, "validation", **options)[0] for name, options in VARIANTS.items()}
    say(f"  {found}")
    chosen = max(found, key=lambda name: found[name]["elbo"])
    trained = [process.ask("ten_epochs", seed, "test", **VARIANTS[chosen])[0] for seed in SEEDS["ten epochs"]]
    say(f"  {chosen}: {trained}")
    process.close()
    return {"validation": found, "chosen": chosen, "test": trained}
