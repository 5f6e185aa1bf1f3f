"""The kernel sum rho at every pixel of a field of any size: near part and smooth rest (algorithm.md, section 7).

rho = sum over sources of W(d), W(d) = (softening + d)^-alpha, and every source reaches every pixel. W is taken
apart by distance (multilevel summation: Skeel, Tezcan & Hardy 2002; Hardy et al. 2015):

    W = (W - W_1) + (W_1 - W_2) + (W_2 - W_3) + ... + W_L

where W_l is W itself from the distance a_l = 48, 96, 192, ... pixels on, and within it a polynomial in d^2 that
continues W smoothly. The first part ends at 48 pixels and is added source by source, from a table over the whole
numbers d^2. Every other part ends at 2 a_l and is smooth on the scale of a_l: it is convolved on a lattice with a
node at every a_l / 6 pixels, to and from which B-splines of degree 5 lead. The cost of each lattice is a
quarter of that of the one below. (Kernels steeper than the recipe's take 64, 96 or 128 pixels for 48.)

The two finest lattices are worked off where they are needed, in a window of `Tables.reach` pixels round a tile;
the coarser ones, one node in 1024 pixels and fewer, for the whole field once. Lattices belong to absolute pixels, and
every sum runs in the order of the points: the same bits in any window. Only + - * touch a value outside of the
tables.

What the splitting costs is measured for one source (`worst_error`), and no field does worse than its worst
pair of pixels, since all terms are positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.density.splines import coarsen, interpolate, refine, spread, touched
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
    "rho",
    "worst_error",
]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Index = NDArray[np.integer]

STEP: Final = 8
"""Pixels between the nodes of the finest lattice."""

RATIOS: Final = (4, 6, 8, 12, 16)
"""Steps of a lattice at which its part of the kernel begins to be W itself: the least that holds the error."""

DEGREE: Final = 5
"""Of the splines."""

ORDER: Final = 5
"""Derivatives, by d^2, in which W_l continues W: the polynomial's degree."""

TAIL: Final = 4
"""Steps beyond 2 a_l at which a lattice's kernel, sharpened for the splines, is cut off."""

LOCAL: Final = 2
"""Lattices that are worked off in a tile's window."""

LARGEST_ERROR: Final = 1.5e-4
"""Of the value of one source at any distance along a row; in other directions it is up to twice as large."""


@dataclass(frozen=True)
class Kernel:
    """W(d) = (softening + sqrt(d^2 + core^2))^-alpha, and the pixels on which it is summed."""

    scale: float
    """Arcsec per pixel."""
    alpha: float
    softening: float
    """Arcsec."""
    core: float = 0.0
    """Arcsec."""

    def at(self, d2: NDArray[np.floating] | Int64) -> Float64:
        """Return W over d^2, pixels^2."""
        distance = self.scale * np.sqrt(np.asarray(d2, np.float64) + (self.core / self.scale) ** 2)
        values: Float64 = (self.softening + distance) ** -self.alpha
        return values


@dataclass(frozen=True, eq=False)
class Tables:
    """What the driver works out for one kernel, scale and shape of field."""

    ratio: int
    """Of `RATIOS`."""
    near: Float64
    """(R + 1, 2 R + 1): W - W_1 at |dy|, dx + R pixels from a source, R = 48 for the recipe."""
    widest: Int64
    """(R + 1,): largest |dx| of each row."""
    kernels: tuple[Float64, ...]
    """Of each lattice, finest first: (2 r + 1, 2 r + 1), 0 outside of a disc."""

    @property
    def levels(self) -> int:
        """How many lattices there are."""
        return len(self.kernels)

    @property
    def reach(self) -> int:
        """Pixels round a box from which points enter `rho` other than through the coarse lattices."""
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
    """Work out the tables of W(d) = (softening + d)^-alpha; they need pow, so the driver makes them.

    With a `core`, (softening + sqrt(d^2 + core^2))^-alpha.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the field.
    scale : float
        Arcsec per pixel.
    alpha, softening : float
        Steepness, and softening length in arcsec, both above 0.
    core : float
        arcsec, 0 or more.
    error : float
        Largest relative error of one source along a row.

    Raises
    ------
    ValueError
        If the kernel is so steep that the error cannot be held.
    """
    kernel = Kernel(scale, alpha, softening, core)
    ratio = next((ratio for ratio in RATIOS if worst_error(shape, kernel, ratio) <= error), None)
    if ratio is None:
        raise ValueError(
            f"density: ({softening:g} + d)^-{alpha:g} is too steep to be summed over {shape[0]} x {shape[1]} pixels "
            f"of {scale:g} arcsec to {error:g} of its value: give a smaller alpha or a larger softening"
        )
    return _tables(shape, kernel, ratio)


