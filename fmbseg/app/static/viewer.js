// The class map over its photograph. `element`, `props` and `watch` are Gradio's; `props.value` is view_of's JSON.
const HATCH = 12;
const hidden = new Set(); // names that are switched off; they stay so when words change
let view = null, pictures = null, asked = 0, cross = null;

const part = (name) => element.querySelector(name);

function paint() {
  if (!pictures) return;
  const canvas = part(".viewer-picture");
  const { width, height, data } = pictures.labels;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(pictures.photograph, 0, 0, width, height);
  const drawn = context.getImageData(0, 0, width, height);
  const strength = part(".viewer-strength input").value / 100;
  const colours = new Array(256).fill(null);
  for (const one of view.classes) if (!hidden.has(one.name)) colours[one.index + 1] = one.colour;
  const hatched = view.classes.some((one) => one.index < 0 && !hidden.has(one.name));
  for (let at = 0; at < width * height; at++) {
    const label = data[4 * at];
    let colour = colours[label], share = strength;
    if (label === 0 && hatched) {
      const place = ((at % width) + Math.floor(at / width)) % HATCH;
      if (place < 4) { colour = place < 2 ? [255, 255, 255] : [0, 0, 0]; share = 0.65; }
    }
    if (!colour) continue;
    for (let band = 0; band < 3; band++) {
      drawn.data[4 * at + band] += share * (colour[band] - drawn.data[4 * at + band]);
    }
  }
  context.putImageData(drawn, 0, 0);
  if (cross) {
    context.lineWidth = Math.max(2, width / 400);
    for (const [colour, radius] of [["black", 0.014], ["white", 0.01]]) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(cross[0] * width, cross[1] * height, radius * Math.max(width, height), 0, 7);
      context.stroke();
    }
  }
}

function tell(x, y) { // 0 to 1
  if (!pictures) return;
  const value = ({ width, height, data }) => {
    const column = Math.min(width - 1, Math.floor(x * width)), row = Math.min(height - 1, Math.floor(y * height));
    return data[4 * (row * width + column)];
  };
  const index = value(pictures.labels) - 1;
  const found = view.classes.find((one) => one.index === index);
  const score = view.low + (value(pictures.scores) / 255) * (view.high - view.low);
  const name = found ? found.name : "unknown";
  part(".viewer-pointed").textContent =
    index < 0 ? `unknown: best word's ${view.measure} ${score.toFixed(2)}` : `${name}: ${view.measure} ${score.toFixed(2)}`;
}

function legend() {
  const list = part(".viewer-classes");
  list.replaceChildren();
  for (const one of view.classes) {
    const label = document.createElement("label"), box = document.createElement("input");
    const square = document.createElement("span"), text = document.createElement("span");
    box.type = "checkbox";
    box.checked = !hidden.has(one.name);
    box.disabled = one.index >= 0 && !one.colour; // background shows the photograph as it is
    box.addEventListener("change", () => {
      box.checked ? hidden.delete(one.name) : hidden.add(one.name);
      paint();
    });
    square.className = "viewer-square" + (one.index < 0 ? " viewer-hatched" : "");
    if (one.colour) square.style.background = `rgb(${one.colour.join(",")})`;
    text.textContent = `${one.name} ${(100 * one.share).toFixed(one.share < 0.1 ? 1 : 0)} %`;
    label.append(box, square, text);
    list.append(label);
  }
}

function listen() { // again after each rendering, which replaces what is below `element`
  const canvas = part(".viewer-picture");
  if (canvas.dataset.listens) return;
  canvas.dataset.listens = "yes";
  const here = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  for (const kind of ["pointermove", "pointerdown"]) canvas.addEventListener(kind, (event) => tell(...here(event)));
  canvas.addEventListener("pointerleave", () => { part(".viewer-pointed").textContent = hint(); });
  canvas.addEventListener("blur", () => { cross = null; paint(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !pictures) return;
    event.preventDefault();
    const size = event.shiftKey ? 0.1 : 0.02;
    cross = (cross || [0.5, 0.5]).map((value, axis) => Math.min(0.999, Math.max(0, value + size * step[axis])));
    paint();
    tell(...cross);
  });
  part(".viewer-strength input").addEventListener("input", paint);
}

const hint = () => view ? "Point at the picture, or focus it and use the arrow keys, for name and score." : "";

async function show() {
  listen();
  if (!props.value) return;
  const mine = ++asked, next = JSON.parse(props.value);
  const [photograph, labels, scores] = await Promise.all([next.photograph, next.labels, next.scores].map(load));
  if (mine !== asked) return; // a newer answer came meanwhile
  view = next;
  pictures = { photograph, labels: pixels(labels), scores: pixels(scores) };
  part(".viewer-picture").setAttribute("aria-label", view.told);
  part(".viewer-pointed").textContent = hint();
  legend();
  paint();
}

watch("value", show);
show();
