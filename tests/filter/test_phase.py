"""What the phase `filter` writes: PSFs and maps, looked at pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from tilegc.geometry import Box
from tilegc.io import store
from tilegc.schema import Bit

RECIPES = ("diego2026", "calibrated")


@pytest.mark.parametrize("recipe", RECIPES)
def test_psfs_are_written_as_the_summary_says(mock_runs, recipe):
    run = mock_runs[recipe]
    for name in run.fields:
        told, scale = run.summary["fields"][name]["psf"], run.field(name).attrs["pixel_scale_arcsec"]
        for band, about in told.items():
            with fits.open(run.path / "psf" / f"{name}_{band}.fits") as hdus:
                image, header = hdus[0].data.astype(float), hdus[0].header
            assert image.sum() == pytest.approx(1.0, abs=1e-5)
            assert (header["PSFORIG"], header["NSTARS"]) == (about["origin"], about["n_stars"])
            assert header["PIXSCL"] == pytest.approx(scale)
            assert header["FWHM"] == pytest.approx(about["fwhm_arcsec"], abs=1e-6)
            # Half of the maximum is reached at half of the width, on the row through the centre.
            row = image[image.shape[0] // 2, image.shape[1] // 2 :] / image.max()
            half = np.interp(-0.5, -row, np.arange(row.size))
            assert 2 * half * scale == pytest.approx(about["fwhm_arcsec"], rel=0.15)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_map_has_values_where_pixels_count(mock_runs, recipe):
    run = mock_runs[recipe]
    for name in run.fields:
        field = run.field(name)
        flags = store.read(str(run.path / "store" / f"{name}.zarr"), "flags", Box(0, 0, *field.mask.shape))
        counted = (flags & np.uint8(Bit.NO_DATA | Bit.BRIGHT)) == 0
        assert np.array_equal(np.isfinite(field.detection.values), counted)
        assert np.array_equal(np.isfinite(field.light.values), (flags & np.uint8(Bit.NO_DATA)) == 0)
        if recipe == "calibrated":
            assert (field.expected_noise.values[counted] > 0).all()
        assert ("expected_noise" in field) == (recipe == "calibrated")
