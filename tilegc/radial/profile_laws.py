"""Radial laws of the intensity: a cored power law and a projected NFW halo, circular or elliptical, plus a floor.

The ellipse preserves area: R^2 = q u^2 + v^2 / q, with u along the major axis. Its parameters are e1 and e2, the
components of e = (1 - q) / (1 + q) at twice the position angle; unlike axis ratio and angle, they are regular for a
circle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.radial.intensity import Fit, Model, Sample, fit

__all__ = [
    "Shape",
    "cored",
    "elliptical_radius",
    "fit_cored",
    "fit_nfw",
    "fit_ring",
    "fitted_shape",
    "nfw_surface_density",
]

Floats = NDArray[np.float64]

MOST_E: Final = 0.7
"""Maximum e, corresponding to an axis ratio of 0.18."""

LOWEST: Final = 1e-12
"""Lower limit of a floor, so that the logarithm of the intensity exists."""


@dataclass(frozen=True)
class Shape:
    """Shape of an ellipse; angles in degrees east of north, 0 to 180."""

    axis_ratio: float
    axis_ratio_err: float
    position_angle: float
    position_angle_err: float


def elliptical_radius(xi: Floats, eta: Floats, e1: float, e2: float) -> Floats:
    """Return the radius of a circle with the area of the ellipse through each position.

    Parameters
    ----------
    xi, eta : ndarray
        Offsets in arcsec to the east and to the north.
    e1, e2 : float
        e cos 2 pa and e sin 2 pa, with pa from north to east.
    """
    e2_total = e1 * e1 + e2 * e2
    # q u^2 + v^2 / q with q = (1 - e) / (1 + e), written in e1 and e2, does not contain the angle.
    r2 = xi * xi + eta * eta
    along = e1 * (eta * eta - xi * xi) + 2.0 * e2 * xi * eta
    return np.asarray(np.sqrt(np.maximum(((1.0 + e2_total) * r2 - 2.0 * along) / (1.0 - e2_total), 0.0)))


def fitted_shape(fitted: Fit) -> Shape:
    """Return axis ratio and position angle of a fit with e1 and e2, with errors to first order.

    The errors are the robust ones if the fit has them, because sources are clumped.
    """
    e1, e2 = fitted["e1"], fitted["e2"]
    e = math.hypot(e1, e2)
    at = [fitted.names.index(name) for name in ("e1", "e2")]
    covariance = (fitted.robust if np.isfinite(fitted.robust[at[0], at[0]]) else fitted.covariance)[
        np.ix_(at, at)
    ]
    ratio = (1 - e) / (1 + e)
    if not (np.isfinite(covariance).all() and e > 0):
        return Shape(ratio, math.nan, math.degrees(0.5 * math.atan2(e2, e1)) % 180.0, math.nan)
    along, across = np.array([e1, e2]) / e, np.array([-e2, e1]) / e
    error = math.sqrt(max(float(along @ covariance @ along), 0.0))
    turn = math.sqrt(max(float(across @ covariance @ across), 0.0)) / (2 * e)
    return Shape(
        ratio,
        2 * error / (1 + e) ** 2,
        math.degrees(0.5 * math.atan2(e2, e1)) % 180.0,
        min(math.degrees(turn), 90.0),
    )


def cored(radius: Floats, peak: float, core: float, slope: float) -> Floats:
    """Return peak (1 + (R / core)^2)^(-slope / 2); `slope` is the asymptotic slope."""
    return np.asarray(peak * (1.0 + (radius / core) ** 2) ** (-slope / 2.0))


def nfw_surface_density(x: Floats) -> Floats:
    """Return the projected NFW profile at x = R / r_s, normalised to 1 at x = 1 (Bartelmann 1996, eq. 7).

    It is 3 / (x^2 - 1) (1 - arctan-like(x)); near x = 1 its series is used.
    """
    x = np.maximum(np.asarray(x, np.float64), 1e-6)
    u = x - 1.0
    near = np.abs(u) < 1e-3
    inner, outer = np.where(x < 1, x, 0.5), np.where(x > 1, x, 2.0)
    within = 1.0 - 2.0 / np.sqrt(1 - inner**2) * np.arctanh(np.sqrt((1 - inner) / (1 + inner)))
    beyond = 1.0 - 2.0 / np.sqrt(outer**2 - 1) * np.arctan(np.sqrt((outer - 1) / (outer + 1)))
    safe = np.where(near, 2.0, x)
    value = 3.0 * np.where(x < 1, within, beyond) / (safe**2 - 1)
    return np.asarray(np.where(near, 1.0 - 1.2 * u, value))


def _cored_model(*, elliptical: bool) -> Model:
    names = ("ln_peak", "ln_core", "slope", "floor") + (("e1", "e2") if elliptical else ())
    extra = 2 if elliptical else 0

    def intensity(theta: Floats, xi: Floats, eta: Floats) -> Floats:
        shape = (theta[4], theta[5]) if elliptical else (0.0, 0.0)
        radius = elliptical_radius(xi, eta, *shape)
        return np.asarray(cored(radius, math.exp(theta[0]), math.exp(theta[1]), theta[2]) + theta[3] + LOWEST)

    low = (-15.0, math.log(0.1), 0.05, 0.0) + (-MOST_E / math.sqrt(2),) * extra
    high = (15.0, math.log(300.0), 8.0, 1e6) + (MOST_E / math.sqrt(2),) * extra
    return Model(names, intensity, low, high)


def _nfw_model() -> Model:
    def intensity(theta: Floats, xi: Floats, eta: Floats) -> Floats:
        x = np.hypot(xi, eta) / math.exp(theta[1])
        return np.asarray(math.exp(theta[0]) * nfw_surface_density(x) + theta[2] + LOWEST)

    return Model(("ln_at_rs", "ln_rs", "floor"), intensity, (-20.0, 0.0, 0.0), (15.0, math.log(3000.0), 1e6))


def _levels(sample: Sample) -> tuple[float, float]:
    """Return initial values of the intensity within 10 arcsec (or overall), and far from the centre."""
    radius, cells = np.hypot(sample.xi, sample.eta), np.hypot(sample.cell_xi, sample.cell_eta)

    def mean(low: float, high: float) -> float:
        area = float(sample.area[(cells >= low) & (cells < high)].sum())
        return float(sample.weight[(radius >= low) & (radius < high)].sum()) / area if area else 0.0

    whole = max(mean(0.0, np.inf), 1e-9)
    far = float(np.quantile(cells, 0.8)) if cells.size else 0.0
    return max(mean(0.0, 10.0), whole), max(mean(far, np.inf), 1e-3 * whole)


def fit_cored(sample: Sample, *, elliptical: bool = False) -> Fit:
    """Fit peak (1 + (R / core)^2)^(-slope / 2) + floor to the positions of a sample.

    Returns
    -------
    Fit
        Parameters ln_peak, ln_core (arcsec), slope, floor (per arcsec^2), and e1, e2 if elliptical.
    """
    inner, outer = _levels(sample)
    model = _cored_model(elliptical=elliptical)
    start = np.array([math.log(inner), math.log(10.0), 1.5, 0.5 * outer] + ([0.0, 0.0] if elliptical else []))
    scale = np.array([0.5, 0.5, 0.5, max(outer, 0.02 * inner)] + ([0.1, 0.1] if elliptical else []))
    return fit(sample, model, start, scale)


def fit_nfw(sample: Sample) -> Fit:
    """Fit a circular projected NFW halo and a floor: ln_at_rs (intensity at R = r_s), ln_rs (arcsec), floor."""
    inner, outer = _levels(sample)
    start = np.array([math.log(inner / 3.0), math.log(40.0), 0.5 * outer])
    return fit(sample, _nfw_model(), start, np.array([0.5, 0.5, max(outer, 0.02 * inner)]))


def fit_ring(sample: Sample, r_lo: float, r_hi: float, floor: float) -> Fit:
    """Fit amplitude R^-slope on concentric ellipses, plus a fixed floor, within one annulus.

    Within an annulus the shape is constrained only if the intensity falls with radius, so slope and shape are fitted
    together.

    Returns
    -------
    Fit
        Parameters ln_pivot (intensity at the central radius of the annulus), slope, e1, e2.
    """
    pivot = math.sqrt(r_lo * r_hi)

    def intensity(theta: Floats, xi: Floats, eta: Floats) -> Floats:
        radius = np.maximum(elliptical_radius(xi, eta, theta[2], theta[3]), 1e-3)
        return np.asarray(math.exp(theta[0]) * (radius / pivot) ** -theta[1] + floor + LOWEST)

    bound = MOST_E / math.sqrt(2)
    model = Model(
        ("ln_pivot", "slope", "e1", "e2"), intensity, (-20.0, 0.05, -bound, -bound), (15.0, 8.0, bound, bound)
    )
    part = sample.ring(r_lo, r_hi)
    area = float(part.area.sum())
    mean = float(part.weight.sum()) / area - floor if area else 0.0
    return fit(
        part, model, np.array([math.log(max(mean, 1e-9)), 1.0, 0.0, 0.0]), np.array([0.3, 0.5, 0.1, 0.1])
    )
