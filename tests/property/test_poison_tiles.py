"""A tile whose data make it fail counts as one without data; one that is too large is processed in quarters.

Whichever pass fails, in this process or on Dask workers, the products are those of images without data in that tile.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from tests.support import mock
from tests.support.command import tilegc
from tests.support.threads import thread_workers
from tilegc import running
from tilegc.engine import passes
from tilegc.errors import RunFailedError, TilesFailedError
from tilegc.run_folder import open_run, status
from tilegc.schema import FILES, Bit

pytestmark = pytest.mark.usefixtures("no_report")

SIDE = 33
POISON = ("a", 4)
CORE = (slice(SIDE, 2 * SIDE), slice(SIDE, 2 * SIDE))
PIXEL = (50, 50)
"""A pixel of field a in the core of that tile, with data in all bands."""
SETTINGS = {"tiles": {"size": SIDE}, "convergence": None}


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("inputs"), **SETTINGS)


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The run file of the same images without data in the tile."""
    run_file = mock.write_inputs(tmp_path_factory.mktemp("without"), **SETTINGS)
    for path in sorted(run_file.parent.glob("a_*_i2d.fits")):
        with fits.open(path, mode="update") as images:
            for name, value in (("SCI", np.nan), ("ERR", np.nan), ("WHT", 0.0)):
                images[name].data[CORE] = value
    return run_file


@pytest.fixture(scope="module")
def expected(without, tmp_path_factory):
    return running.run(without, tmp_path_factory.mktemp("expected") / "run", workers=0)


@pytest.fixture(scope="module")
def expected_catalogue(without, tmp_path_factory):
    return running.detect(without, tmp_path_factory.mktemp("expected") / "run", workers=0)


def breaking(patch, name, error, fails):
    """Have the rule of a pass raise on some windows, in this process and in its threads."""

    def ruled(step, window, tile, params, own, ordinary=passes._ruled):
        if step.name == name and fails(window, tile):
            raise error
        return ordinary(step, window, tile, params, own)

    patch.setattr(passes, "_ruled", ruled)


def holds_poison(window, tile):
    """Whether the tile has data at the pixel in its core, as far as its arrays tell."""
    y, x = PIXEL
    core = tile.core
    if tile.field_shape != mock.SHAPES[POISON[0]] or not (core.y0 <= y < core.y1 and core.x0 <= x < core.x1):
        return False
    values = {
        name: array.values[..., y - tile.window.y0, x - tile.window.x0] for name, array in window.items()
    }
    for name in ("mask", "flags"):
        if name in values:
            return not values[name] & Bit.NO_DATA
    return all(np.isfinite(values[name]).all() for name in ("sci", "detection", "light") if name in values)


def assert_same_catalogue(found, expected):
    """Hold catalogue, candidates and arrays of runs up to the catalogue to each other."""
    for name in (FILES.catalogue, FILES.candidates):
        assert (found.path / name).read_bytes() == (expected.path / name).read_bytes(), name
    ours, theirs = mock.stored(found), mock.stored(expected)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values, err_msg=name)


def test_a_tile_that_fails_for_its_data(run_file, expected, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        breaking(patch, "filter", ZeroDivisionError("poison"), holds_poison)
        found = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0)
    assert found.code == 3
    [line] = [line for line in found.err.splitlines() if line.startswith("tilegc: ")]
    assert "1 tiles failed on their pixels and count as masked: filter a/4;" in line
    run = open_run(tmp_path / "run")
    assert run.manifest["set_aside"] == {"filter": ["a/4"]}
    assert status(tmp_path / "run").state == "done"
    assert "ZeroDivisionError: poison" in (tmp_path / "run" / "log.txt").read_text()
    mock.assert_same(run, expected)
    field = run.field("a")
    core = {"y": CORE[0], "x": CORE[1]}
    assert (field["mask"].isel(core).values & Bit.NO_DATA).all()
    assert np.isnan(field["detection"].isel(core)).all()
    assert (np.asarray(run.catalogue["field"]) == "a").sum() > 10
    again = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0, "--resume")
    assert again.code == 3, "it still is incomplete"
    assert "a/4" in again.err


@pytest.mark.parametrize("name", ["peaks", pytest.param("sigma 1/2", marks=pytest.mark.slow)])
def test_a_counting_pass_that_fails(run_file, expected_catalogue, tmp_path, monkeypatch, name):
    """What is reduced to one partial, and what is gathered tile by tile."""
    with monkeypatch.context() as patch:
        breaking(patch, name, ZeroDivisionError("poison"), holds_poison)
        found = running.detect(run_file, tmp_path / "run", workers=0)
    assert found.manifest["set_aside"] == {name: ["a/4"]}
    assert "ZeroDivisionError: poison" in (tmp_path / "run" / "log.txt").read_text()
    assert_same_catalogue(found, expected_catalogue)


