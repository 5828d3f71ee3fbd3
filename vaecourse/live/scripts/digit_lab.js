/* Every digit in one style, by each model, and one digit in many styles. */
vaecourseLive.figure("digit_lab", (stage, data) => {
  "use strict";
  const live = vaecourseLive, controls = live.part("controls"), maths = live.part("maths");
  const { wipe, number } = live.part("charts"), models = data.models.map(live.part("models").model);
  const { latents: d, classes, image_shape: shape } = models[0], SIZE = 64, ACROSS = 5, n = data.images.dims[0];
  const size = shape[0] * shape[1] * shape[2], rows = Math.ceil(classes / ACROSS);
  let z = new Array(d).fill(0), image = -1, digit = -1, seed = 0, others = [];

  const words = controls.text(), refresh = controls.eachFrame(stage, paint);
  const grids = models.map((m, k) => {
    const area = controls.canvas("", ACROSS * (SIZE + 2), rows * (SIZE + 2));
    area.node.setAttribute("aria-label", `All classes in the chosen style, by ${data.models[k].name}`);
    area.styles = controls.canvas("", ACROSS * (SIZE + 2), rows * (SIZE + 2));
    area.styles.node.setAttribute("aria-label", `The chosen class in ten styles drawn from the prior, by ${data.models[k].name}`);
    area.rule = controls.element("p", {}, "one digit, many styles:");
    area.styles.node.hidden = area.rule.hidden = true;
    return area;
  });
  const panels = grids.map((area, k) =>
    controls.element("div", {}, controls.element("p", { className: "vl-name" }, data.models[k].name), area.node, area.rule, area.styles.node));
  const sliders = z.map((_, j) => controls.slider(`z${j + 1}`, { min: -3, max: 3, step: 0.02, value: 0, format: (v) => number(v) }, (v) => {
    z[j] = v;
    image = -1;
    thumbs.set(-1);
    refresh();
  }));

  /** The style of a model: of an image its own encoder's mean, otherwise that of the sliders. */
  const styleOf = (k) => (image < 0 ? z : Array.from(data.models[k].means.subarray(image * d, (image + 1) * d)));

  function paint(colors) {
    models.forEach((model, k) => {
      const area = grids[k], style = styleOf(k);
      wipe(area, colors);
      for (let c = 0; c < classes; c++) put(area, model.image(style, c), c);
      if (digit < 0) return;
      wipe(area.styles, colors);
      others.slice(0, classes).forEach((own, i) => put(area.styles, model.image(own, digit), i));
    });
    const whose = image < 0 ? "the style set by the sliders" : `the style of image ${image + 1}, a ${data.labels[image]}`;
    words.set(`${classes} classes in ${whose}` + (image >= 0 && models.length > 1 ? ", as each model's own encoder reads it." : "."),
      digit < 0 ? "" : `Below: a ${digit} in ${Math.min(classes, others.length)} styles drawn from the prior.`);
  }

  const put = (area, picture, i) =>
    controls.picture(area.context, picture, shape, (i % ACROSS) * (SIZE + 2), Math.floor(i / ACROSS) * (SIZE + 2), SIZE);

  function draw() {
    image = -1;
    thumbs.set(-1);
    z = maths.generator(++seed).normals(d);
    z.forEach((v, j) => sliders[j].set(v));
    refresh();
  }

  const names = Array.from({ length: n }, (_, i) => `Image ${i + 1}, a ${data.labels[i]}`);
  const thumbs = controls.thumbnails("Take the style of an image that the models have not seen", data.images, shape, names, (i) => {
    image = i;
    if (i >= 0) {
      z = styleOf(0).slice();
      z.forEach((v, j) => sliders[j].set(v));
    }
    refresh();
  });
  const list = controls.element("select");
  list.append(new Option("none", -1), ...Array.from({ length: classes }, (_, c) => new Option(String(c), c)));
  list.addEventListener("change", () => {
    digit = +list.value;
    const { normals } = maths.generator(1000 + seed);
    others = Array.from({ length: 10 }, () => normals(d));
    for (const area of grids) area.styles.node.hidden = area.rule.hidden = digit < 0;
    refresh();
  });
  stage.append(controls.row(...panels), words.node,
    controls.row(controls.button("Draw a style from the prior", draw), controls.element("label", {}, "One digit in many styles", list)),
    thumbs.node, controls.element("details", {}, controls.element("summary", {}, "Sliders of the style"), controls.row(...sliders.map((s) => s.node))));
});
