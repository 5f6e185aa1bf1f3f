"""One run file, in every place where a run can be done: the same bytes.  Prints the digests with `-s`.

`TILEGC_PRESET` names the mock cluster (default: small), as does `tilegc simulate --preset`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.integration.test_network import (
    SCHEDULER,
    WORKER,
    files,
    network,  # noqa: F401  (a fixture)
    processes,
    scheduler_file,
    start_cluster,
    start_driver,
    wait_for_filter,
)
from tests.integration.test_object_store import BUCKET, KEY, SECRET, forget, make_bucket, moto
from tests.support import mock
from tests.support import slurm as slurms
from tests.support.certificates import authority
from tilegc import running
from tilegc.places import files_below, place
from tilegc.simulation import simulate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.usefixtures("no_report")]

Arrange = Callable[[Path], Path]


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    preset = os.environ.get("TILEGC_PRESET", "small")
    path = simulate(tmp_path_factory.mktemp("sky") / "sim", preset=preset, seed=1)
    return mock.edited(path, path.name, {"tiles.size": 512})


@pytest.fixture(scope="module")
def alone(run_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, one tile a field."""
    whole = mock.edited(run_file, "whole.yaml", {"tiles.size": 4096})
    return told(
        "one process, whole fields",
        running.run(whole, tmp_path_factory.mktemp("alone") / "run", workers=0).path,
    )


def told(where: str, run: Path) -> Path:
    """Print the digest of all products of a run."""
    whole = hashlib.sha256()
    for name, content in mock.products(run).items():
        whole.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    print(f"{whole.hexdigest()}  {where}")
    return run


def test_local(run_file, alone, tmp_path):
    mock.assert_same(
        told("two local workers", running.run(run_file, tmp_path / "run", workers=2).path), alone
    )


def test_slurm(run_file, alone, tmp_path, monkeypatch):
    if (why := slurms.missing()) is not None:
        pytest.skip(why)
    content = yaml.safe_load(run_file.read_text())
    content["compute"] = {
        "workers": 2,
        "memory": "1500 MiB",
        "jobs": {"queue": "debug", "walltime": "00:50:00", "interface": "lo"},
    }
    elsewhere = run_file.with_name("slurm.yaml")
    elsewhere.write_text(yaml.safe_dump(content))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with slurms.running(tmp_path / "state") as slurm:
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)
        run = running.run(elsewhere, tmp_path / "run", cluster_name="slurm").path
    mock.assert_same(told("two jobs of SLURM", run), alone)


def test_tls(run_file, alone, tmp_path):
    ours, listed = authority(tmp_path / "ours", "127.0.0.1"), tmp_path / "scheduler.json"
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
            listed,
            *options,
            log=tmp_path / "scheduler.log",
        )
        address = scheduler_file(listed)
        for number in range(2):
            start(*WORKER, address, "--nthreads", "1", *options, log=tmp_path / f"worker{number}.log")
        run = running.run(run_file, tmp_path / "run", scheduler=address, tls=files(ours)).path
    mock.assert_same(told("two workers on TLS", run), alone)


def test_object_store(run_file, alone, tmp_path, monkeypatch):
    settings = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with moto() as port:
        for name, value in {**settings, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        forget()
        make_bucket()
        for path in run_file.parent.iterdir():
            if path.is_file():
                place(f"s3://{BUCKET}/in/{path.name}").write_bytes(path.read_bytes())
        running.run(f"s3://{BUCKET}/in/{run_file.name}", f"s3://{BUCKET}/run", workers=2)
        for name in files_below(place(f"s3://{BUCKET}/run")):
            (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "run" / name).write_bytes(place(f"s3://{BUCKET}/run/{name}").read_bytes())
        forget()
    mock.assert_same(told("s3://, two local workers", tmp_path / "run"), alone)


def test_namespaces(run_file, alone, tmp_path, network):  # noqa: F811
    """A machine for the scheduler and two for workers; the link of one worker is down for 3 s."""
    with processes() as start:
        start_cluster(start, network, tmp_path)
        driver = start_driver(start, network, run_file, tmp_path)
        wait_for_filter(driver, tmp_path, seconds=900)
        network.link("tgw1", "down")
        time.sleep(3)
        network.link("tgw1", "up")
        try:
            assert driver.wait(timeout=1800) == 0, (tmp_path / "driver.log").read_text()
        except subprocess.TimeoutExpired:
            pytest.fail((tmp_path / "driver.log").read_text())
    mock.assert_same(told("three network namespaces", tmp_path / "run"), alone)
