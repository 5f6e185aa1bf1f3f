"""Time functions in turns, and put what was measured into a table and a file."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = (
    "tilegc",
    "numpy",
    "numba",
    "scipy",
    "opencv-python-headless",
    "photutils",
    "dask",
    "distributed",
    "dask-image",
    "sep",
)


@dataclass(frozen=True)
class Case:
    """One piece of work, done by tilegc and by its peers in turns."""

    name: str
    pixels: int
    """Of all bands that are read, for the rate; 0 where it has none."""
    seconds: Mapping[str, list[float]]
    """Every run, by who did it; tilegc first."""
    remark: str = ""
    counted: Mapping[str, Any] = field(default_factory=dict)
    """What does not depend on the machine."""


def on_processor() -> bool:
    """Return whether seconds are those of the processor."""
    return os.environ.get("TILEGC_CLOCK") == "cpu"


def clock() -> float:
    """Return seconds: of the wall, or, with TILEGC_CLOCK=cpu, of the processor, ended children included.

    Seconds of the processor count little of what else runs on the machine; work on Dask workers is not in them.
    """
    if not on_processor():
        return time.perf_counter()
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def in_turns(contestants: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    """Return the seconds of every run; each contestant once unmeasured, then all in turns.

    In turns, so that a machine that slows down slows all of them.
    """
    for work in contestants.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, work in contestants.items():
            begun = clock()
            work()
            seconds[name].append(clock() - begun)
    return seconds


def table(cases: list[Case]) -> Table:
    """Return the medians as a table."""
    shown = Table(
        title="Medians; ratio: the peer's seconds over tilegc's",
        title_justify="left",
        pad_edge=False,
        box=None,
    )
    shown.add_column("work", style="bold")
    shown.add_column("by")
    for name in ("seconds", "Mpix/s", "ratio"):
        shown.add_column(name, justify="right")
    shown.add_column("remark", style="dim")
    for case in cases:
        ours = median(next(iter(case.seconds.values())))
        for number, (name, seconds) in enumerate(case.seconds.items()):
            taken = median(seconds)
            rate = f"{case.pixels / taken / 1e6:.1f}" if case.pixels else ""
            shown.add_row(
                "" if number else case.name,
                name,
                f"{taken:.3f}",
                rate,
                f"{taken / ours:.2f}" if number else "",
                "" if number else case.remark,
            )
        for name, value in case.counted.items():
            shown.add_row("", f"[dim]{name}[/dim]", f"{value:g}" if isinstance(value, float) else str(value))
    return shown


def environment() -> dict[str, Any]:
    """Return what the seconds depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "clock": os.environ.get("TILEGC_CLOCK", "wall"),
        "packages": versions,
    }


def keep(cases: list[Case], folder: Path, detection: list[dict[str, Any]] | None = None) -> Path:
    """Write all that was measured; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    ratios = [
        {
            name: median(seconds) / median(next(iter(case.seconds.values())))
            for name, seconds in case.seconds.items()
        }
        for case in cases
    ]
    content = [asdict(case) | {"ratios": ratio} for case, ratio in zip(cases, ratios, strict=True)]
    path.write_text(
        json.dumps({"environment": environment(), "cases": content, "detection": detection or []}, indent=2)
        + "\n"
    )
    return path


def console() -> Console:
    """Return where tables are printed."""
    return Console(width=None if os.isatty(1) else 160, highlight=False)


def show(cases: list[Case]) -> None:
    """Print the table."""
    console().print(table(cases))
