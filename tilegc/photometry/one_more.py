"""Photometry of artificial stars, each alone among the sources of a finished fit.

A star that is added to the data changes the fluxes of all sources, but its effect falls off with the overlaps of
stamps. It is therefore fitted together with the sources near it, on what the finished fit left of the data, in as
many rounds as the sources were: fluxes, then the plane of the sky under the star, then its position. The plane and
the step in position are those of `local_sky` and `positions` themselves.

Sources whose peaks the star's own peak would blank are not fitted: their light goes back into the data, and the star
is measured with it, as a blend is. Positions of neighbours, and the planes under them, stay as they are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.photometry.elimination import solved
from tilegc.photometry.local_sky import HALF, planes_of
from tilegc.photometry.positions import refine_all
from tilegc.photometry.spline_psf import stamp

__all__ = ["NEAR", "Added", "Answers", "Scene", "answers", "measure_one_by_one"]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

NEAR: Final = 8
"""Pixels along y or x within which sources are fitted together with a star."""

MOST: Final = 48
"""Sources that are fitted with a star at the most: more peaks do not fit into `NEAR`."""

LOOKED: Final = HALF + 2
"""Pixels about a star's peak in which planes and positions look at residuals."""


class Scene(NamedTuple):
    """A window of a field after the fit of its sources."""

    residual: Float32
    """Data less sky and sources in every band, nJy per pixel, (band, ny, nx)."""
    weight: Float32
    """nJy^-2, (band, ny, nx); 0: no data."""
    place: Int32
    """Number of the source whose peak lies on a pixel, (ny, nx); -1: none."""
    row: Int64
    """Pixel in which each source lies, (m,)."""
    column: Int64
    dy: Floats
    """Offset from its centre, pixels, (m,)."""
    dx: Floats
    flux: Floats
    """nJy, (band, m)."""
    tables: Floats
    """Of the PSFs, (band, s, s, k, k)."""


class Added(NamedTuple):
    """Stars and the pixels of the peaks that they make."""

    row: Int64
    """Pixel in which each star lies, (n,)."""
    column: Int64
    dy: Floats
    dx: Floats
    flux: Floats
    """nJy, (band, n)."""
    peak_row: Int64
    peak_column: Int64


class Answers(NamedTuple):
    """What the fit finds of each star, (band, n); NaN where its stamp has no pixel of weight."""

    flux: Floats
    """nJy."""
    white: Floats
    """Variance for white noise of the weights and a known sky, nJy^2."""
    growth: Floats
    """Variance with the free plane over that with a known sky."""
    diagonal: Floats
    """sum w P^2, nJy^-2."""
    weight: Floats
    """sum w P, nJy^-2."""
    photons: Floats
    """sum w^2 P^3, nJy^-4."""


def answers(bands: int, stars: int) -> Answers:
    """Return answers that hold nothing yet."""
    return Answers(*(np.full((bands, stars), np.nan) for _ in Answers._fields))


