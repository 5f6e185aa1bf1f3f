"""The kernel sum rho at every pixel of a field of any size, by multilevel summation (algorithm.md, section 7).

rho is the sum over sources of W(d) = (softening + d)^-alpha, and every source contributes to every pixel. W is split
by distance (multilevel summation: Skeel, Tezcan & Hardy 2002; Hardy et al. 2015):

    W = (W - W_1) + (W_1 - W_2) + (W_2 - W_3) + ... + W_L

W_l equals W beyond the distance a_l = 48, 96, 192, ... pixels, and within it a polynomial in d^2 that continues W
smoothly. The first term vanishes beyond 48 pixels and is summed source by source, from a table over the integers d^2.
Every other term vanishes beyond 2 a_l and is smooth on the scale of a_l: it is convolved on a lattice with a node
every a_l / 6 pixels, with B-splines of degree 5 to and from the pixels. Each lattice costs a quarter of the one
below. (Kernels steeper than that of the recipe start at 64, 96 or 128 pixels instead of 48.)

The two finest lattices are computed per tile, from the points within `Tables.reach` pixels of it; the coarser ones,
with one node per 1024 pixels or fewer, once for the whole field. Nodes are counted from pixel (0, 0) of the field,
and every sum runs in the order of the points, so that a pixel has the same bits in any window. Outside the tables,
which the driver computes, only + - * are used, because pow differs between CPUs in the last bit.

The error of the splitting is measured for a single source (`worst_error`). All terms are positive, so no field has a
larger relative error than a single source at its worst distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.density.splines import coarsen, interpolate, refine, spread, touched
from tilegc.density.split_kernel import DEGREE, STEP, TAIL, Kernel, lattice_kernel, smooth_part
from tilegc.geometry import Box
from tilegc.kernels.compiled import PLAIN, compiled

__all__ = [
    "LARGEST_ERROR",
    "Kernel",
    "Tables",
    "coarse_nodes",
    "far",
    "kernel_sum",
    "kernel_tables",
    "near",
    "require_accuracy",
    "rho",
    "worst_error",
]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Index = NDArray[np.integer]

RATIOS: Final = (4, 6, 8, 12, 16)
"""Candidates for a_l in steps of its lattice; the smallest that achieves the required accuracy is used."""

LOCAL: Final = 2
"""Number of lattices computed per tile."""

LARGEST_ERROR: Final = 1.5e-4
"""Relative error of a single source at any distance along a row; in other directions it is up to twice as large."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables for one kernel, pixel scale and shape of field; computed by the driver."""

    ratio: int
    """One of `RATIOS`."""
    near: Float64
    """(R + 1, 2 R + 1): W - W_1 at |dy| and dx + R pixels from a source; R = 48 in the recipe."""
    widest: Int64
    """(R + 1,): largest |dx| in each row."""
    kernels: tuple[Float64, ...]
    """Kernel of each lattice, finest first: (2 r + 1, 2 r + 1), 0 outside a disc."""

    @property
    def levels(self) -> int:
        """Number of lattices."""
        return len(self.kernels)

    @property
    def reach(self) -> int:
        """Distance in pixels up to which points enter `rho` directly rather than through the coarse lattices."""
        step: int = STEP << (LOCAL - 1)
        return step * (2 * self.ratio + TAIL + DEGREE + 2)


def kernel_tables(
    shape: tuple[int, int],
    scale: float,
    alpha: float,
    softening: float,
    *,
    core: float = 0.0,
    error: float = LARGEST_ERROR,
) -> Tables:
    """Compute the tables of W(d) = (softening + sqrt(d^2 + core^2))^-alpha.

    They need pow, whose last bit differs between CPUs, so the driver computes them for all workers.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the field.
    scale : float
        Arcsec per pixel.
    alpha, softening : float
        Slope, and softening length in arcsec, both above 0.
    core : float
        Core radius in arcsec, 0 or more.
    error : float
        Largest relative error of a single source along a row.

    Raises
    ------
    ValueError
        If the kernel is too steep to achieve this accuracy.
    """
    kernel = Kernel(scale, alpha, softening, core)
    ratio = next((ratio for ratio in RATIOS if worst_error(shape, kernel, ratio) <= error), None)
    if ratio is None:
        raise ValueError(
            f"density: (d + {softening:g})^-{alpha:g} is too steep to be summed over {shape[0]} x {shape[1]} pixels "
            f"of {scale:g} arcsec with a relative error of {error:g}; choose a smaller alpha or a larger softening"
        )
    return _tables(shape, kernel, ratio)


