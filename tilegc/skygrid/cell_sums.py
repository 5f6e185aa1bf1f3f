"""Sums over a tile's pixels in cells of the sky grid: integer areas, exact sums (algorithm.md, sections 9 and 14.2).

Tiles of all fields add to one grid. A partial sum holds int64 counts and the int64 limbs of exact sums, so that
adding partial sums is associative and commutative, and any tree of additions gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.kernels import exact
from tilegc.kernels.mesh import Mesh, offsets, offsets_at
from tilegc.schema import Bit

__all__ = ["FieldCells", "SkyPartial", "accumulate_cells", "cell_of", "cells", "cells_at", "combine_sky"]

Counts = NDArray[np.int64]

BORDER: Final = 1e-6
"""Tolerance, in cells, within which a pixel centre below the border of a cell counts as lying on it."""

OUTSIDE: Final = np.uint8(Bit.NO_DATA | Bit.EDGE)

STRIP: Final = 256
"""Rows that are added at a time, to limit memory; the sums do not depend on it."""


@dataclass(frozen=True, eq=False)
class FieldCells:
    """Sums over pixels of one field in a rectangle of cells (eta, xi) of the sky grid."""

    origin: tuple[int, int]
    """Index (j0, i0) of the first cell: cell (j, i) spans eta in [j, j + 1) and xi in [i, i + 1) cells."""
    n_pixels: Counts
    """(nj, ni) int64: number of pixels with data."""
    n_good: Counts
    """(nj, ni) int64: number of pixels without any mask bit."""
    n_inside: Counts
    """(nj, ni) int64: number of pixels without mask bits 1 and 2."""
    light: Counts
    """(nj, ni, LIMBS) int64: exact sum of the light over good pixels."""
    rho: Counts
    """(nj, ni, LIMBS) int64: exact sum of rho over inside pixels."""

    @property
    def box(self) -> Box:
        """The rectangle: rows are eta, columns xi."""
        (j0, i0), (nj, ni) = self.origin, self.n_pixels.shape
        return Box(j0, i0, j0 + nj, i0 + ni)

    def light_sum(self) -> NDArray[np.float64]:
        """Return the (nj, ni) sums of light, nJy, correctly rounded."""
        return exact.total(self.light.reshape(-1, exact.LIMBS)).reshape(self.n_pixels.shape)

    def rho_sum(self) -> NDArray[np.float64]:
        """Return the (nj, ni) sums of rho, correctly rounded."""
        return exact.total(self.rho.reshape(-1, exact.LIMBS)).reshape(self.n_pixels.shape)


@dataclass(frozen=True, eq=False)
class SkyPartial:
    """Contribution of some tiles of some fields to the sky grid; without fields it is the empty sum."""

    fields: Mapping[int, FieldCells] = field(default_factory=dict)
    """Sums by the number of the field in the run file, increasing; fields without data are absent."""


def cells(mesh: Mesh, box: Box, pixel_arcsec: float) -> tuple[Counts, Counts]:
    """Return the sky-grid cell of every pixel of a box: the cell that contains the centre of the pixel.

    Parameters
    ----------
    mesh : Mesh
        Sky coordinates of the field.
    box : Box
        Pixels of the field.
    pixel_arcsec : float
        Side of a cell in arcsec; the cluster centre is a corner of cell (0, 0).

    Returns
    -------
    i_eta, i_xi : (ny, nx) int64
        floor(eta / pixel), floor(xi / pixel); a centre within 1e-6 below the border of a cell counts as on it.

    Raises
    ------
    ValueError
        If the box extends beyond the mesh.
    """
    xi, eta = offsets(mesh, box)
    return cell_of(eta, pixel_arcsec), cell_of(xi, pixel_arcsec)


def cells_at(
    mesh: Mesh, y: NDArray[np.integer], x: NDArray[np.integer], pixel_arcsec: float
) -> tuple[Counts, Counts]:
    """Return the sky-grid cells of individual pixels (n,), identical to those of `cells`: i_eta, i_xi (n,) int64."""
    xi, eta = offsets_at(mesh, y, x)
    return cell_of(eta, pixel_arcsec), cell_of(xi, pixel_arcsec)


def cell_of(offset: NDArray[np.float64], pixel_arcsec: float) -> Counts:
    """Return the cells of offsets (arcsec) along one axis.

    If the cluster centre falls on the centre of a pixel, whole rows of pixel centres lie on borders of cells. The
    last bit of an offset differs between CPUs and must not decide to which cell they belong, hence the tolerance.
    """
    return np.floor(offset / pixel_arcsec + BORDER).astype(np.int64)


def accumulate_cells(
    number: int,
    mesh: Mesh,
    box: Box,
    pixel_arcsec: float,
    *,
    mask: NDArray[np.uint8],
    light: NDArray[np.float32],
    rho: NDArray[np.float32],
) -> SkyPartial:
    """Return the contribution of the core of a tile to the sky grid.

    Parameters
    ----------
    number : int
        Number of the field in the run file.
    mesh, box, pixel_arcsec
        As for `cells`; `box` is the core of the tile.
    mask : (ny, nx) uint8
        Bits of `tilegc.schema.Bit`.
    light : (ny, nx) float32
        Sum of the bands in nJy per pixel; finite on good pixels (mask 0).
    rho : (ny, nx) float32
        Kernel sum rho; finite on pixels with neither bit 1 nor 2.

    Returns
    -------
    SkyPartial
        Sums of one field, or of none if no pixel has data; its rectangle encloses the pixels with data.

    Raises
    ------
    ValueError
        If the shapes differ, or a value that is summed is not finite.
    """
    if not mask.shape == light.shape == rho.shape == box.shape:
        raise ValueError(
            f"sky grid: mask {mask.shape}, light {light.shape}, rho {rho.shape} for a box {box.shape}"
        )
    partial = SkyPartial()
    # Exact sums take 18 integers a cell: a strip at a time, only the cells that it touches are held.
    for start in range(0, box.shape[0], STRIP):
        rows = slice(start, start + STRIP)
        strip = Box(box.y0 + start, box.x0, min(box.y0 + start + STRIP, box.y1), box.x1)
        sums = _strip(mesh, strip, pixel_arcsec, mask[rows], (light[rows], rho[rows]))
        if sums is not None:
            partial = combine_sky(partial, SkyPartial({number: sums}))
    return partial


def _strip(
    mesh: Mesh,
    box: Box,
    pixel_arcsec: float,
    mask: NDArray[np.uint8],
    values: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> FieldCells | None:
    """Return the sums over a few rows, or None if no pixel has data; `values` are light and rho."""
    light, rho = values
    data = (mask & Bit.NO_DATA) == 0
    if not data.any():
        return None
    eta, xi = (index[data] for index in cells(mesh, box, pixel_arcsec))
    j0, i0 = int(eta.min()), int(xi.min())
    shape = int(eta.max()) - j0 + 1, int(xi.max()) - i0 + 1
    # A rectangle of cells for each tile: the grid of all fields would be mostly empty here.
    cell = (eta - j0) * shape[1] + (xi - i0)
    bits = mask[data]
    # Light is compared with counted sources, and so needs the same pixels; rho is defined under masks as well.
    good, inside = bits == 0, (bits & OUTSIDE) == 0

    def count(chosen: Counts) -> Counts:
        return np.bincount(chosen, minlength=shape[0] * shape[1]).astype(np.int64).reshape(shape)

    def add(chosen: Counts, values: NDArray[np.float32]) -> Counts:
        limbs = np.zeros((shape[0] * shape[1], exact.LIMBS), np.int64)
        exact.accumulate(limbs, chosen, values)
        return limbs.reshape(*shape, exact.LIMBS)

    return FieldCells(
        origin=(j0, i0),
        n_pixels=count(cell),
        n_good=count(cell[good]),
        n_inside=count(cell[inside]),
        light=add(cell[good], light[data][good]),
        rho=add(cell[inside], rho[data][inside]),
    )


def combine_sky(a: SkyPartial, b: SkyPartial) -> SkyPartial:
    """Return the sum of two partial results; the operation is associative and commutative, with zero `SkyPartial()`."""
    numbers = sorted({*a.fields, *b.fields})
    return SkyPartial({n: _sum([p.fields[n] for p in (a, b) if n in p.fields]) for n in numbers})


def _sum(parts: list[FieldCells]) -> FieldCells:
    """Return the sum of one or two parts on the smallest rectangle that contains them."""
    if len(parts) == 1:
        return parts[0]
    boxes = [part.box for part in parts]
    extent = Box(
        min(box.y0 for box in boxes),
        min(box.x0 for box in boxes),
        max(box.y1 for box in boxes),
        max(box.x1 for box in boxes),
    )

    def add(arrays: list[Counts]) -> Counts:
        result = np.zeros((*extent.shape, *arrays[0].shape[2:]), np.int64)
        for box, array in zip(boxes, arrays, strict=True):
            result[box.within(extent)] += array
        return result

    return FieldCells(
        origin=(extent.y0, extent.x0),
        n_pixels=add([part.n_pixels for part in parts]),
        n_good=add([part.n_good for part in parts]),
        n_inside=add([part.n_inside for part in parts]),
        light=add([part.light for part in parts]),
        rho=add([part.rho for part in parts]),
    )
