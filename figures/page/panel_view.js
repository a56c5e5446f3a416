// The panel's sliders, numbers and map.
(() => {
  const by = (id) => document.getElementById(id);
  const [q, salience, steps] = ["q", "salience", "steps"].map(by);
  const start = JSON.parse(by("panel-constants").textContent).start;
  const SVG = "http://www.w3.org/2000/svg";
  const LEFT = 46, TOP = 12, WIDTH = 410, HEIGHT = 240, COLUMNS = 41, ROWS = 24, MOST = 6;
  const SHADES = [
    [0, 34, 78], [26, 56, 111], [67, 78, 108], [97, 101, 112], [125, 124, 120],
    [155, 149, 118], [188, 175, 108], [222, 203, 90], [254, 232, 56],
  ];
  const percent = (x) => (100 * x).toFixed(1) + "%";
  const signed = (x, digits) => (x < 0 ? "−" : "") + Math.abs(x).toFixed(digits);
  const stepsAt = (notch) => Math.round(10 ** (notch / 50));
  const x = (share) => LEFT + share * WIDTH;
  const y = (sigma) => TOP + HEIGHT * (1 - sigma / MOST);

  function element(name, attributes, parent, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  const svg = element("svg", { viewBox: "0 0 560 300", role: "img", "aria-labelledby": "map-title map-words" }, by("map"));
  element("title", { id: "map-title" }, svg, "Change of held-out accuracy by share of unknown facts and salience of known facts");
  const words = element("desc", { id: "map-words" }, svg, "");
  const tiles = [];
  for (let i = 0; i < COLUMNS; i++) for (let j = 0; j < ROWS; j++) {
    const share = (i + 0.5) / COLUMNS, sigma = (MOST * (j + 0.5)) / ROWS, wide = WIDTH / COLUMNS;
    const box = { x: LEFT + i * wide, y: y(sigma + MOST / ROWS / 2), width: wide + 0.5, height: HEIGHT / ROWS + 0.5 };
    tiles.push({ share, sigma, rect: element("rect", box, svg) });
  }
  let path = "";
  for (let sigma = 0.1; sigma <= MOST + 1e-9; sigma += 0.05) {
    const share = nameblind.critical(sigma);
    if (share > 0 && share < 1) path += `${path ? "L" : "M"}${x(share).toFixed(1)} ${y(sigma).toFixed(1)}`;
  }
  element("path", { d: path, class: "halo" }, svg);
  element("path", { d: path, class: "critical" }, svg);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) element("text", { x: x(share), y: TOP + HEIGHT + 16, "text-anchor": "middle" }, svg, share);
  for (const sigma of [0, 2, 4, 6]) element("text", { x: LEFT - 8, y: y(sigma) + 4, "text-anchor": "end" }, svg, sigma);
  element("text", { x: x(0.5), y: TOP + HEIGHT + 38, "text-anchor": "middle" }, svg, "share of unknown facts, q");
  const label = { x: 17, y: TOP + HEIGHT / 2, "text-anchor": "middle", transform: `rotate(-90 17 ${TOP + HEIGHT / 2})` };
  const salienceOf = element("text", label, svg, "salience ");
  element("tspan", { class: "long" }, salienceOf, "of known facts ");
  salienceOf.append("(nats)");
  const KEY = [-40, -20, 0, 20, 40];
  KEY.forEach((points, i) => {
    const top = TOP + 30 + (KEY.length - 1 - i) * 26;
    element("rect", { x: LEFT + WIDTH + 18, y: top, width: 16, height: 26, fill: shade(points / 100) }, svg);
    element("text", { x: LEFT + WIDTH + 40, y: top + 17 }, svg, `${points > 0 ? "+" : signed(points, 0)[0] === "−" ? "−" : ""}${Math.abs(points)}`);
  });
  element("text", { x: LEFT + WIDTH + 18, y: TOP + 3 }, svg, "change");
  element("text", { x: LEFT + WIDTH + 18, y: TOP + 22 }, svg, "(points)");
  element("path", { d: `M${LEFT + WIDTH + 18} ${TOP + 186}h16`, class: "key" }, svg);
  const critical = element("text", { x: LEFT + WIDTH + 40, y: TOP + 190 }, svg, "q");
  element("tspan", { dy: 3, "font-size": ".75em" }, critical, "c");
  const dot = element("circle", { r: 6, class: "dot" }, svg);

  // The brighter the more is gained: readable by the colour-blind and in grey. As in the figure at T9.
  function shade(change) {
    const t = 0.5 + 0.5 * Math.sign(change) * Math.min(Math.abs(change) / 0.5, 1) ** 0.6;
    const i = Math.min(Math.floor(t * (SHADES.length - 1)), SHADES.length - 2), part = t * (SHADES.length - 1) - i;
    return `rgb(${SHADES[i].map((c, k) => Math.round(c + (SHADES[i + 1][k] - c) * part)).join(" ")})`;
  }

  let drawn = 0, waiting = 0;
  function draw() {
    const setting = { q: Number(q.value), salience: Number(salience.value), steps: stepsAt(Number(steps.value)) };
    const found = nameblind.predict(setting.q, setting.salience, setting.steps);
    const shown = {
      attention: percent(found.attention), accuracy: percent(found.accuracy), before: percent(found.before),
      u: signed(found.u, 3), critical: Number.isFinite(found.critical) ? found.critical.toFixed(3) : "none",
    };
    for (const [key, text] of Object.entries(shown)) {
      by(`out-${key}`).textContent = text;
      by(`out-${key}`).dataset.value = found[key];
    }
    by("q-shown").textContent = percent(setting.q);
    by("salience-shown").textContent = setting.salience.toFixed(2);
    by("steps-shown").textContent = setting.steps.toLocaleString("en");
    steps.setAttribute("aria-valuetext", `${setting.steps} steps`);
    steps.dataset.value = setting.steps;
    q.setAttribute("aria-valuetext", percent(setting.q));
    dot.setAttribute("cx", x(setting.q));
    dot.setAttribute("cy", y(setting.salience));
    const change = 100 * (found.accuracy - found.before);
    const side = setting.q > found.critical ? "above" : "below";
    const said = `${shown.accuracy} of held-out facts right after ${setting.steps.toLocaleString("en")} steps, ` +
      `${change >= 0 ? "+" : ""}${signed(change, 1)} points; the share of unknown facts is ${side} the critical one.`;
    by("panel-said").textContent = said;
    words.textContent = said;
    if (drawn !== setting.steps) {
      drawn = setting.steps;
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => colour(found.before));
    }
  }

  function colour(before) {
    for (const { share, sigma, rect } of tiles) {
      const u = nameblind.finalU(share, sigma, drawn, 1e-5); // a colour needs fewer digits
      rect.setAttribute("fill", shade(nameblind.accuracy(u) - before));
    }
  }

  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect(), scale = 560 / box.width;
    const share = ((event.clientX - box.left) * scale - LEFT) / WIDTH;
    const sigma = MOST * (1 - ((event.clientY - box.top) * scale - TOP) / HEIGHT);
    if (share < 0 || share > 1 || sigma < 0 || sigma > MOST) return;
    q.value = share;
    salience.value = sigma;
    draw();
  });
  [q.value, salience.value, steps.value] = [start[0], start[1], 50 * Math.log10(start[2])];
  for (const input of [q, salience, steps]) input.addEventListener("input", draw);
  by("controls").addEventListener("submit", (event) => event.preventDefault());
  draw();
})();
