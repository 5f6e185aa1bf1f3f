"""Commands about a run file: `ingest`, `plan`, `audit`, `run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from tilegc.cli.arguments import (
    ClusterName,
    Output,
    Overwrite,
    Resume,
    RunFile,
    Scheduler,
    TLSAuthority,
    TLSCertificate,
    TLSKey,
    Workers,
    certificates,
)
from tilegc.cli.progress import pass_progress, tell
from tilegc.cli.results import print_catalogue, print_found
from tilegc.cli.tables import print_audit, print_plan

__all__ = ["audit", "detect", "ingest", "plan", "run"]


def _refuse_mistakes(run_file: str) -> None:
    """Read the run file before anything of the chain is imported, which takes seconds: a typo is answered at once."""
    from tilegc import config  # noqa: PLC0415

    config.load(run_file)


def ingest(
    run_file: RunFile,
    output: Output = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    cluster: ClusterName = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
) -> None:
    """Write the Zarr stores alone."""
    _refuse_mistakes(run_file)
    from tilegc import running  # noqa: PLC0415

    directory = output or running.default_directory(run_file)
    stores = running.ingest_only(
        run_file,
        directory,
        workers=workers,
        scheduler=scheduler,
        cluster_name=cluster,
        tls=certificates(tls_ca, tls_cert, tls_key),
        progress=pass_progress(lines=False),
    )
    for path in stores:
        typer.echo(path)


def plan(run_file: RunFile, output: Output = None, workers: Workers = None) -> None:
    """Say what a run will take, or why it is refused. Nothing is computed."""
    _refuse_mistakes(run_file)
    from tilegc import running  # noqa: PLC0415

    found = running.plan(run_file, output or running.default_directory(run_file), workers=workers)
    print_plan(found)
    if found.refusals:
        for reason in found.refusals:
            typer.echo(f"tilegc: {reason}", err=True)
        raise typer.Exit(2)


def audit(
    run_file: RunFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as JSON.")] = False,
) -> None:
    """Look at the images and the map before a run. Each line: value, verdict, what to do."""
    _refuse_mistakes(run_file)
    from tilegc import running  # noqa: PLC0415
    from tilegc.images.audits import rows  # noqa: PLC0415

    lines = list(rows(running.audit(run_file, progress=pass_progress(lines=False))))
    if as_json:
        typer.echo(json.dumps({"audit": lines}, indent=2, allow_nan=False))
    else:
        print_audit(lines)


def run(
    run_file: RunFile,
    output: Output = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    cluster: ClusterName = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    performance_report: Annotated[
        Path | None,
        typer.Option("--performance-report", metavar="FILE", help="Write Dask's page about the run, HTML."),
    ] = None,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print the resolved run file.")] = False,
    until: Annotated[
        Literal["catalogue"] | None,
        typer.Option("--until", help="Stop there: catalogue. --resume continues."),
    ] = None,
) -> None:
    """Run the whole chain, from images to report. On the way: masks, catalogue, maps, relations."""
    from tilegc import config  # noqa: PLC0415

    if show_config:
        typer.echo(config.dump(config.load(run_file)), nl=False)
        return
    _refuse_mistakes(run_file)
    from tilegc import running  # noqa: PLC0415

    found = running.run(
        run_file,
        output,
        workers=workers,
        scheduler=scheduler,
        cluster_name=cluster,
        tls=certificates(tls_ca, tls_cert, tls_key),
        performance_report=performance_report,
        resume=resume,
        overwrite=overwrite,
        progress=pass_progress(),
        tell=tell,
        until=until,
    )
    if until is None:
        print_found(found)
    else:
        print_catalogue(found)


def detect(
    run_file: RunFile,
    output: Output = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    cluster: ClusterName = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Run the chain up to the catalogue. `tilegc run --resume` continues to the rest."""
    _refuse_mistakes(run_file)
    from tilegc import running  # noqa: PLC0415

    found = running.detect(
        run_file,
        output,
        workers=workers,
        scheduler=scheduler,
        cluster_name=cluster,
        tls=certificates(tls_ca, tls_cert, tls_key),
        resume=resume,
        overwrite=overwrite,
        progress=pass_progress(),
        tell=tell,
    )
    print_catalogue(found)
