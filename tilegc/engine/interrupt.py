"""Ctrl-C, let through only where it does no harm.

Python raises KeyboardInterrupt between any two instructions of the main thread.  In the constructor or the
`__del__` of one of distributed's futures that leaves a half-made object, which then grumbles on the terminal,
or swallows the interrupt altogether.  So a drive holds it back and lets it through while it waits.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["HeldBack", "hurried", "hurry"]

_hurry = threading.Event()


def hurry() -> None:
    """Say that this process will be killed soon: what it waits for on leaving must be short."""
    _hurry.set()


def hurried() -> bool:
    """Whether `hurry` was called."""
    return _hurry.is_set()


class HeldBack:
    """A context in which Ctrl-C waits for the next `let_through`, or for the end of the context.

    Only Python's main thread gets signals; in any other this does nothing, and so it does where SIGINT is
    ignored or answered outside of Python.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._open = False
        self._came: FrameType | None = None
        self._waits = False

    def __enter__(self) -> Self:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._answer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            return
        before, self._before = self._before, None
        signal.signal(signal.SIGINT, before)
        if self._waits and kind is None:
            before(signal.SIGINT, self._came)

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Answer what came, and what comes in this block, at once."""
        self._open = True
        try:
            if self._waits and self._before is not None:
                self._waits = False
                self._before(signal.SIGINT, self._came)
            yield
        finally:
            self._open = False

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if self._open:
            self._before(number, frame)
        else:
            self._came, self._waits = frame, True
