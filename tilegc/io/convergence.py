"""Convergence maps: read, brought to the reference source redshift, interpolated.

A map's values are kappa = Sigma / Sigma_cr, and Sigma_cr depends on the source's distance; files seldom say
for which source they were made. The run file must (DESIGN 3, "Kappa maps"); a header's hint is quoted, never
used.
"""

from __future__ import annotations

import bz2
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import fsspec
import numpy as np
from astropy import units
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from tilegc import config
from tilegc.errors import AstrometryError, ConvergenceError
from tilegc.sky import (
    Footprint,
    header_text,
    lens_scaling,
    pixel_to_world,
    sample,
    separation_arcsec,
    wcs_from_text,
    world_to_pixel,
)

__all__ = ["Kappa", "check_overlap", "read_convergence"]

Floats = NDArray[np.float64]

HINT_KEYS: Final = frozenset(
    [
        "ZS",
        "Z_S",
        "ZSRC",
        "Z_SRC",
        "ZSOURCE",
        "Z_SOURCE",
        "SOURCEZ",
        "SRC_Z",
        "ZREF",
        "REDSHIFT",
        "DLSDS",
        "DLS_DS",
        "DLS-DS",
    ]
)
"""Keywords that lens modellers use for the source's redshift or for D_LS/D_S."""

HINT_WORDS: Final = re.compile(r"D_?ls\b|source\s+(redshift|plane)|\bz_?s(ource)?\s*=", re.IGNORECASE)
"""The same said in a value, a comment or the history."""


@dataclass(frozen=True, eq=False)
class Kappa:
    """A convergence map at the reference source redshift."""

    values: Floats
    """Convergence, shape (ny, nx); NaN: no data."""
    wcs: str
    """Header text of its celestial WCS."""
    scaling_in: float
    """D_LS/D_S of the map as it was read."""
    scaling: float
    """D_LS/D_S of the reference source redshift, which `values` are for."""
    factor: float
    """What the file's values were multiplied by: scaling / scaling_in."""
    path: str
    """Where it came from, for messages."""

    def at(self, ra: ArrayLike, dec: ArrayLike) -> Floats:
        """Interpolate bilinearly between pixel centres.

        Parameters
        ----------
        ra, dec : array_like
            Degrees, ICRS.

        Returns
        -------
        ndarray of float64
            Convergence; NaN outside of the outermost pixels' centres and beside a NaN.
        """
        y, x = world_to_pixel(self.wcs, ra, dec)
        return _bilinear(self.values, y, x)

    def mean_within(self, ra: float, dec: float, radius_arcsec: float) -> tuple[float, float]:
        """Average the pixels whose centres are within a circle, each counting as much (DESIGN 3.13).

        Parameters
        ----------
        ra, dec : float
            Centre, degrees, ICRS.
        radius_arcsec : float
            Radius, inclusive.

        Returns
        -------
        mean : float
            Mean convergence; NaN where the circle holds no pixel with data.
        covered : float
            Part of the circle's area that these pixels make up; about 1 where the map covers all of it.
        """
        y, x = np.indices(self.values.shape)
        inside = separation_arcsec(*pixel_to_world(self.wcs, y, x), ra, dec) <= radius_arcsec
        inside &= np.isfinite(self.values)
        if not inside.any():
            return float("nan"), 0.0
        side = abs(float(np.linalg.det(wcs_from_text(self.wcs).pixel_scale_matrix))) * 3600.0**2
        return float(self.values[inside].mean()), float(inside.sum()) * side / (np.pi * radius_arcsec**2)


def read_convergence(conf: config.Convergence, cosmo: FlatLambdaCDM, z_lens: float) -> Kappa:
    """Read a convergence map and bring it to the reference source redshift.

    Parameters
    ----------
    conf : tilegc.config.Convergence
        Path or URL (FITS, also gzip or bzip2), and the source redshift or D_LS/D_S for which it is.
    cosmo : FlatLambdaCDM
        Cosmology of the distances.
    z_lens : float
        The cluster's redshift.

    Returns
    -------
    Kappa
        The map.

    Raises
    ------
    ConvergenceError
        If the file cannot be read whole, its scaling is undeclared or impossible, or it holds no image with
        a celestial WCS and data, or one in another unit.
    """
    images = list(_images(conf.path))
    if not images:
        raise ConvergenceError(f"convergence: {conf.path}: holds no two-dimensional image")
    image, header, wcs = _choose(conf.path, images)
    scaling_in, scaling = _scalings(conf, header, cosmo, z_lens)
    _check_unit(conf.path, header)
    factor = scaling / scaling_in
    values = np.asarray(image, np.float64) * factor
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).all():
        raise ConvergenceError(f"convergence: {conf.path}: the map holds no data, every pixel is NaN")
    return Kappa(values, wcs, scaling_in, scaling, factor, conf.path)


