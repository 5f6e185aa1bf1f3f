"""What the finished run of one cluster contributes to the statistics of a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tilegc.population.cluster_counts import ClusterCounts, counts_of
from tilegc.population.common_depth import Limit
from tilegc.population.stacking import CONCENTRATION, Profile, r_200_of, r_200_of_mass
from tilegc.relation.sky_counts import box_counts
from tilegc.run_folder import Run
from tilegc.sky import cosmology
from tilegc.skygrid.cells import SkyCells, read_sky_cells

__all__ = ["Aperture", "Measured", "measure", "within"]

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Counts, masses and profile of one cluster."""

    name: str
    redshift: float
    kpc_per_arcsec: float
    sigma_cr: float
    """Msun per kpc^2 at the reference source redshift; NaN without a convergence map."""
    reach: float
    """Radius within which the convergence map is used, kpc."""
    ln_mass_err: float
    """Error of the logarithm of lens masses: `convergence.family_rms`."""
    cells: SkyCells
    used: np.ndarray
    """Cells that the law uses; bool (eta, xi)."""
    recovery: Floats
    """Probability that a source is recorded; (eta, xi)."""
    counts: ClusterCounts | None
    """None without a convergence map, or without sources near it."""
    profile: Profile
    """Sources per kpc^2 minus the contamination, radii in kpc; of the field that holds the centre."""
    r_200: float
    """kpc, from the mass in the run file or from the lens mass; NaN without either."""
    limit: Limit | None = None
    """How deep it is in the band of its luminosity function; None without artificial stars."""


@dataclass(frozen=True, kw_only=True)
class Aperture:
    """Sources and lens mass of one cluster within a radius, scaled to the whole circle."""

    radius: float
    """kpc."""
    number: float
    """Sources, corrected for those that are not recorded and for the floor."""
    number_err: float
    mass: float
    """Msun."""
    coverage: float
    """Share of the circle that was searched."""


def measure(name: str, run: Run) -> Measured:
    """Read what a sample needs of a finished run of a cluster.

    Parameters
    ----------
    name : str
        Name of the cluster in the sample.
    run : Run
        Finished; its run file names a cluster.
    """
    config, summary = run.config, run.summary
    sky = run.sky().load()
    cells = read_sky_cells(sky)
    scale = float(summary["cluster"]["kpc_per_arcsec"])
    critical = float((summary["mass"] or {}).get("sigma_cr_msun_per_kpc2") or math.nan)
    has_map = config.convergence is not None and math.isfinite(critical)
    relation = (summary["relation"] or {}).get("likelihood") or {}
    used = np.asarray(sky["in_law"].to_numpy(), bool)
    recovery = np.asarray(sky["recovery"].to_numpy(), np.float64)
    counts = None
    if has_map and (relation.get("n_sources") or 0) > 0:
        light = np.asarray(sky["galaxy_light"].to_numpy(), np.float64)
        data = box_counts(
            cells,
            config.relation.box,
            config.relation.max_radius,
            kept=used,
            recovery=recovery,
            light=light if light.any() else None,
        )
        counts = counts_of(name, data, sigma_cr=critical, kpc_per_arcsec=scale, inflation=1.0)
        counts = _inflated(counts, relation)
    found = Measured(
        name=name,
        redshift=config.cluster.redshift,
        kpc_per_arcsec=scale,
        sigma_cr=critical if has_map else math.nan,
        reach=config.relation.max_radius * scale,
        ln_mass_err=config.convergence.family_rms if config.convergence else math.nan,
        cells=cells,
        used=used,
        recovery=recovery,
        counts=counts,
        profile=_profile(run, scale),
        r_200=math.nan,
        limit=_limit(name, run),
    )
    return _with_r_200(found, run)


