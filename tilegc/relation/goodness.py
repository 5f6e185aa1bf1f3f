"""Whether the law describes the sources at all: residuals against envelopes from simulated skies.

Two kinds of residuals are tested. Maps of counts less the law, smoothed on three scales, show places with more or
fewer sources than their kappa gives; their largest and smallest values are compared with those of skies drawn from the
law. Cumulative residuals, summed in the order of kappa, radius, the light of galaxies or position angle, show a trend
that the law misses. Every statistic is ranked among simulated skies; the p-value of the law is that of the smallest of
these ranks, so that looking at many statistics does not make any law look bad.

Sources clump, also without any fault of the law. There are therefore two p-values: of independent sources, and of
sources that scatter and clump as their residuals do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.clumping import Clumping
from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.excesses import excesses
from tilegc.relation.residual_skies import ResidualSky, Smoother, residual_sky
from tilegc.relation.surprise import surprise_rank, surprises, tails

__all__ = ["SCALES", "Goodness", "goodness"]

Floats = NDArray[np.float64]
Table = dict[str, NDArray[Any]]

SCALES: Final = (5.0, 10.0, 20.0)
"""FWHM in arcsec of the Gaussians that smooth the residuals."""

SKIES: Final = 499
SEED: Final = 20260301

COVERED: Final = 0.5
"""Minimum share of searched sky under the Gaussian for a place to be tested."""

POINTS: Final = 40
"""Points of a cumulative curve."""

BAND: Final = (2.5, 97.5)
"""Percentiles of simulated skies between which a curve is expected."""

FEWEST: Final = 20
"""Sources below which nothing is tested."""


@dataclass(frozen=True, eq=False)
class Goodness:
    """How well a law describes the sources."""

    p_value: float
    """Probability of residuals as unlikely as these if sources are independent of one another."""
    p_value_clumped: float
    """The same if they scatter and clump as their residuals do; equal to `p_value` if they do not."""
    skies: int
    """Simulated skies."""
    tests: Table
    """One row for each statistic: columns of `schema.GOODNESS`."""
    curves: Table
    """Cumulative residuals: columns of `schema.CUMULATIVE`."""
    peaks: Table
    """Places with more or fewer sources than the law gives: columns of `schema.EXCESSES` without ra and dec."""
    maps: Floats
    """Significance by scale; NaN where it was not tested; (scale, row, column)."""
    first: tuple[int, int]
    """Row and column of the first box of the maps on the lattice of boxes."""
    side: float
    """Side of a box of the maps in arcsec."""


def goodness(
    data: BoxCounts, law: Law, clumps: Clumping, side: float, skies: int = SKIES, seed: int = SEED
) -> Goodness | None:
    """Compare the residuals of a law with those of simulated skies.

    Parameters
    ----------
    data : BoxCounts
        Counts in boxes of 1 to 2 arcsec.
    law, clumps : Law, Clumping
        The law fitted to boxes of `side` arcsec, and the correlation of its residuals.
    side : float
        Side of the boxes of the fit in arcsec.
    skies, seed : int
        Number of simulated skies; seed of their random numbers.

    Returns
    -------
    Goodness or None
        None without a law, or with too few sources.
    """
    if not law.found or data.count.sum() < FEWEST:
        return None
    sky = residual_sky(data, law, side)
    every = {scale: Smoother(sky, scale, COVERED) for scale in SCALES}
    # A small field holds no place around which enough sky was searched on the largest scale.
    smoothers = {scale: one for scale, one in every.items() if one.used.any()}
    orders = _orders(data, law)
    scattered = clumps.variance > 0 or law.dispersion > 0
    drawn = _statistics(sky, smoothers, orders, skies, seed, None)
    clumped = _statistics(sky, smoothers, orders, skies, seed + 1, clumps) if scattered else drawn
    own = _of(sky.residual[None], sky, smoothers, orders)
    whole, single = _ranked(own.values, drawn.values)
    whole_clumped, single_clumped = _ranked(own.values, clumped.values)
    names = [("excess", scale) for scale in smoothers] + [("deficit", scale) for scale in smoothers]
    names += [(name, np.nan) for name in orders]
    tests = {
        "statistic": np.array([name for name, _ in names], object),
        "scale": np.array([scale for _, scale in names]),
        "value": own.values[0],
        "limit_95": np.percentile(drawn.values, 95, axis=0),
        "p_value": single,
        "limit_95_clumped": np.percentile(clumped.values, 95, axis=0),
        "p_value_clumped": single_clumped,
    }
    significance = {scale: one.significance(sky.residual[None])[0] for scale, one in smoothers.items()}
    return Goodness(
        whole,
        whole_clumped,
        skies,
        tests,
        _curves(orders, own.curves, drawn.curves, clumped.curves),
        excesses(sky, significance, drawn.values, clumped.values),
        np.stack(
            [
                _map(data, np.where(one.used, significance.get(scale, 0.0), np.nan))
                for scale, one in every.items()
            ]
        ),
        (int(data.row.min()), int(data.column.min())),
        data.side,
    )


@dataclass(frozen=True, eq=False)
class _Statistics:
    values: Floats
    """Largest and smallest significance by scale, and largest cumulative residual; (sky, statistic)."""
    curves: Mapping[str, Floats]
    """Cumulative residuals at the points of each curve; (sky, point)."""


@dataclass(frozen=True, eq=False)
class _Order:
    """Order in which residuals are summed."""

    boxes: NDArray[np.int64]
    value: Floats
    """The quantity at the points of the curve."""
    points: NDArray[np.int64]
    """Boxes summed at each point, less 1."""
    closed: bool
    """Whether the order has no beginning, as an angle: then the range of the sum counts."""


def _orders(data: BoxCounts, law: Law) -> dict[str, _Order]:
    """Return the orders in which residuals are summed, by the quantity that grows along them."""
    area = data.box_area
    xi, eta = ((axis.astype(np.float64) + 0.5) * data.side for axis in (data.column, data.row))
    quantities = {
        "kappa": data.powers(1.0)[0] / area,
        "radius": np.hypot(xi, eta),
        "angle": np.degrees(np.arctan2(xi, eta)) % 360.0,
    }
    if data.light is not None and law.free.size > 3:
        quantities["light"] = data.box_light / area
    found = {}
    for name, values in quantities.items():
        boxes = np.argsort(values, kind="stable")
        # Boxes of the same radius have no order among themselves: a point of the curve comes after all of them.
        ends = np.flatnonzero(np.append(np.diff(values[boxes]) > 0, True))
        points = ends[np.unique(np.linspace(0, ends.size, POINTS + 1).astype(np.int64)[1:]) - 1]
        found[name] = _Order(boxes, values[boxes][points], points, closed=name == "angle")
    return found


def _of(
    residual: Floats, sky: ResidualSky, smoothers: Mapping[float, Smoother], orders: Mapping[str, _Order]
) -> _Statistics:
    """Return the statistics of some skies."""
    maps = [one.significance(residual) for one in smoothers.values()]
    columns = [values.max(axis=1) for values in maps] + [-values.min(axis=1) for values in maps]
    curves = {}
    root = float(np.sqrt(sky.expected.sum()))
    for name, order in orders.items():
        total = np.cumsum(residual[:, order.boxes], axis=1) / root
        curves[name] = total[:, order.points]
        columns.append(np.ptp(total, axis=1) if order.closed else np.abs(total).max(axis=1))
    return _Statistics(np.stack(columns, axis=1), curves)


def _statistics(
    sky: ResidualSky,
    smoothers: Mapping[float, Smoother],
    orders: Mapping[str, _Order],
    skies: int,
    seed: int,
    clumps: Clumping | None,
) -> _Statistics:
    parts = [_of(residual, sky, smoothers, orders) for residual in sky.draws(skies, seed, clumps)]
    return _Statistics(
        np.concatenate([part.values for part in parts]),
        {name: np.concatenate([part.curves[name] for part in parts]) for name in orders},
    )


def _ranked(own: Floats, drawn: Floats) -> tuple[float, Floats]:
    """Return the p-value of all statistics together, and that of each."""
    single = np.array([tail.rank(float(value)) for tail, value in zip(tails(drawn), own[0], strict=True)])
    return surprise_rank(surprises(own, drawn)[0], surprises(drawn, drawn)), single


def _curves(
    orders: Mapping[str, _Order],
    own: Mapping[str, Floats],
    drawn: Mapping[str, Floats],
    clumped: Mapping[str, Floats],
) -> Table:
    rows: dict[str, list[Floats]] = {
        name: [] for name in ("value", "residual", "low", "high", "low_clumped", "high_clumped")
    }
    quantity: list[str] = []
    for name, order in orders.items():
        quantity += [name] * order.value.size
        rows["value"].append(order.value)
        rows["residual"].append(own[name][0])
        for ending, skies in (("", drawn), ("_clumped", clumped)):
            low, high = np.percentile(skies[name], BAND, axis=0)
            rows[f"low{ending}"].append(low)
            rows[f"high{ending}"].append(high)
    return {
        "quantity": np.array(quantity, object),
        **{name: np.concatenate(parts) for name, parts in rows.items()},
    }


def _map(data: BoxCounts, values: Floats) -> Floats:
    """Return the values of boxes as an image of the lattice."""
    row, column = data.row - data.row.min(), data.column - data.column.min()
    image = np.full((int(row.max()) + 1, int(column.max()) + 1), np.nan)
    image[row, column] = values
    return image
