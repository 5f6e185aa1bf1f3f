"""The workers of a run: a client to reach them, and what the run must know of them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegc.cluster.asking import ask, is_gone
from tilegc.deferred import Deferred
from tilegc.errors import ConfigError, InputError, one_line
from tilegc.run_folder.token import Token
from tilegc.schema import VERSION

if TYPE_CHECKING:
    import distributed
    from distributed import Client
else:
    distributed = Deferred("distributed")

__all__ = ["Workers", "no_shortage", "require_same_software"]

log = logging.getLogger("tilegc.cluster")

ARITHMETIC = ("numpy", "numba", "llvmlite")
"""Libraries that compute pixels on workers: another version may change a last bit, and with it every product."""
LIBRARIES = ("scipy", "astropy", "zarr", "numcodecs")
"""Libraries that workers use for bookkeeping, and for what does not reach a product's bytes."""
PROTOCOL = ("dask", "distributed", "cloudpickle", "msgpack")
"""Libraries that driver, scheduler and workers talk with."""


def no_shortage() -> str | None:
    """Say that workers may come at any time."""
    return None


@dataclass(frozen=True)
class Workers:
    """Who does the work of a run."""

    client: Client | None
    """None: this process."""
    name: str = "this process"
    """As the user named them, for messages: "--scheduler tcp://..."."""
    local: bool = True
    """Whether they are on this machine, share its memory and see its files."""
    patience: float = 60.0
    """Seconds that a run goes on without any of them."""
    expected: int | None = None
    """How many there will be, threads in all, where more are still to come."""
    memory: int | None = None
    """Bytes that each may take, where that is known before the first has come."""
    differences: tuple[str, ...] = ()
    """What their software or processors have that differs from this process, a line for every worker."""
    shortage: Callable[[], str | None] = field(default=no_shortage)
    """Why no more of them will come; None as long as some may."""

    @property
    def threads(self) -> int:
        """How many tiles can be worked on at the same time; at least 1."""
        if self.client is None:
            return 1
        threads: int = sum(self.client.nthreads().values())
        return max(1, self.expected or 0, threads)

    @property
    def memory_limit(self) -> int | None:
        """Bytes that the smallest of them may take; None where nobody knows."""
        if self.client is None:
            return self.memory
        limits = [int(worker.get("memory_limit") or 0) for worker in described(self.client).values()]
        known = [limit for limit in (*limits, self.memory or 0) if limit]
        return min(known, default=None)

    @contextlib.contextmanager
    def performance_report(self, path: str | Path | None) -> Iterator[None]:
        """Write Dask's page about what is done in this context: one HTML file that needs no network."""
        if path is None:
            yield
            return
        if self.client is None:
            raise ConfigError(
                "--performance-report: there are no workers to report on; leave out --workers 0"
            )
        place = Path(path)
        if place.is_dir():
            raise ConfigError(f"--performance-report {place}: is a directory; give the name of an .html file")
        if not place.absolute().parent.is_dir():
            raise ConfigError(
                f"--performance-report {place}: there is no directory {place.absolute().parent}"
            )
        with self.client.as_current():
            page = distributed.performance_report(str(place), mode="inline")
            page.__enter__()
            try:
                yield
            finally:
                try:
                    page.__exit__(None, None, None)
                except Exception as error:  # noqa: BLE001  (a lost scheduler: the run has its own error)
                    log.warning("--performance-report: not written: %s", one_line(error))

    def admit(self, token: Token) -> None:
        """Have every worker see the run's folder and its inputs.

        Raises
        ------
        InputError
            If one does not, or does not answer; it is named.
        """
        if self.client is None or self.local:
            return
        names = described(self.client)
        for address, problem in _answers(self.client, token.problem, self.name).items():
            if isinstance(problem, Exception):
                raise InputError(
                    f"{self.name}: worker {label(names.get(address, {}), address)} cannot read the run directory "
                    f"({one_line(problem)}); stop it, or fix it"
                )
            if problem is not None:
                raise InputError(
                    f"{self.name}: worker {label(names.get(address, {}), address)} {problem}; run directory and "
                    "inputs must be accessible to every worker under the same path"
                )


def described(client: Client) -> Mapping[str, Mapping[str, Any]]:
    """Return what the scheduler knows of every worker, by address."""
    found: Mapping[str, Mapping[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def label(worker: Mapping[str, Any], address: str) -> str:
    """Return a worker's name and address as text."""
    name = str(worker.get("name", address))
    return address if name == address else f"{name} ({address})"


def require_same_software(client: Client, name: str) -> tuple[str, ...]:
    """Require that the workers have this tilegc, this Python, and the same versions of what talks and computes.

    Returns
    -------
    tuple of str
        What else differs, a line for every worker: other libraries, or features of the processor, on which the last
        digits of some columns may depend. The manifest lists them.

    Raises
    ------
    InputError
        If a worker cannot be asked, or has other software.
    """
    mine = _software()
    others = _answers(client, _software, name)
    names = described(client)
    found = []
    for address, theirs in others.items():
        who = label(names.get(address, {}), address)
        if isinstance(theirs, Exception):  # whatever the import there raises
            raise InputError(
                f"{name}: worker {who} cannot import tilegc ({one_line(theirs)}); install it there"
            )
        for package in ("tilegc", "python", *PROTOCOL, *ARITHMETIC):
            if theirs[package] != mine[package]:
                raise InputError(
                    f"{name}: worker {who} has {package} {theirs[package]}, this process has {mine[package]}; "
                    "install both from one requirements.lock"
                )
        odd = [f"{key} {theirs[key]} (here {mine[key]})" for key in mine if theirs[key] != mine[key]]
        if odd:
            found.append(f"worker {who}: {', '.join(odd)}")
            log.warning(
                "worker %s has other software or another processor, and last digits may differ: %s",
                who,
                ", ".join(odd),
            )
    return tuple(found)


def _answers(client: Client, function: Callable[[], Any], name: str) -> dict[str, Any]:
    """Ask every worker; those that have just left are left out, one that does not answer is named.

    Raises
    ------
    InputError
        If one does not answer in time.
    """
    names = described(client)
    answers = ask(client, function)
    for address, answer in answers.items():
        if isinstance(answer, TimeoutError):
            raise InputError(
                f"{name}: worker {label(names.get(address, {}), address)} does not answer ({answer}): it hangs, or its "
                "network does; end it, then start again"
            )
    return {address: answer for address, answer in answers.items() if not is_gone(answer)}


def _software() -> dict[str, str]:
    from tilegc.run_folder.manifest import environment  # noqa: PLC0415  (on the worker)

    found = {"tilegc": VERSION, "python": ".".join(platform.python_version_tuple()[:2])}
    for package in (*PROTOCOL, *ARITHMETIC, *LIBRARIES):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    found["CPU features"] = " ".join(environment()["simd"])
    return found
