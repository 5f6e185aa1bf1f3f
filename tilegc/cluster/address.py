"""Workers of a scheduler that runs already: by its address, or by the file that it wrote."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tilegc.cluster.workers import Workers, require_same_software
from tilegc.config import Compute
from tilegc.deferred import Deferred
from tilegc.errors import ConfigError, InputError, NoSchedulerError, one_line

if TYPE_CHECKING:
    import distributed
    from distributed import Client
    from distributed.security import Security
else:
    distributed = Deferred("distributed")

__all__ = ["client_at", "remote"]

log = logging.getLogger("tilegc.cluster")

CONNECT_SECONDS = 5.0
"""How long a scheduler may take to be reached."""
GREETING_SECONDS = 15.0
"""How long it may take to greet: one that is busy with its workers takes a while, what is none never does."""
FILE_SECONDS = 30.0
"""How long a scheduler's file may take to appear: in a batch job both start at the same time."""
WORKER_SECONDS = 60.0
"""How long the first worker of a scheduler may take to come."""


@contextlib.contextmanager
def remote(place: str, compute: Compute, security: Security | None = None) -> Iterator[Workers]:
    """Connect to a scheduler.

    Parameters
    ----------
    place : str
        Its address, "tcp://10.0.0.1:8786" or "tls://...", or the path of the .json file that it wrote
        (`dask scheduler --scheduler-file`).
    compute, security
        The run file's section, and what secures the connection.

    Raises
    ------
    InputError
        If no scheduler answers, or it has no workers, or they have other software.
    """
    name = f"--scheduler {place}"
    address = _from_file(Path(place)) if place.endswith(".json") else place
    secured = security is not None or bool(compute.encrypt)
    if "://" not in address:
        address = f"{'tls' if secured else 'tcp'}://{address}"
    if secured and address.startswith("tcp://"):
        raise ConfigError(
            f"{name}: its address is tcp://, which is not encrypted; start it with TLS files, too"
        )
    with client_at(address, name, security) as client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise InputError(
                f"{name}: it has no workers; start some with `dask worker {address} --nthreads 1`"
            ) from None
        differences = require_same_software(client, name)
        log.info("scheduler at %s, dashboard at %s", address, client.dashboard_link)
        yield Workers(client, name, local=False, patience=compute.patience or 60.0, differences=differences)


@contextlib.contextmanager
def client_at(address: str, name: str, security: Security | None) -> Iterator[Client]:
    """Yield a client of the scheduler at an address, or say in one line why there is none."""
    client, reason = None, ""
    try:
        _greet(address, security or distributed.Security())
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False, security=security)
    except Exception as error:  # noqa: BLE001  (what answers there may be anything)
        reason = _reason(error, address, secured=security is not None)
    if client is None:
        # The unfinished client sits in a cycle. Collected later, perhaps while distributed holds the lock of its
        # event loops, its __del__ would wait for that lock in the thread that holds it: for ever.
        gc.collect()
        raise NoSchedulerError(f"{name}: {reason}")
    with client:
        yield client


def _greet(address: str, security: Security) -> None:
    """See that a scheduler is at an address: the client would wait without end for the greeting of something else.

    In a thread of its own, since a notebook's has an event loop already.
    """

    async def greet() -> None:
        arguments = security.get_connection_args("client")
        async with asyncio.timeout(GREETING_SECONDS):
            comm = await distributed.comm.connect(address, timeout=CONNECT_SECONDS, **arguments)
        comm.abort()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, greet()).result()


def _reason(error: BaseException, address: str, *, secured: bool) -> str:
    """Return what is wrong and what to do about it."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if address.startswith("tls://") and not secured:
        return (
            "it asks for certificates; give --tls-ca, --tls-cert and --tls-key, or name them in Dask's config"
        )
    broken = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    # distributed puts some of them in words of its own, without their cause
    told = broken if broken is not None else (error if secured and "SSLError" in str(error) else None)
    if told is not None or (secured and isinstance(error, AssertionError | TypeError)):
        why = "" if told is None else f" ({one_line(told)})"
        return f"it and these certificates do not accept each other{why}; all must be signed by --tls-ca"
    if isinstance(error, TimeoutError) or not isinstance(
        error, OSError | ValueError | TypeError | AssertionError
    ):
        return (
            "something else than a scheduler is there; give the address that `dask scheduler` prints first, not its "
            "dashboard's"
        )
    return (
        f"no scheduler answers there ({one_line(error)}); "
        "start one with `dask scheduler` and give the address that it prints"
    )


def _from_file(path: Path) -> str:
    """Return the address in a scheduler's file."""
    end = time.monotonic() + FILE_SECONDS
    while True:
        try:
            return str(json.loads(path.read_bytes())["address"])
        except FileNotFoundError:
            reason = "no such file"
        except (OSError, ValueError, KeyError, TypeError):  # it may be half written
            reason = "it names no address"
        if time.monotonic() > end or not path.parent.is_dir():
            raise InputError(
                f"--scheduler {path}: {reason}; start one with `dask scheduler --scheduler-file {path}`"
            )
        time.sleep(0.3)
