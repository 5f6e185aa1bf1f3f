"""The PSF of every band of every field: given, or measured on the field's own stars, or a model.

Measured: every tile finds its isolated point sources on the sum of the bands; the brightest of a field, with
their stamps, come to the driver as one sorted table; there those as concentrated as most are kept, and the median
of their centred, normalised stamps is the PSF. No tile knows of another, and the table is the same for any tiling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.images.effective import correction
from tilegc.images.stars import REACH, find_stars
from tilegc.io.window import Window
from tilegc.kernels.psf import NativePsf, Psf, centroid, quantised, resampled
from tilegc.kernels.psf_model import model
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, by_field

__all__ = ["STARS", "STARS_BESIDE", "BandPsf", "field_psfs", "stack"]

MOST: Final = 400
"""Stars of a field at the most, the brightest."""

LEAST: Final = 8
"""Stars below which none of a band is measured."""

LOCUS: Final = 0.06
"""Width in concentration of the interval that holds the most stars: those in it are points."""

STACK: Final = 10
"""Radius, pixels, of a measured PSF."""

MODEL: Final = 40
"""Radius, pixels, of a modelled one."""

APERTURE2: Final = 16
"""Squared radius, pixels, of the aperture in which stars are normalised."""


@dataclass(frozen=True)
class BandPsf:
    """The PSF of one band of one field."""

    band: str
    psf: Psf
    origin: str
    """given, stars or model."""
    n_stars: int
    """Of which it was measured."""
    fine: NativePsf | None = None
    """What is to be added to the spline through `psf` between pixels, where it was measured (`images.effective`)."""


def field_psfs(
    context: Context, recipe: str, given: Mapping[str, Mapping[str, Psf]], step: Pass | None = None
) -> dict[str, tuple[BandPsf, ...]]:
    """Return the PSFs of every field, in the order of its bands; `recipe: diego2026` measures none.

    Parameters
    ----------
    context : Context
    recipe : str
        `diego2026` measures no stars.
    given : mapping
        PSFs that the run file gives, by field and band.
    step : Pass, optional
        The pass that finds stars: `STARS`, or the same under another name.
    """
    wanting = [
        field
        for field in context.fields
        if recipe == "calibrated"
        and any(name not in given.get(field.source.name, {}) for name in field.source.band_names)
    ]
    names = [field.source.name for field in wanting]
    found = (
        run_pass(context.engine, step or STARS, wanting, {name: name for name in names}) if wanting else None
    )
    psfs = {}
    for field in context.fields:
        name, source = field.source.name, field.source
        measured = stack((found or {}).get(name), len(source.bands))
        psfs[name] = tuple(
            _choose(band, source.scale, given.get(name, {}).get(band), *measured[number])
            for number, band in enumerate(source.band_names)
        )
    return psfs


def _choose(
    band: str,
    scale: float,
    given: Psf | None,
    measured: Psf | None,
    n_stars: int,
    fine: NativePsf | None,
) -> BandPsf:
    if given is not None:
        return BandPsf(band, given, "given", 0)
    if measured is not None:
        return BandPsf(band, measured, "stars", n_stars, fine)
    return BandPsf(band, model(band, scale, MODEL), "model", 0)


def _stars_rule(window: Window, tile: Tile, params: str) -> tuple[dict[str, np.ndarray], dict[str, Table]]:
    """Return a core's brightest stars with their stamps in all bands; `params` is the field's name."""
    sci = window["sci"].values
    light = sci[0].copy()
    for band in sci[1:]:
        light += band
    if "wht" in window:
        light[~(window["wht"].values > 0).all(axis=0)] = np.nan
    found = find_stars(light, tile.core_in_window, MOST)
    stamps = np.zeros((found.y.size, len(sci), 2 * REACH + 1, 2 * REACH + 1), np.float32)
    for row, (y, x) in enumerate(zip(found.y, found.x, strict=True)):
        stamps[row] = sci[:, y - REACH : y + REACH + 1, x - REACH : x + REACH + 1]
    return {}, {
        params: {
            "y": found.y + tile.window.y0,
            "x": found.x + tile.window.x0,
            "value": found.value,
            "concentration": found.concentration,
            "stamp": stamps,
        }
    }


def _brightest(a: Table, b: Table) -> Table:
    """Return the brightest stars of two tables: the same whatever the order in which tables are joined."""
    both = {name: np.concatenate([a[name], b[name]]) for name in a}
    order = np.lexsort((both["x"], both["y"], -both["value"]))[:MOST]
    return {name: column[order] for name, column in both.items()}


STARS = Pass(
    "stars", ("sci", "wht"), REACH, (), _stars_rule, partial(by_field, _brightest), bytes_per_pixel=60.0
)
"""Halo: a star's whole stamp is in the window of the tile that owns it, or it has none."""

STARS_BESIDE = replace(STARS, name="stars, other bands")
"""The same over a band that is only measured."""


def stack(stars: Table | None, bands: int) -> list[tuple[Psf | None, int, NativePsf | None]]:
    """Return the PSF of every band, of how many stars it is, and what it lacks between pixels; None with too few.

    Parameters
    ----------
    stars : table or None
        Rows of `STARS`: brightest first.
    bands : int
    """
    if stars is None or stars["y"].size < LEAST:
        return [(None, 0, None)] * bands
    chosen = _points(stars["concentration"])
    stamps = stars["stamp"][chosen].astype(np.float64)
    return [_median(stamps[:, band]) for band in range(bands)]


def _points(concentration: np.ndarray) -> np.ndarray:
    """Return which stars lie in the interval of concentration that holds the most of them."""
    ranked = np.sort(concentration.astype(np.float64))
    inside = np.searchsorted(ranked, ranked + LOCUS, side="right") - np.arange(ranked.size)
    # of equal intervals the most concentrated
    low = ranked[ranked.size - 1 - int(np.argmax(inside[::-1]))]
    inside_locus: np.ndarray = (concentration >= low) & (concentration <= low + LOCUS)
    return inside_locus


def _median(stamps: np.ndarray) -> tuple[Psf | None, int, NativePsf | None]:
    """Return the median of stars, each centred and normalised, their number, and the correction between pixels."""
    offset = np.arange(-STACK, STACK + 1)
    aperture = offset[:, None] ** 2 + offset**2 <= APERTURE2
    border = np.ones(stamps.shape[1:], bool)
    border[2:-2, 2:-2] = False
    parts, used = [], []
    for stamp in stamps:
        image = stamp - np.median(stamp[border])
        inner = image[REACH - 4 : REACH + 5, REACH - 4 : REACH + 5]
        if not inner.max() > 0:
            continue
        row, column = centroid(inner, 2.5)
        if not (abs(row - 4) < 1.5 and abs(column - 4) < 1.5):
            continue
        centred = resampled(image, (row - 4 + REACH, column - 4 + REACH), 1.0, STACK)
        total = centred[aperture].sum()
        if total > 0:
            parts.append(centred / total)
            used.append(image)
    if len(parts) < LEAST:
        return None, 0, None
    psf = quantised(np.median(parts, axis=0))
    return psf, len(parts), correction(np.stack(used), psf.image)
