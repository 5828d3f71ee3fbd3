/* Networks in plain JavaScript: the layers of a Keras encoder or decoder. */
vaecourseLive.add("engine", (live) => {
  "use strict";
  const { sigmoid, softplus, erf } = live.part("maths");

  const places = new Int32Array(65536), values = new Float64Array(65536);

  /* Collect which of n inputs from x[at] on are not zero; after a rectifier a third of them or more are. */
  function collect(x, at, n) {
    let count = 0;
    for (let k = 0; k < n; k++) {
      const v = x[at + k];
      if (v === 0) continue;
      places[count] = k;
      values[count++] = v;
    }
    return count;
  }

  /* out[o + j] += Σ x · w[row + j] for n values of j, over the inputs collected, whose rows of weights begin at w[k].
     This loop is where the time goes; four rows at once save most of the reading and writing of `out`. */
  function addRows(out, o, w, k, n, count) {
    let i = 0;
    for (; i + 4 <= count; i += 4) {
      const a = values[i], b = values[i + 1], c = values[i + 2], d = values[i + 3];
      let p = k + places[i] * n, q = k + places[i + 1] * n, r = k + places[i + 2] * n, s = k + places[i + 3] * n;
      for (let j = o; j < o + n; j++) out[j] += a * w[p++] + b * w[q++] + c * w[r++] + d * w[s++];
    }
    for (; i < count; i++) {
      const a = values[i];
      let p = k + places[i] * n;
      for (let j = o; j < o + n; j++) out[j] += a * w[p++];
    }
  }

  const ACTIVATIONS = {
    relu: (v) => (v > 0 ? v : 0),
    sigmoid,
    tanh: Math.tanh,
    softplus,
    softsign: (v) => v / (1 + Math.abs(v)),
    elu: (v, a) => (v > 0 ? v : a.alpha * Math.expm1(v)),
    selu: (v) => 1.05070098735548 * (v > 0 ? v : 1.67326324235438 * Math.expm1(v)),
    silu: (v) => v * sigmoid(v),
    gelu: (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
    leaky_relu: (v, a) => (v > 0 ? v : a.slope * v),
    relu6: (v) => Math.min(Math.max(v, 0), 6),
    exponential: Math.exp,
  };

  function activate(out, activation) {
    if (!activation) return;
    const f = ACTIVATIONS[activation.name];
    if (activation.name === "relu") {
      for (let i = 0; i < out.length; i++) if (out[i] < 0) out[i] = 0;
    } else for (let i = 0; i < out.length; i++) out[i] = f(out[i], activation);
  }

  /* Each layer computes from x, one of the inputs or buffers, into `out`, which it may take for granted. */
  const LAYERS = {
    same(node, [x], out) {
      out.set(x);
    },
    dense(node, [x], out) {
      const n = out.length;
      out.set(node.bias);
      for (let i = 0; i < x.length; i += places.length) {
        const part = Math.min(places.length, x.length - i);
        addRows(out, 0, node.kernel, i * n, n, collect(x, i, part));
      }
    },
    conv(node, [x], out) {
      const [h, w, c] = node.from_shape, [H, W, C] = node.shape, [kh, kw] = node.size;
      for (let r = 0, o = 0; r < H; r++)
        for (let q = 0; q < W; q++, o += C) {
          out.set(node.bias, o);
          for (let i = 0; i < kh; i++) {
            const y = r * node.strides[0] + i - node.before[0];
            if (y < 0 || y >= h) continue;
            for (let j = 0; j < kw; j++) {
              const s = q * node.strides[1] + j - node.before[1];
              if (s < 0 || s >= w) continue;
              addRows(out, o, node.kernel, (i * kw + j) * c * C, C, collect(x, (y * w + s) * c, c));
            }
          }
        }
    },
    /* A transposed convolution scatters: each input adds its kernel around its place, and zeros are skipped. */
    transposed(node, [x], out) {
      const [h, w, c] = node.from_shape, [H, W, C] = node.shape, [kh, kw] = node.size;
      for (let o = 0; o < out.length; o += C) out.set(node.bias, o);
      for (let r = 0; r < h; r++)
        for (let q = 0; q < w; q++) {
          const count = collect(x, (r * w + q) * c, c);
          for (let i = 0; i < kh; i++) {
            const y = r * node.strides[0] + i - node.before[0];
            if (y < 0 || y >= H) continue;
            for (let j = 0; j < kw; j++) {
              const s = q * node.strides[1] + j - node.before[1];
              if (s < 0 || s >= W) continue;
              const o = (y * W + s) * C, tap = (i * kw + j) * c;
              if (C > 1) addRows(out, o, node.kernel, tap * C, C, count);
              else {
                let sum = 0;
                for (let k = 0; k < count; k++) sum += values[k] * node.kernel[tap + places[k]];
                out[o] += sum;
              }
            }
          }
        }
    },
    pool(node, [x], out) {
      const [h, w, c] = node.from_shape, [H, W] = node.shape;
      for (let r = 0, o = 0; r < H; r++)
        for (let q = 0; q < W; q++)
          for (let k = 0; k < c; k++, o++) {
            let largest = -Infinity, sum = 0, count = 0;
            for (let i = 0; i < node.size[0]; i++)
              for (let j = 0; j < node.size[1]; j++) {
                const y = r * node.strides[0] + i - node.before[0], s = q * node.strides[1] + j - node.before[1];
                if (y < 0 || s < 0 || y >= h || s >= w) continue;
                const v = x[(y * w + s) * c + k];
                largest = Math.max(largest, v);
                sum += v;
                count++;
              }
            out[o] = node.largest ? largest : sum / count;
          }
    },
    upsample(node, [x], out) {
      const [h, w, c] = node.from_shape, [H, W] = node.shape;
      const place = (r, n, N) => {
        const at = node.bilinear ? Math.min(Math.max(((r + 0.5) * n) / N - 0.5, 0), n - 1) : Math.floor(((r + 0.5) * n) / N);
        const low = Math.floor(at);
        return [low, Math.min(low + 1, n - 1), at - low];
      };
      for (let r = 0, o = 0; r < H; r++) {
        const [top, bottom, v] = place(r, h, H);
        for (let q = 0; q < W; q++) {
          const [left, right, u] = place(q, w, W);
          for (let k = 0; k < c; k++, o++) {
            const upper = (1 - u) * x[(top * w + left) * c + k] + u * x[(top * w + right) * c + k];
            const lower = (1 - u) * x[(bottom * w + left) * c + k] + u * x[(bottom * w + right) * c + k];
            out[o] = (1 - v) * upper + v * lower;
          }
        }
      }
    },
    pad(node, [x], out) { // cropping is padding by a negative number
      const [h, w, c] = node.from_shape, [H, W] = node.shape;
      out.fill(0);
      for (let r = 0; r < h; r++)
        for (let q = 0; q < w; q++) {
          const y = r + node.before[0], s = q + node.before[1];
          if (y < 0 || s < 0 || y >= H || s >= W) continue;
          for (let k = 0; k < c; k++) out[(y * W + s) * c + k] = x[(r * w + q) * c + k];
        }
    },
    affine(node, [x], out) {
      const n = node.scale.length;
      for (let i = 0; i < out.length; i++) out[i] = x[i] * node.scale[i % n] + node.shift[i % n];
    },
    softmax(node, [x], out) {
      const n = node.shape[node.shape.length - 1];
      for (let i = 0; i < out.length; i += n) {
        const part = x.subarray(i, i + n), largest = Math.max(...part);
        const total = part.reduce((sum, v) => sum + Math.exp(v - largest), 0);
        for (let j = 0; j < n; j++) out[i + j] = Math.exp(part[j] - largest) / total;
      }
    },
    floor(node, [x], out) { // mean as it is, log(floor + exp(s)) for the rest
      const d = out.length / 2;
      for (let i = 0; i < d; i++) {
        out[i] = x[i];
        out[d + i] = node.log_floor + softplus(x[d + i] - node.log_floor);
      }
    },
    concat(node, parts, out) {
      const outer = node.shape.slice(0, -1).reduce((a, b) => a * b, 1);
      for (let r = 0, o = 0; r < outer; r++)
        for (const part of parts) {
          const n = part.length / outer;
          out.set(part.subarray(r * n, (r + 1) * n), o);
          o += n;
        }
    },
    add(node, parts, out) {
      for (let i = 0; i < out.length; i++) out[i] = parts.reduce((sum, part) => sum + part[i], 0);
    },
  };

  /** Build a network; the function that is returned maps arrays to an array, which the next call overwrites. */
  function network(spec) {
    const nodes = spec.nodes.map((node) => {
      const own = { ...node, out: new Float32Array(node.shape.reduce((a, b) => a * b, 1)) };
      for (const [name, [start, size]] of Object.entries(node.at || {}))
        own[name] = spec.weights.subarray(start, start + size);
      return own;
    });
    return (...inputs) => {
      const found = inputs.map((input) => Float32Array.from(input));
      for (const node of nodes) {
        LAYERS[node.kind](node, node.from.map((index) => found[index]), node.out);
        activate(node.out, node.activation);
        found.push(node.out);
      }
      return found[spec.output];
    };
  }

  return { network };
});
