"""Masks on a real mosaic: a step of the depth, and a bright star with its spikes (PRIMER-UDS, NIRCam F115W, F444W).

The files are not shipped: the fixture `real_data` says where they lie, or skips.
"""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

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
    arcs = (bits & Bit.EXTENDED) != 0
    assert arcs[shallow].mean() < 0.015
    assert arcs[shallow].mean() < arcs[~shallow].mean() + 0.01
    assert not ((bits & Bit.EDGE) != 0).any()
