"""The noise of pixels, measured in the image itself, for bands whose errors and weights do not follow it.

Mosaics have few depths, with sharp steps between them. In each node of a grid the noise is the median of a high-pass of
the image in a square of 12 px; nodes are then averaged with those around them that have about the same noise, so that a
step stays where it is. Only the pattern of the noise is used; its scale comes from the filtered band, as for errors and
weights (`tilegc.filter.pixel_noise`).

What is lost: strips narrower than a square, steps of less than about a quarter, and the middle of crowded clusters,
where sources pass for noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.engine import Pass, run_pass
from tilegc.filter.pixel_noise import NODE
from tilegc.filter.unobserved import REACH as UNOBSERVED
from tilegc.filter.unobserved import observed
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.phases.context import Context, blocks_of

__all__ = ["MEASURED_NOISE", "averaged", "measured_noise", "node_noise"]

Floats = NDArray[np.float64]

SQUARE: Final = 12
"""Side of the square in which a node's noise is measured, pixels: a step 10 px away is not in it."""
APART: Final = 2
"""Pixels between those whose mean is taken off: neighbours are correlated by drizzling."""
HALO: Final = (SQUARE - NODE) // 2 + APART
NEIGHBOURS: Final = 5
"""Nodes on either side that are averaged, 40 px."""
ALIKE: Final = (0.3, 0.12)
"""Logarithmic difference in noise at which a neighbour counts a quarter, in two rounds; one node is good to 12 %."""


@dataclass(frozen=True)
class _Wanted:
    field: int
    bands: tuple[int, ...]
    unobserved: tuple[bool, ...]


Nodes = dict[tuple[int, int, int, int], NDArray[np.float32]]
"""By field, band, and first row and column of a block in nodes."""


def node_noise(image: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Return the noise at the nodes of a block, float32 (rows, columns), in the unit of the image but for a factor.

    Parameters
    ----------
    image : (NODE rows + 2 HALO, NODE columns + 2 HALO) float32
        The block with its halo; NaN where there is no data.
    rows, columns : int
        Nodes.

    Returns
    -------
    ndarray
        NaN where less than half of a square has data.
    """
    middle, apart = image[APART:-APART, APART:-APART], 2 * APART
    around = image[apart:, APART:-APART] + image[:-apart, APART:-APART]
    around += image[APART:-APART, apart:] + image[APART:-APART, :-apart]
    rough = np.abs(middle - np.float32(0.25) * around)
    squares = np.lib.stride_tricks.sliding_window_view(rough, (SQUARE, SQUARE))[::NODE, ::NODE]
    values = np.sort(squares.reshape(rows, columns, SQUARE * SQUARE), axis=-1)  # NaN last
    known = np.isfinite(values).sum(axis=-1)
    found = np.take_along_axis(values, np.maximum(known // 2, 0)[..., None].clip(0, SQUARE**2 - 1), axis=-1)[
        ..., 0
    ]
    noise: NDArray[np.float32] = np.where((2 * known >= SQUARE**2) & (found > 0), found, np.float32(np.nan))
    return noise


def _rule(window: Window, tile: Tile, params: _Wanted) -> tuple[dict[str, np.ndarray], Nodes]:
    """Measure the nodes of a block."""
    sci = observed(window["sci"].values, params.unobserved)
    core = tile.core
    rows, columns = (-(-side // NODE) for side in core.shape)
    found: Nodes = {}
    for band in params.bands:
        padded = np.full((rows * NODE + 2 * HALO, columns * NODE + 2 * HALO), np.nan, np.float32)
        box = core.grow(HALO).clip(tile.window)
        part = sci[band][box.within(tile.window)]
        y0, x0 = box.y0 - core.y0 + HALO, box.x0 - core.x0 + HALO
        padded[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
        found[params.field, band, core.y0 // NODE, core.x0 // NODE] = node_noise(padded, rows, columns)
    return {}, found


MEASURED_NOISE: Final = Pass("pixel noise", ("sci",), HALO + UNOBSERVED, (), _rule, bytes_per_pixel=60.0)


def averaged(nodes: NDArray[np.float32]) -> Floats:
    """Return the noise at nodes, averaged with neighbours of about the same noise; NaN where none is known near it.

    Parameters
    ----------
    nodes : (ny, nx) float32
    """
    values = nodes.astype(np.float64)
    guide = values
    for alike in ALIKE:
        total, weights = np.zeros(values.shape), np.zeros(values.shape)
        padded, guides = (np.pad(one, NEIGHBOURS, constant_values=np.nan) for one in (values, guide))
        for dy in range(2 * NEIGHBOURS + 1):
            for dx in range(2 * NEIGHBOURS + 1):
                place = slice(dy, dy + values.shape[0]), slice(dx, dx + values.shape[1])
                # The square of a small logarithmic difference, without a logarithm: a ratio plus its inverse.
                with np.errstate(invalid="ignore", divide="ignore"):
                    ratio = guides[place] / guide
                    weight = 1.0 / (1.0 + (ratio + 1.0 / ratio - 2.0) / (alike * alike)) ** 2
                # A node of which nothing is known takes the mean of all that is known about it.
                weight[np.isnan(guide)] = 1.0
                usable = np.isfinite(weight) & np.isfinite(padded[place])
                total[usable] += (weight * padded[place])[usable]
                weights[usable] += weight[usable]
        guide = np.divide(total, weights, out=np.full(values.shape, np.nan), where=weights > 0)
    return guide


def measured_noise(
    context: Context, wanted: Iterable[tuple[int, int]], unobserved: Mapping[str, tuple[bool, ...]]
) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Return the variance of pixels at nodes `NODE` px apart, by field and band, but for one factor of each band.

    Parameters
    ----------
    context : Context
    wanted : iterable of (int, int)
        Positions of fields and bands in the run file.
    unobserved : mapping
        Of `unobserved_bands`.

    Returns
    -------
    dict
        Bands of which nothing is known are left out.
    """
    asked = sorted(wanted)
    params, searched = {}, []
    for index, field in enumerate(context.fields):
        bands = tuple(band for one, band in asked if one == index)
        if bands:
            name = field.source.name
            params[name] = _Wanted(index, bands, unobserved[name])
            searched.append(blocks_of(field))
    parts: list[Nodes] = []
    if searched:
        run_pass(context.engine, MEASURED_NOISE, searched, params, gather=parts.append)
    found = {}
    for index, band in asked:
        shape = context.fields[index].source.shape
        whole = np.full((-(-shape[0] // NODE), -(-shape[1] // NODE)), np.nan, np.float32)
        for part in parts:
            for (number, one, row, column), values in part.items():
                if (number, one) == (index, band):
                    whole[row : row + values.shape[0], column : column + values.shape[1]] = values
        noise = averaged(whole)
        if np.isfinite(noise).any():
            middle = float(np.nanmedian(noise))
            found[index, band] = np.where(np.isfinite(noise), (noise / middle) ** 2, 1.0).astype(np.float32)
    return found
