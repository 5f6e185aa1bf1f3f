"""Scheduler and workers on other machines: TLS, failing links, disks that are not shared."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.support import mock
from tests.support.certificates import authority
from tests.support.command import tilegc
from tilegc import running
from tilegc.cluster import TLS, workers_for
from tilegc.engine import DaskEngine, Unit
from tilegc.errors import InputError


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    mock.no_report(monkeypatch)


def files(folder):
    return TLS(*(str(folder / f"{name}.pem") for name in ("ca", "cert", "key")))


@contextlib.contextmanager
def processes():
    """Start programs, each in its own process group, and end them all."""
    started = []

    def start(*command, log, **environment):
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
        with log.open("ab") as stream:
            started.append(
                subprocess.Popen(
                    [*map(str, command)],
                    env=environ,
                    cwd=log.parent,
                    stdout=stream,
                    stderr=stream,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def scheduler_file(path):
    for _ in range(600):
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_bytes())["address"]
        time.sleep(0.1)
    raise AssertionError(f"{path} did not come")


SCHEDULER = (sys.executable, "-m", "distributed.cli.dask_scheduler")
WORKER = (sys.executable, "-m", "distributed.cli.dask_worker")


def test_tls_gives_the_same_bytes_and_refuses_strangers(tmp_path, capfd):
    ours, foreign = (authority(tmp_path / name, "127.0.0.1") for name in ("ours", "foreign"))
    run_file = mock.write_inputs(tmp_path / "in", tiles={"size": 40})
    expected = running.run(run_file, tmp_path / "alone", workers=0)
    options = (
        "--protocol",
        "tls",
        "--tls-ca-file",
        ours / "ca.pem",
        "--tls-cert",
        ours / "cert.pem",
        "--tls-key",
        ours / "key.pem",
    )
    place = tmp_path / "scheduler.json"
    with processes() as start:
        start(
            *SCHEDULER,
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--dashboard-address",
            "127.0.0.1:0",
            "--scheduler-file",
            place,
            *options,
            log=tmp_path / "scheduler.log",
        )
        address = scheduler_file(place)
        assert address.startswith("tls://")
        start(*WORKER, address, "--nthreads", "1", *options, log=tmp_path / "worker.log")
        page = tmp_path / "page.html"
        found = running.run(
            run_file, tmp_path / "run", scheduler=str(place), tls=files(ours), performance_report=page
        )
        mock.assert_same(found, expected)
        text = page.read_text()
        assert "filter-tiles" in text
        assert '<script type="text/javascript" src=' not in text  # it needs no network
        for tls, said in (
            (None, "asks for certificates; give --tls-ca"),
            (files(foreign), "do not accept each other"),
            (TLS(files(ours).ca, files(foreign).cert, files(foreign).key), "do not accept each other"),
        ):
            with pytest.raises(InputError, match=said) as caught, workers_for(scheduler=address, tls=tls):
                pass
            assert "\n" not in str(caught.value)
        plain = address.replace("tls://", "tcp://")
        with pytest.raises(InputError, match="no scheduler answers"), workers_for(scheduler=plain):
            pass
        with (
            pytest.raises(InputError, match="is not encrypted"),
            workers_for(scheduler=plain, tls=files(ours)),
        ):
            pass


def test_a_worker_that_does_not_see_the_folder_is_named(tmp_path):
    """It has another file system under the same paths, in a separate mount namespace."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare")
    run_file = mock.write_inputs(tmp_path / "in")
    place = tmp_path / "scheduler.json"
    shared = tmp_path / "runs"
    shared.mkdir()
    with processes() as start:
        start(
            *SCHEDULER,
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--dashboard-address",
            "127.0.0.1:0",
            "--scheduler-file",
            place,
            log=tmp_path / "scheduler.log",
        )
        address = scheduler_file(place)
        start(
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'mount -t tmpfs none {shared} && exec "$@"',
            "sh",
            *WORKER,
            address,
            "--name",
            "blind",
            "--nthreads",
            "1",
            log=tmp_path / "worker.log",
        )
        begun = time.monotonic()
        out = tilegc("run", run_file, "-o", shared / "run", "--scheduler", address)
        assert out.code == 2
        assert "worker blind (tcp://127.0.0.1:" in out.err
        assert "does not see" in out.err
        assert out.err.count("\n") == 1
        assert list(shared.iterdir()) == []
        assert time.monotonic() - begun < 90


