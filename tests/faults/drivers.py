"""A process that has imported everything and becomes a driver of `tilegc` on request.

Importing takes longer than a run of the mock cluster, and a process with threads cannot be forked safely; so this one
has none. Each line of its input is a JSON list: the file for stderr, then the words of the command. It answers with the
number of the new process, and when that has ended with its exit code (minus the signal that ended it).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from unittest import mock as patching

__all__ = ["Driver", "Drivers"]


class Driver:
    """A run under way."""

    def __init__(self, owner: Drivers, pid: int) -> None:
        self.owner, self.pid = owner, pid

    def wait(self) -> int:
        """Return its exit code."""
        return int(self.owner.said())


class Drivers:
    """The process that forks them, one at a time."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.faults.nuisance", str(folder), "tests.faults.drivers"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, said: Path, *words: object) -> Driver:
        """Start `tilegc WORDS` with its stderr in a file."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(said), *map(str, words)]) + "\n")
        self.process.stdin.flush()
        return Driver(self, int(self.said()))

    def said(self) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def _drive(said: str, words: list[str]) -> None:
    """Become a driver (in a forked process)."""
    from tilegc.cli import main

    os.setsid()
    for number, name in ((1, f"{said}.out"), (2, said)):
        with Path(name).open("w") as stream:
            os.dup2(stream.fileno(), number)
    sys.argv = ["tilegc", *words]
    code: object = 99
    try:
        with patching.patch("tilegc.report.phase.write_report", lambda *_: None):
            main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001  (a forked process must not go on as its parent)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 99)


def serve() -> None:
    """Fork a driver for every line of the input."""
    import tilegc.running
    import tilegc.samples  # noqa: F401  (what a driver imports late)

    for line in sys.stdin:
        said, *words = json.loads(line)
        child = os.fork()
        if child == 0:
            _drive(said, words)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
