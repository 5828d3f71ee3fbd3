"""What is measured of a model: its loss, the terms of its ELBO, its latents, its pixels, its prior.

The loss is treated as a black box.  While it is probed, stand-ins take the place of the two networks: one says what
posterior the encoder is to report, the other answers as the decoder and keeps the z that it was handed.  So the weight
of the KL, the weight of the log-likelihood and the standard deviation that is really drawn are read off what `fit`
minimizes, whatever the class of the model, its options or its metrics call them.

Terms are in nats.  log p(x|z) is that of the distribution of the pixels, whatever the model's own `log_likelihood`
does.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vaecourse.clinic import findings
from vaecourse.clinic.stand_ins import StandIn, with_networks
from vaecourse.measures.estimate import Estimate
from vaecourse.measures.latents import active_by_means
from vaecourse.models import VAE, objectives

tfd = tfp.distributions

Measurements = dict[str, float | np.ndarray]

_BATCH = 250  # images decoded at once


def of_the_loss(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int) -> Measurements:
    """Measure by probing what the loss of a model weighs, and what z its sampler draws.

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

    Returns
    -------
    dict
        Weights of both terms, how far the loss is from a multiple of each, and what is drawn per what the KL assumes.
    """
    rng = np.random.default_rng(seed)
    d = vae.latent_dim

    def loss(parameters: np.ndarray, output: np.ndarray, sign: float = 1.0) -> tuple[float, list, np.ndarray]:
        encoder, decoder = StandIn(vae.encoder, parameters), StandIn(vae.decoder, output)
        probed = with_networks(vae, encoder=encoder, decoder=decoder)
        eps = sign * tf.ones_like(vae.noise(len(x), 0))
        value = float(tf.reduce_mean(_loss(probed, x, y, eps)))
        posterior = [tensor[0].numpy().astype(float) for tensor in probed.posterior_parameters(x, y)]
        z = np.full(d, np.nan) if decoder.given is None else decoder.given[0, :d].numpy().astype(float)
        return value, posterior, z

    black = np.zeros(vae.image_shape)
    losses, kls, drawn, assumed = [], [], [], []
    for size in (*6 * [0], *range(3, 21, 3)):  # where means are large, log-variances would hardly show
        parameters = np.concatenate([size * rng.normal(size=d), rng.uniform(-5, 3, d)])
        (up, (mean, logvar), z), (down, _, other) = (loss(parameters, black, sign) for sign in (1, -1))
        losses.append((up + down) / 2)
        kls.append(float(objectives.analytic_kl(mean, logvar)))
        drawn.append(np.stack([(z + other) / 2, (z - other) / 2]))
        assumed.append(np.stack([mean, np.exp(logvar / 2)]))
    kl_slope = _slope(kls, losses)[0]
    kl_error = _unexplained(kls[:6], losses[:6], kl_slope)
    outputs = 2 * rng.normal(size=(12, *vae.image_shape))
    log_likelihoods = [
        float(tf.reduce_mean(_log_likelihood(vae, tf.constant(output[np.newaxis], x.dtype), x))) for output in outputs
    ]
    slope, error = _slope(log_likelihoods, [-loss(np.zeros(2 * d), output)[0] for output in outputs])
    (center, std), (mean, sigma) = np.stack(drawn, axis=1), np.stack(assumed, axis=1)
    ratio = np.abs(std) / sigma
    return {
        "kl weight": kl_slope / slope if slope > 0 else np.nan,
        "log-likelihood weight": slope,
        "kl form error": kl_error,
        "log-likelihood form error": error,
        "drawn std per assumed": np.array([ratio.min(), ratio.max()]),
        "drawn std error": float(np.abs(ratio - 1).max()),
        "drawn mean error": float((np.abs(center - mean) / (1 + np.abs(mean))).max()),
    }


def of_the_images(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int) -> Measurements:
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

    Returns
    -------
    dict
        Where weights or losses are not finite, only what still can be measured.
    """
    parts = []
    for start in range(0, len(x), _BATCH):
        batch = slice(start, start + _BATCH)
        parts.append(_of_a_batch(vae, x[batch], None if y is None else y[batch], (seed, start)))
    each = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    weights = np.concatenate([np.ravel(weight) for weight in vae.get_weights()])
    ends = vae.likelihood(tf.stack([tf.fill(vae.image_shape, tf.constant(end, x.dtype)) for end in (-20, 20)]))
    low, high = tf.reduce_min(ends) - 1e-3, tf.reduce_max(ends) + 1e-3
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
    terms, latents, pixels = _of_the_terms(each), _of_the_latents(each), _of_the_pixels(each, x.numpy())
    return measured | terms | latents | pixels | _of_the_prior(vae, x, y, seed)


