"""Completeness in every cell of the sky grid, from artificial stars and the fitted luminosity function.

The law of counts is about sources brighter than a limit. A run counts another number: some of these sources are not
found, and some fainter ones are, since noise and neighbours raise them above the limit. Both are in the stars. With
phi the luminosity function, the expected count above a limit in peak is the integral of phi(m) p(m), where p is the
share of stars of magnitude m that the run lists above that limit. Divided by the integral of phi down to the limit's
own magnitude it is the factor by which the area of a cell enters the law: crowding, depth, blending, shapes and the
response of the filter, all at once and once only.

Most of p is the same everywhere: bright stars are found and faint ones are not. So the curve of the whole field is
integrated, and only what stars near a place show beyond it is averaged there; the noise of the average is then that
of few stars near the limit, not that of all magnitudes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.completeness.draw import BRIGHTER, FAINTER
from tilegc.completeness.results import Completed
from tilegc.detection.limits import Common
from tilegc.luminosity.fit import Function
from tilegc.luminosity.results import Luminosities
from tilegc.photometry.columns import ZERO_POINT
from tilegc.skygrid.cells import SkyCells

__all__ = ["FieldScale", "SeenStars", "seen_share", "seen_stars"]

Floats = NDArray[np.float64]

WIDTH: Final = 2.0
"""Standard deviation, arcsec, of the Gaussian over which stars are averaged: about 500 at 20 per arcsec^2."""

SHRUNK: Final = 10.0
"""Stars' worth of the field's curve that are added everywhere, for where stars are few."""

STEP: Final = 0.1
"""Width, mag, of the bins of the curve and of its integral."""

RADII: Final = 40
"""Radii at which integrals over the luminosity function are taken."""


@dataclass(frozen=True)
class FieldScale:
    """Magnitudes of one field."""

    limit: float
    """Of its limit, AB, flat spectrum; NaN where nothing is searched."""
    colour: float
    """Mean of the band's magnitudes less those of flat spectra."""
    share: float
    """Response of the detection map to a flat spectrum of 1 nJy per band."""


COLUMNS: Final = ("field", "xi", "eta", "number", "magnitude", "weight", "draw", "peak")


@dataclass(frozen=True, kw_only=True)
class SeenStars:
    """Artificial stars on pixels that count, all fields together."""

    field: NDArray[np.int64]
    """Position of the field in the run file."""
    xi: Floats
    """arcsec east of the centre."""
    eta: Floats
    """arcsec north of it."""
    number: NDArray[np.int64]
    """Of the draw."""
    magnitude: Floats
    """AB, of flat spectra."""
    weight: Floats
    """Luminosity function over the density of the draw."""
    draw: Floats
    """1 over the density of the draw."""
    peak: Floats
    """Peak in the detection map of what was found, nJy; NaN of what was not."""
    scales: tuple[FieldScale, ...]
    """By field."""
    function: Function
    """The luminosity function."""

    def without(self, some: NDArray[np.bool_]) -> SeenStars:
        """Return all stars but some."""
        left = {name: getattr(self, name)[~some] for name in COLUMNS}
        return replace(self, **left)


def seen_stars(
    found: Completed | None, luminosities: Luminosities | None, cells: SkyCells, common: Common
) -> SeenStars | None:
    """Return the stars on the pixels of the sky grid; None without stars or a luminosity function.

    Parameters
    ----------
    found : Completed or None
    luminosities : Luminosities or None
    cells : SkyCells
    common : Common
        Which pixels are deep enough to be compared.
    """
    function = None if luminosities is None else luminosities.function
    if found is None or luminosities is None or function is None:
        return None
    parts, scales = [], []
    for number, name in enumerate(cells.fields):
        if name not in found.stars:
            scales.append(FieldScale(np.nan, 0.0, 1.0))
            continue
        table, population = found.stars[name].table, found.prepared[name].population
        bands = found.stars[name].magnitudes
        magnitude = (
            table["mag_in"][bands.index(luminosities.band)] if luminosities.band in bands else table["mag"]
        )
        scales.append(
            FieldScale(
                population.limit, float(np.mean(magnitude - table["mag"])), float(population.share.sum())
            )
        )
        good = table["good"]
        if name in common.complete:
            # Stars count on the pixels on which sources count.
            good = good & (table["noise"] <= common.complete[name][1])
        xi, eta = cells.grid.offsets(table["ra"][good], table["dec"][good])
        z = (magnitude[good] - function.turnover_at(table["radius_arcsec"][good])) / function.width
        peak = np.where(table["recovered"][good], table["value"][good], np.nan)
        # Stars are drawn where they tell most; dividing by their density undoes that choice.
        inverse = 1 / table["q"][good]
        weight = np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * function.width) * inverse
        which = np.full(xi.size, number, np.int64)
        parts.append((which, xi, eta, table["number"][good], table["mag"][good], weight, inverse, peak))
    if not parts:
        return None
    field, xi, eta, draws, flat, weights, inverses, peaks = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    return SeenStars(
        field=field,
        xi=xi,
        eta=eta,
        number=draws,
        magnitude=flat,
        weight=weights,
        draw=inverses,
        peak=peaks,
        scales=tuple(scales),
        function=function,
    )


