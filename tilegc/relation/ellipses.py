"""Whether counts follow a map beyond that both fall with radius.

The averages on ellipses of the map's own shape are taken off both; what is left of the counts is correlated with
what is left of the map.  The null: Poisson counts of the elliptical averages alone, treated in the same way; and
the true residuals turned about the centre, which keeps their clumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["BeyondRadius", "Ellipse", "beyond_radius", "shape_of"]

Floats = NDArray[np.float64]

STEP: Final = 4.0
"""Width of the elliptical annuli, arcsec."""

DRAWS: Final = 400
SEED: Final = 20260215

TURNS: Final = tuple(range(30, 331, 15))
"""Angles of the turned residuals, degrees along the ellipse."""


@dataclass(frozen=True)
class Ellipse:
    """The shape of a map about the centre."""

    axis_ratio: float
    position_angle: float
    """Of the major axis, degrees east of north, 0 to 180."""

    def polar(self, xi: Floats, eta: Floats) -> tuple[Floats, Floats]:
        """Return elliptical radius (arcsec, the circle's of the same area) and angle along the ellipse."""
        angle = np.radians(self.position_angle)
        along = xi * np.sin(angle) + eta * np.cos(angle)
        across = xi * np.cos(angle) - eta * np.sin(angle)
        root = np.sqrt(self.axis_ratio)
        return np.hypot(along * root, across / root), np.arctan2(across / root, along * root)


@dataclass(frozen=True)
class BeyondRadius:
    """Correlation of what is left of counts and map; NaN: too little to tell."""

    correlation: float
    null_mean: float
    null_std: float
    """Over Poisson counts of the elliptical averages."""
    p_value: float
    """Share of those that correlate as much or more, the counts themselves being one."""
    turned_std: float
    """Scatter of the correlation with the residuals turned about the centre."""
    ellipse: Ellipse


def shape_of(values: Floats, xi: Floats, eta: Floats, radius: float, rounds: int = 20) -> Ellipse:
    """Return axis ratio and position angle of a map from its second moments within an ellipse.

    Parameters
    ----------
    values, xi, eta : float64
        Map and places (arcsec) of its cells, of one shape; NaN: no data.
    radius : float
        Of the circle of the same area, arcsec.
    rounds : int
        Times that the ellipse is adapted to the moments within it.
    """
    found = Ellipse(1.0, 0.0)
    for _ in range(rounds):
        inside = np.isfinite(values) & (found.polar(xi, eta)[0] <= radius)
        if inside.sum() < 10:
            return found
        weight = np.maximum(values[inside] - values[inside].min(), 0.0)
        x, y, total = xi[inside], eta[inside], float(weight.sum())
        if not total > 0:
            return found
        # Moments of a flat map in the ellipse are the ellipse's own, so that iteration converges on the map's.
        xx, yy, xy = (float((weight * product).sum()) / total for product in (x * x, y * y, x * y))
        value, vector = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
        major = vector[:, 1]
        ratio = float(np.sqrt(max(value[0], 0.0) / value[1])) if value[1] > 0 else 1.0
        found = Ellipse(min(max(ratio, 0.2), 1.0), float(np.degrees(np.arctan2(major[0], major[1])) % 180.0))
    return found


def beyond_radius(
    xi: Floats,
    eta: Floats,
    area: Floats,
    count: Floats,
    kappa: Floats,
    ellipse: Ellipse,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> BeyondRadius:
    """Correlate the residuals of counts and kappa from their elliptical averages.

    Parameters
    ----------
    xi, eta : (box,) float64
        Centres, arcsec.
    area, count, kappa : (box,) float64
        Effective area, arcsec^2; sources; mean kappa.
    ellipse : Ellipse
        On which averages are taken.
    """
    nothing = BeyondRadius(np.nan, np.nan, np.nan, np.nan, np.nan, ellipse)
    use = (area > 0) & np.isfinite(kappa)
    xi, eta, area, count, kappa = xi[use], eta[use], area[use], count[use], kappa[use]
    if count.sum() < 10 or count.size < 20:
        return nothing
    radius, angle = ellipse.polar(xi, eta)
    average = _Average(radius, area)
    mean_kappa = average.of(kappa * area)
    left_kappa = np.where(mean_kappa > 0, kappa / np.where(mean_kappa > 0, mean_kappa, 1.0) - 1.0, 0.0)

    def left(counted: Floats) -> tuple[Floats, Floats]:
        mean = np.maximum(average.of(counted) * area, 1e-9)
        return (counted - mean) / np.sqrt(mean), np.sqrt(mean)

    residual, size = left(count)
    if not np.any(left_kappa) or not np.any(residual):
        return nothing
    found = _correlation(residual, left_kappa * size)
    generator = np.random.Generator(np.random.PCG64(seed))
    null = []
    for _ in range(draws):
        drawn = generator.poisson(size**2).astype(np.float64)
        other, its_size = left(drawn)
        null.append(_correlation(other, left_kappa * its_size))
    turned = []
    tree = cKDTree(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
    for degrees in TURNS:
        there = angle + np.radians(degrees)
        distance, nearest = tree.query(np.column_stack([radius * np.cos(there), radius * np.sin(there)]))
        near = distance < STEP
        if near.sum() > 10:
            turned.append(_correlation(residual[nearest[near]], (left_kappa * size)[near]))
    above = 1 + int((np.array(null) >= found).sum())
    return BeyondRadius(
        found,
        float(np.mean(null)),
        float(np.std(null)),
        above / (draws + 1),
        float(np.std(turned)) if turned else np.nan,
        ellipse,
    )


class _Average:
    """Means over elliptical annuli, interpolated between them."""

    def __init__(self, radius: Floats, area: Floats) -> None:
        ring = np.floor(radius / STEP).astype(np.int64)
        total = np.bincount(ring, area)
        self._filled = total > 0
        self._ring, self._total, self._radius = ring, total[self._filled], radius
        self._middle = np.bincount(ring, area * radius)[self._filled] / self._total

    def of(self, sums: Floats) -> Floats:
        """Return the mean per area at each box, of what is summed in the boxes."""
        mean = np.bincount(self._ring, sums)[self._filled] / self._total
        smooth: Floats = np.interp(self._radius, self._middle, mean)
        return smooth


def _correlation(a: Floats, b: Floats) -> float:
    """Return the correlation about zero: residuals have no mean."""
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / power if power > 0 else float("nan")
