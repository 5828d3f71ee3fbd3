/* Special functions, repeatable noise, and means with their errors: what the engine and the figures compute with. */
vaecourseLive.add("maths", () => {
  "use strict";
  const LN_2PI = Math.log(2 * Math.PI);

  const sigmoid = (v) => (v >= 0 ? 1 / (1 + Math.exp(-v)) : Math.exp(v) / (1 + Math.exp(v)));
  const softplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
  const logSigmoid = (v) => -softplus(-v);

  /* erf and the logarithm of erfc, to about 1e-14: a series near 0, Lentz' continued fraction elsewhere. */
  function erf(x) {
    if (Math.abs(x) > 2.5) return x > 0 ? 1 - Math.exp(logErfc(x)) : Math.exp(logErfc(-x)) - 1;
    let term = x, sum = x;
    for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && k < 200; k++) {
      term *= (-x * x) / k;
      sum += term / (2 * k + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  function logErfc(x) {
    if (x < 2) return Math.log1p(-erf(x));
    let f = x;
    for (let k = 120; k > 0; k--) f = x + k / 2 / f;
    return -x * x - Math.log(f * Math.sqrt(Math.PI));
  }
  const logNdtr = (x) => logErfc(-x / Math.SQRT2) - Math.LN2;
  const ndtr = (x) => Math.exp(logNdtr(x));

  /** The quantile of the standard normal distribution: bisection, then Newton's steps. */
  function ndtri(p) {
    let low = -9, high = 9;
    for (let i = 0; i < 20; i++) {
      const middle = (low + high) / 2;
      if (ndtr(middle) < p) low = middle;
      else high = middle;
    }
    let z = (low + high) / 2;
    for (let i = 0; i < 3; i++) z -= ((ndtr(z) - p) * Math.sqrt(2 * Math.PI)) / Math.exp(-0.5 * z * z);
    return z;
  }
  /** Repeatable noise: mulberry32, and Box and Muller's normal numbers. */
  function generator(seed) {
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal, normals: (n) => Array.from({ length: n }, normal) };
  }

  /** Mean of some numbers, and its standard error. */
  function estimate(values) {
    const n = values.length, mean = values.reduce((a, b) => a + b, 0) / n;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1);
    return { mean, deviation: Math.sqrt(variance), error: Math.sqrt(variance / n) };
  }

  function logSumExp(values) {
    let largest = -Infinity, sum = 0;
    for (const v of values) if (v > largest) largest = v;
    for (const v of values) sum += Math.exp(v - largest);
    return largest + Math.log(sum);
  }

  /** Logarithm of the density of the normal distribution. */
  const logNormal = (x, mean, sigma) => -0.5 * ((x - mean) / sigma) ** 2 - Math.log(sigma) - 0.5 * LN_2PI;

  return {
    LN_2PI, sigmoid, softplus, logSigmoid, erf, ndtr, logNdtr, ndtri, logNormal, generator, estimate, logSumExp,
  };
});
