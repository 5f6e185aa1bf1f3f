"""A tile whose data make it fail is set aside and the run continues; one that is too large is processed in quarters."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import mock
from tests.support.command import tilegc
from tilegc import running
from tilegc.errors import TilesFailedError
from tilegc.filter import detection_map
from tilegc.run_folder import open_run, status
from tilegc.schema import Bit

pytestmark = pytest.mark.usefixtures("no_report")

POISON = ("a", 4)
SIDE = 33


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("inputs"), tiles={"size": SIDE}, convergence=None)


def failing(error, fails):
    """Return the filter's rule, which raises on some windows."""

    def rule(window, tile, params, ordinary=detection_map.filter_rule):
        if fails(window, tile):
            raise error
        return ordinary(window, tile, params)

    return rule


def is_poison(window, tile):
    return (
        tile.index == POISON[1]
        and tile.field_shape == mock.SHAPES[POISON[0]]
        and bool(np.isfinite(window["sci"].values).any())
    )


def test_a_tile_that_fails_for_its_data(run_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(detection_map, "filter_rule", failing(ZeroDivisionError("poison"), is_poison))
        found = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0)
    assert found.code == 3
    [line] = [line for line in found.err.splitlines() if line.startswith("tilegc: ")]
    assert "1 tiles failed on their pixels and count as masked: filter a/4;" in line
    run = open_run(tmp_path / "run")
    assert run.manifest["set_aside"] == {"filter": ["a/4"]}
    assert status(tmp_path / "run").state == "done"
    assert "ZeroDivisionError: poison" in (tmp_path / "run" / "log.txt").read_text()
    field = run.field("a")
    core = {"y": slice(SIDE, 2 * SIDE), "x": slice(SIDE, 2 * SIDE)}
    assert (field["mask"].isel(core).values & Bit.NO_DATA).all()
    assert np.isnan(field["detection"].isel(core)).all()
    sources = run.catalogue
    y, x = (np.asarray(sources[name].value) for name in ("y_peak", "x_peak"))
    of_field = np.asarray(sources["field"]) == "a"
    assert not (of_field & (y // SIDE == 1) & (x // SIDE == 1)).any()
    assert of_field.sum() > 10
    again = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0, "--resume")
    assert again.code == 3, "it still is incomplete"
    assert "a/4" in again.err


def test_errors_of_the_system_are_no_fault_of_the_data(run_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(detection_map, "filter_rule", failing(OSError("stale file handle"), is_poison))
        with pytest.raises(TilesFailedError, match="a/4"):
            running.run(run_file, tmp_path / "run", workers=0)
    assert status(tmp_path / "run").state == "failed"


def test_where_most_tiles_fail_it_is_not_their_data(run_file, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(detection_map, "filter_rule", failing(ValueError("a bug"), lambda *_: True))
        with pytest.raises(TilesFailedError, match="a bug"):
            running.run(run_file, tmp_path / "run", workers=0)


def test_a_tile_too_large_for_the_memory_is_done_in_quarters(run_file, tmp_path, monkeypatch):
    """The bytes are the same, because the result for a pixel does not depend on the tiles."""

    def too_large(_window, tile):
        return tile.field_shape == mock.SHAPES["a"] and tile.core.size > 0.5 * SIDE**2

    whole = running.run(run_file, tmp_path / "whole", workers=0)
    with monkeypatch.context() as patch:
        patch.setattr(detection_map, "filter_rule", failing(MemoryError("no room"), too_large))
        found = running.run(run_file, tmp_path / "quarters", workers=0)
    assert "repeated in quarters" in (tmp_path / "quarters" / "log.txt").read_text()
    assert found.manifest["set_aside"] == {}
    mock.assert_same(found, whole)
