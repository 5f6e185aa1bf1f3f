"""Where a phase works: who computes, over which tiles, and what is already done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tilegc.engine import Engine, FieldTiles, Marks, SerialEngine
from tilegc.geometry import LATTICE, TileGrid
from tilegc.io.fits import FieldSource
from tilegc.schema import ARRAYS, Array

__all__ = ["BLOCK", "Context", "arrays", "blocks_of"]

BLOCK = 4 * LATTICE
"""Side of the blocks in which noise is measured: whole cells of the lattice, independent of the tiles."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """The engine, the tiles of every field and the ledger; settings and results are arguments of their own."""

    engine: Engine = field(default_factory=SerialEngine)
    near: Engine = field(default_factory=SerialEngine)
    """Runs what needs exp and log: workers of the driver's machine only, since these differ between CPUs."""
    fields: tuple[FieldTiles, ...]
    """In run-file order."""
    others: tuple[FieldTiles, ...] = ()
    """Bands that are only measured, each as a field of one band on a grid of its own, without a store of the run."""
    ledger: Marks | None = None
    """Records finished tiles; None: nothing is recorded and every pass starts from the beginning."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, in run-file order."""
        return tuple(tiles.source.name for tiles in self.fields)

    def source(self, name: str) -> FieldSource:
        """Return the source of the field with this name."""
        return next(tiles.source for tiles in self.fields if tiles.source.name == name)


def arrays(names: Iterable[str]) -> list[Array]:
    """Return the schema's arrays with these names."""
    wanted = set(names)
    return [array for array in ARRAYS if array.name in wanted]


def blocks_of(tiles: FieldTiles) -> FieldTiles:
    """Return a field cut into blocks of lattice cells instead of its tiles."""
    return FieldTiles(tiles.source, tiles.store, TileGrid(tiles.source.shape, BLOCK))
