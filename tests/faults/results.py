"""Results of the long runs of faults, damaged inputs and load: one line of JSON each, in one file.

Every harness adds its own lines while it runs (`--record`), so that one which is stopped has still recorded what it
did. `python -m tests.faults.figures` prints them as one table, which also stands in docs/failure-modes.md.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FILE", "Row", "read", "record", "rows"]

FILE = Path(__file__).parents[2] / "docs" / "failure-figures.jsonl"

NOT_RUN = "not run"


def record(what: str, file: Path = FILE, **figures: Any) -> None:
    """Add a line: one write, so that harnesses side by side do not mix theirs."""
    line = json.dumps({"what": what, **figures}) + "\n"
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read(file: Path = FILE) -> list[dict[str, Any]]:
    """Return all lines."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    what: str
    tried: str
    survived: str
    asked: str = ""
    """How much is asked for."""
    remark: str = ""


def rows(file: Path = FILE) -> list[Row]:
    """Return the table; what nobody has run says so."""
    lines = read(file)

    def of(what: str) -> list[dict[str, Any]]:
        return [line for line in lines if line["what"] == what]

    return [
        _counted("damaged inputs through the command line, in one process", of("fuzz"), "20,000"),
        _counted("... and as processes", of("fuzz as processes"), "500"),
        _crashes(of("crash")),
        _chaos(of("chaos")),
        *_soaks(of("soak")),
        _sockets(of("sockets")),
    ]


def _counted(what: str, lines: list[dict[str, Any]], asked: str) -> Row:
    if not lines:
        return Row(what, NOT_RUN, "", asked)
    tried, survived = (sum(line[key] for line in lines) for key in ("tried", "survived"))
    slowest = max((line["slowest"] for line in lines if "slowest" in line), default=None)
    remark = "" if slowest is None else f"the slowest took {slowest:.1f} s of CPU"
    return Row(what, f"{tried:,}", f"{survived:,}", asked, remark)


def _crashes(lines: list[dict[str, Any]]) -> Row:
    what = "SIGKILL, ENOSPC, EIO at file events of a run, then `--resume`"
    if not lines:
        return Row(what, NOT_RUN, "")
    tried, survived = (sum(line[key] for line in lines) for key in ("tried", "survived"))
    events = lines[-1]["events"]
    return Row(what, f"{tried:,}", f"{survived:,}", f"{3 * events:,}", f"the run has {events:,} file events")


def _chaos(lines: list[dict[str, Any]]) -> Row:
    what = "runs with random faults of workers, scheduler, links, disks and clocks"
    if not lines:
        return Row(what, NOT_RUN, "", "200")
    kinds: dict[str, int] = {}
    for line in lines:
        for kind, count in line["kinds"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    remark = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    remark = "; ".join([remark, *(f"open: {line['open']}" for line in lines if "open" in line)])
    found = _counted(what, lines, "200")
    return Row(what, found.tried, found.survived, found.asked, remark)


def _soaks(lines: list[dict[str, Any]]) -> list[Row]:
    what = "soak: many runs on one scheduler; memory a run after the first twenty"
    if not lines:
        return [Row(what, NOT_RUN, "", "60 minutes, under 0.1 MB")]
    last = lines[-1]
    slopes = "; ".join(f"{name} {value:+.3f} MB" for name, value in last["memory"].items())
    remark = "; ".join(
        f"{kind} a run at most {max(map(abs, last[kind].values())):.3f}" for kind in ("files", "threads")
    )
    tried = f"{last['runs']} runs in {last['minutes']:.0f} minutes"
    return [Row(what, tried, slopes, "60 minutes, under 0.1 MB", remark)]


def _sockets(lines: list[dict[str, Any]]) -> Row:
    what = "listening sockets of all processes of runs that only loopback reaches"
    if not lines:
        return Row(what, NOT_RUN, "", "all")
    last = lines[-1]
    remark = f"of {last['processes']} processes: {', '.join(last['kinds'])}"
    return Row(what, str(last["tried"]), str(last["survived"]), "all", remark)
