"""Looking at a field before anything runs: whole files, two-dimensional, on one grid, in known units.

Whatever is wrong is one line that says what, where and what to do, and nothing has been written by then.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from astropy.io import fits

from tilegc import config, sky
from tilegc.errors import AstrometryError, GridError, InputError
from tilegc.geometry import Box
from tilegc.io.fits import BandSource, FieldSource, Pixels, Plane, read_window, row_bands
from tilegc.io.hdus import BITPIX, Hdu, open_bytes, scan
from tilegc.io.joining import Grid, Piece, joined
from tilegc.io.store import open_field
from tilegc.io.units import flux_factor, photometry

__all__ = ["GRID_TOLERANCE", "probe_field", "probe_mask", "require_finite"]

GRID_TOLERANCE = 0.05
"""Pixels by which the corners of two bands may differ on the sky and still be one grid."""

_WCS_CARD = re.compile(
    r"NAXIS\d*|WCSAXES|(?:CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d|(?:CD|PC)\d_\d|P[VS]\d_\d+"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|[AB]P?_(?:ORDER|DMAX|\d_\d)"
)
"""Cards that make a celestial WCS: those of the time of observation, or of the telescope, do not."""

_TABLES = ("CPDIS1", "CPDIS2", "D2IMDIS1", "D2IMDIS2")
"""Distortions kept in tables beside the header (HST's unresampled exposures)."""

_NOT_SCIENCE = ("ERR", "WHT", "DQ", "AREA", "CON", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "MASK")
"""Extensions beside the science image of a pipeline's file: never taken for it."""

_SAMPLE = 256

_LARGEST = 10.0
"""Arcsec that no mosaic's pixel has; a header without CD and CDELT means one degree."""


@dataclass(frozen=True)
class _Image:
    """An image as it was found: its file, its header, and what it is called in messages."""

    where: str
    path: str
    hdu: Hdu
    header: fits.Header
    shape: tuple[int, int]

    @cached_property
    def cards(self) -> list[str]:
        """The header's cards, verbatim but for blanks at their end."""
        text: str = self.header.tostring(sep="\n", endcard=False, padding=False)
        return [card.rstrip() for card in text.split("\n")]

    @cached_property
    def wcs(self) -> str:
        """The cards that make the WCS."""
        return "\n".join(card for card in self.cards if _WCS_CARD.fullmatch(card[:8].rstrip()))

    def plane(self, factor: float) -> Plane:
        """Return where its pixels are."""
        hdu, header = self.hdu, self.header
        place = (self.path, hdu.index, hdu.kind, self.shape, factor, hdu.offset, hdu.size)
        if hdu.kind == "rice":
            return Plane(*place, degenerate=len(hdu.shape) - 2)
        try:
            scale, zero = float(header.get("BSCALE", 1.0)), float(header.get("BZERO", 0.0))
            blank = int(header["BLANK"]) if "BLANK" in header and header["BITPIX"] > 0 else None
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.where}: BSCALE, BZERO or BLANK is not a number ({error}); correct the header"
            ) from None
        dtype = BITPIX[header["BITPIX"]]
        return Plane(*place, dtype=dtype, scale=scale, zero=zero, blank=blank)


