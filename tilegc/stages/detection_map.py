"""The double filter: from the bands to the detection map (Diego et al. 2026, section 3; DESIGN 3.2-3.4).

One pass reads the bands once and writes three maps: `light`, the sum of the bands; `flags`, the pixels
without data, near very bright ones, and where the mid-scale map is high; and `detection`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from tilegc.config import Filter, Mask
from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.kernels.masks import grow
from tilegc.kernels.smoothing import Taps, difference, difference_radius, gaussian_taps
from tilegc.schema import Bit
from tilegc.stages.setup import Setup

__all__ = [
    "MAPS",
    "FilterParams",
    "add_bands",
    "detection_map",
    "filter_halo",
    "filter_maps",
    "filter_norms",
    "filter_params",
    "filter_parts",
    "filter_pass",
    "filter_radius",
]

MAPS = ("flags", "light", "detection")
"""Arrays that this stage writes."""

BRIGHT_GROWTH = 6.0
"""Pixels round one that is very bright where the filter's rings would make false peaks (DESIGN 3.2)."""

MID_SCALES = ((2.0, 8.0), (6.0, 30.0))
"""FWHMs, pixels, of the two mid-scale maps that find extended objects.

The fine one finds galaxies' centres and stars' spikes, not the light between; the coarse one finds bodies of stars
and of bright galaxies, whose rings fall into pieces in the fine one.
"""

COARSE = 30.0
"""Limit of the coarse map over that of the fine one.

Tuned on the mocks `small` and `as1063` with the areas and the growth of `tilegc.stages.mask`.
"""


@dataclass(frozen=True)
class FilterParams:
    """What `filter_rule` needs, computed once by the driver."""

    first: tuple[Taps, Taps]
    second: tuple[Taps, Taps]
    bright: float
    """D1 of the summed bands from which a pixel is very bright, nJy; infinite: off."""
    mid_scales: tuple[tuple[Taps, Taps], tuple[Taps, Taps]]
    extended: float
    """Limit of the fine mid-scale map, nJy per pixel; infinite: off."""


def filter_params(filtering: Filter, mask: Mask) -> FilterParams:
    """Return the taps and limits that these sections of a run file ask for."""

    def pair(widths: tuple[float, float]) -> tuple[Taps, Taps]:
        return (
            gaussian_taps(widths[0], filtering.discretisation),
            gaussian_taps(widths[1], filtering.discretisation),
        )

    first, second = filtering.stages
    mid_scales = pair(MID_SCALES[0]), pair(MID_SCALES[1])
    return FilterParams(pair(first), pair(second), mask.bright_nJy, mid_scales, mask.extended_nJy)


def filter_halo(params: FilterParams) -> int:
    """Return how far a pixel of the maps looks, pixels."""
    detection = difference_radius(*params.second) + int(BRIGHT_GROWTH) + difference_radius(*params.first)
    if not math.isfinite(params.extended):
        return detection
    return max(detection, *(difference_radius(*taps) for taps in params.mid_scales))


