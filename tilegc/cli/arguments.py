"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tilegc.errors import ConfigError

if TYPE_CHECKING:
    from tilegc.cluster import TLS

__all__ = [
    "ClusterName",
    "NoCheck",
    "Output",
    "Overwrite",
    "Resume",
    "RunDir",
    "RunFile",
    "Scheduler",
    "TLSAuthority",
    "TLSCertificate",
    "TLSKey",
    "Workers",
    "certificates",
]

RunFile = Annotated[str, typer.Argument(metavar="RUN.yaml", help="The run file: a path or a URL.")]
RunDir = Annotated[str, typer.Argument(metavar="DIR", help="Folder of a run: a path or a URL.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder of the run, or URL; default: <run file>-run beside it."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes of one thread each; default: one a core; 0: none, all in this process.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="A Dask scheduler: tcp://host:8786, or its .json file.",
    ),
]
ClusterName = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="NAME", help="Start workers of this kind: local, slurm, pbs, lsf or kubernetes."
    ),
]
TLSAuthority = Annotated[
    Path | None,
    typer.Option("--tls-ca", metavar="PEM", help="Certificate of the authority that all must be signed by."),
]
TLSCertificate = Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="Our certificate.")]
TLSKey = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its key.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an earlier start of the same run ended.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove what an earlier run wrote there, and start anew.")
]
NoCheck = Annotated[
    bool, typer.Option("--no-check", help="Read products without comparing them with their digests.")
]


def certificates(ca: Path | None, cert: Path | None, key: Path | None) -> TLS | None:
    """Return the three files, or None where none is given."""
    if ca is None and cert is None and key is None:
        return None
    if ca is None or cert is None or key is None:
        raise ConfigError("--tls-ca, --tls-cert and --tls-key: give all three, or name them in Dask's config")
    from tilegc.cluster import TLS  # noqa: PLC0415

    return TLS(str(ca), str(cert), str(key))
