"""`tilegc.lazy` on dask arrays gives the bits that a run leaves in its store."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from tests.support import mock, oracle
from tilegc import lazy, running
from tilegc.config import Filter, Mask, resolve
from tilegc.errors import ConfigError

CHUNKS = [(96, 88), (40, 33), (64, 20), ((10, 50, 36), (88,)), ((96,), (1, 60, 27))]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lazy")
    run_file = mock.write_inputs(folder, ingest="always", tiles={"size": 37})
    with pytest.MonkeyPatch.context() as patch:
        mock.no_report(patch)
        return running.run(run_file, workers=0)


def same(ours: xr.DataArray, theirs: np.ndarray) -> None:
    values = ours.values
    assert values.dtype == theirs.dtype
    np.testing.assert_array_equal(values.view(np.uint32), theirs.view(np.uint32))  # bits, NaN's as well


@pytest.mark.parametrize("chunks", CHUNKS)
def test_detection_map_in_any_chunks(chunks, run):
    """With NaN and weights of 0, in chunks smaller than the halo and larger than the field."""
    data = run.field("a")
    assert np.isnan(data.sci.values).any()
    assert (data.wht.values == 0).any()
    sci, wht = (
        xr.DataArray(da.from_array(data[name].values, chunks=(1, *chunks)), dims=("band", "y", "x"))
        for name in ("sci", "wht")
    )
    found = lazy.detection_map(sci, wht, mask=run.config.mask, filtering=run.config.filter)
    assert found.dims == ("y", "x")
    assert isinstance(found.data, da.Array)
    same(found, data.detection.values)


def test_detection_map_of_a_runs_own_datasets(run):
    for name in run.fields:
        data = run.field(name)
        assert isinstance(data.sci.data, da.Array)
        same(lazy.detection_map(data.sci, data.wht, mask=run.config.mask), data.detection.values)


def test_the_calibrated_filter_is_refused_in_one_line():
    """Otherwise the result would silently be the map of the paper under the name of another recipe."""
    calibrated = resolve(
        {
            "recipe": "calibrated",
            "cluster": {"name": "x", "redshift": 0.3, "ra": 1, "dec": 1},
            "fields": [{"name": "f", "store": "f.zarr"}],
        }
    )
    sci = xr.DataArray(np.zeros((1, 9, 9), np.float32), dims=("band", "y", "x"))
    for settings in (
        {"filtering": calibrated.filter, "mask": calibrated.mask},
        {"recipe": calibrated.recipe},
    ):
        with pytest.raises(ConfigError, match=r"recipe: .*detect_in") as caught:
            lazy.detection_map(sci, **settings)
        assert "\n" not in str(caught.value)


def test_detection_map_of_arrays_in_memory_and_in_another_order(run):
    data = run.field("b")
    loaded = data.load()
    same(lazy.detection_map(loaded.sci, loaded.wht), data.detection.values)
    turned = lazy.detection_map(
        loaded.sci.transpose("x", "y", "band"), loaded.wht.transpose("x", "band", "y")
    )
    same(turned, data.detection.values)


def test_nothing_is_computed_before_it_is_asked_for(run):
    def fail(*_args, **_kwargs):
        raise AssertionError("computed")

    data = run.field("a")
    with dask.config.set(scheduler=fail):
        detection = lazy.detection_map(data.sci, data.wht)
        states = lazy.peak_states(detection, data.mask == 0, 1.0)
        assert detection.shape == states.shape == mock.SHAPES["a"]
        with pytest.raises(AssertionError, match="computed"):
            states.compute()


def test_weights_and_settings_matter(run):
    data = run.field("a")
    with_weights = lazy.detection_map(data.sci, data.wht).values
    assert not np.array_equal(with_weights, lazy.detection_map(data.sci).values, equal_nan=True)
    other = lazy.detection_map(data.sci, data.wht, filtering=Filter(discretisation="sampled")).values
    assert not np.array_equal(with_weights, other, equal_nan=True)
    unmasked = lazy.detection_map(data.sci, data.wht, mask=Mask(bright="off")).values
    off = run.field("b")
    assert np.isfinite(unmasked).sum() >= np.isfinite(with_weights).sum()
    same(lazy.detection_map(off.sci, off.wht, mask=Mask(extended="off")), off.detection.values)


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", ["a", "b"])
def test_peaks_are_the_runs_candidates(name, chunks, run):
    data = run.field(name)
    detection, allowed = data.detection, data.mask == 0
    if name == "a":
        detection, allowed = (
            xr.DataArray(da.from_array(array.values, chunks=chunks), dims=("y", "x"))
            for array in (detection, allowed)
        )
    threshold = run.summary["fields"][name]["threshold"]
    found = lazy.peaks(detection, allowed, threshold)
    rows = run.candidates[run.candidates["field"] == name]
    assert len(rows) > 10
    for key in ("y", "x", "peak"):
        column = rows[key if key == "peak" else f"{key}_peak"]
        np.testing.assert_array_equal(found[key], column.value)
        assert found[key].dtype == column.dtype


def test_from_pixels_to_candidates_without_a_stop(run):
    """The lazy chain from start to end, as in a notebook."""
    data = run.field("a")
    detection = lazy.detection_map(data.sci, data.wht, mask=run.config.mask)
    found = lazy.peaks(detection, data.mask == 0, run.summary["fields"]["a"]["threshold"])
    rows = run.candidates[run.candidates["field"] == "a"]
    np.testing.assert_array_equal(found["y"], rows["y_peak"].value)
    np.testing.assert_array_equal(found["peak"], rows["peak"].value)


@pytest.mark.parametrize("halo", [0, 1, 5, 16])
@pytest.mark.parametrize("kind", ["noise", "ties", "ramp"])
def test_peaks_do_not_depend_on_the_halo(kind, halo):
    """This includes peaks that no block can decide: a ramp, and ties across the map."""
    draw = np.random.default_rng(5)
    values = draw.normal(0, 1, (60, 52)).astype(np.float32)
    if kind == "ties":
        values = np.round(values)
    elif kind == "ramp":
        values = (np.arange(60)[:, None] + 100 * np.arange(52)).astype(np.float32)
    allowed = draw.random(values.shape) < 0.9
    values[~allowed] = np.nan
    found = lazy.peaks(
        xr.DataArray(da.from_array(values, chunks=(17, 19)), dims=("y", "x")),
        xr.DataArray(allowed, dims=("y", "x")),
        0.3,
        halo=halo,
    )
    expected = oracle.greedy(values, allowed, 0.3, 3.0)
    assert list(zip(found["y"].tolist(), found["x"].tolist(), strict=True)) == expected


def test_no_peak():
    values = xr.DataArray(np.zeros((30, 20), np.float32), dims=("y", "x"))
    found = lazy.peaks(values, values == 0, 1.0)
    assert {name: (column.size, str(column.dtype)) for name, column in found.items()} == {
        "y": (0, "int32"),
        "x": (0, "int32"),
        "peak": (0, "float32"),
    }
