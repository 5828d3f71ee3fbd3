"""When a measurement of a model is a finding.

What is judged is what :mod:`vaecourse.clinic.measuring` measures; what has not been measured is not judged.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from vaecourse.clinic import advice, paths
from vaecourse.clinic.findings import FAULT, REMARK, UNKNOWN, Finding, _shown
from vaecourse.clinic.thresholds import THRESHOLDS as T

Found = Iterator[tuple[str, str, str]]


def judge(measurements: Mapping[str, float | str | np.ndarray], latent_dim: int, pixels: int) -> tuple[Finding, ...]:
    """Return what was found, causes before their effects.

    Parameters
    ----------
    measurements : mapping
        As :mod:`vaecourse.clinic.measuring` takes them.
    latent_dim, pixels : int
        How many latents the model has, and how many pixels an image has.
    """
    found = [
        part
        for judged in (_of_the_terms, _of_the_weights, _of_the_gradients, _of_the_bound, _of_the_images)
        for part in judged(measurements, latent_dim, pixels)
    ]
    return tuple(Finding(name, measured, *advice.WORDS[name], kind) for name, measured, kind in found)


def _of_the_terms(m: Mapping, d: int, pixels: int) -> Found:
    limit = f"a finding above {T.form:.0%}"
    if m.get("share of pixels out of range", 0) > 0:
        yield "pixels out of range", f"pixels from {m['smallest pixel']:g} to {m['largest pixel']:g}", FAULT
    if m.get("target") == "another image of the batch":
        yield "reconstruction compared with another image", f"the target is {m['target']}", FAULT
    elif _no_likelihood(m):
        share = f"{_percent(m['loss that no likelihood explains'])} of the loss's spread over outputs of the decoder"
        text = m.get("why there is no weight") if "foreign" in m else f"{share} is no log-likelihood; {limit}"
        yield "likelihood of another form", str(text), m.get("foreign", FAULT)
    if _no_kl(m):
        share = f"{_percent(m['loss that no KL explains'])} of the loss's spread over posteriors is no KL; {limit}"
        why = m.get("why it is no KL", "")
        yield (
            "kl of another form",
            f"{share}" + (f". {why[0].upper()}{why[1:]}" if why else ""),
            m.get("foreign", FAULT),
        )
    elif m.get("variance of the prior", 1.0) != 1 or m.get("mean of the prior", 0.0) != 0:
        prior = f"N({m['mean of the prior']:.3g}, {m['variance of the prior']:.3g})"
        yield "prior is not standard normal", f"the KL is that to {prior} for each latent", REMARK
    if m.get("flaw of the sampler"):
        yield "sampler and kl disagree", m["flaw of the sampler"], FAULT
    if max(m.get("error of the std of z", 0), m.get("error of the mean of z", 0)) > T.drawn and not _no_kl(m):
        least, most = m["std of z over the KL's"]
        measured = f"the standard deviation of z is {least:.3g} to {most:.3g} times what the KL assumes"
        if m["error of the std of z"] <= T.drawn:
            measured = f"z is off mean + σ · eps by {m['error of the mean of z']:.0%}"
        yield "sampler and kl disagree", f"{measured}; a finding where it is off by {T.drawn:.0%}", FAULT


def _no_likelihood(m: Mapping) -> bool:
    return m.get("loss that no likelihood explains", 0) > T.form


def _no_kl(m: Mapping) -> bool:
    return m.get("loss that no KL explains", 0) > T.form


def _percent(share: float) -> str:
    return "more than all" if share > 1 else f"{share:.1%}"


def _of_the_weights(m: Mapping, d: int, pixels: int) -> Found:
    beta, scale = m.get("kl weight", np.nan), m.get("log-likelihood weight", np.nan)
    error = m.get("kl weight standard error", 0.0)
    known = f"β = {beta:.4g}" + (f" ± {error:.2g}" if error else "")
    measured = f"effective {known}, with d = {d} latents and {pixels} pixels; a finding beyond 1 ± {T.weight:g}"

    def near(value: float, expected: float) -> bool:
        return abs(value - expected) <= max(T.weight * abs(expected), 2 * error)

    if scale <= 0:
        yield "log-likelihood weight not positive", f"weight of the log-likelihood {scale:.4g}", FAULT
    elif _no_likelihood(m) or _no_kl(m) or np.isnan(beta):
        reason = m.get("why there is no weight", "") or "one of the two terms is of another form"
        yield "kl weight", f"cannot be known: {reason}", UNKNOWN
    elif near(beta, pixels) or (d > 1 and near(beta, pixels / d) and near(scale, 1 / pixels)):
        yield "mean over pixels", f"{measured}; weight of the log-likelihood {scale:.4g}", FAULT
    elif near(beta, 1):
        yield from _of_the_scale(m, scale, d, pixels)
    elif abs(beta) < max(T.zero, error):
        yield "kl weight zero", measured, FAULT
    elif beta < 0:
        yield "kl weight negative", measured, FAULT
    elif near(beta, 2):
        yield "kl weight doubled", measured, FAULT
    elif near(beta, 1 / d):
        yield "kl weight 1/d", measured, FAULT
    else:
        yield f"kl weight too {'small' if beta < 1 else 'large'}", measured, FAULT


def _of_the_scale(m: Mapping, scale: float, d: int, pixels: int) -> Found:
    if np.isnan(scale) or abs(scale - 1) < T.weight or m.get("scale is not to be known"):
        return
    usual = {1 / pixels: f"a mean over {pixels} pixels", m.get("images of a loss", 0): "a sum over the batch"}
    name = next((name for value, name in usual.items() if value and abs(scale / value - 1) < T.weight), "")
    times = f"1/{1 / scale:.4g}" if scale < 1 else f"{scale:.4g}"
    shown = f"; where it says {m['loss']:.3g}, others say {m['loss'] / scale:.4g}" if "loss" in m else ""
    yield "scale of the loss", f"both terms are multiplied by {times}{', ' * bool(name)}{name}{shown}", REMARK


def _of_the_gradients(m: Mapping, d: int, pixels: int) -> Found:
    if paths.ENCODER not in m or m["log-likelihood weight"] <= 0:
        return
    arrives = "; ".join(f"{name}: {m[name]}" for name in paths.PATHS)
    if m[paths.MEAN] == m[paths.SECOND] == paths.NO_PATH:
        yield "gradient cut", arrives, FAULT
    elif (
        m[paths.MEAN] == paths.FLOWS != m[paths.SECOND]
        and m.get("std of z over the KL's", [0, 0])[1] > T.drawn
        and (
            m[paths.SECOND] == paths.NO_PATH
            or m.get("smallest log-variance", 0) > -T.logvar  # or σ is lost in rounding
        )
    ):
        yield "gradient of σ cut", arrives, FAULT
    if m[paths.ENCODER_KL] == paths.NO_PATH and abs(m["kl weight"]) > T.zero:
        yield "gradient of the kl cut", arrives, FAULT
    if m[paths.DECODER] != paths.FLOWS:
        yield "decoder without gradient", arrives, FAULT
    if m.get("told beside z", "").startswith("what"):
        yield "decoder told more than z", f"beside z the decoder is handed {m['told beside z']}", FAULT


def _of_the_bound(m: Mapping, d: int, pixels: int) -> Found:
    if m.get("share of non-finite weights", 0) > 0:
        yield "non-finite weights", f"{m['share of non-finite weights']:.1%} of the weights are NaN or infinite", FAULT
    if m.get("share of non-finite losses", 0) > 0:
        share = f"the loss of {m['share of non-finite losses']:.1%} of the images is NaN or infinite"
        yield "non-finite loss", share, FAULT
    told = m.get("told beside z", "nothing").startswith("what")
    other = m.get("target", "the image itself") != "the image itself"
    disagree = max(m.get("error of the std of z", 0), m.get("error of the mean of z", 0)) > T.drawn
    if "loss + elbo" in m and not (told or other or disagree or _no_kl(m) or _no_likelihood(m)):
        off, error, spread = m["loss + elbo"], m["loss + elbo, standard error"], m["loss + elbo, spread over images"]
        limit = max(T.offset, T.errors * error, 1e-4 * abs(m["elbo"]))
        measured = f"loss + ELBO is {off:.4g} ± {error:.2g} nats; a finding beyond {limit:.2g}"
        if abs(off) > limit:
            same = spread < 0.01 * abs(off)
            name = "loss is minus the elbo but for a constant" if same else "loss is not minus the elbo"
            yield name, measured, REMARK if same else FAULT
    if "loss - loss of its parts" in m and not (disagree or m.get("flaw of the sampler")):
        off, error = m["loss - loss of its parts"], m["loss - loss of its parts, standard error"]
        limit = max(T.errors * error, 1e-3 * abs(m["loss"]))
        if abs(off) > limit:
            yield (
                "loss is not that of its parts",
                f"it is {off:.4g} ± {error:.2g} more; a finding beyond {limit:.2g}",
                UNKNOWN,
            )
    if m.get("images of a batch are mixed"):
        yield "images of a batch are mixed", m["images of a batch are mixed"], UNKNOWN
    if m.get("gap", 0) > max(T.overfit * pixels, T.errors * m.get("gap standard error", 0)):
        gap = f"their ELBO is {m['gap']:.1f} ± {m['gap standard error']:.1f} nats lower, the error being over images"
        yield "worse on held-out images", f"{gap}; a finding beyond {T.overfit * pixels:.1f}", FAULT


def _of_the_images(m: Mapping, d: int, pixels: int) -> Found:
    if "active units" not in m:
        return
    cut = m.get(paths.ENCODER) == paths.NO_PATH
    if m["active units"] < 1 and m.get("kl", np.nan) < T.collapsed and not cut:
        limit = f"findings are 0 latents with a variance of the mean above {T.active:g}, and a KL below {T.collapsed:g}"
        yield "posterior collapse", f"0 of {d} latents active, KL {m['kl']:.2g} nats; {limit}", FAULT
    elif 0 < m["active units"] < d:
        active = f"{m['active units']} of {d} latents are active: the variance of their means is above {T.active:g}"
        yield "latents not used", active, REMARK
    if m["variance over z, per that of images"] < T.dependence:
        ratio = (
            f"over z, decoded pixels vary {m['variance over z, per that of images']:.1g} times as much as over images"
        )
        yield "decoder ignores latents", f"{ratio}; a finding below {T.dependence:g}", FAULT
    if m["aggregate kl, at least"] > T.aggregate * d:
        limit = f"a finding above {T.aggregate * d:g}, {T.aggregate:g} for each latent"
        nats = f"at least {m['aggregate kl, at least']:.1f} nats; {limit}"
        kind = REMARK if abs(m.get("kl weight", np.nan) - 1) < T.weight else FAULT  # at β = 1, of a sound model
        yield "aggregate posterior far from prior", f"{nats}. Variances of z {_shown(m['aggregate variance'])}", kind
    low, high = m.get("smallest log-variance", 0), m.get("largest log-variance", 0)
    if max(-low, high) > T.logvar:
        yield "log-variances extreme", f"from {low:.1f} to {high:.1f}; a finding beyond ±{T.logvar:g}", FAULT
    if m.get("share of wrong pixels without gradient", 0) > T.dead:
        of_wrong, of_all = m["share of wrong pixels without gradient"], m["share of zero-gradient pixels"]
        share = f"{of_wrong:.1%} of the pixels that are wrong by over ½, {of_all:.1%} of all"
        yield "pixels without gradient", f"{share}; a finding above {T.dead:.1%}", FAULT
    if m.get("share of pixels out of reach", 0) > T.confined:
        low, high = m["smallest decoded pixel"], m["largest decoded pixel"]
        share = f"{m['share of pixels out of reach']:.0%} of the images' pixels are over {T.reach:g} outside"
        yield (
            "probabilities confined",
            f"decoded pixels lie in [{low:.3f}, {high:.3f}]; {share}; a finding above {T.confined:.0%}",
            FAULT,
        )
    if m.get("stripes of period 2", 0) > T.checkerboard:
        times = f"stripes of two pixels stand out {m['stripes of period 2']:.1f} times more than in the images"
        # It is one of the pictures, and no error of the objective.
        yield "checkerboard", f"{times}; a finding above {T.checkerboard:g}", REMARK
