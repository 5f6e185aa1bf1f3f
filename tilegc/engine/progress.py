"""Progress of a pass: silent, a bar on a terminal, or one line per pass."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

__all__ = ["Progress", "RichProgress", "Silent", "Told"]


class Progress(Protocol):
    """What an engine reports while it works; all calls come from the driver's thread."""

    def start(self, name: str, total_pixels: int, total_units: int) -> None:
        """Report that a pass begins, and how much of it remains to be done."""

    def advance(self, pixels: int, units: int) -> None:
        """Report that units of the pass have finished."""

    def finish(self, name: str) -> None:
        """Report that the pass has ended, successfully or not."""


class Silent:
    """Reports nothing."""

    def start(self, name: str, total_pixels: int, total_units: int) -> None:
        """Do nothing."""

    def advance(self, pixels: int, units: int) -> None:
        """Do nothing."""

    def finish(self, name: str) -> None:
        """Do nothing."""


class Told:
    """Passes every report on to several others.

    Parameters
    ----------
    others : Progress
        The receivers.
    """

    def __init__(self, *others: Progress) -> None:
        self.others = others

    def start(self, name: str, total_pixels: int, total_units: int) -> None:
        """Hand it on."""
        for other in self.others:
            other.start(name, total_pixels, total_units)

    def advance(self, pixels: int, units: int) -> None:
        """Hand it on."""
        for other in self.others:
            other.advance(pixels, units)

    def finish(self, name: str) -> None:
        """Hand it on."""
        for other in self.others:
            other.finish(name)


class RichProgress:
    """A bar for the current pass, and one line for each pass that has ended.

    Parameters
    ----------
    console : rich.console.Console, optional
        Console to write to; standard error by default. If it is not a terminal, only the lines are written.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._total = (0, 0)
        self._done = (0, 0)
        self._begun = 0.0

    def start(self, name: str, total_pixels: int, total_units: int) -> None:
        """Show a bar for this pass."""
        self._total, self._done = (total_pixels, total_units), (0, 0)
        self._begun = time.monotonic()
        # A bar that is redrawn would fill a log file with control characters.
        if not self._console.is_terminal or not total_units:
            return
        self._bars = Bars(
            TextColumn(f"{{task.description:<{NAME}.{NAME}}}", style="bold"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            _Rate(),
            _Left(),
            console=self._console,
            transient=True,
            expand=True,
        )
        # A pass whose units have no pixels (tables, a transform of a whole field) counts the units themselves.
        self._task = self._bars.add_task(name, total=total_pixels or total_units, pixels=total_pixels)
        self._bars.start()

    def advance(self, pixels: int, units: int) -> None:
        """Move the bar."""
        self._done = (self._done[0] + pixels, self._done[1] + units)
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, pixels if self._total[0] else units)

    def finish(self, name: str) -> None:
        """Replace the bar by a line."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None
        seconds = time.monotonic() - self._begun
        self._console.print(_line(name, self._done, self._total, seconds), soft_wrap=True, highlight=False)


NAME = 16
"""Width of the column of names."""


class _Rate(ProgressColumn):
    """Megapixels per second, averaged over the pass so far; units done, if units have no pixels."""

    def render(self, task: Task) -> Text:
        if not task.fields["pixels"]:
            return Text(f"{task.completed:.0f} of {task.total:.0f}".rjust(13))
        rate = task.completed / task.elapsed / 1e6 if task.elapsed else 0.0
        return Text(f"{_mega(rate)} Mpix/s")


class _Left(ProgressColumn):
    """Remaining time in minutes and seconds."""

    def render(self, task: Task) -> Text:
        if not task.completed or task.total is None or not task.elapsed:
            return Text(f"{'-:--':>7} left", style="dim")
        left = task.elapsed * (task.total - task.completed) / task.completed
        return Text(f"{_clock(left):>7} left", style="cyan")


def _mega(number: float) -> str:
    return f"{number:6.2f}" if number < 100 else f"{number:6.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _line(name: str, done: tuple[int, int], total: tuple[int, int], seconds: float) -> str:
    """Return the line for a pass that has ended."""
    if not total[1]:
        return f"{name:<{NAME}} was done before"
    if done[1] < total[1]:
        return f"{name:<{NAME}} stopped at {done[1]} of {total[1]} tiles"
    if not total[0]:
        return f"{name:<{NAME}} {'':>13} {seconds:8.1f} s"
    rate = total[0] / seconds / 1e6 if seconds > 0 else 0.0
    return f"{name:<{NAME}} {total[0] / 1e6:8.2f} Mpix {seconds:8.1f} s {_mega(rate)} Mpix/s"
