"""How many peaks of each signal-to-noise a map holds, cell by cell of the lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilegc.geometry import Tile
from tilegc.kernels.peaks import classify, local_maxima, settle
from tilegc.phases.partials import Table

__all__ = ["CLOSED", "FLOOR", "SLICES", "PeakCounts"]

FLOOR = 2.5
"""Signal-to-noise from which peaks are counted."""

SLICES = tuple(FLOOR + 0.25 * k for k in range(23))
"""Lower edges of the slices in signal-to-noise; the last one, from 8, is open."""

CLOSED = (False, False, False, False)


@dataclass(frozen=True)
class PeakCounts:
    """Counts peaks of maps of signal-to-noise into the slices of their cells."""

    tile: Tile
    cells: list[tuple[int, int, tuple[slice, slice]]]
    near: np.ndarray
    """Where peaks are looked for, bool (y, x)."""
    where: np.ndarray
    """Where they are counted, bool (y, x)."""
    kinds: np.ndarray | None
    """Class of every pixel; None: there is one."""
    table: Table
    radius: float
    floor: float
    maxima: bool
    """Whether only local maxima are peaks, as among the sources themselves."""

    def peaks(self, ratio: np.ndarray) -> None:
        """Add the peaks of one map to the table."""
        # The block is treated as a closed field: counts are statistics, and peaks at its rim are cut off by
        # `where`.
        everywhere = (slice(0, ratio.shape[0]), slice(0, ratio.shape[1]))
        allowed = self.near & local_maxima(ratio, CLOSED) if self.maxima else self.near
        found = classify(ratio, allowed, self.floor, self.radius, CLOSED, everywhere)
        kept = settle(found.y, found.x, found.value, found.decided, self.radius)
        kept &= self.where[found.y, found.x]
        slices = np.searchsorted(np.array(SLICES, np.float32), found.value, side="right") - 1
        kinds = np.zeros(found.y.size, np.int64) if self.kinds is None else self.kinds[found.y, found.x]
        for number, (_, _, (rows, columns)) in enumerate(self.cells):
            inside = kept & (found.y >= rows.start) & (found.y < rows.stop)
            inside &= (found.x >= columns.start) & (found.x < columns.stop)
            for kind in range(self.table["peaks"].shape[1]):
                these = slices[inside & (kinds == kind)]
                self.table["peaks"][number, kind] += np.bincount(these, minlength=len(SLICES))
