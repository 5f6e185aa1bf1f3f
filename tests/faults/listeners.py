"""Counts the sockets on which the processes of runs listen, and how many of them other machines can reach.

python -m tests.faults.listeners --record
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.chaos import Machines
from tests.faults.results import record
from tests.support import mock
from tests.support.sockets import Address, exposed, listening
from tilegc import running
from tilegc.cluster import workers_for
from tilegc.config import Compute

__all__ = ["found"]


class _Looks:
    """A progress that looks at the sockets of this process and its descendants whenever a pass begins or ends."""

    def __init__(self) -> None:
        self.seen: set[Address] = set()

    def start(self, name: str, total_pixels: int, total_units: int) -> None:
        self.seen |= listening()

    def advance(self, pixels: int, units: int) -> None:
        pass

    def finish(self, name: str) -> None:
        self.seen |= listening()


def found() -> Iterator[tuple[str, set[Address]]]:
    """Yield what was started, and the sockets of all its processes."""
    for name, compute in (("local workers", Compute()), ("encrypted local workers", Compute(encrypt=True))):
        with workers_for(workers=2, compute=compute):
            yield name, listening()
    with tempfile.TemporaryDirectory(prefix="tilegc-sockets-") as folder, contextlib.ExitStack() as stack:
        run_file = mock.write_inputs(Path(folder) / "in")
        looks = _Looks()
        running.detect(run_file, Path(folder) / "run", workers=2, progress=looks)
        yield "a run on local workers", looks.seen
        (Path(folder) / "scratch").mkdir()
        machines = Machines(Path(folder) / "scratch")
        stack.callback(machines.close)
        machines.mend()
        yield "a scheduler and its workers", listening()


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Sockets of the processes of runs.")
    parser.add_argument(
        "--record", action="store_true", help="add the figures to those of tests.faults.figures"
    )
    asked = parser.parse_args()
    seen: set[Address] = set()
    kinds = []
    for name, sockets in found():
        open_ones = exposed(sockets)
        print(
            f"{name}: {len(sockets)} sockets of {len({one[0] for one in sockets})} processes, {open_ones} exposed"
        )
        seen |= sockets
        kinds.append(name)
    bad = exposed(seen)
    if asked.record:
        processes = len({number for number, _, _ in seen})
        record("sockets", tried=len(seen), survived=len(seen) - len(bad), processes=processes, kinds=kinds)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
