"""Convergence of many dual pseudo-isothermal masses on a plane of positions: what takes the time of a lens model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import PLAIN, compiled

__all__ = ["dpie_kappa"]

Floats = NDArray[np.float64]


def dpie_kappa(x: Floats, y: Floats, parts: Floats) -> Floats:
    """Sum the convergence of elliptical dPIEs, Elíasdóttir et al. 2007 (arXiv:0710.5636), at D_LS/D_S = 1.

    A dPIE is the difference of two softened isothermal masses,
    kappa = s/2 [1/sqrt(core^2 + R^2) - 1/sqrt(cut^2 + R^2)], with R^2 = (u / (1 + e))^2 + (v / (1 - e))^2 along the
    axes of the ellipse.

    Parameters
    ----------
    x, y : ndarray of float64
        Positions, arcsec, of one shape.
    parts : ndarray of float64 (potential, 8)
        Of each: x, y (arcsec), cosine and sine of the position angle, e, core and cut (arcsec), and s (arcsec).

    Returns
    -------
    ndarray of float64
        Of the shape of `x`.
    """
    flat_x, flat_y = (np.require(np.ravel(values), np.float64, PLAIN) for values in (x, y))
    total = np.zeros(flat_x.size)
    _add(flat_x, flat_y, np.require(parts, np.float64, PLAIN), total)
    return total.reshape(np.shape(x))


@compiled
def _add(x: Floats, y: Floats, parts: Floats, total: Floats) -> None:
    # Potentials outside, positions inside: what belongs to a potential stays in registers while the positions
    # stream by, and each position adds the potentials in the order of the list, so that its sum does not
    # depend on the positions that are evaluated with it.
    for number in range(parts.shape[0]):
        x0, y0, cos, sin = parts[number, 0], parts[number, 1], parts[number, 2], parts[number, 3]
        e, strength = parts[number, 4], 0.5 * parts[number, 7]
        core, cut = parts[number, 5] ** 2, parts[number, 6] ** 2
        # Only + - * / and square roots are used here; their last bit is the same on every CPU, unlike that of
        # `pow` or `exp`.
        along, across = 1.0 / (1.0 + e) ** 2, 1.0 / (1.0 - e) ** 2
        for i in range(x.size):
            u = (x[i] - x0) * cos + (y[i] - y0) * sin
            v = (y[i] - y0) * cos - (x[i] - x0) * sin
            r2 = u * u * along + v * v * across
            total[i] += strength * (1.0 / np.sqrt(core + r2) - 1.0 / np.sqrt(cut + r2))
