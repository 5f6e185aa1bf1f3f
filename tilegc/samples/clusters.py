"""Table of a sample: the main results of each cluster, from the summary of its run, and how the run ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tilegc.errors import RunFolderError
from tilegc.io.tables import write_parquet
from tilegc.places import Place
from tilegc.run_folder import open_run
from tilegc.samples.status import ClusterStatus
from tilegc.schema import Column

__all__ = ["CLUSTERS", "write_clusters"]

CLUSTERS: Final = (
    Column("name", "string", "", "name of the cluster, and of its run's folder"),
    Column("state", "string", "", "done, failed, refused, damaged, ...: the numbers are of done runs alone"),
    Column("message", "string", "", "why a run failed or was refused"),
    Column("recipe", "string", "", "recipe of the run"),
    Column("ra", "float64", "deg", "right ascension of the centre, ICRS"),
    Column("dec", "float64", "deg", "declination of the centre, ICRS"),
    Column("redshift", "float64", "", "redshift of the cluster"),
    Column("kpc_per_arcsec", "float64", "kpc arcsec-1", "scale at the cluster"),
    Column("n_fields", "int32", "", "fields of the run"),
    Column("bands", "string", "", "bands of the first field"),
    Column("good_area_arcsec2", "float64", "arcsec2", "area of good pixels, all fields"),
    Column("n_detected", "int64", "", "sources of the catalogue"),
    Column("n_inpainted", "float64", "", "sources inpainted, mean over realisations"),
    Column("relation_amplitude", "float64", "", "A of kappa = A n^b"),
    Column("relation_amplitude_err", "float64", "", "its statistical error"),
    Column("relation_index", "float64", "", "b of kappa = A n^b"),
    Column("relation_index_err", "float64", "", "its statistical error"),
    Column("pearson", "float64", "", "correlation of rho with kappa"),
    Column("contamination_per_kpc2", "float64", "kpc-2", "contamination by the outermost annulus"),
    Column("contamination_err", "float64", "kpc-2", "its error"),
    Column("n_gc_within_60arcsec", "float64", "", "sources within 60 arcsec of the centre"),
    Column("lens_within_60arcsec_msun", "float64", "Msun", "lens mass within 60 arcsec"),
    Column("n_warnings", "int32", "", "warnings and wrong lines of the audit"),
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
    "contamination_per_kpc2": "contamination.per_kpc2",
    "contamination_err": "contamination.err",
    "n_gc_within_60arcsec": "mass.n_gc_within_60arcsec",
    "lens_within_60arcsec_msun": "mass.lens_within_60arcsec_msun",
}
"""Position of these values in the summary of a run."""


def write_clusters(path: Place, home: Place, statuses: Sequence[ClusterStatus]) -> None:
    """Write clusters.parquet: a row for every cluster of a sample, in the order of the sample file.

    Parameters
    ----------
    path : Place
        The file.
    home : Place
        Folder of the sample.
    statuses : sequence of ClusterStatus
        How the runs ended.
    """
    rows = [_row(home, status) for status in statuses]
    empty: dict[str, Any] = {"string": "", "float64": math.nan, "int32": 0, "int64": 0}
    table = {
        column.name: np.array(
            [row.get(column.name, empty[column.dtype]) for row in rows],
            object if column.dtype == "string" else column.dtype,
        )
        for column in CLUSTERS
    }
    write_parquet(path, CLUSTERS, table)


def _row(home: Place, status: ClusterStatus) -> dict[str, Any]:
    row: dict[str, Any] = {"name": status.name, "state": status.state}
    if status.state != "done":
        return {**row, "message": status.doing}
    try:
        run = open_run(home / status.name)
        summary = run.summary
    except RunFolderError as error:
        return {**row, "state": "damaged", "message": str(error)}
    row |= {
        "ra": run.config.cluster.ra,
        "dec": run.config.cluster.dec,
        "redshift": run.config.cluster.redshift,
    }
    row |= {"recipe": summary["recipe"], "n_fields": len(summary["fields"])}
    row["bands"] = ",".join(next(iter(summary["fields"].values()))["psf"])
    row["good_area_arcsec2"] = sum(field["good_area_arcsec2"] for field in summary["fields"].values())
    wrong = sum(line["verdict"] == "wrong" for line in summary["audit"])
    row["n_warnings"] = len(summary["warnings"]) if "warnings" in summary else wrong
    for name, keys in _PATHS.items():
        value: Any = summary
        for key in keys.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            row[name] = value
    return row
