/* The latent plane: what is decoded at a point, and q(z|x), log p(x|z), KL and their difference for a chosen image. */
vaecourseLive.figure("latent_plane", (stage, data) => {
  "use strict";
  const live = vaecourseLive, maths = live.part("maths"), controls = live.part("controls");
  const { number, wipe } = live.part("charts");
  const DRAWS = 16, SIZE = 360, TILES = 13;
  const models = data.models.map(live.part("models").model), shape = models[0].image_shape;
  const size = shape[0] * shape[1] * shape[2], n = data.images.dims[0];
  const binary = models.every((m) => ["bernoulli", "rectified"].includes(m.likelihood.name));
  const noise = models.map((m) => Array.from({ length: DRAWS }, (_, k) => maths.generator(k + 1).normals(m.latents)));
  let model, index = 0, axes, z, middle, reach, image = -1, quantiles = false, draw = false, tiles = false;
  let reconstruction, drawn = [], painting = null, backdrop = null;

  const plane = controls.canvas("Latent plane. Arrow keys move the point that is decoded.", SIZE, SIZE);
  const pictures = controls.canvas("", 250, SIZE);
  const words = controls.text(), others = controls.element("div", { className: "vl-row" });
  const refresh = controls.eachFrame(stage, paint), slices = controls.inSlices(), painter = controls.inSlices();

  const imageOf = (i) => data.images.subarray(i * size, (i + 1) * size);
  const part = (name, i) => data.models[index][name].subarray(i * model.latents, (i + 1) * model.latents);

  function choose(which) {
    index = which;
    model = models[which];
    axes = [0, 1];
    const codes = data.models[which].codes, d = model.latents, m = codes.length / d;
    // Nearly all codes and the circle of the prior are to be seen.
    const ends = Array.from({ length: d }, (_, j) => {
      const own = Array.from({ length: m }, (_, i) => codes[i * d + j]).sort((a, b) => a - b);
      return [Math.min(-2.6, own[Math.floor(0.01 * m)]), Math.max(2.6, own[Math.ceil(0.99 * m) - 1])];
    });
    middle = ends.map(([low, high]) => (low + high) / 2);
    reach = 1.05 * Math.max(...ends.map(([low, high]) => (high - low) / 2));
    z = new Array(d).fill(0);
    select(image);
    sliders();
    repaint();
  }

  /** Sliders for all latents, and which two are the axes, where there are more than two. */
  function sliders() {
    others.replaceChildren();
    if (model.latents > 2)
      ["Horizontal", "Vertical"].forEach((name, k) => {
        const list = controls.element("select");
        for (let j = 0; j < model.latents; j++) list.append(new Option(`z${j + 1}`, j, false, j === axes[k]));
        list.addEventListener("change", () => {
          if (axes[1 - k] === +list.value) axes[1 - k] = axes[k];
          axes[k] = +list.value;
          sliders();
          repaint();
        });
        others.append(controls.element("label", {}, name, list));
      });
    const order = [...axes, ...Array.from(z.keys()).filter((j) => !axes.includes(j))];
    sliders.all = order.map((j) => {
      const options = { min: middle[j] - reach, max: middle[j] + reach, step: reach / 500, value: z[j], format: (v) => number(v) };
      const one = controls.slider(`z${j + 1}`, options, (v) => {
        z[j] = v;
        axes.includes(j) ? refresh() : repaint();
      });
      others.append(one.node);
      return [j, one];
    });
  }

  function goTo(point) {
    z = point;
    for (const [j, one] of sliders.all) one.set(z[j]);
    refresh();
  }

  /** Choose an image: its reconstruction at once, the draws of its terms one by one. */
  function select(i) {
    image = i;
    drawn = [];
    if (i < 0) return refresh();
    const mean = Array.from(part("means", i)), logvar = part("logvars", i), eps = noise[index];
    reconstruction = Array.from(model.image(mean));
    const many = model.drawn === "point" ? 1 : DRAWS;
    slices(many, (k) => drawn.push(model.terms(imageOf(i), mean, logvar, eps[k])), refresh);
    if (sliders.all) goTo(mean);
  }

  /** From a latent to the share of its axis, and back. */
  const share = (k, v) => (quantiles ? maths.ndtr(v) : (v - middle[axes[k]] + reach) / (2 * reach));
  const latent = (k, s) =>
    quantiles ? maths.ndtri(Math.min(Math.max(s, 0.002), 0.998)) : middle[axes[k]] + (2 * Math.min(Math.max(s, 0), 1) - 1) * reach;
  const place = (v) => [share(0, v[axes[0]]) * SIZE, (1 - share(1, v[axes[1]])) * SIZE];

  /** Begin to decode the plane anew, if it is painted, and forget the backdrop. */
  function repaint() {
    backdrop = null;
    painting = null;
    if (tiles) {
      painting = controls.element("canvas", { width: TILES * shape[1], height: TILES * shape[0] });
      const context = painting.getContext("2d");
      painter(TILES * TILES, (k) => {
        const column = k % TILES, line = Math.floor(k / TILES), at = z.slice();
        at[axes[0]] = latent(0, (column + 0.5) / TILES);
        at[axes[1]] = latent(1, 1 - (line + 0.5) / TILES);
        context.drawImage(controls.bitmap(model.image(at), shape), column * shape[1], line * shape[0]);
      }, () => {
        backdrop = null;
        refresh();
      });
    } else painter(0, () => {});
    refresh();
  }

  function outline(context, middle, deviations) {
    context.beginPath();
    for (let a = 0; a <= 72; a++) {
      const t = (2 * Math.PI * a) / 72, at = middle.slice();
      at[axes[0]] += deviations[axes[0]] * Math.cos(t);
      at[axes[1]] += deviations[axes[1]] * Math.sin(t);
      context.lineTo(...place(at));
    }
    context.stroke();
  }

  /** Codes or decoded tiles, and the circle of the prior: what does not change while the point moves. */
  function background(colors) {
    const made = controls.canvas("", SIZE, SIZE), { context } = made;
    wipe(made, colors);
    if (painting) context.drawImage(painting, 0, 0, SIZE, SIZE);
    else {
      const hues = [colors.blue, colors.orange, colors.green, colors.purple, colors.ink, colors.dim];
      context.font = "11px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (let i = 0; i < data.labels.length; i++) {
        context.fillStyle = hues[data.labels[i] % 6];
        context.fillText(data.labels[i], ...place(data.models[index].codes.subarray(i * model.latents, (i + 1) * model.latents)));
      }
    }
    context.strokeStyle = painting ? "#1a1a1a" : colors.ink;
    context.lineWidth = 1.5;
    outline(context, new Array(model.latents).fill(0), new Array(model.latents).fill(2.448));
    backdrop = { node: made.node, paper: colors.paper };
  }

  function paint(colors) {
    const { context } = plane;
    if (!backdrop || backdrop.paper !== colors.paper) background(colors);
    context.drawImage(backdrop.node, 0, 0, SIZE, SIZE);
    if (image >= 0) {
      const mean = Array.from(part("means", image)), sigma = Array.from(part("logvars", image), model.deviation);
      context.lineWidth = 3;
      context.strokeStyle = painting ? "#c24e00" : colors.orange;
      for (const k of [1, 2]) outline(context, mean, sigma.map((s) => k * s));
      const [a, b] = place(mean);
      context.fillStyle = context.strokeStyle;
      context.fillRect(a - 2, b - 2, 4, 4);
    }
    const [x, y] = place(z);
    for (const [color, width] of [["#fff", 5], ["#000", 2]]) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.strokeRect(x - 8, y - 8, 16, 16);
    }
    const shown = model.image(z);
    side(colors, shown);
    const lines = [`Decoded at z = (${z.map((v) => number(v)).join(", ")}).`];
    if (image < 0) lines.push("Choose an image below to see where its q(z|x) lies and what it costs.");
    else lines.push(`Image ${image + 1}, a ${data.labels[image]}: ${costs()}`);
    words.set(...lines);
  }

  function costs() {
    if (!drawn.length) return "";
    const kl = drawn[0].kl;
    if (model.drawn === "point")
      return `log p(x|z) = ${number(drawn[0].logLikelihood, 1)} nats at its code. A point has no width, so its KL is infinite.`;
    if (drawn.length < DRAWS) return "drawing from its q(z|x).";
    const { mean, error } = maths.estimate(drawn.map((t) => t.logLikelihood));
    return `log p(x|z) ${number(mean, 1)} ± ${number(error, 1)} (mean of ${DRAWS} draws of q), less KL ${number(kl, 1)}, ` +
      `is an ELBO of ${number(mean - kl, 1)} nats.`;
  }

  function side(colors, shown) {
    const { context } = pictures, random = maths.generator(7).uniform;
    wipe(pictures, colors);
    context.font = "13px system-ui, sans-serif";
    context.fillStyle = colors.ink;
    context.textBaseline = "top";
    context.fillText(draw ? "drawn from p(x|z)" : "decoded at the square", 0, 0);
    if (draw) for (let i = 0; i < size; i++) shown[i] = random() < shown[i] ? 1 : 0;
    controls.picture(context, shown, shape, 0, 18, 212);
    if (image < 0) return;
    context.fillText("chosen image", 0, 242);
    context.fillText("its reconstruction", 120, 242);
    controls.picture(context, imageOf(image), shape, 0, 260, 98);
    controls.picture(context, reconstruction, shape, 120, 260, 98);
  }

  const move = (x, y) => {
    const point = z.slice();
    point[axes[0]] = latent(0, x / SIZE);
    point[axes[1]] = latent(1, 1 - y / SIZE);
    goTo(point);
  };
  controls.drag(plane, move, { hover: true });
  controls.arrows(plane, (right, up) => {
    const point = z.slice();
    [right, up].forEach((step, k) => {
      const low = middle[axes[k]] - reach, to = point[axes[k]] + (step * reach) / 40;
      point[axes[k]] = Math.min(Math.max(to, low), low + 2 * reach);
    });
    goTo(point);
  });
  pictures.node.setAttribute("aria-label", "The decoded image; below it the chosen image and its reconstruction.");

  if (models.length > 1) stage.append(controls.choice("Model", data.models.map((m) => m.name), choose).node);
  const show = controls.row(
    controls.choice("Plane", ["codes", "decoded images"], (k) => { tiles = k === 1; repaint(); }).node,
    controls.choice("Axes", ["z", "quantiles of the prior"], (k) => { quantiles = k === 1; repaint(); }).node,
  );
  if (binary)
    show.append(controls.choice("Pixels", ["probability of ink", "drawn"], (k) => { draw = k === 1; refresh(); }).node);
  const names = Array.from({ length: n }, (_, i) => `Image ${i + 1}, a ${data.labels[i]}`);
  const thumbs = controls.thumbnails("Images that the model has not seen, to choose from", data.images, shape, names, select);
  stage.append(controls.row(plane.node, pictures.node), words.node, thumbs.node, show, others);
  choose(0);
});
