"""PSF files as they are published, against the encircled energies of STScI."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc.images.psfs import BandPsf
from tilegc.io.psf import read_psf
from tilegc.photometry.stamps import splines

SCALE = 0.031

FILES = [
    ("psf_empirical_ceers_f115w_modulea_15mas", "F115W", 0.015),
    ("psf_empirical_ceers_f200w_moduleb_15mas", "F200W", 0.015),
    ("psf_grizli20mas_smacs0723_f150w", "F150W", None),
    ("psf_grizli40mas_ceers_nrca3_f200w", "F200W", None),
    ("psf_webbpsf_nrca1_f115w_oversamp4", "F115W", None),
    ("psf_webbpsf_griddedpsf_nrca1_f115w_5x5", "F115W", 0.031),
]


def published(folder, band: str, radius: float) -> float:
    path = folder / "psf" / "encircled_energy_nircam_sw_jdox.csv"
    table = np.genfromtxt(path, delimiter=",", names=True, comments="#", skip_header=1)
    names = table.dtype.names
    column = next(name for name in names if band in name.upper())
    return float(np.interp(radius, table[names[0]], table[column]))


@pytest.mark.parametrize(("name", "band", "own"), FILES)
def test_the_light_within_a_fifth_of_an_arcsec_is_the_published_one(real_data, name, band, own):
    psf = read_psf(str(real_data / "psf" / f"{name}.fits"), SCALE, band=band, psf_scale=own)
    (found,) = splines((BandPsf(band, psf, "given", 0),), SCALE)
    expected = published(real_data, band, 0.2)
    assert found.share(0.2 / SCALE) == pytest.approx(expected, abs=0.06)
    ratio = found.share(0.1 / SCALE) / found.share(0.2 / SCALE)
    assert ratio == pytest.approx(published(real_data, band, 0.1) / expected, abs=0.06)
    peak = np.unravel_index(int(np.argmax(found.image())), (found.size, found.size))
    assert peak == (found.radius, found.radius)
    # The light's centre moves with the point.
    offset = np.arange(-3, 4)
    middle = slice(found.radius - 3, found.radius + 4)
    for dy in (-0.4, 0.4):
        part = found.image(dy, 0.0)[middle, middle]
        assert np.sign((part.sum(axis=1) * offset).sum()) == np.sign(dy)


def test_a_given_encircled_energy_scales_the_psf(real_data):
    path = str(real_data / "psf" / "psf_grizli20mas_smacs0723_f150w.fits")
    psf = read_psf(path, SCALE, band="F150W", psf_ee=(0.2, 0.83))
    (found,) = splines((BandPsf("F150W", psf, "given", 0),), SCALE)
    assert found.share(0.2 / SCALE) == pytest.approx(0.83, abs=0.006)


def test_a_sum_between_nine_tenths_and_one_is_kept(real_data):
    path = str(real_data / "psf" / "psf_grizli40mas_ceers_nrca3_f200w.fits")
    native = read_psf(path, 0.04, band="F200W").native
    assert native is not None
    assert not native.optical
    assert 0.96 < native.image.sum() < 0.98
