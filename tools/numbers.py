"""The page *Numbers to compare with*: conversions, limits and baselines, and what models reach, here and elsewhere.

Numbers of this course are taken from what its chapters have printed, or computed; published ones stand here, each with
a key of the bibliography.
"""

import json
import math
import re
import statistics
from collections.abc import Iterable, Sequence

from tools import chapters
from tools.tables import markdown

PIXELS = 28 * 28
MODELS = ("Model", "Latents", "Estimate", "Nats per image", "± over", "From")
LIMITS = ("Model", "Pixels", "Cost, nats per image", "± over", "From")
CLASS_CONDITIONAL = {"the digit is given": 169.78, "a mixture over the digits": 168.89}  # recomputed by the tests

Row = Sequence[str]


def printed(chapter: str, pattern: str) -> tuple[str, ...]:
    """Return what the groups of a pattern match in the printed outputs of a chapter.

    Raises
    ------
    ValueError
        If the pattern does not match exactly once.
    """
    notebook = chapters.read(chapters.ROOT / "book" / "chapters" / f"{chapter}.ipynb")
    outputs = [output for cell in chapters.code_cells(notebook) for output in cell.outputs]
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    found = list(re.finditer(pattern, text, flags=re.MULTILINE))
    if len(found) != 1:
        raise ValueError(f"{chapter} has printed {pattern!r} {len(found)} times; expected once: has it been executed?")
    return tuple(_signed(group) for group in found[0].groups())


def measured(chapter: str, recipe: str) -> str:
    """Return the test ELBO that a chapter printed in the cell tagged `measured-<recipe>`."""
    notebook = chapters.read(chapters.ROOT / "book" / "chapters" / f"{chapter}.ipynb")
    cells = [cell for cell in chapters.code_cells(notebook) if f"measured-{recipe}" in chapters.tags(cell)]
    text = "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")
    found = re.search(r"test ELBO (-[\d.]+ ± [\d.]+)", text)
    if not found:
        raise ValueError(f"{chapter} has printed no test ELBO of {recipe}: has it been executed?")
    return _signed(found[1])


