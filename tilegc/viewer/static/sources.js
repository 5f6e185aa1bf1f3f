"use strict";
/* One source: its numbers and cut-outs; and all that pass the filters, for other programs. */

function short(value) { return typeof value !== "number" || Number.isInteger(value) ? String(value) : Number.isFinite(value) ? String(Number(value.toPrecision(7))) : "–"; }

async function select(id, centre = false) {
  const home = await fieldOf(id);
  if (!home) { say(`There is no source ${id}.`); return; }
  if (home !== state.field) await showField(home.name);
  const row = await state.marks.rowOf(id);
  state.selected = row;
  if (centre) { view.x = state.marks.x[row]; view.y = state.marks.y[row]; view.scale = Math.max(view.scale, 4); }
  redraw();
  const values = await state.marks.values(id);
  for (const key of Object.keys(root.dataset)) if (key.startsWith("selected")) delete root.dataset[key];
  for (const [name, value] of values) root.setAttribute(`data-selected-${name}`, String(value));
  root.setAttribute("data-selected-id", String(id));
  $("selection").hidden = false; $("selected").textContent = id;
  const body = $("numbers").tBodies[0];
  body.replaceChildren(...values.map(([name, value]) => {
    const column = state.field.columns.find((one) => one.name === name), line = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
    head.textContent = name; head.title = column.meaning; head.scope = "row";
    cell.textContent = column.unit && value === value ? `${short(value)} ${column.unit}` : short(value); cell.title = String(value);
    line.append(head, cell); return line;
  }));
  $("panel").scrollTop = 0;
  cutouts(state.marks.x[row], state.marks.y[row]);
}

async function fieldOf(id) {
  for (const field of run.fields) {
    const ids = field.ids || (field.ids = columnOf(await Sky.load(`sources/${field.name}/id`)));
    if (field.marks && !field.marks.columns.has("id")) field.marks.columns.set("id", ids);
    if (ids.includes(id)) return field;
  }
  return null;
}

/* Cut-outs of 41 pixels: of every band the image, the light of the fitted sources and what is left without it, all with
   the stretch of the band, and the detection map. Exact pixels from the server of `tilegc view`, else those of the tiles,
   which are rounded to steps of the asinh scale and compressed. */
const REACH = 20, SIZE = 2 * REACH + 1;

async function cutouts(x, y) {
  const layers = state.field.layers, chosen = state.selected, rows = [];
  for (const layer of layers.filter((one) => one.kind === "band" || one.kind === "detection")) {
    const rest = layers.find((one) => one.name === `residual-${layer.name}`), values = await pixelsAround(layer, x, y), row = [[layer.label, values]];
    if (rest) { const left = await pixelsAround(rest, x, y); row.push(["model", values.map((value, i) => layer.zero + value - left[i])], ["residual", left]); }
    rows.push([layer, row]);
  }
  if (state.selected !== chosen) return;  /* another source was selected in the meantime */
  $("cutouts").replaceChildren(...rows.map(([layer, row]) => {
    const line = document.createElement("div");
    for (const [text, values] of row) line.append(cutout(layer, text, values));
    return line;
  }));
  root.dataset.exact = Sky.exact ? "1" : "0";
  root.dataset.cutouts = rows.map(([, row]) => row.length).join(",");
}

/* Pixels about a position, in the unit of the layer; NaN outside of the field and where there are no data. */
async function pixelsAround(layer, x, y) {
  const x0 = Math.round(x) - REACH, y0 = Math.round(y) - REACH;
  return Sky.exact ? exactPixels(layer, x0, y0, SIZE) : tilePixels(layer, x0, y0, SIZE);
}

