"use strict";
/* The page: what is shown where, and what the user does. */

const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const tiles = new Tiles();
const frames = [];  /* milliseconds that each frame took to draw, for measurements */
Sky.frames = frames;

/* Where the field is on the screen: a pixel's centre is at integers, y runs upwards. */
const view = {
  x: 0, y: 0, scale: 1, width: 1, height: 1,
  toScreen(x, y) { return [view.width / 2 + (x - view.x) * view.scale, view.height / 2 - (y - view.y) * view.scale]; },
  toImage(sx, sy) { return [view.x + (sx - view.width / 2) / view.scale, view.y - (sy - view.height / 2) / view.scale]; },
};
const state = { field: null, mesh: null, marks: null, picture: null, stretch: {}, overlays: new Set(["sources"]), mask: 255, selected: null, dirty: true };
let run;

/* ---- drawing ---------------------------------------------------------------------------------------------- */

function redraw() { state.dirty = true; }
tiles.onload = redraw;

function frame() {
  if (state.dirty && state.picture) {
    state.dirty = false;
    const began = performance.now(), context = $("image").getContext("2d", { alpha: false });
    context.fillStyle = state.picture.background ? "#fff" : "#000";
    context.fillRect(0, 0, view.width, view.height);
    if (state.picture.draw(context, view)) redraw();
    const marks = $("marks").getContext("2d");
    if (state.overlays.has("sources")) state.marks.draw(marks, view); else marks.clearRect(0, 0, view.width, view.height);
    drawLines();
    remember();
    frames.push(performance.now() - began);
    if (frames.length > 1000) frames.shift();
    if (root.dataset.ready !== "1") {
      root.dataset.sources = run.fields.reduce((sum, field) => sum + field.n_sources, 0);
      root.dataset.fields = run.fields.map((field) => field.name).join(",");
      root.dataset.ready = "1";
    }
  }
  requestAnimationFrame(frame);
}

function drawLines() {
  const context = $("lines").getContext("2d");
  context.clearRect(0, 0, view.width, view.height);
  if (state.overlays.has("mask")) drawMask(context);
  for (const overlay of overlaysOf(state.field)) {
    if (!state.overlays.has(overlay.name) || !overlay.value) continue;
    ({ contours, regions: drawRegions, points })[overlay.kind](context, overlay);
  }
  ring(context);
  scaleBar(context);
  compass(context);
}

function contours(context, overlay) {
  context.strokeStyle = overlay.colour; context.lineWidth = 1.2; context.fillStyle = overlay.colour; context.font = "11px system-ui";
  for (const { level, lines } of overlay.value) {
    for (const line of lines) {
      context.beginPath();
      for (let i = 0; i < line.length; i += 2) {
        const [sx, sy] = view.toScreen(line[i], line[i + 1]);
        if (i) context.lineTo(sx, sy); else context.moveTo(sx, sy);
      }
      context.stroke();
      const [sx, sy] = view.toScreen(line[0], line[1]);
      if (line.length > 60) context.fillText(String(level), sx + 3, sy - 3);
    }
  }
}

function points(context, overlay) {
  const { x, y, on } = overlay.value, [x0, y1] = view.toImage(0, 0), [x1, y0] = view.toImage(view.width, view.height);
  const arm = Math.min(Math.max(view.scale * 1.5, 1.5), 5);
  context.strokeStyle = overlay.colour; context.lineWidth = 1.2; context.beginPath();
  for (let i = 0; i < x.length; i++) {
    if (x[i] < x0 || x[i] > x1 || y[i] < y0 || y[i] > y1 || (on && on[i] !== overlay.want)) continue;
    const [sx, sy] = view.toScreen(x[i], y[i]);
    context.moveTo(sx - arm, sy - arm); context.lineTo(sx + arm, sy + arm);
    context.moveTo(sx - arm, sy + arm); context.lineTo(sx + arm, sy - arm);
  }
  context.stroke();
}

