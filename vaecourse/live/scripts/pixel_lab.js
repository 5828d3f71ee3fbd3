/* One pixel: what four likelihoods make of a decoder's output, as densities, as masses of gray levels, as slopes. */
vaecourseLive.add("pixel", (live) => {
  "use strict";
  const { sigmoid, softplus, logNdtr, logNormal } = live.part("maths"), { FAMILIES, HALF } = live.part("models");
  const KINDS = ["normal", "logistic", "continuous Bernoulli", "Bernoulli"];
  const scaleOf = (sigma) => (sigma * Math.sqrt(3)) / Math.PI;

  /** log(1 − exp(−v)) for v > 0. */
  const log1mexp = (v) => (v < 0.7 ? Math.log(-Math.expm1(-v)) : Math.log1p(-Math.exp(-v)));

  function normalLogMass(mean, sigma, level) {
    const x = level / 255;
    let low = level === 0 ? -Infinity : (x - HALF - mean) / sigma, high = level === 255 ? Infinity : (x + HALF - mean) / sigma;
    if (low + high > 0) [low, high] = [-high, -low];
    const upper = high === Infinity ? 0 : logNdtr(high);
    return low === -Infinity ? upper : upper + log1mexp(upper - logNdtr(low));
  }

  /* The density is o exp(o x)/(exp(o) − 1), whose integrals are differences of exponentials. */
  function continuousLogMass(o, level) {
    const low = Math.max(0, level / 255 - HALF), high = Math.min(1, level / 255 + HALF), width = high - low;
    if (Math.abs(o) < 1e-4) return Math.log(width) + o * ((low + high) / 2 - 0.5);
    if (o < 0) return o * low + log1mexp(-o * width) - log1mexp(-o);
    return o * (high - 1) + log1mexp(o * width) - log1mexp(o);
  }

  const crossEntropy = (o, x) => softplus(o) - x * o;

  /** Log of the density at a gray x; of the Bernoulli, minus the cross-entropy, which is none. */
  function logDensity(kind, o, sigma, x) {
    if (kind === 0) return logNormal(x, sigmoid(o), sigma);
    if (kind === 1) {
      const u = (x - sigmoid(o)) / scaleOf(sigma);
      return -Math.abs(u) - 2 * Math.log1p(Math.exp(-Math.abs(u))) - Math.log(scaleOf(sigma));
    }
    if (kind === 3) return -crossEntropy(o, x);
    return x < 0 || x > 1 ? -Infinity : FAMILIES.continuous_bernoulli.logProb({}, o, x);
  }

  /** Log of the probability of a gray level; the Bernoulli has two levels. */
  function logMass(kind, o, sigma, level) {
    if (kind === 0) return normalLogMass(sigmoid(o), sigma, level);
    if (kind === 1) return FAMILIES.discretized_logistic.logProb({ mean: "sigmoid" }, o, level / 255, scaleOf(sigma));
    if (kind === 2) return continuousLogMass(o, level);
    return level === 0 ? -softplus(o) : level === 255 ? -softplus(-o) : -Infinity;
  }

  /** Slope of what a network is trained on, for its output: of log density, and of log mass for the logistic. */
  function slope(kind, o, sigma, level) {
    const x = level / 255, p = sigmoid(o), inner = p * (1 - p);
    if (kind === 0) return ((x - p) / (sigma * sigma)) * inner;
    if (kind === 1) {
      const s = scaleOf(sigma), below = sigmoid(-(p - x + HALF) / s), above = sigmoid((p - x - HALF) / s);
      const of = level === 0 ? -above : level === 255 ? below : below - above;
      return (of * inner) / s;
    }
    return kind === 2 ? x - FAMILIES.continuous_bernoulli.mean({}, o) : x - p;
  }

  return { KINDS, crossEntropy, logDensity, logMass, slope };
});

