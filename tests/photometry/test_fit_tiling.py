"""The fit of a field: the same floats for any tiling, and fluxes and errors compared with the planted ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tilegc.engine import FieldTiles, SerialEngine
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource
from tilegc.kernels.psf_model import model
from tilegc.phases.context import arrays
from tilegc.photometry.fit import FieldFit, fit_fields
from tilegc.photometry.sources import FieldSources
from tilegc.photometry.spline_psf import SplinePsf, from_psf
from tilegc.schema import Bit

SHAPE = (230, 270)
SCALE = 0.031
BANDS = ("F115W", "F200W")
SIGMA = (0.03, 0.04)
GALAXY = (160, 170)
PSFS = tuple(from_psf(model(band, SCALE, 40), 10) for band in BANDS)
WIDE = tuple(from_psf(model(band, SCALE, 40), 35) for band in BANDS)


class Planted:
    """A field of points at least 4 px apart on a sloping sky, in a store."""

    def __init__(self, folder: Path, *, err: bool, galaxy: float = 0.0, n: int = 330, seed: int = 2) -> None:
        rng = np.random.default_rng(seed)
        y, x = rng.uniform(8, SHAPE[0] - 8, 4 * n), rng.uniform(8, SHAPE[1] - 8, 4 * n)
        kept: list[int] = []
        for k in range(y.size):
            if len(kept) < n and all((y[k] - y[j]) ** 2 + (x[k] - x[j]) ** 2 > 16 for j in kept):
                kept.append(k)
        self.y, self.x = y[kept], x[kept]
        self.flux = np.stack([2.0 * rng.uniform(3e-3, 1, len(kept)) ** -0.9 for _ in BANDS])
        sci = np.zeros((len(BANDS), *SHAPE))
        for band, psf in enumerate(WIDE):
            for row, column, flux in zip(self.y, self.x, self.flux[band], strict=True):
                add(sci[band], psf, row, column, flux)
        sigma = np.array(SIGMA)[:, None, None] * np.linspace(1, 1.5, SHAPE[1])
        photons = 0.004 * sci if err else 0.0 * sci
        slope = 0.1 + 2e-4 * np.arange(SHAPE[0])[:, None]
        sci = sci + slope + rng.normal(0, 1, sci.shape) * np.sqrt(sigma**2 + photons)
        distance = np.hypot(*(np.indices(SHAPE) - np.array(GALAXY)[:, None, None]))
        sci += galaxy * np.exp(-distance / 9)
        mask = np.zeros(SHAPE, np.uint8)
        mask[(galaxy > 0) & (distance < 10)] = Bit.EXTENDED
        mask[100:112, 60:75] = Bit.BRIGHT
        sci[:, 150:152, 90] = np.nan
        tables = {"sci": sci, "err": np.sqrt(sigma**2 + photons)} if err else {"sci": sci, "wht": sigma**-2}
        tables["wht" if not err else "err"] = np.broadcast_to(tables["wht" if not err else "err"], sci.shape)
        self.source = FieldSource(
            "f",
            SHAPE,
            tuple(BandSource(band, None, stored=tuple(tables)) for band in BANDS),
            "",
            "",
            SCALE,
            SCALE**2,
            has_err=err,
            has_wht=not err,
            store=str(folder / "f.zarr"),
        )
        store.create(
            self.source.store, arrays([*tables, "mask"]), shape=SHAPE, bands=BANDS, shard=128, attrs={}
        )
        for name, values in tables.items():
            for band in range(len(BANDS)):
                store.write(
                    self.source.store, name, self.source.box, values[band].astype(np.float32), band=band
                )
        store.write(self.source.store, "mask", self.source.box, mask)

    def fit(self, size: int) -> FieldFit:
        peak = np.floor(self.y + 0.5).astype(np.int64), np.floor(self.x + 0.5).astype(np.int64)
        n = self.y.size
        sources = FieldSources(*peak, SHAPE, np.zeros((n, 2)), np.zeros((len(BANDS), n)))
        field = FieldTiles(self.source, self.source.store, TileGrid(SHAPE, size))
        radii = np.array([0.1, 0.2]) / SCALE
        return fit_fields(SerialEngine(), [field], {"f": sources}, {"f": PSFS}, {"f": radii})["f"]


def add(image: np.ndarray, psf: SplinePsf, y: float, x: float, flux: float) -> None:
    row, column = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
    shape = psf.image(y - row, x - column)
    for j in range(psf.size):
        for i in range(psf.size):
            a, b = row + j - psf.radius, column + i - psf.radius
            if 0 <= a < SHAPE[0] and 0 <= b < SHAPE[1]:
                image[a, b] += flux * shape[j, i]


def floats(fit: FieldFit) -> dict[str, np.ndarray]:
    found = {"y": fit.y, "x": fit.x, "error": fit.error, "moved": fit.moved, "close": fit.close}
    for number, band in enumerate(fit.bands):
        names = ("flux", "flux_err", "chi", "sky", "good", "neighbours", "apertures", "noise")
        found |= {f"{name}{number}": getattr(band, name) for name in names}
        found[f"gain{number}"] = np.array(band.gain)
    return found


@pytest.fixture(scope="module", params=["wht", "err"])
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp(request.param), err=request.param == "err")


@pytest.fixture(scope="module")
def whole(planted: Planted) -> FieldFit:
    return planted.fit(512)


@pytest.mark.parametrize("size", [64, 101])
def test_any_tiling_gives_the_same_floats(planted, whole, size):
    expected, found = floats(whole), floats(planted.fit(size))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_fluxes_and_errors_hold(planted, whole):
    for number, band in enumerate(whole.bands):
        pull = (band.flux - planted.flux[number]) / band.flux_err
        seen = band.good > 0.9
        low, middle, high = np.percentile(pull[seen], [16, 50, 84])
        assert abs(middle) < 0.35
        assert 0.75 < (high - low) / 2 < 1.3
        bright = seen & (planted.flux[number] > 10)
        assert bright.sum() > 40
        ratio = band.flux[bright].sum() / planted.flux[number][bright].sum()
        assert ratio == pytest.approx(1, abs=0.01)
        chi = band.chi[seen & (planted.flux[number] < 5)]
        assert np.median(chi) == pytest.approx(1, abs=0.15)


def test_fluxes_hold_on_the_wings_of_a_galaxy(tmp_path):
    # 28 px of the splines are three scale lengths: without planes a third of these fluxes are negative.
    planted = Planted(tmp_path, err=False, galaxy=8.0)
    fit = planted.fit(512)
    distance = np.hypot(planted.y - GALAXY[0], planted.x - GALAXY[1])
    near = (distance > 18) & (distance < 55)
    assert near.sum() > 30
    for number, band in enumerate(fit.bands):
        good = near & (band.good > 0.9)
        assert (band.flux[good] > 0).all()
        pull = (band.flux - planted.flux[number])[good] / band.flux_err[good]
        assert abs(np.median(pull)) < 0.7
        assert (np.abs(pull) < 4).mean() > 0.9
        # Its light must not make the errors large either: those of the others are 0.1 to 0.15.
        assert np.median(band.flux_err[good]) < 0.4


def test_positions_and_their_errors_hold(planted, whole):
    for found, true, error in (
        (whole.y, planted.y, whole.error[:, 0]),
        (whole.x, planted.x, whole.error[:, 1]),
    ):
        pull = (found - true) / error
        low, middle, high = np.nanpercentile(pull, [16, 50, 84])
        assert abs(middle) < 0.25
        assert 0.6 < (high - low) / 2 < 1.3
    assert np.hypot(whole.y - planted.y, whole.x - planted.x)[planted.flux[0] > 20].max() < 0.1


def test_apertures_hold_the_psf_share_of_the_flux(planted, whole):
    bright = (planted.flux[0] > 10) & (whole.bands[0].good > 0.99)
    for number, radius in enumerate((0.1, 0.2)):
        ratio = whole.bands[0].apertures[bright, number] / planted.flux[0][bright]
        # a share at pixel centres, averaged over phases, against apertures about the source itself
        assert np.median(ratio) == pytest.approx(PSFS[0].share(radius / SCALE), abs=0.03)


def test_photons_are_known_from_errors_alone(planted, whole):
    for band in whole.bands:
        if planted.source.has_err:
            assert band.gain == pytest.approx(0.004, rel=0.25)
        else:
            assert band.gain == 0


def test_masked_and_missing_pixels_cost_information(planted, whole):
    near = (np.abs(planted.y - 106) < 4) & (np.abs(planted.x - 67) < 5)
    assert (whole.bands[0].good[near] < 0.2).all()
    assert (whole.bands[0].good <= 1).all()
    assert (whole.bands[0].good > 0.99).sum() > 100
