"""The detection filter: from the bands to the detection map (Diego et al. 2026, section 3; algorithm.md, sections 2-4).

`recipe: diego2026` takes the double difference of Gaussians of the summed bands; `recipe: calibrated` filters each
band with its own PSF (`tilegc.filter.matched`) and adds the responses with inverse-variance weights.

One pass reads the bands once and writes three maps: `light`, the sum of the bands; `flags`, the pixels
without data, near very bright ones, and where the mid-scale map is high; and `detection`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tilegc.config import DetectionConfig, Filter, Mask
from tilegc.engine import Pass, run_pass
from tilegc.filter.band_noise import BandFilter, band_filters, band_noise
from tilegc.filter.bands import add_bands
from tilegc.filter.matched import matched_difference
from tilegc.filter.mid_noise import mid_noise
from tilegc.filter.noise_response import response_variance
from tilegc.filter.pixel_noise import FLAT, KINDS, Kind, PixelNoise, pixel_variance
from tilegc.filter.unobserved import REACH, observed, searched, unobserved_bands
from tilegc.geometry import Box, Tile
from tilegc.images.psfs import MODEL, BandPsf
from tilegc.io.fits import FieldSource
from tilegc.io.window import Window
from tilegc.kernels.masks import grow
from tilegc.kernels.psf_model import model
from tilegc.kernels.smoothing import Taps, difference, difference_radius, gaussian_taps
from tilegc.phases.context import Context
from tilegc.schema import Bit

__all__ = [
    "EXPECTED",
    "MAPS",
    "FilterParams",
    "add_bands",
    "band_response",
    "band_variances",
    "detection_map",
    "expected_noise",
    "filter_halo",
    "filter_maps",
    "filter_params",
    "filter_pass",
    "maps_of",
    "planned_params",
    "response_halo",
]

MAPS = ("flags", "light", "detection")
"""Arrays that this stage writes."""

EXPECTED = "expected_noise"
"""Array that it writes as well where the bands are filtered with their PSFs."""


def maps_of(recipe: str) -> tuple[str, ...]:
    """Return the arrays that this stage writes with a recipe."""
    return (*MAPS, EXPECTED) if recipe == "calibrated" else MAPS


BRIGHT_GROWTH = 6.0
"""Pixels round one that is very bright where the filter's rings would make false peaks (algorithm.md, section 2)."""

MID_SCALES = ((2.0, 8.0), (6.0, 30.0))
"""FWHMs, pixels, of the two mid-scale maps that find extended objects.

The fine one finds galaxies' centres and stars' spikes, not the light between; the coarse one finds bodies of stars
and of bright galaxies, whose rings fall into pieces in the fine one.
"""

COARSE = 30.0
"""Limit of the coarse map over that of the fine one.

Tuned on the mocks `small` and `as1063` with the areas and the growth of `tilegc.mask.mask_map`.
"""

SIGNIFICANT = 5.0
"""Limit of either map over its noise, where `extended: auto` finds that above the limits tuned on the mocks.

There the noise is 0.03 to 0.06 nJy, so that theirs stand; in a shallow field they would mask the noise itself.
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
    coarse: float
    """Limit of the coarse one."""
    bands: int = 1
    matched: tuple[BandFilter, ...] = ()
    """Calibrated: the filter of every band; empty: the double difference of Gaussians of their sum."""
    pixels: tuple[PixelNoise, ...] = ()
    """Calibrated: how the noise of every band's pixels is known."""
    unobserved: tuple[bool, ...] = ()
    """In which bands regions of one repeated value are no data."""

    @property
    def maps(self) -> tuple[str, ...]:
        """Arrays that the filter writes with these parameters."""
        return (*MAPS, EXPECTED) if self.matched else MAPS

    @property
    def reads(self) -> tuple[str, ...]:
        """Ingested arrays that the filter needs."""
        return ("sci", "err", "wht") if any(one.kind == "err" for one in self.pixels) else ("sci", "wht")


def filter_params(filtering: Filter, mask: Mask, bands: int = 1) -> FilterParams:
    """Return the taps and limits that these sections of a run file ask for, in a field of so many bands."""

    def pair(widths: tuple[float, float]) -> tuple[Taps, Taps]:
        return (
            gaussian_taps(widths[0], filtering.discretisation),
            gaussian_taps(widths[1], filtering.discretisation),
        )

    first, second = filtering.stages
    mid_scales = pair(MID_SCALES[0]), pair(MID_SCALES[1])
    return FilterParams(
        pair(first),
        pair(second),
        mask.bright_nJy,
        mid_scales,
        mask.extended_nJy,
        COARSE * mask.extended_nJy,
        bands,
    )