async function exactPixels(layer, x0, y0, size) {
  const [height, width] = state.field.shape, values = new Float32Array(size * size).fill(NaN);
  const box = { y0: Math.max(y0, 0), x0: Math.max(x0, 0), y1: Math.min(y0 + size, height), x1: Math.min(x0 + size, width) };
  if (box.y0 >= box.y1 || box.x0 >= box.x1) return values;
  const answer = await fetch("pixels?" + new URLSearchParams({ field: state.field.name, layer: layer.name, ...box }));
  if (!answer.ok) throw new Error(`no pixels of ${layer.name}`);
  const found = new Float32Array(await answer.arrayBuffer()), wide = box.x1 - box.x0;
  for (let v = box.y0; v < box.y1; v++) values.set(found.subarray((v - box.y0) * wide, (v - box.y0 + 1) * wide), (v - y0) * size + box.x0 - x0);
  return values;
}

async function tilePixels(layer, x0, y0, size) {
  const field = state.field, values = new Float32Array(size * size).fill(NaN), needed = new Set();
  for (const v of [0, size - 1]) for (const u of [0, size - 1]) needed.add(`${Math.floor((y0 + v) / field.tile)}_${Math.floor((x0 + u) / field.tile)}`);
  for (const name of needed) {
    const [ty, tx] = name.split("_").map(Number), path = state.picture.path(layer, 0, ty, tx);
    if (ty < 0 || tx < 0 || ty * field.tile >= field.shape[0] || tx * field.tile >= field.shape[1]) continue;
    if (!tiles.codes.has(path)) await tiles.fetch(path).catch(() => {});
    const part = tiles.codes.get(path);
    if (!part) continue;
    for (let v = 0; v < size; v++) for (let u = 0; u < size; u++) {
      const px = x0 + u - tx * field.tile, py = y0 + v - ty * field.tile;
      if (px >= 0 && py >= 0 && px < part.width && py < part.height) values[v * size + u] = valueOf(layer, part.bytes[py * part.width + px]);
    }
  }
  return values;
}

/* Value of a code, and place of a value on the asinh scale between the ends of the codes. */
function valueOf(layer, code) { return code ? layer.zero + layer.scale * Math.sinh(layer.low + (code - 1) / 254 * (layer.high - layer.low)) : NaN; }
function placeOf(layer, value) { return (Math.asinh((value - layer.zero) / layer.scale) - layer.low) / (layer.high - layer.low); }

function cutout(layer, text, values) {
  const figure = document.createElement("figure"), canvas = document.createElement("canvas"), caption = document.createElement("figcaption");
  canvas.width = canvas.height = SIZE; caption.textContent = text; figure.append(canvas, caption);
  const image = new ImageData(SIZE, SIZE), out = new Uint32Array(image.data.buffer), table = Picture.table(layer, layer.black, layer.white, false);
  for (let v = 0; v < SIZE; v++) for (let u = 0; u < SIZE; u++) {
    const value = values[v * SIZE + u], code = Number.isFinite(value) ? Math.min(Math.max(Math.round(1 + 254 * placeOf(layer, value)), 1), 255) : 0;
    out[(SIZE - 1 - v) * SIZE + u] = 0xff000000 | (table[code] * 0x010101);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return figure;
}

function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" })); link.download = name; link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
async function saveCsv() {
  const names = state.field.columns.map((column) => column.name), columns = await Promise.all(names.map((name) => state.marks.column(name)));
  const lines = [names.join(",")];
  for (let i = 0; i < state.marks.count; i++) if (state.marks.passes[i]) lines.push(columns.map((column) => column[i]).join(","));
  save(`${state.field.name}-sources.csv`, lines.join("\n") + "\n");
}
async function saveRegions() {
  const [ra, dec, id] = await Promise.all(["ra", "dec", "id"].map((name) => state.marks.column(name))), lines = ["# Region file format: DS9", "icrs"];
  for (let i = 0; i < state.marks.count; i++) if (state.marks.passes[i]) lines.push(`circle(${ra[i]},${dec[i]},0.15") # text={${id[i]}}`);
  save(`${state.field.name}-sources.reg`, lines.join("\n") + "\n");
}
