"""One run, computed in many ways: the same bytes in every file, the same values in every array (invariants).

The reference is computed in one tile a field, in this process, straight from FITS.
"""

from __future__ import annotations

import json
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import mock
from tests.support.threads import thread_workers
from tilegc import running, schema
from tilegc.cluster import connect
from tilegc.engine.serial import SerialEngine
from tilegc.simulation import simulate

HALO = 51
"""Pixels that the widest pass of the mock run looks beyond its core."""


pytestmark = pytest.mark.usefixtures("no_report")


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def reference(run_file, tmp_path_factory):
    return running.run(run_file, tmp_path_factory.mktemp("reference") / "run", workers=0)


@pytest.fixture(scope="module")
def processes():
    with connect(workers=2) as client:
        yield client


@pytest.fixture(scope="module")
def threads():
    """Two workers of two threads each in this process."""
    with thread_workers(2, threads=2) as cluster:
        yield cluster.scheduler_address


def test_the_reference_holds_something_of_everything(reference):
    """Equal bytes of empty products would prove nothing."""
    summary = reference.summary
    for section in ("relation", "comparison", "contamination", "mass"):
        # Too little of the disc was searched for a mean mass.
        known = {name: value for name, value in summary[section].items() if name != "mean_gc_msun"}
        assert None not in known.values(), section
    bits = reference.field("a").mask.values
    assert {1, 2, 8, 32} <= {int(bit) for bit in (1, 2, 4, 8, 16, 32) if (bits & bit).any()}
    assert (reference.field("b").mask.values & 32).any()
    for name, least in {
        "catalogue": 50,
        "candidates": 100,
        "inpainted": 100,
        "relation": 16,
        "profile": 5,
    }.items():
        assert len(getattr(reference, name)) >= least, name
    assert set(reference.catalogue["field"]) == {"a", "b"}
    assert np.isfinite(reference.field("a").rho.values).any()


def test_the_plan_names_the_passes_of_the_log(run_file, reference):
    assert mock.logged_passes(reference) == [
        name for name in mock.planned_passes(run_file) if name != "figures"
    ]


def test_a_changed_setting_changes_the_products(run_file, reference, tmp_path):
    """The comparison can fail: another seed moves the inpainted sources, and leaves the catalogue unchanged."""
    other = running.run(mock.edited(run_file, "seed.yaml", {"inpaint.seed": 8}), tmp_path / "run", workers=0)
    ours, theirs = mock.products(other), mock.products(reference)
    assert ours["inpainted.parquet"] != theirs["inpainted.parquet"]
    assert ours["maps/a_rho.fits"] != theirs["maps/a_rho.fits"]
    assert ours["catalogue.parquet"] == theirs["catalogue.parquet"]
    with pytest.raises(AssertionError, match="inpainted"):
        mock.assert_same(other, reference)


@pytest.mark.parametrize("size", [96, 64, 40, 33, 20])
def test_tile_size(size, run_file, reference, tmp_path):
    """Ragged, one tile of one field only, smaller than the halo; on a lattice of its own or not."""
    assert (min(mock.SHAPES["b"]) < 96 and size < HALO) or size >= 64
    changed = mock.edited(run_file, f"tiles{size}.yaml", {"tiles.size": size})
    mock.assert_same(running.run(changed, tmp_path / "run", workers=0), reference)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("quarters", marks=pytest.mark.slow),
        pytest.param("strips", marks=pytest.mark.slow),
        "patches",
    ],
)
def test_a_field_that_is_cut_into_mosaics(way, run_file, reference, tmp_path):
    """Mosaics on one grid are one field: nothing shows that the image was ever cut."""
    run = running.run(mock.cut_run_file(run_file, way), tmp_path / "run", workers=0)
    mock.assert_same(run, reference)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory, run_file):
    """The other recipe, with what it chooses itself: local noise, purity, threshold."""
    changes = {**mock.CALIBRATED, "detect.threshold": "auto", "detect.purity": 0.9}
    changed = mock.edited(run_file, "calibrated.yaml", changes)
    return changed, running.run(changed, tmp_path_factory.mktemp("calibrated") / "run", workers=0)


