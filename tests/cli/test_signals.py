"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, getattr(signal, sys.argv[1]))
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from tilegc.cli.signals import answered
with answered() as received:
    try:
        print("ready", flush=True)
        time.sleep(60)
        print("not interrupted")
    except KeyboardInterrupt:
        print("interrupted", received)
print(signal.getsignal(signal.SIGINT) == getattr(signal, sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("before", ["SIG_IGN", "default_int_handler"])
def test_a_command_ends_whether_sigint_is_ignored_or_not(number, before):
    """A shell without job control starts background commands ("&") with SIGINT ignored."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, before], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if before == "SIG_IGN":
            process.send_signal(signal.SIGINT)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert out.splitlines() == [f"interrupted [{number.value}]", "True"]
