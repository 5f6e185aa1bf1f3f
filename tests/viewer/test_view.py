"""The viewer: bytes of images, pyramids, columns, and the page in a browser, from a file and from the server."""

import base64
import io
import json
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image
from regions import PixCoord, Regions

import tilegc
from tests.support import chromium, mock
from tests.support.command import tilegc as command
from tilegc import viewer
from tilegc.engine import SerialEngine
from tilegc.errors import ConfigError, RunFolderError
from tilegc.geometry import Box
from tilegc.run_folder.layout import is_ours
from tilegc.viewer import aladin, layers, overlays, phase, pyramid, residuals
from tilegc.viewer.halving import halved


def value_of(path):
    """Return what a script of the viewer hands to the page, and under which key."""
    text = path.read_text().strip()
    key, value = json.loads("[" + text.removeprefix("Sky.put(").removesuffix(")") + "]")
    return key, value


def image_of(path):
    _, value = value_of(path)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(value["data"]))))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    run_file = mock.write_inputs(folder, view="auto", photometry={"apertures": []})
    return tilegc.run(run_file, folder / "run", workers=0)


def test_codes_are_the_values_again():
    encoding = layers.Encoding(zero=0.1, scale=0.02, low=-2.5, high=8.0, black=0.1, white=0.6)
    values = np.float32(0.1 + 0.02 * np.sinh(np.linspace(-2.5, 8.0, 1001)))
    codes = layers.encode(values, encoding)
    assert codes.min() == 1
    assert codes.max() == 255
    back = 0.1 + 0.02 * np.sinh(-2.5 + (codes.astype(float) - 1) / 254 * 10.5)
    step = 10.5 / 254
    assert np.abs(np.arcsinh((back - 0.1) / 0.02) - np.linspace(-2.5, 8.0, 1001)).max() <= 0.51 * step
    assert layers.encode(np.float32([np.nan, -9.0, 1e9]), encoding).tolist() == [0, 1, 255]


