"""Bands on grids of their own: known fluxes in a turned mosaic of larger pixels that covers a part of the field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tilegc.config import Band, FieldInput, Photometry
from tilegc.engine import FieldTiles, SerialEngine
from tilegc.geometry import Box, TileGrid
from tilegc.images.psfs import BandPsf
from tilegc.io import store
from tilegc.io.fits import FieldSource
from tilegc.io.probe import probe_field
from tilegc.kernels.psf_model import model
from tilegc.phases.context import Context, arrays
from tilegc.photometry.other_bands import measure_others
from tilegc.photometry.projected_mask import FieldMask, projected
from tilegc.photometry.spline_psf import from_psf
from tilegc.schema import Bit, photometry_columns
from tilegc.sky import pixel_to_world, world_to_pixel

SHAPE = (400, 420)
WIDE = (170, 200)
SCALE = 0.063
SIGMA = 0.05
N = 260
PIXAR = (SCALE / 206264.806) ** 2


def header(scale: float, turn: float, centre: tuple[float, float]) -> fits.Header:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [64.0, -24.0]
    wcs.wcs.crpix = [centre[1] + 1, centre[0] + 1]
    angle = np.radians(turn)
    turned = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wcs.wcs.cd = turned * scale / 3600
    return wcs.to_header()


class Sky:
    """A field with a mask and no pixels, and a mosaic of F277W over most of it."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(8)
        text = header(0.031, 0.0, (200, 210)).tostring(sep="\n")
        self.mask = np.zeros(SHAPE, np.uint8)
        self.mask[250:290, 200:240] = Bit.EXTENDED
        self.mask[:, :40] = Bit.EDGE
        path = str(folder / "a.zarr")
        store.create(path, arrays(["mask"]), shape=SHAPE, bands=("F090W",), shard=210, attrs={})
        store.write(path, "mask", Box(0, 0, *SHAPE), self.mask)
        self.field = FieldSource(
            "a", SHAPE, (), "", text, 0.031, 0.031**2, has_err=False, has_wht=False, store=path
        )
        y, x = rng.uniform(2, SHAPE[0] - 2, 6 * N), rng.uniform(2, SHAPE[1] - 2, 6 * N)
        kept: list[int] = []
        for k in range(y.size):
            if len(kept) < N and all((y[k] - y[j]) ** 2 + (x[k] - x[j]) ** 2 > 144 for j in kept):
                kept.append(k)
        self.y, self.x = y[kept], x[kept]
        self.ra, self.dec = pixel_to_world(text, self.y, self.x)
        self.flux = 4.0 * rng.uniform(0.01, 1, len(kept)) ** -0.8
        wide = header(SCALE, 37.0, (80, 110))
        row, column = world_to_pixel(wide.tostring(sep="\n"), self.ra, self.dec)
        psf = from_psf(model("F277W", SCALE, 40), 20)
        image = np.full((WIDE[0] + 80, WIDE[1] + 80), 0.2)
        for j, i, flux in zip(row + 40, column + 40, self.flux, strict=True):
            top, left = int(np.floor(j + 0.5)), int(np.floor(i + 0.5))
            if 20 <= top < image.shape[0] - 20 and 20 <= left < image.shape[1] - 20:
                image[top - 20 : top + 21, left - 20 : left + 21] += flux * psf.image(j - top, i - left)
        image = image[40:-40, 40:-40] + rng.normal(0, SIGMA, WIDE)
        # A galaxy that the field's mask hides.
        galaxy = world_to_pixel(wide.tostring(sep="\n"), *pixel_to_world(text, 270.0, 220.0))
        distance = np.hypot(*(np.indices(WIDE) - np.array(galaxy)[:, None, None]))
        image += 40.0 * np.exp(-distance / 1.5)
        self.inside = (row > 6) & (row < WIDE[0] - 7) & (column > 6) & (column < WIDE[1] - 7)
        self.outside = (row < -3) | (row > WIDE[0] + 2) | (column < -3) | (column > WIDE[1] + 2)
        self.hidden = np.hypot(row - galaxy[0], column - galaxy[1]) < 14
        wide["BUNIT"], wide["PIXAR_SR"] = "MJy/sr", PIXAR
        factor = 1e15 * PIXAR  # nJy of one MJy/sr on a pixel
        sci = fits.ImageHDU((image / factor).astype(np.float32), wide, name="SCI")
        wht = fits.ImageHDU(np.full(WIDE, (factor / SIGMA) ** 2, np.float32), wide, name="WHT")
        fits.HDUList([fits.PrimaryHDU(), sci, wht]).writeto(folder / "f277w.fits")
        bands = {"F277W": Band(sci=str(folder / "f277w.fits"))}
        self.mosaic = probe_field(
            FieldInput.model_construct(name="photometry.bands.F277W", bands=bands, store=None)
        )

    def table(self) -> dict[str, np.ndarray]:
        n = self.ra.size
        table = {"field": np.full(n, "a"), "ra": self.ra, "dec": self.dec}
        columns = photometry_columns(["F277W"], (0.2,))
        return {**table, **{one.name: np.full(n, np.nan) for one in columns if one.name.endswith("F277W")}}

    def measured(self, size: int) -> dict[str, np.ndarray]:
        context = Context(
            engine=SerialEngine(),
            fields=(FieldTiles(self.field, str(self.field.store), TileGrid(SHAPE, size)),),
            others=(FieldTiles(self.mosaic, "", TileGrid(WIDE, size)),),
        )
        psfs = {self.mosaic.name: (BandPsf("F277W", model("F277W", SCALE, 40), "given", 0),)}
        return measure_others(context, self.table(), Photometry(apertures=(0.2,)), psfs)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    return Sky(tmp_path_factory.mktemp("wide"))