def within(measured: Measured, radius: float, floor: float, floor_err: float) -> Aperture | None:
    """Count sources and lens mass within a radius.

    Parameters
    ----------
    measured : Measured
        With a convergence map.
    radius : float
        kpc.
    floor, floor_err : float
        Sources per arcsec^2 that do not follow kappa, which are subtracted.

    Returns
    -------
    Aperture or None
        None where less than a tenth of the circle has been searched.
    """
    cells, scale = measured.cells, measured.kpc_per_arcsec
    inside = (
        measured.used & (cells.radius * scale < radius) & np.isfinite(cells.kappa) & (measured.recovery > 0)
    )
    area = cells.good_area.sum(axis=0)[inside]
    coverage = float(area.sum() / (math.pi * (radius / scale) ** 2))
    if coverage < 0.1:
        return None
    seen = cells.n_gc.sum(axis=0)[inside].astype(np.float64)
    share = measured.recovery[inside]
    clumping = measured.counts.inflation if measured.counts is not None else 1.0
    number = float((seen / share).sum() - floor * area.sum())
    variance = clumping * float((seen / share**2).sum()) + (floor_err * float(area.sum())) ** 2
    mass = measured.sigma_cr * scale**2 * float((cells.kappa[inside] * area).sum())
    return Aperture(
        radius=radius,
        number=number / coverage,
        number_err=math.sqrt(variance) / coverage,
        mass=mass / coverage,
        coverage=coverage,
    )


def _limit(name: str, run: Run) -> Limit | None:
    """Return the depth of a run: the brightest 50 per cent depth of its fields."""
    summary, config = run.summary, run.config
    band = (summary.get("luminosity") or {}).get("band")
    depths = [(field.get("depth") or {}).get(band) or {} for field in summary["fields"].values()]
    levels = [float(one["m50"]) for one in depths if one.get("m50") is not None]
    if band is None or not levels:
        return None
    cosmo, z = cosmology(config.cosmology), config.cluster.redshift
    return Limit(
        name=name,
        redshift=z,
        modulus=float(cosmo.distmod(z).value),
        lookback=float(cosmo.lookback_time(z).to_value("Gyr")),
        m50=min(levels),
    )


def _inflated(counts: ClusterCounts, relation: dict[str, object]) -> ClusterCounts:
    """Return counts whose likelihood is as wide as the run's own error of c, clumping included, says."""
    covariance, information = relation.get("covariance"), counts.law.information
    if not (isinstance(covariance, list) and counts.law.found and counts.law.free[1]):
        return counts
    free = np.flatnonzero(counts.law.free)
    place = int(np.searchsorted(free, 1))
    alone = np.linalg.pinv(information[np.ix_(free, free)])[place, place]
    return replace(counts, inflation=max(float(covariance[1][1]) / float(alone), 1.0))


def _profile(run: Run, scale: float) -> Profile:
    table = run.profile
    here = np.asarray(table["field"]) == run.fields[0]
    lo, hi, value, err = (
        np.asarray(table[name].value, np.float64)[here] for name in ("r_lo", "r_hi", "n_corrected", "n_err")
    )
    # Without a contamination there is no corrected density.
    plain = np.asarray(table["n_per_arcsec2"].value, np.float64)[here]
    value = np.where(np.isfinite(value), value, plain) if not np.isfinite(value).any() else value
    err = np.where(err > 0, err, np.nan)
    return Profile(lo=lo * scale, hi=hi * scale, value=value / scale**2, err=err / scale**2)


def _with_r_200(found: Measured, run: Run) -> Measured:
    """Return the cluster with its r_200: from the mass in its run file, or from the lens map."""
    cluster = run.config.cluster
    cosmo = cosmology(run.config.cosmology)
    density = float(cosmo.critical_density(found.redshift).to_value("Msun / kpc3"))
    if cluster.m_200 is not None:
        return replace(found, r_200=r_200_of_mass(cluster.m_200, density))
    aperture = within(found, found.reach, 0.0, 0.0) if math.isfinite(found.sigma_cr) else None
    if aperture is None:
        return found
    concentration = cluster.concentration or CONCENTRATION
    return replace(found, r_200=r_200_of(aperture.mass, aperture.radius, density, concentration))
