"use strict";
/* Images as pyramids of tiles. A pixel is one byte: 0 is no data, 1 to 255 are steps of asinh((value - zero) / scale)
   from `low` to `high`, so that a new stretch is a table of 256 colours and no pixel is read again. */

const MASK_COLOURS = { 1: [90, 90, 90], 2: [70, 110, 200], 4: [240, 200, 60], 8: [230, 120, 60], 16: [200, 80, 200],
  32: [80, 200, 160], 64: [230, 80, 100], 128: [150, 220, 90] };

/* Control points of the colour maps, dark to light. */
const RAMPS = {
  grey: [[0, 0, 0], [255, 255, 255]],
  heat: [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]],
  viridis: [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]],
};

function rampAt(name, t) {
  const points = RAMPS[name], u = Math.min(Math.max(t, 0), 1) * (points.length - 1), i = Math.min(Math.floor(u), points.length - 2);
  return points[i].map((low, k) => low + (u - i) * (points[i + 1][k] - low));
}

class Tiles {
  static LIMIT = 320;
  static webp = false;
  constructor() { this.codes = new Map(); this.pending = new Set(); this.missing = new Set(); this.onload = () => {}; }

  /* Bytes of a tile, or null while it is under way. */
  get(path) {
    const found = this.codes.get(path);
    if (found) { this.codes.delete(path); this.codes.set(path, found); return found; }
    if (!this.pending.has(path) && !this.missing.has(path)) {
      this.pending.add(path);
      this.fetch(path).catch(() => this.missing.add(path)).finally(() => { this.pending.delete(path); this.onload(); });
    }
    return null;
  }
  /* A tile as a file: its script, or from a web server the WebP beside it, if there is one. */
  async blob(path) {
    if (Tiles.webp) return (await fetch(path + ".webp")).blob();
    const { type, data } = await Sky.load(path);
    Sky.forget(path);
    return new Blob([bytesOf(data)], { type });
  }
  async fetch(path) {
    const bitmap = await createImageBitmap(await this.blob(path));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const bytes = new Uint8Array(rgba.length / 4);
    for (let i = 0; i < bytes.length; i++) bytes[i] = rgba[4 * i];
    this.codes.set(path, { bytes, width: bitmap.width, height: bitmap.height });
    if (this.codes.size > Tiles.LIMIT) this.codes.delete(this.codes.keys().next().value);
  }
}

/* Draws one picture of a field: a layer through a colour map, or three layers as red, green and blue (of two, green is
   their mean). */
class Picture {
  constructor(tiles, field) { this.tiles = tiles; this.field = field; this.painted = new Map(); this.stamp = 0; }

