"""Ridges, and the spikes and arcs made from them, do not depend on the tiles."""

import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_chain import setup_of
from tilegc.config import Mask
from tilegc.filter import detection_map
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.mask import mask_map as mask
from tilegc.mask.mask_map import Regions
from tilegc.mask.ridge_filter import ANGLES, LENGTH, RADIUS, line_steps, ridges
from tilegc.mask.ridges import widest
from tilegc.schema import Bit

STEPS = line_steps()


def lines():
    """Pixels of every line, from its middle: the halves of halves written out one by one."""
    for step in STEPS:
        places = np.zeros((1, 2), int)
        for half in step[:4]:
            places = np.concatenate([places, places + half])
        places = np.concatenate([places, places + step[4], places + step[5]])
        yield places - step[6]


def slow(values, counted, sigma, limit):
    """The obvious way: for every direction, the sum over the line's pixels."""
    scaled = np.where(counted, values, 0) * np.float32(16 / sigma)
    levels = np.pad(np.floor(np.clip(scaled, -32, 32) + np.float32(0.5)).astype(int), RADIUS)
    height, width = values.shape
    result = np.zeros(values.shape, bool)
    for places in lines():
        total = sum(
            levels[RADIUS + y : RADIUS + y + height, RADIUS + x : RADIUS + x + width] for y, x in places
        )
        result |= total >= math.ceil(limit * 16 * 48)
    return result


def scene(seed, shape):
    """Noise, beads on lines of any direction, and pixels that do not count."""
    draw = np.random.default_rng(seed)
    values = draw.normal(0, 1, shape).astype(np.float32)
    y, x = np.indices(shape)
    for _ in range(3):
        angle, middle = draw.uniform(0, np.pi), draw.uniform(0, shape[0], 2)
        along = (y - middle[0]) * np.sin(angle) + (x - middle[1]) * np.cos(angle)
        across = (y - middle[0]) * np.cos(angle) - (x - middle[1]) * np.sin(angle)
        values += 4 * (1 + np.cos(along)) * np.exp(-0.5 * across**2) * (np.abs(along) < draw.uniform(20, 60))
    counted = draw.random(shape) > 0.05
    values[~counted] = np.nan
    return values, counted


def test_lines_are_straight_and_of_one_length():
    for n, places in enumerate(lines()):
        angle = math.pi * n / ANGLES
        assert len(places) == LENGTH
        assert len(set(map(tuple, places))) > 0.7 * LENGTH  # on a diagonal two steps may fall into one pixel
        along = places @ [math.sin(angle), math.cos(angle)]
        across = places @ [math.cos(angle), -math.sin(angle)]
        # Five roundings of a step, half a pixel each at most.
        assert np.abs(across).max() < 2.0
        assert -26 < along.min() < -22
        assert 22 < along.max() < 26
        assert np.abs(places).max() <= RADIUS


@given(st.integers(0, 1000), st.integers(20, 90), st.integers(20, 90), st.integers(5, 100), st.integers(0, 4))
@settings(max_examples=10, deadline=None)
def test_any_tiling(seed, height, width, size, spare):
    values, counted = scene(seed, (height, width))
    whole = slow(values, counted, 1.0, 0.55)
    tiled = np.zeros_like(whole)
    for tile in TileGrid(whole.shape, size).tiles(RADIUS + spare):
        window = tile.window.slices
        found = ridges(values[window], counted[window], 1.0, 0.55, STEPS)
        tiled[tile.core.slices] = found[tile.core_in_window]
    np.testing.assert_array_equal(tiled, whole)


def test_the_scenes_have_ridges():
    values, counted = scene(3, (90, 90))
    found = slow(values, counted, 1.0, 0.55)
    assert 100 < found.sum() < 0.6 * found.size


def star(shape, y, x, *, core, reach=90):
    """A bright star with four beaded spikes, and an arc that points nowhere; NaN within `core` of the star."""
    draw = np.random.default_rng(5)
    yy, xx = np.indices(shape)
    values = draw.normal(0, 1, (1, *shape)).astype(np.float32)
    r = np.hypot(yy - y, xx - x)
    values[0] += 3000 * np.exp(-0.5 * (r / 3) ** 2)
    for angle in (0.3, 0.3 + np.pi / 2):
        along = (yy - y) * np.sin(angle) + (xx - x) * np.cos(angle)
        across = (yy - y) * np.cos(angle) - (xx - x) * np.sin(angle)
        values[0] += np.where(
            np.abs(along) < reach, 14 * (1 + 0.7 * np.cos(0.6 * along)) * np.exp(-0.5 * across**2), 0
        )
    turn = np.hypot(yy - 130, xx - 330)
    values[0] += np.where(
        (np.abs(xx - 230) < 80), 20 * (1 + 0.5 * np.cos(0.5 * yy)) * np.exp(-0.5 * (turn - 100) ** 2), 0
    )
    values[0][r <= core] = np.nan
    return values


def bits_of(sci, tile, spikes, arcs):
    with tempfile.TemporaryDirectory() as folder:
        context, config = setup_of(Path(folder), sci, None, tile, {}, "off", spikes=spikes, arcs=arcs)
        detection_map.detection_map(context, config)
        mask.mask(context, config, {"f": Regions((), ())})
        field = context.fields[0]
        return store.read(field.store, "mask", field.source.box)


