"""The directory of the viewer: everything that is written to `view/`, the page last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tilegc.engine import Engine, SerialEngine
from tilegc.io.atomic import write_bytes
from tilegc.places import Place
from tilegc.schema import FILES, MASK_MEANINGS
from tilegc.sky import cosmology, kpc_per_arcsec, pixel_scale, pixel_to_world, wcs_from_text
from tilegc.viewer.layers import Encoding, Layer, encodings_of, layers_of
from tilegc.viewer.overlays import (
    ROWS,
    artificial_of,
    columns_of,
    header_of,
    regions_of,
    write_contours,
    write_points,
    write_sources,
)
from tilegc.viewer.pyramid import TILE, Encoded, levels, write_pyramids, write_script
from tilegc.viewer.residuals import model_of

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["write_view"]

NODES: Final = 40
"""Nodes of the mesh of positions along the longer side of a field: bilinear interpolation is accurate to 0.01
arcsec."""

SCRIPTS: Final = (
    "viewer.css",
    "data.js",
    "exact.js",
    "image.js",
    "marks.js",
    "regions.js",
    "sources.js",
    "viewer.js",
)


def write_view(run: Run, engine: Engine | None = None, *, webp: bool = False) -> Place:
    """Write the viewer of a run.

    Parameters
    ----------
    run : Run
        A run, from `tilegc.open_run`.
    engine : Engine, optional
        Engine that writes the tiles; by default this process.
    webp : bool
        Also write the tiles as WebP files, which the page loads from a web server instead of the scripts.

    Returns
    -------
    Place
        Path of `view/index.html`.
    """
    view = run.path / FILES.view
    catalogue, described, tiles = run.catalogue, [], []
    models = {name: model_of(run, name) for name in run.fields}
    for name in run.fields:
        model = models[name]
        layers = layers_of(run, name, () if model is None else model.bands)
        encoded = list(zip(layers, encodings_of(layers), strict=True))
        tiles.append(encoded)
        described.append(_field(run, view, name, encoded, catalogue))
    write_pyramids(view, tiles, engine or SerialEngine(), models, webp=webp)
    write_script(view / "run.js", "run", {**_description(run, described), "webp": webp})
    static = resources.files("tilegc.viewer") / "static"
    for name in SCRIPTS:
        write_bytes(view / name, (static / name).read_bytes())
    write_bytes(view / "index.html", (static / "index.html").read_bytes())
    return view / "index.html"


def _description(run: Run, fields: list[dict[str, Any]]) -> dict[str, Any]:
    cluster, summary = run.config.cluster, run.summary
    largest = max(fields, key=lambda field: field["n_sources"])
    return {
        "title": summary["cluster"]["name"] or "Field without a cluster",
        "recipe": run.config.recipe,
        "centre": [cluster.ra, cluster.dec],
        "kpc_per_arcsec": kpc_per_arcsec(cosmology(run.config.cosmology), cluster.redshift)
        if cluster.known
        else None,
        "first": largest["name"],
        "fields": fields,
    }


def _field(run: Run, view: Place, name: str, layers: Sequence[Encoded], catalogue: Any) -> dict[str, Any]:
    wcs_text = header_of(run, name)
    shape = layers[0][0].shape
    bands = [layer.name for layer, _ in layers if layer.kind == "band"]
    return {
        "name": name,
        "shape": list(shape),
        "tile": TILE,
        "rows": ROWS,
        "pixel_scale": pixel_scale(wcs_from_text(wcs_text)),
        "mesh": _mesh(wcs_text, shape),
        "layers": [_layer(layer, encoding) for layer, encoding in layers],
        "colour": _composite(bands),
        "columns": columns_of(catalogue),
        "n_sources": write_sources(view, catalogue, name),
        "overlays": [*write_contours(view, run, name, wcs_text), *_points(run, view, name)],
    }


def _layer(layer: Layer, encoding: Encoding | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": layer.name,
        "label": layer.label,
        "kind": layer.kind,
        "ramp": layer.ramp,
        "unit": layer.unit,
        "levels": levels(layer.shape),
    }
    if encoding is not None:
        return {**described, **asdict(encoding)}
    return {**described, "bits": [{"bit": int(bit), "meaning": text} for bit, text in MASK_MEANINGS.items()]}


def _composite(bands: list[str]) -> list[str]:
    """Return the bands shown as red, green and blue: sorted by name, that is by wavelength, the longest first.

    With two bands, the page uses their mean for green.
    """
    ordered = sorted(bands, reverse=True)
    return ordered if len(ordered) <= 2 else [ordered[0], ordered[len(ordered) // 2], ordered[-1]]


def _mesh(wcs_text: str, shape: tuple[int, int]) -> dict[str, Any]:
    step = max(64, -(-max(shape) // NODES))
    y, x = (np.arange(0, side + step, step, dtype=float) for side in shape)
    ra, dec = pixel_to_world(wcs_text, *np.meshgrid(y, x, indexing="ij"))
    middle = float(ra[ra.shape[0] // 2, ra.shape[1] // 2])
    offsets = (ra - middle + 540.0) % 360.0 - 180.0
    return {
        "step": step,
        "rows": y.size,
        "columns": x.size,
        "ra0": middle,
        "ra": np.round(offsets, 8).ravel().tolist(),
        "dec": np.round(dec, 8).ravel().tolist(),
    }


def _points(run: Run, view: Place, name: str) -> list[dict[str, Any]]:
    overlays: list[dict[str, Any]] = []
    drawn = run.inpainted
    rows = (np.asarray(drawn["field"]).astype(str) == name) & (np.asarray(drawn["realisation"]) == 0)
    if rows.any():
        x, y = (np.asarray(drawn[axis][rows].value) for axis in ("x", "y"))
        path = write_points(view, "inpainted", name, x, y)
        overlays.append(
            {
                "name": "inpainted",
                "label": "Inpainted sources (one realisation)",
                "colour": "#c792ff",
                "kind": "points",
                "path": path,
            }
        )
    stars = artificial_of(run)
    if stars is not None:
        rows = np.asarray(stars["field"]).astype(str) == name
        x, y = (np.asarray(getattr(stars[axis], "value", stars[axis]))[rows] for axis in ("x", "y"))
        path = write_points(view, "artificial", name, x, y, np.asarray(stars["recovered"])[rows])
        for want, label, colour in ((1, "found", "#8ef0d0"), (0, "lost", "#ff7a90")):
            overlays.append(
                {
                    "name": f"artificial-{label}",
                    "label": f"Artificial stars, {label}",
                    "colour": colour,
                    "kind": "points",
                    "path": path,
                    "want": want,
                }
            )
    for number, (file, text) in enumerate(regions_of(run, name)):
        key = f"overlays/{name}/regions-{number}"
        write_script(view / f"{key}.js", key, text)
        overlays.append(
            {
                "name": f"regions-{number}",
                "label": f"Regions: {file}",
                "colour": "#f2e85c",
                "kind": "regions",
                "path": key,
            }
        )
    return overlays
