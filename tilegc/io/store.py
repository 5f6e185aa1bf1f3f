"""Zarr stores: one a field, read in windows, written in whole shards of NumPy arrays.

Metadata are written once, by the driver; a task owns whole shards and writes nothing else. (Dask's own
writers lost pixels silently where chunks and shards did not agree.)
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tilegc import schema
from tilegc.deferred import Deferred
from tilegc.errors import InputError, RunFolderError
from tilegc.geometry import LATTICE, PATCH, Box, inner_chunk
from tilegc.io import mosaics, payload, shards
from tilegc.io.atomic import flush
from tilegc.io.fits import BandSource, FieldSource
from tilegc.io.fits import read_window as read_plane
from tilegc.io.tally import tally
from tilegc.io.units import Photometry
from tilegc.io.window import Plane, Window
from tilegc.places import is_url, place, prepare_store, reach

if TYPE_CHECKING:
    import xarray as xr
    import zarr
    import zarr.codecs
else:
    xr = Deferred("xarray")
    zarr = Deferred("zarr")

__all__ = [
    "INGESTED",
    "annotate",
    "attributes",
    "create",
    "field_attributes",
    "open_field",
    "read",
    "read_arrays",
    "read_window",
    "write",
    "write_dataset",
]

INGESTED = ("sci", "err", "wht")
"""Arrays that come from FITS files; a band without errors reads NaN, one without weights reads 1."""

NOISY = (*INGESTED, "light", "detection")
"""Arrays that are stored as they are: noise shrinks by 12 to 18 %, and takes a nanosecond a byte for it, eight times
as long as without. Smooth maps shrink by 40 %, masks by 97, at 2 to 8 GB/s (`benchmarks/codecs.py`)."""

Values = npt.NDArray[Any]


def create(
    path: str,
    arrays: Sequence[schema.Array],
    *,
    shape: tuple[int, int],
    bands: Sequence[str],
    shard: int,
    attrs: Mapping[str, Any],
) -> None:
    """Write the metadata of a store, or add arrays to one; to be called by the driver alone.

    Parameters
    ----------
    path
        The store's folder or URL.
    arrays
        What to add. Arrays that are there already stay as they are.
    shape
        Rows and columns of the field.
    bands
        Names along the `band` axis.
    shard
        Side of the shards, pixels: the unit of writing. Any number from 1; inside of a shard lie chunks of
        `geometry.inner_chunk`.
    attrs
        Attributes of the store, added to those that are there.

    Raises
    ------
    RunFolderError
        The store that is there holds another field, other bands, or an array with other shards.
    """
    prepare_store(path)
    # Consolidated metadata would be stale while arrays are added.
    group = zarr.open_group(path, mode="a", zarr_format=3, use_consolidated=False)
    cells = [-(-side // LATTICE) for side in shape]
    patches = [-(-side // PATCH) for side in shape]
    lengths = {
        "band": len(bands),
        **dict(zip(("y", "x"), shape, strict=True)),
        **dict(zip(("cell_y", "cell_x"), cells, strict=True)),
        **dict(zip(("patch_y", "patch_x"), patches, strict=True)),
    }
    # Arrays that exist are kept and compared: a resumed run must neither clear them nor write into others'
    # shapes.
    there = {name: _open_array(path, name, "r") for name in group.array_keys()}
    if "band" not in there:
        names = group.create_array(
            "band",
            shape=(len(bands),),
            chunks=(max(len(bands), 1),),
            dtype="string",
            dimension_names=("band",),
        )
        names[:] = np.array(list(bands), dtype=object)
    elif not any(np.asarray(there["band"][:])) and there["band"].shape == (len(bands),):
        # A process that was killed between the array's metadata and its only chunk left empty names.
        _open_array(path, "band", "r+")[:] = np.array(list(bands), dtype=object)
    elif (held := [str(name) for name in np.asarray(there["band"][:])]) != list(bands):
        raise RunFolderError(f"{path}: contains other bands ({', '.join(held)}); use another directory")
    for array in arrays:
        whole = tuple(lengths[dim] for dim in array.dims)
        # What stands on the lattice is small, and the driver writes it in one piece.
        sides = tuple({"band": 1, "y": shard, "x": shard}.get(dim, lengths[dim]) for dim in array.dims)
        if array.name not in there:
            _create_array(group, array, whole, sides)
            continue
        found = there[array.name]
        if found.shape != whole or (found.shards or found.chunks) != sides:
            raise RunFolderError(
                f"{path}: array {array.name!r} is {found.shape} in shards of {found.shards or found.chunks},"
                f" {whole} in shards of {sides} are needed; use another directory"
            )
    group.attrs.update(
        {"schema_version": schema.SCHEMA_VERSION, "shape": list(shape), "bands": list(bands), **attrs}
    )
    _consolidate(path)


def _create_array(
    group: zarr.Group, array: schema.Array, shape: tuple[int, ...], sides: tuple[int, ...]
) -> None:
    chunks = tuple(
        inner_chunk(side) if dim in {"y", "x"} else side for dim, side in zip(array.dims, sides, strict=True)
    )
    dtype = np.dtype(array.dtype)
    group.create_array(
        array.name,
        shape=shape,
        chunks=chunks,
        shards=None if chunks == sides else sides,
        dtype=dtype,
        # Pixels that are never written read as missing, and mask bits as unset.
        fill_value=np.nan if dtype.kind == "f" else 0,
        compressors=zarr.codecs.BloscCodec(
            cname="lz4",
            clevel=0 if array.name in NOISY else 5,
            shuffle="noshuffle" if array.name in NOISY else "shuffle",
            typesize=dtype.itemsize,
        ),
        dimension_names=array.dims,
        attributes={"units": array.unit, "long_name": array.meaning},
    )


def annotate(path: str, attrs: Mapping[str, Any]) -> None:
    """Add attributes to a store; to be called by the driver alone."""
    prepare_store(path)
    zarr.open_group(path, mode="r+", use_consolidated=False).attrs.update(dict(attrs))
    _consolidate(path)


def _consolidate(path: str) -> None:
    """Gather the metadata in the root: xarray looks for them there first, and complains if it must not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(path)
    if not is_url(path):
        # Zarr leaves its metadata, and the names of the bands, to the system's cache. Marks in the ledger follow,
        # and after a power failure they would stand for a store that cannot be opened.
        for file in (*Path(path).rglob("zarr.json"), *Path(path).glob("band/c/*")):
            flush(file)