def test_tile_size_of_the_calibrated_recipe(calibrated, tmp_path):
    run_file, expected = calibrated
    assert mock.logged_passes(expected) == [
        name for name in mock.planned_passes(run_file) if name != "figures"
    ]
    chosen = {name: field["threshold_chosen"] for name, field in expected.summary["fields"].items()}
    assert any(chosen.values())
    assert np.isfinite(expected.candidates["purity"]).any()
    changed = mock.edited(run_file, "calibrated33.yaml", {"tiles.size": 33})
    run = running.run(changed, tmp_path / "run", workers=0)
    mock.assert_same(run, expected)
    for found in (run.path / "psf").iterdir():
        assert found.read_bytes() == (expected.path / "psf" / found.name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "how"), [(96, "serial"), (64, "threads"), (40, "processes"), (20, "serial")]
)
def test_the_calibrated_recipe_in_other_ways(size, how, calibrated, threads, processes, tmp_path):
    """The same with a search for lines: tables of a whole field must not depend on tiles or workers."""
    run_file, expected = calibrated
    changed = mock.edited(run_file, f"calibrated{size}.yaml", {"tiles.size": size})
    where = {"threads": threads, "processes": processes.scheduler.address}
    keywords = {"workers": 0} if how == "serial" else {"scheduler": where[how]}
    run = running.run(changed, tmp_path / "run", **keywords)
    mock.assert_same(run, expected)
    for found in (run.path / "psf").iterdir():
        assert found.read_bytes() == (expected.path / "psf" / found.name).read_bytes()


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(size=st.integers(5, 100), workers=st.sampled_from([0, "threads"]))
def test_any_tile_size(size, workers, run_file, reference, threads, tmp_path_factory):
    changed = mock.edited(run_file, f"tiles{size}.yaml", {"tiles.size": size})
    how = {"workers": 0} if workers == 0 else {"scheduler": threads}
    mock.assert_same(running.run(changed, tmp_path_factory.mktemp("any") / "run", **how), reference)


def test_every_estimator(run_file, tmp_path):
    """Iterated inpainting, every map, galaxies in the law, and the error of the lens model's family."""
    asked = {
        "convergence.family_rms": 0.3,
        "inpaint.iterations": 4,
        "relation.galaxy_light": "auto",
        "density.gaussian": 3.0,
        "density.neighbours": 5,
        "outputs": list(schema.MAPS),
    }
    whole = running.run(mock.edited(run_file, "all.yaml", asked), tmp_path / "whole", workers=0)
    steps = [field["inpainting"] for field in whole.summary["fields"].values()]
    assert all(1 <= step["iterations"] <= 4 and step["last_change"] < 0.1 for step in steps)
    for name in schema.MAPS:
        assert np.isfinite(whole.field("a")[name].values).any(), name
        assert whole.map_path("a", name).exists()
    changed = mock.edited(run_file, "cut.yaml", {**asked, "tiles.size": 37})
    mock.assert_same(running.run(changed, tmp_path / "run", workers=0), whole)


def test_fewer_maps_change_nothing_else(run_file, reference, tmp_path):
    """Arrays without a FITS image are still in the store, where later stages read them."""
    changed = mock.edited(run_file, "fewer.yaml", {"outputs": ["rho"], "tiles.size": 50})
    run = running.run(changed, tmp_path / "run", workers=0)
    ours, theirs = mock.products(run), mock.products(reference)
    # The map of the law's residuals belongs to the sky, not to a field: no output asks for it.
    maps = {"maps/a_rho.fits", "maps/b_rho.fits", "maps/law_residuals.fits"}
    assert {name for name in ours if name.startswith("maps/")} == maps
    assert ours == {name: theirs[name] for name in theirs if not name.startswith("maps/") or name in maps}
    here, there = mock.stored(run), mock.stored(reference)
    assert here.keys() == there.keys()
    for name, values in there.items():
        np.testing.assert_array_equal(here[name], values, err_msg=name)


def test_threads(run_file, reference, threads, tmp_path):
    changed = mock.edited(run_file, "threads.yaml", {"tiles.size": 33})
    mock.assert_same(running.run(changed, tmp_path / "run", scheduler=threads), reference)


def test_processes(run_file, reference, processes, tmp_path):
    """With the address of a scheduler whose workers are processes, which also do the ingest."""
    changed = mock.edited(run_file, "processes.yaml", {"tiles.size": 33, "ingest": "always"})
    address = processes.scheduler.address
    mock.assert_same(running.run(changed, tmp_path / "run", scheduler=address), reference)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_own_workers(workers, run_file, reference, tmp_path):
    changed = mock.edited(run_file, f"own{workers}.yaml", {"tiles.size": 40})
    mock.assert_same(running.run(changed, tmp_path / "run", workers=workers), reference)


@pytest.mark.parametrize("mode", ["never", "always"])
def test_ingest(mode, run_file, reference, tmp_path):
    changed = mock.edited(run_file, f"{mode}.yaml", {"ingest": mode, "tiles.size": 48})
    run = running.run(changed, tmp_path / "run", workers=0)
    assert ("sci" in run.field("a")) is (mode == "always")
    mock.assert_same(run, reference)


