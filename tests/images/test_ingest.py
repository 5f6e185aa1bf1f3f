"""Ingest: the store has the same content for all kinds of files and in any order of work."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from tilegc import config
from tilegc.engine import SerialEngine
from tilegc.errors import ConfigError, InputError
from tilegc.geometry import Box
from tilegc.images import ingest as stage
from tilegc.io import ingest, store
from tilegc.io.fits import FieldSource, file_digest
from tilegc.io.probe import probe_field

SHAPE = (75, 101)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Shards of 32 px, so that small mosaics have many, with ragged ends."""
    monkeypatch.setattr(ingest, "SHARD", 32)


def mosaic(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
    values[:40, :50] = np.nan
    return values


def header(**more) -> fits.Header:
    return fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": 342.18,
            "CRVAL2": -44.53,
            "CRPIX1": 50.0,
            "CRPIX2": 40.0,
            "CDELT1": -0.03 / 3600,
            "CDELT2": 0.03 / 3600,
            "BUNIT": "10.0*nanoJansky",
            **more,
        }
    )


def files(folder: Path, kind: str) -> dict[str, str]:
    """Write two bands with errors and weights as one file each."""
    folder.mkdir(exist_ok=True)
    names = {}
    for number, band in enumerate(("F090W", "F200W")):
        path = folder / f"{band}.fits"
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for name, values in (
            ("SCI", mosaic(number)),
            ("ERR", np.abs(mosaic(number + 10))),
            ("WHT", np.full(SHAPE, number + 1.0, np.float32)),
        ):
            if kind == "rice":  # without loss, so that pixels are those of the other kinds
                hdus.append(
                    fits.CompImageHDU(
                        values, header(), name=name, compression_type="GZIP_2", quantize_level=0
                    )
                )
            else:
                hdus.append(fits.ImageHDU(values, header(), name=name))
        hdus.writeto(path)
        if kind == "gzip":
            packed = folder / f"{band}.fits.gz"
            packed.write_bytes(gzip.compress(path.read_bytes(), 1))
            path = packed
        names[band] = str(path)
    return names


def probe(bands) -> FieldSource:
    return probe_field(config.FieldInput(name="f", bands=bands))


def bring_in(source: FieldSource, path: str, seed: int = 0) -> np.ndarray:
    ingest.create_ingest(source, path)
    units = ingest.ingest_units(source)
    total = np.zeros(len(source.bands), np.int64)
    for number in np.random.default_rng(seed).permutation(len(units)):
        total += ingest.ingest_unit(source, path, pickle.loads(pickle.dumps(units[number])))
    ingest.finish_ingest(source, path)
    return total


