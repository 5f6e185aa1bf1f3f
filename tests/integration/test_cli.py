"""The commands as a user types them: what they print, write and return."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.io import fits

from tests.support import mock
from tests.support.command import listing, tilegc
from tilegc import __version__, config, open_run
from tilegc.density import phase as density_phase
from tilegc.io.tables import read_ecsv
from tilegc.schema import FILES

COMMANDS = (
    "demo",
    "simulate",
    "ingest",
    "audit",
    "plan",
    "run",
    "complete",
    "report",
    "status",
    "verify",
    "doctor",
    "study",
)


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    return mock.write_inputs(tmp_path_factory.mktemp("inputs"), tiles={"size": 40})


@pytest.fixture(scope="module")
def outcome(run_file):
    """A run with all defaults but the workers, and its page."""
    return tilegc("run", run_file, "--workers", 0)


@pytest.fixture(scope="module")
def run(run_file, outcome):
    assert outcome.code == 0, outcome
    return open_run(run_file.with_name("run-run"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    found = tilegc(command, "--help")
    assert found.code == 0
    assert found.err == ""
    assert f"{command} [OPTIONS]" in found.out


def test_help_names_every_command_and_option():
    found = tilegc("--help")
    assert found.code == 0
    assert all(re.search(rf"^ +{command} ", found.out, re.MULTILINE) for command in COMMANDS)
    text = tilegc("run", "--help").out
    for option in (
        "--output",
        "-o",
        "--workers",
        "--scheduler",
        "--cluster",
        "--resume",
        "--overwrite",
        "--show-config",
    ):
        assert option in text
    assert tilegc("--version").out == f"tilegc {__version__}\n"


@pytest.mark.parametrize("arguments", [("fly",), ("run",), ("run", "--resume"), ("status", "a", "b")])
def test_usage(arguments):
    found = tilegc(*arguments)
    assert found.code == 2
    assert "Traceback" not in found.err
    assert re.fullmatch(r"tilegc: [^\n]+--help\n", found.err), found.err


def test_without_a_command_it_helps():
    assert tilegc().out == tilegc("--help").out
    assert tilegc("study").out == tilegc("study", "--help").out
    assert tilegc("study").code == 0


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["study"], ["--version"]])
def test_start_up_imports_no_library(arguments):
    """Imports that take most of a second wait until a command needs them."""
    heavy = (
        "dask",
        "distributed",
        "astropy",
        "numba",
        "scipy",
        "xarray",
        "zarr",
        "pyarrow",
        "numpy",
        "rich",
    )
    script = (
        "import sys\n"
        f"sys.argv = ['tilegc', *{arguments!r}]\n"
        "from tilegc.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        f"found = [name for name in {heavy!r} if name in sys.modules]\n"
        "sys.exit(' '.join(found) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout


def test_a_mistake_in_a_run_file_is_answered_before_the_chain_is_imported(tmp_path):
    run_file = tmp_path / "run.yaml"
    run_file.write_text("recipee: calibrated\n", encoding="utf-8")
    script = (
        "import sys\n"
        f"sys.argv = ['tilegc', sys.argv[1], {str(run_file)!r}]\n"
        "from tilegc.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 2\n"
        "heavy = {'distributed', 'astropy', 'numba', 'scipy', 'xarray', 'zarr', 'pyarrow'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    for command in ("run", "plan", "audit", "detect", "ingest"):
        done = subprocess.run(
            [sys.executable, "-c", script, command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command} imported {done.stderr}"
        assert "did you mean 'recipe'?" in done.stderr


def test_the_chain_imports_neither_statistics_nor_signal_of_scipy():
    """Together they cost every process of a run half a second."""
    code = "import sys, tilegc.pipeline; print(sorted({'scipy.signal', 'scipy.stats'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_in_a_shell():
    """The module runs; without a terminal there are no colours; start-up imports little."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tilegc", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"tilegc {__version__}\n"
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"numba", "dask", "distributed", "xarray", "zarr", "astropy.io.fits", "matplotlib"}


