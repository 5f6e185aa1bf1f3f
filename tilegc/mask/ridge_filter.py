"""Ridges: where the mean along a straight line, in some direction, stands out of the noise (algorithm.md, section 2).

A diffraction spike is a string of beads, an arc a string of knots: each of them looks like a source, but together
they lie on a line. The map is cut at a few sigma, so that a single source cannot make a line, rounded to integers,
and summed along digital lines of `LENGTH` pixels in `ANGLES` directions. A line is the sum of two halves that are
lines themselves, and so on (Brandt & Dym 1999, SIAM J. Appl. Math. 59, 1417): six additions a pixel and direction.
All sums are integers, so a pixel's answer is the same in every window that holds `RADIUS` pixels round it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["ANGLES", "LENGTH", "RADIUS", "line_steps", "ridges"]

LENGTH: Final = 48
"""Pixels of a line."""

ANGLES: Final = 36
"""Directions in half a turn: 5 degrees apart, 1 px at the ends of a line between two of them."""

RADIUS: Final = 28
"""Distance in pixels (along y or x) to which a pixel of `ridges` looks."""

# Without the cut one bright source would make a line in every direction.
CLIP: Final = 2.0
"""Sigma at which the map is cut: of a source's profile three pixels count, 6 sigma of the 26 that a line needs."""

# 16 bits hold 48 pixels of 2 sigma, 1,536 levels, twenty times over; half the memory traffic of 32 bits.
LEVELS: Final = 16
"""Integer levels in one sigma."""

HALVES: Final = (1, 2, 4, 8, 16, 32)
"""Each sum is joined with the one so many pixels on; the last with that of 16 pixels: 48 in all."""

BLOCK: Final = (512, 2048)
"""Block in which a window is worked off: smaller ones lose more to their margins than they gain in the cache."""

Ints = NDArray[np.int64]


def line_steps() -> Ints:
    """Return the lines' steps, (ANGLES, 7, 2) int64 (y, x): one for each of `HALVES`, and from end to middle.

    Computed once by the driver: sine and cosine differ between machines.
    """
    steps = np.empty((ANGLES, len(HALVES) + 1, 2), np.int64)
    for n in range(ANGLES):
        along = np.array([math.sin(math.pi * n / ANGLES), math.cos(math.pi * n / ANGLES)])
        # Steps are rounded once per doubling. Two halves of a line are the same shape, so that one addition
        # joins them.
        steps[n] = np.rint(np.array([*HALVES, 0.5 * (LENGTH - 1)])[:, None] * along)
    return steps


def ridges(
    values: NDArray[np.float32], counted: NDArray[np.bool_], sigma: float, limit: float, steps: Ints
) -> NDArray[np.bool_]:
    """Return where the mean of the cut map along a line in some direction is at least `limit` sigma.

    Parameters
    ----------
    values : (ny, nx) float32
        Detection map of a window; finite where `counted`.
    counted : (ny, nx) bool
        Pixels that count; others, and the outside, are 0.
    sigma : float
        Noise of the map, above 0.
    limit : float
        Of the mean along the line, in sigma.
    steps : (ANGLES, 7, 2) int64
        From `line_steps`.

    Returns
    -------
    (ny, nx) bool
        True at the middles of such lines. Right at least `RADIUS` inside of every side beyond which the field goes on.
    """
    height, width = values.shape
    # Padded with zeros: outside the field nothing counts, and lines may begin there.
    levels = np.zeros((height + 2 * RADIUS, width + 2 * RADIUS), np.int16)
    _levels(
        np.require(values, np.float32, PLAIN),
        np.require(counted, np.bool_, PLAIN),
        np.float32(LEVELS / sigma),
        levels,
    )
    out = np.zeros(values.shape, np.bool_)
    # The comparison is one of integers.
    least = math.ceil(limit * LEVELS * LENGTH)
    for top in range(0, height, BLOCK[0]):
        for left in range(0, width, BLOCK[1]):
            inner = out[top : top + BLOCK[0], left : left + BLOCK[1]]
            ny, nx = inner.shape
            _block(
                levels[top : top + ny + 2 * RADIUS, left : left + nx + 2 * RADIUS],
                steps.tolist(),
                least,
                inner,
            )
    return out


@compiled
def _levels(
    values: NDArray[np.float32], counted: NDArray[np.bool_], scale: np.float32, out: NDArray[np.int16]
) -> None:
    """Cut, scale and round (halves up) into the middle of `out`."""
    most = np.float32(CLIP * LEVELS)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            if counted[y, x]:
                level = min(max(values[y, x] * scale, -most), most)
                out[y + RADIUS, x + RADIUS] = np.int16(math.floor(level + np.float32(0.5)))


def _block(
    levels: NDArray[np.int16], steps: list[list[list[int]]], least: int, out: NDArray[np.bool_]
) -> None:
    """Set `out` where a line's sum in some direction is at least `least`; `levels` has the margin."""
    # Two buffers in turn: each doubling reads the sums of the one before and writes into the other.
    buffers = np.empty_like(levels), np.empty_like(levels)
    ny, nx = out.shape
    most = np.full(out.shape, np.iinfo(np.int16).min, np.int16)
    total = np.empty(out.shape, np.int16)
    for step in steps:
        part, y1, x0, x1 = levels, levels.shape[0], 0, levels.shape[1]
        for k, (dy, dx) in enumerate(step[:5]):
            # The region in which sums are whole shrinks by every step; all angles have dy >= 0, dx of either
            # sign.
            y1, x0, x1 = y1 - dy, x0 + max(0, -dx), x1 - max(0, dx)
            target = buffers[k % 2]
            np.add(part[:y1, x0:x1], part[dy : y1 + dy, x0 + dx : x1 + dx], out=target[:y1, x0:x1])
            part = target
        (dy, dx), (y, x) = step[5], (RADIUS - step[6][0], RADIUS - step[6][1])
        # Sums over 32 pixels lie in the first of the two, over 16 in the second.
        np.add(
            buffers[0][y : y + ny, x : x + nx],
            buffers[1][y + dy : y + dy + ny, x + dx : x + dx + nx],
            out=total,
        )
        # Only the best direction matters: no array of 36 directions is ever held.
        np.maximum(most, total, out=most)
    np.greater_equal(most, least, out=out)
