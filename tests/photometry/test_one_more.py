"""Artificial stars measured on what a fit left, against fits of the whole field with the stars in its pixels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.photometry.test_fit_tiling import BANDS, PSFS, SHAPE, Planted, add
from tilegc.completeness.star_fluxes import star_fluxes
from tilegc.engine import FieldTiles, SerialEngine
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.kernels.peaks import reach_of
from tilegc.photometry.fit import FieldFit, fit_fields
from tilegc.photometry.sources import FieldSources

REACH = reach_of(3.0)
STARS = 40


class Injected:
    """Stars far from one another, some of them next to sources, on one, at the mask, and at the border."""

    def __init__(self, planted: Planted, seed: int = 5) -> None:
        rng = np.random.default_rng(seed)
        grid = np.stack(np.meshgrid(np.arange(20, 230, 35), np.arange(20, 270, 36), indexing="ij"), -1)
        centre = grid.reshape(-1, 2)[:STARS].astype(float)
        self.y, self.x = (centre + rng.uniform(-3, 3, centre.shape)).T
        self.flux = 10 ** rng.uniform(0.3, 1.3, (len(BANDS), self.y.size))
        # The first ten: within 1 to 6 px of a source.
        near = [
            int(np.argmin(np.hypot(planted.y - y, planted.x - x)))
            for y, x in zip(self.y, self.x, strict=True)
        ]
        for k in range(10):
            angle, apart = rng.uniform(0, 2 * np.pi), 1.0 + 0.55 * k
            self.y[k] = planted.y[near[k]] + apart * np.sin(angle)
            self.x[k] = planted.x[near[k]] + apart * np.cos(angle)
        self.y[10], self.x[10] = 98.2, 67.4  # two pixels from the mask
        self.y[11], self.x[11] = 3.4, 140.2
        self.peak_y, self.peak_x = (np.floor(axis + 0.5).astype(np.int64) for axis in (self.y, self.x))

    def blanks(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return which sources with their peaks here the stars' peaks blank."""
        apart = (y[:, None] - self.peak_y) ** 2 + (x[:, None] - self.peak_x) ** 2
        return (apart <= 9).any(axis=1)


def fitted(planted: Planted, y: np.ndarray, x: np.ndarray, size: int = 512) -> FieldFit:
    sources = FieldSources(y, x, SHAPE, np.zeros((y.size, 2)), np.zeros((len(BANDS), y.size)))
    return fit_fields(
        SerialEngine(), [tiles(planted, size)], {"f": sources}, {"f": PSFS}, {"f": np.array([3.0])}
    )["f"]


def tiles(planted: Planted, size: int) -> FieldTiles:
    return FieldTiles(planted.source, planted.source.store, TileGrid(SHAPE, size))


def measured(
    planted: Planted, fit: FieldFit, stars: Injected, size: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    n = stars.y.size
    table = {
        "number": np.arange(n),
        "recovered": np.ones(n, bool),
        "y_in": stars.y,
        "x_in": stars.x,
        "flux_in": stars.flux,
        "y": stars.peak_y,
        "x": stars.peak_x,
    }
    light = np.stack([psf.table for psf in PSFS])
    params = SimpleNamespace(responses=SimpleNamespace(light=light), limits=SimpleNamespace(reach=REACH))
    context = SimpleNamespace(engine=SerialEngine(), fields=[tiles(planted, size)])
    return star_fluxes(
        context, {"f": fit}, {"f": SimpleNamespace(params=params)}, {"f": SimpleNamespace(table=table)}
    )["f"]


@pytest.fixture(scope="module", params=["wht", "err"])
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp(request.param), err=request.param == "err")


@pytest.fixture(scope="module")
def fit(planted: Planted) -> FieldFit:
    return fitted(planted, *(np.floor(axis + 0.5).astype(np.int64) for axis in (planted.y, planted.x)))


def test_stars_are_measured_as_in_pixels(planted, fit, tmp_path: Path):
    stars = Injected(planted)
    flux, error = measured(planted, fit, stars)

    sci = store.read(planted.source.store, "sci", planted.source.box).astype(np.float64)
    for band, psf in enumerate(PSFS):
        for y, x, light in zip(stars.y, stars.x, stars.flux[band], strict=True):
            add(sci[band], psf, y, x, light)
    peak = np.floor(planted.y + 0.5).astype(np.int64), np.floor(planted.x + 0.5).astype(np.int64)
    left = ~stars.blanks(*peak)
    original = store.read(planted.source.store, "sci", planted.source.box)
    try:
        for band in range(len(BANDS)):
            store.write(
                planted.source.store, "sci", planted.source.box, sci[band].astype(np.float32), band=band
            )
        slow = fitted(
            planted,
            np.concatenate([peak[0][left], stars.peak_y]),
            np.concatenate([peak[1][left], stars.peak_x]),
        )
    finally:
        for band in range(len(BANDS)):
            store.write(planted.source.store, "sci", planted.source.box, original[band], band=band)
    for band in range(len(BANDS)):
        expected = slow.bands[band].flux[left.sum() :]
        sigma = slow.bands[band].flux_err[left.sum() :]
        off = np.abs(flux[band] - expected)
        # The engine leaves neighbours where they are; a star moves them a little, and a very bright one then lends the
        # star a part of its light, in any band.
        apart = np.hypot(planted.y[:, None] - stars.y, planted.x[:, None] - stars.x)
        beside = np.where(apart < 6, planted.flux.max(axis=0)[:, None], 0.0).max(axis=0)
        assert np.median(off / sigma) < 0.05
        assert (off < 0.5 * sigma + 0.005 * beside).all()
        # Noise is measured in cells of the residuals, which forty stars at a time change a little.
        np.testing.assert_allclose(error[band], sigma, rtol=0.05)


@pytest.mark.parametrize("size", [64, 101])
def test_any_tiling_measures_the_same_floats(planted, fit, size):
    stars = Injected(planted)
    for found, expected in zip(
        measured(planted, fit, stars, size), measured(planted, fit, stars), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