def test_run_says_what_it_found_and_where_the_report_is(run, outcome):
    found = outcome.out
    summary = run.summary
    assert re.search(rf"field a +{summary['fields']['a']['n_detected']} sources", found)
    assert re.search(rf"sources +{summary['n_detected']} detected", found)
    assert f"b = {summary['relation']['index']:.3f}" in found
    assert str(run.path / "report.html") in found
    assert "\x1b" not in outcome.out + outcome.err
    for name in ("filter", "peaks", "rho"):
        assert re.search(rf"^{name} ", outcome.out, re.MULTILINE)


def test_run_goes_beside_its_run_file(run, run_file):
    assert run.path == run_file.parent / "run-run"


def test_study_mask(run, tmp_path):
    """From a finished run to its table and figure; what the run wrote stays as it was."""
    folder = Path(shutil.copytree(run.path, tmp_path / "run"))
    before = listing(folder)
    found = tilegc("study", "mask", folder, "--growth", "0,2,5")
    assert (found.code, found.err) == (0, ""), found
    assert f"{folder}/study/mask.ecsv and mask.png" in found.out
    assert (folder / "study" / "mask.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    table = read_ecsv(str(folder / "study" / "mask.ecsv"))
    whole = table[table["annulus"] < 0]
    assert set(whole["growth"].value) == {0, 2, 5}
    for name in run.fields:
        rows = whole[whole["field"] == name]
        mask = run.field(name)["mask"].values
        assert rows["n_gc"][0] == (np.asarray(run.catalogue["field"]).astype(str) == name).sum()
        assert rows["area_arcsec2"][0].value == pytest.approx((mask == 0).sum() * mock.SCALE**2)
        assert (np.diff(rows["n_gc"]) <= 0).all()
        assert (np.diff(rows["area_arcsec2"].value) < 0).all()
    after = {name: content for name, content in listing(folder).items() if not name.startswith("study")}
    for listed in (before, after):
        for name in (FILES.manifest, FILES.manifest_copy):  # they name what the study wrote
            listed.pop(name)
    assert after == before
    again = tilegc("study", "mask", folder, "--growth", "0,nonsense")
    assert again.code == 2
    assert re.fullmatch(r"tilegc: --growth [^\n]+\n", again.err)


def test_show_config(run_file, tmp_path):
    before = listing(run_file.parent)
    found = tilegc("run", run_file, "--show-config")
    assert found.code == 0
    assert config.resolve(yaml.safe_load(found.out)) == config.load(run_file)
    assert "alpha: 1.6" in found.out
    assert listing(run_file.parent) == before
    bad = mock.edited(run_file, "bad.yaml", {"tiles.sice": 3})
    assert tilegc("run", bad, "--show-config").code == 2
    bad.unlink()


def test_the_runs_own_run_file_runs_again(run, tmp_path, monkeypatch):
    mock.no_report(monkeypatch)
    found = tilegc("run", run.path / "run.yaml", "-o", tmp_path / "again", "--workers", 0)
    assert found.code == 0, found
    mock.assert_same(tmp_path / "again", run)


def test_plan(run_file, run):
    before = listing(run_file.parent)
    found = tilegc("plan", run_file, "-o", run_file.parent / "planned", "--workers", 2)
    assert found.code == 0, found
    assert listing(run_file.parent) == before
    tiles = 3 * 3 + 2 * 2  # 96 x 88 and 80 x 72 pixels in tiles of 40
    assert re.search(rf"^filter +{tiles} .*MiB.*store", found.out, re.MULTILINE)
    assert re.search(r"in total; .*MiB.*[kM]B", found.out)
    planned = {
        name: int(count) for name, count in re.findall(r"^(\S+) +(\d+) .*store *$", found.out, re.MULTILINE)
    }
    done = {
        name: int(count)
        for name, count in re.findall(r"^(\S+) +(\d+) +\d+$", tilegc("status", run.path).out, re.MULTILINE)
    }
    assert {name: count for name, count in planned.items() if count} == done


def test_plan_says_what_run_would_refuse(run_file, run, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    for folder, words in ((run.path, "--resume"), (tmp_path / "other", "not a tilegc run directory")):
        found = tilegc("plan", run_file, "-o", folder, "--workers", 2)
        assert found.code == 2
        assert re.fullmatch(rf"tilegc: {folder}: .*{words}.*\n", found.err), found.err
        assert "MiB" in found.out
        assert tilegc("run", run_file, "-o", folder).err == found.err


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_plan_refuses_what_does_not_fit(run_file, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: _Usage(10**12, 10**12, 1000))
    before = listing(run_file.parent)
    for command in ("plan", "run"):
        found = tilegc(command, run_file, "-o", run_file.parent / "planned")
        assert found.code == 2
        assert re.search(r"^tilegc: .* kB of disk space, but only 1.0 kB .*-o$", found.err, re.MULTILINE), (
            found.err
        )
    assert listing(run_file.parent) == before


def test_status_and_verify(run):
    found = tilegc("status", run.path)
    assert found.code == 0
    assert f"{run.path}: done" in found.out
    assert re.search(r"^filter +13 +13$", found.out, re.MULTILINE)
    found = tilegc("verify", run.path)
    assert found.code == 0
    assert "all products are unchanged" in found.out
    assert found.err == ""


def test_report_is_drawn_again_and_changes_no_product(run):
    products, page = mock.products(run), (run.path / "report.html").read_bytes()
    (run.path / "report.html").unlink()
    found = tilegc("report", run.path)
    assert found.code == 0, found
    assert found.out == f"{run.path / 'report.html'}\n"
    assert len((run.path / "report.html").read_bytes()) == pytest.approx(len(page), rel=0.05)
    assert mock.products(run) == products
    assert tilegc("verify", run.path).code == 0


def test_ingest_then_run_from_the_stores(run_file, run, tmp_path, monkeypatch):
    mock.no_report(monkeypatch)
    found = tilegc("ingest", run_file, "-o", tmp_path / "earlier", "--workers", 0)
    assert found.code == 0, found
    assert found.out.split() == [str(tmp_path / "earlier" / "store" / f"{name}.zarr") for name in "ab"]
    changes = {f"fields.{number}.bands": None for number in (0, 1)}
    changes |= {f"fields.{number}.store": path for number, path in enumerate(found.out.split())}
    from_stores = mock.edited(run_file, "from-stores.yaml", {**changes, "tiles.size": 25})
    done = tilegc("run", from_stores, "-o", tmp_path / "later", "--workers", 0)
    assert done.code == 0, done
    mock.assert_same(tmp_path / "later", run)
    assert "sci" in open_run(tmp_path / "later").field("a")


def test_ingest_then_resume_in_the_same_folder(run_file, run, tmp_path, monkeypatch):
    mock.no_report(monkeypatch)
    assert tilegc("ingest", run_file, "-o", tmp_path / "run", "--workers", 0).code == 0
    assert tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0).code == 2
    found = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0, "--resume")
    assert found.code == 0, found
    mock.assert_same(tmp_path / "run", run)


