"""What a star does to the linear maps of a field: the detection map, and the maps that decide what is masked.

Each of these maps is a convolution of the bands where all pixels count, so a star's share in it is the PSF convolved
with the filter's kernel, shifted to the star. The PSF is a cubic spline on nodes a whole fraction of a pixel apart
(`tilegc.photometry.spline_psf`); convolved with a kernel on whole pixels it is again such a spline, whose coefficients
are the PSF's, convolved. A response is therefore evaluated at any sub-pixel position as cheaply as a stamp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.completeness.near_gaps import kernel_images
from tilegc.filter.detection_map import FilterParams
from tilegc.kernels.smoothing import Taps
from tilegc.photometry.spline_psf import OVERSAMPLING, SplinePsf

__all__ = ["Responses", "responses"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Responses:
    """Splines of what a point of 1 nJy in one band adds to the maps of a field; of every band, first axis."""

    light: Floats
    """The PSF itself, float64 (band, s, s, m, m) as `SplinePsf.table`: share of the flux per pixel."""
    detection: Floats
    """Detection map, nJy per pixel."""
    first: Floats
    """First difference of Gaussians of the summed bands, which tells what is very bright."""
    fine: Floats
    """Fine mid-scale map of the summed bands, which tells what is extended; empty where nothing is."""
    coarse: Floats
    """Coarse mid-scale map."""
    sides: Floats
    """The PSF convolved with the two kernels P and Q of the matched filter, each of unit sum, (2, band, s, s, m, m);
    empty where the filter is another one."""
    share: Floats
    """Response of the detection map to a point of 1 nJy in each band on its peak, averaged over pixel phases."""

    @property
    def psf_radius(self) -> int:
        """Radius, pixels, of the star's light."""
        return (int(self.light.shape[-1]) - 3) // 2

    @property
    def radius(self) -> int:
        """Radius, pixels, of the star's share in the detection map."""
        return (int(self.detection.shape[-1]) - 3) // 2


def responses(filtering: FilterParams, psfs: Sequence[SplinePsf]) -> Responses:
    """Return the responses of a field.

    Parameters
    ----------
    filtering : FilterParams
        What its detection map was filtered with.
    psfs : sequence of SplinePsf
        Of its bands, all of one radius.
    """
    psfs = [_compact(psf) for psf in psfs]
    first = _difference(filtering.first)
    sides = np.zeros((2, 0, 1, 1, 0, 0))
    if filtering.matched:
        narrow, wide, _ = kernel_images(filtering.matched)
        reach = wide.shape[-1] // 2 - narrow.shape[-1] // 2
        narrow = np.pad(narrow, [(0, 0), (reach, reach), (reach, reach)])
        sides = np.stack([_tables(psfs, list(narrow)), _tables(psfs, list(wide))])
        kernels = [band.kernels.image() * band.weight for band in filtering.matched]
    else:
        kernels = [_convolved(first, _difference(filtering.second))] * len(psfs)
    detection = _tables(psfs, kernels)
    fine, coarse = np.zeros((2, len(psfs), 1, 1, 0, 0))
    if math.isfinite(filtering.extended):
        fine, coarse = (_smoothed(psfs, pair) for pair in filtering.mid_scales)
    return Responses(
        np.stack([psf.table for psf in psfs]),
        detection,
        _tables(psfs, [first] * len(psfs)),
        fine,
        coarse,
        sides,
        np.array([_height(table) for table in detection]),
    )


def _compact(psf: SplinePsf) -> SplinePsf:
    """Return a PSF that is dark beyond its stamp, wherever in its middle pixel the point lies.

    A stamp ends at its border, but a spline goes on for another pixel, and its convolution with the filter would
    contain light that no stamp holds: a thousandth of the peak, enough to lift a neighbour over the limit. Without
    the nodes beyond the stamp's outermost pixels the spline ends where the stamp does.
    """
    nodes = np.arange(OVERSAMPLING * psf.table.shape[2]) / OVERSAMPLING - (psf.radius + 1)
    inside = (np.abs(nodes) <= psf.radius).reshape(-1, OVERSAMPLING).T
    return SplinePsf(psf.table * (inside[:, None, :, None] & inside[None, :, None, :]), psf.radius)


def _difference(pair: tuple[Taps, Taps]) -> Floats:
    """Return the difference of two Gaussians as an image."""
    narrow, wide = (np.array([*half[:0:-1], *half]) / (2 * sum(half) - half[0]) for half in pair)
    reach = max(narrow.size, wide.size) // 2
    total = np.zeros((2 * reach + 1,) * 2)
    for taps, sign in ((narrow, 1.0), (wide, -1.0)):
        inside = slice(reach - taps.size // 2, reach + taps.size // 2 + 1)
        total[inside, inside] += sign * np.outer(taps, taps)
    return total


def _tables(psfs: Sequence[SplinePsf], kernels: Sequence[Floats]) -> Floats:
    """Return the spline coefficients of PSFs convolved with kernels, all of the size that the largest needs."""
    reach = max(kernel.shape[0] // 2 for kernel in kernels)
    found = []
    for psf, kernel in zip(psfs, kernels, strict=True):
        s, m = psf.table.shape[0], psf.table.shape[2]
        wide = np.pad(kernel, reach - kernel.shape[0] // 2)
        table = np.empty((s, s, m + 2 * reach, m + 2 * reach))
        for j in range(s):
            for i in range(s):
                table[j, i] = _convolved(psf.table[j, i], wide)
        found.append(table)
    return np.ascontiguousarray(np.stack(found))


def _convolved(image: Floats, kernel: Floats) -> Floats:
    """Return the whole convolution of an image with a square kernel of odd side: it is larger by the kernel's reach.

    `scipy.signal` has this, too, but its import takes every process of a run half a second.
    """
    whole: Floats = scipy.ndimage.convolve(np.pad(image, kernel.shape[0] // 2), kernel, mode="constant")
    return whole


def _smoothed(psfs: Sequence[SplinePsf], pair: tuple[Taps, Taps]) -> Floats:
    """Return what `_tables` gives for a difference of Gaussians, whose wide taps are better applied axis by axis."""
    reach = max(len(taps) for taps in pair) - 1
    tables = np.stack([psf.table for psf in psfs])
    tables = np.pad(tables, [(0, 0)] * 3 + [(reach, reach)] * 2)
    total = np.zeros_like(tables)
    for half, sign in zip(pair, (1.0, -1.0), strict=True):
        taps = np.array([*half[:0:-1], *half]) / (2 * sum(half) - half[0])
        part = tables
        for axis in (3, 4):
            part = scipy.ndimage.convolve1d(part, taps, axis=axis, mode="constant")
        total += sign * part
    return total


def _height(table: Floats, phases: int = 5) -> float:
    """Return the value on the star's own pixel, averaged over where in the pixel the star lies."""
    psf = SplinePsf(np.ascontiguousarray(table), (table.shape[-1] - 3) // 2)
    offset = (np.arange(phases) - (phases - 1) / 2) / phases
    return float(np.mean([psf.image(dy, dx)[psf.radius, psf.radius] for dy in offset for dx in offset]))
