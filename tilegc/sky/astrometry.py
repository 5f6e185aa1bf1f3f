"""Pixels and sky: WCS from header text, scale and area of pixels, where a field lies.

astropy's `WCS` may not be shared by threads, so functions take header text (or a WCS that the caller alone
holds) and build their own. All positions that leave this module are ICRS degrees.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import ArrayLike

from tilegc import config
from tilegc.errors import AstrometryError
from tilegc.sky.angles import ARCSEC, Floats, separation_arcsec, turned

__all__ = [
    "Footprint",
    "Outside",
    "centre_outside",
    "check_centre",
    "header_text",
    "pixel_area",
    "pixel_scale",
    "pixel_to_world",
    "sample",
    "wcs_from_text",
    "world_to_pixel",
]

CENTRE_LIMIT: Final = 0.5
"""Distance from the nearest field, degrees, beyond which the cluster centre is considered a mistake."""

_QUIET = threading.Lock()


class Footprint(Protocol):
    """What a field must tell to be placed on the sky."""

    @property
    def name(self) -> str:
        """The field's name, for messages."""

    @property
    def wcs(self) -> str:
        """Header text that holds its WCS."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence astropy's remarks on headers that it understands all the same.

    `warnings.catch_warnings` swaps a global list: two threads inside it at once would leave it spoilt.
    """
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def wcs_from_text(text: str) -> WCS:
    """Return the two-dimensional celestial WCS that a header's text describes.

    Parameters
    ----------
    text : str
        FITS cards, as `astropy.io.fits.Header.tostring` gives them: 80 characters each, or one a line.

    Returns
    -------
    astropy.wcs.WCS
        Two axes in the order of the header, (x, y). To be used by one thread.

    Raises
    ------
    AstrometryError
        If there is no celestial WCS, or one that cannot be inverted.
    """
    header = fits.Header.fromstring(text, sep="\n" if "\n" in text else "")
    try:
        with _quiet():
            wcs = WCS(header)
            wcs.wcs.set()
    except Exception as error:  # noqa: BLE001  (wcslib raises many kinds, AssertionError among them)
        raise AstrometryError(f"the WCS cannot be understood ({' '.join(str(error).split())})") from None
    if not wcs.has_celestial:
        types = ", ".join(repr(str(kind)) for kind in wcs.wcs.ctype) or "none"
        raise AstrometryError(f"no celestial WCS (CTYPE: {types}): a pair like RA---TAN, DEC--TAN is needed")
    if wcs.naxis > 2:
        if {wcs.wcs.lng, wcs.wcs.lat} != {0, 1}:
            raise AstrometryError("the celestial axes are not the image's first two")
        wcs = wcs.sub([1, 2])
    determinant = np.linalg.det(wcs.pixel_scale_matrix)
    if not np.isfinite(determinant) or determinant == 0.0:
        raise AstrometryError("the WCS has no pixel scale: its CD or PC matrix, or CDELT, is singular")
    return wcs


def header_text(wcs: WCS) -> str:
    """Return the cards of a WCS alone, as text for `wcs_from_text`.

    Without comments and without cards on the time of the observation: what it says depends on the WCS only.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial WCS of an image.

    Returns
    -------
    str
        80-character cards with an END card, unpadded.
    """
    with _quiet():
        header = wcs.to_header(relax=True)
    for key in list(header):
        if key in {"COMMENT", "HISTORY", ""} or key.startswith(("DATE", "MJD", "TIME")):
            header.remove(key, ignore_missing=True, remove_all=True)
    text: str = header.tostring(padding=False)
    return text


def pixel_scale(wcs: WCS) -> float:
    """Return the side of a pixel at the WCS's reference point.

    Rounded to ten digits: the decimals in which a header writes its matrix must not decide whether a pixel
    at exactly 6.6 arcsec is inside of that distance.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial WCS of an image.

    Returns
    -------
    float
        Arcsec.

    Raises
    ------
    AstrometryError
        If the pixels are no squares to 1 %: the filter and all distances take them to be.
    """
    matrix = wcs.pixel_scale_matrix * 3600.0
    sides = np.sqrt((matrix**2).sum(axis=0))
    skew = abs(float(matrix[:, 0] @ matrix[:, 1])) / float(sides[0] * sides[1])
    if not 0.99 <= sides[0] / sides[1] <= 1.01 or skew > 0.01:
        raise AstrometryError(
            f"the pixels are not square ({sides[0]:.4g} x {sides[1]:.4g} arcsec, "
            f"{np.degrees(np.arccos(min(skew, 1.0))):.1f} deg between the axes): resample the mosaic"
        )
    return _rounded(float(np.sqrt(abs(np.linalg.det(matrix)))))


