"""SIGTERM and SIGHUP are handled like Ctrl-C, so that the run directory is left in order.

`scancel`, the preemption of a job and the end of a pod send SIGTERM and kill the process some 30 s later; closing the
terminal sends SIGHUP.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["answered"]


@contextmanager
def answered() -> Iterator[list[int]]:
    """Turn SIGTERM and SIGHUP into SIGINT while the context is active.

    The handler of SIGINT then decides what to do; it postpones the interrupt where that would do harm. A signal that
    is ignored, as under `nohup`, remains ignored. A shell without job control starts background jobs with SIGINT
    ignored: these still do not hear Ctrl-C, but SIGTERM and SIGHUP end them.

    Yields
    ------
    list of int
        Receives the number of every signal that arrives.
    """
    received: list[int] = []

    def answer(number: int, _frame: FrameType | None) -> None:
        first = not received
        received.append(number)
        # Schedulers repeat the signal; acting on the second one would interrupt the orderly exit.
        if first:
            # Look the module up instead of importing it: most commands never load the engine, and a signal handler
            # must not start to import it.
            engine = sys.modules.get("tilegc.engine.interrupt")
            if engine is not None:
                engine.hurry()
            signal.raise_signal(signal.SIGINT)

    def passed_on(number: int, frame: FrameType | None) -> None:
        """Ignore SIGINT but for the one that `answer` raises."""
        if received:
            signal.default_int_handler(number, frame)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, answer)
        if before and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            before[signal.SIGINT] = signal.signal(signal.SIGINT, passed_on)
    try:
        yield received
    finally:
        for handled, previous in before.items():
            signal.signal(handled, previous)