vaecourseLive.figure("pixel_lab", (stage, data) => {
  "use strict";
  const live = vaecourseLive, pixel = live.part("pixel"), controls = live.part("controls");
  const { chart, wipe, number } = live.part("charts"), { sigmoid } = live.part("maths");
  const W = 340, H = 320, EDGE = 0.5 / 255;
  let { output, sigma, level } = data, kind = 0, levels;

  const left = controls.canvas("Density over the gray; what lies beyond the outermost levels is orange.", W, H);
  const right = controls.canvas("Probabilities of the 256 gray levels. Arrow keys change the level of the pixel.", W, H);
  const words = controls.text(), refresh = controls.eachFrame(stage, paint);
  const changed = (set) => (v) => { set(v); refresh(); };
  const sliders = {
    output: controls.slider("output", { min: -8, max: 8, step: 0.05, value: output, format: (v) => `${number(v)}, mean ${sigmoid(v).toFixed(2)}` },
      changed((v) => { output = v; })),
    sigma: controls.slider("σ", { min: -2, max: 0, step: 0.02, value: Math.log10(sigma), format: (v) => `${(10 ** v).toFixed(3)} gray` },
      changed((v) => { sigma = 10 ** v; })),
    level: controls.slider("pixel", { min: 0, max: 255, step: 1, value: level, format: (v) => `level ${v}` }, changed((v) => { level = v; })),
  };

  function paint(colors) {
    sliders.sigma.input.disabled = kind > 1;
    const x = level / 255, ends = kind > 1 ? [0, 1] : [-0.3, 1.3];
    const points = Array.from({ length: 900 }, (_, i) => {
      const at = ends[0] + ((ends[1] - ends[0]) * i) / 899;
      return [at, Math.exp(pixel.logDensity(kind, output, sigma, at))];
    });
    wipe(left, colors);
    const top = 1.1 * Math.max(...points.map((p) => p[1]), 0.5);
    const plot = chart(left.context, colors, {
      box: [44, 24, W - 54, H - 70], x: [-0.3, 1.3], y: [0, top], xLabel: "gray",
      yLabel: kind === 3 ? "exp(−cross-entropy), no density" : "density (1/gray)",
    });
    plot.area(points, colors.blue, 0.25);
    if (kind < 2) {
      plot.area(points.filter((p) => p[0] <= EDGE), colors.orange, 0.8);
      plot.area(points.filter((p) => p[0] >= 1 - EDGE), colors.orange, 0.8);
    }
    plot.line(points, colors.blue, 2);
    plot.upright(x, colors.ink, 2, [6, 4]);

    wipe(right, colors);
    levels = chart(right.context, colors, { box: [52, 24, W - 62, H - 70], x: [-8, 263], y: [1e-12, 2], log: true, xLabel: "gray level", yLabel: "probability" });
    const masses = Array.from({ length: 256 }, (_, k) => Math.exp(pixel.logMass(kind, output, sigma, k)));
    if (kind < 3) levels.line(masses.map((m, k) => [k, Math.max(m, 1e-13)]).slice(1, 255), colors.blue, 2);
    for (const k of [0, 255]) levels.dot(k, masses[k], colors.orange, 6);
    levels.upright(level, colors.ink, 1, [6, 4]);
    if (masses[level] > 1e-12) levels.dot(level, masses[level], colors.ink, 4);

    const lines = [];
    if (kind === 3) {
      lines.push(`Cross-entropy of this gray: ${number(pixel.crossEntropy(output, x), 3)} nats. Only levels 0 and 255 have a probability.`);
    } else {
      const most = masses.indexOf(Math.max(...masses));
      lines.push(`Log density ${number(pixel.logDensity(kind, output, sigma, x), 3)} nats (density per gray); log probability of level ` +
        `${level} ${number(pixel.logMass(kind, output, sigma, level), 3)} nats. Cross-entropy ${number(pixel.crossEntropy(output, x), 3)} nats.`);
      lines.push(`Most probable is level ${most}, with ${(100 * masses[most]).toPrecision(3)} %; levels 0 and 255 have ` +
        `${(100 * masses[0]).toPrecision(2)} % and ${(100 * masses[255]).toPrecision(2)} %.`);
    }
    lines.push(`Slope for the decoder's output: ${number(pixel.slope(kind, output, sigma, level), 3)} nats.`);
    words.set(...lines);
  }

  const setLevel = (v) => {
    level = Math.round(Math.min(Math.max(v, 0), 255));
    sliders.level.set(level);
    refresh();
  };
  controls.drag(right, (x) => levels && setLevel(levels.fromX(x)));
  controls.arrows(right, (across, up) => setLevel(level + across + up));
  stage.append(
    controls.choice("Likelihood", pixel.KINDS, (v) => { kind = v; refresh(); }).node,
    controls.row(left.node, right.node), words.node,
    controls.row(sliders.output.node, sliders.sigma.node, sliders.level.node),
  );
});
