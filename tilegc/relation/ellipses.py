"""Test whether counts follow a map beyond their common decrease with radius.

The averages on ellipses with the shape of the map are subtracted from both, and the residuals of the counts are
correlated with those of the map. There are two null hypotheses: Poisson counts of the elliptical averages alone,
treated in the same way; and the true residuals rotated about the centre, which preserves their clumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["BeyondRadius", "Ellipse", "beyond_radius", "moment_ellipse"]

Floats = NDArray[np.float64]

STEP: Final = 4.0
"""Width of the elliptical annuli in arcsec."""

DRAWS: Final = 400
SEED: Final = 20260215

TURNS: Final = tuple(range(30, 331, 15))
"""Angles, in degrees along the ellipse, by which the residuals are rotated."""


@dataclass(frozen=True)
class Ellipse:
    """Shape of a map around the centre."""

    axis_ratio: float
    position_angle: float
    """Position angle of the major axis in degrees east of north, 0 to 180."""

    def polar(self, xi: Floats, eta: Floats) -> tuple[Floats, Floats]:
        """Return the elliptical radius (that of a circle of equal area, arcsec) and the angle along the ellipse."""
        angle = np.radians(self.position_angle)
        along = xi * np.sin(angle) + eta * np.cos(angle)
        across = xi * np.cos(angle) - eta * np.sin(angle)
        root = np.sqrt(self.axis_ratio)
        return np.hypot(along * root, across / root), np.arctan2(across / root, along * root)


@dataclass(frozen=True)
class BeyondRadius:
    """Correlation of the residuals of counts and map; NaN if there are too few boxes."""

    correlation: float
    null_mean: float
    null_std: float
    """Standard deviation over Poisson realisations of the elliptical averages."""
    p_value: float
    """Fraction of realisations with at least the same correlation, the counts themselves included."""
    turned_std: float
    """Standard deviation of the correlation with the residuals rotated about the centre."""
    ellipse: Ellipse


def moment_ellipse(values: Floats, xi: Floats, eta: Floats, radius: float, rounds: int = 20) -> Ellipse:
    """Return axis ratio and position angle of a map from its second moments within an ellipse.

    Parameters
    ----------
    values, xi, eta : float64
        Map and positions (arcsec) of its cells, of the same shape; NaN where there are no data.
    radius : float
        Radius in arcsec of a circle of the same area as the ellipse.
    rounds : int
        Number of times that the ellipse is adapted to the moments within it.
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
        # The moments of a flat map are those of the ellipse itself; dividing them out makes the iteration converge.
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
        Centres in arcsec.
    area, count, kappa : (box,) float64
        Effective area (arcsec^2), sources, and mean kappa of each box.
    ellipse : Ellipse
        Shape of the annuli on which averages are taken.
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
    tree = scipy.spatial.cKDTree(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
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
    """Means in elliptical annuli, interpolated between them."""

    def __init__(self, radius: Floats, area: Floats) -> None:
        ring = np.floor(radius / STEP).astype(np.int64)
        total = np.bincount(ring, area)
        self._filled = total > 0
        self._ring, self._total, self._radius = ring, total[self._filled], radius
        self._middle = np.bincount(ring, area * radius)[self._filled] / self._total

    def of(self, sums: Floats) -> Floats:
        """Return the mean per unit area at each box of a quantity summed in boxes."""
        mean = np.bincount(self._ring, sums)[self._filled] / self._total
        smooth: Floats = np.interp(self._radius, self._middle, mean)
        return smooth


def _correlation(a: Floats, b: Floats) -> float:
    """Return the correlation about zero, since residuals have zero mean."""
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / power if power > 0 else float("nan")
