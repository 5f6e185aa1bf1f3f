"""The law of counts given kappa, on the cells of the sky grid: fit, errors, and the section of the summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilegc.relation.attenuation import Attenuation, attenuation
from tilegc.relation.binned_bias import BinnedBias, binned_bias
from tilegc.relation.boxes import Boxes
from tilegc.relation.clumping import Clumping, clumping, sandwich
from tilegc.relation.counts import NO_LAW, BoxCounts, Law, OuterField
from tilegc.relation.counts_law import LARGEST_LN_A, fit_law
from tilegc.relation.families import Families
from tilegc.relation.floors import FLAT, Floor
from tilegc.relation.intervals import FLOOR, MEMBERS, C, interval
from tilegc.relation.resampling import bootstrap
from tilegc.relation.sky_counts import box_counts, gathered, used_area, used_cells
from tilegc.relation.systematics import Systematic
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.lens_models import Realisations

__all__ = ["CountsRelation", "describe", "fit_counts"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CountsRelation:
    """n = a kappa^c + f, interpreted as kappa = A n^b; NaN if there is no fit."""

    law: Law
    covariance: Floats
    """Sandwich covariance of (ln a, c, f); zero in f if it is at its bound; (3, 3)."""
    clumping: Clumping
    resampled: Floats
    """Standard deviations of (ln a, c, f) over resampled blocks of the sky; (3,)."""
    c_interval: tuple[float, float]
    """68 % interval from the profile likelihood."""
    floor_interval: tuple[float, float]
    """95 % interval from the profile likelihood; its lower end may be the lowest floor considered, below 0."""
    n_boxes: int
    n_sources: int
    area: float
    """Good area in arcsec^2."""
    recovery: float
    """Ratio of effective to good area: the area-weighted mean probability that a source is recorded."""
    outer: OuterField | None
    bias: BinnedBias | None
    attenuation: Attenuation | None
    share_of_members: float = np.nan
    """Fraction of the sources that belong to galaxies according to the law; NaN without a term for their light."""
    members_interval: tuple[float, float] = (np.nan, np.nan)
    """95 % interval of g from the profile likelihood; its lower end may be 0."""
    systematic: Systematic | None = None
    """Systematic error of c, from other samples, range maps and other families of lens models; None if not measured."""
    families: Families | None = None
    """The law with lens models of other families; None if not measured."""

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
        """Standard deviation of b including all known systematic errors; NaN if none is known.

        Between families of lens models c may differ by a factor, so b is compared rather than c.
        """
        if self.systematic is None or not np.isfinite(self.systematic.total):
            return np.nan
        rest = replace(self.systematic, lens_family=np.nan).total
        family = np.nan if self.families is None else self.families.index_err
        parts = [self.index_err, rest / self.law.c**2, family]
        return float(np.sqrt(np.nansum(np.square(parts))))

    @property
    def c_err(self) -> float:
        """Standard deviation of c: from the sandwich, or half the interval if the floor is at its bound."""
        error = float(np.sqrt(self.covariance[1, 1]))
        low, high = self.c_interval
        if self.law.found and not self.law.free[2:].all() and np.isfinite(high - low):
            return max(error, 0.5 * (high - low))
        return error

    @property
    def floor_err(self) -> float:
        """Standard deviation of the floor; NaN if it is at its bound."""
        return float(np.sqrt(self.covariance[2, 2])) if self.law.free[2] else np.nan

    @property
    def members_err(self) -> float:
        """Standard deviation of g; NaN if it is at its bound, or if there is no such term."""
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
    floor: Floor = FLAT,
    thorough: bool = True,
) -> CountsRelation:
    """Fit the law to the sources of a run.

    Parameters
    ----------
    cells : SkyCells
        The sky grid.
    side, max_radius : float
        Side of the boxes, and radius within which kappa is used, in arcsec.
    found : Boxes, optional
        Boxes of the binned fit, to measure the bias of that fit.
    ensemble : Realisations, optional
        Range maps of the lens model, to measure the attenuation by its errors.
    count : int64 (eta, xi), optional
        Sources per cell; by default those of the run.
    kept : bool (eta, xi), optional
        Cells to include; by default `cells.kept`.
    recovery : float64 (eta, xi), optional
        Probability that a source is recorded, from `tilegc.skygrid.crowding.of_cells`; NaN excludes a cell. By
        default 1.
    light : float64 (eta, xi), optional
        Light of galaxies, from `tilegc.skygrid.galaxy_light.galaxy_light`; by default there is no term for it.
    floor : Floor
        How the floor of the law depends on position.
    thorough : bool
        Whether to compute resamples, intervals and simulations, or only the sandwich covariance.
    """
    data = box_counts(
        cells, side, max_radius, count=count, kept=kept, recovery=recovery, light=light, floor=floor
    )
    data, law = _fitted(data)
    light = None if data.light is None else light
    effective = float(data.area.sum())
    area = effective if recovery is None else used_area(cells, max_radius, kept, recovery)
    if law is None or not _measured(law):
        return _nothing(data, area)
    correlation = clumping(data, law)
    covariance = sandwich(data, law, correlation)
    if not covariance[1, 1] > 0:  # constant kappa: any power fits equally well
        return _nothing(data, area)
    result = CountsRelation(
        law,
        covariance,
        correlation,
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
    flattened = None
    if ensemble is not None and ensemble.box.size:
        used = used_cells(cells, max_radius, count, kept, recovery)
        flattened = _flattened(cells, side, used, ensemble, data, law, light)
    return replace(
        result,
        resampled=_spread(bootstrap(data, law)),
        c_interval=interval(data, law, C, covariance),
        floor_interval=interval(data, law, FLOOR, covariance, 2.0),
        members_interval=(np.nan, np.nan) if light is None else interval(data, law, MEMBERS, covariance, 2.0),
        bias=None if found is None else binned_bias(cells, side, law, found, recovery, light, floor),
        attenuation=flattened,
    )


def _fitted(data: BoxCounts) -> tuple[BoxCounts, Law | None]:
    """Fit the law; too few sources for four parameters: again without the term for member galaxies."""
    if not data.count.size:
        return data, None
    law = fit_law(data)
    if _measured(law) or data.light is None:
        return data, law
    data = replace(data, light=None)
    return data, fit_law(data)


def _measured(law: Law) -> bool:
    """Return whether a law is constrained: neither its power nor its amplitude is at a bound."""
    return law.found and bool(law.free[1]) and abs(law.ln_a) < LARGEST_LN_A * law.c


def _spread(laws: Floats) -> Floats:
    """Return the standard deviation of each parameter over resamples; NaN from fewer than two."""
    spread: Floats = laws.std(axis=0, ddof=1) if len(laws) > 1 else np.full(laws.shape[1], np.nan)
    return spread


def _flattened(
    cells: SkyCells,
    side: float,
    used: tuple[NDArray[np.bool_], Floats, Floats],
    ensemble: Realisations,
    data: BoxCounts,
    law: Law,
    light: Floats | None,
) -> Attenuation:
    """Return by how much the errors of the lens model flatten the law; `used` is what `used_cells` returns."""
    use, area, sources = used

    def again(values: Floats, counted: Floats) -> BoxCounts:
        # The outer field is blank sky: a realisation of the lens model changes nothing there.
        return replace(gathered(cells, side, values, area, counted, use, light), outer=data.outer)

    return attenuation(
        cells.kappa, _placed(ensemble, cells), area, sources, use, law, boxes=again, light=light
    )


def _placed(ensemble: Realisations, cells: SkyCells) -> Iterator[Floats]:
    """Yield range maps on the whole sky grid; NaN where they were not read."""
    for values in ensemble.kappa:
        padded = np.full(cells.kappa.shape, np.nan)
        padded[ensemble.box.slices] = values
        yield padded


def _nothing(data: BoxCounts, area: float) -> CountsRelation:
    return CountsRelation(
        NO_LAW,
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


def describe(found: CountsRelation) -> dict[str, Any]:
    """Return the section of summary.json on the likelihood; null stands for values that could not be measured."""
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
        if law.free.size < 4 or np.isnan(found.share_of_members)
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
    """Return the value, or None if it is not finite."""
    return float(value) if np.isfinite(value) else None
