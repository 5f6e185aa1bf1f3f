"""Many clusters with one command: a sample file in, an ordinary run folder for each cluster and one table out.

Every cluster runs through the same chain as a run of its own, driven by a process of its own, so that the serial steps
of one cluster (settling, fits, report) leave the workers to the others. All of them share one Dask cluster.
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
