"use strict";
/* DS9 regions as outlines in pixels of a field: circle, ellipse, box, polygon, annulus, line, point and text in icrs,
   fk5 or j2000 (degrees or sexagesimal, sizes with a unit of their own or in degrees), image or physical (first pixel 1). */

const UNITS = { '"': 1 / 3600, "'": 1 / 60, d: 1, r: 180 / Math.PI };

/* Position in degrees: "22:48:43.9", "22h48m43.9s", "342.18d", "-44d31m51s". */
function angleOf(text, isRa) {
  const pieces = text.split(/[:hdms'"]+/).filter(Boolean).map(Number), sexagesimal = pieces.length > 1;
  const size = Math.abs(pieces[0]) + (pieces[1] || 0) / 60 + (pieces[2] || 0) / 3600;
  return (text.trim().startsWith("-") ? -size : size) * (isRa && sexagesimal && !/\dd/.test(text) ? 15 : 1);
}

function regionsOf(text, mesh, scale) {
  const found = [];
  let frame = "physical";
  for (const raw of text.split(/[\n;]+/)) {
    const line = raw.trim(), comment = line.indexOf("#"), body = (comment < 0 ? line : line.slice(0, comment)).trim();
    if (/^(icrs|fk5|j2000|image|physical|fk4|galactic|ecliptic)$/i.test(body)) { frame = body.toLowerCase(); continue; }
    const match = /^([+-]?)\s*(circle|ellipse|box|polygon|annulus|line|point|text)\s*[( ]([^)]*)\)?/i.exec(body);
    if (!match || ["fk4", "galactic", "ecliptic"].includes(frame)) continue;
    const args = match[3].split(/[\s,]+/).filter(Boolean), pixels = frame === "image" || frame === "physical";
    /* Angles of DS9 run from the x axis; on the sky x points west, and y north. */
    const position = (k) => (pixels ? [Number(args[k]) - 1, Number(args[k + 1]) - 1] : mesh.pixel(angleOf(args[k], true), angleOf(args[k + 1], false)));
    const length = (k) => {
      const unit = args[k].slice(-1), number = parseFloat(args[k]);
      if (/[ip]$/.test(args[k]) || (pixels && !UNITS[unit])) return number;
      return number * (UNITS[unit] || 1) * 3600 / scale;
    };
    const label = /(?:text|tag)\s*=\s*[{"']([^}"']*)/.exec(comment < 0 ? "" : line.slice(comment));
    const outlines = outlinesOf(match[2].toLowerCase(), args, position, length, pixels ? null : mesh);
    if (outlines.flat(2).every(Number.isFinite)) found.push({ outlines, label: label ? label[1] : "", excluded: match[1] === "-" });
  }
  return found;
}

function outlinesOf(kind, args, position, length, mesh) {
  const [x, y] = position(0), degrees = (k) => (args[k] === undefined ? 0 : parseFloat(args[k]) * Math.PI / 180);
  /* Unit vectors along the axes of the region, turned by an angle. */
  const { north, east } = mesh ? mesh.compass(x, y) : { north: [0, 1], east: [-1, 0] };
  const axes = (angle) => {
    const c = Math.cos(angle), s = Math.sin(angle), west = [-east[0], -east[1]];
    return [[c * west[0] + s * north[0], c * west[1] + s * north[1]], [c * north[0] - s * west[0], c * north[1] - s * west[1]]];
  };
  const at = ([u, v], a, b) => [x + a * u[0] + b * v[0], y + a * u[1] + b * v[1]];
  const oval = (a, b, frame) => Array.from({ length: 65 }, (_, k) => at(frame, a * Math.cos(k * Math.PI / 32), b * Math.sin(k * Math.PI / 32)));
  if (kind === "circle") return [oval(length(2), length(2), axes(0))];
  if (kind === "annulus") return args.slice(2).map((_, k) => oval(length(k + 2), length(k + 2), axes(0)));
  if (kind === "ellipse") return [oval(length(2), length(3), axes(degrees(4)))];
  if (kind === "box") {
    const frame = axes(degrees(4)), a = length(2) / 2, b = length(3) / 2;
    return [[[-a, -b], [a, -b], [a, b], [-a, b], [-a, -b]].map(([u, v]) => at(frame, u, v))];
  }
  if (kind === "polygon" || kind === "line") {
    const points = [];
    for (let k = 0; k + 1 < args.length && (kind === "polygon" || k < 4); k += 2) points.push(position(k));
    return [kind === "polygon" ? [...points, points[0]] : points];
  }
  return [[[x - 3, y], [x + 3, y]], [[x, y - 3], [x, y + 3]]];
}

function drawRegions(context, overlay) {
  context.strokeStyle = overlay.colour; context.fillStyle = overlay.colour; context.lineWidth = 1.4; context.font = "11px system-ui";
  for (const { outlines, label, excluded } of overlay.value) {
    context.setLineDash(excluded ? [4, 3] : []);
    for (const outline of outlines) {
      context.beginPath();
      outline.forEach(([x, y], k) => { const [sx, sy] = view.toScreen(x, y); if (k) context.lineTo(sx, sy); else context.moveTo(sx, sy); });
      context.stroke();
    }
    const [sx, sy] = view.toScreen(...outlines[0][0]);
    if (label && sx > 0 && sy > 0 && sx < view.width && sy < view.height) context.fillText(label, sx + 4, sy - 4);
  }
  context.setLineDash([]);
}
