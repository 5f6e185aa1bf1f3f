"""The detection stages in tiles give exactly the result for the whole image, for any tiling and any workers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import oracle
from tilegc.config import RunConfig, resolve
from tilegc.detection import peaks, threshold
from tilegc.detection.noise import global_noise as noise
from tilegc.engine import FieldTiles, run_pass
from tilegc.filter import detection_map
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource
from tilegc.mask import mask_map as mask
from tilegc.mask.mask_map import Regions
from tilegc.phases.context import Context, arrays
from tilegc.schema import ARRAYS

WCS = "\n".join(
    [
        "CTYPE1  = 'RA---TAN'",
        "CTYPE2  = 'DEC--TAN'",
        "CRVAL1  = 10.0",
        "CRVAL2  = -30.0",
        "CRPIX1  = 50.0",
        "CRPIX2  = 50.0",
        "CD1_1   = -2.7777777777777778E-04",
        "CD1_2   = 0.0",
        "CD2_1   = 0.0",
        "CD2_2   = 2.7777777777777778E-04",
        "CUNIT1  = 'deg'",
        "CUNIT2  = 'deg'",
        "RADESYS = 'ICRS'",
    ]
)
# One arcsec a pixel: the square that missing data must hold is 3 x 3 pixels, and an edge of 6.6 arcsec is 6 px.


def setup_of(
    folder: Path,
    sci: np.ndarray,
    wht: np.ndarray | None,
    tile: int,
    detect: dict,
    edge: object,
    **masks: object,
) -> tuple[Context, RunConfig]:
    """Put bands into a store; return the context of a run over them, and its settings."""
    names = tuple(f"B{number}" for number in range(len(sci)))
    given = ("sci",) if wht is None else ("sci", "wht")
    path = str(folder / "f.zarr")
    wanted = [array for array in ARRAYS if array.name == "sci" or (array.name == "wht" and wht is not None)]
    store.create(path, wanted, shape=sci.shape[1:], bands=names, shard=64, attrs={})
    source = FieldSource(
        "f",
        sci.shape[1:],
        tuple(BandSource(name, None, stored=given) for name in names),
        WCS,
        WCS,
        1.0,
        1.0,
        has_err=False,
        has_wht=wht is not None,
        store=path,
    )
    for number in range(len(sci)):
        store.write(path, "sci", source.box, sci[number], band=number)
        if wht is not None:
            store.write(path, "wht", source.box, wht[number], band=number)
    wanted = arrays((*detection_map.MAPS, *mask.MASKS, "density", "rho"))
    store.create(path, wanted, shape=sci.shape[1:], bands=names, shard=tile, attrs={})
    config = resolve(
        {
            "recipe": "diego2026",
            "cluster": {"name": "test", "redshift": 0.3, "ra": 10.0, "dec": -30.0},
            "fields": [{"name": "f", "store": path}],
            "mask": {"edge": edge, "extended": "off", **masks},
            "detect": detect,
        }
    )
    tiles = FieldTiles(source, path, TileGrid(source.shape, tile))
    return Context(fields=(tiles,)), config


def scene(seed: int, shape: tuple[int, int], kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Two bands with what breaks tilings: plateaus, ramps, NaN islands, ties, bright stars, empty parts."""
    draw = np.random.default_rng(seed)
    sci = draw.normal(0, 1, (2, *shape)).astype(np.float32)
    if kind == "plateau":
        sci[:] = np.round(sci)
    elif kind == "ramp":
        # The filter takes a plane away; of an exponential it leaves one, and no tile can tell where it ends.
        slope = 0.1 * (np.arange(shape[0])[:, None] * 0.25 + np.arange(shape[1]))
        sci[:] = 20 * np.exp(slope - slope.max())
    elif kind == "empty":
        sci[0, : shape[0] // 2] = np.nan
    elif kind == "islands":
        sci[:, draw.random(shape) < 0.2] = np.nan
    for _ in range(6):
        y, x = draw.integers(0, shape[0]), draw.integers(0, shape[1])
        sci[:, y : y + 3, x : x + 4] = np.nan if draw.random() < 0.5 else 30.0
    y, x = draw.integers(0, shape[0]), draw.integers(0, shape[1])
    sci[:, y, x] = 500.0
    wht = None
    if draw.random() < 0.5:
        wht = np.ones_like(sci)
        wht[1, : draw.integers(0, shape[0] // 2 + 1), : draw.integers(0, shape[1])] = 0
    return sci, wht


def hold_to_the_oracle(
    seed: int, shape: tuple[int, int], tile: int, kind: str, sigma: float, edge: object
) -> None:
    """Compare mask, detection map, sigma, threshold and peaks of a tiled run with those of the untiled image."""
    sci, wht = scene(seed, shape, kind)
    valid = np.isfinite(sci).all(axis=0) & (True if wht is None else (wht > 0).all(axis=0))
    light = sci[0] + sci[1]
    wanted, near = oracle.detection(light, valid)
    bits = np.where(valid, 0, 1) | np.where(near, 4, 0)
    if edge == "auto":
        bits |= np.where(oracle.edge(~valid, 3, 43), 2, 0)
    with tempfile.TemporaryDirectory() as folder:
        context, config = setup_of(Path(folder), sci, wht, tile, {"threshold": {"sigma": sigma}}, edge)
        detection_map.detection_map(context, config)
        mask.mask(context, config, {"f": Regions((), ())})
        field = context.fields[0]
        np.testing.assert_array_equal(store.read(field.store, "mask", field.source.box), bits)
        np.testing.assert_array_equal(store.read(field.store, "detection", field.source.box), wanted)
        found = noise.noise(context)["f"]
        good = wanted[bits == 0]
        assert found.n_good == good.size
        if not good.size:
            assert np.isnan(found.sigma)
            return
        assert found.sigma == oracle.sigma(good)
        limit = threshold.threshold(config, found)
        listed = peaks.find_peaks(context, config, {"f": limit})
    expected = oracle.greedy(wanted, bits == 0, limit, 3.0)
    assert list(zip(listed["y"].tolist(), listed["x"].tolist(), strict=True)) == expected
    np.testing.assert_array_equal(listed["peak"], [wanted[place] for place in expected])


@pytest.mark.parametrize(
    ("seed", "shape", "tile", "kind", "sigma", "edge"),
    [
        (1, (70, 55), 1000, "noise", 2.5, False),  # one tile
        (2, (31, 28), 3, "plateau", 0.3, "auto"),  # tiles of the exclusion radius; ties everywhere
        (4, (38, 40), 7, "ramp", 1.0, "auto"),
        (3, (64, 64), 32, "ramp", 0.3, False),  # nothing can be decided in a tile
        (5, (66, 48), 16, "plateau", 0.3, False),
        (6, (60, 71), 31, "empty", 0.3, "auto"),
        (8, (61, 50), 16, "islands", 1.0, False),
    ],
)
def test_chosen_tilings(seed, shape, tile, kind, sigma, edge):
    hold_to_the_oracle(seed, shape, tile, kind, sigma, edge)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(20, 75),
    width=st.integers(20, 75),
    tile=st.sampled_from([16, 20, 31, 64, 128]),
    kind=st.sampled_from(["noise", "plateau", "ramp", "empty", "islands"]),
    sigma=st.sampled_from([0.3, 1.0, 2.5]),
    edge=st.sampled_from([False, "auto"]),
)
def test_tiles_give_what_the_whole_image_gives(seed, height, width, tile, kind, sigma, edge):
    hold_to_the_oracle(seed, (height, width), tile, kind, sigma, edge)


def test_sources_on_the_corners_of_tiles(tmp_path):
    """Equal sources where four tiles meet, and pairs across a border at the exclusion radius and beyond it."""
    sci = np.zeros((1, 64, 64), np.float32)
    sci += np.random.default_rng(0).normal(0, 0.01, sci.shape).astype(np.float32)
    places = [
        (16, 16),
        (15, 32),
        (32, 15),
        (47, 48),
        (31, 40),
        (31, 44),
        (48, 31),
        (51, 31),
        (8, 47),
        (8, 50),
    ]
    for place in places:
        sci[0][place] = 20.0
    context, config = setup_of(tmp_path, sci, None, 16, {"threshold": {"value": 2.0}}, "off")
    detection_map.detection_map(context, config)
    mask.mask(context, config, {"f": Regions((), ())})
    listed = peaks.find_peaks(context, config, {"f": 2.0})
    wanted, near = oracle.detection(sci[0], np.ones((64, 64), bool))
    assert not near.any()
    expected = oracle.greedy(wanted, np.ones((64, 64), bool), 2.0, 3.0)
    assert list(zip(listed["y"].tolist(), listed["x"].tolist(), strict=True)) == expected
    assert {(16, 16), (15, 32), (32, 15), (47, 48)} <= set(expected)
    assert len({(48, 31), (51, 31)} & set(expected)) == 1  # three pixels apart: one of the two


def test_what_no_tile_can_decide_occurs():
    """On the ramp above candidates are undecided in their tiles: the settling has something to do."""
    sci, wht = scene(3, (64, 64), "ramp")
    with tempfile.TemporaryDirectory() as folder:
        context, config = setup_of(Path(folder), sci, wht, 32, {"threshold": {"sigma": 0.3}}, "off")
        detection_map.detection_map(context, config)
        mask.mask(context, config, {"f": Regions((), ())})
        sigma = noise.noise(context)["f"].sigma
        params = {"f": peaks.PeakParams(0, peaks.at_least(0.3 * sigma), 3.0)}
        parts = []
        run_pass(context.engine, peaks.PEAKS, context.fields, params, gather=parts.append)
    decided = np.concatenate([part["decided"] for part in parts])
    assert not decided.all()
    assert decided.any()


def test_the_scenes_hold_what_they_promise():
    """Not one of the scenes above may be trivial: peaks, masked pixels and undecided candidates occur."""
    sci, _ = scene(1, (70, 55), "noise")
    valid = np.isfinite(sci).all(axis=0)
    wanted, near = oracle.detection(sci[0] + sci[1], valid)
    assert not valid.all()
    assert near.any()
    assert len(oracle.greedy(wanted, valid & ~near, oracle.sigma(wanted[valid & ~near]) * 2.5, 3.0)) > 5


@pytest.mark.parametrize(("size", "shape"), [(1, (6, 7)), (9, (30, 40)), (40, (30, 40))])
def test_a_field_without_a_good_pixel_is_empty(tmp_path, size, shape):
    sci = np.full((1, *shape), np.nan, np.float32)
    context, config = setup_of(tmp_path, sci, None, size, {}, "auto")
    detection_map.detection_map(context, config)
    mask.mask(context, config, {"f": Regions((), ())})
    found = noise.noise(context)
    assert found["f"].n_good == 0
    listed = peaks.find_peaks(context, config, {"f": threshold.threshold(config, found["f"])})
    assert listed["y"].size == 0
