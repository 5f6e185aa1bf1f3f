"""What a phase states of its passes before anything is computed: units, memory, what is read and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from tilegc.config import RunConfig
from tilegc.engine import Pass
from tilegc.engine.together import SENT
from tilegc.geometry import LATTICE, TileGrid
from tilegc.io.fits import FieldSource
from tilegc.phases.context import BLOCK
from tilegc.sky import SkyGrid, pixel_to_world, sample

__all__ = ["MOST_CELLS", "Over", "Planned", "Step"]

MOST_CELLS: Final = 1e8
"""Cells of the largest sky grid: the driver holds a dozen numbers of each."""

ARRAY_BYTES: Final = 6 * 8.0
"""The arrays of the sky grid, bytes per cell and field (`tilegc.skygrid.cells.SkyCells`)."""

CELL_BYTES: Final = 90.0
"""Peak memory of a measurement on the sky grid, bytes per cell and field."""

CALL_BYTES: Final = 32 * 2**20
"""What it takes besides, for its own samples and matrices."""

Over = Literal["tiles", "blocks", "cells", "objects", "maps", "figures", "calls", "shards"]
"""What the units of a pass are."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One pass of a plan."""

    name: str
    """Its name in the log, the ledger and on the progress bars."""
    over: Over
    units: int
    """Number of units; the most there can be where it depends on the data."""
    memory: int
    """Peak memory of one unit on a worker, bytes, beyond that of the libraries."""
    reads: tuple[str, ...] = ()
    """What it reads: arrays of ingested bands or of earlier passes, or tables and lattices of the driver."""
    halo: int = 0
    """Largest halo over all fields, pixels."""
    writes: tuple[str, ...] = ()
    """Arrays of the store that it writes."""
    marked: bool = False
    """Whether finished units are recorded in the ledger, so that a resumed run skips them."""
    gives: str = ""
    """What comes back to the driver."""
    rarely: str = ""
    """The condition on the data under which it runs at all; empty: it always does."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run to be planned: its settings and its fields, as they were probed."""

    config: RunConfig
    sources: tuple[FieldSource, ...]
    others: tuple[FieldSource, ...] = ()
    """The bands that are only measured, each as a field of one band."""

    @cached_property
    def tiles(self) -> Mapping[str, TileGrid]:
        """Tiles of every field, by name."""
        return {source.name: TileGrid(source.shape, self.config.tiles.size) for source in self.sources}

    @cached_property
    def blocks(self) -> Mapping[str, TileGrid]:
        """Blocks of lattice cells of every field, by name."""
        return {source.name: TileGrid(source.shape, BLOCK) for source in self.sources}

    @property
    def bands(self) -> int:
        """Largest number of bands of a field."""
        return max(len(source.bands) for source in self.sources)

    def over_tiles(
        self, step: Pass, gives: str = "", *, rarely: str = "", fields: Sequence[str] | None = None
    ) -> Step:
        """Return the plan of a pass over the tiles of all fields, or of some."""
        names = self.tiles if fields is None else fields
        return self._planned(step, "tiles", {name: self.tiles[name] for name in names}, gives, rarely)

    def over_others(self, step: Pass, gives: str, others: Sequence[FieldSource] | None = None) -> Step:
        """Return the plan of a pass over the tiles of all bands that are only measured, or of some."""
        wanted = self.others if others is None else others
        grids = {one.name: TileGrid(one.shape, self.config.tiles.size) for one in wanted}
        return self._planned(step, "tiles", grids, gives, "")

    def over_blocks(self, step: Pass, gives: str = "", *, rarely: str = "") -> Step:
        """Return the plan of a pass over blocks of lattice cells, which do not depend on the tiles."""
        return self._planned(step, "blocks", self.blocks, gives, rarely)

    def by_tile(
        self,
        name: str,
        memory: Callable[[FieldSource, TileGrid], float],
        *,
        reads: tuple[str, ...],
        writes: tuple[str, ...] = (),
        halo: int = 0,
        gives: str = "",
    ) -> Step:
        """Return the plan of work on every tile that is no `Pass`: it reads what it needs itself.

        Parameters
        ----------
        name : str
        memory : callable
            Peak memory, bytes, of the largest tile of a field.
        reads, writes, halo, gives
            As in `Step`; whatever writes is marked in the ledger.
        """
        widest = max(memory(source, self.tiles[source.name]) for source in self.sources)
        return Step(
            name=name,
            over="tiles",
            units=sum(map(len, self.tiles.values())),
            memory=int(widest),
            reads=reads,
            halo=halo,
            writes=writes,
            marked=bool(writes),
            gives=gives,
        )

    def over_cells(
        self,
        name: str,
        most: int,
        *,
        halo: int,
        bytes_per_pixel: float,
        reads: tuple[str, ...],
        gives: str,
        fields: Sequence[str] | None = None,
    ) -> Step:
        """Return the plan of work on at most so many cells of the lattice of every field, each with a halo."""
        wanted = [source for source in self.sources if fields is None or source.name in fields]
        units = sum(min(most, len(TileGrid(source.shape, LATTICE))) for source in wanted)
        memory = int(bytes_per_pixel * (LATTICE + 2 * halo) ** 2)
        return Step(name=name, over="cells", units=units, memory=memory, reads=reads, halo=halo, gives=gives)

    @cached_property
    def sky_cells(self) -> tuple[float, float]:
        """Cells of the sky grid: those of a rectangle over all fields, and of one that extends to whole boxes."""
        cluster, box = self.config.cluster, self.config.relation.box
        grid = SkyGrid(cluster.ra, cluster.dec, self.config.comparison.pixel)
        corners = [pixel_to_world(source.wcs, *sample(source.shape, 2)) for source in self.sources]
        xi, eta = grid.offsets(*(np.concatenate([one[axis].ravel() for one in corners]) for axis in (0, 1)))
        sides = [(np.ceil(axis.max() / box) - np.floor(axis.min() / box)) * box for axis in (xi, eta)]
        area, to_boxes = float(np.ptp(xi) * np.ptp(eta)), float(sides[0] * sides[1])
        return area / grid.pixel**2, to_boxes / grid.pixel**2

    @property
    def sky_bytes(self) -> int:
        """Peak memory of a worker that reads the whole sky grid, bytes; 0 where it is too large to leave the driver."""
        cells, fields = self.sky_cells[1], len(self.sources)
        nbytes = cells * (fields * ARRAY_BYTES + 8.0)
        return int(CELL_BYTES * (1 + fields) * cells) if nbytes <= SENT else 0

    def over_sky(self, name: str, calls: int, gives: str) -> Step:
        """Return the plan of independent measurements on the sky grid, each of which holds all of it."""
        return Step(
            name=name,
            over="calls",
            units=calls,
            memory=CALL_BYTES + self.sky_bytes,
            reads=("sky-grid",),
            gives=gives,
        )

    def _planned(
        self, step: Pass, over: Over, grids: Mapping[str, TileGrid], gives: str, rarely: str
    ) -> Step:
        return Step(
            name=step.name,
            over=over,
            units=sum(map(len, grids.values())),
            memory=max(step.window_bytes(name, grid) for name, grid in grids.items()),
            reads=step.reads,
            halo=max(step.halo_of(name) for name in grids),
            writes=step.writes,
            marked=bool(step.writes),
            gives=gives,
            rarely=rarely,
        )
