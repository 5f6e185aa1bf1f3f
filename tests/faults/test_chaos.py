"""Runs whose workers, scheduler, driver, links, disks and clocks fail at random resume to the same bytes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.faults.chaos import KINDS, _judged, drawn
from tests.faults.links import Link


@pytest.mark.slow
def test_a_few_of_the_runs():
    """Two hundred of them: `python -m tests.faults.chaos`."""
    command = [sys.executable, "-m", "tests.faults.chaos", "--runs", "5", "--seed", "100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert re.search(r"runs: 5; survived: 5", done.stdout)


def test_faults_follow_from_the_seed():
    assert drawn(7) == drawn(7)
    found = [fault for seed in range(200) for fault in drawn(seed)[1]]
    assert {fault.kind for fault in found} == set(KINDS)
    assert all(0 < fault.at < 1 for fault in found)


@pytest.mark.parametrize(
    ("code", "said", "kinds", "well"),
    [
        (0, "", ["slow disk"], True),
        (0, "tilegc: something\n", ["slow disk"], False),
        (1, "tilegc: scheduler lost; rerun with --resume\n", ["lost scheduler"], True),
        (1, "tilegc: scheduler lost; rerun with --resume\n", ["slow disk"], False),
        (
            1,
            "tilegc: unexpected error (KeyError); see log.txt in the run directory\n",
            ["lost scheduler"],
            False,
        ),
        (1, "Traceback\ntilegc: scheduler lost; rerun with --resume\n", ["lost scheduler"], False),
        (1, "Traceback (most recent call last):\n", ["lost scheduler"], False),
        (3, "tilegc: 1 tiles failed\n", ["killed worker"], False),
        (-9, "", ["killed driver"], True),
        (-9, "", ["cut link"], False),
    ],
)
def test_the_judge(code, said, kinds, well):
    faults = [fault for seed in range(50) for fault in drawn(seed)[1] if fault.kind in kinds][:1]
    assert (_judged(code, said, faults) is None) is well


@pytest.fixture
def echo():
    """A link to an echo server."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(100):
                        connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        link = Link(server.getsockname()[1])
        yield link
        link.close()


def through(link):
    host, _, port = link.address.removeprefix("tcp://").partition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def test_a_link_that_is_cut_ends_connections_and_takes_none(echo):
    with through(echo) as end:
        end.sendall(b"a")
        assert end.recv(1) == b"a"
        echo.cut()
        assert end.recv(1) == b""
    with through(echo) as end:
        assert end.recv(1) == b""
    echo.mend()
    with through(echo) as end:
        end.sendall(b"b")
        assert end.recv(1) == b"b"


def test_a_link_that_is_held_loses_nothing(echo):
    with through(echo) as end:
        echo.hold()
        end.sendall(b"late")
        end.settimeout(0.1)
        with pytest.raises(TimeoutError):
            end.recv(4)
        echo.mend()
        end.settimeout(5)
        assert end.recv(4) == b"late"


def test_the_nuisances_reach_a_program(tmp_path):
    (tmp_path / "clock").write_text("86400")
    (tmp_path / "slow").write_text("0.2")
    code = "import time, os; a = time.monotonic(); [os.rename(p, p) for p in [__file__] * 5]; "
    code += "print(time.time(), time.monotonic() - a)"
    (tmp_path / "program.py").write_text(code)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "tests.faults.nuisance", str(tmp_path), "program"]
    now = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    clock, seconds = map(float, done.stdout.split())
    assert 86300 < clock - now < 86400 + 300
    assert seconds > 0.05
