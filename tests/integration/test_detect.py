"""`tilegc detect` stops after the catalogue, and a run resumed from there has the bytes of a single run."""

from __future__ import annotations

import pytest

import tilegc
from tests.support import mock
from tests.support.command import tilegc as command
from tilegc.errors import RunFolderError

pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("detect"), **mock.CALIBRATED)


def test_the_catalogue_is_that_of_a_whole_run_and_resume_continues_to_it(run_file, tmp_path):
    whole = tilegc.run(run_file, tmp_path / "whole", workers=0)
    done = command("detect", run_file, "-o", tmp_path / "run", "--workers", 0)
    assert done.code == 0, done.err
    for name in whole.fields:
        assert f"{list(whole.catalogue['field']).count(name)} sources" in done.out
    assert mock.logged_passes(tmp_path / "run") == mock.planned_passes(run_file, until="catalogue")
    present = {path.name for path in (tmp_path / "run").iterdir()}
    assert present >= {"catalogue.parquet", "candidates.parquet", "catalogue.ecsv", "maps", "store"}
    assert not present & {"summary.json", "report.html", "relation.ecsv", "profile.ecsv", "inpainted.parquet"}
    maps = {path.name.rpartition("_")[2] for path in (tmp_path / "run" / "maps").iterdir()}
    assert maps == {"completeness.fits", "detection.fits", "mask.fits"}
    for name in ("catalogue.parquet", "candidates.parquet", "catalogue.ecsv"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.path / name).read_bytes()
    status = command("status", tmp_path / "run")
    assert "stopped after the catalogue, as asked" in status.out
    with pytest.raises(RunFolderError, match="resume"):
        tilegc.run(run_file, tmp_path / "run", workers=0)
    mock.assert_same(tilegc.run(run_file, tmp_path / "run", workers=0, resume=True), whole)
    assert not tilegc.verify(tmp_path / "run")


def test_run_until_the_catalogue_is_the_same(run_file, tmp_path):
    ours = tilegc.detect(run_file, tmp_path / "a", workers=0)
    done = command("run", run_file, "-o", tmp_path / "b", "--workers", 0, "--until", "catalogue")
    assert done.code == 0, done.err
    assert (tmp_path / "b" / "catalogue.parquet").read_bytes() == (
        ours.path / "catalogue.parquet"
    ).read_bytes()
    wrong = command("run", run_file, "-o", tmp_path / "c", "--until", "breakfast")
    assert wrong.code == 2
    assert not (tmp_path / "c").exists()
