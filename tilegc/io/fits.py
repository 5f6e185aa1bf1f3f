"""Pixels out of FITS files: windows of plain and tile-compressed images, row bands of gzip streams.

A `Plane` says where an image's bytes are and what they mean; reading one needs no header. Files are opened
and closed within the call, never shared: one open HDUList used by several threads gives wrong pixels
silently. Plain images are read by offset rather than mapped into memory, since a mapped file
that is cut or lost while it is read kills the process instead of raising.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from tilegc.errors import InputError
from tilegc.geometry import Box
from tilegc.io import big_endian
from tilegc.io.hdus import Kind, open_bytes, open_unpacked
from tilegc.io.tally import tally
from tilegc.io.units import Photometry
from tilegc.places import is_url

__all__ = ["BandSource", "FieldSource", "Placed", "Plane", "file_digest", "read_window", "row_bands"]

Pixels = npt.NDArray[np.float32]

_STEP = 1 << 20

# At 50 ms a request and 100 MB/s, 8 MiB take about as long to transfer as to ask for.
_SPAN = 8 << 20
"""Bytes of whole rows that are asked for at a time where every request to a store costs more than the bytes between."""

_CACHED = 1 << 16
"""Pixels that are converted at a time."""


@dataclass(frozen=True)
class Plane:
    """One image: where its bytes are and what they mean. Picklable, and all that a task needs to read it."""

    path: str
    hdu: int
    """Index of the HDU in its file."""
    kind: Kind
    shape: tuple[int, int]
    """Rows, columns."""
    factor: float
    """From the file's values to nJy per pixel (to nJy^-2 for weights)."""
    offset: int = 0
    """First byte of the data, in the unpacked file."""
    size: int = 0
    """Bytes of the data as they lie there."""
    dtype: str = ">f4"
    """Values as they lie in the file."""
    scale: float = 1.0
    """BSCALE."""
    zero: float = 0.0
    """BZERO."""
    blank: int | None = None
    """BLANK: the integer that means no value."""
    degenerate: int = 0
    """Leading axes of length 1 that the file has besides the two; only tile-compressed images care."""

    @property
    def box(self) -> Box:
        """The whole image."""
        return Box(0, 0, *self.shape)


@dataclass(frozen=True)
class Placed:
    """One of several mosaics of a band, and where it lies on the grid of its field."""

    sci: Plane
    err: Plane | None
    wht: Plane | None
    box: Box
    """Pixels of the field that it covers: exactly if it is on the field's grid, otherwise a box around them."""
    wcs: str | None
    """Its WCS if it is on another grid, and is resampled; None: its pixels are pixels of the field."""

    def planes(self) -> Iterator[tuple[str, Plane]]:
        """Yield array name and plane of everything that is given."""
        for name, plane in (("sci", self.sci), ("err", self.err), ("wht", self.wht)):
            if plane is not None:
                yield name, plane


@dataclass(frozen=True)
class BandSource:
    """The planes of one band."""

    name: str
    sci: Plane | None
    """None: the field is a store that an earlier ingest wrote, or the band has several mosaics."""
    err: Plane | None = None
    wht: Plane | None = None
    stored: tuple[str, ...] = ()
    """What that store holds of this band, of sci, err, wht."""
    photometry: Photometry | None = None
    """What a count of its file is; None: an earlier store does not say."""
    mosaics: tuple[Placed, ...] = ()
    """Several mosaics: a pixel is that of the first one that has data there."""

    @property
    def given(self) -> tuple[str, ...]:
        """What there is of this band, of sci, err, wht, wherever it lies."""
        planes = {"sci": self.sci, "err": self.err, "wht": self.wht}
        if self.mosaics:
            return tuple(name for name, _ in self.mosaics[0].planes())
        return self.stored or tuple(name for name, plane in planes.items() if plane is not None)


