"""Ctrl-C, delivered only where it does no harm.

Python raises KeyboardInterrupt between any two instructions of the main thread. In the constructor or the `__del__`
of one of distributed's futures this leaves a half-initialised object, which then prints errors on the terminal or
swallows the interrupt altogether. A drive therefore holds interrupts back and lets them through while it waits.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["HeldBack", "hurried", "hurry"]

# An event rather than a plain flag: it is set in a signal handler and read in any thread.
_hurry = threading.Event()


def hurry() -> None:
    """Announce that this process will be killed soon, so that it must not wait for long when it stops."""
    _hurry.set()


def hurried() -> bool:
    """Return whether `hurry` was called."""
    return _hurry.is_set()


class HeldBack:
    """A context in which Ctrl-C waits for the next `let_through`, or for the end of the context.

    Only Python's main thread receives signals; in any other thread this does nothing, nor does it if SIGINT is ignored
    or handled outside of Python.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._open = False
        self._came: FrameType | None = None
        self._waits = False

    def __enter__(self) -> Self:
        # `callable` excludes SIG_IGN and SIG_DFL, and None for a handler that C code installed: none of them
        # can be called later, and replacing them would change what Ctrl-C does.
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
        # The old handler is restored first: if it raises, as Python's own does, the context has been left
        # properly.
        before, self._before = self._before, None
        signal.signal(signal.SIGINT, before)
        # An exception that is already under way is the better message; it ends the run as the interrupt
        # would.
        if self._waits and kind is None:
            before(signal.SIGINT, self._came)

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Deliver a pending interrupt, and any that arrives in this block, at once."""
        self._open = True
        try:
            # It may have come before this block began: the wait would otherwise last until the next task
            # ends.
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
