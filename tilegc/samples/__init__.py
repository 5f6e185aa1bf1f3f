"""Samples of clusters: a sample file in, an ordinary run directory for each cluster and one table out.

Every cluster is analysed like a single run, driven by its own process, so that the serial steps of one cluster
(settling, fits, report) leave the workers to the others. All of them share one Dask cluster.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tilegc.samples.planning import ClusterPlan, SamplePlan, plan_sample
    from tilegc.samples.results import write_results
    from tilegc.samples.running import Outcome, survey
    from tilegc.samples.sample import Entry, Sample, load_sample
    from tilegc.samples.sky_catalogue import write_sky_catalogue
    from tilegc.samples.status import ClusterStatus, sample_status

__all__ = [
    "ClusterPlan",
    "ClusterStatus",
    "Entry",
    "Outcome",
    "Sample",
    "SamplePlan",
    "load_sample",
    "plan_sample",
    "sample_status",
    "survey",
    "write_results",
    "write_sky_catalogue",
]

_HOMES = {
    "ClusterPlan": "planning",
    "SamplePlan": "planning",
    "plan_sample": "planning",
    "Outcome": "running",
    "survey": "running",
    "write_results": "results",
    "write_sky_catalogue": "sky_catalogue",
    "Entry": "sample",
    "Sample": "sample",
    "load_sample": "sample",
    "ClusterStatus": "status",
    "sample_status": "status",
}
"""Module of each public name, imported on first use: `survey status` needs none of what runs a cluster."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