@compiled
def measure_one_by_one(
    scene: Scene, stars: Added, light: Floats, reach: Int64, rounds: int, found: Answers
) -> None:
    """Measure stars, one at a time.

    Parameters
    ----------
    scene : Scene
    stars : Added
    light : (band, s, s, k, k) float64
        Splines of the light that the stars have; the PSFs of the fit, where these are right.
    reach : int64
        By distance along y the distance along x within which a peak blanks others, pixels.
    rounds : int
        How often positions and planes are fitted.
    found : Answers
        Changed in place.
    """
    bands = scene.tables.shape[0]
    size = scene.tables.shape[-1] - 2
    radius = size // 2
    half = radius + NEAR + 1
    side = 2 * half + 1
    data, left = np.empty((bands, side, side)), np.zeros((bands, side, side), np.float32)
    weight, extra = np.empty((bands, side, side), np.float32), np.empty((side, side))
    member, own = np.empty(MOST, np.int64), np.zeros(1, np.int64)
    shapes, shape = np.empty((bands, MOST, size, size)), np.empty((1, size, size))
    matrix, right = np.empty((bands, MOST + 1, MOST + 1)), np.empty((bands, MOST + 1))
    root, solution = np.empty((MOST + 1, MOST + 1)), np.empty(MOST + 1)
    middle = np.full(1, half)
    row, column = np.empty(1, np.int64), np.empty(1, np.int64)
    dy, dx, offset, error = np.empty(1), np.empty(1), np.empty((1, 2)), np.empty((1, 2))
    plane, flux = np.empty((bands, 1, 3)), np.empty((bands, 1))
    terms, growth, grown = np.zeros((1, 3)), np.ones(1), np.ones(bands)
    for n in range(stars.row.size):
        top, first = stars.peak_row[n] - half, stars.peak_column[n] - half
        count = _members(scene, stars.peak_row[n], stars.peak_column[n], reach, member)
        for b in range(bands):
            _patch(scene, b, top, first, data[b], weight[b], extra)
            stamp(light[b], stars.dy[n], stars.dx[n], shape[0])
            _add(extra, stars.row[n] - top, stars.column[n] - first, stars.flux[b, n], shape[0])
            _blanked(scene, b, stars.peak_row[n], stars.peak_column[n], reach, shape[0], extra)
            data[b] += extra
            for k in range(count):
                m = member[k]
                stamp(scene.tables[b], scene.dy[m], scene.dx[m], shapes[b, k])
            _among(scene, member, count, top, first, weight[b], extra, shapes[b], matrix[b], right[b])
        offset[:] = 0.0
        plane[:] = 0.0
        grown[:] = 1.0
        for number in range(rounds + 1):
            j, i = int(np.floor(offset[0, 0] + 0.5)), int(np.floor(offset[0, 1] + 0.5))
            row[0], column[0] = half + j, half + i
            dy[0] = min(max(offset[0, 0] - j, -0.5), 0.5)
            dx[0] = min(max(offset[0, 1] - i, -0.5), 0.5)
            for b in range(bands):
                stamp(scene.tables[b], dy[0], dx[0], shape[0])
                sums = _own_row(
                    data[b], weight[b], shape[0], row[0], column[0], half, plane[b, 0], matrix[b], right[b]
                )
                _with_members(
                    scene,
                    member,
                    count,
                    top,
                    first,
                    weight[b],
                    shape[0],
                    row[0],
                    column[0],
                    shapes[b],
                    matrix[b],
                )
                pivot = solved(matrix[b], right[b], count + 1, root, solution)
                flux[b, 0] = solution[0] if pivot > 0 else 0.0
                if number == rounds:
                    if pivot > 0:
                        found.flux[b, n] = solution[0]
                        found.white[b, n] = 1.0 / pivot
                        found.growth[b, n] = grown[b]
                        found.diagonal[b, n] = sums[0]
                        found.weight[b, n] = sums[1]
                        found.photons[b, n] = sums[2]
                    continue
                _subtracted(data[b], half, left[b])
                if pivot > 0:
                    _take(left[b], row[0], column[0], solution[0], shape[0], half)
                    for k in range(count):
                        m = member[k]
                        down, across = scene.row[m] - top, scene.column[m] - first
                        _take(left[b], down, across, solution[k + 1], shapes[b, k], half)
                terms[:] = 0.0
                growth[:] = 1.0
                planes_of(left[b], weight[b], middle, middle, row, column, shape, own, terms, growth)
                plane[b, 0] = terms[0]
                grown[b] = growth[0]
            if number < rounds:
                refine_all(
                    left,
                    weight,
                    row,
                    column,
                    dy,
                    dx,
                    own,
                    flux,
                    scene.tables,
                    middle,
                    middle,
                    plane,
                    offset,
                    error,
                )


@compiled
def _blanks(dy: int, dx: int, reach: Int64) -> bool:
    """Return whether a peak blanks another one at this distance, pixels."""
    return abs(dy) < reach.size and abs(dx) <= reach[abs(dy)]


@compiled
def _members(scene: Scene, y: int, x: int, reach: Int64, member: Int64) -> int:
    """List the sources about a peak that are fitted with it; return how many."""
    height, width = scene.place.shape
    count = 0
    for v in range(max(y - NEAR, 0), min(y + NEAR + 1, height)):
        for u in range(max(x - NEAR, 0), min(x + NEAR + 1, width)):
            if scene.place[v, u] >= 0 and not _blanks(v - y, u - x, reach) and count < MOST:
                member[count] = scene.place[v, u]
                count += 1
    return count


@compiled
def _patch(scene: Scene, b: int, top: int, first: int, data: Floats, weight: Float32, extra: Floats) -> None:
    """Set the data, without the star, and the weights of one band about a peak."""
    height, width = scene.place.shape
    for j in range(data.shape[0]):
        for i in range(data.shape[1]):
            y, x = top + j, first + i
            weight[j, i] = 0.0
            data[j, i] = 0.0
            if 0 <= y < height and 0 <= x < width and scene.weight[b, y, x] > 0:
                weight[j, i] = scene.weight[b, y, x]
                data[j, i] = scene.residual[b, y, x]
    extra[:] = 0.0


@compiled
def _add(out: Floats, row: int, column: int, flux: float, shape: Floats) -> None:
    """Add a point to a patch."""
    radius = shape.shape[0] // 2
    for j in range(max(row - radius, 0), min(row + radius + 1, out.shape[0])):
        for i in range(max(column - radius, 0), min(column + radius + 1, out.shape[1])):
            out[j, i] += flux * shape[j - row + radius, i - column + radius]


