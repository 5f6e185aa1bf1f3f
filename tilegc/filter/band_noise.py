"""How much each band counts in the detection map of `recipe: calibrated`.

A point source of flux F in every band gives the response F r_b in band b, on noise s_b; the sum with weights
r_b / s_b^2 has the best signal-to-noise, and divided by the sum of r_b^2 / s_b^2 it is F: the detection map is the
flux, nJy, of a point source on that pixel. s_b is the median over cells of the lattice, spread over the field, of
1.4826 x MAD of the band's response in the cell: the few with galaxies or the cluster's core do not move it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tilegc.config import Filter
from tilegc.engine import FieldTiles, Unit
from tilegc.filter.matched import Matched, matched, matched_difference
from tilegc.filter.measured_noise import measured_noise
from tilegc.filter.noise_response import response_variance
from tilegc.filter.pixel_noise import (
    FLAT,
    KINDS,
    Kind,
    PixelNoise,
    chosen_kind,
    pixel_variance,
    raw_variance,
)
from tilegc.filter.unobserved import REACH, observed
from tilegc.geometry import Box, spread_blocks
from tilegc.images.psfs import BandPsf
from tilegc.io import store
from tilegc.kernels.medians import median
from tilegc.kernels.order import sigma
from tilegc.kernels.psf import Psf, resampled
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, concatenate

__all__ = ["BandFilter", "BandNoise", "band_filters", "band_noise", "kernels_of"]

CELLS: Final = 48
"""Cells of the lattice in which the bands' noise is measured, at the most."""

CORE: Final = 2.5
"""Reach of the kernel's P over the PSF's FWHM: 97 % of the gain of the whole PSF."""

PHASES: Final = 5
"""Places along a pixel's side over which a point's response is averaged."""


@dataclass(frozen=True)
class BandFilter:
    """What `recipe: calibrated` does with one band."""

    kernels: Matched
    weight: float
    """By which the response is multiplied, representable in float32."""


@dataclass(frozen=True)
class _Cell:
    field: int
    tiles: FieldTiles
    kernels: tuple[Matched, ...]
    box: Box
    order: int
    unobserved: tuple[bool, ...]


def kernels_of(psfs: tuple[BandPsf, ...], filtering: Filter) -> tuple[Matched, ...]:
    """Return the kernels of a field's bands."""
    found = []
    for band in psfs:
        # A PSF that is all in one pixel has no measurable width; 2 px is the least that a sampled star can
        # have.
        fwhm = band.psf.fwhm if band.psf.fwhm > 0 else 2.0
        # Between 4 and 16 px: below, the kernel would not hold the wings of a narrow PSF, above, the filter
        # becomes slow for nothing that a source gains.
        core = min(max(math.ceil(CORE * fwhm), 4), 16)
        found.append(matched(band.psf, filtering.smoothing * fwhm, core))
    return tuple(found)


@dataclass(frozen=True)
class BandNoise:
    """Measured noise of one band."""

    response: float
    """Noise of the filtered band, nJy per pixel: the median over cells; NaN where no cell has enough data."""
    pixels: PixelNoise
    """How the noise of its pixels is known."""


def band_noise(
    context: Context,
    filtering: Filter,
    psfs: Mapping[str, tuple[BandPsf, ...]],
    unobserved: Mapping[str, tuple[bool, ...]],
) -> dict[str, tuple[BandNoise, ...]]:
    """Measure the noise of every band, by field.

    Parameters
    ----------
    context : Context
    filtering : Filter
    psfs : mapping
        PSFs of the bands, by field.
    unobserved : mapping
        Of `unobserved_bands`.
    """
    units = []
    for index, field in enumerate(context.fields):
        name = field.source.name
        kernels = kernels_of(psfs[name], filtering)
        units += [
            Unit(f"{name}/{order}", box.size, _Cell(index, field, kernels, box, order, unobserved[name]))
            for order, box in enumerate(spread_blocks(field.grid.field, CELLS))
        ]
    # Cells come back in the order in which workers finish them.
    noise = _of_bands(context, units, {})
    flat = [
        place for place, one in noise.items() if one.pixels.kind == "flat" and math.isfinite(one.response)
    ]
    if flat:
        # Nothing in the files follows the noise of these bands, and it may be uniform: what is measured in the image is
        # used only if the noise of the filtered band agrees better with it.
        noise = _of_bands(context, units, measured_noise(context, flat, unobserved))
    return {
        field.source.name: tuple(noise[index, band] for band in range(len(field.source.bands)))
        for index, field in enumerate(context.fields)
    }


def _of_bands(
    context: Context, units: Sequence[Unit], nodes: Mapping[tuple[int, int], np.ndarray]
) -> dict[tuple[int, int], BandNoise]:
    """Return the noise of every band, by field and band, with what was measured in the image of some of them."""
    found: Table = context.engine.run(
        "band noise", _cell_noise, units, common=dict(nodes), combine=concatenate
    )
    # Cells come back in the order in which workers finish: sorted, sums and medians have the same bits.
    order = np.lexsort((found["cell"], found["band"], found["field"]))
    found = {name: column[order] for name, column in found.items()}
    return {
        (index, band): _of_band(
            found,
            (found["field"] == index) & (found["band"] == band),
            source.given,
            nodes.get((index, band)),
        )
        for index, field in enumerate(context.fields)
        for band, source in enumerate(field.source.bands)
    }


