"""The comparison of the catalogues with and without a star, star by star, in compiled code."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.window import Fates, Limits, Placed, Points, Sky, Tables
from tilegc.detection.shape_ratios import shapes_at
from tilegc.detection.shapes import ELONGATED, EXTENDED, SIGMAS
from tilegc.kernels.compiled import compiled
from tilegc.photometry.spline_psf import stamp

__all__ = ["BLENDED", "BRIGHT", "FAINT", "FOUND", "LIFTED", "MATCH", "NO_POINT", "judge_all"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

MATCH: Final = 1.5
"""Pixels between a star and the source that it becomes."""

RIM: Final = 8
"""Pixels round a very bright star in which nothing is recorded."""

AROUND: Final = 5
"""Pixels round a peak that its shape looks at."""

FOUND: Final = 0
"""Verdict: the star is in the catalogue."""
FAINT: Final = 1
"""No source above the limit lies at the star."""
NO_POINT: Final = 2
"""Its peak is above the limit, and its shape not a point's."""
BLENDED: Final = 3
"""The source at the star is that of a brighter neighbour."""
LIFTED: Final = 4
"""The source at the star is a brighter one that was below the limit without it."""
BRIGHT: Final = 5
"""The star is so bright, or part of something so large, that it is masked."""


@compiled
def judge_all(
    sky: Sky,
    limits: Limits,
    points: Points,
    stars: Placed,
    reference: Floats,
    tables: Tables,
    masked: Bool,
    fates: Fates,
) -> None:
    """Judge every star; arguments are those of `tilegc.completeness.recovery.recover`, `fates` its result."""
    most = tables.detection.shape[-1] - 2
    star_radius = (tables.light.shape[-1] - 3) // 2
    # One allocation each for all stars.
    part, patch = np.empty((most, most)), np.empty((most, most))
    star = np.empty((2 * star_radius + 1, 2 * star_radius + 1))
    # One pixel more on every side, for the neighbours of the outermost pixels.
    raised, rank = np.empty((most + 2, most + 2), np.float32), np.empty((most + 2, most + 2), np.float32)
    shine, state = (
        np.empty((most + 2 * AROUND, most + 2 * AROUND), np.float32),
        np.empty((most, most), np.int8),
    )
    at_y, at_x = np.empty(most * most, np.int64), np.empty(most * most, np.int64)
    taken = np.empty(most * most, np.bool_)
    for n in range(stars.row.size):
        if masked[n]:
            fates.verdict[n] = BRIGHT
            fates.displaced[n] = _lost_to_mask(sky, stars.row[n], stars.column[n])
            continue
        y0, x0 = stars.row[n] - most // 2, stars.column[n] - most // 2  # of the patch
        _respond(tables, stars, n, part, patch)
        _raise(sky, patch, y0, x0, raised, rank)
        count = _peaks(rank, sky.allowed, y0, x0, limits.limit, limits.maxima, at_y, at_x)
        _select(rank, sky.detection, sky.noise, sky.source, y0, x0, count, at_y, at_x, limits.reach, taken)
        _classify(sky, points, tables, stars, n, rank, count, at_y, at_x, taken, star, shine, state)
        fates.verdict[n], fates.displaced[n], j, i = _judged(state, sky, limits, stars, n, reference[n])
        if j >= 0:
            fates.y[n], fates.x[n] = y0 + j, x0 + i
            fates.value[n] = raised[j + 1, i + 1]


@compiled
def _lost_to_mask(sky: Sky, row: int, column: int) -> int:
    """Count the sources that vanish because a star that is masked lies near them."""
    height, width = sky.source.shape
    count = 0
    for y in range(max(row - RIM, 0), min(row + RIM + 1, height)):
        for x in range(max(column - RIM, 0), min(column + RIM + 1, width)):
            if (
                sky.source[y, x] >= 0
                and sky.listed[sky.source[y, x]]
                and (y - row) ** 2 + (x - column) ** 2 <= RIM * RIM
            ):
                count += 1
    return count


@compiled
def _respond(tables: Tables, stars: Placed, n: int, part: Floats, patch: Floats) -> None:
    """Set a patch to the response of the detection map to a star."""
    if tables.which[n] >= 0:
        patch[:] = tables.patches[tables.which[n]]
        return
    patch[:] = 0.0
    for b in range(stars.flux.shape[0]):
        stamp(tables.detection[b], stars.dy[n], stars.dx[n], part)
        patch += stars.flux[b, n] * part


@compiled
def _raise(sky: Sky, patch: Floats, y0: int, x0: int, raised: Float32, rank: Float32) -> None:
    """Set the detection map with the star in it, and its values in the unit of the limit; NaN beyond the window."""
    height, width = sky.detection.shape
    size = patch.shape[0]
    for j in range(size + 2):
        for i in range(size + 2):
            y, x = y0 + j - 1, x0 + i - 1
            raised[j, i] = np.nan
            rank[j, i] = np.nan
            if 0 <= y < height and 0 <= x < width:
                total = sky.detection[y, x]
                if 1 <= j <= size and 1 <= i <= size:
                    total += np.float32(patch[j - 1, i - 1])
                raised[j, i] = total
                if sky.noise[y, x] > 0:
                    rank[j, i] = total / sky.noise[y, x]