const maskPainted = new Map();
function drawMask(context) {
  const layer = state.field.layers.find((one) => one.kind === "mask");
  if (!layer) return;
  const size = state.field.tile, z = Math.min(Math.max(Math.floor(-Math.log2(view.scale) + 0.3), 0), layer.levels - 1), side = size * 2 ** z;
  const [x0, y1] = view.toImage(0, 0), [x1, y0] = view.toImage(view.width, view.height), [height, width] = state.field.shape;
  context.imageSmoothingEnabled = false;
  for (let ty = Math.max(0, Math.floor(y0 / side)); ty * side < Math.min(y1, height); ty++) {
    for (let tx = Math.max(0, Math.floor(x0 / side)); tx * side < Math.min(x1, width); tx++) {
      const path = state.picture.path(layer, z, ty, tx), key = `${path}/${state.mask}`;
      if (!maskPainted.has(key)) {
        const part = tiles.get(path);
        if (!part) continue;
        const image = new ImageData(part.width, part.height), out = new Uint32Array(image.data.buffer), table = maskTable(state.mask);
        for (let y = 0; y < part.height; y++) for (let x = 0; x < part.width; x++) out[(part.height - 1 - y) * part.width + x] = table[part.bytes[y * part.width + x]];
        const canvas = new OffscreenCanvas(part.width, part.height);
        canvas.getContext("2d").putImageData(image, 0, 0);
        maskPainted.set(key, canvas);
        if (maskPainted.size > 80) maskPainted.delete(maskPainted.keys().next().value);
      }
      const canvas = maskPainted.get(key), [left, low] = view.toScreen(tx * side - 0.5, ty * side - 0.5);
      const w = canvas.width * 2 ** z * view.scale, h = canvas.height * 2 ** z * view.scale;
      context.drawImage(canvas, left, low - h, w, h);
    }
  }
}

function ring(context) {
  if (state.selected === null) return;
  const [sx, sy] = view.toScreen(state.marks.x[state.selected], state.marks.y[state.selected]), r = Math.max(view.scale * 5, 10);
  context.strokeStyle = "#ff4d4d"; context.lineWidth = 2;
  context.beginPath(); context.arc(sx, sy, r, 0, 2 * Math.PI); context.stroke();
}

function scaleBar(context) {
  const perPixel = state.field.pixel_scale, target = 130 * perPixel / view.scale;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600], arcsec = steps.reduce((a, b) => (Math.abs(b - target) < Math.abs(a - target) ? b : a));
  const length = arcsec / perPixel * view.scale, x = view.width - length - 16, y = view.height - 18;
  const kpc = run.kpc_per_arcsec ? `, ${(arcsec * run.kpc_per_arcsec).toPrecision(3)} kpc` : "";
  outlined(context, () => { context.moveTo(x, y); context.lineTo(x + length, y); context.moveTo(x, y - 4); context.lineTo(x, y + 4); context.moveTo(x + length, y - 4); context.lineTo(x + length, y + 4); });
  label(context, `${arcsec}″${kpc}`, x + length / 2, y - 9);
}

function compass(context) {
  const { north, east } = state.mesh.compass(view.x, view.y), x = view.width - 52, y = 62, arm = 30;
  outlined(context, () => { for (const [u, v] of [north, east]) { context.moveTo(x, y); context.lineTo(x + u * arm, y - v * arm); } });
  label(context, "N", x + north[0] * (arm + 10), y - north[1] * (arm + 10) + 4);
  label(context, "E", x + east[0] * (arm + 10), y - east[1] * (arm + 10) + 4);
}

function outlined(context, path) {
  for (const [colour, width] of [["#000a", 4], ["#fff", 1.6]]) { context.strokeStyle = colour; context.lineWidth = width; context.beginPath(); path(); context.stroke(); }
}
function label(context, text, x, y) {
  context.font = "12px system-ui"; context.textAlign = "center"; context.lineWidth = 3; context.strokeStyle = "#000c"; context.fillStyle = "#fff";
  context.strokeText(text, x, y); context.fillText(text, x, y); context.textAlign = "start";
}

/* ---- what is shown ---------------------------------------------------------------------------------------- */

function say(text) { $("notice").textContent = text; $("notice").hidden = !text; if (text) setTimeout(() => say(""), 4000); }

function option(select, value, text) { const one = document.createElement("option"); one.value = value; one.textContent = text; select.append(one); }

async function showField(name) {
  const field = run.fields.find((one) => one.name === name) || run.fields[0];
  state.field = field; state.mesh = new Mesh(field.mesh); state.selected = null;
  state.picture = null; maskPainted.clear();
  const [x, y] = await Promise.all(["x", "y"].map((axis) => Sky.load(`sources/${field.name}/${axis}`).then(columnOf)));
  state.marks = field.marks || new Marks(field, x, y);
  field.marks = state.marks;
  $("field").value = field.name;
  const [height, width] = field.shape;
  view.x = width / 2; view.y = height / 2; view.scale = Math.min(view.width / width, view.height / height);
  fillLayers(); fillColumns(); fillOverlays();
  showLayer($("layer").value);
  countPassing();
}