def test_a_bug_is_one_line_too(run_file, tmp_path, monkeypatch):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(density_phase.rho, "rho", broken)
    found = tilegc("run", run_file, "-o", tmp_path / "run", "--workers", 0)
    assert found.code == 1
    assert re.search(r"ZeroDivisionError.*log\.txt", found.err.splitlines()[-1])
    assert "Traceback" not in found.err
    assert "Traceback" in (tmp_path / "run" / "log.txt").read_text()
    assert "failed" in tilegc("status", tmp_path / "run").out
    assert tilegc("verify", tmp_path / "run").code == 1


def test_simulate(tmp_path):
    """The output of `simulate` can be planned without complaint, and is reproducible."""
    found = tilegc("simulate", tmp_path / "sim", "--preset", "tiny", "--size", "64,48", "--seed", 3)
    assert found.code == 0, found
    run_file = tmp_path / "sim" / "run.yaml"
    assert f"tilegc run {run_file}" in found.out
    names = {path.name for path in (tmp_path / "sim").iterdir()}
    assert {"run.yaml", "kappa.fits", "truth.parquet", "a_f090w_i2d.fits", "b_f200w_i2d.fits"} <= names
    with fits.open(tmp_path / "sim" / "a_f150w_i2d.fits") as hdus:
        assert {"SCI", "ERR", "WHT"} <= {one.name for one in hdus}
        assert hdus["SCI"].shape == (64, 64)
        assert np.isfinite(hdus["SCI"].data).any()
    assert pq.read_table(tmp_path / "sim" / "truth.parquet").num_rows > 0
    assert tilegc("plan", run_file).code == 0
    again = tilegc("simulate", tmp_path / "sim", "--preset", "tiny", "--size", "64,48", "--seed", 3)
    assert again.code == 2
    assert "--overwrite" in again.err
    tilegc("simulate", tmp_path / "twin", "--preset", "tiny", "--size", "64,48", "--seed", 3)
    assert listing(tmp_path / "twin") == listing(tmp_path / "sim")


