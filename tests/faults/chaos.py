"""Small runs with random faults: workers, scheduler, driver, links, disks and clocks; then the bytes are compared.

    python -m tests.faults.chaos --runs 200
    python -m tests.faults.chaos --runs 20 --seed 100 --part 2/4

A run on one scheduler and two workers, which are processes of their own, is disturbed one to three times, each time
when its log has a certain number of lines. It must end with exit code 0, or with 1 and one line that says what to do;
then `--resume` must give the bytes of a run that nothing disturbed. Faults follow from the seed alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.drivers import Drivers
from tests.faults.links import Link
from tests.faults.results import record
from tests.support import mock
from tilegc import running

__all__ = ["KINDS", "Fault", "Verdict", "drawn"]

KINDS = (
    "killed worker",
    "lost scheduler",
    "killed driver",
    "cut link",
    "held link",
    "slow disk",
    "clock jump",
    "suspended worker",
    "suspended scheduler",
    "suspended driver",
)
SIZES = (24, 33, 48)
"""Of the tiles, pixels."""
LONGEST = 240.0
"""Seconds after which a run is said to hang; the machine may be busy."""
ENVIRONMENT = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "15s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "15s",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "5",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Fault:
    """One disturbance."""

    kind: str
    at: float
    """When: the share of the log's lines of an undisturbed run."""
    worker: int
    """Which of the two, where it is one."""
    amount: float
    """Seconds that it lasts; for the disk those of each operation, for the clock by how much it jumps."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of a run."""

    seed: int
    faults: tuple[Fault, ...]
    """Those that struck before the run was over."""
    code: int
    problem: str | None


def drawn(seed: int) -> tuple[int, tuple[Fault, ...]]:
    """Return the tile size and the faults of a run."""
    draw = random.Random(seed)
    size = draw.choice(SIZES)
    faults = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        kind = draw.choice(KINDS)
        amount = draw.uniform(0.3, 3.0)
        if kind == "slow disk":
            amount = draw.uniform(0.005, 0.05)
        if kind == "clock jump":
            amount = draw.choice((-1, 1)) * 10 ** draw.uniform(1, 6)
        faults.append(Fault(kind, draw.uniform(0.02, 0.98), draw.randrange(2), amount))
    return size, tuple(sorted(faults, key=lambda fault: fault.at))


