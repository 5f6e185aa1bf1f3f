"""Ingest: FITS pixels into the sharded store, once, in units that own whole shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilegc import schema
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource, Pixels, Plane, file_digest, read_window, row_bands

__all__ = ["SHARD", "IngestUnit", "create_ingest", "finish_ingest", "ingest_unit", "ingest_units"]

SHARD = 1024
"""Side of the ingest's shards, pixels (chunks of 256): fixed, so that a store serves any tile size."""


@dataclass(frozen=True)
class IngestUnit:
    """A part of one plane that one task brings in."""

    key: str
    """`<array>/<band>/<number>`: the same in every run of the same field."""
    array: str
    """sci, err or wht."""
    band: int
    plane: Plane
    box: Box
    """Whole shards; the whole plane of a gzip file, which can only be unpacked from its beginning."""

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.box.size


def ingest_units(source: FieldSource) -> list[IngestUnit]:
    """Return the parts in which a field is brought in: they may be done in any order, by any worker."""
    units = []
    # Planes one after the other, and within a plane row by row: neighbouring units read neighbouring bytes of
    # one file.
    for array, band, plane in source.planes():
        for number, box in enumerate(_boxes(plane)):
            units.append(IngestUnit(f"{array}/{source.bands[band].name}/{number}", array, band, plane, box))
    return units


def _boxes(plane: Plane) -> Iterator[Box]:
    """Cut a plane: squares, or bands of whole rows where the file is compressed by rows, or not at all."""
    height, width = plane.shape
    # A gzip stream is read from its start for every unit that enters it, so that it is one unit. RICE files are
    # compressed row by row: a narrower unit would unpack the same rows again.
    rows = height if plane.kind == "gzip" else SHARD
    columns = SHARD if plane.kind == "plain" else width
    for y0 in range(0, height, rows):
        for x0 in range(0, width, columns):
            yield Box(y0, x0, y0 + rows, x0 + columns).clip(plane.box)


def create_ingest(source: FieldSource, path: str) -> FieldSource:
    """Write the metadata of a field's ingest and return the field as one that is read from there."""
    wanted = {"sci", *(["err"] if source.has_err else []), *(["wht"] if source.has_wht else [])}
    store.create(
        path,
        [array for array in schema.ARRAYS if array.name in wanted],
        shape=source.shape,
        bands=source.band_names,
        shard=SHARD,
        attrs=store.field_attributes(source),
    )
    bands = tuple(
        BandSource(band.name, None, stored=band.given, photometry=band.photometry) for band in source.bands
    )
    return dataclasses.replace(source, store=path, bands=bands)


def ingest_unit(source: FieldSource, path: str, unit: IngestUnit) -> npt.NDArray[np.int64]:
    """Bring in one unit.

    Returns
    -------
    ndarray of int64, shape (bands,)
        Finite science pixels of the unit. (`probe.require_finite` refuses an empty band before any is
        brought in; a resumed ingest does only some of the units, so their sum settles nothing.)

    Raises
    ------
    InputError
        The file ends, or breaks, where pixels should be.
    """
    finite = np.zeros(len(source.bands), np.int64)
    # Written part by part: a whole plane of a mosaic need not fit into memory.
    for box, pixels in _parts(unit):
        store.write(path, unit.array, box, pixels, band=unit.band)
        if unit.array == "sci":
            finite[unit.band] += np.count_nonzero(np.isfinite(pixels))
    return finite


def _parts(unit: IngestUnit) -> Iterator[tuple[Box, Pixels]]:
    if unit.plane.kind == "gzip":
        for y0, pixels in row_bands(unit.plane, SHARD):
            yield Box(y0, 0, y0 + pixels.shape[0], pixels.shape[1]), pixels
    else:
        yield unit.box, read_window(unit.plane, unit.box)


def finish_ingest(source: FieldSource, path: str, digests: Mapping[str, str] | None = None) -> dict[str, str]:
    """Mark a store as complete; to be called by the driver after all units.

    Parameters
    ----------
    source
        The field with its files, as `probe_field` gave it.
    path
        The store.
    digests
        `file_digest` of every one of `source.paths`, if they were already computed.

    Returns
    -------
    dict
        The store's attribute `ingest`: SHA-256 of the file behind every `<array>/<band>`.
    """
    if digests is None:
        # The attribute is written last, and is what `store.open_field` looks for: an ingest that was
        # interrupted has none.
        digests = {name: file_digest(name) for name in source.paths}
    record = {
        f"{array}/{source.bands[band].name}": digests[plane.path] for array, band, plane in source.planes()
    }
    store.annotate(path, {"ingest": record})
    return record
