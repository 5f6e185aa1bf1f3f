"""Ingest: FITS pixels into the sharded store, once, in units that own whole shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilegc import schema
from tilegc.geometry import Box, blocks
from tilegc.io import mosaics, store
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
    """sci, err or wht; `mosaics` for all three of a band with several mosaics, and `seam`."""
    band: int
    plane: Plane | None
    """None: put together from several mosaics."""
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
    for band, described in enumerate(source.bands):
        for array, plane in (("sci", described.sci), ("err", described.err), ("wht", described.wht)):
            for number, box in enumerate(_boxes(plane) if plane is not None else ()):
                units.append(IngestUnit(f"{array}/{described.name}/{number}", array, band, plane, box))
        if described.mosaics:
            for number, (_, box) in enumerate(blocks(source.box, SHARD)):
                units.append(IngestUnit(f"mosaics/{described.name}/{number}", "mosaics", band, None, box))
    if source.seam > 0:
        for number, (_, box) in enumerate(blocks(source.box, SHARD)):
            units.append(IngestUnit(f"seam/{number}", "seam", 0, None, box))
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
    optional = {"err": source.has_err, "wht": source.has_wht, "seam": source.seam > 0}
    wanted = {"sci", *(name for name, given in optional.items() if given)}
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
    if unit.array == "seam":
        store.write(path, "seam", unit.box, mosaics.seams(source, unit.box).astype(np.uint8))
        return finite
    # Written part by part: a whole plane of a mosaic need not fit into memory.
    for array, box, pixels in _parts(source, unit):
        store.write(path, array, box, pixels, band=unit.band)
        if array == "sci":
            finite[unit.band] += np.count_nonzero(np.isfinite(pixels))
    return finite


def _parts(source: FieldSource, unit: IngestUnit) -> Iterator[tuple[str, Box, Pixels]]:
    if unit.plane is None:
        band = source.bands[unit.band]
        for array, pixels in mosaics.assembled(band, source.wcs, band.given, unit.box).items():
            yield array, unit.box, pixels
    elif unit.plane.kind == "gzip":
        for y0, pixels in row_bands(unit.plane, SHARD):
            yield unit.array, Box(y0, 0, y0 + pixels.shape[0], pixels.shape[1]), pixels
    else:
        yield unit.array, unit.box, read_window(unit.plane, unit.box)


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
        The store's attribute `ingest`: SHA-256 of the file, or the files, behind every `<array>/<band>`.
    """
    if digests is None:
        # The attribute is written last, and is what `store.open_field` looks for: an ingest that was
        # interrupted has none.
        digests = {name: file_digest(name) for name in source.paths}
    files: dict[str, list[str]] = {}
    for array, band, plane in source.planes():
        files.setdefault(f"{array}/{source.bands[band].name}", []).append(digests[plane.path])
    record = {array: " ".join(listed) for array, listed in files.items()}
    store.annotate(path, {"ingest": record})
    return record