def planned_params(config: DetectionConfig, source: FieldSource) -> FilterParams:
    """Return what a field will be filtered with as far as it is known before anything is measured: for the plan."""
    params = filter_params(config.filter, config.mask, len(source.bands))
    params = replace(params, unobserved=searched([band.given for band in source.bands]))
    if config.recipe == "diego2026":
        return params
    psfs = tuple(BandPsf(band, model(band, source.scale, MODEL), "model", 0) for band in source.band_names)
    # Which of errors and weights will be used is only known once they are read: plan for the dearer.
    return replace(
        params,
        matched=band_filters(psfs, (1.0,) * len(psfs), config.filter),
        pixels=tuple(PixelNoise(_first_kind(band.given), FLAT.scale, FLAT.typical) for band in source.bands),
    )


def _first_kind(given: tuple[str, ...]) -> Kind:
    return next((kind for kind in KINDS if kind in given), "flat")


def filter_halo(params: FilterParams) -> int:
    """Return how far a pixel of the maps looks, pixels."""
    first = difference_radius(*params.first)
    second = max((band.kernels.radius for band in params.matched), default=difference_radius(*params.second))
    # Which pixels the second filter leaves out, bit 4, is decided by D1 as far as that bit is grown.
    # Three steps after one another: the second filter reads pixels, which it leaves out if a bright one lies
    # within the growth, and that one was found by the first filter.
    detection = second + int(BRIGHT_GROWTH) + first
    margin = REACH if any(params.unobserved) else 0
    if not math.isfinite(params.extended):
        return detection + margin
    return max(detection, *(difference_radius(*taps) for taps in params.mid_scales)) + margin


def filter_rule(window: Window, tile: Tile, params: FilterParams) -> tuple[dict[str, np.ndarray], None]:
    """Compute flags, light and detection map of a tile's core from the bands in its window."""
    wht = window["wht"].values if "wht" in window else None
    sci = observed(window["sci"].values, params.unobserved)
    light, valid = add_bands(sci, wht)
    # All maps from one reading of the bands: reading them again would cost more than computing.
    flags, detection = filter_maps(light, valid, params, sci)
    core = tile.core_in_window
    made = {"flags": flags[core], "light": light[core], "detection": detection[core]}
    if params.matched:
        made[EXPECTED] = expected_noise(band_variances(params, window, flags, tile.window))[core]
    return made, None


