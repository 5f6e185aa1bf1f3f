"""Masks on a real mosaic: a step of the depth, and a bright star with its spikes (PRIMER-UDS, NIRCam F115W, F444W).

The files are not shipped: the fixture `real_data` says where they lie, or skips.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from benchmarks import real_masks
from benchmarks.real_masks import control_of, excess, in_strips, orientation, relative
from tests.property.test_chain import setup_of
from tilegc.filter import detection_map
from tilegc.io import store
from tilegc.mask import mask_map as mask
from tilegc.mask.mask_map import Regions
from tilegc.schema import Bit


@pytest.fixture(scope="module")
def uds(real_data, tmp_path_factory):
    """Mask and weight of the mosaic, its edges and extended objects not masked."""
    bands = [f"images/uds_jwst_nircam_{band}_40mas" for band in ("f115w", "f444w")]
    sci, wht = (
        np.stack([fits.getdata(real_data / f"{band}_{kind}.fits.gz").astype(np.float32) for band in bands])
        for kind in ("sci", "wht")
    )
    sci = np.where(wht > 0, 10 * sci, np.float32(np.nan))
    context, config = setup_of(
        tmp_path_factory.mktemp("uds"), sci, wht, 512, {}, "off", spikes="auto", arcs="auto"
    )
    detection_map.detection_map(context, config)
    mask.mask(context, config, {"f": Regions((), ())})
    field = context.fields[0]
    return store.read(field.store, "mask", field.source.box), wht[0]


def test_steps_of_the_weight_are_no_ridges(uds):
    """The shallow part has hardly more arcs than the deep one, where galaxies produce them."""
    bits, weight = uds
    shallow = weight < 600
    assert 0.3 < shallow.mean() < 0.5
    arcs = (bits & Bit.ARC) != 0
    assert arcs[shallow].mean() < 0.015
    assert arcs[shallow].mean() < arcs[~shallow].mean() + 0.01
    assert not ((bits & Bit.EDGE) != 0).any()


@pytest.fixture(scope="module")
def round_the_star(real_data):
    """Detections about the star: without masks for stars, and by both recipes; places relative to the star."""
    return real_masks.round_the_star(real_data)


def test_no_excess_along_the_spikes_of_a_real_star(round_the_star):
    """Six strips along the spikes contain no more sources than strips rotated by 15 to 45 degrees."""
    bare = round_the_star["bare"]
    radius, angle = relative(*np.indices(bare.light.shape))
    turn = orientation(bare.light)
    assert abs(turn - 35) <= 3  # as an eye finds them
    strips = in_strips(radius, angle, turn)
    control = control_of(radius, angle, turn)
    far = (radius > 60) & (radius < 150)
    assert excess(bare, strips, far)[2] < 0.005  # they are there if nobody masks them
    for name in ("diego2026", "calibrated"):
        found = round_the_star[name]
        count, expected, chance = excess(found, strips, control)
        assert chance > 0.01, (name, count, expected)
        count, expected, chance = excess(found, strips, far)
        assert chance > 0.01, (name, count, expected)


def test_no_excess_round_a_real_star(round_the_star):
    """Just outside the disc of the star there are as many sources as farther away."""
    bare = round_the_star["bare"]
    radius, _ = relative(*np.indices(bare.light.shape))
    far = (radius > 60) & (radius < 150)
    assert excess(bare, radius < 45, far)[2] < 1e-3
    for name in ("diego2026", "calibrated"):
        found = round_the_star[name]
        disc = (radius < 25) & np.isfinite(bare.light)
        assert ((found.mask[disc] & Bit.SPIKE) != 0).all()
        for ring in (radius < 45, (radius >= 25) & (radius < 60)):
            count, expected, chance = excess(found, ring, far)
            assert chance > 0.01, (name, count, expected)
        # The disc is the star's own, not a share of the sky.
        assert ((found.mask & Bit.SPIKE) != 0).mean() < 0.06


def test_no_chain_along_the_arcs_of_a_cluster(real_data):
    """Without masks the arc is a chain of sources; with them there is none."""
    found = real_masks.stamps(real_data)
    for number in (1, 2, 3):
        bare = found[number, "bare"].catalogue
        assert real_masks.chain(bare["y_peak"], bare["x_peak"]) >= 3
        for name in ("diego2026", "calibrated"):
            one = found[number, name]
            y, x = one.catalogue["y_peak"], one.catalogue["x_peak"]
            assert real_masks.chain(y, x) <= 2
            assert len(y) <= 4
