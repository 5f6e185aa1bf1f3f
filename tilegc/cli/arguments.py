"""Arguments and options shared by several commands."""

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

RunFile = Annotated[str, typer.Argument(metavar="RUN.yaml", help="Run file (path or URL).")]
RunDir = Annotated[str, typer.Argument(metavar="DIR", help="Run directory (path or URL).")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Run directory (path or URL); default: <run file>-run, beside the run file.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Number of single-threaded worker processes; 0 = run in this process. Default: one per core, or 0 if the "
        "fields are small.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use a running Dask scheduler, tcp://host:8786 or a scheduler file (.json).",
    ),
]
ClusterName = Annotated[
    str | None,
    typer.Option("--cluster", metavar="NAME", help="Start workers on: local, slurm, pbs, lsf or kubernetes."),
]
TLSAuthority = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="PEM", help="Certificate of the authority that signed all certificates."
    ),
]
TLSCertificate = Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="Client certificate.")]
TLSKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="PEM", help="Key of the client certificate.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Delete the files of an earlier run and start over.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print warnings and errors only, no progress and no results.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the summary of the run as JSON, and nothing else, on stdout.")
]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not verify the checksums of the products.")]


def certificates(ca: Path | None, cert: Path | None, key: Path | None) -> TLS | None:
    """Return the three files, or None if none of them is given."""
    if ca is None and cert is None and key is None:
        return None
    if ca is None or cert is None or key is None:
        raise ConfigError(
            "--tls-ca, --tls-cert and --tls-key belong together: give all three, or set them in Dask's configuration"
        )
    from tilegc.cluster import TLS

    return TLS(str(ca), str(cert), str(key))
