"""Samples of clusters: a sample file in, an ordinary run directory for each cluster and one table out.

Every cluster is analysed like a single run, driven by its own process, so that the serial steps of one cluster
(settling, fits, report) leave the workers to the others. All of them share one Dask cluster.
"""

from tilegc.samples.planning import ClusterPlan, SamplePlan, plan_sample
from tilegc.samples.running import Outcome, survey
from tilegc.samples.sample import Entry, Sample, load_sample
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
]
