"""All fluxes of a band and its sky from one sparse linear system, by conjugate gradients in a fixed order.

The unknowns are the n fluxes and the coefficients of the sky's splines. The system is symmetric and positive; its
preconditioner is the diagonal for the fluxes and, for the sky, the inverse of a product of two banded matrices: what
the sky's own matrix would be if all pixels had one weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.photometry.sky_spline import OFFSETS, STEP, basis

__all__ = ["SMOOTHNESS", "TOLERANCE", "Solution", "System", "solve"]

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

TOLERANCE: Final = 1e-10
"""Relative size of the residual at which the solution has converged."""

MOST: Final = 2000
"""Iterations at the most."""

SMOOTHNESS: Final = 0.1
"""Penalty on the sky's curvature, relative to the weight of the pixels: damps waves shorter than three knots."""

RIDGE: Final = 1e-6
"""Share of the typical weight that draws the sky to zero: where there are no data at all, this alone does."""


@dataclass(frozen=True)
class System:
    """The normal equations of one band of one field."""

    diagonal: Floats
    """N_ii, (n,)."""
    right: Floats
    """Products of the stamps with the data, (n,)."""
    first: Int64
    """Place of the first source of each pair; pairs are sorted by both places."""
    second: Int64
    overlap: Floats
    """N_ij of each pair."""
    knot: Int64
    """First sky spline of each source, (n, 2)."""
    cross: Floats
    """Products of stamps and splines, (n, SPAN, SPAN)."""
    band: Floats
    """Upper rows of the sky's matrix, (ky, kx, OFFSETS)."""
    sky_right: Floats
    """Products of the splines with the data, (ky, kx)."""


@dataclass(frozen=True)
class Solution:
    """Fluxes and sky of one band."""

    flux: Floats
    """nJy, (n,); 0 where a source has no pixel of weight."""
    sky: Floats
    """Coefficients of the splines, (ky, kx)."""
    iterations: int
    converged: bool


def solve(system: System, shape: tuple[int, int], start: tuple[Floats, Floats] | None = None) -> Solution:
    """Solve the normal equations for the fluxes and the sky.

    Parameters
    ----------
    system : System
    shape : (int, int)
        Of the field, pixels.
    start : (Floats, Floats), optional
        Fluxes and sky from which to begin; zeros by default.

    Returns
    -------
    Solution
        To a relative residual of `TOLERANCE`, in the norm of the preconditioner.
    """
    ky, kx = system.sky_right.shape
    plain = tuple(_mass(length) for length in shape)
    smooth = tuple(rows + SMOOTHNESS * _bend(rows.shape[0]) for rows in plain)
    typical = _typical(system.band, plain[0], plain[1])
    band = _penalised(system.band, plain, smooth, typical)
    scale = np.sqrt(np.outer(smooth[0][:, 0], smooth[1][:, 0]) / band[..., 0])
    down, along = (_banded_root(rows) for rows in smooth)
    # The inner where keeps NumPy from dividing by zero for sources without a pixel, which would be a warning and thus
    # an error in the tests.
    inverse = np.where(system.diagonal > 0, 1.0 / np.where(system.diagonal > 0, system.diagonal, 1.0), 0.0)
    flux, sky = (np.zeros(system.right.size), np.zeros((ky, kx))) if start is None else map(np.copy, start)
    count, done = _conjugate_gradients(
        system.diagonal,
        system.right,
        system.first,
        system.second,
        system.overlap,
        system.knot,
        system.cross,
        band,
        system.sky_right,
        inverse,
        scale,
        down,
        along,
        flux,
        sky,
        TOLERANCE,
        MOST,
    )
    return Solution(flux, sky, count, done)


def _mass(length: int) -> Floats:
    """Return sum over pixels of b_k b_{k+d} along one axis of unit weight, (coefficients, 4) by k and d."""
    weights = basis()
    count = (length - 1) // STEP + 4
    rows = np.zeros((count, 4))
    for cell in range(count - 3):
        # The last cell may be cut by the end of the field: only pixels that exist count.
        inside = weights[: length - cell * STEP]
        for j in range(4):
            for k in range(j, 4):
                rows[cell + j, k - j] += (inside[:, j] * inside[:, k]).sum()
    # A spline that barely reaches into the field would otherwise be free.
    rows[:, 0] += RIDGE * STEP
    return rows


