/* Three estimators of the gradient of E[z²] for the mean of z: single draws as arrows, and many estimates. */
vaecourseLive.add("gradients", () => {
  "use strict";
  const KINDS = ["score function", "with a baseline", "pathwise"];

  /** The estimate of every draw; the baseline is the mean cost of the other draws. */
  function each(kind, mu, sigma, eps) {
    if (kind === 2) return eps.map((e) => 2 * (mu + sigma * e));
    const costs = eps.map((e) => (mu + sigma * e) ** 2), total = costs.reduce((a, b) => a + b, 0);
    return costs.map((cost, i) => (((kind === 1 ? cost - (total - cost) / (eps.length - 1) : cost)) * eps[i]) / sigma);
  }

  /** Standard deviation of the mean of n estimates, by the moments of the normal distribution. */
  function deviation(kind, mu, sigma, n) {
    const m = mu * mu, s = sigma * sigma;
    if (kind === 0) return Math.sqrt((m * m / s + 14 * m + 15 * s) / n);
    if (kind === 2) return (2 * sigma) / Math.sqrt(n);
    return Math.sqrt((12 * m + 10 * s) / n - ((n - 2) * 4 * m) / (n * (n - 1)) + (4 * m + 2 * s) / (n * (n - 1)));
  }

  return { KINDS, each, deviation };
});

vaecourseLive.figure("gradient_lab", (stage, data) => {
  "use strict";
  const live = vaecourseLive, { KINDS, each, deviation } = live.part("gradients"), controls = live.part("controls");
  const { chart, wipe, number } = live.part("charts"), { generator, estimate } = live.part("maths");
  const W = 340, H = 320, ESTIMATES = 2000, MOST = 32;
  let { mu, sigma } = data, n = 2, kind = 0, seed = 1, pool = null;

  const left = controls.canvas("The cost z² and draws of z; an arrow at each draw points where its estimate moves μ.", W, H);
  const right = controls.canvas("Histogram of estimates of the gradient for μ.", W, H);
  const words = controls.text(), refresh = controls.eachFrame(stage, paint);
  const changed = (set) => (v) => { set(v); refresh(); };
  const sliders = [
    controls.slider("mean μ", { min: -2, max: 2, step: 0.05, value: mu, format: (v) => number(v) }, changed((v) => { mu = v; })),
    controls.slider("σ", { min: -1.3, max: 0.3, step: 0.02, value: Math.log10(sigma), format: (v) => (10 ** v).toFixed(2) },
      changed((v) => { sigma = 10 ** v; })),
    controls.slider("draws", { min: 1, max: 5, step: 1, value: 1, format: (v) => `${2 ** v} an estimate` }, changed((v) => { n = 2 ** v; })),
  ];

  function paint(colors) {
    if (!pool) pool = Float64Array.from(generator(seed).normals(ESTIMATES * MOST));
    const means = [];
    for (let i = 0; i < ESTIMATES; i++) {
      const own = each(kind, mu, sigma, pool.subarray(i * n, (i + 1) * n));
      means.push(own.reduce((a, b) => a + b, 0) / n);
    }
    wipe(left, colors);
    const ends = [mu - Math.max(2, 3 * sigma), mu + Math.max(2, 3 * sigma)], high = Math.max(...ends.map((v) => v * v), 1);
    const cost = chart(left.context, colors, { box: [38, 24, W - 48, H - 70], x: ends, y: [-0.08 * high, high], xLabel: "latent z", yLabel: "cost z²" });
    cost.line(Array.from({ length: 100 }, (_, i) => { const z = ends[0] + ((ends[1] - ends[0]) * i) / 99; return [z, z * z]; }), colors.dim, 1.5);
    cost.upright(mu, colors.line, 1.5, [4, 4]);
    const shown = Math.max(n, 16), eps = pool.subarray(0, shown), single = each(kind, mu, sigma, eps);
    const unit = (0.12 * (ends[1] - ends[0])) / Math.max(1, deviation(kind, mu, sigma, 2), Math.abs(2 * mu));
    eps.forEach((e, i) => {
      const z = mu + sigma * e, to = z - unit * single[i], color = single[i] > 0 ? colors.blue : colors.orange;
      cost.line([[z, z * z], [to, z * z]], color, 2);
      const back = Math.sign(to - z) * 0.012 * (ends[1] - ends[0]);
      if (Math.abs(to - z) > Math.abs(back)) {
        cost.line([[to - back, z * z + 0.018 * high], [to, z * z], [to - back, z * z - 0.018 * high]], color, 2);
      }
      cost.dot(z, z * z, colors.ink, 3);
    });
    cost.note("blue lowers μ · orange raises it", W - 10, 11, colors.dim, "right");

    wipe(right, colors);
    const widest = Math.max(4 * deviation(0, mu, sigma, n), 0.5), range = [2 * mu - widest, 2 * mu + widest], BINS = 60;
    const counts = new Array(BINS).fill(0);
    let outside = 0;
    for (const v of means) {
      const bin = Math.floor(((v - range[0]) / (2 * widest)) * BINS);
      if (bin >= 0 && bin < BINS) counts[bin]++;
      else outside++;
    }
    const most = 1.1 * Math.max(...counts);
    const plot = chart(right.context, colors, { box: [44, 24, W - 54, H - 70], x: range, y: [0, most], xLabel: "estimate of the gradient for μ", yLabel: "count" });
    counts.forEach((c, i) => {
      const at = (j) => range[0] + (j * 2 * widest) / BINS;
      plot.bar(at(i), at(i + 1), 0, c, colors.blue, 0.75);
    });
    plot.upright(2 * mu, colors.ink, 2, [6, 4]);
    plot.note("dashed: 2μ", W - 10, 11, colors.dim, "right");
    const { mean, error, deviation: measured } = estimate(means), formula = deviation(kind, mu, sigma, n), digits = formula < 0.1 ? 3 : 2;
    words.set(
      `${KINDS[kind]}, ${n} draws an estimate: standard deviation ${number(measured, digits)} measured, ${number(formula, digits)} by the formula.`,
      `Mean of ${ESTIMATES.toLocaleString("en")} estimates ${number(mean)} ± ${number(error)}, gradient ${number(2 * mu)}.` +
        (outside ? ` ${outside} estimates lie outside of the plot.` : ""),
    );
  }

  stage.append(
    controls.choice("Estimator", KINDS, (v) => { kind = v; refresh(); }).node,
    controls.row(left.node, right.node), words.node,
    controls.row(...sliders.map((one) => one.node), controls.button("Draw again", () => { seed++; pool = null; refresh(); })),
  );
});
