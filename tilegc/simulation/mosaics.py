"""FITS mosaics written tile by tile, so that they may be larger than memory.

Headers carry no date. A file is written beside its place, under the name with ``.part`` added, and
renamed when it is whole.
"""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from tilegc.simulation.frame import Frame
from tilegc.simulation.scene import TilePixels

__all__ = [
    "LAYOUTS",
    "GrizliMosaic",
    "I2dMosaic",
    "Mosaic",
    "NoiseTruth",
    "mosaic_for",
    "noise_name",
    "write_whole",
]

_BLOCK = 2880
_DETECTOR_SR = math.radians(0.0307 / 3600.0) ** 2  # of NIRCam's short-wavelength detectors
LAYOUTS = ("i2d", "grizli")
"""Known file layouts."""

Cards = Sequence[tuple[str, Any, str]]


class Mosaic(Protocol):
    """One band of one field on its way to the disk; tiles of one row band come from one thread each."""

    unit: float
    """File units per nJy."""
    blank: float
    """What science and error hold where there is no data."""

    def write(self, y_start: int, x_start: int, tile: TilePixels) -> None:
        """Take a tile; several threads may do so at once, on different tiles."""
        ...

    def end_row(self) -> None:
        """Take notice that all tiles up to here have been written, row band by row band."""
        ...

    def close(self) -> None:
        """Finish the files and rename them to their places."""
        ...

    def discard(self) -> None:
        """Remove what was written."""
        ...


def header_bytes(cards: Cards) -> bytes:
    """Return a FITS header as padded bytes."""
    header = fits.Header(fits.Card(*card) for card in cards)
    text: str = header.tostring(sep="", endcard=True, padding=True)
    return text.encode("ascii")


def partial(path: Path) -> Path:
    """Return the name under which a file is written."""
    return path.with_name(path.name + ".part")


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file beside its place and rename it."""
    partial(path).write_bytes(content)
    partial(path).replace(path)


def _primary_cards(frame: Frame, band: str, target: str) -> list[tuple[str, Any, str]]:
    return [
        ("TELESCOP", "JWST", "Telescope used to acquire the data"),
        ("INSTRUME", "NIRCAM", "Instrument used to acquire the data"),
        ("CHANNEL", "SHORT", "Instrument channel"),
        ("MODULE", frame.name.upper()[:8], "NIRCam module"),
        ("DETECTOR", "MULTIPLE", "Name of detector used to acquire the data"),
        ("FILTER", band, "Name of the filter element used"),
        ("PUPIL", "CLEAR", "Name of the pupil element used"),
        ("EXP_TYPE", "NRC_IMAGE", "Type of data in the exposure"),
        ("TARGNAME", target[:60], "Standard astronomical catalog name for target"),
        ("TARG_RA", frame.ra, "Target RA at mid time of exposure"),
        ("TARG_DEC", frame.dec, "Target Dec at mid time of exposure"),
        ("ORIGIN", "tilegc simulate", "A mock: not an observation"),
    ]


class _MappedFile:
    """A FITS file that has its full size from the start; tiles are written into memory maps of its images."""

    def __init__(self, path: Path, planes: list[Any]) -> None:
        self.path = path
        self._planes = planes

    def write(self, y_start: int, x_start: int, tile: Sequence[NDArray[np.float32]]) -> None:
        """Copy a tile of every image into the file; threads may do so at once, on different tiles."""
        for plane, part in zip(self._planes, tile, strict=True):
            plane[y_start : y_start + part.shape[0], x_start : x_start + part.shape[1]] = part

    def close(self) -> None:
        """Flush and rename."""
        for plane in self._planes:
            plane.flush()
        self._planes = []
        partial(self.path).replace(self.path)

    def discard(self) -> None:
        """Remove the unfinished file."""
        self._planes = []
        partial(self.path).unlink(missing_ok=True)


class I2dMosaic(_MappedFile):
    """A file like the JWST pipeline's ``_i2d``: PRIMARY, SCI, ERR, WHT; MJy/sr, float32."""

    blank = math.nan

    def __init__(self, folder: Path, frame: Frame, band: str, target: str) -> None:
        path = folder / i2d_name(frame.name, band)
        self.unit = 1e-15 / frame.pixel_sr  # MJy/sr per nJy per pixel
        photometry: list[tuple[str, Any, str]] = [
            ("PIXAR_SR", frame.pixel_sr, "Nominal pixel area in steradians"),
            ("PIXAR_A2", frame.scale**2, "Nominal pixel area in arcsec^2"),
        ]
        units = {"SCI": "MJy/sr", "ERR": "MJy/sr", "WHT": "(MJy/sr)^-2"}
        extensions = {
            name: [("BUNIT", unit, "physical units of the array values"), *photometry]
            for name, unit in units.items()
        }
        super().__init__(path, _open_planes(path, frame, _primary_cards(frame, band, target), extensions))

    def end_row(self) -> None:
        """Do nothing: tiles are on the disk already."""


