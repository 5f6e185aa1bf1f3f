"""Runs damaged inputs through the command line, in this process or as one of their own, and judges how each ended.

    python -m tests.fuzz.harness --cases 20000 --processes 500

A case survives if it ends with exit code 0, or with 2 and exactly one printable line of less than 500 characters, in
less than 5 s of CPU and 500 MB.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.results import record
from tests.fuzz.mutations import case, remove, write_originals
from tests.support.command import Outcome, tilegc

__all__ = ["Verdict", "as_process", "in_process"]

SECONDS, BYTES, LONGEST = 5.0, 500e6, 500
"""What a case may take of CPU and memory, and the length of its line."""
RECORDED = 100
"""Cases that are recorded together."""
GIVEN_UP = 20
"""Seconds of CPU after which a case in this process is interrupted."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one case."""

    seed: int
    kind: str
    command: tuple[str, ...]
    code: int
    fault: str | None
    """What is wrong with that; None: nothing."""
    seconds: float
    said: str


class _TooSlow(BaseException):
    """An exception that nothing may catch."""


def judged(outcome: Outcome, seconds: float, memory: float) -> str | None:
    """Return what is wrong with the outcome of a case, or None."""
    lines = outcome.err.splitlines()
    if outcome.code not in {0, 2}:
        return f"exit {outcome.code}"
    if outcome.code == 2 and len(lines) != 1:
        return f"{len(lines)} lines"
    if outcome.code == 0 and lines:
        return "exit 0 with remarks on stderr"
    if any(len(line) >= LONGEST for line in lines):
        return "a line too long"
    if any(not line.isprintable() for line in lines):
        return "control characters"
    if seconds > SECONDS:
        return f"{seconds:.1f} s"
    if memory > BYTES:
        return f"{memory / 1e6:.0f} MB"
    return None


def in_process(seed: int, originals: Path, scratch: Path) -> Verdict:
    """Run one case in this process."""
    folder = scratch / f"case{seed}"
    kind, words = case(seed, originals, folder)
    before = _resident()
    _forget_peak()
    begun = time.process_time()
    with _limited(), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            outcome = tilegc(*words)
        except _TooSlow:
            outcome = Outcome(-1, "", f"not ended after {GIVEN_UP} s")
        except BaseException as error:  # noqa: BLE001  (the entry point let it through: that is a finding)
            outcome = Outcome(-2, "", f"{type(error).__name__}: {error}")
    seconds = time.process_time() - begun
    fault = judged(outcome, seconds, _peak() - before)
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith((".here", "run-run")))
    remove(folder)
    if fault is None and left:
        fault = f"left behind: {left[0]}"
    return Verdict(seed, kind, words, outcome.code, fault, seconds, outcome.err[:600])


def as_process(seed: int, originals: Path, scratch: Path) -> Verdict:
    """Run one case as a process of its own."""
    folder = scratch / f"case{seed}"
    kind, words = case(seed, originals, folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Not `ru_maxrss`: it begins with that of the process that started this one.
    code = (
        "import runpy, sys\ntry:\n    runpy.run_module('tilegc', run_name='__main__', alter_sys=True)\n"
        "finally:\n    peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]\n"
        "    open(sys.argv[-1] + '.used', 'w').write(peak)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            timeout=300,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        outcome = Outcome(done.returncode, "", done.stderr.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        outcome = Outcome(-1, "", "not ended after 300 s")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    used = Path(f"{words[-1]}.used")
    memory = 1024.0 * int(used.read_text()) if used.is_file() else 0.0
    # Starting Python and importing the libraries is no fault of the input.
    fault = judged(outcome, seconds - _STARTUP, memory)
    remove(folder)
    return Verdict(seed, kind, words, outcome.code, fault, seconds, outcome.err[:600])


_STARTUP = 5.0
"""Seconds of CPU that a process of its own may take beside."""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, GIVEN_UP)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _status(key: str) -> float:
    return 1024.0 * int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0])


def _resident() -> float:
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _record(what: str, cases: list[Verdict]) -> None:
    """Add the figures of some cases to the file of figures."""
    bad = sum(case.fault is not None for case in cases)
    record(
        what,
        first=cases[0].seed,
        tried=len(cases),
        survived=len(cases) - bad,
        slowest=round(max(case.seconds for case in cases), 2),
    )


def main() -> int:
    """Run many cases and print those with a wrong outcome."""
    parser = argparse.ArgumentParser(description="Damaged inputs through the command line.")
    parser.add_argument("--cases", type=int, default=20_000, help="cases in this process")
    parser.add_argument("--processes", type=int, default=500, help="cases as processes of their own")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    parser.add_argument(
        "--record", action="store_true", help="add the figures to those of tests.faults.figures"
    )
    asked = parser.parse_args()
    kinds: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    faults: list[Verdict] = []
    slowest = 0.0
    unrecorded: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="tilegc-fuzz-") as scratch:
        originals = Path(scratch) / "originals"
        originals.mkdir()
        write_originals(originals)
        tilegc("plan", originals / "run.yaml")  # kernels are compiled once
        tilegc("audit", originals / "run.yaml")
        for number in range(asked.cases + asked.processes):
            run = in_process if number < asked.cases else as_process
            found = run(asked.first + number, originals, Path(scratch))
            kinds[found.kind] += 1
            codes[found.code] += 1
            slowest = max(slowest, found.seconds)
            if found.fault is not None:
                faults.append(found)
                print(
                    f"seed {found.seed}: {found.kind}: {' '.join(found.command[:-1])}: {found.fault}: {found.said!r}",
                    flush=True,
                )
            unrecorded.append(found)
            ends = {asked.cases - 1, asked.cases + asked.processes - 1}
            if asked.record and (len(unrecorded) == RECORDED or number in ends):
                _record("fuzz" if number < asked.cases else "fuzz as processes", unrecorded)
                unrecorded = []
    print(f"{asked.cases} cases in one process and {asked.processes} as processes, seeds from {asked.first}")
    print("kinds:", ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    print("exit codes:", ", ".join(f"{code}: {count}" for code, count in sorted(codes.items())))
    print(f"slowest: {slowest:.1f} s of CPU; faults: {len(faults)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
