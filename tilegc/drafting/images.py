"""What a file is: a science image, errors, weights, a PSF, a convergence map or a mask, and its band and module."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from tilegc import sky
from tilegc.config import Band, FieldInput
from tilegc.errors import AstrometryError, InputError, UnitError
from tilegc.io.fits import FieldSource, Plane, row_bands
from tilegc.io.hdus import Hdu, scan
from tilegc.io.probe import GRID_TOLERANCE, probe_field
from tilegc.places import is_url

__all__ = ["Image", "Other", "identified", "overlap", "paired", "same_grid", "weights_kind"]

Role = Literal["err", "wht", "psf", "kappa", "deflection", "mask", "region", "unused"]

_WORDS: Final[dict[str, Role]] = {
    **dict.fromkeys(("wht", "weight", "weights", "ivar", "ivm"), "wht"),
    **dict.fromkeys(("err", "error", "errors", "rms", "sigma", "unc"), "err"),
    **dict.fromkeys(("mask", "masks"), "mask"),
    **dict.fromkeys(("seg", "segm", "segmentation", "dq", "exp", "exptime", "ctx", "con", "truth"), "unused"),
}
"""Words of file names that say what an image is, if it is not a science image."""

_KINDS: Final = ("sci", "drz", "drc", "i2d", "mosaic", *_WORDS)
"""Words that do not tell images of different bands or fields apart."""

_FILTER = re.compile(r"(?<![a-z0-9])(f\d{3,4}(?:w2|w|m|n|lp|x))(?![a-z0-9])", re.IGNORECASE)
_MODULE = re.compile(r"(?<![a-z0-9])(?:nrc([ab])(?:\d|long)?|module[-_ ]?([ab]))(?![a-z0-9])", re.IGNORECASE)

_ROWS = 128

_LAG = 4
"""Pixels over which the noise of drizzled images is no longer correlated."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A science image."""

    path: str
    band: str
    """Name of the filter."""
    guess: str
    """Where the name of the filter comes from, if not from the header; else empty."""
    module: str
    """NIRCam module, `a` or `b`; empty where it is not known, or where both are in the image."""
    nircam: bool
    targets: tuple[str, ...]
    """Names of the target in the header."""
    source: FieldSource
    unit: str
    """Which key of the header gives the unit; empty where a zero point is needed."""
    notes: tuple[str, ...] = ()
    err: str | None = None
    """File of the errors, if they have a file of their own."""
    wht: str | None = None

    @property
    def has_err(self) -> bool:
        """Whether there are errors, in this file or another."""
        return self.err is not None or self.source.has_err

    @property
    def has_wht(self) -> bool:
        """Whether there are weights, in this file or another."""
        return self.wht is not None or self.source.has_wht

    def with_file(self, role: Literal["err", "wht"], path: str) -> Image:
        """Return the image with a file of errors or weights."""
        return replace(self, err=path) if role == "err" else replace(self, wht=path)


@dataclass(frozen=True, kw_only=True)
class Other:
    """A file that is no science image."""

    path: str
    role: Role
    band: str = ""
    module: str = ""
    reason: str = ""
    """Why it is not used, for role `unused`."""

    @property
    def key(self) -> str:
        """Its name without the words that say what it is."""
        return _key(self.path)


def identified(path: str) -> Image | Other:
    """Look at a file and say what it is, by its extensions, its header and its name.

    Parameters
    ----------
    path : str
        Path or URL of a FITS file or of a DS9 region file.

    Returns
    -------
    Image or Other
        Files that are whole but cannot be used, such as single exposures, are returned with the reason.

    Raises
    ------
    InputError
        A file that is absent, truncated or not FITS.
    """
    if not is_url(path) and not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    name = PurePosixPath(path).name.lower()
    band, module = _filter_in(name), _module_in(name)
    if name.endswith(".reg"):
        return Other(path=path, role="region", module=module)
    hdus = scan(path)
    role = _role(name, hdus)
    if role is not None:
        reason = "its name says that it is no science image" if role == "unused" else ""
        return Other(path=path, role=role, band=band, module=module, reason=reason)
    return _science(path, hdus)


def _role(name: str, hdus: Sequence[Hdu]) -> Role | None:
    """Return what a file is if it is no science image."""
    if "psf" in name:
        return "psf"
    if "kappa" in name or "convergence" in name:
        return "kappa"
    if "deflect" in name:
        return "deflection"
    images = [hdu for hdu in hdus if hdu.shape]
    if any(hdu.name == "SCI" for hdu in images):
        return None
    words = _parts(name)
    return next((_WORDS[word] for word in reversed(words) if word in _WORDS), None)


