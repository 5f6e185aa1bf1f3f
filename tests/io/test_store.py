"""Stores: shards are written whole and read in any window, and xarray opens them without a warning."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tilegc import schema
from tilegc.errors import InputError, RunFolderError
from tilegc.geometry import Box, TileGrid, inner_chunk
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource

ARRAYS = {array.name: array for array in schema.ARRAYS}
BANDS = ("F090W", "F200W", "µ")


def make(path, names, shape=(50, 70), shard=16, bands=BANDS, **attrs) -> str:
    store.create(
        str(path), [ARRAYS[name] for name in names], shape=shape, bands=bands, shard=shard, attrs=attrs
    )
    return str(path)


def source_of(path: str | None, shape=(50, 70), **more) -> FieldSource:
    return FieldSource(
        **{
            "name": "f",
            "shape": shape,
            "bands": tuple(BandSource(band, None, stored=("sci", "err")) for band in BANDS),
            "header": "SIMPLE  =                    T / standard\nCOMMENT 'quoted' \\ \"twice\"",
            "wcs": "CTYPE1  = 'RA---TAN'",
            "scale": 0.03,
            "pixel_area": 0.0009,
            "has_err": True,
            "has_wht": False,
            "store": path,
            **more,
        }
    )


def values_of(name, shape=(50, 70), seed=0) -> np.ndarray:
    array = ARRAYS[name]
    lengths = {"band": len(BANDS), "y": shape[0], "x": shape[1]}
    full = tuple(lengths[dim] for dim in array.dims)
    rng = np.random.default_rng(seed)
    if array.dtype == "uint8":
        return rng.integers(0, 64, full).astype(np.uint8)
    values = rng.normal(size=full).astype(array.dtype)
    values[rng.random(full) < 0.1] = np.nan
    return values


@pytest.mark.parametrize("size", [1, 7, 64, 100, 2048])
def test_tiles_of_any_size_come_back(tmp_path, size):
    shape = {1: (9, 11), 7: (40, 52)}.get(size, (130, 170))
    path = make(tmp_path / "f.zarr", ["mask", "detection"], shape, shard=size)
    truth = {name: values_of(name, shape) for name in ("mask", "detection")}
    for tile in TileGrid(shape, size).tiles():
        for name, values in truth.items():
            store.write(path, name, tile.core, values[tile.core.slices])
    whole = Box(0, 0, *shape)
    for name, values in truth.items():
        assert store.read(path, name, whole).tobytes() == values.tobytes()
        array = zarr.open_array(path, path=name, mode="r")
        assert (array.shards or array.chunks) == (size, size)
        assert array.chunks == (inner_chunk(size),) * 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.integers(1, 50),
    corners=st.lists(st.tuples(*[st.integers(0, 40)] * 4), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_any_window_of_any_tiling(tmp_path_factory, shape, size, corners, seed):
    if size < 4:
        shape = (min(shape[0], 12), min(shape[1], 12))
    path = make(tmp_path_factory.mktemp("store") / "f.zarr", ["detection"], shape, shard=size)
    truth = values_of("detection", shape, seed)
    tiles = list(TileGrid(shape, size).tiles())
    for number in np.random.default_rng(seed).permutation(len(tiles)):
        core = tiles[number].core
        store.write(path, "detection", core, truth[core.slices])
    for y0, x0, height, width in corners:
        box = Box(y0, x0, y0 + height, x0 + width).clip(Box(0, 0, *shape))
        if box.size:
            assert store.read(path, "detection", box).tobytes() == truth[box.slices].copy().tobytes()


def test_bands_are_written_one_by_one_or_together(tmp_path):
    path = make(tmp_path / "f.zarr", ["sci"])
    truth = values_of("sci")
    left, right = Box(0, 0, 48, 70), Box(48, 0, 50, 70)
    for band in (2, 0, 1):
        store.write(path, "sci", left, truth[band, :48], band=band)
    store.write(path, "sci", right, truth[:, 48:])
    box = Box(40, 3, 50, 69)
    assert np.array_equal(store.read(path, "sci", box), truth[:, 40:, 3:69], equal_nan=True)
    assert np.array_equal(store.read(path, "sci", box, band=1), truth[1, 40:, 3:69], equal_nan=True)


def test_what_was_not_written_is_no_data(tmp_path):
    path = make(tmp_path / "f.zarr", ["mask", "detection"])
    assert np.isnan(store.read(path, "detection", Box(0, 0, 50, 70))).all()
    assert not store.read(path, "mask", Box(0, 0, 50, 70)).any()


@pytest.mark.parametrize(
    ("box", "values", "why"),
    [
        (Box(0, 0, 17, 16), np.zeros((17, 16), np.uint8), "cuts shards"),
        (Box(8, 0, 16, 16), np.zeros((8, 16), np.uint8), "cuts shards"),
        (Box(48, 64, 51, 70), np.zeros((3, 6), np.uint8), "cuts shards"),
        (Box(0, 0, 16, 16), np.zeros((16, 15), np.uint8), "given where"),
        (Box(0, 0, 16, 16), np.zeros((16, 16), np.int64), "given where"),
    ],
)
def test_a_write_that_another_task_could_share_is_refused(tmp_path, box, values, why):
    path = make(tmp_path / "f.zarr", ["mask"])
    with pytest.raises(ValueError, match=why):
        store.write(path, "mask", box, values)


def test_reads_outside_of_the_field_are_refused_not_cut(tmp_path):
    path = make(tmp_path / "f.zarr", ["mask"])
    with pytest.raises(ValueError, match="not inside"):
        store.read(path, "mask", Box(40, 60, 51, 70))
    with pytest.raises(ValueError, match="has no bands"):
        store.read(path, "mask", Box(0, 0, 1, 1), band=0)


def test_create_adds_what_is_missing_and_keeps_what_is_there(tmp_path):
    path = make(tmp_path / "f.zarr", ["mask"], recipe="diego2026")
    mask = values_of("mask")
    store.write(path, "mask", Box(0, 0, 50, 70), mask)
    make(path, ["mask", "detection"], recipe="diego2026", more=1)
    assert np.array_equal(store.read(path, "mask", Box(0, 0, 50, 70)), mask)
    assert {"recipe": "diego2026", "more": 1}.items() <= store.attributes(path).items()
    assert "detection" in xr.open_zarr(path)  # the gathered metadata know it too
    store.annotate(path, {"later": [1, 2]})
    assert xr.open_zarr(path).attrs["later"] == [1, 2]


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"shape": (50, 71)}, "array 'mask' is"),
        ({"shard": 32}, "array 'mask' is"),
        ({"bands": ("F090W",)}, "other bands"),
    ],
)
def test_create_refuses_a_store_of_something_else(tmp_path, change, pattern):
    path = make(tmp_path / "f.zarr", ["mask"])
    with pytest.raises(RunFolderError, match=pattern) as caught:
        make(path, ["mask"], **change)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("consolidated", [None, True, False])
def test_xarray_opens_it_with_names_units_and_header(tmp_path, consolidated):
    source = source_of(None)
    path = make(
        tmp_path / "f.zarr", [array.name for array in schema.ARRAYS], **store.field_attributes(source)
    )
    sci, mask = values_of("sci"), values_of("mask")
    store.write(path, "sci", Box(0, 0, 50, 70), sci)
    store.write(path, "mask", Box(0, 0, 50, 70), mask)
    with xr.open_zarr(path, consolidated=consolidated) as data:
        assert set(data.data_vars) == set(ARRAYS)
        for name, array in ARRAYS.items():
            assert data[name].dims == array.dims
            assert data[name].dtype == array.dtype
            assert data[name].attrs["units"] == array.unit
        assert list(data.band.values) == list(BANDS)
        assert np.array_equal(data.sci.sel(band="F200W").values, sci[1], equal_nan=True)
        assert data.mask.values.tobytes() == mask.tobytes()
        assert data.attrs["header"] == source.header
        assert data.attrs["wcs"] == source.wcs
        assert data.attrs["schema_version"] == schema.SCHEMA_VERSION


def test_xarray_opens_it_without_a_warning_in_a_fresh_process(tmp_path):
    path = make(tmp_path / "f.zarr", ["sci", "mask"])
    code = f"import xarray as xr; d = xr.open_zarr({path!r}); d.load(); print(*d.band.values, d.sci.shape)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, check=False, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("F090W F200W")


def test_threads_that_own_their_shards_do_not_disturb_one_another(tmp_path):
    path = make(tmp_path / "f.zarr", ["detection"], (128, 128), shard=32)
    truth = values_of("detection", (128, 128))
    tiles = list(TileGrid((128, 128), 32).tiles())

    def work(mine):
        for tile in mine:
            store.write(path, "detection", tile.core, truth[tile.core.slices])

    threads = [threading.Thread(target=work, args=(tiles[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read(path, "detection", Box(0, 0, 128, 128)).tobytes() == truth.tobytes()


def test_the_same_values_are_the_same_files(tmp_path):
    for name, again in (("a", 1), ("b", 2)):
        path = make(tmp_path / name, ["detection"], recipe="diego2026")
        for _ in range(again):  # a task that is done twice
            for tile in reversed(list(TileGrid((50, 70), 16).tiles())):
                store.write(path, "detection", tile.core, values_of("detection")[tile.core.slices])
    files = [
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name).rglob("*")
            if file.is_file()
        }
        for name in ("a", "b")
    ]
    assert files[0] == files[1]


def test_a_window_holds_arrays_of_both_stores(tmp_path):
    ingest = make(tmp_path / "ingest.zarr", ["sci"], shard=32)
    run = make(tmp_path / "run.zarr", ["mask"])
    sci, mask = values_of("sci"), values_of("mask")
    store.write(ingest, "sci", Box(0, 0, 50, 70), sci)
    store.write(run, "mask", Box(0, 0, 50, 70), mask)
    box = Box(3, 5, 41, 70)
    window = store.read_window(source_of(ingest), run, ("sci", "mask"), box)
    assert list(window) == ["sci", "mask"]
    assert window["sci"].dims == ("band", "y", "x")
    assert window.bands == BANDS
    assert window["sci"].units == "nJy"
    assert np.array_equal(window["sci"].values, sci[:, 3:41, 5:], equal_nan=True)
    assert np.array_equal(window["mask"].values, mask[3:41, 5:])
    assert window.nbytes == window["sci"].values.nbytes + window["mask"].values.nbytes
    assert store.read_window(source_of(ingest), run, ("mask",), box).bands == ()
    dataset = window.dataset()
    assert dataset.sizes == {"band": len(BANDS), "y": 38, "x": 65}
    assert dataset.band.values.tolist() == list(BANDS)
    assert dataset.sci.attrs["units"] == "nJy"
    assert dataset.sci.variable._data is window["sci"].values


def test_a_finished_store_is_a_field(tmp_path):
    source = source_of(None)
    path = make(
        tmp_path / "f.zarr", ["sci", "err"], **store.field_attributes(source), ingest={"sci/F090W": "0"}
    )
    assert store.open_field("f", path) == source_of(path)


def not_zarr(folder):
    (folder / "a.zarr").write_text("x")
    return folder / "a.zarr"


@pytest.mark.parametrize(
    ("build", "pattern"),
    [
        (lambda d: d / "none.zarr", "no such store"),
        (lambda d: d, "not a tilegc store"),
        (not_zarr, "not a tilegc store"),
        (lambda d: (zarr.open_group(d / "a.zarr", mode="w"), d / "a.zarr")[1], "not a tilegc store"),
        (
            lambda d: make(d / "a.zarr", ["sci"], **store.field_attributes(source_of(None))),
            "no finished ingest",
        ),
        (lambda d: make(d / "a.zarr", ["sci"], schema_version=99), "store of schema 99"),
        (lambda d: make(d / "a.zarr", ["sci"], ingest={}), "not a tilegc store"),
    ],
)
def test_stores_that_are_none_get_their_line(tmp_path, build, pattern):
    path = str(build(tmp_path))
    with pytest.raises(InputError, match=pattern) as caught:
        store.open_field("f", path)
    line = str(caught.value)
    assert path in line
    assert "field f" in line
    assert "\n" not in line


def test_names_of_bands_that_a_killed_process_left_empty_are_written(tmp_path):
    path = str(tmp_path / "f.zarr")
    [mask] = [array for array in schema.ARRAYS if array.name == "mask"]
    options = {"shape": (8, 12), "shard": 8, "attrs": {}}
    store.create(path, [mask], bands=["F090W", "F200W"], **options)
    for chunk in (tmp_path / "f.zarr" / "band" / "c").iterdir():
        chunk.unlink()
    with pytest.raises(RunFolderError, match="other bands"):
        store.create(path, [mask], bands=["F090W"], **options)
    store.create(path, [mask], bands=["F090W", "F200W"], **options)
    assert list(zarr.open_array(path, path="band", mode="r")[:]) == ["F090W", "F200W"]