def add_bands(sci: np.ndarray, wht: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of the bands and where it counts.

    Parameters
    ----------
    sci : float32 (band, y, x)
        nJy per pixel, in run-file order, which is the order of the sum.
    wht : float32 (band, y, x), optional
        A weight that is not above 0, NaN included, means no data.

    Returns
    -------
    light : float32 (y, x)
        NaN where any band has no data.
    valid : bool (y, x)
    """
    valid = np.isfinite(sci).all(axis=0)
    if wht is not None:
        valid &= (wht > 0).all(axis=0)
    light = sci[0].copy()
    for band in sci[1:]:
        light += band
    light[~valid] = np.nan
    return light, valid


def filter_rule(window: xr.Dataset, tile: Tile, params: FilterParams) -> tuple[dict[str, np.ndarray], None]:
    """Compute flags, light and detection map of a tile's core from the bands in its window."""
    wht = window["wht"].values if "wht" in window else None
    light, valid = add_bands(window["sci"].values, wht)
    flags, detection = filter_maps(light, valid, params)
    core = tile.core_in_window
    return {"flags": flags[core], "light": light[core], "detection": detection[core]}, None


def filter_maps(light: np.ndarray, valid: np.ndarray, params: FilterParams) -> tuple[np.ndarray, np.ndarray]:
    """Return flags (uint8) and detection map (float32) of a window, right where `filter_halo` lies inside."""
    flags = np.where(valid, 0, Bit.NO_DATA).astype(np.uint8)
    d1 = difference(light, valid, *params.first)
    counted = valid
    if math.isfinite(params.bright):
        with np.errstate(invalid="ignore"):
            bright = valid & (d1 >= np.float32(params.bright))
        if bright.any():
            near = grow(bright, BRIGHT_GROWTH)
            flags[near] |= np.uint8(Bit.BRIGHT)
            counted = valid & ~near
    detection = difference(d1, counted, *params.second)
    detection[~counted] = np.nan
    if math.isfinite(params.extended):
        with np.errstate(invalid="ignore"):
            high = difference(light, valid, *params.mid_scales[0]) >= np.float32(params.extended)
            high |= difference(light, valid, *params.mid_scales[1]) >= np.float32(COARSE * params.extended)
        flags[high & valid] |= np.uint8(Bit.EXTENDED)
    return flags, detection


def filter_radius(params: FilterParams) -> int:
    """Return how far a pixel of the detection map looks where the counted pixels are known."""
    return difference_radius(*params.first) + difference_radius(*params.second)


def filter_norms(params: FilterParams, bands: int) -> tuple[float, ...]:
    """Return, band by band, the noise of the detection map that uncorrelated noise of 1 in that band makes."""
    reach = filter_radius(params)
    impulse = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    impulse[reach, reach] = 1.0
    everywhere = np.ones(impulse.shape, np.bool_)
    norms = []
    for band in range(bands):
        sci = np.zeros((bands, *impulse.shape), np.float32)
        sci[band] = impulse
        (part,) = filter_parts(sci, everywhere, everywhere, [[band]], params)
        norms.append(float(np.sqrt((part.astype(np.float64) ** 2).sum())))
    return tuple(norms)


def filter_parts(
    sci: np.ndarray,
    valid: np.ndarray,
    counted: np.ndarray,
    groups: Sequence[Sequence[int]],
    params: FilterParams,
) -> list[np.ndarray]:
    """Return the parts of a detection map that some of its bands make: the filter is linear.

    Parameters
    ----------
    sci : float32 (band, y, x)
        nJy per pixel.
    valid, counted : bool (y, x)
        The pixels that count in the first and in the second stage: those with data, and those of them where the
        detection map is finite.
    groups : sequence of sequence of int
        Bands of each part, one or more.
    params : FilterParams

    Returns
    -------
    list of float32 (y, x)
        One map a group; those of groups that hold each band once add up to the detection map but for rounding.
        Right where `filter_radius` lies inside of the window.
    """
    parts = []
    for group in groups:
        light = sci[group[0]].copy()
        for band in group[1:]:
            light += sci[band]
        light[~valid] = np.nan
        part = difference(difference(light, valid, *params.first), counted, *params.second)
        part[~counted] = np.nan
        parts.append(part)
    return parts


def detection_map(setup: Setup) -> None:
    """Write flags, light and detection map of every field."""
    params = filter_params(setup.config.filter, setup.config.mask)
    step = filter_pass(params, max(len(field.source.bands) for field in setup.fields))
    run_pass(setup.engine, step, setup.fields, dict.fromkeys(setup.names, params), setup.ledger)


def filter_pass(params: FilterParams, bands: int) -> Pass:
    """Return the pass that writes `MAPS`; fields have this many bands, or fewer."""
    return Pass(
        "filter", ("sci", "wht"), filter_halo(params), MAPS, filter_rule, bytes_per_pixel=40.0 + 10.0 * bands
    )
