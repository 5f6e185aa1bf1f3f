"""The threshold T: as asked for, or chosen so that the catalogue is pure enough (algorithm.md, section 6.4).

`recipe: diego2026` compares peaks with one T a field; `recipe: calibrated` compares their signal-to-noise against local
noise with k. `auto` takes the lowest limit of the catalogue, keep x T, above which the purity is what is asked for
and no slice of signal-to-noise shows a regular pattern.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilegc.config import RunConfig, SigmaThreshold, ValueThreshold
from tilegc.detection.noise.balance import FEWEST
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.local_noise import LocalNoise, weighted_quantile
from tilegc.detection.noise.null_maps import FLOOR
from tilegc.detection.pattern import Pattern, pattern
from tilegc.detection.peaks import Candidates, at_least, candidates, find_peaks, keep
from tilegc.detection.purity import Purity, purity, purity_of
from tilegc.kernels.lattice import bilinear_at
from tilegc.phases.partials import Table
from tilegc.phases.setup import Setup

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


def is_local(config: RunConfig) -> bool:
    """Whether peaks are found, and compared with T, in signal-to-noise against local noise."""
    return config.local_threshold


def threshold(config: RunConfig, noise: Noise) -> float:
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
    complete: Mapping[str, tuple[np.ndarray, float]]
    """By field, local noise and the highest at which keep x T is not above the limit; empty: everywhere."""

    def sources(self, catalogue: Candidates) -> Candidates:
        """Return the rows of a catalogue that count."""
        rows = catalogue["peak"] >= at_least(self.limit)
        for name, (noise, ceiling) in self.complete.items():
            on = catalogue["field"] == name
            here = bilinear_at(noise, catalogue["y_peak"][on], catalogue["x_peak"][on])
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
            noise, good = self.local[name].values, self.local[name].counts.good
            worst = weighted_quantile(noise[good > 0], good[good > 0], COMPLETE) if one.local else 1.0
            values.append(factor * one.value * worst)
        limit = max(values, default=np.inf)
        complete = {
            name: (self.local[name].values, limit / (factor * one.value))
            for name, one in searched.items()
            if one.local
        }
        return Common(limit, complete)

    def notes(self, name: str) -> list[str]:
        """Return what a reader of the results should know of one field."""
        notes = []
        noise, onset = self.local[name], self.patterns[name].onset
        if noise.counts.good.any():
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


def select(setup: Setup, noises: Mapping[str, Noise], local: Mapping[str, LocalNoise]) -> Selection:
    """Find all peaks, judge them, choose T, and return candidates (>= T) and catalogue (>= keep x T)."""
    config = setup.config
    found = survey(setup, local)
    purities = purity(setup, found, local)
    patterns = pattern(setup, found, local)
    limits = thresholds(
        setup, noises, local, found, purities, {name: one.onset for name, one in patterns.items()}
    )
    ranked = is_local(config)
    listed = candidates(setup, recorded(setup, limits, local, found), noises, local, purities, ranked=ranked)
    values = {name: limit.value for name, limit in limits.items()}
    return Selection(
        local, purities, patterns, limits, listed,
        keep(listed, values, config.detect.keep, "snr" if ranked else "peak"),
    )  # fmt: skip


def survey(setup: Setup, local: Mapping[str, LocalNoise]) -> Table:
    """Return all peaks from signal-to-noise `FLOOR` on, which is as low as null maps are counted."""
    return find_peaks(setup, {name: _or_nan(FLOOR, local[name]) for name in setup.names}, local)


def thresholds(
    setup: Setup,
    noises: Mapping[str, Noise],
    local: Mapping[str, LocalNoise],
    found: Table,
    purities: Mapping[str, Purity],
    onsets: Mapping[str, float],
) -> dict[str, Threshold]:
    """Return T of every field.

    Parameters
    ----------
    setup : Setup
    noises, local, purities : mapping
        By field.
    found : table
        Of `survey`.
    onsets : mapping
        Signal-to-noise up to which a field's sources have a regular pattern; 0: none has.
    """
    config = setup.config
    here = is_local(config)
    asked = config.detect.threshold
    result = {}
    for index, name in enumerate(setup.names):
        if asked == "auto":
            rows = found["field"] == index
            peaks = {key: column[rows] for key, column in found.items()}
            limit = _chosen(
                peaks, purities[name], config.detect.purity, onsets[name], local[name], local_limit=here
            )
            if np.isfinite(limit):
                value = limit / config.detect.keep
                result[name] = Threshold(
                    value, here, value * local[name].median if here else value, chosen=True
                )
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
            result[name] = Threshold(value, local=False, typical=value)
    return result


def recorded(
    setup: Setup, limits: Mapping[str, Threshold], local: Mapping[str, LocalNoise], found: Table
) -> Table:
    """Return the peaks from T on, as `find_peaks` does; `found` are those of `survey`."""
    values = {name: limit.value for name, limit in limits.items()}
    if not is_local(setup.config):
        return find_peaks(setup, values)
    if any(value < FLOOR for value in values.values()):
        return find_peaks(setup, values, local)
    # Brightest first: peaks above T are the same whether fainter ones are recorded after them or not.
    limit = np.array([values[name] for name in setup.names])[found["field"]]
    rows = found["rank"] >= limit
    return {name: column[rows] for name, column in found.items()}


def _or_nan(k: float, noise: LocalNoise) -> float:
    return k if np.isfinite(noise.values).all() else np.nan


def _chosen(
    peaks: Table, purity: Purity, target: float, onset: float, noise: LocalNoise, *, local_limit: bool
) -> float:
    """Return the lowest limit of the catalogue that is pure enough and above the pattern's onset; NaN: none.

    In signal-to-noise, or in nJy per pixel where T is global.
    """
    pure = purity_of(purity, peaks["y"], peaks["x"], peaks["rank"].astype(np.float64))
    known = np.isfinite(pure)
    by = peaks["rank" if local_limit else "peak"][known].astype(np.float64)
    order = np.argsort(-by, kind="stable")
    by, pure = by[order], pure[known][order]
    least = onset if local_limit else onset * noise.median
    allowed = (np.cumsum(pure) >= target * np.arange(1, pure.size + 1)) & (by >= least)
    return float(by[np.flatnonzero(allowed)[-1]]) if allowed.any() else np.nan
