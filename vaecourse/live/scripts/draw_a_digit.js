/* A canvas to draw on: what the encoder is given, where it puts it, what comes back, and what that costs. */
vaecourseLive.add("drawing", () => {
  "use strict";

  /** Shrink ink of any size to an image (h, w), by areas; with `centered`, as MNIST was made: a box of 20 of 28 pixels,
      whose center of mass is the center of the image. */
  function reduced(ink, width, height, [h, w], centered) {
    const out = new Float32Array(h * w);
    let left = width, right = -1, top = height, bottom = -1, mass = 0, massX = 0, massY = 0;
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const v = ink[y * width + x];
        if (v <= 0.02) continue;
        [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
        mass += v;
        massX += v * (x + 0.5);
        massY += v * (y + 0.5);
      }
    if (right < 0) return out;
    const scale = centered ? (Math.max(right - left, bottom - top) + 1) / (0.715 * Math.min(h, w)) : width / w;
    const offsetX = centered ? massX / mass - (scale * w) / 2 : 0, offsetY = centered ? massY / mass - (scale * h) / 2 : 0;
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++) {
        const x0 = offsetX + j * scale, y0 = offsetY + i * scale;
        let sum = 0;
        for (let y = Math.max(0, Math.floor(y0)); y < Math.min(height, y0 + scale); y++) {
          const tall = Math.min(y + 1, y0 + scale) - Math.max(y, y0);
          for (let x = Math.max(0, Math.floor(x0)); x < Math.min(width, x0 + scale); x++)
            sum += ink[y * width + x] * tall * (Math.min(x + 1, x0 + scale) - Math.max(x, x0));
        }
        out[i * w + j] = Math.min(1, sum / (scale * scale));
      }
    return out;
  }

  return { reduced };
});

