"""n and rho against kappa, in boxes (Diego et al. 2026, eqs. 2-4; algorithm.md, sections 10 and 11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tilegc.kernels.correlation import pearson
from tilegc.kernels.ranks import ranks
from tilegc.relation.kernel_maps import varies
from tilegc.skygrid.cells import SkyCells

__all__ = ["Boxes", "Comparison", "Relation", "binned_law", "boxes", "compare", "fit", "index_difference"]

BOX_FILLED = 0.8
"""Minimum fraction of good area of a box."""

BINS = 15
BIN_FILLED = 5
"""Minimum number of boxes for a bin to enter the fit."""

ON_EDGE = 1e-9
"""Tolerance, in bins, within which a box below an edge counts as lying on it."""

RESAMPLES = 200
RESAMPLE_SEED = 20260212


@dataclass(frozen=True)
class Boxes:
    """Boxes with sufficient good area and a kappa; 1-D arrays of equal length."""

    xi: np.ndarray
    """Centre in arcsec east of the cluster centre."""
    eta: np.ndarray
    """Centre in arcsec north of the cluster centre."""
    area: np.ndarray
    """Good area in arcsec^2."""
    count: np.ndarray
    """Number of sources."""
    kappa: np.ndarray
    """Mean kappa of the cells in the box."""

    @property
    def n(self) -> np.ndarray:
        """Sources per arcsec^2."""
        density: np.ndarray = self.count / self.area
        return density


@dataclass(frozen=True)
class Relation:
    """kappa = amplitude x n^index at the reference source redshift, from binned boxes; NaN if there is no fit."""

    amplitude: float
    amplitude_err: float
    index: float
    index_err: float
    bins: dict[str, np.ndarray]
    """Columns of `schema.RELATION`; row -1 contains the boxes without a source."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of kappa with rho, cell by cell; NaN if there is nothing to compare."""

    beta: float
    """sum(kappa rho) / sum(rho^2), arcsec^alpha."""
    residual_rms: float
    """Root mean square of kappa - beta rho."""
    pearson: float
    spearman: float


