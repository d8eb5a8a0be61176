// The desk of a reviewer. `element`, `props`, `watch` and `trigger` are Gradio's; `props.value` is Desk.view's JSON.
let view = { masks: [], classes: [] }, pictures = [], chosen = null, tool = "select", asked = 0;
let inside = [], outside = [], corner = null, drag = null, stroke = null, at = null, hidden = false;
const root = element.querySelector(".review");
const part = (name) => root.querySelector(name);
const canvas = part(".review-picture"), field = part(".review-class"), radius = part(".review-radius input");
const tell = (does, more = {}) => trigger("input", { does, ...more });

function paint() {
  if (!pictures.length) return;
  const [photograph, draft, ...bits] = pictures;
  const { naturalWidth: width, naturalHeight: height } = photograph;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(photograph, 0, 0);
  const drawn = context.getImageData(0, 0, width, height);
  const blend = (data, colour, share, outlined) => {
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const place = 4 * (y * width + x);
      if (!data[place]) continue;
      const edge = outlined && (x < 2 || y < 2 || x >= width - 2 || y >= height - 2 || !data[place - 8]
        || !data[place + 8] || !data[place - 8 * width] || !data[place + 8 * width]);
      const inner = edge && (x < 1 || y < 1 || x >= width - 1 || y >= height - 1 || !data[place - 4]
        || !data[place + 4] || !data[place - 4 * width] || !data[place + 4 * width]);
      for (let band = 0; band < 3; band++) {
        const wanted = edge ? (inner ? 0 : 255) : colour[band];
        drawn.data[place + band] += (edge ? 1 : share) * (wanted - drawn.data[place + band]);
      }
    }
  };
  if (!hidden) view.masks.forEach((mask, index) => blend(bits[index].data, mask.colour, 0.4, false));
  const index = view.masks.findIndex((mask) => mask.key === chosen);
  if (index >= 0 && !hidden) blend(bits[index].data, view.masks[index].colour, 0.35, true);
  if (draft) blend(draft.data, [255, 255, 255], 0.45, true);
  context.putImageData(drawn, 0, 0);
  const scale = width / view.width;
  const mark = ([x, y], colour, filled) => {
    for (const [shade, grow] of [["black", 2], [colour, 0]]) {
      context.beginPath();
      context.arc(x * scale, y * scale, width / 110 + grow, 0, 7);
      context.lineWidth = 3;
      context.strokeStyle = context.fillStyle = shade;
      if (filled) context.fill(); else context.stroke();
    }
  };
  inside.forEach((one) => mark(one, "#fff", true));
  outside.forEach((one) => mark(one, "#f4b400", false));
  if (corner && at) {
    context.lineWidth = 3;
    context.setLineDash([8, 6]);
    context.strokeStyle = "white";
    context.strokeRect(corner[0] * scale, corner[1] * scale, (at[0] - corner[0]) * scale, (at[1] - corner[1]) * scale);
    context.setLineDash([]);
  }
  if (stroke) {
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = 2 * radius.value * scale;
    context.strokeStyle = "rgba(255,255,255,0.6)";
    context.beginPath();
    stroke.forEach(([x, y], step) => (step ? context.lineTo(x * scale, y * scale) : context.moveTo(x * scale, y * scale)));
    context.lineTo(stroke[0][0] * scale + 0.1, stroke[0][1] * scale);
    if (stroke.length > 1) { context.moveTo(...stroke[0].map((one) => one * scale)); stroke.forEach(([x, y]) => context.lineTo(x * scale, y * scale)); }
    context.stroke();
  }
  if (at && document.activeElement === canvas) {
    for (const [shade, wide] of [["black", 4], ["white", 2]]) {
      context.lineWidth = wide;
      context.strokeStyle = shade;
      context.beginPath();
      const [x, y] = at.map((one) => one * scale), arm = width / 40;
      context.moveTo(x - arm, y); context.lineTo(x + arm, y);
      context.moveTo(x, y - arm); context.lineTo(x, y + arm);
      context.stroke();
    }
  }
}

