"""The contract with the user: files, columns, keys, arrays, and empty results."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS
from regions import Regions

from tests.support import mock
from tests.support.command import tilegc
from tilegc import open_run, previews
from tilegc.errors import ConfigError, RunFolderError
from tilegc.prediction import predict
from tilegc.sky import SkyGrid

CANDIDATES = {
    "id": ("int64", ""),
    "field": ("string", ""),
    "y_peak": ("int32", "pix"),
    "x_peak": ("int32", "pix"),
    "y": ("double", "pix"),
    "x": ("double", "pix"),
    "ra": ("double", "deg"),
    "dec": ("double", "deg"),
    "peak": ("float", "nJy"),
    "snr": ("double", ""),
    "radius_arcsec": ("double", "arcsec"),
    "radius_kpc": ("double", "kpc"),
    "purity": ("double", ""),
    "sharpness": ("float", ""),
    "roundness": ("float", ""),
    "concentration": ("float", ""),
    "shape": ("string", ""),
}
INPAINTED = {
    "realisation": ("int32", ""),
    "field": ("string", ""),
    "y": ("int32", "pix"),
    "x": ("int32", "pix"),
    "ra": ("double", "deg"),
    "dec": ("double", "deg"),
}
RELATION = {
    "bin": ("int64", ""),
    "n_lo": ("float64", "1 / arcsec2"),
    "n_hi": ("float64", "1 / arcsec2"),
    "n_boxes": ("int64", ""),
    "n_mean": ("float64", "1 / arcsec2"),
    "kappa_mean": ("float64", ""),
    "kappa_std": ("float64", ""),
}
PER_AREA = ("float64", "1 / arcsec2")
RADIAL = {
    "geometry": ("str", ""),
    "r_lo": ("float64", "arcsec"),
    "r_hi": ("float64", "arcsec"),
    "r_mean": ("float64", "arcsec"),
    "area_arcsec2": ("float64", "arcsec2"),
    "n_gc": ("int64", ""),
    "n_per_arcsec2": PER_AREA,
    "n_err": PER_AREA,
    "n_corrected": PER_AREA,
    "n_corrected_err": PER_AREA,
    "kappa": ("float64", ""),
    "kappa_err": ("float64", ""),
    "light": ("float64", "nJy arcsec-2"),
    "rho": ("float64", ""),
}
MASSES = {
    "quantity": ("str", ""),
    "value": ("float64", ""),
    "err": ("float64", ""),
    "unit": ("str", ""),
    "arithmetic": ("str", ""),
}
CONTAMINATION = {
    "component": ("str", ""),
    "per_arcsec2": PER_AREA,
    "per_arcsec2_err": PER_AREA,
    "per_kpc2": ("float64", "1 / kpc2"),
    "per_kpc2_err": ("float64", "1 / kpc2"),
    "factor": ("float64", ""),
    "factor_err": ("float64", ""),
    "how": ("str", ""),
}
PROFILE = {
    "field": ("str", ""),
    "r_lo": ("float64", "arcsec"),
    "r_hi": ("float64", "arcsec"),
    "area_arcsec2": ("float64", "arcsec2"),
    "n_gc": ("int64", ""),
    "n_per_arcsec2": ("float64", "1 / arcsec2"),
    "n_err": ("float64", "1 / arcsec2"),
    "n_corrected": ("float64", "1 / arcsec2"),
    "kappa": ("float64", ""),
    "light": ("float64", "nJy arcsec-2"),
    "rho": ("float64", ""),
    "crowding": ("float64", ""),
}
PURITY = {
    "field": ("str", ""),
    "zone": ("int64", ""),
    "noise_lo": ("float64", "nJy"),
    "noise_hi": ("float64", "nJy"),
    "area_arcsec2": ("float64", "arcsec2"),
    "snr_lo": ("float64", ""),
    "snr_hi": ("float64", ""),
    "n_found": ("int64", ""),
    "n_noise": ("float64", ""),
    "n_noise_err": ("float64", ""),
    "purity": ("float64", ""),
    "purity_err": ("float64", ""),
    "purity_above": ("float64", ""),
}
PATTERN = {
    "field": ("str", ""),
    "snr_lo": ("float64", ""),
    "snr_hi": ("float64", ""),
    "n_found": ("int64", ""),
    "period": ("float64", "pix"),
    "angle": ("float64", "deg"),
    "power": ("float64", ""),
    "false_alarm": ("float64", ""),
}
SUMMARY = {
    "schema": int,
    "version": str,
    "recipe": str,
    "cluster": {"name": str, "redshift": float, "kpc_per_arcsec": float},
    "fields": {
        name: {
            "shape": list,
            "good_area_arcsec2": float,
            "masked_fraction": float,
            "sigma": float,
            "threshold": float,
            "n_candidates": int,
            "n_detected": int,
            "n_inpainted": float,
        }
        for name in ("a", "b")
    },
    "n_detected": int,
    "n_inpainted": float,
    "relation": {
        "method": str,
        "amplitude": float,
        "amplitude_err": float,
        "index": float,
        "index_err": float,
        "box_arcsec": float,
    },
    "comparison": {"beta": float, "pearson": float, "spearman": float},
    "contamination": {"per_kpc2": float, "err": float},
    "mass": {
        "sigma_cr_msun_per_kpc2": float,
        "lens_within_60arcsec_msun": float,
        "n_gc_within_60arcsec": int,
        "coverage_within_60arcsec": float,
        "virial_from_counts_msun": float,
        "gc_total_from_ratio_msun": float,
        "mean_gc_msun": type(None),
    },
    "timing": {
        "ingest_s": float,
        "mask_s": float,
        "detect_s": float,
        "density_s": float,
        "compare_s": float,
        "report_s": float,
        "total_s": float,
    },
}
ARRAYS = {
    "sci": ("band y x", "float32", "nJy"),
    "err": ("band y x", "float32", "nJy"),
    "wht": ("band y x", "float32", "nJy-2"),
    "mask": ("y x", "uint8", ""),
    "detection": ("y x", "float32", "nJy"),
    "rho": ("y x", "float32", ""),
    "density": ("y x", "float32", "arcsec-2"),
    "noise": ("cell_y cell_x", "float64", "nJy"),
}
TOP = {
    "run.yaml",
    "manifest.json",
    ".manifest.copy.json",
    "summary.json",
    "log.txt",
    "report.html",
    "catalogue.parquet",
    "candidates.parquet",
    "inpainted.parquet",
    "relation.ecsv",
    "profile.ecsv",
    "catalogue.ecsv",
    "catalogue.reg",
    "catalogue.vot",
    "catalogue.fits",
    "gc.ecsv",
    "radial.ecsv",
    "shape.ecsv",
    "masses.ecsv",
    "contamination.ecsv",
    "audit.ecsv",
    "ranking.ecsv",
    "sensitivity.ecsv",
    "goodness.ecsv",
    "assumptions.ecsv",
    "cumulative.ecsv",
    "excesses.ecsv",
    "purity.ecsv",
    "pattern.ecsv",
    "masked.ecsv",
    "stars.ecsv",
    "maps",
    "psf",
    "figures",
    "store",
    "ledger",
}


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("inputs"), ingest="always", tiles={"size": 50})


@pytest.fixture(scope="module")
def run(run_file):
    found = tilegc("run", run_file, "--workers", 0)
    assert found.code == 0, found
    return open_run(run_file.with_name("run-run"))


def test_the_plan_names_the_passes_of_the_log(run_file, run):
    assert mock.logged_passes(run) == mock.planned_passes(run_file)


def check_tree(content, tree, *, null, place="summary"):
    """Hold the keys and types of a summary to the contract's; more keys may be there."""
    for key, kind in tree.items():
        where = f"{place}.{key}"
        assert key in content, where
        value = content[key]
        if value is None and null:
            continue
        if isinstance(kind, dict):
            check_tree(value, kind, null=null, place=where)
        else:
            assert type(value) is kind or (kind is float and type(value) is int), (where, value)
            assert not isinstance(value, float) or math.isfinite(value), where


