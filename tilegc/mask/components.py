"""Objects larger than a window: find their fragments in tiles, merge them, draw them (algorithm.md, section 14.4).

*find* labels the 8-connected fragments in one tile's core and describes each by integers alone; *combine*
puts the fragments of any tiles side by side; *merge*, once for a field, joins by union-find those that touch
across the borders of tiles and gives one table, sorted by each component's first pixel; *draw* finds a tile's
fragments again and looks up the components of which they are part.

All sums are integers and every measure follows from sums over the whole component, so the table has the same
bits for any cut into tiles.  A pixel's key, y 2^32 + x, orders pixels as an image is read; the smallest key
of a fragment names it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["Components", "Fragments", "combine", "draw", "find", "merge", "rows_of"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SHIFT: Final = 32


@dataclass(frozen=True, eq=False)
class Fragments:
    """Fragments of components in some tiles, and the runs of their pixels along the borders of the tiles."""

    key: Ints
    """(n,) key of the first pixel; rising."""
    area: Ints
    """(n,) pixels."""
    sums: Ints
    """(n, 5) sums over pixels of y, x, y^2, x^2 and y x, each counted from the fragment's first pixel."""
    bounds: Ints
    """(n, 4) half-open box in the field: y0, x0, y1, x1."""
    rows: Ints
    """(m, 4) horizontal runs in first and last rows of cores: y, first x, last x + 1, key; sorted."""
    columns: Ints
    """(m, 4) vertical runs in first and last columns of cores: x, first y, last y + 1, key; sorted."""


@dataclass(frozen=True, eq=False)
class Components:
    """The components of a field: one row each, in the order of their first pixels."""

    y: Ints
    """(n,) row of the first pixel."""
    x: Ints
    """(n,) column of the first pixel."""
    area: Ints
    """(n,) pixels."""
    centroid: NDArray[np.float64]
    """(n, 2) mean y and x of the pixels' centres."""
    moments: NDArray[np.float64]
    """(n, 3) central second moments yy, xx, yx in square pixels, a pixel's own extent (1/12) among them."""
    elongation: NDArray[np.float64]
    """(n,) ratio of the larger to the smaller principal axis, 1 or more: n / m for n x m pixels."""
    bounds: Ints
    """(n, 4) half-open box: y0, x0, y1, x1."""
    fragment: Ints
    """Keys of all fragments of these components, rising."""
    row: Ints
    """The row in this table of each of them."""


def find(mask: Bools, y0: int, x0: int, min_area: int = 1) -> Fragments:
    """Return the 8-connected fragments of one tile's core.

    Parameters
    ----------
    mask : (ny, nx) bool
        The core.
    y0, x0 : int
        Field coordinates of its first pixel; 0 or more.
    min_area : int
        Fragments of fewer pixels that do not touch the core's border are left out: `merge` with the same
        number would.

    Returns
    -------
    Fragments
    """
    height, width = mask.shape
    y, start, stop = _runs(np.require(mask, np.bool_, PLAIN))
    # Horizontal runs and not pixels are joined: there are far fewer of them, and runs of neighbouring lines are
    # compared by two counters that only move forward.
    root = _join(y, start, stop, np.arange(y.size), np.arange(y.size))
    first, label = np.unique(root, return_inverse=True)  # a root is the first run of its fragment
    area, sums, bounds = _measure(y, start, stop, label, first)
    # A fragment is named by the first of its pixels in the order of reading, in one integer. The name of a component
    # is the smallest of its fragments' names, and therefore the same for any cut into tiles.
    key = ((y[first] + y0) << SHIFT) | (start[first] + x0)
    inner = (bounds[:, 0] > 0) & (bounds[:, 1] > 0) & (bounds[:, 2] < height) & (bounds[:, 3] < width)
    # A small fragment at the border may be part of a large component, which its tile cannot know: only the inner ones
    # can be dropped here.
    kept = (area >= min_area) | ~inner
    bounds += np.array([y0, x0, y0, x0])
    # Of the border only the outermost line of pixels is kept. Fragments of two tiles touch exactly where runs of
    # these lines do, so the whole field is joined without any pixels.
    at_end = (y == 0) | (y == height - 1)
    rows = np.stack([y[at_end] + y0, start[at_end] + x0, stop[at_end] + x0, key[label[at_end]]], axis=1)
    sides = [
        _vertical(y[there] + y0, key[label[there]], column + x0)
        for column, there in ((0, start == 0), (width - 1, stop == width))
    ]
    columns = np.concatenate(sides[: min(width, 2)])
    return Fragments(key[kept], area[kept], sums[kept], bounds[kept], rows, columns)


