"""The law of counts given kappa, on the cells of the sky grid: fit, errors, and what the bins make of it.

Within `relation.max_radius` kappa is the lens map's. Beyond, where no lensed image holds the map, it is not used:
what the far sky says of the floor enters as a prior, with the few cluster members there taken off by a kappa that
falls on as a power law whose slope is known only roughly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.attenuation import Attenuation, attenuation
from tilegc.relation.boxes import Boxes, binned_law
from tilegc.relation.clumping import Clumping, clumping, sandwich
from tilegc.relation.counts_law import LARGEST_LN_A, BoxCounts, Law, OuterField, fit_law, gather
from tilegc.relation.families import Families
from tilegc.relation.intervals import FLOOR, MEMBERS, C, interval
from tilegc.relation.resampling import block_numbers, bootstrap
from tilegc.relation.systematics import Systematic
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.lens_models import Realisations

__all__ = [
    "BinnedBias",
    "CountsRelation",
    "binned_bias",
    "box_counts",
    "describe",
    "fit_counts",
    "too_small_outer",
]

Floats = NDArray[np.float64]

SLOPE: Final = (1.2, 0.2)
"""-dln kappa/dln r beyond the lens map's reach, and how well it is known: 1 for an isothermal halo, up to 1.5 for
NFW halos a little outside of their scale radius."""

FAR: Final = 2.0
"""Multiple of max_radius from which the sky is an outer field."""

OUTER_AREA: Final = 200.0
"""Good area, arcsec^2, that it must have, as the annulus of the contamination."""

RIM: Final = 0.9
"""Part of max_radius from which kappa is taken for the extrapolation."""

PARTS: Final = 40
"""Rings into which the outer field is divided for it."""

MOCKS: Final = 200
SEED: Final = 20260214


@dataclass(frozen=True)
class BinnedBias:
    """What the recipe's fit would find if the fitted law were the truth, over simulated counts."""

    index: float
    """1 / c, put in."""
    index_mean: float
    """Mean index of the bins' fit."""
    index_std: float
    """Its scatter."""
    mocks: int


@dataclass(frozen=True, eq=False)
class CountsRelation:
    """n = a kappa^c + f, read as kappa = A n^b; NaN: no fit."""

    law: Law
    covariance: Floats
    """Sandwich, of (ln a, c, f); zero in f where it lies on its bound; (3, 3)."""
    clumping: Clumping
    resampled: Floats
    """Standard deviations of (ln a, c, f) over resampled blocks of the sky; (3,)."""
    c_interval: tuple[float, float]
    """68 %, profile likelihood."""
    floor_interval: tuple[float, float]
    """95 %, profile likelihood; its lower end may be the least floor that is looked for, below 0."""
    n_boxes: int
    n_sources: int
    area: float
    """Good area, arcsec^2."""
    recovery: float
    """Effective over good area: the mean probability that a source is recorded, area by area."""
    outer: OuterField | None
    bias: BinnedBias | None
    attenuation: Attenuation | None
    share_of_members: float = np.nan
    """Of the sources, by the law; NaN: no term for galaxies' light."""
    members_interval: tuple[float, float] = (np.nan, np.nan)
    """Of g: 95 %, profile likelihood; its lower end may be 0."""
    systematic: Systematic | None = None
    """Of c, from other samples, range maps and lens models of other families; None: not measured."""
    families: Families | None = None
    """The law with lens models of other families; None: not measured."""

    @property
    def index(self) -> float:
        """The b of kappa = A n^b, 1 / c."""
        return 1.0 / self.law.c

    @property
    def index_err(self) -> float:
        """Standard deviation of b."""
        return self.c_err / self.law.c**2

    @property
    def index_err_total(self) -> float:
        """Standard deviation of b with all systematic errors that are known; NaN where none is.

        Between families of lens models c may differ by a factor, so that their b are compared, not their c.
        """
        if self.systematic is None or not np.isfinite(self.systematic.total):
            return np.nan
        rest = replace(self.systematic, lens_family=np.nan).total
        family = np.nan if self.families is None else self.families.index_err
        parts = [self.index_err, rest / self.law.c**2, family]
        return float(np.sqrt(np.nansum(np.square(parts))))

    @property
    def c_err(self) -> float:
        """Standard deviation of c: the sandwich's, or half the interval where the floor lies on its bound."""
        error = float(np.sqrt(self.covariance[1, 1]))
        low, high = self.c_interval
        if self.law.found and not self.law.free[2:].all() and np.isfinite(high - low):
            return max(error, 0.5 * (high - low))
        return error

    @property
    def floor_err(self) -> float:
        """Standard deviation of the floor; NaN where it lies on its bound."""
        return float(np.sqrt(self.covariance[2, 2])) if self.law.free[2] else np.nan

    @property
    def members_err(self) -> float:
        """Standard deviation of g; NaN where it lies on its bound, or there is none."""
        return (
            float(np.sqrt(self.covariance[3, 3])) if self.law.free.size > 3 and self.law.free[3] else np.nan
        )

    @property
    def amplitude(self) -> float:
        """A = a^(-1/c)."""
        return float(np.exp(-self.law.ln_a / self.law.c))

    @property
    def amplitude_err(self) -> float:
        """Standard deviation of A."""
        towards = np.array([-1.0 / self.law.c, self.law.ln_a / self.law.c**2])
        scale = self.c_err / float(np.sqrt(self.covariance[1, 1]))
        return float(self.amplitude * scale * np.sqrt(towards @ self.covariance[:2, :2] @ towards))


