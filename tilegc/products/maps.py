"""Maps of a run as FITS images."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from tilegc.density.density_map import resolutions
from tilegc.engine import FieldTiles, Unit
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.io.maps import write_map
from tilegc.phases.output import Output
from tilegc.phases.planned import Planned, Step
from tilegc.places import Place
from tilegc.schema import ARRAYS

__all__ = ["passes", "write_maps"]

ROWS: Final = 512
"""Rows of a map that are held at a time."""

ROW_BYTES: Final = 26
"""Peak memory of these rows, bytes per pixel: as they are read, with their bytes swapped, and as they are written."""


def passes(planned: Planned) -> Iterator[Step]:
    """State the one pass: a unit writes one FITS image."""
    outputs = planned.config.outputs
    if outputs:
        yield Step(
            name="maps",
            over="maps",
            units=len(outputs) * len(planned.sources),
            memory=ROW_BYTES * ROWS * max(source.shape[1] for source in planned.sources),
            reads=outputs,
            gives="FITS images",
        )


@dataclass(frozen=True)
class _Map:
    tiles: FieldTiles
    name: str
    path: Place
    recipe: str
    resolution: str | None
    """What is said of it in the header; None: the pixels'."""


def write_maps(out: Output, written: Collection[str]) -> None:
    """Write the FITS images that the run file asks for, of the arrays that are there; a unit writes one."""
    resolution, recipe = resolutions(out.config), out.config.recipe
    units = []
    for field in out.context.fields:
        for name in out.config.outputs:
            if name in written:
                path = out.folder.map(field.source.name, name)
                task = _Map(field, name, path, recipe, resolution.get(name))
                units.append(Unit(f"{field.source.name}/{name}", field.grid.field.size, task))
    if units:
        out.context.engine.run("maps", _map_unit, units)


def _map_unit(common: None, task: _Map) -> None:  # noqa: ARG001
    """Write one map in bands of rows (runs on a worker)."""
    source = task.tiles.source
    array = next(array for array in ARRAYS if array.name == task.name)
    height, width = source.shape
    rows = (
        store.read(task.tiles.store, task.name, Box(y0, 0, min(y0 + ROWS, height), width))
        for y0 in range(0, height, ROWS)
    )
    meta = {"FIELD": (source.name, "name of the field"), "RECIPE": (task.recipe, "recipe of the run")}
    if task.resolution is not None:
        meta["RESOL"] = (task.resolution, "arcsec")
    write_map(
        task.path,
        source.wcs,
        rows,
        shape=source.shape,
        dtype=array.dtype,
        unit=array.unit,
        name=task.name.upper(),
        meaning=array.meaning,
        meta=meta,
    )