def test_simulate_where_nothing_may_be_written(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tilegc.simulation.make.mosaic_for", denied)
    found = tilegc("simulate", tmp_path / "sim", "--preset", "tiny", "--size", "64,48")
    assert (found.code, found.out) == (2, "")
    assert re.search(
        r"tilegc: .*sim: cannot be written to \(Permission denied\); choose another directory\n$", found.err
    )
    assert not (tmp_path / "sim").exists()


def test_doctor():
    found = tilegc("doctor")
    assert found.code == 0, found
    assert found.out.count("\n") == found.out.count("ok  ") >= 5


@pytest.mark.slow
def test_doctor_compiles_the_kernels_of_both_recipes():
    found = tilegc("doctor", "--warm")
    assert found.code == 0, found
    assert re.fullmatch(r"ok +compiled kernels +(compiled in \d+ s|all in the cache on disk)\n", found.out)


def test_doctor_says_what_is_broken(monkeypatch):
    def broken():
        raise OSError("no fonts")

    monkeypatch.setattr("tilegc.doctor._figures", broken)
    monkeypatch.setattr("tilegc.doctor._cluster", lambda: "not tried")
    found = tilegc("doctor")
    assert found.code == 1
    assert re.search(r"^FAILS +figures +OSError: no fonts", found.out, re.MULTILINE)


def test_figures_as_pdf_are_as_wide_as_a_column_or_a_page(run, tmp_path):
    """Drawn on demand, the same bytes each time, linked from the page, vouched for, and drawn again from then on."""
    shutil.copytree(run.path, tmp_path / "run")
    figures = tmp_path / "run" / "figures"
    assert not list(figures.glob("*.pdf"))
    done = tilegc("report", tmp_path / "run", "--pdf")
    assert done.code == 0, done
    drawn = {path.stem: path.read_bytes() for path in figures.glob("*.pdf")}
    assert set(drawn) == {path.stem for path in figures.glob("*.png")}
    widths = {}
    for name, content in drawn.items():
        assert content.startswith(b"%PDF")
        assert b"CreationDate" not in content
        width = float(re.search(rb"MediaBox \[ 0 0 ([\d.]+) ", content)[1]) / 72 * 25.4
        widths[name] = round(width, 3)
    assert set(widths.values()) == {88.0, 180.0}
    assert widths["sources-a"] == 88.0
    assert widths["relation"] == 180.0
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(f'href="figures/{name}.pdf"' in page for name in drawn)
    assert tilegc("verify", tmp_path / "run").code == 0
