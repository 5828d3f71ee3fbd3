"""Where a measurement of a model becomes a finding."""

from typing import NamedTuple


class Thresholds(NamedTuple):
    """Where a measurement becomes a finding, each with its reason."""

    weight: float = 0.02
    """Relative error of a weight in the loss: probing is exact to 10⁻³, and a slip changes a weight by more."""
    zero: float = 1e-5
    """Weight of the KL that counts as none: what remains of rounding."""
    form: float = 0.01
    """Share of the loss that no multiple of the KL, or of the log-likelihood, explains: rounding leaves 10⁻⁴."""
    drawn: float = 0.02
    """Relative error of the standard deviation and mean of z: rounding leaves 10⁻⁵."""
    active: float = 0.01
    """Variance over images of the posterior mean of an active latent :cite:p:`burda2016`."""
    collapsed: float = 0.05
    """Nats of KL: early in a training all means may agree and yet be far from the prior's."""
    dependence: float = 1e-5
    """Variance of decoded pixels over z, per variance of pixels over images: after few steps 10⁻³, unused 10⁻¹²."""
    aggregate: float = 10.0
    """Nats per latent from aggregate posterior to prior, of a spread or shift of about five; after few steps, 3."""
    wrong: float = 0.5
    """How far the mean of a wrong pixel is off: no threshold on ink would tell it from its opposite."""
    dead: float = 1e-3
    """Share of wrong pixels without gradient: from logits it is 0."""
    reach: float = 0.2
    """How far a pixel is from the nearest that is ever decoded, to be out of reach."""
    confined: float = 0.5
    """Share of pixels out of reach: it takes the background, since a blurred image lacks no more than its ink."""
    logvar: float = 20.0
    """Size of a log-variance: beyond it σ is below 5·10⁻⁵ or above 2·10⁴, and float32 runs out soon after."""
    errors: float = 4.0
    """Standard errors by which two means over images differ that are called different: 1 in 16,000 by chance."""
    offset: float = 0.5
    """Nats by which loss and −ELBO differ where it matters: rounding of float32 leaves 10⁻³."""
    overfit: float = 0.01
    """Nats per pixel by which held-out images are worse: 8 nats of a digit; sound models here lose 1 to 3."""
    checkerboard: float = 5.0
    """How many times more a pattern of period two stands out of its neighbors than in the images: sound, below 2."""
    estimate: float = 0.2
    """Relative standard error of a weight that is only estimated, beyond which it cannot be known."""


THRESHOLDS = Thresholds()
