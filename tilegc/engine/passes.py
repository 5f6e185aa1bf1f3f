"""A pass: one pure rule applied to the windows of all tiles of all fields."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegc.engine.counters import count_bytes_read
from tilegc.engine.work import Combine, Engine, Function, Gather, Marks, Unit
from tilegc.errors import TilesFailedError
from tilegc.geometry import Box, Tile, TileGrid
from tilegc.io import store as stores
from tilegc.io.window import Window

if TYPE_CHECKING:
    from tilegc.io.fits import FieldSource

__all__ = ["FieldTiles", "Pass", "Rule", "run_pass"]

log = logging.getLogger("tilegc.engine")

Rule = Callable[[Window, Tile, Any], tuple[dict[str, np.ndarray[Any, Any]], Any]]
"""`rule(window, tile, params) -> (arrays of the core by name, partial or None)`; pure, module-level."""


@dataclass(frozen=True)
class Pass:
    """One step of a stage: what it reads, with which halo, what it writes, and the rule."""

    name: str
    """Its name in the ledger, progress and messages."""
    reads: tuple[str, ...]
    """Arrays of the window (`tilegc.schema.ARRAYS`)."""
    halo: int | Mapping[str, int]
    """Pixels around the core; a mapping from field to pixels if it depends on the pixel scale."""
    writes: tuple[str, ...]
    """Arrays whose core the rule returns; empty for a counting pass, which is never in the ledger."""
    rule: Rule
    combine: Combine | None = None
    """Joins two partials."""
    bytes_per_pixel: float = 0.0
    """Peak memory of the rule per pixel of its window, including the arrays of the window."""
    whole_cells: bool = False
    """Whether it measures whole cells of the lattice, so that its units cannot be cut in four."""

    def halo_of(self, field: str) -> int:
        """Return the halo in this field in pixels."""
        return self.halo if isinstance(self.halo, int) else self.halo[field]

    def window_bytes(self, field: str, grid: TileGrid) -> int:
        """Return the peak memory of one tile in bytes, which `plan` compares with the memory available."""
        # The window, not the core: with a wide halo it is several times as large. A field smaller than that
        # bounds it.
        side = grid.size + 2 * self.halo_of(field)
        return int(self.bytes_per_pixel * min(side, grid.shape[0]) * min(side, grid.shape[1]))


@dataclass(frozen=True)
class FieldTiles:
    """A field, its store and its tiles."""

    source: FieldSource
    store: str
    """Path of the run's store of this field."""
    grid: TileGrid


def run_pass(
    engine: Engine,
    step: Pass,
    fields: Sequence[FieldTiles],
    params: Mapping[str, Any],
    ledger: Marks | None = None,
    *,
    gather: Gather | None = None,
    own: Callable[[FieldTiles, Tile], Any] | None = None,
) -> Any:
    """Apply a pass to all tiles of all fields, and reduce or gather their partial results.

    Parameters
    ----------
    engine : Engine
        The engine that does the work.
    step : Pass
        The pass.
    fields : sequence of FieldTiles
        The fields that it covers.
    params : mapping
        Third argument of the rule, by the field's name; picklable.
    ledger : Marks, optional
        Used if the pass writes; a counting pass is simply repeated.
    gather : callable, optional
        Receives every tile's partial result in the driver, in any order, instead of a reduction.
    own : callable, optional
        Returns data that only one tile needs (such as its sources), so that no worker receives those of all tiles; the
        rule's third argument is then the pair of the field's `params` and these data.

    Returns
    -------
    object or None
        The combined partial of all tiles.

    Raises
    ------
    TileGCError, TilesFailedError, RunFailedError
        As `Engine.run`.
    """
    # Units carry only a field's name and a tile's number; boxes are computed on the worker. For 100,000 tiles
    # the messages would otherwise be larger than all results.
    units = [
        Unit(
            f"{field.source.name}/{tile.index}",
            tile.core.size,
            (field.source.name, tile.index, *(() if own is None else (own(field, tile),))),
            # A pass that reads no pixels cannot fail for them.
            (field.source.name, tile.core) if step.reads else None,
        )
        for field in fields
        for tile in field.grid.tiles()
    ]
    # Sent to each worker once: the rule, the headers of all fields and the parameters.
    common = (step, {field.source.name: field for field in fields}, dict(params))
    # What only counts leaves nothing on disk that a mark could speak of, and takes less time than checking
    # would.
    marks = ledger if step.writes else None

    def take(function: Function, wanted: Sequence[Unit]) -> Any:
        return engine.run(
            step.name, function, wanted, common=common, combine=step.combine, gather=gather, ledger=marks
        )

    try:
        return take(do_tile, units)
    except TilesFailedError as error:
        # What a tile alone needs, and cells that are measured as a whole, cannot be cut.
        if not error.memory or own is not None or step.whole_cells:
            raise
        failed = error
    large = [unit for unit in units if unit.key in failed.memory]
    log.warning("%s: repeated in quarters: %s", step.name, ", ".join(unit.key for unit in large))
    if marks is not None:
        take(do_in_quarters, large)
        # All units again: those that are marked are skipped by the ledger, and what remains is the pass's result.
        return take(do_tile, units)
    if gather is None:
        parts = take(do_in_quarters, large), take(do_tile, [unit for unit in units if unit not in large])
        known = [part for part in parts if part is not None]
        return (
            step.combine(*known) if step.combine is not None and len(known) == 2 else next(iter(known), None)
        )
    # The partials of all other tiles have been gathered already.
    engine.run(
        step.name,
        do_in_quarters,
        large,
        common=common,
        combine=step.combine,
        gather=gather if step.combine is not None else partial(_each, gather),
    )
    if failed.failed - failed.memory:
        raise failed
    return None