@pytest.fixture(scope="module")
def whole(sky: Sky) -> dict[str, np.ndarray]:
    return sky.measured(512)


def test_known_fluxes_come_back(sky, whole):
    good = sky.inside & ~sky.hidden & (whole["good_F277W"] > 0.95)
    assert good.sum() > 120
    pull = (whole["flux_F277W"] - sky.flux)[good] / whole["flux_err_F277W"][good]
    low, middle, high = np.percentile(pull, [16, 50, 84])
    assert abs(middle) < 0.3
    assert 0.75 < (high - low) / 2 < 1.25
    bright = good & (sky.flux > 15)
    assert whole["flux_F277W"][bright].sum() / sky.flux[bright].sum() == pytest.approx(1, abs=0.01)
    magnitude = 31.4 - 2.5 * np.log10(whole["flux_F277W"][bright])
    np.testing.assert_allclose(whole["mag_F277W"][bright], magnitude)
    assert np.median(whole["sky_F277W"][good]) == pytest.approx(0.2, abs=0.02)


def test_there_is_nothing_outside_of_the_mosaic(sky, whole):
    assert sky.outside.sum() > 20
    for name in ("flux", "flux_err", "mag", "chi", "sky", "good", "aperture1"):
        assert np.isnan(whole[f"{name}_F277W"][sky.outside]).all()


@pytest.mark.parametrize("size", [64, 97])
def test_any_tiling_gives_the_same_bytes(sky, whole, size):
    found = sky.measured(size)
    for name, values in whole.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_masks_are_those_of_the_field_pixel_by_pixel(sky):
    window = Box(13, 21, 150, 190)
    masks = [FieldMask(str(sky.field.store), sky.field.wcs, SHAPE)]
    found = projected(sky.mosaic.wcs, window, masks)
    y, x = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
    row, column = world_to_pixel(sky.field.wcs, *pixel_to_world(sky.mosaic.wcs, y, x))
    expected = np.zeros(window.shape, np.uint8)
    for place in np.ndindex(*window.shape):
        j, i = int(np.floor(row[place] + 0.5)), int(np.floor(column[place] + 0.5))
        if 0 <= j < SHAPE[0] and 0 <= i < SHAPE[1]:
            expected[place] = sky.mask[j, i] & Bit.EXTENDED
    assert (expected != 0).sum() > 200
    # A pixel's centre may lie on the border of two, where the mesh decides.
    assert (found != expected).sum() <= 3
