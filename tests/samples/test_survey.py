"""Samples of clusters: layers of run files, plans, parallel runs with the bytes of single runs, separate failures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from astropy import units as u
from astropy.table import Table

import tilegc
from tests.support import mock
from tests.support.command import tilegc as command
from tilegc import samples
from tilegc.errors import ConfigError, InputError, RunFolderError, SchedulerLostError
from tilegc.io import probe
from tilegc.population.common_depth import Limit
from tilegc.run_folder import Heartbeat, keep_products
from tilegc.samples.common import Common, common_depths, read_common
from tilegc.samples.driving import Drive, driven, lost_scheduler
from tilegc.samples.live import StatusPage
from tilegc.samples.observation import footprint, wavelengths
from tilegc.samples.occupancy import Occupancy
from tilegc.samples.planning import ClusterPlan, SamplePlan, in_order
from tilegc.samples.report import failure
from tilegc.samples.running import _is_open
from tilegc.samples.sample import merge
from tilegc.samples.status import ClusterStatus, write_record
from tilegc.viewer.aladin import moc_order, searched


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs of one cluster, and a sample that lists it with both recipes, and a cluster whose run file is missing."""
    home = tmp_path_factory.mktemp("sample")
    mock.write_inputs(home)
    clusters = [
        {"name": "paper", "run": "run.yaml", "recipe": "diego2026"},
        {"name": "local", "run": "run.yaml"},
        {"name": "absent", "run": "elsewhere.yaml"},
        {"name": "impossible", "run": "run.yaml", "cluster": {"redshift": -1}},
    ]
    content = {"defaults": {"recipe": "calibrated", "inpaint": {"realisations": 3}}, "clusters": clusters}
    # The run file's own recipe would win over the defaults: leave it out, as a user of defaults does.
    run = yaml.safe_load((home / "run.yaml").read_text())
    del run["recipe"]
    (home / "run.yaml").write_text(yaml.safe_dump(run))
    (home / "sample.yaml").write_text(yaml.safe_dump(content))
    return home


@pytest.fixture(scope="module")
def surveyed(folder):
    outcomes = tilegc.survey(str(folder / "sample.yaml"), folder / "runs", workers=0, drivers=2)
    return folder / "runs", {one.name: one for one in outcomes}


def test_later_layers_win_key_by_key_and_lists_are_replaced():
    under = {"mask": {"edge": 6.6, "bright": "auto"}, "outputs": ["mask", "rho"], "tiles": {"size": 512}}
    over = {"mask": {"edge": 2.0}, "outputs": ["rho"], "tiles": None}
    assert merge(under, over) == {"mask": {"edge": 2.0, "bright": "auto"}, "outputs": ["rho"], "tiles": None}


def test_a_cluster_is_defaults_its_run_file_and_its_own_keys(folder):
    entries = {one.name: one for one in samples.load_sample(str(folder / "sample.yaml")).entries}
    assert entries["paper"].config.recipe == "diego2026"
    assert entries["local"].config.recipe == "calibrated"
    assert entries["local"].config.inpaint.realisations == 3
    assert entries["local"].config.fields[0].bands["F090W"].sci.startswith(str(folder))
    assert "elsewhere.yaml" in entries["absent"].problem
    assert "redshift" in entries["impossible"].problem
    assert entries["impossible"].config is None


