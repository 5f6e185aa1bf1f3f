"""Progress bars and lines while a command works."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tilegc.engine import Progress

__all__ = ["SimulationBar", "keep_quiet", "pass_progress", "tell"]


def pass_progress(*, lines: bool = True, quiet: bool = False) -> Progress:
    """Return the display of passes: bars on a terminal; elsewhere one line per pass, or nothing."""
    from rich.console import Console

    from tilegc.engine import RichProgress, Silent

    if quiet or not (lines or sys.stderr.isatty()):
        return Silent()
    # Bars are drawn on stderr of a terminal. In a batch log stderr is reserved for errors, so the lines of the
    # passes go to stdout, with the results.
    return RichProgress(Console(stderr=sys.stderr.isatty(), highlight=False))


def tell(line: str) -> None:
    """Print one line for the user."""
    typer.echo(line)


def keep_quiet(line: str) -> None:
    """Print nothing."""


class SimulationBar:
    """Progress bar of a simulation, shown on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars

        self._bars = Bars(console=Console(stderr=True), transient=True)
        self._task: Any = None

    def __call__(self, done: int, total: int, label: str) -> None:
        """Set the bar to `done` of `total`; it disappears when the two are equal."""
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task("simulate", total=total)
        self._bars.update(self._task, completed=done, total=total, description=label)
        if done >= total:
            self._bars.stop()
