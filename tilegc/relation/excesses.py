"""Named places with more sources than their convergence gives, or fewer.

A group of clusters without mass, or a clump of mass without clusters, is a peak in the map of residuals. Its
p-value is the fraction of simulated skies that have, anywhere and on any of the scales, a peak as unlikely as this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.residual_skies import ResidualSky
from tilegc.relation.surprise import surprise_rank, surprises, tails

__all__ = ["excesses"]

Floats = NDArray[np.float64]

LEAST: Final = 3.0
"""Significance from which a peak is listed, however probable it is."""

MOST: Final = 20
"""Maximum number of peaks that are listed."""


class _Peak(NamedTuple):
    """A peak; peaks sort by probability, and then by height."""

    p_value: float
    depth: float
    """Significance with a minus sign."""
    kind: str
    box: int
    scale: float
    p_value_clumped: float


def excesses(
    sky: ResidualSky, significance: Mapping[float, Floats], drawn: Floats, clumped: Floats
) -> dict[str, NDArray[Any]]:
    """List the peaks of the residuals, the least probable first.

    Parameters
    ----------
    sky : ResidualSky
    significance : mapping of float to float64 (box,)
        By scale, FWHM in arcsec.
    drawn, clumped : float64 (sky, statistic)
        Statistics of simulated skies, of which the first are the largest significance by scale, and then the
        largest negative one by scale.

    Returns
    -------
    dict
        Columns of `schema.EXCESSES` without ra and dec.
    """
    data = sky.data
    xi, eta = ((axis.astype(np.float64) + 0.5) * data.side for axis in (data.column, data.row))
    kinds = [(kind, scale) for kind in ("excess", "deficit") for scale in significance]
    nulls = [skies[:, : len(kinds)] for skies in (drawn, clumped)]
    usual = [(tails(null), surprises(null, null)) for null in nulls]
    found: list[_Peak] = []
    for column, (kind, scale) in enumerate(kinds):
        values = significance[scale] if kind == "excess" else -significance[scale]
        for box in _peaks(sky, values, scale):
            height = float(values[box])
            p, p_clumped = (surprise_rank(tail[column].surprise(height), skies) for tail, skies in usual)
            found.append(_Peak(p, -height, kind, int(box), scale, p_clumped))
    kept: list[_Peak] = []
    # One place shows on several scales: the least probable of its peaks stands for it.
    for one in sorted(found):
        near = any(
            one.kind == other.kind
            and np.hypot(xi[one.box] - xi[other.box], eta[one.box] - eta[other.box])
            < max(one.scale, other.scale)
            for other in kept
        )
        if not near and len(kept) < MOST:
            kept.append(one)
    boxes = np.array([one.box for one in kept], np.int64)
    area = data.box_area
    mean = data.powers(1.0)[0] / area
    inside = [
        np.hypot(xi - xi[one.box], eta - eta[one.box]) <= max(0.5 * one.scale, data.side) for one in kept
    ]
    return {
        "kind": np.array([one.kind for one in kept], object),
        "xi": xi[boxes],
        "eta": eta[boxes],
        "scale": np.array([one.scale for one in kept]),
        "significance": np.array([-one.depth for one in kept]),
        "p_value": np.array([one.p_value for one in kept]),
        "p_value_clumped": np.array([one.p_value_clumped for one in kept]),
        "n_sources": np.array([int(data.count[these].sum()) for these in inside], np.int64),
        "n_expected": np.array([float(sky.expected[these].sum()) for these in inside]),
        "kappa": np.array([float((mean * area)[these].sum() / area[these].sum()) for these in inside]),
    }


def _peaks(sky: ResidualSky, values: Floats, scale: float) -> NDArray[np.int64]:
    """Return the boxes that have no higher one within half the scale, and are significant."""
    data = sky.data
    reach = max(1, int(0.5 * scale / data.side))
    row, column = data.row - data.row.min() + reach, data.column - data.column.min() + reach
    image = np.full((int(row.max()) + reach + 1, int(column.max()) + reach + 1), -np.inf)
    image[row, column] = values
    candidates = np.flatnonzero(values >= LEAST)
    keep = [
        box
        for box in candidates.tolist()
        if values[box]
        >= image[row[box] - reach : row[box] + reach + 1, column[box] - reach : column[box] + reach + 1].max()
    ]
    return np.array(keep, np.int64)