def check_tables(folder):
    """Columns, types and units of every table, as readers of their formats see them."""
    for name, columns in {
        "catalogue": CANDIDATES,
        "candidates": CANDIDATES,
        "inpainted": INPAINTED,
    }.items():
        schema = pq.read_schema(folder / f"{name}.parquet")
        assert schema.names == list(columns), name
        for field in schema:
            dtype, unit = columns[field.name]
            assert str(field.type) == dtype, (name, field)
            assert u.Unit(field.metadata.get(b"unit", b"").decode()) == u.Unit(unit), (name, field)
    ecsv = {
        column: (dtype if dtype != "string" else "str", unit) for column, (dtype, unit) in CANDIDATES.items()
    }
    for name, columns in {
        "relation": RELATION,
        "profile": PROFILE,
        "catalogue": ecsv,
        "purity": PURITY,
        "pattern": PATTERN,
        "radial": RADIAL,
        "masses": MASSES,
        "contamination": CONTAMINATION,
    }.items():
        table = Table.read(folder / f"{name}.ecsv")
        assert table.colnames == list(columns), name
        for column, (dtype, unit) in columns.items():
            wanted = {"double": "float64", "float": "float32"}.get(dtype, dtype)
            found = table[column].dtype
            assert found.kind == "U" if wanted == "str" else found == np.dtype(wanted), (name, column, found)
            assert (table[column].unit or u.Unit("")) == u.Unit(unit), (name, column)


