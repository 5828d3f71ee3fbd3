r"""What a loss optimizes: the likelihood, the β and the σ² that an arbitrary callable implies.

The loss a Σ(x − output)² + b KL is a VAE's for every σ², with β = b/(2σ²a): the two cannot be told apart unless the
loss has a normalizer, or somebody says which σ² is meant.  :func:`effective_objective` finds such coefficients, and
what they mean, by calling the loss at inputs of its own choosing.  It reads no code, and needs no model.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vaecourse.clinic import divergences, probing, reconstructions, samplers
from vaecourse.clinic.own import OwnModel
from vaecourse.data import IMAGE_SHAPE

_LikelihoodLine = probing.Line[reconstructions.Name]


@dataclass(frozen=True)
class Objective:
    """What a loss optimizes, as far as it can be known; what cannot be is None, and the notes say why.

    Attributes
    ----------
    family : str
        ``"Bernoulli"``, ``"continuous Bernoulli"``, ``"Gaussian"``, ``"Laplace"`` or ``"none of these"``.
    output : str
        What the decoder's output is: ``"probability"``, ``"logits"``, ``"mean"``, the mean before its ``"sigmoid"``,
        ``"mean of 2x − 1"``, of images in [−1, 1], or what is before the tanh of that, ``"tanh, mean of 2x − 1"``.
    product : float
        What is known of β whatever the scale is: β·2σ² of a Gaussian, β·b of a Laplace, β of the others.
    scale : float
        σ² of a Gaussian or b of a Laplace, where the loss has their normalizer or it was given.
    beta : float
        Weight of the KL against the log-likelihood, both in nats.
    posterior, sampler : str
        What the KL, and the sampler, take their second argument for, a key of
        :data:`vaecourse.clinic.divergences.READINGS`.
    prior : (float, float)
        Mean and variance of the normal distribution to which the KL is, the same for all latents.
    probed : str
        The range over which the loss was called, on all of which the rest holds.
    notes : tuple of str
    """

    family: str
    output: str | None = None
    product: float | None = None
    scale: float | None = None
    beta: float | None = None
    posterior: str | None = None
    sampler: str | None = None
    prior: tuple[float, float] | None = None
    probed: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sampler_agrees(self) -> bool | None:
        """Whether the sampler draws from the distribution of the KL; None if either is unknown."""
        return None if self.sampler is None or self.posterior is None else self.sampler == self.posterior

    def __str__(self) -> str:
        names = {"Gaussian": ("β·2σ²", "pixel σ²"), "Laplace": ("β·b", "b")}.get(self.family, ())
        numbers = dict(zip(names, (self.product, self.scale), strict=False))
        rows = {"likelihood": self.family + (f", output read as {self.output}" if self.output else "")}
        for name, value in (numbers | {"β": self.beta}).items():
            rows[name] = "cannot be known" if value is None else f"{value:.4g}"
        rows["KL"] = "none that is known here"
        if self.posterior and self.prior:
            prior = divergences.normal(*self.prior) + " for each latent" * (self.prior != (0, 1))
            rows["KL"] = f"to {prior}; the posterior's σ is given as {self.posterior}"
        rows["probed"] = self.probed
        entries = [*rows.items(), *(("note", note) for note in self.notes)]
        return "\n".join(textwrap.fill(f"{name:12}{text}", 87, subsequent_indent=12 * " ") for name, text in entries)

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


def effective_objective(
    loss: Callable | OwnModel,
    sampler: Callable | None = None,
    *,
    sigma2: float | None = None,
    b: float | None = None,
    latent_dim: int = 2,
    image_shape: tuple[int, int, int] = IMAGE_SHAPE,
    batch_size: int = 8,
) -> Objective:
    r"""Find out by probing what a loss optimizes.

    Varied alone, the reconstruction must give a straight line against the energy of a family, with slope A and
    intercept C, and the posterior one against ½ Σ (mean² + σ² − ln σ² − 1), with slope B.  A factor s common to both,
    from means over pixels or the batch, drops out of B/A: that is β for the Bernoullis, β·2σ² for a Gaussian, whose A
    is s/2σ², and β·b for a Laplace, whose A is s/b.

    What fits is tried where trained models live: at log-variances from −10 to 2, close to the prior and far from it, at
    extreme outputs.  A KL that is none on a part of that range, because of a floor, a clip or a lost sign, has no β.

    The scale shows in C, if that is the normalizer.  But σ² ln 2πσ² = C/(A · pixels) has a solution for almost any
    constant, and two where it is negative.  So the scale counts as known only where one of the usual s (sums or means
    over pixels, channels and the batch) gives, with A, a σ² or b of which C is the normalizer, or that but for ½ ln 2π.

    Parameters
    ----------
    loss : callable or OwnModel
        ``loss(x, output, mean, logvar)`` with float32 arrays `x` and `output` `(batch, height, width, channels)`,
        `mean` and `logvar` `(batch, latent_dim)`; returns a number, whatever the reduction, or one for each image, by
        NumPy or eager TensorFlow.  A loss that needs noise takes it as a fifth argument `eps` `(batch, latent_dim)`:
        it is probed at eps = 1 and −1, over which the mean of a sampled KL is exact.  Of a model, such as
        :func:`vaecourse.clinic.own.from_keras` returns, its `loss_of_parts` and its `sampler` are taken.
    sampler : callable, optional
        ``sampler(mean, logvar, eps)``, or ``sampler(mean, logvar)`` if it draws by itself: then the moments of 40,000
        draws decide, correlation and kurtosis among them.
    sigma2, b : float, optional
        The σ² of a Gaussian, or the b of a Laplace, that the author of the loss states.
    latent_dim, image_shape, batch_size : int, (height, width, channels), int
        Of the model and its training: means depend on them.  Whether β depends on the batch is tested.

    Raises
    ------
    TypeError
        If the loss is none, or returns no number.
    ValueError
        If it returns another shape, a value that is not finite at legal inputs, or another value at a second call; if
        `sigma2` or `b` is not positive, belongs to another family, or contradicts the normalizer of the loss.
    """
    call, sampler = _taken(loss, sampler)
    if latent_dim < 1 or batch_size < 2 or len(image_shape) != 3 or min(image_shape) < 1:
        sizes = f"latent_dim={latent_dim}, batch_size={batch_size}, image_shape={image_shape}"
        raise ValueError(f"expected a latent, two images, and images (height, width, channels) at least, got {sizes}")
    probe = probing.Prober(call, (batch_size, *image_shape), (batch_size, latent_dim))
    likelihood, notes = reconstructions.likelihood(probe)
    kl = divergences.kl_term(probe.of_the_latents, probe.latents)
    notes += ["there is no KL: β = 0, an autoencoder"] * (kl.kind == "none")
    notes += [f"β cannot be known: what depends on mean and logvar is no KL to N(0, I); {why}" for why in kl.notes]
    family, output = likelihood.name if likelihood else ("none of these", None)
    product: float | None = None
    if likelihood and kl.kind != "other":
        double = probing.Prober(call, (2 * batch_size, *image_shape), (2 * batch_size, latent_dim))
        if not _is_their_sum(probe, likelihood, kl):
            notes += ["β cannot be known: the loss is not the sum of a reconstruction and a KL"]
        else:
            product = kl.slope / likelihood.slope
            notes += ["the KL is subtracted: far from the prior is rewarded"] * (product < 0)
            if not _is_their_sum(double, likelihood, kl):
                notes += [f"β depends on the size of the batch; this is its value for {batch_size} images"]
    scale, more = reconstructions.scale(probe, likelihood, kl, sigma2=sigma2, b=b)
    notes += more
    beta = product
    if product and family in reconstructions.SCALES:
        beta = product / (reconstructions.SCALES[family][1] * scale) if scale else None
    drawn, more = _sampler(sampler, latent_dim, kl.reading) if sampler else (None, [])
    probe.refuse_what_changes()
    prior = (kl.prior_mean, kl.prior_variance) if kl.reading else None
    return Objective(family, output, product, scale, beta, kl.reading, drawn, prior, _range(output), (*notes, *more))


def _taken(loss: Callable | OwnModel, sampler: Callable | None) -> tuple[Callable, Callable | None]:
    """Return a loss of four or five arguments, and a sampler."""
    if isinstance(loss, OwnModel):
        if loss.loss_of_parts is None:
            raise TypeError(
                "the model has no loss_of_parts: an audit varies what the networks say, which loss(x) does not allow; "
                "vaecourse.diagnose estimates the weights of its terms from images"
            )
        return loss.loss_of_parts, sampler or loss.sampler
    if not callable(loss):
        raise TypeError(
            f"expected a loss (x, output, mean, logvar), got {type(loss).__name__}; a hand-written keras.Model goes "
            "through vaecourse.clinic.own.from_keras"
        )
    return loss, sampler


def _range(output: str | None) -> str:
    """Say over which range a loss is called."""
    least, most = reconstructions.OUTPUTS[output]
    low, high = divergences.LOG_VARIANCES
    return (
        f"pixels 0 to 1, outputs {least:g} to {most:g}, ln σ² of the posterior {low:g} to {high:g}, means within "
        f"{divergences.MEANS:g}, and close to the prior"
    ).replace("-", "−")


def _is_their_sum(probe: probing.Prober, likelihood: _LikelihoodLine, kl: divergences.KLTerm) -> bool:
    """Whether varying both terms at once does what varying each alone did, up to a common factor."""
    x, output = probing.paired_stacks(probe.images, (0, 1), reconstructions.OUTPUTS[None], stream=3)
    x = np.broadcast_to(x[:1], x.shape)  # a term of the image alone would be none of the sum's business
    latents = kl.stacks(probe.latents, stream=4)
    losses = probe(x, output, *latents, finite=False)
    energies = likelihood.slope * reconstructions.energy(likelihood.name, x, output)
    divergence = kl.slope * kl.divergence(*latents)
    matrix = np.stack([energies, divergence, np.ones(len(losses))], axis=1)
    if not np.isfinite(losses).all():
        return False
    weights, noise = np.linalg.lstsq(matrix, losses)[0], probing.rounding_error(losses)
    straight = np.std(losses - matrix @ weights) < 3 * probing.TOLERANCE * np.std(losses) + noise
    return bool(straight and (not kl.reading or abs(weights[1] / weights[0] - 1) < 0.02 + noise / np.std(divergence)))


def _sampler(sampler: Callable, latent_dim: int, posterior: str | None) -> tuple[str | None, list[str]]:
    drawn = samplers.sampler_reading(sampler, latent_dim)
    if drawn.reading is None:
        what = "the sampler does not draw around the mean with a standard deviation that is known here"
        return None, [f"{what}: {drawn.flaw}"]
    if posterior is None:
        return drawn.reading, [
            f"the sampler takes its second argument for {drawn.reading}; there is no KL to compare it with"
        ]
    if drawn.reading == posterior:
        return drawn.reading, ["the sampler draws from the distribution of the KL"]
    return drawn.reading, [
        f"the sampler takes its second argument for {drawn.reading}, the KL for {posterior}: no bound at any β"
    ]
