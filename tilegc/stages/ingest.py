"""Ingest: every band of a field into one Zarr store in nJy per pixel, or straight from FITS (DESIGN 3.1).

`ingest: auto` skips the store where all files of a field can be read in windows: the same bytes come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tilegc.engine import Engine, Unit
from tilegc.errors import ConfigError
from tilegc.io.fits import FieldSource
from tilegc.io.ingest import IngestUnit, create_ingest, finish_ingest, ingest_unit, ingest_units
from tilegc.run_folder import RunFolder

__all__ = ["Mode", "ingest", "needs_store"]

Mode = Literal["never", "always", "auto"]


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
    sources: Sequence[FieldSource], mode: Mode, folder: RunFolder, digests: Mapping[str, str], engine: Engine
) -> tuple[FieldSource, ...]:
    """Ingest the fields that need it and return where each is read from now.

    Parameters
    ----------
    sources, mode
        The fields as they were probed, and the run file's `ingest`.
    folder
        Its stores receive the pixels.
    digests
        SHA-256 of every input file, by path: the stores keep them.
    engine
        Who does it.
    """
    wanted = {
        source.name: (source, str(folder.store(source.name)))
        for source in sources
        if needs_store(source, mode)
    }
    if not wanted:
        return tuple(sources)
    ingested = {name: create_ingest(source, path) for name, (source, path) in wanted.items()}
    units = [
        Unit(f"{name}/{unit.key}", unit.pixels, (name, unit))
        for name, (source, _) in wanted.items()
        for unit in ingest_units(source)
    ]
    engine.run("ingest", _unit, units, common=wanted, ledger=folder.ledger)
    for source, path in wanted.values():
        finish_ingest(source, path, digests)
    return tuple(ingested.get(source.name, source) for source in sources)


def _unit(common: Mapping[str, tuple[FieldSource, str]], payload: tuple[str, IngestUnit]) -> None:
    name, unit = payload
    ingest_unit(*common[name], unit)