def test_spikes_and_arcs_over_many_tiles():
    """A star whose core has no data: its spikes are bit 16, the arc bit 64, whatever the tiles."""
    sci = star((260, 300), 130, 110, core=4)
    whole = bits_of(sci, 1000, "auto", "auto")
    for tile in (64, 100, 37):
        np.testing.assert_array_equal(bits_of(sci, tile, "auto", "auto"), whole)
    spike, arc = (whole & Bit.SPIKE) != 0, (whole & Bit.ARC) != 0
    assert not (whole & Bit.EXTENDED).any()
    for angle in (0.3, 0.3 + np.pi / 2):
        for r in (*range(-65, -10), *range(10, 65)):
            assert spike[round(130 + r * np.sin(angle)), round(110 + r * np.cos(angle))]
    assert arc[130, 230]
    assert not spike[130, 230]
    assert spike.mean() < 0.12
    assert arc.mean() < 0.06
    alone = bits_of(sci, 64, "auto", "off")
    np.testing.assert_array_equal(alone & Bit.SPIKE, whole & Bit.SPIKE)
    assert not (alone & Bit.ARC).any()


def test_an_arc_that_points_to_a_star_is_an_arc():
    """A second star lies on the axis of the arc. No spike is bent like that; what is straight remains a spike."""
    sci = star((260, 300), 130, 110, core=4)
    y, x = np.indices((260, 300))
    sci[0] += 3000 * np.exp(-0.5 * ((y - 248) ** 2 + (x - 258) ** 2) / 9).astype(np.float32)
    whole = bits_of(sci, 1000, "auto", "auto")
    np.testing.assert_array_equal(bits_of(sci, 61, "auto", "auto"), whole)
    assert whole[248, 258] & Bit.BRIGHT
    for row in range(80, 180, 10):  # along the arc
        column = round(330 - math.sqrt(100**2 - (row - 130) ** 2))
        assert whole[row, column] & (Bit.ARC | Bit.SPIKE) == Bit.ARC
    assert whole[round(130 + 50 * np.sin(0.3)), round(110 + 50 * np.cos(0.3))] & Bit.SPIKE
    assert bits_of(sci, 100, "off", "auto")[130, 230] & Bit.ARC


def test_arcs_have_a_limit_of_their_own():
    """Spikes are the same whatever arcs are sought by; arcs are what that limit alone would find, over any tiles."""
    sci = star((260, 300), 130, 110, core=4)
    both, alone = bits_of(sci, 1000, "auto", "1.1"), bits_of(sci, 1000, "off", "1.1")
    np.testing.assert_array_equal(bits_of(sci, 64, "auto", "1.1"), both)
    np.testing.assert_array_equal(both & Bit.SPIKE, bits_of(sci, 1000, "auto", "off") & Bit.SPIKE)
    np.testing.assert_array_equal(both & Bit.ARC, alone & Bit.ARC)
    usual = bits_of(sci, 1000, "auto", "auto") & Bit.ARC
    assert 0 < (both & Bit.ARC != 0).sum() < (usual != 0).sum()
    np.testing.assert_array_equal(bits_of(sci, 1000, "auto", "0.55"), bits_of(sci, 1000, "auto", "auto"))


def test_no_star_no_spike():
    """A line without a bright object at its end is an arc."""
    sci = star((260, 300), 130, 110, core=4)
    sci[0, 100:160, 80:140] = 0
    bits = bits_of(sci, 100, "auto", "off")
    assert not (bits & Bit.SPIKE).any()


def test_defaults_follow_the_recipe():
    assert (Mask().spikes, Mask().arcs) == ("off", "off")


def test_a_step_of_the_depth_has_no_ridges():
    """Where the weight drops by 50, a single limit takes noise for ridges; an arc in the deep part remains."""
    draw = np.random.default_rng(8)
    sci = draw.normal(0, 1, (1, 270, 300)).astype(np.float32)
    sci[0, :, 170:] *= 7
    yy, xx = np.indices(sci.shape[1:])
    turn = np.hypot(yy - 130, xx + 20)
    sci[0] += np.where(np.abs(yy - 130) < 60, 20 * np.exp(-0.5 * (turn - 90) ** 2), 0)
    whole = bits_of(sci, 1000, "auto", "auto")
    np.testing.assert_array_equal(bits_of(sci, 91, "auto", "auto"), whole)
    arc = (whole & (Bit.ARC | Bit.SPIKE)) != 0
    assert arc[110:150, 68:72].all()
    assert arc[:, 100:].mean() < 0.003


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_noise_is_the_largest_near_a_quarter_of_a_cell(rows, columns, seed):
    values = np.random.default_rng(seed).uniform(1, 9, (rows, columns))
    found = widest(values)
    for y in range(2 * rows):
        for x in range(2 * columns):
            # A quarter's own cell, and the cells that a step of one quarter outwards leads to.
            near = [
                values[min(max(i // 2, 0), rows - 1), min(max(j // 2, 0), columns - 1)]
                for i in (y, y - 1, y + 1)
                for j in (x, x - 1, x + 1)
            ]
            assert found[y, x] == np.float32(max(near))