def test_files(run):
    assert {path.name for path in run.path.iterdir()} - {".lock"} == TOP
    kinds = ("detection", "mask", "rho", "rho_error", "density", "density_error")
    maps = {f"{field}_{kind}.fits" for field in "ab" for kind in kinds} | {"law_residuals.fits"}
    assert {path.name for path in (run.path / "maps").iterdir()} == maps
    assert {path.name for path in (run.path / "store").iterdir()} >= {"a.zarr", "b.zarr"}
    figures = list((run.path / "figures").iterdir())
    assert len(figures) >= 6
    assert all(path.suffix == ".png" and path.stat().st_size > 5000 for path in figures)
    assert (run.path / "log.txt").stat().st_size > 0
    assert "<html" in (run.path / "report.html").read_text()


def test_every_product_says_its_recipe(run):
    assert run.summary["recipe"] == run.manifest["recipe"] == "diego2026"
    for name in ("catalogue", "candidates", "inpainted"):
        metadata = pq.read_schema(run.path / f"{name}.parquet").metadata
        assert b"diego2026" in b" ".join(metadata.values()), name
    for name in ("catalogue", "relation", "profile"):
        assert Table.read(run.path / f"{name}.ecsv").meta["recipe"] == "diego2026"
    assert "diego2026" in (run.path / "catalogue.reg").read_text()
    for path in (run.path / "maps").iterdir():
        assert fits.getheader(path)["RECIPE"] == "diego2026"
    for name in run.fields:
        assert run.field(name).attrs["recipe"] == "diego2026"
    assert run.sky().attrs["recipe"] == "diego2026"


def test_tables(run):
    check_tables(run.path)


def test_tables_through_open_run(run):
    for table in (
        run.catalogue,
        run.candidates,
        run.inpainted,
        run.relation,
        run.profile,
        run.purity,
        run.pattern,
    ):
        assert isinstance(table, QTable)
    assert run.catalogue["ra"].unit == u.deg
    assert run.catalogue["peak"].to(u.Jy).value.max() > 0
    assert run.profile["n_per_arcsec2"].unit == u.arcsec**-2


def test_candidates_are_sorted_and_the_catalogue_is_their_top(run):
    table, summary = run.candidates, run.summary
    assert table["id"].tolist() == list(range(len(table)))
    place = {name: number for number, name in enumerate(run.fields)}
    rows = [
        (-row["peak"].value, place[row["field"]], row["y_peak"].value, row["x_peak"].value) for row in table
    ]
    assert rows == sorted(rows)
    limits = np.array([1.5 * summary["fields"][name]["threshold"] for name in table["field"]])
    kept = table["peak"].value.astype(float) >= limits
    assert run.catalogue["id"].tolist() == table["id"][kept].tolist()
    for name in ("y_peak", "x_peak", "y", "x", "ra", "dec", "peak", "snr", "radius_arcsec", "radius_kpc"):
        np.testing.assert_array_equal(run.catalogue[name], table[name][kept])
    sigma = np.array([summary["fields"][name]["sigma"] for name in table["field"]])
    np.testing.assert_allclose(table["snr"], table["peak"].value / sigma, rtol=1e-12)
    ratio = table["radius_kpc"] / table["radius_arcsec"]
    np.testing.assert_allclose(ratio.value, 4.921, atol=5e-4)