def _of_a_batch(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return everything per image; z is drawn from the posterior that the KL assumes, whatever the model draws."""
    noise = tf.random.stateless_normal(vae.noise(len(x), 0).shape, seed, dtype=x.dtype)
    mean, logvar = vae.posterior_parameters(x, y)
    z = objectives.reparameterize(mean, logvar, tf.reshape(noise, (-1, *mean.shape))[0])
    decoder = StandIn(vae.decoder)
    with_networks(vae, decoder=decoder).decode(z, y)
    output = tf.convert_to_tensor(decoder.said)
    with tf.GradientTape() as tape:
        tape.watch(output)
        log_likelihood = _log_likelihood(vae, output, x)
    each = {
        "loss": np.broadcast_to(_loss(vae, x, y, noise), len(x)),
        "mean": mean,
        "logvar": logvar,
        "z": z,
        "log_likelihood": log_likelihood,
        "kl": objectives.analytic_kl(mean, logvar),
        "image": vae.likelihood(output),
        "gradient": tape.gradient(log_likelihood, output),
    }
    return {name: np.asarray(value) for name, value in each.items()}


def _of_the_terms(each: Mapping[str, np.ndarray]) -> Measurements:
    elbo = Estimate.of(objectives.elbo(each["log_likelihood"], each["kl"]))
    return {
        "loss": float(each["loss"].mean()),
        "elbo": elbo.mean,
        "elbo standard error": elbo.standard_error,
        "log_likelihood": float(each["log_likelihood"].mean()),
        "kl": float(each["kl"].mean()),
    }


def _of_the_latents(each: Mapping[str, np.ndarray]) -> Measurements:
    mean, logvar, z = (each[name].astype(float) for name in ("mean", "logvar", "z"))
    information = Estimate.of(_log_posterior_ratio(mean, logvar, z))
    center, covariance = mean.mean(axis=0), np.atleast_2d(np.cov(mean, rowvar=False, bias=True))
    covariance = covariance + np.diag(np.exp(logvar).mean(axis=0))
    from_below = 0.5 * (np.trace(covariance) + center @ center - len(center) - np.linalg.slogdet(covariance)[1])
    active = active_by_means(mean, findings.THRESHOLDS.active)
    return {
        "kl per latent": 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0),
        "active units": int(active.sum()),
        "active": active,
        "mutual information": information.mean,
        "mutual information standard error": information.standard_error,
        "mutual information at most": float(np.log(len(mean))),
        "aggregate mean": center,
        "aggregate variance": np.diag(covariance),
        "aggregate kl": float(each["kl"].mean()) - information.mean,
        "aggregate kl, from below": float(from_below),
        "smallest log-variance": float(logvar.min()),
        "largest log-variance": float(logvar.max()),
    }


def _log_posterior_ratio(mean: np.ndarray, logvar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return log q(z|x) − log q(z) of each image's z, q(z) being the mixture of the posteriors of all."""
    posteriors = tfd.Normal(mean, np.exp(logvar / 2))

    def log_posterior(z: np.ndarray) -> tf.Tensor:
        return tf.reduce_sum(posteriors.log_prob(z), axis=-1)

    portions = np.array_split(z[:, np.newaxis], -(-len(z) // 50))  # all pairs of z and posterior, some at a time
    log_mixture = [tf.reduce_logsumexp(log_posterior(some), axis=1) for some in portions]
    return (log_posterior(z) - tf.concat(log_mixture, axis=0)).numpy() + np.log(len(z))


def _of_the_pixels(each: Mapping[str, np.ndarray], x: np.ndarray) -> Measurements:
    t, image, flat = findings.THRESHOLDS, each["image"], each["gradient"] == 0
    low, high = float(image.min()), float(image.max())
    wrong = np.abs(image - x) > t.wrong
    return {
        "smallest decoded pixel": low,
        "largest decoded pixel": high,
        "share of pixels out of reach": float(np.mean((x < low - t.reach) | (x > high + t.reach))),
        "share of wrong pixels": float(wrong.mean()),
        "share of zero-gradient pixels": float(flat.mean()),
        "share of wrong pixels without gradient": float(flat[wrong].mean()) if wrong.any() else 0.0,
    }


def _of_the_prior(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, seed: int) -> Measurements:
    z = tf.random.stateless_normal((100, vae.latent_dim), (seed, -1), dtype=x.dtype)
    y = None if y is None else tf.repeat(y[:1], len(z), axis=0)
    decoded = vae.decode(z, y).mean()
    return {"decoded variance per image variance": float(np.var(decoded, axis=0).mean() / np.var(x, axis=0).mean())}


def _loss(vae: VAE, x: tf.Tensor, y: tf.Tensor | None, eps: tf.Tensor) -> tf.Tensor:
    """Return what `fit` minimizes, but for the penalties of regularizers."""
    return next(iter(vae.objective(x, y, eps).values()))


def _log_likelihood(vae: VAE, output: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    return vae.likelihood.distribution(output).log_prob(x)


def _slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return the slope of y over x, and the share of y's spread that no straight line explains."""
    if not np.isfinite([x, y]).all():
        return np.nan, np.nan
    deviation = np.asarray(x) - np.mean(x)
    slope = float(deviation @ y / max(deviation @ deviation, 1e-12))
    return slope, _unexplained(x, y, slope)


def _unexplained(x: Sequence[float], y: Sequence[float], slope: float) -> float:
    rest = np.asarray(y) - slope * np.asarray(x)
    return float(np.std(rest) / (np.std(y) + 1e-4 * np.abs(y).max()))  # a loss that does not change is no error
