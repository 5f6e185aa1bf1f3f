"""The threshold T: as asked for, or chosen so that the catalogue is pure enough (algorithm.md, section 6.4).

`recipe: diego2026` compares peaks with one T a field; `recipe: calibrated` compares their signal-to-noise against local
noise with k. `auto` takes the lowest limit of the catalogue, keep x T, above which the purity is what is asked for
and no slice of signal-to-noise shows a regular pattern.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tilegc.config import DetectionConfig, SigmaThreshold, ValueThreshold
from tilegc.detection.noise.balance import FEWEST
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.noise_map import LocalNoise, NoiseMap
from tilegc.detection.noise.null_maps import FLOOR
from tilegc.detection.pattern import Pattern, pattern
from tilegc.detection.peaks import Candidates, at_least, candidates, find_peaks, keep
from tilegc.detection.purity import STEP, Purity, lowest_limit, purity, purity_of, zone_of
from tilegc.detection.shape_ratios import ShapeTables
from tilegc.detection.shapes import points
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.sky import ClusterFrame

if TYPE_CHECKING:
    from tilegc.detection.surroundings import Surroundings

__all__ = [
    "FALLBACK",
    "Common",
    "Selection",
    "Threshold",
    "is_local",
    "recorded",
    "select",
    "survey",
    "threshold",
    "thresholds",
]

log = logging.getLogger("tilegc")

COMPLETE = 0.95
"""Share of a field's good area, by noise, that comparisons between fields keep at least."""

ZONE_NAMES = ("deep", "usual", "shallow")

HIGHEST = 8.0
"""Highest limit of the catalogue, in signal-to-noise, that `auto` chooses: the lower edge of the last slice."""

FALLBACK = 2.5
"""k where `auto` finds no limit that is pure enough: that of the recipe."""


