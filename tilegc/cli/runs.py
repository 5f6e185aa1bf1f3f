"""Commands that run the analysis: `ingest`, `plan`, `audit`, `run`, `detect` and `complete`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tilegc.cli.arguments import (
    ClusterName,
    Output,
    Overwrite,
    Resume,
    RunDir,
    RunFile,
    Scheduler,
    TLSAuthority,
    TLSCertificate,
    TLSKey,
    Workers,
    certificates,
)
from tilegc.cli.progress import pass_progress, tell
from tilegc.cli.results import print_catalogue, print_results
from tilegc.cli.tables import print_audit, print_plan
from tilegc.errors import TilesFailedError

if TYPE_CHECKING:
    from tilegc.config import RunConfig
    from tilegc.run_folder import Run

__all__ = ["audit", "complete", "detect", "ingest", "plan", "run"]


def _read(run_file: str) -> RunConfig:
    """Read the run file first: importing the analysis takes seconds, but a mistake is reported at once."""
    from tilegc import config

    return config.load(run_file)


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
    """Convert the images to Zarr stores, and stop."""
    config = _read(run_file)
    from tilegc import running

    stores = running.ingest_only(
        config,
        output or running.default_directory(run_file),
        workers=workers,
        scheduler=scheduler,
        cluster_name=cluster,
        tls=certificates(tls_ca, tls_cert, tls_key),
        progress=pass_progress(lines=False),
    )
    for path in stores:
        typer.echo(path)


def plan(run_file: RunFile, output: Output = None, workers: Workers = None) -> None:
    """Print the tiles, memory and disk space of a run. Nothing is computed; if the run would be refused, say why."""
    config = _read(run_file)
    from tilegc import previews, running

    run_plan = previews.plan(config, output or running.default_directory(run_file), workers=workers)
    print_plan(run_plan)
    if run_plan.refusals:
        for reason in run_plan.refusals:
            typer.echo(f"tilegc: {reason}", err=True)
        raise typer.Exit(2)


def audit(
    run_file: RunFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check the images and the convergence map before a run. Each check gives a value, a verdict, and what to do."""
    config = _read(run_file)
    from tilegc import previews
    from tilegc.images.audits import rows

    lines = list(rows(previews.audit(config, progress=pass_progress(lines=False))))
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
        typer.Option(
            "--performance-report", metavar="FILE", help="Write the Dask performance report (HTML)."
        ),
    ] = None,
    show_config: Annotated[
        bool,
        typer.Option("--show-config", help="Print every setting with its meaning, unit and value, and stop."),
    ] = False,
    until: Annotated[
        Literal["catalogue"] | None,
        typer.Option("--until", help="Stop after the catalogue; continue later with --resume."),
    ] = None,
) -> None:
    """Run the whole analysis, from images to report. It makes masks, catalogue, density maps, relations and masses."""
    config = _read(run_file)
    if show_config:
        from tilegc.config.annotated import annotated

        typer.echo(annotated(config), nl=False)
        return
    from tilegc import running

    results = running.run(
        config,
        output or running.default_directory(run_file),
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
        print_results(results)
    else:
        print_catalogue(results)
    _end(results)


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
    """Make the catalogue, with masks and detection maps, and stop. Continue with `tilegc run --resume`."""
    config = _read(run_file)
    from tilegc import running

    results = running.detect(
        config,
        output or running.default_directory(run_file),
        workers=workers,
        scheduler=scheduler,
        cluster_name=cluster,
        tls=certificates(tls_ca, tls_cert, tls_key),
        resume=resume,
        overwrite=overwrite,
        progress=pass_progress(),
        tell=tell,
    )
    print_catalogue(results)
    _end(results)


def complete(
    directory: RunDir,
    stars: Annotated[
        int | None,
        typer.Option(
            "--stars",
            metavar="N",
            min=1,
            help="Artificial stars per field; default: twice as many as there are.",
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    cluster: ClusterName = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
) -> None:
    """Add artificial stars to a finished run, for a more precise completeness. Repeat the command if interrupted."""
    from tilegc import completing

    results = completing.complete(
        directory,
        stars,
        workers=workers,
        scheduler=scheduler,
        cluster_name=cluster,
        tls=certificates(tls_ca, tls_cert, tls_key),
        progress=pass_progress(),
        tell=tell,
    )
    print_results(results)
    _end(results)


def _end(found: Run) -> None:
    """End with exit code 3 if tiles were set aside, and name them."""
    set_aside = [
        f"{name} {tile}" for name, tiles in found.manifest.get("set_aside", {}).items() for tile in tiles
    ]
    if not set_aside:
        return
    more = f" and {len(set_aside) - 10} more" if len(set_aside) > 10 else ""
    raise TilesFailedError(
        f"{len(set_aside)} tiles failed on their pixels and count as masked: {', '.join(set_aside[:10])}{more}; "
        "log.txt has the tracebacks: correct the images there and rerun with --overwrite"
    )