COUNTING = ("masked-area", "sigma 2/2", "shapes", "coverage", "inpaint", "sky-grid", "extended-find")


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTING)
def test_any_counting_pass_that_fails(run_file, expected, tmp_path, monkeypatch, name):
    run_file = mock.edited(run_file, "ingested.yaml", {"ingest": "always"})
    with monkeypatch.context() as patch:
        breaking(patch, name, ZeroDivisionError("poison"), holds_poison)
        found = running.run(run_file, tmp_path / "run", workers=0)
    assert found.manifest["set_aside"] == {name: ["a/4"]}
    mock.assert_same(found, expected)


@pytest.fixture(scope="module")
def scheduler():
    """Two workers that are threads of this process."""
    with thread_workers(2) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize(
    "name", ["sigma 1/2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("filter", "peaks"))]
)
def test_on_dask_workers(run_file, expected_catalogue, scheduler, tmp_path, monkeypatch, name):
    with monkeypatch.context() as patch:
        breaking(patch, name, ZeroDivisionError("poison"), holds_poison)
        found = running.detect(run_file, tmp_path / "run", scheduler=scheduler)
    assert found.manifest["set_aside"] == {name: ["a/4"]}
    assert "ZeroDivisionError: poison" in (tmp_path / "run" / "log.txt").read_text()
    assert_same_catalogue(found, expected_catalogue)


def test_an_interruption_after_a_tile_was_set_aside(run_file, expected_catalogue, tmp_path, monkeypatch):
    """The resumed run knows what was set aside, also where its rules no longer fail."""

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        breaking(patch, "filter", ZeroDivisionError("poison"), holds_poison)
        breaking(patch, "mask", KeyboardInterrupt(), lambda _, tile: tile.index == 6)
        running.detect(run_file, tmp_path / "run", workers=0)
    found = running.detect(run_file, tmp_path / "run", workers=0, resume=True)
    assert found.manifest["set_aside"] == {"filter": ["a/4"]}
    assert_same_catalogue(found, expected_catalogue)


def test_errors_of_the_system_are_no_fault_of_the_data(run_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        breaking(patch, "filter", OSError("stale file handle"), holds_poison)
        with pytest.raises(TilesFailedError, match="a/4"):
            running.run(run_file, tmp_path / "run", workers=0)
    assert status(tmp_path / "run").state == "failed"


def test_where_most_tiles_fail_it_is_not_their_data(run_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        breaking(patch, "filter", ValueError("a bug"), lambda *_: True)
        with pytest.raises(TilesFailedError, match="a bug"):
            running.run(run_file, tmp_path / "run", workers=0)


def test_a_tile_that_fails_without_its_data_does_not_fail_for_them(run_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        breaking(patch, "filter", ValueError("a bug"), lambda _, tile: tile.index == 4 and tile.core.x1 < 70)
        with pytest.raises(TilesFailedError, match="a bug"):
            running.detect(run_file, tmp_path / "run", workers=0)
    assert open_run_is_refused(tmp_path / "run")


def open_run_is_refused(folder):
    return status(folder).state == "failed"


def too_large(_window, tile):
    return tile.field_shape == mock.SHAPES["a"] and tile.core.size > 0.5 * SIDE**2


@pytest.fixture(scope="module")
def whole(run_file, tmp_path_factory):
    return running.run(run_file, tmp_path_factory.mktemp("whole") / "run", workers=0)


def in_quarters(run_file, folder, monkeypatch, name):
    with monkeypatch.context() as patch:
        breaking(patch, name, MemoryError("no room"), too_large)
        found = running.run(run_file, folder, workers=0)
    assert f"{name}: repeated in quarters" in (folder / "log.txt").read_text()
    assert found.manifest["set_aside"] == {}
    return found


def test_a_tile_too_large_for_the_memory_is_done_in_quarters(run_file, whole, tmp_path, monkeypatch):
    """The bytes are the same, because the result for a pixel does not depend on the tiles."""
    mock.assert_same(in_quarters(run_file, tmp_path / "run", monkeypatch, "filter"), whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigma 1/2", "peaks", *COUNTING, "mask"])
def test_any_pass_in_quarters(run_file, whole, tmp_path, monkeypatch, name):
    if name == "shapes":  # every tile is given the candidates in it
        with pytest.raises(RunFailedError, match="MemoryError"):
            in_quarters(run_file, tmp_path / "run", monkeypatch, name)
        return
    mock.assert_same(in_quarters(run_file, tmp_path / "run", monkeypatch, name), whole)
