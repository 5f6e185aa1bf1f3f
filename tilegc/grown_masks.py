"""Results of a finished run with a larger mask: counts, purity and profile as a function of the growth.

If detections next to the mask were false, growing the mask would lower the density, and the removed rim would contain
more sources than expected from the annuli around it. The catalogue is unchanged; only the area in which it is counted
shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.table import QTable

from tilegc.engine import Progress, SerialEngine, Unit
from tilegc.errors import ConfigError, RunFolderError
from tilegc.geometry import Tile, TileGrid
from tilegc.io import store
from tilegc.io.atomic import write_bytes
from tilegc.io.tables import read_ecsv, write_ecsv
from tilegc.kernels.masks import grow
from tilegc.kernels.mesh import Mesh, offsets_at
from tilegc.mask.area_counts import annulus_of, count_masks
from tilegc.mask.masked_area import annuli
from tilegc.places import Place
from tilegc.planted import on_planted, read_truth
from tilegc.radial.profile import EDGES
from tilegc.run_folder import Run, RunFolder, open_run
from tilegc.schema import FILES, STUDY_MASK, Bit
from tilegc.sky import SkyGrid, header_text, mesh

__all__ = ["GROWTH", "mask_growth"]

GROWTH: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Default growths of the masks in pixels."""

MOST: Final = 256.0
"""Maximum growth in pixels: the halo of a tile."""

GROWN: Final = np.uint8(Bit.BRIGHT | Bit.EXTENDED | Bit.SPIKE | Bit.REGION | Bit.ARC)
"""Mask bits that are grown; edges and missing data are not."""

TABLE: Final = "mask.ecsv"
FIGURE: Final = "mask.png"

Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Field:
    """Data needed by every tile of a field; arrays of sources are in the order of the catalogue."""

    store: str
    mesh: Mesh
    edges: np.ndarray
    growth: tuple[float, ...]
    y: np.ndarray
    x: np.ndarray


@dataclass(frozen=True)
class _Partial:
    good: np.ndarray
    """Number of good pixels by growth and annulus, int64."""
    kept: np.ndarray
    """Whether each source is on a good pixel, int64 (growth, source); also 0 if another tile owns the pixel."""


def _tile(common: _Field, tile: Tile) -> _Partial:
    """Grow the mask in the window of one tile, and count in its core."""
    window = store.read(common.store, "mask", tile.window)
    core = window[tile.core_in_window]
    y, x = common.y - tile.core.y0, common.x - tile.core.x0
    here = (y >= 0) & (y < core.shape[0]) & (x >= 0) & (x < core.shape[1])
    good, kept = [], np.zeros((len(common.growth), y.size), np.int64)
    for number, pixels in enumerate(common.growth):
        grown = core.copy()
        grown[grow((window & GROWN) != 0, pixels)[tile.core_in_window]] |= np.uint8(Bit.REGION)
        good.append(count_masks(common.mesh, tile.core, grown, common.edges)[:, 0])
        kept[number, here] = grown[y[here], x[here]] == 0
    return _Partial(np.stack(good), kept)


def _add(a: _Partial, b: _Partial) -> _Partial:
    return _Partial(a.good + b.good, a.kept + b.kept)


def mask_growth(
    directory: str | Place | Run,
    growth: tuple[float, ...] = GROWTH,
    *,
    tile: int | None = None,
    check: bool = True,
    progress: Progress | None = None,
) -> QTable:
    """Count the sources and the good area of a finished run again, with its mask grown.

    Parameters
    ----------
    directory : path or Run
        The run or its directory. `study/mask.ecsv` and `study/mask.png` are written there and become part of the run.
    growth : tuple of float
        Pixels by which bits 4, 8, 16, 32 and 64 are grown.
    tile : int, optional
        Side of the tiles, which does not affect the result; by default that of the run.
    check : bool
        Whether the run's files are first compared with its manifest.
    progress : Progress, optional
        Display of the progress.

    Returns
    -------
    QTable
        Columns of `schema.STUDY_MASK`: for each field and growth the total (annulus -1), then the annuli.

    Raises
    ------
    ConfigError
        If a growth is negative, too large or given twice.
    RunFolderError
        If the run is not finished, or the directory cannot be written.
    """
    growths = tuple(sorted(set(growth)))
    if not growths or len(growths) != len(growth) or not all(0 <= pixels <= MOST for pixels in growths):
        raise ConfigError(
            f"--growth {','.join(f'{pixels:g}' for pixels in growth)}: give pixels from 0 to {MOST:g}, each once"
        )
    run = directory if isinstance(directory, Run) else open_run(directory, check=check)
    if run.manifest.get("state") != "done":
        raise RunFolderError(
            f"{run.path}: the run is not finished (state: {run.manifest.get('state')}); "
            "finish it with `tilegc run ... --resume`"
        )
    edges = annuli(run.config.profile.edges or EDGES)
    grid = SkyGrid(run.config.cluster.ra, run.config.cluster.dec, run.config.comparison.pixel)
    parts = [_of_field(run, name, growths, edges, grid, tile, progress) for name in run.fields]
    table = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    _write(run, table)
    return read_ecsv(run.path / FILES.study / TABLE)