def test_an_earlier_ingest(run_file, reference, tmp_path):
    """`store:` instead of bands, as `tilegc ingest` left it."""
    stores = running.ingest_only(run_file, tmp_path / "earlier", workers=0)
    fields = {f"fields.{number}.store": str(path) for number, path in enumerate(stores)}
    bands = {f"fields.{number}.bands": None for number in range(len(stores))}
    changed = mock.edited(run_file, "store.yaml", {**fields, **bands, "tiles.size": 50})
    mock.assert_same(running.run(changed, tmp_path / "run", workers=0), reference)


def test_tile_compressed_files(reference, tmp_path):
    """The same pixels in RICE-style containers: everything but the header cards of the container."""
    run_file = mock.write_inputs(tmp_path / "rice", container="rice")
    run = running.run(mock.edited(run_file, "r.yaml", {"tiles.size": 48}), tmp_path / "run", workers=0)
    mock.assert_same(run, reference)


def test_gzipped_files(tmp_path):
    """grizli's layout: gzipped files go through an ingest, plain ones are read in windows."""
    plain = mock.write_inputs(tmp_path / "plain", container="grizli", ingest="never")
    gzipped = mock.write_inputs(tmp_path / "gz", container="grizli-gz", tiles={"size": 48})
    run = running.run(gzipped, tmp_path / "gz-run", workers=0)
    assert "sci" in run.field("a")
    mock.assert_same(run, running.run(plain, tmp_path / "plain-run", workers=0))


def test_tiles_in_another_order(run_file, reference, tmp_path, monkeypatch):
    """Backwards, with every third unit failing once: as late workers and lost ones would have it."""
    ordinary, failed = SerialEngine._do, set()

    def do(self, books, function, common, unit):
        def once(common, payload):
            if crc32(unit.key.encode()) % 3 == 0 and (books.name, unit.key) not in failed:
                failed.add((books.name, unit.key))
                raise OSError("the disk is away")
            return function(common, payload)

        ordinary(self, books, once, common, unit)

    run_all = SerialEngine.run
    monkeypatch.setattr(SerialEngine, "_do", do)
    monkeypatch.setattr(
        SerialEngine,
        "run",
        lambda self, name, function, units, **rest: run_all(self, name, function, units[::-1], **rest),
    )
    changed = mock.edited(run_file, "order.yaml", {"tiles.size": 33})
    mock.assert_same(running.run(changed, tmp_path / "run", workers=0), reference)
    assert len(failed) > 20


@pytest.mark.slow
def test_a_simulated_cluster(processes, tmp_path):
    """Four bands, bright stars, a truth table: one tile in this process, many on workers."""
    run_file = simulate(tmp_path / "sim", preset="tiny", size=(240, 180))
    one = mock.edited(run_file, "one.yaml", {"tiles.size": 1000, "ingest": "always"})
    expected = running.run(one, tmp_path / "one", workers=0)
    assert expected.summary["truth"]["completeness"] > 0.5
    many = mock.edited(run_file, "many.yaml", {"tiles.size": 71})
    mock.assert_same(running.run(many, tmp_path / "many", scheduler=processes.scheduler.address), expected)


def test_products_name_no_tile_no_path_and_no_time(run_file, reference, tmp_path):
    """What differs between machines stays in manifest, log, run file and `timing`."""
    for name, content in mock.products(reference).items():
        assert str(run_file.parent).encode() not in content, name
        assert str(reference.path).encode() not in content, name
    for name, content in mock.products(reference).items():
        if name.startswith("maps/"):
            assert b"DATE" not in content[:14400]
            assert b"CHECKSUM" not in content[:14400]
    timing = json.loads((reference.path / "summary.json").read_bytes())["timing"]
    assert set(timing) == {
        "ingest_s",
        "audit_s",
        "mask_s",
        "detect_s",
        "completeness_s",
        "luminosity_s",
        "density_s",
        "compare_s",
        "report_s",
        "total_s",
    }


def test_the_calibrated_reference_is_another_one_and_holds_sources(calibrated, reference):
    _, run = calibrated
    assert run.summary["recipe"] == run.manifest["recipe"] == "calibrated"
    assert len(run.candidates) > 30
    assert mock.products(run)["maps/a_detection.fits"] != mock.products(reference)["maps/a_detection.fits"]
    assert np.isfinite(run.candidates["concentration"]).any()
    assert {path.name for path in (run.path / "psf").iterdir()} == {
        f"{field}_{band}.fits" for field in "ab" for band in mock.BANDS
    }
    assert {f"psf/a_{band}.fits" for band in mock.BANDS} <= set(run.manifest["products"])