def fit_counts(
    cells: SkyCells,
    side: float,
    max_radius: float,
    *,
    found: Boxes | None = None,
    ensemble: Realisations | None = None,
    count: NDArray[np.int64] | None = None,
    kept: NDArray[np.bool_] | None = None,
    recovery: Floats | None = None,
    light: Floats | None = None,
    thorough: bool = True,
) -> CountsRelation:
    """Fit the law to the sources of a run.

    Parameters
    ----------
    cells : SkyCells
    side, max_radius : float
        Side of the boxes, and radius within which kappa is used, arcsec.
    found : Boxes, optional
        Those of the recipe's fit, for what its bins make of the law.
    ensemble : Realisations, optional
        Range maps of the lens model, for the attenuation by its errors.
    count : int64 (eta, xi), optional
        Sources per cell; those of the run where not given.
    kept : bool (eta, xi), optional
        Cells that count; those of `cells.kept` where not given.
    recovery : float64 (eta, xi), optional
        Probability that a source is recorded, as `tilegc.skygrid.crowding.of_cells` has it; NaN: cells that do not
        count. 1 where not given.
    light : float64 (eta, xi), optional
        Light of galaxies that have sources of their own, as `tilegc.skygrid.galaxy_light.galaxy_light` has it; no term
        for them where not given.
    thorough : bool
        With resamples, intervals and simulations; else with the sandwich alone.
    """
    data = box_counts(cells, side, max_radius, count=count, kept=kept, recovery=recovery, light=light)
    law = fit_law(data) if data.count.size else None
    # Too few sources for four parameters: fit again without the term for member galaxies.
    if law is not None and not _measured(law) and data.light is not None:
        data, light = replace(data, light=None), None
        law = fit_law(data)
    light = None if data.light is None else light
    effective = float(data.area.sum())
    area = effective if recovery is None else _good_area(cells, max_radius, kept, recovery)
    if law is None or not _measured(law):
        return _nothing(data, area)
    hanging = clumping(data, law)
    covariance = sandwich(data, law, hanging)
    if not covariance[1, 1] > 0:  # a kappa that is the same everywhere: any power does as well
        return _nothing(data, area)
    result = CountsRelation(
        law,
        covariance,
        hanging,
        np.full(law.free.size, np.nan),
        (np.nan, np.nan),
        (np.nan, np.nan),
        data.count.size,
        int(data.count.sum()),
        area,
        effective / area,
        data.outer,
        None,
        None,
        np.nan if light is None else float(law.members * data.box_light.sum() / data.expected(law).sum()),
    )
    if not thorough:
        return result
    resampled = bootstrap(data, law)
    spread = resampled.std(axis=0, ddof=1) if len(resampled) > 1 else np.full(law.free.size, np.nan)
    use, area_of_cells, sources = _cells(cells, max_radius, count, kept, recovery)
    flattened = None
    if ensemble is not None and ensemble.box.size:

        def again(values: Floats, counted: Floats) -> BoxCounts:
            gathered = _gathered(cells, side, values, area_of_cells, counted, use, light)
            return replace(gathered, outer=data.outer)

        placed = _placed(ensemble, cells)
        flattened = attenuation(
            cells.kappa, placed, area_of_cells, sources, use, law, boxes=again, light=light
        )
    return replace(
        result,
        resampled=spread,
        c_interval=interval(data, law, C, covariance),
        floor_interval=interval(data, law, FLOOR, covariance, 2.0),
        members_interval=(np.nan, np.nan) if light is None else interval(data, law, MEMBERS, covariance, 2.0),
        bias=None if found is None else binned_bias(cells, side, law, found, recovery, light),
        attenuation=flattened,
    )


