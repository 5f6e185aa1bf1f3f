"""Comparison of a run on a simulated cluster with the planted sources, in the run's own boxes and annuli.

The comparison is fair only above one limit in flux. Detected point sources that match planted ones give the ratio of
peak to total flux, and keep x T over this ratio is the flux above which planted sources are counted. Two sources within
the exclusion radius of each other can make only one peak: in the core one in eight is lost in this way, so the profile
has counts with and without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from astropy.table import QTable

from tilegc.config import RunConfig
from tilegc.errors import InputError
from tilegc.io import store
from tilegc.io.tables import read_parquet
from tilegc.kernels.peaks import settle
from tilegc.phases.context import Context
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Phase, Results
from tilegc.radial.profile import profile
from tilegc.relation.boxes import Relation, boxes, fit, index_difference
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.results import Gridded

__all__ = ["COMPACT", "TRUTH", "Planted", "compared", "on_planted", "planted", "read_truth", "summarise"]

COMPACT = ("gc", "member_gc", "background_point", "background_extended")
"""Kinds of planted objects that belong in a catalogue of point sources, or cannot be told apart from point sources."""

NEEDED = ("kind", "field", "ra", "dec", "x", "y")
"""Columns that a truth table must have, apart from the fluxes."""

POINTS = ("gc", "member_gc", "background_point")
RESOLVED = 0.18
"""Response of resolved background sources relative to points: median of one `small` mock, with a large scatter."""
REAL = 1.0 / 3.0
"""Fraction of the limit above which a planted object may have made a catalogued peak. Fainter objects, 4.75 times as
numerous as those above the limit, coincide with noise peaks by chance."""
MATCH_RADIUS = 1.5
"""Maximum distance between a planted source and its peak, pixels."""
SURE = 2.0
"""Multiple of keep x T above which matched sources are used to measure the response."""

Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class Planted:
    """The planted sources above the limit of the run, measured in the same way as the detected ones."""

    response: float
    """Median ratio of the peak in the detection map to the total flux of the summed bands."""
    flux_limit: float
    """Summed flux, nJy, that corresponds to the largest keep x T of the fields."""
    n: int
    """Number of planted sources above this flux, on good pixels of the cells that the run uses."""
    n_found: int
    """Number of catalogued sources above the limit in these cells."""
    completeness: float
    """Fraction of planted sources above twice the limit, on good pixels, that have a catalogued peak."""
    purity: float
    """Fraction of catalogued sources that match a planted one above a third of the limit."""
    relation: Relation
    """Binned fit to the planted sources."""
    index_difference: float
    """Index from the catalogue minus that from the planted sources, in the same boxes."""
    index_difference_err: float
    """Error of this difference, from fits of both to the same resamples of the boxes."""
    profile: Table
    """Columns of `schema.PROFILE` for the planted sources, and n_apart, the number of those without a brighter one
    within the exclusion radius, which is what a perfect catalogue would contain."""
    law: tuple[float, float] | None
    """A and b of the planted law kappa = A n^b, at source redshift 3; None where the table does not tell it."""


def read_truth(path: str) -> QTable:
    """Read a truth table.

    Raises
    ------
    InputError
        If the file is not a truth table of `tilegc simulate`.
    """
    table = read_parquet(path)
    absent = [name for name in NEEDED if name not in table.colnames]
    if absent or not any(name.startswith("flux_") for name in table.colnames):
        lacks = ", ".join(absent or ["flux_<band>"])
        raise InputError(
            f"{path}: not a truth table of `tilegc simulate`: it lacks {lacks}; correct or leave out truth"
        )
    return table


def planted(
    truth: QTable,
    cells: SkyCells,
    catalogue: Table,
    keep_limit: float,
    edges: tuple[float, ...],
    box: float,
    exclusion: float,
    good: Mapping[str, np.ndarray],
) -> Planted:
    """Measure the relation and the profile of the planted sources in the cells of the run.

    Parameters
    ----------
    truth : QTable
        Truth table of `tilegc simulate`.
    cells : SkyCells
        The sky grid of the run.
    catalogue : table
        Columns of `schema.CANDIDATES`.
    keep_limit : float
        The largest keep x T of the fields, nJy per pixel.
    edges : tuple of float
        Edges of the annuli of the profile, arcsec.
    box : float
        Side of the boxes of the relation, arcsec.
    exclusion : float
        Exclusion radius of the peaks, pixels.
    good : mapping of str to ndarray
        Good pixels of each field, bool (y, x).

    Returns
    -------
    Planted
        The planted sources above the limit, with the completeness and purity of the catalogue.
    """
    kind = np.asarray(truth["kind"]).astype(str)
    field = np.asarray(truth["field"]).astype(str)
    bands = [np.asarray(truth[name], float) for name in truth.colnames if name.startswith("flux_")]
    flux = np.sum(bands, axis=0)
    compact = np.isin(kind, COMPACT)
    response = _response(truth, catalogue, np.isin(kind, POINTS), field, flux, keep_limit)
    limit = keep_limit / response
    # The flux of a point source with the same peak.
    seen = np.where(kind == "background_extended", RESOLVED * flux, flux)
    on = _on_good(truth, field, good)
    bright = compact & (seen >= limit) & on
    ra, dec = np.asarray(truth["ra"], float), np.asarray(truth["dec"], float)

    def counted(chosen: np.ndarray) -> np.ndarray:
        return np.stack(
            [cells.count(ra[on], dec[on]) for on in (chosen & (field == name) for name in cells.fields)]
        )

    count = counted(bright)
    table, _ = profile(cells, edges, count)
    apart, _ = profile(cells, edges, counted(_apart(truth, field, seen, bright, exclusion)))
    table = {**table, "n_apart": apart["n_gc"]}
    total = int((count.sum(axis=0) * cells.kept).sum())
    found, pure = _shares(
        truth,
        catalogue,
        field,
        compact & (seen >= SURE * limit) & on,
        compact & (seen >= REAL * limit),
        cells,
    )
    mine, theirs = boxes(cells, box), boxes(cells, box, count.sum(axis=0))
    n_found = int((cells.n_gc.sum(axis=0) * cells.kept).sum())
    return Planted(
        response,
        limit,
        total,
        n_found,
        found,
        pure,
        fit(theirs),
        *index_difference(mine, theirs),
        table,
        _law(truth),
    )


def _law(truth: QTable) -> tuple[float, float] | None:
    """Return the planted law that the table's metadata hold."""
    if not {"law_amplitude", "law_index"} <= truth.meta.keys():
        return None
    return float(truth.meta["law_amplitude"]), float(truth.meta["law_index"])


