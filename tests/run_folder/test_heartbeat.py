"""The heartbeat of a run, and what `status` infers from it on the same and on another machine."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.command import tilegc
from tilegc import config as run_file
from tilegc.run_folder import RunFolder, heartbeat, status
from tilegc.run_folder.heartbeat import Heart, beating, last
from tilegc.run_folder.layout import is_ours
from tilegc.schema import FILES


def ago(seconds):
    return (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)).isoformat(timespec="seconds")


def leave(folder, **changes):
    """Put a sign of life there as a process of another machine would."""
    beat = dataclasses.replace(Heart().beat(), host="another", **changes)
    (folder / FILES.heartbeat).write_text(json.dumps(dataclasses.asdict(beat)))


CONFIG = run_file.resolve(
    {
        "recipe": "diego2026",
        "cluster": {"name": "X", "redshift": 0.3, "ra": 10.0, "dec": -5.0},
        "fields": [{"name": "a", "bands": {"F090W": "/data/a.fits"}}],
    }
)


@pytest.fixture
def running(tmp_path):
    """A folder whose manifest says that its run goes on, and that nobody holds."""
    with RunFolder(tmp_path).create(CONFIG, inputs={}):
        manifest = (tmp_path / FILES.manifest).read_bytes()
    (tmp_path / FILES.manifest).write_bytes(manifest)
    return tmp_path


def test_a_heart_counts_what_a_pass_does():
    heart = Heart()
    assert heart.beat().name is None
    heart.start("filter", 400, 4)
    heart.advance(100, 1)
    heart.advance(200, 2)
    beat = heart.beat()
    assert (beat.name, beat.units, beat.units_in_all, beat.units_of_run) == ("filter", 3, 4, 3)
    assert beat.pixels_per_second > 0
    assert beat.where.startswith(f"process {os.getpid()} on ")
    heart.finish("filter")
    heart.start("mask", 0, 7)
    heart.advance(0, 2)
    beat = heart.beat()
    assert (beat.name, beat.units, beat.units_in_all, beat.units_of_run) == ("mask", 2, 7, 5)
    assert beat.pixels_per_second == 0


def test_it_beats_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT", 0.02)
    with beating(tmp_path) as heart:
        assert last(tmp_path).name is None
        heart.start("filter", 10, 2)
        for _ in range(200):
            if last(tmp_path).name == "filter":
                break
            time.sleep(0.02)
        assert last(tmp_path).units_in_all == 2
    assert list(tmp_path.iterdir()) == []
    assert last(tmp_path) is None
    assert is_ours(FILES.heartbeat, ())


def test_a_heart_that_cannot_beat_stops_no_run(tmp_path, caplog):
    (tmp_path / FILES.heartbeat).mkdir()
    with beating(tmp_path):
        pass
    assert "not written" in caplog.text


def test_a_run_of_another_machine_whose_lock_is_not_seen(running):
    leave(
        running,
        written=ago(5),
        moved=ago(5),
        name="filter",
        units=3,
        units_in_all=9,
        units_of_run=12,
        pixels_per_second=2.5e6,
    )
    found = status(running)
    assert (found.state, found.alive, found.since) == ("running", True, None)
    first, second = tilegc("status", running).out.splitlines()[:2]
    assert first.endswith(": running")
    assert " on another, last sign of life " in second
    assert second.endswith("s ago): filter, 3 of 9 tiles, 2.50 Mpix/s; 12 tiles done in all")


def test_a_run_in_which_no_tile_ends(running):
    moved = ago(heartbeat.STUCK + 60)
    leave(running, written=ago(5), moved=moved, name="filter", units=3, units_in_all=9)
    found = status(running)
    assert (found.state, found.since) == ("stalled", moved)
    assert "stalled since" in tilegc("status", running).out
    leave(running, written=ago(5), moved=moved, name=None)  # the driver works by itself
    assert status(running).state == "running"


def test_a_run_without_signs_of_life(running):
    written = ago(heartbeat.SILENT + 3600)
    leave(running, written=written, moved=written)
    found = status(running)
    assert (found.state, found.alive, found.since) == ("stopped", False, written)
    assert ": interrupted " in tilegc("status", running).out
    assert "UTC (1 h 1 min ago)" in tilegc("status", running).out


DRIVER = """
import sys, time
from tilegc.run_folder import beating
from tilegc.run_folder.folder import lock
from pathlib import Path
folder = Path(sys.argv[1])
with lock(folder), beating(folder) as heart:
    heart.start("filter", 100, 4)
    heart.advance(25, 1)
    print("there", flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_killed_or_held(running, monkeypatch):
    """A stopped process, as on a machine that hangs, holds the lock but gives no sign of life."""
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(running)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"there\n"
        found = status(running)
        assert (found.state, found.alive) == ("running", True)
        assert found.heartbeat.process == process.pid
        assert found.heartbeat.here
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(heartbeat, "SILENT", -1.0)
        found = status(running)
        assert (found.state, found.alive, found.since) == ("stalled", True, found.heartbeat.written)
        monkeypatch.undo()
        process.kill()
    found = status(running)
    assert (found.state, found.alive) == ("stopped", False)
    assert found.since == found.heartbeat.written


def test_an_ended_run_tells_its_end(tmp_path):
    with RunFolder(tmp_path).create(CONFIG, inputs={}), beating(tmp_path):
        pass
    found = status(tmp_path)
    assert (found.state, found.since, found.heartbeat) == ("stopped", found.ended, None)
    with RunFolder(tmp_path).create(CONFIG, inputs={}, overwrite=True) as folder, beating(tmp_path):
        folder.finish()
    found = status(tmp_path)
    assert (found.state, found.since, found.heartbeat) == ("done", None, None)


def test_what_is_no_heartbeat_is_none(tmp_path):
    for text in ("", "[]", "{}", '{"process": 1}'):
        (tmp_path / FILES.heartbeat).write_text(text)
        assert last(tmp_path) is None
