"""The program of the chapter "A VAE from an empty file", in Keras."""

import math

import keras
import tensorflow as tf
from keras import layers
from keras.saving import deserialize_keras_object, serialize_keras_object


def build_encoder(image_shape, latent_dim, hidden=256):
    image = [keras.Input(image_shape), layers.Flatten()]
    dense = [layers.Dense(hidden, activation="relu"), layers.Dense(2 * latent_dim)]
    return keras.Sequential([*image, *dense], name="encoder")


def build_decoder(image_shape, latent_dim, hidden=256):
    latents = [keras.Input((latent_dim,)), layers.Dense(hidden, activation="relu")]
    pixels = [layers.Dense(math.prod(image_shape)), layers.Reshape(image_shape)]
    return keras.Sequential([*latents, *pixels], name="decoder")


def terms(encoder, decoder, x, eps, training=False):
    mean, logvar = tf.split(encoder(x, training=training), 2, axis=-1)
    z = mean + tf.exp(0.5 * logvar) * eps
    logits = decoder(z, training=training)
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
    log_likelihood = -tf.reduce_sum(cross_entropy, axis=(1, 2, 3))
    kl = 0.5 * tf.reduce_sum(mean**2 + tf.exp(logvar) - logvar - 1.0, axis=-1)
    return log_likelihood, kl


def new_means():
    return {name: keras.metrics.Mean(name) for name in ("loss", "log_likelihood", "kl")}


def record(means, log_likelihood, kl):
    per_image = {"loss": kl - log_likelihood, "log_likelihood": log_likelihood, "kl": kl}
    for name, values in per_image.items():
        means[name].update_state(values)
    return {name: mean.result() for name, mean in means.items()}


class EncoderDecoder(keras.Model):
    def __init__(self, encoder, decoder, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.seed = encoder, decoder, seed
        self.means = new_means()
        self(tf.zeros((1, *encoder.input_shape[1:])))  # so that Keras calls the model built

    def call(self, x, training=False):
        mean, _ = tf.split(self.encoder(x, training=training), 2, axis=-1)
        return tf.sigmoid(self.decoder(mean, training=training))

    def noise(self, x, seed, step):
        shape = (tf.shape(x)[0], self.decoder.input_shape[-1])
        return tf.random.stateless_normal(shape, (seed, tf.cast(step, tf.int32)))

    def get_config(self):
        encoder, decoder = map(serialize_keras_object, (self.encoder, self.decoder))
        parts = {"encoder": encoder, "decoder": decoder, "seed": self.seed}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config):
        parts = {key: deserialize_keras_object(config[key]) for key in ("encoder", "decoder")}
        return cls(**{**config, **parts})


@keras.saving.register_keras_serializable("from_scratch")
class VAE(EncoderDecoder):
    def train_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        eps = self.noise(x, self.seed, self.optimizer.iterations)
        with tf.GradientTape() as tape:
            log_likelihood, kl = terms(self.encoder, self.decoder, x, eps, training=True)
            loss = tf.reduce_mean(kl - log_likelihood)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return record(self.means, log_likelihood, kl)

    def test_step(self, data):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        eps = self.noise(x, -1 - self.seed, self.means["loss"].count)
        return record(self.means, *terms(self.encoder, self.decoder, x, eps))

    @property
    def metrics(self):
        return list(self.means.values())
