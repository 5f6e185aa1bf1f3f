"""A phase: the arrays that it writes, the passes that it takes over the data, and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from tilegc.phases.output import Output, Part
from tilegc.phases.planned import Planned, Step

__all__ = ["Phase", "Results", "carry_out"]

Result = TypeVar("Result")
Job = TypeVar("Job")
Job_contra = TypeVar("Job_contra", contravariant=True)
Config_contra = TypeVar("Config_contra", contravariant=True)


class Results:
    """What the phases of a run have found so far: one frozen dataclass per phase, looked up by its class.

    Parameters
    ----------
    *values : object
        Results of phases, each of a class of its own.
    """

    def __init__(self, *values: object) -> None:
        self._values = {type(value): value for value in values}

    def __getitem__(self, kind: type[Result]) -> Result:
        """Return the result of this class."""
        value = self._values[kind]
        assert isinstance(value, kind)
        return value

    def __contains__(self, kind: type[object]) -> bool:
        """Return whether the phase that gives this class has run."""
        return kind in self._values

    def get(self, kind: type[Result]) -> Result | None:
        """Return the result of this class; None where the run has none."""
        return self[kind] if kind in self._values else None

    def plus(self, value: object | None) -> Results:
        """Return these results and one more; None is no result."""
        return self if value is None else Results(*self._values.values(), value)


def _nothing(*_: object) -> tuple[()]:
    return ()


def _no_part(*_: object) -> Part:
    return Part()


@dataclass(frozen=True, kw_only=True)
class Phase(Generic[Job_contra, Config_contra]):
    """One phase of the pipeline: its package states what it does, `tilegc.pipeline` what it is given.

    `run`, `plan`, the layout of the stores, the products and the table of passes in the documentation are all derived
    from the list of phases, so a pass that is missing here would be missing from the plan; a test compares the plan
    with the log.
    """

    name: str
    timing: str
    """Key of `timing` in summary.json to which its time is added."""
    arrays: Callable[[Config_contra], tuple[str, ...]] = _nothing
    """States the arrays (`tilegc.schema.ARRAYS`) that it writes into the store of every field."""
    passes: Callable[[Planned], Iterable[Step]] = _nothing
    """States its passes, in the order in which they first appear in the log."""
    write: Callable[[Output, Results], object] = _nothing
    """Writes its products, from its own result and those before it."""
    summarise: Callable[[Output, Results], Part] = _no_part
    """Returns its part of summary.json."""
    run: Callable[[Job_contra, Results], object] = _nothing
    """Runs it on a job, with the results of the phases before it, and returns its own."""

    def by(self, run: Callable[[Job, Results], object]) -> Phase[Job, Config_contra]:
        """Return this phase with the way in which it is run."""
        return Phase(
            name=self.name,
            timing=self.timing,
            arrays=self.arrays,
            passes=self.passes,
            write=self.write,
            summarise=self.summarise,
            run=run,
        )


def carry_out(
    phases: Iterable[Phase[Job_contra, Config_contra]],
    job: Job_contra,
    results: Results,
    timed: Callable[[Phase[Job_contra, Config_contra]], AbstractContextManager[None]] | None = None,
) -> Results:
    """Run phases one after the other.

    Parameters
    ----------
    phases : iterable of Phase
    job
        What they are given.
    results : Results
        Of the phases before.
    timed : callable, optional
        Gives the context in which a phase is run, which takes its time.

    Returns
    -------
    Results
        Those of these phases too.
    """
    for phase in phases:
        with nullcontext() if timed is None else timed(phase):
            results = results.plus(phase.run(job, results))
    return results