def content(path: str) -> dict[str, bytes]:
    """All chunks of a store: its files but for the metadata."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in Path(path).rglob("*")
        if file.is_file() and file.name != "zarr.json"
    }


def test_kind_and_order_leave_no_trace(tmp_path):
    stores = {}
    for seed, kind in enumerate(("plain", "rice", "gzip")):
        source = probe(files(tmp_path / kind, kind))
        assert {plane.kind for _, _, plane in source.planes()} == {kind}
        stores[kind] = str(tmp_path / f"{kind}.zarr")
        total = bring_in(source, stores[kind], seed)
        assert total.tolist() == [SHAPE[0] * SHAPE[1] - 40 * 50] * 2
    assert content(stores["plain"]) == content(stores["rice"]) == content(stores["gzip"])
    assert len(content(stores["plain"])) > 2 * 3 * 8


def test_pixels_are_those_of_the_files(tmp_path):
    source = probe(files(tmp_path / "a", "plain"))
    bring_in(source, str(tmp_path / "f.zarr"))
    with xr.open_zarr(tmp_path / "f.zarr") as data:
        truth = np.stack([mosaic(0), mosaic(1)]).astype(np.float64) * 10
        assert np.array_equal(data.sci.values, truth.astype(np.float32), equal_nan=True)
        assert (data.wht.sel(band="F200W").values == np.float32(2 * 0.01)).all()
        assert data.attrs["ingest"]["wht/F200W"] == file_digest(str(tmp_path / "a" / "F200W.fits"))


@pytest.mark.parametrize("kind", ["plain", "rice"])
def test_windows_of_files_and_of_the_store_are_the_same_bits(tmp_path, kind):
    source = probe(files(tmp_path / "a", kind))
    path = str(tmp_path / "f.zarr")
    bring_in(source, path)
    stored = store.open_field("f", path)
    assert stored == ingest.create_ingest(source, path)  # nothing is made anew
    for box in (Box(0, 0, *SHAPE), Box(30, 40, 66, 97), Box(74, 100, 75, 101)):
        direct = store.read_window(source, "nowhere", ("sci", "err", "wht"), box)
        again = store.read_window(stored, "nowhere", ("sci", "err", "wht"), box)
        assert list(direct) == list(again) == ["sci", "err", "wht"]
        assert direct.bands == again.bands == source.band_names
        for name, plane in direct.items():
            assert plane.values.tobytes() == again[name].values.tobytes()
            assert (plane.dims, plane.units) == (again[name].dims, again[name].units)


def test_a_store_knows_of_its_field_what_the_files_said(tmp_path):
    source = probe(files(tmp_path / "a", "plain"))
    bring_in(source, str(tmp_path / "f.zarr"))
    stored = probe_field(config.FieldInput(name="other", store=str(tmp_path / "f.zarr")))
    assert stored.name == "other"
    for key in ("shape", "band_names", "header", "wcs", "scale", "pixel_area", "has_err", "has_wht"):
        assert getattr(stored, key) == getattr(source, key), key
    assert stored.windowed
    assert stored.paths == ()


def test_bands_without_errors_or_weights(tmp_path):
    both = files(tmp_path / "a", "plain")["F090W"]
    alone = str(tmp_path / "alone.fits")
    fits.PrimaryHDU(mosaic(5), header()).writeto(alone)
    source = probe({"F090W": alone, "F200W": both})
    path = str(tmp_path / "f.zarr")
    bring_in(source, path)
    for field in (source, store.open_field("f", path)):
        window = store.read_window(field, "nowhere", ("err", "wht"), Box(50, 60, 75, 90))
        assert np.isnan(window["err"].values[0]).all()
        assert (window["wht"].values[0] == 1).all()
        assert np.isfinite(window["err"].values[1]).all()
        assert (window["wht"].values[1] == np.float32(0.01)).all()


def test_units_own_whole_shards_and_cover_everything_once(tmp_path):
    for kind in ("plain", "rice", "gzip"):
        source = probe(files(tmp_path / kind, kind))
        units = ingest.ingest_units(source)
        assert len({unit.key for unit in units}) == len(units)
        seen = np.zeros((3, 2, *SHAPE), int)
        for unit in units:
            seen[("sci", "err", "wht").index(unit.array), unit.band][unit.box.slices] += 1
            assert unit.box.y0 % 32 == unit.box.x0 % 32 == 0
            # squares of a plain file, bands of a file compressed by rows, a gzip stream at once
            limit = {"plain": (32, 32), "rice": (32, SHAPE[1]), "gzip": SHAPE}[kind]
            assert unit.box.shape <= limit
            assert unit.box.shape[1] <= limit[1]
        assert (seen == 1).all()
        assert sum(unit.pixels for unit in units) == seen.size


def test_an_ingest_that_did_not_end_is_no_field(tmp_path):
    source = probe(files(tmp_path / "a", "plain"))
    path = str(tmp_path / "f.zarr")
    ingest.create_ingest(source, path)
    for unit in ingest.ingest_units(source):
        ingest.ingest_unit(source, path, unit)
    with pytest.raises(InputError, match="no finished ingest"):
        probe_field(config.FieldInput(name="f", store=path))


def test_a_gzip_file_that_breaks_under_way_gets_its_line(tmp_path):
    source = probe(files(tmp_path / "a", "gzip"))
    path = str(tmp_path / "f.zarr")
    ingest.create_ingest(source, path)
    unit = ingest.ingest_units(source)[-1]
    whole = Path(unit.plane.path).read_bytes()
    Path(unit.plane.path).write_bytes(whole[:-2000])
    with pytest.raises(InputError, match=r"F200W\.fits\.gz.*truncated"):
        ingest.ingest_unit(source, path, unit)


def test_real_mosaics_go_in_whole(tmp_path, real_data, monkeypatch):
    monkeypatch.undo()
    name = str(real_data / "images" / "uds_jwst_nircam_{}_40mas_{}.fits.gz")
    source = probe(
        {band: {kind: name.format(band, kind) for kind in ("sci", "wht")} for band in ("f115w", "f444w")}
    )
    path = str(tmp_path / "uds.zarr")
    assert bring_in(source, path).tolist() == [820_000, 820_000]
    for band in ("f115w", "f444w"):
        raw = fits.getdata(name.format(band, "sci")).astype(np.float64) * 10
        got = store.read(path, "sci", Box(0, 0, 820, 1000), band=source.band_names.index(band))
        assert np.array_equal(got, raw.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("kind", "mode", "store"),
    [
        ("plain", "auto", False),
        ("rice", "auto", True),
        ("gzip", "auto", True),
        ("plain", "always", True),
        ("rice", "never", False),
    ],
)
def test_which_files_are_copied_into_a_store(kind, mode, store, tmp_path) -> None:
    assert stage.needs_store(probe(files(tmp_path / kind, kind)), mode) is store


def asked(**more):
    """A field of which only what decides on a store is known."""
    known = {"store": None, "windowed": True, "compressed": False, "resampled": False, "joined": False}
    return SimpleNamespace(name="f", **(known | more))


@pytest.mark.parametrize(
    ("mode", "more", "expected"),
    [
        ("auto", {}, False),
        ("auto", {"compressed": True}, True),
        ("auto", {"joined": True}, True),
        ("never", {"compressed": True}, False),
        ("always", {}, True),
        ("always", {"store": "earlier.zarr"}, False),
    ],
)
def test_which_fields_need_a_store(mode, more, expected):
    assert stage.needs_store(asked(**more), mode) is expected


@pytest.mark.parametrize("more", [{"windowed": False}, {"resampled": True}])
def test_files_that_cannot_be_read_in_windows_need_a_store(more):
    with pytest.raises(ConfigError, match=r"ingest: never, but field 'f'.*set ingest to auto or always"):
        stage.needs_store(asked(**more), "never")


def test_only_the_fields_that_need_it_are_ingested(tmp_path):
    plain = probe(files(tmp_path / "plain", "plain"))
    packed = dataclasses.replace(probe(files(tmp_path / "gzip", "gzip")), name="g")
    folder = SimpleNamespace(store=lambda name: tmp_path / f"{name}.zarr", ledger=None)
    digests = {path: file_digest(path) for path in packed.paths}
    assert stage.ingest([plain], "auto", folder, {}, SerialEngine()) == (plain,)
    first, second = stage.ingest([plain, packed], "auto", folder, digests, SerialEngine())
    assert first is plain
    assert second == store.open_field("g", str(tmp_path / "g.zarr"))
    assert store.attributes(second.store)["ingest"]["sci/F090W"] == digests[packed.paths[0]]
    truth = np.stack([mosaic(0), mosaic(1)]).astype(np.float64) * 10
    whole = store.read_window(second, "nowhere", ("sci",), second.box)["sci"].values
    assert np.array_equal(whole, truth.astype(np.float32), equal_nan=True)