class NoiseTruth(_MappedFile):
    """The noise that was planted in a field: an image of each band, in a file of one extension a band.

    Values are the standard deviation of a pixel about the noiseless sky, nJy, with photons of the sources and the
    pattern of the detector; NaN without data. Pixels are correlated, see `tilegc.simulation.noise`.
    """

    def __init__(self, folder: Path, frame: Frame, bands: Sequence[str], target: str) -> None:
        path = folder / noise_name(frame.name)
        cards = [("BUNIT", "nJy", "standard deviation of a pixel")]
        extensions = dict.fromkeys(bands, cards)
        super().__init__(path, _open_planes(path, frame, _primary_cards(frame, "", target), extensions))


def _open_planes(
    path: Path, frame: Frame, primary: Cards, extensions: Mapping[str, Cards]
) -> list[np.memmap[Any, Any]]:
    """Write the headers of a file of images, give it its full size, and map its images into memory."""
    shape = (frame.ny, frame.nx)
    size = frame.nx * frame.ny * 4
    padded = -(-size // _BLOCK) * _BLOCK
    offsets = []
    with partial(path).open("wb") as file:
        first = [
            ("SIMPLE", True, "conforms to FITS standard"),
            ("BITPIX", 8, "array data type"),
            ("NAXIS", 0, "number of array dimensions"),
            ("EXTEND", True, ""),
            *primary,
        ]
        offset = file.write(header_bytes(first))
        for name, extra in extensions.items():
            cards = [*_image_cards(frame, extension=True), ("EXTNAME", name, "extension name"), *extra]
            file.seek(offset)
            offset += file.write(header_bytes([*cards, *frame.wcs_cards()]))
            offsets.append(offset)
            offset += padded
        file.truncate(offset)
    return [np.memmap(partial(path), dtype=">f4", mode="r+", offset=o, shape=shape) for o in offsets]


class GrizliMosaic:
    """Files like grizli's ``_drc_sci.fits.gz`` and ``_drc_wht.fits.gz``: 10 nJy, flat, float32.

    As in the real ones no-data pixels are 0 with weight 0, the weight is the inverse variance, and
    PIXAR_SR describes the detector, not the mosaic. A row band of tiles is kept until it is whole,
    then compressed; the bytes do not depend on its height.
    """

    blank = 0.0
    unit = 0.1

    def __init__(self, folder: Path, frame: Frame, band: str, target: str) -> None:
        self.paths = tuple(folder / grizli_name(frame.name, band, part) for part in ("sci", "wht"))
        self._nx = frame.nx
        self._rows: list[tuple[int, int, TilePixels]] = []
        self._size = frame.nx * frame.ny * 4
        self._raw = [partial(path).open("wb") for path in self.paths]
        self._files = [
            gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) for raw in self._raw
        ]
        for file, unit in zip(self._files, ("10.0*nanoJansky", "(10.0*nanoJansky)^-2"), strict=True):
            cards = [*_image_cards(frame, extension=False), *_primary_cards(frame, band, target)]
            cards += [
                ("BUNIT", unit, "physical units of the array values"),
                ("PHOTFNU", 1e-8, "Jy per unit"),
                ("PIXAR_SR", _DETECTOR_SR, "Pixel area of the detector in steradians"),
            ]
            file.write(header_bytes([*cards, *_as_cd(frame)]))

    def write(self, y_start: int, x_start: int, tile: TilePixels) -> None:
        """Keep a tile until its row band is whole."""
        self._rows.append((y_start, x_start, tile))

    def end_row(self) -> None:
        """Compress the row band that is now whole."""
        if not self._rows:
            return
        top = min(y for y, _, _ in self._rows)
        height = max(y - top + tile[0].shape[0] for y, _, tile in self._rows)
        for file, plane in zip(self._files, (0, 2), strict=True):
            band: NDArray[np.float32] = np.empty((height, self._nx), ">f4")
            for y, x, tile in self._rows:
                part = tile[plane]
                band[y - top : y - top + part.shape[0], x : x + part.shape[1]] = part
            # row by row: what the compressor emits must not hang on how many rows come at once
            for row in band:
                file.write(row.tobytes())
        self._rows = []

    def close(self) -> None:
        """Pad, close and rename."""
        for file, raw in zip(self._files, self._raw, strict=True):
            file.write(bytes(-self._size % _BLOCK))
            file.close()
            raw.close()
        for path in self.paths:
            partial(path).replace(path)

    def discard(self) -> None:
        """Remove the unfinished files."""
        for raw, path in zip(self._raw, self.paths, strict=True):
            raw.close()
            partial(path).unlink(missing_ok=True)


