"""Lattices of good pixels and sources for wide Gaussians, and the density computed from them.

Gaussians of 2 to 16 arcsec extend far beyond a tile, so they are convolved on coarse lattices of the whole field
(`tilegc.density.local_density`). The good pixels are spread onto the lattices tile by tile, with exact integer sums
that do not depend on the tiling; the driver adds the sources. Each tile then reads the nodes around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from tilegc.density.local_density import Estimate, Sources, Width, density_window
from tilegc.density.splines import norm, spread, spread_image, touched
from tilegc.density.trend_fit import Trend, trend_at
from tilegc.engine import FieldTiles, Pass, run_pass
from tilegc.geometry import Box, Tile
from tilegc.io import lattices
from tilegc.io.window import Window
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

__all__ = ["COVERAGE", "Gaussians", "cover", "detected", "estimate", "place"]

Gaussians = Mapping[str, tuple[Width, ...]]
"""The Gaussians of each field, in the order in which they are tried."""

Sums = tuple[tuple[Box, np.ndarray], ...]
"""For each Gaussian: the box of its nodes, and the good pixels spread onto them (int64)."""


@dataclass(frozen=True)
class _CoverageParams:
    field: str
    gaussians: tuple[Width, ...]
    trend: Trend | None


def detected(catalogue: Table, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the peak pixels y, x and the weights of the detected sources of a field, sorted by y, then x.

    The weight is 1 / `p_recovery` if the catalogue has that column, otherwise 1.
    """
    rows = np.flatnonzero(catalogue["field"] == name)
    # Sums of weights are floats: every field adds its sources in the order of position.
    rows = rows[np.lexsort((catalogue["x_peak"][rows], catalogue["y_peak"][rows]))]
    weight = np.ones(rows.size)
    if "p_recovery" in catalogue:
        # A source that had a chance of one half to be found stands for two.
        weight /= catalogue["p_recovery"][rows]
    return catalogue["y_peak"][rows], catalogue["x_peak"][rows], weight


def place(field: FieldTiles, gaussians: tuple[Width, ...], catalogue: Table, kind: str) -> None:
    """Write the sources of a field to its lattices: sums of weights, `<kind>_counts_<n>`, and `<kind>_squares_<n>`."""
    y, x, weight = detected(catalogue, field.source.name)
    for number, width in enumerate(gaussians):
        nodes = touched(field.grid.field, width.step, width.degree)
        counts = spread(y, x, weight, width.step, width.degree, nodes)
        squares = spread(y, x, weight * weight, width.step, width.degree, nodes)
        lattices.put_lattice(field.store, f"{kind}_counts_{number}", nodes, counts)
        lattices.put_lattice(field.store, f"{kind}_squares_{number}", nodes, squares)


def cover(
    context: Context, gaussians: Gaussians, kind: str, trends: Mapping[str, Trend | None] | None = None
) -> None:
    """Write the good pixels of all fields, multiplied by any trend, to their lattices, as `<kind>_good_<n>`."""
    params = {
        name: _CoverageParams(name, gaussians[name], trends[name] if trends else None)
        for name in context.names
    }
    covered = {field.source.name: _nothing(field, gaussians[field.source.name]) for field in context.fields}

    def add(partial: tuple[str, Sums]) -> None:
        name, sums = partial
        for (field_nodes, total), (nodes, values) in zip(covered[name], sums, strict=True):
            # Integers, so that tiles may arrive in any order.
            total[nodes.within(field_nodes)] += values

    run_pass(context.engine, COVERAGE, context.fields, params, gather=add)
    for field in context.fields:
        name = field.source.name
        for number, (width, (nodes, sums)) in enumerate(zip(gaussians[name], covered[name], strict=True)):
            # The only rounding, once, after all tiles have been added.
            good = sums / float(norm(width.step, width.degree) ** 2)
            lattices.put_lattice(field.store, f"{kind}_good_{number}", nodes, good)


def estimate(
    field: FieldTiles, core: Box, gaussians: tuple[Width, ...], kind: str, trend: Trend | None = None
) -> Estimate:
    """Return the density in a box of pixels, from the lattices of its field."""

    def read(name: str, number: int, nodes: Box) -> np.ndarray:
        return lattices.take_lattice(field.store, f"{name}_{number}", nodes)

    sources = Sources(*(partial(read, f"{kind}_{name}") for name in ("good", "counts", "squares")))
    with_trend = None if trend is None else (trend_at(trend, core), partial(read, "trend_good"))
    return density_window(core, gaussians, sources, field.source.pixel_area, with_trend)


def _coverage_rule(
    window: Window, tile: Tile, params: _CoverageParams
) -> tuple[dict[str, np.ndarray], tuple[str, Sums]]:
    """Spread the good pixels of a tile's core onto the lattices."""
    values = (window["mask"].values == 0).astype(np.uint16)
    if params.trend is not None:
        values *= trend_at(params.trend, tile.core)
    sums = tuple(spread_image(values, tile.core, width.step, width.degree) for width in params.gaussians)
    return {}, (params.field, sums)


def _nothing(field: FieldTiles, gaussians: tuple[Width, ...]) -> Sums:
    """Return all nodes of a field, each with a sum of zero."""
    nodes = [touched(field.grid.field, width.step, width.degree) for width in gaussians]
    return tuple((box, np.zeros(box.shape, np.int64)) for box in nodes)


COVERAGE = Pass("coverage", ("mask",), 0, (), _coverage_rule, bytes_per_pixel=16.0)
