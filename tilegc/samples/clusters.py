"""Table of a sample: the main results of each cluster, from the summary of its run, and how the run ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tilegc.io.tables import write_parquet
from tilegc.places import Place
from tilegc.population.cluster_counts import PARAMETERS
from tilegc.run_folder import Run
from tilegc.samples.observation import footprint, wavelengths
from tilegc.samples.statistics import SampleStatistics
from tilegc.samples.status import ClusterStatus
from tilegc.schema import Column

__all__ = ["CLUSTERS", "write_clusters"]

CLUSTERS: Final = (
    Column("name", "string", "", "name of the cluster and of its run directory"),
    Column(
        "state",
        "string",
        "",
        "state of the run (done, failed, refused, damaged, ...); only done runs have results",
    ),
    Column("message", "string", "", "why a run failed or was refused"),
    Column("recipe", "string", "", "recipe of the run"),
    Column("ra", "float64", "deg", "right ascension of the centre, ICRS"),
    Column("dec", "float64", "deg", "declination of the centre, ICRS"),
    Column("redshift", "float64", "", "redshift of the cluster"),
    Column("kpc_per_arcsec", "float64", "kpc arcsec-1", "physical scale at the redshift of the cluster"),
    Column("n_fields", "int32", "", "number of fields"),
    Column("bands", "string", "", "bands of the first field"),
    Column("good_area_arcsec2", "float64", "arcsec2", "good area of all fields"),
    Column("n_detected", "int64", "", "number of sources in the catalogue"),
    Column("n_inpainted", "float64", "", "number of inpainted sources, mean over realisations"),
    Column("relation_amplitude", "float64", "", "A of kappa = A n^b"),
    Column("relation_amplitude_err", "float64", "", "statistical error of A"),
    Column("relation_index", "float64", "", "b of kappa = A n^b"),
    Column("relation_index_err", "float64", "", "statistical error of b"),
    Column("pearson", "float64", "", "Pearson correlation of rho and kappa"),
    Column("contamination_per_kpc2", "float64", "kpc-2", "contamination from the outermost annulus"),
    Column("contamination_err", "float64", "kpc-2", "error of the contamination"),
    Column("n_gc_within_60arcsec", "float64", "", "number of sources within 60 arcsec of the centre"),
    Column("lens_within_60arcsec_msun", "float64", "Msun", "lensing mass within 60 arcsec"),
    Column("n_warnings", "int32", "", "number of warnings and of audit lines that are wrong"),
    Column("relation_index_err_total", "float64", "", "error of b with all known systematic errors"),
    Column("pearson_err", "float64", "", "error of pearson"),
    Column("n_audit_look", "int32", "", "number of audit lines that need attention"),
    Column("n_audit_wrong", "int32", "", "number of audit lines that are wrong"),
    Column("obs_id", "string", "", "identifier of the observation: the name of the cluster (ObsCore)"),
    Column("s_ra", "float64", "deg", "right ascension of the centre, ICRS (ObsCore)"),
    Column("s_dec", "float64", "deg", "declination of the centre, ICRS (ObsCore)"),
    Column("s_region", "string", "", "outlines of all fields, ICRS (ObsCore)"),
    Column("em_min", "float64", "m", "shortest wavelength of the bands (ObsCore)"),
    Column("em_max", "float64", "m", "longest wavelength of the bands (ObsCore)"),
    Column(
        "ln_alpha",
        "float64",
        "",
        "ln of sources per kpc2 at 1e9 Msun kpc-2, from this cluster and the sample",
    ),
    Column("ln_alpha_err", "float64", "", "error of ln_alpha"),
    Column(
        "c",
        "float64",
        "",
        "exponent of N = alpha (Sigma / 1e9 Msun kpc-2)^c, from this cluster and the sample",
    ),
    Column("c_err", "float64", "", "error of c"),
    Column(
        "floor", "float64", "arcsec-2", "sources that do not follow kappa, from this cluster and the sample"
    ),
    Column("floor_err", "float64", "arcsec-2", "its error"),
    Column(
        "ln_kappa_ratio", "float64", "", "ln of kappa predicted from the other clusters over that of the map"
    ),
    Column("ln_kappa_ratio_err", "float64", "", "its error, intrinsic scatter included"),
    Column("aperture_kpc", "float64", "kpc", "radius of the next columns: the largest that all maps reach"),
    Column("n_in_aperture", "float64", "", "sources within it, corrected for crowding, floor and coverage"),
    Column("n_in_aperture_err", "float64", "", "its error"),
    Column("lens_mass_in_aperture", "float64", "Msun", "lens mass within it, corrected for coverage"),
    Column("ln_lens_mass_err", "float64", "", "error of its logarithm"),
    Column("coverage_in_aperture", "float64", "", "share of the circle that was searched"),
    Column("r_200_kpc", "float64", "kpc", "r_200 from m_200, or of the NFW halo with the lens mass"),
    Column("absolute_limit", "float64", "mag", "absolute magnitude of the 50 per cent depth"),
    Column("k_correction", "float64", "mag", "K-correction that it contains"),
    Column("common_limit", "float64", "mag", "absolute magnitude to which the sample is brought"),
    Column("to_common_limit", "float64", "", "factor that brings numbers of sources to it"),
    Column(
        "extrapolated",
        "int32",
        "",
        "1 if the cluster is shallower than that, so that the factor extrapolates",
    ),
    Column("tilegc_version", "string", "", "version that made the run"),
    Column("config_digest", "string", "", "SHA-256 of the settings"),
    Column("fingerprint", "string", "", "SHA-256 of inputs and settings, as in the run's manifest"),
)
"""Columns of clusters.parquet."""

_PATHS: Final = {
    "kpc_per_arcsec": "cluster.kpc_per_arcsec",
    "n_detected": "n_detected",
    "n_inpainted": "n_inpainted",
    "relation_amplitude": "relation.amplitude",
    "relation_amplitude_err": "relation.amplitude_err",
    "relation_index": "relation.index",
    "relation_index_err": "relation.index_err",
    "pearson": "comparison.pearson",
    "pearson_err": "comparison.pearson_err",
    "relation_index_err_total": "relation.index_err_total",
    "contamination_per_kpc2": "contamination.per_kpc2",
    "contamination_err": "contamination.err",
    "n_gc_within_60arcsec": "mass.n_gc_within_60arcsec",
    "lens_within_60arcsec_msun": "mass.lens_within_60arcsec_msun",
}
"""Position of these values in the summary of a run."""


def write_clusters(
    path: Place,
    statuses: Sequence[ClusterStatus],
    runs: Mapping[str, Run],
    found: SampleStatistics,
    ln_mass_err: Mapping[str, float],
) -> None:
    """Write clusters.parquet: a row for every cluster of a sample, in the order of the sample file.

    Parameters
    ----------
    path : Place
        The file.
    statuses : sequence of ClusterStatus
        How the runs ended.
    runs : mapping of str to Run
        The finished runs, by cluster.
    found : SampleStatistics
        What was measured of the sample.
    ln_mass_err : mapping of str to float
        Errors of ln of the lens masses, by cluster.
    """
    rows = [
        _row(status, runs.get(status.name)) | _of_sample(status.name, found, ln_mass_err)
        for status in statuses
    ]
    empty: dict[str, Any] = {"string": "", "float64": math.nan, "int32": 0, "int64": 0}
    table = {
        column.name: np.array(
            [row.get(column.name, empty[column.dtype]) for row in rows],
            object if column.dtype == "string" else column.dtype,
        )
        for column in CLUSTERS
    }
    write_parquet(path, CLUSTERS, table)


def _row(status: ClusterStatus, run: Run | None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": status.name, "obs_id": status.name, "state": status.state}
    if run is None:
        return {**row, "message": status.doing}
    summary, cluster = run.summary, run.config.cluster
    row |= {"ra": cluster.ra, "dec": cluster.dec, "s_ra": cluster.ra, "s_dec": cluster.dec}
    row |= {"redshift": cluster.redshift if cluster.known else math.nan}
    row |= {"recipe": summary["recipe"], "n_fields": len(summary["fields"])}
    bands = list(next(iter(summary["fields"].values()))["psf"])
    row["bands"] = ",".join(bands)
    row["em_min"], row["em_max"] = wavelengths(bands)
    row["s_region"] = footprint(run)
    row["good_area_arcsec2"] = sum(field["good_area_arcsec2"] for field in summary["fields"].values())
    verdicts = [line["verdict"] for line in summary["audit"]]
    row |= {"n_audit_look": verdicts.count("look"), "n_audit_wrong": verdicts.count("wrong")}
    row["n_warnings"] = len(summary["warnings"])
    row |= {"tilegc_version": str(run.manifest.get("tilegc", ""))}
    row |= {"config_digest": str(run.manifest.get("config_digest", ""))}
    row |= {"fingerprint": str(run.manifest.get("fingerprint", ""))}
    for name, keys in _PATHS.items():
        value: Any = summary
        for key in keys.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            row[name] = value
    return row


def _of_sample(name: str, found: SampleStatistics, ln_mass_err: Mapping[str, float]) -> dict[str, Any]:
    """Return the columns that depend on the other clusters as well."""
    row: dict[str, Any] = {"r_200_kpc": found.r_200.get(name, math.nan)}
    if found.law is not None and name in found.law.names:
        own = found.law.shrunken[found.law.names.index(name)]
        for parameter, value, err in zip(PARAMETERS, own.mean, own.err, strict=True):
            row |= {parameter: value, f"{parameter}_err": err}
    for one in found.predicted:
        if one.name == name:
            row |= {"ln_kappa_ratio": one.ln_ratio, "ln_kappa_ratio_err": one.err}
    if (depth := found.depths.get(name)) is not None:
        row |= {"absolute_limit": depth.limit, "k_correction": depth.k_correction}
        row |= {"common_limit": depth.common, "to_common_limit": depth.factor}
        row |= {"extrapolated": int(depth.extrapolated)}
    if (aperture := found.apertures.get(name)) is not None:
        row |= {
            "aperture_kpc": aperture.radius,
            "n_in_aperture": aperture.number,
            "n_in_aperture_err": aperture.number_err,
            "lens_mass_in_aperture": aperture.mass,
            "ln_lens_mass_err": ln_mass_err.get(name, math.nan),
            "coverage_in_aperture": aperture.coverage,
        }
    return row
