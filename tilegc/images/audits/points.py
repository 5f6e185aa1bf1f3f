"""What the audit says of point sources: their widths, the PSF files given for them, cores that were rejected."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.config import Band
from tilegc.images.audits.cells import Sample
from tilegc.images.audits.compact_sources import RADII
from tilegc.images.audits.line import SEVERITY, Line, Verdict, judged, rounded, too_little
from tilegc.images.audits.pairs import LEAST_PAIRS, common_rows, of_band
from tilegc.io.fits import FieldSource
from tilegc.io.psf import inspect_psf, read_psf
from tilegc.io.reading import reading

__all__ = ["core_deficit", "cores", "expected_width", "point_elsewhere", "psf_files", "width", "widths"]

FWHM: Final = {
    "F070W": 0.029,
    "F090W": 0.033,
    "F115W": 0.040,
    "F140M": 0.048,
    "F150W": 0.050,
    "F162M": 0.055,
    "F182M": 0.062,
    "F200W": 0.066,
    "F210M": 0.071,
    "F250M": 0.085,
    "F277W": 0.092,
    "F300M": 0.100,
    "F335M": 0.111,
    "F356W": 0.116,
    "F360M": 0.120,
    "F410M": 0.137,
    "F430M": 0.145,
    "F444W": 0.145,
    "F460M": 0.155,
    "F480M": 0.164,
}
"""FWHM of NIRCam's PSF on its detectors, arcsec (STScI, JDox, "NIRCam point spread functions", empirical)."""

SHORT, LONG = 0.0307, 0.0630
"""Pixels of NIRCam's detectors, arcsec; the long-wavelength ones from 2.35 micron."""

LEAST_STARS: Final = 8
POINT_SNR: Final = 30.0
"""Signal over noise in 3 x 3 pixels from which a source's shape is used."""

STRENGTHS: Final = (60.0, 150.0, 500.0, 2000.0, math.inf)
"""Edges of the classes of brightness in which cores are compared: flux over the noise of 3 x 3 pixels."""