def _vertical(y: Ints, key: Ints, column: int) -> Ints:
    """Return the (m, 4) vertical runs of a column's pixels `y`, rising, of fragments `key`."""
    # A core without set pixels on this side.
    if not y.size:
        return np.empty((0, 4), np.int64)
    breaks = np.flatnonzero(np.diff(y) != 1) + 1
    first, last = np.r_[0, breaks], np.r_[breaks, y.size] - 1
    return np.stack([np.full(first.size, column), y[first], y[last] + 1, key[first]], axis=1)


def combine(a: Fragments, b: Fragments) -> Fragments:
    """Return the fragments of both, which come from different tiles: associative and commutative."""
    both = {item.name: np.concatenate([getattr(a, item.name), getattr(b, item.name)]) for item in fields(a)}
    order = np.argsort(both["key"], kind="stable")
    return Fragments(
        both["key"][order],
        both["area"][order],
        both["sums"][order],
        both["bounds"][order],
        _sorted(both["rows"]),
        _sorted(both["columns"]),
    )


def _sorted(runs: Ints) -> Ints:
    return runs[np.lexsort((runs[:, 1], runs[:, 0]))]


def merge(fragments: Fragments, min_area: int = 1) -> Components:
    """Return the components of a field from the fragments of all its tiles.

    Parameters
    ----------
    fragments : Fragments
        Of all tiles, combined.
    min_area : int
        Smallest component to keep, pixels.

    Returns
    -------
    Components
        Sorted by first pixel; the same bits for any cut into tiles (`fragment` and `row` apart, which name
        the fragments of this one).
    """
    key = fragments.key
    root = np.arange(key.size)
    # Rows join tiles above and below one another, columns those side by side; corners are in both.
    for runs in (fragments.rows, fragments.columns):
        node = np.searchsorted(key, runs[:, 3])
        line, start, stop = (np.ascontiguousarray(runs[:, i]) for i in range(3))
        root = _join(line, start, stop, node, root)
    first, label = np.unique(root, return_inverse=True)  # a root is the fragment with the smallest key
    y, x = key >> SHIFT, key & ((1 << SHIFT) - 1)
    n = first.size
    area = np.zeros(n, np.int64)
    # Unbuffered, since several fragments have the same label; `area[label] += ...` would keep only one of them.
    np.add.at(area, label, fragments.area)
    bounds = fragments.bounds[first]
    for i, extreme in enumerate((np.minimum, np.minimum, np.maximum, np.maximum)):
        extreme.at(bounds[:, i], label, fragments.bounds[:, i])
    sums = _shifted(fragments, (y - y[first[label]], x - x[first[label]]), label, (area, bounds))
    kept = area >= min_area
    centroid, moments, elongation = _shape(area[kept], sums[kept])
    centroid += np.stack([y[first[kept]], x[first[kept]]], axis=1)
    # Rows of the table are numbered anew without the components that are too small.
    new_row = np.cumsum(kept) - 1
    part = kept[label]
    return Components(
        y=y[first[kept]],
        x=x[first[kept]],
        area=area[kept],
        centroid=centroid,
        moments=moments,
        elongation=elongation,
        bounds=bounds[kept],
        fragment=key[part],
        row=new_row[label[part]],
    )


