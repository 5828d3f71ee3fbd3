"""Every finding's meaning, and what to try."""

from collections.abc import Mapping
from types import MappingProxyType

WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "pixels out of range": (
            "The decoder can say nothing about such pixels. The cross-entropy of pixels above 1 has no lower bound, so "
            "the loss falls below zero and goes on falling.",
            "Scale the images to [0, 1] before anything else: vaecourse.data.scale divides by 255.",
        ),
        "non-finite weights": (
            "A step took the weights beyond what float32 holds, and nothing that follows can bring them back.",
            "Build the model anew with a learning rate ten times smaller; then look at the scale of the pixels.",
        ),
        "non-finite loss": (
            "Log-variances or outputs are so large that an exponential overflows. Weights may still be finite, if they "
            "are those of the step before. No more can be measured until it is cured.",
            "Build the model anew with a learning rate ten times smaller; then look at the scale of the pixels.",
        ),
        "likelihood of another form": (
            "Given the decoder's output, the loss is no multiple of −log p(x|z) by the model's own likelihood. So the "
            "weight of the KL is known only roughly.",
            "Find out what the loss compares: vaecourse.audit names the likelihood that a loss implies.",
        ),
        "kl of another form": (
            "Over mean and log-variance the loss is no multiple of KL(q ‖ N(0, I)): a term is missing or wrong, or the "
            "loss speaks of another prior or posterior, as a flow's does.",
            "Compare the loss's KL with vaecourse.objectives.analytic_kl at a few means and log-variances.",
        ),
        "log-likelihood weight not positive": (
            "A better reconstruction does not lower the loss.",
            "The loss is −log p(x|z) + KL: look at the sign of the first term, and whether it sees the decoder.",
        ),
        "mean over pixels": (
            "The reconstruction is averaged over pixels, and the KL is not. Next to it the KL weighs as many times too "
            "much as there are pixels, and the posterior collapses onto the prior.",
            "Sum over pixels, and take the mean over the batch last.",
        ),
        "kl weight zero": (
            "The KL is not in the loss: this is an autoencoder with noise, whose prior means nothing.",
            "Add the KL to the loss.",
        ),
        "kl weight negative": (
            "The loss rewards a large KL. It can be made as small as one likes by posteriors far from the prior.",
            "The loss is −log p(x|z) + KL: the sign of the KL, or of the expression under its sum, is reversed.",
        ),
        "kl weight doubled": (
            "The loss holds the KL twice. It is the objective of β = 2: still a bound, but not the ELBO.",
            "Look for a second place that adds the KL, such as a regularizer or a layer with add_loss.",
        ),
        "kl weight 1/d": (
            "The KL is averaged over the d latents where it should be summed. The loss is no bound, its β changes with "
            "d, and samples from the prior suffer for the sake of reconstructions.",
            "Sum the KL over latents; take the mean over the batch only.",
        ),
        "kl weight too small": (
            "The loss weighs the KL less than the ELBO does. It is no bound; posteriors grow narrow and move away from "
            "the prior, so that reconstructions are good and samples are not.",
            "Set β to 1, unless it is meant so; then compare models by the metric elbo, not by the loss.",
        ),
        "kl weight too large": (
            "The loss weighs the KL more than the ELBO does. Latents that do not pay for themselves are given up; if "
            "all are, every image is decoded alike.",
            "Set β to 1, unless it is meant so; look for a mean over pixels, or for a σ² that is not the likelihood's.",
        ),
        "sampler and kl disagree": (
            "z is drawn from another distribution than the one the KL is paid for, so the loss is no bound. A ratio "
            "that depends on the log-variance says that ln σ² is taken for ln σ, or for σ.",
            "Draw z = mean + exp(½ logvar) · eps.",
        ),
        "posterior collapse": (
            "No latent's mean depends on the image: the posterior is the prior, and z carries nothing.",
            "Look at the weight of the KL first. If it is 1, raise it from 0 over the first epochs, or train longer.",
        ),
        "decoder ignores latents": (
            "Whatever z is, the decoder returns the same image. All samples are alike.",
            "Look for what cuts z off: a factor of 0, the wrong tensor, dead units. Otherwise as for a collapse.",
        ),
        "aggregate posterior far from prior": (
            "The posteriors of all images together do not cover the prior. Samples from the prior fall where the "
            "decoder was never trained: good reconstructions, bad samples.",
            "Look at the weight of the KL. If it is 1, train longer, or use a more flexible prior.",
        ),
        "log-variances extreme": (
            "Some latents are as good as deterministic, or pure noise of enormous size; float32 runs out soon after.",
            "Lower the learning rate, look at sign and weight of the KL, or put a floor under the variance.",
        ),
        "pixels without gradient": (
            "These pixels are wrong, and the loss does not change with the decoder's output: no step can mend them.",
            "Let the decoder end in a dense or convolutional layer without activation, and hand the likelihood logits.",
        ),
        "probabilities confined": (
            "The decoder cannot reach the pixels it is asked for. A range of 0.5 to 0.731 is a sigmoid of a sigmoid; "
            "one close to 0.5 may be a model that has hardly been trained.",
            "Apply the sigmoid once: a decoder whose likelihood expects logits ends without activation.",
        ),
    }
)
"""Every finding's meaning, and what to try."""