def _points(table: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return which sources have the most concentrated light: those that look like points."""
    alone = table["isolated"] & (table["snr"] >= POINT_SNR) & np.isfinite(table["core"])
    if alone.sum() < LEAST_STARS:
        return np.zeros(len(alone), bool)
    best = float(np.percentile(table["core"][alone], 85))
    points: NDArray[np.bool_] = alone & (table["core"] >= 0.85 * best) & (table["core"] <= 1.15 * best)
    return points


def width(profiles: NDArray[np.float64]) -> float:
    """Return the FWHM, pixels, of the median of radial profiles (n, rings); NaN where it has none."""
    with np.errstate(all="ignore"):
        middle = np.array(
            [
                float(np.median(ring[np.isfinite(ring)])) if np.isfinite(ring).any() else math.nan
                for ring in profiles.T
            ]
        )
    known = np.isfinite(middle)
    if known.sum() < 3:
        return math.nan
    radii, values = RADII[known], middle[known]
    below = np.flatnonzero(values < values[0] / 2)
    if not below.size or below[0] == 0:
        return math.nan
    k = int(below[0])
    share = (values[k - 1] - values[0] / 2) / (values[k - 1] - values[k])
    return 2 * float(radii[k - 1] + share * (radii[k] - radii[k - 1]))


def expected_width(band: str, scale: float) -> float | None:
    """Return the FWHM, arcsec, of a point in a drizzled mosaic: optics, detector pixel and mosaic pixel."""
    named = re.search(r"F\d{3}[WMN]", band.upper())
    if named is None or named[0] not in FWHM:
        return None
    optics = FWHM[named[0]]
    detector = SHORT if int(named[0][1:4]) < 235 else LONG
    # Half of the detector's and half of the mosaic's pixel: boxes widen a core by less than their side.
    return math.sqrt(optics**2 + 0.6 * detector**2 + 0.6 * scale**2)


def widths(source: FieldSource, sample: Sample, widest: float | None) -> Iterator[Line]:
    """Measure the FWHM of point sources in every band.

    Parameters
    ----------
    source : FieldSource
    sample : Sample
    widest : float or None
        FWHM, pixels, of what the filter keeps; None where it is made of the PSF.
    """
    for number, band in enumerate(source.bands):
        measured, count = _point_width(sample, number)
        if not math.isfinite(measured):
            yield too_little("psf", source, band.name, "pix", "too few isolated bright points")
            continue
        arcsec = measured * source.scale
        expected = expected_width(band.name, source.scale)
        finding = f"FWHM of {count} isolated points: {arcsec:.3f} arcsec"
        verdict: Verdict = "ok"
        remedy = ""
        if expected is None:
            finding += "; no expected value is known"
        else:
            finding += f", {expected:.3f} expected for {band.name} on these pixels"
            ratio = max(arcsec / expected, expected / arcsec)
            verdict = judged(ratio, 1.35, 2.0)
            if verdict != "ok":
                remedy = (
                    "wider than the telescope's: galaxies mistaken for points, smeared exposures, or a smoothed mosaic"
                    if arcsec > expected
                    else "narrower than the telescope's: look for cosmic rays or hot pixels among the sources"
                )
        if widest is not None and measured > widest and verdict == "ok":
            verdict = "look"
            remedy = f"the filter's second stage removes what is wider than {widest:g} px: widen it"
        yield Line("psf", source.name, band.name, rounded(measured), "pix", verdict, finding, remedy)


def _point_width(sample: Sample, number: int) -> tuple[float, int]:
    """Return the FWHM of a band's points, pixels, NaN where there are too few, and their number."""
    table = of_band(sample, number)
    points = _points(table)
    count = int(points.sum())
    return (width(table["profile"][points]) if count >= LEAST_STARS else math.nan), count


def psf_files(source: FieldSource, sample: Sample, given: Mapping[str, Band]) -> Iterator[Line]:
    """Look at the PSF files of the run file as they are found; compare their widths with the field's points."""
    for number, name in enumerate(source.band_names):
        band = given.get(name)
        if band is None or band.psf is None:
            continue
        with reading(f"{band.psf} (psf of band {name})"):
            found = inspect_psf(band.psf, band=name, psf_scale=band.psf_scale)
        fwhm = read_psf(band.psf, source.scale, band=name, psf_scale=band.psf_scale).fwhm
        measured, _ = _point_width(sample, number)
        finding = (
            f"sum of the PSF file's pixels of {found.scale:g} arcsec; its light is centred {found.off_centre:.2f} px "
            f"off its middle; FWHM {fwhm:.2f} px on the mosaic"
        )
        ratio = 1.0
        if math.isfinite(measured):
            finding += f", {measured:.2f} px of the field's points"
            ratio = max(fwhm / measured, measured / fwhm)
        verdict: Verdict = "ok"
        remedy = ""
        if ratio > 1.35:
            verdict, remedy = "wrong", "give the PSF of this band, drizzled like the mosaic, or psf_scale"
        elif abs(found.total - 1) > 0.01 or found.off_centre > 0.1:
            verdict = "look"
            remedy = (
                "nothing to do for tilegc, which normalises and centres it; other tools may use it as it is"
            )
        yield Line("psf file", source.name, name, rounded(found.total, 4), "", verdict, finding, remedy)


def _strength(table: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    noise: NDArray[np.float64] = np.where(table["noise"] > 0, table["noise"], np.inf)
    return np.asarray(table["flux"] / noise, np.float64)


def point_elsewhere(sample: Sample, number: int, bands: int) -> NDArray[np.bool_]:
    """Return which sources of a band are points by the light of another band, bool (n,).

    A star whose core is eaten in one band still is a point in the others; a galaxy is one in none.
    """
    here = of_band(sample, number)
    found = np.zeros(len(here["y"]), bool)
    for other in range(bands):
        there = of_band(sample, other)
        used = there["isolated"] & np.isfinite(there["core"]) & (_strength(there) >= STRENGTHS[0])
        if other == number or used.sum() < LEAST_PAIRS or not found.size:
            continue
        best = float(np.percentile(there["core"][used], 85))
        there = {name: column[used & (there["core"] >= 0.85 * best)] for name, column in there.items()}
        matched = common_rows(here, there)
        if matched is not None:
            found[matched[0]] = True
    return found


def core_deficit(table: dict[str, NDArray[Any]], points: NDArray[np.bool_]) -> tuple[float, int]:
    """Return which part of the light of bright points' cores is missing, by that of fainter ones.

    Compared is the light in 3 x 3 pixels over that round them: a lower limit, where the cut is not round. The largest
    of the classes of brightness, and its number of sources; NaN where there are too few.
    """
    alone = points & table["isolated"] & (table["core"] < 1)
    strength = _strength(table)
    shares = []
    for low, high in pairwise(STRENGTHS):
        one = table["core"][alone & (strength >= low) & (strength < high)]
        share = float(np.median(one)) if one.size >= LEAST_PAIRS else math.nan
        shares.append((share / (1 - share), one.size))
    (faint, _), *others = shares
    found = [(1 - bright / faint, count) for bright, count in others if math.isfinite(bright / faint)]
    return max(found, default=(math.nan, 0))


def _lower(share: float) -> str:
    return f"{100 * abs(share):.1f} % {'higher' if share < -5e-4 else 'lower'}"


def cores(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Look for bright points whose cores were taken for cosmic rays and rejected."""
    for number, band in enumerate(source.bands):
        table = of_band(sample, number)
        deficit, count = core_deficit(table, point_elsewhere(sample, number, len(source.bands)))
        dips = table["weight_dip"]
        dips = dips[table["isolated"] & (_strength(table) >= STRENGTHS[1]) & np.isfinite(dips)]
        dip = float(np.median(dips)) if dips.size >= LEAST_STARS else math.nan
        if not (math.isfinite(deficit) or math.isfinite(dip)):
            yield too_little(
                "cores", source, band.name, "", "too few isolated points that also appear in another band"
            )
            continue
        verdict = max((judged(deficit, 0.15, 0.25), judged(dip, 0.08, 0.2)), key=SEVERITY.index)
        parts = []
        if math.isfinite(deficit):
            parts.append(
                f"light in 3 x 3 px relative to their surroundings is {_lower(deficit)} in bright points than in "
                f"fainter ones ({count} bright ones)"
            )
        if math.isfinite(dip):
            parts.append(f"the weight in bright cores is {_lower(dip)} than around them")
        remedy = (
            ""
            if verdict == "ok"
            else "outlier rejection removes bright cores: raise the pipeline's outlier_detection.snr and scale, and "
            "drizzle again"
        )
        value = deficit if math.isfinite(deficit) else dip
        yield Line(
            "cores", source.name, band.name, round(value, 3) + 0.0, "", verdict, "; ".join(parts), remedy
        )
