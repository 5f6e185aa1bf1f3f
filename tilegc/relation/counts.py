"""Counts in boxes, the cells they are made of, and the law n = a kappa^c + f that describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_LN_KAPPA", "NO_LAW", "BoxCounts", "Law", "OuterField", "gather"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_LN_KAPPA: Final = -30.0
"""Used for the logarithm of a kappa that is zero or negative: no law expects a source there."""


@dataclass(frozen=True, eq=False)
class OuterField:
    """Constraint on the floor from the sky beyond the reach of the lens map: a mean density there, and its error."""

    density: float
    """Sources per arcsec^2 of effective area."""
    err: float
    """Standard deviation of the density, from counting and clumping."""
    ln_kappa: Floats
    """ln kappa in parts of this sky, extrapolated; (part,)."""
    ln_kappa_err: Floats
    """Error of ln kappa, common to all parts; (part,)."""
    share: Floats
    """Fraction of the area in each part; sums to 1."""
    light: float = 0.0
    """Mean light of galaxies, in the unit of that of the boxes: their sources are there as well."""
    place: tuple[float, float] = (0.0, 0.0)
    """Mean position, in the unit of the positions of the boxes."""

    def terms(self, c: float) -> tuple[float, float, float]:
        """Return the mean over the sky of kappa^c, its derivative with respect to c, and its error.

        ln kappa is normal, so kappa^c has the mean and the error of a lognormal variable.
        """
        spread = (c * self.ln_kappa_err) ** 2
        power = self.share * np.exp(c * self.ln_kappa + 0.5 * spread)
        return (
            float(power.sum()),
            float((power * (self.ln_kappa + c * self.ln_kappa_err**2)).sum()),
            float((power * np.sqrt(np.expm1(spread))).sum()),
        )

    def slopes(self, a: float, c: float, size: int) -> Floats:
        """Return the derivatives of the density expected there by the first `size` parameters of a law."""
        mean, steep, _ = self.terms(c)
        return np.array([a * mean, a * steep, 1.0, self.light, *self.place])[:size]

    def expected(self, theta: Floats) -> float:
        """Return the density that a law expects there."""
        a = float(np.exp(theta[0]))
        slopes = self.slopes(a, float(theta[1]), theta.size)
        return float(slopes[0] + (slopes[2:] * theta[2:]).sum())

    def variance(self, theta: Floats) -> float:
        """Return the variance of density - (a <kappa^c> + f): counting, and the uncertainty of kappa there."""
        return self.err**2 + (float(np.exp(theta[0])) * self.terms(float(theta[1]))[2]) ** 2


@dataclass(frozen=True, eq=False)
class BoxCounts:
    """Counts in boxes, and the cells that make up the boxes, box after box."""

    row: Ints
    """Row of each box on the lattice of boxes; (box,)."""
    column: Ints
    side: float
    """Side of a box in arcsec."""
    count: Floats
    """Sources in each box: integers, or expectations."""
    start: Ints
    """Index of the first cell of each box."""
    ln_kappa: Floats
    """ln kappa of each cell; (cell,)."""
    area: Floats
    """Effective area p dA of each cell in arcsec^2; (cell,)."""
    outer: OuterField | None = None
    light: Floats | None = None
    """Light of galaxies in each cell per arcsec^2, in any unit; (cell,)."""
    floor_shape: Floats | None = None
    """Factor of the floor in each cell, for sources that are seen through the lens; 1 by default; (cell,)."""
    tilt: Floats | None = None
    """Position of each cell, east and north, in any unit, if the floor is linear in it; (2, cell)."""
    cell: Ints | None = None
    """Index of each cell in the flattened grid that the boxes were made from; (cell,)."""

    @property
    def parameters(self) -> int:
        """Number of parameters of the law: ln a, c, f; g if there is light; and two more if the floor is tilted.

        A tilted floor without light has a g that stays at 0, so that each parameter has its place.
        """
        if self.tilt is not None:
            return 6
        return 3 if self.light is None else 4

    @property
    def linear(self) -> Floats:
        """Factors of the parameters after ln a and c in the counts of each box; (parameter - 2, box)."""
        weight = self.area if self.floor_shape is None else self.area * self.floor_shape
        rows = [np.add.reduceat(weight, self.start) if self.start.size else np.zeros(0)]
        if self.parameters > 3:
            rows.append(self.box_light)
        if self.tilt is not None:
            rows += [np.add.reduceat(weight * axis, self.start) for axis in self.tilt]
        return np.stack(rows)

    @property
    def box_light(self) -> Floats:
        """Sum over each box of p l dA."""
        if self.light is None or not self.start.size:
            return np.zeros(self.start.size)
        return np.add.reduceat(self.area * self.light, self.start)

    @property
    def box_area(self) -> Floats:
        """Effective area of each box in arcsec^2."""
        return np.add.reduceat(self.area, self.start) if self.start.size else np.zeros(0)

    def powers(self, c: float) -> tuple[Floats, Floats]:
        """Return the sums over each box of p kappa^c dA and of p kappa^c ln kappa dA."""
        weight = self.area * np.exp(c * self.ln_kappa)
        return np.add.reduceat(weight, self.start), np.add.reduceat(weight * self.ln_kappa, self.start)

    def expected(self, law: Law) -> Floats:
        """Return the counts expected from a law; (box,)."""
        counts = law.a * self.powers(law.c)[0]
        for factor, row in zip((law.floor, law.members, *law.tilt), self.linear, strict=False):
            counts = counts + factor * row
        return counts

    def jacobian(self, law: Law) -> Floats:
        """Return the derivatives of the expected counts by all parameters; (parameter, box)."""
        power, slope = self.powers(law.c)
        return np.stack([law.a * power, law.a * slope, *self.linear])


@dataclass(frozen=True, eq=False)
class Law:
    """n = a kappa^c + f per arcsec^2; NaN if there was nothing to fit."""

    ln_a: float
    c: float
    floor: float
    """Sources per arcsec^2; may be negative within its error, like any measured difference."""
    dispersion: float
    """phi in the variance mu + phi mu^2; 0 for Poisson counts."""
    ln_likelihood: float
    information: Floats
    """Fisher information of (ln a, c, f), and g if there is light; (3, 3) or (4, 4)."""
    free: NDArray[np.bool_]
    """Which parameters were free at the maximum; f and g are not if they are at their bounds; (3,) or (4,)."""
    outer_variance: float
    """Variance of the density of the outer field around the law."""
    members: float = 0.0
    """g: sources per unit of the light of galaxies, 0 or more."""
    tilt: tuple[float, ...] = ()
    """Change of the floor to the east and to the north per unit of position; empty for a flat floor."""

    @property
    def a(self) -> float:
        """Sources per arcsec^2 at kappa = 1, above the floor."""
        return float(np.exp(self.ln_a))

    @property
    def found(self) -> bool:
        """Return whether there is a fit."""
        return bool(np.isfinite(self.c))

    @property
    def theta(self) -> Floats:
        """(ln a, c, f), g if there is light, and the tilt of the floor if it has one."""
        return np.array([self.ln_a, self.c, self.floor, self.members, *self.tilt])[: self.free.size]


NO_LAW: Final = Law(
    np.nan, np.nan, np.nan, np.nan, np.nan, np.full((3, 3), np.nan), np.zeros(3, np.bool_), np.nan
)


def gather(
    kappa: Floats,
    area: Floats,
    count: Floats,
    use: NDArray[np.bool_],
    *,
    first: tuple[int, int],
    cells: int,
    pixel: float,
    light: Floats | None = None,
    floor_shape: Floats | None = None,
    tilt: float | None = None,
) -> BoxCounts:
    """Gather the cells of a grid into boxes.

    Parameters
    ----------
    kappa, area, count : float64 (eta, xi)
        Convergence, effective area (arcsec^2) and sources of each cell.
    use : bool (eta, xi)
        Cells to include.
    first : tuple of int
        Index of the first row and the first column, from the centre; boxes begin at integer multiples of `cells`.
    cells : int
        Cells along a box.
    pixel : float
        Side of a cell in arcsec.
    light : float64 (eta, xi), optional
        Light of galaxies per arcsec^2; if it is zero in all cells, the law has no term for it.
    floor_shape : float64 (eta, xi), optional
        Factor of the floor in each cell.
    tilt : float, optional
        Unit of position, in arcsec, of a floor that is linear in it; by default the floor is flat.
    """
    use = use & np.isfinite(kappa) & (area > 0)
    j, i = np.nonzero(use)
    row, column = (j + first[0]) // cells, (i + first[1]) // cells
    order = np.lexsort((i, j, column, row))
    j, i, row, column = j[order], i[order], row[order], column[order]
    new = np.ones(j.size, np.bool_)
    new[1:] = (np.diff(row) != 0) | (np.diff(column) != 0)
    start = np.flatnonzero(new)
    sources = count[j, i].astype(np.float64)
    counted = np.add.reduceat(sources, start) if start.size else np.zeros(0)
    values = kappa[j, i]
    ln_kappa = np.maximum(np.log(np.where(values > 0, values, 1.0)), LEAST_LN_KAPPA)
    ln_kappa[values <= 0] = LEAST_LN_KAPPA
    return BoxCounts(
        row[start],
        column[start],
        cells * pixel,
        counted,
        start,
        ln_kappa,
        area[j, i],
        light=light[j, i] if light is not None and light[j, i].any() else None,
        floor_shape=None if floor_shape is None else floor_shape[j, i],
        tilt=None if tilt is None else np.stack([i + first[1] + 0.5, j + first[0] + 0.5]) * (pixel / tilt),
        cell=j * kappa.shape[1] + i,
    )
