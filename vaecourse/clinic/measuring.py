"""What is measured of a model: its loss, its gradients, the terms of its ELBO, its latents, its pixels, its prior.

The loss is treated as a black box, which :mod:`vaecourse.clinic.weighing` probes and :mod:`vaecourse.clinic.paths`
differentiates, whatever the class of the model, its options or its metrics call what they compute.

Terms are in nats.  log p(x|z) is that of the distribution of the pixels, whatever the model's own `log_likelihood`
does.  The posterior is the one that the KL is paid for; where that has no name, the one that z is drawn from.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from vaecourse.clinic import latents, paths, pictures, targets
from vaecourse.clinic.asking import loss_of
from vaecourse.clinic.divergences import READINGS
from vaecourse.clinic.normal import normal_kl
from vaecourse.clinic.stand_ins import StandIn, with_networks
from vaecourse.clinic.thresholds import THRESHOLDS
from vaecourse.clinic.weighing import Weighed, weigh
from vaecourse.measures.estimate import Estimate
from vaecourse.models import VAE, objectives

Measurements = dict[str, float | str | np.ndarray]

_BATCH = 250  # images decoded at once
_FLOW_SAMPLES = 16  # of z for each image, where the posterior has no moments in closed form


def of_the_loss(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int) -> tuple[Measurements, Weighed]:
    """Measure what the loss of a model weighs, from which distribution z is drawn, and which gradients arrive.

    Parameters
    ----------
    vae : VAE
        It is left alone.
    x : tensor `(batch, height, width, channels)`
        A few images.
    y : tensor `(batch,)`, optional
        Their labels, for a model that knows labels.
    seed : int
        Of the posteriors and outputs that stand-ins report.
    """
    weighed = weigh(vae, x, y, seed)
    measured: Measurements = {
        "kl weight": weighed.kl,
        "log-likelihood weight": weighed.likelihood,
        "loss that no KL explains": weighed.kl_error,
        "loss that no likelihood explains": weighed.likelihood_error,
        "target": targets.told(weighed.targets),
        "std of z over the KL's": np.array(weighed.ratio),
        "error of the std of z": weighed.std_error,
        "error of the mean of z": weighed.mean_error,
        "the KL reads": weighed.reading or "cannot be known",
        "mean of the prior": weighed.prior[0],
        "variance of the prior": weighed.prior[1],
        "why it is no KL": weighed.why,
        "told beside z": _told(vae, x, y),
    }
    return measured | _gradients(vae, x, y, seed), weighed


def of_the_images(
    vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int, weighed: Weighed, held_out: tf.Tensor | None = None
) -> Measurements:
    """Measure what a model makes of images: terms of its ELBO, latents, pixels, and how far the decoder heeds z.

    Parameters
    ----------
    vae : VAE
        It is left alone.
    x : tensor `(n, height, width, channels)`
    y : tensor `(n,)`, optional
        Labels, for a model that knows labels.
    seed : int
        Of the noise.
    weighed : Weighed
        What the loss has shown.
    held_out : tensor, optional
        Images, and without labels, that the model has not seen.

    Returns
    -------
    dict
        Where weights or losses are not finite, only what still can be measured.
    """
    each = _of_all(vae, x, y, seed, weighed)
    weights = np.concatenate([np.ravel(weight) for weight in vae.get_weights()])
    ends = vae.likelihood(tf.stack([tf.fill(vae.image_shape, tf.constant(end, x.dtype)) for end in (-20, 20)]))
    low, high = min(float(tf.reduce_min(ends)), 0.0) - 1e-3, max(float(tf.reduce_max(ends)), 1.0) + 1e-3
    finite = np.isfinite(each["loss"]) & np.isfinite(each["log_likelihood"]) & np.isfinite(each["kl"])
    measured: Measurements = {
        "share of non-finite weights": float((~np.isfinite(weights)).mean()),
        "share of non-finite losses": float((~finite).mean()),
        "smallest pixel": float(np.min(x)),
        "largest pixel": float(np.max(x)),
        "share of pixels out of range": float(np.mean((x < low) | (x > high))),
    }
    if measured["share of non-finite weights"] or not finite.all():
        return measured
    pixels = pictures.of_the_pixels(each, x.numpy())
    measured |= _of_the_terms(each, weighed) | latents.of_the_latents(each, weighed.prior) | pixels
    if held_out is not None:
        elbo = _of_all(vae, held_out, None, seed, weighed)["elbo"]
        measured |= pictures.gap(Estimate.of(each["elbo"]), Estimate.of(elbo))
    return measured | _of_the_prior(vae, x, y, seed, weighed.prior)


def _of_all(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int, weighed: Weighed) -> dict[str, np.ndarray]:
    parts = []
    for start in range(0, len(x), _BATCH):
        batch = slice(start, start + _BATCH)
        parts.append(_of_a_batch(vae, x[batch], None if y is None else y[batch], (seed, start), weighed))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_a_batch(
    vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: tuple[int, int], weighed: Weighed
) -> dict[str, np.ndarray]:
    """Return everything per image; z is drawn from the posterior that the KL assumes, whatever the model draws."""
    noise = tf.random.stateless_normal(vae.noise(len(x), 0).shape, seed, dtype=x.dtype)
    samples = tf.reshape(noise, (-1, len(x), vae.latent_dim))
    mean, logvar, z, log_q = _posterior(vae, x, y, samples, weighed)
    decoder = StandIn(vae.decoder)
    with_networks(vae, decoder=decoder).decode(z[0], y)
    output = tf.convert_to_tensor(decoder.said)
    with tf.GradientTape() as tape:
        tape.watch(output)
        log_likelihood = vae.likelihood.distribution(output).log_prob(x)
    center, variance = weighed.prior
    log_prior = -0.5 * tf.reduce_sum((z - center) ** 2 / variance + np.log(2 * np.pi * variance), axis=-1)
    kl = log_q[0] - log_prior[0]
    if logvar is not None:
        kl = normal_kl(mean.numpy(), tf.exp(0.5 * logvar).numpy(), center, variance).sum(axis=-1)
    bound = log_likelihood - kl
    if len(samples) > 1:  # the importance-weighted bound of as many samples, or the mean of their ELBOs
        others = [log_likelihood] + [vae.decode(one, y).log_prob(x) for one in z[1:]]
        log_weights = tf.stack(others) + log_prior - log_q
        bound = objectives.importance_weighted_bound(log_weights)
    each = {
        "loss": np.broadcast_to(loss_of(vae, x, y, noise), len(x)),
        "mean": mean,
        "z": z[0],
        "log_likelihood": log_likelihood,
        "kl": kl,
        "elbo": log_likelihood - kl,
        "bound": bound,
        "beside": vae.beside_the_bound(x, y),
        "image": vae.likelihood(output),
        "gradient": tape.gradient(log_likelihood, output),
    }
    return {name: np.asarray(value) for name, value in (each | ({} if logvar is None else {"logvar": logvar})).items()}


def _posterior(
    vae: VAE, x: tf.Tensor, y: tf.Tensor | None, samples: tf.Tensor, weighed: Weighed
) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor, tf.Tensor]:
    """Return mean and log-variance of q(z|x), samples of it, and their log q; of a flow, there is no log-variance."""
    mean, second = vae.posterior_parameters(x, y)
    if type(vae).sample_and_log_q is not VAE.sample_and_log_q:
        z, log_q = vae.sample_and_log_q(mean, second, samples)
        shape, seed = (_FLOW_SAMPLES, *mean.shape), (len(x), _FLOW_SAMPLES)
        many = vae.sample_and_log_q(mean, second, tf.random.stateless_normal(shape, seed, dtype=x.dtype))[0]
        return tf.reduce_mean(many, axis=0), None, z, log_q
    if weighed.reading in READINGS:
        logvar = 2 * np.log(np.abs(READINGS[weighed.reading].deviation(second.numpy().astype(float))) + 1e-30)
    elif weighed.drawn and not weighed.why:
        mean, logvar = _as_drawn(vae, x, y)
    else:
        logvar = second
    logvar = tf.cast(logvar, x.dtype)
    log_q = -0.5 * tf.reduce_sum(samples**2 + logvar + np.log(2 * np.pi), axis=-1)
    return mean, logvar, objectives.reparameterize(mean, logvar, samples), log_q


def _as_drawn(vae: VAE, x: tf.Tensor, y: tf.Tensor | None) -> tuple[tf.Tensor, np.ndarray]:
    """Return mean and log-variance of the z that the decoder is handed, whatever the encoder calls them."""
    handed = []
    for sign in (1, -1):
        decoder = StandIn(vae.decoder, np.zeros((1, *vae.image_shape), np.float32))
        loss_of(with_networks(vae, decoder=decoder), x, y, sign * tf.ones_like(vae.noise(len(x), 0)))
        handed.append([tf.convert_to_tensor(given)[: len(x), : vae.latent_dim] for given in decoder.asked])
    up, down = max(zip(*handed, strict=True), key=lambda pair: float(tf.reduce_mean(tf.abs(pair[0] - pair[1]))))
    return (up + down) / 2, 2 * np.log(np.abs(up - down) / 2 + 1e-30)


def _gradients(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int) -> Measurements:
    noise = tf.random.stateless_normal(vae.noise(len(x), 0).shape, (seed, -2), dtype=x.dtype)

    def loss(said: list[tf.Tensor], decoder: paths.Network) -> tf.Tensor:
        probed = with_networks(vae, encoder=StandIn(vae.encoder, said[0]), decoder=decoder)
        return tf.reduce_mean(loss_of(probed, x, y, noise))

    def said() -> list[tf.Tensor]:
        encoder = StandIn(vae.encoder)
        with_networks(vae, encoder=encoder).posterior_parameters(x, y)
        return [tf.convert_to_tensor(encoder.said)]

    asked = StandIn(vae.encoder)
    with_networks(vae, encoder=asked).posterior_parameters(x, y)
    if asked.said is None:  # a model whose posterior does not come from its encoder
        return {}
    weights = (vae.encoder.trainable_variables, vae.decoder.trainable_variables)
    return dict(paths.gradients(paths.Rehearsal(loss, said, vae.decoder, weights)))


def _told(vae: VAE, x: tf.Tensor, y: tf.Tensor | None) -> str:
    """Say what the decoder is handed beside z: at equal labels, what varies was made of the image."""
    if not vae.classes or y is None:
        return "nothing"
    decoder = StandIn(vae.decoder)
    loss_of(with_networks(vae, decoder=decoder), x, y, vae.noise(len(x), 0))
    given = np.asarray(decoder.given)[: len(x), vae.latent_dim :]
    told = np.array_equal(given, vae.probabilities(tf.maximum(y, 0) if y.dtype.is_integer else y))
    return "the label" if told else "what a network makes of the image"


def _of_the_terms(each: Mapping[str, np.ndarray], weighed: Weighed) -> Measurements:
    elbo = Estimate.of(each["elbo"])
    terms: Measurements = {
        "loss": float(each["loss"].mean()),
        "elbo": elbo.mean,
        "elbo standard error": elbo.standard_error,
        "log_likelihood": float(each["log_likelihood"].mean()),
        "kl": float(each["kl"].mean()),
    }
    if not (weighed.likelihood > 0 and abs(weighed.kl - 1) < THRESHOLDS.weight):
        return terms
    # The loss is to be −ELBO or, with several samples, the importance-weighted bound; either is right.
    losses = each["loss"] / weighed.likelihood - each["beside"]
    offsets = [Estimate.of(losses + each[name]) for name in ("elbo", "bound")]
    error = elbo.standard_error if np.ptp(each["loss"]) == 0 else 0.0
    nearest = min(offsets, key=lambda offset: abs(offset.mean))
    spread = float(np.std(losses + each["elbo"]))
    return terms | {
        "loss + elbo": nearest.mean,
        "loss + elbo, standard error": max(nearest.standard_error, error),
        "loss + elbo, spread over images": spread,
        "of the loss, for a classifier": float(each["beside"].mean()),
    }


def _of_the_prior(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int, prior: tuple[float, float]) -> Measurements:
    z = tf.random.stateless_normal((100, vae.latent_dim), (seed, -1), dtype=x.dtype) * prior[1] ** 0.5 + prior[0]
    y = None if y is None else tf.repeat(y[:1], len(z), axis=0)
    return dict(pictures.dependence(vae.decode(z, y).mean(), x))
