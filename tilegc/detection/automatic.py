"""The limits that `threshold: auto` chooses (algorithm.md, section 6.4).

Zones of noise have limits of their own: the deep part of a mosaic holds more sources on an area than the shallow part,
while noise makes as many false ones, so the same purity is reached at a lower signal-to-noise.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import numpy as np

from tilegc.config import Detect
from tilegc.detection.limits import Threshold
from tilegc.detection.noise.local_noise import ZONES, LocalNoise
from tilegc.detection.noise.noise_map import Steps
from tilegc.detection.purity import Purity, purity_of, zone_of
from tilegc.phases.partials import Table

__all__ = ["FALLBACK", "HIGHEST", "ZONE_NAMES", "automatic", "limit_in_flux", "lowest_limit"]

log = logging.getLogger("tilegc")

ZONE_NAMES = ("deep", "usual", "shallow")
USUAL = 1

HIGHEST = 8.0
"""Highest limit of the catalogue, in signal-to-noise, that `auto` chooses: the lower edge of the last slice."""

FALLBACK = 2.5
"""k where `auto` finds no limit that is pure enough: that of the recipe."""


STEP = 0.01
"""Step in signal-to-noise in which a limit is looked for."""

SLACK = 0.2
"""Peaks of noise that a zone may always have: one in five fields with few sources has one."""

TINY = 1e-9


def automatic(
    detect: Detect, name: str, peaks: Table, purity: Purity, onset: float, noise: LocalNoise
) -> Threshold:
    """Return the lowest T of each zone of noise at which the zone's sources are pure enough.

    At most `HIGHEST`: beyond it purity is not measured, and a limit that nothing tells would only lose sources.

    Parameters
    ----------
    detect : Detect
        The section of the run file.
    name : str
        Of the field.
    peaks : table
        All peaks of the field: y, x, rank (signal-to-noise), noise and point.
    purity : Purity
    onset : float
        Signal-to-noise up to which the sources have a regular pattern.
    noise : LocalNoise
    """
    keep, target = detect.keep, detect.purity
    if not noise.map.known:
        return Threshold(np.nan, local=True, typical=np.nan)
    zone = zone_of(purity, noise, peaks["y"], peaks["x"], peaks["noise"])
    snr = peaks["rank"].astype(np.float64)
    by_zone = {
        number: lowest_limit(purity.table, number, snr[(zone == number) & peaks["point"]], target, onset)
        for number in np.unique(purity.table["zone"]).tolist()
    }
    # Without null maps nothing is known of the purity, and the recipe's own limit is the honest choice.
    fallen = HIGHEST if noise.counts.draws else FALLBACK * keep
    missed = [zone for zone, limit in by_zone.items() if not np.isfinite(limit)]
    if missed or not by_zone:
        log.warning(
            "field %s: no limit up to S/N %g makes the catalogue %g pure%s; the limit is %g",
            name,
            HIGHEST,
            target,
            _in(missed, by_zone),
            fallen,
        )
    by_zone.update(dict.fromkeys(missed, fallen))
    value, steps = _steps(by_zone, fallen, noise.median)
    return Threshold(
        value / keep,
        local=True,
        typical=value / keep * noise.median,
        chosen=bool(by_zone) and not missed,
        by_zone=by_zone,
        steps=steps,
        missed=bool(missed) or not by_zone,
        reason=_reason(by_zone, missed, target, onset),
    )


def _steps(by_zone: Mapping[int, float], fallen: float, median: float) -> tuple[float, Steps | None]:
    """Return the limit of the usual zone, and the ratios of the others to it where there are several."""
    if not by_zone:
        return fallen, None
    # Zones of little area count as the usual one (`purity.LEAST`), which holds the median noise.
    value = by_zone.get(USUAL, max(by_zone.values()))
    if len(set(by_zone.values())) == 1:
        return value, None
    deep, usual, shallow = (by_zone.get(zone, value) / value for zone in range(len(ZONE_NAMES)))
    return value, Steps((ZONES[0] * median, ZONES[1] * median), (deep, usual, shallow))


def _in(zones: Collection[int], by_zone: Mapping[int, float]) -> str:
    """Return where in words; nothing where it is everywhere."""
    if len(zones) == len(by_zone):
        return ""
    return " in the " + " and the ".join(ZONE_NAMES[zone] for zone in zones) + " part"


def _reason(by_zone: Mapping[int, float], missed: Collection[int], target: float, onset: float) -> str:
    """Return in words why `auto` chose its limits."""
    zones = ", ".join(f"{ZONE_NAMES[zone]} {limit:.2f}" for zone, limit in sorted(by_zone.items()))
    limit = f"S/N {max(by_zone.values(), default=HIGHEST):.2f}"
    if missed or not by_zone:
        words = f"no limit makes the catalogue {target:g} pure{_in(missed, by_zone)}; "
        return words + (f"{limit} is the highest that is tried" if len(by_zone) < 2 else f"limits: {zones}")
    if max(by_zone.values()) <= onset + STEP:
        return f"sources show a regular pattern up to S/N {onset:g}"
    if len(by_zone) == 1:
        return f"{limit} is the lowest limit at which the catalogue is {target:g} pure"
    return f"the lowest limits at which the catalogue is {target:g} pure in each zone of noise: S/N {zones}"


def limit_in_flux(peaks: Table, purity: Purity, target: float, onset: float, noise: LocalNoise) -> float:
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


def lowest_limit(table: Table, zone: int, snr: np.ndarray, target: float, least: float) -> float:
    """Return the lowest limit in signal-to-noise above which a zone's sources are pure enough; NaN: there is none.

    Parameters
    ----------
    table : table
        Columns of `schema.PURITY`.
    zone : int
    snr : (n,) float
        Of the zone's sources.
    target : float
        Purity.
    least : float
        Lowest limit that may be chosen.
    """
    rows = table["zone"] == zone
    # Slices below the floor of the null maps hold NaN: no limit may lie among them.
    noisy = table["n_noise"][rows]
    if not np.isfinite(noisy[-1]):
        return np.nan
    known = np.isfinite(noisy)
    edges = table["snr_lo"][rows][known]
    above = np.cumsum(noisy[known][::-1])[::-1]
    grid = np.arange(round(edges[0] / STEP), round(edges[-1] / STEP) + 1) * STEP
    # Noise falls like a Gaussian's tail: between edges its logarithm is all but straight.
    expected = np.exp(np.interp(grid, edges, np.log(np.maximum(above, TINY))))
    found = snr.size - np.searchsorted(np.sort(snr), grid, side="left")
    # From above down to the first limit that is not pure enough would stop at a statistical fluctuation of a few
    # sources; the lowest allowed limit is taken instead, and `SLACK` keeps fields with a handful of sources from
    # failing on one.
    allowed = (expected <= np.maximum((1 - target) * found, SLACK)) & (grid >= least)
    return float(grid[np.flatnonzero(allowed)[0]]) if allowed.any() else np.nan
