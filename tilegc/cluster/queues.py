"""dask-jobqueue's clusters, made to notice what goes wrong: SLURM, PBS and LSF.

As they come they only log a refused submission, wait for ever for a job that ended before its worker came, and
do not replace lost jobs of several workers.  Here each job remembers why it was refused, and the cluster
looks after its jobs: those that are gone are dropped, and `adapt` submits others in their stead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_timedelta
from dask_jobqueue import LSFCluster, PBSCluster, SLURMCluster
from dask_jobqueue.lsf import LSFJob
from dask_jobqueue.pbs import PBSJob
from dask_jobqueue.slurm import SLURMJob
from distributed.core import Status
from tornado.ioloop import PeriodicCallback

__all__ = ["CLUSTERS"]

log = logging.getLogger("tilegc.cluster")

LOOK_SECONDS = 5.0
"""How often the queue is asked for our jobs, all in one command."""
NEW_SECONDS = 4.0
"""A job that was submitted so recently may not be listed yet."""
ANSWER_SECONDS = 10.0
"""How long a command of the queue that still runs at the end is waited for."""
IN_A_ROW = 3
"""So many refused submissions, or jobs ended before their worker came, one after the other: no more will come."""


class _Told:
    """A job that remembers when it was submitted, or why that was refused."""

    refusal: str | None = None
    submitted = 0.0

    async def start(self) -> None:
        try:
            await super().start()  # type: ignore[misc]  # the other base has it
        except (RuntimeError, OSError, ValueError) as error:
            self.refusal = _said(error)
            self.status = Status.running  # the cluster asserts it; `look_after` drops the job
            log.warning("submission refused: %s", self.refusal)
        self.submitted = time.monotonic()

    async def close(self) -> None:
        await super().close()  # type: ignore[misc]
        self.status = Status.closed


class _LookedAfter:
    """A cluster of jobs that drops those which are gone."""

    system = ""
    workers: dict[str, Any]
    scheduler_info: dict[str, Any]
    loop: Any
    sync: Any
    _periodic: PeriodicCallback | None = None

    def look_after(self) -> None:
        """Begin to ask the queue, every few seconds."""
        self.refused: list[str] = []
        self.fruitless: list[str] = []
        self.came = False
        self._idle = asyncio.Event()
        self._idle.set()

        async def look() -> None:
            if not self._idle.is_set():
                return
            self._idle.clear()
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001  (the queue may be away for a while)
                log.warning("%s: cannot check the jobs: %s", self.system, _said(error))
            finally:
                self._idle.set()

        def begin() -> None:
            self._periodic = PeriodicCallback(look, LOOK_SECONDS * 1000)
            self._periodic.start()

        self.loop.add_callback(begin)

    def leave_off(self) -> None:
        """Ask no more: a command that outlives the event loop has nobody who would close its pipes."""

        async def end() -> None:
            if self._periodic is not None:
                self._periodic.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), ANSWER_SECONDS)

        self.sync(end)

    def remove_certificates(self) -> None:
        """Remove the files that the jobs' certificates were handed over in."""
        for name in ("_job_ca_file", "_job_cert", "_job_key"):
            handle = self.__dict__.pop(name, None)
            if handle is not None:
                handle.close()

    def shortage(self) -> str | None:
        """Return why no (more) workers will come, one line; None as long as they may."""
        waiting = [job.refusal for job in list(self.workers.values()) if job.refusal]
        if not self.came and (waiting or self.fruitless):
            return (waiting or self.fruitless)[0]
        for trouble in (self.refused, self.fruitless):
            if len(trouble) >= IN_A_ROW:
                return f"{trouble[-1]} ({IN_A_ROW} times one after the other)"
        return None

    async def states(self) -> dict[str, tuple[str, str]] | None:
        """Return state and reason of each of our jobs that the queue has; None where that cannot be asked."""
        return None

    async def end_of(self, job_id: str) -> str:  # noqa: ARG002
        """Return how a job ended, as far as the queue tells."""
        return "ended"

    async def _look(self) -> None:
        listed = await self.states()
        for name, job in list(self.workers.items()):
            if job.refusal:
                self.refused.append(job.refusal)
            elif (
                listed is None
                or job.job_id in listed
                or self._connected(name)
                or time.monotonic() - job.submitted < NEW_SECONDS
            ):
                continue
            else:
                how = f"job {job.job_id} {await self.end_of(job.job_id)}"
                if name in self._seen:
                    log.warning("%s (worker %s); another one is submitted", how, name)
                else:
                    self.fruitless.append(f"{how} before its worker came{_last_words(job)}")
                    log.warning("%s", self.fruitless[-1])
            await self._drop(name)

    async def _drop(self, name: str) -> None:
        job = self.workers.pop(name, None)
        self._seen.discard(name)
        if job is not None:
            await job.close()

    @property
    def _seen(self) -> set[str]:
        """Names of the jobs of which a worker has come."""
        return self.__dict__.setdefault("_with_worker", set())  # type: ignore[no-any-return]

    def _job_of(self, worker: str) -> str:
        """Return the name of a worker's job: workers of one job bear its name and a number."""
        return worker if worker in self.workers else worker.rpartition("-")[0]

    def _connected(self, job: str) -> bool:
        return any(self._job_of(str(w["name"])) == job for w in self.scheduler_info["workers"].values())

    def _update_worker_status(self, op: str, msg: Any) -> None:
        job = None
        if op == "add":
            for worker in msg["workers"].values():
                self._seen.add(self._job_of(str(worker["name"])))
            self.came = True
            self.__dict__.setdefault("fruitless", []).clear()
            self.__dict__.setdefault("refused", []).clear()
        elif op == "remove":
            job = self._job_of(str(self.scheduler_info["workers"][msg]["name"]))

        def gone() -> None:
            if job in self.workers and not self._connected(job):
                asyncio.ensure_future(self._drop(job))  # noqa: RUF006  (as distributed does)

        super()._update_worker_status(op, msg)  # type: ignore[misc]
        if job is not None:  # distributed does this for jobs of one worker alone
            delay = parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout"))
            asyncio.get_running_loop().call_later(delay, gone)


