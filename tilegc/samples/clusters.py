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
