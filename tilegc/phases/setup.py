"""What every stage is given: the resolved run file, where pixels come from and go to, who computes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tilegc.config import RunConfig
from tilegc.engine import Engine, FieldTiles, SerialEngine
from tilegc.geometry import LATTICE, TileGrid
from tilegc.io.fits import FieldSource
from tilegc.run_folder import Ledger, RunFolder
from tilegc.schema import ARRAYS, Array
from tilegc.sky import SkyGrid, world_to_pixel

__all__ = ["BLOCK", "Setup", "arrays", "blocks_of"]

BLOCK = 4 * LATTICE
"""Side of the blocks that noise is measured in: whole cells of the lattice, whatever the tiles are."""


@dataclass(frozen=True)
class Setup:
    """The frame of one run; nothing in it changes while the stages work."""

    config: RunConfig
    folder: RunFolder
    ledger: Ledger
    engine: Engine
    fields: tuple[FieldTiles, ...]
    """In run-file order."""
    grid: SkyGrid
    near: Engine = field(default_factory=SerialEngine)
    """Who does what needs exp and log: workers of this machine alone, since these differ between processors."""

    def source(self, name: str) -> FieldSource:
        """Return the field of this name."""
        return next(one.source for one in self.fields if one.source.name == name)

    def field_of_centre(self) -> int:
        """Return the position of the field that holds the cluster's centre; of the first where none does."""
        cluster = self.config.cluster
        for index, tiles in enumerate(self.fields):
            y, x = world_to_pixel(tiles.source.wcs, cluster.ra, cluster.dec)
            height, width = tiles.source.shape
            if -0.5 <= float(y) < height - 0.5 and -0.5 <= float(x) < width - 0.5:
                return index
        return 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, in run-file order."""
        return tuple(tiles.source.name for tiles in self.fields)


def arrays(names: Iterable[str]) -> list[Array]:
    """Return the schema's arrays of these names."""
    wanted = set(names)
    return [array for array in ARRAYS if array.name in wanted]


def blocks_of(tiles: FieldTiles) -> FieldTiles:
    """Return a field cut into blocks of lattice cells, whatever its tiles are."""
    return FieldTiles(tiles.source, tiles.store, TileGrid(tiles.source.shape, BLOCK))