  show(channels, ramp, black, white, invert) {
    this.channels = channels; this.stamp++;
    this.tables = channels.map((layer) => Picture.table(layer, black, white, invert));
    this.ramp = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
      const [r, g, b] = rampAt(ramp, i / 255);
      this.ramp[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    this.background = invert && channels.length === 1 ? 255 : 0;
  }
  /* Brightness, 0 to 255, of each code between two limits of the asinh scale, given as shares of it. */
  static table(layer, black, white, invert) {
    const table = new Uint8Array(256), width = Math.max(white - black, 1e-3);
    for (let code = 1; code < 256; code++) {
      const t = Math.min(Math.max(((code - 1) / 254 - black) / width, 0), 1);
      table[code] = Math.round(255 * (invert ? 1 - t : t));
    }
    if (invert) table[0] = 255;
    return table;
  }
  path(layer, z, ty, tx) { return `tiles/${this.field.name}/${layer.name}/${z}/${ty}_${tx}`; }

  /* A canvas of one tile in the present colours; null while its bytes are not here. */
  paint(z, ty, tx, mayWork) {
    const key = `${z}/${ty}_${tx}`, known = this.painted.get(key);
    if (known && known.stamp === this.stamp) return known;
    const parts = this.channels.map((layer) => this.tiles.get(this.path(layer, z, ty, tx)));
    if (parts.some((part) => part === null)) return known && known.shape === this.channels.length ? known : null;
    if (!mayWork()) { this.late = true; return known || null; }
    const { width, height } = parts[0], image = new ImageData(width, height), out = new Uint32Array(image.data.buffer);
    /* Rows of a tile run upwards, those of a canvas downwards. */
    for (let y = 0; y < height; y++) {
      let from = y * width, to = (height - 1 - y) * width;
      if (parts.length === 1) {
        const bytes = parts[0].bytes, table = this.tables[0], ramp = this.ramp;
        for (let x = 0; x < width; x++) out[to++] = ramp[table[bytes[from++]]];
      } else if (parts.length === 2) {
        const [r, b] = parts, [tr, tb] = this.tables;
        for (let x = 0; x < width; x++, from++) {
          const red = tr[r.bytes[from]], blue = tb[b.bytes[from]];
          out[to++] = (255 << 24) | (blue << 16) | (((red + blue) >> 1) << 8) | red;
        }
      } else {
        const [r, g, b] = parts, [tr, tg, tb] = this.tables;
        for (let x = 0; x < width; x++, from++) out[to++] = (255 << 24) | (tb[b.bytes[from]] << 16) | (tg[g.bytes[from]] << 8) | tr[r.bytes[from]];
      }
    }
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    const painted = { canvas, stamp: this.stamp, width, height, shape: this.channels.length };
    this.painted.delete(key); this.painted.set(key, painted);
    if (this.painted.size > 160) this.painted.delete(this.painted.keys().next().value);
    return painted;
  }

  /* Draw what is in view; at most `budget` milliseconds go into painting tiles, the rest comes with the next frame. */
  draw(context, view, budget = 14) {
    const began = performance.now(), mayWork = () => performance.now() - began < budget;
    const levels = this.channels[0].levels, size = this.field.tile;
    const z = Math.min(Math.max(Math.floor(-Math.log2(view.scale) + 0.3), 0), levels - 1), side = size * 2 ** z;
    const [x0, y1] = view.toImage(0, 0), [x1, y0] = view.toImage(view.width, view.height);
    const [height, width] = this.field.shape, top = Math.ceil(height / side), right = Math.ceil(width / side);
    this.late = false;
    context.imageSmoothingEnabled = view.scale * 2 ** z < 1.5;
    for (let ty = Math.max(0, Math.floor((y0 + 0.5) / side)); ty < top && ty * side - 0.5 < y1; ty++) {
      for (let tx = Math.max(0, Math.floor((x0 + 0.5) / side)); tx < right && tx * side - 0.5 < x1; tx++) {
        this.place(context, view, z, ty, tx, levels, mayWork);
      }
    }
    return this.late;
  }
  place(context, view, z, ty, tx, levels, mayWork) {
    for (let level = z; level < levels; level++) {
      const shift = level - z, py = ty >> shift, px = tx >> shift;
      const painted = this.paint(level, py, px, level === z ? mayWork : () => true);
      if (!painted) continue;
      /* The wanted tile in pixels of the painted one, cut at its edge. */
      const size = this.field.tile / 2 ** shift, sx = (tx - (px << shift)) * size, sy = (ty - (py << shift)) * size;
      const sw = Math.min(size, painted.width - sx), sh = Math.min(size, painted.height - sy);
      if (sw <= 0 || sh <= 0) return;
      const unit = 2 ** level, x = px * this.field.tile * unit + sx * unit - 0.5, y = py * this.field.tile * unit + sy * unit - 0.5;
      const [left, low] = view.toScreen(x, y), [far, high] = view.toScreen(x + sw * unit, y + sh * unit);
      context.drawImage(painted.canvas, sx, painted.height - sy - sh, sw, sh, left, high, far - left, low - high);
      return;
    }
  }
}

/* Bits of the mask as translucent colours over the image. */
function maskTable(bits) {
  const table = new Uint32Array(256);
  for (let value = 1; value < 256; value++) {
    const shown = Object.keys(MASK_COLOURS).filter((bit) => value & bit & bits);
    if (!shown.length) continue;
    const [r, g, b] = MASK_COLOURS[shown[shown.length - 1]];
    table[value] = (110 << 24) | (b << 16) | (g << 8) | r;
  }
  return table;
}