def pixel_area(wcs: WCS, shape: tuple[int, int]) -> float:
    """Return the area of a pixel at the centre of a field, distortions included.

    Parameters
    ----------
    wcs : astropy.wcs.WCS
        Celestial WCS of an image.
    shape : tuple of int
        Its rows and columns.

    Returns
    -------
    float
        Square arcsec, rounded to ten digits.

    Raises
    ------
    AstrometryError
        If the centre is not on the sky.
    """
    y, x = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    # Differences over several pixels: over one, the rounding of right ascensions would show.
    half = min(max((min(shape) - 1) / 2, 0.5), 32.0)
    columns, rows = np.array([x - half, x + half, x, x]), np.array([y, y, y - half, y + half])
    vector = _unit_vectors(*_forward(wcs, columns, rows))
    across = np.cross(vector[1] - vector[0], vector[3] - vector[2])
    area = float(np.sqrt(across @ across)) / (2 * half) ** 2 * ARCSEC**2
    if not (np.isfinite(area) and area > 0):
        raise AstrometryError(
            "the centre of the image is not on the sky: CRPIX, CRVAL or the projection is wrong"
        )
    return _rounded(area)


def pixel_to_world(wcs_text: str, y: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats]:
    """Return where pixels are on the sky.

    Parameters
    ----------
    wcs_text : str
        As `wcs_from_text` takes it.
    y, x : array_like
        0-based pixel coordinates; integers are pixel centres.

    Returns
    -------
    ra, dec : ndarray of float64
        Degrees, ICRS; 0 <= ra < 360. NaN where the projection has no sky.
    """
    rows, columns = np.broadcast_arrays(np.asarray(y, np.float64), np.asarray(x, np.float64))
    if rows.size == 0:
        return np.empty(rows.shape), np.empty(rows.shape)
    wcs = wcs_from_text(wcs_text)
    ra, dec = _to_icrs(wcs, *_forward(wcs, columns.ravel(), rows.ravel()))
    return turned(ra).reshape(rows.shape), dec.reshape(rows.shape)