function fillLayers() {
  const select = $("layer"), wanted = select.value;
  select.replaceChildren();
  const images = state.field.layers.filter((layer) => layer.kind !== "mask"), bands = images.filter((layer) => layer.kind === "band");
  if (bands.length > 1) option(select, "colour", `Colour (${state.field.colour.join(", ")})`);
  for (const layer of images) option(select, layer.name, layer.label);
  if ([...select.options].some((one) => one.value === wanted)) select.value = wanted;
}

function channelsOf(name) {
  const named = (one) => state.field.layers.find((layer) => layer.name === one);
  return name === "colour" ? state.field.colour.map(named) : [named(name)];
}

function showLayer(name) {
  const picture = new Picture(tiles, state.field);
  state.picture = picture; state.layer = name;
  $("layer").value = name;
  if (!state.stretch[name]) state.stretch[name] = { ...defaultStretch(name) };
  restretch();
}
function defaultStretch(name) { const { black, white } = channelsOf(name)[0]; return { black, white, invert: false }; }
function restretch() {
  const { black, white, invert } = state.stretch[state.layer], channels = channelsOf(state.layer);
  state.picture.show(channels, channels[0].ramp, black, white, invert);
  $("black").value = black; $("white").value = white; $("invert").checked = invert;
  const value = (t) => { const l = channels[0]; return (l.zero + l.scale * Math.sinh(l.low + t * (l.high - l.low))).toPrecision(3); };
  $("black-value").textContent = value(black); $("white-value").textContent = value(white);
  redraw();
}

function overlaysOf(field) { return field.overlays; }

/* DS9 regions of the user's own, from a file that is chosen or dropped on the image: an overlay of every field. */
async function openRegions(file) {
  const text = await file.text();
  for (const field of run.fields) {
    const value = regionsOf(text, new Mesh(field.mesh), field.pixel_scale), name = `own-${file.name}`;
    field.overlays = field.overlays.filter((one) => one.name !== name);
    field.overlays.push({ name, label: `Regions: ${file.name} (${value.length})`, colour: "#7ef0ff", kind: "regions", value });
    state.overlays.add(name);
  }
  if (!regionsOf(text, state.mesh, state.field.pixel_scale).length) say(`${file.name}: no regions that can be drawn.`);
  fillOverlays(); redraw();
}
function fillOverlays() {
  const box = $("overlays");
  box.replaceChildren();
  const all = [{ name: "sources", label: `Sources (${state.field.n_sources.toLocaleString("en")})`, colour: "#ffb454" }, ...overlaysOf(state.field)];
  for (const overlay of all) check(box, overlay.label, overlay.colour, state.overlays.has(overlay.name), async (on) => {
    if (on) state.overlays.add(overlay.name); else state.overlays.delete(overlay.name);
    if (on && overlay.path && !overlay.value) overlay.value = pointsOf(overlay, await Sky.load(overlay.path));
    redraw();
  });
  const mask = state.field.layers.find((layer) => layer.kind === "mask");
  if (mask) {
    check(box, "Mask", "", state.overlays.has("mask"), (on) => { if (on) state.overlays.add("mask"); else state.overlays.delete("mask"); redraw(); });
    for (const { bit, meaning } of mask.bits) check(box, meaning, `rgb(${MASK_COLOURS[bit]})`, Boolean(state.mask & bit), (on) => { state.mask = on ? state.mask | bit : state.mask & ~bit; redraw(); }, true);
  }
  for (const overlay of overlaysOf(state.field)) if (state.overlays.has(overlay.name) && !overlay.value) Sky.load(overlay.path).then((value) => { overlay.value = pointsOf(overlay, value); redraw(); });
}
function pointsOf(overlay, value) {
  if (overlay.kind === "contours") return value;
  if (overlay.kind === "regions") return regionsOf(value, state.mesh, state.field.pixel_scale);
  return { x: columnOf(value.x), y: columnOf(value.y), on: value.on && columnOf(value.on) };
}
function check(box, text, colour, on, change, indent = false) {
  const line = document.createElement("label"), input = document.createElement("input");
  input.type = "checkbox"; input.checked = on; input.onchange = () => change(input.checked);
  line.append(input);
  if (colour) { const swatch = document.createElement("i"); swatch.style.background = colour; line.append(swatch); }
  if (indent) line.style.marginLeft = "1.4rem";
  line.append(text); box.append(line);
}

