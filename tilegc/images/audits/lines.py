"""What the sampled cells say of a field, line by line: value, verdict, what to do.

Every limit below is a judgement, said once with its reason; nothing of a run depends on a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.config import Band, Filter, RunConfig
from tilegc.images.audits.blank_sky import LEAST_PIXELS
from tilegc.images.audits.cells import WEIGHT_BLOCK, Sample
from tilegc.images.audits.line import Line, Verdict, judged, rounded, too_little
from tilegc.images.audits.pairs import common, of_band, richest_band
from tilegc.images.audits.points import cores, psf_files, widths
from tilegc.images.audits.useless import useless_lines
from tilegc.io.fits import FieldSource
from tilegc.io.units import AB_ZERO_POINT_NJY
from tilegc.kernels.repeats import joined

__all__ = ["field_lines", "measured_lines"]

SCALE: Final = 0.03
"""Pixel for which the recipe's widths and its 3 px are meant, arcsec (Diego et al. 2026)."""


def field_lines(
    source: FieldSource, sample: Sample, config: RunConfig, given: Mapping[str, Band]
) -> list[Line]:
    """Return all lines of one field.

    Parameters
    ----------
    source : FieldSource
        As it was probed: units and scale.
    sample : Sample
        What its cells say.
    config : RunConfig
        The recipe, its filter and its exclusion.
    given : mapping of str to Band
        The run file's bands, by name; empty for a field that is a store.
    """
    lines = [_scale(source, config), *_units(source), *_colours(source, sample)]
    lines += [*_astrometry(source, sample), *_noise(source, sample), *_correlation(source, sample)]
    lines += [
        *widths(source, sample, config.filter.stages[1][1] if config.recipe == "diego2026" else None),
        *psf_files(source, sample, given),
        *cores(source, sample),
        *_weights(source, sample, local=config.local_threshold),
        *_repeats(source, sample),
        *useless_lines(source, sample.useless),
    ]
    return lines


def measured_lines(
    source: FieldSource, sample: Sample, config: RunConfig, given: Mapping[str, Band]
) -> list[Line]:
    """Return the lines of a band in which sources are measured, but not searched for; parameters as above."""
    lines = [*_units(source), *_noise(source, sample), *_correlation(source, sample)]
    lines += [*psf_files(source, sample, given), *cores(source, sample)]
    return [
        *lines,
        *_weights(source, sample, local=config.local_threshold),
        *useless_lines(source, sample.useless),
    ]


# --- scale and units ----------------------------------------------------------------------------------------


def _scale(source: FieldSource, config: RunConfig) -> Line:
    """Compare the pixels with those for which the recipe's lengths are meant.

    The calibrated filter is made of the field's own PSF, so that it suits any pixels; exclusion and masks do not.
    """
    ratio = SCALE / source.scale
    usual = Filter().stages
    differences = config.recipe == "diego2026"
    odd = abs(math.log(ratio))
    lengths = "the filter and the exclusion" if differences else "the exclusion and the masks' growth"
    finding = f"pixels of {source.scale:g} arcsec; {lengths} are in pixels and were chosen for {SCALE:g}"
    verdict = judged(odd, math.log(1.02), math.log(1.5))
    if verdict == "ok":
        return Line("scale", source.name, "", rounded(source.scale, 5), "arcsec", "ok", finding, "")
    exclusion, own = config.detect.exclusion_radius, config.usual_exclusion_radius
    if exclusion != own or (differences and config.filter.stages != usual):
        return Line(
            "scale",
            source.name,
            "",
            rounded(source.scale, 5),
            "arcsec",
            "look",
            f"{finding}; the run file sets its own",
            "make sure that they suit these pixels",
        )
    stages = ", ".join(f"[{rounded(narrow * ratio):g}, {rounded(wide * ratio):g}]" for narrow, wide in usual)
    remedy = (
        f"resample to {SCALE:g} arcsec, or set "
        + (f"filter.stages: [{stages}] and " if differences else "")
        # Local maxima, which are all that calibrated records, are at least a pixel apart.
        + f"detect.exclusion_radius: {rounded(own * ratio if differences else max(own * ratio, 1.0)):g}"
    )
    return Line("scale", source.name, "", rounded(source.scale, 5), "arcsec", verdict, finding, remedy)


def _units(source: FieldSource) -> Iterator[Line]:
    """Say what a count is, and whether the header agrees with itself."""
    for band in source.bands:
        told = band.photometry
        if told is None or not told.factor > 0:
            yield too_little("units", source, band.name, "mag", "the store does not say what a count was")
            continue
        zero_point = AB_ZERO_POINT_NJY - 2.5 * math.log10(told.factor)
        finding = f"AB zero point; one count is {told.factor:.5g} nJy, from {told.origin}"
        if told.doubt:
            yield Line(
                "units",
                source.name,
                band.name,
                rounded(zero_point, 5),
                "mag",
                "wrong",
                f"{finding}; {told.doubt}",
                "find out which is right and correct the header, or remove BUNIT from it and give zero_point",
            )
        else:
            finding += f"; {told.note}" if told.note else ""
            yield Line("units", source.name, band.name, rounded(zero_point, 5), "mag", "ok", finding, "")


