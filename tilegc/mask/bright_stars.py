"""Bright stars: a disc around each, where grain in its wings would be detected as sources (algorithm.md, section 2).

Whatever is very bright (bit 4) is one object for the whole field, found in tiles and joined; round its middle the
light is measured in one window of fixed size, read from the store whatever the tiles are. What is a point by its core
(saturated, without one: by its rings) has the flux that its wings tell, and a disc out to where they are `WINGS` x k
sigma bright; where the run file gives PSFs, also the pixels on which their spikes are so bright. The tiles draw both.
A galaxy's core is no point; bit 8 is for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tilegc.config import DetectionConfig
from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import Box
from tilegc.images.psfs import BandPsf
from tilegc.io import store
from tilegc.io.fits import FieldSource
from tilegc.kernels.psf import Psf
from tilegc.kernels.smoothing import difference, gaussian_taps
from tilegc.mask.components import Components
from tilegc.mask.ridges import CELL
from tilegc.mask.wings import RADIUS, Glare, disc_radius, ring_shares, rings, spikes, star_flux, wings
from tilegc.mask.wings import Rings as Light
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, concatenate
from tilegc.sky import pixel_to_world

__all__ = ["WINGS", "bright_stars", "glare", "grain", "no_stars"]

WINGS: Final = 2.0
"""Brightness of the wings at the border of a disc, over k sigma (k = 0.55, `mask.spikes: auto`).

On a real star of 20 mag (PRIMER-UDS) false sources end where this does, at 30 px of 40 mas.
"""

LEAST: Final = 6.0
"""Pixels of the smallest disc: bit 4 alone has as much about any pixel of its own."""

BEADS: Final = 3
"""Pixels by which the spikes of a PSF file are grown: over the gaps between beads, and the peaks on the rim."""


@dataclass(frozen=True)
class _Window:
    field: int
    order: int
    tiles: FieldTiles
    y: int
    x: int


def bright_stars(
    context: Context,
    config: DetectionConfig,
    bright: Mapping[str, Components],
    noise: Mapping[str, np.ndarray],
    psfs: Mapping[str, tuple[BandPsf, ...]],
    limit: float,
) -> Table:
    """Find the bright stars of all fields, measure them, and say how far their wings are to be masked.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
        The recipe and the section `filter`.
    bright : mapping
        Components of bit 4, by field.
    noise : mapping
        Noise of the detection map on half cells, (2 cell_y, 2 cell_x), by field, nJy per pixel.
    psfs : mapping
        PSFs of the bands, by field.
    limit : float
        k of `mask.spikes`, in sigma.

    Returns
    -------
    table
        Columns of `schema.STARS`.
    """
    units = []
    for index, field in enumerate(context.fields):
        middles = np.floor(bright[field.source.name].centroid + 0.5).astype(np.int64)
        units += [
            Unit(f"{field.source.name}/{order}", (2 * RADIUS + 1) ** 2, _Window(index, order, field, y, x))
            for order, (y, x) in enumerate(middles.tolist())
        ]
    measured: Table | None = context.engine.run("bright stars", _measure, units, combine=concatenate)
    if measured is None:
        return no_stars()
    measured = {
        name: column[np.lexsort((measured["order"], measured["field"]))] for name, column in measured.items()
    }
    parts = []
    for index, field in enumerate(context.fields):
        rows = measured["field"] == index
        part = {name: column[rows] for name, column in measured.items()}
        parts.append(
            _of_field(config, field.source, part, noise[field.source.name], psfs[field.source.name], limit)
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def no_stars() -> Table:
    """Return a table of `schema.STARS` without a row."""
    texts = {"field": np.empty(0, object)}
    whole = {name: np.empty(0, np.int64) for name in ("y", "x")}
    names = ("ra", "dec", "flux", "core", "noise", "radius", "radius_arcsec")
    return {**texts, **whole, **{name: np.empty(0) for name in names}}


def glare(stars: Table, source: FieldSource, bands: tuple[BandPsf, ...], limit: float) -> Glare:
    """Return what a field's tiles draw of its bright stars.

    Parameters
    ----------
    stars : table
        From `bright_stars`.
    source : FieldSource
    bands : tuple of BandPsf
        PSFs of its bands; of those that the run file gives the spikes are masked as well.
    limit : float
        k of `mask.spikes`, in sigma.
    """
    rows = np.flatnonzero(stars["field"] == source.name)
    drawn = tuple(
        (int(stars["y"][row]), int(stars["x"][row]), math.floor(stars["radius"][row] ** 2)) for row in rows
    )
    least = tuple((WINGS * limit * stars["noise"][rows] / stars["flux"][rows]).tolist())
    return Glare(drawn, least, spikes(_profiles(source, bands), _given(bands), BEADS) if rows.size else None)


def _given(bands: Sequence[BandPsf]) -> list[Psf | None]:
    """Return the PSFs of the run file: those of a field's own stars end after 10 px, before the wings that count."""
    return [band.psf if band.origin == "given" else None for band in bands]