def test_audit(run, run_file):
    """The same lines appear before a run, in its summary, in a table, and at the end of its report."""
    lines = json.loads(tilegc("audit", run_file, "--json").out)["audit"]
    assert run.summary["audit"] == lines
    table = Table.read(run.path / "audit.ecsv")
    assert table.colnames == ["check", "field", "band", "value", "unit", "verdict", "finding", "remedy"]
    assert table["finding"].tolist() == [line["finding"] for line in lines]
    assert {line["check"] for line in lines} >= {"scale", "units", "err", "correlation", "kappa"}
    page = (run.path / "report.html").read_text()
    assert page.index("Key numbers</h2>") < page.index("Audit of the images")
    assert "audit, scale: field a" in (run.path / "log.txt").read_text()  # pixels of half an arcsec


def test_positions(run):
    """Against astropy's WCS of the files that a user has."""
    for name in run.fields:
        wcs = WCS(fits.getheader(run.config.fields[0 if name == "a" else 1].bands["F090W"].sci, "SCI"))
        rows = run.candidates[run.candidates["field"] == name]
        sky = wcs.pixel_to_world(rows["x"].value, rows["y"].value)
        np.testing.assert_allclose(sky.ra.deg, rows["ra"].value, atol=1e-10)
        np.testing.assert_allclose(sky.dec.deg, rows["dec"].value, atol=1e-10)
        centre = type(sky)(mock.RA * u.deg, mock.DEC * u.deg)
        np.testing.assert_allclose(sky.separation(centre).arcsec, rows["radius_arcsec"].value, atol=1e-7)


def test_summary(run):
    summary = run.summary
    check_tree(summary, SUMMARY, null=False)
    assert summary["fields"]["a"]["shape"] == list(mock.SHAPES["a"])
    assert summary["n_detected"] == len(run.catalogue)
    assert summary["n_inpainted"] == pytest.approx(len(run.inpainted) / 3)
    for name, one in summary["fields"].items():
        assert one["n_candidates"] == (run.candidates["field"] == name).sum()
        assert one["n_detected"] == (run.catalogue["field"] == name).sum()
        assert one["n_inpainted"] == pytest.approx((run.inpainted["field"] == name).sum() / 3)
        mask = run.field(name).mask.values
        assert one["good_area_arcsec2"] == pytest.approx((mask == 0).sum() * mock.SCALE**2, rel=1e-6)
        inside, rows = (mask & 3) == 0, run.masked[run.masked["field"] == name]
        for bit, value in (("bright", 4), ("extended", 8), ("region", 32)):
            hidden = inside & ((mask & value) != 0)
            assert one["masked"][bit]["fraction"] == hidden.sum() / inside.sum()
            area = rows[f"{bit}_arcsec2"].value.sum()
            assert area == pytest.approx(one["masked"][bit]["arcsec2"], abs=1e-9)
        assert one["masked"]["any"]["fraction"] == (inside & (mask != 0)).sum() / inside.sum()
        assert rows["good_arcsec2"].value.sum() == pytest.approx(one["good_area_arcsec2"])
        assert one["threshold"] == pytest.approx(2.5 * one["sigma"], rel=1e-12)
        good = run.field(name).detection.values[mask == 0]
        deviation = np.abs(good - np.median(good))
        assert one["sigma"] == 1.4826 * float(np.median(deviation))
    mass = summary["mass"]
    assert mass["virial_from_counts_msun"] == mass["n_gc_within_60arcsec"] * 5e9
    assert mass["gc_total_from_ratio_msun"] == pytest.approx(mass["lens_within_60arcsec_msun"] * 2.9e-5)
    assert mass["sigma_cr_msun_per_kpc2"] == pytest.approx(2.088e9, rel=1e-3)
    # Too little of the aperture was searched for a mean mass.
    sky = run.sky()
    near = np.hypot(sky["eta"], sky["xi"]) < 60.0
    good = (
        (sky["n_good"] * xr.DataArray(sky.attrs["pixel_area_arcsec2"], dims="field")).sum("field").where(near)
    )
    share = float(good.sum()) / (math.pi * 60.0**2)
    assert mass["coverage_within_60arcsec"] == pytest.approx(share, rel=0.05)
    assert share < 0.8
    # where the two fields overlap, a place counts for the field with most pixels there
    sky, cell = run.sky(), run.sky().attrs["cell_arcsec"]
    owner = sky["n_pixels"].argmax("field").to_numpy()
    grid = SkyGrid(mock.RA, mock.DEC, cell)
    xi, eta = grid.offsets(run.catalogue["ra"].value, run.catalogue["dec"].value)
    names = [
        run.fields[owner[math.floor(b / cell) - sky.attrs["j0"], math.floor(a / cell) - sky.attrs["i0"]]]
        for a, b in zip(xi, eta, strict=True)
    ]
    once = np.array(names) == np.asarray(run.catalogue["field"]).astype(str)
    assert 0 < (~once).sum() < 5
    assert mass["n_gc_within_60arcsec"] == ((run.catalogue["radius_arcsec"] <= 60 * u.arcsec) & once).sum()
    assert summary["timing"]["total_s"] >= summary["timing"]["report_s"] > 0


