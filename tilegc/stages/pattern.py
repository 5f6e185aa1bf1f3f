"""Where detections begin to show a regular pattern: what the paper looks for by eye (Diego et al. 2026, section 3).

A pattern of the detector is common to all bands, so null maps cannot see it; the positions of the sources can.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tilegc.engine import Call, Shared, bounded, together
from tilegc.kernels.periodicity import FEWEST, Periodicity, Room, strongest_period
from tilegc.stages.local_noise import LocalNoise
from tilegc.stages.partials import Table
from tilegc.stages.setup import Setup

__all__ = ["ALARM", "EDGES", "Pattern", "as_table", "onset", "pattern", "slices"]

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


def pattern(setup: Setup, found: Table, noises: Mapping[str, LocalNoise]) -> dict[str, Pattern]:
    """Search every field's peaks for a regular pattern, slice by slice of signal-to-noise.

    Parameters
    ----------
    setup : Setup
    found : table
        field (position), y, x and rank (signal-to-noise against local noise) of the peaks.
    noises : mapping
        With the fields' good pixels in bins.
    """
    rooms = {name: Room.of(noises[name].bins) for name in setup.names}
    samples = {}
    for index, name in enumerate(setup.names):
        rows = found["field"] == index
        samples[name] = slices(found["y"][rows], found["x"][rows], found["rank"][rows])
    calls = {
        f"{name}/{k}": Call(strongest_period, y, x, Shared(name))
        for name in setup.names
        for k, (y, x) in enumerate(samples[name])
        if y.size >= FEWEST
    }
    engine = bounded(setup.near, sum(room.nbytes for room in rooms.values()))
    strongest = together(engine, "pattern", calls, rooms)
    tables = {
        name: as_table(name, samples[name], [strongest.get(f"{name}/{k}") for k in range(len(samples[name]))])
        for name in setup.names
    }
    return {name: Pattern(table, onset(table)) for name, table in tables.items()}


def slices(y: np.ndarray, x: np.ndarray, snr: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pixels y, x of the sources of every slice of signal-to-noise."""
    chosen = [(snr >= low) & (snr < high) for low, high in itertools.pairwise(EDGES)]
    return [(y[rows], x[rows]) for rows in chosen]


def as_table(
    name: str, samples: Sequence[tuple[np.ndarray, np.ndarray]], strongest: Sequence[Periodicity | None]
) -> Table:
    """Return the strongest periodicity of every slice of a field, None where it was not sought: `schema.PATTERN`."""
    n = len(samples)
    columns = {
        key: np.array([np.nan if one is None else getattr(one, key) for one in strongest])
        for key in ("period", "angle", "power", "false_alarm")
    }
    return {
        "field": np.full(n, name, dtype=object), "snr_lo": np.array(EDGES[:-1]), "snr_hi": np.array(EDGES[1:]),
        "n_found": np.array([y.size for y, _ in samples], np.int64), **columns,
    }  # fmt: skip


def onset(table: Table) -> float:
    """Return the upper edge of the highest slice with a pattern; 0 where no slice has one."""
    with np.errstate(invalid="ignore"):
        regular = table["false_alarm"] < ALARM
    return float(table["snr_hi"][regular].max()) if regular.any() else 0.0
