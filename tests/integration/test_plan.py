"""What `plan` promises: sufficient memory, and refusals before anything is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import yaml
from astropy.io import fits

from tests.support import mock
from tests.support.command import tilegc
from tilegc import planning, running
from tilegc.config import RunConfig
from tilegc.errors import ResourceError
from tilegc.io.fits import BandSource, FieldSource
from tilegc.io.psf import write_psf
from tilegc.kernels.psf_model import model
from tilegc.simulation import simulate

MEASURE = """
import ctypes, json, sys
from pathlib import Path
import distributed, numba
import tilegc
from tilegc.config import load
from tilegc.inputs import examine
from tilegc.phases.planned import Planned
from tilegc.pipeline import PHASES

def status(key):
    return int(Path("/proc/self/status").read_text().split(key + ":")[1].split()[0]) * 1024

class Memory:
    "Peak of every pass, over what this process held before it; freed memory is given back first."
    def __init__(self):
        self.peaks = {}
    def start(self, name, pixels, units):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        self.before = status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is measured anew
    def advance(self, pixels, units):
        pass
    def finish(self, name):
        self.peaks[name] = max(self.peaks.get(name, 0), status("VmHWM") - self.before)

warm, run_file, folder = sys.argv[1:]
tilegc.run(warm, folder + "-warm", workers=0)  # imports and kernels are not a pass's own
memory = Memory()
tilegc.run(run_file, folder, workers=0, progress=memory)
planned = Planned(config=load(run_file), sources=examine(load(run_file)).sources)
steps = {step.name: step.memory for phase in PHASES for step in phase.passes(planned)}
print(json.dumps({name: (steps[name], peak) for name, peak in memory.peaks.items()}))
"""

SLACK = 24 * 2**20
"""Bytes by which a measurement may miss: what the allocator keeps, and what the driver collects meanwhile."""


@pytest.mark.slow
def test_the_planned_memory_holds_for_every_pass(tmp_path):
    """One run in one process with tiles as large as the field; windows with halos are the same as elsewhere."""
    warm = mock.write_inputs(tmp_path / "warm", **mock.CALIBRATED)
    simulate(tmp_path / "in", preset="small", seed=3, size=(900, 500))
    changes = {"recipe": "calibrated", "detect": None, "mask": None, "tiles.size": 900, "ingest": "always"}
    run_file = mock.edited(tmp_path / "in" / "run.yaml", "memory.yaml", changes)
    command = [sys.executable, "-c", MEASURE, str(warm), str(run_file), str(tmp_path / "run")]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    passes = json.loads(out.stdout.splitlines()[-1])
    assert list(passes) == mock.planned_passes(run_file)
    too_much = {name: pair for name, pair in passes.items() if pair[1] > pair[0] + SLACK}
    assert not too_much, "a worker would need more than its plan says"
    too_little = {name: pair for name, pair in passes.items() if pair[0] > 3 * (pair[1] + SLACK)}
    assert not too_little, "the plan would refuse what fits"


def test_a_plan_that_does_not_fit_is_refused():
    step = planning.Step(name="filter", over="tiles", units=1000, memory=2**40)
    reasons = planning._memory(planning.Plan((step,), 0, 0, ()), workers=4)
    assert len(reasons) == 1
    assert "filter" in reasons[0]
    assert "tiles.size" in reasons[0]
    with pytest.raises(ResourceError, match="rho"):
        planning.check(planning.Plan((step,), 0, 0, ("rho does not fit",)))


def bare(folder):
    """Replace the mosaics by ones with neither errors nor weights."""
    for path in folder.glob("*_i2d.fits"):
        with fits.open(path) as planes:
            science = fits.HDUList([planes[0].copy(), planes["SCI"].copy()])
        science.writeto(path, overwrite=True)


def with_psfs(run_file):
    """Give every band a PSF, so that no stars are needed."""
    content = yaml.safe_load(run_file.read_text())
    for name in mock.BANDS:
        found = model(name, mock.SCALE, 10)
        write_psf(
            run_file.with_name(f"{name}.fits"), found, band=name, scale=mock.SCALE, origin="model", n_stars=0
        )
        for field in content["fields"]:
            field["bands"][name] = {"sci": field["bands"][name], "psf": f"{name}.fits"}
    run_file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("case", "changes", "expected"),
    [
        ("bare", {}, {"repeated values": True, "band noise": False, "photometry: sky": False}),
        ("bare", mock.CALIBRATED, {"repeated values": True, "stars": True, "ridges": True}),
        (
            "weighted",
            {"photometry": {}, "mask.spikes": "auto"},
            {"repeated values": False, "bright stars": True},
        ),
        (
            "weighted",
            {
                **mock.CALIBRATED,
                "fields.1": None,
                "photometry": {"bands": {"AGAIN": "a_f090w_i2d.fits"}},
            },
            {"photometry: residuals, other bands": True, "stars, other bands": True},
        ),
        ("weighted", {**mock.CALIBRATED, "photometry": "off"}, {"photometry: sky": False}),
        (
            "psfs",
            {**mock.CALIBRATED, "mask.extended": "off"},
            {"stars": False, "mid-scale noise": False},
        ),
        ("gzip", {"outputs": []}, {"ingest": True, "maps": False}),
    ],
)
def test_the_plan_names_the_passes_of_the_log(case, changes, expected, tmp_path):
    """Runs up to the catalogue; `tests/property/test_same_bytes.py` and others check complete runs."""
    run_file = mock.write_inputs(tmp_path / "in", container="grizli-gz" if case == "gzip" else "i2d")
    if case == "bare":
        bare(run_file.parent)
    if case == "psfs":
        with_psfs(run_file)
    run_file = mock.edited(run_file, "changed.yaml", changes)
    run = running.run(run_file, tmp_path / "run", workers=0, until="catalogue")
    logged = mock.logged_passes(run)
    assert logged == mock.planned_passes(run_file, until="catalogue")
    assert {name: name in logged for name in expected} == expected


def planned(folder, centres=(150.0,), shape=(800, 1200), **settings):
    """Refusals of a plan for fields of 0.03 arcsec a pixel, whose centres lie at these right ascensions."""
    sources, fields = [], []
    for number, ra in enumerate(centres):
        name = f"f{number}"
        wcs = fits.Header(
            {
                "CTYPE1": "RA---TAN",
                "CTYPE2": "DEC--TAN",
                "CRVAL1": ra,
                "CRVAL2": 0.0,
                "CRPIX1": shape[1] / 2,
                "CRPIX2": shape[0] / 2,
                "CDELT1": -0.03 / 3600,
                "CDELT2": 0.03 / 3600,
                "RADESYS": "ICRS",
            }
        )
        sources.append(
            FieldSource(
                name,
                shape,
                (BandSource("F", None),),
                "",
                wcs.tostring("\n"),
                0.03,
                9e-4,
                has_err=False,
                has_wht=False,
                store=str(folder),
            )
        )
        fields.append({"name": name, "bands": {"F": "f.fits"}})
    cluster = {"name": "c", "redshift": 0.3, "ra": 150.0, "dec": 0.0}
    config = RunConfig.model_validate(
        {"recipe": "diego2026", "cluster": cluster, "fields": fields, **settings}
    )
    return planning.plan(config, sources, folder, 1, local=False).refusals


def test_a_kernel_too_steep_is_refused(tmp_path):
    assert planned(tmp_path) == ()
    assert planned(tmp_path, density={"alpha": 4.0}) == ()
    [line] = planned(tmp_path, density={"alpha": 16.0})
    assert line.startswith("field 'f0': density: (d + 0.9)^-16 is too steep")
    assert "smaller alpha or a larger softening" in line
    assert len(planned(tmp_path, density={"alpha": 300.0})) == 1
    assert len(planned(tmp_path, centres=(150.0, 150.02), density={"alpha": 20.0})) == 2


def test_a_sky_grid_too_large_is_refused(tmp_path):
    # 36 x 24 arcsec in one field
    assert planned(tmp_path, comparison={"pixel": 0.003}) == ()
    [line] = planned(tmp_path, comparison={"pixel": 0.0029}, relation={"box": 2.9})
    assert line.startswith(
        "comparison.pixel: with cells of 0.0029 arcsec the sky grid over all fields has 1.0e+08 cells"
    )
    assert "\n" not in line
    # Two fields a degree apart: little in them, much between them.
    assert planned(tmp_path, centres=(150.0, 150.01)) == ()
    assert len(planned(tmp_path, centres=(150.0, 151.0), comparison={"pixel": 0.02})) == 1


def test_a_field_on_the_other_side_of_the_sky_is_refused(tmp_path):
    assert planned(tmp_path, centres=(150.0, 250.0))


def test_too_many_tiles_are_refused(tmp_path):
    [line] = planned(tmp_path, shape=(2000, 2000), tiles={"size": 1})
    assert line.startswith("tiles.size: with 1 pixels the fields have 4,000,000 tiles")
    assert planned(tmp_path, shape=(2000, 2000), tiles={"size": 2}) == ()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_limit_below_the_plan_is_refused_on_every_kind_of_workers(tmp_path, workers):
    run_file = mock.write_inputs(tmp_path, compute={"memory": "200 MiB"})
    for command in ("plan", "run"):
        found = tilegc(command, run_file, "--workers", workers)
        assert found.code == 2
        assert found.err.count("\n") == 1
        assert re.search(r"a worker needs \d+\.\d MiB, but the smallest may use only 200.0 MiB", found.err)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("tile", [1, 2048, 20000])
def test_planning_stays_small_whatever_the_mosaic(tmp_path, tile):
    """A mosaic of 20,000 x 20,000 pixels and a mask of the same size: under 500 MB and a few seconds of CPU."""
    side = 20000
    cards = {"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side}
    cards |= {"BUNIT": "10.0*nanoJansky", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "RADESYS": "ICRS"}
    cards |= {"CRVAL1": 150.0, "CRVAL2": 0.0, "CRPIX1": side / 2, "CRPIX2": side / 2}
    cards |= {"CDELT1": -0.03 / 3600, "CDELT2": 0.03 / 3600}
    for name in ("image.fits", "mask.fits"):
        head = fits.Header(cards).tostring().encode()
        with (tmp_path / name).open("wb") as stream:
            stream.write(head)
            stream.truncate(len(head) + -(-4 * side * side // 2880) * 2880)  # holes read as zeros
    (tmp_path / "run.yaml").write_text(
        "recipe: calibrated\ncluster: {name: c, redshift: 0.3, ra: 150.0, dec: 0.0}\n"
        f"fields: [{{name: a, bands: {{F090W: image.fits}}, masks: [mask.fits]}}]\ntiles: {{size: {tile}}}\n"
    )
    code = (
        "import resource, runpy, sys\n"
        "sys.argv = ['tilegc', 'plan', sys.argv[1]]\n"
        "try:\n    runpy.run_module('tilegc', run_name='__main__')\n"
        "finally:\n    use = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    peak = 1024 * int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "    print('USED', peak, use.ru_utime + use.ru_stime)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 2}
    memory, seconds = map(float, done.stdout.split("USED")[1].split())
    assert memory < 500e6
    assert seconds < 30.0, "10 s on a quiet machine; what it took was 150"
