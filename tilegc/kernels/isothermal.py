"""The pseudo-isothermal elliptical mass distribution (Kassiola & Kovner 1993): deflection and its derivatives."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["isothermal"]

Floats = NDArray[np.float64]


def isothermal(
    x: Floats, y: Floats, e: float, radius: float
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return deflection (x, y) and second derivatives (xx, xy, yy) of kappa = 1 / (2 sqrt(radius^2 + R^2)).

    R^2 = (x / (1 + e))^2 + (y / (1 - e))^2. Kassiola & Kovner give the deflection as a complex logarithm; its
    derivatives along x and y follow in closed form, so that nothing is differenced on a grid.
    """
    root = math.sqrt(e)
    w = np.sqrt(radius**2 + (x / (1.0 + e)) ** 2 + (y / (1.0 - e)) ** 2)
    # At the centre of a potential without a core kappa diverges; the smallest number keeps the quotients below
    # finite.
    w = np.maximum(w, np.finfo(np.float64).tiny)
    upper = (1.0 - e) / (1.0 + e) * x + 1j * (2.0 * root * w - (1.0 + e) / (1.0 - e) * y)
    lower = x + 1j * (2.0 * root * radius - y)
    factor = -0.5j * (1.0 - e * e) / root
    # One logarithm of a quotient, not a difference of two: the branch cut then lies where nothing is evaluated.
    alpha = factor * np.log(upper / lower)
    upper_x = (1.0 - e) / (1.0 + e) + 2j * root * x / ((1.0 + e) ** 2 * w)
    upper_y = 1j * (2.0 * root * y / ((1.0 - e) ** 2 * w) - (1.0 + e) / (1.0 - e))
    along_x = factor * (upper_x / upper - 1.0 / lower)
    along_y = factor * (upper_y / upper + 1j / lower)
    return alpha.real, alpha.imag, along_x.real, along_x.imag, along_y.imag
