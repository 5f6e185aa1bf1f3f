"use strict";
/* Data files are scripts that call Sky.put(path, value). Scripts load from file:// too, where fetch, workers and
   module scripts are refused: the folder opens by a double click, and from any web server, in the same way. */
const Sky = {
  values: new Map(),
  promises: new Map(),
  put(path, value) { Sky.values.set(path, value); },
  load(path) {
    if (!Sky.promises.has(path)) {
      Sky.promises.set(path, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = path + ".js";
        script.onload = () => { script.remove(); resolve(Sky.values.get(path)); Sky.values.delete(path); };
        script.onerror = () => { script.remove(); reject(new Error("cannot load " + path)); };
        document.head.append(script);
      }));
    }
    return Sky.promises.get(path);
  },
  forget(path) { Sky.promises.delete(path); },
};

/* Bytes of a base64 text. */
function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/* A column of numbers, or a plain array of texts. */
function columnOf(packed) {
  if (packed.texts) return packed.texts;
  const buffer = bytesOf(packed.data).buffer;
  return new { i4: Int32Array, f4: Float32Array, f8: Float64Array }[packed.dtype](buffer);
}

/* Positions on the sky at the nodes of a mesh: bilinear in between, Newton's method back. */
class Mesh {
  constructor({ step, rows, columns, ra, dec, ra0 }) { Object.assign(this, { step, rows, columns, ra, dec, ra0 }); }
  offsets(x, y) {
    const u = Math.min(Math.max(x / this.step, 0), this.columns - 1.000001);
    const v = Math.min(Math.max(y / this.step, 0), this.rows - 1.000001);
    const i = Math.floor(u), j = Math.floor(v), a = x / this.step - i, b = y / this.step - j, k = j * this.columns + i;
    const at = (t) => (1 - b) * ((1 - a) * t[k] + a * t[k + 1]) + b * ((1 - a) * t[k + this.columns] + a * t[k + this.columns + 1]);
    return [at(this.ra), at(this.dec)];
  }
  radec(x, y) {
    const [ra, dec] = this.offsets(x, y);
    return [(this.ra0 + ra + 360) % 360, dec];
  }
  pixel(ra, dec) {
    const target = [((ra - this.ra0 + 540) % 360) - 180, dec];
    let x = this.step * (this.columns - 1) / 2, y = this.step * (this.rows - 1) / 2;
    for (let turn = 0; turn < 20; turn++) {
      const p = this.offsets(x, y), px = this.offsets(x + 1, y), py = this.offsets(x, y + 1);
      const a = px[0] - p[0], b = py[0] - p[0], c = px[1] - p[1], d = py[1] - p[1], det = a * d - b * c;
      const e = target[0] - p[0], f = target[1] - p[1];
      const dx = (d * e - b * f) / det, dy = (a * f - c * e) / det;
      x += dx; y += dy;
      if (Math.hypot(dx, dy) < 1e-4) break;
    }
    return [x, y];
  }
  /* Unit vectors in pixels towards north and east at a pixel. */
  compass(x, y) {
    const p = this.offsets(x, y), px = this.offsets(x + 1, y), py = this.offsets(x, y + 1);
    const squeeze = Math.cos(p[1] * Math.PI / 180);
    const a = (px[0] - p[0]) * squeeze, b = (py[0] - p[0]) * squeeze, c = px[1] - p[1], d = py[1] - p[1];
    const det = a * d - b * c, unit = (u, v) => { const n = Math.hypot(u, v); return [u / n, v / n]; };
    return { north: unit(-b / det, a / det), east: unit(d / det, -c / det) };
  }
}