def _each(gather: Gather, partials: Sequence[Any]) -> None:
    """Gather the partials of a tile's quarters."""
    for one in partials:
        gather(one)


def do_in_quarters(
    common: tuple[Pass, Mapping[str, FieldTiles], Mapping[str, Any]], payload: tuple[Any, ...]
) -> Any:
    """Process a tile in four parts, each with its own halo: the same pixels in about a quarter of the memory."""
    step, fields, params = common
    name, index, *own = payload
    field = fields[name]
    # The result is the same bytes as that of the whole tile, because no rule sees more than its halo; the
    # core is still written at once, since a chunk of the store must be written by one task only.
    halo, whole = step.halo_of(name), field.grid.tile(index)
    made: dict[str, np.ndarray[Any, Any]] = {}
    partials: list[Any] = []
    for box in _quarters(whole.core):
        part = Tile(index, box, box.grow(halo).clip(field.grid.field), field.grid.shape)
        window = stores.read_window(field.source, field.store, step.reads, part.window)
        arrays, found = _ruled(step, window, part, params[name], own)
        # The window of one quarter must be gone before the next is read: four at once would need the memory that the
        # tile did not have.
        del window
        for array, values in arrays.items():
            place = box.within(whole.core)
            if array not in made:
                made[array] = np.empty((*values.shape[:-2], *whole.core.shape), values.dtype)
            made[array][..., place[0], place[1]] = values
        if found is not None:
            partials.append(found)
    for array, values in made.items():
        stores.write(field.store, array, whole.core, values)
    # The quarters' partials are combined like those of tiles: in any order, with the result of the whole tile. Those
    # that nothing combines are gathered one by one.
    if step.combine is None:
        return partials or None
    return reduce(step.combine, partials) if partials else None


def _quarters(box: Box) -> list[Box]:
    y, x = (box.y0 + box.y1 + 1) // 2, (box.x0 + box.x1 + 1) // 2
    parts = [
        Box(box.y0, box.x0, y, x),
        Box(box.y0, x, y, box.x1),
        Box(y, box.x0, box.y1, x),
        Box(y, x, box.y1, box.x1),
    ]
    return [part for part in parts if part.size]


def do_tile(
    common: tuple[Pass, Mapping[str, FieldTiles], Mapping[str, Any]], payload: tuple[Any, ...]
) -> Any:
    """Read the window of a tile, apply the rule, write the core, and return the partial result (on a worker)."""
    step, fields, params = common
    name, index, *own = payload
    field = fields[name]
    tile = field.grid.tile(index, step.halo_of(name))
    window = stores.read_window(field.source, field.store, step.reads, tile.window)
    count_bytes_read(window.nbytes)
    arrays, partial = _ruled(step, window, tile, params[name], own)
    for array, values in arrays.items():
        stores.write(field.store, array, tile.core, values)
    return partial


def _ruled(
    step: Pass, window: Window, tile: Tile, params: Any, own: Sequence[Any]
) -> tuple[Mapping[str, np.ndarray[Any, Any]], Any]:
    """Apply the rule of a pass, and check that it returned the arrays of the pass with the shape of the core."""
    arrays, partial = step.rule(window, tile, (params, *own) if own else params)
    # A rule that forgets an array would leave the fill value in the store, which reads as a valid map of
    # zeros or NaN.
    if set(arrays) != set(step.writes):
        raise ValueError(
            f"the rule of {step.name} gave {sorted(arrays)}, it should give {sorted(step.writes)}"
        )
    for array, values in arrays.items():
        if values.shape[-2:] != tile.core.shape:
            raise ValueError(
                f"{array}: the rule of {step.name} gave {values.shape}, the core is {tile.core.shape}"
            )
    return arrays, partial
