"""Sky that nothing observed, in bands without weights: regions of one exactly repeated value.

Mosaics of older pipelines hold zeros where there are no data, and no weight tells. Whether repeated values mean that
is decided once a band, from a sample of its cells: in images without noise, or quantised so coarsely that neighbours
agree by chance, they do not (`tilegc.kernels.repeats`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import Box, spread_blocks
from tilegc.io import store
from tilegc.kernels.repeats import REACH, joined, repeated, texture
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, concatenate

__all__ = ["REACH", "observed", "searched", "unobserved_bands"]

CELLS: Final = 16
"""Cells of the lattice that are looked at in a field, at the most."""


@dataclass(frozen=True)
class _Cell:
    field: int
    tiles: FieldTiles
    box: Box
    order: int


def searched(given: Sequence[tuple[str, ...]]) -> tuple[bool, ...]:
    """Return in which bands of a field repeated values are looked for: those without weights.

    Parameters
    ----------
    given : sequence of tuple of str
        What each band has, of sci, err and wht.
    """
    return tuple("wht" not in names for names in given)


def unobserved_bands(context: Context) -> dict[str, tuple[bool, ...]]:
    """Return, by field, in which bands regions of one repeated value are no data."""
    wanted = {
        field.source.name: searched([band.given for band in field.source.bands]) for field in context.fields
    }
    units = [
        Unit(f"{field.source.name}/{order}", box.size, _Cell(index, field, box, order))
        for index, field in enumerate(context.fields)
        if any(wanted[field.source.name])
        for order, box in enumerate(spread_blocks(field.grid.field, CELLS))
    ]
    if not units:
        return wanted
    found: Table = context.engine.run("repeated values", _cell_texture, units, combine=concatenate)
    order = np.lexsort((found["cell"], found["band"], found["field"]))
    found = {name: column[order] for name, column in found.items()}
    return {
        field.source.name: tuple(
            # "Possible" and not "found": the sample may have missed the regions, which are then still looked
            # for in every tile.
            asked and joined(_rows(found, index, band)).possible
            for band, asked in enumerate(wanted[field.source.name])
        )
        for index, field in enumerate(context.fields)
    }


def _rows(found: Table, field: int, band: int) -> Table:
    on = (found["field"] == field) & (found["band"] == band)
    return {name: column[on] for name, column in found.items()}


def _cell_texture(common: None, cell: _Cell) -> Table:  # noqa: ARG001
    """Measure repeated values and their surroundings in the bands of one cell (runs on a worker)."""
    sci = store.read_window(cell.tiles.source, cell.tiles.store, ("sci",), cell.box)["sci"].values
    measured = [texture(image) for image in sci]
    n = len(measured)
    return {
        "field": np.full(n, cell.field),
        "band": np.arange(n),
        "cell": np.full(n, cell.order),
        "n": np.array([one.n for one in measured]),
        "n_repeated": np.array([one.n_repeated for one in measured]),
        "equal": np.array([one.equal for one in measured]),
        "border": np.array([one.border for one in measured]),
    }


def observed(sci: np.ndarray, bands: Sequence[bool]) -> np.ndarray:
    """Return the bands with NaN where nothing was observed, float32 (band, y, x).

    Parameters
    ----------
    sci : float32 (band, y, x)
    bands : sequence of bool
        Of `unobserved_bands`; empty: none.

    Returns
    -------
    ndarray
        `sci` itself where nothing is to be left out. Right where `REACH` pixels lie inside the window.
    """
    found = sci
    for number, asked in enumerate(bands):
        if asked and (inside := repeated(sci[number])).any():
            # Copied only if something changes: the window belongs to the caller.
            found = sci.copy() if found is sci else found
            found[number][inside] = np.nan
    return found
