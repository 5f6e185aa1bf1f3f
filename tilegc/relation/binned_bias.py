"""Bias of the binned fit: counts simulated from the law of the likelihood, fitted in bins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.boxes import Boxes, binned_law
from tilegc.relation.counts import Law
from tilegc.relation.floors import FLAT, Floor
from tilegc.relation.sky_counts import gathered
from tilegc.skygrid.cells import SkyCells

__all__ = ["BinnedBias", "binned_bias"]

Floats = NDArray[np.float64]

MOCKS: Final = 200
SEED: Final = 20260214


@dataclass(frozen=True)
class BinnedBias:
    """Result of the binned fit on counts simulated from the fitted law."""

    index: float
    """True index, 1 / c."""
    index_mean: float
    """Mean index of the binned fits."""
    index_std: float
    """Standard deviation of the index."""
    mocks: int


def binned_bias(
    cells: SkyCells,
    side: float,
    law: Law,
    found: Boxes,
    recovery: Floats | None = None,
    light: Floats | None = None,
    floor: Floor = FLAT,
) -> BinnedBias | None:
    """Simulate counts from the law in the boxes of the binned fit, and fit them in the same way.

    The boxes contain recorded sources, so those hidden by crowding are missing from the simulated counts, too. Return
    None if no simulated sky could be fitted.
    """
    area = cells.good_area.sum(axis=0)
    use = cells.kept & np.isfinite(cells.kappa)
    data = gathered(cells, side, cells.kappa, area, np.zeros(area.shape), use, light, floor)
    place = {
        pair: number for number, pair in enumerate(zip(data.row.tolist(), data.column.tolist(), strict=True))
    }
    rows = np.floor(found.eta / side).astype(np.int64).tolist()
    columns = np.floor(found.xi / side).astype(np.int64).tolist()
    at = np.array([place[pair] for pair in zip(rows, columns, strict=True)], np.int64)
    # Cells of a box without kappa are assumed to be like its other cells.
    recorded = data
    if recovery is not None:
        share = np.where(np.isfinite(recovery), recovery, 1.0)
        recorded = gathered(cells, side, cells.kappa, area * share, np.zeros(area.shape), use, light, floor)
    mu = np.maximum((recorded.expected(law) / data.box_area)[at], 0.0) * found.area
    draws = np.random.Generator(np.random.PCG64(SEED))
    indices = []
    for _ in range(MOCKS):
        mean = mu * draws.gamma(1.0 / law.dispersion, law.dispersion, mu.size) if law.dispersion else mu
        index = binned_law(replace(found, count=draws.poisson(mean)))[1]
        if np.isfinite(index):
            indices.append(index)
    if len(indices) < 2:
        return None
    return BinnedBias(1.0 / law.c, float(np.mean(indices)), float(np.std(indices, ddof=1)), len(indices))
