"""The phases `ingest` and `audit`: the images become fields in tiles, and are checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from tilegc.config import RunConfig
from tilegc.engine import Engine, FieldTiles
from tilegc.geometry import LATTICE, TileGrid
from tilegc.images import ingest, products
from tilegc.images.audits import audit
from tilegc.images.audits.cells import sampled_cells
from tilegc.images.results import Audited
from tilegc.io import store
from tilegc.io.convergence import Kappa
from tilegc.io.fits import FieldSource
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.run_folder import RunFolder
from tilegc.schema import Array

__all__ = ["AUDIT", "INGEST", "audited", "ingested", "needed"]

log = logging.getLogger("tilegc")

SHARD: Final = 1024
"""Side of the shards of ingested bands, pixels."""

CELL_BYTES: Final = 120.0
"""Peak memory of the audit, bytes per pixel of a cell and band."""


def ingest_passes(planned: Planned) -> Iterator[Step]:
    """State the pass that copies bands into stores; there is none where all files are read in windows."""
    sources = (*planned.sources, *planned.others)
    wanted = [source for source in sources if needed(source, planned.config)]
    if not wanted:
        return
    units = sum(
        1 if plane.kind == "gzip" else len(TileGrid(source.shape, SHARD))
        for source in wanted
        for _, number, plane in source.planes()
        if not source.bands[number].mosaics
    )
    units += sum(
        len(TileGrid(source.shape, SHARD))
        * (sum(bool(band.mosaics) for band in source.bands) + (source.seam > 0))
        for source in wanted
    )
    yield Step(
        name="ingest",
        over="shards",
        units=units,
        memory=16 * SHARD * max(source.shape[1] for source in wanted),
        writes=("sci", "err", "wht"),
        marked=True,
        gives="one task owns whole shards",
    )


def needed(source: FieldSource, config: RunConfig) -> bool:
    """Return whether the bands of a field are copied into a store."""
    return ingest.needs_store(source, config.ingest)


def ingested(
    engine: Engine,
    near: Engine,
    config: RunConfig,
    sources: tuple[FieldSource, ...],
    others: tuple[FieldSource, ...],
    folder: RunFolder,
    digests: Mapping[str, str],
    layout: list[Array],
) -> Context:
    """Copy into stores the bands that need it, and cut every field into tiles.

    Parameters
    ----------
    engine, near : Engine
        The workers, and those on this machine.
    config : RunConfig
    sources : tuple of FieldSource
        The fields, as they were probed.
    others : tuple of FieldSource
        The bands that are only measured.
    folder : RunFolder
    digests : mapping
        SHA-256 of every input file, by path.
    layout : list of Array
        The arrays that all phases write into the store of every field.

    Returns
    -------
    Context
        Where all later phases work.
    """
    fields, size = [], config.tiles.size
    read = ingest.ingest((*sources, *others), config.ingest, folder, digests, engine)
    for source in read[: len(sources)]:
        path = str(folder.store(source.name))
        attrs = {**store.field_attributes(source), "recipe": config.recipe}
        store.create(path, layout, shape=source.shape, bands=source.band_names, shard=size, attrs=attrs)
        fields.append(FieldTiles(source, path, TileGrid(source.shape, size)))
    beside = tuple(FieldTiles(one, "", TileGrid(one.shape, size)) for one in read[len(sources) :])
    return Context(engine=engine, near=near, fields=tuple(fields), others=beside, ledger=folder.ledger)


def audit_passes(planned: Planned) -> Iterator[Step]:
    """State the pass over a sample of lattice cells."""
    yield Step(
        name="audit",
        over="cells",
        units=sum(len(sampled_cells(source.shape)) for source in (*planned.sources, *planned.others)),
        memory=int(CELL_BYTES * planned.bands * LATTICE**2),
        reads=("sci", "err", "wht"),
        gives="noise, bright sources, weights and coarse light of cells",
    )


def audited(context: Context, config: RunConfig, kappa: Kappa | None) -> Audited:
    """Check the images and the convergence map, and log what is wrong."""
    others = [band.source for band in context.others]
    lines = audit(config, [field.source for field in context.fields], kappa, context.engine, others)
    for line in lines:
        if line.verdict == "wrong":
            place = ", ".join(part for part in (line.field and f"field {line.field}", line.band) if part)
            log.warning("audit, %s: %s: %s; %s", line.check, place, line.finding, line.remedy)
    return Audited(lines=lines)


INGEST: Phase[object, RunConfig] = Phase(name="ingest", timing="ingest_s", passes=ingest_passes)

AUDIT: Phase[object, RunConfig] = Phase(
    name="audit",
    timing="audit_s",
    passes=audit_passes,
    write=products.write,
    summarise=products.summarise,
)
