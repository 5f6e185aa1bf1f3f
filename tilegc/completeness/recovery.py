"""Whether a run would have found a star that it did not see: the rules of detection, applied to one star at a time.

The detection filter is linear, so the star's response is added to the detection map in a small window, and the rules
that made the catalogue are applied there again: local maxima, blanking, threshold, masks, shapes. Stars are added one
at a time to the sky as it is, so they never crowd one another.

The catalogues with and without the star are then compared. A source of the new catalogue has exactly one parent, the
brightest of what contributes to it; otherwise a star would count as recovered whenever it falls on a source that is
there anyway, and the completeness of a crowded field would come out too high:

- a new source within `MATCH` pixels of the star: recovered, unless a fainter candidate stood there that is brighter
  than the star, and that the star merely lifted above the limit;
- an old source there, which stays or moves: recovered only if the star is the brighter of the two; the old source then
  counts as displaced;
- every other source that vanishes is displaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.detection.shape_ratios import ShapeTables, shapes_at
from tilegc.detection.shapes import ELONGATED, EXTENDED, SIGMAS
from tilegc.kernels.compiled import compiled
from tilegc.photometry.spline_psf import stamp

__all__ = [
    "BLENDED",
    "BRIGHT",
    "FAINT",
    "FOUND",
    "LIFTED",
    "MATCH",
    "NO_POINT",
    "Limits",
    "Shapes",
    "Sky",
    "recover",
]

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


@dataclass(frozen=True)
class Limits:
    """When a peak is a source of the catalogue."""

    limit: np.float32
    """Least value of a catalogued peak, in signal-to-noise or in nJy per pixel."""
    floor: np.float32
    """Least value of a peak that may be lifted above it."""
    reach: Int64
    """By distance in y, the distance in x to which a peak blanks, pixels."""
    maxima: bool
    """Whether only local maxima may be peaks."""


@dataclass(frozen=True)
class Shapes:
    """How shapes decide."""

    tables: ShapeTables
    decide: bool
    """Whether only points are catalogued."""


@dataclass(frozen=True)
class Sky:
    """A window of a field as it is without the star."""

    detection: Float32
    """nJy per pixel, (ny, nx); NaN where nothing was filtered."""
    noise: Float32
    """What values of the detection map are divided by to be compared with the limit; 1 where they are not."""
    allowed: Bool
    """Where a peak may be recorded."""
    light: Float32
    """Summed bands, nJy per pixel."""
    source: Int32
    """At the pixel of every peak above the limit its place in `flux` and `listed`; -1 elsewhere."""
    flux: Floats
    """Of these peaks, nJy, in the unit of the detection map."""
    listed: Bool
    """Whether they are in the catalogue."""


def recover(
    sky: Sky,
    limits: Limits,
    shapes: Shapes,
    place: tuple[Int64, Int64, Floats, Floats],
    flux: Floats,
    reference: Floats,
    tables: tuple[Floats, Floats],
    patches: tuple[Int64, Floats],
    masked: Bool,
) -> dict[str, NDArray[np.generic]]:
    """Return what becomes of every star.

    Parameters
    ----------
    sky : Sky
        Right, as a run made it, within the responses' radius and a few pixels more of every star.
    limits : Limits
    shapes : Shapes
    place : row, column, dy, dx
        Of the stars: pixels of the window, and offsets from their centres within ±0.5.
    flux : (band, n) float64
        nJy.
    reference : (n,) float64
        Flux in the unit of the detection map, nJy.
    tables : (band, s, s, m, m) float64, twice
        `Responses.detection` and `Responses.light`.
    patches : (n,) int64, (k, p, p) float64
        Which of the patches is a star's response, where it was computed pixel by pixel; -1: it is the table's.
    masked : (n,) bool
        Stars that will be masked (`tilegc.completeness.own_mask`).

    Returns
    -------
    dict
        By star: verdict (int32), displaced (int32), y, x (int64, the peak in the window, -1: none) and value (float64,
        of the detection map there).
    """
    n = reference.size
    found: dict[str, NDArray[np.generic]] = {
        "verdict": np.full(n, FAINT, np.int32), "displaced": np.zeros(n, np.int32), "y": np.full(n, -1, np.int64),
        "x": np.full(n, -1, np.int64), "value": np.full(n, np.nan),
    }  # fmt: skip
    shape = shapes.tables
    weights = (shape.flux, shape.wide, shape.ratio, shape.height, shape.strips, shape.line)
    _recover(
        sky.detection, sky.noise, sky.allowed, sky.light, sky.source, sky.flux, sky.listed,
        *place, flux, reference, *tables, *patches, masked,
        limits.limit, limits.floor, limits.reach, limits.maxima, shapes.decide, weights, shape.line_noise,
        found["verdict"], found["displaced"], found["y"], found["x"], found["value"],
    )  # fmt: skip
    return found


@compiled
def _recover(
    detection: Float32, noise: Float32, allowed: Bool, light: Float32, source: Int32, old_flux: Floats, listed: Bool,
    row: Int64, column: Int64, dy: Floats, dx: Floats, flux: Floats, reference: Floats, responses: Floats,
    psfs: Floats, which: Int64, patches: Floats, masked: Bool, limit: np.float32, floor: np.float32, reach: Int64,
    maxima: bool, decide: bool, weights: tuple[Floats, Floats, float, float, Floats, float], line_noise: float,
    verdict: Int32, displaced: Int32, peak_y: Int64, peak_x: Int64, value: Floats,
) -> None:  # fmt: skip
    height, width = detection.shape
    bands = flux.shape[0]
    size = responses.shape[-1] - 2
    radius = size // 2
    star_radius = (psfs.shape[-1] - 3) // 2
    near2 = MATCH * MATCH
    part, patch = np.empty((size, size)), np.empty((size, size))
    star = np.empty((2 * star_radius + 1, 2 * star_radius + 1))
    # One pixel more on every side, for the neighbours of the outermost pixels.
    raised, rank = np.empty((size + 2, size + 2), np.float32), np.empty((size + 2, size + 2), np.float32)
    shine = np.empty((size + 2 * AROUND, size + 2 * AROUND), np.float32)
    state = np.empty((size, size), np.int8)
    at_y, at_x = np.empty(size * size, np.int64), np.empty(size * size, np.int64)
    taken = np.empty(size * size, np.bool_)
    for n in range(row.size):
        y0, x0 = row[n] - radius, column[n] - radius  # of the patch
        if masked[n]:
            verdict[n] = BRIGHT
            for y in range(max(row[n] - RIM, 0), min(row[n] + RIM + 1, height)):
                for x in range(max(column[n] - RIM, 0), min(column[n] + RIM + 1, width)):
                    if (
                        source[y, x] >= 0
                        and listed[source[y, x]]
                        and (y - row[n]) ** 2 + (x - column[n]) ** 2 <= RIM * RIM
                    ):
                        displaced[n] += 1
            continue
        if which[n] >= 0:
            patch[:] = patches[which[n]]
        else:
            patch[:] = 0.0
            for b in range(bands):
                stamp(responses[b], dy[n], dx[n], part)
                patch += flux[b, n] * part
        for j in range(size + 2):
            for i in range(size + 2):
                y, x = y0 + j - 1, x0 + i - 1
                raised[j, i] = np.nan
                rank[j, i] = np.nan
                if 0 <= y < height and 0 <= x < width:
                    total = detection[y, x]
                    if 1 <= j <= size and 1 <= i <= size:
                        total += np.float32(patch[j - 1, i - 1])
                    raised[j, i] = total
                    if noise[y, x] > 0:
                        rank[j, i] = total / noise[y, x]
        count = _peaks(rank, allowed, y0, x0, limit, maxima, at_y, at_x)
        _select(rank, detection, noise, source, y0, x0, count, at_y, at_x, reach, taken)

        # Light changes as far as the star's own reaches; shapes look a few pixels farther.
        _shine(light, psfs, flux[:, n], dy[n], dx[n], y0 - AROUND, x0 - AROUND, star, shine)
        state[:] = 0
        for k in range(count):
            if not taken[k]:
                continue
            j, i = at_y[k], at_x[k]
            known = source[y0 + j, x0 + i]
            if not decide:
                point = True
            elif known >= 0 and max(abs(j - radius), abs(i - radius)) > star_radius + AROUND:
                point = listed[known]
            else:
                point = _is_point(shine, j + AROUND, i + AROUND, rank[j + 1, i + 1], weights, line_noise)
            state[j, i] = 1 if point else 2
        verdict[n], displaced[n], j, i = _judged(
            state, source, old_flux, listed, detection, noise, allowed, row[n], column[n], dy[n], dx[n],
            reference[n], radius, near2, limit, floor,
        )  # fmt: skip
        if j >= 0:
            peak_y[n], peak_x[n] = y0 + j, x0 + i
            value[n] = raised[j + 1, i + 1]


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
    rank: Float32, detection: Float32, noise: Float32, source: Int32, y0: int, x0: int, count: int, at_y: Int64,
    at_x: Int64, reach: Int64, taken: Bool,
) -> None:  # fmt: skip
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
    light: Float32, psfs: Floats, flux: Floats, dy: float, dx: float, y0: int, x0: int, star: Floats, out: Float32
) -> None:  # fmt: skip
    """Set the summed bands of a patch, the star included; NaN beyond the window."""
    height, width = light.shape
    size = out.shape[0]
    for j in range(size):
        for i in range(size):
            inside = 0 <= y0 + j < height and 0 <= x0 + i < width
            out[j, i] = light[y0 + j, x0 + i] if inside else np.nan
    first = (size - star.shape[0]) // 2
    for b in range(flux.size):
        stamp(psfs[b], dy, dx, star)
        for j in range(star.shape[0]):
            for i in range(star.shape[1]):
                out[first + j, first + i] += np.float32(flux[b] * star[j, i])


@compiled
def _is_point(
    shine: Float32, j: int, i: int, snr: float, weights: tuple[Floats, Floats, float, float, Floats, float],
    line_noise: float,
) -> bool:  # fmt: skip
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
    state: NDArray[np.int8], source: Int32, old_flux: Floats, listed: Bool, detection: Float32, noise: Float32,
    allowed: Bool, row: int, column: int, dy: float, dx: float, reference: float, radius: int, near2: float,
    limit: np.float32, floor: np.float32,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Compare the two catalogues: verdict, sources displaced, and the star's peak in the patch (-1: none)."""
    height, width = source.shape
    size = state.shape[0]
    y0, x0 = row - radius, column - radius
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
    if _brightest_below(detection, noise, allowed, source, listed, y0 + at_j, x0 + at_i, limit, floor) > reference:
        return LIFTED, gone, at_j, at_i
    return FOUND, gone, at_j, at_i


@compiled
def _brightest_below(
    detection: Float32, noise: Float32, allowed: Bool, source: Int32, listed: Bool, y: int, x: int,
    limit: np.float32, floor: np.float32,
) -> float:  # fmt: skip
    """Return the largest peak by a pixel that the catalogue does not hold, nJy: too faint for it, or no point."""
    height, width = detection.shape
    most = -np.inf
    for j in range(max(y - 1, 1), min(y + 2, height - 1)):
        for i in range(max(x - 1, 1), min(x + 2, width - 1)):
            value = detection[j, i]
            if not (noise[j, i] > 0 and value / noise[j, i] >= floor and allowed[j, i]):
                continue
            if value / noise[j, i] >= limit and (source[j, i] < 0 or listed[source[j, i]]):
                continue
            highest = True
            for v in range(j - 1, j + 2):
                for u in range(i - 1, i + 2):
                    if noise[v, u] > 0 and detection[v, u] / noise[v, u] > value / noise[j, i]:
                        highest = False
            if highest and value > most:
                most = value
    return most
