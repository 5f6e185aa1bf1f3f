"""The threshold T: as asked for, or chosen so that the catalogue is pure enough (algorithm.md, section 6.4).

`recipe: diego2026` compares peaks with one T a field; `recipe: calibrated` compares their signal-to-noise against local
noise with k. `auto` takes the lowest limit of the catalogue, keep x T, above which the purity is what is asked for
and no slice of signal-to-noise shows a regular pattern.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tilegc.config import DetectionConfig, SigmaThreshold, ValueThreshold
from tilegc.detection.automatic import FALLBACK, automatic, limit_in_flux
from tilegc.detection.limits import Common, Threshold
from tilegc.detection.noise.balance import FEWEST
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.noise_map import LocalNoise, NoiseMap
from tilegc.detection.noise.null_maps import FLOOR
from tilegc.detection.pattern import Pattern, pattern
from tilegc.detection.peaks import Candidates, candidates, find_peaks
from tilegc.detection.purity import Purity, purity
from tilegc.detection.shape_ratios import ShapeTables
from tilegc.detection.shapes import points
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.sky import ClusterFrame

if TYPE_CHECKING:
    from tilegc.detection.surroundings import Surroundings

__all__ = [
    "Selection",
    "is_local",
    "keep",
    "recorded",
    "select",
    "survey",
    "threshold",
    "thresholds",
]

log = logging.getLogger("tilegc")

COMPLETE = 0.95
"""Share of a field's good area, by noise, that comparisons between fields keep at least."""


def is_local(config: DetectionConfig) -> bool:
    """Whether peaks are found, and compared with T, in signal-to-noise against local noise."""
    return config.local_threshold


def threshold(config: DetectionConfig, noise: Noise) -> float:
    """Return T against global noise, nJy per pixel; NaN where there is no noise to be a multiple of."""
    asked = config.detect.threshold
    if isinstance(asked, ValueThreshold):
        return asked.value
    return (asked.sigma if isinstance(asked, SigmaThreshold) else FALLBACK) * noise.positive


@dataclass(frozen=True)
class Selection:
    """What was detected, and how it was decided."""

    local: Mapping[str, LocalNoise]
    purities: Mapping[str, Purity]
    patterns: Mapping[str, Pattern]
    thresholds: Mapping[str, Threshold]
    candidates: Candidates
    catalogue: Candidates
    surroundings: Mapping[str, Surroundings] = field(default_factory=dict)
    """By field, what rims of masks and unresolved sources do to it; empty with `recipe: diego2026`."""

    @property
    def typical(self) -> dict[str, float]:
        """T of each field, nJy per pixel; where it is against local noise, at the field's median noise."""
        return {name: limit.typical for name, limit in self.thresholds.items()}

    def common(self, factor: float) -> Common:
        """Return the limit of all fields together, `factor` being keep.

        The largest keep x T; against local noise, that of the noise below which `COMPLETE` of a field's area lies,
        and what is noisier is left out of comparisons (algorithm.md, section 10).
        """
        searched = {name: one for name, one in self.thresholds.items() if np.isfinite(one.value)}
        values = []
        for name, one in searched.items():
            worst = self.local[name].quantile(COMPLETE, one.steps) if one.local else 1.0
            values.append(factor * one.value * worst)
        limit = max(values, default=np.inf)
        complete = {
            name: (self.limiting(name), limit / (factor * one.value))
            for name, one in searched.items()
            if one.local
        }
        return Common(limit, complete)

    def limiting(self, name: str) -> NoiseMap:
        """Return the noise of a field that times one limit is the limit everywhere: with the ratios of its zones."""
        return replace(self.local[name].map, steps=self.thresholds[name].steps)

    def notes(self, name: str) -> list[str]:
        """Return what a reader of the results should know of one field."""
        notes = []
        noise, onset = self.local[name], self.patterns[name].onset
        if noise.good.any():
            if not noise.balance.patterns:
                notes.append(
                    "one band: no null map; purity is that of the flipped map, known from signal-to-noise "
                    f"{noise.counts.floor:g}"
                )
            elif not noise.counts.draws:
                notes.append("too few pixels for null maps: purity is not known")
            elif noise.balance.sources < FEWEST:
                notes.append(
                    f"{noise.balance.sources} isolated sources: the bands of null maps are not balanced"
                )
        if onset:
            notes.append(f"the sources' positions have a regular pattern up to signal-to-noise {onset:g}")
        return notes


