"""The whole chain on a SLURM cluster of two nodes, and what can go wrong there: real jobs on the loopback of this
machine."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import cloudpickle
import psutil
import pytest
import yaml

from tests.support import mock
from tests.support import slurm as slurms
from tests.support.command import tilegc
from tests.support.sockets import exposed, listening
from tilegc import running
from tilegc.cluster import ONE_THREAD, workers_for
from tilegc.config import Compute
from tilegc.engine import Unit, for_client
from tilegc.errors import InputError
from tilegc.run_folder import Ledger
from tilegc.samples import load_sample, survey
from tilegc.simulation import simulate
from tilegc.simulation.sample import simulate_sample

cloudpickle.register_pickle_by_value(sys.modules[__name__])

JOBS = {"queue": "debug", "walltime": "00:10:00", "interface": "lo"}
UNITS = [Unit(f"a/{i}", 100, i) for i in range(60)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    why = slurms.missing()
    if why is not None:
        pytest.skip(why)
    with slurms.running(tmp_path_factory.mktemp("slurm") / "state") as found:
        yield found


@pytest.fixture(autouse=True)
def _surroundings(slurm, monkeypatch, tmp_path):
    """SLURM's clients find it; workers find this tilegc; a lost job is noticed soon."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.chdir(tmp_path)
    mock.no_report(monkeypatch)


def compute(**jobs):
    return Compute.model_validate({"memory": "1 GiB", "patience": 90, "jobs": {**JOBS, **jobs}})


def add(a, b):
    return a + b


def slow(seconds, payload):
    time.sleep(seconds)
    return payload


def surroundings(_common, _payload):
    import dask
    import numba
    from distributed import get_worker

    worker = get_worker()
    return [
        {
            "threads": {name: os.environ.get(name) for name in ONE_THREAD},
            "numba": numba.config.NUMBA_NUM_THREADS,
            "terminate": dask.config.get("distributed.worker.memory.terminate"),
            "spill": dask.config.get("distributed.worker.memory.spill"),
            "tcp": dask.config.get("distributed.comm.timeouts.tcp"),
            "scratch": worker.local_directory,
            "address": worker.address,
            "memory": worker.memory_manager.memory_limit,
            "name": str(worker.name),
            "process": os.getpid(),
            "job": os.environ["SLURM_JOB_ID"],
        }
    ]


class Once:
    """A progress display that does something after a number of units."""

    def __init__(self, after, act):
        self.left, self.act = after, act

    def start(self, name, total_pixels, total_units):
        pass

    def advance(self, pixels, units):
        self.left -= units
        if self.left <= 0 and self.act is not None:
            act, self.act = self.act, None
            act()

    def finish(self, name):
        pass