class Machines:
    """One scheduler, two workers behind links, and who starts drivers."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.nuisances = scratch / "nuisances"
        self.nuisances.mkdir()
        self.drivers = Drivers(self.nuisances)
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.address, self.pages = "", 0
        self.links: list[Link] = []
        self.workers: list[subprocess.Popen[bytes] | None] = [None, None]

    def _start(self, name: str, module: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.faults.nuisance", str(self.nuisances), module, *words]
        with (self.scratch / f"{name}.log").open("ab") as log:
            environ = {**os.environ, **ENVIRONMENT}
            return subprocess.Popen(command, stdout=log, stderr=log, env=environ, start_new_session=True)

    def mend(self) -> None:
        """Have everything there and working."""
        for path in self.nuisances.iterdir():
            path.unlink()
        for link in self.links:
            link.mend()
        for process in (self.scheduler, *self.workers):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
        if self.scheduler is None or self.scheduler.poll() is not None:
            self._new_scheduler()
        end = time.monotonic() + LONGEST
        while self._connected() < 2:
            if time.monotonic() > end:
                raise RuntimeError(f"the workers do not come back: {self.scratch}")
            self.keep_workers()
            time.sleep(0.2)

    def keep_workers(self) -> None:
        """Start workers that have ended again, as a batch system or an operator does."""
        for number, worker in enumerate(self.workers):
            if worker is None or worker.poll() is not None:
                words = (self.links[number].address, "--no-nanny", "--nthreads", "1", "--name", f"w{number}")
                more = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--death-timeout", "60")
                where = ("--local-directory", str(self.scratch))
                self.workers[number] = self._start(
                    f"worker{number}", "distributed.cli.dask_worker", *words, *more, *where
                )

    def _new_scheduler(self) -> None:
        for worker in self.workers:
            if worker is not None:
                worker.kill()
                worker.wait()
        for link in self.links:
            link.close()
        place = self.scratch / "scheduler.json"
        place.unlink(missing_ok=True)
        listen = (
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
        )
        self.scheduler = self._start(
            "scheduler", "distributed.cli.dask_scheduler", *listen, "--scheduler-file", str(place)
        )
        end = time.monotonic() + LONGEST
        known = {}
        while not known:
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(place.read_bytes())
            if time.monotonic() > end:
                raise RuntimeError("the scheduler does not come")
            time.sleep(0.05)
        self.address, self.pages = known["address"], known["services"]["dashboard"]
        self.links = [Link(int(self.address.rpartition(":")[2])) for _ in self.workers]

    def _connected(self) -> int:
        """Return how many workers the scheduler has, asked over its pages: that needs no client."""
        with contextlib.suppress(OSError, ValueError):
            address = f"http://127.0.0.1:{self.pages}/json/counts.json"
            with urllib.request.urlopen(address, timeout=10) as page:
                return int(json.load(page)["workers"])
        return 0

    def close(self) -> None:
        """End all."""
        self.drivers.close()
        for process in (self.scheduler, *self.workers):
            if process is not None:
                process.kill()
                process.wait()
        for link in self.links:
            link.close()


def strike(machines: Machines, fault: Fault, driver: int) -> Callable[[], None]:
    """Do what a fault does, and return what takes it back when its time is over."""
    worker, link = machines.workers[fault.worker], machines.links[fault.worker]
    assert worker is not None
    assert machines.scheduler is not None
    numbers = {"worker": worker.pid, "scheduler": machines.scheduler.pid, "driver": driver}
    what, _, who = fault.kind.partition(" ")
    if what in {"killed", "lost"}:
        _signal(numbers[who], signal.SIGKILL)
    elif what == "suspended":
        _signal(numbers[who], signal.SIGSTOP)
        return lambda: _signal(numbers[who], signal.SIGCONT)
    elif fault.kind == "cut link":
        link.cut()
        return link.mend
    elif fault.kind == "held link":
        link.hold()
        return link.mend
    else:
        name = "slow" if fault.kind == "slow disk" else "clock"
        (machines.nuisances / name).write_text(str(fault.amount))
    return lambda: None


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _lines(log: Path) -> int:
    try:
        return log.read_bytes().count(b"\n")
    except OSError:
        return 0


def disturbed(machines: Machines, seed: int, reference: Reference) -> Verdict:
    """Do one run with its faults, resume it, and compare."""
    size, faults = drawn(seed)
    machines.mend()
    folder, said = machines.scratch / f"run{seed}", machines.scratch / "said.txt"
    run_file = mock.edited(reference.run_file, f"tiles{size}.yaml", {"tiles.size": size})
    driver = machines.drivers.start(said, "run", run_file, "-o", folder, "--scheduler", machines.address)
    waiting, struck, ends = list(faults), [], []
    begun = time.monotonic()
    hangs = False
    while _alive(driver.pid):
        now = time.monotonic()
        if waiting and _lines(folder / "log.txt") >= waiting[0].at * reference.lines[size]:
            fault = waiting.pop(0)
            struck.append(fault)
            ends.append((now + fault.amount, strike(machines, fault, driver.pid)))
        for over, end in [one for one in ends if one[0] <= now]:
            end()
            ends.remove((over, end))
        if machines.scheduler is not None and machines.scheduler.poll() is None:
            machines.keep_workers()
        if now - begun > LONGEST and not hangs:
            hangs = True
            _signal(driver.pid, signal.SIGKILL)
        time.sleep(0.02)
    code = driver.wait()
    for _, end in ends:
        end()
    problem = f"hangs: {_tail(folder)}" if hangs else _judged(code, said.read_text(errors="replace"), struck)
    machines.mend()
    if problem is None and code != 0:
        again = machines.drivers.start(
            said, "run", run_file, "-o", folder, "--resume", "--scheduler", machines.address
        ).wait()
        if again:
            problem = f"resumed: exit {again}: {said.read_text(errors='replace')[-400:]}"
    if problem is None:
        try:
            mock.assert_same(folder, reference.runs[size])
        except AssertionError as error:
            problem = str(error)[:400]
        left = [path.name for path in folder.rglob("*") if path.name.endswith((".part", ".partial"))]
        if left and problem is None:
            problem = f"left behind: {left[0]}"
    if problem is None:
        shutil.rmtree(folder)
    return Verdict(seed, tuple(struck), code, problem)


def _alive(pid: int) -> bool:
    """Return whether a process is running; after its end it remains a zombie until its parent reaps it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _judged(code: int, said: str, struck: list[Fault]) -> str | None:
    """Return what is wrong with the end of a disturbed run."""
    kinds = {fault.kind for fault in struck}
    if code == -signal.SIGKILL and "killed driver" in kinds:
        return None
    lines = said.splitlines()
    if code == 0:
        return f"exit 0 with {said[-600:]}" if lines else None
    # A scheduler that is lost, or of which no worker is left, ends a run; nothing else may.
    if code == 1 and len(lines) == 1 and lines[0].startswith("tilegc: ") and "--resume" in lines[0]:
        return None if "lost scheduler" in kinds else f"exit 1 without a lost scheduler: {lines[0]}"
    return f"exit {code}: {said[-600:]}"


