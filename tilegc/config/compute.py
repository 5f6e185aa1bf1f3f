"""The section `compute`: workers, their memory, batch jobs and pods."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tilegc.config.values import Memory, Seconds, Section, Texts, Unit, whole

__all__ = ["Compute", "Jobs", "Kubernetes"]


class Jobs(Section):
    """Batch jobs of `--cluster slurm`, `pbs` and `lsf`; settings that are missing here come from Dask's `jobqueue`."""

    queue: str | None = None
    """Partition or queue of the jobs."""
    account: str | None = None
    """Account to which the jobs are charged."""
    walltime: Annotated[Seconds | None, Unit("s")] = None
    """Wall time of a job, in seconds or as 01:30:00."""
    lifetime: Annotated[Seconds | None, Unit("s")] = None
    """A worker leaves after this time and hands over its results; by default shortly before the wall time."""
    workers_per_job: Annotated[int, BeforeValidator(whole), Field(ge=1, le=1024)] | None = None
    """Number of workers that one job starts."""
    interface: str | None = None
    """Network interface of scheduler and workers, e.g. ib0."""
    python: str | None = None
    """Python interpreter of the workers; by default the current one."""
    directives: Texts = ()
    """Additional lines for the header of the job script, e.g. --constraint=skylake."""
    prologue: Texts = ()
    """Shell commands before the worker starts, e.g. module load python."""


class Kubernetes(Section):
    """Pods of `--cluster kubernetes`."""

    manifest: str | None = None
    """A DaskCluster manifest of your own, such as deploy/kubernetes/cluster/cluster.yaml; name and size are set by
    tilegc."""
    image: str | None = None
    """Image of the pods if there is no manifest. They mount no volume, so data must be in an object store."""
    namespace: str | None = None
    """Namespace of the pods; by default the current one."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.manifest is not None and self.image is not None:
            raise ValueError("give manifest or image, not both: a manifest names its own image")
        return self


class Compute(Section):
    """Where the work is done. Nothing here affects a result, and all of it may change with --resume."""

    workers: Annotated[int, BeforeValidator(whole), Field(ge=0, le=100_000)] | None = None
    """Total number of single-threaded worker processes; --workers takes precedence."""
    memory: Annotated[Memory | None, Unit("bytes")] = None
    """Memory per worker, in bytes or as 4 GiB; by default nearly all of the machine, or in jobs and pods what the plan
    requires."""
    scratch: str | None = None
    """Fast local disk of the workers; variables such as $TMPDIR are expanded on the worker."""
    patience: Annotated[Seconds | None, Unit("s")] = None
    """How long a run waits when there are no workers."""
    encrypt: bool | None = None
    """Whether driver, scheduler and workers use TLS with certificates made for this run (default for batch jobs)."""
    jobs: Jobs = Jobs()
    """Batch jobs; see the section `compute.jobs`."""
    kubernetes: Kubernetes = Kubernetes()
    """Pods; see the section `compute.kubernetes`."""

    @field_validator("workers", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("expected a number of workers")  # noqa: TRY004  (pydantic requires ValueError)
        return value