def test_the_relation_is_the_likelihood_s_and_the_boxes_stand_beside_it(run):
    found = run.summary["relation"]
    law, boxes = found["likelihood"], found["boxes"]
    assert found["method"] == "likelihood"
    assert found["index"] == law["index"] == pytest.approx(1 / law["c"])
    assert found["amplitude"] == law["amplitude"] == pytest.approx(law["a"] ** (-1 / law["c"]))
    table = run.relation[(run.relation["bin"] >= 0) & (run.relation["n_boxes"] >= 5)]
    slope, level = np.polyfit(np.log(table["n_mean"].value), np.log(table["kappa_mean"]), 1)
    assert (boxes["index"], boxes["amplitude"]) == (pytest.approx(slope), pytest.approx(np.exp(level)))


def test_stores(run):
    for name, shape in mock.SHAPES.items():
        with xr.open_zarr(run.path / "store" / f"{name}.zarr") as data:
            assert data.sizes == {"band": 2, "y": shape[0], "x": shape[1], "cell_y": 1, "cell_x": 1}
            assert data.band.values.tolist() == list(mock.BANDS)
            for array, (dims, dtype, unit) in ARRAYS.items():
                assert data[array].dims == tuple(dims.split()), array
                assert data[array].dtype == dtype, array
                assert data[array].attrs.get("units", "") == unit, array
                assert data[array].attrs["long_name"]
            assert data.attrs["schema_version"] == 3
            text = data.attrs["header"]
            assert WCS(fits.Header.fromstring(data.attrs["wcs"], sep="\n")).wcs.ctype[0] == "RA---TAN"
        source = run.config.fields[0 if name == "a" else 1].bands["F090W"].sci
        with fits.open(source) as hdus:
            cards = [str(card).rstrip() for card in hdus["SCI"].header.cards]
        assert text.split("\n") == cards


def test_ingested_pixels(run):
    sci, wht = mock.pixels("a")
    for number, band in enumerate(mock.BANDS):
        with fits.open(run.config.fields[0].bands[band].sci) as hdus:
            raw = hdus["SCI"].data.astype(np.float64)
        stored = run.field("a").sci.sel(band=band).values
        np.testing.assert_array_equal(stored, (raw * (1e15 * mock.PIXAR_SR)).astype(np.float32))
        np.testing.assert_allclose(stored, sci[number], rtol=3e-7)
        np.testing.assert_allclose(
            run.field("a").wht.sel(band=band).values, wht[number] / mock.NJY**2, rtol=3e-7
        )
    np.testing.assert_allclose(run.field("a").err.values, 0.25, rtol=3e-7)


