"""Faults at every file event of a small run: the process is killed, the disk is full, the disk fails.

    python -m tests.faults.crash_points --sample 10 --seed 1
    python -m tests.faults.crash_points              (all of them: hours)
    python -m tests.faults.crash_points --part 3/40  (every fortieth, from the third on)

An audit hook counts what the run does to files below its folder: opened for writing, renamed, linked, removed, folders
made, and brought to the disk. A run is forked for each fault, since importing takes longer than the run. Then it is
resumed, and must end with the bytes of a run that nothing disturbed.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock as patching

from tests.faults.results import record
from tests.support import mock
from tests.support.command import tilegc

__all__ = ["FAULTS", "Verdict", "events_of", "run_with"]

FAULTS = ("SIGKILL", "ENOSPC", "EIO")
RECORDED = 10
"""Faults that are recorded together."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATHS = {"os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.mkdir": 0, "os.link": 1, "os.truncate": 0}
"""Audit events besides `open`, and which of their arguments is the path."""


class _Watch:
    """Counts the file events below a directory, and makes one of them fail."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.at = -1
        self.fault = ""
        self.names: list[str] = []

    def begin(self, root: Path, at: int = -1, fault: str = "") -> None:
        self.root, self.at, self.fault, self.names = str(root), at, fault, []

    def event(self, name: str, path: object) -> None:
        if self.root is None or not isinstance(path, str | bytes | os.PathLike):
            return
        text = os.fsdecode(path)
        # The heartbeat is written when its time has come: its events are of another number in each run.
        if not text.startswith(f"{self.root}/") or ".heartbeat.json" in text or text.endswith("log.txt"):
            return
        number = len(self.names)
        self.names.append(f"{name} {text.removeprefix(self.root)}")
        if number != self.at:
            return
        if self.fault == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.fault)
        raise OSError(code, os.strerror(code), text)

    def hook(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self.root is None:
            return
        if name == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self.event("open", path)
        elif name in _PATHS:
            self.event(name, arguments[_PATHS[name]])


WATCH = _Watch()


def _fsync(handle: Any, ordinary: Callable[[Any], None] = os.fsync) -> None:
    number = handle if isinstance(handle, int) else handle.fileno()
    WATCH.event("fsync", Path(f"/proc/self/fd/{number}").readlink())
    ordinary(handle)


@dataclass(frozen=True)
class Verdict:
    """The result of one fault."""

    fault: str
    event: str
    code: int
    """Exit code of the disturbed run; -9: killed."""
    problem: str | None


def _forked(work: Callable[[], int], said: Path) -> int:
    """Do work in a forked process with stderr in a file; return its exit code, minus a signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            with said.open("w") as stream:
                os.dup2(stream.fileno(), 2)
            code = work()
        except BaseException:  # noqa: BLE001  (a forked process must not go on as its parent)
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _run(run_file: Path, folder: Path, *flags: str) -> int:
    with (
        patching.patch.object(os, "fsync", _fsync),
        patching.patch("tilegc.report.phase.write_report", lambda *_: None),
    ):
        found = tilegc("run", run_file, "-o", folder, "--workers", 0, *flags)
    os.write(2, found.err.encode())
    return found.code


def events_of(run_file: Path, folder: Path, scratch: Path) -> list[str]:
    """Return the file events of a run that nothing disturbs, which it leaves in `folder`."""
    listed = scratch / "events.json"

    def work() -> int:
        WATCH.begin(folder)
        code = _run(run_file, folder)
        names, WATCH.root = WATCH.names, None
        listed.write_text(json.dumps(names))
        return code

    code = _forked(work, scratch / "said.txt")
    if code:
        raise RuntimeError(f"the undisturbed run ended with {code}: {(scratch / 'said.txt').read_text()}")
    names: list[str] = json.loads(listed.read_text())
    return names


def run_with(fault: str, at: int, event: str, run_file: Path, undisturbed: Path, scratch: Path) -> Verdict:
    """Make one event fail, then resume, and compare with the undisturbed run."""
    folder, said = scratch / "disturbed", scratch / "said.txt"

    def disturbed() -> int:
        WATCH.begin(folder, at, fault)
        return _run(run_file, folder)

    def resumed() -> int:
        code = _run(run_file, folder, "--resume")
        if code == 0:
            mock.assert_same(folder, undisturbed)
        return code

    try:
        code = _forked(disturbed, said)
        lines = [line for line in said.read_text().splitlines() if line.startswith("tilegc: ")]
        # Where not even the lock can be made, no run begins: that is an answer of 2, as to any bad folder.
        wanted = {-signal.SIGKILL} if fault == "SIGKILL" else {0, 1, 3} | ({2} if at == 0 else set())
        problem = None if code in wanted else f"exit {code}: {said.read_text()[-600:]}"
        if problem is None and code > 0 and (len(lines) != 1 or "failed unexpectedly" in lines[0]):
            problem = f"not one line with a remedy: {lines}"
        again = _forked(resumed, said)
        if again and problem is None:
            problem = f"resumed: exit {again}: {said.read_text()[-600:]}"
        left = [path.name for path in folder.rglob("*") if path.name.endswith((".part", ".partial"))]
        if left and problem is None:
            problem = f"left behind: {left[0]}"
        return Verdict(fault, event, code, problem)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_inputs(folder: Path) -> Path:
    """Write the inputs of a run that takes a second or two."""
    run_file = mock.write_inputs(folder, ingest="always", tiles={"size": 64})
    return mock.edited(run_file, "small.yaml", {"convergence": None, "fields.1": None})


def main() -> int:
    """Try faults and print the results."""
    parser = argparse.ArgumentParser(description="Faults at every file event of a small run.")
    parser.add_argument("--sample", type=int, help="so many of all faults; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every N-th fault, from the K-th on")
    parser.add_argument(
        "--record", action="store_true", help="add the figures to those of tests.faults.figures"
    )
    asked = parser.parse_args()
    part, parts = map(int, asked.part.split("/"))
    sys.addaudithook(WATCH.hook)
    with tempfile.TemporaryDirectory(prefix="tilegc-faults-") as name:
        scratch = Path(name)
        run_file = write_inputs(scratch / "inputs")
        tilegc("plan", run_file)  # imports and kernels, which all forked processes share
        events = events_of(run_file, scratch / "undisturbed", scratch)
        cases = [(fault, at) for at in range(len(events)) for fault in FAULTS][part - 1 :: parts]
        if asked.sample is not None:
            cases = sorted(random.Random(asked.seed).sample(cases, asked.sample))
        bad = recorded = recorded_bad = 0
        for number, (fault, at) in enumerate(cases, 1):
            found = run_with(fault, at, events[at], run_file, scratch / "undisturbed", scratch)
            if found.problem is not None:
                bad += 1
                print(
                    f"{fault} at event {at} ({found.event}): exit {found.code}: {found.problem}", flush=True
                )
            if asked.record and (number % RECORDED == 0 or number == len(cases)):
                tried, lost = number - recorded, bad - recorded_bad
                part_of = {"part": asked.part, "from": recorded, "events": len(events)}
                record("crash", **part_of, tried=tried, survived=tried - lost)
                recorded, recorded_bad = number, bad
    print(f"file events: {len(events)}; faults: {len(cases)}; survived: {len(cases) - bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
