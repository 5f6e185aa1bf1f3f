"""Masks on a real mosaic: a step of the depth, and a bright star with its spikes (PRIMER-UDS, NIRCam F115W, F444W).

The files are not shipped: the fixture `real_data` says where they lie, or skips.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from scipy.stats import poisson

import tilegc
from tests.property.test_chain import setup_of
from tilegc.io import store
from tilegc.schema import Bit
from tilegc.stages import detection_map, mask
from tilegc.stages.mask import Regions


@pytest.fixture(scope="module")
def uds(real_data, tmp_path_factory):
    """Mask and weight of the mosaic, its edges and extended objects not masked."""
    bands = [f"images/uds_jwst_nircam_{band}_40mas" for band in ("f115w", "f444w")]
    sci, wht = (
        np.stack([fits.getdata(real_data / f"{band}_{kind}.fits.gz").astype(np.float32) for band in bands])
        for kind in ("sci", "wht")
    )
    sci = np.where(wht > 0, 10 * sci, np.float32(np.nan))
    setup = setup_of(tmp_path_factory.mktemp("uds"), sci, wht, 512, {}, "off", spikes="auto", arcs="auto")
    detection_map.detection_map(setup)
    mask.mask(setup, {"f": Regions((), ())})
    field = setup.fields[0]
    return store.read(field.store, "mask", field.source.box), wht[0]


def test_steps_of_the_weight_are_no_ridges(uds):
    """The shallow part has hardly more arcs than the deep one, in which there are galaxies to make them."""
    bits, weight = uds
    shallow = weight < 600
    assert 0.3 < shallow.mean() < 0.5
    arcs = (bits & Bit.ARC) != 0
    assert arcs[shallow].mean() < 0.015
    assert arcs[shallow].mean() < arcs[~shallow].mean() + 0.01
    assert not ((bits & Bit.EDGE) != 0).any()


STAR = (330.7, 863.3)
"""Row and column of the mosaic's bright star, of 20.4 mag in F115W."""

CUT = (slice(150, 520), slice(640, 1000))
"""What is looked at round it."""


@pytest.fixture(scope="module")
def round_the_star(real_data):
    """Detections about the star: without masks for stars, and by both recipes; places relative to the star."""
    bands = {}
    for band in ("F115W", "F444W"):
        path = f"images/uds_jwst_nircam_{band.lower()}_40mas"
        sci, wht = (fits.getdata(real_data / f"{path}_{kind}.fits.gz")[CUT] for kind in ("sci", "wht"))
        bands[band] = np.where(wht > 0, 10 * sci, np.nan).astype(np.float32)
    settings = {
        "bare": ("seed", {"edge": "off", "extended": "off"}),
        "seed": ("seed", {"edge": "off", "spikes": "auto", "arcs": "auto"}),
        "calibrated": ("calibrated", {"edge": "off"}),
    }
    return {
        name: tilegc.detect_in(bands, scale=0.04, recipe=recipe, mask=masks)
        for name, (recipe, masks) in settings.items()
    }


def relative(y, x):
    """Return distance, pixels, and angle, degrees from x to y, of places of the cut about the star."""
    dy, dx = y + CUT[0].start - STAR[0], x + CUT[1].start - STAR[1]
    return np.hypot(dy, dx), np.degrees(np.arctan2(dy, dx))


def in_strips(radius, angle, turn, half_width=4.0, low=15.0, high=130.0):
    """Return which places lie in the six strips of a hexagon turned by an angle."""
    apart = (angle - turn + 30.0) % 60.0 - 30.0
    across = radius * np.sin(np.radians(apart))
    return (np.abs(across) <= half_width) & (radius >= low) & (radius < high)


def orientation(light):
    """Return the angle, modulo 60 degrees, of the six spikes: where the light from 20 to 60 px is highest."""
    radius, angle = relative(*np.indices(light.shape))
    turns = np.arange(0.0, 60.0, 1.0)
    light = np.minimum(light, 3.0)
    return turns[np.argmax([light[in_strips(radius, angle, turn, 1.5, 20, 60)].mean() for turn in turns])]


def excess(found, chosen, control):
    """Return counts in `chosen` pixels, what `control` pixels promise there, and the chance of so many or more."""
    good = found.mask == 0
    hit = np.zeros(good.shape, int)
    hit[found.catalogue["y"], found.catalogue["x"]] = 1
    count = int(hit[chosen & good].sum())
    expected = hit[control & good].sum() * (chosen & good).sum() / (control & good).sum()
    return count, float(expected), float(poisson.sf(count - 1, expected))


def test_no_excess_along_the_spikes_of_a_real_star(round_the_star):
    """Six strips along the spikes hold no more sources than strips turned by 15 to 45 degrees."""
    bare = round_the_star["bare"]
    radius, angle = relative(*np.indices(bare.light.shape))
    turn = orientation(bare.light)
    assert abs(turn - 35) <= 3  # as an eye finds them
    strips = in_strips(radius, angle, turn)
    control = np.logical_or.reduce([in_strips(radius, angle, turn + by) for by in range(15, 46, 5)]) & ~strips
    far = (radius > 60) & (radius < 150)
    assert excess(bare, strips, far)[2] < 0.005  # they are there if nobody masks them
    for name in ("seed", "calibrated"):
        found = round_the_star[name]
        count, expected, chance = excess(found, strips, control)
        assert chance > 0.01, (name, count, expected)
        count, expected, chance = excess(found, strips, far)
        assert chance > 0.01, (name, count, expected)


def test_no_excess_round_a_real_star(round_the_star):
    """Sources about the star, just outside of its disc too, are as many as farther off."""
    bare = round_the_star["bare"]
    radius, _ = relative(*np.indices(bare.light.shape))
    far = (radius > 60) & (radius < 150)
    assert excess(bare, radius < 45, far)[2] < 1e-3
    for name in ("seed", "calibrated"):
        found = round_the_star[name]
        disc = (radius < 25) & np.isfinite(bare.light)
        assert ((found.mask[disc] & Bit.SPIKE) != 0).all()
        for ring in (radius < 45, (radius >= 25) & (radius < 60)):
            count, expected, chance = excess(found, ring, far)
            assert chance > 0.01, (name, count, expected)
        # The disc is the star's own, not a share of the sky.
        assert ((found.mask & Bit.SPIKE) != 0).mean() < 0.06