def compared(
    context: Context,
    config: RunConfig,
    sky: Gridded,
    catalogue: Table,
    truth: QTable | None,
    edges: tuple[float, ...],
) -> Planted | None:
    """Compare a run with the planted sources on the good pixels of its fields; None without a truth table.

    Parameters
    ----------
    context : Context
        Fields and stores of the run.
    config : RunConfig
        Its settings.
    sky : Gridded
        Its sky grid.
    catalogue : table
        Columns of `schema.CANDIDATES`.
    truth : QTable or None
        Truth table of `tilegc simulate`.
    edges : tuple of float
        Edges of the annuli of the profile, arcsec.
    """
    if truth is None:
        return None
    good = {
        field.source.name: store.read(field.store, "mask", field.grid.field) == 0 for field in context.fields
    }
    exclusion = config.detect.exclusion_radius
    return planted(truth, sky.cells, catalogue, sky.limit, edges, config.relation.box, exclusion, good)


def on_planted(truth: QTable, catalogue: Table, flux_limit: float) -> np.ndarray:
    """Return which catalogued sources match a planted one above a third of the limit, bool (n,).

    Parameters
    ----------
    truth : QTable
        Truth table of `tilegc simulate`.
    catalogue : table
        Columns field, y and x.
    flux_limit : float
        Summed flux, nJy, that corresponds to the limit of the run (`Planted.flux_limit`).
    """
    kind, seen = _kind_and_flux(truth)
    return _on_objects(truth, catalogue, np.isin(kind, COMPACT) & (seen >= REAL * flux_limit))


def _kind_and_flux(truth: QTable) -> tuple[np.ndarray, np.ndarray]:
    """Return the kinds of the planted objects, and the fluxes, nJy, of point sources with the same peaks."""
    kind = np.asarray(truth["kind"]).astype(str)
    flux = np.sum(
        [np.asarray(truth[name], float) for name in truth.colnames if name.startswith("flux_")], axis=0
    )
    return kind, np.where(kind == "background_extended", RESOLVED * flux, flux)


def _on_objects(truth: QTable, catalogue: Table, likely: np.ndarray) -> np.ndarray:
    """Return which catalogued sources match one of the selected planted objects, bool (n,)."""
    places, field = _xy(truth), np.asarray(truth["field"]).astype(str)
    on = np.zeros(catalogue["y_peak"].size, bool)
    for name in np.unique(catalogue["field"].astype(str)):
        rows = np.flatnonzero(catalogue["field"] == name)
        objects = places[likely & (field == name)].reshape(-1, 2)
        if len(objects):
            peaks = np.column_stack([catalogue["y_peak"][rows], catalogue["x_peak"][rows]]).astype(float)
            on[rows] = scipy.spatial.cKDTree(objects).query(peaks)[0] <= MATCH_RADIUS
    return on


def _xy(truth: QTable) -> np.ndarray:
    return np.column_stack([np.asarray(truth["y"], float), np.asarray(truth["x"], float)])