@pytest.mark.parametrize(
    "size",
    [(200, 150), pytest.param((512, 384), marks=pytest.mark.slow)],
    ids=["part", "tiny"],
)
def test_a_job_cancelled_in_the_middle_is_replaced_and_the_bytes_are_those_of_one_process(
    slurm, tmp_path, size
):
    """The cluster `tiny`, or part of it: with two jobs and TLS between driver and workers, and without jobs."""
    run_file = simulate(tmp_path / "sim", preset="tiny", size=size)
    expected = running.run(run_file, tmp_path / "alone", workers=0)
    content = yaml.safe_load(run_file.read_text())
    content["compute"] = {"workers": 2, "memory": "1 GiB", "jobs": JOBS}
    content["tiles"] = {"size": min(size) // 4}
    elsewhere = run_file.with_name("slurm.yaml")
    elsewhere.write_text(yaml.safe_dump(content))
    before = len(slurm.ended())
    cancelled = []

    def cancel():
        cancelled.append(min(slurm.jobs(), key=int))
        slurm("scancel", cancelled[0])

    found = running.run(elsewhere, tmp_path / "run", cluster_name="slurm", progress=Once(12, cancel))
    mock.assert_same(found, expected)
    assert cancelled
    end = time.monotonic() + 10
    while len(ends := slurm.ended()[before:]) < 3 and time.monotonic() < end:
        time.sleep(0.2)  # on a busy machine the last ones are still completing
    assert len(ends) == 3, ends
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "tls://" in log
    assert "left: tls://" in log
    assert not list(tmp_path.glob("tilegc-slurm-*"))
    assert not list((tmp_path / "run").glob(".here-*"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_sample_of_four_clusters_in_jobs(slurm, tmp_path):
    """Drivers of the clusters share the jobs' workers, and the certificates that were made for the survey."""
    sample = simulate_sample(tmp_path / "sky", 4, size=(256, 192))
    content = yaml.safe_load(sample.read_text())
    compute = {"workers": 2, "memory": "1 GiB", "jobs": JOBS}
    content["defaults"] = {**(content.get("defaults") or {}), "compute": compute}
    sample.write_text(yaml.safe_dump(content))
    outcomes = survey(str(sample), tmp_path / "runs", cluster_name="slurm")
    assert [(one.state, one.message) for one in outcomes] == [("done", "")] * 4
    first = load_sample(str(sample)).entries[0]
    alone = running.run(first.config, tmp_path / "alone", workers=0)
    mock.assert_same(tmp_path / "runs" / first.name, alone)
    assert "tls://" in (tmp_path / "runs" / first.name / "log.txt").read_text()
    assert not list(tmp_path.glob("**/tilegc-tls-*"))


@pytest.mark.slow
def test_a_job_of_two_workers_knows_its_settings_and_comes_back(slurm, tmp_path, monkeypatch):
    """All workers are lost at once; dask-jobqueue alone never replaces a job with several workers."""
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP", "17s")
    settings = compute(workers_per_job=2, prologue=["export SCRATCH=$PWD"]).model_copy(
        update={"scratch": "$SCRATCH/fast", "encrypt": False}
    )
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.tcp": "17s"}),
        workers_for(workers=2, cluster="slurm", compute=settings, beside=tmp_path) as found,
    ):
        assert found.threads == 2
        engine = for_client(found.client, patience=found.patience, shortage=found.shortage)
        seen = engine.run("look", surroundings, UNITS, combine=add, units_per_task=1)
        assert {one["job"] for one in seen} == set(slurm.jobs())
        workers = [psutil.Process(one["process"]) for one in seen]
        theirs = {process.pid for worker in workers for process in (worker, *worker.parents()[:1])}
        sockets = listening(theirs)
        assert len(sockets) >= 4, "comm and pages of each worker"
        assert not exposed(sockets | listening())
        assert {one["name"] for one in seen} <= {"tilegc-0-0", "tilegc-0-1"}
        for one in seen:
            assert one["threads"] == ONE_THREAD
            assert one["numba"] == 1
            assert (one["terminate"], one["spill"], one["tcp"]) == (0.95, False, "17s")
            assert one["address"].startswith("tcp://127.0.0.1:")
            assert one["memory"] == pytest.approx(2**30, rel=0.01)
            assert one["scratch"].startswith(f"{tmp_path}/fast/")
        (lost,) = slurm.jobs()
        engine.progress = Once(10, lambda: slurm("scancel", lost))
        ledger = Ledger(tmp_path / "ledger", "f")
        engine.run("work", slow, UNITS, common=0.05, ledger=ledger, units_per_task=1)
        assert ledger.done("work") == {unit.key for unit in UNITS}
        assert set(slurm.jobs()) - {lost}


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ({"queue": "nowhere"}, "invalid partition specified: nowhere"),
        ({"directives": ["--constraint=abacus"]}, "Invalid feature specification"),
        (
            {"prologue": ["echo module: no such module >&2", "exit 3"]},
            r"FAILED, exit code 3:0 before its worker came; its log ends: module: no such module",
        ),
        ({"python": "/nowhere/python"}, r"exit code 127:0 .* its log ends: .*/nowhere/python"),
    ],
)
def test_jobs_that_cannot_be_get_their_line_within_seconds(slurm, tmp_path, jobs, said):
    begun = time.monotonic()
    with (
        pytest.raises(InputError, match=said) as caught,
        workers_for(workers=1, cluster="slurm", compute=compute(**jobs), beside=tmp_path),
    ):
        pass
    assert time.monotonic() - begun < 45
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("--cluster slurm: ")
    assert slurm.jobs() == {}


def test_doctor(slurm, tmp_path):
    run_file = mock.write_inputs(tmp_path / "in", compute={"memory": "1 GiB", "jobs": JOBS})
    well = tilegc("doctor", run_file, "--cluster", "slurm")
    assert (well.code, well.err) == (0, "")
    assert [line.split()[:2] for line in well.out.splitlines()] == [
        ["ok", "worker"],
        ["ok", "place"],
        ["ok", "tile"],
    ]
    ill = tilegc(
        "doctor", mock.edited(run_file, "ill.yaml", {"compute.jobs.queue": "no"}), "--cluster", "slurm"
    )
    assert (ill.code, ill.err) == (1, "")
    assert ill.out.startswith("FAILS   --cluster slurm: ")
    assert ill.out.count("\n") == 1