def probe_field(field: config.FieldInput, *, pixels: bool = True) -> FieldSource:
    """Look at a field's files, or at its store, and return what tasks need to read it.

    Parameters
    ----------
    field
        The field as the run file gives it.
    pixels
        Also make sure that every band has a finite pixel: one small window, unless that is empty.

    Returns
    -------
    FieldSource
        Extensions are found by EXTNAME (SCI, ERR, WHT), others ignored; a file without them is one image.

    Raises
    ------
    InputError
        A file that is absent, not FITS, truncated in any extension, or without a two-dimensional image; a
        band without a finite pixel; a store without a finished ingest.
    UnitError, AstrometryError, GridError
        Unknown unit; no celestial WCS; images of one field on different grids.
    """
    if field.store is not None:
        return open_field(field.name, field.store)
    assert field.bands is not None
    pieces = {
        name: _pieces(f"field {field.name}, band {name}", name, band) for name, band in field.bands.items()
    }
    if any(len(listed) > 1 for listed in pieces.values()):
        grid, bands = joined({name: [one for one, _ in listed] for name, listed in pieces.items()})
    else:
        grid, bands = _one_grid([listed[0] for listed in pieces.values()])
    scale, area = _pixel(grid.wcs, grid.shape)
    source = FieldSource(
        name=field.name,
        shape=grid.shape,
        bands=bands,
        header=grid.header,
        wcs=grid.wcs,
        scale=scale,
        pixel_area=area,
        has_err=any("err" in band.given for band in bands),
        has_wht=any("wht" in band.given for band in bands),
        notes=tuple(note for listed in pieces.values() for _, image in listed for note in _notes(image)),
    )
    if source.resampled:
        placed = [one for band in bands for one in band.mosaics]
        note = (
            f"field {field.name}: {sum(one.wcs is not None for one in placed)} of {len(placed)} mosaics are on another"
            " pixel grid than the first one and are resampled, which lowers the peaks of point sources by up to 6 % if"
            " their FWHM is 2.2 pixels; mosaics drizzled onto one grid are better"
        )
        source = replace(source, seam=field.seam / scale, notes=(*source.notes, note))
    if pixels:
        require_finite(source)
    return source


def _pieces(label: str, name: str, band: config.Band) -> list[tuple[Piece, _Image]]:
    """Look at all mosaics of a band."""
    listed = []
    for number, mosaic in enumerate(band.every_mosaic):
        which = f", mosaics.{number - 1}" if number else ""
        found, image = _probe_band(f"{label}{which}", name, mosaic)
        area = _pixel(image.wcs, image.shape)[1]
        listed.append((Piece(found, image.where, image.shape, image.cards, image.wcs, area), image))
    return listed


def _one_grid(found: Sequence[tuple[Piece, _Image]]) -> tuple[Grid, tuple[BandSource, ...]]:
    """Return the grid that one mosaic a band must share."""
    _, first = found[0]
    for _, image in found[1:]:
        _require_same_grid(first.path, first.shape, first.wcs, image)
    grid = Grid(first.shape, "\n".join(first.cards), first.wcs)
    return grid, tuple(piece.band for piece, _ in found)


def probe_mask(path: str, source: FieldSource) -> Plane:
    """Look at a mask image, whose pixels are masked where they are not 0, and return where its pixels are.

    Raises
    ------
    InputError
        As `probe_field`, for a file that cannot be read in windows, and for one of another shape than the field.
    """
    files = {path: scan(path)}
    image = _image(files, path, "mask", f"mask of field {source.name}")
    if image.hdu.kind == "gzip":
        raise InputError(
            f"{image.where}: masks are read in windows; decompress it (gunzip) and give the .fits file"
        )
    _require_same_grid(f"field {source.name}", source.shape, source.wcs, image)
    return image.plane(1.0)


def require_finite(source: FieldSource) -> None:
    """Refuse a band of FITS files that is all NaN: a wrong file or a wrong extension.

    Raises
    ------
    InputError
        No finite pixel in a band. To know it, all of that band is read.
    """
    planes = [
        (band, plane)
        for band in source.bands
        for plane in (band.sci, *(one.sci for one in band.mosaics))
        if plane is not None
    ]
    for band, plane in planes:
        if not any(np.isfinite(part).any() for part in _samples(plane)):
            raise InputError(
                f"{plane.path} (field {source.name}, band {band.name}): no finite pixel in HDU {plane.hdu};"
                " give another file or leave the band out"
            )


