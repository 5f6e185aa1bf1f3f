"""Statistics of a sample from the finished runs of its clusters: law, number against mass, and stacked profiles."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tilegc.io.atomic import write_bytes
from tilegc.io.tables import write_ecsv
from tilegc.places import Place
from tilegc.population.cluster_counts import PARAMETERS, PIVOT, ClusterCounts
from tilegc.population.common_depth import CommonDepth
from tilegc.population.hierarchical import LEAST_CLUSTERS, Normal, SampleLaw, fit_sample_law
from tilegc.population.richness import LEAST_CLUSTERS as LEAST_WITH_MASS
from tilegc.population.richness import MassRelation, fit_mass_relation
from tilegc.population.stacking import Profile, Stack, stack
from tilegc.samples.left_out import LeftOut, left_out
from tilegc.samples.measured import Aperture, Measured, within
from tilegc.schema import Column

__all__ = ["STACK", "Kept", "SampleStatistics", "sample_statistics", "write_statistics"]

STACK: Final = (
    Column("unit", "string", "", "unit of the radii: kpc or r_200"),
    Column("r_lo", "float64", "", "inner radius of the annulus"),
    Column("r_hi", "float64", "", "outer radius of the annulus"),
    Column("n_per_kpc2", "float64", "kpc-2", "mean density of sources minus contamination"),
    Column("n_err", "float64", "kpc-2", "error of the mean, scatter between clusters included"),
    Column("scatter", "float64", "kpc-2", "intrinsic standard deviation between clusters"),
    Column("n_clusters", "int64", "", "clusters that cover the annulus"),
)
"""Columns of stacked-profiles.ecsv."""

FAR: Final = 3.0
"""Standard deviations from which a cluster is called an outlier."""

EDGES_KPC: Final = (10, 15, 22, 33, 50, 75, 110, 165, 250, 370, 550, 820, 1200)
EDGES_R_200: Final = (0.005, 0.0075, 0.011, 0.0165, 0.025, 0.037, 0.055, 0.082, 0.12, 0.18, 0.27, 0.4, 0.6)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How well the kappa of one cluster follows from the law of the others."""

    name: str
    ln_ratio: float
    """ln of the factor between kappa as predicted from the counts and the map's."""
    err: float
    """Its error: counts, law of the others, and intrinsic scatter."""

    @property
    def pull(self) -> float:
        """Ratio of the two."""
        return self.ln_ratio / self.err


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleStatistics:
    """Everything that is measured of a sample; None, and a reason in `missing`, where that was not possible."""

    law: SampleLaw | None
    predicted: tuple[Kept, ...]
    left_out: Mapping[str, LeftOut]
    """Kappa of each cluster from the law of the others."""
    apertures: Mapping[str, Aperture]
    """Numbers and lens masses within the same radius, by cluster."""
    relation: MassRelation | None
    relation_names: tuple[str, ...]
    by_kpc: Stack
    by_r_200: Stack
    r_200: Mapping[str, float]
    """kpc."""
    depths: Mapping[str, CommonDepth]
    """What brings the numbers of each cluster to one absolute magnitude; without clusters of unknown depth."""
    missing: Mapping[str, str]
    """Why something is missing, by what: law, relation."""

    @property
    def outliers(self) -> Mapping[str, str]:
        """Clusters that do not fit the others, with the reason; more than 3 standard deviations."""
        found: dict[str, str] = {}
        for one in self.predicted:
            if abs(one.pull) > FAR:
                factor = math.exp(one.ln_ratio)
                found[one.name] = (
                    f"by the law of the others its counts ask for {factor:.2f} times the kappa of its map, "
                    f"{abs(one.pull):.1f} standard deviations from 1"
                )
        if self.relation is not None:
            for k in self.relation.outliers:
                name = self.relation_names[k]
                more = "its number is off the relation with lens mass by more than 3 standard deviations"
                found[name] = f"{found[name]}; {more}" if name in found else more
        return found

    @property
    def pulls(self) -> np.ndarray:
        """Pulls of all cells of all predicted maps; (cell,)."""
        return np.concatenate([np.zeros(0), *(one.pulls for one in self.left_out.values())])


