"""TLS between driver, scheduler and workers: from files, from Dask's own config, or made for one run.

Whoever reaches a Dask scheduler can have it run code as its owner.  On a machine of one's own that is nobody
else; on the network of a computing centre it is everybody.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tilegc.deferred import Deferred
from tilegc.errors import ConfigError, InputError

if TYPE_CHECKING:
    import dask
    import distributed
    from distributed.security import Security
else:
    dask = Deferred("dask")
    distributed = Deferred("distributed")

__all__ = ["TLS", "as_files", "security_for"]


@dataclass(frozen=True)
class TLS:
    """PEM files, for every role the same."""

    ca: str
    """Certificates of the authority that all others must be signed by."""
    cert: str
    key: str


def security_for(tls: TLS | None, *, encrypt: bool) -> Security | None:
    """Return what secures the connections of a run; None: nothing does.

    Files win; then those of Dask's config (`distributed.comm.tls`), if it asks for encryption; then, with
    `encrypt`, certificates that live as long as the run.

    Raises
    ------
    InputError
        If a file is absent.
    ConfigError
        If certificates cannot be made here.
    """
    if tls is not None:
        for name, path in (("--tls-ca", tls.ca), ("--tls-cert", tls.cert), ("--tls-key", tls.key)):
            if not Path(path).is_file():
                raise InputError(f"{name} {path}: no such file; give a PEM file")
        roles = ("scheduler", "worker", "client")
        files = {f"tls_{role}_{kind}": getattr(tls, kind) for role in roles for kind in ("cert", "key")}
        return distributed.Security(require_encryption=True, tls_ca_file=tls.ca, **files)
    if dask.config.get("distributed.comm.require-encryption", None):
        return distributed.Security()
    if not encrypt:
        return None
    try:
        return distributed.Security.temporary()
    except ImportError:
        raise ConfigError(
            "compute.encrypt: certificates cannot be made here; `pip install cryptography`, give --tls-ca, "
            "--tls-cert and --tls-key, or set it to false"
        ) from None


@contextlib.contextmanager
def as_files(security: Security | None) -> Iterator[TLS | None]:
    """Yield certificates that were made for one run as files, for processes that also connect to its scheduler.

    They are in a directory that only this user can read, and are removed on leaving. None if there is nothing to hand
    on: no encryption, or files that every process finds by itself.
    """
    inline = security is not None and "-----BEGIN" in str(security.tls_ca_file)
    if security is None or not inline:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tilegc-tls-") as folder:
        paths = {}
        for name in ("ca_file", "client_cert", "client_key"):
            paths[name] = Path(folder) / f"{name}.pem"
            paths[name].write_text(str(getattr(security, f"tls_{name}")))
            paths[name].chmod(0o600)
        yield TLS(*(str(path) for path in paths.values()))
