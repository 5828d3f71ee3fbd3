/* A quiz: what is seen of a broken model, measurements on demand, and sentences of which one says what was done. */
vaecourseLive.add("quiz", () => {
  "use strict";

  /** Points of one patient: 4 less one for every hint and 2 for every wrong answer, at least 1 if it is named at last. */
  const points = (hints, wrong) => Math.max(1, 4 - hints - 2 * wrong);

  return { points };
});

vaecourseLive.figure("which_slip", (stage, data) => {
  "use strict";
  const live = vaecourseLive, controls = live.part("controls"), { chart, wipe } = live.part("charts"), { points } = live.part("quiz");
  const { patients, slips, image_shape: shape } = data, size = shape[0] * shape[1] * shape[2];
  const n = 8, most = 4 * patients.length, states = patients.map(() => ({ hints: 0, wrong: [], solved: false }));
  let at = 0, score = 0;

  const curves = ["loss", "log_likelihood", "kl"].map((name) => ({ name, area: controls.canvas("", 220, 196) }));
  const titles = { loss: "loss", log_likelihood: "log p(x|z)", kl: "KL" };
  const pictures = controls.canvas("Training images, their reconstructions, and samples from the prior.", 84 + 8 * 42, 3 * 42);
  const heading = controls.element("p", { className: "vl-name" }), words = controls.text(), refresh = controls.eachFrame(stage, paint);
  const hints = controls.element("ul"), form = controls.element("div", { className: "vl-answers" });
  form.setAttribute("role", "group");
  form.setAttribute("aria-label", "Which slip was made?");
  const buttons = patients[0].answers.map((_, i) => controls.button("", () => choose(patients[at].answers[i])));
  form.append(...buttons);
  const ask = controls.button("Ask for a measurement", () => {
    const state = states[at];
    if (state.hints < patients[at].hints.length) state.hints++;
    update();
  });
  const next = controls.button("Next model", () => {
    at = (at + 1) % patients.length;
    update();
  });

  function choose(name) {
    const state = states[at];
    if (state.solved || state.wrong.includes(name)) return;
    if (name === patients[at].name) {
      state.solved = true;
      score += points(state.hints, state.wrong.length);
    } else state.wrong.push(name);
    update();
  }

  function update() {
    const patient = patients[at], state = states[at], solved = states.filter((s) => s.solved).length;
    heading.textContent = `Model ${at + 1} of ${patients.length}. What was done to it?`;
    hints.replaceChildren(...patient.hints.slice(0, state.hints).map(([what, value]) => controls.element("li", {}, `${what}: ${value}`)));
    ask.disabled = state.hints >= patient.hints.length || state.solved;
    ask.textContent = `Ask for a measurement (${patient.hints.length - state.hints} left)`;
    buttons.forEach((one, i) => {
      const name = patient.answers[i], right = state.solved && name === patient.name, wrong = state.wrong.includes(name);
      one.disabled = state.solved || wrong;
      one.dataset.answer = right ? "right" : wrong ? "wrong" : "";
      one.textContent = `${right ? "✓ " : wrong ? "✗ " : ""}${slips[name]}`;
    });
    const tally = `Score ${score} of ${most}; ${solved} of ${patients.length} models named.`;
    if (state.solved) {
      const found = patient.report.map(([name, measured]) => `${name} (${measured})`).join("; ");
      words.set(`Right, for ${points(state.hints, state.wrong.length)} of 4 points. The diagnosis finds: ${found || "nothing"}.`, tally);
    } else if (state.wrong.length) words.set(`That is not it (${state.wrong.length} wrong). Look at the curves again, or ask for a measurement.`, tally);
    else words.set("Look at curves and pictures, then choose. A hint costs one point, a wrong answer two.", tally);
    refresh();
  }

  function paint(colors) {
    const patient = patients[at];
    for (const { name, area } of curves) {
      wipe(area, colors);
      const values = patient.curves[name], finite = values.map((v, i) => [i + 1, v]).filter((p) => p[1] !== null);
      const own = finite.map((p) => p[1]), low = Math.min(...own), high = Math.max(...own), margin = 0.1 * (high - low || Math.abs(high) || 1);
      area.node.setAttribute("aria-label", own.length ? `${titles[name]} by epoch, from ${own[0].toPrecision(3)} to ${own[own.length - 1].toPrecision(3)}` : `${titles[name]}: no finite value`);
      const y = own.length ? [low - margin, high + margin] : [0, 1];
      const plot = chart(area.context, colors, { box: [54, 20, 158, 132], x: [0.5, Math.max(2, values.length) + 0.5], y, xLabel: "epoch", yLabel: titles[name], n: 3 });
      if (!own.length) plot.note("not a number", 136, 88, colors.orange, "center");
      plot.line(finite, colors.blue, 2);
      for (const [i, v] of finite) plot.dot(i, v, colors.blue, 4);
      if (own.length < values.length) plot.note("then NaN", 210, 34, colors.orange, "right");
    }
    wipe(pictures, colors);
    const { context } = pictures;
    ["images", "reconstructed", "samples"].forEach((name, line) => {
      context.font = "12px system-ui, sans-serif";
      context.textBaseline = "middle";
      context.textAlign = "left";
      context.fillStyle = colors.ink;
      context.fillText(name, 0, 42 * line + 20);
      if (!patient.pictures) return context.fillText("not finite", 90, 42 * line + 20);
      for (let i = 0; i < n; i++) {
        const from = (line * n + i) * size;
        controls.picture(context, patient.pictures.subarray(from, from + size), shape, 84 + 42 * i, 42 * line, 40);
      }
    });
  }

  stage.append(heading, controls.row(...curves.map((c) => c.area.node)), pictures.node, words.node, hints, form, controls.row(ask, next));
  update();
});
