"""Results of a sample: the table of its clusters, their statistics, all sources, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tilegc.errors import RunFolderError
from tilegc.places import Place, place
from tilegc.run_folder import Run, open_run
from tilegc.samples.clusters import write_clusters
from tilegc.samples.common import common_depths, read_common
from tilegc.samples.left_out import write_left_out
from tilegc.samples.measured import measure
from tilegc.samples.sources import write_sources
from tilegc.samples.statistics import SampleStatistics, sample_statistics, write_statistics
from tilegc.samples.status import ClusterStatus, sample_status

__all__ = ["TABLE", "write_results"]

TABLE = "clusters.parquet"


def write_results(folder: str | Place) -> SampleStatistics:
    """Write all results of a sample from the runs in its directory: finished ones count, others are listed.

    `clusters.parquet`, `sample.json`, `stacked-profiles.ecsv`, `sources.parquet`, `sources.vot`,
    `left-out/<name>.fits` and `report.html`.

    Parameters
    ----------
    folder : path
        Directory of the sample.

    Returns
    -------
    SampleStatistics

    Raises
    ------
    RunFolderError
        If the directory is not that of a sample.
    """
    # matplotlib, which the processes that drive clusters do without
    from tilegc.samples.report import write_sample_report  # noqa: PLC0415

    home = place(folder)
    statuses, runs = _opened(home, sample_status(home))
    measured = [measure(name, run) for name, run in runs.items() if run.config.cluster.known]
    found = sample_statistics(measured, common_depths([one.limit for one in measured], read_common(home)))
    write_clusters(home / TABLE, statuses, runs, found, {one.name: one.ln_mass_err for one in measured})
    write_statistics(home, found)
    by_name = {one.name: one for one in measured}
    write_left_out(home, {name: (by_name[name], one) for name, one in found.left_out.items()})
    write_sources(home, runs)
    write_sample_report(home, statuses, runs, measured, found)
    return found


def _opened(
    home: Place, statuses: Sequence[ClusterStatus]
) -> tuple[tuple[ClusterStatus, ...], dict[str, Run]]:
    """Open the finished runs; one whose products have changed is called damaged."""
    runs, told = {}, []
    for status in statuses:
        if status.state == "done":
            try:
                run = open_run(home / status.name)
                _ = run.summary
                runs[status.name] = run
            except RunFolderError as error:
                told.append(replace(status, state="damaged", doing=str(error)))
                continue
        told.append(status)
    return tuple(told), runs
