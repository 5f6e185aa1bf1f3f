"""`recipe: calibrated` with all masks and T automatic does not depend on the tiles."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tilegc import in_memory as detection
from tilegc.phases.context import Context
from tilegc.schema import Bit

MASKS = {"edge": 1.0, "bright": "auto", "extended": "auto", "spikes": "auto", "arcs": "auto"}
SHAPE = (150, 170)
CORES = ((63.5, 63.5), (128.0, 64.0), (20.0, 128.0))
"""Saturated cores at corners and borders of tiles of 64 px."""


def sky(seed: int, bands: int) -> dict[str, np.ndarray]:
    """Points, stars with spikes and NaN cores, an arc and a galaxy in correlated noise, nJy per pixel."""
    draw = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    light = np.zeros(SHAPE)
    for row, column, flux in zip(
        *draw.uniform(0, 1, (2, 120)), 10 ** draw.uniform(0.3, 1.5, 120), strict=True
    ):
        apart = (y - row * SHAPE[0]) ** 2 + (x - column * SHAPE[1]) ** 2
        light += flux * np.exp(-apart / 1.62) / 5.09
    for row, column in CORES:
        r = np.hypot(y - row, x - column)
        light += 6000 / (1 + (r / 1.2) ** 2) ** 2
        for angle in np.arange(3) * np.pi / 3 + 0.5:
            across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
            light += 12 * np.exp(-(across**2) / 2) / (1 + r / 10)
    light += np.where(np.abs(y - 110) < 30, 2 * np.exp(-0.5 * (np.hypot(y - 110, x - 60) - 80) ** 2), 0)
    light += 3 * np.exp(-((y - 40) ** 2 + (x - 140) ** 2) / 60)
    made = {}
    for number in range(bands):
        image = light + 0.05 * ndimage.gaussian_filter(draw.normal(0, 1, SHAPE), 0.5)
        for row, column in CORES:
            image[np.hypot(y - row, x - column) <= 3] = np.nan
        made[f"B{number}"] = image.astype(np.float32)
    return made


def found_in(
    bands: dict[str, np.ndarray], tile: int, recipe: str = "calibrated", **masks: object
) -> detection.Detections:
    sci, planes = detection._checked(bands, {}, 0.2)
    config = detection._config(recipe, {"mask": {**MASKS, **masks}, "detect": {"threshold": "auto"}})
    with tempfile.TemporaryDirectory() as folder:
        tiles = detection._stored(config, sci, planes, 0.2, Path(folder), tile)
        return detection._detected(Context(fields=(tiles,)), config)


def hold(found: detection.Detections, whole: detection.Detections) -> None:
    for name in ("mask", "detection"):
        assert getattr(found, name).tobytes() == getattr(whole, name).tobytes(), name
    for name in ("catalogue", "candidates"):
        one, other = getattr(found, name), getattr(whole, name)
        assert one.keys() == other.keys()
        for column in one:
            np.testing.assert_array_equal(one[column], other[column], err_msg=f"{name}: {column}")
    np.testing.assert_equal(found.threshold, whole.threshold)


@pytest.fixture(scope="module")
def wholes():
    return {bands: found_in(sky(3, bands), 1000) for bands in (1, 3)}


@pytest.mark.parametrize("bands", [1, 3])
def test_saturated_cores_at_corners_of_tiles(bands, wholes):
    whole = wholes[bands]
    assert len(whole.catalogue["y_peak"]) >= 10
    for bit in (Bit.NO_DATA, Bit.BRIGHT, Bit.EXTENDED, Bit.SPIKE):
        assert (whole.mask & bit).any(), bit
    hold(found_in(sky(3, bands), 64), whole)


@given(tile=st.integers(23, 149))
@settings(max_examples=3, deadline=None)
def test_any_tiles(tile, wholes):
    hold(found_in(sky(3, 3), tile), wholes[3])


@pytest.mark.parametrize("recipe", ["diego2026", "calibrated"])
def test_bright_pixels_beside_tiles_without_extended_light(recipe):
    """Bit 4 beyond a tile's border decides what the filter leaves out; no wider map makes its halo large enough."""
    masks = {"extended": "off", "bright": 5.0, "spikes": "off", "arcs": "off"}
    bands = sky(5, 2)
    whole = found_in(bands, 1000, recipe, **masks)
    assert 0.05 < ((whole.mask & Bit.BRIGHT) != 0).mean() < 0.5
    for tile in (47, 64):
        hold(found_in(bands, tile, recipe, **masks), whole)


@pytest.mark.parametrize("recipe", ["diego2026", "calibrated"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 40), (20, 20)])
def test_a_field_smaller_than_the_filter(shape, recipe):
    bands = {name: image[90 : 90 + shape[0], 20 : 20 + shape[1]] for name, image in sky(3, 2).items()}
    hold(found_in(bands, 16, recipe), found_in(bands, 1000, recipe))
    bands = {name: np.ones(shape, np.float32) for name in bands}
    assert not len(found_in(bands, 16, recipe).catalogue["y_peak"])
