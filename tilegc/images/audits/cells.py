"""What the audit measures: a sample of lattice cells of every field, and the coarse light round the centre.

Cells belong to the field's lattice, never to tiles, and each is measured by itself: a unit of work is a cell. Only
small tables leave it; what they mean is judged in `tilegc.images.audits.lines` and `tilegc.images.audits.lens`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.engine import Engine, Unit
from tilegc.geometry import LATTICE, Box, TileGrid
from tilegc.images.audits.blank_sky import BOXES, background, blank_sky, box_sum, mad, scatter, shared_light
from tilegc.images.audits.compact_sources import compact_sources, empty
from tilegc.images.audits.useless import Counts, useless_pixels
from tilegc.io import store as stores
from tilegc.io.fits import FieldSource, row_bands
from tilegc.kernels.repeats import texture

__all__ = ["BLOCK_ARCSEC", "WEIGHT_BLOCK", "CoarseLight", "Sample", "sample", "sampled_cells"]

CELLS: Final = 4
"""Rows and columns of the cells that are looked at in a field, spread evenly."""

LEAST_VALID: Final = 0.25
"""Share of a cell that must have data."""

WEIGHT_BLOCK: Final = 32
"""Side of the blocks in which weights are compared, pixels."""

BLOCK_ARCSEC: Final = 0.48
"""About the side of a block of the coarse light, arcsec."""

REPEATS: Final = ("n", "n_repeated", "equal", "border")
"""Numbers that tell regions of one repeated value, which are no data, from images without noise."""

REACH: Final = 30.0
"""Distance from the cluster's centre up to which coarse light is looked at, arcsec."""

Values = NDArray[np.float32]
Table = dict[str, NDArray[np.generic]]
Planes = Mapping[str, Values]
"""sci, and err and wht where given: float32 (band, y, x)."""


@dataclass(frozen=True, eq=False)
class CoarseLight:
    """Medians of the summed bands in blocks of the cells round the cluster's centre."""

    y: NDArray[np.float64]
    """Middles of the blocks, pixels of the field; rows and columns of blocks are regular."""
    x: NDArray[np.float64]
    light: NDArray[np.float64]
    """nJy per pixel, (rows, columns); NaN where under half of a block has data."""
    missing: NDArray[np.float64]
    """Share of a block without data."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What the cells of one field say, sorted by cell and band."""

    n_cells: int
    """Cells that were looked at; those with little data say nothing."""
    noise: Table
    """A row a cell and band: cell, band, pixel (noise over expected, or nJy), boxes (n, 3), neighbours, blank (pixels),
    shared (share of the variance that is light of other bands too; NaN where there is no other), and `REPEATS`."""
    sources: Table
    """Bright compact sources: cell, band, those of `compact_sources` in pixels of the field, noise."""
    weights: NDArray[np.float64]
    """Medians of the weight in blocks, (cell, band, rows, columns); NaN without data; empty without weights."""
    light: CoarseLight | None
    useless: Mapping[int, Sequence[tuple[int, Counts]]]
    """By band, what `useless_pixels` found in every cell."""


@dataclass(frozen=True)
class _Job:
    """One cell of one field: what is asked of it, and its pixels where these were read before."""

    field: str
    box: Box
    block: int
    """Side of the blocks of coarse light, pixels; 0: noise and sources are asked for."""
    planes: Planes | None = None


def sampled_cells(shape: tuple[int, int]) -> list[Box]:
    """Return the lattice cells that are looked at: all of a small field, else `CELLS` x `CELLS` spread evenly."""
    grid = TileGrid(shape, LATTICE)
    rows, columns = grid.counts
    return [grid.tile(row * columns + column).core for row in _spread(rows) for column in _spread(columns)]


