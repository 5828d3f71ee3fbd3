/* Models: from the output of a decoder to p(x|z), the terms of the ELBO, and a VAE that encodes and decodes. */
vaecourseLive.add("models", (live) => {
  "use strict";
  const { LN_2PI, sigmoid, softplus, logSigmoid } = live.part("maths");
  const { network } = live.part("engine");

  const HALF = 0.5 / 255; // half the width of a bin
  const ALMOST_ONE = Math.fround(1 - 1e-7); // as single precision has it
  const location = (family, o) => (family.mean === "sigmoid" ? sigmoid(o) : o);

  /** Mean and log-probability of one pixel for every family; `s` is the scale, where there is one. */
  const FAMILIES = {
    bernoulli: {
      mean: (family, o) => sigmoid(o),
      logProb: (family, o, x) => x * o - softplus(o),
    },
    rectified: {
      mean: (family, o) => Math.min(Math.max(o, 1e-7), ALMOST_ONE),
      logProb: (family, o, x) => {
        const p = Math.min(Math.max(o, 1e-7), ALMOST_ONE);
        return x * Math.log(p) + (1 - x) * Math.log1p(-p);
      },
    },
    continuous_bernoulli: {
      mean: (family, o) => (Math.abs(o) < 1e-3 ? 0.5 + o / 12 : -1 / Math.expm1(-o) - 1 / o),
      logProb: (family, o, x) =>
        x * o - softplus(o) + (Math.abs(o) < 1e-4 ? Math.LN2 + (o * o) / 12 : Math.log(o / Math.tanh(o / 2))),
    },
    gaussian: {
      mean: location,
      logProb: (family, o, x, s) => -0.5 * ((x - location(family, o)) / s) ** 2 - Math.log(s) - 0.5 * LN_2PI,
    },
    discretized_logistic: {
      mean: (family, o, s) => {
        const m = location(family, o);
        return s * (softplus(m / s) - softplus((m - 1) / s));
      },
      logProb: (family, o, x, s) => {
        const m = location(family, o), above = logSigmoid((m - x + HALF) / s), below = logSigmoid((x + HALF - m) / s);
        if (x < HALF) return below;
        if (x > 1 - HALF) return above;
        return above + below + Math.log(-Math.expm1((-2 * HALF) / s));
      },
    },
  };

  function likelihood(family) {
    const { mean, logProb } = FAMILIES[family.name], channels = family.channels;
    const read = (output, i) => {
      if (!family.decoded) return [output[i], family.scale && family.scale[i % family.scale.length]];
      const pixel = Math.floor(i / channels), k = i % channels, at = 2 * channels * pixel + k;
      return [output[at], family.floor + family.start * Math.exp(output[at + channels])];
    };
    return {
      mean(output, into) {
        for (let i = 0; i < into.length; i++) {
          const [o, s] = read(output, i);
          into[i] = mean(family, o, s);
        }
        return into;
      },
      logProb(output, x) {
        let sum = 0;
        for (let i = 0; i < x.length; i++) {
          const [o, s] = read(output, i);
          sum += logProb(family, o, x[i], s);
        }
        return sum;
      },
    };
  }

  /** KL(N(mean, diag exp(logvar)) ‖ N(0, I)) in nats. */
  function analyticKl(mean, logvar) {
    let sum = 0;
    for (let j = 0; j < mean.length; j++) sum += mean[j] ** 2 + Math.exp(logvar[j]) - logvar[j] - 1;
    return 0.5 * sum;
  }

  const DRAWN = { half: (v) => Math.exp(0.5 * v), full: Math.exp, point: () => 0, value: (v) => v };

  /** A whole model: see `described` in vaecourse/live/export.py. */
  function model(spec) {
    const d = spec.latents, decoder = spec.decoder && network(spec.decoder);
    const encoder = spec.encoder && network(spec.encoder), pixels = likelihood(spec.likelihood);
    const picture = new Float32Array(spec.image_shape.reduce((a, b) => a * b, 1));
    const deviation = DRAWN[spec.drawn];
    const told = (digit) => Array.from({ length: spec.classes }, (_, k) => (k === digit ? 1 : 0));
    const decode = (z, digit) => decoder(spec.classes ? [...z, ...told(digit)] : z);
    const draw = (mean, logvar, eps) => Array.from(eps, (e, j) => mean[j] + deviation(logvar[j]) * e);
    return {
      ...spec,
      decode,
      draw,
      deviation,
      image: (z, digit) => pixels.mean(decode(z, digit), picture),
      logLikelihood: (x, z, digit) => pixels.logProb(decode(z, digit), x),
      encode(x, digit) {
        const out = spec.told ? encoder(x, told(digit)) : encoder(x);
        const logvar = spec.logvar === null ? out.slice(d, 2 * d) : new Float32Array(d).fill(spec.logvar);
        return { mean: out.slice(0, d), logvar };
      },
      terms: (x, mean, logvar, eps, digit) => ({
        logLikelihood: pixels.logProb(decode(draw(mean, logvar, eps), digit), x),
        kl: spec.drawn === "point" ? Infinity : analyticKl(mean, logvar),
      }),
    };
  }

  return { model, likelihood, analyticKl, FAMILIES, HALF };
});