def _colours(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Compare the bands' fluxes: a wrong zero point makes impossible colours."""
    if len(source.bands) < 2:
        return
    reference = richest_band(source, sample)
    steps: dict[int, tuple[float, int]] = {reference: (0.0, 0)}
    for number in range(len(source.bands)):
        pairs = None if number == reference else common(of_band(sample, reference), of_band(sample, number))
        if pairs is not None:
            steps[number] = -2.5 * math.log10(float(np.median(pairs[1]))), len(pairs[1])
    middle = float(np.median([step for step, _ in steps.values()])) if len(steps) > 2 else 0.0
    against = "the median of the bands" if len(steps) > 2 else source.bands[reference].name
    for number, band in enumerate(source.bands):
        if number == reference and len(steps) <= 2:
            continue
        if number not in steps:
            yield too_little("colours", source, band.name, "mag", "too few bright sources in common")
            continue
        colour, count = steps[number][0] - middle, steps[number][1]
        verdict = judged(abs(colour), 1.2, 2.5)
        finding = f"median magnitude minus that of {against}, 4 px apertures" + (
            f", {count} sources in common" if count else ", the reference of the other bands"
        )
        remedy = "" if verdict == "ok" else "check the units of the bands: few populations are so blue or red"
        yield Line("colours", source.name, band.name, round(colour, 3) + 0.0, "mag", verdict, finding, remedy)


# --- astrometry ---------------------------------------------------------------------------------------------


def _astrometry(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Measure how far each band lies from the others."""
    if len(source.bands) < 2:
        return
    reference = richest_band(source, sample)
    offsets: dict[int, tuple[NDArray[np.float64], float, int]] = {reference: (np.zeros(2), 0.0, 0)}
    for number in range(len(source.bands)):
        if number == reference:
            continue
        pairs = common(of_band(sample, reference), of_band(sample, number))
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
            yield too_little("astrometry", source, band.name, "pix", "too few bright sources in common")
            continue
        dy, dx = (float(value) for value in offsets[number][0] - middle)
        error, count = offsets[number][1:]
        shift = math.hypot(dy, dx)
        verdict = judged(max(shift - 2 * error, 0.0), 0.1, 0.3)
        finding = (
            f"offset ({dy:+.3f}, {dx:+.3f}) px in y, x = {1000 * shift * source.scale:.1f} mas from {against}"
            + (f", error {error:.3f} px, {count} sources" if count else ", the reference of the other bands")
        )
        remedy = (
            "" if verdict == "ok" else "align the mosaics again: sources are smeared in the sum of the bands"
        )
        yield Line("astrometry", source.name, band.name, round(shift, 3), "pix", verdict, finding, remedy)


# --- noise --------------------------------------------------------------------------------------------------


SHARED: Final = 0.06
"""Share of a cell's variance between sources that may be light of other bands too: 3 % of the noise."""

MOST_SHARED: Final = 0.15
"""The same where no cell is so quiet: the quietest one counts, its noise at most 8 % high."""


def _medians(sample: Sample, number: int) -> dict[str, Any] | str:
    """Return the medians over the quiet cells of a band's noise; in words why there are none."""
    band = sample.noise["band"] == number
    blank = np.asarray(sample.noise["blank"], float)[band]
    here = band & np.isfinite(np.asarray(sample.noise["pixel"], float))
    if not here.any():
        most = int(blank.max()) if blank.size else 0
        return f"too few quiet pixels: {most} in a cell at most, {LEAST_PIXELS} are needed"
    shared = np.asarray(sample.noise["shared"], float)
    least = float(np.nan_to_num(shared[here]).min())
    if least > MOST_SHARED:
        return (
            f"too few quiet pixels: between sources at least {100 * least:.0f} % of the variance is light that also "
            "appears in another band"
        )
    crowded = here & (shared > max(SHARED, least))
    here &= ~crowded
    boxes = np.asarray(sample.noise["boxes"], float)[here]
    found: dict[str, Any] = {
        name: float(np.median(np.asarray(sample.noise[name], float)[here]))
        for name in ("pixel", "neighbours", "level")
    }
    found["boxes"] = [
        float(np.median(column[np.isfinite(column)])) if np.isfinite(column).any() else math.nan
        for column in boxes.T
    ]
    found["crowded"] = int(crowded.sum())
    # without a second band faint light is not told from noise
    found["alone"] = not np.isfinite(shared[here]).any()
    return found


def _milder(verdict: Verdict, found: Mapping[str, Any]) -> Verdict:
    """Return the verdict, "look" at worst where light may be taken for noise."""
    return "look" if verdict == "wrong" and found["alone"] else verdict


def _told(found: Mapping[str, Any]) -> str:
    """Return what to know of the cells in which noise was measured."""
    words = "; one band: light of faint sources counts as noise" if found["alone"] else ""
    if found["crowded"]:
        words += f"; crowded cells excluded: {found['crowded']}"
    return words


def _noise(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Compare the noise with what err, or else the weight, says of it."""
    for number, band in enumerate(source.bands):
        label = "err" if "err" in band.given else "wht" if "wht" in band.given else ""
        if not label:
            yield too_little("err", source, band.name, "", "neither err nor wht is given")
            continue
        found = _medians(sample, number)
        if isinstance(found, str):
            yield too_little("err", source, band.name, "", found)
            continue
        ratio = found["pixel"]
        wide = ratio * max([1.0, *(value for value in found["boxes"] if math.isfinite(value))])
        # err may be meant for single pixels, or for areas over which correlated noise adds up: both are right.
        beside = max(ratio, 1 / wide if wide > 0 else math.inf, 1.0)
        verdict = _milder(judged(beside, 1.2, 1.6), found)
        finding = (
            (
                f"ratio of measured noise to 1/sqrt({label})"
                if label == "wht"
                else "ratio of measured noise to err"
            )
            + f": {ratio:.2f} for pixels, {wide:.2f} for areas; {found['level']:.3g} nJy per pixel{_told(found)}"
        )
        remedy = (
            ""
            if verdict == "ok"
            else f"multiply {label} by {rounded(ratio if ratio > 1 else wide, 2):g}"
            + ("^-2" if label == "wht" else "")
            + " before you derive errors from it; the detection measures its own noise"
        )
        yield Line("err", source.name, band.name, rounded(ratio), "", verdict, finding, remedy)


def _correlation(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Say how much more boxes scatter than their pixels would if these were independent."""
    for number, band in enumerate(source.bands):
        found = _medians(sample, number)
        if isinstance(found, str) or not math.isfinite(found["boxes"][1]):
            why = found if isinstance(found, str) else "too few boxes of quiet pixels"
            yield too_little("correlation", source, band.name, "", why)
            continue
        two, four, eight = found["boxes"]
        widest = eight if math.isfinite(eight) else four
        verdict = _milder(judged(widest, 1.8, 3.0), found)
        finding = (
            f"scatter of 4 px boxes over that of independent pixels ({two:.2f} in 2 px, {eight:.2f} in 8 px; "
            f"the correlation of neighbouring pixels is {found['neighbours']:.2f}): "
            f"the noise has a scale of {widest:.1f} px{_told(found)}"
        )
        remedy = (
            ""
            if verdict == "ok"
            else "noise makes wider peaks: use thresholds from the detection map, not S/N from err or wht alone"
            if verdict == "look"
            else "structure of several pixels is left in the background: subtract it (1/f stripes, sky) and rerun"
        )
        yield Line("correlation", source.name, band.name, rounded(four), "", verdict, finding, remedy)


# --- weights ------------------------------------------------------------------------------------------------


def _weights(source: FieldSource, sample: Sample, *, local: bool) -> Iterator[Line]:
    """Compare the depth of a band over the field, and look for steps.

    `local`: peaks are compared with the noise at their own pixel, so that steps make no false sources.
    """
    for number, band in enumerate(source.bands):
        blocks = np.sqrt(sample.weights[:, number]) if sample.weights.size else np.zeros((0, 1, 1))
        known = blocks[np.isfinite(blocks)]
        if known.size < 16:
            yield too_little("weights", source, band.name, "", "no err or wht, or too little of it")
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
            "ratio of the noise in the shallow and deep parts (5 and 95 %), from the weights; steepest step "
            f"{step:.2f} over {WEIGHT_BLOCK * source.scale:.2g} arcsec"
        )
        if local and verdict == "wrong":
            verdict = "look"
        remedy = (
            ""
            if verdict == "ok"
            else "thresholds follow the noise, so the shallow parts are complete to brighter sources only: counts are "
            "compared above the common limit"
            if local
            else "one threshold does not suit all of the field: cut it along the step into fields of their own, "
            "or mask the shallow part"
        )
        yield Line("weights", source.name, band.name, rounded(ratio), "", verdict, finding, remedy)


def _repeats(source: FieldSource, sample: Sample) -> Iterator[Line]:
    """Report regions in which one value is exactly repeated: sky that nothing observed, if there is noise elsewhere."""
    for number, band in enumerate(source.bands):
        on = sample.noise["band"] == number
        found = joined({name: sample.noise[name][on] for name in ("n", "n_repeated", "equal", "border")})
        if not found.unobserved:
            continue
        share = found.n_repeated / found.n
        yield Line(
            "repeats",
            source.name,
            band.name,
            rounded(share),
            "",
            "look",
            f"{100 * share:.2g} % of the sampled pixels lie in regions of one exactly repeated value, and there are "
            "no weights; such regions are treated as no data",
            "give the band's weights (wht), or NaN where nothing was observed",
        )