def check_overlap(kappa: Kappa, fields: Sequence[Footprint]) -> None:
    """Refuse a convergence map that shares no sky with any of the fields.

    Parameters
    ----------
    kappa : Kappa
        The map.
    fields : sequence
        Anything with `name`, `wcs` (header text) and `shape`.

    Raises
    ------
    ConvergenceError
        With the places of both.
    """
    centre_ra, centre_dec = _centre(kappa.wcs, kappa.values.shape)
    map_ra, map_dec = pixel_to_world(kappa.wcs, *sample((kappa.values.shape[0], kappa.values.shape[1])))
    map_data = np.isfinite(kappa.at(map_ra, map_dec))
    for field in fields:
        if np.isfinite(kappa.at(*pixel_to_world(field.wcs, *sample(field.shape)))).any():
            return
        # the other way round, for a map that is smaller than the step of the sample
        y, x = world_to_pixel(field.wcs, map_ra[map_data], map_dec[map_data])
        if ((y >= 0) & (y <= field.shape[0] - 1) & (x >= 0) & (x <= field.shape[1] - 1)).any():
            return
    if fields:
        ra, dec = _centre(fields[0].wcs, fields[0].shape)
        raise ConvergenceError(
            f"convergence: {kappa.path}: the map, round ra {centre_ra:.4f}, dec {centre_dec:.4f}, covers no "
            f"part of any field ({fields[0].name!r} is round ra {ra:.4f}, dec {dec:.4f}): "
            "give this cluster's map"
        )


# --- the file -----------------------------------------------------------------------------------------------


def _images(path: str) -> Iterator[tuple[NDArray[Any], fits.Header]]:
    """Yield every image of two (or more, all but two of length 1) dimensions with its header."""
    content = _content(path)
    if not content.startswith(b"SIMPLE  ="):
        raise ConvergenceError(f"convergence: {path}: not a FITS file")
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        try:
            with fits.open(io.BytesIO(content)) as hdus:
                # read here: remarks come when data are touched
                found = [
                    (np.array(hdu.data), hdu.header.copy())
                    for hdu in hdus
                    if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2 and hdu.data is not None
                ]
        except Exception as error:  # noqa: BLE001  (a damaged header raises nearly anything in astropy)
            raise ConvergenceError(
                f"convergence: {path}: truncated or damaged FITS ({_one_line(error)}): fetch it again"
            ) from None
    if any("truncated" in str(remark.message) for remark in remarks):
        raise ConvergenceError(f"convergence: {path}: truncated, its end is missing: fetch it again")
    for data, header in found:
        image = data.reshape([side for side in data.shape if side != 1] if data.ndim > 2 else data.shape)
        if image.ndim == 2 and image.size:
            yield image, header