def test_halves_are_means_of_what_has_data_and_unions_of_bits():
    image = np.float32([[1, 2, 5], [3, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(halved(image), np.float32([[2, 5], [np.nan, np.nan]]))
    bits = np.uint8([[1, 2, 4], [0, 8, 0], [16, 0, 0]])
    assert halved(bits).tolist() == [[11, 4], [16, 0]]


@pytest.mark.parametrize("shape", [(700, 1300), (512, 512), (4100, 900)])
def test_every_level_covers_the_field(tmp_path, monkeypatch, shape):
    """Any level, put together, is the mask reduced directly; blocks and the driver write different levels."""
    bits = np.random.default_rng(4).integers(0, 2, shape).astype(np.uint8) << 3
    monkeypatch.setattr(
        pyramid, "read_layers", lambda layers, box, model: [bits[box.y0 : box.y1, box.x0 : box.x1]]
    )
    layer = layers.Layer(
        field="a", name="mask", label="", kind="mask", ramp="", unit="", shape=shape, store=""
    )
    pyramid.write_pyramids(tmp_path, [[(layer, None)]], SerialEngine())
    for level in range(pyramid.levels(shape)):
        side = 2**level
        padded = np.pad(bits, [(0, -size % side) for size in shape])
        rows, columns = (size // side for size in padded.shape)
        expected = np.bitwise_or.reduce(padded.reshape(rows, side, columns, side), axis=(1, 3))
        built = np.zeros_like(expected)
        for path in (tmp_path / "tiles" / "a" / "mask" / str(level)).iterdir():
            y, x = (int(part) * pyramid.TILE for part in path.stem.split("_"))
            tile = image_of(path)
            built[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        np.testing.assert_array_equal(built, expected)
    assert max(expected.shape) <= pyramid.TILE


@pytest.mark.parametrize("kind", ["mask", "band"])
def test_tiles_as_webp_are_those_of_the_scripts(tmp_path, monkeypatch, kind):
    draw = np.random.default_rng(5)
    image = draw.integers(0, 256, (700, 600)).astype(np.uint8)
    encoding = None
    if kind == "band":
        image = draw.normal(0, 1, (700, 600)).astype(np.float32)
        encoding = layers.Encoding(zero=0.0, scale=1.0, low=-2.8, high=8.3, black=0.1, white=0.6)
    monkeypatch.setattr(
        pyramid, "read_layers", lambda layers, box, model: [image[box.y0 : box.y1, box.x0 : box.x1]]
    )
    layer = layers.Layer(
        field="a", name="one", label="", kind=kind, ramp="", unit="", shape=image.shape, store=""
    )
    pyramid.write_pyramids(tmp_path, [[(layer, encoding)]], SerialEngine(), webp=True)
    found = sorted((tmp_path / "tiles" / "a" / "one").rglob("*.webp"))
    assert len(found) == 5
    for path in found:
        assert is_ours(f"view/{path.relative_to(tmp_path)}", ["a"])
        tile, same = np.asarray(Image.open(path).convert("L"), int), image_of(path.with_suffix(".js"))
        assert tile.shape == same.shape
        assert np.sqrt(np.mean((tile - same) ** 2.0)) <= (0 if kind == "mask" else 7)


def test_columns_are_those_of_the_catalogue(run):
    _, description = value_of(run.path / "view" / "run.js")
    catalogue = run.catalogue
    for field in description["fields"]:
        rows = np.asarray(catalogue["field"]).astype(str) == field["name"]
        assert field["n_sources"] == rows.sum()
        assert [column["name"] for column in field["columns"]] == catalogue.colnames
        for name in catalogue.colnames:
            key, packed = value_of(run.path / "view" / "sources" / field["name"] / f"{name}.js")
            assert key == f"sources/{field['name']}/{name}"
            expected = np.asarray(catalogue[name])[rows]
            if "texts" in packed:
                assert packed["texts"] == list(expected.astype(str))
            else:
                found = np.frombuffer(base64.b64decode(packed["data"]), "<" + packed["dtype"])
                np.testing.assert_array_equal(found, expected)


def test_rows_are_those_of_the_catalogue(tmp_path, run, monkeypatch):
    """The tables behind a click, in blocks of which the last is not full."""
    monkeypatch.setattr(overlays, "ROWS", 7)
    catalogue = run.catalogue
    rows = np.asarray(catalogue["field"]).astype(str) == "a"
    assert overlays.write_sources(tmp_path, catalogue, "a") == rows.sum() > 21
    kinds = {name: np.asarray(catalogue[name]).dtype.kind for name in catalogue.colnames}
    written = [name for name, kind in kinds.items() if kind in "OUS"]
    texts, numbers = {name: [] for name in written}, []
    for number in range(-(-rows.sum() // 7)):
        _, block = value_of(tmp_path / "sources" / "a" / "rows" / f"{number}.js")
        for name, some in zip(written, block["texts"], strict=True):
            texts[name] += some
        numbers.append(np.frombuffer(base64.b64decode(block["data"])))
    assert texts == {name: list(np.asarray(catalogue[name])[rows].astype(str)) for name in written}
    assert texts["field"] == ["a"] * rows.sum()
    names = [name for name in kinds if name not in written]
    table = np.concatenate(numbers).reshape(-1, len(names))
    for column, name in enumerate(names):
        np.testing.assert_array_equal(table[:, column], np.asarray(catalogue[name], float)[rows])


def test_a_band_is_seen_in_its_tiles(run):
    _, description = value_of(run.path / "view" / "run.js")
    field = description["fields"][0]
    band = next(layer for layer in field["layers"] if layer["kind"] == "band")
    source = layers._source(run, field["name"], "", ingested=False)
    pixels = layers.read_layers(
        [layers.layers_of(run, field["name"])[0]], Box(0, 0, *source.shape).clip(Box(0, 0, 512, 512))
    )[0]
    codes = image_of(run.path / "view" / "tiles" / field["name"] / band["name"] / "0" / "0_0.js").astype(
        float
    )
    encoding = layers.Encoding(
        **{key: band[key] for key in ("zero", "scale", "low", "high", "black", "white")}
    )
    expected = layers.encode(pixels, encoding).astype(float)
    inside = np.isfinite(pixels)
    # A code is 0.04 of the noise near the sky: JPEG may take a quarter of it away.
    assert np.sqrt(np.mean((codes - expected)[inside] ** 2)) < 6.0


def test_the_light_of_the_sources_is_that_of_their_stamps(run):
    """Compared with stamps added one by one to the field, for any window."""
    model = residuals.model_of(run, "a")
    assert model.bands == mock.BANDS
    candidates = run.candidates
    rows = np.asarray(candidates["field"]).astype(str) == "a"
    shape = run.field("a")["mask"].shape
    for number, band in enumerate(model.bands):
        psf, expected = model.psfs[number], np.zeros([side + 100 for side in shape])
        for y, x, flux in zip(
            *(np.asarray(candidates[name])[rows] for name in ("y", "x", f"flux_{band}")), strict=True
        ):
            row, column = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
            stamp = flux * psf.image(y - row, x - column)
            expected[
                row + 50 - psf.radius : row + 51 + psf.radius,
                column + 50 - psf.radius : column + 51 + psf.radius,
            ] += stamp
        for box in (Box(0, 0, *shape), Box(17, 23, 60, 71)):
            whole = expected[50 + box.y0 : 50 + box.y1, 50 + box.x0 : 50 + box.x1]
            np.testing.assert_allclose(
                model.near(box).light(band, box), whole, rtol=0, atol=1e-9 * whole.max()
            )
        assert expected.max() > 1


def test_a_residual_is_the_band_without_its_sources(run):
    model, box = residuals.model_of(run, "a"), Box(0, 0, 96, 88)
    shown = layers.layers_of(run, "a", model.bands)
    images = {
        layer.name: image for layer, image in zip(shown, layers.read_layers(shown, box, model), strict=True)
    }
    for band in mock.BANDS:
        left = images[band] - model.light(band, box)
        np.testing.assert_allclose(images[f"residual-{band}"], left, rtol=1e-5, atol=1e-5)
        y, x = (
            np.asarray(run.catalogue[axis])[run.catalogue["field"] == "a"] for axis in ("y_peak", "x_peak")
        )
        assert np.nanmedian(images[f"residual-{band}"][y, x]) < 0.7 * np.nanmedian(images[band][y, x])
    encodings = dict(zip((layer.name for layer in shown), layers.encodings_of(shown), strict=True))
    assert encodings["residual-F150W"] == encodings["F150W"]


def test_without_photometry_there_are_no_residuals(run, monkeypatch):
    plain = run.candidates[["id", "field", "x", "y"]]
    monkeypatch.setattr(type(run), "candidates", plain)
    assert residuals.model_of(run, "a") is None


def test_a_run_writes_it_and_vouches_for_it(run):
    assert "view" in run.manifest["products"]
    assert "view" in mock.logged_passes(run)
    assert 'href="view/index.html"' in (run.path / "report.html").read_text()
    assert tilegc.verify(run.path) == []
    path = run.path / "view" / "run.js"
    before = path.read_bytes()
    path.write_bytes(before + b"//")
    assert tilegc.verify(run.path) == ["view: has changed"]
    path.write_bytes(before)


@pytest.mark.parametrize(
    ("setting", "pixels", "expected"), [("auto", 1e8, True), ("auto", 1.1e8, False), ("off", 1, False)]
)
def test_when_a_run_writes_it(run, setting, pixels, expected):
    assert phase.wanted(run.config.model_copy(update={"view": setting}), pixels) is expected


def test_the_command_writes_files_that_belong_to_the_run_and_need_no_network(run):
    page = run.path / "view" / "index.html"
    done = command("view", run.path, "--write-only")
    assert done.code == 0, done.err
    assert done.out.strip() == str(page)
    assert tilegc.verify(run.path) == []
    files = [path for path in page.parent.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert all(is_ours(str(path.relative_to(run.path)), run.fields) for path in files)
    assert not is_ours("view/notes.txt", run.fields)
    text = "".join(path.read_text() for path in files if path.parent == page.parent)
    assert "http://" not in text
    assert "https://" not in text


@pytest.fixture(scope="module")
def address(run):
    addresses = []
    options = {"ready": addresses.append, "pixels": viewer.exact_pixels(run)}
    threading.Thread(
        target=viewer.serve, args=(Path(run.path) / "view",), kwargs=options, daemon=True
    ).start()
    end = time.monotonic() + 30
    while not addresses and time.monotonic() < end:
        time.sleep(0.02)
    return addresses[0]


def test_the_server_serves_the_folder_on_the_loopback_address_alone(address):
    assert address.startswith("http://127.0.0.1:")
    with closing(urlopen(address)) as answer:
        assert b"tilegc viewer" in answer.read()
    for path in ("../summary.json", "%2e%2e/summary.json"):
        with pytest.raises(HTTPError, match="404"):
            urlopen(address + path)
    stranger = Request(address, headers={"Host": "elsewhere.example:80"})
    with pytest.raises(HTTPError, match="403"):
        urlopen(stranger)


def test_the_server_knows_exact_pixels(address, run):
    def asked(layer, box, field="a"):
        query = f"field={field}&layer={layer}&" + "&".join(
            f"{key}={at}" for key, at in zip(("y0", "x0", "y1", "x1"), box, strict=True)
        )
        with closing(urlopen(f"{address}pixels?{query}")) as answer:
            return np.frombuffer(answer.read(), "<f4").reshape(box[2] - box[0], box[3] - box[1])

    with closing(urlopen(f"{address}exact.js")) as answer:
        assert b"true" in answer.read()
    box = (17, 23, 60, 71)
    field = run.field("a")
    for name in ("detection", "density", "mask"):
        expected = field[name].values[box[0] : box[2], box[1] : box[3]]
        np.testing.assert_array_equal(asked(name, box), expected.astype(np.float32))
    science = fits.getdata(run.config.fields[0].bands["F150W"].sci, "SCI")[17:60, 23:71] * mock.NJY
    np.testing.assert_allclose(asked("F150W", box), science, rtol=1e-6)
    light = residuals.model_of(run, "a").light("F150W", Box(*box))
    np.testing.assert_allclose(asked("residual-F150W", box), science - light, rtol=1e-5, atol=1e-5)
    for wrong in (("none", box), ("mask", (0, 0, 5, 5000)), ("mask", (-1, 0, 5, 5)), ("mask", (5, 5, 5, 9))):
        with pytest.raises(HTTPError, match="400"):
            asked(*wrong)
    with pytest.raises(HTTPError, match="400"):
        asked("mask", box, "c")


PEAKS = """[...document.querySelectorAll("#cutouts > div")].slice(0, 2).map((row) => {
  const middle = (canvas) => canvas.getContext("2d").getImageData(20, 20, 1, 1).data[0];
  const [image, model, left] = [...row.querySelectorAll("canvas")].map(middle);
  return model > left && image >= left;
})"""
"""Whether the middle of the model is brighter than that of the residual, by band."""


def test_hips_and_moc_for_aladin(run, tmp_path):
    """The tiles hold the detection map where it is on the sky, and the MOC the searched area."""
    mocpy = pytest.importorskip("mocpy")
    path, moc = tmp_path / "hips", tmp_path / "moc.fits"
    written = aladin.write_hips(run, path, ["detection"])
    assert [one.name for one in written] == ["a_detection", "b_detection"]
    properties = dict(
        line.split("=", 1) for line in (written[0] / "properties").read_text().splitlines() if "=" in line
    )
    properties = {key.strip(): value.strip() for key, value in properties.items()}
    assert properties["hips_frame"] == "equatorial"
    tiles = list((written[0] / f"Norder{properties['hips_order']}").rglob("*.fits"))
    detection = run.field("a")["detection"].values
    compared = 0
    for tile in tiles:
        image, header = fits.getdata(tile, header=True)
        y, x = np.nonzero(np.isfinite(image))
        column, row = WCS(mock.header("a")).world_to_pixel(WCS(header).pixel_to_world(x, y))
        near = detection[np.rint(row).astype(int), np.rint(column).astype(int)]
        assert np.corrcoef(image[y, x][np.isfinite(near)], near[np.isfinite(near)])[0, 1] > 0.9
        compared += x.size
    assert compared > 2000
    with pytest.raises(RunFolderError, match="already exists"):
        aladin.write_hips(run, path)
    with pytest.raises(ConfigError, match="no image 'mask'; choose one of F090W, F150W, detection"):
        aladin.write_hips(run, tmp_path / "other", ["mask"])
    done = command("export", run.path, "moc", "-o", moc)
    assert done.code == 0, done.err
    covered = mocpy.MOC.from_fits(str(moc))
    ra, dec = (np.array(run.catalogue[axis]) * units.deg for axis in ("ra", "dec"))
    assert covered.contains_lonlat(ra, dec).mean() > 0.95
    assert not covered.contains_lonlat(ra + 1 * units.deg, dec).any()


REGIONS = """fk5
circle(342.18322,-44.53091,4.5") # text={core}
ellipse(22:48:43.9728,-44:31:51.276,6",3",30) ; box(342.184d,-44.532d,5",2",20)
-polygon(342.183,-44.531,342.184,-44.531,342.184,-44.530)
image
circle(40,50,6)
"""


def outlines_of(field):
    """Return the outlines of these regions in pixels, as the package `regions` has them."""
    frame = WCS(mock.header(field))
    found = []
    for region in Regions.parse(REGIONS, format="ds9"):
        pixel = region.to_pixel(frame) if hasattr(region, "to_pixel") else region
        found.append(pixel)
    return found


@pytest.mark.skipif(chromium.missing() is not None, reason=str(chromium.missing()))
def test_the_page_from_a_server(run, address):
    """With exact pixels in the cut-outs and under the pointer, and DS9 regions where `regions` puts them."""
    with chromium.browser() as page:
        page.open(f"{address}#id={run.catalogue['id'][3]}")
        page.wait("document.documentElement?.dataset?.ready === '1'")
        page.wait("document.documentElement.dataset.cutouts")
        assert page.run("document.documentElement.getAttribute('data-selected-id')") == str(
            run.catalogue["id"][3]
        )
        assert page.run("document.documentElement.dataset.exact") == "1"
        assert page.run(PEAKS) == [True, True]
        field = page.run("state.field.name")
        page.run("showLayer('detection')")
        page.run("pixelTexts(30, 40)")
        page.wait("pixelTexts(30, 40).length")
        shown = page.run("pixelTexts(30, 40)")[0]
        assert float(shown.split()[0]) == pytest.approx(
            float(run.field(field)["detection"].values[40, 30]), rel=1e-5
        )
        page.run(f"openRegions(new File([{json.dumps(REGIONS)}], 'own.reg'))")
        page.wait("state.field.overlays.some((one) => one.name === 'own-own.reg')")
        drawn = page.run("state.field.overlays.find((one) => one.name === 'own-own.reg').value")
        assert [one["label"] for one in drawn] == ["core", "", "", "", ""]
        assert [one["excluded"] for one in drawn] == [False, False, False, True, False]
        for one, region in zip(drawn, outlines_of(field), strict=True):
            outline = np.array(one["outlines"][0])
            inner = outline.mean(axis=0) + 0.93 * (outline - outline.mean(axis=0))
            outer = outline.mean(axis=0) + 1.07 * (outline - outline.mean(axis=0))
            assert region.contains(PixCoord(*inner.T)).all()
            assert not region.contains(PixCoord(*outer.T)).any()
        page.wait("!state.dirty")
        assert not page.errors


@pytest.mark.skipif(chromium.missing() is not None, reason=str(chromium.missing()))
def test_the_page_in_a_browser(run, tmp_path):
    """From a file: it draws, selects by link with the catalogue's numbers, picks by click, filters, changes layers."""
    page_url = (Path(run.path) / "view" / "index.html").as_uri()
    catalogue = run.catalogue
    row = len(catalogue) // 2
    with chromium.browser() as page:
        page.open(f"{page_url}#id={catalogue['id'][row]}")
        page.wait("document.documentElement?.dataset?.ready === '1'")
        assert page.run("document.documentElement.dataset.sources") == str(len(catalogue))
        assert page.run("document.documentElement.dataset.fields") == ",".join(run.fields)
        page.wait("document.documentElement.hasAttribute('data-selected-id')")
        page.wait("document.documentElement.dataset.cutouts")
        assert (
            page.run("document.documentElement.dataset.cutouts") == "3,3,1"
        )  # image, model, residual; detection map
        assert page.run(PEAKS) == [True, True]
        for name in catalogue.colnames:
            shown = page.run(f"document.documentElement.getAttribute('data-selected-{name}')")
            value = catalogue[name][row]
            value = getattr(value, "value", value)
            if np.asarray(value).dtype.kind in "OUS":
                assert shown == str(value)
            elif np.isfinite(value):
                assert float(shown) == float(value), name
        page.wait("tiles.pending.size === 0")
        lit = ".getContext('2d').getImageData(300, 300, 200, 200).data.some((v) => v > 30 && v < 255)"
        assert page.run("document.getElementById('image')" + lit)
        # A click on a source selects it.
        left, top = page.run(
            "(({ left, top }) => [left, top])(document.getElementById('sky').getBoundingClientRect())"
        )
        x, y = page.run("view.toScreen(state.marks.x[state.selected], state.marks.y[state.selected])")
        x, y = left + x, top + y
        page.run("document.documentElement.removeAttribute('data-selected-id')")
        page.mouse("mousePressed", x, y, button="left", clickCount=1)
        page.mouse("mouseReleased", x, y, button="left", clickCount=1)
        page.wait("document.documentElement.hasAttribute('data-selected-id')")
        # A filter leaves what it says.
        page.run("addFilter('snr')")
        page.wait("state.marks.filters.has('snr')")
        limit = float(np.median(catalogue["snr"]))
        page.run(f"state.marks.filters.get('snr').low = {limit!r}, countPassing()")
        field = page.run("state.field.name")
        here = np.asarray(catalogue["field"]).astype(str) == field
        expected = int((np.asarray(catalogue["snr"])[here] >= limit).sum())
        assert page.run("state.marks.passes.reduce((a, b) => a + b, 0)") == expected
        for layer in page.run("[...document.getElementById('layer').options].map((one) => one.value)"):
            page.run(f"showLayer({layer!r})")
            page.wait("!state.dirty && tiles.pending.size === 0")
        for overlay in [*page.run("state.field.overlays.map((one) => one.name)"), "mask"]:
            page.run(f"state.overlays.add({overlay!r}), fillOverlays(), redraw()")
        page.wait("state.field.overlays.every((one) => one.value)")
        page.run("find('22:48:43.97 -44:31:51')")
        page.run("find(String(state.mesh.radec(60, 40).join(' ')))")
        assert np.hypot(page.run("view.x") - 60, page.run("view.y") - 40) < 0.01
        page.picture(tmp_path / "view.png")
        assert not page.errors
