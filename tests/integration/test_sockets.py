"""No other machine can reach a run: all sockets of its processes are on the loopback address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support import mock
from tests.support.sockets import exposed, listening
from tilegc import running
from tilegc.cluster import workers_for
from tilegc.config import Compute

pytestmark = pytest.mark.usefixtures("no_report")


class Lister:
    """A progress that collects the sockets of this process and its descendants."""

    def __init__(self):
        self.seen = set()
        self.processes = set()

    def start(self, name, total_pixels, total_units):
        self.look()

    def advance(self, pixels, units):
        pass

    def finish(self, name):
        self.look()

    def look(self):
        found = listening()
        self.seen |= found
        self.processes |= {number for number, _, _ in found}


def test_a_socket_on_every_interface_is_noticed():
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        assert server.getsockname()[1] in {port for _, _, port in exposed(listening())}


def test_every_process_of_a_run_listens_on_loopback_alone(tmp_path):
    lister = Lister()
    running.run(mock.write_inputs(tmp_path / "in"), tmp_path / "run", workers=2, progress=lister)
    assert len(lister.processes) >= 3, "driver and two workers were looked at"
    assert not exposed(lister.seen)


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_local_workers_listen_on_loopback_alone(encrypt):
    with workers_for(workers=2, compute=Compute(encrypt=encrypt)):
        found = listening()
    assert len({number for number, _, _ in found}) >= 3
    assert not exposed(found)


def test_workers_of_the_batch_script_serve_their_pages_on_loopback():
    """Their connections go over the network, with certificates; their pages have neither password nor certificate."""
    script = Path(__file__).resolve().parents[2] / "deploy" / "slurm" / "tilegc.sbatch"
    lines = script.read_text().replace("\\\n", " ").splitlines()
    programs = [line for line in lines if "distributed.cli" in line]
    assert len(programs) == 2
    for line in programs:
        assert "--dashboard-address 127.0.0.1:0" in line