def sample_statistics(
    clusters: Sequence[Measured], depths: Mapping[str, CommonDepth] | None = None
) -> SampleStatistics:
    """Measure a sample.

    Parameters
    ----------
    clusters : sequence of Measured
        Those whose runs are finished.
    depths : mapping of str to CommonDepth, optional
        What brings clusters to one depth: their profiles are then stacked at that depth, if at least two have one.
    """
    depths = depths or {}
    profiles = {one.name: _at_depth(one.profile, depths, one.name) for one in clusters}
    missing: dict[str, str] = {}
    counted = [one.counts for one in clusters if one.counts is not None]
    law = None
    predicted: tuple[Kept, ...] = ()
    maps: dict[str, LeftOut] = {}
    if sum(one.law.found for one in counted) >= LEAST_CLUSTERS:
        law = fit_sample_law(counted)
        predicted = tuple(
            found
            for one, other in zip(counted, law.left_out, strict=False)
            if (found := _predicted(one, other))
        )
        others = dict(zip(law.names, law.left_out, strict=False))
        maps = {one.name: left_out(one, others[one.name]) for one in clusters if one.name in others}
    else:
        missing["law"] = (
            f"{len(counted)} clusters have a convergence map and sources; {LEAST_CLUSTERS} are needed"
        )
    apertures = _apertures(clusters, law)
    usable = {
        name: one for name, one in apertures.items() if one.number > 2 * one.number_err and one.mass > 0
    }
    relation = None
    if len(usable) >= LEAST_WITH_MASS:
        errors = {one.name: one.ln_mass_err for one in clusters}
        relation = fit_mass_relation(
            [one.number for one in usable.values()],
            [one.number_err for one in usable.values()],
            [one.mass for one in usable.values()],
            [errors[name] for name in usable],
        )
    else:
        missing["relation"] = (
            f"{len(usable)} clusters have number and lens mass in the aperture; {LEAST_WITH_MASS} are needed"
        )
    return SampleStatistics(
        law=law,
        predicted=predicted,
        left_out=maps,
        apertures=apertures,
        relation=relation,
        relation_names=tuple(usable),
        by_kpc=stack([one for one in profiles.values() if one is not None], EDGES_KPC),
        by_r_200=stack(
            [
                _scaled(profile, one.r_200)
                for one in clusters
                if math.isfinite(one.r_200) and (profile := profiles[one.name]) is not None
            ],
            EDGES_R_200,
        ),
        r_200={one.name: one.r_200 for one in clusters if math.isfinite(one.r_200)},
        depths=depths,
        missing=missing,
    )


def write_statistics(home: Place, found: SampleStatistics) -> None:
    """Write `sample.json` and `stacked-profiles.ecsv` into the directory of a sample."""
    write_bytes(
        home / "sample.json", (json.dumps(_described(found), indent=2, allow_nan=False) + "\n").encode()
    )
    parts = [("kpc", found.by_kpc), ("r_200", found.by_r_200)]
    write_ecsv(
        home / "stacked-profiles.ecsv",
        STACK,
        {
            "unit": np.concatenate([[unit] * one.mean.size for unit, one in parts]).astype(object),
            "r_lo": np.concatenate([one.edges[:-1] for _, one in parts]),
            "r_hi": np.concatenate([one.edges[1:] for _, one in parts]),
            "n_per_kpc2": np.concatenate([one.mean for _, one in parts]),
            "n_err": np.concatenate([one.err for _, one in parts]),
            "scatter": np.concatenate([one.scatter for _, one in parts]),
            "n_clusters": np.concatenate([one.n_clusters for _, one in parts]),
        },
    )


def _apertures(clusters: Sequence[Measured], law: SampleLaw | None) -> dict[str, Aperture]:
    """Count numbers and masses within the largest radius that all maps reach."""
    with_map = [one for one in clusters if one.counts is not None]
    if law is None or not with_map:
        return {}
    radius = min(one.reach for one in with_map)
    floors = {
        name: (float(own.mean[2]), float(own.err[2]))
        for name, own in zip(law.names, law.shrunken, strict=True)
    }
    found = {one.name: within(one, radius, *floors[one.name]) for one in with_map}
    return {name: one for name, one in found.items() if one is not None}


