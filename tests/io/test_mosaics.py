"""Several mosaics a band: put together as they were cut, the deepest first, and resampled where grids differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tests.support import mock
from tilegc import running
from tilegc.config import load, resolve
from tilegc.errors import ConfigError, GridError, InputError
from tilegc.geometry import Box
from tilegc.images.ingest import needs_store
from tilegc.inputs import examine
from tilegc.io import mosaics, store
from tilegc.io.ingest import create_ingest, finish_ingest, ingest_unit, ingest_units
from tilegc.io.probe import probe_field
from tilegc.kernels.resampling import interpolated, nearest
from tilegc.sky import pixel_to_world, world_to_pixel

SCALE = 0.03
SHAPE = (150, 170)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("cut")
    mock.write_inputs(home)
    return home


def ingested(source, path):
    """Ingest a field in this process and return it as one that is read from there."""
    made = create_ingest(source, str(path))
    for unit in ingest_units(source):
        ingest_unit(source, str(path), unit)
    finish_ingest(source, str(path))
    return made


@pytest.mark.parametrize("way", list(mock.CUTS))
def test_what_was_cut_up_is_put_together_as_it_was(folder, way, tmp_path):
    """In windows straight from the files, and in a store: the bytes of the image that was never cut."""
    whole = probe_field(load(folder / "run.yaml").fields[0])
    cut = probe_field(load(mock.cut_run_file(folder / "run.yaml", way)).fields[0])
    assert (cut.shape, cut.wcs, cut.scale) == (whole.shape, whole.wcs, whole.scale)
    assert not cut.resampled
    assert cut.seam == 0
    assert [band.given for band in cut.bands] == [band.given for band in whole.bands]
    names, box = ("sci", "err", "wht"), Box(3, 11, 93, 84)
    expected = store.read_window(whole, "", names, box)
    for source in (cut, ingested(cut, tmp_path / "a.zarr")):
        found = store.read_window(source, "", names, box)
        for name in names:
            assert found[name].values.tobytes() == expected[name].values.tobytes(), name
    assert store.open_field("a", str(tmp_path / "a.zarr")).seam == 0


def write(path, sci, weight, **cards):
    """Write a mosaic with weights in nJy^-2."""
    area = cards.get("PIXAR_SR", (SCALE / 3600 * math.pi / 180) ** 2)
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": 150.1,
            "CRVAL2": 2.2,
            "CRPIX1": 75.0,
            "CRPIX2": 75.0,
            "CD1_1": -SCALE / 3600,
            "CD1_2": 0.0,
            "CD2_1": 0.0,
            "CD2_2": SCALE / 3600,
            "BUNIT": "MJy/sr",
            "PIXAR_SR": area,
            **cards,
        }
    )
    njy = 1e15 * area
    weights = np.broadcast_to(np.float32(weight * njy**2), sci.shape)
    images = [
        fits.ImageHDU(values.astype(np.float32), header, name=name)
        for name, values in (("SCI", sci / njy), ("WHT", weights))
    ]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    return str(path)


def field(*paths, **more):
    content = {"recipe": "diego2026", "fields": [{"name": "a", "bands": {"F": list(paths)}, **more}]}
    return resolve(content).fields[0]


def test_the_deepest_mosaic_owns_a_pixel_and_then_the_first(tmp_path):
    draw = np.random.default_rng(1)
    values = [draw.normal(size=(60, 90)) for _ in range(3)]
    values[1][:20, :30] = np.nan
    # all on one grid, the second 30 and the third 60 columns further
    paths = [
        write(tmp_path / f"{k}.fits", values[k], weight, CRPIX1=75.0 - 30 * k)
        for k, weight in enumerate((4.0, 9.0, 4.0))
    ]
    source = probe_field(field(*paths))
    assert source.shape == (60, 150)
    assert [one.sci.path for one in source.bands[0].mosaics] == [paths[1], paths[0], paths[2]]
    expected = np.full((60, 150), -1)
    for order, k in reversed(list(enumerate((1, 0, 2)))):
        part = expected[:, 30 * k : 30 * k + 90]
        part[np.isfinite(values[k])] = order
    assert (mosaics.owners(source.bands[0], source.wcs, source.box) == expected).all()
    found = mosaics.assembled(source.bands[0], source.wcs, ["sci", "wht"], source.box)
    for order, k in enumerate((1, 0, 2)):
        mine = expected[:, 30 * k : 30 * k + 90] == order
        np.testing.assert_allclose(
            found["sci"][:, 30 * k : 30 * k + 90][mine], values[k][mine], rtol=1e-6, atol=1e-7
        )
    assert found["wht"][30, 0] == pytest.approx(4.0)
    assert found["wht"][30, 60] == pytest.approx(9.0)


def point_sources(wcs, shape, ra, dec, flux, width):
    """Return an image of Gaussian stars at positions on the sky, by sums over subpixels; sigma in pixels."""
    y0, x0 = world_to_pixel(wcs, ra, dec)
    fine = (np.arange(5) - 2) / 5
    image = np.zeros(shape)
    for y, x, f in zip(y0, x0, flux, strict=True):
        along = [
            np.exp(-((np.arange(size)[:, None] + fine - centre) ** 2) / (2 * width**2)).mean(axis=1)
            for size, centre in ((shape[0], y), (shape[1], x))
        ]
        image += f / (2 * math.pi * width**2) * np.outer(*along)
    return image


@pytest.fixture(scope="module")
def two_grids(tmp_path_factory):
    """The same stars, seen by a mosaic and by one on another tangent point, turned by 7 deg, with larger pixels."""
    home = tmp_path_factory.mktemp("grids")
    blank = np.ones(SHAPE)
    turn, step = math.radians(7.0), 1.05 * SCALE / 3600
    other = {
        "CRVAL1": 150.12,
        "CRVAL2": 2.19,
        "CRPIX1": 0.0,
        "CRPIX2": 0.0,
        "CD1_1": -step * math.cos(turn),
        "CD1_2": step * math.sin(turn),
        "CD2_1": step * math.sin(turn),
        "CD2_2": step * math.cos(turn),
        "PIXAR_SR": (step * math.pi / 180) ** 2,
    }
    grids = []
    for number, cards in enumerate(({}, other)):
        if number == 1:  # its middle 120 pixels to the right of the first one's
            ra, dec = pixel_to_world(grids[0].wcs, 75.0, 205.0)
            far = WCS(fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", **other}))
            x, y = far.wcs_world2pix(ra, dec, 0)
            other |= {"CRPIX1": round(85.3 - float(x), 2), "CRPIX2": round(75.6 - float(y), 2)}
        grids.append(probe_field(field(write(home / f"blank{number}.fits", blank, 4.0, **cards))))
    draw = np.random.default_rng(2)
    y, x = np.mgrid[20:150:26, 20:320:27].reshape(2, -1) + draw.uniform(-3, 3, (2, 60))
    ra, dec = pixel_to_world(grids[0].wcs, y, x)
    flux = draw.uniform(50, 100, y.size)
    # one width on the sky
    stars = [point_sources(one.wcs, SHAPE, ra, dec, flux, 0.95 * SCALE / one.scale) for one in grids]
    paths = [
        write(home / "first.fits", stars[0], 4.0),
        write(home / "second.fits", stars[1], 3.0, **other),
    ]
    return field(*paths, seam=0.15), (y, x, flux)


def test_stars_of_another_grid_keep_their_flux_and_place(two_grids):
    described, (y, x, flux) = two_grids
    source = probe_field(described)
    assert source.resampled
    assert source.seam == pytest.approx(5.0)
    box = source.bands[0].mosaics[0].box
    image = mosaics.assembled(source.bands[0], source.wcs, ["sci"], source.box)["sci"]
    owner = mosaics.owners(source.bands[0], source.wcs, source.box)
    checked = np.zeros(2, int)
    rows, columns = np.indices(image.shape)
    for y0, x0, f in zip(y + box.y0, x + box.x0, flux, strict=True):
        near = np.hypot(rows - y0, columns - x0) < 7
        owned = set(owner[near].tolist())
        if near.sum() < 140 or len(owned) > 1 or -1 in owned:
            continue
        (one,) = owned
        checked[one] += 1
        light = image[near].astype(float)
        assert light.sum() == pytest.approx(f, rel=2e-3)
        assert (light * rows[near]).sum() / light.sum() == pytest.approx(y0, abs=0.01)
        assert (light * columns[near]).sum() / light.sum() == pytest.approx(x0, abs=0.01)
    assert (checked > 10).all(), checked


def test_any_window_holds_the_same_pixels(two_grids):
    source = probe_field(two_grids[0])
    names = ("sci", "wht")
    whole = mosaics.assembled(source.bands[0], source.wcs, names, source.box)
    seam = mosaics.seams(source, source.box)
    draw = np.random.default_rng(3)
    for _ in range(12):
        y, x = (np.sort(draw.integers(0, size, 2)) for size in source.shape)
        box = Box(int(y[0]), int(x[0]), int(y[1]) + 1, int(x[1]) + 1)
        part = mosaics.assembled(source.bands[0], source.wcs, names, box)
        for name in names:
            assert part[name].tobytes() == whole[name][box.slices].tobytes()
        assert (mosaics.seams(source, box) == seam[box.slices]).all()


def test_the_seam_is_what_lies_near_pixels_of_both_grids(two_grids):
    source = probe_field(two_grids[0])
    owner = mosaics.owners(source.bands[0], source.wcs, source.box)
    seam = mosaics.seams(source, source.box)
    border = []
    for (y, x), mine in np.ndenumerate(owner):
        if mine >= 0:
            for there in ((y + 1, x), (y, x + 1), (y - 1, x), (y, x - 1)):
                inside = 0 <= there[0] < owner.shape[0] and 0 <= there[1] < owner.shape[1]
                if inside and owner[there] >= 0 and owner[there] != mine:
                    border.append((y, x))
                    break
    assert border
    rows, columns = np.array(border).T
    y, x = np.indices(owner.shape)
    near = np.zeros(owner.shape, bool)
    for row, column in zip(rows, columns, strict=True):
        near |= (y - row) ** 2 + (x - column) ** 2 <= 25
    assert (seam == near).all()
    assert seam.mean() < 0.2


def test_seams_are_in_the_mask_and_survive_in_a_store(two_grids, tmp_path):
    described, _ = two_grids
    content = {"recipe": "diego2026", "view": "off", "mask": {"edge": 0.2}}
    fields = [
        {"name": "a", "seam": 0.15, "bands": {"F": [one.sci for one in described.bands["F"].every_mosaic]}}
    ]
    config = resolve({**content, "fields": fields})
    with pytest.raises(ConfigError, match=r"ingest: never.*mosaics on different grids"):
        needs_store(examine(config).sources[0], "never")
    run = running.run(config, tmp_path / "run", workers=0, until="catalogue")
    source = probe_field(described)
    seam = mosaics.seams(source, source.box)
    assert (((run.field("a").mask.values & 32) != 0) == seam).all()
    again = resolve(
        {**content, "fields": [{"name": "a", "store": str(tmp_path / "run" / "store" / "a.zarr")}]}
    )
    second = running.run(again, tmp_path / "again", workers=0, until="catalogue")
    assert second.field("a").mask.values.tobytes() == run.field("a").mask.values.tobytes()
    assert (tmp_path / "again/catalogue.parquet").read_bytes() == (
        tmp_path / "run/catalogue.parquet"
    ).read_bytes()


def test_interpolation_is_exact_for_polynomials_and_copies_at_whole_pixels():
    draw = np.random.default_rng(4)
    y, x = np.indices((20, 24), dtype=float)
    powers = draw.normal(size=(6, 6)) / 10 ** np.add.outer(np.arange(6), np.arange(6))

    def surface(y, x):
        return np.polynomial.polynomial.polyval2d(y - 10, x - 12, powers)

    image = surface(y, x).astype(np.float32)
    yy, xx = draw.uniform(3, 15, (5, 7)), draw.uniform(3, 18, (5, 7))
    np.testing.assert_allclose(interpolated(image, yy, xx), surface(yy, xx), rtol=2e-5, atol=2e-5)
    assert (interpolated(image, y, x)[2:-3, 2:-3] == image[2:-3, 2:-3]).all()
    image[9, 9] = np.nan
    lost = np.isnan(interpolated(image, y + 0.25, x + 0.25))[2:-4, 2:-4]
    assert lost.sum() == 36
    assert np.isnan(interpolated(image, np.array([[1e300, np.nan]]), np.array([[3.0, 3.0]]))).all()
    assert nearest(image, np.array([[3.4, -0.6]]), np.array([[7.6, 2.0]])).tolist()[0][0] == image[3, 8]
    assert np.isnan(nearest(image, np.array([[-0.6]]), np.array([[2.0]])))


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        ({"CRVAL1": 151.4}, GridError, "fill only"),
        ({"CRVAL1": 330.1}, GridError, "too far from"),
        (
            {"CD1_1": -2 * SCALE / 3600, "CD2_2": 2 * SCALE / 3600},
            GridError,
            "2.00 times as wide.*photometry.bands",
        ),
    ],
)
def test_mosaics_that_are_not_one_field_are_refused(tmp_path, second, error, message):
    paths = [
        write(tmp_path / "0.fits", np.ones((40, 40)), 1.0),
        write(tmp_path / "1.fits", np.ones((40, 40)), 1.0, **second),
    ]
    with pytest.raises(error, match=message) as caught:
        probe_field(field(*paths))
    assert "\n" not in str(caught.value)


def test_mosaics_with_and_without_weights_or_packed_are_refused(tmp_path):
    first = write(tmp_path / "0.fits", np.ones((40, 40)), 1.0)
    with fits.open(first) as hdus:
        fits.PrimaryHDU(hdus[1].data, hdus[1].header).writeto(tmp_path / "1.fits")
        hdus.writeto(tmp_path / "2.fits.gz")
    with pytest.raises(InputError, match=r"1.fits .*mosaics.0.*has sci, but .* has sci, wht"):
        probe_field(field(first, str(tmp_path / "1.fits")))
    with pytest.raises(InputError, match=r"gunzip"):
        probe_field(field(first, str(tmp_path / "2.fits.gz")))


def test_a_list_is_short_for_a_mapping():
    listed = field("x.fits", "y.fits").bands["F"]
    assert listed == field_of({"sci": "x.fits", "mosaics": [{"sci": "y.fits"}]})
    assert listed == field_of([{"sci": "x.fits"}, "y.fits"])
    assert [one.sci for one in listed.every_mosaic] == ["x.fits", "y.fits"]
    for wrong, message in (([], "is empty"), ({"sci": "x", "mosaics": "y"}, "give a list"), ([3], "F")):
        with pytest.raises(ConfigError, match=message):
            field_of(wrong)
    with pytest.raises(ConfigError, match=r"mosaics.0.weight: unknown key.*valid: sci, err, wht, zero_point"):
        field_of(["x", {"sci": "y", "weight": "z"}])


def field_of(band):
    content = {"recipe": "diego2026", "fields": [{"name": "a", "bands": {"F": band}}]}
    return resolve(content).fields[0].bands["F"]