def _tables(shape: tuple[int, int], kernel: Kernel, ratio: int) -> Tables:
    cut = ratio * STEP
    whole = np.arange(cut * cut + 1)
    by_d2 = kernel.at(whole) - _smooth(whole, kernel, cut)
    d2 = np.arange(cut + 1)[:, None] ** 2 + np.arange(-cut, cut + 1)[None, :] ** 2
    near = np.where(d2 < cut * cut, by_d2[np.minimum(d2, cut * cut)], 0.0)
    widest = np.array([math.isqrt(max(cut * cut - 1 - dy * dy, 0)) for dy in range(cut + 1)])
    levels = LOCAL + 1
    while cut * 2**levels < math.hypot(*shape):
        levels += 1
    parts = (_lattice_kernel(level, level == levels - 1, shape, kernel, ratio) for level in range(levels))
    return Tables(ratio, near, widest, tuple(parts))


def _smooth(d2: NDArray[np.floating] | Int64, kernel: Kernel, cut: float) -> Float64:
    """Return W_l over d^2 (pixels^2): W from d = cut on, its Taylor series in d^2 within."""
    n = ORDER + 1
    soft, core = kernel.softening / kernel.scale, kernel.core / kernel.scale
    edge = math.hypot(cut, core)
    root, factor = np.empty(n), 1.0
    for k in range(n):  # sqrt(1 + v) = sum of root u^k, with v = u (cut / edge)^2
        root[k] = factor * (cut / edge) ** (2 * k)
        factor *= (0.5 - k) / (k + 1)
    inner = root * (edge / (soft + edge))
    inner[0] = 0.0
    series, power, factor = np.zeros(n), np.eye(1, n)[0], 1.0
    for k in range(n):  # (1 + inner(u))^-alpha
        series += factor * power
        power = np.convolve(power, inner)[:n]
        factor *= (-kernel.alpha - k) / (k + 1)
    u = np.asarray(d2, np.float64) / (cut * cut) - 1.0
    within = np.polyval(series[::-1], np.minimum(u, 0.0)) * kernel.at(np.array([cut * cut]))[0]
    return np.where(u < 0, within, kernel.at(d2))


def _lattice_kernel(level: int, last: bool, shape: tuple[int, int], kernel: Kernel, ratio: int) -> Float64:
    """Return the part of the kernel that a lattice carries, sharpened for the splines on both sides."""
    step = STEP * 2**level
    nodes = touched(Box(0, 0, *shape), step, DEGREE)
    radius = max(nodes.shape) - 1 if last else 2 * ratio + TAIL
    cut = float(ratio * step)
    # Wide enough that what the sharpening makes of the rim does not come round.
    side = 2 ** math.ceil(math.log2(2 * (radius + 2 * ratio + 16)))
    along = np.minimum(np.arange(side), side - np.arange(side)) * float(step)
    d2 = along[:, None] ** 2 + along[None, :] ** 2
    values = _smooth(d2, kernel, cut)
    if not last:
        values = values - _smooth(d2, kernel, 2 * cut)
    angle = 2 * np.pi * np.arange(side) / side
    spline = (66 + 52 * np.cos(angle) + 2 * np.cos(2 * angle)) / 120  # degree 5 at the nodes, transformed
    sharp = np.fft.fft2(values) / (spline[:, None] * spline[None, :]) ** 2
    values = np.fft.ifft2(sharp).real
    index = np.arange(-radius, radius + 1)
    taps = values[np.ix_(index % side, index % side)]
    if not last:
        taps[index[:, None] ** 2 + index[None, :] ** 2 > radius * radius] = 0.0
    return np.ascontiguousarray(taps)


def coarse_nodes(box: Box) -> Box:
    """Return the nodes of the coarse lattice, at every 32nd pixel, that `rho` needs for a box of pixels."""
    return touched(box, STEP * 2**LOCAL, DEGREE)