NAMESPACES = {"tgs": "10.77.0.1", "tgw1": "10.77.0.11", "tgw2": "10.77.0.12"}


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def network():
    """Three machines on one switch: one for the scheduler and two for workers."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    mine = f"{os.getpid() % 10000}"
    switch = f"tgsw{mine}"
    made = []
    try:
        try:
            ip("netns", "add", switch)
            made.append(switch)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for name, address in NAMESPACES.items():
            ip("netns", "add", f"{name}{mine}")
            made.append(f"{name}{mine}")
            ip(
                "-n",
                switch,
                "link",
                "add",
                f"p{name}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                f"{name}{mine}",
            )
            ip("-n", switch, "link", "set", f"p{name}", "master", "br0", "up")
            ip("-n", f"{name}{mine}", "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", f"{name}{mine}", "link", "set", "eth0", "up")
            ip("-n", f"{name}{mine}", "link", "set", "lo", "up")
        yield Network(switch, mine)
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


class Network:
    """The fault that a test causes."""

    def __init__(self, switch, mine):
        self.switch, self.mine = switch, mine

    def inside(self, name):
        return ("ip", "netns", "exec", f"{name}{self.mine}")

    def link(self, name, state):
        ip("-n", self.switch, "link", "set", f"p{name}", state)

    def slow(self, name):
        bucket = ("tbf", "rate", "20mbit", "burst", "64k", "latency", "100ms")
        command = [*self.inside(name), "tc", "qdisc", "add", "dev", "eth0", "root", *bucket]
        subprocess.run(command, check=True, capture_output=True)


RESTARTED = 'while :; do "$@"; sleep 1; done'
"""As a Deployment or the batch script does: a cut-off worker ends itself, with exit code 0."""


def start_cluster(start, network, folder, **environment):
    """Start a scheduler and two workers, each in its namespace; their logs go into a folder."""
    inside = network.inside("tgs")
    start(
        *inside,
        *SCHEDULER,
        "--host",
        NAMESPACES["tgs"],
        "--port",
        "8786",
        "--dashboard-address",
        f"{NAMESPACES['tgs']}:8787",
        log=folder / "scheduler.log",
        **environment,
    )
    for name in ("tgw1", "tgw2"):
        start(
            *network.inside(name),
            "sh",
            "-c",
            RESTARTED,
            "sh",
            *WORKER,
            "tcp://10.77.0.1:8786",
            "--host",
            NAMESPACES[name],
            "--name",
            name,
            "--nthreads",
            "1",
            log=folder / f"{name}.log",
            **environment,
        )


def start_driver(start, network, run_file, folder, **environment):
    """Start a run into `folder/run` beside the scheduler, and return its process."""
    return start(
        *network.inside("tgs"),
        sys.executable,
        "-m",
        "tilegc",
        "run",
        run_file,
        "-o",
        folder / "run",
        "--scheduler",
        "tcp://10.77.0.1:8786",
        log=folder / "driver.log",
        **environment,
    )


def wait_for_filter(driver, folder, *, seconds):
    """Wait until the run's first tile is filtered."""
    end = time.monotonic() + seconds
    while not any((folder / "run" / "ledger").glob("*-filter.json")):
        assert driver.poll() is None, (folder / "driver.log").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("3 s", marks=pytest.mark.slow),
        pytest.param("past the timeout", marks=pytest.mark.slow),
        pytest.param("slow link", marks=pytest.mark.slow),
    ],
)
def test_a_link_that_fails(network, tmp_path, fault):
    run_file = mock.write_inputs(tmp_path / "in", tiles={"size": 12})
    expected = running.run(run_file, tmp_path / "alone", workers=0)
    timeouts = {
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "12s",
    }
    with processes() as start:
        start_cluster(start, network, tmp_path, **timeouts)
        if fault == "slow link":
            network.slow("tgw1")
        time.sleep(8)  # both are there before the run begins
        driver = start_driver(start, network, run_file, tmp_path, **timeouts)
        if fault != "slow link":
            wait_for_filter(driver, tmp_path, seconds=120)
            network.link("tgw1", "down")
            time.sleep(3 if fault == "3 s" else 20)
            network.link("tgw1", "up")
        assert driver.wait(timeout=200) == 0, (tmp_path / "driver.log").read_text()
    mock.assert_same(tmp_path / "run", expected)
    log = (tmp_path / "run" / "log.txt").read_text()
    if fault == "3 s":
        assert "left: tcp" not in log
    if fault == "past the timeout":
        assert "left: tcp://10.77.0.11" in log


def test_counters_are_on_the_metrics_page(tmp_path):
    run_file = mock.write_inputs(tmp_path / "in", tiles={"size": 48})
    with workers_for(workers=1) as found:
        running.run(run_file, tmp_path / "run", scheduler=found.client.scheduler.address)

        def fails_once(folder, payload):
            if payload == 1 and not (folder / "failed").exists():
                (folder / "failed").touch()
                raise RuntimeError("once")

        units = [Unit(str(n), 1, n) for n in range(3)]
        DaskEngine(found.client).run("again", fails_once, units, common=tmp_path, units_per_task=1)
        (worker,) = found.client.run(lambda dask_worker: dask_worker.http_server.port).values()
        with urllib.request.urlopen(f"http://127.0.0.1:{worker}/metrics", timeout=10) as page:
            text = page.read().decode()
    rows = [line.rpartition(" ") for line in text.splitlines() if line.startswith("tilegc_")]
    tiles = {name: float(value) for name, _, value in rows}
    assert tiles['tilegc_tiles_total{name="filter"}'] == 8
    assert tiles['tilegc_pixels_total{name="filter"}'] == sum(a * b for a, b in mock.SHAPES.values())
    assert tiles['tilegc_pixels_per_second{name="filter"}'] > 0
    assert tiles["tilegc_bytes_read_total"] > 1e5
    assert tiles['tilegc_failures_total{name="again"}'] == 1
    assert tiles['tilegc_retries_total{name="again"}'] == 1
    assert tiles['tilegc_tiles_total{name="again"}'] == 3
    assert 'tilegc_retries_total{name="filter"}' not in tiles