def _of_band(found: Table, rows: np.ndarray, given: tuple[str, ...], nodes: np.ndarray | None) -> BandNoise:
    """Return the noise of one band from its cells."""
    known = {*given, "flat"} if nodes is None else {*given, "flat", "data"}
    ratios = {kind: found[f"{kind}_ratio"][rows] for kind in KINDS if kind in known}
    kind = chosen_kind(ratios)
    scale = _middle(ratios[kind])
    if kind == "data" and math.isfinite(scale):
        return BandNoise(_middle(found["sigma"][rows]), PixelNoise(kind, scale, 1.0, nodes))
    typical = 1.0 if kind == "flat" else _middle(found[f"{kind}_variance"][rows])
    # A field without a single cell of enough data has no noise to scale by; its bands then count alike.
    if not (math.isfinite(scale) and math.isfinite(typical)):
        return BandNoise(_middle(found["sigma"][rows]), FLAT)
    return BandNoise(_middle(found["sigma"][rows]), PixelNoise(kind, scale, typical))


def _middle(values: np.ndarray) -> float:
    good = values[np.isfinite(values) & (values > 0)]
    return float(np.median(good)) if good.size else math.nan


def _cell_noise(common: Mapping[tuple[int, int], np.ndarray], cell: _Cell) -> Table:
    """Measure the bands' noise in one cell (runs on a worker)."""
    source = cell.tiles.source
    reach = max(kernels.radius for kernels in cell.kernels) + (REACH if any(cell.unobserved) else 0)
    # With its halo, so that the response at the border of a cell is the one that the detection map has there.
    box = cell.box.grow(reach).clip(cell.tiles.grid.field)
    window = store.read_window(source, cell.tiles.store, ("sci", "err", "wht"), box)
    sci = observed(window["sci"].values, cell.unobserved)
    # A pixel counts only if all bands have it: only there is the detection map the same combination of bands.
    valid = np.isfinite(sci).all(axis=0)
    if "wht" in window:
        valid &= (window["wht"].values > 0).all(axis=0)
    inside = cell.box.within(box)
    good = valid[inside]
    columns = ["sigma", *(f"{kind}_{what}" for kind in KINDS for what in ("ratio", "variance"))]
    found = {name: np.full(len(sci), np.nan) for name in columns}
    # A cell that is mostly masked tells the noise of its edges.
    if 2 * int(good.sum()) >= good.size:
        for band, kernels in enumerate(cell.kernels):
            response = matched_difference(sci[band], valid, kernels)
            values = response[inside][good]
            found["sigma"][band] = _spread(values)
            for kind in KINDS:
                image = window[kind].values[band] if kind in window else None
                nodes = common.get((cell.field, band)) if kind == "data" else None
                absent = image is None or kind not in source.bands[band].given
                if kind != "flat" and nodes is None and absent:
                    continue
                typical = 1.0 if kind == "data" else _typical(kind, image, valid, inside)
                if not math.isfinite(typical):
                    continue
                pixels = PixelNoise(kind, 1.0, typical, nodes)
                variance = pixel_variance(pixels, image, valid.shape, (box.y0, box.x0))
                # For each kind of pattern: what the response's noise would be if pixels were independent with
                # the declared variance. The ratio to the measured noise is constant over the field where the
                # pattern is right, whatever its scale.
                expected = np.sqrt(response_variance(variance, valid, kernels))[inside][good]
                found[f"{kind}_variance"][band] = typical
                with np.errstate(invalid="ignore", divide="ignore"):
                    found[f"{kind}_ratio"][band] = _spread(values / expected)
    n = len(sci)
    return {
        "field": np.full(n, cell.field),
        "band": np.arange(n),
        "cell": np.full(n, cell.order),
        **found,
    }


def _spread(values: np.ndarray) -> float:
    """Return 1.4826 x MAD of the finite values."""
    values = values[np.isfinite(values)]
    return sigma(float(median(np.abs(values - median(values))))) if values.size else math.nan


def _typical(kind: Kind, image: np.ndarray | None, valid: np.ndarray, inside: tuple[slice, slice]) -> float:
    """Return the median variance of a cell's pixels; NaN where fewer than half of them have one."""
    if kind == "flat" or image is None:
        return 1.0
    values = raw_variance(kind, image)[inside][valid[inside]]
    known = values[np.isfinite(values)].astype(np.float64)
    return float(np.median(known)) if known.size and 2 * known.size >= values.size else math.nan


def band_filters(
    psfs: tuple[BandPsf, ...], noise: tuple[float, ...], filtering: Filter
) -> tuple[BandFilter, ...]:
    """Return kernels and weights of a field's bands; bands count alike where the noise is not known."""
    kernels = kernels_of(psfs, filtering)
    response = [_response(band.psf, wanted) for band, wanted in zip(psfs, kernels, strict=True)]
    if filtering.weights == "equal":
        share = [1.0] * len(response)
    elif all(math.isfinite(value) and value > 0 for value in noise):
        # The weights of the best signal-to-noise of a flat spectrum; sources of another colour lose little.
        share = [r / s**2 for r, s in zip(response, noise, strict=True)]
    else:
        share = list(response)
    # Normalised so that a point of flux F gives F: the detection map has the unit of a flux in every recipe of
    # weights.
    total = math.fsum(a * r for a, r in zip(share, response, strict=True))
    return tuple(
        BandFilter(wanted, float(np.float32(a / total))) for wanted, a in zip(kernels, share, strict=True)
    )


def _response(psf: Psf, kernels: Matched) -> float:
    """Return the response to a point of unit flux on its pixel, averaged over where in the pixel it lies."""
    image = kernels.image()
    # A source lies anywhere in its pixel, and the response at the brightest pixel falls with its distance from
    # the centre.
    phases = (np.arange(PHASES) - (PHASES - 1) / 2) / PHASES
    parts = [
        float(np.sum(image * resampled(psf.image, (psf.radius + dy, psf.radius + dx), 1.0, kernels.radius)))
        for dy in phases
        for dx in phases
    ]
    return round(math.fsum(parts) / len(parts), 9)
