"""Kappa of a cluster from the law of the others, on counts drawn from a known law."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tests.support import mock
from tilegc.population.cluster_counts import PIVOT, counts_of
from tilegc.population.hierarchical import Normal
from tilegc.population.stacking import Profile
from tilegc.relation.sky_counts import box_counts
from tilegc.samples.left_out import left_out, write_left_out
from tilegc.samples.measured import Measured
from tilegc.sky import SkyGrid
from tilegc.skygrid.cells import SkyCells

LN_ALPHA, C, FLOOR = -2.5, 1.3, 0.4
SIGMA_CR, KPC, PIXEL = 2.2e9, 5.0, 1.0


def cluster(seed, factor=1.0, half=60):
    """A cluster whose map is `factor` times the kappa that its counts follow; a quarter of its cells is masked."""
    draw = np.random.default_rng(seed)
    axis = (np.arange(-half, half) + 0.5) * PIXEL
    radius = np.hypot(axis[:, None], axis[None, :])
    kappa = 1.4 / np.hypot(1.0, radius / 12.0)
    good = draw.uniform(size=kappa.shape) < 0.75
    ln_a = LN_ALPHA + 2 * math.log(KPC) - C * math.log(PIVOT / SIGMA_CR)
    share = np.full(kappa.shape, 0.9)
    expected = share * good * PIXEL**2 * (math.exp(ln_a) * kappa**C + FLOOR)
    count = draw.poisson(expected)
    pixels = np.where(good, 400, 0)[None]
    cells = SkyCells(
        grid=SkyGrid(mock.RA, mock.DEC, PIXEL),
        j0=-half,
        i0=-half,
        fields=("a",),
        pixel_area=np.array([PIXEL**2 / 400]),
        n_pixels=np.full_like(pixels, 400),
        n_good=pixels,
        n_inside=pixels,
        n_gc=count[None],
        light=np.zeros(pixels.shape),
        rho=np.zeros(pixels.shape),
        kappa=factor * kappa,
    )
    data = box_counts(cells, 3.0, 55.0, kept=good, recovery=share, light=None)
    empty = np.zeros(0)
    return Measured(
        name=f"c{seed}",
        redshift=0.35,
        kpc_per_arcsec=KPC,
        sigma_cr=SIGMA_CR,
        reach=55.0 * KPC,
        ln_mass_err=0.1,
        cells=cells,
        used=good,
        recovery=share,
        counts=counts_of(f"c{seed}", data, sigma_cr=SIGMA_CR, kpc_per_arcsec=KPC),
        profile=Profile(lo=empty, hi=empty, value=empty, err=empty),
        r_200=math.nan,
    )


def law(errors=(0.02, 0.01, 0.01)):
    return Normal(np.array([LN_ALPHA, C, FLOOR]), np.diag(np.square(errors)))


def test_the_pulls_of_a_true_law_are_normal():
    exact = law((1e-4, 1e-4, 1e-4))
    pulls = np.concatenate([left_out(cluster(seed), exact).pulls for seed in range(25)])
    assert pulls.size > 500
    assert abs(pulls.mean()) < 4 / math.sqrt(pulls.size)
    assert pulls.std() == pytest.approx(1.0, abs=0.1)


def test_kappa_comes_back_and_a_wrong_map_is_seen():
    right, wrong = left_out(cluster(1), law()), left_out(cluster(1, factor=2.0), law())
    # the prediction does not know the map
    np.testing.assert_array_equal(right.kappa, wrong.kappa)
    middle = (slice(50, 70), slice(50, 70))
    ratio = right.kappa[middle].mean() / right.map[middle].mean()
    assert ratio == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(wrong.map, 2.0 * right.map)
    assert wrong.rms > 3.0
    assert wrong.pulls.mean() < -1.0
    # scatter between clusters widens errors and shrinks pulls
    loose = left_out(cluster(1, factor=2.0), law((0.6, 0.2, 0.2)))
    assert loose.rms < 0.5 * wrong.rms
    assert (loose.error[middle] > right.error[middle]).all()


def test_clumping_widens_the_errors():
    one = cluster(2)
    wide = replace(one, counts=replace(one.counts, inflation=4.0))
    assert left_out(wide, law((0, 0, 0))).rms == pytest.approx(
        0.5 * left_out(one, law((0, 0, 0))).rms, rel=1e-6
    )


def test_maps_are_written_with_east_to_the_left(tmp_path):
    one = cluster(3)
    found = left_out(one, law())
    write_left_out(tmp_path, {"c3": (one, found)})
    with fits.open(tmp_path / "left-out" / "c3.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["KAPPA", "ERROR", "MAP"]
        assert hdus[0].header["PULLRMS"] == pytest.approx(found.rms)
        wcs = WCS(hdus[0].header)
        ra, dec = wcs.wcs_pix2world(10, 90, 0)
        xi, eta = one.cells.grid.offsets(np.array([float(ra)]), np.array([float(dec)]))
        column, row = round(float(xi[0] / PIXEL - 0.5)) + 60, round(float(eta[0] / PIXEL - 0.5)) + 60
        assert row == 90
        assert column == 120 - 1 - 10
        assert hdus[0].data[90, 10] == np.float32(found.kappa[row, column])
        assert hdus[2].data[90, 10] == np.float32(found.map[row, column])