def _measured(law: Law) -> bool:
    """Return whether a law says something: a power on its bound, or an amplitude beyond all numbers, does not."""
    return law.found and bool(law.free[1]) and abs(law.ln_a) < LARGEST_LN_A * law.c


def _placed(ensemble: Realisations, cells: SkyCells) -> Iterator[Floats]:
    """Yield range maps on the whole sky grid; NaN where they were not read."""
    for values in ensemble.kappa:
        whole = np.full(cells.kappa.shape, np.nan)
        whole[ensemble.box.slices] = values
        yield whole


def _good_area(cells: SkyCells, max_radius: float, kept: NDArray[np.bool_] | None, recovery: Floats) -> float:
    """Return the good area, arcsec^2, of the cells that enter the fit."""
    use, effective, _ = _cells(cells, max_radius, None, kept, recovery)
    use = use & np.isfinite(cells.kappa) & (effective > 0)
    return float(cells.good_area.sum(axis=0)[use].sum())


def _nothing(data: BoxCounts, area: float) -> CountsRelation:
    none = Law(np.nan, np.nan, np.nan, np.nan, np.nan, np.full((3, 3), np.nan), np.zeros(3, np.bool_), np.nan)
    return CountsRelation(
        none,
        np.full((3, 3), np.nan),
        Clumping(np.nan, np.nan, "exponential", np.nan),
        np.full(3, np.nan),
        (np.nan, np.nan),
        (np.nan, np.nan),
        data.count.size,
        int(data.count.sum()),
        area,
        float(data.area.sum()) / area if area else np.nan,
        data.outer,
        None,
        None,
    )


def box_counts(
    cells: SkyCells,
    side: float,
    max_radius: float,
    *,
    count: NDArray[np.int64] | None = None,
    kept: NDArray[np.bool_] | None = None,
    recovery: Floats | None = None,
    light: Floats | None = None,
) -> BoxCounts:
    """Gather the cells within `max_radius` into boxes, and the far sky into an outer field.

    All boxes with any area count: the law knows the area of each.
    """
    use, area, sources = _cells(cells, max_radius, count, kept, recovery)
    data = _gathered(cells, side, cells.kappa, area, sources, use, light)
    far = (cells.kept if kept is None else kept) & (True if recovery is None else np.isfinite(recovery))
    return replace(data, outer=_outer(cells, max_radius, area, sources, far))


