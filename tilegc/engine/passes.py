"""A pass: one pure rule over the windows of all tiles of all fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tilegc.engine.counters import count_bytes_read
from tilegc.engine.work import Combine, Engine, Gather, Marks, Unit
from tilegc.geometry import Tile, TileGrid
from tilegc.io import store as stores

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from tilegc.io.fits import FieldSource

__all__ = ["FieldTiles", "Pass", "Rule", "run_pass"]

Rule = Callable[["xr.Dataset", Tile, Any], "tuple[dict[str, np.ndarray[Any, Any]], Any]"]
"""`rule(window, tile, params) -> (arrays of the core by name, partial or None)`; pure and module-level."""


@dataclass(frozen=True)
class Pass:
    """One step of a stage: what it reads, with which halo, what it writes, and the rule."""

    name: str
    """Its name in the ledger, progress and messages."""
    reads: tuple[str, ...]
    """Arrays of the window (`tilegc.schema.ARRAYS`)."""
    halo: int | Mapping[str, int]
    """Pixels round the core; where it depends on the pixel scale, per field."""
    writes: tuple[str, ...]
    """Arrays whose core the rule returns; none: a counting pass, never in the ledger."""
    rule: Rule
    combine: Combine | None = None
    """Joins two partials."""
    bytes_per_pixel: float = 0.0
    """Peak memory of the rule over the pixels of its window, the window's own arrays included."""

    def halo_of(self, field: str) -> int:
        """Return the halo in this field, pixels."""
        return self.halo if isinstance(self.halo, int) else self.halo[field]

    def window_bytes(self, field: str, grid: TileGrid) -> int:
        """Return the peak memory of one tile, bytes: what `plan` compares with what there is."""
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
    """Take a pass over all tiles of all fields, in one reduction over all of them, or gather what they give.

    Parameters
    ----------
    engine : Engine
        Who does it.
    step : Pass
        What is done.
    fields : sequence of FieldTiles
        Over what.
    params : mapping
        Third argument of the rule, by the field's name; picklable.
    ledger : Marks, optional
        Used where the pass writes; a counting pass is simply done again.
    gather : callable, optional
        Takes every tile's partial in the driver, in any order, in place of a reduction.
    own : callable, optional
        Gives what a tile alone needs (its sources), so that no worker is sent that of all; the rule's third argument
        is then the pair of the field's `params` and this.

    Returns
    -------
    object or None
        The combined partial of all tiles.

    Raises
    ------
    TileGCError, TilesFailedError, RunFailedError
        As `Engine.run`.
    """
    units = [
        Unit(
            f"{field.source.name}/{tile.index}",
            tile.core.size,
            (field.source.name, tile.index, *(() if own is None else (own(field, tile),))),
        )
        for field in fields
        for tile in field.grid.tiles()
    ]
    common = (step, {field.source.name: field for field in fields}, dict(params))
    return engine.run(
        step.name,
        do_tile,
        units,
        common=common,
        combine=step.combine,
        gather=gather,
        ledger=ledger if step.writes else None,
    )


def do_tile(
    common: tuple[Pass, Mapping[str, FieldTiles], Mapping[str, Any]], payload: tuple[Any, ...]
) -> Any:
    """Read one tile's window, apply the rule, write its cores; return the partial (runs on a worker)."""
    step, fields, params = common
    name, index, *own = payload
    field = fields[name]
    tile = field.grid.tile(index, step.halo_of(name))
    window = stores.read_window(field.source, field.store, step.reads, tile.window)
    count_bytes_read(window.nbytes)
    arrays, partial = step.rule(window, tile, (params[name], *own) if own else params[name])
    if set(arrays) != set(step.writes):
        raise ValueError(
            f"the rule of {step.name} gave {sorted(arrays)}, it should give {sorted(step.writes)}"
        )
    for array, values in arrays.items():
        if values.shape[-2:] != tile.core.shape:
            raise ValueError(
                f"{array}: the rule of {step.name} gave {values.shape}, the core is {tile.core.shape}"
            )
        stores.write(field.store, array, tile.core, values)
    return partial