def _shifted(
    fragments: Fragments, shift: tuple[Ints, Ints], label: Ints, extent: tuple[Ints, Ints]
) -> NDArray[Any]:
    """Return each component's five sums counted from its own first pixel, from those of its fragments.

    They are int64 unless area x extent^2 of a component reaches 2^62 (the whole of a field of 46,000 x 46,000
    px); then they are Python's integers.
    """
    area, bounds = extent
    size = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]).astype(np.float64)
    # Moving sums to another origin multiplies them by the square of the distance. Floats would round here, and the
    # bits of a moment would then depend on how many tiles a component was cut into.
    exact: type = np.int64 if (area * size * size < 2.0**62).all() else object
    values: tuple[NDArray[Any], ...] = (
        *(along.astype(exact) for along in shift),
        fragments.area.astype(exact),
        *fragments.sums.T.astype(exact),
    )
    dy, dx, count, y, x, yy, xx, yx = values
    moved = (
        y + count * dy,
        x + count * dx,
        yy + 2 * dy * y + count * dy * dy,
        xx + 2 * dx * x + count * dx * dx,
        yx + dy * x + dx * y + count * dy * dx,
    )
    sums: NDArray[Any] = np.zeros((area.size, 5), exact)
    for i, column in enumerate(moved):
        np.add.at(sums[:, i], label, column)
    return sums


