"""A quiz: models broken by one slip each, of which a reader names the slip."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaecourse.clinic import diagnosis, findings
from vaecourse.live.packing import packed
from vaecourse.live.page import LiveFigure
from vaecourse.live.stills import tiles
from vaecourse.models import VAE

SHOWN = 8

CHOICES = 5
"""How many answers there are to choose from for each model."""

MEASUREMENTS = {
    "log_likelihood": "log p(x|z), nats",
    "kl": "KL, nats",
    "kl weight": "weight of the KL in the loss, per weight of log p(x|z)",
    "log-likelihood weight": "weight of log p(x|z) in the loss",
    "std of z over the KL's": "standard deviation that z is drawn with, over the one that the KL is computed for",
    "kl per latent": "KL of each latent, nats",
    "variance over z, per that of images": "variance of decoded pixels over z, per that of pixels over images",
    "smallest pixel": "smallest pixel of the training images",
    "largest pixel": "largest pixel of the training images",
    "smallest decoded pixel": "smallest decoded pixel",
    "largest decoded pixel": "largest decoded pixel",
    "share of zero-gradient pixels": "share of pixels whose output gets no gradient",
    "share of non-finite weights": "share of weights that are NaN or infinite",
    "share of non-finite losses": "share of images whose loss is NaN or infinite",
}
"""What may be asked for as a hint, of the measurements of a report, and what it is called in the page."""


def which_slip(
    models: Mapping[str, VAE],
    images: Mapping[str, np.ndarray],
    slips: Mapping[str, str],
    *,
    reports: Mapping[str, findings.Report] | None = None,
    caption: str = "",
    seed: int = 0,
) -> LiveFigure:
    """Show curves, reconstructions and samples of models with a slip, one after the other, and ask for the slip.

    Parameters
    ----------
    models : mapping from the name of a slip to the VAE that has it
        Trained by `fit`, whose history they still have.  Weights may be NaN where a training ended so.
    images : mapping from the same names to arrays `(n, height, width, channels)`
        At least 100 images, as the model was trained on them.
    slips : mapping from the same names to sentences
        That say what was done, and of which the answers are chosen, for each model five.
    reports : mapping from the same names to reports, optional
        Of :func:`vaecourse.clinic.diagnose`, which otherwise is asked anew.
    caption : str
        How the models were trained; `[words](#address)` becomes a link.
    seed : int
        Of the order of the models and of all noise.

    Raises
    ------
    TypeError, ValueError
        If names do not agree, there are fewer than two models, or a model has no history.

    Notes
    -----
    Nothing is computed in the page but the score: curves, pictures and the measurements of
    :func:`vaecourse.clinic.diagnose` are those of the models at hand.
    """
    if len(models) < 2 or models.keys() != images.keys() or not models.keys() <= slips.keys():
        raise ValueError(
            "expected at least two models, with images and a sentence for each of them; got models "
            f"{sorted(models)}, images {sorted(images)}, sentences {sorted(slips)}"
        )
    names = [list(models)[i] for i in np.random.default_rng(seed).permutation(len(models))]
    data: dict[str, Any] = {
        "patients": [
            _patient(name, models[name], images[name], (reports or {}).get(name), seed)
            | {"answers": _answers(name, list(slips), seed + i)}
            for i, name in enumerate(names)
        ],
        "slips": dict(slips),
        "image_shape": list(models[names[0]].image_shape),
    }
    facts = (
        f"{len(models)} models, each with one slip; the answers name {min(CHOICES, len(slips))} slips of {len(slips)}."
    )
    still = tiles(_pictures(models[names[0]], images[names[0]], seed), SHOWN)
    return LiveFigure("which_slip", "Which slip?", f"{caption} {facts}".strip(), data, still)


def _patient(name: str, vae: VAE, images: np.ndarray, report: findings.Report | None, seed: int) -> dict[str, Any]:
    if not isinstance(vae, VAE) or vae.classes:
        raise TypeError(f"expected a vaecourse.VAE without labels for {name!r}, got {type(vae).__name__}")
    report = report or diagnosis.diagnose(vae, images, seed=seed)
    history = getattr(getattr(vae, "history", None), "history", None)
    if history is None:
        raise ValueError(f"{name!r} has no history: train it by fit before it is shown")
    curves = {key: history.get(key, []) for key in ("loss", "log_likelihood", "kl")}
    pictures = _pictures(vae, images, seed)
    finite = bool(np.isfinite(pictures).all())
    hints = [(words, report.measurements[key]) for key, words in MEASUREMENTS.items() if key in report.measurements]
    return {
        "name": name,
        "curves": {key: [v if np.isfinite(v) else None for v in map(float, values)] for key, values in curves.items()},
        "pictures": packed(np.clip(pictures, 0, 1), "bytes") if finite else None,
        "hints": [[words, _told(value)] for words, value in hints],
        "report": [[one.name, one.measured, one.meaning] for one in report.faults],
    }


def _answers(right: str, names: list[str], seed: int) -> list[str]:
    """Return the right name among a few others, in an order of chance."""
    rng = np.random.default_rng(seed)
    others = rng.permutation([name for name in names if name != right])[: CHOICES - 1]
    return [str(name) for name in rng.permutation([right, *others])]


def _pictures(vae: VAE, images: np.ndarray, seed: int) -> np.ndarray:
    """Return some images in [0, 1], their reconstructions, and samples: three times as many pictures."""
    x = np.asarray(images)[:SHOWN]
    z = np.random.default_rng(seed).normal(size=(SHOWN, vae.latent_dim)).astype(np.float32)
    return np.concatenate([x / max(1.0, float(x.max())), vae.reconstruct(x), vae.decode(z).mean()])


def _told(value: Any) -> str:
    """Return a measurement as text, with three digits."""
    return " ".join(f"{v:.3g}" for v in np.ravel(np.asarray(value, np.float64))).replace("-", "−")