@pytest.mark.parametrize("form", ["csv", "ecsv", "vot", "parquet"])
def test_a_table_is_a_sample(folder, form):
    table = Table(
        {
            "name": ["x", "y"],
            "run": ["run.yaml", "run.yaml"],
            "redshift": [0.3, 0.4],
            "recipe": ["calibrated", "diego2026"],
            "detect.keep": [1.5, 2.5],
        }
    )
    path = folder / f"table.{form}"
    formats = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable", "parquet": "parquet"}
    table.write(path, format=formats[form], overwrite=True)
    entries = samples.load_sample(str(path)).entries
    assert [one.problem for one in entries] == [None, None]
    assert [one.config.cluster.redshift for one in entries] == [0.3, 0.4]
    assert [one.config.recipe for one in entries] == ["calibrated", "diego2026"]
    assert [one.config.detect.keep for one in entries] == [1.5, 2.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "list of clusters"),
        ("clusters: []", "list of clusters"),
        ("clusters: [{run: a.yaml}]", r"clusters\.0: expected a mapping with a name"),
        ("clusters: [{name: a/b}]", "cannot be a directory name"),
        ("clusters: [{name: ..}]", "cannot be a directory name"),
        ("clusters: [{name: a}, {name: a}]", "duplicate name 'a'"),
        ("clusters: [{name: a}]\nextra: 1", "unknown key 'extra'"),
        ("clusters: [{name: a}]\ndefaults: [1]", "defaults"),
        ("clusters: [", "not YAML"),
    ],
)
def test_a_wrong_sample_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "sample.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        samples.load_sample(str(path))
    assert "\n" not in str(caught.value)
    done = command("survey", path, "-o", tmp_path / "runs")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_plan_costs_what_runs_and_names_what_does_not(folder):
    found = samples.plan_sample(samples.load_sample(str(folder / "sample.yaml")), folder / "planned", 2)
    by_name = {one.name: one for one in found.clusters}
    alone = tilegc.plan(
        samples.load_sample(str(folder / "sample.yaml")).entries[0].config, folder / "planned"
    )
    assert by_name["paper"].refusal is None
    assert by_name["paper"].pixels == alone.pixels
    assert by_name["paper"].tiles == sum(step.units for step in alone.steps)
    assert by_name["paper"].memory == alone.memory
    assert {name for name, one in by_name.items() if one.refusal} == {"absent", "impossible"}
    assert not (folder / "planned").exists()
    done = command("survey", "plan", folder / "sample.yaml")
    assert done.code == 0, done.err
    assert "2 of 4 clusters would run" in done.out


def test_status_of_a_sample_imports_nothing_that_runs_a_cluster():
    code = (
        "import sys, tilegc.samples.status; "
        "print(sorted({'distributed', 'dask', 'numba', 'xarray', 'astropy', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_wcs_that_the_bands_of_a_field_share_is_parsed_once(folder, monkeypatch):
    parsed = []
    parse = probe.sky.wcs_from_text
    monkeypatch.setattr(probe.sky, "wcs_from_text", lambda text: parsed.append(text) or parse(text))
    probe._pixel.cache_clear()
    sample = samples.load_sample(str(folder / "sample.yaml"))
    probe.probe_field(sample.entries[0].config.fields[0])
    assert len(parsed) == 1


def test_largest_first_and_no_shorter_than_the_longest():
    plans = [
        ClusterPlan(name, 1, 1, cost, 1, 1, None) for name, cost in (("a", 20.0), ("b", 900.0), ("c", 30.0))
    ]
    assert [one.name for one in in_order(plans)] == ["b", "c", "a"]
    assert SamplePlan(tuple(plans), 1).wall_seconds >= 900.0
    assert SamplePlan(tuple(plans), 1000).wall_seconds < SamplePlan(tuple(plans), 10).wall_seconds


def test_a_cluster_in_a_sample_has_the_bytes_of_the_same_cluster_alone(surveyed, folder):
    runs, outcomes = surveyed
    assert {name: one.state for name, one in outcomes.items()} == {
        "paper": "done",
        "local": "done",
        "absent": "refused",
        "impossible": "refused",
    }
    config = samples.load_sample(str(folder / "sample.yaml")).entries[0].config
    alone = tilegc.run(config, folder / "alone", workers=0)
    mock.assert_same(runs / "paper", alone)
    assert not tilegc.verify(runs / "paper")


def test_the_table_of_all_clusters(surveyed):
    runs, _ = surveyed
    table = pq.read_table(runs / "clusters.parquet").to_pydict()
    assert table["name"] == ["paper", "local", "absent", "impossible"]
    assert table["state"] == ["done", "done", "refused", "refused"]
    for row, name in enumerate(("paper", "local")):
        summary = tilegc.open_run(runs / name).summary
        assert table["n_detected"][row] == summary["n_detected"]
        assert table["recipe"][row] == summary["recipe"]
        found, expected = table["relation_index"][row], (summary["relation"] or {}).get("index")
        assert found == expected if expected is not None else np.isnan(found)
    assert "elsewhere.yaml" in table["message"][2]
    assert table["obs_id"] == table["name"]
    assert table["s_region"][0].startswith("UNION ICRS (POLYGON ")
    assert table["s_region"][2] == ""
    np.testing.assert_allclose([table["em_min"][0], table["em_max"][0]], [0.795e-6, 1.668e-6])
    assert table["fingerprint"][0] == tilegc.open_run(runs / "paper").manifest["fingerprint"]
    units = {
        field.name: field.metadata[b"unit"].decode() for field in pq.read_schema(runs / "clusters.parquet")
    }
    assert units["s_ra"] == "deg"
    assert units["em_min"] == "m"
    assert units["lens_mass_in_aperture"] == "Msun"


def test_sources_of_a_sample_stand_once_in_parquet_and_votable(surveyed):
    # Both runs are of the same sky: every source of one that the other has as well stands there once.
    runs, _ = surveyed
    table = pq.read_table(runs / "sources.parquet").to_pydict()
    parts = {name: tilegc.open_run(runs / name).catalogue for name in ("paper", "local")}
    assert len(table["ra"]) < sum(map(len, parts.values()))
    assert {name: set(np.asarray(part["id"])) for name, part in parts.items()}.keys() == set(table["cluster"])
    ra, dec = np.radians(table["ra"]), np.radians(table["dec"])
    other = np.array(table["cluster"])
    apart = np.hypot((ra[:, None] - ra) * np.cos(dec), dec[:, None] - dec) * 180 / np.pi * 3600
    assert (apart[other[:, None] != other] > 0.1).all()
    votable = Table.read(runs / "sources.vot", format="votable")
    np.testing.assert_array_equal(np.asarray(votable["ra"]), table["ra"])
    assert list(votable["cluster"]) == table["cluster"]


def test_the_report_of_a_sample_links_to_the_clusters_and_says_what_to_do(surveyed):
    runs, _ = surveyed
    page = (runs / "report.html").read_text()
    for name in ("paper", "local"):
        assert f'<a href="{name}/report.html">{name}</a>' in page
    assert "<b>absent</b>, refused" in page
    assert "There is no law of the sample: 2 clusters" in page or "law.png" in page
    found = json.loads((runs / "sample.json").read_text())
    assert found["law"] is None
    assert "3 are needed" in found["missing"]["law"]
    profiles = Table.read(runs / "stacked-profiles.ecsv", format="ascii.ecsv")
    assert (profiles["n_clusters"][profiles["unit"] == "kpc"] == 2).any()


def test_the_table_and_the_report_can_be_written_anew(surveyed):
    runs, _ = surveyed
    before = (runs / "clusters.parquet").read_bytes()
    (runs / "clusters.parquet").unlink()
    done = command("survey", "report", runs)
    assert done.code == 0, done.err
    assert (runs / "clusters.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("a.fits: truncated in HDU 2; fetch it again", "fetch it again"),
        (
            "k.fits: the scaling is not declared: give convergence.source_redshift",
            "give convergence.source_redshift",
        ),
        ("its driver exited with code 9", "fix the cause and rerun with --resume --retry-failed"),
    ],
)
def test_a_failure_is_split_into_what_is_wrong_and_what_to_do(message, remedy):
    found = failure(ClusterStatus("x", "failed", message))
    assert found["remedy"] == remedy
    assert found["what"] == message.removesuffix(remedy).rstrip(":; ")


