"""Shapes of the candidates, and which of them `recipe: calibrated` leaves out of the catalogue.

`concentration` and `roundness` (`tilegc.detection.shape_ratios`) scatter with the noise. A source is elongated where
it misses a point's roundness by more than the noise at its signal-to-noise lets one point in a thousand miss it, and
by more than pixel phase, colour and neighbours do at any; and where it is less concentrated than a point, as pieces
of lines are, beaded ones too (0.4 to 0.98), and points between two others are not. It is extended where its
concentration is about as near to that of a source twice as wide as to a point's, at any signal-to-noise: of two
explanations the likelier one. Near the limit of detection that takes one or two points in a hundred away, and most
sources of FWHM 4 px (`benchmarks/depth.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from tilegc.config import Detect
from tilegc.detection.shape_ratios import REACH, ShapeTables, measure, shape_tables
from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile, TileGrid
from tilegc.images.psfs import BandPsf
from tilegc.io.window import Window
from tilegc.kernels.psf import Psf, quantised, resampled
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

if TYPE_CHECKING:
    from tilegc.detection.threshold import Selection

__all__ = [
    "POINT",
    "SHAPES",
    "Places",
    "by_tile",
    "eligible",
    "field_tables",
    "judge",
    "judged",
    "measured",
    "point_like",
    "points",
]

NUMBERS: Final = ("sharpness", "roundness", "concentration")
"""Columns of `tilegc.detection.shape_ratios`."""

POINT: Final = "point"

EXTENDED: Final = 0.4
"""Concentration below which a source is extended: about halfway to twice the PSF's width; blends of two points are
above."""

ELONGATED: Final = 0.5
"""Roundness above which a source is a piece of something long."""

SIGMAS: Final = 4.0
"""Standard deviations of white noise that a roundness must miss a point's by; the mosaic's is a fifth more."""

RADIUS: Final = 10
"""Pixels of the mean PSF, from the middle to the border."""


def field_tables(psfs: Mapping[str, tuple[BandPsf, ...]]) -> dict[str, ShapeTables]:
    """Return the tables of every field: those of the mean PSF of its bands, as `light` is their sum."""
    return {name: shape_tables(_mean([band.psf for band in bands])) for name, bands in psfs.items()}


@dataclass(frozen=True)
class Places:
    """Candidates of one tile, in the order of the table."""

    rows: np.ndarray
    """Row of the table."""
    y: np.ndarray
    x: np.ndarray


def _shapes_rule(
    window: Window, tile: Tile, params: tuple[ShapeTables, Places]
) -> tuple[dict[str, np.ndarray], Table]:
    """Measure the candidates of a core."""
    tables, places = params
    y, x = places.y - tile.window.y0, places.x - tile.window.x0
    numbers = measure(window["light"].values, y.astype(np.int64), x.astype(np.int64), tables)
    return {}, {"row": places.rows, **dict(zip(NUMBERS, numbers, strict=True))}


def by_tile(grid: TileGrid, rows: np.ndarray, y: np.ndarray, x: np.ndarray) -> list[Places]:
    """Return the candidates of every core of a field."""
    tile = (y // grid.size) * grid.counts[1] + x // grid.size
    # Sorted once, so that no tile searches the whole table; stable, so that rows keep their order within a
    # tile.
    order = np.argsort(tile, kind="stable")
    ends = np.searchsorted(tile[order], np.arange(1, len(grid)))
    return [Places(rows[part], y[part], x[part]) for part in np.split(order, ends)]


SHAPES = Pass("shapes", ("light",), REACH, (), _shapes_rule, bytes_per_pixel=12.0)


def measured(context: Context, candidates: Table, tables: Mapping[str, ShapeTables]) -> Table:
    """Return candidates with the columns sharpness, roundness, concentration and shape."""
    n = candidates["y_peak"].size
    numbers = {name: np.full(n, np.nan, np.float32) for name in NUMBERS}
    places = {}
    for field in context.fields:
        rows = np.flatnonzero(candidates["field"] == field.source.name)
        if rows.size:
            y, x = candidates["y_peak"][rows], candidates["x_peak"][rows]
            places[field.source.name] = by_tile(field.grid, rows, y, x)
    searched = [field for field in context.fields if field.source.name in places]
    if searched:

        def enter(found: Table) -> None:
            for name in NUMBERS:
                numbers[name][found["row"]] = found[name]

        run_pass(
            context.engine,
            SHAPES,
            searched,
            tables,
            gather=enter,
            # Each tile receives its own candidates only: a table of all of them, sent with every task, would
            # grow with the mosaic.
            own=lambda field, tile: places[field.source.name][tile.index],
        )
    whole = {**candidates, **numbers}
    return {**whole, "shape": judge(whole, tables)}


def points(context: Context, settings: Detect, found: Table, tables: Mapping[str, ShapeTables]) -> np.ndarray:
    """Return which peaks may be in a catalogue by their shape, bool (n,): all, where shapes do not decide.

    Parameters
    ----------
    context : Context
    settings : Detect
    found : table
        Of `threshold.survey`.
    tables : mapping of str to ShapeTables
        Of every field.
    """
    if settings.shape == "off":
        return np.ones(found["y"].size, bool)
    names = np.array(context.names, dtype=object)
    peaks = {
        "field": names[found["field"]],
        "y_peak": found["y"],
        "x_peak": found["x"],
        "snr": found["rank"].astype(np.float64),
    }
    point: np.ndarray = measured(context, peaks, tables)["shape"] == POINT
    return point


def eligible(settings: Detect, candidates: Table) -> Table:
    """Return the candidates that may be in a catalogue: points, where shapes decide."""
    if settings.shape == "off":
        return candidates
    rows = candidates["shape"] == POINT
    return {name: column[rows] for name, column in candidates.items()}


def judged(
    context: Context, settings: Detect, selection: Selection, tables: Mapping[str, ShapeTables]
) -> Selection:
    """Return a selection whose candidates have shapes, and whose catalogue, if asked, holds points alone."""
    found = measured(context, selection.candidates, tables)
    rows = selection.catalogue["id"]
    if settings.shape == "auto":
        # Candidates keep their shapes, also those that the catalogue leaves out: the reader can undo the
        # choice.
        rows = rows[found["shape"][rows] == POINT]
    return replace(
        selection, candidates=found, catalogue={name: column[rows] for name, column in found.items()}
    )


def judge(candidates: Table, tables: Mapping[str, ShapeTables]) -> np.ndarray:
    """Return what each candidate is by its shape: point, extended or elongated; what cannot be measured is a point.

    Parameters
    ----------
    candidates : table
        Columns field, snr, roundness and concentration.
    tables : mapping of str to ShapeTables
        Of every field.
    """
    verdict = np.full(candidates["snr"].size, POINT, dtype=object)
    for name, table in tables.items():
        rows = candidates["field"] == name
        wide, long = _wide_and_long(
            candidates["snr"], candidates["roundness"], candidates["concentration"], table
        )
        verdict[rows & wide] = "extended"
        verdict[rows & long] = "elongated"
    return verdict


def point_like(
    snr: np.ndarray, light: np.ndarray, y: np.ndarray, x: np.ndarray, tables: ShapeTables
) -> np.ndarray:
    """Return which peaks of a map have the shape of a point, bool (n,), by the rules of the catalogue.

    Parameters
    ----------
    snr : (n,) float64
    light : (ny, nx) float32
        Pixels, as `shape_ratios.measure` takes them.
    y, x : (n,) int64
        Places in `light`.
    tables : ShapeTables
        Of the field.
    """
    _, roundness, concentration = measure(light, y, x, tables)
    wide, long = _wide_and_long(snr, roundness, concentration, tables)
    point: np.ndarray = ~(wide | long)
    return point


def _wide_and_long(
    snr: np.ndarray, roundness: np.ndarray, concentration: np.ndarray, table: ShapeTables
) -> tuple[np.ndarray, np.ndarray]:
    """Return which peaks are extended and which elongated."""
    with np.errstate(invalid="ignore"):
        wide = concentration < EXTENDED
        # Near the limit of detection noise alone makes points look elongated; the requirement rises with it.
        long = roundness > np.maximum(ELONGATED, SIGMAS * table.line_noise / np.maximum(snr, 1e-9))
        long &= concentration < 1
    return wide, long


def _mean(psfs: list[Psf]) -> Psf:
    total = np.zeros((2 * RADIUS + 1,) * 2)
    for psf in psfs:
        total += resampled(psf.image, (psf.radius, psf.radius), 1.0, RADIUS)
    return quantised(total)