def over_seeds(part: str, name: str) -> tuple[str, str]:
    """Return mean and standard error over the seeds of a training that `make bench` measured, and their number."""
    results = json.loads((chapters.ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    values = [training[-1]["elbo"] for training in results[part][name]]
    error = statistics.stdev(values) / math.sqrt(len(values))
    return _signed(f"{statistics.mean(values):.2f} ± {error:.2f}"), f"{len(values)} seeds"


def _signed(text: str) -> str:
    return re.sub(r"-(?=\d)", "−", text).replace(" ± ", "\u00a0±\u00a0")


def _chapter(name: str, anchor: str = "") -> str:
    return f"[](/book/chapters/{name}.ipynb{'#' * bool(anchor)}{anchor})"


def _cited(key: str) -> str:
    return f"{{cite:t}}`{key}`"


# --- conversions -----------------------------------------------------------------------------------------------------


def conversions() -> str:
    """Return a table of what turns a printed number into nats per image of 28×28 pixels."""
    bit, example = math.log(2), 100.0
    factors = [
        ("a sum over a batch of $B$ images", "divide by $B$", f"{example * 128:,.0f} for $B = 128$"),
        ("a mean over pixels, as by Keras' `BinaryCrossentropy`", f"multiply by {PIXELS}", f"{example / PIXELS:.4f}"),
        ("bits per image", f"multiply by ln 2 = {bit:.4f}", f"{example / bit:.1f}"),
        ("bits per dimension (per pixel)", f"multiply by {PIXELS} ln 2 = {PIXELS * bit:.2f}", _bits(example)),
    ]
    return markdown(("The number is", "To get nats per image", "100 nats per image are"), factors)


def constants() -> str:
    """Return a table of the constant that a squared error leaves out, for some σ."""
    rows = [(f"{sigma:g}", f"SSE/{2 * sigma**2:g}", f"{_constant(sigma):+,.2f}".replace("-", "−")) for sigma in SIGMAS]
    return markdown(("σ", "What programs minimize", "Add to get the negative log-density, in nats"), rows)


SIGMAS = (1.0, 0.5, 0.25, 0.1)


def _constant(sigma: float) -> float:
    return PIXELS * (0.5 * math.log(2 * math.pi) + math.log(sigma))


def _bits(nats: float) -> str:
    return f"{nats / (PIXELS * math.log(2)):.3f}"


# --- limits and baselines --------------------------------------------------------------------------------------------


def limits() -> str:
    """Return a table of models that need no training, and of limits that no model passes."""
    setup, images = "setup", "test images"
    (thresholded,) = printed(setup, r"^thresholded: ([\d.]+ ± [\d.]+) nats per image$")
    (drawn,) = printed(setup, r"^drawn: ([\d.]+ ± [\d.]+) nats per image$")
    (entropy,) = printed(setup, r"^drawn pixels cost at least ([\d.]+) nats")
    (histogram,) = printed(setup, r"^([\d.]+ ± [\d.]+) nats per image, or [\d.]+ bits per pixel$")
    (mean_image,) = printed("graph-era", r"^mean image: ([\d.]+) nats$")
    (linear,) = printed("graph-era", r"^best linear model: ([\d.]+) nats$")
    coins, baseline = "the-worst-reasonable-model-fair-coins", "the-baseline-independent-pixels"
    lowest = "a-lower-limit-for-drawn-pixels-their-entropy"
    linear_models = "is-a-loss-of-405-good-the-mean-image-and-pca-as-baselines"
    by_class = "counted on the training images"
    rows: Iterable[Row] = [
        ("a fair coin for every pixel", "binary", f"{PIXELS * math.log(2):.2f}", "exact", _chapter(setup, coins)),
        ("independent pixels", "thresholded", thresholded, images, _chapter(setup, baseline)),
        ("independent pixels", "drawn", drawn, images, _chapter(setup, baseline)),
        *(
            (f"independent pixels for each digit; {how}", "thresholded", f"{cost:.2f}", "", by_class)
            for how, cost in CLASS_CONDITIONAL.items()
        ),
        ("*limit:* the entropy of the draws", "drawn", entropy, "mean of the test images", _chapter(setup, lowest)),
        ("*limit:* certainty", "thresholded", "0", "exact", _chapter(setup, lowest)),
        ("a histogram of 256 levels for every pixel", "gray levels", histogram, images, _chapter(setup, "exercises")),
        ("all 256 levels alike", "gray levels", f"{PIXELS * math.log(256):,.2f}", "exact", "8 bits per dimension"),
        *(
            (name, "grays, SSE/½ without its constant", cost, "training images", _chapter("graph-era", linear_models))
            for name, cost in {"the mean image": mean_image, "PCA with 20 latents": linear}.items()
        ),
    ]
    return markdown(LIMITS, rows)


# --- models ----------------------------------------------------------------------------------------------------------


def thresholded() -> str:
    """Return a table of models of thresholded MNIST."""
    images, elbo = "test images", "ELBO, one draw"
    tutorial = measured("conv-cvae", "tf-cvae")
    log_p, bound = printed("tightness", r"^convolutional: log p\(x\) (-[\d.]+ ± [\d.]+), ELBO (-[\d.]+ ± [\d.]+)")
    (ten,) = printed("elbo", r"^test ELBO (-[\d.]+ ± [\d.]+) nats;")
    (scratch,) = printed("from-scratch", r"^test ELBO (-[\d.]+ ± [\d.]+) nats \(over")
    (pair,) = printed("setup", r"^10 latents, mean of both seeds: ([\d.]+)$")
    of_latents = "^d = {:2}: ELBO (-[\\d.]+ ± [\\d.]+), rate"
    latents = {d: printed("rate-distortion", of_latents.format(d))[0] for d in (2, 5, 10, 20, 50)}
    speed = "[](/book/reference/speed.md#sooner-to-the-same-result)"
    convolutional, perceptron = "TensorFlow's tutorial", "one hidden layer of"
    from_scratch = _chapter("from-scratch", "training-and-samples")
    ruler = _chapter("setup", "the-nats-ruler")
    exact = _chapter("tightness", "the-exact-log-px-on-a-grid-of-latents")
    rows: Iterable[Row] = [
        (f"**{convolutional}**, published", "2", elbo, "−157.02", "not stated", _cited("tfcvae")),
        (f"{convolutional}, here", "2", elbo, tutorial, images, _chapter("conv-cvae", "the-training-loop")),
        (f"{convolutional}, here", "2", elbo, *over_seeds("time-to-result", "tutorial"), speed),
        ("the same network, one fast epoch", "2", elbo, *over_seeds("time-to-result", "fast"), speed),
        ("the same network, better schedule", "2", elbo, *over_seeds("epochs", "improved"), speed),
        ("the same network, one epoch", "2", "ELBO, four draws", bound, images, exact),
        ("the same model", "2", "log p(x), exact", log_p, images, exact),
        (f"{perceptron} 256, ten epochs", "10", elbo, ten, images, _chapter("elbo", "reporting-a-test-elbo")),
        (f"{perceptron} 256, six epochs", "10", elbo, scratch, images, from_scratch),
        (f"{perceptron} 512, five epochs", "10", elbo, f"−{pair}", "mean of 2 seeds", ruler),
        *(
            ("two layers of 200, a sixth of the images", str(d), "ELBO, five draws", value, "1,000 test images", where)
            for where in [_chapter("rate-distortion", "how-many-latents-from-two-to-fifty")]
            for d, value in latents.items()
        ),
    ]
    return markdown(MODELS, rows)


def drawn() -> str:
    """Return a table of models of dynamically binarized MNIST."""
    images, sampled = "test images", "log p(x), from below by 5,000 samples"
    where = _chapter("tighter", "short-trainings-beside-published-log-likelihoods")
    (elbo,) = printed("tighter", r"^ELBO, d = 2: (-[\d.]+ ± [\d.]+), published")
    small = {d: printed("tighter", rf"^d = {d}\s*: (-[\d.]+ ± [\d.]+), published")[0] for d in (2, 10)}
    objectives = ("IWAE, K = 1", "ELBO, 5 samples", "IWAE, K = 5")
    short = {
        name: printed("tighter", rf"^d = 50, {name}, 6 epochs: (-[\d.]+ ± [\d.]+), published")[0] for name in objectives
    }
    longer = {name: printed("tighter", rf"^{name}\s*: log p\(x\) (-[\d.]+ ± [\d.]+), ELBO")[0] for name in objectives}
    patience = _chapter("tighter", "how-much-is-patience-one-longer-training-of-each-objective")
    davidson = {"2": "−135.73", "5": "−110.2", "10": "−93.8", "20": "−88.9", "40": "−88.9"}
    burda = {1: "−86.76", 5: "−85.54", 50: "−84.78"}
    published, source = "as published", _cited("davidson2018")
    rows: Iterable[Row] = [
        ("**VAE**, published", "2", "ELBO", "−137.08", published, source),
        ("VAE, here, six epochs", "2", "ELBO, one draw", elbo, images, where),
        *(("**VAE**, published", d, "log p(x), from below", value, published, source) for d, value in davidson.items()),
        ("VAE, here, six epochs", "2", "log p(x), exact", small[2], images, where),
        ("VAE, here, six epochs", "10", sampled, small[10], images, where),
        *(
            (f"**{_iwae(k)}**, published", "50", sampled, value, published, _cited("burda2016"))
            for k, value in burda.items()
        ),
        *(
            (f"{_trained(name)}, here, six epochs", "50", sampled, value, images, where)
            for name, value in short.items()
        ),
        *(
            (f"{_trained(name)}, here, forty epochs", "50", sampled, value, images, patience)
            for name, value in longer.items()
        ),
    ]
    return markdown(MODELS, rows)


def _iwae(samples: int) -> str:
    return "VAE" if samples == 1 else f"IWAE, K = {samples}"


def _trained(name: str) -> str:
    return {"IWAE, K = 1": "VAE", "ELBO, 5 samples": "VAE, five samples in training"}.get(name, name)


def fixed() -> str:
    """Return a table of published results on the binarization that was drawn once and for all."""
    found = {"VAE": ("200", "−89.78"), "IWAE, K = 50": ("5,000", "−86.82"), "VAE with a VampPrior": ("5,000", "−85.79")}
    rows = [
        (f"**{name}**, reproduced", f"log p(x), from below by {samples} samples", value, _cited("chadebec2022"))
        for name, (samples, value) in found.items()
    ]
    return markdown(("Model", "Estimate", "Nats per image", "From"), rows)


def coins() -> str:
    """Return a table of models of grays that stand for coins: bounds on the mean of log p(b) over binarizations b."""
    images = "test images"
    faithful, repaired = (measured("keras-vae", recipe) for recipe in ("theailearner", "theailearner-repaired"))
    (ten,) = printed("likelihoods", r"^Bernoulli +[\d.]+ ± [\d.]+ +[\d.]+ ± [\d.]+ +(-[\d.]+ ± [\d.]+)  bits$")
    short = {d: printed("keras-vae", rf"^d = {d:2}: test ELBO (-[\d.]+ ± [\d.]+), ")[0] for d in (2, 5, 10)}
    program = "functional Keras program"
    where = _chapter("keras-vae", "the-repaired-vae-trained-and-measured")
    more = _chapter("keras-vae", "more-latents-two-five-and-ten")
    likelihoods = _chapter("likelihoods", "what-is-measured")
    rows: Iterable[Row] = [
        (f"{program} {_cited('theailearner')}, as it is", "2", "ELBO, one draw", faithful, images, where),
        (f"{program}, repaired", "2", "ELBO, one draw", repaired, images, where),
        *(
            (f"{program}, repaired, 6,000 images", str(d), "ELBO, one draw", value, images, more)
            for d, value in short.items()
        ),
        ("one hidden layer of 256, ten epochs", "10", "ELBO, one draw", ten, "2,000 test images", likelihoods),
    ]
    return markdown(MODELS, rows)


def densities() -> str:
    """Return a table of models whose pixels are grays with a Gaussian density of σ = ½."""
    images, elbo = "test images", "ELBO, one draw"
    faithful, better = (measured("graph-era", recipe) for recipe in ("zoltowski", "zoltowski-improved"))
    zeldes, conditional = (
        printed("conditioning", rf"^{name}, seed 0 +(-[\d.]+ ± [\d.]+)")[0] for name in ("zeldes", "conditional")
    )
    loss, compared = "from-the-loss-of-4053-to-an-elbo", "comparing-bound-recognized-samples-and-leakage"
    joint, improved = "bound on log p(x, y)", "the-same-network-size-trained-better"
    where = _chapter("graph-era", loss)
    rows: Iterable[Row] = [
        (f"{_cited('zoltowski')}, published loss 40.53", "20", "ELBO, training images", "−217.55", "not stated", where),
        ("the same program, here", "20", elbo, faithful, images, where),
        ("the same size, trained better", "20", elbo, better, images, _chapter("graph-era", improved)),
        (f"{_cited('zeldes')}, here", "10", joint, zeldes, images, _chapter("conditioning", compared)),
        ("conditional VAE, same networks", "10", joint, conditional, images, _chapter("conditioning", compared)),
    ]
    return markdown(MODELS, rows)


def levels() -> str:
    """Return a table of models measured by the probability of 256 gray levels, in nats and in bits per dimension."""
    names = {
        "Gaussian, σ = ½": "Gaussian, σ = ½",
        "Gaussian, learned σ": "Gaussian, learned σ",
        "continuous Bernoulli": "continuous Bernoulli",
        "discretized, free": "discretized logistic",
    }
    pattern = r"^{}\s+(-[\d.]+ ± [\d.]+)\s+-?[\d.]+ ± [\d.]+\s+([\d.]+)$"
    found = {said: printed("likelihoods", pattern.format(re.escape(name))) for name, said in names.items()}
    (fashion,) = printed("images", r"^gaussian: .* nats, σ or s [\d.]+, ([\d.]+) ± [\d.]+ bits a pixel by mass")
    where = _chapter("likelihoods", "what-is-measured")
    other = _chapter("images", "fashion-mnist-images-of-grays")
    rows: Iterable[Row] = [
        *(("MNIST", name, "10", nats, bits, "2,000 test images", where) for name, (nats, bits) in found.items()),
        ("Fashion-MNIST", "Gaussian, learned σ", "10", "", fashion, "one training", other),
    ]
    return markdown(("Images", "Likelihood", "Latents", "ELBO, nats", "Bits per dimension", "± over", "From"), rows)


TABLES = {
    function.__name__: function
    for function in (conversions, constants, limits, thresholded, drawn, fixed, coins, densities, levels)
}


def table(name: str) -> str:
    """Return a table by its name, in Markdown."""
    return TABLES[name]()
