"""The tables of artificial stars: the stars themselves, the depths, and how likely each source was to be found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.completeness import recovery
from tilegc.completeness.artificial import FieldStars, Prepared
from tilegc.completeness.curves import LEVELS, curve, depths, zones_and_annuli
from tilegc.detection.noise.noise_map import LocalNoise
from tilegc.phases.partials import Table
from tilegc.photometry.columns import ZERO_POINT
from tilegc.photometry.columns import magnitudes as converted
from tilegc.schema import COMPLETENESS, StarFlag, artificial_columns

__all__ = [
    "DETECTION",
    "artificial_table",
    "common_magnitude",
    "completeness_table",
    "depth",
    "with_recovery",
]

Floats = NDArray[np.float64]

DETECTION: Final = "detection"
"""Stands for a band: magnitudes of the flat spectrum that raises the detection map as much."""

NEIGHBOURS: Final = 100
"""Stars whose recovery is that of a source like them."""

CROWDED: Final = 0.25
"""Distance, dex in the density of sources about, that counts as much as 0.1 mag."""

FLAGS: Final = {
    recovery.FOUND: 0,
    recovery.FAINT: StarFlag.FAINT,
    recovery.NO_POINT: StarFlag.NO_POINT,
    recovery.BLENDED: StarFlag.BLENDED,
    recovery.LIFTED: StarFlag.LIFTED,
    recovery.BRIGHT: StarFlag.BRIGHT,
}


def artificial_table(
    stars: Mapping[str, FieldStars],
    prepared: Mapping[str, Prepared],
    bands: tuple[str, ...],
    fluxes: Mapping[str, tuple[Floats, Floats]],
) -> Table:
    """Return the columns of artificial.parquet: all fields, in run-file order, stars by their numbers.

    Parameters
    ----------
    stars, prepared : mapping
        By field.
    bands : tuple of str
        Of all fields.
    fluxes : mapping
        Of `star_fluxes`: measured fluxes and errors by field, nJy.
    """
    columns = artificial_columns(bands)
    if not stars:
        return {one.name: np.zeros(0, object if one.dtype == "string" else one.dtype) for one in columns}
    parts = [_of_field(name, field, prepared[name], bands, fluxes[name]) for name, field in stars.items()]
    return {one.name: np.concatenate([part[one.name] for part in parts]) for one in columns}


def _of_field(
    name: str, field: FieldStars, one: Prepared, bands: tuple[str, ...], fluxes: tuple[Floats, Floats]
) -> Table:
    table, n = field.table, field.table["mag"].size
    flags = np.zeros(n, np.int32)
    for verdict, flag in FLAGS.items():
        flags[table["verdict"] == verdict] |= np.int32(flag)
    flags[~table["good"]] |= StarFlag.ON_MASK
    flags[table["by_pixel"]] |= StarFlag.NEAR_GAP
    with np.errstate(invalid="ignore", divide="ignore"):
        out = ZERO_POINT - 2.5 * np.log10(table["value"] / one.population.share.sum())
    magnitudes = dict(zip(field.magnitudes, table["mag_in"], strict=True))
    measured: Table = {}
    for band in bands:
        unknown = np.full(n, np.nan)
        flux, error = unknown, unknown
        if band in field.magnitudes:
            flux, error = (one_of[field.magnitudes.index(band)] for one_of in fluxes)
        measured[f"mag_out_{band}"], measured[f"mag_err_out_{band}"] = converted(flux, error)
    return {
        "id": table["number"].astype(np.int64),
        "field": np.full(n, name, dtype=object),
        "y": table["y_in"],
        "x": table["x_in"],
        "ra": table["ra"],
        "dec": table["dec"],
        "radius_arcsec": table["radius_arcsec"],
        "mag_in": table["mag"],
        "mag_out": np.where(table["recovered"], out, np.nan),
        **{f"mag_in_{band}": magnitudes.get(band, np.full(n, np.nan)) for band in bands},
        **measured,
        "q": table["q"],
        "noise": table["noise"].astype(np.float64),
        "recovered": table["recovered"],
        "displaced": table["displaced"].astype(np.int32),
        "kind": np.full(n, "point", dtype=object),
        "psf": np.full(n, "model", dtype=object),
        "flags": flags,
    }


def completeness_table(stars: Mapping[str, FieldStars], local: Mapping[str, LocalNoise]) -> Table:
    """Return the columns of completeness.ecsv: depths by field, band, and zone or annulus.

    Parameters
    ----------
    stars : mapping
        By field.
    local : mapping
        Local noise, by field.
    """
    rows: list[tuple[object, ...]] = []
    for name, field in stars.items():
        table = field.table
        row, column = (np.floor(table[key] + 0.5).astype(np.int64) for key in ("y_in", "x_in"))
        zone = local[name].class_of(row, column, table["noise"])
        counted = table["good"]
        for number, low, high, inside in zones_and_annuli(table, zone):
            some = inside & counted
            weight = 1 / table["q"][some]
            for band, magnitude in (
                (DETECTION, table["mag"]),
                *zip(field.magnitudes, table["mag_in"], strict=True),
            ):
                found = curve(magnitude[some], table["recovered"][some], weight)
                known = np.flatnonzero(found.count > 0)
                levels = depths(found)
                rows.append(
                    (
                        name,
                        band,
                        number,
                        low,
                        high,
                        int(some.sum()),
                        *(v for level in LEVELS for v in levels[level]),
                        found.recovered[known[0]] if known.size else np.nan,
                    )
                )
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(COMPLETENESS)
    return {
        one.name: np.array(values, object if one.dtype == "string" else one.dtype)
        for one, values in zip(COMPLETENESS, columns, strict=True)
    }


def depth(table: Table, name: str) -> dict[str, dict[str, float]]:
    """Return m50, m80 and m90 of a field by band, from the rows of completeness.ecsv for the whole field."""
    rows = (table["field"] == name) & (table["zone"] == -1) & (table["r_lo"] == 0) & np.isinf(table["r_hi"])
    return {
        str(table["band"][row]): {key: float(table[key][row]) for key in ("m50", "m80", "m90")}
        for row in np.flatnonzero(rows)
    }


def common_magnitude(table: Table) -> float:
    """Return the magnitude of the maps: the brightest of the fields' 50 per cent depths; NaN where none has one.

    It is that of flat spectra, the same for all fields, so that their maps may be compared.

    Parameters
    ----------
    table : table
        Columns of completeness.ecsv.
    """
    known = [
        depth(table, str(name)).get(DETECTION, {}).get("m50", np.nan) for name in np.unique(table["field"])
    ]
    finite = [value for value in known if np.isfinite(value)]
    return min(finite, default=np.nan)


def with_recovery(
    candidates: Table, stars: Mapping[str, FieldStars], prepared: Mapping[str, Prepared], *, ranked: bool
) -> Table:
    """Return candidates with `p_recovery` and `p_point`: what became of the stars most like each of them.

    Stars are alike in magnitude over the local limit and in the density of sources about them. A source's own
    magnitude stands for its true one; for laws of populations the stars themselves are used.

    Parameters
    ----------
    candidates : table
    stars, prepared : mapping
        By field.
    ranked : bool
        Whether peaks are compared with the local noise.
    """
    n = candidates["id"].size
    recovered, point = np.full(n, np.nan), np.full(n, np.nan)
    for name, field in stars.items():
        rows = np.flatnonzero(candidates["field"] == name)
        table, one = field.table, prepared[name]
        good = np.flatnonzero(table["good"])
        if not rows.size or good.size < NEIGHBOURS:
            continue
        known = one.sources[0][one.sources[3]], one.sources[1][one.sources[3]]
        noise = table["noise"][good] if ranked else 1.0
        peak = candidates["peak"][rows].astype(np.float64)
        level = peak / candidates["snr"][rows] if ranked else np.ones(rows.size)
        at = _place(
            10 ** (-0.4 * (table["mag"][good] - ZERO_POINT)) * one.population.share.sum() / noise,
            table["y_in"][good],
            table["x_in"][good],
            known,
            own=0,
        )
        wanted = _place(
            peak / level,
            candidates["y_peak"][rows].astype(float),
            candidates["x_peak"][rows].astype(float),
            known,
            own=1,
        )
        # Beyond the faintest and the brightest star the last ones stand for all.
        wanted[:, 0] = np.clip(wanted[:, 0], at[:, 0].min(), at[:, 0].max())
        nearest = scipy.spatial.cKDTree(at).query(wanted, NEIGHBOURS)[1]
        verdict = table["verdict"][good][nearest]
        recovered[rows] = (verdict == recovery.FOUND).mean(axis=1)
        passed = (verdict == recovery.FOUND).sum(axis=1)
        peaks = passed + (verdict == recovery.NO_POINT).sum(axis=1)
        point[rows] = np.where(peaks > 0, passed / np.maximum(peaks, 1), np.nan)
    return {**candidates, "p_recovery": recovered, "p_point": point}


def _place(
    snr: Floats, y: Floats, x: Floats, known: tuple[NDArray[np.int64], NDArray[np.int64]], *, own: int
) -> Floats:
    """Return magnitude and crowding in units in which stars are alike within 1."""
    tree = scipy.spatial.cKDTree(np.stack(known, axis=1).astype(float).reshape(-1, 2))
    if tree.n > own:
        # The distance to the tenth neighbour; a source is not its own.
        k = min(10 + own, tree.n)
        distance = tree.query(np.stack([y, x], axis=1), [k])[0][:, 0]
        crowd = -2 * np.log10(np.maximum(distance, 0.5))
    else:
        crowd = np.zeros(y.size)
    magnitude = -2.5 * np.log10(np.maximum(snr, 1e-3))
    return np.stack([magnitude / 0.1, crowd / CROWDED], axis=1)