function list() {
  const box = part(".review-masks");
  box.replaceChildren(...view.masks.map((mask) => {
    const row = document.createElement("button");
    row.type = "button";
    row.className = "review-mask";
    row.dataset.key = mask.key;
    row.setAttribute("aria-pressed", String(mask.key === chosen));
    const square = document.createElement("span");
    square.className = "viewer-square";
    square.style.background = `rgb(${mask.colour})`;
    const judged = { accept: "accepted", rename: "renamed", draw: "drawn" }[mask.judged];
    const words = document.createElement("span");
    const sure = mask.judged ? `${judged} by ${mask.reviewer}` : `sure ${mask.sure.toFixed(2)}`;
    words.textContent = `${mask.name} · ${(100 * mask.share).toFixed(1)} % · ${sure}`;
    row.append(square, words);
    row.onclick = () => choose(mask.key);
    return row;
  }));
  part(".review-said").textContent = view.said || "";
  part(".review-name").textContent = view.path || "";
  part(".review-names").replaceChildren(...view.classes.map((name) => Object.assign(document.createElement("option"), { value: name })));
  const mask = view.masks.find((one) => one.key === chosen);
  canvas.setAttribute("aria-label", view.path
    ? `${view.path}: ${view.masks.length} masks; ${mask ? `chosen: ${mask.name}` : "none chosen"}${view.draft ? "; a draft" : ""}`
    : "No photograph yet");
  const busy = !view.path;
  for (const button of root.querySelectorAll(".review-do button")) button.disabled = busy;
  part('[data-does="rename"]').textContent = view.draft ? "Keep draft as (n)" : "Rename to (n)";
}

let focused = null; // within the desk
root.addEventListener("focusin", (event) => { focused = event.target; });

function stay() { // Gradio renders anew what is below `element`; the desk, with all that listens, goes back
  const rendered = element.querySelector(".review");
  if (!rendered || rendered === root) return;
  rendered.replaceWith(root);
  if (document.activeElement === document.body && focused) focused.focus({ preventScroll: true });
}

async function show() {
  stay();
  const turn = ++asked;
  const before = view.path, keys = view.masks.map((mask) => mask.key);
  const next = JSON.parse(props.value || "{}");
  const sources = next.photograph ? [next.photograph, ...(next.draft ? [next.draft] : []), ...next.masks.map((mask) => mask.bits)] : [];
  const loaded = await Promise.all(sources.map(load));
  if (turn !== asked) return;
  view = { masks: [], classes: [], ...next };
  if (loaded.length) {
    const rest = loaded.slice(next.draft ? 2 : 1).map(pixels);
    pictures = [loaded[0], next.draft ? pixels(loaded[1]) : null, ...rest];
  } else pictures = [];
  if (view.path !== before) { at = null; hidden = false; }
  if (!view.draft || view.path !== before) { inside = []; outside = []; corner = null; }
  if (!view.masks.some((mask) => mask.key === chosen)) {
    const place = view.path === before ? keys.indexOf(chosen) : 0;
    const masks = view.masks;
    chosen = masks.length ? masks[Math.min(Math.max(place, 0), masks.length - 1)].key : null;
  }
  if (!view.draft && chosen) field.value = view.masks.find((mask) => mask.key === chosen).name;
  list();
  paint();
  element.dataset.shown = String(turn);
}

function choose(key) {
  chosen = key;
  const mask = view.masks.find((one) => one.key === key);
  if (mask && !view.draft) field.value = mask.name;
  list();
  paint();
}

function turn(by) {
  const place = view.masks.findIndex((mask) => mask.key === chosen), count = view.masks.length;
  if (count) choose(view.masks[(place + by + count) % count].key);
}