vaecourseLive.figure("draw_a_digit", (stage, data) => {
  "use strict";
  const live = vaecourseLive, controls = live.part("controls"), maths = live.part("maths"), { reduced } = live.part("drawing");
  const { chart, wipe, number } = live.part("charts"), model = live.part("models").model(data.model);
  const [h, w] = model.image_shape, d = model.latents, SIZE = 280, FINE = 140, DRAWS = 8, shape = model.image_shape;
  const noise = Array.from({ length: DRAWS }, (_, k) => maths.generator(k + 1).normals(d));
  let ink = new Float32Array(FINE * FINE), image = new Float32Array(h * w), pen = null, cursor = [FINE / 2, FINE / 2];
  let down = false, centered = true, example = -1, code = null, back = null, drawn = [], fresh = false, keys = false;

  const sheet = controls.canvas("Sheet to draw on. Arrow keys move the pen, the space bar sets it down and lifts it.", SIZE, SIZE);
  const result = controls.canvas("", 400, SIZE);
  result.node.setAttribute("aria-label", "What the encoder is given, its reconstruction, and its place among the latents.");
  const words = controls.text(), refresh = controls.eachFrame(stage, paint), slices = controls.inSlices();

  /** A round pen along a line, in the units of the fine grid. */
  function stroke([x0, y0], [x1, y1]) {
    const radius = 5.2, steps = Math.ceil(Math.hypot(x1 - x0, y1 - y0)) + 1;
    for (let s = 0; s <= steps; s++) {
      const cx = x0 + ((x1 - x0) * s) / steps, cy = y0 + ((y1 - y0) * s) / steps;
      for (let y = Math.max(0, Math.floor(cy - 7)); y < Math.min(FINE, cy + 7); y++)
        for (let x = Math.max(0, Math.floor(cx - 7)); x < Math.min(FINE, cx + 7); x++) {
          const v = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x + 0.5 - cx, y + 0.5 - cy)));
          if (v > ink[y * FINE + x]) ink[y * FINE + x] = v;
        }
    }
    example = -1;
    fresh = true;
    refresh();
  }

  function clear() {
    ink = new Float32Array(FINE * FINE);
    example = -1;
    fresh = true;
    refresh();
  }

  /** Encode what is on the sheet; the draws of its terms follow when the pen rests. */
  function encode() {
    fresh = false;
    image = example >= 0 ? data.examples.slice(example * h * w, (example + 1) * h * w) : reduced(ink, FINE, FINE, [h, w], centered);
    if (data.binary) image = image.map((v) => (v > 0.5 ? 1 : 0));
    drawn = [];
    code = null;
    slices(0, () => {});
    if (!image.some((v) => v > 0)) return;
    const { mean, logvar } = model.encode(image);
    code = { mean: Array.from(mean), sigma: Array.from(logvar, model.deviation) };
    back = Array.from(model.image(code.mean));
    const x = image;
    clearTimeout(encode.timer);
    encode.timer = setTimeout(() => slices(model.drawn === "point" ? 1 : DRAWS, (k) => drawn.push(model.terms(x, mean, logvar, noise[k])), refresh), 120);
  }

  function paint(colors) {
    if (fresh) encode();
    const { context } = sheet;
    context.imageSmoothingEnabled = true;
    if (example >= 0) controls.picture(context, image, shape, 0, 0, SIZE);
    else context.drawImage(controls.bitmap(ink, [FINE, FINE, 1]), 0, 0, SIZE, SIZE);
    if (keys) {
      context.beginPath();
      context.arc((cursor[0] * SIZE) / FINE, (cursor[1] * SIZE) / FINE, 10, 0, 7);
      context.strokeStyle = down ? "#c24e00" : "#0072b2";
      context.lineWidth = 3;
      context.stroke();
    }
    wipe(result, colors);
    const side = result.context;
    side.font = "13px system-ui, sans-serif";
    side.textBaseline = "top";
    side.textAlign = "left";
    side.fillStyle = colors.ink;
    side.fillText("encoder sees", 0, 0);
    side.fillText("reconstruction", 0, 146);
    controls.picture(side, image, shape, 0, 18, 112);
    if (code) controls.picture(side, back, shape, 0, 164, 112);
    if (d === 2) latentPlane(side, colors);
    else latentBars(side, colors);
    words.set(...told());
  }

  function latentPlane(context, colors) {
    const far = Math.max(3.5, ...(code ? code.mean.map((m, j) => Math.abs(m) + 2 * code.sigma[j]) : [0]));
    const plot = chart(context, colors, { box: [158, 16, 230, 222], x: [-far, far], y: [-far, far], xLabel: "z1", yLabel: "z2" });
    const hues = [colors.blue, colors.orange, colors.green, colors.purple, colors.ink, colors.dim];
    for (let i = 0; i < data.labels.length; i++) {
      const [a, b] = data.codes.subarray(2 * i, 2 * i + 2);
      context.globalAlpha = 0.75;
      if (Math.abs(a) < far && Math.abs(b) < far) plot.note(String(data.labels[i]), plot.toX(a), plot.toY(b), hues[data.labels[i] % 6], "center");
      context.globalAlpha = 1;
    }
    const ring = (center, [a, b]) => Array.from({ length: 73 }, (_, k) => {
      const t = (2 * Math.PI * k) / 72;
      return [center[0] + a * Math.cos(t), center[1] + b * Math.sin(t)];
    });
    plot.line(ring([0, 0], [2.448, 2.448]), colors.ink, 1.5);
    if (!code) return;
    plot.dot(code.mean[0], code.mean[1], "#000", 7);
    plot.dot(code.mean[0], code.mean[1], "#ffb000", 5);
    for (const k of [1, 2]) plot.line(ring(code.mean, code.sigma.map((s) => k * s)), colors.ink, 2.5);
  }

  /** With other than two latents: mean ± standard deviation of each. */
  function latentBars(context, colors) {
    const plot = chart(context, colors, { box: [158, 16, 230, 222], x: [-3.5, 3.5], y: [d + 0.5, 0.5], xLabel: "mean ± σ", yLabel: "latent" });
    for (const k of [-2, 0, 2]) plot.upright(k, colors.line, 1, [3, 3]);
    if (!code) return;
    for (let j = 0; j < d; j++) {
      plot.line([[code.mean[j] - code.sigma[j], j + 1], [code.mean[j] + code.sigma[j], j + 1]], colors.blue, 3);
      plot.dot(code.mean[j], j + 1, colors.orange, 4);
    }
  }

  function told() {
    if (!code) return ["Draw with mouse or finger, or choose a digit below.", ""];
    const at = code.mean.map((m, j) => `${number(m)} ± ${number(code.sigma[j])}`);
    const where = `q(z|x): ${d <= 3 ? at.join(", ") : `${d} latents, drawn above`}.`;
    if (model.drawn === "point" && drawn.length)
      return [where, `log p(x|z) = ${number(drawn[0].logLikelihood, 1)} nats; a point has an infinite KL.`];
    if (drawn.length < DRAWS) return [where, "drawing from q(z|x)."];
    const { mean, error } = maths.estimate(drawn.map((t) => t.logLikelihood)), kl = drawn[0].kl, elbo = mean - kl;
    const lines = [where, `log p(x|z) ${number(mean, 1)} ± ${number(error, 1)}, less KL ${number(kl, 1)}, is an ELBO of ${number(elbo, 1)} nats.`];
    if (data.elbos.length) {
      const [low, middle] = data.elbos;
      const verdict = elbo < low ? "This drawing is below 99 % of them: the model has no place for it." : "This drawing is within their range.";
      lines.push(`Half of the test images are above ${number(middle, 0)}, 99 % above ${number(low, 0)}. ${verdict}`);
    }
    return lines;
  }

  const fine = (x, y) => [(x * FINE) / SIZE, (y * FINE) / SIZE];
  controls.drag(sheet, (x, y) => {
    stroke(pen, fine(x, y));
    pen = fine(x, y);
  }, { began: (x, y) => { keys = false; if (example >= 0) clear(); pen = fine(x, y); } });
  controls.arrows(sheet, (right, up) => {
    keys = true;
    if (example >= 0) clear();
    const inside = (v) => Math.min(Math.max(v, 6), FINE - 6), to = [inside(cursor[0] + 4 * right), inside(cursor[1] - 4 * up)];
    if (down) stroke(cursor, to);
    cursor = to;
    refresh();
  });
  sheet.node.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    keys = true;
    down = !down;
    if (down) stroke(cursor, cursor);
    refresh();
  });

  const names = Array.from({ length: data.examples.dims[0] }, (_, i) => `Digit ${data.labels[i]} of the test images`);
  const thumbs = controls.thumbnails("Or take a test image", data.examples, shape, names, (i) => {
    if (i < 0) clear();
    example = i;
    fresh = true;
    refresh();
  });
  const center = controls.checkbox("center and scale as MNIST does", (on) => { centered = on; fresh = true; refresh(); });
  center.input.checked = true;
  stage.append(controls.row(sheet.node, result.node), words.node,
    controls.row(controls.button("Clear", () => { thumbs.set(-1); clear(); }), center.node), thumbs.node);
});
