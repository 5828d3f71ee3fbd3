/* The bound by hand: a q with two handles on a posterior that is known, and the nats that it leaves between. */
vaecourseLive.add("bound", (live) => {
  "use strict";
  const { logNormal, logSumExp, generator, estimate, LN_2PI } = live.part("maths");
  const N = 8001, END = 8, SPACING = (2 * END) / (N - 1);
  const grid = Float64Array.from({ length: N }, (_, i) => -END + i * SPACING);
  const curve = (z) => 2 * Math.sin(1.5 * z) + 0.5 * z;
  const logJoint = (x, z, noise) => logNormal(x, curve(z), noise) + logNormal(z, 0, 1);

  /** log p(x), and the true posterior on the grid. */
  function evidence(x, noise) {
    const logs = grid.map((z) => logJoint(x, z, noise)), logEvidence = logSumExp(logs) + Math.log(SPACING);
    return { logEvidence, posterior: logs.map((v) => Math.exp(v - logEvidence)) };
  }

  /** Reconstruction E_q[log p(x|z)], KL to the prior and ELBO of q = N(mean, sigma²), in closed form. */
  function terms(x, mean, sigma, noise) {
    const s = sigma * sigma, a = 1.5, fade = Math.exp((-a * a * s) / 2), [sine, cosine] = [Math.sin(a * mean), Math.cos(a * mean)];
    const f = 2 * fade * sine + 0.5 * mean;
    const sinSquared = (1 - Math.cos(2 * a * mean) * fade ** 4) / 2, zSine = fade * (mean * sine + a * s * cosine);
    const square = 4 * sinSquared + 2 * zSine + 0.25 * (mean * mean + s);
    const reconstruction = -0.5 * LN_2PI - Math.log(noise) - (x * x - 2 * x * f + square) / (2 * noise * noise);
    const kl = 0.5 * (mean * mean + s - 1) - Math.log(sigma);
    return { reconstruction, kl, elbo: reconstruction - kl };
  }

  /** The bound of K draws, with its standard error, from as many groups of draws. */
  function ofDraws(x, mean, sigma, noise, K, groups, seed) {
    const { normals } = generator(seed), logs = [];
    for (let g = 0; g < groups; g++) {
      const weights = normals(K).map((e) => {
        const z = mean + sigma * e;
        return logJoint(x, z, noise) - logNormal(z, mean, sigma);
      });
      logs.push(logSumExp(weights) - Math.log(K));
    }
    return estimate(logs);
  }

  /** One step up the ELBO in mean and ln σ; the step is halved until it leads up. */
  function step(x, mean, sigma, noise) {
    const elbo = (m, l) => terms(x, m, Math.exp(l), noise).elbo, log = Math.log(sigma), h = 1e-5;
    const slope = (elbo(mean + h, log) - elbo(mean - h, log)) / (2 * h);
    const width = (elbo(mean, log + h) - elbo(mean, log - h)) / (2 * h), now = elbo(mean, log);
    for (let rate = 0.5; rate > 1e-7; rate /= 2) {
      const to = [mean + rate * sigma * sigma * slope, log + Math.min(Math.max(0.5 * rate * width, -0.3), 0.3)];
      if (elbo(...to) > now + 1e-12) return { mean: to[0], sigma: Math.exp(to[1]), moved: true };
    }
    return { mean, sigma, moved: false };
  }

  return { grid, curve, evidence, terms, ofDraws, step };
});

