/* β over trained models: the point on the curve of rate and distortion, pictures, and the KL of every latent. */
vaecourseLive.figure("beta_lab", (stage, data) => {
  "use strict";
  const live = vaecourseLive, controls = live.part("controls"), { chart, wipe, number } = live.part("charts");
  const W = 340, H = 300, SIZE = 80, { steps, image_shape: shape } = data, n = data.images.dims[0];
  const size = shape[0] * shape[1] * shape[2], ACTIVE = 0.01;
  let k = steps.reduce((best, step, i) => (Math.abs(Math.log(step.beta || 1e-6)) < Math.abs(Math.log(steps[best].beta || 1e-6)) ? i : best), 0), plot;

  const curve = controls.canvas("Rate and distortion of all models. Arrow keys change β.", W, H);
  const bars = controls.canvas("KL of every latent, sorted.", W, H);
  const tall = (SIZE * shape[0]) / shape[1] + 4;
  const pictures = controls.canvas("Test images, their reconstructions, and samples from the prior.", 84 + n * (SIZE / 2 + 2), 3 * (tall / 2) + 4);
  const words = controls.text(), refresh = controls.eachFrame(stage, paint);
  const label = (i) => `β = ${steps[i].beta}`;
  const slider = controls.slider("β", { min: 0, max: steps.length - 1, step: 1, value: k, format: label }, (v) => { k = v; refresh(); });
  const range = (values, share) => {
    const low = Math.min(...values), high = Math.max(...values), margin = share * (high - low || 1);
    return [low - margin, high + margin];
  };

  function paint(colors) {
    const { rate, distortion, latents, beta } = steps[k];
    wipe(curve, colors);
    const x = range(steps.map((s) => s.rate[0]), 0.12), y = range(steps.map((s) => s.distortion[0]), 0.12);
    plot = chart(curve.context, colors, { box: [48, 24, W - 58, H - 70], x, y, xLabel: "rate: KL (nats)", yLabel: "distortion: −log p(x|z)" });
    const sorted = [...steps].sort((a, b) => a.rate[0] - b.rate[0]);
    plot.line(sorted.map((s) => [s.rate[0], s.distortion[0]]), colors.dim, 1.5);
    const elbo = -(rate[0] + distortion[0]);
    plot.line([[x[0], -elbo - x[0]], [x[1], -elbo - x[1]]], colors.green, 1.5, [6, 4]);
    for (const s of steps) plot.dot(s.rate[0], s.distortion[0], colors.dim, 4);
    plot.dot(rate[0], distortion[0], colors.orange, 8);
    plot.note("dashed: same ELBO", W - 10, 12, colors.green, "right");

    wipe(bars, colors);
    const order = latents.slice().sort((a, b) => b - a), top = 1.1 * Math.max(...steps.map((s) => Math.max(...s.latents)), 0.1);
    const latent = chart(bars.context, colors, { box: [40, 24, W - 50, H - 70], x: [0, order.length], y: [0, top], xLabel: "latents, sorted", yLabel: "KL (nats)", xTicks: false });
    order.forEach((v, i) => latent.bar(i + 0.15, i + 0.85, 0, v, v > ACTIVE ? colors.blue : colors.dim, 0.85));

    wipe(pictures, colors);
    [["images", data.images], ["reconstructed", steps[k].reconstructions], ["samples", steps[k].samples]].forEach(([name, own], line) => {
      const { context } = pictures, at = line * (tall / 2 + 1);
      context.font = "12px system-ui, sans-serif";
      context.fillStyle = colors.ink;
      context.textBaseline = "middle";
      context.fillText(name, 0, at + tall / 4);
      for (let i = 0; i < n; i++)
        controls.picture(context, own.subarray(i * size, (i + 1) * size), shape, 84 + i * (SIZE / 2 + 2), at, SIZE / 2);
    });
    words.set(
      `β = ${beta}: rate ${number(rate[0])} ± ${number(rate[1])}, distortion ${number(distortion[0])} ± ${number(distortion[1])}, ` +
        `ELBO ${number(elbo)} nats.`,
      `${latents.filter((v) => v > ACTIVE).length} of ${latents.length} latents have a KL above ${ACTIVE} nats.`,
    );
  }

  const set = (v) => {
    k = Math.min(Math.max(v, 0), steps.length - 1);
    slider.set(k);
    refresh();
  };
  controls.drag(curve, (px, py) => {
    const away = steps.map((s) => Math.hypot(plot.toX(s.rate[0]) - px, plot.toY(s.distortion[0]) - py));
    set(away.indexOf(Math.min(...away)));
  });
  controls.arrows(curve, (across, up) => set(k + Math.sign(across + up)));
  stage.append(slider.node, controls.row(curve.node, bars.node), words.node, pictures.node);
});
