"""The command about many clusters: `survey`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

import typer

from tilegc.cli.arguments import (
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

COLOURS = {"done": "green", "running": "cyan", "failed": "bold red", "refused": "red", "stalled": "yellow"}


def survey(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SAMPLE | plan SAMPLE | status DIR",
            help="The sample file (YAML, CSV, ECSV, VOTable or Parquet), or what to say of a sample.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder of the sample; default: <sample file>-runs."
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
    drivers: Annotated[
        int | None, typer.Option(min=1, help="Clusters in flight; default: one more than workers.")
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    only: Annotated[str, typer.Option(metavar="NAME,...", help="Run these clusters alone.")] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run the clusters again that failed.")
    ] = False,
) -> None:
    """Run many clusters: every one an ordinary run, all of them on the same workers."""
    from tilegc import samples  # noqa: PLC0415
    from tilegc.samples.sample import default_output  # noqa: PLC0415

    asked, path = (words[0], words[1]) if len(words) == 2 else ("run", words[0])
    if len(words) > 2 or asked not in {"run", "plan", "status"}:
        raise ConfigError(f"survey {' '.join(words)}: give SAMPLE, plan SAMPLE or status DIR")
    if asked == "status":
        _print_status(samples.sample_status(path))
        return
    sample = samples.load_sample(path)
    folder = output or default_output(path)
    if asked == "plan":
        from tilegc.places import place  # noqa: PLC0415

        _print_plan(samples.plan_sample(sample, place(folder), workers if workers is not None else _cores()))
        return
    with _Live() as live:
        outcomes = samples.survey(
            sample,
            folder,
            workers=workers,
            scheduler=scheduler,
            tls=certificates(tls_ca, tls_cert, tls_key),
            drivers=drivers,
            resume=resume,
            overwrite=overwrite,
            only=tuple(name for name in only.split(",") if name),
            retry_failed=retry_failed,
            watch=live.show,
        )
    bad = [one for one in outcomes if one.state in {"failed", "refused"}]
    done = sum(one.state == "done" for one in outcomes)
    typer.echo(f"{done} of {len(outcomes)} clusters done; the table of all is {folder}/clusters.parquet")
    for one in bad:
        typer.echo(f"tilegc: {one.name}: {one.state}: {one.message}", err=True)
    if bad:
        raise typer.Exit(3 if done else 2 if all(one.state == "refused" for one in bad) else 1)


def _cores() -> int:
    from dask.system import CPU_COUNT  # noqa: PLC0415

    return int(CPU_COUNT)


class _Live:
    """A table that follows the clusters on a terminal; elsewhere a line for each one that ends."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

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
        """Show how far all clusters are."""
        if self.live is not None:
            self.live.update(_table(statuses))
            return
        for one in statuses:
            if one.state == "done" and self.states.get(one.name) != "done":
                typer.echo(f"{one.name}: done")
            self.states[one.name] = one.state


def _table(statuses: Sequence[ClusterStatus]) -> Table:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("cluster", "state", "what it does, or why it ended"):
        table.add_column(head, overflow="fold")
    for one in statuses:
        table.add_row(one.name, Text(one.state, style=COLOURS.get(one.state, "")), one.doing)
    return table


def _print_status(statuses: Sequence[ClusterStatus]) -> None:
    from rich.console import Console  # noqa: PLC0415

    Console(highlight=False).print(_table(statuses))
    counted = {one.state: 0 for one in statuses}
    for one in statuses:
        counted[one.state] += 1
    typer.echo(", ".join(f"{count} {state}" for state, count in counted.items()))


def _print_plan(found: SamplePlan) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("cluster", no_wrap=True)
    for head in ("Mpix", "tiles", "CPU min", "worker", "disk"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("refused because", overflow="fold")
    for one in found.clusters:
        if one.refusal is not None:
            table.add_row(one.name, "", "", "", "", "", one.refusal)
            continue
        table.add_row(
            one.name,
            f"{one.pixels / 1e6:.1f}",
            str(one.tiles),
            f"{one.cpu_seconds / 60:.1f}",
            binary(one.memory),
            decimal(one.disk),
            "",
        )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    runs = found.runs
    console.print(
        f"{len(runs)} of {len(found.clusters)} clusters would run: {sum(one.tiles for one in runs)} tiles, "
        f"{sum(one.cpu_seconds for one in runs) / 3600:.2f} CPU hours, about {found.wall_seconds / 60:.0f} min on "
        f"{found.workers} workers; {binary(max((one.memory for one in runs), default=0))} a worker, "
        f"{decimal(sum(one.disk for one in runs))} of disk",
        soft_wrap=True,
    )