vaecourseLive.figure("bound_by_hand", (stage, data) => {
  "use strict";
  const live = vaecourseLive, bound = live.part("bound"), controls = live.part("controls");
  const { chart, wipe, number } = live.part("charts"), { logNormal } = live.part("maths");
  const W = 340, H = 320, Z = [-3.2, 3.2], noise = data.noise, KS = [1, 2, 4, 8, 16, 32, 64];
  let x = data.x, mean = 0, sigma = 1, k = 0, known = null, many = null, climbing = 0, held = null, top, densities;

  const left = controls.canvas("True posterior, q and prior over z. Arrow keys: left and right move q, up and down widen it.", W, H);
  const right = controls.canvas("Reconstruction, less KL, is the ELBO; the gap is missing to log p(x).", W, H);
  const words = controls.text(), refresh = controls.eachFrame(stage, paint);
  const sliders = {
    x: controls.slider("x", { min: -3, max: 3, step: 0.05, value: x, format: (v) => number(v) }, (v) => observe(v)),
    mean: controls.slider("mean of q", { min: -3, max: 3, step: 0.01, value: mean, format: (v) => number(v) }, (v) => place(v, sigma)),
    width: controls.slider("ln σ of q", { min: -3.5, max: 1, step: 0.01, value: 0, format: (v) => `${number(v)}, σ ${Math.exp(v).toFixed(2)}` },
      (v) => place(mean, Math.exp(v))),
    draws: controls.slider("draws K", { min: 0, max: 6, step: 1, value: 0, format: (v) => String(KS[v]) }, (v) => { k = v; many = null; refresh(); }),
  };

  function observe(value) {
    x = value;
    sliders.x.set(x);
    known = many = null;
    climbing = 0;
    refresh();
  }

  function place(m, s, byHand = true) {
    mean = Math.min(Math.max(m, -3), 3);
    sigma = Math.min(Math.max(s, Math.exp(-3.5)), Math.E);
    sliders.mean.set(mean);
    sliders.width.set(Math.log(sigma));
    many = null;
    if (byHand) climbing = 0;
    refresh();
  }

  function climb() {
    const mine = (climbing = performance.now());
    const steps = controls.still() ? 2000 : 2;
    const go = () => {
      if (climbing !== mine) return;
      let to;
      for (let i = 0; i < steps; i++) {
        to = bound.step(x, mean, sigma, noise);
        if (!to.moved) break;
        [mean, sigma] = [to.mean, to.sigma];
      }
      place(mean, sigma, false);
      if (to.moved) requestAnimationFrame(go);
    };
    go();
  }

  function paint(colors) {
    if (!known) known = bound.evidence(x, noise);
    const { reconstruction, kl, elbo } = bound.terms(x, mean, sigma, noise), gap = known.logEvidence - elbo;
    if (!many) many = bound.ofDraws(x, mean, sigma, noise, KS[k], KS[k] > 8 ? 100 : 400, 1);
    wipe(left, colors);
    const q = (z) => Math.exp(logNormal(z, mean, sigma));
    top = Math.max(1, 1.12 * Math.max(...known.posterior), Math.min(1.1 * q(mean), 4.5));
    densities = chart(left.context, colors, { box: [38, 24, W - 48, H - 70], x: Z, y: [0, top], xLabel: "latent z", yLabel: "density" });
    const every = [];
    for (let i = 2300; i < 5700; i += 5) every.push([bound.grid[i], known.posterior[i]]);
    const fine = Array.from({ length: 400 }, (_, i) => Z[0] + ((Z[1] - Z[0]) * i) / 399);
    densities.area(every, colors.dim, 0.4);
    densities.line(fine.map((z) => [z, Math.exp(logNormal(z, 0, 1))]), colors.dim, 1.5, [5, 4]);
    densities.line(fine.map((z) => [z, q(z)]), colors.blue, 3);
    densities.dot(mean, Math.min(q(mean), 0.97 * top), colors.blue, 7);
    densities.dot(mean + sigma, Math.min(q(mean + sigma), 0.97 * top), colors.orange, 7);
    densities.note("gray: p(z|x) · dashed: p(z)", W - 10, 11, colors.dim, "right");

    wipe(right, colors);
    const low = [-6, -12, -25, -50, -100, -250, -600].find((v) => v < 1.05 * Math.min(elbo, reconstruction)) || -1500;
    const nats = chart(right.context, colors, { box: [48, 24, W - 58, H - 70], x: [0, 3], y: [low, 0.08 * -low], yLabel: "nats", xTicks: false });
    const bars = [
      ["reconstruction", 0, reconstruction, colors.green],
      ["− KL", reconstruction, elbo, colors.orange],
      ["gap", elbo, known.logEvidence, colors.purple],
    ];
    bars.forEach(([name, from, to, color], i) => {
      nats.bar(i + 0.2, i + 0.8, Math.min(from, to), Math.max(from, to), color, 0.85);
      nats.note(name, nats.toX(i + 0.5), H - 34, colors.ink, "center");
    });
    nats.level(0, colors.line);
    nats.level(known.logEvidence, colors.ink, 2);
    nats.level(elbo, colors.blue, 2, [6, 4]);
    if (k) {
      nats.level(many.mean, colors.ink, 1.5, [2, 3]);
      nats.note(`bound of ${KS[k]} draws: dotted`, W - 10, H - 10, colors.dim, "right");
    }
    nats.note("line: log p(x) · dashed: ELBO", W - 10, 11, colors.dim, "right");
    words.set(
      `log p(x) ${number(known.logEvidence)} = ELBO ${number(elbo)} + gap ${number(gap)} nats.`,
      `ELBO = reconstruction ${number(reconstruction)} − KL ${number(kl)}.` +
        (k ? ` Bound of ${KS[k]} draws: ${number(many.mean)} ± ${number(many.error)}.` : ""),
    );
  }

  controls.drag(left, (px, py) => {
    if (held === "width") place(mean, Math.abs(densities.fromX(px) - mean));
    else place(densities.fromX(px) - held, sigma);
  }, {
    began: (px) => {
      const z = densities.fromX(px), onEdge = Math.abs(Math.abs(z - mean) - sigma);
      held = onEdge < Math.abs(z - mean) && onEdge < 0.35 ? "width" : Math.abs(z - mean) < 0.5 ? z - mean : 0;
    },
  });
  controls.arrows(left, (across, up) => place(mean + 0.02 * across, sigma * Math.exp(0.02 * up)));

  const examples = controls.row(
    controls.button("x = −2.7, one hump", () => observe(-2.7)),
    controls.button("x = 1.8, two humps", () => observe(1.8)),
    controls.button("Climb from here", climb),
  );
  stage.append(controls.row(left.node, right.node), words.node, examples,
    controls.row(sliders.mean.node, sliders.width.node, sliders.x.node, sliders.draws.node));
});