def _predicted(cluster: ClusterCounts, law: Normal) -> Kept | None:
    """Compare the kappa that the law of the other clusters predicts with the cluster's map.

    The factor by which the map would have to be multiplied for the law to give the observed counts.
    """
    ln_a, c, floor = cluster.in_own_units(law.mean)
    turn, _ = cluster.to_physical
    back = np.linalg.inv(turn)
    covariance = back @ law.covariance @ back.T
    power, slope = (float(one.sum()) for one in cluster.data.powers(float(c)))
    area, number = float(cluster.data.box_area.sum()), float(cluster.data.count.sum())
    rest = number - floor * area
    if not rest > 0:
        return None
    ln_ratio = (math.log(rest / power) - ln_a) / c
    towards = np.array([-1.0 / c, -(ln_ratio + slope / power) / c, -area / rest / c])
    variance = float(towards @ covariance @ towards) + cluster.inflation * number / (rest * c) ** 2
    return Kept(name=cluster.name, ln_ratio=ln_ratio, err=math.sqrt(variance))


def _at_depth(profile: Profile, depths: Mapping[str, CommonDepth], name: str) -> Profile | None:
    """Return a profile at the common depth; as it is if fewer than two clusters have one."""
    if len(depths) < 2:
        return profile
    if name not in depths or not math.isfinite(depths[name].factor):
        return None
    factor = depths[name].factor
    return Profile(lo=profile.lo, hi=profile.hi, value=factor * profile.value, err=factor * profile.err)


def _scaled(profile: Profile, unit: float) -> Profile:
    return Profile(lo=profile.lo / unit, hi=profile.hi / unit, value=profile.value, err=profile.err)


def _described(found: SampleStatistics) -> dict[str, Any]:
    law, relation = found.law, found.relation
    return {
        "missing": dict(found.missing),
        "law": None if law is None else _law(law),
        "predicted": {one.name: _left_out(one, found.left_out.get(one.name)) for one in found.predicted},
        "calibration": _calibration(found.pulls),
        "outliers": dict(found.outliers),
        "common_depth": None
        if not found.depths
        else {
            "absolute_magnitude": next(iter(found.depths.values())).common,
            "extrapolated": [name for name, one in found.depths.items() if one.extrapolated],
            "stacked": len(found.depths) > 1,
        },
        "aperture_kpc": next((one.radius for one in found.apertures.values()), None),
        "relation": None
        if relation is None
        else {
            "pivot_msun": relation.pivot,
            "ln_n_at_pivot": relation.ln_n_at_pivot,
            "ln_n_at_pivot_err": relation.ln_n_at_pivot_err,
            "slope": relation.slope,
            "slope_err": relation.slope_err,
            "scatter": relation.scatter,
            "scatter_interval": list(relation.scatter_interval),
            "clusters": list(found.relation_names),
            "outliers": [found.relation_names[k] for k in relation.outliers],
            "selection": "the clusters of the sample with number and lens mass; unbiased if they were not selected "
            "by their number of globular clusters",
        },
    }


def _law(law: SampleLaw) -> dict[str, Any]:
    population = law.population
    left_out = law.left_out or (None,) * len(law.names)
    return {
        "parameters": list(PARAMETERS),
        "pivot_msun_per_kpc2": PIVOT,
        "mean": population.mean.mean.tolist(),
        "mean_err": population.mean.err.tolist(),
        "scatter": population.scatter.tolist(),
        "scatter_interval": population.scatter_interval.tolist(),
        "clusters": {
            name: {
                "alone": _null(alone),
                "alone_err": _null(err),
                "shrunken": own.mean.tolist(),
                "shrunken_err": own.err.tolist(),
                "left_out": None if other is None else other.mean.tolist(),
                "left_out_err": None if other is None else other.err.tolist(),
            }
            for name, alone, err, own, other in zip(
                law.names, law.alone, law.alone_err, law.shrunken, left_out, strict=True
            )
        },
    }


def _left_out(one: Kept, found: LeftOut | None) -> dict[str, float | None]:
    rms = None if found is None or not found.pulls.size else found.rms
    return {"ln_ratio": one.ln_ratio, "err": one.err, "map_pull_rms": rms}


def _calibration(pulls: np.ndarray) -> dict[str, float] | None:
    """Describe the pulls of the predicted maps: for honest errors 0, 1, 0.68 and 0.95."""
    if not pulls.size:
        return None
    return {
        "cells": int(pulls.size),
        "mean": float(pulls.mean()),
        "standard_deviation": float(pulls.std()),
        "within_1": float((np.abs(pulls) < 1).mean()),
        "within_2": float((np.abs(pulls) < 2).mean()),
    }


def _null(values: np.ndarray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