def _shape(
    area: Ints, sums: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return centroid (from the first pixel), central second moments and elongation."""
    mean = sums.astype(np.float64) / area[:, np.newaxis]
    y, x = mean[:, 0], mean[:, 1]
    pixel = 1.0 / 12.0
    # Only here do the sums become floats, after all of them were added. A pixel is a square and not a point, whence
    # 1/12: a line of pixels has a finite axis ratio, and one pixel has the ratio 1.
    yy, xx, yx = mean[:, 2] - y * y + pixel, mean[:, 3] - x * x + pixel, mean[:, 4] - y * x
    half, apart = 0.5 * (yy + xx), np.sqrt(0.25 * (yy - xx) * (yy - xx) + yx * yx)
    smaller = np.maximum(half - apart, pixel)
    elongation = np.sqrt(np.maximum((half + apart) / smaller, 1.0))
    return mean[:, :2].copy(), np.stack([yy, xx, yx], axis=1), elongation


def rows_of(mask: Bools, y0: int, x0: int, components: Components) -> Ints:
    """Return, for every pixel of a tile's core, the row of its component.

    Parameters
    ----------
    mask, y0, x0
        As they were given to `find`, for the same tiles.
    components : Components

    Returns
    -------
    (ny, nx) int64
        -1 where the mask is not set or the component is not in the table.
    """
    y, start, stop = _runs(np.require(mask, np.bool_, PLAIN))
    root = _join(y, start, stop, np.arange(y.size), np.arange(y.size))
    key = ((y[root] + y0) << SHIFT) | (start[root] + x0)
    place = np.searchsorted(components.fragment, key)
    # searchsorted returns the length of the table for keys beyond its end; one more element, which no key equals,
    # spares that case a branch.
    held = np.append(components.fragment, -1)[place] == key
    row = np.where(held, np.append(components.row, -1)[place], -1)
    result = np.full(mask.shape, -1, np.int64)
    _paint(y, start, stop, row, result)
    return result


def draw(mask: Bools, y0: int, x0: int, components: Components, chosen: Bools | None = None) -> Bools:
    """Return the pixels of a tile's core that belong to components of the table.

    Parameters
    ----------
    mask, y0, x0
        As they were given to `find`, for the same tiles.
    components : Components
    chosen : (n,) bool, optional
        Which rows of the table to draw; all of them by default.

    Returns
    -------
    (ny, nx) bool
    """
    row = rows_of(mask, y0, x0, components)
    if chosen is None:
        return row >= 0
    result: Bools = np.append(chosen, False)[row]  # row -1 is the last one
    return result


@compiled
def _runs(mask: Bools) -> tuple[Ints, Ints, Ints]:
    """Return row, first column and last column + 1 of all horizontal runs, in the order of reading."""
    height, width = mask.shape
    count = 0
    for y in range(height):
        for x in range(width):
            if mask[y, x] and (x == 0 or not mask[y, x - 1]):
                count += 1
    line, start, stop = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    n = 0
    for y in range(height):
        inside = False
        for x in range(width):
            if mask[y, x] and not inside:
                line[n], start[n] = y, x
            elif inside and not mask[y, x]:
                stop[n] = x
                n += 1
            inside = mask[y, x]
        if inside:
            stop[n] = width
            n += 1
    return line, start, stop


@compiled
def _root(parent: Ints, node: int) -> int:
    while parent[node] != node:
        # Path halving: every second link is shortened on the way, without a second pass or a stack.
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compiled
def _unite(parent: Ints, a: int, b: int) -> None:
    a, b = _root(parent, a), _root(parent, b)
    # The smaller node becomes the root, not that of the larger tree: a root must be the first run of its fragment
    # whatever the order of joining. Halving the paths keeps the trees flat enough.
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@compiled
def _join(line: Ints, start: Ints, stop: Ints, node: Ints, known: Ints) -> Ints:
    """Return the smallest node connected with each node, given runs sorted by line and start.

    Runs touch if they follow one another on a line, or overlap, corners included, on neighbouring lines.
    `known` holds what is connected already: for each node another one, not larger.
    """
    parent = known.copy()
    # Both the present run and `upper` only move forward, since runs are sorted: the pass is linear in the number of
    # runs whatever the mask looks like.
    upper = 0  # the first run that may touch the present one from the line above
    for n in range(line.size):
        # Runs of one line touch without a gap only at the border between two tiles.
        if n > 0 and line[n] == line[n - 1] and start[n] == stop[n - 1]:
            _unite(parent, node[n], node[n - 1])
        while upper < n and (
            line[upper] < line[n] - 1 or (line[upper] == line[n] - 1 and stop[upper] < start[n])
        ):
            upper += 1
        above = upper
        while above < n and line[above] == line[n] - 1 and start[above] <= stop[n]:
            _unite(parent, node[n], node[above])
            above += 1
    for n in range(parent.size):
        parent[n] = _root(parent, n)
    return parent


@compiled
def _measure(y: Ints, start: Ints, stop: Ints, label: Ints, first: Ints) -> tuple[Ints, Ints, Ints]:
    """Return area, sums counted from the first pixel, and bounds of fragments 0, 1, ... from their runs."""
    n = first.size
    area, sums, bounds = np.zeros(n, np.int64), np.zeros((n, 5), np.int64), np.empty((n, 4), np.int64)
    for i in range(n):
        run = first[i]
        bounds[i, 0], bounds[i, 1], bounds[i, 2], bounds[i, 3] = y[run], start[run], y[run], stop[run]
    for run in range(y.size):
        i = label[run]
        dy, a, b = y[run] - y[first[i]], start[run] - start[first[i]], stop[run] - start[first[i]]
        # Sums of x and x^2 over a run in closed form: a run of a thousand pixels costs as much as one of a single
        # pixel, and integers stay exact.
        length, x_sum = b - a, (b * (b - 1) - a * (a - 1)) // 2
        area[i] += length
        sums[i, 0] += dy * length
        sums[i, 1] += x_sum
        sums[i, 2] += dy * dy * length
        sums[i, 3] += ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
        sums[i, 4] += dy * x_sum
        bounds[i, 1] = min(bounds[i, 1], start[run])
        bounds[i, 2] = y[run] + 1
        bounds[i, 3] = max(bounds[i, 3], stop[run])
    return area, sums, bounds


@compiled
def _paint(y: Ints, start: Ints, stop: Ints, value: Ints, image: Ints) -> None:
    for run in range(y.size):
        for x in range(start[run], stop[run]):
            image[y[run], x] = value[run]