def _said(error: BaseException) -> str:
    """Return what the queue's command said, one line, of dask-jobqueue's long message."""
    text = str(error)
    if "stderr:\n" in text:
        text = text.partition("stderr:\n")[2] or text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines) or type(error).__name__


def _last_words(job: Any) -> str:
    """Return the last line of a job's log, as far as it is found."""
    if job.log_directory is None:
        return ""
    for end in ("err", "out"):
        for path in Path(job.log_directory).glob(f"*-{job.job_id}.{end}"):
            with contextlib.suppress(OSError):
                lines = [
                    line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()
                ]
                if lines:
                    return f"; its log ends: {lines[-1][:200]}"
    return ""


class _SlurmJob(_Told, SLURMJob):
    pass


class _PbsJob(_Told, PBSJob):
    pass


class _LsfJob(_Told, LSFJob):
    pass


class Slurm(_LookedAfter, SLURMCluster):
    """SLURM."""

    system = "slurm"
    job_cls = _SlurmJob

    async def states(self) -> dict[str, tuple[str, str]] | None:
        """Ask squeue."""
        text = await SLURMJob._call(["squeue", "--me", "--noheader", "--format", "%i|%T|%r"])  # noqa: SLF001
        rows = [line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2]
        return {job_id: (state, reason) for job_id, state, reason in rows}

    async def end_of(self, job_id: str) -> str:
        """Ask scontrol, which remembers jobs for some minutes."""
        try:
            text = await SLURMJob._call(["scontrol", "show", "job", "-o", job_id])  # noqa: SLF001
        except (RuntimeError, OSError):
            return "ended"
        facts = dict(word.partition("=")[::2] for word in text.split())
        return f"ended: {facts.get('JobState', '?')}, exit code {facts.get('ExitCode', '?')}"


class Pbs(_LookedAfter, PBSCluster):
    """PBS: never tried on a real one."""

    system = "pbs"
    job_cls = _PbsJob


class Lsf(_LookedAfter, LSFCluster):
    """LSF: never tried on a real one."""

    system = "lsf"
    job_cls = _LsfJob


CLUSTERS: dict[str, Any] = {"slurm": Slurm, "pbs": Pbs, "lsf": Lsf}
