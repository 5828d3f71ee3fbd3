/* Controls that all live figures share: elements with labels, canvases in the colors of the page, text that is read out. */
vaecourseLive.add("controls", () => {
  "use strict";
  let count = 0;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  const row = (...children) => element("div", { className: "vl-row" }, ...children);

  /** A slider with a label and its value. */
  function slider(label, { min, max, step, value, format = String }, changed) {
    const input = element("input", { type: "range", min, max, step });
    const output = element("output");
    const set = (v) => {
      input.value = v;
      output.textContent = format(+input.value);
      input.setAttribute("aria-valuetext", output.textContent);
    };
    set(value);
    input.addEventListener("input", () => {
      set(input.value);
      changed(+input.value);
    });
    const name = element("span", { className: "vl-name" }, label);
    const node = element("label", { className: "vl-slider" }, name, input, output);
    return { node, input, set, get value() { return +input.value; } };
  }

  /** Radio buttons, of which one is chosen. */
  function choice(legend, options, changed, chosen = 0) {
    const name = `vl-${++count}`, field = element("fieldset", {}, element("legend", {}, legend));
    const inputs = options.map((text, index) => {
      const input = element("input", { type: "radio", name, checked: index === chosen });
      input.addEventListener("change", () => changed(index));
      field.append(element("label", {}, input, text));
      return input;
    });
    return { node: field, set: (index) => { inputs[index].checked = true; } };
  }

  function checkbox(label, changed) {
    const input = element("input", { type: "checkbox" });
    input.addEventListener("change", () => changed(input.checked));
    return { node: element("label", {}, input, label), input };
  }

  function button(label, pressed) {
    const node = element("button", { type: "button" }, label);
    node.addEventListener("click", pressed);
    return node;
  }

  /** A text that is seen at once, and read out when it has stood for half a second; `lines` is an array of strings. */
  function text() {
    const seen = element("div", { className: "vl-words" }), said = element("p", { className: "vl-said" });
    said.setAttribute("aria-live", "polite");
    let timer, last;
    return {
      node: element("div", {}, seen, said),
      set(...lines) {
        const words = lines.join(" ");
        if (words === last) return;
        last = words;
        seen.replaceChildren(...lines.map((line) => element("p", {}, line)));
        clearTimeout(timer);
        timer = setTimeout(() => (said.textContent = words), 500);
      },
    };
  }

  /** A canvas with a label, as sharp as the screen, and never wider than the page. */
  function canvas(label, width, height) {
    const node = element("canvas"), scale = Math.max(2, window.devicePixelRatio || 1);
    node.width = width * scale;
    node.height = height * scale;
    node.style.width = `${width}px`;
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", label);
    const context = node.getContext("2d");
    context.scale(scale, scale);
    return { node, context, width, height };
  }

  /** Where a pointer is, in the units in which a canvas of this size is drawn. */
  function position(area, event) {
    const box = area.node.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * area.width, ((event.clientY - box.top) / box.height) * area.height];
  }

  /** Hand on where a pointer presses and drags on a canvas, and, with `hover`, where a mouse moves. */
  function drag(area, moved, { hover = false, began = () => {}, ended = () => {} } = {}) {
    const { node } = area;
    let held = false;
    node.classList.add("vl-drag");
    node.addEventListener("pointerdown", (event) => {
      held = true;
      node.setPointerCapture(event.pointerId);
      event.preventDefault();
      node.focus();
      const at = position(area, event);
      began(...at);
      moved(...at);
    });
    node.addEventListener("pointermove", (event) => {
      if (held || (hover && event.pointerType === "mouse")) moved(...position(area, event));
    });
    for (const name of ["pointerup", "pointercancel"])
      node.addEventListener(name, () => {
        if (held) ended();
        held = false;
      });
  }

  /** Make a canvas answer to the arrow keys: `moved` is given steps to the right and up, ten times longer with Shift. */
  function arrows(area, moved) {
    area.node.tabIndex = 0;
    area.node.setAttribute("role", "application");
    area.node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const times = event.shiftKey ? 10 : 1;
      moved(times * step[0], times * step[1]);
    });
  }

  const COLORS = ["paper", "ink", "dim", "line", "blue", "orange", "green", "purple"];
  const colorsOf = (stage) => {
    const style = getComputedStyle(stage);
    return Object.fromEntries(COLORS.map((name) => [name, style.getPropertyValue(`--vl-${name}`).trim()]));
  };

  /** Call a function with the colors of the page at most once a frame, and keep how long the last 300 calls took. */
  function eachFrame(stage, draw) {
    let asked = false, colors;
    const times = (stage.frameTimes = []);
    const ask = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        const start = performance.now();
        colors = colors || colorsOf(stage);
        draw(colors);
        times.push(performance.now() - start);
        if (times.length > 300) times.shift();
      });
    };
    const turned = () => {
      colors = null;
      ask();
    };
    const watch = new MutationObserver(turned);
    for (const node of [document.documentElement, document.body]) watch.observe(node, { attributes: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", turned);
    ask();
    return ask;
  }

  /** Do many small things one after the other without holding up the page; a later call ends an earlier one. */
  function inSlices() {
    let run = 0;
    return (n, one, after = () => {}) => {
      const mine = ++run;
      let i = 0;
      const slice = () => {
        if (mine !== run) return;
        for (const start = performance.now(); i < n && performance.now() - start < 8; i++) one(i);
        after(i);
        if (i < n) setTimeout(slice, 0);
      };
      slice();
    };
  }

  /** Return an image of ink as a bitmap: black on white in the light and in the dark, as the model was trained. */
  function bitmap(values, [h, w, c]) {
    const made = element("canvas", { width: w, height: h }), data = new ImageData(w, h);
    for (let i = 0; i < h * w; i++) {
      for (let k = 0; k < 3; k++) data.data[4 * i + k] = Math.round(255 * (c === 1 ? 1 - values[i] : values[c * i + k]));
      data.data[4 * i + 3] = 255;
    }
    made.getContext("2d").putImageData(data, 0, 0);
    return made;
  }

  /** Draw an image into a rectangle, pixel by pixel as it is. */
  function picture(context, values, shape, x, y, size) {
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap(values, shape), x, y, size, (size * shape[0]) / shape[1]);
  }

  /** Buttons with images, of which one is pressed; to press it again releases it. */
  function thumbnails(legend, images, shape, names, changed) {
    const size = shape[0] * shape[1] * shape[2], field = element("div", { className: "vl-thumbs" });
    field.setAttribute("role", "group");
    field.setAttribute("aria-label", legend);
    let chosen = -1;
    const buttons = names.map((name, i) => {
      const made = bitmap(images.subarray(i * size, (i + 1) * size), shape);
      const one = element("button", { type: "button", title: name }, made);
      one.setAttribute("aria-label", name);
      one.setAttribute("aria-pressed", "false");
      one.addEventListener("click", () => {
        set(i === chosen ? -1 : i);
        changed(chosen);
      });
      field.append(one);
      return one;
    });
    const set = (which) => {
      chosen = which;
      buttons.forEach((one, i) => one.setAttribute("aria-pressed", String(i === which)));
    };
    return { node: element("div", {}, element("p", { className: "vl-name" }, legend), field), set };
  }

  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  return {
    element, row, slider, choice, checkbox, button, text, canvas, drag, arrows, eachFrame, inSlices, bitmap, picture,
    thumbnails, still,
  };
});
