"""Signals that end a process politely are answered as Ctrl-C is: the run's folder is left in order.

`scancel`, a preempted job and the end of a pod send SIGTERM, and kill some 30 s later; a closed terminal sends SIGHUP.
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
    """Turn SIGTERM and SIGHUP into SIGINT as long as the context lasts.

    SIGINT's own handler then decides, which holds it back where it would do harm.  A signal that is ignored
    (`nohup`) stays so.

    Yields
    ------
    list of int
        Receives the numbers of the signals that came.
    """
    came: list[int] = []

    def answer(number: int, _frame: FrameType | None) -> None:
        first = not came
        came.append(number)
        # Schedulers repeat the signal; acting on the second one would interrupt the orderly exit.
        if first:
            # Looked up, not imported: most commands never load the engine, and a handler must not begin to.
            engine = sys.modules.get("tilegc.engine.interrupt")
            if engine is not None:
                engine.hurry()
            signal.raise_signal(signal.SIGINT)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, answer)
    try:
        yield came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
