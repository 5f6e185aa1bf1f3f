"""Noise that steps by a factor of 3 along a slanted line: limits follow it, whatever the file says about its noise."""

from __future__ import annotations

import numpy as np
import pytest

from tilegc import in_memory
from tilegc.config import resolve
from tilegc.detection import shapes, threshold
from tilegc.detection.noise import global_noise, local_noise
from tilegc.engine import FieldTiles
from tilegc.filter import detection_map
from tilegc.geometry import TileGrid
from tilegc.images import psfs
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource
from tilegc.mask import mask_map
from tilegc.mask.mask_map import Regions
from tilegc.phases.context import Context, arrays

SHAPE = (520, 560)
BANDS = ("F115W", "F150W")
SIGMA = 0.05
RATIO = 3.0


def field(seed=1):
    """Return bands, the noise of their pixels, and where sources were put: 60 of S/N 30 and more, well apart."""
    draw = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    sigma = np.where(x + 0.25 * y > 340, RATIO * SIGMA, SIGMA)
    grid = np.stack(np.meshgrid(np.arange(30, 500, 60), np.arange(30, 540, 70), indexing="ij"), -1).reshape(
        -1, 2
    )
    places = grid + draw.integers(-8, 9, grid.shape)
    sky = np.zeros(SHAPE)
    for row, column in places:
        part = slice(row - 12, row + 13), slice(column - 12, column + 13)
        r2 = (y[part] - row) ** 2 + (x[part] - column) ** 2
        sky[part] += 40 * sigma[row, column] * np.exp(-r2 / (2 * 0.85**2))
    sci = np.stack([sky + draw.normal(0, sigma) for _ in BANDS]).astype(np.float32)
    return sci, np.stack([sigma, sigma]), places


def detected(folder, sci, tile=1024, **planes):
    """Take arrays to the catalogue; `planes`: err and wht, a dictionary by band each."""
    path = str(folder / "image.zarr")
    rows, columns = SHAPE
    config = resolve(
        {
            "recipe": "calibrated",
            "cluster": {"name": "c", "redshift": 0.3, "ra": 180.0, "dec": 0.0},
            "fields": [{"name": "f", "store": str(folder)}],
            "mask": {"edge": 0.2, "extended": "off", "spikes": "off", "arcs": "off"},
            "tiles": {"size": tile},
        },
        source="test",
    )
    given = {band: ("sci", *(name for name, images in planes.items() if band in images)) for band in BANDS}
    wcs = in_memory._tangent_plane(rows, columns, 0.03)
    source = FieldSource(
        "f",
        SHAPE,
        tuple(BandSource(band, None, stored=given[band]) for band in BANDS),
        wcs,
        wcs,
        0.03,
        9e-4,
        has_err=bool(planes.get("err")),
        has_wht=bool(planes.get("wht")),
        store=path,
    )
    names = ("sci", *(name for name, images in planes.items() if images))
    wanted = arrays(
        (*names, *detection_map.maps_of("calibrated"), *mask_map.MASKS, *local_noise.maps_of("calibrated"))
    )
    store.create(path, wanted, shape=SHAPE, bands=BANDS, shard=tile, attrs={})
    for number, band in enumerate(BANDS):
        store.write(path, "sci", source.box, sci[number], band=number)
        for name, images in planes.items():
            if band in images:
                store.write(path, name, source.box, np.asarray(images[band], np.float32), band=number)
    tiles = FieldTiles(source, path, TileGrid(SHAPE, tile))
    context = Context(fields=(tiles,))
    measured = psfs.field_psfs(context, config.recipe, {})
    filtering = detection_map.detection_map(context, config, measured)
    mask_map.mask(context, config, {"f": Regions((), ())}, measured)
    noises = global_noise.noise(context)
    local = local_noise.local_noise(context, config.detect.exclusion_radius, noises, filtering)
    selection = threshold.select(context, config, noises, local, shapes.field_tables(measured), frame=None)
    window = store.read_window(source, path, ("expected_noise", "mask"), source.box)
    return selection, local["f"].map.on(window, source.box), window["mask"].values, filtering["f"]


def constant(images, factor=1.0):
    return dict(zip(BANDS, (images * factor).astype(np.float32), strict=True))


def judged(selection, noise, sigma, places, mask):
    """Check that the noise follows that of the pixels, and that the catalogue contains only the planted sources."""
    good = mask == 0
    y, x = np.indices(SHAPE)
    away = np.abs(x + 0.25 * y - 340)
    ratio = noise / sigma[0]
    level = np.median(ratio[good & (away > 60)])
    beside = good & (away > 8) & (away < 14)
    assert np.median(ratio[beside & (x + 0.25 * y > 340)]) == pytest.approx(level, rel=0.05)
    assert np.median(ratio[beside & (x + 0.25 * y < 340)]) == pytest.approx(level, rel=0.05)
    found = np.stack([selection.catalogue["y_peak"], selection.catalogue["x_peak"]], axis=1)
    inside = mask[places[:, 0], places[:, 1]] == 0
    distance = np.hypot(*(found[:, None] - places[None]).transpose(2, 0, 1))
    assert (distance[:, inside].min(axis=0) < 2).mean() > 0.95
    assert (distance.min(axis=1) > 3).sum() <= 2
    return level


