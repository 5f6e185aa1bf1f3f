"""Contribution of a tile to the sky grid: sums are rounded in unshared cells and kept exact in shared ones.

See algorithm.md, sections 9 and 14.2.

Nearly all cells lie in a single tile. Their exact sums are rounded immediately; only cells near a border of the core
keep the limbs of exact sums, 18 int64 each. This reduces the data sent to the driver to a fifth, and the driver can
hold all of it. `join_cells` joins tiles; it is associative and commutative except for the number of rectangles that
remain, which `add_tiles` then adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.kernels import exact
from tilegc.kernels.mesh import Mesh
from tilegc.skygrid.cell_sums import FieldCells, SkyPartial, cells

__all__ = ["TileCells", "add_tiles", "join_cells", "settle_cells"]

Counts = NDArray[np.int64]

SPARE: Final = 2.0
"""A cell may be shared if it is within this many cell diagonals of the border of a tile; distortion stays far below
it."""


FILLED: Final = 0.6
"""Two rectangles are joined if they fill at least this fraction of the enclosing one; the rest are zeros to be sent."""


@dataclass(frozen=True, eq=False)
class TileCells:
    """Contribution of some tiles to the sky grid, mostly rounded already; (nj, ni) cells from `origin`."""

    field: int
    """Number of the field in the run file."""
    origin: tuple[int, int]
    """Index (j0, i0) of the first cell."""
    n_pixels: NDArray[np.int32]
    n_good: NDArray[np.int32]
    n_inside: NDArray[np.int32]
    """(nj, ni) int32: as in `FieldCells`."""
    light: NDArray[np.float64]
    rho: NDArray[np.float64]
    """(nj, ni) sums, correctly rounded; 0 in shared cells."""
    shared: Counts
    """(m,) int64: flat index of the cells with pixels to which other tiles may contribute."""
    shared_light: Counts
    shared_rho: Counts
    """(m, LIMBS) int64: exact sums in these cells."""

    @property
    def box(self) -> Box:
        """The rectangle: rows are eta, columns xi."""
        (j0, i0), (nj, ni) = self.origin, self.n_pixels.shape
        return Box(j0, i0, j0 + nj, i0 + ni)


def settle_cells(
    partial: SkyPartial, mesh: Mesh, core: Box, shape: tuple[int, int], pixel_arcsec: float
) -> TileCells | None:
    """Round the sums of all cells that lie in a single tile.

    Parameters
    ----------
    partial : SkyPartial
        Contribution of the core of the tile, from one field, as returned by `accumulate_cells`.
    mesh, core, pixel_arcsec
        The arguments of `accumulate_cells`.
    shape : (int, int)
        Shape of the field: no tile contributes beyond its border.

    Returns
    -------
    TileCells or None
        None if no pixel of the core has data.
    """
    if not partial.fields:
        return None
    ((number, sums),) = partial.fields.items()
    shared = _shared(sums, mesh, core, shape, pixel_arcsec)
    at = np.flatnonzero(shared & (sums.n_pixels > 0))
    light, rho = sums.light_sum(), sums.rho_sum()
    # Rounded sums of shared cells must not be added: rounding twice differs from rounding once. Their limbs are
    # kept.
    light[shared], rho[shared] = 0.0, 0.0
    return TileCells(
        number,
        sums.origin,
        sums.n_pixels.astype(np.int32),
        sums.n_good.astype(np.int32),
        sums.n_inside.astype(np.int32),
        light,
        rho,
        at,
        sums.light.reshape(-1, exact.LIMBS)[at],
        sums.rho.reshape(-1, exact.LIMBS)[at],
    )


def _shared(
    sums: FieldCells, mesh: Mesh, core: Box, shape: tuple[int, int], pixel_arcsec: float
) -> NDArray[np.bool_]:
    """Return which cells of the rectangle have pixels near a border of the core inside the field."""
    found = np.zeros(sums.box.shape, np.bool_)
    reach = _reach(mesh, pixel_arcsec)
    height, width = core.shape
    # A tile may be narrower than the reach: all of its cells are then shared.
    rows, columns = min(reach, height), min(reach, width)
    bands = [
        (core.y0 > 0, Box(core.y0, core.x0, core.y0 + rows, core.x1)),
        (core.y1 < shape[0], Box(core.y1 - rows, core.x0, core.y1, core.x1)),
        (core.x0 > 0, Box(core.y0, core.x0, core.y1, core.x0 + columns)),
        (core.x1 < shape[1], Box(core.y0, core.x1 - columns, core.y1, core.x1)),
    ]
    # At the border of the field no other tile contributes.
    for open_side, band in bands:
        if open_side:
            eta, xi = cells(mesh, band, pixel_arcsec)
            j, i = eta - sums.origin[0], xi - sums.origin[1]
            on = (j >= 0) & (j < found.shape[0]) & (i >= 0) & (i < found.shape[1])
            found[j[on], i[on]] = True
    return found


def _reach(mesh: Mesh, pixel_arcsec: float) -> int:
    """Return an upper limit on how many pixels a cell across a border may extend from it."""
    steps = [
        np.hypot(np.diff(mesh.xi, axis=axis), np.diff(mesh.eta, axis=axis)) / mesh.step for axis in (0, 1)
    ]
    smallest = min(float(step.min()) for step in steps)
    if not smallest > 0:
        raise ValueError(
            "mesh: neighbouring nodes coincide on the sky; check the WCS in the header of the field"
        )
    return int(SPARE * np.sqrt(2.0) * pixel_arcsec / smallest) + 2


def join_cells(a: tuple[TileCells, ...], b: tuple[TileCells, ...]) -> tuple[TileCells, ...]:
    """Return the sum of both: adjacent rectangles of one field are joined into one.

    Raises
    ------
    RuntimeError
        If two tiles contain rounded sums of the same cell.
    """
    joined: list[TileCells] = []
    for part in (*a, *b):
        whole = part
        # Joining two rectangles may make a third one adjacent.
        while True:
            near = next((i for i, other in enumerate(joined) if _beside(whole, other)), None)
            if near is None:
                break
            whole = _joined(joined.pop(near), whole)
        joined.append(whole)
    return tuple(joined)


def _around(a: Box, b: Box) -> Box:
    return Box(min(a.y0, b.y0), min(a.x0, b.x0), max(a.y1, b.y1), max(a.x1, b.x1))


def _beside(a: TileCells, b: TileCells) -> bool:
    return a.field == b.field and a.box.size + b.box.size >= FILLED * _around(a.box, b.box).size


def _joined(a: TileCells, b: TileCells) -> TileCells:
    box = _around(a.box, b.box)
    n_pixels, n_good, n_inside, light, rho, cell, limbs = _added([a, b], box)
    return TileCells(
        a.field,
        (box.y0, box.x0),
        n_pixels.astype(np.int32),
        n_good.astype(np.int32),
        n_inside.astype(np.int32),
        light,
        rho,
        cell,
        *limbs,
    )


def add_tiles(
    parts: Sequence[TileCells], box: Box
) -> tuple[Counts, Counts, Counts, NDArray[np.float64], NDArray[np.float64]]:
    """Return n_pixels, n_good, n_inside and the sums of light and rho of one field's tiles in a box of cells.

    Raises
    ------
    RuntimeError
        If two tiles contain rounded sums of the same cell: their total would be rounded twice.
    """
    n_pixels, n_good, n_inside, light, rho, cell, limbs = _added(parts, box)
    for whole, sums in zip((light, rho), limbs, strict=True):
        whole.ravel()[cell] = exact.total(sums)
    return n_pixels, n_good, n_inside, light, rho


def _added(
    parts: Sequence[TileCells], box: Box
) -> tuple[Counts, Counts, Counts, NDArray[np.float64], NDArray[np.float64], Counts, tuple[Counts, Counts]]:
    """Return counts and rounded sums in a box, its shared cells, and the limbs of their light and rho."""
    counts = [np.zeros(box.shape, np.int64) for _ in range(3)]
    light, rho = np.zeros(box.shape), np.zeros(box.shape)
    rounded = np.zeros(box.shape, np.bool_)
    for part in parts:
        at = part.box.within(box)
        for total, own in zip(counts, (part.n_pixels, part.n_good, part.n_inside), strict=True):
            total[at] += own
        alone = part.n_pixels > 0
        alone.ravel()[part.shared] = False
        # A defect of this module must not end in a sum that is wrong in its last bits only, where nobody would
        # see it.
        if (rounded[at] & alone).any():
            raise RuntimeError("sky grid: two tiles have rounded the sum of the same cell")
        rounded[at] |= alone
        light[at] += part.light
        rho[at] += part.rho
    named = np.concatenate([np.zeros(0, np.int64), *(_flat(part, box) for part in parts)])
    order = np.argsort(named, kind="stable")
    cell, first = np.unique(named[order], return_index=True)
    if rounded.ravel()[cell].any():
        raise RuntimeError("sky grid: a tile has rounded the sum of a shared cell")

    def grouped(limbs: list[Counts]) -> Counts:
        rows = np.concatenate([np.zeros((0, exact.LIMBS), np.int64), *limbs])[order]
        return np.add.reduceat(rows, first, axis=0) if cell.size else rows

    limbs = grouped([part.shared_light for part in parts]), grouped([part.shared_rho for part in parts])
    return counts[0], counts[1], counts[2], light, rho, cell, limbs


def _flat(part: TileCells, box: Box) -> Counts:
    """Return the flat indices in a box of the shared cells of a part."""
    j, i = np.divmod(part.shared, part.n_pixels.shape[1])
    flat: Counts = (j + part.origin[0] - box.y0) * box.shape[1] + (i + part.origin[1] - box.x0)
    return flat
