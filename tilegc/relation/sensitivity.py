"""Relation and comparison repeated with other samples: brighter limits, halves, away from galaxies, no outer field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.attenuation import Attenuation
from tilegc.relation.boxes import boxes, fit
from tilegc.relation.floors import FLAT, Floor
from tilegc.relation.kernel import cell_maps
from tilegc.relation.kernel_maps import kernel_sums, likeness
from tilegc.relation.likelihood import fit_counts
from tilegc.relation.sky_counts import box_counts
from tilegc.relation.systematics import Systematic, beyond_chance, systematic
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.crowding import of_cells
from tilegc.skygrid.seen_share import SeenStars, seen_share

__all__ = ["SAMPLES", "SIGNIFICANCES", "Settings", "as_table", "sample_row", "sensitivity", "systematic_of"]

Floats = NDArray[np.float64]
Table = dict[str, np.ndarray]
Row = dict[str, str | int | float]

SIGNIFICANCES: Final = (5.0, 7.0, 10.0)
"""Peaks relative to the noise of the noisiest field, so that all fields are cut at the same flux."""


SAMPLES: Final = (
    "all",
    *(f"snr_{level:g}" for level in SIGNIFICANCES),
    "bright_half",
    "faint_half",
    "members_removed",
    "members_kept",
    "crowding_kept",
    "no_outer_field",
)
"""Names of all samples, the run itself first."""


OF_LAW: Final = (
    "c",
    "c_err",
    "index",
    "index_err",
    "amplitude",
    "amplitude_err",
    "floor",
    "floor_err",
    "dispersion",
)
"""Columns of the law of counts: NaN for `no_outer_field` if the run has no outer field."""


@dataclass(frozen=True)
class Settings:
    """Settings of the run that every repetition uses."""

    field: int
    """Index of the field that is compared with kappa."""
    box: float
    max_radius: float
    kernel: tuple[float, float]
    """alpha and softening of the kernel."""
    inpainted: Floats
    """Inpainted sources of this field in each cell, averaged over realisations, (eta, xi)."""
    discs: NDArray[np.bool_]
    """Discs around galaxies, (eta, xi)."""
    left_out: bool = True
    """Whether the run excludes the discs from the likelihood."""
    zones: tuple[float, ...] | None = None
    """Area in arcsec^2 around a source in which no fainter one is detected, by field; None for no crowding."""
    light: Floats | None = None
    """Light of galaxies if the law of the run has a term for it, (eta, xi)."""
    stars: SeenStars | None = None
    """Artificial stars, which give the completeness of every sample in place of its crowding."""
    limits: tuple[float, float] = (0.0, np.inf)
    """Limits in peak of the sample, nJy."""
    floor: Floor = FLAT
    """How the floor of the law depends on position."""
    min_radius: float = 0.0
    """Radius in arcsec within which cells do not enter the law."""


def sample_row(
    name: str, cells: SkyCells, sources: Table, sigma: Mapping[str, float], limit: float, settings: Settings
) -> Row:
    """Repeat relation and comparison with part of the sources.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.
    cells : SkyCells
        The sky grid of the run.
    sources : table
        Candidates: columns field, ra, dec, peak.
    sigma : mapping of str to float
        Noise of each field.
    limit : float
        Minimum peak of a source in the run, in all fields.
    settings : Settings
        Settings of the run.

    Returns
    -------
    dict
        A row of `schema.SENSITIVITY`.
    """
    whole = int(cells.n_gc[settings.field].sum())
    settings = replace(settings, limits=(limit, np.inf))
    if name == "all":
        return _row(name, cells, settings, whole)
    discs = settings.discs
    if name == "members_removed":
        without = replace(cells, n_good=np.where(discs, 0, cells.n_good), n_gc=np.where(discs, 0, cells.n_gc))
        return _row(name, without, replace(settings, left_out=True, light=None), whole)
    if name == "members_kept":
        return _row(name, cells, replace(settings, left_out=False, light=None), whole)
    if name == "crowding_kept":
        return _row(name, cells, replace(settings, zones=None, stars=None), whole)
    if name == "no_outer_field":
        near = _row(name, cells, settings, whole, within=cells.radius < settings.max_radius)
        return near if _has_outer(cells, settings) else near | dict.fromkeys(OF_LAW, np.nan)
    peak = sources["peak"].astype(np.float64)
    counted = peak >= limit
    middle = float(np.median(peak[counted])) if counted.any() else np.inf
    noise = max((value for value in sigma.values() if np.isfinite(value)), default=np.inf)
    chosen = {f"snr_{level:g}": peak >= level * noise for level in SIGNIFICANCES}
    chosen |= {"bright_half": counted & (peak >= middle), "faint_half": counted & (peak < middle)}
    limits = {f"snr_{level:g}": (level * noise, np.inf) for level in SIGNIFICANCES}
    limits |= {"bright_half": (middle, np.inf), "faint_half": (limit, middle)}
    if settings.stars is not None:
        # Stars are judged at the limit of the catalogue: below it nothing is known of them.
        chosen[name] &= counted
        settings = replace(settings, limits=(max(limits[name][0], limit), limits[name][1]))
    owner = cells.n_pixels.argmax(axis=0) if cells.n_pixels.size else np.zeros(cells.kappa.shape, np.int64)
    part = replace(cells, n_gc=_counts(cells, sources, chosen[name], owner))
    # The faint half is also hidden by the bright half; every other sample contains all sources above its limit.
    brighter = cells.n_gc - part.n_gc if name == "faint_half" else None
    return _row(name, part, settings, whole, brighter)


def as_table(rows: Sequence[Row]) -> Table:
    """Return the columns of `schema.SENSITIVITY` from rows for `SAMPLES`, in their order."""
    table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    table["sample"] = table["sample"].astype(object)
    table["c_err_systematic"] = beyond_chance(table["c"], table["c_err"])
    return table


def systematic_of(table: Table, found: Attenuation | None) -> Systematic:
    """Return the systematic errors of c according to a table of all samples and the range maps."""
    names = table["sample"].tolist()
    return systematic(
        dict(zip(names, table["c"].tolist(), strict=True)),
        dict(zip(names, table["c_err_systematic"].tolist(), strict=True)),
        found,
    )


def sensitivity(
    cells: SkyCells, sources: Table, sigma: Mapping[str, float], limit: float, settings: Settings
) -> Table:
    """Repeat relation and comparison with all samples, in this process."""
    return as_table([sample_row(name, cells, sources, sigma, limit, settings) for name in SAMPLES])


def _has_outer(cells: SkyCells, settings: Settings) -> bool:
    """Return whether the law of the run has an outer field that could be omitted."""
    kept = cells.kept & ~settings.discs if settings.left_out else cells.kept
    recovery = _recovery(cells, settings)
    return (
        box_counts(cells, settings.box, settings.max_radius, kept=kept, recovery=recovery).outer is not None
    )


def _recovery(
    cells: SkyCells, settings: Settings, brighter: NDArray[np.int64] | None = None
) -> Floats | None:
    """Return the completeness of a sample in every cell; None where none is to be applied."""
    if settings.stars is not None:
        return seen_share(cells, settings.stars, *settings.limits)
    return None if settings.zones is None else of_cells(cells, settings.zones, brighter)


def _counts(
    cells: SkyCells, sources: Table, chosen: NDArray[np.bool_], owner: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the selected sources in each cell, counting those of the field that owns the cell."""
    counted = np.zeros(cells.n_gc.shape, np.int64)
    for number, name in enumerate(cells.fields):
        rows = chosen & (sources["field"] == name)
        counted[number] = np.where(owner == number, cells.count(sources["ra"][rows], sources["dec"][rows]), 0)
    return counted


