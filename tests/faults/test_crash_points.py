"""A run that is killed, or whose disk is full or failing, at any file event gives the same bytes after `--resume`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.faults.crash_points import FAULTS


def crash(*arguments: object) -> tuple[int, int, int]:
    """Return the file events of the run, the faults that were tried, and those that it survived."""
    command = [sys.executable, "-m", "tests.faults.crash_points", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    found = re.search(r"file events: (\d+); faults: (\d+); survived: (\d+)", done.stdout)
    assert found is not None
    events, faults, survived = map(int, found.groups())
    return events, faults, survived


def test_a_sample_of_all_faults():
    events, faults, survived = crash("--sample", 8, "--seed", 21)
    assert events > 500
    assert faults == survived == 8


@pytest.mark.slow
def test_every_fault_at_every_file_event():
    events, faults, survived = crash()
    assert faults == survived == events * len(FAULTS)
