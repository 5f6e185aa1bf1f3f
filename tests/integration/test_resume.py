"""Interrupted runs resume and give the same bytes as uninterrupted ones (algorithm.md, section 14)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import tilegc as package
from tests.support import mock
from tests.support.command import listing, tilegc
from tilegc import running
from tilegc.engine.serial import SerialEngine
from tilegc.errors import ConfigError, RunFolderError, TilesFailedError
from tilegc.io import atomic
from tilegc.run_folder import Ledger, status, verify
from tilegc.schema import FILES

PASSES = ("ingest", "filter", "regions", "extended-draw", "mask", "density", "rho")
"""Passes that write, in the order in which they run."""


class Power(BaseException):
    """An exception that nothing may catch, like a power failure."""


pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return mock.write_inputs(folder, ingest="always", tiles={"size": 33})


@pytest.fixture(scope="module")
def undisturbed(run_file, tmp_path_factory):
    return running.run(run_file, tmp_path_factory.mktemp("undisturbed") / "run", workers=0)


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of a finished run, to be damaged."""
    return Path(shutil.copytree(undisturbed.path, tmp_path / "run"))


def interrupt_units(patch, name, after, error):
    """Let a pass process some units, then raise in all others."""
    done = []

    def do(self, books, function, common, unit, ordinary=SerialEngine._do):
        def broken(common, payload):
            if books.name == name:
                if len(done) == after:
                    raise error
                done.append(unit.key)
            return function(common, payload)

        ordinary(self, books, broken, common, unit)

    patch.setattr(SerialEngine, "_do", do)
    return done


def counted_units(patch):
    """Count the units that each pass does."""
    counts: dict[str, list[str]] = {}

    def do(self, books, function, common, unit, ordinary=SerialEngine._do):
        counts.setdefault(books.name, []).append(unit.key)
        ordinary(self, books, function, common, unit)

    patch.setattr(SerialEngine, "_do", do)
    return counts


