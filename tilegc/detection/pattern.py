"""Where detections begin to show a regular pattern: what the paper looks for by eye (Diego et al. 2026, section 3).

A pattern of the detector is common to all bands, so null maps cannot see it; the positions of the sources can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tilegc.detection.noise.local_noise import LocalNoise
from tilegc.detection.periodicity import FEWEST, Room, strongest_period
from tilegc.phases.context import Context
from tilegc.phases.partials import Table

__all__ = ["ALARM", "EDGES", "Pattern", "onset", "pattern", "slices_of"]

EDGES = (2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 8.0)
"""Signal-to-noise at which slices begin and end."""

ALARM = 1e-4
"""False-alarm probability from which a slice has a pattern: one field in a thousand without one has an onset."""


@dataclass(frozen=True)
class Pattern:
    """The pattern statistic of one field."""

    table: Table
    """Columns of `schema.PATTERN`."""
    onset: float
    """Signal-to-noise up to which there is a regular pattern; 0: there is none."""


def pattern(context: Context, found: Table, noises: Mapping[str, LocalNoise]) -> dict[str, Pattern]:
    """Search every field's peaks for a regular pattern, slice by slice of signal-to-noise.

    Parameters
    ----------
    context : Context
    found : table
        field (position), y, x and rank (signal-to-noise against local noise) of the peaks.
    noises : mapping
        With the fields' good pixels in bins.
    """
    result = {}
    for index, name in enumerate(context.names):
        rows = found["field"] == index
        table = slices_of(name, found["y"][rows], found["x"][rows], found["rank"][rows], noises[name].bins)
        result[name] = Pattern(table, onset(table))
    return result


def slices_of(name: str, y: np.ndarray, x: np.ndarray, snr: np.ndarray, good: np.ndarray) -> Table:
    """Return the strongest periodicity of every slice: columns of `schema.PATTERN`.

    Parameters
    ----------
    name : str
        Of the field.
    y, x : (n,) int
        Pixels of the sources.
    snr : (n,) float
    good : (ny, nx) uint8
        Good pixels in bins of `periodicity.BIN` pixels.
    """
    n = len(EDGES) - 1
    columns = {key: np.full(n, np.nan) for key in ("period", "angle", "power", "false_alarm")}
    counts = np.zeros(n, np.int64)
    room = Room.of(good)
    for k in range(n):
        rows = (snr >= EDGES[k]) & (snr < EDGES[k + 1])
        counts[k] = rows.sum()
        # A slice with fewer sources keeps NaN: a transform of a handful of positions has peaks everywhere.
        if counts[k] >= FEWEST:
            strongest = strongest_period(y[rows], x[rows], room)
            for key, column in columns.items():
                column[k] = getattr(strongest, key)
    return {
        "field": np.full(n, name, dtype=object),
        "snr_lo": np.array(EDGES[:-1]),
        "snr_hi": np.array(EDGES[1:]),
        "n_found": counts,
        **columns,
    }


def onset(table: Table) -> float:
    """Return the upper edge of the highest slice with a pattern; 0 where no slice has one."""
    with np.errstate(invalid="ignore"):
        regular = table["false_alarm"] < ALARM
    return float(table["snr_hi"][regular].max()) if regular.any() else 0.0
