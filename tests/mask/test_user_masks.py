"""User masks without effect are named; URLs that need another package say which."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from astropy.io import fits

from tests.support import mock
from tilegc import running
from tilegc.config import FieldInput, load
from tilegc.errors import InputError
from tilegc.io.hdus import open_bytes
from tilegc.io.probe import probe_field
from tilegc.mask.mask_map import idle, region_masks


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("inputs"))


def test_masks_of_another_field_are_idle(run_file):
    folder = run_file.parent
    source = probe_field(load(run_file).fields[0])
    empty = np.zeros(mock.SHAPES["a"], np.float32)
    empty[3, 4] = np.nan
    fits.writeto(folder / "empty.fits", empty, mock.header("a"))
    empty[95, 87] = 1
    fits.writeto(folder / "corner.fits", empty, mock.header("a"))
    north = mock.DEC + 1
    (folder / "far.reg").write_text(f'fk5\ncircle({mock.RA},{north},2")\ncircle({mock.RA},{north},9")\n')
    # its box meets the field, no pixel's centre lies in it
    (folder / "beside.reg").write_text("image\ncircle(-1.5,-1.5,3.4)\n")
    (folder / "half.reg").write_text(f'fk5\ncircle({mock.RA},{north},2")\ncircle({mock.RA},{mock.DEC},2")\n')
    names = ("far.reg", "arc.reg", "empty.fits", "half.reg", "corner.fits", "beside.reg")
    regions = region_masks(source, tuple(str(folder / name) for name in names))
    assert sorted(idle(source, regions)) == [
        str(folder / name) for name in ("beside.reg", "empty.fits", "far.reg")
    ]


def test_the_log_names_them(run_file, tmp_path, caplog, monkeypatch):
    mock.no_report(monkeypatch)
    (run_file.parent / "away.reg").write_text(f'fk5\ncircle({mock.RA},{mock.DEC + 1},2")\n')
    changed = mock.edited(run_file, "away.yaml", {"fields.0.masks": ["arc.reg", "away.reg"]})
    with caplog.at_level(logging.WARNING, logger="tilegc"):
        run = running.run(changed, tmp_path / "run", workers=0)
    said = [record.getMessage() for record in caplog.records if "masks no pixel" in record.getMessage()]
    assert len(said) == 1
    assert "field a: " in said[0]
    assert "away.reg" in said[0]
    assert said[0] in (run.path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("https://example.org/a.fits", r"pip install 'tilegc\[https\]'"),
        ("http://example.org/a.fits", r"pip install 'tilegc\[https\]'"),
        ("s3://bucket/a.fits", r"pip install 'tilegc\[s3\]'"),
    ],
)
def test_a_url_that_needs_another_package_says_so(url, remedy, monkeypatch):
    def absent(*_args, **_options):
        raise ImportError("the package is not installed")

    monkeypatch.setattr("fsspec.url_to_fs", absent)
    with pytest.raises(InputError, match=remedy) as caught, open_bytes(url):
        pass
    assert str(caught.value).startswith(url)
    with pytest.raises(InputError, match=remedy):
        probe_field(FieldInput(name="a", bands={"F": url}))