/* ---- sources ---------------------------------------------------------------------------------------------- */

function fillColumns() {
  const numbers = state.field.columns.filter((column) => column.dtype !== "text");
  for (const [id, first] of [["colour", "one colour"], ["filter", "add a column…"]]) {
    const select = $(id), wanted = select.value;
    select.replaceChildren(); option(select, "", first);
    for (const column of numbers) option(select, column.name, column.unit ? `${column.name} (${column.unit})` : column.name);
    if (id === "colour" && numbers.some((column) => column.name === wanted)) select.value = wanted;
  }
  $("filters").replaceChildren();
  for (const name of state.marks.filters.keys()) rangeOf(name);
  colourSources();
}

async function colourSources() {
  const ends = await state.marks.colourBy($("colour").value), context = $("ramp").getContext("2d");
  $("ramp").hidden = !ends;
  $("ramp-low").textContent = ends ? ends[0].toPrecision(3) : ""; $("ramp-high").textContent = ends ? ends[1].toPrecision(3) : "";
  for (let i = 0; i < 256 && ends; i++) { context.fillStyle = `rgb(${rampAt("viridis", i / 255)})`; context.fillRect(i, 0, 1, 10); }
  redraw();
}

async function addFilter(name) {
  if (!name) return;
  const [low, high] = spread(await state.marks.column(name), 0, 1);
  state.marks.filters.set(name, { low, high, from: low, to: high });
  rangeOf(name); $("filter").value = "";
}

function rangeOf(name) {
  const range = state.marks.filters.get(name), box = document.createElement("div");
  box.className = "range";
  box.innerHTML = '<header><span></span><button aria-label="Remove filter">remove</button></header><input type="range" aria-label="least"><input type="range" aria-label="most"><br><input type="number" step="any" aria-label="least"> <input type="number" step="any" aria-label="most">';
  box.querySelector("span").textContent = name;
  const sliders = box.querySelectorAll("input[type=range]"), numbers = box.querySelectorAll("input[type=number]");
  const update = () => { [range.low, range.high].forEach((value, k) => { sliders[k].value = value; numbers[k].value = value; }); countPassing(); };
  [...sliders].forEach((slider, k) => { slider.min = range.from; slider.max = range.to; slider.step = "any"; slider.oninput = () => { range[k ? "high" : "low"] = Number(slider.value); update(); }; });
  [...numbers].forEach((number, k) => { number.onchange = () => { range[k ? "high" : "low"] = Number(number.value); update(); }; });
  box.querySelector("button").onclick = () => { state.marks.filters.delete(name); box.remove(); countPassing(); };
  $("filters").append(box);
  update();
}

async function countPassing() {
  const n = await state.marks.filter();
  $("passing").textContent = `${n.toLocaleString("en")} of ${state.marks.count.toLocaleString("en")} sources pass.`;
  redraw();
}

/* ---- what the user does ----------------------------------------------------------------------------------- */

function resize() {
  const box = $("sky").getBoundingClientRect();
  view.width = Math.max(1, Math.round(box.width)); view.height = Math.max(1, Math.round(box.height));
  for (const id of ["image", "marks", "lines"]) { $(id).width = view.width; $(id).height = view.height; }
  redraw();
}

function zoom(factor, sx = view.width / 2, sy = view.height / 2) {
  const [x, y] = view.toImage(sx, sy), scale = Math.min(Math.max(view.scale * factor, 0.01), 40);
  view.scale = scale; view.x = x - (sx - view.width / 2) / scale; view.y = y + (sy - view.height / 2) / scale;
  redraw();
}