def boxes(cells: SkyCells, side: float, count: np.ndarray | None = None) -> Boxes:
    """Gather cells into boxes of `side` arcsec, with edges at integer multiples of `side` from the centre.

    Parameters
    ----------
    cells : SkyCells
        The sky grid; it extends over an integer number of boxes.
    side : float
        Side of the boxes in arcsec.
    count : int64 (eta, xi), optional
        Sources per cell; by default those of the catalogue.
    """
    cells_a_side = round(side / cells.grid.pixel)
    kept = cells.kept
    sources = cells.n_gc.sum(axis=0) if count is None else count
    with_kappa = kept & np.isfinite(cells.kappa)

    def gather(values: np.ndarray) -> np.ndarray:
        rows, columns = values.shape[0] // cells_a_side, values.shape[1] // cells_a_side
        gathered: np.ndarray = values.reshape(rows, cells_a_side, columns, cells_a_side).sum(axis=(1, 3))
        return gathered

    area = gather(np.where(kept, cells.good_area.sum(axis=0), 0.0))
    number = gather(np.where(kept, sources, 0))
    weight = gather(with_kappa.astype(np.float64))
    with np.errstate(invalid="ignore"):
        kappa = gather(np.where(with_kappa, cells.kappa, 0.0)) / weight
    use = (area >= BOX_FILLED * side**2) & (weight > 0)
    row, column = np.nonzero(use)
    return Boxes(
        (cells.i0 // cells_a_side + column + 0.5) * side,
        (cells.j0 // cells_a_side + row + 0.5) * side,
        area[use],
        number[use],
        kappa[use],
    )


def fit(found: Boxes) -> Relation:
    """Bin the boxes in log n, and fit log kappa = log A + b log n to the bins by unweighted least squares.

    The errors are standard deviations over resamples of the boxes.
    """
    filled = found.count > 0
    n, kappa = found.n[filled], found.kappa[filled]
    edges = _edges(n)
    rows = _bin(n, kappa, edges)
    amplitude, index = _line(rows)
    picks = _resamples(n.size) if np.isfinite(index) else ()
    amplitude_err, index_err = _spread([_line(_bin(n[pick], kappa[pick], edges)) for pick in picks])
    none = found.kappa[~filled]
    first = {
        "bin": np.array([-1]),
        "n_lo": np.zeros(1),
        "n_hi": np.zeros(1),
        "n_boxes": np.array([none.size]),
        "n_mean": np.zeros(1),
        "kappa_mean": np.array([none.mean() if none.size else np.nan]),
        "kappa_std": np.array([none.std() if none.size else np.nan]),
    }
    bins = {name: np.concatenate([first[name], rows[name]]) for name in first}
    return Relation(amplitude, amplitude_err, index, index_err, bins)


def binned_law(found: Boxes) -> tuple[float, float]:
    """Return A and b as in `fit`, without errors; NaN if there is no fit."""
    filled = found.count > 0
    n = found.n[filled]
    return _line(_bin(n, found.kappa[filled], _edges(n)))


def index_difference(a: Boxes, b: Boxes) -> tuple[float, float]:
    """Return the difference between the indices from two sets of counts in the same boxes, and its error.

    Both are fitted to the same resamples of the boxes, so that common fluctuations do not contribute to the error.
    """
    limits = [_edges(one.n[one.count > 0]) for one in (a, b)]

    def difference(pick: np.ndarray) -> float:
        index = []
        for one, edges in zip((a, b), limits, strict=True):
            rows = pick[one.count[pick] > 0]
            index.append(_line(_bin(one.n[rows], one.kappa[rows], edges))[1])
        return index[0] - index[1]

    there = difference(np.arange(a.count.size))
    picks = _resamples(a.count.size) if np.isfinite(there) else ()
    return there, _spread([(0.0, difference(pick)) for pick in picks])[1]


def _edges(n: np.ndarray) -> np.ndarray:
    """Return the edges of bins of equal width in log n."""
    return np.geomspace(n.min(), n.max(), BINS + 1) if n.size and n.max() > n.min() else np.zeros(0)


def _resamples(size: int) -> Iterator[np.ndarray]:
    draws = np.random.Generator(np.random.PCG64(RESAMPLE_SEED))
    return (draws.integers(0, size, size) for _ in range(RESAMPLES))


def _spread(lines: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the standard deviations of A and b over resamples; NaN if fewer than two could be fitted."""
    fitted = np.array(lines).reshape(-1, 2)
    fitted = fitted[np.isfinite(fitted).all(axis=1)]
    if len(fitted) < 2:
        return np.nan, np.nan
    amplitude, index = fitted.std(axis=0, ddof=1)
    return float(amplitude), float(index)


def _bin(n: np.ndarray, kappa: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    count = max(edges.size - 1, 0)
    which = np.zeros(0, np.int64)
    if count:
        # Counts are small integers over a few areas, so many boxes lie on an edge. They belong to the bin above it,
        # whatever the last bits of the logarithms.
        place = count * np.log(n / edges[0]) / np.log(edges[-1] / edges[0])
        which = np.clip(np.floor(place + ON_EDGE), 0, count - 1).astype(np.int64)
    boxes_in = np.bincount(which, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        n_mean = np.bincount(which, n[: which.size], count) / boxes_in
        mean = np.bincount(which, kappa[: which.size], count) / boxes_in
        spread = np.bincount(which, (kappa[: which.size] - mean[which]) ** 2, count) / boxes_in
    return {
        "bin": np.arange(count),
        "n_lo": edges[:-1],
        "n_hi": edges[1:],
        "n_boxes": boxes_in,
        "n_mean": n_mean,
        "kappa_mean": mean,
        "kappa_std": np.sqrt(spread),
    }


def _line(rows: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return A and b from the bins with enough boxes; NaN if there are fewer than two."""
    with np.errstate(invalid="ignore"):
        use = (rows["n_boxes"] >= BIN_FILLED) & (rows["kappa_mean"] > 0)
    if use.sum() < 2:
        return np.nan, np.nan
    x, y = np.log10(rows["n_mean"][use]), np.log10(rows["kappa_mean"][use])
    dx = x - x.mean()
    index = float((dx * (y - y.mean())).sum() / (dx * dx).sum())
    return float(10 ** (y.mean() - index * x.mean())), index


def compare(cells: SkyCells, field: int, max_radius: float) -> Comparison:
    """Compare kappa with the kernel sum of one field, cell by cell, within `max_radius` arcsec."""
    use = cells.inside_of(field) & np.isfinite(cells.kappa) & (cells.radius < max_radius)
    kappa, rho = cells.kappa[use], cells.rho[field][use]
    power = float((rho * rho).sum())
    if use.sum() < 3 or power == 0:
        return Comparison(np.nan, np.nan, np.nan, np.nan)
    beta = float((kappa * rho).sum()) / power
    residual = float(np.sqrt(((kappa - beta * rho) ** 2).mean()))
    if not (varies(rho) and varies(kappa)):
        return Comparison(beta, residual, np.nan, np.nan)
    return Comparison(
        beta,
        residual,
        pearson(kappa, rho),
        pearson(ranks(kappa), ranks(rho)),
    )
