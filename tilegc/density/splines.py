"""B-splines between pixels and coarse lattices of nodes: the first and last step of every wide convolution.

A lattice has a node at every `step`-th pixel, counted from pixel (0, 0) of the field, so that all tiles share its
nodes. `spread` and `spread_image` distribute values at pixels onto the surrounding nodes; `interpolate` is the way
back; `refine` and `coarsen` change to a lattice of half or twice the step, without any error, because a B-spline is a
sum of narrower ones (de Boor 1978). Degrees are odd; degree 0 stands for the pixel grid itself, with step 1.

The weights are integers over degree! step^degree, so sums of integer pixels are exact. All other sums run in a fixed
order at every node and pixel, whatever the window. Radius: `degree // 2 + 1` steps.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["coarsen", "interpolate", "norm", "refine", "spread", "spread_image", "touched", "weights"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

EXACT_STEP: Final = 32
"""Largest step for which a cubic `spread_image` of integers up to 2^16 stays below 2^63."""


def norm(step: int, degree: int) -> int:
    """Return the sum of the integer weights along one axis: degree! step^degree."""
    total: int = math.factorial(degree) * step**degree
    return total


@lru_cache(maxsize=64)
def weights(step: int, degree: int) -> Int64:
    """Return the weights of the nodes around a pixel, along one axis.

    Parameters
    ----------
    step : int
        Spacing of the nodes in pixels; 1 for degree 0.
    degree : int
        Degree of the spline: 0 or odd.

    Returns
    -------
    (step, degree + 1) int64
        Row: the pixel's index modulo `step`. Column t: the node `pixel // step - degree // 2 + t`. In units of
        1 / `norm(step, degree)`.

    Raises
    ------
    ValueError
        If the degree is even, or 0 with a step other than 1.
    """
    if degree == 0:
        if step != 1:
            raise ValueError("splines of degree 0 require step 1")
        return np.ones((1, 1), np.int64)
    if degree % 2 == 0:
        raise ValueError(f"the degree of a spline must be 0 or odd, got {degree}")
    half = (degree + 1) // 2
    # Integers, not floats: at whole pixels a B-spline of this step is a fraction with one common denominator, `norm`.
    # Sums over an image of counts are then exact, and tiles may be added in any order.
    table = np.empty((step, degree + 1), np.int64)
    for phase in range(step):
        for t in range(degree + 1):
            at = phase - (t - degree // 2) * step  # distance from the node in pixels
            table[phase, t] = sum(
                (-1) ** j * math.comb(degree + 1, j) * max(at + (half - j) * step, 0) ** degree
                for j in range(degree + 2)
            )
    table.flags.writeable = False
    return table


def touched(box: Box, step: int, degree: int) -> Box:
    """Return the nodes touched by the pixels of a box; a node is counted in steps, (j, i) is pixel (j step, i step)."""
    low, count = degree // 2, degree + 1
    return Box(
        box.y0 // step - low,
        box.x0 // step - low,
        (box.y1 - 1) // step - low + count,
        (box.x1 - 1) // step - low + count,
    )


def spread(
    y: NDArray[np.integer], x: NDArray[np.integer], weight: Float64, step: int, degree: int, nodes: Box
) -> Float64:
    """Return the sums of points on the nodes of a box.

    Parameters
    ----------
    y, x : (n,) int
        Pixels of the points; every node adds them in this order.
    weight : (n,) float64
        Weight of each point.
    step, degree : int
        Spacing of the nodes in pixels and degree of the splines.
    nodes : Box
        Nodes, in steps; contributions outside are dropped.

    Returns
    -------
    float64 of the box's shape
        Sum of the weights on each node.
    """
    out = np.zeros(nodes.shape)
    taps = weights(step, degree) / norm(step, degree)
    _spread(
        np.require(y, np.int64, PLAIN),
        np.require(x, np.int64, PLAIN),
        np.require(weight, np.float64, PLAIN),
        step,
        taps,
        degree // 2,
        nodes.y0,
        nodes.x0,
        out,
    )
    return out


def spread_image(
    values: NDArray[np.integer] | NDArray[np.bool_], box: Box, step: int, degree: int
) -> tuple[Box, Int64]:
    """Return the exact sums of an image of integers on all nodes that it touches.

    Parameters
    ----------
    values : (ny, nx) int or bool
        Not negative and at most 65,535.
    box : Box
        Pixels of the field covered by the image.
    step, degree : int
        Spacing of the nodes, at most 32 pixels, and degree of the splines, at most 3.

    Returns
    -------
    nodes : Box
        `touched(box)`.
    sums : int64
        In units of 1 / norm^2; partial sums of tiles can be added in any order.

    Raises
    ------
    ValueError
        If the sums could exceed 64 bits.
    """
    if step > EXACT_STEP or degree > 3:
        raise ValueError("exact sums of images require steps up to 32 and splines up to degree 3")
    # Only the nodes around the tile: sums of a whole field in every partial result would not fit in memory.
    nodes = touched(box, step, degree)
    out = np.zeros(nodes.shape, np.int64)
    _spread_image(
        np.require(values, np.uint16, PLAIN),
        box.y0,
        box.x0,
        step,
        weights(step, degree),
        degree // 2,
        nodes.y0,
        nodes.x0,
        out,
    )
    return nodes, out


def interpolate(coefficients: Float64, nodes: Box, box: Box, step: int, degree: int) -> Float64:
    """Return the sum of splines with the given coefficients at every pixel of a box.

    Parameters
    ----------
    coefficients : float64 of the shape of `nodes`
        Coefficients of the splines.
    nodes : Box
        Their nodes, in steps; must contain `touched(box)`.
    box : Box
        Pixels of the field.

    Returns
    -------
    float64 of the box's shape
        Value of the sum at every pixel.
    """
    need = touched(box, step, degree)
    out = np.empty(box.shape)
    if box.size:
        _interpolate(
            # Only the nodes that the box needs, at the same places in memory for any window.
            np.ascontiguousarray(coefficients[need.within(nodes)]),
            box.y0,
            box.x0,
            step,
            weights(step, degree) / norm(step, degree),
            degree // 2,
            need.y0,
            need.x0,
            out,
        )
    return out


def refine(coefficients: Float64, coarse: Box, fine: Box, degree: int) -> Float64:
    """Return the coefficients of the same sum of splines on a lattice of half the step.

    Parameters
    ----------
    coefficients : float64 of the shape of `coarse`
        Coefficients on the coarse lattice.
    coarse, fine : Box
        Nodes of the two lattices, each in its own steps; absent coarse nodes have coefficient 0.

    Returns
    -------
    float64 of the shape of `fine`
        Coefficients on the fine lattice.
    """
    # A sum of splines on a lattice is also one on the lattice of half the step (the two-scale relation, with binomial
    # weights), so that going to a finer lattice loses nothing.
    along_y = _refined(coefficients, coarse.y0, fine.y0, fine.shape[0], degree)
    return _refined(along_y.T, coarse.x0, fine.x0, fine.shape[1], degree).T


def coarsen(charges: Float64, fine: Box, coarse: Box, degree: int) -> Float64:
    """Return what `spread` would give on a lattice of twice the step: the transpose of `refine`."""
    along_y = _coarsened(charges, fine.y0, coarse.y0, coarse.shape[0], degree)
    return _coarsened(along_y.T, fine.x0, coarse.x0, coarse.shape[1], degree).T


def _pairs(
    fine0: int, fine_n: int, coarse0: int, coarse_n: int, degree: int
) -> list[tuple[float, Int64, Int64]]:
    """Return (weight, fine indices, coarse indices) for every term of the relation between the two lattices."""
    half = (degree + 1) // 2
    terms = []
    for tap in range(degree + 2):
        coarse = np.arange(coarse0, coarse0 + coarse_n)
        fine = 2 * coarse + tap - half
        on = (fine >= fine0) & (fine < fine0 + fine_n)
        terms.append((math.comb(degree + 1, tap) / 2**degree, fine[on] - fine0, coarse[on] - coarse0))
    return terms


def _refined(values: Float64, coarse0: int, fine0: int, n: int, degree: int) -> Float64:
    out = np.zeros((n, values.shape[1]))
    for weight, fine, coarse in _pairs(fine0, n, coarse0, len(values), degree):
        out[fine] += weight * values[coarse]
    return out


def _coarsened(values: Float64, fine0: int, coarse0: int, n: int, degree: int) -> Float64:
    out = np.zeros((n, values.shape[1]))
    for weight, fine, coarse in _pairs(fine0, len(values), coarse0, n, degree):
        out[coarse] += weight * values[fine]
    return out


@compiled
def _spread(
    y: Int64, x: Int64, weight: Float64, step: int, taps: Float64, low: int, j0: int, i0: int, out: Float64
) -> None:
    count = taps.shape[1]
    for n in range(y.size):
        j, i = y[n] // step - low - j0, x[n] // step - low - i0
        # Points beyond the nodes are skipped as a whole, and points at the rim node by node, so that a node has the
        # same sum in every window that contains it.
        if j + count <= 0 or i + count <= 0 or j >= out.shape[0] or i >= out.shape[1]:
            continue
        along_y, along_x = taps[y[n] % step], taps[x[n] % step]
        for t in range(count):
            if 0 <= j + t < out.shape[0]:
                share = weight[n] * along_y[t]
                for u in range(count):
                    if 0 <= i + u < out.shape[1]:
                        out[j + t, i + u] += share * along_x[u]


@compiled
def _spread_image(
    values: NDArray[np.uint16],
    y0: int,
    x0: int,
    step: int,
    taps: Int64,
    low: int,
    j0: int,
    i0: int,
    out: Int64,
) -> None:
    count = taps.shape[1]
    row = np.zeros(out.shape[1], np.int64)
    # Transposed, so that the weights of neighbouring pixels for one node lie side by side in memory, like the pixels
    # themselves: the innermost loop is then vectorised.
    across = np.ascontiguousarray(taps.T)
    width = values.shape[1]
    # Separable: first a line of pixels is summed onto the nodes of its own row, then that row is added to the nodes
    # above and below it. Directly it would be (degree + 1)^2 additions a pixel.
    for y in range(values.shape[0]):
        row[:] = 0
        line = values[y]
        x = 0
        while x < width:  # from node to node: in between, the weights are contiguous in one row of the table
            i, phase = (x0 + x) // step - low - i0, (x0 + x) % step
            length = min(step - phase, width - x)
            for u in range(count):
                # The phase of a pixel within its step runs on with the pixel, so that weights and pixels are
                # read side by side.
                weight = across[u, phase:]
                total = np.int64(0)
                for k in range(length):
                    total += np.int64(line[x + k]) * weight[k]
                row[i + u] += total
            x += length
        j, phase = (y0 + y) // step - low - j0, (y0 + y) % step
        for t in range(count):
            for i in range(row.size):
                out[j + t, i] += taps[phase, t] * row[i]


@compiled
def _interpolate(
    coefficients: Float64,
    y0: int,
    x0: int,
    step: int,
    taps: Float64,
    low: int,
    j0: int,
    i0: int,
    out: Float64,
) -> None:
    count = taps.shape[1]
    row = np.empty(coefficients.shape[1])
    across = np.ascontiguousarray(taps.T)
    for y in range(out.shape[0]):
        j, phase = (y0 + y) // step - low - j0, (y0 + y) % step
        for i in range(row.size):
            total = taps[phase, 0] * coefficients[j, i]
            for t in range(1, count):
                total += taps[phase, t] * coefficients[j + t, i]
            row[i] = total
        line = out[y]
        x = 0
        while (
            x < line.size
        ):  # from node to node; at every pixel the sum runs from the first weight to the last
            i, phase = (x0 + x) // step - low - i0, (x0 + x) % step
            length = min(step - phase, line.size - x)
            part, weight = line[x : x + length], across[0, phase:]
            for k in range(length):
                part[k] = weight[k] * row[i]
            for u in range(1, count):
                value, weight = row[i + u], across[u, phase:]
                for k in range(length):
                    part[k] += weight[k] * value
            x += length
