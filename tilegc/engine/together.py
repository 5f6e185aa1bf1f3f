"""Calls that do not wait for one another, side by side on an engine's workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tilegc.engine.serial import SerialEngine
from tilegc.engine.work import Engine, Unit

__all__ = ["Call", "Shared", "Stored", "bounded", "together"]

SENT: Final = 128 * 2**20
"""Bytes that are sent to every worker at the most: what grows with the mosaic would not fit there one day."""


def bounded(engine: Engine, nbytes: int) -> Engine:
    """Return who does work that needs so many bytes: the workers, or this process alone, which holds them already."""
    return engine if nbytes <= SENT else SerialEngine(engine.progress)


class Stored:
    """Something large that stands in a file, too: a process to which it is sent reads it there.

    Parameters
    ----------
    value : object
        What this process holds already.
    read : callable
        Returns the same of `args`; picklable.
    """

    def __init__(self, value: Any, read: Callable[..., Any], *args: Any) -> None:
        self.__dict__["value"] = value
        self.read, self.args = read, args

    @cached_property
    def value(self) -> Any:
        """What it is: read when it is first asked for."""
        return self.read(*self.args)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent: not the value."""
        return {"read": self.read, "args": self.args}


@dataclass(frozen=True)
class Shared:
    """Stands for one of the things that several calls are given."""

    name: str


class Call:
    """A function and its arguments: picklable ones, or `Shared`."""

    def __init__(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        self.function, self.args, self.options = function, args, options


def together(
    engine: Engine, name: str, calls: Mapping[str, Call], shared: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what every call returns, by its name.

    Parameters
    ----------
    engine : Engine
        Who does them; what is shared is sent to a worker once.
    name : str
        For progress and messages.
    calls : mapping of str to Call
        The longest first.
    shared : mapping
        What `Shared` stands for; a `Stored` for its value.
    """
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
