"""Commands that run the analysis: `ingest`, `plan`, `audit`, `run`, `detect` and `complete`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tilegc.cli.arguments import (
    AsJson,
    ClusterName,
    Output,
    Overwrite,
    Quiet,
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
from tilegc.cli.progress import keep_quiet, pass_progress, tell
from tilegc.cli.results import print_catalogue, print_json, print_results, print_warnings
from tilegc.cli.tables import plan_as_json, print_audit, print_plan
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


def plan(
    run_file: RunFile,
    output: Output = None,
    workers: Workers = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Print the tiles, memory, disk space and rough time of a run. Nothing is computed; a refusal is explained."""
    config = _read(run_file)
    from tilegc import previews, running

    run_plan = previews.plan(config, output or running.default_directory(run_file), workers=workers)
    if as_json:
        typer.echo(json.dumps(plan_as_json(run_plan), indent=2, allow_nan=False))
    else:
        print_plan(run_plan)
    if run_plan.refusals:
        for reason in run_plan.refusals:
            typer.echo(f"tilegc: {reason}", err=True)
        raise typer.Exit(2)


def audit(
    run_file: RunFile,
    everything: Annotated[
        bool, typer.Option("--all", help="Print all checks, not only those that found a problem.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all checks as JSON.")] = False,
) -> None:
    """Check the images and the convergence map before a run. Each check gives a value, a verdict, and what to do."""
    config = _read(run_file)
    from tilegc import previews
    from tilegc.images.audits import rows

    lines = list(rows(previews.audit(config, progress=pass_progress(lines=False))))
    if as_json:
        typer.echo(json.dumps({"audit": lines}, indent=2, allow_nan=False))
    else:
        print_audit(lines, everything=everything)


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
    quiet: Quiet = False,
    as_json: AsJson = False,
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
        progress=pass_progress(quiet=quiet or as_json),
        tell=keep_quiet if quiet or as_json else tell,
        until=until,
    )
    _show(results, catalogue=until is not None, quiet=quiet, as_json=as_json)


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
    quiet: Quiet = False,
    as_json: AsJson = False,
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
        progress=pass_progress(quiet=quiet or as_json),
        tell=keep_quiet if quiet or as_json else tell,
    )
    _show(results, catalogue=True, quiet=quiet, as_json=as_json)


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
    quiet: Quiet = False,
    as_json: AsJson = False,
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
        progress=pass_progress(quiet=quiet or as_json),
        tell=keep_quiet if quiet or as_json else tell,
    )
    _show(results, catalogue=False, quiet=quiet, as_json=as_json)


def _show(results: Run, *, catalogue: bool, quiet: bool, as_json: bool) -> None:
    """Print what a run found, and end with the exit code that says whether tiles were set aside."""
    if as_json:
        print_json(results)
    elif quiet:
        if not catalogue:
            print_warnings(results, err=True)
    elif catalogue:
        print_catalogue(results)
    else:
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