/* The value of a pixel in each layer that is shown: exact from the server, in blocks that are kept, else that of a tile. */
const EXACT_BLOCK = 128;
function pixelTexts(x, y) {
  const channels = channelsOf(state.layer), texts = [];
  for (const layer of channels) {
    const name = channels.length > 1 ? `${layer.name} ` : "";
    const say = (value, sign) => { if (Number.isFinite(value)) texts.push(`${name}${sign}${value.toPrecision(sign ? 3 : 6)} ${layer.unit}`); };
    if (Sky.exact) {
      const by = Math.floor(y / EXACT_BLOCK) * EXACT_BLOCK, bx = Math.floor(x / EXACT_BLOCK) * EXACT_BLOCK, key = `${state.field.name}/${layer.name}/${by}/${bx}`;
      const block = readout.blocks.get(key);
      if (block) { if (block.values) say(block.values[(y - by) * EXACT_BLOCK + x - bx], ""); continue; }
      const waiting = { values: null };
      readout.blocks.set(key, waiting);
      if (readout.blocks.size > 200) readout.blocks.delete(readout.blocks.keys().next().value);
      exactPixels(layer, bx, by, EXACT_BLOCK).then((values) => { waiting.values = values; if (readout.last) readout(readout.last); }).catch(() => readout.blocks.delete(key));
      continue;
    }
    const ty = Math.floor(y / state.field.tile), tx = Math.floor(x / state.field.tile), part = tiles.codes.get(state.picture.path(layer, 0, ty, tx));
    if (part) say(valueOf(layer, part.bytes[(y - ty * state.field.tile) * part.width + x - tx * state.field.tile]), "≈ ");
  }
  return texts;
}

function readout(event) {
  readout.last = { offsetX: event.offsetX, offsetY: event.offsetY };
  const [x, y] = view.toImage(event.offsetX, event.offsetY), [height, width] = state.field.shape;
  if (x < -0.5 || y < -0.5 || x >= width - 0.5 || y >= height - 0.5) { $("readout").textContent = ""; return; }
  const [ra, dec] = state.mesh.radec(x, y), parts = [`RA ${ra.toFixed(6)}  Dec ${dec.toFixed(6)}`, `x ${Math.round(x)}  y ${Math.round(y)}`];
  if (run.centre) {
    const east = (((ra - run.centre[0] + 540) % 360) - 180) * Math.cos(run.centre[1] * Math.PI / 180) * 3600, north = (dec - run.centre[1]) * 3600, r = Math.hypot(east, north);
    parts.push(`${r.toFixed(1)}″${run.kpc_per_arcsec ? ` = ${(r * run.kpc_per_arcsec).toFixed(0)} kpc` : ""} from the centre`);
  }
  parts.push(...pixelTexts(Math.round(x), Math.round(y)));
  $("readout").textContent = parts.join("   ");
}

readout.blocks = new Map();

function remember() {
  const parts = { field: state.field.name, x: view.x.toFixed(1), y: view.y.toFixed(1), scale: view.scale.toPrecision(4), layer: state.layer, show: [...state.overlays].join(","), colour: $("colour").value };
  if (state.selected !== null && root.getAttribute("data-selected-id")) parts.id = root.getAttribute("data-selected-id");
  clearTimeout(remember.timer);
  remember.timer = setTimeout(() => { try { history.replaceState(null, "", "#" + new URLSearchParams(parts)); } catch { /* some browsers refuse it from file:// */ } }, 300);
}

async function recall() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (wanted.get("field") && (!state.field || wanted.get("field") !== state.field.name)) await showField(wanted.get("field"));
  if (wanted.get("layer") && [...$("layer").options].some((one) => one.value === wanted.get("layer"))) showLayer(wanted.get("layer"));
  if (wanted.has("show")) { state.overlays = new Set(wanted.get("show").split(",").filter(Boolean)); fillOverlays(); }
  if (wanted.get("colour") && state.field.columns.some((column) => column.name === wanted.get("colour"))) { $("colour").value = wanted.get("colour"); await colourSources(); }
  for (const key of ["x", "y", "scale"]) if (Number.isFinite(parseFloat(wanted.get(key)))) view[key] = parseFloat(wanted.get(key));
  if (wanted.get("id")) await select(Number(wanted.get("id")), !wanted.get("x"));
  redraw();
}

