/* Charts on a canvas: axes with ticks, lines, areas, bars and labels, in the colors of the page. */
vaecourseLive.add("charts", () => {
  "use strict";

  /** Round steps for about n ticks between two numbers. */
  function ticks(low, high, n) {
    const rough = (high - low) / n, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    const made = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) made.push(k * step);
    return { made, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  const minus = (text) => text.replace("-", "−");

  /** A chart in the box [left, top, width, height] of a canvas, for x and y in the ranges given; `log` is of y. */
  function chart(context, colors, { box, x, y, xLabel = "", yLabel = "", title = "", log = false, n = 5, xTicks = true, yTicks = true }) {
    const [left, top, width, height] = box;
    const level = log ? Math.log10 : (v) => v, low = level(y[0]), high = level(y[1]);
    const toX = (v) => left + ((v - x[0]) / (x[1] - x[0])) * width;
    const toY = (v) => top + height - ((level(v) - low) / (high - low)) * height;
    const line = (draw, color, thick = 1, dash = []) => {
      context.save();
      context.beginPath();
      context.rect(left - 1, top - 1, width + 2, height + 2);
      context.clip();
      context.beginPath();
      draw();
      context.strokeStyle = color;
      context.lineWidth = thick;
      context.setLineDash(dash);
      context.stroke();
      context.restore();
    };
    const fill = (draw, color, alpha = 1) => {
      context.save();
      context.beginPath();
      context.rect(left, top, width, height);
      context.clip();
      context.beginPath();
      draw();
      context.globalAlpha = alpha;
      context.fillStyle = color;
      context.fill();
      context.restore();
    };
    const write = (words, atX, atY, color = colors.ink, align = "left", base = "middle", bold = false) => {
      context.font = `${bold ? "600 " : ""}13px system-ui, sans-serif`;
      context.textAlign = align;
      context.textBaseline = base;
      context.fillStyle = color;
      context.fillText(words, atX, atY);
    };
    const along = (points) => () => points.forEach(([a, b]) => context.lineTo(toX(a), Math.min(Math.max(toY(b), -1e4), 1e4)));

    line(() => context.rect(left, top, width, height), colors.line);
    const horizontal = ticks(x[0], x[1], n);
    for (const v of xTicks ? horizontal.made : []) {
      line(() => { context.moveTo(toX(v), top + height - 5); context.lineTo(toX(v), top + height); }, colors.dim);
      write(minus(v.toFixed(horizontal.digits)), toX(v), top + height + 5, colors.dim, "center", "top");
    }
    if (yTicks) {
      const vertical = log
        ? { made: Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, k) => 10 ** (Math.ceil(low) + k)) }
        : ticks(y[0], y[1], 4);
      const every = log ? Math.ceil(vertical.made.length / 5) : 1;
      vertical.made.forEach((v, k) => {
        line(() => { context.moveTo(left, toY(v)); context.lineTo(left + 5, toY(v)); }, colors.dim);
        const words = log ? v.toExponential(0).replace("e+", "e") : v.toFixed(vertical.digits);
        if (k % every === 0) write(minus(words), left - 5, toY(v), colors.dim, "right");
      });
    }
    write(xLabel, left + width / 2, top + height + 22, colors.dim, "center", "top");
    write(yLabel, left - 4, top - 9, colors.dim, "left");
    if (title) write(title, left + width, top - 9, colors.ink, "right", "middle", true);

    return {
      toX,
      toY,
      fromX: (s) => x[0] + ((s - left) / width) * (x[1] - x[0]),
      fromY: (s) => low + ((top + height - s) / height) * (high - low),
      line: (points, color, thick = 2, dash = []) => line(along(points), color, thick, dash),
      area: (points, color, alpha = 0.25) =>
        fill(() => {
          const base = toY(log ? y[0] : Math.max(0, y[0]));
          context.moveTo(toX(points[0][0]), base);
          along(points)();
          context.lineTo(toX(points[points.length - 1][0]), base);
        }, color, alpha),
      upright: (at, color, thick = 1.5, dash = []) =>
        line(() => { context.moveTo(toX(at), top); context.lineTo(toX(at), top + height); }, color, thick, dash),
      level: (at, color, thick = 1.5, dash = []) =>
        line(() => { context.moveTo(left, toY(at)); context.lineTo(left + width, toY(at)); }, color, thick, dash),
      bar: (from, to, bottom, up, color, alpha = 1) =>
        fill(() => context.rect(toX(from), toY(up), toX(to) - toX(from), toY(bottom) - toY(up)), color, alpha),
      dot: (a, b, color, size = 5) => fill(() => context.arc(toX(a), toY(b), size, 0, 7), color),
      write: (words, a, b, color, align, base, bold) => write(words, toX(a), toY(b), color, align, base, bold),
      note: write,
    };
  }

  /** Wipe a canvas. */
  function wipe({ context, width, height }, colors) {
    context.fillStyle = colors.paper;
    context.fillRect(0, 0, width, height);
  }

  const number = (v, digits = 2) =>
    Number.isFinite(v) ? minus(v.toFixed(digits)) : Number.isNaN(v) ? "not a number" : v > 0 ? "infinite" : "−infinite";

  return { chart, wipe, number, minus, ticks };
});