def _cells(
    cells: SkyCells,
    max_radius: float,
    count: NDArray[np.int64] | None,
    kept: NDArray[np.bool_] | None,
    recovery: Floats | None,
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return the cells that enter the fit, the effective area and the sources of all cells."""
    use = (cells.kept if kept is None else kept) & (cells.radius < max_radius)
    # A cell whose recovery is not known has no area, and its sources do not count.
    area = cells.good_area.sum(axis=0) * (1.0 if recovery is None else np.nan_to_num(recovery))
    sources = (cells.n_gc.sum(axis=0) if count is None else count).astype(np.float64)
    return use, area, sources


def _gathered(
    cells: SkyCells,
    side: float,
    kappa: Floats,
    area: Floats,
    sources: Floats,
    use: NDArray[np.bool_],
    light: Floats | None = None,
) -> BoxCounts:
    pixel = cells.grid.pixel
    return gather(
        kappa,
        area,
        sources,
        use,
        first=(cells.j0, cells.i0),
        cells=round(side / pixel),
        pixel=pixel,
        light=light,
    )


def too_small_outer(
    cells: SkyCells, max_radius: float, kept: NDArray[np.bool_], recovery: Floats
) -> tuple[float, tuple[str, ...]] | None:
    """Return the area, arcsec^2, of an outer field that is there but too small for a prior, and its fields' names."""
    there = kept & np.isfinite(recovery) & (cells.radius >= FAR * max_radius)
    area = cells.good_area * np.where(there, np.nan_to_num(recovery), 0.0)
    total = float(area.sum())
    if not 0 < total < OUTER_AREA:
        return None
    return total, tuple(
        name for name, part in zip(cells.fields, area.sum(axis=(1, 2)), strict=True) if part > 0
    )


def _outer(
    cells: SkyCells, max_radius: float, area: Floats, sources: Floats, kept: NDArray[np.bool_]
) -> OuterField | None:
    """Return what the sky far from the centre says of the floor; None where there is too little of it."""
    radius = cells.radius
    there = kept & (radius >= FAR * max_radius)
    total = float(area[there].sum())
    rim = np.isfinite(cells.kappa) & (radius >= RIM * max_radius) & (radius < max_radius)
    level = float(cells.kappa[rim].mean()) if rim.any() else 0.0
    if total < OUTER_AREA or not level > 0:
        return None
    number = sources[there].sum()
    density = float(number) / total
    xi, eta = np.meshgrid(cells.xi, cells.eta)
    blocks = block_numbers(xi[there], eta[there])
    excess = np.bincount(blocks, sources[there] - density * area[there])
    used = np.count_nonzero(np.bincount(blocks, area[there]))
    scatter = float(np.sqrt((excess**2).sum() * used / (used - 1))) if used > 1 else 0.0
    counting = float(np.sqrt(max(number, 1.0)))
    ln_ratio = np.log(radius[there] / (0.5 * (1.0 + RIM) * max_radius))
    ring = np.minimum(
        (PARTS * (ln_ratio - ln_ratio.min()) / max(np.ptp(ln_ratio), 1e-9)).astype(int), PARTS - 1
    )
    weight = np.bincount(ring, area[there], PARTS)
    filled = weight > 0
    middle = np.bincount(ring, area[there] * ln_ratio, PARTS)[filled] / weight[filled]
    return OuterField(
        density,
        max(scatter, counting) / total,
        np.log(level) - SLOPE[0] * middle,
        SLOPE[1] * middle,
        weight[filled] / total,
    )


def binned_bias(
    cells: SkyCells,
    side: float,
    law: Law,
    found: Boxes,
    recovery: Floats | None = None,
    light: Floats | None = None,
) -> BinnedBias | None:
    """Simulate counts of the law in the recipe's own boxes, and fit their bins as the recipe does.

    The bins count what is recorded, so that what crowding hides is missing from the simulated counts too. None where
    no simulated sky could be fitted.
    """
    area = cells.good_area.sum(axis=0)
    use = cells.kept & np.isfinite(cells.kappa)
    data = _gathered(cells, side, cells.kappa, area, np.zeros(area.shape), use, light)
    place = {
        pair: number for number, pair in enumerate(zip(data.row.tolist(), data.column.tolist(), strict=True))
    }
    rows = np.floor(found.eta / side).astype(np.int64).tolist()
    columns = np.floor(found.xi / side).astype(np.int64).tolist()
    at = np.array([place[pair] for pair in zip(rows, columns, strict=True)], np.int64)
    # Cells of a box without kappa are taken to be like its others.
    seen = data
    if recovery is not None:
        share = np.where(np.isfinite(recovery), recovery, 1.0)
        seen = _gathered(cells, side, cells.kappa, area * share, np.zeros(area.shape), use, light)
    mu = np.maximum((seen.expected(law) / data.box_area)[at], 0.0) * found.area
    draws = np.random.Generator(np.random.PCG64(SEED))
    indices = []
    for _ in range(MOCKS):
        mean = mu * draws.gamma(1.0 / law.dispersion, law.dispersion, mu.size) if law.dispersion else mu
        index = binned_law(replace(found, count=draws.poisson(mean)))[1]
        if np.isfinite(index):
            indices.append(index)
    if len(indices) < 2:
        return None
    return BinnedBias(1.0 / law.c, float(np.mean(indices)), float(np.std(indices, ddof=1)), len(indices))


def describe(found: CountsRelation) -> dict[str, Any]:
    """Return what summary.json says of the likelihood's law; null stands for what could not be measured."""
    law, outer, flattened, bias = found.law, found.outer, found.attenuation, found.bias
    return {
        "c": null(law.c),
        "c_err": null(found.c_err),
        "floor": null(law.floor),
        "floor_err": null(found.floor_err),
        "a": null(law.a),
        "index": null(found.index),
        "index_err": null(found.index_err),
        "amplitude": null(found.amplitude),
        "amplitude_err": null(found.amplitude_err),
        "covariance": _rows(found.covariance[:3, :3]) if law.found else None,
        "covariance_of": ["ln_a", "c", "floor"],
        "distribution": ("negative binomial" if law.dispersion else "poisson") if law.found else None,
        "dispersion": null(law.dispersion),
        "ln_likelihood": null(law.ln_likelihood),
        "c_err_systematic": found.systematic and null(found.systematic.total),
        "c_err_systematic_parts": found.systematic
        and {part.name: null(getattr(found.systematic, part.name)) for part in fields(found.systematic)},
        "c_err_systematic_largest": found.systematic and found.systematic.largest,
        "lens_families": found.families and found.families.described(),
        "c_err_resampled": null(float(found.resampled[1])),
        "floor_err_resampled": null(float(found.resampled[2])),
        "c_interval": [null(end) for end in found.c_interval],
        "floor_interval_95": [null(end) for end in found.floor_interval],
        "clumping": {
            "variance": null(found.clumping.variance),
            "length_arcsec": null(found.clumping.length),
            "shape": found.clumping.shape,
        },
        "n_boxes": found.n_boxes,
        "n_sources": found.n_sources,
        "area_arcsec2": found.area,
        "recovery": null(found.recovery),
        "outer": outer and {"n_per_arcsec2": outer.density, "err": outer.err},
        "members": None
        if law.free.size < 4
        else {
            "g": null(law.members),
            "g_err": null(found.members_err),
            "interval_95": [null(end) for end in found.members_interval],
            "share": null(found.share_of_members),
        },
        "attenuation": flattened
        and {
            "realisations": flattened.realisations,
            "kappa_rms": null(flattened.kappa_rms),
            "ratio": null(flattened.ratio),
            "ratio_err": null(flattened.ratio_err),
            "c_corrected": null(flattened.c_corrected),
            "c_scatter": null(flattened.c_scatter),
        },
        "binned": bias
        and {
            "index_true": bias.index,
            "index_mean": bias.index_mean,
            "index_std": bias.index_std,
            "mocks": bias.mocks,
        },
    }


def _rows(matrix: Floats) -> list[list[float | None]]:
    return [[null(value) for value in row] for row in matrix.tolist()]


def null(value: float) -> float | None:
    """Return the value, None where there is none."""
    return float(value) if np.isfinite(value) else None
