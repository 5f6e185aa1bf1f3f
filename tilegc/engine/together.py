"""Independent calls, run in parallel on an engine's workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tilegc.engine.serial import SerialEngine
from tilegc.engine.work import Engine, Unit

__all__ = ["Call", "Shared", "Stored", "bounded", "together"]

# Beyond this size the driver works alone on what it holds: slower, but within the memory that the plan
# counts.
SENT: Final = 128 * 2**20
"""Maximum number of bytes sent to every worker: data that grow with the mosaic would at some size not fit there."""


def bounded(engine: Engine, nbytes: int) -> Engine:
    """Return the engine for work on so many bytes: the workers, or this process alone, which holds them already."""
    return engine if nbytes <= SENT else SerialEngine(engine.progress)


class Stored:
    """A large object that is also in a file: a process to which it is sent reads it from there.

    Parameters
    ----------
    value : object
        The object in this process.
    read : callable
        Returns the same object when called with `args`; picklable.
    """

    def __init__(self, value: Any, read: Callable[..., Any], *args: Any) -> None:
        # Where `cached_property` would put it: this process never reads the file, and a copy that was sent
        # has no such entry.
        self.__dict__["value"] = value
        self.read, self.args = read, args

    @cached_property
    def value(self) -> Any:
        """The object, read on first access."""
        return self.read(*self.args)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to another process, which excludes the value."""
        return {"read": self.read, "args": self.args}


@dataclass(frozen=True)
class Shared:
    """A placeholder for an argument that several calls share."""

    name: str


class Call:
    """A function and its arguments, which are picklable or `Shared`."""

    def __init__(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        self.function, self.args, self.options = function, args, options


def together(
    engine: Engine, name: str, calls: Mapping[str, Call], shared: Mapping[str, Any]
) -> dict[str, Any]:
    """Make all calls and return their results by name.

    Parameters
    ----------
    engine : Engine
        The engine that makes the calls; shared arguments are sent to a worker once.
    name : str
        For progress and messages.
    calls : mapping of str to Call
        Calls by name, the longest first.
    shared : mapping
        Values of the `Shared` arguments; a `Stored` is replaced by its value.
    """
    # One call a task, the longest first: with several in one task, the longest would be waited for by the
    # others' results.
    units = [Unit(key, 0, (key, call)) for key, call in calls.items()]
    found = engine.run(name, _do, units, common=dict(shared), combine=_both, units_per_task=1)
    return dict(found or {})


def _do(shared: Mapping[str, Any], payload: tuple[str, Call]) -> dict[str, Any]:
    key, call = payload

    def given(argument: Any) -> Any:
        found = shared[argument.name] if isinstance(argument, Shared) else argument
        return found.value if isinstance(found, Stored) else found

    options = {name: given(value) for name, value in call.options.items()}
    return {key: call.function(*map(given, call.args), **options)}


def _both(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return {**a, **b}