def test_what_the_maps_are_finite_on(run):
    """Density and rho are finite wherever bit 1 is not set; the detection map, where it was filtered."""
    for name in run.fields:
        data = run.field(name)
        mask = data.mask.values
        for array in ("density", "rho"):
            np.testing.assert_array_equal(np.isfinite(data[array].values), (mask & 1) == 0)
        assert np.isnan(data.detection.values[(mask & 1) != 0]).all()
        assert np.isfinite(data.detection.values[(mask & 5) == 0]).all()


def test_map_files(run):
    for name in run.fields:
        data = run.field(name)
        original = WCS(fits.getheader(run.config.fields[0 if name == "a" else 1].bands["F090W"].sci, "SCI"))
        for kind in ("detection", "mask", "rho", "density"):
            with fits.open(run.map_path(name, kind)) as hdus:
                assert len(hdus) == 1
                header, values = hdus[0].header, hdus[0].data
                np.testing.assert_array_equal(values, data[kind].values)
                assert values.dtype.newbyteorder("=") == data[kind].dtype
                assert u.Unit(header.get("BUNIT", "")) == u.Unit(ARRAYS[kind][2])
                found = WCS(header).pixel_to_world([0, 40], [0, 70])
                assert found.separation(original.pixel_to_world([0, 40], [0, 70])).arcsec.max() < 1e-9
                assert not {"DATE", "CHECKSUM", "DATASUM"} & set(header)


def test_region_file(run):
    found = Regions.read(run.path / "catalogue.reg", format="ds9")
    assert len(found) == len(run.catalogue)
    np.testing.assert_allclose([one.center.ra.deg for one in found], run.catalogue["ra"].value, atol=1e-7)


def test_what_promises_nothing_is_still_told(run):
    manifest = json.loads((run.path / "manifest.json").read_text())
    assert manifest["state"] == "done"
    assert {"catalogue.parquet", "summary.json", "maps/a_rho.fits", "store/a.zarr/mask"} <= set(
        manifest["products"]
    )
    assert all(len(digest) == 64 for digest in manifest["products"].values())
    again = previews.plan(run.path / "run.yaml", run.path.with_name("elsewhere"))
    assert again.refusals == ()


# --- empty is a result --------------------------------------------------------------------------------------


def no_weight(folder, names):
    for name in names:
        for band in mock.BANDS:
            with fits.open(folder / f"{name}_{band.lower()}_i2d.fits", mode="update") as hdus:
                hdus["WHT"].data[:] = 0


def flat(folder, names):
    """Pixels all 0: a noise of 0."""
    for name in names:
        for band in mock.BANDS:
            with fits.open(folder / f"{name}_{band.lower()}_i2d.fits", mode="update") as hdus:
                hdus["SCI"].data[:] = 0


EMPTY = {
    "no good pixel": (lambda f: no_weight(f, "ab"), {}),
    "no good pixel in one field": (lambda f: no_weight(f, "a"), {}),
    "masked to the last pixel": (lambda f: None, {"mask.edge": 60.0}),
    "no source": (lambda f: None, {"detect.threshold": {"value": 1e6}}),
    "no source above keep": (lambda f: None, {"detect.keep": 1e6}),
    "no convergence": (lambda f: None, {"convergence": None}),
    "no annulus": (lambda f: None, {"profile.edges": [500, 600]}),
    "no noise": (lambda f: flat(f, "b"), {}),
    "nothing at all": (lambda f: no_weight(f, "ab"), {"convergence": None}),
    "no cluster": (lambda f: None, {"convergence": None, "cluster": None}),
}
"""What is done to the files and to the run file."""
WITH_REPORT = {"no good pixel", "no source", "no convergence", "no cluster"}