def seen_share(cells: SkyCells, stars: SeenStars, low: float, high: float = np.inf) -> Floats:
    """Return the expected count in every cell over the number of sources in it within these limits.

    Parameters
    ----------
    cells : SkyCells
    stars : SeenStars
    low, high : float
        Limits in peak, nJy: the sources that are counted have low <= peak < high.

    Returns
    -------
    float64 (eta, xi)
        1 where there is no good area; NaN where no star tells.
    """
    shape, pixel = cells.kappa.shape, cells.grid.pixel
    row = np.floor(stars.eta / pixel).astype(np.int64) - cells.j0
    column = np.floor(stars.xi / pixel).astype(np.int64) - cells.i0
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    with np.errstate(invalid="ignore"):
        listed = (stars.peak >= low) & (stars.peak < high)
    weighted, total = np.zeros(shape), cells.good_area.sum(axis=0)
    for number, scale in enumerate(stars.scales):
        good = cells.good_area[number] > 0
        if not good.any():
            continue
        share = np.full(int(good.sum()), np.nan)
        own = inside & (stars.field == number)
        if own.any():
            curve, known = _curve(stars.magnitude[own], listed[own], stars.draw[own])
            # What a star shows beyond the field's curve: 0 on average, so that its local mean is a small
            # correction.
            residual = stars.weight[own] * (listed[own] - known)
            sums = []
            for values in (stars.weight[own], residual):
                cell = np.zeros(shape)
                np.add.at(cell, (row[own], column[own]), values)
                sums.append(scipy.ndimage.gaussian_filter(cell, WIDTH / pixel, mode="constant")[good])
            # One star at the Gaussian's centre counts as much as its peak.
            prior = SHRUNK * float(np.median(stars.weight[own])) / (2 * np.pi * (WIDTH / pixel) ** 2)
            # Shrunk towards the field's curve where stars are few.
            beyond = sums[1] / (sums[0] + prior)
            share = _integrals(stars.function, scale, cells.radius[good], curve, (low, high), beyond)
        weighted[good] += cells.good_area[number][good] * share
    result: Floats = np.divide(weighted, total, out=np.ones(shape), where=total > 0)
    return result


def _curve(
    magnitude: Floats, listed: NDArray[np.bool_], draw: Floats
) -> tuple[tuple[Floats, Floats], Floats]:
    """Return the share of stars that are listed by magnitude, and interpolated at every star."""
    edges = np.arange(np.floor(magnitude.min() / STEP), np.ceil(magnitude.max() / STEP) + 1) * STEP
    total, found = (np.histogram(magnitude, edges, weights=draw * part)[0] for part in (1.0, listed))
    some = total > 0
    middle = (0.5 * (edges[1:] + edges[:-1]))[some]
    share = found[some] / total[some]
    return (middle, share), np.interp(magnitude, middle, share)


def _integrals(
    function: Function,
    scale: FieldScale,
    radius: Floats,
    curve: tuple[Floats, Floats],
    limits: tuple[float, float],
    beyond: Floats,
) -> Floats:
    """Return what is expected at radii over the sources within limits in peak.

    `beyond` is the mean over the luminosity function of what is found in addition to the curve.
    """
    # The turnover is a smooth function of radius: it is enough to integrate at some of them.
    at = np.geomspace(0.5, max(float(radius.max()), 1.0), RADII)
    turnover = function.turnover_at(at)[:, None]

    def below(magnitude: Floats | float) -> Floats:
        return np.asarray(
            scipy.special.ndtr((magnitude + scale.colour - turnover) / function.width), np.float64
        )

    def of_peak(peak: float) -> float:
        return float(ZERO_POINT - 2.5 * np.log10(peak / scale.share))

    first, last = scale.limit - BRIGHTER, scale.limit + FAINTER
    edges = np.linspace(first, last, 1 + round((last - first) / STEP))
    mass = np.diff(below(edges), axis=1)
    found = mass @ np.interp(0.5 * (edges[1:] + edges[:-1]), *curve)
    low, high = limits
    counted = (below(of_peak(low)) - (below(of_peak(high)) if np.isfinite(high) else 0.0))[:, 0]
    known = counted > 0
    ratios = [
        np.divide(part, counted, out=np.full(RADII, np.nan), where=known)
        for part in (found, mass.sum(axis=1))
    ]
    where = np.log(np.clip(radius, 0.5, None))
    # In the logarithm of radius, in which the turnover's dependence is close to linear.
    even, whole = (np.interp(where, np.log(at), ratio) for ratio in ratios)
    return np.asarray(even + beyond * whole, np.float64)