def _bend(count: int) -> Floats:
    """Return the sum of squared second differences of neighbouring coefficients as a matrix, (count, 4)."""
    rows = np.zeros((count, 4))
    for k in range(count - 2):
        for i, a in enumerate((1.0, -2.0, 1.0)):
            for j, b in enumerate((1.0, -2.0, 1.0)):
                if j >= i:
                    rows[k + i, j - i] += STEP * a * b
    return rows


def _typical(band: Floats, down: Floats, along: Floats) -> float:
    """Return the median weight of a pixel, nJy^-2, about the splines that have any."""
    weight = band[..., 0] / np.outer(down[:, 0], along[:, 0])
    some = weight[weight > 0]
    return float(np.median(some)) if some.size else 1.0


def _penalised(band: Floats, plain: tuple[Floats, ...], smooth: tuple[Floats, ...], weight: float) -> Floats:
    """Return the sky's matrix with the penalty on curvature.

    For pixels of one weight the sum is the product of the banded matrices `smooth` along the two axes: the penalty
    is what this product has beyond that of the matrices `plain` of the splines alone.
    """
    out = band.copy()
    full = [_seven(rows) for rows in (*smooth, *plain)]
    for place in range(OFFSETS):
        dy, dx = (0, place) if place < 4 else ((place - 4) // 7 + 1, (place - 4) % 7 - 3)
        down, along, plain_down, plain_along = (
            rows[:, 3 + d] for rows, d in zip(full, (dy, dx, dy, dx), strict=True)
        )
        out[..., place] += weight * (
            np.outer(down, along) - (1.0 - RIDGE) * np.outer(plain_down, plain_along)
        )
    return out


def _seven(rows: Floats) -> Floats:
    """Return a symmetric band's entries at offsets -3 to 3, (count, 7)."""
    out = np.zeros((rows.shape[0], 7))
    for d in range(4):
        out[: rows.shape[0] - d, 3 + d] = rows[: rows.shape[0] - d, d]
        out[d:, 3 - d] = rows[: rows.shape[0] - d, d]
    return out


@compiled
def _banded_root(rows: Floats) -> Floats:
    """Return the Cholesky factor of a symmetric matrix of half bandwidth 3: (count, 4), entry (i, d) is L[i, i - d]."""
    n = rows.shape[0]
    root = np.zeros((n, 4))
    for i in range(n):
        for d in range(min(3, i), -1, -1):
            j = i - d
            value = rows[j, d]
            for k in range(max(i - 3, j - 3, 0), j):
                value -= root[i, i - k] * root[j, j - k]
            root[i, d] = np.sqrt(value) if d == 0 else value / root[j, 0]
    return root


@compiled
def _smooth(residual: Floats, scale: Floats, down: Floats, along: Floats, out: Floats) -> None:
    """Apply the sky's preconditioner: scale, solve along both axes, scale."""
    ny, nx = residual.shape
    # For pixels of equal weight the penalised matrix is a product of two banded ones, one for each axis, and is
    # solved by substitution along rows and then along columns. Real weights vary; the two scalings adapt the diagonal
    # to them, which keeps the iterations few. Along columns the innermost loop still runs over x, as memory does.
    for y in range(ny):
        for x in range(nx):
            out[y, x] = residual[y, x] * scale[y, x]
        for x in range(nx):
            for d in range(1, min(3, x) + 1):
                out[y, x] -= along[x, d] * out[y, x - d]
            out[y, x] /= along[x, 0]
        for x in range(nx - 1, -1, -1):
            for d in range(1, min(3, nx - 1 - x) + 1):
                out[y, x] -= along[x + d, d] * out[y, x + d]
            out[y, x] /= along[x, 0]
    for y in range(ny):
        for d in range(1, min(3, y) + 1):
            for x in range(nx):
                out[y, x] -= down[y, d] * out[y - d, x]
        for x in range(nx):
            out[y, x] /= down[y, 0]
    for y in range(ny - 1, -1, -1):
        for d in range(1, min(3, ny - 1 - y) + 1):
            for x in range(nx):
                out[y, x] -= down[y + d, d] * out[y + d, x]
        for x in range(nx):
            out[y, x] /= down[y, 0]
    for y in range(ny):
        for x in range(nx):
            out[y, x] *= scale[y, x]


@compiled
def _multiply(
    diagonal: Floats,
    first: Int64,
    second: Int64,
    overlap: Floats,
    knot: Int64,
    cross: Floats,
    band: Floats,
    flux: Floats,
    sky: Floats,
    out_flux: Floats,
    out_sky: Floats,
) -> None:
    """Multiply the matrix by (flux, sky)."""
    ny, nx = sky.shape
    # Only one triangle of the symmetric matrix is stored. Every entry is used twice, which halves the memory that is
    # read. The order of all additions is fixed, so that the solution has the same bits in any number of processes.
    for i in range(flux.size):
        out_flux[i] = diagonal[i] * flux[i]
    for n in range(first.size):
        out_flux[first[n]] += overlap[n] * flux[second[n]]
        out_flux[second[n]] += overlap[n] * flux[first[n]]
    out_sky[:] = 0.0
    for y in range(ny):
        for x in range(nx):
            value = sky[y, x]
            total = band[y, x, 0] * value
            for d in range(1, min(4, nx - x)):
                total += band[y, x, d] * sky[y, x + d]
                out_sky[y, x + d] += band[y, x, d] * value
            for dy in range(1, min(4, ny - y)):
                for dx in range(max(-3, -x), min(4, nx - x)):
                    entry = band[y, x, 7 * dy + dx]
                    total += entry * sky[y + dy, x + dx]
                    out_sky[y + dy, x + dx] += entry * value
            out_sky[y, x] += total
    span = cross.shape[1]
    for i in range(flux.size):
        ky, kx = knot[i, 0], knot[i, 1]
        total = 0.0
        for j in range(max(0, -ky), min(span, ny - ky)):
            for k in range(max(0, -kx), min(span, nx - kx)):
                total += cross[i, j, k] * sky[ky + j, kx + k]
                out_sky[ky + j, kx + k] += cross[i, j, k] * flux[i]
        out_flux[i] += total


@compiled
def _dot(a: Floats, b: Floats) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@compiled
def _conjugate_gradients(
    diagonal: Floats,
    right: Floats,
    first: Int64,
    second: Int64,
    overlap: Floats,
    knot: Int64,
    cross: Floats,
    band: Floats,
    sky_right: Floats,
    inverse: Floats,
    scale: Floats,
    down: Floats,
    along: Floats,
    flux: Floats,
    sky: Floats,
    tolerance: float,
    most: int,
) -> tuple[int, bool]:
    n = flux.size
    rf, rs = np.empty(n), np.empty_like(sky)
    zf, zs = np.empty(n), np.empty_like(sky)
    af, az = np.empty(n), np.empty_like(sky)
    flat_rs, flat_zs, flat_az = rs.ravel(), zs.ravel(), az.ravel()

    # The size of the right side, in the norm of the preconditioner, is what the residual is compared with.
    _smooth(sky_right, scale, down, along, zs)
    size = _dot(right, right * inverse) + _dot(sky_right.ravel(), flat_zs)
    _multiply(diagonal, first, second, overlap, knot, cross, band, flux, sky, af, az)
    for i in range(n):
        # A source without any weight has no equation; its flux stays 0.
        rf[i] = right[i] - af[i] if diagonal[i] > 0 else 0.0
        zf[i] = rf[i] * inverse[i]
    rs[:] = sky_right - az
    _smooth(rs, scale, down, along, zs)
    pf, ps = zf.copy(), zs.copy()
    flat_ps = ps.ravel()
    rho = _dot(rf, zf) + _dot(flat_rs, flat_zs)
    if not size > 0:
        return 0, True
    # Fluxes and sky are one vector, kept in two arrays. They are solved together because a wrong sky under a crowd is
    # a wrong flux for each of its sources: solved in turns, each would inherit the error of the other.
    for count in range(most):
        if rho <= tolerance * tolerance * size:
            return count, True
        _multiply(diagonal, first, second, overlap, knot, cross, band, pf, ps, af, az)
        step = rho / (_dot(pf, af) + _dot(flat_ps, flat_az))
        for i in range(n):
            flux[i] += step * pf[i]
            rf[i] -= step * af[i]
            zf[i] = rf[i] * inverse[i]
        sky += step * ps
        rs -= step * az
        _smooth(rs, scale, down, along, zs)
        after = _dot(rf, zf) + _dot(flat_rs, flat_zs)
        ratio = after / rho
        for i in range(n):
            pf[i] = zf[i] + ratio * pf[i]
        ps[:] = zs + ratio * ps
        rho = after
    return most, False
