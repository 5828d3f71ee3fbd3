/* Pictures of every epoch: a slider over stills, and a button that runs through them once. */
vaecourseLive.figure("epochs", (stage, data) => {
  "use strict";
  const live = vaecourseLive, controls = live.part("controls"), { wipe } = live.part("charts");
  const { frames, names, columns, image_shape: shape } = data, n = frames[0].dims[0], SIZE = Math.min(84, 336 / columns);
  const size = shape[0] * shape[1] * shape[2], tall = (SIZE * shape[0]) / shape[1];
  let k = frames.length - 1, timer = null;

  const area = controls.canvas("", columns * SIZE, Math.ceil(n / columns) * tall);
  const words = controls.text(), refresh = controls.eachFrame(stage, paint);
  const slider = controls.slider("epoch", { min: 0, max: k, step: 1, value: k, format: (v) => names[v] }, (v) => {
    stop();
    k = v;
    refresh();
  });
  const play = controls.button("Play", () => (timer ? stop() : run()));

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }

  function run() {
    k = -1;
    play.textContent = "Stop";
    const one = () => {
      k++;
      slider.set(k);
      refresh();
      if (k === frames.length - 1) stop();
    };
    timer = setInterval(one, controls.still() ? 1500 : 350);
    one();
  }

  function paint(colors) {
    wipe(area, colors);
    for (let i = 0; i < n; i++) {
      const own = frames[k].subarray(i * size, (i + 1) * size);
      controls.picture(area.context, own, shape, (i % columns) * SIZE, Math.floor(i / columns) * tall, SIZE - 2);
    }
    area.node.setAttribute("aria-label", `${n} pictures, ${names[k]}`);
    words.set(`${n} pictures, ${names[k]}.`);
  }

  stage.append(area.node, words.node, controls.row(slider.node, play));
});
