"""Windows of the store's arrays on a disk of this machine, without Zarr's own machinery.

The files are Zarr's (version 3, `sharding_indexed` over Blosc), and every reader of Zarr opens them. But Zarr takes
each chunk through coroutines and a pool of threads, which costs more than to decode it: a window of 1200 px is had
here with a fifth of the processor time. Arrays of another layout, and stores at URLs, are left to Zarr.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc  # type: ignore[import-untyped]

from tilegc.io import payload
from tilegc.io.tally import tally
from tilegc.places import is_url

__all__ = ["Layout", "layout", "read", "touched", "write"]

# A worker is one thread, and Blosc's own threads would be shared by all who decode in this process.
blosc.use_threads = False

Values = npt.NDArray[Any]
Span = tuple[int, int]

_NOT_THERE: Final = 0xFFFFFFFFFFFFFFFF
"""Offset and length of a chunk that holds nothing but the fill value."""

_SHUFFLES: Final = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


@dataclass(frozen=True, eq=False)
class Layout:
    """How an array lies on the disk: what its zarr.json says."""

    name: str
    folder: str
    shape: tuple[int, ...]
    shards: tuple[int, ...]
    """Shape of a file's part of the array."""
    chunks: tuple[int, ...]
    """Shape of what is compressed in one piece."""
    sharded: bool
    """Whether a file has an index; else it is one chunk."""
    dtype: np.dtype[Any]
    fill: Any
    compressor: tuple[bytes, int, int]
    """Blosc's name of the codec, level and shuffle."""
    attributes: Mapping[str, Any]


def layout(path: str, name: str) -> Layout | None:
    """Return how an array of a store lies on the disk; None where it is for Zarr to know.

    Parameters
    ----------
    path, name : str
        Store, and array in it.
    """
    if is_url(path) or sys.byteorder != "little":
        return None
    folder = f"{path}/{name}"
    # zarr.json is parsed once for each version of it, since a pass opens the same arrays for every tile. Size, time
    # and inode together tell whether it was replaced.
    try:
        told = os.stat(f"{folder}/zarr.json")  # noqa: PTH116  (a tenth of the time of a Path)
    except OSError:
        return None
    return _layout(folder, name, told.st_mtime_ns, told.st_size, told.st_ino)


