"""What moves while a command works."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tilegc.engine import Progress

__all__ = ["SimulationBar", "pass_progress", "tell"]


def pass_progress(*, lines: bool = True) -> Progress:
    """Return what shows the passes: bars on a terminal; elsewhere a line each, or nothing."""
    from rich.console import Console  # noqa: PLC0415

    from tilegc.engine import RichProgress, Silent  # noqa: PLC0415

    if not (lines or sys.stderr.isatty()):
        return Silent()
    # Bars belong to a terminal; in a log stderr is for errors alone, and a pass's line goes with the results.
    return RichProgress(Console(stderr=sys.stderr.isatty(), highlight=False))


def tell(line: str) -> None:
    """Print a line for the user."""
    typer.echo(line)


class SimulationBar:
    """Shows how far a simulation is, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress as Bars  # noqa: PLC0415

        self._bars = Bars(console=Console(stderr=True), transient=True)
        self._task: Any = None

    def __call__(self, done: int, total: int, label: str) -> None:
        """Move it."""
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task("simulate", total=total)
        self._bars.update(self._task, completed=done, total=total, description=label)
        if done >= total:
            self._bars.stop()