@dataclass(frozen=True)
class FieldSource:
    """A field that was looked at and found usable: where its pixels are, and what a task must know."""

    name: str
    shape: tuple[int, int]
    bands: tuple[BandSource, ...]
    """Bands in run-file order."""
    header: str
    """Header of the first band's science image, verbatim, a card a line."""
    wcs: str
    """The cards of that header that make the WCS, verbatim: what `sky.wcs_from_text` takes."""
    scale: float
    """Side of a pixel, arcsec."""
    pixel_area: float
    """Area of a pixel at the field's centre, arcsec^2."""
    has_err: bool
    has_wht: bool
    store: str | None = None
    """Store that holds sci, err and wht; None: they are in the FITS files."""
    blank: tuple[Box, ...] = ()
    """Where a run reads no data, whatever is there: some rule failed on these pixels."""
    notes: tuple[str, ...] = ()
    """Remarks for the log."""
    seam: float = 0.0
    """Pixels that are masked on either side of a border between mosaics on different grids; 0: there is none."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in run-file order."""
        return tuple(band.name for band in self.bands)

    @property
    def box(self) -> Box:
        """The whole field."""
        return Box(0, 0, *self.shape)

    @property
    def joined(self) -> bool:
        """Whether a band has several mosaics, which have not been ingested yet."""
        return any(band.mosaics for band in self.bands)

    @property
    def resampled(self) -> bool:
        """Whether some of these mosaics are on another pixel grid than the field."""
        return any(one.wcs is not None for band in self.bands for one in band.mosaics)

    @property
    def windowed(self) -> bool:
        """Whether all pixels can be read in windows where they are: gzip files cannot."""
        return self.store is not None or all(plane.kind != "gzip" for _, _, plane in self.planes())

    @property
    def compressed(self) -> bool:
        """Whether some pixels are in compressed files, of which a window unpacks much more than it needs."""
        return self.store is None and any(plane.kind in {"gzip", "rice"} for _, _, plane in self.planes())

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that the planes are in, each once, in order."""
        return tuple(dict.fromkeys(plane.path for _, _, plane in self.planes()))

    def planes(self) -> Iterator[tuple[str, int, Plane]]:
        """Yield array name, number of the band, and plane of everything that is given."""
        for number, band in enumerate(self.bands):
            for name, plane in (("sci", band.sci), ("err", band.err), ("wht", band.wht)):
                if plane is not None:
                    yield name, number, plane
            for one in band.mosaics:
                yield from ((name, number, plane) for name, plane in one.planes())


def read_window(plane: Plane, box: Box) -> Pixels:
    """Return a window of an image.

    Parameters
    ----------
    plane
        A plain or tile-compressed image.
    box
        Pixels to read, inside the image.

    Returns
    -------
    ndarray of float32, shape of the box
        nJy per pixel (nJy^-2 for weights) in native byte order, converted in float64 and rounded once;
        infinities, like NaN of any kind, are the one canonical NaN.

    Raises
    ------
    InputError
        The file is not there any more, or is shorter than it was.
    ValueError
        Box outside of the image; gzip, which has no windows.
    """
    if box.clip(plane.box) != box:
        raise ValueError(f"{box} is not inside of {plane.box}")
    if plane.kind == "gzip":
        raise ValueError(f"{plane.path}: a gzip file has no windows; use row_bands")
    # Counted by the window's own pixels, so that a test can tell whether a change reads more than it should.
    counted = tally("fits")
    counted.windows += 1
    counted.pixels += box.size
    counted.bytes += box.size * np.dtype(plane.dtype).itemsize
    if plane.kind == "rice":
        return _physical(plane, _read_compressed(plane, box))
    with open_bytes(plane.path) as stream:
        return _physical(plane, _read_rows(stream, plane, box))


def row_bands(plane: Plane, rows: int) -> Iterator[tuple[int, Pixels]]:
    """Yield an image of any kind in bands of `rows` whole rows: the band's first row, and its pixels.

    A gzip file is unpacked once, as a stream. Values are those of `read_window`.
    """
    height, width = plane.shape
    boxes = [Box(y0, 0, min(y0 + rows, height), width) for y0 in range(0, height, rows)]
    if plane.kind != "gzip":
        for box in boxes:
            yield box.y0, read_window(plane, box)
        return
    with open_unpacked(plane.path) as stream:
        _skip(stream, plane)
        for box in boxes:
            # A compressed stream cannot be entered in the middle: its rows are read in order, each band into
            # memory of its own.
            raw = np.empty(box.shape, dtype=plane.dtype)
            _fill(stream, plane, _buffer(raw))
            yield box.y0, _physical(plane, raw)
        while stream.read(_STEP):  # to the end, where gzip's own checksum is compared
            pass


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file's bytes (a local path or a URL), hexadecimal."""
    digest = hashlib.sha256()
    with open_bytes(path) as stream:
        while step := stream.read(_STEP):
            digest.update(step)
    return digest.hexdigest()