def _row(
    name: str,
    cells: SkyCells,
    settings: Settings,
    whole: int,
    brighter: NDArray[np.int64] | None = None,
    within: NDArray[np.bool_] | None = None,
) -> Row:
    binned = fit(boxes(cells, settings.box))
    recovery = _recovery(cells, settings, brighter)
    kept = cells.kept & (cells.radius >= settings.min_radius)
    if within is not None:
        kept = kept & within
    if settings.left_out:
        kept = kept & ~settings.discs
    found = fit_counts(
        cells,
        settings.box,
        settings.max_radius,
        kept=kept,
        recovery=recovery,
        light=settings.light,
        floor=settings.floor,
        thorough=False,
    )
    # With fewer sources, fewer are hidden by the mask.
    share = int(cells.n_gc[settings.field].sum()) / whole if whole else 0.0
    maps = cell_maps(cells, settings.field, settings.max_radius, settings.inpainted * share)
    rho = next(kernel_sums(maps, iter([maps.counts]), *settings.kernel))
    alike = likeness(maps.kappa[maps.use], rho[maps.use])
    return {
        "sample": name,
        "n_sources": found.n_sources,
        "area_arcsec2": found.area,
        "binned_index": binned.index,
        "binned_index_err": binned.index_err,
        "c": found.law.c,
        "c_err": found.c_err,
        "index": found.index,
        "index_err": found.index_err,
        "amplitude": found.amplitude,
        "amplitude_err": found.amplitude_err,
        "floor": found.law.floor,
        "floor_err": found.floor_err,
        "dispersion": found.law.dispersion,
        "beta": alike.beta,
        "pearson": alike.pearson,
        "spearman": alike.spearman,
    }