def require_accuracy(shape: tuple[int, int], scale: float, alpha: float, softening: float) -> None:
    """Raise ValueError if `kernel_tables` would; fast for many fields of different shapes.

    The error hardly depends on the size of a field once it is larger than a few thousand pixels. It is measured for
    the next power of two, and for the size itself only where that comes close to the limit.
    """
    side = 2 ** math.ceil(math.log2(max(math.hypot(*shape), 2.0)))
    if not _is_accurate(side, Kernel(scale, alpha, softening)):
        kernel_tables(shape, scale, alpha, softening)


@lru_cache(maxsize=256)
def _is_accurate(length: int, kernel: Kernel) -> bool:
    return any(worst_error((1, length), kernel, ratio) <= 0.9 * LARGEST_ERROR for ratio in RATIOS)


def _tables(shape: tuple[int, int], kernel: Kernel, ratio: int) -> Tables:
    cut = ratio * STEP
    integers = np.arange(cut * cut + 1)
    by_d2 = kernel.at(integers) - smooth_part(integers, kernel, cut)
    d2 = np.arange(cut + 1)[:, None] ** 2 + np.arange(-cut, cut + 1)[None, :] ** 2
    near = np.where(d2 < cut * cut, by_d2[np.minimum(d2, cut * cut)], 0.0)
    widest = np.array([math.isqrt(max(cut * cut - 1 - dy * dy, 0)) for dy in range(cut + 1)])
    # The coarsest lattice must cover the diagonal of the field with one kernel, which is then not cut.
    levels = LOCAL + 1
    while cut * 2**levels < math.hypot(*shape):
        levels += 1
    parts = (lattice_kernel(level, level == levels - 1, shape, kernel, ratio) for level in range(levels))
    return Tables(ratio, near, widest, tuple(parts))


def coarse_nodes(box: Box) -> Box:
    """Return the nodes of the coarse lattice, one every 32 pixels, that `rho` needs for a box of pixels."""
    return touched(box, STEP * 2**LOCAL, DEGREE)


