"""The command that runs many clusters: `survey`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

import typer

from tilegc.cli.arguments import (
    ClusterName,
    Overwrite,
    Resume,
    Scheduler,
    TLSAuthority,
    TLSCertificate,
    TLSKey,
    Workers,
    certificates,
)
from tilegc.errors import ConfigError
from tilegc.sizes import binary, decimal

if TYPE_CHECKING:
    from rich.table import Table

    from tilegc.samples import ClusterStatus, SamplePlan

__all__ = ["survey"]

COLOURS = {
    "done": "green",
    "running": "cyan",
    "failed": "bold red",
    "refused": "red",
    "stalled": "yellow",
    "stopped": "yellow",
}


def survey(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SAMPLE | plan SAMPLE | status DIR | report DIR | hats DIR",
            help="Run the clusters of a sample file (YAML, CSV, ECSV, VOTable or Parquet), plan the run, show its "
            "progress, rewrite its table, statistics and report, or write its sources as HATS with a MOC.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Directory for all runs; default: <sample file>-runs."
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    cluster_name: ClusterName = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
    drivers: Annotated[
        int | None, typer.Option(min=1, help="Clusters processed at the same time; default: workers + 1.")
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    only: Annotated[str, typer.Option(metavar="NAME,...", help="Run only these clusters.")] = "",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed clusters again.")] = False,
    keep: Annotated[
        str,
        typer.Option(
            metavar="store|products",
            help="What remains of a finished cluster: everything, or all but the pixel arrays in its store.",
        ),
    ] = "store",
) -> None:
    """Run a sample of clusters on the same workers. Each cluster is an ordinary run."""
    from tilegc import samples

    if keep not in {"store", "products"}:
        raise ConfigError(f"--keep {keep}: expected store or products")
    action, path = (words[0], words[1]) if len(words) == 2 else ("run", words[0])
    if len(words) > 2 or action not in {"run", "plan", "status", "report", "hats"}:
        raise ConfigError(
            f"survey {' '.join(words)}: expected SAMPLE, or plan, status, report or hats and a path"
        )
    if action == "status":
        _print_status(samples.sample_status(path))
        return
    if action == "report":
        samples.write_results(path)
        typer.echo(f"report: {path}/report.html")
        return
    if action == "hats":
        catalogue, moc = samples.write_sky_catalogue(path)
        typer.echo(f"catalogue: {catalogue}\nsearched sky: {moc}")
        return
    from tilegc.samples.sample import default_output

    sample = samples.load_sample(path)
    folder = output or default_output(path)
    if action == "plan":
        from tilegc.places import place

        _print_plan(samples.plan_sample(sample, place(folder), workers if workers is not None else _cores()))
        return
    with _Live() as live:
        outcomes = samples.survey(
            sample,
            folder,
            workers=workers,
            scheduler=scheduler,
            cluster_name=cluster_name,
            tls=certificates(tls_ca, tls_cert, tls_key),
            drivers=drivers,
            resume=resume,
            overwrite=overwrite,
            only=tuple(name for name in only.split(",") if name),
            retry_failed=retry_failed,
            keep="products" if keep == "products" else "store",
            watch=live.show,
        )
    bad = [outcome for outcome in outcomes if outcome.state in {"failed", "refused", "stopped"}]
    done = sum(outcome.state == "done" for outcome in outcomes)
    typer.echo(
        f"{done} of {len(outcomes)} clusters done; results of all clusters in {folder}/clusters.parquet, "
        f"report in {folder}/report.html"
    )
    for outcome in bad:
        typer.echo(f"tilegc: {outcome.name}: {outcome.state}: {outcome.message}", err=True)
    if bad:
        raise typer.Exit(3 if done else 2 if all(outcome.state == "refused" for outcome in bad) else 1)


def _cores() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


class _Live:
    """Live table of all clusters on a terminal; elsewhere one line for each cluster that finishes."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.live = Live(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        self.states: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, statuses: Sequence[ClusterStatus]) -> None:
        """Show the state of all clusters."""
        if self.live is not None:
            self.live.update(_table(statuses))
            return
        for cluster in statuses:
            if cluster.state == "done" and self.states.get(cluster.name) != "done":
                typer.echo(f"{cluster.name}: done")
            self.states[cluster.name] = cluster.state


def _table(statuses: Sequence[ClusterStatus]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("cluster", "state", "progress or reason"):
        table.add_column(head, overflow="fold")
    for cluster in statuses:
        table.add_row(cluster.name, Text(cluster.state, style=COLOURS.get(cluster.state, "")), cluster.doing)
    return table


def _print_status(statuses: Sequence[ClusterStatus]) -> None:
    from rich.console import Console

    Console(highlight=False).print(_table(statuses))
    counts = Counter(cluster.state for cluster in statuses)
    typer.echo(", ".join(f"{count} {state}" for state, count in counts.items()))


def _print_plan(plan: SamplePlan) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("cluster", no_wrap=True)
    for head in ("Mpix", "tiles", "CPU min", "worker", "disk"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("reason for refusal", overflow="fold")
    for cluster in plan.clusters:
        if cluster.refusal is not None:
            table.add_row(cluster.name, "", "", "", "", "", cluster.refusal)
            continue
        table.add_row(
            cluster.name,
            f"{cluster.pixels / 1e6:.1f}",
            str(cluster.tiles),
            f"{cluster.cpu_seconds / 60:.1f}",
            binary(cluster.memory),
            decimal(cluster.disk),
            "",
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    runs = plan.runs
    console.print(
        f"{len(runs)} of {len(plan.clusters)} clusters would run: {sum(run.tiles for run in runs)} tiles, "
        f"{sum(run.cpu_seconds for run in runs) / 3600:.2f} CPU hours, about {plan.wall_seconds / 60:.0f} min on "
        f"{plan.workers} workers; {binary(max((run.memory for run in runs), default=0))} per worker, "
        f"{decimal(sum(run.disk for run in runs))} of disk",
        soft_wrap=True,
    )
