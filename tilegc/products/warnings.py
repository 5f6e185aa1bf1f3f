"""Verdicts that reach the user: what in a run's inputs or results makes them doubtful, and what to do about it.

The list stands in `summary.json` under `warnings`, at the end of `tilegc run`, and at the top of the report. A
warning says something that may change how the results are read; remarks that only explain them stay in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.config import RunConfig
from tilegc.detection.automatic import HIGHEST
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.threshold import Selection
from tilegc.geometry import LATTICE
from tilegc.images.audits import Line
from tilegc.images.psfs import BandPsf
from tilegc.kernels.psf_model import NIRCAM
from tilegc.relation.limit_trend import Trend

__all__ = [
    "CODES",
    "RunWarning",
    "on_audit",
    "on_detection",
    "on_edges",
    "on_limits",
    "on_psfs",
    "on_ranking",
    "on_registration",
    "rows",
]

CODES: Final = {
    "audit_<check>": "The audit calls this check of the input images or of the convergence map wrong.",
    "completeness": "b rises or falls by more than two standard deviations with the limit of the sources.",
    "convergence_displaced": "The sources clearly prefer the convergence map displaced by a few arcsec.",
    "edge_mask_large": "The edge mask covers more than a quarter of the pixels of a field that have data.",
    "kappa_turned": "The positions of the sources clearly prefer the convergence map rotated, mirrored or transposed.",
    "mostly_noise": "More than half of the catalogue of a field is expected to be noise.",
    "no_good_pixel": "Every pixel of a field is masked or without data.",
    "no_noise": "The noise of a field cannot be measured, so there is no threshold and no source.",
    "noise_without_weights": "A band has no errors or weights that follow its noise.",
    "noise_from_the_image": "A band has no errors or weights that follow its noise, which was measured in its image.",
    "psf_of_another_camera": "A band of another camera takes the PSF model of NIRCam, for want of a PSF file or stars.",
    "purity_below_target": "The expected purity of the catalogue of a field is below `detect.purity`.",
    "purity_unknown": "The purity of the catalogue of a field cannot be measured.",
    "threshold_not_pure": "`detect.threshold: auto` found no threshold at which the catalogue is pure enough.",
}
"""Every code of a warning, with its meaning."""

MOSTLY_NOISE = 0.5
"""Purity of a catalogue below which most of it is noise."""

TOLERANCE = 0.005
"""By how much the purity of a catalogue may miss its target: its own error is about as large."""


MOST_EDGE = 0.25
"""Share of a field's pixels with data that its edge mask may take without a warning."""


@dataclass(frozen=True)
class RunWarning:
    """One thing that a reader of the results must know."""

    code: str
    """What kind of warning it is, in lower case with underscores; stable."""
    field: str
    """Name of the field; empty: the whole run."""
    text: str
    """What was found, in one sentence."""
    remedy: str
    """What to do about it, in one sentence."""


def rows(warnings: Iterable[RunWarning]) -> list[dict[str, str]]:
    """Return warnings as `summary.json` holds them."""
    return [asdict(warning) for warning in warnings]


def on_audit(lines: Sequence[Line]) -> Iterator[RunWarning]:
    """Yield what the audit calls wrong."""
    for line in lines:
        if line.verdict == "wrong":
            band = f"{line.band}: " if line.band else ""
            text = f"The audit calls {line.check} wrong: {band}{line.finding}."
            yield RunWarning(f"audit_{line.check}", line.field, text, _sentence(line.remedy))


def on_edges(config: RunConfig, shares: Mapping[str, float | None]) -> Iterator[RunWarning]:
    """Yield the fields of which the edge mask takes a large part.

    Parameters
    ----------
    config : RunConfig
    shares : mapping
        By field, share of the pixels with data that the edge mask takes; None where there are none.
    """
    for name, share in shares.items():
        if share is not None and share > MOST_EDGE:
            yield RunWarning(
                "edge_mask_large",
                name,
                f"The edge mask of {config.mask.edge_arcsec:g} arcsec covers {100 * share:.0f} % of the pixels with "
                "data.",
                "Reduce mask.edge if the weights are reliable up to the edge, or fill the gaps in the mosaic.",
            )