@dataclass(frozen=True)
class Threshold:
    """T of one field."""

    value: float
    """nJy per pixel; signal-to-noise where `local`; NaN where the field has no noise."""
    local: bool
    typical: float
    """nJy per pixel; where `local`, at the field's median noise."""
    chosen: bool = False
    """Whether `auto` found it; False also where it had to fall back."""
    by_zone: Mapping[int, float] = field(default_factory=dict)
    """Limit of the catalogue in signal-to-noise that each zone of noise would need, where `auto` looked for them."""
    missed: bool = False
    """Whether `auto` found no limit that is pure enough."""
    reason: str = "as asked for in the run file"
    """Why T is what it is, for the terminal and the report."""


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
class Common:
    """The limit above which fields are compared with one another, and where they are complete to it."""

    limit: float
    """nJy per pixel; infinite where no field has a threshold."""
    complete: Mapping[str, tuple[NoiseMap, float]]
    """By field, local noise and the highest at which keep x T is not above the limit; empty: everywhere."""

    def sources(self, catalogue: Candidates) -> Candidates:
        """Return the rows of a catalogue that count."""
        rows = catalogue["peak"] >= at_least(self.limit)
        for name, (_, ceiling) in self.complete.items():
            on = catalogue["field"] == name
            # Peaks were ranked by their ratio to the local noise, so this is that noise.
            # The catalogue has no column for the noise.
            here = (catalogue["peak"][on] / catalogue["snr"][on]).astype(np.float32)
            rows[on] &= here <= np.float64(ceiling)
        return {name: column[rows] for name, column in catalogue.items()}


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
            worst = self.local[name].quantile(COMPLETE) if one.local else 1.0
            values.append(factor * one.value * worst)
        limit = max(values, default=np.inf)
        complete = {
            name: (self.local[name].map, limit / (factor * one.value))
            for name, one in searched.items()
            if one.local
        }
        return Common(limit, complete)

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
    """
    # Peaks are found once as deep as null maps go, and judged there. T is chosen afterwards, from the result.
    found = survey(context, config, local)
    found["point"] = points(context, config.detect, found, tables)
    purities = purity(context, config.detect.exclusion_radius, found, local)
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
    values = {name: limit.value for name, limit in limits.items()}
    return Selection(
        local,
        purities,
        patterns,
        limits,
        listed,
        keep(listed, values, config.detect.keep, "snr" if ranked else "peak"),
    )


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
                result[name] = _automatic(config, name, peaks, purities[name], onsets[name], local[name])
                continue
            limit = _chosen(peaks, purities[name], config.detect.purity, onsets[name], local[name])
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
    values = {name: limit.value for name, limit in limits.items()}
    if not is_local(config):
        return find_peaks(context, config, values, local, ranked=False)
    # Only a T below the survey's own floor needs another pass.
    if any(value < FLOOR for value in values.values()):
        return find_peaks(context, config, values, local, ranked=True)
    # Brightest first: peaks above T are the same whether fainter ones are recorded after them or not.
    limit = np.array([values[name] for name in context.names])[found["field"]]
    rows = found["rank"] >= limit
    return {name: column[rows] for name, column in found.items()}


def _or_nan(k: float, noise: LocalNoise) -> float:
    return k if noise.map.known else np.nan


def _automatic(
    config: DetectionConfig, name: str, peaks: Table, purity: Purity, onset: float, noise: LocalNoise
) -> Threshold:
    """Return the lowest T at which the catalogue is pure enough in every zone of noise.

    At most `HIGHEST`: beyond it purity is not measured, and a limit that nothing tells would only lose sources.
    """
    keep, target = config.detect.keep, config.detect.purity
    if not noise.map.known:
        return Threshold(np.nan, local=True, typical=np.nan)
    # The worst zone decides: a limit that is pure on average may be impure in the deep part.
    zone = zone_of(purity, noise, peaks["y"], peaks["x"], peaks["noise"])
    snr = peaks["rank"].astype(np.float64)
    by_zone = {
        number: lowest_limit(purity.table, number, snr[(zone == number) & peaks["point"]], target, onset)
        for number in np.unique(purity.table["zone"]).tolist()
    }
    found = [limit for limit in by_zone.values() if np.isfinite(limit)]
    missed = len(found) < len(by_zone) or not found
    if missed:
        # Without null maps nothing is known of the purity, and the recipe's own limit is the honest choice.
        limit = HIGHEST if noise.counts.draws else FALLBACK * keep
        log.warning(
            "field %s: no limit up to S/N %g makes the catalogue %g pure; the limit is %g",
            name,
            HIGHEST,
            target,
            limit,
        )
    else:
        limit = max(found)
    value = limit / keep
    return Threshold(
        value,
        local=True,
        typical=value * noise.median,
        chosen=not missed,
        by_zone=by_zone,
        missed=missed,
        reason=_reason(by_zone, limit, target, onset, missed=missed),
    )


def _reason(by_zone: Mapping[int, float], limit: float, target: float, onset: float, *, missed: bool) -> str:
    """Return in words why `auto` chose a limit."""
    if missed:
        return f"no limit makes the catalogue {target:g} pure; S/N {limit:g} is the highest that is tried"
    if limit <= onset + STEP:
        return f"sources show a regular pattern up to S/N {onset:g}"
    words = f"S/N {limit:.2f} is the lowest limit at which the catalogue is {target:g} pure"
    if len(by_zone) > 1:
        zones = ", ".join(f"{ZONE_NAMES[zone]} {one:.2f}" for zone, one in sorted(by_zone.items()))
        words += f" in every zone of noise ({zones})"
    return words


def _chosen(peaks: Table, purity: Purity, target: float, onset: float, noise: LocalNoise) -> float:
    """Return the lowest limit of the catalogue, nJy per pixel, that is pure enough and above the pattern's onset.

    NaN: there is none.
    """
    pure = purity_of(purity, noise, peaks["y"], peaks["x"], peaks["rank"].astype(np.float64), peaks["noise"])
    known = np.isfinite(pure)
    by = peaks["peak"][known].astype(np.float64)
    # Brightest first: the running sum of the purities is the expected number of real sources above each limit.
    order = np.argsort(-by, kind="stable")
    by, pure = by[order], pure[known][order]
    least = onset * noise.median
    allowed = (np.cumsum(pure) >= target * np.arange(1, pure.size + 1)) & (by >= least)
    return float(by[np.flatnonzero(allowed)[-1]]) if allowed.any() else np.nan
