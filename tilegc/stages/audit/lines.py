"""What the sampled cells say of a field, line by line: value, verdict, what to do.

Every limit below is a judgement, said once with its reason; nothing of a run depends on a verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tilegc.config import Band, Filter
from tilegc.io.fits import FieldSource
from tilegc.io.psf import inspect_psf, read_psf
from tilegc.io.units import AB_ZERO_POINT_NJY
from tilegc.kernels.blank_sky import box_sum
from tilegc.kernels.compact_sources import RADII
from tilegc.stages.audit.cells import WEIGHT_BLOCK, Sample

__all__ = ["Line", "Verdict", "field_lines", "judged"]

Verdict = Literal["ok", "look", "wrong", "unmeasured"]

SCALE: Final = 0.03
"""Pixel for which the recipe's widths and its 3 px are meant, arcsec (Diego et al. 2026)."""

FWHM: Final = {
    "F070W": 0.029, "F090W": 0.033, "F115W": 0.040, "F140M": 0.048, "F150W": 0.050, "F162M": 0.055, "F182M": 0.062,
    "F200W": 0.066, "F210M": 0.071, "F250M": 0.085, "F277W": 0.092, "F300M": 0.100, "F335M": 0.111, "F356W": 0.116,
    "F360M": 0.120, "F410M": 0.137, "F430M": 0.145, "F444W": 0.145, "F460M": 0.155, "F480M": 0.164,
}  # fmt: skip
"""FWHM of NIRCam's PSF on its detectors, arcsec (STScI, JDox, "NIRCam point spread functions", empirical)."""

SHORT, LONG = 0.0307, 0.0630
"""Pixels of NIRCam's detectors, arcsec; the long-wavelength ones from 2.35 micron."""

SEARCH: Final = 8.0
"""Pixels by which bands may be apart and still be matched."""

LEAST_PAIRS: Final = 12
LEAST_STARS: Final = 8
POINT_SNR: Final = 30.0
"""Signal over noise in 3 x 3 pixels from which a source's shape is used."""

STRENGTHS: Final = (60.0, 150.0, 500.0, 2000.0, math.inf)
"""Edges of the classes of brightness in which cores are compared: flux over the noise of 3 x 3 pixels."""

SEVERITY: Final[tuple[Verdict, ...]] = ("unmeasured", "ok", "look", "wrong")


@dataclass(frozen=True)
class Line:
    """One line of the audit."""

    check: str
    field: str
    """Empty where it is of the whole run."""
    band: str
    """Empty where it is of the whole field."""
    value: float
    """NaN where it could not be measured."""
    unit: str
    verdict: Verdict
    finding: str
    """What the value is."""
    remedy: str
    """What to do; empty where nothing is."""


def judged(value: float, ok: float, look: float) -> Verdict:
    """Return what a value means that is the worse the larger: up to `ok`, up to `look`, beyond."""
    if not math.isfinite(value):
        return "unmeasured"
    return "ok" if value <= ok else "look" if value <= look else "wrong"


def rounded(value: float, digits: int = 3) -> float:
    """Return a value with as many digits as it deserves: the last bits of medians differ between CPUs."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else math.nan


def field_lines(
    source: FieldSource,
    sample: Sample,
    filtering: Filter,
    exclusion_radius: float,
    given: Mapping[str, Band],
) -> list[Line]:
    """Return all lines of one field.

    Parameters
    ----------
    source : FieldSource
        As it was probed: units and scale.
    sample : Sample
        What its cells say.
    filtering : Filter
        Widths of the recipe's filter, pixels.
    exclusion_radius : float
        Pixels.
    given : mapping of str to Band
        The run file's bands, by name; empty for a field that is a store.
    """
    lines = [_scale(source, filtering, exclusion_radius), *_units(source), *_colours(source, sample)]
    lines += [*_astrometry(source, sample), *_noise(source, sample), *_correlation(source, sample)]
    lines += [
        *_widths(source, sample, filtering),
        *_psf_files(source, sample, given),
        *_cores(source, sample),
        *_weights(source, sample),
    ]
    return lines


def _too_little(check: str, source: FieldSource, band: str, unit: str, what: str) -> Line:
    return Line(check, source.name, band, math.nan, unit, "unmeasured", what, "")


# --- scale and units ----------------------------------------------------------------------------------------


def _scale(source: FieldSource, filtering: Filter, exclusion_radius: float) -> Line:
    """Compare the pixels with those for which the recipe's lengths are meant."""
    ratio = SCALE / source.scale
    defaults = Filter()
    odd = abs(math.log(ratio))
    finding = (
        f"pixels of {source.scale:g} arcsec; the filter and the exclusion are in pixels, meant for {SCALE:g}"
    )
    verdict = judged(odd, math.log(1.02), math.log(1.5))
    if verdict == "ok":
        return Line("scale", source.name, "", rounded(source.scale, 5), "arcsec", "ok", finding, "")
    if filtering.stages != defaults.stages or exclusion_radius != 3.0:
        return Line(
            "scale", source.name, "", rounded(source.scale, 5), "arcsec", "look",
            f"{finding}; the run file sets its own", "make sure that they suit these pixels",
        )  # fmt: skip
    stages = ", ".join(
        f"[{rounded(narrow * ratio):g}, {rounded(wide * ratio):g}]" for narrow, wide in defaults.stages
    )
    remedy = (
        f"resample to {SCALE:g} arcsec, or set filter.stages: [{stages}] and "
        f"detect.exclusion_radius: {rounded(3 * ratio):g}"
    )
    return Line("scale", source.name, "", rounded(source.scale, 5), "arcsec", verdict, finding, remedy)