SLOW = {"regions", "extended-draw", "density", "sigma 2/2", "inpaint", "sky-grid"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
        for name in (*PASSES, "sigma 2/2", "peaks", "inpaint", "sky-grid", "maps")
    ],
)
def test_interrupted_in_a_pass(name, run_file, undisturbed, tmp_path, monkeypatch):
    """Ctrl-C in the second unit; units recorded in the ledger are not repeated."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_units(patch, name, 1, KeyboardInterrupt())
        running.run(run_file, tmp_path / "run", workers=0)
    found = status(tmp_path / "run")
    assert (found.state, found.alive) == ("stopped", False)
    before = {step.name: step.done for step in found.passes}
    with monkeypatch.context() as patch:
        counts = counted_units(patch)
        run = running.run(run_file, tmp_path / "run", workers=0, resume=True)
    mock.assert_same(run, undisturbed)
    totals = {step.name: step.total for step in found.passes}
    for step in PASSES:
        assert len(counts.get(step, ())) == totals[step] - before[step], step
    if name in PASSES:
        assert before[name] == 1
    assert verify(run.path) == []


@pytest.fixture(scope="module")
def calibrated(run_file, tmp_path_factory):
    """A run with the calibrated recipe and its automatic settings, and its run file."""
    changes = {
        **mock.CALIBRATED,
        "detect.threshold": "auto",
        "detect.purity": 0.9,
        "tiles.size": 64,
        "mask.spikes": "auto",
        "mask.arcs": "auto",
        "convergence": None,
    }
    changed = mock.edited(run_file, "calibrated.yaml", changes)
    return changed, running.run(changed, tmp_path_factory.mktemp("calibrated") / "run", workers=0)


@pytest.mark.parametrize(
    "name",
    [
        "null map",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "stars",
                "band noise",
                "filter",
                "ridges",
                "quiet pixels",
                "balance",
                "peaks",
                "shapes",
            )
        ),
    ],
)
def test_the_calibrated_recipe_interrupted_in_a_pass(name, calibrated, tmp_path, monkeypatch):
    """Everything that is measured (PSF, weights, local noise, purity, threshold) is measured again, with the same
    bytes."""
    run_file, undisturbed = calibrated
    assert any(field["threshold_chosen"] for field in undisturbed.summary["fields"].values())
    after = 0 if name == "balance" else 1  # one unit in all
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_units(patch, name, after, KeyboardInterrupt())
        running.run(run_file, tmp_path / "run", workers=0)
    marked = {step.name: step.done for step in status(tmp_path / "run").passes}
    with monkeypatch.context() as patch:
        counts = counted_units(patch)
        run = running.run(run_file, tmp_path / "run", workers=0, resume=True)
    mock.assert_same(run, undisturbed)
    assert len(counts.get("ingest", ())) == 0 < marked["ingest"]
    for found in (run.path / "psf").iterdir():
        assert found.read_bytes() == (undisturbed.path / "psf" / found.name).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "ingest",
        "mask",
        pytest.param("filter", marks=pytest.mark.slow),
        pytest.param("rho", marks=pytest.mark.slow),
    ],
)
def test_killed_between_a_payload_and_its_mark(name, run_file, undisturbed, tmp_path, monkeypatch):
    """The unit is repeated and overwrites its earlier result."""
    mark = Ledger.mark

    def no_mark(self, step, keys, *recorded):
        if step == name:
            raise Power
        mark(self, step, keys, *recorded)

    with monkeypatch.context() as patch, pytest.raises(Power):
        patch.setattr(Ledger, "mark", no_mark)
        running.run(run_file, tmp_path / "run", workers=0)
    assert {step.name: step.done for step in status(tmp_path / "run").passes}[name] == 0
    mock.assert_same(running.run(run_file, tmp_path / "run", workers=0, resume=True), undisturbed)


@pytest.mark.parametrize(
    "name",
    [
        FILES.run,
        "a_rho.fits",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (FILES.profile, FILES.candidates, FILES.summary)
        ),
    ],
)
def test_killed_while_a_file_is_written(name, run_file, undisturbed, tmp_path, monkeypatch):
    """Neither the file nor part of it exists; after resuming it is complete."""
    replace = os.replace

    def pull_the_plug(beside, path):
        if Path(path).name == name:
            raise Power
        replace(beside, path)

    with monkeypatch.context() as patch, pytest.raises(Power):
        patch.setattr(atomic.os, "replace", pull_the_plug)
        running.run(run_file, tmp_path / "run", workers=0)
    assert not [path for path in (tmp_path / "run").rglob("*") if name in path.name]
    mock.assert_same(running.run(run_file, tmp_path / "run", workers=0, resume=True), undisturbed)


def test_tiles_that_fail(run_file, undisturbed, tmp_path, monkeypatch):
    """After all retries, exit code 3 names the tile; all others are finished and recorded."""
    tried = []

    def do(self, books, function, common, unit, ordinary=SerialEngine._do):
        def broken(common, payload):
            if (books.name, unit.key) == ("filter", "b/4"):
                tried.append(payload)
                raise OSError("input/output error")
            return function(common, payload)

        ordinary(self, books, broken, common, unit)

    with monkeypatch.context() as patch:
        patch.setattr(SerialEngine, "_do", do)
        found = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0)
    assert found.code == 3
    last = found.err.splitlines()[-1]
    assert re.fullmatch(r"tilegc: filter: 1 of 18 tiles failed in 3 attempts: b/4 \(.*--resume", last)
    assert len(tried) == 3
    looked = status(tmp_path / "run")
    assert looked.state == "failed"
    assert "b/4" in looked.error
    assert {step.name: (step.done, step.total) for step in looked.passes}["filter"] == (17, 18)
    with pytest.raises(TilesFailedError), monkeypatch.context() as patch:
        patch.setattr(SerialEngine, "_do", do)
        running.run(run_file, tmp_path / "run", workers=0, resume=True)
    mock.assert_same(running.run(run_file, tmp_path / "run", workers=0, resume=True), undisturbed)


def test_interrupted_again_and_again(run_file, undisturbed, tmp_path, monkeypatch):
    """Each start processes three more units; the last one uses other workers."""
    starts = 0
    while starts < 40:
        starts += 1
        left = iter(range(30))

        def do(self, books, function, common, unit, ordinary=SerialEngine._do, left=left):
            if books.ledger is not None and next(left, None) is None:
                raise KeyboardInterrupt
            ordinary(self, books, function, common, unit)

        with monkeypatch.context() as patch:
            patch.setattr(SerialEngine, "_do", do)
            try:
                run = running.run(run_file, tmp_path / "run", workers=0, resume=True)
            except KeyboardInterrupt:
                continue
        break
    assert starts > 2
    mock.assert_same(run, undisturbed)


# --- processes ----------------------------------------------------------------------------------------------


def start(run_file, folder, *arguments):
    """Start `tilegc run` as a shell would."""
    place = str(Path(package.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "tilegc", "run", str(run_file), "-o", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": place, "COLUMNS": "200"},
    )


def wait_for(process, folder, name):
    """Wait until a pass has a mark in the ledger."""
    for _ in range(6000):
        if list((folder / FILES.ledger).glob(f"*-{name}.json")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail(f"no mark of {name} within a minute")


@pytest.fixture(scope="module")
def slow_file(run_file):
    """Many small tiles, so that there is time to kill the run."""
    return mock.edited(run_file, "small-tiles.yaml", {"tiles.size": 15})


@pytest.mark.parametrize(
    ("workers", "name"),
    [
        ("0", "filter"),
        pytest.param("2", "ingest", marks=pytest.mark.slow),
        pytest.param("0", "mask", marks=pytest.mark.slow),
    ],
)
def test_kill_9(workers, name, slow_file, undisturbed, tmp_path):
    with start(slow_file, tmp_path / "run", "--workers", workers) as process:
        wait_for(process, tmp_path / "run", name)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    found = status(tmp_path / "run")
    assert (found.state, found.alive) == ("stopped", False)
    assert not (tmp_path / "run" / FILES.summary).exists()
    refused = tilegc("run", slow_file, "-o", tmp_path / "run", "--workers", 0)
    assert refused.code == 2
    assert "--resume" in refused.err
    assert "--overwrite" in refused.err
    mock.assert_same(running.run(slow_file, tmp_path / "run", workers=0, resume=True), undisturbed)
    left = [path.name for path in (tmp_path / "run").rglob("*") if path.name.endswith((".part", ".partial"))]
    assert left == []


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_ctrl_c(workers, slow_file, undisturbed, tmp_path):
    with start(slow_file, tmp_path / "run", "--workers", workers) as process:
        wait_for(process, tmp_path / "run", "ingest")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "tilegc: interrupted; continue with --resume"
    assert "Traceback" not in err
    assert status(tmp_path / "run").state == "stopped"
    mock.assert_same(running.run(slow_file, tmp_path / "run", workers=0, resume=True), undisturbed)


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        ("SIGTERM", "0"),
        pytest.param("SIGHUP", "0", marks=pytest.mark.slow),
        pytest.param("SIGTERM", "2", marks=pytest.mark.slow),
    ],
)
def test_sigterm_and_sighup_leave_the_folder_in_order(number, workers, slow_file, tmp_path):
    with start(slow_file, tmp_path / "run", "--workers", workers) as process:
        wait_for(process, tmp_path / "run", "ingest")
        begun = time.monotonic()
        process.send_signal(getattr(signal, number))
        process.send_signal(getattr(signal, number))  # schedulers may repeat it
        _, err = process.communicate(timeout=60)
    assert time.monotonic() - begun < 30, "SLURM and Kubernetes kill after 30 s"
    assert process.returncode == 128 + getattr(signal, number)
    assert err.splitlines()[-1] == "tilegc: interrupted; continue with --resume"
    assert "Traceback" not in err
    found = status(tmp_path / "run")
    assert (found.state, found.alive) == ("stopped", False)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {name for name in names if name.startswith(".")} <= {FILES.manifest_copy}, (
        "no lock, token or part is left"
    )
    assert FILES.heartbeat not in names


# --- what a second start may do -----------------------------------------------------------------------------


def test_a_second_start_without_a_flag_names_both(run_file, finished):
    before = listing(finished)
    with pytest.raises(RunFolderError, match=r"state: done.*--resume.*--overwrite"):
        running.run(run_file, finished, workers=0)
    assert listing(finished) == before


@pytest.mark.parametrize("there", ["absent", "empty", "begun"])
@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_flags_on_what_is_hardly_a_run(there, flag, run_file, undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    if there == "empty":
        folder.mkdir()
    elif there == "begun":
        with monkeypatch.context() as patch, pytest.raises(Power):
            interrupt_units(patch, "ingest", 0, Power())
            running.run(run_file, folder, workers=0)
    mock.assert_same(running.run(run_file, folder, workers=0, **{flag: True}), undisturbed)


def test_resume_of_a_finished_run(run_file, undisturbed, finished, monkeypatch):
    counts = counted_units(monkeypatch)
    run = running.run(run_file, finished, workers=0, resume=True)
    mock.assert_same(run, undisturbed)
    assert not set(PASSES) & set(counts)
    assert run.manifest["state"] == "done"
    ours, theirs = run.manifest["products"], undisturbed.manifest["products"]
    changed = {name for name in theirs if ours.get(name) != theirs[name] and not name.startswith("figures/")}
    # `timing` is in the summary and on the page, and the two runs have their own input paths.
    assert changed <= {FILES.summary, FILES.report, FILES.run}


def test_resume_makes_good_what_was_deleted(run_file, undisturbed, finished):
    (finished / FILES.catalogue).unlink()
    shutil.rmtree(finished / FILES.maps)
    mock.assert_same(running.run(run_file, finished, workers=0, resume=True), undisturbed)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"detect.keep": 2.5}, r"detect\.keep \(1\.5, now 2\.5\)"),
        ({"tiles.size": 40}, r"tiles\.size \(33, now 40\)"),
        ({"inpaint": {"realisations": 4}}, r"inpaint\.realisations \(3, now 4\).*inpaint\.seed \(7, now 1\)"),
        ({"fields.1.name": "c"}, r"fields\[1\]\.name \(\"b\", now \"c\"\)"),
        ({"convergence": None}, r"convergence"),
    ],
)
def test_other_settings_are_refused(changes, said, run_file, finished):
    changed = mock.edited(run_file, "changed.yaml", changes)
    before = listing(finished)
    with pytest.raises(RunFolderError, match=rf"settings have changed.*{said}.*--overwrite"):
        running.run(changed, finished, workers=0, resume=True)
    assert listing(finished) == before


@pytest.mark.parametrize("name", ["a_f150w_i2d.fits", "kappa.fits", "arc.reg", "patch.fits"])
def test_other_inputs_are_refused(name, run_file, finished, tmp_path):
    """A single changed pixel is enough, with the size and modification time of the file unchanged."""
    path = run_file.parent / name
    content, times = path.read_bytes(), path.stat()
    try:
        if name.endswith(".fits"):
            with fits.open(path, mode="update") as hdus:
                data = hdus[-1].data
                data[30, 30] = data[30, 30] + 1
        else:
            path.write_bytes(content.replace(b'2.5"', b'2.6"'))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert path.stat().st_size == len(content)
        assert path.read_bytes() != content
        before = listing(finished)
        with pytest.raises(RunFolderError, match=rf"inputs have changed.*{name}.*--overwrite"):
            running.run(run_file, finished, workers=0, resume=True)
        assert listing(finished) == before
    finally:
        path.write_bytes(content)


def test_inputs_that_moved_are_the_same_inputs(run_file, undisturbed, tmp_path, monkeypatch):
    """An interrupted run continues with copies of its inputs in another place, and gives the same bytes."""
    with monkeypatch.context() as patch:
        interrupt_units(patch, "mask", 2, Power())
        with pytest.raises(Power):
            running.run(run_file, tmp_path / "run", workers=0)
    elsewhere = shutil.copytree(run_file.parent, tmp_path / "elsewhere")
    counts = counted_units(monkeypatch)
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    run = running.run(elsewhere / run_file.name, moved, workers=0, resume=True)
    assert "ingest" not in counts
    assert "filter" not in counts
    mock.assert_same(run, undisturbed)
    assert set(run.manifest["inputs"]) == {
        name.replace(str(run_file.parent), str(elsewhere)) for name in undisturbed.manifest["inputs"]
    }


def test_touched_inputs_are_the_same_inputs(run_file, undisturbed, finished):
    os.utime(run_file.parent / "kappa.fits")
    mock.assert_same(running.run(run_file, finished, workers=0, resume=True), undisturbed)


def test_overwrite_keeps_what_is_not_ours(run_file, undisturbed, finished):
    foreign = ["notes.txt", "maps/mine.fits", "store/other.zarr/zarr.json", "figures/old.png"]
    for name in foreign:
        (finished / name).parent.mkdir(parents=True, exist_ok=True)
        (finished / name).write_text("mine")
    changed = mock.edited(run_file, "overwrite.yaml", {"fields.1": None, "tiles.size": 50})
    run = running.run(changed, finished, workers=0, overwrite=True)
    assert run.fields == ("a",)
    assert not (finished / "store" / "b.zarr").exists()
    assert not (finished / "maps" / "b_rho.fits").exists()
    for name in foreign:
        assert (finished / name).read_text() == "mine"
    shutil.rmtree(finished / "store" / "other.zarr")
    (finished / "maps" / "mine.fits").unlink()
    mock.assert_same(running.run(run_file, finished, workers=0, overwrite=True), undisturbed)


def test_resume_and_overwrite_exclude_each_other(run_file, finished):
    with pytest.raises(ConfigError, match="--resume and --overwrite"):
        running.run(run_file, finished, workers=0, resume=True, overwrite=True)


# --- verify -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (FILES.catalogue, FILES.catalogue),
        (FILES.summary, FILES.summary),
        ("maps/b_mask.fits", "maps/b_mask.fits"),
        ("store/a.zarr/detection/c/1/1", "store/a.zarr/detection"),
        ("store/sky-grid.zarr/zarr.json", "store/sky-grid.zarr"),
    ],
)
@pytest.mark.parametrize("how", ["changed", "absent"])
def test_verify(name, place, how, finished):
    assert tilegc("verify", finished).code == 0
    path = finished / name
    if how == "changed":
        content = np.frombuffer(path.read_bytes(), np.uint8).copy()
        content[content.size // 2] ^= 1
        path.write_bytes(content.tobytes())
    else:
        path.unlink()
    found = tilegc("verify", finished)
    assert found.code == 1
    assert len(found.err.splitlines()) == 1
    assert found.err.startswith(f"tilegc: {place}: ")


def test_verify_names_a_run_file_that_was_edited(finished):
    (finished / FILES.run).write_text("# mine now\n")
    found = tilegc("verify", finished)
    assert (found.code, found.err) == (1, f"tilegc: {FILES.run}: has changed\n")


def test_a_report_that_cannot_be_written(finished):
    shutil.rmtree(finished / FILES.figures, ignore_errors=True)
    (finished / FILES.figures).write_text("in the way")
    found = tilegc("report", finished)
    assert found.code == 2
    assert found.err.count("\n") == 1
    assert f"tilegc: {finished}: cannot write the report" in found.err


@pytest.mark.parametrize("damage", ["a chunk is gone", "a byte has changed", "the stores are gone"])
def test_a_store_that_is_not_as_it_was_left_is_refused(finished, run_file, damage):
    chunk = next(
        path
        for path in sorted((finished / "store" / "a.zarr" / "detection" / "c").rglob("*"))
        if path.is_file()
    )
    if damage == "a chunk is gone":
        chunk.unlink()
    elif damage == "a byte has changed":
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 1
        chunk.write_bytes(content)
    else:
        shutil.rmtree(finished / "store")
    manifest = (finished / "manifest.json").read_bytes()
    with pytest.raises(RunFolderError, match=r"changed since the run wrote it: store/a\.zarr.*--overwrite"):
        running.run(run_file, finished, workers=0, resume=True)
    assert (finished / "manifest.json").read_bytes() == manifest