def _samples(plane: Plane) -> Iterator[Pixels]:
    """Yield the middle of an image, which nearly always settles it, then all of it."""
    if plane.kind != "gzip":
        y, x = (max(length - _SAMPLE, 0) // 2 for length in plane.shape)
        yield read_window(plane, Box(y, x, y + _SAMPLE, x + _SAMPLE).clip(plane.box))
    for _, part in row_bands(plane, _SAMPLE):
        yield part


def _probe_band(label: str, name: str, band: config.Mosaic) -> tuple[BandSource, _Image]:
    """Return a band's planes and its science image, all on one grid, with a WCS and in known units."""
    # Every file once, though science, errors and weights are often extensions of the same one.
    files = {path: scan(path) for path in (band.sci, band.err, band.wht) if path is not None}
    sci = _image(files, band.sci, "sci", label)
    _require_wcs(sci)
    on_sky = _pixel(sci.wcs, sci.shape)[1] * math.radians(1 / 3600) ** 2
    scaling = photometry(sci.header, sci.where, zero_point=band.zero_point, pixel_steradian=on_sky)
    factor = scaling.factor
    planes: dict[str, Plane] = {}
    for role, path in (("err", band.err), ("wht", band.wht)):
        # Multi-exposure files have several SCI extensions; errors belong to the one with the same EXTVER.
        own = any(_is_role(hdu, role) and hdu.version == sci.hdu.version for hdu in files[band.sci])
        if path is None and not own:
            continue
        place = path or band.sci
        image = _image(files, place, role, label, version=sci.hdu.version if place == band.sci else None)
        _require_same_grid(sci.path, sci.shape, sci.wcs, image)
        planes[role] = image.plane(
            # Weights are inverse variances: scaling fluxes by f scales them by f^-2.
            factor**-2 if role == "wht" else _err_factor(image, sci, factor, band, on_sky)
        )
    return BandSource(name, sci.plane(factor), planes.get("err"), planes.get("wht"), photometry=scaling), sci


# The bands of a field share one WCS, which is asked for several times per band and takes milliseconds to parse: only
# numbers are kept, since a WCS must not be shared by threads.
@lru_cache(maxsize=1024)
def _pixel(wcs: str, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the side (arcsec) and the area (arcsec^2) of a pixel, or raise AstrometryError."""
    parsed = sky.wcs_from_text(wcs)
    return sky.pixel_scale(parsed), sky.pixel_area(parsed, shape)


def _is_role(hdu: Hdu, role: str) -> bool:
    return hdu.name == role.upper() and bool(hdu.shape)


def _image(
    files: dict[str, tuple[Hdu, ...]], path: str, role: str, label: str, version: int | None = None
) -> _Image:
    """Return the image that a file holds for a role: by EXTNAME, else the file's first image."""
    where = f"{path} ({label}, {role})"
    hdus = [hdu for hdu in files[path] if hdu.shape]
    if not hdus:
        raise InputError(f"{where}: contains no image; give the file of the mosaic")
    named = [hdu for hdu in hdus if _is_role(hdu, role) and version in {None, hdu.version}]
    # A file with SCI but without the extension asked for is a mistake; taking its first image would use fluxes
    # as errors.
    if not named and role != "sci" and any(_is_role(hdu, "sci") for hdu in hdus):
        raise InputError(
            f"{where}: has a SCI extension but no {role.upper()}; give another file or leave {role} out"
        )
    others = [hdu for hdu in hdus if hdu.name not in _NOT_SCIENCE]
    if not named and role == "sci" and not others:
        names = ", ".join(hdu.name for hdu in hdus)
        raise InputError(f"{where}: has no SCI extension with an image, only {names}; give another file")
    hdu = (named or (others if role == "sci" else hdus))[0]
    shape = hdu.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != 2 or 0 in shape:
        raise InputError(
            f"{where}: HDU {hdu.index} has {len(hdu.shape)} axes of {' x '.join(map(str, hdu.shape))};"
            " expected a two-dimensional image"
        )
    return _Image(where, path, hdu, _header(path, hdu), (shape[0], shape[1]))


def _header(path: str, hdu: Hdu) -> fits.Header:
    """Return the image's header; that of a tile-compressed image is put together by astropy."""
    if hdu.kind != "rice":
        return hdu.header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_bytes(path) as stream, fits.open(stream, memmap=False) as hdus:
            return hdus[hdu.index].header.copy()


def _err_factor(image: _Image, sci: _Image, factor: float, band: config.Mosaic, on_sky: float) -> float:
    """Return the factor of an error image: the science image's, unless its header declares its own."""
    bunit = str(image.header.get("BUNIT", "")).strip()
    if not bunit or bunit.casefold() == str(sci.header.get("BUNIT", "")).strip().casefold():
        return factor
    header = fits.Header({"BUNIT": bunit})
    for key in ("PIXAR_SR", "PHOTMJSR", "PHOTFLAM", "PHOTPLAM"):
        value = image.header.get(key, sci.header.get(key))
        if value is not None:
            header[key] = value
    return flux_factor(header, image.where, zero_point=band.zero_point, pixel_steradian=on_sky)


def _require_wcs(image: _Image) -> None:
    tables = [key for key in _TABLES if key in image.header]
    if tables:
        raise AstrometryError(
            f"{image.where}: the WCS has distortions in tables ({', '.join(tables)}); give a drizzled mosaic"
        )
    if "A_ORDER" in image.header:
        raise AstrometryError(
            f"{image.where}: not a resampled mosaic (SIP distortions, as in a _cal file); give the drizzled "
            "mosaic (_i2d)"
        )
    try:
        scale, _ = _pixel(image.wcs, image.shape)
    except AstrometryError as error:
        raise AstrometryError(f"{image.where}: {error}") from None
    if scale > _LARGEST:
        raise AstrometryError(
            f"{image.where}: pixels of {scale:g} arcsec; correct the header's CD matrix or CDELT"
        )


def _require_same_grid(first: str, shape: tuple[int, int], wcs: str, other: _Image) -> None:
    """Refuse an image that lies on another pixel grid than what stands first, saying by how much."""
    if other.shape != shape:
        raise GridError(
            f"{other.where}: {other.shape[0]} x {other.shape[1]} pixels (y, x) where {first} has"
            f" {shape[0]} x {shape[1]}; resample to one grid"
        )
    if other.wcs == wcs or not re.search(r"^CTYPE1", other.wcs, re.MULTILINE):
        return  # the same cards, or an error or weight image without a WCS of its own
    try:
        # Corners, edges and centre: a shift, a rotation and a different scale all show at one of them.
        y, x = sky.sample(shape, 3)
        y_first, x_first = sky.world_to_pixel(wcs, *sky.pixel_to_world(other.wcs, y, x))
    except AstrometryError as error:
        raise AstrometryError(f"{other.where}: {error}") from None
    distance = np.hypot(y_first - y, x_first - x)
    # A position that cannot be projected counts as infinitely far off.
    worst = int(np.argmax(np.where(np.isfinite(distance), distance, math.inf)))
    if not distance.flat[worst] <= GRID_TOLERANCE:
        # + 0.0: no minus before a zero
        dy, dx = (float(np.round((a - b).flat[worst], 2)) + 0.0 for a, b in ((y_first, y), (x_first, x)))
        raise GridError(
            f"{other.where}: off the grid of {first} by ({dy:+.2f}, {dx:+.2f}) pixels (y, x) at pixel"
            f" ({y.flat[worst]:.0f}, {x.flat[worst]:.0f}); resample to one grid"
        )


def _notes(image: _Image) -> Iterator[str]:
    """Yield what the log should say of a science image that is read all the same."""
    area = image.header.get("PIXAR_SR")
    if "/sr" in str(image.header.get("BUNIT", "")).replace(" ", "") and isinstance(area, float):
        on_sky = _pixel(image.wcs, image.shape)[1] * math.radians(1 / 3600) ** 2
        if abs(area / on_sky - 1) > 0.02:
            yield (
                f"{image.where}: PIXAR_SR, which is used, is {area / on_sky:.3f} times"
                " the pixel's area by the WCS"
            )
