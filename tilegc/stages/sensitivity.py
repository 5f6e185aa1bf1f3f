"""Everything again with other sources: brighter limits, halves, galaxies' surroundings, no outer field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.stages.crowding import of_cells
from tilegc.stages.kernel import cell_maps
from tilegc.stages.likelihood import fit_counts
from tilegc.stages.relation import boxes, fit
from tilegc.stages.sky_grid import SkyCells
from tilegc.statistics.kernel_maps import kernel_sums, likeness

__all__ = ["SIGNIFICANCES", "Settings", "sensitivity"]

Floats = NDArray[np.float64]
Table = dict[str, np.ndarray]

SIGNIFICANCES: Final = (5.0, 7.0, 10.0)
"""Peaks over the noise of the noisiest field, so that all fields are cut at one flux."""


@dataclass(frozen=True)
class Settings:
    """What every repetition needs of the run."""

    field: int
    """Number of the field that is compared with kappa."""
    box: float
    max_radius: float
    kernel: tuple[float, float]
    """alpha and softening."""
    inpainted: Floats
    """Inpainted sources of that field in each cell, the mean over realisations, (eta, xi)."""
    discs: NDArray[np.bool_]
    """Discs round galaxies, (eta, xi)."""
    left_out: bool = True
    """Whether the run leaves them out of the likelihood."""
    zones: tuple[float, ...] | None = None
    """Area round a source in which no fainter one is seen, arcsec^2, by field; None: crowding hides nothing."""


def sensitivity(
    cells: SkyCells, sources: Table, sigma: Mapping[str, float], limit: float, settings: Settings
) -> Table:
    """Repeat relation and comparison with parts of the sources.

    Parameters
    ----------
    cells : SkyCells
        Of the run.
    sources : table
        Candidates: columns field, ra, dec, peak.
    sigma : mapping of str to float
        Noise of each field.
    limit : float
        Peak from which sources count in the run, in all fields.
    settings : Settings

    Returns
    -------
    dict
        Columns of `schema.SENSITIVITY`, the run itself first.
    """
    peak = sources["peak"].astype(np.float64)
    noise = max((value for value in sigma.values() if np.isfinite(value)), default=np.inf)
    counted = peak >= limit
    middle = float(np.median(peak[counted])) if counted.any() else np.inf
    owner = cells.n_pixels.argmax(axis=0) if cells.n_pixels.size else np.zeros(cells.kappa.shape, np.int64)
    chosen: list[tuple[str, NDArray[np.bool_] | None]] = [("all", None)]
    chosen += [(f"snr_{level:g}", peak >= level * noise) for level in SIGNIFICANCES]
    chosen += [("bright_half", counted & (peak >= middle)), ("faint_half", counted & (peak < middle))]
    whole = int(cells.n_gc[settings.field].sum())
    rows: list[dict[str, str | int | float]] = []
    for name, rows_of in chosen:
        part = cells if rows_of is None else replace(cells, n_gc=_counts(cells, sources, rows_of, owner))
        # The faint half is hidden by the bright one too; all others are everything down to their limit.
        brighter = cells.n_gc - part.n_gc if name == "faint_half" else None
        rows.append(_row(name, part, settings, whole, brighter))
    discs, near = settings.discs, cells.radius < settings.max_radius
    without = replace(cells, n_good=np.where(discs, 0, cells.n_good), n_gc=np.where(discs, 0, cells.n_gc))
    rows.append(_row("members_removed", without, replace(settings, left_out=True), whole))
    # Of all sources: only the law differs.
    recovery = _recovery(cells, settings)
    off_galaxies = ~discs if settings.left_out else np.ones_like(discs)
    for name, kept in (("members_kept", cells.kept), ("no_outer_field", cells.kept & off_galaxies & near)):
        rows.append({**rows[0], "sample": name, **_law(cells, settings, kept, recovery)})
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    table["sample"] = table["sample"].astype(object)
    return table


def _counts(
    cells: SkyCells, sources: Table, chosen: NDArray[np.bool_], owner: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the chosen sources in each cell, those of the field to which it belongs."""
    counted = np.zeros(cells.n_gc.shape, np.int64)
    for number, name in enumerate(cells.fields):
        rows = chosen & (sources["field"] == name)
        counted[number] = np.where(owner == number, cells.count(sources["ra"][rows], sources["dec"][rows]), 0)
    return counted


def _recovery(
    cells: SkyCells, settings: Settings, brighter: NDArray[np.int64] | None = None
) -> Floats | None:
    return None if settings.zones is None else of_cells(cells, settings.zones, brighter)


def _law(
    cells: SkyCells, settings: Settings, kept: NDArray[np.bool_], recovery: Floats | None
) -> dict[str, str | int | float]:
    """Return the columns of the likelihood's law."""
    found = fit_counts(cells, settings.box, settings.max_radius, kept=kept, recovery=recovery, thorough=False)
    return {
        "n_sources": found.n_sources, "area_arcsec2": found.area, "c": found.law.c, "c_err": found.c_err,
        "index": found.index, "index_err": found.index_err, "amplitude": found.amplitude,
        "amplitude_err": found.amplitude_err, "floor": found.law.floor, "floor_err": found.floor_err,
        "dispersion": found.law.dispersion,
    }  # fmt: skip


def _row(
    name: str, cells: SkyCells, settings: Settings, whole: int, brighter: NDArray[np.int64] | None = None
) -> dict[str, str | int | float]:
    binned = fit(boxes(cells, settings.box))
    kept = cells.kept & ~settings.discs if settings.left_out else cells.kept
    # Of fewer sources, fewer are under the mask.
    share = int(cells.n_gc[settings.field].sum()) / whole if whole else 0.0
    maps = cell_maps(cells, settings.field, settings.max_radius, settings.inpainted * share)
    rho = next(kernel_sums(maps, iter([maps.counts]), *settings.kernel))
    alike = likeness(maps.kappa[maps.use], rho[maps.use])
    return {
        "sample": name, "binned_index": binned.index, "binned_index_err": binned.index_err,
        **_law(cells, settings, kept, _recovery(cells, settings, brighter)),
        "beta": alike.beta, "pearson": alike.pearson, "spearman": alike.spearman,
    }  # fmt: skip
