"""`tilegc doctor`: check the installation and the workers."""

from __future__ import annotations

from typing import Annotated

import typer

from tilegc.cli.arguments import ClusterName, Scheduler, TLSAuthority, TLSCertificate, TLSKey, certificates

__all__ = ["doctor"]


def doctor(
    run_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN.yaml]",
            help="Run file (path or URL): start workers as in its compute section, and check its directory.",
        ),
    ] = None,
    warm: Annotated[
        bool, typer.Option("--warm", help="Compile all kernels now, so that the first run need not.")
    ] = False,
    cluster: ClusterName = None,
    scheduler: Scheduler = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
) -> None:
    """Check the installation. With --cluster or --scheduler, check the workers there."""
    from tilegc import config
    from tilegc import doctor as examination
    from tilegc.places import parent

    if warm:
        raise typer.Exit(examination.warm(typer.echo))
    if cluster is None and scheduler is None:
        raise typer.Exit(examination.report(typer.echo))
    compute = None if run_file is None else config.load(run_file).compute
    code = examination.report_workers(
        typer.echo,
        cluster=cluster,
        scheduler=scheduler,
        compute=compute,
        tls=certificates(tls_ca, tls_cert, tls_key),
        beside=None if run_file is None else parent(run_file),
    )
    raise typer.Exit(code)
