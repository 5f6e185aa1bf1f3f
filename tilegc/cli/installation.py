"""`tilegc doctor`: whether the installation and the workers do."""

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
            help="Its compute: section says what to start; beside it, runs lie. A path or a URL.",
        ),
    ] = None,
    cluster: ClusterName = None,
    scheduler: Scheduler = None,
    tls_ca: TLSAuthority = None,
    tls_cert: TLSCertificate = None,
    tls_key: TLSKey = None,
) -> None:
    """Say what of the installation works. With --cluster or --scheduler: whether workers there do."""
    from tilegc import config  # noqa: PLC0415
    from tilegc import doctor as examination  # noqa: PLC0415
    from tilegc.places import parent  # noqa: PLC0415

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
