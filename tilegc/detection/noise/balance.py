"""The balance of null maps: how two groups of bands respond to the same point sources.

Colours of globular clusters and the bands' PSFs make the response of one group differ from that of the other; the
median ratio at isolated point sources of signal-to-noise 12 to 80 is what the minus group is scaled by. A few hundred
sources are enough, so only the cells of the lattice that hold most of them are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilegc.detection.noise.null_maps import plus_groups, sign_patterns
from tilegc.engine import FieldTiles, Unit
from tilegc.filter.detection_map import FilterParams, band_response, response_halo
from tilegc.geometry import LATTICE, Box
from tilegc.io import store
from tilegc.io.window import Window
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, concatenate

__all__ = ["Balance", "balances"]

SOURCES = 300
"""Sources of a field from which the balance is taken, about: its error is then 1 per cent."""

CELLS = 16
"""Cells of a field that are read for them, at most."""

FEWEST = 5
"""Sources without which a field takes a balance of 1."""


@dataclass(frozen=True)
class Balance:
    """How the null maps of one field are balanced."""

    patterns: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]
    """Of the minus group, pattern by pattern."""
    sources: int
    promised: Table
    """row, column of the cells read, and the detection map's noise there if ERR, else WHT, were true and pixels not
    correlated, nJy per pixel; NaN without either."""

    @property
    def main(self) -> int:
        """The pattern whose scale is nearest to 1."""
        away = [abs(scale - 1.0) for scale in self.scales]
        return away.index(min(away)) if away else 0


@dataclass(frozen=True)
class _Task:
    """The sources of one cell."""

    field: str
    index: int
    row: int
    column: int
    y: np.ndarray
    x: np.ndarray


def balances(context: Context, sources: Table, params: Mapping[str, FilterParams]) -> dict[str, Balance]:
    """Measure the balance of every field's null maps.

    Parameters
    ----------
    context : Context
    sources : table
        field (position in the run file), y, x of isolated point sources of signal-to-noise 12 to 80.
    params : mapping
        Of the detection filter, by field.
    """
    units = []
    for index, tiles in enumerate(context.fields):
        on = sources["field"] == index
        for task in _cells(tiles.source.name, index, sources["y"][on], sources["x"][on]):
            key = f"{tiles.source.name}/{task.row}/{task.column}"
            units.append(Unit(key, LATTICE * LATTICE, task))
    norms = {name: _norms(filtering) for name, filtering in params.items()}
    common = ({field.source.name: field for field in context.fields}, dict(params), norms)
    found: Table | None = context.engine.run(
        "balance", _balance_unit, units, common=common, combine=concatenate
    )
    return {
        field.source.name: _balance(found, index, len(field.source.bands))
        for index, field in enumerate(context.fields)
    }


def _cells(name: str, index: int, y: np.ndarray, x: np.ndarray) -> list[_Task]:
    """Return the cells with most sources until there are enough of them."""
    cells, which, count = np.unique(
        np.stack([y // LATTICE, x // LATTICE]), axis=1, return_inverse=True, return_counts=True
    )
    # Most sources first; position breaks ties, so that the choice of cells does not depend on their order.
    order = np.lexsort((cells[1], cells[0], -count))
    enough = np.searchsorted(np.cumsum(count[order]), SOURCES) + 1
    tasks = []
    for cell in order[: min(enough, CELLS)]:
        here = which.ravel() == cell
        tasks.append(_Task(name, index, int(cells[0, cell]), int(cells[1, cell]), y[here], x[here]))
    return tasks


def _balance_unit(
    common: tuple[Mapping[str, FieldTiles], Mapping[str, FilterParams], Mapping[str, tuple[float, ...]]],
    task: _Task,
) -> Table:
    """Return the response of the plus and the minus group at the sources of a cell (runs on a worker)."""
    fields, filtering, norms = common
    tiles, params = fields[task.field], filtering[task.field]
    source = tiles.source
    cell = Box(
        task.row * LATTICE, task.column * LATTICE, (task.row + 1) * LATTICE, (task.column + 1) * LATTICE
    ).clip(source.box)
    box = cell.grow(response_halo(params)).clip(source.box)
    names = ("sci", "err" if source.has_err else "wht", "flags", "mask", "detection")
    window = store.read_window(source, tiles.store, names, box)
    detection = window["detection"].values
    at = task.y - box.y0, task.x - box.x0
    responses = np.full((at[0].size, 3), np.nan)
    for pattern, plus in enumerate(plus_groups(window, sign_patterns(len(source.bands)), params)):
        responses[:, pattern] = plus[at]
    promised = _promised(window, cell.within(box), norms[task.field])
    n = at[0].size
    return {
        "field": np.full(n, task.index),
        "row": np.full(n, task.row),
        "column": np.full(n, task.column),
        "y": task.y,
        "x": task.x,
        "plus": responses,
        "all": detection[at].astype(np.float64),
        "promised": np.full(n, promised),
    }


def _norms(params: FilterParams) -> tuple[float, ...]:
    """Return, band by band, the noise of the detection map that uncorrelated noise of 1 in that band makes."""
    reach = response_halo(params)
    # The filter is linear: its response to one pixel is its kernel, whose squares add up to the variance.
    impulse = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    impulse[reach, reach] = 1.0
    clear = np.zeros(impulse.shape, np.uint8)
    shares = (band_response(params, band, impulse, clear).astype(np.float64) for band in range(params.bands))
    return tuple(float(np.sqrt((share**2).sum())) for share in shares)


def _promised(window: Window, cell: tuple[slice, slice], norms: tuple[float, ...]) -> float:
    """Return the noise of the detection map by ERR, else by WHT as inverse variance; NaN without either."""
    name = "err" if "err" in window else "wht"
    if name not in window:
        return np.nan
    values = window[name].values[:, cell[0], cell[1]]
    values = values[:, window["mask"].values[cell] == 0].astype(np.float64)
    if not values.size:
        return np.nan
    # One number for a cell is enough for a ratio that is only reported.
    middle = np.median(values, axis=1)
    if name == "wht" and not (middle > 0).all():
        return np.nan
    variance = middle**2 if name == "err" else 1.0 / middle
    promised = float(np.sqrt((variance * np.array(norms) ** 2).sum()))
    return promised if promised > 0 else np.nan


def _balance(found: Table | None, index: int, bands: int) -> Balance:
    patterns = sign_patterns(bands)
    nothing = {"row": np.zeros(0, np.int64), "column": np.zeros(0, np.int64), "noise": np.zeros(0)}
    if found is None or not (on := found["field"] == index).any():
        return Balance(patterns, (1.0,) * len(patterns), 0, nothing)
    order = np.flatnonzero(on)[np.lexsort((found["x"][on], found["y"][on]))]
    scales = []
    for pattern in range(len(patterns)):
        plus = found["plus"][order, pattern]
        minus = found["all"][order] - plus
        both = (plus > 0) & (minus > 0)
        # A median of ratios: one blended or variable source does not move it.
        scales.append(float(np.median(plus[both] / minus[both])) if both.sum() >= FEWEST else 1.0)
    cells, first = np.unique(
        np.stack([found["row"][order], found["column"][order]]), axis=1, return_index=True
    )
    promised = {"row": cells[0], "column": cells[1], "noise": found["promised"][order][first]}
    return Balance(patterns, tuple(scales), order.size, promised)
