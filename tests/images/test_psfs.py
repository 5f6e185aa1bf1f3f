"""PSFs measured on stars: the planted one comes back, and the result does not depend on the tiling."""

from __future__ import annotations

from functools import reduce
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from tilegc import config
from tilegc.engine import FieldTiles
from tilegc.geometry import TileGrid
from tilegc.images import psfs
from tilegc.images.stars import REACH
from tilegc.io.probe import probe_field
from tilegc.kernels.psf_model import model
from tilegc.phases.context import Context
from tilegc.sky import tangent_cards

SHAPE = (150, 180)
SIGMA = {"F090W": 1.1, "F200W": 1.5}


def gaussian(sigma, y=0.0, x=0.0, radius=REACH) -> np.ndarray:
    offset = np.arange(-radius, radius + 1)
    return np.exp(-0.5 * ((offset[:, None] - y) ** 2 + (offset - x) ** 2) / sigma**2)


def table(stamps, concentration) -> dict[str, np.ndarray]:
    stamps = np.asarray(stamps, np.float32)
    return {
        "y": np.arange(len(stamps)),
        "x": np.arange(len(stamps)),
        "value": stamps[:, 0].max(axis=(1, 2)),
        "concentration": np.asarray(concentration, np.float32),
        "stamp": stamps,
    }


def test_the_median_of_stars_is_their_psf_whatever_galaxies_are_among_them():
    draw = np.random.default_rng(1)
    stars = [
        [50 * gaussian(sigma, *draw.uniform(-0.5, 0.5, 2)) + 3 for sigma in SIGMA.values()] for _ in range(30)
    ]
    galaxies = [[40 * gaussian(3.0), 40 * gaussian(3.5)] for _ in range(8)]
    measured = psfs.stack(
        table(stars + galaxies, [0.8 + 0.03 * draw.random() for _ in stars] + [0.5] * len(galaxies)), 2
    )
    for (psf, n_stars, _), sigma in zip(measured, SIGMA.values(), strict=True):
        assert n_stars == 30
        truth = gaussian(sigma, radius=psfs.STACK)
        assert psf.image == pytest.approx(truth / truth.sum(), abs=0.04 * truth.max() / truth.sum())
        assert psf.fwhm == pytest.approx(2.355 * sigma, rel=0.03)


def test_stars_without_light_or_off_centre_are_left_out():
    good = [[gaussian(1.2)] for _ in range(psfs.LEAST)]
    bad = [[-gaussian(1.2)], [np.zeros((25, 25))], [gaussian(1.2, 0.0, 4.0)]]
    ((psf, n_stars, _),) = psfs.stack(table(good + bad, [0.8] * (len(good) + 3)), 1)
    assert (n_stars, psf.image.argmax()) == (psfs.LEAST, psf.image.size // 2)


def test_too_few_stars_give_no_psf():
    few = table([[gaussian(1.2)] * 2] * (psfs.LEAST - 1), [0.8] * (psfs.LEAST - 1))
    spread = table([[gaussian(1.2)] * 2] * 12, np.arange(12.0))
    assert psfs.stack(None, 2) == psfs.stack(few, 2) == psfs.stack(spread, 2) == [(None, 0, None)] * 2


def test_the_brightest_stars_of_any_parts_in_any_order(monkeypatch):
    monkeypatch.setattr(psfs, "MOST", 7)
    draw = np.random.default_rng(2)
    parts = [
        {name: draw.integers(0, 4, n) for name in ("y", "x")} | {"value": draw.integers(0, 3, n)}
        for n in (0, 5, 1, 9)
    ]
    every = sorted(((-v, y, x) for p in parts for v, y, x in zip(p["value"], p["y"], p["x"], strict=True)))
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        found = reduce(psfs._brightest, [parts[k] for k in order])
        assert list(zip(-found["value"], found["y"], found["x"], strict=True)) == every[:7]


def field(name, bands, **more):
    return SimpleNamespace(
        source=SimpleNamespace(name=name, bands=bands, band_names=bands, scale=0.03, **more)
    )


def test_given_psfs_come_first_and_models_last():
    own = model("F200W", 0.03, 20)
    context = Context(fields=(field("a", ("F090W", "F200W")),))
    found = psfs.field_psfs(context, "diego2026", {"a": {"F200W": own}})["a"]
    assert [(one.band, one.origin, one.n_stars) for one in found] == [
        ("F090W", "model", 0),
        ("F200W", "given", 0),
    ]
    assert found[1].psf is own
    assert np.array_equal(found[0].psf.image, model("F090W", 0.03, psfs.MODEL).image)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A field with 20 stars in two bands; the second has weights, 0 over one of them."""
    folder, draw = tmp_path_factory.mktemp("stars"), np.random.default_rng(3)
    places = [(18 + 28 * k, 20 + 28 * j, draw.uniform(50, 90)) for k in range(4) for j in range(5)]
    header = fits.Header(tangent_cards(150.0, 2.0, reference=(90.0, 75.0), step=(-0.03, 0.03)))
    header["BUNIT"] = "nJy"
    paths = {}
    for band, sigma in SIGMA.items():
        light = draw.normal(0, 0.02, SHAPE)
        for y, x, flux in places:
            light[y - REACH : y + REACH + 1, x - REACH : x + REACH + 1] += flux * gaussian(sigma)
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(light.astype(np.float32), header, name="SCI")])
        if band == "F200W":
            weight = np.ones(SHAPE, np.float32)
            weight[18, 20] = 0
            hdus.append(fits.ImageHDU(weight, header, name="WHT"))
        paths[band] = str(folder / f"{band}.fits")
        hdus.writeto(paths[band])
    return probe_field(config.FieldInput(name="f", bands=paths))


def test_measured_psfs_do_not_depend_on_the_tiling(source):
    measured = [
        psfs.field_psfs(
            Context(fields=(FieldTiles(source, "nowhere", TileGrid(SHAPE, size)),)), "calibrated", {}
        )["f"]
        for size in (200, 64, 41)
    ]
    for found in measured:
        assert [(one.origin, one.n_stars) for one in found] == [("stars", 19)] * 2
        for one, first in zip(found, measured[0], strict=True):
            assert one.psf.image.tobytes() == first.psf.image.tobytes()
            assert one.psf.fwhm == pytest.approx(2.355 * SIGMA[one.band], rel=0.03)