def far(y: Index, x: Index, weight: Float64, shape: tuple[int, int], tables: Tables) -> tuple[Box, Float64]:
    """Return what the coarse lattices give, as coefficients on the finest of them, for a whole field.

    Parameters
    ----------
    y, x : (n,) int
        Pixels of the points.
    weight : (n,) float64
        What each counts.
    shape : tuple of int
        Of the field.
    tables : Tables

    Returns
    -------
    nodes : Box
        `coarse_nodes` of the field.
    coefficients : float64 of the box's shape
    """
    field = Box(0, 0, *shape)
    boxes = [touched(field, STEP * 2**level, DEGREE) for level in range(tables.levels)]
    charges = [spread(y, x, weight, STEP * 2**LOCAL, DEGREE, boxes[LOCAL])]
    for level in range(LOCAL + 1, tables.levels):
        charges.append(coarsen(charges[-1], boxes[level - 1], boxes[level], DEGREE))
    total = np.zeros((0, 0))
    for level in reversed(range(LOCAL, tables.levels)):
        kernel = tables.kernels[level]
        here = np.empty(boxes[level].shape)
        _convolve(np.pad(charges[level - LOCAL], len(kernel) // 2), kernel, here)
        if level < tables.levels - 1:
            here += refine(total, boxes[level + 1], boxes[level], DEGREE)
        total = here
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
        What each counts.
    box : Box
        Pixels of the field.
    tables : Tables
        Of the field.
    coarse : float64
        Of the shape of `nodes`: coefficients that `far` gave.
    nodes : Box
        Nodes at every 32nd pixel, among them the `coarse_nodes` of the box.

    Returns
    -------
    float64 of the box's shape
        arcsec^-alpha.
    """
    total, above = coarse, nodes
    for level in reversed(range(LOCAL)):
        step, kernel = STEP * 2**level, tables.kernels[level]
        here = touched(box, step, DEGREE)
        charges = spread(y, x, weight, step, DEGREE, here.grow(len(kernel) // 2))
        part = np.empty(here.shape)
        _convolve(charges, kernel, part)
        part += refine(total, above, here, DEGREE)
        total, above = part, here
    values = interpolate(total, above, box, STEP, DEGREE)
    near(y, x, weight, box, tables, values)
    return values


def near(y: Index, x: Index, weight: Float64, box: Box, tables: Tables, out: Float64) -> None:
    """Add the near part of every point to the pixels of a box, in place, in the order of the points."""
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
    """Return rho = W * N of an image in memory, with W(d) = (softening + d)^-alpha: Diego et al. 2026, eq. 2.

    Parameters
    ----------
    counts : (ny, nx) float
        Sources per pixel, finite and not negative.
    scale : float
        Arcsec per pixel.
    alpha, softening : float
        Steepness and softening length in arcsec, both above 0 (the recipe: 1.6, 0.9).

    Returns
    -------
    (ny, nx) float64
        arcsec^-alpha; within 1e-3 of the direct sum at every pixel, and within 1e-4 rms.

    Raises
    ------
    ValueError
        If the kernel is so steep that this cannot be held.
    """
    tables = kernel_tables(counts.shape, scale, alpha, softening)
    y, x = np.nonzero(counts)
    weight = counts[y, x].astype(np.float64)
    nodes, coarse = far(y, x, weight, counts.shape, tables)
    return rho(y, x, weight, Box(0, 0, *counts.shape), tables, coarse, nodes)


def worst_error(shape: tuple[int, int], kernel: Kernel, ratio: int) -> float:
    """Return the largest relative error of one source at any distance within a field, tried along a row.

    Every source adds a positive part, so no sum has a larger one, but for the direction; `ratio` is one of `RATIOS`.
    """
    length = max(math.ceil(math.hypot(*shape)), 2)
    worst = 0.0
    with np.errstate(all="ignore"):
        tables = _tables((1, length), kernel, ratio)
        for x in range(min(STEP // 2 + 1, length)):
            point = np.array([0]), np.array([x]), np.ones(1)
            nodes, coarse = far(*point, (1, length), tables)
            found = rho(*point, Box(0, 0, 1, length), tables, coarse, nodes)[0]
            exact = kernel.at((np.arange(length) - x) ** 2)
            worst = max(worst, float(np.nan_to_num(np.abs(found / exact - 1), nan=np.inf).max()))
    return worst


@compiled
def _convolve(charges: Float64, kernel: Float64, out: Float64) -> None:
    """Convolve; `charges` reaches beyond `out` by the kernel's radius on every side."""
    side = kernel.shape[0]
    for y in range(out.shape[0]):
        row = out[y]
        row[:] = 0.0
        for t in range(side):
            source = charges[y + t]
            for u in range(side):
                tap = kernel[t, u]
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