def test_outlines_run_anticlockwise_as_dali_asks(surveyed):
    runs, _ = surveyed
    run = tilegc.open_run(runs / "paper")
    polygons = re.findall(r"POLYGON ([-\d. ]+)", footprint(run))
    assert len(polygons) == len(run.fields)
    for text, name in zip(polygons, run.fields, strict=True):
        corners = np.array(text.split(), float).reshape(4, 2)
        x, y = corners.T
        assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0
        rows, columns = run.summary["fields"][name]["shape"]
        area = (
            abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2 * np.cos(np.radians(y.mean())) * 3600**2
        )
        assert area == pytest.approx(rows * columns * mock.SCALE**2, rel=1e-3)
    assert np.isnan(wavelengths(["F090W", "unknown"])).all()


def test_resuming_leaves_what_is_done_and_a_second_start_is_refused(surveyed, folder):
    runs, _ = surveyed
    with pytest.raises(RunFolderError, match="--resume or start over with --overwrite"):
        tilegc.survey(str(folder / "sample.yaml"), runs, workers=0)
    before = (runs / "paper" / "manifest.json").stat().st_mtime_ns
    outcomes = tilegc.survey(str(folder / "sample.yaml"), runs, workers=0, resume=True)
    assert [one.state for one in outcomes] == ["done", "done", "refused", "refused"]
    assert (runs / "paper" / "manifest.json").stat().st_mtime_ns == before
    done = command("survey", "status", runs)
    assert done.code == 0
    assert "2 done, 2 refused" in done.out


