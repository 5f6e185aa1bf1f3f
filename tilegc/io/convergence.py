"""Convergence maps: read, brought to the reference source redshift, interpolated.

A map's values are kappa = Sigma / Sigma_cr, and Sigma_cr depends on the source's distance; files seldom say
for which source they were made. The run file must (algorithm.md, section 13); a header's hint is quoted, never
used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from tilegc import config
from tilegc.errors import ConvergenceError
from tilegc.io.deflection import read_deflection
from tilegc.io.lens_files import LensImage, read_image, refuse_other_quantities
from tilegc.io.par_map import read_par_map
from tilegc.sky import (
    Footprint,
    SkyGrid,
    lens_scaling,
    pixel_to_world,
    sample,
    separation_arcsec,
    world_to_pixel,
)

if TYPE_CHECKING:
    from astropy.cosmology import FlatLambdaCDM

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
        return self.at_pixels(*world_to_pixel(self.wcs, ra, dec))

    def at_pixels(self, y: Floats, x: Floats) -> Floats:
        """Interpolate at positions in pixels of the map, as `at` does on the sky."""
        return _bilinear(self.values, y, x)

    def circle(
        self, ra: float, dec: float, radius_arcsec: float
    ) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
        """Return a window of the map that holds a circle, and which of its pixels' centres lie within.

        Parameters
        ----------
        ra, dec : float
            Centre, degrees, ICRS.
        radius_arcsec : float
            Radius, inclusive.

        Returns
        -------
        window : tuple of slice
        inside : ndarray of bool
            Of the window's shape; not to be written to.
        """
        return _circle(self.wcs, self.values.shape, ra, dec, radius_arcsec)

    def mean_within(self, ra: float, dec: float, radius_arcsec: float) -> tuple[float, float]:
        """Average the pixels whose centres are within a circle, each counting as much (algorithm.md, section 13).

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
            Part of the circle's area that lies on pixels with data; 1 where the map covers all of it.
        """
        window, inside = self.circle(ra, dec, radius_arcsec)
        values = self.values[window][inside]
        values = values[np.isfinite(values)]
        mean = float(values.mean()) if values.size else float("nan")
        return mean, self._covered(ra, dec, radius_arcsec)

    def _covered(self, ra: float, dec: float, radius: float) -> float:
        """Return the share of a circle that lies on pixels with data.

        Asked at the middles of squares of a hundredth of the radius: whole pixels would make a small circle
        on coarse pixels seem half covered, or covered more than once.
        """
        # 31,416 points resolve the covered fraction to better than a part in a thousand, at no cost worth
        # saving.
        side = (np.arange(200) + 0.5) / 100.0 - 1.0
        xi, eta = np.meshgrid(side, side)
        within = np.hypot(xi, eta) <= 1.0
        there = SkyGrid(ra, dec, 1.0).radec(radius * xi[within], radius * eta[within])
        # Pixel centres are whole numbers: adding a half and rounding down gives the pixel that contains a
        # point.
        y, x = (np.floor(axis + 0.5).astype(np.int64) for axis in world_to_pixel(self.wcs, *there))
        rows, columns = self.values.shape
        on = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
        on[on] = np.isfinite(self.values[y[on], x[on]])
        return float(on.mean())


@lru_cache(maxsize=8)  # realisations on one grid ask for the same apertures again
def _circle(
    wcs: str, shape: tuple[int, ...], ra: float, dec: float, radius: float
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    turn = np.linspace(0.0, 2.0 * np.pi, 361)
    # The window must hold the circle whatever the rotation of the map: the rim is projected, a little outside,
    # and its bounding box taken. Only that window is tested pixel by pixel, since maps may have a hundred times
    # its area.
    rim = SkyGrid(ra, dec, 1.0).radec(1.01 * radius * np.cos(turn), 1.01 * radius * np.sin(turn))
    window = []
    for axis, length in zip(world_to_pixel(wcs, *rim), shape, strict=True):
        # Part of the rim may have no pixel, on the far side of the sky for a small map: then the whole map is
        # tested.
        known = bool(np.isfinite(axis).all())
        low, high = (int(axis.min()) - 2, int(axis.max()) + 3) if known else (0, length)
        window.append(slice(min(max(low, 0), length), min(max(high, 0), length)))
    y, x = np.mgrid[window[0], window[1]]
    inside = separation_arcsec(*pixel_to_world(wcs, y, x), ra, dec) <= radius
    # The array is cached and shared by all callers.
    inside.flags.writeable = False
    return (window[0], window[1]), inside


def read_convergence(
    conf: config.LensMap,
    cosmo: FlatLambdaCDM,
    z_lens: float,
    reference_redshift: float | None = None,
    key: str = "convergence",
) -> Kappa:
    """Read a convergence map, or derive it from deflections, and bring it to the reference source redshift.

    Parameters
    ----------
    conf : tilegc.config.LensMap
        Path or URL (FITS, also gzip or bzip2), or both deflections, and the source redshift or D_LS/D_S for which
        they are; or a Lenstool parameter file.
    cosmo : FlatLambdaCDM
        Cosmology of the distances.
    z_lens : float
        The cluster's redshift.
    reference_redshift : float, optional
        Needed unless `conf` is a `Convergence`, which has one.
    key : str
        Place of `conf` in the run file, for messages.

    Returns
    -------
    Kappa
        The map.

    Raises
    ------
    ConvergenceError
        If a file cannot be read whole, its scaling is undeclared or impossible, or it holds no image with
        a celestial WCS and data, or another quantity.
    """
    if reference_redshift is None:
        assert isinstance(conf, config.Convergence)
        reference_redshift = conf.reference_redshift
    if conf.par is not None:
        image = read_par_map(conf)
    else:
        image = read_deflection(conf) if conf.deflection is not None else _kappa_image(conf)
    scaling_in, scaling = _scalings(conf, reference_redshift, image, cosmo, z_lens, key)
    # Kappa is proportional to D_LS/D_S of the source, because the lens and its distance stay the same.
    factor = scaling / scaling_in
    return Kappa(image.values * factor, image.wcs, scaling_in, scaling, factor, image.path)


def _kappa_image(conf: config.LensMap) -> LensImage:
    assert conf.path is not None
    image = read_image(conf.path, conf)
    refuse_other_quantities(image, weak_lensing=conf.weak_lensing)
    return image


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
    # A coarse sample of points in both directions: exact polygons of footprints would need the same care with
    # rotations and gaps for a question that is nearly always answered by the first point.
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
            f"convergence: {kappa.path}: the map, around ra {centre_ra:.4f}, dec {centre_dec:.4f}, does not "
            f"overlap any field ({fields[0].name!r} is around ra {ra:.4f}, dec {dec:.4f}): "
            "give a map of this cluster"
        )


# --- the scaling --------------------------------------------------------------------------------------------


def _scalings(
    conf: config.LensMap,
    reference_redshift: float,
    image: LensImage,
    cosmo: FlatLambdaCDM,
    z_lens: float,
    key: str,
) -> tuple[float, float]:
    """Return D_LS/D_S of the map and of the reference redshift."""
    if conf.par is None and conf.lens_scaling is None and conf.source_redshift is None:
        raise ConvergenceError(
            f"convergence: {image.path}: the scaling of the map is not declared: give "
            f"{key}.source_redshift, or {key}.lens_scaling (D_LS/D_S; "
            "1.0 for the Hubble Frontier Fields' maps)" + _hint(image.header)
        )
    if conf.lens_scaling is not None and conf.lens_scaling > 1.0:
        raise ConvergenceError(
            f"{key}.lens_scaling: {conf.lens_scaling:g} is not a possible D_LS/D_S, which is at most 1"
        )

    def of(name: str, z_source: float) -> float:
        try:
            return lens_scaling(cosmo, z_lens, z_source)
        except ConvergenceError as error:
            raise ConvergenceError(f"{name}: {error}") from None

    reference = of("convergence.reference_redshift", reference_redshift)
    if conf.par is not None:
        return 1.0, reference
    if conf.lens_scaling is not None:
        return conf.lens_scaling, reference
    assert conf.source_redshift is not None
    return of(f"{key}.source_redshift", conf.source_redshift), reference


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