def test_one_allocation_for_everything(slurm, tmp_path, monkeypatch):
    """`deploy/slurm/tilegc.sbatch` on both nodes; a worker that is killed is restarted."""
    script = Path(__file__).resolve().parents[2] / "deploy" / "slurm" / "tilegc.sbatch"
    run_file = mock.write_inputs(tmp_path / "in", tiles={"size": 24})
    expected = running.run(run_file, tmp_path / "alone", workers=0)
    monkeypatch.setenv("TILEGC_PYTHON", sys.executable)
    monkeypatch.setenv("TILEGC_INTERFACE", "lo")
    slurm(
        "sbatch",
        "--ntasks=2",
        "--nodes=2",
        "--mem-per-cpu=1G",
        f"--output={tmp_path}/out",
        str(script),
        str(run_file),
        "-o",
        str(tmp_path / "run"),
    )
    killed = False
    end = time.monotonic() + 200
    while slurm.jobs():
        assert time.monotonic() < end, (tmp_path / "out").read_text()
        if not killed and any((tmp_path / "run" / "ledger").glob("*-filter.json")):
            killed = kill_a_worker(tmp_path)
        time.sleep(0.5)
    assert killed
    mock.assert_same(tmp_path / "run", expected)
    assert "report" in (tmp_path / "out").read_text()
    assert not list(tmp_path.glob("tilegc-*"))


def kill_a_worker(folder):
    """Kill a worker and what watches it, as its node's failure would."""
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if f"--scheduler-file {folder}" in line and "dask_worker" in line:
            for one in (*process.children(recursive=True), process):
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_leave_before_their_wall_time_and_others_come(slurm, tmp_path):
    """Lifetime and stagger: nothing is lost and no job is killed."""
    before = len(slurm.ended())
    settings = compute(lifetime=25)
    with workers_for(workers=2, cluster="slurm", compute=settings, beside=tmp_path) as found:
        engine = for_client(found.client, patience=found.patience, shortage=found.shortage)
        end = time.monotonic() + 200
        while "COMPLETED" not in slurm.ended()[before:]:
            assert time.monotonic() < end
            assert engine.run("p", slow, UNITS, common=0.1, combine=add, units_per_task=1) == 1770
        assert engine.run("p", slow, UNITS, common=0.1, combine=add, units_per_task=1) == 1770
        assert set(slurm.ended()[before:]) == {"COMPLETED"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_killed_at_its_wall_time_comes_back(slurm, tmp_path):
    before = len(slurm.ended())
    settings = compute(walltime="00:01:00", lifetime=3600)
    with workers_for(workers=1, cluster="slurm", compute=settings, beside=tmp_path) as found:
        engine = for_client(found.client, patience=found.patience, shortage=found.shortage)
        end = time.monotonic() + 150
        while "TIMEOUT" not in slurm.ended()[before:]:
            assert time.monotonic() < end
            assert engine.run("p", slow, UNITS, common=0.05, combine=add, units_per_task=1) == 1770
        assert engine.run("p", slow, UNITS, common=0.05, combine=add, units_per_task=1) == 1770


def eat(folder, payload):
    """Take 700 MB, the first time that this unit is done."""
    if payload == 7:
        marker = Path(folder) / "eaten"
        if not marker.exists():
            marker.touch()
            held = bytearray(700 << 20)
            held[::4096] = b"x" * len(held[::4096])
            time.sleep(20)
            (Path(folder) / "survived").touch()
    return payload


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_killed_for_its_jobs_memory_comes_back(tmp_path_factory, tmp_path, monkeypatch):
    why = slurms.missing(memory=True)
    if why is not None:
        pytest.skip(why)
    with slurms.running(tmp_path_factory.mktemp("strict") / "state", memory=True) as strict:
        for name, value in strict.environment.items():
            monkeypatch.setenv(name, value)
        # more for the workers than the job has: it is SLURM that kills, not Dask
        settings = compute(directives=["--mem=500M"])
        with workers_for(workers=1, cluster="slurm", compute=settings, beside=tmp_path) as found:
            engine = for_client(found.client, patience=found.patience, shortage=found.shortage)
            assert engine.run("p", eat, UNITS, common=str(tmp_path), combine=add, units_per_task=5) == 1770
            # SLURM kills what took too much, the worker; what watches it stays below the limit, and starts another
            assert (tmp_path / "eaten").exists()
            assert not (tmp_path / "survived").exists()