def test_one_broken_cluster_never_stops_the_others_and_is_run_again_on_request(folder, tmp_path):
    home = tmp_path / "inputs"
    home.mkdir()
    run = mock.write_inputs(home)
    content = {"clusters": [{"name": "good", "run": run.name}, {"name": "bad", "run": run.name}]}
    sample = home / "sample.yaml"
    sample.write_text(yaml.safe_dump(content))
    runs = home / "runs"
    # A foreign file where the run's folder would be: the run is refused when it begins, the plan does not see it.
    (runs / "bad").mkdir(parents=True)
    (runs / "bad" / "notes.txt").write_text("mine")
    (runs / "survey.json").write_text(json.dumps({"tilegc-survey": 1, "clusters": []}))
    done = command("survey", sample, "--workers", 0, "--drivers", 2, "--resume", "-o", runs)
    assert done.code in {2, 3}, done.err
    assert "bad" in done.err
    assert (runs / "bad" / "notes.txt").read_text() == "mine"
    (runs / "bad" / "notes.txt").unlink()
    again = command("survey", sample, "--workers", 0, "--resume", "--retry-failed", "-o", runs)
    assert again.code == 0, again.err
    mock.assert_same(runs / "bad", runs / "good")


def test_only_what_is_named_runs(folder, tmp_path):
    with pytest.raises(ConfigError, match="--only nobody: no such cluster"):
        tilegc.survey(str(folder / "sample.yaml"), tmp_path / "runs", workers=0, only=("nobody",))
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_lsdb_opens_and_crossmatches_the_sources_of_a_sample(surveyed):
    lsdb, mocpy = pytest.importorskip("lsdb"), pytest.importorskip("mocpy")
    runs, _ = surveyed
    catalogue, moc = samples.write_sky_catalogue(runs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LSDB announces changes of its own
        opened = lsdb.open_catalog(str(catalogue))
        rows = opened.compute()
        pairs = opened.crossmatch(opened, radius_arcsec=0.01).compute()
    table = pq.read_table(runs / "sources.parquet").to_pydict()
    assert sorted(rows["ra"]) == sorted(table["ra"])
    assert len(pairs) == len(rows)
    assert opened.margin is not None
    covered = mocpy.MOC.from_fits(str(moc))
    inside = covered.contains_lonlat(np.array(table["ra"]) * u.deg, np.array(table["dec"]) * u.deg)
    assert inside.mean() > 0.95
    assert not covered.contains_lonlat(np.array([mock.RA + 1.0]) * u.deg, np.array([mock.DEC]) * u.deg).any()
    with pytest.raises(RunFolderError, match="exists already"):
        samples.write_sky_catalogue(runs)


def test_without_lsdb_its_extra_is_named(surveyed, monkeypatch):
    monkeypatch.setitem(sys.modules, "lsdb", None)
    with pytest.raises(
        InputError, match=r"lsdb is not installed; install it with: pip install 'tilegc\[hats\]'"
    ):
        samples.write_sky_catalogue(surveyed[0])


def test_the_searched_sky_is_that_of_the_good_area(surveyed):
    runs, _ = surveyed
    run = tilegc.open_run(runs / "paper")
    ra, dec = searched({"paper": run})
    cell = run.config.comparison.pixel**2
    good = sum(field["good_area_arcsec2"] for field in run.summary["fields"].values())
    assert ra.size * cell == pytest.approx(good, rel=0.1)
    assert np.abs(dec - mock.DEC).max() < 0.05
    # 1 arcsec cells: order 17 has pixels of 1.6 arcsec, order 18 of 0.8, between which cells would leave gaps
    assert moc_order({"paper": run}) == 17


def test_a_run_without_its_arrays_keeps_its_results_and_says_what_is_gone(surveyed, tmp_path):
    runs, _ = surveyed
    lean = tmp_path / "lean"
    shutil.copytree(runs / "paper", lean)
    before = tilegc.open_run(lean)
    wcs, rho = before.wcs("a").to_header_string(), (lean / "maps" / "a_rho.fits").read_bytes()
    keep_products(lean)
    keep_products(lean)  # a second time changes nothing
    assert not tilegc.verify(lean)
    run = tilegc.open_run(lean)
    assert run.summary == before.summary
    assert run.wcs("a").to_header_string() == wcs
    assert (lean / "maps" / "a_rho.fits").read_bytes() == rho
    assert float(run.sky()["n_gc"].sum()) > 0
    with pytest.raises(RunFolderError, match=r"arrays of its fields were removed .*--resume"):
        run.field("a")
    size = [
        sum(path.stat().st_size for path in one.rglob("*") if path.is_file())
        for one in (lean / "store", runs / "paper" / "store")
    ]
    assert size[0] < 0.5 * size[1]


def test_the_status_page_shows_every_cluster_and_no_markup_of_others(tmp_path):
    beat = Heartbeat(1, "host", "", "", "peaks", 30, 40, 2.5e6, 170)
    statuses = [
        ClusterStatus("one", "running", "peaks", beat),
        ClusterStatus("two", "failed", "<script>alert(1)</script>"),
        ClusterStatus("three", "waiting", ""),
    ]
    page = StatusPage(tmp_path)
    assert page.is_due
    page.write(statuses, Occupancy(threads=20, busy=19))
    assert not page.is_due
    text = (tmp_path / "status.html").read_text()
    assert "http-equiv" in text
    assert "95 % of the time" in text
    assert "1 running, 1 failed, 1 waiting" in text
    assert '<progress max="1" value="0.750">' in text
    assert "&lt;script&gt;alert" in text
    assert "<script>alert" not in text
    page.write(statuses, Occupancy(), ended=True)
    assert "http-equiv" not in (tmp_path / "status.html").read_text()


def test_a_thread_is_busy_if_its_worker_has_a_task_for_it():
    class Workers:
        def nthreads(self):
            return {"a": 1, "b": 2, "c": 1}

        def processing(self):
            return {"a": ("x", "y"), "b": ("z",), "c": ()}

    busy = Occupancy()
    assert busy.whole is None
    busy.look(Workers())
    busy.clusters_left = 2
    busy.look(Workers())
    assert busy.whole == pytest.approx(0.5)
    assert (busy.shared_busy, busy.shared_threads) == (2, 4)


def test_without_its_scheduler_a_cluster_is_stopped_and_no_further_one_begins(folder, tmp_path):
    """No cluster is called broken for it: a resumed survey goes on with all of them."""
    config = samples.load_sample(str(folder / "sample.yaml")).entries[0].config
    told = Drive(
        config=config,
        directory=str(tmp_path / "run"),
        scheduler="tcp://127.0.0.1:9",
        workers=None,
        tls=None,
        resume=False,
        overwrite=False,
        priority=0,
        keep="store",
    )
    plans = [ClusterPlan(name, 1, 1, 1.0, 1, 1, None) for name in ("first", "second")]
    seen = list(driven(plans, lambda _: told, 1, lambda: None))
    assert [(name, state) for name, state, _ in seen] == [("first", "running"), ("first", "stopped")]
    assert "no scheduler answers" in seen[-1][2]
    assert not _is_open("done", retry_failed=True)
    assert _is_open("stopped", retry_failed=False)
    assert not _is_open("failed", retry_failed=False)
    assert _is_open("failed", retry_failed=True)


def test_a_lost_scheduler_is_known_by_whatever_error_it_shows_itself():
    class CommClosedError(OSError):
        pass

    def raised(first, second):
        """What an exit raises that fails as well."""
        second.__context__ = first
        return second

    assert lost_scheduler(SchedulerLostError("gone"))
    assert lost_scheduler(raised(CommClosedError("reset"), TimeoutError("closing")))
    assert lost_scheduler(raised(SchedulerLostError("gone"), RuntimeError("cannot close")))
    assert not lost_scheduler(raised(ValueError("a"), RuntimeError("b")))
    assert not lost_scheduler(ConfigError("a mistake"))


def test_the_common_depth_is_part_of_a_sample_file(folder, tmp_path):
    content = yaml.safe_load((folder / "sample.yaml").read_text())
    content["common"] = {"magnitude": -9.0, "fading": 0.05, "k_correction": [[0.2, -0.2], [0.6, -0.5]]}
    path = folder / "common.yaml"
    path.write_text(yaml.safe_dump(content))
    common = samples.load_sample(str(path)).common
    write_record(tmp_path, [], None, common.model_dump())
    assert read_common(tmp_path) == common
    (tmp_path / "survey.json").write_text('{"tilegc-survey": 1, "clusters": []}')
    assert read_common(tmp_path) == Common()
    limits = [
        Limit(name=name, redshift=0.348, modulus=41.33, lookback=3.9, m50=m50)
        for name, m50 in (("a", 31.0), ("b", 32.7))
    ]
    found = common_depths(limits, Common())
    # half of all clusters are brighter than the turnover
    assert found["b"].factor * 0.5 == pytest.approx(found["a"].factor * 0.0869, rel=0.01)
    assert found["a"].extrapolated
    assert not found["b"].extrapolated
    assert common_depths([None], Common()) == {}
    content["common"] = {"depth": 1}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="common: "):
        samples.load_sample(str(path))