def i2d_name(field: str, band: str) -> str:
    """Return the name of a field's mosaic in the ``i2d`` layout."""
    return f"{field}_{band.lower()}_i2d.fits"


def grizli_name(field: str, band: str, part: str) -> str:
    """Return the name of a field's mosaic in the ``grizli`` layout; `part` is sci or wht."""
    return f"{field}_{band.lower()}_drc_{part}.fits.gz"


def noise_name(field: str) -> str:
    """Return the name of the file that holds the noise planted in a field."""
    return f"truth_noise_{field}.fits"


def mosaic_for(layout: str, folder: Path, frame: Frame, band: str, target: str) -> Mosaic:
    """Open the file or files of one band of one field for writing."""
    return (I2dMosaic if layout == "i2d" else GrizliMosaic)(folder, frame, band, target)


def disk_bytes(layout: str, frames: Sequence[Frame], bands: int, *, noise: bool = False) -> int:
    """Return the bytes that the mosaics take on the disk at most, with the truth of the noise or without."""
    planes = (3 if layout == "i2d" else 2) + noise
    return sum(frame.nx * frame.ny * 4 * planes * bands for frame in frames)


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds a folder or would hold it."""
    while not folder.exists():
        folder = folder.parent
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize


def _image_cards(frame: Frame, *, extension: bool) -> list[tuple[str, Any, str]]:
    first = (
        ("XTENSION", "IMAGE", "Image extension")
        if extension
        else ("SIMPLE", True, "conforms to FITS standard")
    )
    cards: list[tuple[str, Any, str]] = [
        first,
        ("BITPIX", -32, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", frame.nx, ""),
        ("NAXIS2", frame.ny, ""),
    ]
    if extension:
        cards += [("PCOUNT", 0, "number of parameters"), ("GCOUNT", 1, "number of groups")]
    return cards


def _as_cd(frame: Frame) -> list[tuple[str, Any, str]]:
    """Return the WCS with a CD matrix, as drizzled mosaics of grizli have it."""
    cards = {key: (value, comment) for key, value, comment in frame.wcs_cards()}
    step = float(str(cards["CDELT1"][0]))
    kept = [(k, v, c) for k, (v, c) in cards.items() if not k.startswith(("PC", "CDELT"))]
    matrix = [
        (
            f"CD{row}_{column}",
            step * float(str(cards[f"PC{row}_{column}"][0])),
            "linear transformation matrix element",
        )
        for row in (1, 2)
        for column in (1, 2)
    ]
    return [*kept, *matrix]
