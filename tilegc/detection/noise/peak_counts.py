"""How many peaks of each signal-to-noise a map holds, cell by cell of the lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilegc.detection.shape_ratios import ShapeTables
from tilegc.detection.shapes import point_like
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
    shapes: ShapeTables | None = None
    """By which points are told among the peaks; None: shapes do not decide."""

    def peaks(self, ratio: np.ndarray, light: np.ndarray | None = None) -> None:
        """Add the peaks of one map to the table.

        Parameters
        ----------
        ratio : float32 (y, x)
            The map, in units of its noise.
        light : float32 (y, x), optional
            The pixels from which the shapes of its peaks are told.
        """
        # The block is treated as a closed field: counts are statistics, and peaks at its rim are cut off by
        # `where`.
        everywhere = (slice(0, ratio.shape[0]), slice(0, ratio.shape[1]))
        allowed = self.near & local_maxima(ratio, CLOSED) if self.maxima else self.near
        found = classify(ratio, allowed, self.floor, self.radius, CLOSED, everywhere)
        kept = settle(found.y, found.x, found.value, found.decided, self.radius)
        kept &= self.where[found.y, found.x]
        slices = np.searchsorted(np.array(SLICES, np.float32), found.value, side="right") - 1
        kinds = np.zeros(found.y.size, np.int64) if self.kinds is None else self.kinds[found.y, found.x]
        point = kept
        if self.shapes is not None and light is not None:
            some = np.flatnonzero(kept)
            point = np.zeros_like(kept)
            place = found.y[some].astype(np.int64), found.x[some].astype(np.int64)
            point[some] = point_like(found.value[some].astype(np.float64), light, *place, self.shapes)
        for number, (_, _, (rows, columns)) in enumerate(self.cells):
            inside = kept & (found.y >= rows.start) & (found.y < rows.stop)
            inside &= (found.x >= columns.start) & (found.x < columns.stop)
            for kind in range(self.table["peaks"].shape[1]):
                these = inside & (kinds == kind)
                for column, counted in (("peaks", these), ("points", these & point)):
                    self.table[column][number, kind] += np.bincount(slices[counted], minlength=len(SLICES))
