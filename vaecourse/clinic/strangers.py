"""What is measured of a model that is not of this course, from its functions of arrays alone.

Where the loss can be asked about parts, :func:`vaecourse.clinic.audit.effective_objective` says what it weighs, so that
the two tools cannot disagree; then the loss of the parts is held against the loss of the whole.  Where there is but a
loss of images, :mod:`vaecourse.clinic.regression` estimates the weights, as far as they can be known.
"""

import inspect
from collections.abc import Callable

import numpy as np

from vaecourse.clinic import audit, latents, pictures, regression
from vaecourse.clinic.divergences import READINGS
from vaecourse.clinic.findings import UNKNOWN
from vaecourse.clinic.known import Known, as_image, energy, terms
from vaecourse.clinic.own import OwnModel
from vaecourse.clinic.probing import required_arguments
from vaecourse.clinic.reconstructions import SCALES
from vaecourse.measures.estimate import Estimate

_BATCH, _FEW, _DRAWS = 64, 8, 12  # images of a loss, of one that the audit asks for, and how often it is asked


def measure(model: OwnModel, x: np.ndarray, seed: int, held_out: np.ndarray | None = None) -> dict:
    """Measure a model on images, and its ELBO on others.

    Raises
    ------
    TypeError, ValueError
        If a function of the model does not return what :class:`~vaecourse.clinic.own.OwnModel` says.
    """
    mean, second = model.posterior(x)
    size, given = model.decoded(mean[:2])[0].size, x[0].size
    if size != given:
        raise ValueError(f"expected a decode that returns as many numbers as an image has, {given}; got {size}")
    known = _by_parts(model, x, mean, second, seed) if model.loss_of_parts else _by_images(model, x, mean, second, seed)
    with np.errstate(all="ignore"):
        deviation = READINGS[known.reading].deviation(second.astype(float))
    rng, m = np.random.default_rng(seed), known.measured
    z = (mean + deviation * rng.normal(size=mean.shape)).astype(np.float32)
    output = model.decoded(z).reshape(x.shape)
    m |= {"smallest pixel": float(x.min()), "largest pixel": float(x.max())}
    finite = np.isfinite(z).all(axis=-1) & np.isfinite(output).reshape(len(x), -1).all(axis=-1)
    m["share of non-finite losses"] = float(max((~finite).mean(), (~np.isfinite(model.losses(x[:_BATCH]))).mean()))
    if m["share of non-finite losses"]:
        return m | {"active": np.zeros(mean.shape[1])}
    elbo, kl = terms(known, x, mean, deviation, output, m)
    each = {"mean": mean, "z": z, "logvar": 2 * np.log(np.abs(deviation) + 1e-30), "kl": kl}
    m |= latents.of_the_latents(each, known.prior)
    image = as_image(known.family, output)
    if image is not None:
        m |= pictures.of_the_pixels({"image": image}, x)
    prior = (known.prior[0] + known.prior[1] ** 0.5 * rng.normal(size=(100, mean.shape[1]))).astype(np.float32)
    decoded = model.decoded(prior).reshape(-1, *x.shape[1:])
    decoded_image = as_image(known.family, decoded)
    m |= pictures.dependence(decoded if decoded_image is None else decoded_image, x)
    if held_out is not None and elbo is not None:
        their_mean, their_second = model.posterior(held_out)
        spread = READINGS[known.reading].deviation(their_second.astype(float))
        their_z = their_mean + spread * rng.normal(size=their_mean.shape)
        theirs, _ = terms(known, held_out, their_mean, spread, model.decoded(their_z).reshape(held_out.shape), {})
        if theirs is not None:
            m |= pictures.gap(Estimate.of(elbo), Estimate.of(theirs))
    return m


def _by_parts(model: OwnModel, x: np.ndarray, mean: np.ndarray, second: np.ndarray, seed: int) -> Known:
    shape = x.shape[1:] if x.ndim == 4 else (x[0].size, 1, 1)
    output_shape = model.decoded(mean[:1]).shape[1:]
    parts = _as_audit_calls_it(model, x.shape[1:], output_shape)
    known = Known({"foreign": UNKNOWN})
    try:
        found = audit.effective_objective(parts, model.sampler, latent_dim=mean.shape[1], image_shape=shape)
    except ValueError as error:
        known.measured |= {"why there is no weight": str(error), "the KL reads": "cannot be known"}
        return known
    m, notes = known.measured, "; ".join(found.notes)
    named = found.family != "none of these" and found.output is not None
    known.family = (found.family, str(found.output)) if named else None
    known.scale = (found.scale if found.family in SCALES else 1.0) if named else None
    known.reading, known.prior = found.posterior or model.reading or "log σ²", found.prior or (0.0, 1.0)
    no_kl = any(note.startswith("there is no KL") for note in found.notes)
    m |= {
        "kl weight": np.nan if found.beta is None else found.beta,
        "log-likelihood weight": _slope(parts, known, shape, mean.shape[1]),
        "loss that no KL explains": 0.0 if found.posterior or no_kl else 1.0,
        "loss that no likelihood explains": 0.0 if named else 1.0,
        "the KL reads": found.posterior or "cannot be known",
        "mean of the prior": known.prior[0],
        "variance of the prior": known.prior[1],
        "why it is no KL": "" if found.posterior else _without_prefix(notes),
        "why there is no weight": _without_prefix(_why(found, notes)),
        "images of a loss": _FEW,
    }
    m |= _of_the_sampler(found, model.sampler is not None)
    m |= _whole_and_parts(model, x[:_BATCH], mean[:_BATCH], second[:_BATCH], known, seed)
    if model.gradients:
        m |= model.gradients(x[:_BATCH])
    return known