CASES = {
    "inverse variance": lambda sigma: {"wht": constant(sigma**-2.0)},
    "exposure time": lambda sigma: {"wht": constant(sigma**-2.0, 37.0)},
    "errors": lambda sigma: {"err": constant(sigma)},
    "errors off by a constant": lambda sigma: {
        "err": constant(sigma, 0.2),
        "wht": constant(np.ones_like(sigma)),
    },
    "errors that are all zero": lambda sigma: {"err": constant(0 * sigma), "wht": constant(sigma**-2.0)},
    "errors that know of no step": lambda sigma: {
        "err": constant(np.ones_like(sigma)),
        "wht": constant(sigma**-2.0),
    },
}


@pytest.mark.parametrize("case", list(CASES))
def test_noise_follows_errors_or_weights(case, tmp_path):
    sci, sigma, places = field()
    selection, noise, mask, filtering = detected(tmp_path, sci, **CASES[case](sigma))
    judged(selection, noise, sigma, places, mask)
    expected = "err" if case in {"errors", "errors off by a constant"} else "wht"
    assert {one.kind for one in filtering.pixels} == {expected}


def test_weights_of_one_band_only(tmp_path):
    """The noise of the other band is measured in its image, so that the sum follows the step in full."""
    sci, sigma, places = field()
    selection, noise, mask, filtering = detected(
        tmp_path, sci, wht={"F115W": (sigma[0] ** -2.0).astype(np.float32)}
    )
    assert [one.kind for one in filtering.pixels] == ["wht", "data"]
    assert np.isfinite(noise[mask == 0]).all()
    assert (noise[mask == 0] > 0).all()
    judged(selection, noise, sigma, places, mask)


def test_without_errors_or_weights_the_noise_is_measured_in_the_image(tmp_path):
    """The planted step is followed to 5 % at 10 px from it, with any tiles; a uniform image is left uniform."""
    sci, sigma, places = field(3)
    selection, noise, mask, filtering = detected(tmp_path, sci)
    assert {one.kind for one in filtering.pixels} == {"data"}
    assert selection.local["f"].kinds == ("data", "data")
    judged(selection, noise, sigma, places, mask)
    other = tmp_path / "tiles"
    other.mkdir()
    again = detected(other, sci, 130)
    assert noise.tobytes() == again[1].tobytes()
    assert repr(selection.candidates["snr"].tolist()) == repr(again[0].candidates["snr"].tolist())


def test_uniform_noise_is_not_measured_in_the_image(tmp_path):
    sci, sigma, _ = field(3)
    flat = (sci / sigma * SIGMA).astype(np.float32)
    *_, filtering = detected(tmp_path, flat)
    assert {one.kind for one in filtering.pixels} == {"flat"}


def test_weights_of_zero_or_below_are_no_data(tmp_path):
    sci, sigma, places = field()
    weights = sigma**-2.0
    weights[0, 100:160, 100:150], weights[1, 300:340, 200:230] = 0.0, -5.0
    selection, noise, mask, _ = detected(tmp_path, sci, wht=constant(weights))
    for part in ((slice(100, 160), slice(100, 150)), (slice(300, 340), slice(200, 230))):
        assert (mask[part] & 1).all()
        assert np.isnan(noise[part]).all()
    judged(selection, noise, sigma, places, mask)


def test_tiles_have_no_part_in_it(tmp_path):
    sci, sigma, _ = field(2)
    results = []
    for tile in (1024, 130):
        folder = tmp_path / str(tile)
        folder.mkdir()
        selection, noise, mask, _ = detected(folder, sci, tile, err=constant(sigma))
        catalogue = {name: column.tolist() for name, column in selection.candidates.items()}
        results.append((noise.tobytes(), mask.tobytes(), repr(catalogue)))
    assert results[0] == results[1]


def test_zeros_without_weights_are_as_good_as_nan(tmp_path):
    """A border of zeros produces neither sources nor good area."""
    sci, _, _ = field(4)
    catalogues = []
    for value in (0.0, np.nan):
        image = sci.copy()
        image[:, :40], image[:, :, -12:] = value, value
        folder = tmp_path / str(value)
        folder.mkdir()
        selection, _, mask, filtering = detected(folder, image)
        assert filtering.unobserved == (True, True)
        assert (mask[:40] & 1).all()
        catalogues.append([selection.catalogue[name].tolist() for name in ("y_peak", "x_peak", "snr")])
    assert catalogues[0] == catalogues[1]
