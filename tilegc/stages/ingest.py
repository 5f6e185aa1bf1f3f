"""Ingest: every band of a field into one Zarr store in nJy per pixel, or straight from FITS (DESIGN 3.1).

`ingest: auto` skips the store where all files of a field can be read in windows: the same bytes come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tilegc.engine import Engine, Unit
from tilegc.errors import ConfigError, InputError
from tilegc.io.fits import FieldSource
from tilegc.io.ingest import ingest_unit, ingest_units
from tilegc.run_folder import Ledger, RunFolder

__all__ = ["ingest", "needs_store"]


def needs_store(source: FieldSource, mode: Literal["never", "always", "auto"]) -> bool:
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
    sources: Sequence[FieldSource], mode: Literal["never", "always", "auto"], folder: RunFolder,
    ledger: Ledger, engine: Engine,
) -> tuple[FieldSource, ...]:  # fmt: skip
    """Ingest the fields that need it and return where each is read from now.

    Raises
    ------
    InputError
        If a band of any field holds no finite pixel.
    """
    wanted = [source for source in sources if needs_store(source, mode)]
    units = [
        Unit(f"{source.name}/{task.key}", task.pixels, (str(folder.store(source.name)), task))
        for source in wanted
        for task in ingest_units(source, folder.store(source.name))
    ]
    engine.run("ingest", ingest_unit, units, ledger=ledger)
    return tuple(
        replace(source, store=str(folder.store(source.name))) if source in wanted else source for source in sources
    )