/* A position in degrees or sexagesimal: "342.18 -44.53", "22:48:43.9 -44:31:51". */
function positionOf(text) {
  const parts = text.trim().split(/[\s,]+/);
  if (parts.length !== 2) return null;
  const degrees = parts.map((part, k) => {
    const pieces = part.split(/[:hdms°'"]+/).filter(Boolean).map(Number);
    if (!pieces.length || pieces.some(Number.isNaN)) return NaN;
    const size = Math.abs(pieces[0]) + (pieces[1] || 0) / 60 + (pieces[2] || 0) / 3600;
    return (part.startsWith("-") ? -size : size) * (k === 0 && pieces.length > 1 ? 15 : 1);
  });
  return degrees.every(Number.isFinite) ? degrees : null;
}

async function find(text) {
  if (/^\d+$/.test(text.trim())) { await select(Number(text), true); return; }
  const position = positionOf(text);
  if (!position) { say("Give a source's id, or RA and Dec in degrees or sexagesimal."); return; }
  for (const field of [state.field, ...run.fields]) {
    const [x, y] = new Mesh(field.mesh).pixel(...position), [height, width] = field.shape;
    if (x < 0 || y < 0 || x >= width || y >= height) continue;
    if (field !== state.field) await showField(field.name);
    view.x = x; view.y = y; view.scale = Math.max(view.scale, 4);
    redraw();
    return;
  }
  say("That position is outside of every field.");
}

function listen() {
  const sky = $("sky"), touches = new Map();
  let moved = false;
  sky.addEventListener("pointerdown", (event) => { touches.set(event.pointerId, event); moved = false; sky.setPointerCapture(event.pointerId); });
  sky.addEventListener("pointermove", (event) => {
    readout(event);
    const last = touches.get(event.pointerId);
    if (!last) return;
    const others = [...touches.values()].filter((one) => one.pointerId !== event.pointerId);
    if (others.length) {
      const before = Math.hypot(last.offsetX - others[0].offsetX, last.offsetY - others[0].offsetY), after = Math.hypot(event.offsetX - others[0].offsetX, event.offsetY - others[0].offsetY);
      if (before > 0) zoom(after / before, (event.offsetX + others[0].offsetX) / 2, (event.offsetY + others[0].offsetY) / 2);
    } else { view.x -= (event.offsetX - last.offsetX) / view.scale; view.y += (event.offsetY - last.offsetY) / view.scale; }
    if (Math.hypot(event.offsetX - last.offsetX, event.offsetY - last.offsetY) > 1) moved = true;
    touches.set(event.pointerId, event);
    redraw();
  });
  const lift = (event) => {
    touches.delete(event.pointerId);
    if (event.type !== "pointerup" || moved) return;
    const [x, y] = view.toImage(event.offsetX, event.offsetY), row = state.marks.nearest(x, y, 14 / view.scale);
    if (row >= 0) state.marks.column("id").then((ids) => select(ids[row]));
  };
  sky.addEventListener("pointerup", lift); sky.addEventListener("pointercancel", lift);
  sky.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0016), event.offsetX, event.offsetY); }, { passive: false });
  sky.addEventListener("keydown", (event) => {
    const step = 80 / view.scale, keys = { "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), ArrowLeft: () => { view.x -= step; }, ArrowRight: () => { view.x += step; }, ArrowUp: () => { view.y += step; }, ArrowDown: () => { view.y -= step; } };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); redraw(); }
  });
  new ResizeObserver(resize).observe(sky);
  window.addEventListener("hashchange", recall);
  $("field").onchange = () => showField($("field").value);
  $("layer").onchange = () => showLayer($("layer").value);
  for (const end of ["black", "white"]) $(end).oninput = () => { state.stretch[state.layer][end] = Number($(end).value); restretch(); };
  $("invert").onchange = () => { state.stretch[state.layer].invert = $("invert").checked; restretch(); };
  $("restretch").onclick = () => { state.stretch[state.layer] = { ...defaultStretch(state.layer) }; restretch(); };
  $("colour").onchange = colourSources;
  $("filter").onchange = () => addFilter($("filter").value);
  $("regions").onchange = () => { for (const file of $("regions").files) openRegions(file); $("regions").value = ""; };
  sky.addEventListener("dragover", (event) => event.preventDefault());
  sky.addEventListener("drop", (event) => { event.preventDefault(); for (const file of event.dataTransfer.files) openRegions(file); });
  $("csv").onclick = saveCsv; $("ds9").onclick = saveRegions;
  $("search").onsubmit = (event) => { event.preventDefault(); find($("query").value); };
  $("toggle").onclick = () => { const panel = $("panel"); panel.hidden = !panel.hidden; $("toggle").setAttribute("aria-expanded", String(!panel.hidden)); };
}

async function start() {
  run = await Sky.load("run");
  Tiles.webp = Boolean(run.webp) && location.protocol.startsWith("http");
  document.title = `${run.title} – tilegc`;
  $("title").textContent = run.title;
  const total = run.fields.reduce((sum, field) => sum + field.n_sources, 0);
  $("counts").textContent = `${total.toLocaleString("en")} sources, recipe ${run.recipe}`;
  for (const field of run.fields) option($("field"), field.name, field.name);
  resize(); listen();
  await showField(run.first);
  await recall();
  requestAnimationFrame(frame);
}
start().catch((error) => { say(`The viewer cannot start: ${error.message}.`); throw error; });