def _content(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise ConvergenceError(f"convergence: {path}: no such file") from None
    except Exception as error:  # noqa: BLE001  (each remote file system has its own errors)
        raise ConvergenceError(f"convergence: {path}: cannot be read ({_one_line(error)})") from None
    try:
        if content.startswith(b"\x1f\x8b"):
            return gzip.decompress(content)
        if content.startswith(b"BZh"):
            return bz2.decompress(content)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ConvergenceError(
            f"convergence: {path}: truncated or damaged ({_one_line(error)}): fetch it again"
        ) from None
    return content


def _choose(
    path: str, images: Sequence[tuple[NDArray[Any], fits.Header]]
) -> tuple[NDArray[Any], fits.Header, str]:
    """Return the first image with a celestial WCS, one that is called kappa or convergence before others."""
    named = {"kappa", "convergence"}
    ranked = sorted(images, key=lambda item: str(item[1].get("EXTNAME", "")).strip().lower() not in named)
    why: AstrometryError | None = None
    for image, header in ranked:
        try:
            return image, header, header_text(wcs_from_text(header.tostring()))
        except AstrometryError as error:
            why = why or error
    raise ConvergenceError(f"convergence: {path}: {why}")


def _check_unit(path: str, header: fits.Header) -> None:
    """Refuse deflections, potentials, surface densities and images; a unit that says nothing is let pass."""
    text = str(header.get("BUNIT", "")).strip()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", units.UnitsWarning)
        try:
            unit = units.Unit(text)
        except (ValueError, TypeError):
            return
    light = (units.Jy, units.Jy / units.sr, units.electron / units.s, units.count)
    others = (units.arcsec, units.kpc, units.Msun, units.Msun / units.kpc**2, *light)
    if any(unit.is_equivalent(other) for other in others):
        raise ConvergenceError(
            f"convergence: {path}: its unit is {text!r}, a convergence has none: give the kappa map"
        )


# --- the scaling --------------------------------------------------------------------------------------------


def _scalings(
    conf: config.Convergence, header: fits.Header, cosmo: FlatLambdaCDM, z_lens: float
) -> tuple[float, float]:
    """Return D_LS/D_S of the map and of the reference redshift."""
    if conf.lens_scaling is None and conf.source_redshift is None:
        raise ConvergenceError(
            f"convergence: {conf.path}: the scaling of the map is not declared: give "
            "convergence.source_redshift, or convergence.lens_scaling (D_LS/D_S; "
            "1.0 for the Hubble Frontier Fields' maps)" + _hint(header)
        )
    if conf.lens_scaling is not None and conf.lens_scaling > 1.0:
        raise ConvergenceError(
            f"convergence.lens_scaling: {conf.lens_scaling:g} cannot be a D_LS/D_S, which is 1 at most"
        )

    def of(key: str, z_source: float) -> float:
        try:
            return lens_scaling(cosmo, z_lens, z_source)
        except ConvergenceError as error:
            raise ConvergenceError(f"convergence.{key}: {error}") from None

    reference = of("reference_redshift", conf.reference_redshift)
    if conf.lens_scaling is not None:
        return conf.lens_scaling, reference
    assert conf.source_redshift is not None
    return of("source_redshift", conf.source_redshift), reference


def _hint(header: fits.Header) -> str:
    """Return what a header says of the scaling, to be quoted; empty where it says nothing."""
    said = [
        " ".join(str(card).split())
        for card in header.cards
        if card.keyword in HINT_KEYS or HINT_WORDS.search(f"{card.value} {card.comment}")
    ]
    if not said and str(header.get("HLSPNAME", "")).strip().lower() == "frontier":
        said = [" ".join(str(header.cards["HLSPNAME"]).split())]
    return f"; its header says: {'; '.join(said[:3])}" if said else ""


# --- numbers ------------------------------------------------------------------------------------------------


def _bilinear(values: Floats, y: Floats, x: Floats) -> Floats:
    """Interpolate between pixel centres; NaN outside of them and where a pixel that counts is NaN."""
    result = np.full(y.shape, np.nan)
    # A position computed from a border pixel's centre may miss it by rounding.
    slack = 1e-6
    rows, columns = values.shape
    inside = (y >= -slack) & (y <= rows - 1 + slack) & (x >= -slack) & (x <= columns - 1 + slack)
    row, column = np.clip(y[inside], 0, rows - 1), np.clip(x[inside], 0, columns - 1)
    j, i = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    down, right = row - j, column - i
    total = np.zeros(row.shape)
    for dj, weight_j in ((0, 1.0 - down), (1, down)):
        for di, weight_i in ((0, 1.0 - right), (1, right)):
            weight = weight_j * weight_i
            near = values[np.minimum(j + dj, rows - 1), np.minimum(i + di, columns - 1)]
            # 0 * NaN is NaN: a pixel without weight must not count
            total += np.where(weight > 0, weight * near, 0.0)
    result[inside] = total
    return result


def _centre(wcs_text: str, shape: tuple[int, ...]) -> tuple[float, float]:
    ra, dec = pixel_to_world(wcs_text, (shape[0] - 1) / 2, (shape[1] - 1) / 2)
    return float(ra), float(dec)


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
