"""Losses composed at random of parts whose truth is known: family, reduction, posterior, prior, floor, schedule.

`compose` makes one, with what a right answer is; `verdict` holds an answer against it.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import scipy.special

PIXELS = (1, 2, 3)
sigmoid = scipy.special.expit


def kl(mean, logvar):
    """KL(N(mean, exp(logvar)) ‖ N(0, I)) of each latent, by NumPy."""
    return (mean**2 + np.exp(logvar) - logvar - 1) / 2


def sse(x, output):
    return ((x - output) ** 2).sum(axis=PIXELS)


def cross_entropy(x, p):
    return -(scipy.special.xlogy(x, p) + scipy.special.xlog1py(1 - x, -p))


def log_normalizer(p):
    """log C(p) of a continuous Bernoulli, :cite:t:`loaiza2019`."""
    p = np.clip(np.asarray(p, np.float64), 1e-12, 1 - 1e-12)
    near = np.abs(p - 0.5) < 1e-3
    safe = np.where(near, 0.25, p)
    away = np.log(2 * np.arctanh(1 - 2 * safe) / (1 - 2 * safe))
    return np.where(near, np.log(2.0) + 4 / 3 * (p - 0.5) ** 2, away)


READS = {
    "mean": lambda x, o: x - o,
    "sigmoid": lambda x, o: x - sigmoid(o),
    "mean of 2x − 1": lambda x, o: 2 * x - 1 - o,
    "tanh, mean of 2x − 1": lambda x, o: 2 * x - 1 - np.tanh(o),
}
PIXEL_LOSSES = {
    ("Bernoulli", "probability"): cross_entropy,
    ("Bernoulli", "logits"): lambda x, o: np.logaddexp(0, o) - x * o,
    ("continuous Bernoulli", "probability"): lambda x, o: cross_entropy(x, o) - log_normalizer(o),
    ("continuous Bernoulli", "logits"): lambda x, o: np.logaddexp(0, o) - x * o - log_normalizer(sigmoid(o)),
    **{("Gaussian", reads): lambda x, o, e=error: e(x, o) ** 2 / 2 for reads, error in READS.items()},
    **{("Laplace", reads): lambda x, o, e=error: np.abs(e(x, o)) for reads, error in READS.items()},
}
STRANGE = {  # none of them is the negative log-likelihood of one of the families
    "Huber": lambda x, o: np.where(abs(x - o) < 0.3, (x - o) ** 2 / 2, 0.3 * (abs(x - o) - 0.15)),
    "log-cosh": lambda x, o: np.log(np.cosh(3 * (x - o))),
    "Student": lambda x, o: 2.5 * np.log1p((x - o) ** 2 / 0.04),
    "Charbonnier": lambda x, o: np.sqrt((x - o) ** 2 + 0.01),
    "fourth power": lambda x, o: (x - o) ** 4,
    "weighted": lambda x, o: -(2 * scipy.special.xlogy(x, o) + scipy.special.xlog1py(1 - x, -o)),
    "focal": lambda x, o: (x - o) ** 2 * cross_entropy(x, o),
    "smoothed": lambda x, o: cross_entropy(0.9 * x + 0.05, o) + 0.1 * x,
    "clipped": lambda x, o: cross_entropy(x, np.clip(o, 0.05, 0.95)),
    "two at once": lambda x, o: cross_entropy(x, o) + (x - o) ** 2,
    "bounded mean": lambda x, o: (x - np.clip(o, 0, 1)) ** 2,
}
SIGMAS = {
    "log σ²": lambda v: np.exp(v / 2),
    "log σ": np.exp,
    "σ": lambda v: v,
    "σ²": np.sqrt,
    "σ before a softplus": lambda v: np.logaddexp(0, v),
    "σ² before a softplus": lambda v: np.sqrt(np.logaddexp(0, v)),
}
UNKNOWN_SIGMAS = {
    "softplus + 0.1": lambda v: np.logaddexp(0, v) + 0.1,
    "1 + elu": lambda v: 1 + np.where(v > 0, v, np.expm1(np.minimum(v, 0))),
    "log precision": lambda v: np.exp(-v / 2),
    "2 sigmoid": lambda v: 2 * sigmoid(v),
}
FLOORS = ("none",) * 6 + ("latent", "image", "batch", "capacity", "clip", "abs", "relu", "weights", "no mean")


@dataclass
class Stranger:
    """A loss, how it is to be audited, and the truth; None of a truth is what cannot be known, or does not exist."""

    loss: object
    sampler: object
    options: dict
    family: str | None
    output: str | None
    scale: float | None
    beta: float | None
    reading: str | None
    prior: tuple
    agrees: bool | None
    counts: bool
    parts: dict = field(default_factory=dict)


def compose(seed: int) -> Stranger:
    """Make the loss of a seed."""
    rng = np.random.default_rng(seed)

    def one_of(choices):
        choices = list(choices)
        return choices[rng.integers(len(choices))]

    shape, d, batch = (
        (*rng.integers(3, 7, 2).tolist(), int(one_of([1, 3]))),
        int(rng.integers(1, 9)),
        int(rng.integers(2, 9)),
    )
    n = math.prod(shape)
    # The reconstruction.
    strange = rng.uniform() < 0.2
    name = one_of(STRANGE) if strange else one_of(PIXEL_LOSSES)
    family = None if strange else name[0]
    scale, normalizer, known = float(np.exp(rng.uniform(-5, 0.7))), 0.0, None
    if family in ("Gaussian", "Laplace"):
        full = 0.5 * math.log(2 * math.pi * scale) if family == "Gaussian" else math.log(2 * scale)
        short = 0.5 * math.log(scale) if family == "Gaussian" else math.log(scale)
        kind = one_of(["full", "short", "none", "constant"])
        normalizer = {"full": full, "short": short, "none": 0.0, "constant": float(rng.normal())}[kind]
        known = scale if kind in ("full", "short") else None
    else:
        scale, kind = 1.0, "none"
    pixel_loss = STRANGE[name] if strange else PIXEL_LOSSES[name]
    of_rec = one_of(["image", "batch sum", "mean", "channels", "pixels"])
    share = {"mean": 1 / n, "channels": 1 / shape[2], "pixels": 1 / (shape[0] * shape[1])}.get(of_rec, 1.0)
    # The posterior, its prior and its floor.
    floor = one_of(FLOORS)
    reading = one_of(SIGMAS) if rng.uniform() < 0.85 else one_of(UNKNOWN_SIGMAS)
    sigma = SIGMAS.get(reading) or UNKNOWN_SIGMAS[reading]
    prior = one_of([(0.0, 1.0)] * 3 + [(0.0, float(np.exp(rng.uniform(-1.5, 1.5))))] + [(float(rng.normal()), 1.0)])
    level = float(10 ** rng.uniform(-2, 0.5))
    low, high = rng.uniform(-7, -1), rng.uniform(0.3, 1.5)
    latent_weights = np.linspace(0.7, 1.3, d) if d > 1 else np.array([1.0])
    if floor == "weights" and d == 1:
        floor = "none"
    beta, of_kl = float(10 ** rng.uniform(-3, 1.5)), one_of(["image", "batch sum", "mean"])
    counts = rng.uniform() < 0.05
    steps, sign = int(10 ** rng.uniform(1, 4)), one_of([1, 1, 1, -1])
    sampled = floor == "none" and rng.uniform() < 0.3
    calls = [0]

    def log_variance_of(second):
        log_variance = 2 * np.log(sigma(second))
        return {
            "clip": lambda v: np.clip(v, low, high),
            "abs": np.abs,
            "relu": lambda v: np.maximum(v, 0),
        }.get(floor, lambda v: v)(log_variance)

    def kl_of(mean, second, eps):
        v = log_variance_of(second)
        center, variance = prior
        if eps is not None:
            z = mean + np.exp(v / 2) * eps
            each = 0.5 * ((z - center) ** 2 / variance + np.log(variance) - eps**2 - v)
        else:
            square = 0.0 if floor == "no mean" else (mean - center) ** 2
            each = 0.5 * ((square + np.exp(v)) / variance - v + np.log(variance) - 1)
        if floor == "latent":
            each = np.maximum(each, level)
        if floor == "weights":
            each = each * latent_weights
        if floor == "batch":
            return np.maximum(each.mean(axis=0), level).sum() * np.ones(len(mean))
        total = each.sum(axis=1)
        if floor == "image":
            return np.maximum(total, level * d)
        return np.abs(total - level * d) if floor == "capacity" else total

    def loss_of(x, output, mean, second, eps=None):
        weight = beta
        if counts:
            calls[0] += 1
            weight = beta * calls[0] / steps
        with np.errstate(all="ignore"):
            rec = share * (pixel_loss(x, output) / scale + normalizer).sum(axis=PIXELS)
            kl = kl_of(mean, second, eps) / (d if of_kl == "mean" else 1)
        total = sign * (
            (rec.sum() if of_rec == "batch sum" else rec.mean())
            + weight * (kl.sum() if of_kl == "batch sum" else kl.mean())
        )
        return np.float32(total)

    if sampled:

        def loss(x, output, mean, second, eps):
            return loss_of(x, output, mean, second, eps)
    else:

        def loss(x, output, mean, second):
            return loss_of(x, output, mean, second)

    # The sampler.
    draws = one_of(["none", "same", "other", "clipped", "shared"])
    other = one_of(SIGMAS)
    agrees = {"none": None, "same": True, "other": other == reading}.get(draws, False)
    of_draws = {"other": SIGMAS[other], "clipped": lambda v: np.maximum(sigma(v), 0.2)}.get(draws, sigma)

    def sampler(mean, second, eps):
        return mean + of_draws(second) * (eps[:, :1] if draws == "shared" and d > 1 else eps)

    if draws == "shared" and d == 1:
        agrees = True
    is_kl = floor == "none" and reading in SIGMAS
    factor = share * (batch if of_rec == "batch sum" else 1)
    of_the_kl = beta * (batch if of_kl == "batch sum" else 1) / (d if of_kl == "mean" else 1)
    true_beta = of_the_kl / factor if is_kl and family and (known or family not in ("Gaussian", "Laplace")) else None
    options = {"image_shape": shape, "latent_dim": d, "batch_size": batch}
    return Stranger(
        loss,
        None if draws == "none" else sampler,
        options,
        family,
        None if strange else name[1],
        known,
        true_beta,
        reading if is_kl else None,
        prior,
        agrees if is_kl else None,
        counts,
        {
            "name": name,
            "normalizer": kind,
            "of_rec": of_rec,
            "floor": floor,
            "level": level,
            "low": low,
            "reading": reading,
            "of_kl": of_kl,
            "beta": beta,
            "steps": steps,
            "sampled": sampled,
            "draws": draws,
            "sign": sign,
        },
    )


def verdict(found, truth: Stranger) -> tuple[str, bool]:
    """Return what is wrong with an answer, or nothing, and whether all that could be known was found."""
    if isinstance(found, ValueError):
        return ("" if truth.counts else f"refused: {found}"), truth.counts
    if truth.counts:
        return "a loss that counts its calls was answered", False

    def wrong(answer, right, close=False):
        if answer is None:
            return False
        return right is None or (abs(answer / right - 1) > 0.005 if close else answer != right)

    if found.family != "none of these" and (wrong(found.family, truth.family) or wrong(found.output, truth.output)):
        return f"family {found.family}, {found.output}", False
    if wrong(found.scale, truth.scale, close=True):
        return f"scale {found.scale}, where it is {truth.scale}", False
    if wrong(found.beta, truth.beta, close=True):
        return f"β {found.beta}, where it is {truth.beta}", False
    if wrong(found.posterior, truth.reading):
        return f"posterior {found.posterior}, where it is {truth.reading}", False
    if found.posterior and not np.allclose(found.prior, truth.prior, atol=0.01, rtol=0.005):
        return f"prior {found.prior}, where it is {truth.prior}", False
    if found.sampler_agrees and truth.agrees is False:
        return "a sampler that draws from another distribution is vouched for", False
    all_known = (
        found.family == (truth.family or "none of these")
        and (found.beta is None) == (truth.beta is None)
        and (found.posterior is None) == (truth.reading is None)
        and (truth.reading is None or (found.scale is None) == (truth.scale is None))
    )
    return "", all_known