@compiled
def _classify(
    sky: Sky,
    points: Points,
    tables: Tables,
    stars: Placed,
    n: int,
    rank: Float32,
    count: int,
    at_y: Int64,
    at_x: Int64,
    taken: Bool,
    star: Floats,
    shine: Float32,
    state: NDArray[np.int8],
) -> None:
    """Set the state of every pixel of a patch.

    0: no peak; 1: a peak that the catalogue takes; 2: a peak whose shape it refuses. The last two must be told apart:
    a source that becomes elongated by the star is lost, but it is not absent, and neither is the star.
    """
    size, star_radius = state.shape[0], star.shape[0] // 2
    radius = size // 2
    y0, x0 = stars.row[n] - radius, stars.column[n] - radius
    state[:] = 0
    lit = False
    for k in range(count):
        if not taken[k]:
            continue
        j, i = at_y[k], at_x[k]
        known = sky.source[y0 + j, x0 + i]
        if not points.decide:
            point = True
        elif known >= 0 and max(abs(j - radius), abs(i - radius)) > star_radius + AROUND:
            # The star's light reaches none of the pixels that its shape is measured on: it is what the run found.
            point = sky.listed[known]
        else:
            # The light about a star is needed for few of them, and costs more than all the rest.
            if not lit:
                flux, dy, dx = stars.flux[:, n], stars.dy[n], stars.dx[n]
                _shine(sky.light, tables.light, flux, dy, dx, y0 - AROUND, x0 - AROUND, star, shine)
                lit = True
            snr = rank[j + 1, i + 1]
            point = _is_point(shine, j + AROUND, i + AROUND, snr, points.weights, points.line_noise)
        state[j, i] = 1 if point else 2


@compiled
def _peaks(
    rank: Float32, allowed: Bool, y0: int, x0: int, limit: np.float32, maxima: bool, at_y: Int64, at_x: Int64
) -> int:
    """List the pixels of a patch that may be peaks, brightest first; return how many."""
    size = rank.shape[0] - 2
    count = 0
    for j in range(size):
        for i in range(size):
            value = rank[j + 1, i + 1]
            if not value >= limit or not allowed[y0 + j, x0 + i]:
                continue
            highest = True
            if maxima:
                for v in range(3):
                    for u in range(3):
                        other = rank[j + v, i + u]
                        before = v < 1 or (v == 1 and u < 1)
                        if other > value or (before and other == value):
                            highest = False
            if not highest:
                continue
            # Insertion keeps equal ones by y, then x.
            k = count
            while k > 0 and rank[at_y[k - 1] + 1, at_x[k - 1] + 1] < value:
                at_y[k], at_x[k] = at_y[k - 1], at_x[k - 1]
                k -= 1
            at_y[k], at_x[k] = j, i
            count += 1
    return count


@compiled
def _select(
    rank: Float32,
    detection: Float32,
    noise: Float32,
    source: Int32,
    y0: int,
    x0: int,
    count: int,
    at_y: Int64,
    at_x: Int64,
    reach: Int64,
    taken: Bool,
) -> None:
    """Blank round every peak, brightest first; peaks beyond the patch stand as the run recorded them."""
    size = rank.shape[0] - 2
    far = reach.size - 1
    height, width = source.shape
    for k in range(count):
        j, i = at_y[k], at_x[k]
        free = True
        for other in range(k):
            apart = abs(at_y[other] - j)
            if taken[other] and apart <= far and abs(at_x[other] - i) <= reach[apart]:
                free = False
        if free and (min(j, i) < far or max(j, i) >= size - far):
            for y in range(max(y0 + j - far, 0), min(y0 + j + far + 1, height)):
                for x in range(max(x0 + i - far, 0), min(x0 + i + far + 1, width)):
                    inside = 0 <= y - y0 < size and 0 <= x - x0 < size
                    if inside or source[y, x] < 0 or abs(x - x0 - i) > reach[abs(y - y0 - j)]:
                        continue
                    if detection[y, x] / noise[y, x] > rank[j + 1, i + 1]:
                        free = False
        taken[k] = free


@compiled
def _shine(
    light: Float32,
    psfs: Floats,
    flux: Floats,
    dy: float,
    dx: float,
    y0: int,
    x0: int,
    star: Floats,
    out: Float32,
) -> None:
    """Set the summed bands of a patch, the star included; NaN beyond the window."""
    height, width = light.shape
    size = out.shape[0]
    for j in range(size):
        for i in range(size):
            inside = 0 <= y0 + j < height and 0 <= x0 + i < width
            out[j, i] = light[y0 + j, x0 + i] if inside else np.nan
    first = (size - star.shape[0]) // 2
    cut = max(-first, 0)
    for b in range(flux.size):
        stamp(psfs[b], dy, dx, star)
        for j in range(cut, star.shape[0] - cut):
            for i in range(cut, star.shape[1] - cut):
                out[first + j, first + i] += np.float32(flux[b] * star[j, i])