def _tail(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / "log.txt").read_text(errors="replace")[-600:]
    return ""


@dataclass(frozen=True)
class Reference:
    """Runs that nothing disturbs."""

    run_file: Path
    runs: dict[int, Path]
    """By tile size: which tiles there are does not matter for the bytes, and must not."""
    lines: dict[int, int]
    """How many lines their logs have."""


def undisturbed(machines: Machines) -> Reference:
    """Do one run in this process, of which all must have the bytes, and one of each tile size for its lines."""
    run_file = mock.write_inputs(machines.scratch / "in", ingest="always")
    run_file = mock.edited(run_file, "small.yaml", {"convergence": None, "fields.1": None, "view": "off"})
    with mock_report():
        whole = running.run(run_file, machines.scratch / "whole", workers=0).path
    lines = {}
    machines.mend()
    for size in SIZES:
        folder, said = machines.scratch / f"lines{size}", machines.scratch / "said.txt"
        changed = mock.edited(run_file, f"tiles{size}.yaml", {"tiles.size": size})
        words = ("run", changed, "-o", folder, "--scheduler", machines.address)
        code = machines.drivers.start(said, *words).wait()
        if code:
            raise RuntimeError(f"the undisturbed run ended with {code}: {said.read_text()}")
        mock.assert_same(folder, whole)
        lines[size] = _lines(folder / "log.txt")
        shutil.rmtree(folder)
    return Reference(run_file, dict.fromkeys(lines, whole), lines)


@contextlib.contextmanager
def mock_report() -> Iterator[None]:
    """Leave out figures and page, whose bytes are not promised."""
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        mock.no_report(patch)
        yield


def main() -> int:
    """Disturb runs and print how they ended."""
    parser = argparse.ArgumentParser(description="Small runs with random faults.")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every N-th run, from the K-th on")
    parser.add_argument(
        "--record", action="store_true", help="add the figures to those of tests.faults.figures"
    )
    asked = parser.parse_args()
    part, parts = map(int, asked.part.split("/"))
    bad, kinds, codes = 0, Counter[str](), Counter[int]()
    seeds = range(asked.seed, asked.seed + asked.runs)[part - 1 :: parts]
    with tempfile.TemporaryDirectory(prefix="tilegc-chaos-") as name:
        machines = Machines(Path(name))
        try:
            reference = undisturbed(machines)
            for seed in seeds:
                found = disturbed(machines, seed, reference)
                struck = Counter(fault.kind for fault in found.faults)
                kinds += struck
                codes[found.code] += 1
                bad += found.problem is not None
                if found.problem is not None:
                    print(f"seed {seed}: {dict(struck)}: exit {found.code}: {found.problem}", flush=True)
                if asked.record:
                    record(
                        "chaos", seed=seed, tried=1, survived=int(found.problem is None), kinds=dict(struck)
                    )
        finally:
            machines.close()
    print(f"runs: {len(seeds)}; survived: {len(seeds) - bad}")
    print("faults:", ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    print("exit codes:", ", ".join(f"{code}: {count}" for code, count in sorted(codes.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