def world_to_pixel(wcs_text: str, ra: ArrayLike, dec: ArrayLike) -> tuple[Floats, Floats]:
    """Return where positions are in an image: the inverse of `pixel_to_world`.

    Parameters
    ----------
    wcs_text : str
        As `wcs_from_text` takes it.
    ra, dec : array_like
        Degrees, ICRS.

    Returns
    -------
    y, x : ndarray of float64
        0-based pixel coordinates; NaN where the projection cannot show the position.
    """
    places = np.broadcast_arrays(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
    shape = places[0].shape
    if places[0].size == 0:
        return np.empty(shape), np.empty(shape)
    wcs = wcs_from_text(wcs_text)
    lon, lat = _from_icrs(wcs, places[0].ravel(), places[1].ravel())
    with _quiet():
        x, y = wcs.all_world2pix(*((lon, lat) if wcs.wcs.lng == 0 else (lat, lon)), 0, quiet=True)
    return np.asarray(y, np.float64).reshape(shape), np.asarray(x, np.float64).reshape(shape)


def _forward(wcs: WCS, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return longitude and latitude in the WCS's own frame (astropy's `ra_dec_order` knows only RA, DEC)."""
    with _quiet():
        first, second = wcs.all_pix2world(x, y, 0)
    lon, lat = (first, second) if wcs.wcs.lng == 0 else (second, first)
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def _frame(wcs: WCS) -> object | None:
    """Return the WCS's frame, None where it is ICRS and nothing is to be done."""
    try:
        frame = wcs_to_celestial_frame(wcs)
    except ValueError:
        raise AstrometryError(
            f"unknown celestial frame (CTYPE {', '.join(wcs.wcs.ctype)}, RADESYS {wcs.wcs.radesys!r})"
        ) from None
    return None if frame.name == "icrs" else frame


def _to_icrs(wcs: WCS, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    frame = _frame(wcs)
    if frame is None:
        return lon, lat
    sky = SkyCoord(lon, lat, unit="deg", frame=frame).icrs
    return np.asarray(sky.ra.deg), np.asarray(sky.dec.deg)


def _from_icrs(wcs: WCS, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    frame = _frame(wcs)
    if frame is None:
        return ra, dec
    sky = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(frame).spherical
    return np.asarray(sky.lon.deg), np.asarray(sky.lat.deg)


def sample(shape: tuple[int, int], count: int = 65) -> tuple[Floats, Floats]:
    """Return pixel coordinates of `count` x `count` points spread over an image, its corners among them.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    count : int
        Points along a side.

    Returns
    -------
    y, x : ndarray of float64, shape (count, count)
        0-based pixel coordinates.
    """
    y, x = np.meshgrid(
        np.linspace(0, shape[0] - 1, count), np.linspace(0, shape[1] - 1, count), indexing="ij"
    )
    return y, x


def check_centre(cluster: config.Cluster, fields: Sequence[Footprint]) -> None:
    """Refuse a cluster's centre that is farther than 0.5 deg from every field.

    Parameters
    ----------
    cluster : tilegc.config.Cluster
        Name and centre.
    fields : sequence
        Anything with `name`, `wcs` (header text) and `shape`.

    Raises
    ------
    AstrometryError
        `cluster: ...`, with the distance to the nearest field and where that is.
    """
    nearest: tuple[float, str, float, float] | None = None
    for field in fields:
        distance, ra, dec = _nearest(field, cluster.ra, cluster.dec)
        if distance <= CENTRE_LIMIT:
            return
        if nearest is None or distance < nearest[0]:
            nearest = distance, field.name, ra, dec
    if nearest is None:
        return
    distance, name, ra, dec = nearest
    raise AstrometryError(
        f"cluster: the centre of {cluster.name} (ra {cluster.ra:g}, dec {cluster.dec:g}) is "
        f"{distance:.2f} deg from the nearest field, {name!r} (ra {ra:.4f}, dec {dec:.4f}): "
        "correct cluster.ra and cluster.dec, in degrees, ICRS"
    )


@dataclass(frozen=True)
class Outside:
    """A cluster's centre that lies in no field."""

    arcsec: float
    """Distance to the nearest field."""
    text: str
    """The same in words."""


def centre_outside(cluster: config.Cluster, fields: Sequence[Footprint]) -> Outside | None:
    """Return how far a cluster's centre lies from the nearest field; None where one of them holds it.

    Parameters
    ----------
    cluster : tilegc.config.Cluster
    fields : sequence
        Anything with `name`, `wcs` (header text) and `shape`.
    """
    for field in fields:
        y, x = (float(value) for value in world_to_pixel(field.wcs, cluster.ra, cluster.dec))
        if -0.5 <= y < field.shape[0] - 0.5 and -0.5 <= x < field.shape[1] - 0.5:
            return None
    if not fields:
        return None
    distance, name = min((_nearest(field, cluster.ra, cluster.dec)[0], field.name) for field in fields)
    return Outside(
        3600.0 * distance,
        f"the centre of {cluster.name} (ra {cluster.ra:g}, dec {cluster.dec:g}) lies outside of all fields, "
        f"{3600.0 * distance:.0f} arcsec from the nearest, {name}",
    )


def _nearest(field: Footprint, ra0: float, dec0: float) -> tuple[float, float, float]:
    """Return the distance (deg) of the nearest point of a field from a position, and that point."""
    y, x = sample(field.shape)
    row, column = (float(value) for value in world_to_pixel(field.wcs, ra0, dec0))
    if np.isfinite(row) and np.isfinite(column):
        # The sampled points alone would miss a centre inside of a very large field.
        y = np.append(y, np.clip(row, 0, field.shape[0] - 1))
        x = np.append(x, np.clip(column, 0, field.shape[1] - 1))
    ra, dec = (value.ravel() for value in pixel_to_world(field.wcs, y, x))
    distance = separation_arcsec(ra, dec, ra0, dec0) / 3600.0
    if not np.isfinite(distance).any():
        raise AstrometryError(f"field {field.name!r}: its WCS puts no pixel on the sky")
    best = int(np.nanargmin(distance))
    return float(distance[best]), float(ra[best]), float(dec[best])


def _rounded(value: float) -> float:
    return float(f"{value:.9e}")


def _unit_vectors(lon: Floats, lat: Floats) -> Floats:
    a, d = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