@compiled
def _is_point(
    shine: Float32,
    j: int,
    i: int,
    snr: float,
    weights: tuple[Floats, Floats, float, float, Floats, float],
    line_noise: float,
) -> bool:
    """Return whether a peak's shape is that of a point, as `tilegc.detection.shapes.judge` decides it."""
    at, numbers = np.empty((2, 1), np.int64), np.empty((3, 1), np.float32)
    at[0, 0], at[1, 0] = j, i
    flux, wide, ratio, height, strips, line = weights
    shapes_at(shine, at[0], at[1], flux, wide, ratio, height, strips, line, numbers)
    roundness, concentration = numbers[1, 0], numbers[2, 0]
    long = roundness > max(ELONGATED, SIGMAS * line_noise / max(snr, 1e-9)) and concentration < 1
    return not (concentration < EXTENDED or long)


@compiled
def _judged(
    state: NDArray[np.int8], sky: Sky, limits: Limits, stars: Placed, n: int, reference: float
) -> tuple[int, int, int, int]:
    """Compare the two catalogues: verdict, sources displaced, and the star's peak in the patch (-1: none)."""
    source, listed, old_flux = sky.source, sky.listed, sky.flux
    height, width = source.shape
    size, near2 = state.shape[0], MATCH * MATCH
    radius, dy, dx = size // 2, stars.dy[n], stars.dx[n]
    y0, x0 = stars.row[n] - radius, stars.column[n] - radius
    # What vanished, and what lies at the star: a new source rather than an old one, else the nearest.
    gone, best, new, at_j, at_i, no_point = 0, np.inf, False, -1, -1, False
    for j in range(size):
        for i in range(size):
            y, x = y0 + j, x0 + i
            if not (0 <= y < height and 0 <= x < width):
                continue
            old = source[y, x] >= 0 and listed[source[y, x]]
            if old and state[j, i] != 1:
                gone += 1
            if state[j, i] == 0:
                continue
            square = (j - radius - dy) ** 2 + (i - radius - dx) ** 2
            if square > near2:
                continue
            if state[j, i] == 2:
                no_point = True
                continue
            if (not old, -square) > (new, -best):
                best, new, at_j, at_i = square, not old, j, i
    if at_j < 0:
        return (NO_POINT if no_point else FAINT), gone, -1, -1

    if not new:
        if reference > old_flux[source[y0 + at_j, x0 + at_i]]:
            return FOUND, gone + 1, at_j, at_i
        return BLENDED, gone, at_j, at_i

    # An old source that vanished right here has moved; of the two in one peak the brighter is the parent.
    nearest, moved = near2, -1
    for j in range(max(at_j - 1, 0), min(at_j + 2, size)):
        for i in range(max(at_i - 1, 0), min(at_i + 2, size)):
            square = float((j - at_j) ** 2 + (i - at_i) ** 2)
            y, x = y0 + j, x0 + i
            if not (0 <= y < height and 0 <= x < width) or source[y, x] < 0:
                continue
            if listed[source[y, x]] and state[j, i] != 1 and square <= nearest:
                nearest, moved = square, source[y, x]
    if moved >= 0:
        if reference > old_flux[moved]:
            return FOUND, gone, at_j, at_i
        return BLENDED, gone - 1, at_j, at_i
    if _brightest_below(sky, limits, y0 + at_j, x0 + at_i) > reference:
        return LIFTED, gone, at_j, at_i
    return FOUND, gone, at_j, at_i


@compiled
def _brightest_below(sky: Sky, limits: Limits, y: int, x: int) -> float:
    """Return the largest peak by a pixel that the catalogue does not hold, nJy: too faint for it, or no point."""
    detection, noise = sky.detection, sky.noise
    height, width = detection.shape
    most = -np.inf
    for j in range(max(y - 1, 1), min(y + 2, height - 1)):
        for i in range(max(x - 1, 1), min(x + 2, width - 1)):
            value = detection[j, i]
            if not (noise[j, i] > 0 and value / noise[j, i] >= limits.floor and sky.allowed[j, i]):
                continue
            known = sky.source[j, i]
            if value / noise[j, i] >= limits.limit and (known < 0 or sky.listed[known]):
                continue
            highest = True
            for v in range(j - 1, j + 2):
                for u in range(i - 1, i + 2):
                    if noise[v, u] > 0 and detection[v, u] / noise[v, u] > value / noise[j, i]:
                        highest = False
            if highest and value > most:
                most = value
    return most