def _science(path: str, hdus: Sequence[Hdu]) -> Image | Other:
    headers = [hdu.header for hdu in hdus]
    headers.sort(key=lambda header: str(header.get("EXTNAME", "")).strip().upper() != "SCI")
    band, guess = _band(headers), ""
    if not band:
        band = _filter_in(PurePosixPath(path).name)
        guess = "its name"
    if not band:
        return Other(
            path=path, role="unused", reason="neither its header (FILTER) nor its name names a filter"
        )
    notes: tuple[str, ...] = ()
    try:
        source, unit = _probed(path, None), "header"
    except UnitError:
        source, unit = _probed(path, 28.9), ""
    except (AstrometryError, InputError) as error:
        return Other(path=path, role="unused", band=band, reason=str(error).split(": ", 1)[-1])
    scaling = source.bands[0].photometry
    if unit and scaling is not None:
        unit = scaling.origin
        notes = tuple(text for text in (scaling.doubt, scaling.note) if text)
    return Image(
        path=path,
        band=band,
        guess=guess,
        module=_module(path, headers),
        nircam=_card(headers, "INSTRUME").upper() == "NIRCAM",
        targets=tuple(filter(None, (_card(headers, key) for key in ("TARGNAME", "TARGPROP", "OBJECT")))),
        source=source,
        unit=unit,
        notes=notes,
    )


def _probed(path: str, zero_point: float | None) -> FieldSource:
    band = Band(sci=path, zero_point=zero_point)
    return probe_field(FieldInput(name="field", bands={"band": band}), pixels=False)


def _band(headers: Sequence[fits.Header]) -> str:
    """Return the filter by the header: the narrower one where light passed two wheels."""
    for keys in (("PUPIL", "FILTER"), ("FILTER1", "FILTER2"), ("FILTER",)):
        for key in keys:
            found = _FILTER.fullmatch(_card(headers, key))
            if found:
                return found[1].upper()
    return ""


def _module(path: str, headers: Sequence[fits.Header]) -> str:
    """Return the NIRCam module by the file's name, else by the header; empty where it is not one module."""
    named = _module_in(PurePosixPath(path).name)
    if named:
        return named
    given = _card(headers, "MODULE").lower()
    return given if given in {"a", "b"} else ""


def _card(headers: Sequence[fits.Header], key: str) -> str:
    return next((str(header[key]).strip() for header in headers if key in header), "")


def _filter_in(name: str) -> str:
    found = _FILTER.search(name.replace("_", "-"))
    return found[1].upper() if found else ""


def _module_in(name: str) -> str:
    found = _MODULE.search(name.replace("_", "-"))
    return (found[1] or found[2]).lower() if found else ""


def _parts(name: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", name.lower())


def _key(path: str) -> str:
    name = re.sub(r"(\.fits?|\.fz|\.gz)+$", "", PurePosixPath(path).name.lower())
    return "-".join(part for part in _parts(name) if part not in _KINDS)


def paired(image: Image, other: Other) -> bool:
    """Whether errors or weights belong to an image: their names differ only in the words for what they are."""
    return _key(image.path) == other.key


def same_grid(first: FieldSource, second: FieldSource) -> bool:
    """Whether two images have the same pixels on the sky, to 0.05 px."""
    if first.shape != second.shape:
        return False
    if first.wcs == second.wcs:
        return True
    y, x = sky.sample(first.shape, 3)
    back = sky.world_to_pixel(first.wcs, *sky.pixel_to_world(second.wcs, y, x))
    return bool(np.hypot(back[0] - y, back[1] - x).max() <= GRID_TOLERANCE)


def overlap(first: FieldSource, second: FieldSource) -> float:
    """Return the share of the smaller of two images that lies in the other one."""
    small, large = sorted((first, second), key=lambda one: one.shape[0] * one.shape[1] * one.scale**2)
    y, x = sky.world_to_pixel(large.wcs, *sky.pixel_to_world(small.wcs, *sky.sample(small.shape, 15)))
    inside = (y >= -0.5) & (y < large.shape[0] - 0.5) & (x >= -0.5) & (x < large.shape[1] - 0.5)
    return float(inside.mean())


def weights_kind(source: FieldSource) -> str:
    """Return what the weights of an image are, judged by the scatter of science times root of weight.

    The scatter is that of differences of pixels 4 px apart, in which galaxies and their haloes cancel.

    Parameters
    ----------
    source : FieldSource
        A field of one band with weights.

    Returns
    -------
    str
        `inverse variance` where that scatter is 0.3 to 3 at the middle of the image (correlated noise makes it
        smaller than 1), `relative` otherwise, empty where nothing can be said.
    """
    band = source.bands[0]
    if band.sci is None or band.wht is None:
        return ""
    values, weights = _middle(band.sci), _middle(band.wht)
    good = np.isfinite(values) & np.isfinite(weights) & (weights > 0)
    ratio = np.where(good, values * np.sqrt(np.abs(weights)), np.nan)
    steps = ratio[:, _LAG:] - ratio[:, :-_LAG]
    steps = steps[np.isfinite(steps)]
    if steps.size < 1000:
        return ""
    scatter = 1.4826 * float(np.median(np.abs(steps))) / math.sqrt(2)
    return "inverse variance" if 0.3 <= scatter <= 3 else "relative"


def _middle(plane: Plane) -> NDArray[np.float64]:
    """Return rows in the middle of an image; a gzip file has to be unpacked up to there."""
    middle = plane.shape[0] // 2
    for first, rows in row_bands(plane, _ROWS):
        if first + len(rows) > middle:
            return np.asarray(rows, np.float64)
    return np.empty((0, 0))