@pytest.mark.parametrize("case", EMPTY)
def test_empty_is_a_result(case, tmp_path, monkeypatch):
    """All columns are there, the summary has null, and the exit code is 0."""
    change, settings = EMPTY[case]
    run_file = mock.write_inputs(tmp_path, tiles={"size": 64})
    change(tmp_path)
    if case not in WITH_REPORT:
        mock.no_report(monkeypatch)
    found = tilegc("run", mock.edited(run_file, "run.yaml", settings), "--workers", 0)
    assert found.code == 0, found
    run = open_run(tmp_path / "run-run")
    check_tables(run.path)
    text = (run.path / "summary.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    summary = json.loads(text)
    check_tree(summary, SUMMARY, null=True)
    if case in WITH_REPORT:
        assert "<html" in (run.path / "report.html").read_text()
    for table in (run.catalogue, run.candidates, run.inpainted, run.profile):
        assert isinstance(table, QTable)
    for name in run.fields:
        assert set(ARRAYS) - {"sci", "err", "wht"} <= set(run.field(name))
        assert len(np.unique(run.field(name).mask.values)) >= 1
    EXPECTED[case](run, summary)


def nothing_found(run, summary):
    assert len(run.catalogue) == len(run.candidates) == summary["n_detected"] == 0
    assert summary["fields"]["a"]["sigma"] is None
    assert summary["fields"]["a"]["threshold"] is None
    assert summary["fields"]["a"]["good_area_arcsec2"] == 0
    assert summary["contamination"]["per_kpc2"] is None
    assert len(run.profile) == 0


def one_field(run, summary):
    assert summary["fields"]["a"]["sigma"] is None
    assert summary["fields"]["b"]["n_candidates"] > 0
    assert set(run.candidates["field"]) == {"b"}


def no_source(run, summary):
    assert len(run.catalogue) == len(run.inpainted) == summary["n_detected"] == 0
    assert summary["relation"]["index"] is None
    assert summary["mass"]["mean_gc_msun"] is None
    assert summary["mass"]["virial_from_counts_msun"] == 0
    assert len(run.profile) > 0
    assert (run.profile["n_gc"] == 0).all()


def no_convergence(run, summary):
    assert summary["relation"] is None
    assert summary["comparison"] is None
    assert summary["mass"]["lens_within_60arcsec_msun"] is None
    for name in ("relation", "ranking", "sensitivity", "assumptions", "goodness", "cumulative", "excesses"):
        assert len(Table.read(run.path / f"{name}.ecsv")) == 0
    assert summary["n_detected"] > 50


def no_cluster(run, summary):
    assert summary["cluster"] == {"name": None, "redshift": None, "kpc_per_arcsec": None}
    assert summary["relation"] is None
    assert set(summary["mass"].values()) == {None}
    assert summary["n_detected"] > 50
    assert np.isnan(run.catalogue["radius_arcsec"].value).all()
    assert np.isnan(run.catalogue["radius_kpc"].value).all()
    for name in ("profile", "radial", "shape", "masses"):
        assert len(Table.read(run.path / f"{name}.ecsv")) == 0
    # Every field is a control field, and says how many sources there are.
    estimates = run.contamination
    for name in run.fields:
        row = estimates[estimates["component"] == f"control field {name}"]
        assert row["per_arcsec2"].value[0] > 0
        assert np.isnan(row["per_kpc2"].value[0])
        assert "cluster" not in row["how"][0]
    # Maps are about the middle of all fields.
    assert not run.config.cluster.known
    apart = SkyGrid(mock.RA, mock.DEC, 1.0).offsets(run.config.cluster.ra, run.config.cluster.dec)
    assert np.hypot(*apart) < 120
    page = (run.path / "report.html").read_text()
    assert "<title>Compact sources in fields without a cluster</title>" in page
    assert 'id="masses"' not in page
    with pytest.raises(ConfigError, match="its run file has no cluster"):
        predict(run, run)


def no_annulus(run, summary):
    assert len(run.profile) == 0
    assert summary["contamination"] == {
        "per_kpc2": None,
        "err": None,
        "r_lo_arcsec": None,
        "r_hi_arcsec": None,
    }
    assert summary["n_detected"] > 50


def no_noise(run, summary):
    assert summary["fields"]["b"]["sigma"] in {0, None}
    assert summary["fields"]["b"]["n_candidates"] == 0
    assert summary["fields"]["a"]["n_candidates"] > 50
    assert np.isfinite(run.candidates["snr"].value).all()


EXPECTED = {
    "no good pixel": nothing_found,
    "masked to the last pixel": nothing_found,
    "nothing at all": nothing_found,
    "no good pixel in one field": one_field,
    "no source": no_source,
    "no source above keep": no_source,
    "no convergence": no_convergence,
    "no annulus": no_annulus,
    "no cluster": no_cluster,
    "no noise": no_noise,
}


@pytest.mark.parametrize(
    ("form", "ending"), [("vot", "vot"), ("fits", "fits"), ("gc", "ecsv"), ("ecsv", "ecsv")]
)
def test_export(run, tmp_path, form, ending):
    """An exported catalogue has the same rows as that of the run, and no file is replaced unasked."""
    path = tmp_path / f"out.{ending}"
    assert tilegc("export", run.path, form, "-o", path).code == 0
    table = Table.read(path)
    np.testing.assert_array_equal(np.asarray(table["id"]), np.asarray(run.catalogue["id"]))
    np.testing.assert_array_equal(np.asarray(table["ra"]), run.catalogue["ra"].value)
    again = tilegc("export", run.path, form, "-o", path)
    assert again.code == 2
    assert "--overwrite" in again.err


def test_a_field_has_coordinates_a_wcs_and_cut_outs(run):
    field = run.field("a")
    assert field["x"].values[[0, -1]].tolist() == [0, 87]
    assert field.tilegc.wcs.pixel_shape == (88, 96)
    row = run.sources[5]
    cut = run.cutout(row["id"], size=9)
    y, x = int(row["y_peak"].value), int(row["x_peak"].value)
    shape = run.field(row["field"])["mask"].shape
    assert (cut.sizes["y"], cut.sizes["x"]) == tuple(
        min(at + 5, side) - max(at - 4, 0) for at, side in zip((y, x), shape, strict=True)
    )
    whole = run.field(row["field"])
    for name in ("detection", "mask"):
        np.testing.assert_array_equal(cut[name], whole[name][max(y - 4, 0) : y + 5, max(x - 4, 0) : x + 5])
    assert set(cut["sci"].dims) == {"band", "y", "x"}
    at = cut.tilegc.wcs.pixel_to_world(
        float(row["x"].value) - cut["x"][0], float(row["y"].value) - cut["y"][0]
    )
    assert at.separation(row["coord"]).arcsec < 1e-3
    with pytest.raises(RunFolderError, match="no source -1"):
        run.cutout(-1)


def test_bands_that_were_not_ingested_are_read_from_their_files(run):
    from tilegc.geometry import Box
    from tilegc.run_folder.datasets import with_bands

    whole, box = run.field("a"), Box(10, 20, 30, 50)
    found = with_bands(whole.drop_vars("sci"), run.config.fields[0], box, [mock.BANDS[1]])
    np.testing.assert_array_equal(found["sci"][0], whole["sci"][1, 10:30, 20:50])
    assert found["sci"].attrs["units"] == "nJy"


def test_a_run_is_drawn_on_the_sky(run, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    import matplotlib.pyplot as plt

    axes = run.plot("a", mock.BANDS[0])
    assert axes.get_title(loc="left") == f"{mock.BANDS[0]} (nJy)"
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_array_equal(shown, run.field("a")["sci"][0])
    offsets = axes.collections[0].get_offsets()
    here = run.catalogue[run.catalogue["field"] == "a"]
    np.testing.assert_allclose(offsets, np.column_stack([here["x"].value, here["y"].value]))
    assert not run.plot("b", sources=False).collections
    with pytest.raises(ConfigError, match=r"no image .F999W..*F090W.*density"):
        run.plot("a", "F999W")
    plt.close("all")


def test_a_run_shows_itself(run):
    count = f"{len(run.catalogue):,} sources"
    assert repr(run) == f"<Run {run.path}: diego2026, done, fields a, b, {count}>"
    shown = run._repr_html_()
    assert "mock, z = 0.348" in shown
    assert f"{sum(run.catalogue['field'] == 'a'):,} sources" in shown
    assert "b = " in shown