def attributes(path: str) -> dict[str, Any]:
    """Return the attributes of a store."""
    prepare_store(path)
    return dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)


def write(path: str, name: str, box: Box, values: Values, band: int | None = None) -> None:
    """Write whole shards of one array.

    Parameters
    ----------
    path, name
        Store and array.
    box
        Pixels: begins and ends at borders of shards, or at the end of the field.
    values
        Shape of the box; with a leading band axis if the array has one and `band` is None.
    band
        Number of the band, from 0.

    Raises
    ------
    ValueError
        A box that cuts a shard (two tasks would own it), or values of another shape or dtype.
    """
    array = shards.layout(path, name) or _open_array(path, name, "r+")
    sides = array.shards or array.chunks
    for start, stop, side, length in zip(
        (box.y0, box.x0), (box.y1, box.x1), sides[-2:], array.shape[-2:], strict=True
    ):
        # Two tasks that write into one shard would each read, change and replace the file, and the later one
        # would undo the earlier. The pixels would be lost without any error.
        if start % side or (stop % side and stop != length) or not 0 <= start < stop <= length:
            raise ValueError(f"{name}: {box} cuts shards of {sides[-2:]} in {array.shape}")
    window = _window(name, array.shape, box, band)
    expected = box.shape if len(window) == 2 or band is not None else (array.shape[0], *box.shape)
    if values.shape != expected or values.dtype != array.dtype:
        raise ValueError(
            f"{name}: {values.dtype} {values.shape} given where {array.dtype} {expected} is stored"
        )
    values = values.reshape([stop - start for start, stop in window])
    if isinstance(array, shards.Layout):
        shards.write(array, window, values)
    else:
        array[tuple(slice(*span) for span in window)] = values
        if payload.is_recording():
            for number in shards.touched(window, sides):
                payload.note_place("/".join((path, name, "c", *map(str, number))))


def read(path: str, name: str, box: Box, band: int | None = None) -> Values:
    """Return a window of one array, of any box inside of the field; all bands where `band` is None."""
    array = shards.layout(path, name) or _open_array(path, name, "r")
    window = _window(name, array.shape, box, band)
    if isinstance(array, shards.Layout):
        values = shards.read(array, window)
    else:
        values = np.asarray(array[tuple(slice(*span) for span in window)])
        counted = tally(name)
        counted.windows += 1
        counted.pixels += values.size
    return values if band is None else values[0]


def read_window(source: FieldSource, store_path: str, names: Iterable[str], box: Box) -> Window:
    """Return what a rule sees: a window of a field's arrays, in memory.

    Parameters
    ----------
    source
        The field; `sci`, `err` and `wht` come from its FITS files, or from its store once it is ingested, and are no
        data where it is `blank`.
    store_path
        The run's store of this field, which holds everything else.
    names
        Names of `schema.ARRAYS`; `err` and `wht` are left out where no band of the field has them.
    box
        Pixels, inside of the field.

    Returns
    -------
    Window
        Dims and units as in the schema. Of a band without errors `err`
        is NaN, of one without weights `wht` is 1 (such weights mark no pixel as missing).
    """
    # One window holds all that a rule may look at, so that the same rule runs on Dask, serially and in a
    # notebook.
    known = {array.name: array for array in schema.ARRAYS}
    planes = {}
    absent = {name for name, given in (("err", source.has_err), ("wht", source.has_wht)) if not given}
    for name in (name for name in names if name not in absent):
        array = known[name]
        if name in INGESTED and source.store is None:
            values = _read_planes(source, name, box)
        elif name in INGESTED and source.store is not None:
            values = read(source.store, name, box)
        else:
            values = read(store_path, name, box)
        if name == "wht":
            values[[number for number, band in enumerate(source.bands) if "wht" not in band.given]] = 1.0
        for hole in source.blank if name in INGESTED else ():
            values[..., *hole.clip(box).within(box)] = 0.0 if name == "wht" else np.nan
        planes[name] = Plane(values=values, dims=array.dims, units=array.unit)
    with_bands = any("band" in plane.dims for plane in planes.values())
    return Window(planes, source.band_names if with_bands else ())


