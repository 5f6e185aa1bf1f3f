"""The output of `simulate`: the same bytes for any tiling, files that other programs can read, clear refusals."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tilegc import config
from tilegc.errors import ConfigError, ConvergenceError, InputError, RunFolderError
from tilegc.simulation import make as making
from tilegc.simulation import simulate
from tilegc.simulation.mass import AnalyticMass
from tilegc.simulation.objects import KINDS

SMALL = {"preset": "tiny", "size": (150, 110)}


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mock") / "tiny"
    assert simulate(folder, preset="tiny", seed=1) == folder / "run.yaml"
    return folder


@pytest.mark.parametrize("layout", ["i2d", "grizli"])
def test_same_bytes_for_any_tile(tmp_path, layout):
    for tile in (64, 300, 37):
        simulate(tmp_path / str(tile), **SMALL, layout=layout, tile=tile)
    whole = digests(tmp_path / "300")
    assert len(whole) == 3 + 8 * (1 if layout == "i2d" else 2)
    assert digests(tmp_path / "64") == whole
    assert digests(tmp_path / "37") == whole


def test_same_bytes_for_any_tile_with_a_psf_file(tmp_path):
    yy, xx = np.indices((81, 81)) - 40.2
    image = np.exp(-0.5 * (yy**2 + xx**2) / 2.0**2) + 2e-4 * np.exp(-np.hypot(yy, xx) / 15.0)
    fits.PrimaryHDU(image, fits.Header({"PIXSCL": 0.015})).writeto(tmp_path / "psf.fits")
    for tile in (41, 300):
        simulate(
            tmp_path / str(tile),
            **SMALL,
            bands=["F090W", "F150W"],
            psf={"F150W": tmp_path / "psf.fits"},
            tile=tile,
        )
    assert digests(tmp_path / "41") == digests(tmp_path / "300")


def test_seed_changes_everything_that_is_random(tmp_path):
    for seed in (1, 2):
        simulate(tmp_path / str(seed), **SMALL, seed=seed)
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert {name for name in one if one[name] == two[name]} == {"kappa.fits", "run.yaml"}


def test_a_band_does_not_depend_on_the_others(tmp_path):
    simulate(tmp_path / "all", **SMALL)
    simulate(tmp_path / "one", **SMALL, bands=["F150W"])
    name = "a_f150w_i2d.fits"
    assert digests(tmp_path / "all")[name] == digests(tmp_path / "one")[name]
    assert "flux_F150W" in pq.read_schema(tmp_path / "one" / "truth.parquet").names


def test_i2d_files_are_as_the_pipeline_writes_them(mock):
    for field in "ab":
        with fits.open(mock / f"{field}_f150w_i2d.fits") as hdus:
            assert [h.name for h in hdus] == ["PRIMARY", "SCI", "ERR", "WHT"]
            assert hdus[0].header["FILTER"] == "F150W"
            assert all("DATE" not in h.header for h in hdus)
            sci, err, wht = (hdus[n].data for n in ("SCI", "ERR", "WHT"))
            assert {a.dtype.str for a in (sci, err, wht)} == {">f4"}
            header = hdus["SCI"].header
            assert header["BUNIT"] == "MJy/sr"
            assert header["PIXAR_SR"] == pytest.approx(2.1154e-14, rel=1e-3)
            assert {hdus[n].header["CRVAL1"] for n in ("SCI", "ERR", "WHT")} == {342.18322}
            empty = np.isnan(sci)
            assert 0.0 < empty.mean() < 0.1
            assert (np.isnan(err) == empty).all()
            assert ((wht == 0.0) == empty).all()
            assert (err[~empty] >= 0.9999 / np.sqrt(wht[~empty])).all()


def test_truth_lies_where_the_mosaic_says(mock):
    truth = pq.read_table(mock / "truth.parquet").to_pydict()
    assert truth["id"] == list(range(len(truth["id"])))
    assert set(truth["kind"]) == set(KINDS)
    kind, field = np.array(truth["kind"]), np.array(truth["field"])
    assert set(field) == {"a", "b", ""}
    x, y = np.array(truth["x"]), np.array(truth["y"])
    assert (np.isnan(x) == (field == "")).all()
    flux = np.array(truth["flux_F150W"])
    np.testing.assert_allclose(flux, 10.0 ** (-0.4 * (np.array(truth["mag_f150w"]) - 31.4)), rtol=1e-9)
    with fits.open(mock / "b_f150w_i2d.fits") as hdus:
        header, image = hdus["SCI"].header, hdus["SCI"].data / (1e-15 / hdus["SCI"].header["PIXAR_SR"])
    here = field == "b"
    wx, wy = WCS(header).wcs_world2pix(np.array(truth["ra"])[here], np.array(truth["dec"])[here], 0)
    np.testing.assert_allclose([wx, wy], [x[here], y[here]], atol=1e-5)
    # a lone bright point source stands where it should
    points = np.flatnonzero(
        here & np.isin(kind, ["gc", "background_point"]) & (np.array(truth["mag_f150w"]) < 28)
    )
    assert len(points)
    hits = 0
    for n in points:
        i, j = round(x[n]), round(y[n])
        stamp = image[max(j - 4, 0) : j + 5, max(i - 4, 0) : i + 5]
        hits += bool(np.nanmax(stamp) == np.nanmax(stamp[3:6, 3:6]))
    assert hits > 0.8 * len(points)
    radius = np.array(truth["r_e"])
    disks = kind == "background_extended"
    assert ((radius[disks] >= 1.0) & (radius[disks] <= 3.5)).all()
    assert (radius[np.isin(kind, ["gc", "star", "background_point"])] == 0.0).all()


def test_grizli_layout_holds_the_same_sky(tmp_path):
    simulate(tmp_path / "i2d", **SMALL)
    simulate(tmp_path / "drc", **SMALL, layout="grizli")
    with fits.open(tmp_path / "i2d" / "a_f200w_i2d.fits") as hdus:
        nanojansky = hdus["SCI"].data / (1e-15 / hdus["SCI"].header["PIXAR_SR"])
    sci = fits.getdata(tmp_path / "drc" / "a_f200w_drc_sci.fits.gz")
    wht = fits.getdata(tmp_path / "drc" / "a_f200w_drc_wht.fits.gz")
    header = fits.getheader(tmp_path / "drc" / "a_f200w_drc_sci.fits.gz")
    assert header["BUNIT"] == "10.0*nanoJansky"
    assert "DATE" not in header
    empty = wht == 0.0
    assert (empty == np.isnan(nanojansky)).all()
    assert (sci[empty] == 0.0).all()
    np.testing.assert_allclose(10.0 * sci[~empty], nanojansky[~empty], rtol=1e-5, atol=1e-6)
    wcs = WCS(header)
    assert wcs.proj_plane_pixel_scales()[0].to_value("arcsec") == pytest.approx(0.03)
    with fits.open(tmp_path / "i2d" / "a_f200w_i2d.fits") as hdus:
        other = WCS(hdus["SCI"].header)
    np.testing.assert_allclose(wcs.wcs_pix2world(10, 20, 0), other.wcs_pix2world(10, 20, 0), atol=1e-10)


def test_run_file_is_one(mock, tmp_path):
    for folder, layout in ((mock, "i2d"), (tmp_path / "drc", "grizli")):
        if layout == "grizli":
            simulate(folder, **SMALL, layout=layout)
        read = config.load(folder / "run.yaml")
        assert read.recipe == "diego2026"
        assert [f.name for f in read.fields] == ["a", "b"]
        assert "truth: truth.parquet" in (folder / "run.yaml").read_text()


def test_kappa_is_what_was_planted(mock):
    data, header = fits.getdata(mock / "kappa.fits"), fits.getheader(mock / "kappa.fits")
    assert header["ZSOURCE"] == 3.0
    x, y = WCS(header).wcs_world2pix(342.18322, -44.53091, 0)
    assert data[round(float(y)), round(float(x))] == pytest.approx(
        float(AnalyticMass().kappa(np.zeros(1), np.zeros(1))[0]), rel=1e-6
    )


def write_kappa(path, *, ra=342.18322, dec=-44.53091, value=0.5):
    n = 101
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"], header["CRPIX2"] = 51.0, 51.0
    header["CRVAL1"], header["CRVAL2"] = ra, dec
    header["CDELT1"], header["CDELT2"] = -1.0 / 3600, 1.0 / 3600
    yy, xx = np.indices((n, n)) - 50
    fits.PrimaryHDU((value - 1e-4 * np.hypot(yy, xx)).astype(np.float32), header).writeto(
        path, overwrite=True
    )
    return path


def planted(folder):
    truth = pq.read_table(folder / "truth.parquet").to_pydict()
    mine = (np.array(truth["kind"]) == "gc") & (np.array(truth["field"]) == "a")
    return int((mine & (np.array(truth["mag_f150w"]) < 30.9)).sum())


def test_planting_over_a_given_map(tmp_path):
    path = write_kappa(tmp_path / "k.fits", value=1.0)
    simulate(tmp_path / "s1", preset="tiny", kappa=path, kappa_lens_scaling=1.0, bands=["F150W"])
    simulate(tmp_path / "s3", preset="tiny", kappa=path, kappa_source_redshift=3.0, bands=["F150W"])
    area = (512 * 0.03) ** 2
    for folder, kappa in (("s1", 0.7847), ("s3", 1.0)):
        expected = (kappa / 0.4) ** (1 / 0.7) * area
        assert planted(tmp_path / folder) == pytest.approx(expected, abs=4.0 * expected**0.5)
        assert "source_redshift: 3.0" in (tmp_path / folder / "run.yaml").read_text()
        np.testing.assert_allclose(
            np.nanmax(fits.getdata(tmp_path / folder / "kappa.fits")), kappa, rtol=1e-4
        )
    far = write_kappa(tmp_path / "far.fits", ra=3.58, dec=-30.4)
    simulate(tmp_path / "far", **SMALL, kappa=far, kappa_source_redshift=9.0)
    assert config.load(tmp_path / "far" / "run.yaml").cluster.ra == pytest.approx(3.58, abs=1e-3)


def test_the_real_as1063_map(real_data, tmp_path):
    path = real_data / "kappa" / "hff_williams_v4_abells1063_kappa_derived.fits.gz"
    simulate(tmp_path / "as", **SMALL, kappa=path, kappa_lens_scaling=1.0)
    assert config.load(tmp_path / "as" / "run.yaml").convergence is not None
    assert planted(tmp_path / "as") > 50


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"preset": "huge"}, ConfigError, "preset: .*tiny, small, as1063"),
        ({"layout": "flat"}, ConfigError, "layout: .*i2d, grizli"),
        ({"bands": ["F277W"]}, ConfigError, "bands: .*F090W"),
        ({"bands": []}, ConfigError, "bands: "),
        ({"bands": ["F150W", "F150W"]}, ConfigError, "bands: "),
        ({"size": 3}, ConfigError, "size: "),
        ({"size": (100, 100, 100)}, ConfigError, "size: "),
        ({"seed": -1}, ConfigError, "seed: "),
        ({"tile": 0}, ConfigError, "tile: "),
        ({"size": 5_000_000}, InputError, "the mosaics need"),
        ({"kappa": "absent.fits", "kappa_lens_scaling": 1.0}, InputError, "absent.fits: .*no such file"),
        ({"kappa": "absent.fits"}, ConvergenceError, "exactly one"),
        ({"kappa_lens_scaling": 1.0}, ConfigError, "give kappa too"),
        ({"kappa": "k", "kappa_lens_scaling": "much"}, ConfigError, "kappa_lens_scaling: "),
        ({"psf": {"F444W": "p.fits"}}, ConfigError, "psf: "),
        ({"psf": {"F150W": "p.fits"}}, InputError, "p.fits does not exist"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(tmp_path, options, error, words):
    with pytest.raises(error, match=words) as caught:
        simulate(tmp_path / "mock", **{**SMALL, **options})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mock").exists()


def test_a_kappa_map_without_wcs_is_refused(tmp_path):
    fits.PrimaryHDU(np.ones((20, 20))).writeto(tmp_path / "bare.fits")
    with pytest.raises(ConvergenceError, match="no celestial WCS"):
        simulate(tmp_path / "mock", **SMALL, kappa=tmp_path / "bare.fits", kappa_lens_scaling=1.0)


def test_a_folder_with_something_in_it_needs_overwrite(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        simulate(tmp_path, **SMALL)
    with pytest.raises(RunFolderError, match="is a file"):
        simulate(tmp_path / "notes.txt", **SMALL)
    simulate(tmp_path, **SMALL, overwrite=True)
    first = digests(tmp_path)
    simulate(tmp_path, **SMALL, overwrite=True)
    assert digests(tmp_path) == first
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("layout", ["i2d", "grizli"])
def test_a_failure_leaves_nothing_behind(tmp_path, layout, monkeypatch):
    class DiskError(Exception):
        pass

    def fail(*_):
        raise DiskError

    monkeypatch.setattr(making, "truth_table", fail)
    with pytest.raises(DiskError):
        simulate(tmp_path / "mock", **SMALL, layout=layout)
    assert not (tmp_path / "mock").exists()

    def stop(done, _total, _label):
        if done == 2:
            raise DiskError

    with pytest.raises(DiskError):
        simulate(tmp_path / "mock", **SMALL, layout=layout, tile=64, progress=stop)
    assert not (tmp_path / "mock").exists()


def test_progress_counts_tiles(tmp_path):
    seen = []
    simulate(tmp_path / "m", **SMALL, tile=64, progress=lambda *told: seen.append(told))
    total = 3 * 3 + 2 * 2
    assert [done for done, _, _ in seen] == list(range(1, total + 1))
    assert {t for _, t, _ in seen} == {total}
    assert {label for _, _, label in seen} == {"field a", "field b"}
