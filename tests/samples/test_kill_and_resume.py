"""A sample on two workers whose scheduler and one of whose drivers are killed on the way: the same bytes in the end.

TILEGC_SAMPLE=24 sets the number of clusters.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import tilegc
from tests.support import mock
from tilegc import samples
from tilegc.io.tables import read_parquet
from tilegc.simulation.sample import simulate_sample

CLUSTERS = int(os.environ.get("TILEGC_SAMPLE", "5"))

FREE = {"summary.json", "report.html", "run.yaml", "view", "gc.ecsv"}
"""Products that hold times or paths, or promise no bytes; the summary is compared without its times."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def python(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, *map(str, arguments)], env=environment, **options)


def killed(process):
    """End a process and all its children at once, as a crash does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                one.send_signal(signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def scheduler(folder, number):
    """A scheduler and two workers as processes of their own; yields the scheduler's file and its process."""
    file = folder / f"scheduler{number}.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    ours = [
        python(
            "-m",
            "distributed.cli.dask_scheduler",
            "--port",
            0,
            "--dashboard-address",
            ":0",
            "--host",
            "127.0.0.1",
            "--scheduler-file",
            file,
            **quiet,
        )
    ]
    worker = (
        "-m",
        "distributed.cli.dask_worker",
        "--scheduler-file",
        file,
        "--nthreads",
        1,
        "--no-dashboard",
        "--death-timeout",
        20,
        "--local-directory",
        folder,
    )
    ours += [python(*worker, **quiet) for _ in range(2)]
    try:
        yield file, ours[0]
    finally:
        for process in ours:
            killed(process)


def survey(sample, runs, *more):
    return python(
        "-m",
        "tilegc",
        "survey",
        sample,
        "-o",
        runs,
        *more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def states(runs):
    with contextlib.suppress(tilegc.errors.RunFolderError):
        return {one.name: one.state for one in samples.sample_status(runs)}
    return {}


def wait_until(holds, process, seconds=3600):
    end = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.5)


def drivers(process):
    """The driver processes of a survey, the one with most CPU time last."""
    found = [
        child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())
    ]
    return sorted(found, key=lambda child: sum(child.cpu_times()[:2]))


def promised(run: Path):
    manifest = json.loads((run / "manifest.json").read_bytes())
    found = {
        name: digest
        for name, digest in manifest["products"].items()
        if name not in FREE and not name.startswith(("figures/", "view/"))
    }
    summary = json.loads((run / "summary.json").read_bytes())
    summary.pop("timing")
    return {**found, "summary.json": summary}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    home = tmp_path_factory.mktemp("sample")
    sample = simulate_sample(home / "sky", CLUSTERS, size=(256, 200))
    outcomes = tilegc.survey(str(sample), home / "undisturbed", workers=2)
    return sample, home, {one.name: one for one in outcomes}


def test_a_sample_goes_on_after_the_scheduler_and_a_driver_are_killed(undisturbed):
    sample, home, expected = undisturbed
    runs = home / "disturbed"
    with scheduler(home, 1) as (file, process):
        first = survey(sample, runs, "--scheduler", file)
        wait_until(lambda: "done" in states(runs).values() and "running" in states(runs).values(), first)
        killed(process)
        out, err = first.communicate(timeout=600)
        assert first.returncode == 3, (out, err)
        assert "scheduler" in err
    left = states(runs)
    assert "failed" not in left.values(), (left, err)
    assert "stopped" in left.values(), left
    with scheduler(home, 2) as (file, process):
        second = survey(sample, runs, "--scheduler", file, "--resume")
        wait_until(lambda: drivers(second), second)
        time.sleep(5)
        drivers(second)[-1].kill()
        out, err = second.communicate(timeout=3600)
        assert second.returncode == 3, (out, err)
        assert "its driver was killed (exit code -9); rerun with --resume" in err
        assert list(states(runs).values()).count("stopped") == 1
        third = survey(sample, runs, "--scheduler", file, "--resume")
        out, err = third.communicate(timeout=3600)
    after = states(runs)
    assert after == {name: one.state for name, one in expected.items()}
    assert list(after.values()).count("refused") == 2
    assert third.returncode == 3
    for name, one in expected.items():
        if one.state == "refused":
            assert f"{name}: refused: {one.message}" in err
        else:
            assert one.state == "done"
            assert promised(runs / name) == promised(home / "undisturbed" / name), name
    columns = [
        column for column in read_parquet(runs / "clusters.parquet").colnames if column != "fingerprint"
    ]
    ours, theirs = (read_parquet(one / "clusters.parquet") for one in (runs, home / "undisturbed"))
    for column in columns:
        assert [str(value) for value in ours[column]] == [str(value) for value in theirs[column]], column
    assert "http-equiv" not in (runs / "status.html").read_text()


def test_a_cluster_of_the_sample_has_the_bytes_of_the_same_cluster_alone(undisturbed):
    sample, home, _ = undisturbed
    done = next(
        one for one in samples.load_sample(str(sample)).entries if one.config and one.config.convergence
    )
    tilegc.run(done.config, home / "alone", workers=0)
    assert promised(home / "alone") == promised(home / "undisturbed" / done.name)


def test_the_workers_were_busy(undisturbed):
    _, home, _ = undisturbed
    occupancy = json.loads((home / "undisturbed" / "survey.json").read_text())["occupancy"]
    assert 0.3 < occupancy["whole"] <= 1.0
    assert occupancy["while_shared"] >= occupancy["whole"] - 0.1


def test_without_its_arrays_a_cluster_has_its_results_and_comes_back_on_resume(undisturbed):
    sample, home, _ = undisturbed
    name = next(
        one.name for one in samples.load_sample(str(sample)).entries if one.config and one.config.convergence
    )
    whole = home / "undisturbed" / name
    outcomes = tilegc.survey(str(sample), home / "lean", workers=0, only=(name,), keep="products")
    assert {one.name: one.state for one in outcomes}[name] == "done"
    lean = home / "lean" / name
    assert not [path for path in (lean / "store").rglob("c") if "sky-grid" not in str(path)]
    assert not tilegc.verify(lean)
    run = tilegc.open_run(lean)
    assert run.summary["n_detected"] == tilegc.open_run(whole).summary["n_detected"]
    with pytest.raises(tilegc.errors.RunFolderError, match="--keep products"):
        run.field(run.fields[0])
    tilegc.run(lean / "run.yaml", lean, workers=0, resume=True)
    mock.assert_same(lean, whole)