def filter_maps(
    light: np.ndarray, valid: np.ndarray, params: FilterParams, sci: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return flags (uint8) and detection map (float32) of a window, right where `filter_halo` lies inside.

    Parameters
    ----------
    light, valid
        As `add_bands` gives them.
    params : FilterParams
    sci : float32 (band, y, x), optional
        The bands, which the matched filter needs one by one.
    """
    flags = np.where(valid, 0, Bit.NO_DATA).astype(np.uint8)
    d1 = difference(light, valid, *params.first)
    counted = valid
    if math.isfinite(params.bright):
        # Pixels without data are NaN in D1; the comparison is False there, as it should be.
        with np.errstate(invalid="ignore"):
            bright = valid & (d1 >= np.float32(params.bright))
        if bright.any():
            near = grow(bright, BRIGHT_GROWTH)
            flags[near] |= np.uint8(Bit.BRIGHT)
            # Left out of the sums, not only masked: the negative ring of a saturated star would otherwise
            # suppress its neighbours.
            counted = valid & ~near
    if params.matched:
        assert sci is not None
        detection = _weighted(sci, counted, params.matched)
    else:
        detection = difference(d1, counted, *params.second)
    # The normalised filter has values at pixels that do not count, interpolated from their neighbours. They are
    # no data.
    detection[~counted] = np.nan
    if math.isfinite(params.extended):
        with np.errstate(invalid="ignore"):
            high = difference(light, valid, *params.mid_scales[0]) >= np.float32(params.extended)
            high |= difference(light, valid, *params.mid_scales[1]) >= np.float32(params.coarse)
        flags[high & valid] |= np.uint8(Bit.EXTENDED)
    return flags, detection


def _weighted(sci: np.ndarray, counted: np.ndarray, filters: tuple[BandFilter, ...]) -> np.ndarray:
    """Return the weighted sum of the bands' responses, added in run-file order, float32 (y, x)."""
    # NaN of one band spreads to the sum: a pixel that one band's kernel could not reach is not comparable with
    # others.
    total = np.zeros(counted.shape, np.float32)
    for image, band in zip(sci, filters, strict=True):
        response = matched_difference(image, counted, band.kernels)
        response *= np.float32(band.weight)
        total += response
    return total


def band_response(params: FilterParams, band: int, image: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Return the share of one band in the detection map: the detection filter is linear.

    Parameters
    ----------
    params : FilterParams
        Of the field, as `detection_map` returned them.
    band : int
        Position of the band in the run file.
    image : float32 (y, x)
        The band, nJy per pixel, or any map that is to be filtered as this band is.
    flags : uint8 (y, x)
        The store's `flags`: bits 1 and 4 are left out of the sums as they are in the detection map.

    Returns
    -------
    float32 (y, x)
        nJy per pixel of the detection map; NaN where nothing was filtered. Right where `response_halo` lies
        inside of the window. Summed over the bands it is the detection map but for the last bits.
    """
    if not 0 <= band < params.bands:
        raise ValueError(f"band {band} of {params.bands}")
    valid = (flags & np.uint8(Bit.NO_DATA)) == 0
    counted = valid & ((flags & np.uint8(Bit.BRIGHT)) == 0)
    if params.matched:
        response = _weighted(image[None], counted, params.matched[band : band + 1])
    else:
        response = difference(difference(image, valid, *params.first), counted, *params.second)
    response[~counted] = np.nan
    return response


def band_variances(params: FilterParams, window: Window, flags: np.ndarray, box: Box) -> Iterator[np.ndarray]:
    """Yield, band by band, the variance that its noise is expected to have in the detection map.

    Parameters
    ----------
    params : FilterParams
        Of a field filtered with the PSFs of its bands.
    window : Dataset
        `params.reads`; `sci` is not looked at.
    flags : uint8 (y, x)
        As for `band_response`.
    box : Box
        The window's pixels in the field.

    Yields
    ------
    float32 (y, x)
        nJy^2; NaN where nothing was filtered. Right where `response_halo` lies inside the window.
    """
    counted = (flags & np.uint8(Bit.NO_DATA | Bit.BRIGHT)) == 0
    for band, (filtering, pixels) in enumerate(zip(params.matched, params.pixels, strict=True)):
        image = window[pixels.kind].values[band] if pixels.kind in window else None
        of_pixels = pixel_variance(pixels, image, counted.shape, (box.y0, box.x0))
        variance = response_variance(of_pixels, counted, filtering.kernels)
        # The scale is measured on the response, and so holds the correlation of drizzled pixels, which the sum
        # over independent pixels leaves out.
        factor = np.float32((filtering.weight * pixels.scale) ** 2)
        variance *= factor
        variance[~counted] = np.nan
        yield variance


def expected_noise(variances: Iterable[np.ndarray]) -> np.ndarray:
    """Return the noise of a sum of bands, float32 (y, x), nJy, from the variances of its terms, added in order."""
    total: np.ndarray | None = None
    for variance in variances:
        total = variance.copy() if total is None else total + variance
    assert total is not None
    noise: np.ndarray = np.sqrt(total)
    return noise


def response_halo(params: FilterParams) -> int:
    """Return how far a pixel of `band_response` looks, pixels."""
    if params.matched:
        return max(band.kernels.radius for band in params.matched)
    return difference_radius(*params.second) + difference_radius(*params.first)


def detection_map(
    context: Context, config: DetectionConfig, psfs: Mapping[str, tuple[BandPsf, ...]] | None = None
) -> dict[str, FilterParams]:
    """Write flags, light and detection map of every field; return by field what they were filtered with.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
        The sections `filter` and `mask`.
    psfs : mapping, optional
        PSFs of the bands by field: `recipe: calibrated` filters with them.
    """
    params = {
        field.source.name: filter_params(config.filter, config.mask, len(field.source.bands))
        for field in context.fields
    }
    # In this order, since each step needs the one before: which pixels are data, then the noise of the maps,
    # then the weights.
    unobserved = unobserved_bands(context)
    params = {name: replace(wanted, unobserved=unobserved[name]) for name, wanted in params.items()}
    if config.mask.extended == "auto":
        scales = next(iter(params.values())).mid_scales
        params = {
            name: _significant(params[name], *noise)
            for name, noise in mid_noise(context, scales, unobserved).items()
        }
    if psfs is not None:
        noise = band_noise(context, config.filter, psfs, unobserved)
        params = {
            name: replace(
                wanted,
                matched=band_filters(psfs[name], tuple(band.response for band in noise[name]), config.filter),
                pixels=tuple(band.pixels for band in noise[name]),
            )
            for name, wanted in params.items()
        }
    run_pass(context.engine, filter_pass(params), context.fields, params, context.ledger)
    return params


def _significant(params: FilterParams, fine: float, coarse: float) -> FilterParams:
    """Return parameters whose mid-scale limits are above the noise of these maps; NaN: they stay."""
    limits = [
        max(limit, SIGNIFICANT * noise) if math.isfinite(noise) else limit
        for limit, noise in ((params.extended, fine), (params.coarse, coarse))
    ]
    return replace(params, extended=limits[0], coarse=limits[1])


def filter_pass(params: Mapping[str, FilterParams]) -> Pass:
    """Return the pass that writes `MAPS` for fields with these parameters."""
    # By field: mosaics with other pixel scales or PSFs have kernels of other widths.
    halo = {name: filter_halo(wanted) for name, wanted in params.items()}
    bands = max(wanted.bands for wanted in params.values())
    reads = max((wanted.reads for wanted in params.values()), key=len)
    writes = max((wanted.maps for wanted in params.values()), key=len)
    # Measured peaks of the rule; a test holds the plan to them.
    bytes_per_pixel = 42.0 + 10.0 * bands + (4.0 * bands if "err" in reads else 0.0)
    if any(any(wanted.unobserved) for wanted in params.values()):
        bytes_per_pixel += 40.0 + 4.0 * bands
    return Pass("filter", reads, halo, writes, filter_rule, bytes_per_pixel=bytes_per_pixel)