def select(
    context: Context,
    config: DetectionConfig,
    noises: Mapping[str, Noise],
    local: Mapping[str, LocalNoise],
    tables: Mapping[str, ShapeTables],
    frame: ClusterFrame | None,
    responses: Mapping[str, np.ndarray] | None = None,
) -> Selection:
    """Find all peaks, judge them, choose T, and return candidates (>= T) and catalogue (>= keep x T).

    Parameters
    ----------
    context : Context
    config : DetectionConfig
    noises, local : mapping
        Noise of every field, global and local.
    tables : mapping
        `shapes.field_tables`: the purity of a catalogue of points is that of the points among the peaks.
    frame : ClusterFrame or None
        None: the distances from the centre are NaN.
    responses : mapping, optional
        `point_response` of every field that is filtered with the PSFs of its bands.
    """
    # Peaks are found once as deep as null maps go, and judged there. T is chosen afterwards, from the result.
    found = survey(context, config, local)
    found["point"] = points(context, config.detect, found, tables)
    purities = purity(context, config.detect.exclusion_radius, found, local, responses)
    patterns = pattern(context, found, local)
    limits = thresholds(
        context, config, noises, local, found, purities, {name: one.onset for name, one in patterns.items()}
    )
    ranked = is_local(config)
    listed = candidates(
        context,
        recorded(context, config, limits, local, found),
        noises,
        local,
        purities,
        frame,
        ranked=ranked,
    )
    return Selection(
        local,
        purities,
        patterns,
        limits,
        listed,
        keep(listed, limits, config.detect.keep),
    )


def keep(found: Candidates, limits: Mapping[str, Threshold], factor: float) -> Candidates:
    """Return the rows of candidates at or above `factor` x T of their field and zone: the catalogue."""
    rows = np.zeros(found["peak"].size, bool)
    for name, limit in limits.items():
        on = np.flatnonzero(found["field"] == name)
        peak, snr = found["peak"][on], found["snr"][on]
        by, noise = (snr, peak / snr) if limit.local else (peak, peak)
        rows[on] = by.astype(np.float32) >= limit.lowest(noise, factor)
    return {name: column[rows] for name, column in found.items()}


def survey(context: Context, config: DetectionConfig, local: Mapping[str, LocalNoise]) -> Table:
    """Return all peaks from signal-to-noise `FLOOR` on, which is as low as null maps are counted; all as points."""
    limits = {name: _or_nan(FLOOR, local[name]) for name in context.names}
    found = find_peaks(context, config, limits, local, ranked=True)
    return {**found, "point": np.ones(found["y"].size, bool)}


def thresholds(
    context: Context,
    config: DetectionConfig,
    noises: Mapping[str, Noise],
    local: Mapping[str, LocalNoise],
    found: Table,
    purities: Mapping[str, Purity],
    onsets: Mapping[str, float],
) -> dict[str, Threshold]:
    """Return T of every field.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
    noises, local, purities : mapping
        By field.
    found : table
        Of `survey`.
    onsets : mapping
        Signal-to-noise up to which a field's sources have a regular pattern; 0: none has.
    """
    here = is_local(config)
    asked = config.detect.threshold
    result = {}
    for index, name in enumerate(context.names):
        if asked == "auto":
            rows = found["field"] == index
            peaks = {key: column[rows] for key, column in found.items()}
            if here:
                result[name] = automatic(
                    config.detect, name, peaks, purities[name], onsets[name], local[name]
                )
                continue
            limit = limit_in_flux(peaks, purities[name], config.detect.purity, onsets[name], local[name])
            if np.isfinite(limit):
                value = limit / config.detect.keep
                result[name] = Threshold(value, local=False, typical=value, chosen=True)
                continue
            log.warning(
                "field %s: no limit reaches a purity of %g; T is %g sigma",
                name,
                config.detect.purity,
                FALLBACK,
            )
        if here:
            k = asked.sigma if isinstance(asked, SigmaThreshold) else FALLBACK
            k = _or_nan(k, local[name])
            result[name] = Threshold(k, local=True, typical=k * local[name].median)
        else:
            value = threshold(config, noises[name])
            result[name] = Threshold(value, local=False, typical=value, missed=asked == "auto")
    return result


def recorded(
    context: Context,
    config: DetectionConfig,
    limits: Mapping[str, Threshold],
    local: Mapping[str, LocalNoise],
    found: Table,
) -> Table:
    """Return the peaks from T on, as `find_peaks` does; `found` are those of `survey`."""
    if not is_local(config):
        values = {name: limit.value for name, limit in limits.items()}
        return find_peaks(context, config, values, local, ranked=False)
    values = {name: limit.least for name, limit in limits.items()}
    # Only a T below the survey's own floor needs another pass.
    if any(value < FLOOR for value in values.values()):
        found = find_peaks(context, config, values, local, ranked=True)
    # Brightest first: peaks above T are the same whether fainter ones are recorded after them or not.
    rows = np.zeros(found["rank"].size, bool)
    for index, name in enumerate(context.names):
        on = np.flatnonzero(found["field"] == index)
        rows[on] = found["rank"][on] >= limits[name].lowest(found["noise"][on])
    return {name: column[rows] for name, column in found.items()}


def _or_nan(k: float, noise: LocalNoise) -> float:
    return k if noise.map.known else np.nan
