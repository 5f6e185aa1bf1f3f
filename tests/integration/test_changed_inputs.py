"""Inputs that change while a run reads them end the run: products are never made from two versions of a file."""

from __future__ import annotations

import os
import shutil

import pytest
from astropy.io import fits

from tests.support import mock
from tests.support.command import tilegc
from tilegc import running
from tilegc.errors import InputChangedError, RunFolderError
from tilegc.places import opened, unwatch, watch
from tilegc.report import phase as report_phase
from tilegc.run_folder import status

pytestmark = pytest.mark.usefixtures("no_report")


def rewritten(path):
    """Change a pixel of a file, but not its size and modification time."""
    about = path.stat()
    with fits.open(path, mode="update") as hdus:
        hdus[1].data[50, 50] += 1
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size


def replaced(path):
    """Replace a file by another of the same size and modification time."""
    beside = path.with_name("other.fits")
    shutil.copy2(path, beside)
    rewritten(beside)
    os.utime(beside, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    beside.replace(path)


class At:
    """A progress display that does something once, when a pass begins."""

    def __init__(self, name, act):
        self.name, self.act = name, act

    def start(self, name, total_pixels, total_units):
        if name == self.name and self.act is not None:
            act, self.act = self.act, None
            act()

    def advance(self, pixels, units):
        pass

    def finish(self, name):
        pass


@pytest.mark.parametrize("change", [rewritten, replaced])
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_mosaic_that_changes_before_it_is_read_again(change, workers, tmp_path):
    run_file = mock.write_inputs(tmp_path / "in", tiles={"size": 48})
    path = tmp_path / "in" / "a_f090w_i2d.fits"
    progress = At("filter", lambda: change(path))
    with pytest.raises(InputChangedError, match=rf"^{path}: .*changed") as caught:
        running.run(run_file, tmp_path / "run", workers=workers, progress=progress)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    how = status(tmp_path / "run")
    assert (how.state, str(path) in how.error) == ("failed", True)
    with pytest.raises(RunFolderError, match="inputs have changed"):
        running.run(run_file, tmp_path / "run", workers=0, resume=True)


@pytest.mark.parametrize("name", ["kappa.fits", "b_f150w_i2d.fits"])
def test_an_input_that_changes_after_its_last_reading(name, tmp_path, monkeypatch):
    """No pass opens it again, but its digest at the end differs."""
    run_file = mock.write_inputs(tmp_path / "in")
    path = tmp_path / "in" / name
    ordinary = report_phase.write_report

    def report(*arguments):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        return ordinary(*arguments)

    monkeypatch.setattr(report_phase, "write_report", report)
    outcome = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", "0")
    assert outcome.code == 1
    assert outcome.err.startswith(f"tilegc: {path}: ")
    assert outcome.err.count("\n") == 1
    assert status(tmp_path / "run").state == "failed"


def test_only_a_watched_file_is_held_to_what_it_was(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    watch(path)
    with opened(path) as stream:
        assert stream.read() == b"1"
    path.write_bytes(b"2")
    with pytest.raises(InputChangedError, match="changed"), opened(path):
        pass
    watch(path)
    with opened(path) as stream:
        assert stream.read() == b"2"
    path.write_bytes(b"3")
    unwatch([path])
    with opened(path) as stream:
        assert stream.read() == b"3"