def _read_planes(source: FieldSource, name: str, box: Box) -> Values:
    values = np.full((len(source.bands), *box.shape), np.nan, np.float32)
    for kind, number, plane in source.planes():
        if kind == name and not source.bands[number].mosaics:
            values[number] = read_plane(plane, box)
    for number, band in enumerate(source.bands):
        if band.mosaics and name in band.given:
            values[number] = mosaics.assembled(band, source.wcs, [name], box)[name]
    return values


def write_dataset(path: str, dataset: xr.Dataset) -> None:
    """Write a small dataset as a store of its own, in place of what is there; by the driver alone."""
    prepare_store(path)
    dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=False)
    _consolidate(path)


def read_arrays(path: str) -> tuple[dict[str, Values], dict[str, Any]]:
    """Return what `write_dataset` wrote: arrays in memory, and attributes. xarray is not imported."""
    prepare_store(path)
    group = zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False)
    return {name: np.asarray(array[...]) for name, array in group.arrays()}, dict(group.attrs)


def field_attributes(source: FieldSource) -> dict[str, Any]:
    """Return what a field's store says of it: enough to do without its FITS files."""
    return {
        "field": source.name,
        "header": source.header,
        "wcs": source.wcs,
        "pixel_scale_arcsec": source.scale,
        "pixel_area_arcsec2": source.pixel_area,
        "given": [list(band.given) for band in source.bands],
        "photometry": [band.photometry and asdict(band.photometry) for band in source.bands],
        "seam": source.seam,
    }


def open_field(name: str, path: str) -> FieldSource:
    """Return a field whose pixels an earlier ingest wrote.

    Raises
    ------
    InputError
        No store, one of something else, one of another schema, or an ingest that did not end.
    """
    if not reach(place(path)):
        raise InputError(f"{path} (field {name}): no such store; correct its path in the run file")
    try:
        # Attributes hold all that the FITS files said: an ingested field needs them no more.
        attrs = attributes(path)
        version = attrs["schema_version"]
        if version != schema.SCHEMA_VERSION:
            raise InputError(
                f"{path} (field {name}): store of schema {version}, this version reads"
                f" {schema.SCHEMA_VERSION}; ingest it again"
            )
        if "ingest" not in attrs:
            raise InputError(
                f"{path} (field {name}): contains no finished ingest; ingest the field again, or give its bands"
            )
        rows, columns = attrs["shape"]
        bands = tuple(
            BandSource(band, None, stored=tuple(given), photometry=told and Photometry(**told))
            for band, given, told in zip(
                attrs["bands"],
                attrs["given"],
                attrs.get("photometry", [None] * len(attrs["bands"])),
                strict=True,
            )
        )
        return FieldSource(
            name=name,
            shape=(rows, columns),
            bands=bands,
            header=attrs["header"],
            wcs=attrs["wcs"],
            scale=attrs["pixel_scale_arcsec"],
            pixel_area=attrs["pixel_area_arcsec2"],
            has_err=any("err" in band.given for band in bands),
            has_wht=any("wht" in band.given for band in bands),
            store=path,
            seam=float(attrs.get("seam", 0.0)),
        )
    except (KeyError, OSError, ValueError, TypeError, json.JSONDecodeError):
        raise InputError(
            f"{path} (field {name}): not a tilegc store; give the path of a store written by `tilegc ingest`, or bands"
        ) from None


def _open_array(path: str, name: str, mode: Any) -> zarr.Array[Any]:
    prepare_store(path)
    return zarr.open_array(path, path=name, mode=mode, zarr_format=3)


def _window(name: str, shape: tuple[int, ...], box: Box, band: int | None) -> list[tuple[int, int]]:
    """Return start and stop along each axis of an array."""
    if box.clip(Box(0, 0, *shape[-2:])) != box:
        raise ValueError(f"{box} is not inside of {name}, {shape}")  # Zarr would cut it silently
    here = [(box.y0, box.y1), (box.x0, box.x1)]
    if len(shape) == 2:
        if band is not None:
            raise ValueError(f"{name} has no bands")
        return here
    return [(0, shape[0]) if band is None else (band, band + 1), *here]