@compiled
def _take(out: Float32, row: int, column: int, flux: float, shape: Floats, half: int) -> None:
    """Take a point out of the pixels about the middle of a patch that are looked at."""
    radius = shape.shape[0] // 2
    for j in range(max(row - radius, half - LOOKED), min(row + radius, half + LOOKED) + 1):
        for i in range(max(column - radius, half - LOOKED), min(column + radius, half + LOOKED) + 1):
            out[j, i] -= np.float32(flux * shape[j - row + radius, i - column + radius])


@compiled
def _subtracted(data: Floats, half: int, left: Float32) -> None:
    """Set the pixels that planes and positions look at to the data."""
    for j in range(half - LOOKED, half + LOOKED + 1):
        for i in range(half - LOOKED, half + LOOKED + 1):
            left[j, i] = data[j, i]


@compiled
def _blanked(scene: Scene, b: int, y: int, x: int, reach: Int64, shape: Floats, extra: Floats) -> None:
    """Add the light of the sources whose peaks a star's peak blanks."""
    height, width = scene.place.shape
    far, half = reach.size - 1, extra.shape[0] // 2
    for v in range(max(y - far, 0), min(y + far + 1, height)):
        for u in range(max(x - far, 0), min(x + far + 1, width)):
            m = scene.place[v, u]
            if m >= 0 and _blanks(v - y, u - x, reach):
                stamp(scene.tables[b], scene.dy[m], scene.dx[m], shape)
                _add(extra, scene.row[m] - y + half, scene.column[m] - x + half, scene.flux[b, m], shape)


@compiled
def _among(
    scene: Scene,
    member: Int64,
    count: int,
    top: int,
    first: int,
    weight: Float32,
    extra: Floats,
    shapes: Floats,
    matrix: Floats,
    right: Floats,
) -> None:
    """Set the equations of the sources about a star: what the finished fit left of the data adds nothing to them."""
    radius = shapes.shape[1] // 2
    side = weight.shape[0]
    for k in range(count):
        y, x = scene.row[member[k]] - top - radius, scene.column[member[k]] - first - radius
        total = 0.0
        for j in range(max(y, 0), min(y + 2 * radius + 1, side)):
            for i in range(max(x, 0), min(x + 2 * radius + 1, side)):
                total += weight[j, i] * shapes[k, j - y, i - x] * extra[j, i]
        right[k + 1] = total
        for m in range(k + 1):
            v, u = scene.row[member[m]] - top - radius, scene.column[member[m]] - first - radius
            total = 0.0
            for j in range(max(y, v, 0), min(y, v) + 2 * radius + 1):
                for i in range(max(x, u, 0), min(x, u) + 2 * radius + 1):
                    if j < side and i < side:
                        total += weight[j, i] * (shapes[k, j - y, i - x] * shapes[m, j - v, i - u])
            matrix[k + 1, m + 1] = total


@compiled
def _own_row(
    data: Floats,
    weight: Float32,
    shape: Floats,
    row: int,
    column: int,
    half: int,
    plane: Floats,
    matrix: Floats,
    right: Floats,
) -> tuple[float, float, float]:
    """Set the star's own equation; return sum w P^2, sum w P and sum w^2 P^3."""
    radius = shape.shape[0] // 2
    square, product, plain, third = 0.0, 0.0, 0.0, 0.0
    for j in range(row - radius, row + radius + 1):
        level = plane[0] + plane[1] * (j - half)
        for i in range(column - radius, column + radius + 1):
            w = weight[j, i]
            p = shape[j - row + radius, i - column + radius]
            wp = w * p
            square += wp * p
            plain += wp
            third += wp * wp * p
            product += wp * (data[j, i] - (level + plane[2] * (i - half)))
    matrix[0, 0], right[0] = square, product
    return square, plain, max(third, 0.0)


@compiled
def _with_members(
    scene: Scene,
    member: Int64,
    count: int,
    top: int,
    first: int,
    weight: Float32,
    shape: Floats,
    row: int,
    column: int,
    shapes: Floats,
    matrix: Floats,
) -> None:
    """Set the overlaps of the star with the sources about it."""
    radius = shape.shape[0] // 2
    y, x = row - radius, column - radius
    for k in range(count):
        v, u = scene.row[member[k]] - top - radius, scene.column[member[k]] - first - radius
        total = 0.0
        for j in range(max(y, v), min(y, v) + 2 * radius + 1):
            for i in range(max(x, u), min(x, u) + 2 * radius + 1):
                total += weight[j, i] * (shape[j - y, i - x] * shapes[k, j - v, i - u])
        matrix[k + 1, 0] = total