def _on_good(truth: QTable, field: np.ndarray, good: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return which objects lie on good pixels, bool."""
    on = np.zeros(field.size, bool)
    for name, pixels in good.items():
        rows = np.flatnonzero(field == name)
        y, x = np.floor(_xy(truth)[rows] + 0.5).astype(np.int64).T
        inside = (y >= 0) & (y < pixels.shape[0]) & (x >= 0) & (x < pixels.shape[1])
        on[rows[inside]] = pixels[y[inside], x[inside]]
    return on


def _apart(
    truth: QTable, field: np.ndarray, flux: np.ndarray, bright: np.ndarray, exclusion: float
) -> np.ndarray:
    """Return which bright sources remain if each blanks fainter ones within the exclusion radius, as peaks do."""
    chosen = np.zeros(bright.size, bool)
    places = _xy(truth)
    bright = bright & np.isfinite(places).all(axis=1)  # Objects beside every field have no pixel.
    pixel = np.floor(np.where(bright[:, None], places, 0.0) + 0.5).astype(np.int64)
    for name in np.unique(field[bright]):
        rows = np.flatnonzero(bright & (field == name))
        rows = rows[np.argsort(-flux[rows], kind="stable")]
        # Of several in one pixel, the brightest.
        rows = rows[np.sort(np.unique(pixel[rows], axis=0, return_index=True)[1])]
        y, x = pixel[rows].T
        chosen[rows[settle(y, x, flux[rows].astype(np.float32), np.zeros(rows.size, bool), exclusion)]] = True
    return chosen


def _response(
    truth: QTable,
    catalogue: Table,
    points: np.ndarray,
    field: np.ndarray,
    flux: np.ndarray,
    keep_limit: float,
) -> float:
    """Return the median ratio of peak to flux of securely matched point sources; NaN if there are none."""
    ratios = [np.zeros(0)]
    places = _xy(truth)
    for name in np.unique(catalogue["field"].astype(str)):
        sure = (catalogue["field"] == name) & (catalogue["peak"] >= SURE * keep_limit)
        there = np.flatnonzero(points & (field == name) & (flux > 0))
        if not sure.any() or not there.size:
            continue
        tree = scipy.spatial.cKDTree(places[there])
        peaks = np.column_stack([catalogue["y_peak"][sure], catalogue["x_peak"][sure]]).astype(float)
        # The brightest planted source within the radius made the peak; the many faint ones coincide with it by chance.
        for peak, near in zip(
            catalogue["peak"][sure], tree.query_ball_point(peaks, MATCH_RADIUS), strict=True
        ):
            if near:
                ratios.append(np.array([peak / flux[there[near]].max()]))
    together = np.concatenate(ratios)
    return float(np.median(together)) if together.size else np.nan


def _shares(
    truth: QTable,
    catalogue: Table,
    field: np.ndarray,
    bright: np.ndarray,
    likely: np.ndarray,
    cells: SkyCells,
) -> tuple[float, float]:
    """Return the completeness of bright planted sources in the cells that are used, and the purity of the catalogue."""
    places = _xy(truth)
    ra, dec = np.asarray(truth["ra"], float), np.asarray(truth["dec"], float)
    kept = cells.kept_at(ra, dec)
    found = sought = 0
    real = int(_on_objects(truth, catalogue, likely).sum())
    for name in cells.fields:
        rows = catalogue["field"] == name
        peaks = (
            np.column_stack([catalogue["y_peak"][rows], catalogue["x_peak"][rows]])
            .astype(float)
            .reshape(-1, 2)
        )
        wanted = places[bright & kept & (field == name)].reshape(-1, 2)
        sought += len(wanted)
        if len(peaks) and len(wanted):
            found += int((scipy.spatial.cKDTree(peaks).query(wanted)[0] <= MATCH_RADIUS).sum())
    n = catalogue["y_peak"].size
    return found / sought if sought else np.nan, real / n if n else np.nan


def summarise(out: Output, results: Results) -> Part:  # noqa: ARG001
    """Return the comparison with the planted sources for the summary; null without a truth table."""
    found = results.get(Planted)
    return Part(run={"truth": None if found is None else _summary(found)})


def _summary(planted: Planted) -> dict[str, Any]:
    return {
        "response": null(planted.response),
        "flux_limit_nJy": null(planted.flux_limit),
        "n_planted": planted.n,
        "n_found": planted.n_found,
        "completeness": null(planted.completeness),
        "purity": null(planted.purity),
        "index": null(planted.relation.index),
        "index_err": null(planted.relation.index_err),
        "index_difference": null(planted.index_difference),
        "index_difference_err": null(planted.index_difference_err),
        "amplitude": null(planted.relation.amplitude),
        "amplitude_err": null(planted.relation.amplitude_err),
        "law": None if planted.law is None else dict(zip(("amplitude", "index"), planted.law, strict=True)),
        "profile": {
            name: [null(v) if isinstance(v, float) else v for v in planted.profile[name].tolist()]
            for name in ("field", "r_lo", "r_hi", "area_arcsec2", "n_gc", "n_per_arcsec2", "n_apart")
        },
    }


TRUTH: Phase[object, RunConfig] = Phase(name="truth", timing="compare_s", summarise=summarise)