function take(name) {
  tool = name;
  corner = stroke = null;
  for (const button of root.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  part(".review-radius").hidden = name !== "brush";
  part(".review-away").hidden = name !== "brush" && name !== "points";
  canvas.style.touchAction = name === "box" || name === "brush" ? "none" : "manipulation";
  paint();
}

function placed(event) {
  const box = canvas.getBoundingClientRect();
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  return [clamp(((event.clientX - box.left) / box.width) * view.width, view.width), clamp(((event.clientY - box.top) / box.height) * view.height, view.height)];
}

function pick([x, y]) { // the smallest mask there; again, the next one
  const scale = pictures[0].naturalWidth / view.width;
  const place = 4 * (Math.min(Math.floor(y * scale), canvas.height - 1) * canvas.width + Math.min(Math.floor(x * scale), canvas.width - 1));
  const under = view.masks.filter((mask, index) => pictures[index + 2].data[place]).sort((one, other) => one.share - other.share);
  if (under.length) choose(under[(under.findIndex((mask) => mask.key === chosen) + 1) % under.length].key);
}

function point(where, away) {
  (away ? outside : inside).push(where);
  if (inside.length) tell("cut", { inside, outside }); else paint();
}

function corners(where) {
  if (!corner) { corner = where; paint(); return; }
  const box = [corner, where];
  corner = null;
  inside = []; outside = [];
  tell("cut", { box });
}

function use(where, away) { // what a click, or the space bar, does
  if (!view.path) return;
  if (tool === "select") pick(where);
  if (tool === "points") point(where, away);
  if (tool === "box") corners(where);
  if (tool === "brush") tell("brush", { stroke: [where], radius: Number(radius.value), erase: away });
}

canvas.onpointerdown = (event) => {
  if (!view.path) return;
  event.preventDefault();
  canvas.focus();
  at = placed(event);
  const away = event.shiftKey || event.button === 2 || part(".review-away input").checked;
  if (tool === "brush") { stroke = [at]; drag = away; canvas.setPointerCapture(event.pointerId); paint(); return; }
  if (tool === "box" && !corner) { corner = at; drag = true; canvas.setPointerCapture(event.pointerId); paint(); return; }
  use(at, away);
};
canvas.onpointermove = (event) => {
  if (!stroke && !corner) return;
  at = placed(event);
  if (stroke) stroke.push(at);
  paint();
};
canvas.onpointerup = (event) => {
  if (stroke) {
    const done = stroke;
    stroke = null;
    const step = Math.ceil(done.length / 1000);
    tell("brush", { stroke: done.filter((_, index) => index % step === 0), radius: Number(radius.value), erase: drag });
  } else if (tool === "box" && corner && drag) {
    at = placed(event);
    drag = null;
    if (Math.hypot(at[0] - corner[0], at[1] - corner[1]) > 4) corners(at);
  }
};
canvas.oncontextmenu = (event) => event.preventDefault();
canvas.onfocus = canvas.onblur = () => paint();

function name() {
  const given = field.value.trim();
  if (!given) return;
  if (view.draft) tell("keep", { name: given }); else if (chosen) tell("rename", { name: given, mask: chosen });
  canvas.focus();
}

field.onkeydown = (event) => {
  if (event.key === "Enter") { event.preventDefault(); name(); }
  if (event.key === "Escape") canvas.focus();
};

function act(does) {
  if (["accept", "reject", "delete"].includes(does)) { if (chosen) tell(does, { mask: chosen }); return; }
  if (does === "rename") name();
  if (does === "undo" || does === "done" || does === "drop") tell(does);
  if (does === "next" || does === "previous") tell("step", { by: does === "next" ? 1 : -1 });
}

for (const button of root.querySelectorAll("[data-does]")) button.onclick = () => act(button.dataset.does);
for (const button of root.querySelectorAll("[data-tool]")) button.onclick = () => take(button.dataset.tool);

const KEYS = {
  a: () => act("accept"), r: () => act("reject"), d: () => act("delete"), u: () => act("undo"),
  ".": () => act("next"), ",": () => act("previous"), j: () => turn(1), k: () => turn(-1),
  v: () => take("select"), p: () => take("points"), b: () => take("box"), h: () => take("brush"),
  n: () => { field.focus(); field.select(); }, s: () => { hidden = !hidden; paint(); }, Escape: () => act("drop"),
  "+": () => { radius.value = Number(radius.value) + 2; paint(); }, "-": () => { radius.value = Number(radius.value) - 2; paint(); },
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function pressed(event) {
  if (!element.isConnected) { document.removeEventListener("keydown", pressed); return; }
  if (!element.offsetParent || !view.path || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable], [role=listbox]")) return;
  const free = !event.target.closest("button, a, summary, [role=tab]");
  const here = event.target === canvas;
  if (here && ARROWS[event.key]) {
    const by = event.shiftKey ? 1 : Math.max(1, Math.round(view.width / 60));
    at = at || [view.width / 2, view.height / 2];
    const [x, y] = ARROWS[event.key];
    at = [Math.min(Math.max(at[0] + x * by, 0), view.width), Math.min(Math.max(at[1] + y * by, 0), view.height)];
    paint();
  } else if (here && (event.key === " " || event.key === "x")) {
    at = at || [view.width / 2, view.height / 2];
    use(at, event.key === "x" || part(".review-away input").checked);
  } else if (free && event.key === "Enter") act("done");
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
}
document.addEventListener("keydown", pressed);
watch("value", show);
take("select");
show();