def _spread(count: int) -> list[int]:
    return (
        sorted({(2 * k + 1) * count // (2 * CELLS) for k in range(CELLS)})
        if count > CELLS
        else list(range(count))
    )


def sample(
    sources: Sequence[FieldSource], engine: Engine, centre: tuple[str, float, float] | None
) -> dict[str, Sample]:
    """Measure the sampled cells of all fields.

    Parameters
    ----------
    sources : sequence of FieldSource
    engine : Engine
        Who does it; a file that has no windows (gzip) is read here, once, and only its cells are kept.
    centre : tuple, optional
        Field, and pixel (y, x) round which coarse light is asked for.

    Returns
    -------
    dict of str to Sample
        By field.
    """
    jobs: list[_Job] = []
    for source in sources:
        wanted = [_Job(source.name, box, 0) for box in sampled_cells(source.shape)]
        if centre is not None and centre[0] == source.name:
            wanted += [_Job(source.name, box, block_side(source.scale)) for box in _round(source, centre[1:])]
        jobs += wanted if source.windowed else _with_planes(source, wanted)
    units = [
        Unit(f"{job.field}/{'light' if job.block else 'cell'}/{job.box.y0}-{job.box.x0}", job.box.size, job)
        for job in jobs
    ]
    common = {source.name: source for source in sources}
    found: list[tuple[_Job, Any]] = engine.run("audit", _measure, units, common=common, combine=_join) or []
    return {source.name: _sorted(source, found) for source in sources}


def block_side(scale: float) -> int:
    """Return the side of a block of coarse light, pixels: a power of 2, so that blocks fill lattice cells."""
    return int(2 ** min(max(round(math.log2(BLOCK_ARCSEC / scale)), 0), 5))


def _round(source: FieldSource, centre: tuple[float, float]) -> list[Box]:
    """Return the lattice cells within reach of the centre."""
    reach = REACH / source.scale
    grid = TileGrid(source.shape, LATTICE)
    near = Box(
        math.floor(centre[0] - reach),
        math.floor(centre[1] - reach),
        math.ceil(centre[0] + reach),
        math.ceil(centre[1] + reach),
    )
    return [tile.core for tile in grid.tiles() if tile.core.clip(near).size]


def _with_planes(source: FieldSource, jobs: Iterable[_Job]) -> list[_Job]:
    """Return the jobs with their pixels, read in one way through every file."""
    jobs = list(jobs)
    rows = {job.box.y0 // LATTICE for job in jobs}
    held: list[dict[str, Values]] = [{} for _ in jobs]
    for name, number, plane in source.planes():
        for y0, values in row_bands(plane, LATTICE):
            if y0 // LATTICE not in rows:
                continue
            for job, planes in zip(jobs, held, strict=True):
                if job.box.y0 == y0 and (name == "sci" or not job.block):
                    blank = np.full((len(source.bands), *job.box.shape), np.nan, np.float32)
                    planes.setdefault(name, blank)[number] = values[:, job.box.x0 : job.box.x1]
    return [_Job(job.field, job.box, job.block, planes) for job, planes in zip(jobs, held, strict=True)]


def _measure(common: Mapping[str, FieldSource], job: _Job) -> list[tuple[_Job, Any]]:
    """Measure one cell (runs on a worker)."""
    source = common[job.field]
    planes = job.planes
    if planes is None:
        names = ("sci",) if job.block else ("sci", "err", "wht")
        window = stores.read_window(source, source.store or "", names, job.box)
        planes = {name: window[name].values for name in names if name in window}
    bare = _Job(job.field, job.box, job.block)
    if job.block:
        return [(bare, _coarse(planes["sci"], job.block))]
    given = [band.given for band in source.bands]
    measured = [_band(planes, number, given[number], job.box) for number in range(len(given))]
    _compare([one for one in measured if one is not None])
    useless = [
        useless_pixels(
            planes["sci"][number],
            planes["wht"][number] if "wht" in given[number] else None,
            planes["err"][number] if "err" in given[number] else None,
            job.box,
        )
        for number in range(len(given))
    ]
    return [
        (bare, [(None if one is None else one.told, bad) for one, bad in zip(measured, useless, strict=True)])
    ]


def _join(a: list[Any], b: list[Any]) -> list[Any]:
    return a + b


@dataclass(frozen=True, eq=False)
class _Band:
    """One band of a cell."""

    told: tuple[dict[str, Any], Table, NDArray[np.float64]]
    """Noise, sources and weights: what leaves the worker."""
    relative: Values
    """Light over its expected noise, less the background."""
    blank: NDArray[np.bool_]
    expected: float
    """Median of the expected noise, nJy."""


def _compare(bands: Sequence[_Band]) -> None:
    """Add to the noise of every band which share of its variance is light that another band has too."""
    for one in bands:
        shares = [
            shared_light(one.relative, other.relative, one.blank & other.blank)
            * other.expected
            / one.expected
            for other in bands
            if other is not one
        ]
        known = [share for share in shares if math.isfinite(share)]
        one.told[0]["shared"] = max(known, default=math.nan)


def _band(planes: Planes, number: int, given: tuple[str, ...], box: Box) -> _Band | None:
    """Measure one band in a cell; None where it has too little data."""
    sci = planes["sci"][number]
    wht = planes["wht"][number] if "wht" in given else None
    err = planes["err"][number] if "err" in given else None
    valid = np.isfinite(sci)
    if wht is not None:
        valid &= wht > 0
    if err is not None:
        valid &= err > 0
    if valid.mean() < LEAST_VALID:
        return None
    one = np.float32(1)
    pixels = np.where(valid, sci, np.float32(0))
    expected: Values = np.ones_like(pixels)
    if err is not None:
        expected = np.where(valid, err, one)
    elif wht is not None:
        expected = np.asarray(one / np.sqrt(np.where(valid, wht, one)), np.float32)
    relative = np.asarray(pixels / expected, np.float32)
    smooth = background(relative, valid)
    relative -= np.where(valid, smooth, np.float32(0))
    blank = blank_sky(relative, valid)
    measured = scatter(relative, blank)
    # Without errors and weights the expected noise is 1, and the background is that of the pixels.
    light = smooth if err is None and wht is None else background(pixels, valid)
    flat = np.where(valid, pixels - light, np.float32(0))
    patch = mad(box_sum(flat, 3)[blank])
    weight = wht
    if weight is None and err is not None:
        weight = np.asarray(one / (expected * expected), np.float32)
    found = compact_sources(flat, valid, patch, wht)
    rows = len(found["y"])
    middle = float(np.median(expected[valid]))
    noise = {
        "pixel": measured.pixel,
        "boxes": measured.boxes,
        "neighbours": measured.neighbours,
        "level": middle * measured.pixel,
        "patch": patch,
        "blank": measured.n_blank,
        **_repeats(sci, weighted=wht is not None),
    }
    table = {
        **found,
        "y": found["y"] + box.y0,
        "x": found["x"] + box.x0,
        "noise": np.full(rows, patch),
        "band": np.full(rows, number),
    }
    return _Band((noise, table, _weights(weight, valid)), relative, blank, middle)


def _repeats(sci: Values, *, weighted: bool) -> dict[str, float]:
    """Return the numbers of `tilegc.kernels.repeats.Texture`; weights say themselves where there are no data."""
    if weighted:
        return dict.fromkeys(REPEATS, 0.0)
    found = texture(sci)
    return {name: float(getattr(found, name)) for name in REPEATS}


def _weights(weight: Values | None, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the medians of the weight in blocks that have data throughout."""
    side = WEIGHT_BLOCK
    size = LATTICE // side
    result = np.full((size, size), np.nan)
    if weight is None:
        return result
    rows, columns = (length // side for length in weight.shape)
    if not (rows and columns):  # a field smaller than a block
        return result
    part = (slice(0, rows * side), slice(0, columns * side))
    shape = (rows, side, columns, side)
    whole = valid[part].reshape(shape).all(axis=(1, 3))
    medians = np.median(weight[part].reshape(shape).swapaxes(1, 2).reshape(rows, columns, -1), axis=2)
    result[:rows, :columns] = np.where(whole, medians, np.nan)
    return result


def _coarse(sci: Values, side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the medians of the summed bands in blocks, and the share of each without data."""
    light = sci[0].copy()
    for band in sci[1:]:
        light += band
    rows, columns = (-(-length // side) for length in light.shape)
    padded = np.full((rows * side, columns * side), np.nan, np.float32)
    padded[: light.shape[0], : light.shape[1]] = light
    blocks = padded.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows, columns, -1)
    finite = np.isfinite(blocks)
    # Sorted with the missing ones last, the median is the middle of what is there.
    ordered = np.sort(blocks, axis=2)
    count = finite.sum(axis=2)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[..., None] // 2, axis=2)[..., 0]
    enough = 2 * count >= side * side
    return np.where(enough, middle, np.nan).astype(np.float64), 1 - count / (side * side)


def _sorted(source: FieldSource, found: Sequence[tuple[_Job, Any]]) -> Sample:
    """Put what the cells of one field say in order."""
    ours = sorted((pair for pair in found if pair[0].field == source.name), key=lambda pair: pair[0].box)
    cells = [(job, bands) for job, bands in ours if not job.block]
    rows: list[tuple[int, int, dict[str, Any]]] = []
    tables: list[Table] = []
    useless: dict[int, list[tuple[int, Counts]]] = {}
    weights = np.full(
        (len(cells), len(source.bands), LATTICE // WEIGHT_BLOCK, LATTICE // WEIGHT_BLOCK), np.nan
    )
    for cell, (_, bands) in enumerate(cells):
        for number, (told, bad) in enumerate(bands):
            useless.setdefault(number, []).append(bad)
            if told is None:
                continue
            noise, table, blocks = told
            rows.append((cell, number, noise))
            tables.append({**table, "cell": np.full(len(table["y"]), cell)})
            weights[cell, number] = blocks
    tables.append({**empty(), "noise": np.zeros(0), "band": np.zeros(0, int), "cell": np.zeros(0, int)})
    noise_table: Table = {
        "cell": np.array([row[0] for row in rows], int),
        "band": np.array([row[1] for row in rows], int),
        "boxes": np.array([row[2]["boxes"] for row in rows]).reshape(len(rows), len(BOXES)),
        **{
            name: np.array([row[2][name] for row in rows], float)
            for name in ("pixel", "neighbours", "level", "patch", "blank", "shared", *REPEATS)
        },
    }
    joined = {name: np.concatenate([table[name] for table in tables]) for name in tables[-1]}
    return Sample(
        len(cells),
        noise_table,
        joined,
        weights,
        _assembled([pair for pair in ours if pair[0].block]),
        useless,
    )


def _assembled(parts: Sequence[tuple[_Job, Any]]) -> CoarseLight | None:
    """Join the blocks of all cells into one image."""
    if not parts:
        return None
    side = parts[0][0].block
    y0, x0 = (min(getattr(job.box, name) for job, _ in parts) for name in ("y0", "x0"))
    y1, x1 = (max(getattr(job.box, name) for job, _ in parts) for name in ("y1", "x1"))
    shape = -(-(y1 - y0) // side), -(-(x1 - x0) // side)
    light, missing = np.full(shape, np.nan), np.ones(shape)
    for job, (values, share) in parts:
        j, i = (job.box.y0 - y0) // side, (job.box.x0 - x0) // side
        here = (slice(j, j + values.shape[0]), slice(i, i + values.shape[1]))
        light[here], missing[here] = values, share
    rows, columns = (np.arange(length) * side + (side - 1) / 2 for length in shape)
    return CoarseLight(y0 + rows, x0 + columns, light, missing)
