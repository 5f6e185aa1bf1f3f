"""Where the work is done: workers, their memory, batch jobs and pods."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tilegc.config.values import Memory, Seconds, Section, Texts, whole

__all__ = ["Compute", "Jobs", "Kubernetes"]


class Jobs(Section):
    """The batch jobs of `--cluster slurm`, `pbs` and `lsf`; what is not given comes from Dask's `jobqueue`."""

    queue: str | None = None
    """Partition or queue."""
    account: str | None = None
    walltime: Seconds | None = None
    """Of one job; YAML reads 01:30:00 as text or as seconds, both are right."""
    lifetime: Seconds | None = None
    """After how long a worker leaves by itself, its results handed over; by default shortly before the wall time."""
    workers_per_job: Annotated[int, BeforeValidator(whole), Field(ge=1, le=1024)] | None = None
    interface: str | None = None
    """Network interface of scheduler and workers, e.g. ib0."""
    python: str | None = None
    """Python of the workers; by default the one that runs now."""
    directives: Texts = ()
    """Further lines of the job script's header, e.g. --constraint=skylake."""
    prologue: Texts = ()
    """Shell commands before the worker starts, e.g. module load python."""


class Kubernetes(Section):
    """The pods of `--cluster kubernetes`."""

    manifest: str | None = None
    """A DaskCluster of your own (deploy/kubernetes/cluster/cluster.yaml is one); its name and size are set."""
    image: str | None = None
    """Image of pods without a manifest: they see no volume, so that data must lie in an object store."""
    namespace: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.manifest is not None and self.image is not None:
            raise ValueError("give manifest or image, not both: a manifest names its image")
        return self


class Compute(Section):
    """Where the work is done: of no influence on any result, and free to change on --resume."""

    workers: Annotated[int, BeforeValidator(whole), Field(ge=0, le=100_000)] | None = None
    """Processes of one thread each, in all; --workers wins."""
    memory: Memory | None = None
    """Of one worker, bytes; locally up to nearly the whole machine, in jobs and pods what the plan needs."""
    scratch: str | None = None
    """The workers' own fast disk; variables such as $TMPDIR are theirs."""
    patience: Seconds | None = None
    """How long a run goes on waiting when there is no worker at all."""
    encrypt: bool | None = None
    """Whether driver, scheduler and workers talk TLS with certificates made for this run (jobs: yes)."""
    jobs: Jobs = Jobs()
    kubernetes: Kubernetes = Kubernetes()

    @field_validator("workers", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("a number of workers is meant")  # noqa: TRY004  (pydantic wants ValueError)
        return value