@lru_cache(maxsize=512)
def _layout(folder: str, name: str, *_: int) -> Layout | None:
    """Parse zarr.json; the further arguments tell one version of it from another."""
    try:
        with open(f"{folder}/zarr.json", "rb") as stream:  # noqa: PTH123
            told = json.load(stream)
        shards = tuple(told["chunk_grid"]["configuration"]["chunk_shape"])
        chunks, codecs, sharded = shards, told["codecs"], False
        # Everything that this reader does not know is left to Zarr, which is slower and knows it: another codec,
        # another order of the index, another grid. Nothing is guessed.
        if codecs[0]["name"] == "sharding_indexed":
            (only,) = codecs
            inner, sharded = only["configuration"], True
            chunks, codecs = tuple(inner["chunk_shape"]), inner["codecs"]
            index = [codec["name"] for codec in inner["index_codecs"]]
            if inner["index_location"] != "end" or index != ["bytes", "crc32c"]:
                return None
        first, second = codecs
        known = (
            (told["zarr_format"], told["node_type"], told["chunk_grid"]["name"]) == (3, "array", "regular")
            and told["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
            and first["name"] == "bytes"
            and first.get("configuration", {}).get("endian", "little") == "little"
            and second["name"] == "blosc"
            and not told.get("storage_transformers")
        )
        if not known:
            return None
        settings = second["configuration"]
        dtype = np.dtype(told["data_type"])
        fill = dtype.type(told["fill_value"])
        compressor = settings["cname"].encode(), int(settings["clevel"]), _SHUFFLES[settings["shuffle"]]
        return Layout(
            name,
            folder,
            tuple(told["shape"]),
            shards,
            chunks,
            sharded,
            dtype,
            fill,
            compressor,
            told.get("attributes", {}),
        )
    except (KeyError, ValueError, TypeError, IndexError, OSError):
        return None


def read(array: Layout, window: Sequence[Span]) -> Values:
    """Return a window of an array.

    Parameters
    ----------
    array : Layout
    window : sequence of (start, stop)
        One along each axis, inside of the array.

    Returns
    -------
    array of the window's shape
    """
    out = np.empty([stop - start for start, stop in window], array.dtype)
    counted = tally(array.name)
    counted.windows += 1
    counted.pixels += out.size
    if not out.size:
        return out
    # One buffer for all chunks of a window, in place of fresh memory for each.
    buffer = np.empty(array.chunks, array.dtype)
    for place in touched(window, array.shards):
        corner = tuple(number * side for number, side in zip(place, array.shards, strict=True))
        _read_shard(array, place, corner, window, out, buffer)
    return out


def touched(
    window: Sequence[Span], sides: Sequence[int], corner: Sequence[int] | None = None
) -> Iterator[tuple[int, ...]]:
    """Yield the numbers, along each axis, of the pieces of a regular grid that a window touches."""
    first = corner or (0,) * len(sides)
    return itertools.product(
        *(
            range((start - zero) // side, (stop - 1 - zero) // side + 1)
            for (start, stop), side, zero in zip(window, sides, first, strict=True)
        )
    )


def _file(array: Layout, place: Sequence[int]) -> str:
    return "/".join((array.folder, "c", *map(str, place)))


def _read_shard(
    array: Layout,
    place: tuple[int, ...],
    corner: tuple[int, ...],
    window: Sequence[Span],
    out: Values,
    buffer: Values,
) -> None:
    """Fill the part of `out` that lies in one file."""
    here = [
        (max(start, zero), min(stop, zero + side))
        for (start, stop), zero, side in zip(window, corner, array.shards, strict=True)
    ]
    try:
        handle = os.open(_file(array, place), os.O_RDONLY)
    except FileNotFoundError:  # a file of fill values is not written
        out[_within(here, window)] = array.fill
        return
    try:
        size = os.fstat(handle).st_size
        index = _index(array, handle, size, place)
        for number in touched(here, array.chunks, corner):
            zero = [first + n * side for first, n, side in zip(corner, number, array.chunks, strict=True)]
            part = [
                (max(start, first), min(stop, first + side))
                for (start, stop), first, side in zip(here, zero, array.chunks, strict=True)
            ]
            target = out[_within(part, window)]
            offset, length = (0, size) if index is None else map(int, index[number])
            if offset == _NOT_THERE:
                target[...] = array.fill
                continue
            packed = os.pread(handle, length, offset)
            counted = tally(array.name)
            counted.chunks += 1
            counted.bytes += length
            # What a chunk says of its own size may be any number in a damaged file: it is checked before Blosc acts
            # on it, so that the error names the file and the chunk.
            if len(packed) != length or _unpacked(packed) != buffer.nbytes:
                raise OSError(f"{_file(array, place)}: damaged: chunk {number} is not whole")
            try:
                blosc.decompress(packed, buffer)
            except RuntimeError as error:
                raise OSError(f"{_file(array, place)}: damaged: chunk {number}: {error}") from None
            target[...] = buffer[tuple(slice(a - z, b - z) for (a, b), z in zip(part, zero, strict=True))]
    finally:
        os.close(handle)


def _unpacked(packed: bytes) -> int:
    """Return what a Blosc chunk says of its size; -1 if it is cut."""
    if len(packed) < 16:
        return -1
    unpacked, _, whole = struct.unpack_from("<III", packed, 4)
    return int(unpacked) if whole == len(packed) else -1


def _within(part: Sequence[Span], window: Sequence[Span]) -> tuple[slice, ...]:
    return tuple(
        slice(start - zero, stop - zero) for (start, stop), (zero, _) in zip(part, window, strict=True)
    )


def _index(array: Layout, handle: int, size: int, place: tuple[int, ...]) -> Values | None:
    """Return offset and length of every chunk of a file, (chunks along each axis, 2); None: it is one chunk."""
    if not array.sharded:
        return None
    counts = tuple(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    length = 16 * int(np.prod(counts))
    # The index stands at the end of the file with its own checksum. A file cut by a crash has no valid one.
    tail = os.pread(handle, length + 4, max(size - length - 4, 0))
    if len(tail) != length + 4 or tail[length:] != _checksum(tail[:length]):
        raise OSError(f"{_file(array, place)}: damaged: its index is incomplete")
    return np.frombuffer(tail, "<u8", count=length // 8).reshape(*counts, 2)


def _checksum(content: bytes) -> bytes:
    return struct.pack("<I", google_crc32c.value(content))


def write(array: Layout, window: Sequence[Span], values: Values) -> None:
    """Write whole shards, each file beside its place and renamed.

    Parameters
    ----------
    array : Layout
    window : sequence of (start, stop)
        Begins and ends at borders of shards, or at the end of the array.
    values : array of the window's shape and the array's dtype
    """
    for place in touched(window, array.shards):
        corner = tuple(number * side for number, side in zip(place, array.shards, strict=True))
        here = [
            (zero, min(zero + side, length))
            for zero, side, length in zip(corner, array.shards, array.shape, strict=True)
        ]
        content = _packed(array, values[_within(here, window)])
        file = _file(array, place)
        if content is None:
            # An earlier attempt may have written pixels where there are none now: the file must go, or they
            # would be read.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file)  # noqa: PTH108
        else:
            _replace(file, content)
        # Noted after the rename, also for an absent file: that absence is a result as well.
        payload.note(file, content)


def _packed(array: Layout, values: Values) -> list[bytes] | None:
    """Return the content of a file; None where all is fill value."""
    counts = tuple(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    index = np.full((*counts, 2), _NOT_THERE, "<u8")
    pieces: list[bytes] = []
    offset = 0
    codec, level, shuffle = array.compressor
    missing = array.dtype.kind == "f" and np.isnan(array.fill)
    for number in np.ndindex(counts):
        part = values[
            tuple(slice(n * side, (n + 1) * side) for n, side in zip(number, array.chunks, strict=True))
        ]
        # Chunks of nothing but fill value are not written, as in Zarr: blank parts of a mosaic cost neither disk nor
        # time, and the bytes are those that Zarr would write.
        if (np.isnan(part) if missing else part == array.fill).all():
            continue
        whole = part
        # At the end of an array Zarr pads chunks to their full size, and so must whoever reads them with Zarr find
        # them.
        if part.shape != array.chunks:
            whole = np.full(array.chunks, array.fill, array.dtype)
            whole[tuple(map(slice, part.shape))] = part
        # The last argument, 0, lets Blosc choose its block size from the level alone, so that the bytes depend
        # on the pixels and the version of Blosc only.
        piece = blosc.compress(np.ascontiguousarray(whole), codec, level, shuffle, 0)
        index[number] = offset, len(piece)
        pieces.append(piece)
        offset += len(piece)
    if not pieces:
        return None
    if array.sharded:
        tail = index.tobytes()
        pieces += [tail, _checksum(tail)]
    return pieces


def _replace(file: str, content: list[bytes]) -> None:
    """Write a file under a name of its own, as Zarr does, and rename it: nobody sees half of it."""
    beside = f"{file}.{secrets.token_hex(16)}.partial"
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(file), exist_ok=True)  # noqa: PTH103, PTH120
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(content)
            if payload.is_recording():
                # The mark in the ledger follows; it must not reach the disk before what it stands for.
                stream.flush()
                os.fdatasync(handle)
        os.replace(beside, file)  # noqa: PTH105
    except BaseException:
        os.unlink(beside)  # noqa: PTH108
        raise
