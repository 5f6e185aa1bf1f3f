"use strict";
/* Sources as marks. Many are written into an ImageData by hand, which is ten times faster than any path or WebGL
   point in a browser without a graphics card; few are drawn as rings. */

const RINGS = 5000;

class Marks {
  constructor(field, x, y) {
    this.field = field; this.x = x; this.y = y; this.count = x.length;
    this.columns = new Map([["x", x], ["y", y]]);
    this.colour = new Uint32Array(this.count).fill(0xff54b4ff);
    this.passes = new Uint8Array(this.count).fill(1);
    this.filters = new Map();
  }
  async column(name) {
    if (!this.columns.has(name)) this.columns.set(name, columnOf(await Sky.load(`sources/${this.field.name}/${name}`)));
    return this.columns.get(name);
  }
  /* Name and value of every column of a source: its block of rows is loaded, not the columns. */
  async values(id) {
    const row = await this.rowOf(id), size = this.field.rows;
    if (row < 0) return null;
    const { data, texts } = await Sky.load(`sources/${this.field.name}/rows/${Math.floor(row / size)}`);
    const numbers = new Float64Array(bytesOf(data).buffer), width = this.field.columns.filter((column) => column.dtype !== "text").length;
    let number = (row % size) * width, text = 0;
    return this.field.columns.map(({ name, dtype }) => [name, dtype === "text" ? texts[text++][row % size] : numbers[number++]]);
  }
  async rowOf(id) { return (await this.column("id")).indexOf(id); }

  /* Colour by a column between its 2nd and 98th percentile; missing values are grey. */
  async colourBy(name) {
    if (!name) { this.colour.fill(0xff54b4ff); return null; }
    const values = await this.column(name), [low, high] = spread(values);
    /* Signal-to-noise and fluxes span decades: their logarithm tells more. */
    const scale = low > 0 && high > 10 * low ? Math.log : (v) => v, from = scale(low), width = scale(high) - from;
    for (let i = 0; i < this.count; i++) {
      const v = values[i];
      if (!Number.isFinite(v)) { this.colour[i] = 0xff808080; continue; }
      const [r, g, b] = rampAt("viridis", width > 0 ? (scale(v) - from) / width : 0.5);
      this.colour[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    return [low, high];
  }
  async filter() {
    this.passes.fill(1);
    for (const [name, { low, high }] of this.filters) {
      const values = await this.column(name);
      for (let i = 0; i < this.count; i++) if (!(values[i] >= low && values[i] <= high)) this.passes[i] = 0;
    }
    return this.passes.reduce((sum, one) => sum + one, 0);
  }
  inView(view) {
    const [x0, y1] = view.toImage(-4, -4), [x1, y0] = view.toImage(view.width + 4, view.height + 4);
    let n = 0;
    for (let i = 0; i < this.count; i++) if (this.passes[i] && this.x[i] > x0 && this.x[i] < x1 && this.y[i] > y0 && this.y[i] < y1) n++;
    return n;
  }
  draw(context, view) {
    const n = this.inView(view), { width, height, scale } = view;
    context.clearRect(0, 0, width, height);
    if (n > RINGS) this.splat(context, view);
    else {
      const radius = Math.min(Math.max(scale * 3.2, 3.5), 22);
      context.lineWidth = 1.3;
      for (let i = 0; i < this.count; i++) {
        if (!this.passes[i]) continue;
        const [sx, sy] = view.toScreen(this.x[i], this.y[i]);
        if (sx < -radius || sy < -radius || sx > width + radius || sy > height + radius) continue;
        const c = this.colour[i];
        context.strokeStyle = `rgb(${c & 255},${(c >> 8) & 255},${(c >> 16) & 255})`;
        context.beginPath(); context.arc(sx, sy, radius, 0, 2 * Math.PI); context.stroke();
      }
    }
  }
  splat(context, view) {
    const { width, height } = view;
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = new ImageData(width, height); this.out = new Uint32Array(this.image.data.buffer);
    }
    const out = this.out.fill(0), [left, bottom] = view.toScreen(0, 0), k = view.scale, side = k < 0.12 ? 1 : 2;
    for (let i = 0; i < this.count; i++) {
      if (!this.passes[i]) continue;
      const sx = (left + k * this.x[i]) | 0, sy = (bottom - k * this.y[i]) | 0;
      if (sx < 0 || sy < 0 || sx >= width - 1 || sy >= height - 1) continue;
      const at = sy * width + sx, c = this.colour[i];
      out[at] = c;
      if (side === 2) { out[at + 1] = c; out[at + width] = c; out[at + width + 1] = c; }
    }
    context.putImageData(this.image, 0, 0);
  }
  /* Row of the nearest source within some pixels of the screen; -1: none. */
  nearest(x, y, reach) {
    let best = reach * reach, row = -1;
    for (let i = 0; i < this.count; i++) {
      if (!this.passes[i]) continue;
      const dx = this.x[i] - x, dy = this.y[i] - y, d = dx * dx + dy * dy;
      if (d < best) { best = d; row = i; }
    }
    return row;
  }
}

/* 2nd and 98th percentile of the finite values. */
function spread(values, low = 0.02, high = 0.98) {
  const finite = Float64Array.from(values).filter(Number.isFinite).sort();
  if (!finite.length) return [0, 1];
  return [finite[Math.floor(low * (finite.length - 1))], finite[Math.ceil(high * (finite.length - 1))]];
}