def on_psfs(psfs: Mapping[str, Sequence[BandPsf]]) -> Iterator[RunWarning]:
    """Yield the fields whose bands take NIRCam's PSF without being NIRCam's.

    Parameters
    ----------
    psfs : mapping of str to sequence of BandPsf
        By field.
    """
    for name, bands in psfs.items():
        foreign = [one.band for one in bands if one.origin == "model" and one.band.upper() not in NIRCAM]
        if foreign:
            yield RunWarning(
                "psf_of_another_camera",
                name,
                f"{', '.join(foreign)}: no PSF is given and too few stars are in the field to measure one, so the "
                "model for NIRCam was used, which is not the PSF of this camera: fluxes, shapes and completeness are "
                "wrong by unknown amounts.",
                "Give the PSF of each band (`psf`), or name the bands by their NIRCam filters if they are NIRCam's.",
            )


TURNED = {
    "rotated_90": "rotated by 90 degrees",
    "rotated_180": "rotated by 180 degrees",
    "mirrored": "mirrored in east and west",
    "transposed": "with east and north exchanged",
}
"""Maps made of the convergence that a fault of its WCS may be, as `ranking.ecsv` calls them."""

CLEARLY = 4.0
"""Standard errors by which the sources must prefer such a map."""

LEAST_GAIN = 8.0
"""... and the gain in ln L."""


def on_ranking(ranking: Mapping[str, np.ndarray]) -> Iterator[RunWarning]:
    """Yield that the sources' positions clearly prefer the convergence turned or mirrored.

    Parameters
    ----------
    ranking : mapping of str to ndarray
        Columns of `schema.RANKING`, the likeliest map first.
    """
    for name, gain, error in zip(ranking["map"], ranking["delta"], ranking["delta_err"], strict=True):
        if name in TURNED and gain > max(LEAST_GAIN, CLEARLY * error):
            yield RunWarning(
                "kappa_turned",
                "",
                f"The positions of the sources prefer the convergence map {TURNED[name]}: ln L is higher by {gain:.0f} "
                f"+- {error:.0f}.",
                "Check the map's WCS: the signs of its CD matrix or CDELT, and the order of its axes.",
            )
            return


def on_limits(trend: Trend) -> Iterator[RunWarning]:
    """Yield that the law depends on the limit of the sources, as it does where completeness is not corrected."""
    if trend.significant:
        values = ", ".join(f"{value:.2f}" for value in trend.index)
        yield RunWarning(
            "completeness",
            "",
            f"b of kappa = A n^b changes with the limit of the sources: {values} above S/N 5, 7 and 10 "
            f"({abs(trend.sigma):.1f} sigma).",
            "Completeness is not corrected well enough. Set completeness: auto, add stars with tilegc complete, or "
            "quote b at the brightest limit.",
        )


DISPLACED = 16.0
"""Gain in 2 ln L by a displaced convergence map from which a run warns; its two parameters gain 2 by chance."""


def on_registration(table: Mapping[str, NDArray[Any]], changes: Mapping[str, Any]) -> Iterator[RunWarning]:
    """Yield that the sources prefer the convergence map elsewhere, and that it was not moved there.

    Parameters
    ----------
    table : mapping
        Columns of `schema.ASSUMPTIONS`.
    changes : mapping
        How the map of the law differs from that of the run file.
    """
    verdict = changes.get("registration", {}).get("verdict")
    rows = np.flatnonzero(table["assumption"].astype(str) == "registered")
    if verdict in ("applied", "not significant") or not rows.size:
        return
    east, north, gain = (float(table[name][rows[0]]) for name in ("first", "second", "gain"))
    if verdict == "refused" or gain > DISPLACED:
        yield RunWarning(
            "convergence_displaced",
            "",
            f"The sources prefer the convergence map displaced by {east:.2f} arcsec to the east and {north:.2f} "
            f"arcsec to the north (2 ln L rises by {gain:.0f}).",
            "Check the astrometry of map and images; relation.registration: auto displaces the map by up to "
            "relation.max_offset.",
        )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}." if words else ""


