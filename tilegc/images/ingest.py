"""Ingest: every band of a field into one Zarr store in nJy per pixel, or straight from FITS (algorithm.md, section 1).

`ingest: auto` makes a store of files that cannot be read in windows, and of those whose windows were measured to cost
more than the store: compressed ones, whose windows unpack whole rows of a wide mosaic. The same bytes come out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from tilegc.config import RunConfig
from tilegc.engine import Engine, Unit
from tilegc.errors import ConfigError
from tilegc.io.fits import FieldSource
from tilegc.io.ingest import IngestUnit, create_ingest, finish_ingest, ingest_unit, ingest_units
from tilegc.io.reading_cost import reading_cost
from tilegc.run_folder import RunFolder

__all__ = ["Mode", "ingest", "measured", "needs_store"]

Mode = Literal["never", "always", "auto"]

READS: Final = {"diego2026": 2.0, "calibrated": 3.0}
"""Times that every pixel is read out of the files, about: for the detection map, the null maps, the noise of bands."""


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
    return mode == "always" or not source.windowed or (mode == "auto" and source.slow)


def measured(
    sources: Sequence[FieldSource], config: RunConfig, folder: RunFolder, *, resume: bool = False
) -> tuple[FieldSource, ...]:
    """Return the fields with `slow` set where `ingest: auto` should make a store; nothing is written into the folder.

    A run that is resumed goes on as it began: its stores say how.
    """
    if config.ingest != "auto":
        return tuple(sources)
    found = []
    for source in sources:
        begun = folder.store(source.name)
        if resume and begun.is_dir():
            found.append(replace(source, slow=(begun / "sci").is_dir()))
            continue
        cost = reading_cost(source, config.tiles.size)
        if cost is None:
            found.append(source)
            continue
        slow = cost.store_pays(READS[config.recipe])
        note = (
            f"a pixel costs {cost.window:.2g} ns in windows of the files, {cost.ingest:.2g} ns to bring into a store "
            f"and {cost.store:.2g} ns out of it: {'a store is made' if slow else 'the files are read'}"
        )
        found.append(replace(source, slow=slow, notes=(*source.notes, note)))
    return tuple(found)


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
