"""Ingest: every band of a field into one Zarr store in nJy per pixel, or straight from FITS (algorithm.md, section 1).

`ingest: auto` follows a rule: compressed files (gzip, RICE) are copied into a store, because a window would unpack the
whole file or whole rows of it, again in every pass, and so are bands of several mosaics, which would be put together
again in every pass; single plain FITS files are read in windows where they are. The pixels are the same either way.
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
            f"ingest: never, but field {source.name!r} has compressed files (.gz), which cannot be read in tiles; "
            "set ingest to auto or always"
        )
    if mode == "never" and source.resampled:
        raise ConfigError(
            f"ingest: never, but field {source.name!r} has mosaics on different grids, which are resampled by the "
            "ingest; set ingest to auto or always"
        )
    return mode == "always" or (mode == "auto" and (source.compressed or source.joined))


def ingest(
    sources: Sequence[FieldSource], mode: Mode, folder: RunFolder, digests: Mapping[str, str], engine: Engine
) -> tuple[FieldSource, ...]:
    """Ingest the fields that need it, and return all fields with the sources they are read from afterwards.

    Parameters
    ----------
    sources, mode
        The fields as they were probed, and the setting `ingest` of the run file.
    folder
        The run directory, in whose stores the pixels are written.
    digests
        SHA-256 of every input file, by path; recorded in the stores.
    engine
        Engine that copies the pixels.
    """
    chosen = {
        source.name: (source, str(folder.store(source.name)))
        for source in sources
        if needs_store(source, mode)
    }
    if not chosen:
        return tuple(sources)
    ingested = {name: create_ingest(source, path) for name, (source, path) in chosen.items()}
    units = [
        Unit(f"{name}/{unit.key}", unit.pixels, (name, unit))
        for name, (source, _) in chosen.items()
        for unit in ingest_units(source)
    ]
    engine.run("ingest", _unit, units, common=chosen, ledger=folder.ledger)
    for source, path in chosen.values():
        finish_ingest(source, path, digests)
    return tuple(ingested.get(source.name, source) for source in sources)


def _unit(common: Mapping[str, tuple[FieldSource, str]], payload: tuple[str, IngestUnit]) -> None:
    name, unit = payload
    ingest_unit(*common[name], unit)
