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
            "Given the decoder's output, the loss is no multiple of −log p(x|z) by the model's own likelihood. So "
            "there is no weight of the KL against it.",
            "Find out what the loss compares: vaecourse.audit names the likelihood that a loss implies.",
        ),
        "kl of another form": (
            "What the loss asks of the posterior is no multiple of a KL to a normal prior, neither of the distribution "
            "that z is drawn from nor of another: a term is missing or wrong, or it is meant to be something else, as "
            "free bits or a distance between distributions are.",
            "If a KL was meant, compare it with vaecourse.objectives.analytic_kl at a few means and log-variances.",
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
        "kl weight": (
            "A weight of the KL is a number only if the loss is a log-likelihood and a KL, each times something.",
            "See what is said of the two terms.",
        ),
        "sampler and kl disagree": (
            "z is drawn from another distribution than the one the KL is paid for, so the loss is no bound. A ratio "
            "that depends on the log-variance says that ln σ² is taken for ln σ, or for σ.",
            "Let sampler and KL read the encoder alike: with ln σ² in the KL, draw z = mean + exp(½ logvar) · eps.",
        ),
        "reconstruction compared with another image": (
            "Each output is compared with another image than the one that was encoded, so that z need not, and cannot, "
            "say anything of it.",
            "Look for a roll, a shuffle or a second batch between the encoder's input and the target.",
        ),
        "gradient cut": (
            "No gradient of the reconstruction reaches the encoder, which therefore learns the KL alone, and empties "
            "the latents. No weight of the KL, no schedule and no longer training will change that.",
            "Look for stop_gradient, .numpy(), float() or a rounding between the encoder and the decoder.",
        ),
        "gradient of σ cut": (
            "The gradient of the reconstruction reaches the means and not the σ of the posterior, which obey the KL "
            "alone and grow to the prior's, whatever the image needs.",
            "Look for a stop_gradient, or a constant, where the noise is multiplied by σ.",
        ),
        "gradient of the kl cut": (
            "The KL has its weight in the value of the loss, but its gradient does not reach the encoder: what is "
            "trained is an autoencoder with noise.",
            "Look for a stop_gradient, .numpy() or a metric's value where the KL is added.",
        ),
        "decoder without gradient": (
            "No weight of the decoder is moved by the reconstruction.",
            "Look for weights that are not trainable, for dead units at its end, and for an output off the graph.",
        ),
        "decoder told more than z": (
            "The decoder is handed what another network makes of the image, and no KL is paid for it. The loss is no "
            "bound: information about the image passes beside z at no cost.",
            "Hand the decoder the label itself, or add the KL of what it is told, as the semi-supervised model does.",
        ),
        "loss is not minus the elbo": (
            "The weights of both terms are right, and yet the loss is another number than minus the ELBO of the same "
            "images, by more than its noise: something else is in it.",
            "Print the terms of one batch beside the loss: look for a penalty, a term that is added twice, a target.",
        ),
        "loss is minus the elbo but for a constant": (
            "Loss and ELBO differ by the same number for every image, as where the normalizer of a density is left "
            "out. Gradients do not depend on it.",
            "Add the constant before the loss is compared with log-likelihoods of others.",
        ),
        "loss is not that of its parts": (
            "The loss of images differs from the loss of what encoder and decoder say of them, with z drawn as the KL "
            "reads: the target is another image, z is drawn otherwise, something else is in the loss, or networks with "
            "dropout or batch normalization are in another mode.",
            "Compare both on one batch, and look for what the loss does and its parts do not.",
        ),
        "images of a batch are mixed": (
            "The loss of a batch is not the mean of the losses of its images.",
            "Look for a target that is rolled or shuffled; with batch normalization, let the loss infer only.",
        ),
        "scale of the loss": (
            "Both terms are multiplied by one factor, which leaves the optimum where it is: the loss is a mean where "
            "others report a sum, or a sum over the batch. Learning rate, clipping and penalties count against it.",
            "Undo the factor before you compare; sum over pixels and latents, and average over images.",
        ),
        "prior is not standard normal": (
            "The KL is that to another normal distribution. It is a prior like any other if samples come from it.",
            "Draw z for samples from this prior, too.",
        ),
        "worse on held-out images": (
            "The model knows the images that it was trained on better than others: it overfits.",
            "Use more images, stop earlier, by the ELBO of held-out images, or take a smaller decoder, or dropout.",
        ),
        "latents not used": (
            "The other latents carry nothing, and cost nothing: at β = 1 that is what the ELBO asks for where an image "
            "can be told by fewer.",
            "Nothing, if the weight of the KL is 1. To look for more, begin with a smaller weight, and compare ELBOs.",
        ),
        "checkerboard": (
            "Decoded images have stripes of two pixels that the images do not have. Transposed convolutions draw them "
            "whose kernel is not a multiple of the stride: output pixels then get unequal numbers of inputs.",
            "Take kernels of 4 with strides of 2, or enlarge by UpSampling2D and convolve with stride 1.",
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