def _units(source: FieldSource) -> Iterator[Line]:
    """Say what a count is, and whether the header agrees with itself."""
    for band in source.bands:
        told = band.photometry
        if told is None or not told.factor > 0:
            yield _too_little("units", source, band.name, "mag", "the store does not say what a count was")
            continue
        zero_point = AB_ZERO_POINT_NJY - 2.5 * math.log10(told.factor)
        finding = f"AB zero point; a count is {told.factor:.5g} nJy, from {told.origin}"
        if told.doubt:
            yield Line(
                "units", source.name, band.name, rounded(zero_point, 5), "mag", "wrong", f"{finding}; {told.doubt}",
                "find out which is right and correct the header, or leave BUNIT out of it and give zero_point",
            )  # fmt: skip
        else:
            yield Line("units", source.name, band.name, rounded(zero_point, 5), "mag", "ok", finding, "")


def _of_band(sample: Sample, number: int) -> dict[str, NDArray[Any]]:
    here = sample.sources["band"] == number
    return {name: column[here] for name, column in sample.sources.items()}


def _in_order(table: dict[str, NDArray[Any]], order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {name: column[order] for name, column in table.items()}


def _pairs(
    first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return offsets (n, 2) and flux ratios, second to first, of the sources that two bands have in common."""
    matched = _matched(first, second)
    if matched is None:
        return None
    i, j, offset = matched
    return offset, second["flux"][j] / first["flux"][i]


def _matched(
    first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None:
    """Return the rows of common sources in both tables and their offsets (n, 2); None where there are too few.

    The commonest offset is looked for first: a shift of many pixels is found too, and chance pairs are left out.
    """
    if min(len(first["y"]), len(second["y"])) < LEAST_PAIRS:
        return None
    # Cells are far apart: a third coordinate keeps sources of different cells from being paired.
    here, there = (
        np.column_stack([table["y"], table["x"], 1e3 * table["cell"]]) for table in (first, second)
    )
    near = cKDTree(here).query_ball_point(there, SEARCH)
    rows = [(i, j) for j, found in enumerate(near) for i in sorted(found)]
    if len(rows) < LEAST_PAIRS:
        return None
    i, j = np.array(rows).T
    offset = (there[j] - here[i])[:, :2]
    reach = int(SEARCH)
    counts = np.zeros((2 * reach + 3, 2 * reach + 3))
    np.add.at(counts, tuple((np.rint(offset).astype(int) + reach + 1).T), 1)
    summed = box_sum(counts, 3)
    mode = np.array(np.unravel_index(int(np.argmax(np.rint(summed))), summed.shape)) - (reach + 1)
    close = (np.abs(offset - mode) <= 1.5).all(axis=1)
    if close.sum() < LEAST_PAIRS:
        return None
    close = (np.abs(offset - np.median(offset[close], axis=0)) <= 1.0).all(axis=1)
    return i[close], j[close], offset[close]


def _reference(source: FieldSource, sample: Sample) -> int:
    """Return the number of the band with most sources: the one that the others are matched with."""
    counts = [int((sample.sources["band"] == number).sum()) for number in range(len(source.bands))]
    return int(np.argmax(counts)) if counts else 0


def _colours(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Compare the bands' fluxes: a wrong zero point makes impossible colours."""
    if len(source.bands) < 2:
        return
    reference = _reference(source, sample)
    steps: dict[int, tuple[float, int]] = {reference: (0.0, 0)}
    for number in range(len(source.bands)):
        pairs = None if number == reference else _pairs(_of_band(sample, reference), _of_band(sample, number))
        if pairs is not None:
            steps[number] = -2.5 * math.log10(float(np.median(pairs[1]))), len(pairs[1])
    middle = float(np.median([step for step, _ in steps.values()])) if len(steps) > 2 else 0.0
    against = "the median of the bands" if len(steps) > 2 else source.bands[reference].name
    for number, band in enumerate(source.bands):
        if number == reference and len(steps) <= 2:
            continue
        if number not in steps:
            yield _too_little("colours", source, band.name, "mag", "too few bright sources in common")
            continue
        colour, count = steps[number][0] - middle, steps[number][1]
        verdict = judged(abs(colour), 1.2, 2.5)
        finding = f"median magnitude less that of {against}, 4 px apertures" + (
            f", {count} sources in common" if count else ", which the others are matched with"
        )
        remedy = "" if verdict == "ok" else "check the units of the bands: few populations are so blue or red"
        yield Line("colours", source.name, band.name, round(colour, 3) + 0.0, "mag", verdict, finding, remedy)


# --- astrometry ---------------------------------------------------------------------------------------------


def _astrometry(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Measure how far each band lies from the others."""
    if len(source.bands) < 2:
        return
    reference = _reference(source, sample)
    offsets: dict[int, tuple[NDArray[np.float64], float, int]] = {reference: (np.zeros(2), 0.0, 0)}
    for number in range(len(source.bands)):
        if number == reference:
            continue
        pairs = _pairs(_of_band(sample, reference), _of_band(sample, number))
        if pairs is not None:
            spread = 1.4826 * np.median(np.abs(pairs[0] - np.median(pairs[0], axis=0)), axis=0)
            error = 1.2533 * float(np.hypot(*spread)) / math.sqrt(len(pairs[0]))
            offsets[number] = (np.median(pairs[0], axis=0), error, len(pairs[0]))
    # With three bands or more the odd one out is the one that is off, whichever band was matched with.
    middle = (
        np.median([offset for offset, _, _ in offsets.values()], axis=0) if len(offsets) > 2 else np.zeros(2)
    )
    against = "the median of the bands" if len(offsets) > 2 else source.bands[reference].name
    for number, band in enumerate(source.bands):
        if number == reference and len(offsets) <= 2:
            continue
        if number not in offsets:
            yield _too_little("astrometry", source, band.name, "pix", "too few bright sources in common")
            continue
        dy, dx = (float(value) for value in offsets[number][0] - middle)
        error, count = offsets[number][1:]
        shift = math.hypot(dy, dx)
        verdict = judged(max(shift - 2 * error, 0.0), 0.1, 0.3)
        finding = (
            f"offset ({dy:+.3f}, {dx:+.3f}) px in y, x = {1000 * shift * source.scale:.1f} mas from {against}"
            + (f", error {error:.3f} px, {count} sources" if count else ", which the others are matched with")
        )
        remedy = "" if verdict == "ok" else "align the mosaics again: the sum of the bands smears its sources"
        yield Line("astrometry", source.name, band.name, round(shift, 3), "pix", verdict, finding, remedy)


# --- noise --------------------------------------------------------------------------------------------------


def _medians(sample: Sample, number: int) -> dict[str, Any] | None:
    """Return the medians over the cells of a band's noise; None where no cell says anything."""
    here = (sample.noise["band"] == number) & np.isfinite(np.asarray(sample.noise["pixel"], float))
    if not here.any():
        return None
    boxes = np.asarray(sample.noise["boxes"], float)[here]
    found: dict[str, Any] = {
        name: float(np.median(np.asarray(sample.noise[name], float)[here]))
        for name in ("pixel", "neighbours", "level")
    }
    found["boxes"] = [
        float(np.median(column[np.isfinite(column)])) if np.isfinite(column).any() else math.nan
        for column in boxes.T
    ]
    found["cells"] = int(here.sum())
    return found


def _noise(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Compare the noise with what err, or else the weight, says of it."""
    for number, band in enumerate(source.bands):
        label = "err" if "err" in band.given else "wht" if "wht" in band.given else ""
        if not label:
            yield _too_little("err", source, band.name, "", "neither err nor wht is given")
            continue
        found = _medians(sample, number)
        if found is None:
            yield _too_little("err", source, band.name, "", "too little blank sky")
            continue
        ratio = found["pixel"]
        wide = ratio * max([1.0, *(value for value in found["boxes"] if math.isfinite(value))])
        # err may be meant for single pixels, or for areas over which correlated noise adds up: both are right.
        beside = max(ratio, 1 / wide if wide > 0 else math.inf, 1.0)
        verdict = judged(beside, 1.2, 1.6)
        finding = (
            f"measured noise over 1/sqrt({label})" if label == "wht" else "measured noise over err"
        ) + f": {ratio:.2f} in pixels, {wide:.2f} over areas; {found['level']:.3g} nJy a pixel"
        remedy = (
            "" if verdict == "ok"
            else f"multiply {label} by {rounded(ratio if ratio > 1 else wide, 2):g}"
            + ("^-2" if label == "wht" else "") + " before errors are taken from it; detection measures its own noise"
        )  # fmt: skip
        yield Line("err", source.name, band.name, rounded(ratio), "", verdict, finding, remedy)


def _correlation(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Say how much more boxes scatter than their pixels would if these were independent."""
    for number, band in enumerate(source.bands):
        found = _medians(sample, number)
        if found is None or not math.isfinite(found["boxes"][1]):
            yield _too_little("correlation", source, band.name, "", "too little blank sky")
            continue
        two, four, eight = found["boxes"]
        widest = eight if math.isfinite(eight) else four
        verdict = judged(widest, 1.8, 3.0)
        finding = (
            f"scatter of 4 px boxes over that of independent pixels ({two:.2f} in 2 px, {eight:.2f} in 8 px; "
            f"next pixels correlate by {found['neighbours']:.2f}): the noise is of {widest:.1f} px"
        )
        remedy = (
            "" if verdict == "ok"
            else "noise makes wider peaks: trust thresholds from the detection map, no S/N from err or wht alone"
            if verdict == "look"
            else "structure of several pixels is left in the background: subtract it (1/f stripes, sky) and start again"
        )  # fmt: skip
        yield Line("correlation", source.name, band.name, rounded(four), "", verdict, finding, remedy)


# --- shapes -------------------------------------------------------------------------------------------------


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
        middle = np.array([
            float(np.median(ring[np.isfinite(ring)])) if np.isfinite(ring).any() else math.nan for ring in profiles.T
        ])  # fmt: skip
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


def _widths(source: FieldSource, sample: Sample, filtering: Filter) -> Iterator[Line]:
    """Measure the FWHM of point sources in every band."""
    for number, band in enumerate(source.bands):
        measured, count = _point_width(sample, number)
        if not math.isfinite(measured):
            yield _too_little("psf", source, band.name, "pix", "too few isolated bright points")
            continue
        arcsec = measured * source.scale
        expected = expected_width(band.name, source.scale)
        finding = f"FWHM of {count} isolated points: {arcsec:.3f} arcsec"
        verdict: Verdict = "ok"
        remedy = ""
        if expected is None:
            finding += "; nothing is known to compare it with"
        else:
            finding += f", {expected:.3f} expected of {band.name} on these pixels"
            ratio = max(arcsec / expected, expected / arcsec)
            verdict = judged(ratio, 1.35, 2.0)
            if verdict != "ok":
                remedy = (
                    "wider than the telescope's: galaxies taken for points, smeared exposures, or a smoothed mosaic"
                    if arcsec > expected
                    else "narrower than the telescope's: look for cosmic rays or hot pixels among the sources"
                )
        if measured > filtering.stages[1][1] and verdict == "ok":
            verdict = "look"
            remedy = f"the filter's second stage removes what is wider than {filtering.stages[1][1]:g} px: widen it"
        yield Line("psf", source.name, band.name, rounded(measured), "pix", verdict, finding, remedy)


def _point_width(sample: Sample, number: int) -> tuple[float, int]:
    """Return the FWHM of a band's points, pixels, NaN where there are too few, and their number."""
    table = _of_band(sample, number)
    points = _points(table)
    count = int(points.sum())
    return (width(table["profile"][points]) if count >= LEAST_STARS else math.nan), count


def _psf_files(source: FieldSource, sample: Sample, given: Mapping[str, Band]) -> Iterator[Line]:
    """Look at the PSF files of the run file as they are found; compare their widths with the field's points."""
    for number, name in enumerate(source.band_names):
        band = given.get(name)
        if band is None or band.psf is None:
            continue
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
            verdict, remedy = "wrong", "give the PSF of this band, drizzled as the mosaic is, or psf_scale"
        elif abs(found.total - 1) > 0.01 or found.off_centre > 0.1:
            verdict = "look"
            remedy = "nothing for tilegc, which normalises and centres it; other tools may take it as it is"
        yield Line("psf file", source.name, name, rounded(found.total, 4), "", verdict, finding, remedy)


def _strength(table: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    noise: NDArray[np.float64] = np.where(table["noise"] > 0, table["noise"], np.inf)
    return np.asarray(table["flux"] / noise, np.float64)


def point_elsewhere(sample: Sample, number: int, bands: int) -> NDArray[np.bool_]:
    """Return which sources of a band are points by the light of another band, bool (n,).

    A star whose core is eaten in one band still is a point in the others; a galaxy is one in none.
    """
    here = _of_band(sample, number)
    found = np.zeros(len(here["y"]), bool)
    for other in range(bands):
        there = _of_band(sample, other)
        used = there["isolated"] & np.isfinite(there["core"]) & (_strength(there) >= STRENGTHS[0])
        if other == number or used.sum() < LEAST_PAIRS or not found.size:
            continue
        best = float(np.percentile(there["core"][used], 85))
        there = {name: column[used & (there["core"] >= 0.85 * best)] for name, column in there.items()}
        matched = _matched(here, there)
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


def _cores(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Look for bright points whose cores were taken for cosmic rays and rejected."""
    for number, band in enumerate(source.bands):
        table = _of_band(sample, number)
        deficit, count = core_deficit(table, point_elsewhere(sample, number, len(source.bands)))
        dips = table["weight_dip"]
        dips = dips[table["isolated"] & (_strength(table) >= STRENGTHS[1]) & np.isfinite(dips)]
        dip = float(np.median(dips)) if dips.size >= LEAST_STARS else math.nan
        if not (math.isfinite(deficit) or math.isfinite(dip)):
            yield _too_little(
                "cores", source, band.name, "", "too few isolated points that another band has too"
            )
            continue
        verdict = max((judged(deficit, 0.15, 0.25), judged(dip, 0.08, 0.2)), key=SEVERITY.index)
        parts = []
        if math.isfinite(deficit):
            parts.append(
                f"light in 3 x 3 px over that round them is {_lower(deficit)} in bright points than in fainter ones "
                f"({count} bright ones)"
            )
        if math.isfinite(dip):
            parts.append(f"the weight in bright cores is {_lower(dip)} than round them")
        remedy = (
            "" if verdict == "ok"
            else "outlier rejection eats cores: raise the pipeline's outlier_detection.snr and scale, and drizzle again"
        )  # fmt: skip
        value = deficit if math.isfinite(deficit) else dip
        yield Line(
            "cores", source.name, band.name, round(value, 3) + 0.0, "", verdict, "; ".join(parts), remedy
        )


# --- weights ------------------------------------------------------------------------------------------------


def _weights(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Compare the depth of a band over the field, and look for steps."""
    for number, band in enumerate(source.bands):
        blocks = np.sqrt(sample.weights[:, number]) if sample.weights.size else np.zeros((0, 1, 1))
        known = blocks[np.isfinite(blocks)]
        if known.size < 16:
            yield _too_little("weights", source, band.name, "", "no err or wht, or too little of it")
            continue
        shallow, deep = (float(value) for value in np.percentile(known, [5, 95]))
        ratio = deep / shallow if shallow > 0 else math.inf
        step = 1.0
        for axis in (1, 2):
            low, high = (np.take(blocks, range(k, blocks.shape[axis] - 1 + k), axis) for k in (0, 1))
            both = np.isfinite(low) & np.isfinite(high) & (low > 0) & (high > 0)
            if both.any():
                step = max(step, float(np.max(np.maximum(low[both] / high[both], high[both] / low[both]))))
        verdict = judged(ratio, 1.3, 2.0)
        finding = (
            "noise of the shallow over that of the deep parts (5 and 95 %), by the weights; steepest step "
            f"{step:.2f} over {WEIGHT_BLOCK * source.scale:.2g} arcsec"
        )
        remedy = (
            "" if verdict == "ok"
            else "one threshold does not suit all of the field: cut it along the step into fields of their own, "
            "or mask the shallow part"
        )  # fmt: skip
        yield Line("weights", source.name, band.name, rounded(ratio), "", verdict, finding, remedy)