def _read_rows(stream: BinaryIO, plane: Plane, box: Box) -> npt.NDArray[Any]:
    """Read the box's part of every row; whole rows at once where the box is as wide as the image."""
    raw = np.empty(box.shape, dtype=plane.dtype)
    width, item = plane.shape[1], raw.itemsize
    if not raw.size:
        return raw
    flat = _buffer(raw)
    # Whole rows are contiguous in the file: one read.
    if box.shape[1] == width:
        stream.seek(plane.offset + box.y0 * width * item)
        _fill(stream, plane, flat)
        return raw
    if is_url(plane.path):
        return _read_spans(stream, plane, box)
    length = box.shape[1] * item
    if hasattr(os, "preadv"):
        # Straight into place: a stream would seek, and fill a buffer of its own, for every row.
        handle, first = stream.fileno(), plane.offset + (box.y0 * width + box.x0) * item
        for row in range(box.shape[0]):
            target = flat[row * length : (row + 1) * length]
            if os.preadv(handle, [target], first + row * width * item) != length:
                break  # a short read: the stream tells why
        else:
            return raw
    for row in range(box.shape[0]):
        stream.seek(plane.offset + ((box.y0 + row) * width + box.x0) * item)
        _fill(stream, plane, flat[row * length : (row + 1) * length])
    return raw


def _read_spans(stream: BinaryIO, plane: Plane, box: Box) -> npt.NDArray[Any]:
    """Read whole rows, as many at a time as a request may fetch, and keep the box's part of them."""
    raw = np.empty(box.shape, dtype=plane.dtype)
    width = plane.shape[1]
    length = width * raw.itemsize
    span = np.empty((max(1, _SPAN // length), width), dtype=plane.dtype)
    for row in range(0, box.shape[0], len(span)):
        rows = span[: box.shape[0] - row]
        stream.seek(plane.offset + (box.y0 + row) * length)
        _fill(stream, plane, _buffer(rows))
        raw[row : row + len(rows)] = rows[:, box.x0 : box.x1]
    return raw


def _buffer(values: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, to be written to."""
    return memoryview(values.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # NumPy says Buffer from 3.12 on


def _fill(stream: BinaryIO, plane: Plane, target: memoryview) -> None:
    """Fill the buffer from the stream."""
    done = 0
    while done < len(target):
        # A read may return less than asked for, on pipes and on network file systems, without being at the end.
        step: int = stream.readinto(target[done:])  # type: ignore[attr-defined]
        if not step:
            raise InputError(f"{plane.path}: ends within HDU {plane.hdu}: truncated; fetch it again")
        done += step


def _skip(stream: BinaryIO, plane: Plane) -> None:
    """Go to the data of a stream that cannot seek."""
    left = plane.offset
    while left:
        step = len(stream.read(min(left, _STEP)))
        if not step:
            raise InputError(f"{plane.path}: ends before HDU {plane.hdu}: truncated; fetch it again")
        left -= step


def _read_compressed(plane: Plane, box: Box) -> npt.NDArray[Any]:
    """Unpack the compressed tiles that the box needs; BSCALE and BZERO are applied by astropy."""
    with open_bytes(plane.path) as stream:
        if stream.seek(0, 2) < plane.offset + plane.size:  # astropy would only warn, and read on
            raise InputError(f"{plane.path}: ends within HDU {plane.hdu}: truncated; fetch it again")
        stream.seek(0)
        with fits.open(stream, memmap=False) as hdus:
            return np.asarray(hdus[plane.hdu].section[(0,) * plane.degenerate + box.slices])


def _physical(plane: Plane, raw: npt.NDArray[Any]) -> Pixels:
    """Convert values of the file to float32 nJy: in float64, rounded once, without infinities.

    By a few rows at a time: the float64 values stay in the processor's cache and cost no memory.
    """
    plain = plane.scale == 1.0 and plane.zero == 0.0 and plane.blank is None
    if plain and raw.dtype == np.dtype(">f4") and raw.flags.c_contiguous:
        return big_endian.physical(raw, plane.factor)
    pixels = np.empty(raw.shape, np.float32)
    rows = max(_CACHED // max(raw.shape[1], 1), 1)
    for y0 in range(0, raw.shape[0], rows):
        part = slice(y0, y0 + rows)
        with np.errstate(all="ignore"):
            if plane.scale != 1.0 or plane.zero != 0.0:
                values = raw[part] * np.float64(plane.scale)
                values += plane.zero
                values *= plane.factor
            else:
                values = np.multiply(raw[part], plane.factor, dtype=np.float64)
            pixels[part] = values
        # Tested after rounding to float32: a float64 value may be finite and too large for float32.
        good = np.isfinite(pixels[part])
        if plane.blank is not None:
            good &= raw[part] != plane.blank
        pixels[part][~good] = np.nan
    return pixels
