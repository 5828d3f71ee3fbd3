"""Every live figure, made of small models, for the tests that look at pages."""

import functools

import keras
import numpy as np

from vaecourse import VAE, ConditionalVAE, DigitVAE, data, live, networks
from vaecourse.course import specimens
from vaecourse.live import LiveFigure


@functools.cache
def images(n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return binary images, grays and labels."""
    digits = data.load("digits")
    grays = data.scale(digits.train_images[:n])
    return data.binarize(grays), grays, digits.train_labels[:n].astype(np.int32)


def convolutional() -> VAE:
    return VAE(*networks.convolutional(2, seed=0))


def latent_plane() -> LiveFigure:
    x, _, y = images()
    models = {"on a plane": convolutional(), "three latents": VAE(*networks.mlp(3, (16,), seed=0))}
    return live.latent_plane(models, x, y, caption="Untrained; see [the training](#training).")


def draw_a_digit() -> LiveFigure:
    x, _, y = images()
    return live.draw_a_digit(convolutional(), x, y)


def beta_lab() -> LiveFigure:
    models = {beta: VAE(*networks.mlp(4, (16,), seed=i), beta=beta) for i, beta in enumerate((0.0, 1.0, 4.0))}
    return live.beta_lab(models, images()[0])


def digit_lab() -> LiveFigure:
    _, grays, y = images()
    models = {
        "by a classifier": DigitVAE(*networks.mlp_with_classifier(4, (16,), seed=0)),
        "conditional": ConditionalVAE(*networks.mlp(4, (16,), classes=10, conditional=True, seed=0)),
    }
    return live.digit_lab(models, grays, y)


@functools.cache
def patients() -> tuple[dict[str, VAE], dict[str, np.ndarray]]:
    models, prepared = {}, {}
    raw = data.load("digits").train_images[:120]
    for name in ("kl twice", "learning rate"):
        specimen = specimens.get(name)
        prepared[name] = specimen.prepare(raw)
        models[name] = specimen.build(0)
        specimen.fit(models[name], prepared[name], 2)
    return models, prepared


def which_slip() -> LiveFigure:
    slips = {name: specimen.slip for name, specimen in specimens.SPECIMENS.items()}
    return live.which_slip(*patients(), slips)


def epochs() -> LiveFigure:
    keras.utils.set_random_seed(0)
    return live.epochs(np.random.default_rng(0).uniform(size=(3, 8, 14, 14, 1)))


MADE = {
    "latent_plane": latent_plane,
    "bound_by_hand": live.bound_by_hand,
    "gradient_lab": live.gradient_lab,
    "pixel_lab": live.pixel_lab,
    "draw_a_digit": draw_a_digit,
    "digit_lab": digit_lab,
    "beta_lab": beta_lab,
    "which_slip": which_slip,
    "epochs": epochs,
}


@functools.cache
def figure(name: str) -> LiveFigure:
    return MADE[name]()
