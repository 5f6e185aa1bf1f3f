"""The figure of the point-spread functions: which there are, and that their profiles are azimuthal means."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tilegc.io.psf import write_psf
from tilegc.kernels.psf import quantised
from tilegc.report import psf

SIGMA = 1.3


@pytest.fixture
def material(tmp_path):
    """A run of two fields, one with two bands and one with one; a PSF has values below zero."""
    y, x = np.indices((21, 21)) - 10
    image = np.exp(-(y**2 + x**2) / (2 * SIGMA**2)) - 1e-5 * (x > 8)
    fields = {"a": ("F090W", "F200W"), "b": ("F200W",)}
    summary = {}
    for name, bands in fields.items():
        summary[name] = {
            "psf": {band: {"fwhm_arcsec": 0.09, "origin": "stars", "n_stars": 31} for band in bands}
        }
        for band in bands:
            path = tmp_path / "psf" / f"{name}_{band}.fits"
            path.parent.mkdir(exist_ok=True)
            write_psf(path, quantised(image), band=band, scale=0.03, origin="stars", n_stars=31)
    return SimpleNamespace(
        config=SimpleNamespace(recipe="calibrated"),
        fields=tuple(fields),
        summary={"fields": summary},
        run=SimpleNamespace(path=tmp_path),
    )


def test_one_image_a_band_and_one_profile_each(material):
    drawing = psf.images(material)
    assert drawing.name == "psf"
    axes = drawing.figure.axes
    assert sum(len(one.images) for one in axes) == 3
    lines = [line for one in axes if "profiles" in one.get_title(loc="left") for line in one.lines]
    assert len(lines) == 3
    radius, mean = lines[0].get_data()
    assert mean[0] == 1
    assert radius[1] == pytest.approx(0.03)
    ring = np.exp(-np.array([1.0, 1, 1, 1, 2, 2, 2, 2]) / (2 * SIGMA**2)).mean()
    assert mean[1] == pytest.approx(ring, rel=1e-3)
    assert {one.get_xlabel() for one in axes} >= {"31 stars", "arcsec"}


def test_the_seed_and_an_empty_run_have_none(material):
    assert psf.images(SimpleNamespace(config=SimpleNamespace(recipe="diego2026"))) is None
    material.summary = {"fields": {name: {"psf": {}} for name in material.fields}}
    assert psf.images(material) is None
