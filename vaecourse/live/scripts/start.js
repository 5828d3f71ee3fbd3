/* What all live figures of a page share: parts are added once, and every figure starts when it is first seen. */
(function (root, version) {
  "use strict";
  const versions = (root.vaecourseLiveVersions = root.vaecourseLiveVersions || {});
  if (versions[version]) {
    root.vaecourseLive = versions[version];
    return;
  }
  const parts = {}, figures = {}, live = (root.vaecourseLive = versions[version] = { version });

  /** Add a part, unless another figure of the page has brought it already. */
  live.add = (name, make) => {
    if (!parts[name]) parts[name] = make(live);
  };
  live.part = (name) => parts[name];

  /** Add a figure: a function of its stage and its data. */
  live.figure = (name, show) => {
    figures[name] = show;
  };

  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  function bytes(text) {
    const codes = new Uint8Array(128);
    for (let i = 0; i < 64; i++) codes[LETTERS.charCodeAt(i)] = i;
    const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
    const out = new Uint8Array((text.length / 4) * 3 - padding);
    for (let i = 0, o = 0; i < text.length; i += 4) {
      const word =
        (codes[text.charCodeAt(i)] << 18) | (codes[text.charCodeAt(i + 1)] << 12) |
        (codes[text.charCodeAt(i + 2) & 127] << 6) | codes[text.charCodeAt(i + 3) & 127];
      out[o++] = word >> 16;
      if (o < out.length) out[o++] = (word >> 8) & 255;
      if (o < out.length) out[o++] = word & 255;
    }
    return out;
  }

  function half(h) {
    const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  /** Turn an array of the page into numbers; see `packed` in vaecourse/live/packing.py for the four kinds. */
  live.array = function (spec) {
    const raw = bytes(spec.base64), view = new DataView(raw.buffer);
    const n = spec.shape.reduce((a, b) => a * b, 1);
    if (spec.kind === "bytes") return Float32Array.from(raw, (v) => v / 255);
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      if (spec.kind === "bits") out[i] = (raw[i >> 3] >> (7 - (i & 7))) & 1;
      else if (spec.kind === "float16") out[i] = half(view.getUint16(2 * i, true));
      else out[i] = view.getFloat32(4 * i, true);
    }
    return out;
  };

  /** Unpack every array of a figure's data, wherever it stands. */
  live.unpack = function (value) {
    if (Array.isArray(value)) return value.map(live.unpack);
    if (value === null || typeof value !== "object") return value;
    if (typeof value.base64 === "string") return Object.assign(live.array(value), { dims: value.shape });
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, live.unpack(inner)]));
  };

  function begin(host) {
    const still = host.querySelector(".vl-still"), stage = host.querySelector(".vl-stage");
    const data = live.unpack(JSON.parse(host.querySelector("script[type='application/json']").textContent));
    try {
      figures[data.figure](stage, data);
      if (still) still.hidden = true;
      stage.hidden = false;
      host.dataset.state = "running";
    } catch (error) {
      stage.hidden = true; // the still stays
      host.dataset.state = "failed";
      throw error;
    }
  }

  /** Start the figures of the page that have not been started, each when it comes into view. */
  live.start = function () {
    for (const host of document.querySelectorAll(`.vl[data-version="${version}"]:not([data-state])`)) {
      host.dataset.state = "waiting";
      const observer = new IntersectionObserver(
        (entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return;
          observer.disconnect();
          begin(host);
        },
        { rootMargin: "100px" },
      );
      observer.observe(host);
    }
  };
})(globalThis, "VERSION");