def _without_prefix(notes: str) -> str:
    return notes.replace("β cannot be known: ", "")


def _why(found: audit.Objective, notes: str) -> str:
    product = {"Gaussian": "β·2σ²", "Laplace": "β·b"}.get(found.family)
    if product and found.product is not None and found.beta is None:
        return f"{product} is {found.product:.4g}, and the loss does not say the scale of the pixels"
    return notes


def _as_audit_calls_it(model: OwnModel, image: tuple, output: tuple) -> Callable:
    """Return the loss of parts for images of three axes, whatever shapes the model's own have."""
    loss = model.loss_of_parts
    assert loss is not None

    def of_four(x, o, mean, second):  # type: ignore[no-untyped-def]
        return loss(x.reshape(-1, *image), o.reshape(-1, *output), mean, second)

    def of_five(x, o, mean, second, eps):  # type: ignore[no-untyped-def]
        return loss(x.reshape(-1, *image), o.reshape(-1, *output), mean, second, eps)

    return of_five if required_arguments(loss) > 4 else of_four


def _slope(parts: Callable, known: Known, shape: tuple, d: int) -> float:
    """Return by what the log-likelihood is multiplied, in a loss of eight images."""
    if known.family is None or known.scale is None:
        return np.nan
    rng, zeros = np.random.default_rng(0), np.zeros((8, d), np.float32)
    second = np.full_like(zeros, READINGS[known.reading].argument(1.0))
    x = rng.integers(0, 2, (8, *shape)).astype(np.float32)
    noise = [zeros] * (len(inspect.signature(parts).parameters) - 4)
    outputs = [rng.uniform(0.2, 0.8, x.shape).astype(np.float32) for _ in range(2)]
    losses = [float(np.mean(np.asarray(parts(x, output, zeros, second, *noise), float))) for output in outputs]
    energies = [energy(known, x, output).mean() for output in outputs]
    return float((losses[0] - losses[1]) / (energies[0] - energies[1]))


def _of_the_sampler(found: audit.Objective, given: bool) -> dict:
    if not given or found.posterior is None:
        return {}
    logvar = np.linspace(-5, 3, 33)
    second = READINGS[found.posterior].argument(np.exp(logvar / 2))
    if found.sampler is None:
        flaw = next((note for note in found.notes if note.startswith("the sampler")), "")
        return {"flaw of the sampler": flaw}
    with np.errstate(all="ignore"):
        ratio = READINGS[found.sampler].deviation(second) / np.exp(logvar / 2)
    ratio = ratio[np.isfinite(ratio)]
    error = float(np.abs(ratio - 1).max()) if len(ratio) else np.nan
    return {
        "std of z over the KL's": np.array([ratio.min(), ratio.max()]),
        "error of the std of z": error,
        "error of the mean of z": 0.0,
    }


def _whole_and_parts(
    model: OwnModel, x: np.ndarray, mean: np.ndarray, second: np.ndarray, known: Known, seed: int
) -> dict:
    """Compare the loss of images with the loss of what encoder and decoder say of them, over draws of both."""
    rng, whole, parts = np.random.default_rng(seed), [], []
    deviation = READINGS[known.reading].deviation(second.astype(float))
    assert model.loss_of_parts is not None
    takes_noise = required_arguments(model.loss_of_parts) > 4
    for _ in range(_DRAWS):
        eps = rng.normal(size=mean.shape)
        z = (mean + deviation * eps).astype(np.float32)
        noise = [eps.astype(np.float32)] if takes_noise else []
        parts.append(float(np.mean(np.asarray(model.loss_of_parts(x, model.decoded(z), mean, second, *noise), float))))
        whole.append(float(np.mean(model.losses(x))))
    one, other = Estimate.of(np.array(whole)), Estimate.of(np.array(parts))
    error = float(np.hypot(one.standard_error, other.standard_error))
    few = [float(np.mean(model.losses(x[:_FEW]))) for _ in range(_DRAWS)]
    return {
        "loss": float(np.mean(few)),
        "loss - loss of its parts": one.mean - other.mean,
        "loss - loss of its parts, standard error": error,
    }


def _by_images(model: OwnModel, x: np.ndarray, mean: np.ndarray, second: np.ndarray, seed: int) -> Known:
    found = regression.estimate(model, x, seed)
    known = Known({"foreign": UNKNOWN}, found.family, None, found.reading or model.reading or "log σ²")
    if found.family is not None and found.family[0] not in SCALES:
        known.scale = 1.0
    m = known.measured
    m |= {
        "kl weight": found.weight,
        "kl weight standard error": found.error,
        "log-likelihood weight": found.slope if known.scale else np.nan,
        "why there is no weight": found.why,
        "the KL reads": found.reading or "cannot be known",
        "loss": found.loss,
        "images of a loss": regression.REPEATS,
    }
    if found.mixed:
        m["images of a batch are mixed"] = found.mixed
    return known