def _profiles(source: FieldSource, bands: Sequence[BandPsf]) -> list[np.ndarray]:
    """Return the wings of a star in every band."""
    return [wings(band.band, source.scale, psf) for band, psf in zip(bands, _given(bands), strict=True)]


def grain(config: DetectionConfig, bands: Sequence[BandPsf]) -> float:
    """Return the brightness at its middle, nJy per pixel, of a point that has the height 1 in the detection map.

    A grain of a star's wings is as wide as a point, so wings that are so many times the noise bright, in these terms,
    could make a peak so many times the noise high. The calibrated map is the flux of a point in each band; the
    response of diego2026 is measured on the PSF itself.
    """
    middle = math.fsum(float(band.psf.image[band.psf.radius, band.psf.radius]) for band in bands)
    if config.recipe == "calibrated":
        return middle
    first, second = (
        tuple(gaussian_taps(width, config.filter.discretisation) for width in stage)
        for stage in config.filter.stages
    )
    response = 0.0
    for band in bands:
        image = band.psf.image.astype(np.float32)
        whole = np.ones(image.shape, np.bool_)
        twice = difference(difference(image, whole, *first), whole, *second)
        response += float(twice[band.psf.radius, band.psf.radius])
    return middle / response


def _measure(common: None, window: _Window) -> Table:  # noqa: ARG001
    """Measure the light about the middle of something very bright (runs on a worker)."""
    box = Box(window.y, window.x, window.y + 1, window.x + 1).grow(RADIUS).clip(window.tiles.grid.field)
    light = store.read(window.tiles.store, "light", box)
    found = rings(light, window.y - box.y0, window.x - box.x0)
    return {
        "field": np.array([window.field]),
        "order": np.array([window.order]),
        "y": np.array([window.y]),
        "x": np.array([window.x]),
        "core": np.array([found.core]),
        "medians": found.medians[None],
    }


def _of_field(
    config: DetectionConfig,
    source: FieldSource,
    measured: Table,
    noise: np.ndarray,
    bands: tuple[BandPsf, ...],
    limit: float,
) -> Table:
    """Return the stars among what was measured in one field, brightest first."""
    shapes = _profiles(source, bands)
    profile = np.add.reduce(shapes) / len(shapes)
    lights = [
        Light(float(core), medians)
        for core, medians in zip(measured["core"], measured["medians"], strict=True)
    ]
    shares = ring_shares(profile)
    flux = np.array([star_flux(light, shares) for light in lights])
    half = CELL // 2
    sigma = noise[measured["y"] // half, measured["x"] // half].astype(np.float64) * grain(config, bands)
    radius = np.array(
        [
            disc_radius(light, profile, WINGS * limit * level) if light > 0 and level > 0 else 0.0
            for light, level in zip(flux, sigma, strict=True)
        ]
    )
    chosen = np.flatnonzero(radius > LEAST)
    chosen = chosen[np.lexsort((measured["x"][chosen], measured["y"][chosen], -flux[chosen]))]
    y, x = measured["y"][chosen], measured["x"][chosen]
    ra, dec = pixel_to_world(source.wcs, y, x)
    return {
        "field": np.full(y.size, source.name, object),
        "y": y,
        "x": x,
        "ra": ra,
        "dec": dec,
        "flux": flux[chosen],
        "core": measured["core"][chosen] / flux[chosen],
        "noise": sigma[chosen],
        "radius": radius[chosen],
        "radius_arcsec": radius[chosen] * source.scale,
    }
