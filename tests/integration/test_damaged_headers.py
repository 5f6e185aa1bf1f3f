"""Damaged cards in every kind of FITS input give no output or one line, and never a message of a library."""

from __future__ import annotations

import gzip
import os
import shutil
import warnings

import numpy as np
import pytest
from astropy.io import fits

from tests.support import mock
from tests.support.command import tilegc

ROLES = ("a_f150w_i2d.fits", "kappa.fits", "patch.fits", "psf.fits")

CARDS = {
    "EXTVER without a value": (b"EXTVER  = ", b"EXTVER  = '??"),
    "EXTNAME unterminated": (b"EXTNAME = ", b"EXTNAME = 'SC"),
    "an infinite axis": (b"NAXIS1  = ", b"NAXIS1  = 1E400"),
    "an axis that is text": (b"NAXIS2  = ", b"NAXIS2  = 'wide'"),
    "no value indicator": (b"NAXIS   = ", b"NAXIS     2"),
    "BITPIX in two numbers": (b"BITPIX  = ", b"BITPIX  =1  8"),
    "a control character": (b"CUNIT2  = ", b"CUNIT2  = 'deg\x05  '"),
    "bytes that are not ASCII": (b"CTYPE1  = ", b"CTYPE1  = '\xff\xfe'"),
    "a unit unterminated": (b"CUNIT1  = ", b"CUNIT1  = 'deg"),
    "infinite degrees": (b"CRVAL1  = ", b"CRVAL1  = 1E999"),
    "an infinite step": (b"CDELT1  = ", b"CDELT1  = 1E400"),
    "a matrix of text": (b"CD1_1   = ", b"CD1_1   = 'x'"),
    "an illegal keyword": (b"CRPIX1  = ", b"CRPIX?  = 3"),
    "axes without end": (b"WCSAXES = ", b"WCSAXES = @@"),
    "a simple that is none": (b"SIMPLE  = ", b"SIMPLE  =?T"),
    "a null byte": (b"CTYPE2  = ", b"CTYPE2  = '\x00\x00'"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    run_file = mock.write_inputs(folder)
    y, x = np.mgrid[-12:13, -12:13]
    cards = fits.Header({"PIXSCL": 0.5})
    fits.writeto(folder / "psf.fits", np.exp(-(y**2 + x**2) / 4.0).astype(np.float32), cards)
    bands = {"F150W": {"sci": "a_f150w_i2d.fits", "psf": "psf.fits"}}
    mock.edited(run_file, "run.yaml", {"fields.0.bands": bands, "fields.0.masks": []})
    return folder


def test_the_files_are_good_before_they_are_damaged(inputs):
    assert tilegc("plan", inputs / "run.yaml").code == 0


def short(outcome) -> None:
    """Assert that a command ended as it should: with success, or with one line."""
    assert outcome.code in {0, 2}, outcome
    lines = outcome.err.splitlines()
    assert len(lines) == (1 if outcome.code else 0), outcome.err
    assert all(len(line) < 500 and line.isprintable() for line in lines)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", CARDS)
def test_a_damaged_card(case, role, inputs, tmp_path):
    folder = tmp_path / "spoilt"
    shutil.copytree(inputs, folder)
    key, card = CARDS[case]
    content = bytearray((folder / role).read_bytes())
    at = content.find(key)
    while at >= 0:
        if at % 80 == 0:
            content[at : at + 80] = card.ljust(80)
        at = content.find(key, at + 80)
    (folder / role).write_bytes(content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        short(tilegc("plan", folder / "run.yaml"))
    assert not said, [str(one.message) for one in said]


@pytest.mark.parametrize("role", ["a_f150w_i2d.fits", "kappa.fits", "psf.fits"])
def test_a_named_pipe_is_refused_at_once(role, inputs, tmp_path):
    folder = tmp_path / "spoilt"
    shutil.copytree(inputs, folder)
    (folder / role).unlink()
    os.mkfifo(folder / role)
    found = tilegc("plan", folder / "run.yaml")
    assert found.code == 2
    assert "expected a regular file" in found.err


@pytest.mark.parametrize("role", ["kappa.fits", "psf.fits"])
def test_a_bomb_of_gzip_is_refused_before_it_is_unpacked(role, inputs, tmp_path, monkeypatch):
    folder = tmp_path / "spoilt"
    shutil.copytree(inputs, folder)
    for module in ("lens_files", "psf"):
        monkeypatch.setattr(f"tilegc.io.{module}.LARGEST_IMAGE", 1 << 20)
    with gzip.open(folder / role, "wb", compresslevel=1) as stream:
        header = fits.PrimaryHDU(np.zeros((1, 1), np.float32)).header
        header.update({"NAXIS1": 1024, "NAXIS2": 1024})
        stream.write(header.tostring().encode())
        stream.write(bytes(4 * 1024 * 1024))
    found = tilegc("plan", folder / "run.yaml")
    assert found.code == 2
    assert "unpacked" in found.err
