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
import scipy
from numpy.typing import NDArray

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

__all__ = ["WINGS", "bright_stars", "glare", "grain", "no_stars", "star_middles"]

WINGS: Final = 2.0
"""Brightness of the wings at the border of a disc, over k sigma (k = 0.55, `mask.spikes: auto`).

On a real star of 20 mag (PRIMER-UDS) false sources end where this does, at 30 px of 40 mas.
"""

LEAST: Final = 6.0
"""Pixels of the smallest disc: bit 4 alone has as much about any pixel of its own."""

BEADS: Final = 3
"""Pixels by which the spikes of a PSF file are grown: over the gaps between beads, and the peaks on the rim."""


SEARCH: Final = 24
"""Pixels from the middle of something very bright within which its star may lie (`recipe: calibrated`)."""

HOLE: Final = 5
"""Pixels of the smallest damaged core that is looked for."""

SAME: Final = 6.0
"""Pixels between two stars that are told apart."""

RIM: Final = 40.0
"""Median light, nJy per pixel, round a damaged core: about what makes bit 4."""


@dataclass(frozen=True)
class _Window:
    field: int
    order: int
    tiles: FieldTiles
    y: int
    x: int
    search: int
    """Pixels round (y, x) in which the star's own middle is looked for; 0: that is it."""


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
    search = SEARCH if config.recipe == "calibrated" else 0
    for index, field in enumerate(context.fields):
        # The window's place follows from the whole component, and its size is fixed: the measurement does not
        # know the tiles.
        middles = np.floor(bright[field.source.name].centroid + 0.5).astype(np.int64)
        units += [
            Unit(
                f"{field.source.name}/{order}",
                (2 * (RADIUS + search) + 1) ** 2,
                _Window(index, order, field, y, x, search),
            )
            for order, (y, x) in enumerate(middles.tolist())
        ]
    measured: Table | None = context.engine.run("bright stars", _measure, units, combine=concatenate)
    if measured is None:
        return no_stars()
    # Windows come back in the order in which workers finish them: sorted, the table does not know of it.
    measured = {
        name: column[np.lexsort((measured["trial"], measured["order"], measured["field"]))]
        for name, column in measured.items()
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
    # In the sum of the bands, in which the wings are measured as well.
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
    box = Box(window.y, window.x, window.y + 1, window.x + 1).grow(RADIUS + window.search)
    box = box.clip(window.tiles.grid.field)
    light = store.read(window.tiles.store, "light", box)
    middles = [(window.y - box.y0, window.x - box.x0)]
    if window.search:
        light, middles = star_middles(light, middles[0], window.search)
    found = [rings(light, y, x) for y, x in middles]
    n = len(found)
    return {
        "field": np.full(n, window.field),
        "order": np.full(n, window.order),
        "trial": np.arange(n),
        "y": np.array([y + box.y0 for y, _ in middles]),
        "x": np.array([x + box.x0 for _, x in middles]),
        "core": np.array([one.core for one in found]),
        "medians": np.array([one.medians for one in found]),
    }


def star_middles(
    light: NDArray[np.float32], middle: tuple[int, int], search: int
) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Return where the middle of a star may lie in something very bright, and its light without a damaged core.

    The middle of all very bright pixels is the star's only if nothing else is bright beside it: on the mocks `small`
    every tenth star has a bead or a galaxy there, is 4 to 6 px off, and would not pass for a point.

    Parameters
    ----------
    light : (ny, nx) float32
        nJy per pixel; NaN: no data.
    middle : (int, int)
        Row and column of the middle of the very bright pixels.
    search : int
        Pixels along y and x from there within which the star lies.

    Returns
    -------
    light : (ny, nx) float32
        NaN also where the core of a saturated star is zero or negative.
    middles : list of (int, int)
        In the order in which they are to be tried: that of a damaged core, if there is one, the brightest pixel, and
        the one given.
    """
    y0, x0 = max(middle[0] - search, 0), max(middle[1] - search, 0)
    # Only within the search radius: further out a neighbour would be brighter than a saturated star.
    part = light[y0 : middle[0] + search + 1, x0 : middle[1] + search + 1]
    tried: list[tuple[int, int]] = []
    # Saturated pixels have no data, or zeros, or less: enclosed by light as bright as that of bit 4.
    holes, count = scipy.ndimage.label(~(part > 0))
    # The array may be a view of what the store's reader returned.
    light = light.copy()
    around = np.ones((3, 3), np.bool_)
    best = 0
    for number in range(1, count + 1):
        hole = holes == number
        # A few dead pixels are no saturated core, and the blank sky beyond the field has a faint rim: size and rim
        # tell a core from both.
        if hole.sum() < HOLE:
            continue
        # Two pixels wide, because the first ring around a saturated core is itself damaged.
        rim = part[scipy.ndimage.binary_dilation(hole, around, iterations=2) & ~hole]
        if rim.size and np.median(np.nan_to_num(rim, nan=0.0)) >= RIM:
            light[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]][hole] = np.nan
            if hole.sum() > best:
                best = int(hole.sum())
                rows, columns = np.nonzero(hole)
                tried = [(y0 + _middle(rows), x0 + _middle(columns))]
    if np.isfinite(part).any():
        row, column = np.unravel_index(np.nanargmax(part), part.shape)
        tried.append((y0 + int(row), x0 + int(column)))
    return light, list(dict.fromkeys([*tried, middle]))


def _middle(values: NDArray[np.int64]) -> int:
    """Return the mean, rounded half up, in whole numbers."""
    return int((2 * values.sum() + values.size) // (2 * values.size))


def _first_of_each(order: NDArray[np.int64], flux: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fluxes with NaN for all trials of an object but the first that is a star."""
    stars = np.flatnonzero(flux > 0)
    _, first = np.unique(order[stars], return_index=True)
    chosen = np.full(flux.shape, np.nan)
    # `np.unique` gives the first index of each value, and trials are sorted in the order of trust.
    chosen[stars[first]] = flux[stars[first]]
    return chosen


def _apart(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of these stars, brightest first, are not the same as a brighter one: its beads lead to it, too."""
    new = np.ones(y.size, np.bool_)
    for number in range(1, y.size):
        before = new[:number]
        distance2 = (y[:number] - y[number]) ** 2 + (x[:number] - x[number]) ** 2
        # A star is compared with those that were kept: one that was itself a bead must not suppress others.
        new[number] = not (before & (distance2 <= SAME**2)).any()
    return new


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
    flux = _first_of_each(measured["order"], flux)
    half = CELL // 2
    # The noise where the star is: in a mosaic of two depths the same wings matter further out in the deep part.
    sigma = noise[measured["y"] // half, measured["x"] // half].astype(np.float64) * grain(config, bands)
    radius = np.array(
        [
            disc_radius(light, profile, WINGS * limit * level) if light > 0 and level > 0 else 0.0
            for light, level in zip(flux, sigma, strict=True)
        ]
    )
    chosen = np.flatnonzero(radius > LEAST)
    # Ties are broken by place, so that the order of two equally bright stars is not left to the sort.
    chosen = chosen[np.lexsort((measured["x"][chosen], measured["y"][chosen], -flux[chosen]))]
    # A star that splits into its core and beads of its spikes is several objects of bit 4, and each of them leads to
    # the star: only the brightest of these is drawn.
    if config.recipe == "calibrated":
        chosen = chosen[_apart(measured["y"][chosen], measured["x"][chosen])]
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