def on_detection(
    config: RunConfig,
    noises: Mapping[str, Noise],
    selection: Selection,
    bands: Mapping[str, Sequence[str]],
) -> Iterator[RunWarning]:
    """Yield what is doubtful about the detection of each field: no data, no threshold, an impure catalogue.

    Parameters
    ----------
    config : RunConfig
    noises : mapping
        Global noise, by field.
    selection : Selection
    bands : mapping
        Names of the bands, by field.
    """
    for name, noise in noises.items():
        if not noise.n_good:
            yield RunWarning(
                "no_good_pixel",
                name,
                "Every pixel is masked or without data, so nothing was detected.",
                "Check the masks (mask.edge first) and the weights of this field.",
            )
            continue
        limit = selection.thresholds[name]
        if not np.isfinite(limit.value):
            yield RunWarning(
                "no_noise",
                name,
                "The noise cannot be measured, so there is no threshold and no source.",
                "Check the image for constant or repeated values, or set detect.threshold: {value: nJy}.",
            )
            continue
        if limit.missed:
            highest = f" up to S/N {HIGHEST:g}" if limit.local else ""
            text = (
                f"threshold: auto found no limit{highest} at which the catalogue is "
                f"{config.detect.purity:g} pure; it used S/N {_limit(config, selection, name):.2f}."
            )
            if len(limit.by_zone) > 1:
                text = f"threshold: auto: {limit.reason}."
            yield RunWarning(
                "threshold_not_pure",
                name,
                text,
                "See the purity table and figure, and set detect.threshold yourself.",
            )
        yield from _uneven(selection, name, bands[name])
        yield from _impure(config, selection, name)


def _uneven(selection: Selection, name: str, bands: Sequence[str]) -> Iterator[RunWarning]:
    """Yield in which bands neither errors nor weights tell how the noise varies."""
    kinds = selection.local[name].kinds
    measured = [band for band, kind in zip(bands, kinds, strict=False) if kind == "data"]
    if measured:
        yield RunWarning(
            "noise_from_the_image",
            name,
            f"{', '.join(measured)}: no errors or weights that follow the noise, which varies over the image; it was "
            "measured in the image itself, so strips narrower than 12 px and steps below a quarter are missed, and "
            "crowded sources pass for noise.",
            "Give the error or weight image of each band.",
        )
    flat = [band for band, kind in zip(bands, kinds, strict=False) if kind == "flat"]
    if flat:
        yield RunWarning(
            "noise_without_weights",
            name,
            f"{', '.join(flat)}: no errors or weights that follow the noise, which is therefore only measured in cells "
            f"of {LATTICE} px: along steps in depth, sources on the shallow side may be noise.",
            "Give the error or weight image of each band, or mask the shallow parts.",
        )


def _limit(config: RunConfig, selection: Selection, name: str) -> float:
    """Return the limit of a field's catalogue in signal-to-noise."""
    limit = selection.thresholds[name]
    noise = 1.0 if limit.local else selection.local[name].median
    return config.detect.keep * limit.value / noise


def _impure(config: RunConfig, selection: Selection, name: str) -> Iterator[RunWarning]:
    pure = selection.catalogue["purity"][selection.catalogue["field"] == name]
    known = pure[np.isfinite(pure)]
    if not pure.size:
        return
    if not known.size:
        yield RunWarning(
            "purity_unknown",
            name,
            "It is not known how many of its sources are noise.",
            "Give two bands or more, or a field with empty sky, so that noise can be measured separately from sources.",
        )
        return
    purity = float(known.mean())
    if purity >= config.detect.purity - TOLERANCE:
        return
    expected = (1 - purity) * known.size
    mostly = "Most of the catalogue is noise" if purity < MOSTLY_NOISE else "The catalogue is impure"
    remedy = "Set detect.threshold: auto, or a higher value."
    if config.detect.threshold == "auto":
        remedy = "Check the audit's lines on noise and weights, and set a higher detect.threshold."
    yield RunWarning(
        "mostly_noise" if purity < MOSTLY_NOISE else "purity_below_target",
        name,
        f"{mostly}: {expected:.0f} of {known.size} sources are expected to be noise (purity {purity:.3f}, "
        f"target {config.detect.purity:g}).",
        remedy,
    )