def far(y: Index, x: Index, weight: Float64, shape: tuple[int, int], tables: Tables) -> tuple[Box, Float64]:
    """Return the sum of all coarse lattices of a field, as spline coefficients on the finest of them.

    Parameters
    ----------
    y, x : (n,) int
        Pixels of the points.
    weight : (n,) float64
        Weight of each point.
    shape : tuple of int
        Rows and columns of the field.
    tables : Tables
        Tables of the kernel.

    Returns
    -------
    nodes : Box
        `coarse_nodes` of the field.
    coefficients : float64 of the box's shape
        Spline coefficients on these nodes.
    """
    field = Box(0, 0, *shape)
    boxes = [touched(field, STEP * 2**level, DEGREE) for level in range(tables.levels)]
    # Sources are put on a lattice once; the coarser ones are derived from it, which for B-splines is exact.
    charges = [spread(y, x, weight, STEP * 2**LOCAL, DEGREE, boxes[LOCAL])]
    for level in range(LOCAL + 1, tables.levels):
        charges.append(coarsen(charges[-1], boxes[level - 1], boxes[level], DEGREE))
    total = np.zeros((0, 0))
    # From the coarsest down: each level adds the smooth remainder of the one above, refined to its own nodes.
    for level in reversed(range(LOCAL, tables.levels)):
        kernel = tables.kernels[level]
        part = np.empty(boxes[level].shape)
        _convolve(np.pad(charges[level - LOCAL], len(kernel) // 2), kernel, part)
        if level < tables.levels - 1:
            part += refine(total, boxes[level + 1], boxes[level], DEGREE)
        total = part
    return boxes[LOCAL], total


def rho(
    y: Index, x: Index, weight: Float64, box: Box, tables: Tables, coarse: Float64, nodes: Box
) -> Float64:
    """Return the kernel sum at every pixel of a box.

    Parameters
    ----------
    y, x : (n,) int
        Pixels of all points within `tables.reach` of the box, in an order that does not depend on the box.
    weight : (n,) float64
        Weight of each point.
    box : Box
        Pixels of the field.
    tables : Tables
        Tables for the whole field.
    coarse : float64 of the shape of `nodes`
        Coefficients from `far`.
    nodes : Box
        Nodes of the lattice with one node every 32 pixels; must contain `coarse_nodes` of the box.

    Returns
    -------
    float64 of the box's shape
        Kernel sum in arcsec^-alpha.
    """
    total, above = coarse, nodes
    for level in reversed(range(LOCAL)):
        step, kernel = STEP * 2**level, tables.kernels[level]
        level_nodes = touched(box, step, DEGREE)
        charges = spread(y, x, weight, step, DEGREE, level_nodes.grow(len(kernel) // 2))
        part = np.empty(level_nodes.shape)
        _convolve(charges, kernel, part)
        part += refine(total, above, level_nodes, DEGREE)
        total, above = part, level_nodes
    # Smooth parts through the lattices, and last the sharp part source by source, in the order of the points.
    values = interpolate(total, above, box, STEP, DEGREE)
    near(y, x, weight, box, tables, values)
    return values


def near(y: Index, x: Index, weight: Float64, box: Box, tables: Tables, out: Float64) -> None:
    """Add the near part of every point to the pixels of a box, in place and in the order of the points."""
    _near(
        np.require(y, np.int64, PLAIN),
        np.require(x, np.int64, PLAIN),
        np.require(weight, np.float64, PLAIN),
        box.y0,
        box.x0,
        tables.near,
        tables.widest,
        out,
    )


def kernel_sum(counts: NDArray[np.floating], scale: float, alpha: float, softening: float) -> Float64:
    """Return rho = W * N of an image in memory, with W(d) = (softening + d)^-alpha (Diego et al. 2026, eq. 2).

    Parameters
    ----------
    counts : (ny, nx) float
        Sources per pixel, finite and not negative.
    scale : float
        Arcsec per pixel.
    alpha, softening : float
        Slope, and softening length in arcsec, both above 0 (1.6 and 0.9 in the recipe).

    Returns
    -------
    (ny, nx) float64
        Kernel sum in arcsec^-alpha; within 1e-3 of the direct sum at every pixel, and within 1e-4 rms.

    Raises
    ------
    ValueError
        If the kernel is too steep to achieve this accuracy.
    """
    tables = kernel_tables(counts.shape, scale, alpha, softening)
    y, x = np.nonzero(counts)
    weight = counts[y, x].astype(np.float64)
    nodes, coarse = far(y, x, weight, counts.shape, tables)
    return rho(y, x, weight, Box(0, 0, *counts.shape), tables, coarse, nodes)


def worst_error(shape: tuple[int, int], kernel: Kernel, ratio: int) -> float:
    """Return the largest relative error of a single source at any distance within a field, measured along a row.

    All contributions are positive, so the relative error of a sum is no larger, except for the dependence on
    direction. `ratio` is one of `RATIOS`.
    """
    length = max(math.ceil(math.hypot(*shape)), 2)
    worst = 0.0
    with np.errstate(all="ignore"):
        tables = _tables((1, length), kernel, ratio)
        # The error depends on where a source lies between two nodes; it is symmetric, so half of a step covers
        # all cases.
        for x in range(min(STEP // 2 + 1, length)):
            point = np.array([0]), np.array([x]), np.ones(1)
            nodes, coarse = far(*point, (1, length), tables)
            approximate = rho(*point, Box(0, 0, 1, length), tables, coarse, nodes)[0]
            exact = kernel.at((np.arange(length) - x) ** 2)
            worst = max(worst, float(np.nan_to_num(np.abs(approximate / exact - 1), nan=np.inf).max()))
    return worst


# The taps form the outer loops and the pixels of a row the innermost one: it runs over contiguous memory without
# dependences and is vectorised, and each pixel still sums its taps in one order.
@compiled
def _convolve(charges: Float64, kernel: Float64, out: Float64) -> None:
    """Convolve `charges`, which extends beyond `out` by the radius of the kernel on every side."""
    side = kernel.shape[0]
    for y in range(out.shape[0]):
        row = out[y]
        row[:] = 0.0
        for t in range(side):
            source = charges[y + t]
            for u in range(side):
                tap = kernel[t, u]
                # A tap of zero, in the corners outside the disc, is skipped for the whole row.
                if tap != 0.0:
                    for x in range(row.size):
                        row[x] += tap * source[x + u]


@compiled
def _near(
    y: Int64, x: Int64, weight: Float64, y0: int, x0: int, table: Float64, widest: Int64, out: Float64
) -> None:
    height, width = out.shape
    radius = widest.size - 1
    for n in range(y.size):
        cy, cx = y[n] - y0, x[n] - x0
        if cx + radius < 0 or cx - radius >= width:
            continue
        for row in range(max(cy - radius, 0), min(cy + radius + 1, height)):
            dy = abs(row - cy)
            first = max(cx - widest[dy], 0)
            last = min(cx + widest[dy], width - 1)
            line, values = out[row], table[dy]
            shift = radius - cx
            for column in range(first, last + 1):
                line[column] += weight[n] * values[column + shift]