def _of_field(
    run: Run,
    name: str,
    growth: tuple[float, ...],
    edges: np.ndarray,
    grid: SkyGrid,
    tile: int | None,
    progress: Progress | None,
) -> Table:
    """Count one field: columns of `schema.STUDY_MASK`."""
    summary = run.summary
    shape: tuple[int, int] = tuple(summary["fields"][name]["shape"])
    fields = list(run.sky().attrs["fields"])
    pixel_area = float(run.sky().attrs["pixel_area_arcsec2"][fields.index(name)])
    whole = run.catalogue
    catalogue = {
        key: np.asarray(getattr(whole[key], "value", whole[key]))
        for key in ("field", "y_peak", "x_peak", "peak", "purity")
    }
    real = np.full(len(whole), np.nan)
    if summary["truth"] is not None and run.config.truth is not None and summary["truth"]["flux_limit_nJy"]:
        real = on_planted(read_truth(run.config.truth), catalogue, summary["truth"]["flux_limit_nJy"]).astype(
            float
        )
    rows = catalogue["field"].astype(str) == name
    y, x = (catalogue[axis][rows].astype(np.int64) for axis in ("y_peak", "x_peak"))
    frame = mesh(header_text(run.wcs(name)), shape, grid)
    common = _Field(str(run.path / FILES.store / f"{name}.zarr"), frame, edges, growth, y, x)
    tiles = TileGrid(shape, tile or run.config.tiles.size).tiles(int(max(growth)))
    units = [Unit(f"{name}/{one.index}", one.core.size, one) for one in tiles]
    found: _Partial = SerialEngine(progress).run(
        f"mask study, field {name}", _tile, units, common=common, combine=_add
    )
    annulus = annulus_of(*offsets_at(frame, y, x), edges)
    return _table(
        name,
        growth,
        edges,
        found.good * pixel_area,
        found.kept > 0,
        annulus,
        catalogue["purity"][rows],
        real[rows],
    )


def _table(
    name: str,
    growth: tuple[float, ...],
    edges: np.ndarray,
    area: np.ndarray,
    kept: np.ndarray,
    annulus: np.ndarray,
    purity: np.ndarray,
    real: np.ndarray,
) -> Table:
    """Convert the counts of one field to rows.

    Parameters
    ----------
    area : (growth, annulus) float64
        Good area in arcsec^2.
    kept : (growth, source) bool
        Whether each source is on a good pixel.
    annulus, purity, real : (source,)
        Annulus of each source, its purity against noise, and 1 if it is a planted source; NaN if unknown.
    """
    n_annuli = len(edges) + 1
    low, high = np.concatenate([[0.0], edges]), np.concatenate([edges, [np.inf]])
    columns: dict[str, list[object]] = {column.name: [] for column in STUDY_MASK}
    for number, pixels in enumerate(growth):
        count, first = (np.bincount(annulus[on], minlength=n_annuli) for on in (kept[number], kept[0]))
        rim_area, rim = area[0] - area[number], first - count
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.where(area[number] > 0, count / area[number] * rim_area, np.nan)
        for which in (-1, *np.flatnonzero(area[0] > 0).tolist()):
            on = kept[number] & ((annulus == which) | (which < 0))
            part = slice(None) if which < 0 else slice(which, which + 1)
            n, good = int(count[part].sum()), float(area[number][part].sum())
            row = {
                "field": name,
                "growth": pixels,
                "annulus": which,
                "r_lo": 0.0 if which < 0 else low[which],
                "r_hi": np.inf if which < 0 else high[which],
                "area_arcsec2": good,
                "n_gc": n,
                "n_per_arcsec2": n / good if good else np.nan,
                "n_err": np.sqrt(n) / good if good else np.nan,
                "purity": _mean(purity[on]),
                "purity_truth": _mean(real[on]),
                "n_rim": int(rim[part].sum()),
                "n_rim_expected": float(np.nansum(expected[part])),
            }
            for key, value in row.items():
                columns[key].append(value)
    return {
        column.name: np.array(columns[column.name], object if column.dtype == "string" else column.dtype)
        for column in STUDY_MASK
    }


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan


def _write(run: Run, table: Table) -> None:
    """Write table and figure, and record them in the manifest."""
    from tilegc.report import style  # noqa: PLC0415  (matplotlib, which only the figure needs)
    from tilegc.report.growth import draw  # noqa: PLC0415

    folder = run.path / FILES.study
    try:
        RunFolder(run.path).claim([f"{FILES.study}/{name}" for name in (TABLE, FIGURE)])
        folder.mkdir(parents=True, exist_ok=True)
        write_ecsv(folder / TABLE, STUDY_MASK, table, {"recipe": run.config.recipe})
        write_bytes(folder / FIGURE, style.png(draw(table)))
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFolderError(f"{folder}: cannot be written ({reason}); make the directory writable") from None
