"""Limits for extended objects in units of the noise, measured in cells and compared with whole images."""

from __future__ import annotations

import numpy as np
import pytest

from tests.property.test_chain import setup_of
from tests.support import oracle
from tilegc.config import Filter, Mask
from tilegc.filter import detection_map, mid_noise
from tilegc.filter.detection_map import COARSE, MID_SCALES, SIGNIFICANT
from tilegc.io import store
from tilegc.schema import Bit

FLOOR = Mask().extended_nJy
SCALES = detection_map.filter_params(Filter(), Mask()).mid_scales


def noisy(level, shape=(290, 520)):
    """Noise in two bands, a galaxy that fills none of the cells, a part without data that fills one, and weights."""
    draw = np.random.default_rng(4)
    sci = draw.normal(0, level, (2, *shape)).astype(np.float32)
    y, x = np.indices(shape)
    sci += np.float32(30) * np.exp(-0.5 * ((y - 90) ** 2 + (x - 380) ** 2) / 9.0**2).astype(np.float32)
    sci[1, 20:24, 30:33] = np.nan
    wht = np.ones_like(sci)
    wht[0, 256:, :256] = 0
    return sci, wht


def test_noise_is_the_lower_quartile_over_cells_of_that_of_the_whole_maps(tmp_path):
    sci, wht = noisy(1.0)
    valid = np.isfinite(sci).all(axis=0) & (wht > 0).all(axis=0)
    light = sci[0] + sci[1]
    expected = []
    for widths in MID_SCALES:
        values = oracle.difference(light, valid, *widths)
        cells = [
            oracle.sigma(values[y : y + 256, x : x + 256][valid[y : y + 256, x : x + 256]])
            for y in (0, 256)
            for x in (0, 256, 512)
            if valid[y : y + 256, x : x + 256].mean() >= 0.5
        ]
        assert len(cells) == 5
        expected.append(sorted(cells)[(len(cells) - 1) // 4])
    for tile in (1000, 70):
        folder = tmp_path / str(tile)
        folder.mkdir()
        context, _ = setup_of(folder, sci, wht, tile, {}, "off", extended="auto")
        assert mid_noise.mid_noise(context, SCALES) == {"f": pytest.approx(expected, rel=1e-6)}
    # Of white noise the filter's taps know it.
    assert 0.2 < expected[0] / (np.sqrt(2) * 1.0) < 0.35


@pytest.mark.parametrize(("level", "bound"), [(0.02, False), (5.0, True)])
def test_limits_are_above_the_noise_and_not_below_the_tuned_ones(tmp_path, level, bound):
    sci, wht = noisy(level)
    context, config = setup_of(tmp_path, sci, wht, 128, {}, "off", extended="auto")
    (fine, coarse) = mid_noise.mid_noise(context, SCALES)["f"]
    params = detection_map.detection_map(context, config)["f"]
    assert params.extended == (SIGNIFICANT * fine if bound else FLOOR)
    assert params.coarse == max(SIGNIFICANT * coarse, COARSE * FLOOR)
    field = context.fields[0]
    high = (store.read(field.store, "flags", field.source.box) & Bit.EXTENDED) != 0
    assert high[85:95, 375:385].all()  # the galaxy
    high[40:140, 330:430] = False
    assert high.mean() < 1e-4
    if bound:  # a number is a number
        number, given = setup_of(tmp_path / "number", sci, wht, 128, {}, "off", extended=FLOOR)
        assert detection_map.detection_map(number, given)["f"].extended == FLOOR
        assert (
            (store.read(number.fields[0].store, "flags", field.source.box) & Bit.EXTENDED) != 0
        ).mean() > 0.2


def test_without_data_the_tuned_limits_stand(tmp_path):
    sci, wht = noisy(1.0, (40, 40))
    context, config = setup_of(tmp_path, sci, np.zeros_like(wht), 128, {}, "off", extended="auto")
    params = detection_map.detection_map(context, config)["f"]
    assert (params.extended, params.coarse) == (FLOOR, COARSE * FLOOR)
