"""Table of masses and of checks of their arithmetic, with the numbers that enter each (algorithm.md, section 13)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy import units

from tilegc.config import RunConfig
from tilegc.io.convergence import Kappa
from tilegc.luminosity.results import Luminosities
from tilegc.phases.partials import Table
from tilegc.radial.contamination import Contamination
from tilegc.radial.masses import APERTURE, COVERED, GC_TO_LENS, SEARCHED, VIRIAL_PER_GC, searched
from tilegc.radial.published import GC_MASS, LENS_MASS, is_as1063
from tilegc.sky import cosmology, kpc_per_arcsec, lens_scaling, mass_within, sigma_critical
from tilegc.skygrid.lens_models import LensModels

__all__ = ["RADII", "Counts", "Line", "as_table", "mass_table"]

RADII = (10.0, 30.0, 60.0, 100.0)
"""Radii of the lensing masses in arcsec."""


@dataclass(frozen=True)
class Line:
    """One quantity of the table."""

    quantity: str
    value: float
    """NaN if it cannot be determined."""
    err: float
    """NaN if it is unknown."""
    unit: str
    arithmetic: str
    """The numbers from which it is computed, or why it is missing."""


@dataclass(frozen=True)
class Counts:
    """Sources within the aperture, each counted once."""

    radius_arcsec: np.ndarray
    """Distance of every source of the catalogue from the centre in arcsec."""
    area: float
    """Good area within the aperture in arcsec^2."""


def mass_table(
    config: RunConfig,
    lens: LensModels | None,
    counts: Counts,
    level: Contamination,
    clusters: Luminosities | None = None,
) -> list[Line]:
    """Return the masses of a run and the checks, in the order of their derivation.

    Parameters
    ----------
    config : RunConfig
    lens : LensModels or None
    counts : Counts
    level : Contamination
    clusters : Luminosities, optional
        How many clusters of all magnitudes there are.
    """
    if not config.cluster.known:
        return []
    cosmo, redshift = cosmology(config.cosmology), config.cluster.redshift
    kpc = kpc_per_arcsec(cosmo, redshift)
    distance = float(cosmo.angular_diameter_distance(redshift).to_value(units.Mpc))
    full = sigma_critical(cosmo, redshift, 1.0)
    lines = [
        Line(
            "angular diameter distance D_L",
            distance,
            np.nan,
            "Mpc",
            f"flat LCDM, H0 = {config.cosmology.H0:g}, Om0 = {config.cosmology.Om0:g}, z = {redshift:g}",
        ),
        Line("kpc per arcsec", kpc, np.nan, "kpc arcsec-1", f"{distance:.2f} Mpc x pi / 648000"),
        Line("Sigma_cr at D_LS/D_S = 1", full, np.nan, "Msun kpc-2", f"c^2 / (4 pi G x {distance:.2f} Mpc)"),
    ]
    lensing, (lens_mass, lens_err) = _lensing(config, lens, kpc, full)
    counted, gc = _counted(counts, level), _clusters(config, counts, lens_mass, lens_err)
    return [*lines, *lensing, *counted, *gc, *_of_all_magnitudes(clusters, lens_mass, lens_err)]


def _of_all_magnitudes(clusters: Luminosities | None, lens_mass: float, lens_err: float) -> list[Line]:
    """Return the checks with the clusters that the luminosity function adds to those that were found."""
    if clusters is None or clusters.function is None:
        return []
    law = f"turnover {clusters.function.turnover:.2f}, width {clusters.function.width:.2f} in {clusters.band}"
    total, within = clusters.total, clusters.within
    lines = [
        Line("globular clusters of all magnitudes", total.n, total.err, "", f"{law}; on the searched area"),
        Line(
            "virial mass from all of them",
            total.n * VIRIAL_PER_GC,
            total.err * VIRIAL_PER_GC,
            "Msun",
            f"{total.n:.4g} x {VIRIAL_PER_GC:g} Msun",
        ),
    ]
    name, gc = "mean mass of a globular cluster of any magnitude", lens_mass * GC_TO_LENS
    if not (np.isfinite(within.n) and within.n > 0 and np.isfinite(gc)):
        return [
            *lines,
            Line(name, np.nan, np.nan, "Msun", "no lensing mass, or too little of the aperture searched"),
        ]
    mean = gc / within.n
    share = math.hypot(within.err / within.n, lens_err / lens_mass if np.isfinite(lens_err) else 0.0)
    how = f"{gc:.4g} Msun / {within.n:.4g} within {APERTURE:g} arcsec, masked parts filled; {law}"
    return [*lines, Line(name, mean, mean * share, "Msun", how)]


def _lensing(
    config: RunConfig, lens: LensModels | None, kpc: float, full: float
) -> tuple[list[Line], tuple[float, float]]:
    """Return the lines from the convergence map, and the lensing mass within the aperture with its error."""
    if lens is None or config.convergence is None:
        why = "no convergence map in the run file"
        return [Line(f"M_lens(<{APERTURE:g} arcsec)", np.nan, np.nan, "Msun", why)], (math.nan, math.nan)
    redshift, reference = config.cluster.redshift, config.convergence.reference_redshift
    scaling = lens_scaling(cosmology(config.cosmology), redshift, reference)
    sigma = sigma_critical(cosmology(config.cosmology), redshift, scaling)
    lines = [
        Line(f"D_LS/D_S at z_s = {reference:g}", scaling, np.nan, "", f"lens at z = {redshift:g}"),
        Line(f"Sigma_cr at z_s = {reference:g}", sigma, np.nan, "Msun kpc-2", f"{full:.4g} / {scaling:.4f}"),
    ]
    within_aperture = math.nan, math.nan
    missing = "the map does not cover the aperture"
    for radius, mean, error in _means(config, lens):
        mass = mass_within(mean, radius, kpc, sigma)
        err = mass_within(error, radius, kpc, sigma)
        lines += [
            Line(
                f"mean kappa(<{radius:g} arcsec)",
                mean,
                error,
                "",
                f"pixels of the map within {radius:g} arcsec, x {lens.kappa.factor:.4f}"
                if np.isfinite(mean)
                else missing,
            ),
            Line(
                f"M_lens(<{radius:g} arcsec)",
                mass,
                err,
                "Msun",
                f"{mean:.4f} x {sigma:.4g} Msun kpc^-2 x pi x ({radius:g} x {kpc:.4f} kpc)^2"
                if np.isfinite(mean)
                else missing,
            ),
        ]
        if radius == APERTURE:
            within_aperture = mass, err
            native = mean / scaling
            again = mass_within(native, radius, kpc, full)
            lines.append(
                Line(
                    "check: the same at D_LS/D_S = 1, ratio",
                    again / mass if mass else np.nan,
                    np.nan,
                    "",
                    f"{native:.4f} x {full:.4g} Msun kpc^-2 x the same area: M does not depend on D_LS/D_S"
                    if np.isfinite(mean)
                    else missing,
                )
            )
    return lines, within_aperture


def _clusters(config: RunConfig, counts: Counts, lens_mass: float, lens_err: float) -> list[Line]:
    """Return the mass in globular clusters according to the lensing mass, and the check of the published one."""
    inside = int((counts.radius_arcsec < APERTURE).sum())
    gc = lens_mass * GC_TO_LENS
    gc_err = lens_err * GC_TO_LENS if np.isfinite(lens_mass) else np.nan
    with_lens = np.isfinite(lens_mass)
    lines = [
        Line(
            "M_GC(<60 arcsec) from the mass ratio",
            gc,
            gc_err,
            "Msun",
            f"{GC_TO_LENS:g} x {lens_mass:.4g} Msun: does not depend on the counts"
            if with_lens
            else "no lensing mass",
        ),
        _mean_mass(gc, inside, searched(counts.area)),
    ]
    if is_as1063(config):
        lines.append(
            Line(
                "check: published mass times 2.9e-5",
                LENS_MASS * GC_TO_LENS,
                np.nan,
                "Msun",
                f"{LENS_MASS:.4g} Msun x {GC_TO_LENS:g}, of AS1063; {GC_MASS:.4g} is printed",
            )
        )
    return lines


def _mean_mass(gc: float, inside: int, share: float) -> Line:
    """Return the mean mass of a globular cluster; NaN if too little of the aperture was searched."""
    name = "mean mass of a globular cluster"
    if not (np.isfinite(gc) and inside):
        return Line(name, np.nan, np.nan, "Msun", "no lensing mass, or no source")
    if share < SEARCHED:
        why = f"only {100 * share:.0f} % of the aperture was searched, {100 * SEARCHED:.0f} % are needed"
        return Line(name, np.nan, np.nan, "Msun", why)
    how = f"{gc:.4g} Msun / {inside}: an upper limit, fainter ones share the mass{_seen(share)}"
    return Line(name, gc / inside, np.nan, "Msun", how)


def _seen(share: float) -> str:
    """Return the fraction of the aperture that was searched, as the end of a sentence."""
    return f"; {100 * share:.0f} % of the aperture was searched"


def _counted(counts: Counts, level: Contamination) -> list[Line]:
    total = counts.radius_arcsec.size
    inside = int((counts.radius_arcsec < APERTURE).sum())
    share = searched(counts.area)
    net = inside - level.n * counts.area
    net_err = math.sqrt(inside + (level.err * counts.area) ** 2) if np.isfinite(level.err) else math.nan
    return [
        Line("sources detected", total, math.sqrt(total), "", "the catalogue, each place of the sky once"),
        Line(
            "virial mass from counts",
            total * VIRIAL_PER_GC,
            math.sqrt(total) * VIRIAL_PER_GC,
            "Msun",
            f"{total} x {VIRIAL_PER_GC:g} Msun: a lower limit, the relation is for a complete population"
            f"{_seen(share)}",
        ),
        Line(
            "searched share of the 60 arcsec disc",
            share,
            np.nan,
            "",
            f"{counts.area:.0f} arcsec^2 of good area / (pi x {APERTURE:g}^2 arcsec^2)",
        ),
        Line(
            "sources within 60 arcsec",
            inside,
            math.sqrt(inside),
            "",
            f"detected, not corrected{_seen(share)}",
        ),
        Line(
            "the same less contamination",
            net,
            net_err,
            "",
            f"{inside} - {level.n:.4f} arcsec^-2 x {counts.area:.0f} arcsec^2 of good area{_seen(share)}"
            if np.isfinite(net)
            else "no contamination was measured",
        ),
    ]


def _means(config: RunConfig, lens: LensModels) -> list[tuple[float, float, float]]:
    """Return radius, mean kappa and its scatter over the realisations; NaN where the map covers too little."""
    cluster = config.cluster

    def of(kappa: Kappa) -> list[float]:
        found = []
        for radius in RADII:
            mean, covered = kappa.mean_within(cluster.ra, cluster.dec, radius)
            found.append(mean if covered >= COVERED else math.nan)
        return found

    members = [of(kappa) for kappa in lens.ensemble.maps()] if lens.ensemble else []
    scatter = np.std(members, axis=0, ddof=1) if members else np.full(len(RADII), np.nan)
    return list(zip(RADII, of(lens.kappa), scatter.tolist(), strict=True))


def as_table(lines: Sequence[Line]) -> Table:
    """Return the columns of `schema.MASSES`."""
    return {
        "quantity": np.array([line.quantity for line in lines], np.str_),
        "value": np.array([line.value for line in lines], np.float64),
        "err": np.array([line.err for line in lines], np.float64),
        "unit": np.array([line.unit for line in lines], np.str_),
        "arithmetic": np.array([line.arithmetic for line in lines], np.str_),
    }
