"""Ingest: every band of a field into one Zarr store in nJy per pixel, or straight from FITS (DESIGN 3.1).

`ingest: auto` skips the store where all files of a field can be read in windows: the same bytes come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from tilegc.engine import Engine, Unit
from tilegc.errors import ConfigError
from tilegc.io.fits import FieldSource
from tilegc.io.ingest import IngestUnit, create_ingest, finish_ingest, ingest_unit, ingest_units
from tilegc.run_folder import Ledger, RunFolder

__all__ = ["Mode", "ingest", "needs_store"]

Mode = Literal["never", "always", "auto"]

Finite = dict[str, list[int]]
"""Finite science pixels of every band, by field."""


def needs_store(source: FieldSource, mode: Mode) -> bool:
    """Return whether a field's bands must be written into a store first.

    Raises
    ------
    ConfigError
        If the run file forbids it for files that cannot be read in windows.
    """
    if source.store is not None:
        return False
    if mode == "never" and not source.windowed:
        raise ConfigError(
            f"ingest: never, but field {source.name!r} has compressed files (.gz) that cannot be read in tiles: "
            "give auto or always"
        )
    return mode == "always" or not source.windowed


def ingest(
    sources: Sequence[FieldSource], mode: Mode, folder: RunFolder, ledger: Ledger, engine: Engine
) -> tuple[FieldSource, ...]:
    """Ingest the fields that need it and return where each is read from now.

    Raises
    ------
    InputError
        If a band of any field holds no finite pixel.
    """
    wanted = {
        source.name: (source, str(folder.store(source.name))) for source in sources if needs_store(source, mode)
    }
    if not wanted:
        return tuple(sources)
    ingested = {name: create_ingest(source, path) for name, (source, path) in wanted.items()}
    units = [
        Unit(f"{name}/{unit.key}", unit.pixels, (name, unit))
        for name, (source, _) in wanted.items()
        for unit in ingest_units(source)
    ]
    finite: Finite = engine.run("ingest", _unit, units, common=wanted, combine=_add, ledger=ledger)
    for name, (source, path) in wanted.items():
        finish_ingest(source, path, np.array(finite[name]))
    return tuple(ingested.get(source.name, source) for source in sources)


def _unit(common: Mapping[str, tuple[FieldSource, str]], payload: tuple[str, IngestUnit]) -> Finite:
    name, unit = payload
    return {name: ingest_unit(*common[name], unit).tolist()}


def _add(a: Finite, b: Finite) -> Finite:
    both = {name: [x + y for x, y in zip(a[name], b[name], strict=True)] for name in a.keys() & b.keys()}
    return a | b | both
