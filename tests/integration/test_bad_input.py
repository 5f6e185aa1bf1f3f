"""Bad input gives one line that says what is wrong, where, and what to do; the exit code is 2, and nothing is left
behind."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.support import mock
from tests.support.command import listing, tilegc

A = "a_f090w_i2d.fits"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    mock.write_inputs(folder)
    return folder


@pytest.fixture
def inputs(good, tmp_path):
    """A directory of valid inputs to be damaged."""
    folder = tmp_path / "inputs"
    shutil.copytree(good, folder)
    return folder


def refused(folder, *arguments) -> str:
    """Run, and return the one line of a refusal that left nothing behind."""
    before = listing(folder.parent)
    found = tilegc("run", folder / "run.yaml", "--workers", 0, *arguments)
    assert found.code == 2, found
    assert found.out == ""
    assert re.fullmatch(r"tilegc: [^\n]+\n", found.err), found.err
    assert not re.search(r"\b\w+Error\b|Traceback", found.err), found.err
    assert listing(folder.parent) == before
    return found.err


def spoil(path, change, *numbers):
    """Change HDUs of a FITS file (the first extension where none is named)."""
    with fits.open(path) as hdus:
        loaded = fits.HDUList([one.copy() for one in hdus])
    for number in numbers or (1,):
        change(loaded[number])
    loaded.writeto(path, overwrite=True)


def cut(path, keep):
    """Keep the first bytes of a file: a number of them, or a part."""
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep > 1 or keep < 0 else int(keep * len(content))])


def cards(**values):
    def change(hdu):
        for key, value in values.items():
            if value is None:
                hdu.header.remove(key, ignore_missing=True)
            else:
                hdu.header[key] = value

    return change


def pixels(function):
    def change(hdu):
        hdu.data = function(hdu.data)

    return change


NO_WCS = cards(CTYPE1=None, CTYPE2=None)

FILES = {
    "absent": (lambda f: (f / A).unlink(), rf"{A}.*no such file"),
    "a folder": (lambda f: ((f / A).unlink(), (f / A).mkdir()), rf"{A}.*is a directory"),
    "empty": (lambda f: (f / A).write_bytes(b""), rf"{A}.*(empty|not.*FITS)"),
    "not FITS": (lambda f: (f / A).write_text("hello " * 4000), rf"{A}.*not.*FITS"),
    "truncated in the header": (lambda f: cut(f / A, 4000), rf"{A}.*truncated"),
    "truncated in SCI": (lambda f: cut(f / A, 20_000), rf"{A}.*truncated"),
    "truncated in the last extension": (lambda f: cut(f / A, -2880), rf"{A}.*truncated"),
    "truncated by a byte": (lambda f: cut(f / A, -2000), rf"{A}.*truncated"),
    "a band of the second field truncated": (
        lambda f: cut(f / "b_f150w_i2d.fits", 0.9),
        r"b_f150w.*truncated",
    ),
    "no WCS": (lambda f: spoil(f / A, NO_WCS), rf"{A}.*WCS"),
    "no unit": (lambda f: spoil(f / A, cards(BUNIT=None)), rf"{A}.*BUNIT.*zero_point"),
    "unknown unit": (lambda f: spoil(f / A, cards(BUNIT="furlong")), rf"{A}.*furlong.*zero_point"),
    "unit of no flux": (lambda f: spoil(f / A, cards(BUNIT="s")), rf"{A}.*'s'.*zero_point"),
    "no scale of counts": (lambda f: spoil(f / A, cards(BUNIT="DN/s")), rf"{A}.*PHOTMJSR"),
    "another shape": (
        lambda f: shutil.copy(f / "b_f150w_i2d.fits", f / A),
        r"96 x 88.*80 x 72|80 x 72.*96 x 88",
    ),
    "another grid": (
        lambda f: spoil(f / "a_f150w_i2d.fits", cards(CRPIX1=mock.CENTRES["a"][1] + 4), 1, 2, 3),
        r"a_f150w.*F150W, sci.*off the grid of .*a_f090w.*\(\+0\.00, -3\.00\)",
    ),
    "a weight of another shape": (
        lambda f: spoil(f / A, pixels(lambda data: data[:-1]), 3),
        rf"{A}.*wht.*95 x 88",
    ),
    "all NaN": (lambda f: spoil(f / A, pixels(lambda data: data * np.nan)), rf"{A}.*no finite pixel"),
    "a cube": (
        lambda f: spoil(f / A, pixels(lambda data: np.stack([data, data]))),
        rf"{A}.*(two-dimensional|axes)",
    ),
    "a line": (lambda f: spoil(f / A, pixels(lambda data: data[0])), rf"{A}.*(two-dimensional|axes)"),
    "errors without science": (
        lambda f: fits.setval(f / A, "EXTNAME", value="ERR", ext=1),
        rf"{A}.*no SCI extension",
    ),
    "only tables": (
        lambda f: fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])]).writeto(
            f / A, overwrite=True
        ),
        rf"{A}.*no image",
    ),
    "no region file": (lambda f: (f / "arc.reg").unlink(), r"arc\.reg.*no such"),
    "a broken region file": (
        lambda f: (f / "arc.reg").write_text("circle(what is this"),
        r"arc\.reg.*region",
    ),
    "a region file with a line that is none": (
        lambda f: (f / "arc.reg").write_text('fk5\ncircle(10,-30,3")\ncircl(10,-30,3")\n'),
        r"arc\.reg.*some of it",
    ),
    "a region that encloses nothing": (
        lambda f: (f / "arc.reg").write_text('fk5\ncircle(nan,-30,3")\n'),
        r"arc\.reg.*encloses no area",
    ),
    "a point for a region": (
        lambda f: (f / "arc.reg").write_text("image\npoint(9,9)\n"),
        r"arc\.reg.*annotations",
    ),
    "a region file of labels": (
        lambda f: (f / "arc.reg").write_text("image\n# text(9,9) text={arc}\n"),
        r"arc\.reg.*only annotations",
    ),
    "an empty region file": (lambda f: (f / "arc.reg").write_text(""), r"arc\.reg.*region"),
    "no mask image": (lambda f: (f / "patch.fits").unlink(), r"patch\.fits.*no such"),
    "a mask of another shape": (
        lambda f: spoil(f / "patch.fits", pixels(lambda data: data[:, :-2]), 0),
        r"patch\.fits.*80 x 70.*80 x 72",
    ),
    "no kappa": (lambda f: (f / "kappa.fits").unlink(), r"kappa\.fits.*no such"),
    "kappa truncated": (lambda f: cut(f / "kappa.fits", 5000), r"kappa\.fits.*truncated"),
    "kappa not FITS": (lambda f: (f / "kappa.fits").write_text("kappa"), r"kappa\.fits.*not a FITS"),
    "kappa without WCS": (lambda f: spoil(f / "kappa.fits", NO_WCS, 0), r"kappa\.fits.*WCS"),
    "kappa all NaN": (
        lambda f: spoil(f / "kappa.fits", pixels(lambda data: data * np.nan), 0),
        r"kappa\.fits.*NaN",
    ),
    "kappa all zero": (
        lambda f: spoil(f / "kappa.fits", pixels(lambda data: data * 0), 0),
        r"kappa\.fits.*all values of the map are zero",
    ),
    "kappa of another cluster": (
        lambda f: spoil(f / "kappa.fits", cards(CRVAL1=mock.RA - 3), 0),
        r"kappa\.fits.*does not overlap any field",
    ),
}
"""What is done to the files, and what the line must say."""


@pytest.mark.parametrize("case", FILES)
def test_files(case, inputs):
    change, said = FILES[case]
    change(inputs)
    assert re.search(said, refused(inputs), re.IGNORECASE)


def far(settings):
    return {"cluster.dec": mock.DEC + 1.0, **settings}


KEYS = {
    "unknown key": ({"tile": {"size": 3}}, r"tile: unknown key.*'tiles'.*recipe, cluster"),
    "unknown nested key": ({"detect.kept": 2}, r"detect\.kept: unknown key.*'keep'.*exclusion_radius"),
    "unknown key of a band": (
        {"fields.0.bands.F090W": {"sci": A, "zeropoint": 28}},
        r"fields\.0\.bands\.F090W\.zeropoint: unknown key.*zero_point",
    ),
    "a PSF that is not there": (
        {"fields.0.bands.F090W": {"sci": A, "psf": "none.fits"}},
        r"none\.fits.*no such file",
    ),
    "a PSF of broad pixels": (
        {"fields.0.bands.F090W": {"sci": A, "psf": "patch.fits", "psf_scale": 9}},
        r"patch\.fits.*9 arcsec",
    ),
    "the scale of no PSF": ({"fields.0.bands.F090W": {"sci": A, "psf_scale": 0.02}}, r"psf_scale.*give psf"),
    "a list for a section": ({"tiles": [1, 2]}, r"tiles"),
    "text for a number": ({"tiles.size": "big"}, r"tiles\.size: 'big' is not a number"),
    "a number for a list": ({"fields": 3}, r"fields"),
    "true for a number": ({"inpaint.seed": True}, r"inpaint\.seed.*number"),
    "NaN for a number": ({"detect.keep": float("nan")}, r"detect\.keep"),
    "a part of a pixel": ({"tiles.size": 10.5}, r"tiles\.size.*integer"),
    "a negative tile": ({"tiles.size": -5}, r"tiles\.size.*greater than or equal to 1"),
    "tile 0": ({"tiles.size": 0}, r"tiles\.size.*greater than or equal to 1"),
    "a recipe to come": ({"recipe": "best"}, r"recipe.*'best' is unknown.*diego2026"),
    "no recipe": ({"recipe": None}, r"recipe: required"),
    "no cluster": ({"cluster": None}, r"convergence: needs a cluster"),
    "no field": ({"fields": []}, r"fields"),
    "neither bands nor store": ({"fields.0.bands": None}, r"fields\.0: give either bands or store"),
    "a field twice": ({"fields.1.name": "a"}, r"fields: .*'a'"),
    "a name that is a path": ({"fields.1.name": "../b"}, r"fields\.1\.name.*letters"),
    "a right ascension of four parts": ({"cluster.ra": "22:48:44:9"}, r"cluster\.ra.*22:48:44:9"),
    "a declination of 100": ({"cluster.dec": 100}, r"cluster\.dec"),
    "centre a degree away": ({"cluster.dec": mock.DEC + 1}, r"tilegc: cluster: .*0\.98 deg"),
    "a threshold that is none": ({"detect.threshold": "best"}, r"detect\.threshold: give \{sigma.*or auto"),
    "a purity of 100": ({"detect.purity": 100}, r"detect\.purity.*less than 1"),
    "spikes on": ({"mask.spikes": True}, r"mask\.spikes.*off"),
    "spikes by number": ({"mask.spikes": "3"}, r"mask\.spikes: 3 sigma is above 2"),
    "arcs by number": ({"mask.arcs": 3}, r"mask\.arcs: 3 sigma is above 2"),
    "narrow is wide": ({"filter.stages": [[5, 0.5], [1, 3]]}, r"filter.*stages.*narrow"),
    "edges that fall": ({"profile.edges": [3, 2, 1]}, r"profile\.edges"),
    "box of broken cells": ({"relation.box": 3.5}, r"relation\.box.*comparison\.pixel"),
    "a box of a degree": (
        {"relation.box": 3600, "relation.max_radius": 3600},
        r"relation\.box.*less than or equal to 300",
    ),
    "boxes of too many cells": (
        {"relation.box": 300, "relation.max_radius": 300, "comparison.pixel": 0.02},
        r"relation\.box: extended to whole boxes of 300 arcsec.*cells.*smaller boxes",
    ),
    "scaling not declared": (
        {"convergence": {"path": "kappa.fits"}},
        r"convergence.*kappa\.fits.*source_redshift.*lens_scaling",
    ),
    "scaling declared twice": (
        {"convergence.lens_scaling": 1.0},
        r"convergence: give source_redshift or lens_scaling",
    ),
    "sources before the lens": ({"convergence.source_redshift": 0.2}, r"convergence\.source_redshift"),
    "no truth": ({"truth": "truth.parquet"}, r"truth\.parquet.*no such"),
    "a truth that is none": ({"truth": "arc.reg"}, r"arc\.reg"),
    "an edge of a degree": ({"mask.edge": 3600}, r"mask\.edge: 3600 arcsec"),
    "tiles beyond measure": ({"tiles.size": 1e30}, r"tiles\.size"),
    "a field without a name": ({"fields.0.name": None}, r"fields\.0\.name"),
    "no store": ({"fields.0.bands": None, "fields.0.store": "a.zarr"}, r"a\.zarr"),
    "a store that is none": ({"fields.0.bands": None, "fields.0.store": "."}, r"inputs.*(store|ingest)"),
}
"""What is changed in the run file, and what the line must say."""


@pytest.mark.parametrize("case", KEYS)
def test_keys(case, inputs):
    changes, said = KEYS[case]
    mock.edited(inputs / "run.yaml", "run.yaml", changes)
    assert re.search(said, refused(inputs))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"recipe: [diego2026", r"run\.yaml: not YAML"),
        (b"", r"run\.yaml: the run file is empty.*recipe"),
        (b"- diego2026\n", r"run\.yaml: expected a mapping of keys"),
        (b"\xff\xfe\x00", r"run\.yaml: cannot be read"),
        (b"recipe: diego2026\nrecipe: diego2026\n", r"run\.yaml: duplicate key 'recipe' .line 2."),
        (None, r"run\.yaml: no such run file"),
    ],
)
def test_run_files_that_are_none(content, said, inputs):
    if content is None:
        (inputs / "run.yaml").unlink()
    else:
        (inputs / "run.yaml").write_bytes(content)
    assert re.search(said, refused(inputs))


def test_the_headers_hint_at_the_scaling_is_quoted_and_not_followed(inputs):
    mock.write_kappa(inputs / "kappa.fits", ZSOURCE=9.0)
    mock.edited(inputs / "run.yaml", "run.yaml", {"convergence": {"path": "kappa.fits"}})
    assert re.search(r"lens_scaling.*its header says: ZSOURCE = +9\.0", refused(inputs))


@pytest.mark.parametrize("keep", [0.0, 0.4, -9])
def test_truncated_gzip(keep, tmp_path):
    mock.write_inputs(tmp_path / "inputs", container="grizli-gz")
    path = tmp_path / "inputs" / "b_f150w_drc_wht.fits.gz"
    cut(path, keep) if keep else path.write_bytes(b"")
    assert re.search(r"b_f150w_drc_wht\.fits\.gz", refused(tmp_path / "inputs"))


def test_gzip_of_a_truncated_file(tmp_path):
    mock.write_inputs(tmp_path / "inputs", container="grizli-gz")
    path = tmp_path / "inputs" / "b_f150w_drc_sci.fits.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-4000]))
    assert re.search(r"b_f150w_drc_sci\.fits\.gz.*truncated", refused(tmp_path / "inputs"))


def test_gzip_cannot_be_read_in_tiles(tmp_path):
    mock.write_inputs(tmp_path / "inputs", container="grizli-gz", ingest="never")
    assert re.search(r"ingest: never.*auto or always", refused(tmp_path / "inputs"))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_output_folders(inputs):
    """A foreign directory, a file, a path that cannot be created: refused with every option, and not changed."""
    foreign = inputs.parent / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    for flag in ((), ("--resume",), ("--overwrite",)):
        assert re.search(r"foreign: is not a tilegc run directory", refused(inputs, "-o", foreign, *flag))
        assert re.search(
            r"thesis\.tex: is not a directory", refused(inputs, "-o", foreign / "thesis.tex", *flag)
        )
    assert re.search(r"thesis\.tex.*-o", refused(inputs, "-o", foreign / "thesis.tex" / "deeper"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(inputs):
    closed = inputs.parent / "closed"
    closed.mkdir(mode=0o555)
    assert re.search(r"closed.*-o", refused(inputs, "-o", closed / "run"))
    assert re.search(r"closed", refused(inputs, "-o", closed))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a place where nobody may make a folder")
def test_a_folder_that_cannot_be_made(inputs):
    assert re.search(r"/proc/tilegc-run: .*-o", refused(inputs, "-o", "/proc/tilegc-run"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--resume", "--overwrite"), "--resume and --overwrite"),
        (("--cluster", "lsf"), r"--cluster lsf: the number of workers is missing"),
        (("--cluster", "cloud"), r"--cluster cloud.*local"),
        (("--wrokers", "2"), r"--wrokers"),
        (("--workers", "-1"), r"--workers"),
        (("--workers", "two"), r"--workers"),
        (("--scheduler", "tcp://127.0.0.1:1"), r"--workers.*--scheduler|--scheduler.*--workers"),
        (("extra",), r"extra"),
    ],
)
def test_options(arguments, said, inputs):
    assert re.search(said, refused(inputs, *arguments))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "nowhere", "tcp://no.such.host.invalid:8786"])
def test_a_scheduler_that_is_not_there(address, inputs):
    before = listing(inputs.parent)
    address = address.format(port=free_port())
    found = tilegc("run", inputs / "run.yaml", "--scheduler", address)
    assert found.code == 2, found
    assert re.fullmatch(rf"tilegc: --scheduler {re.escape(address)}: [^\n]*dask scheduler[^\n]*\n", found.err)
    assert listing(inputs.parent) == before


@pytest.mark.parametrize("command", ["report", "status", "verify"])
def test_commands_on_what_is_no_run(command, tmp_path):
    (tmp_path / "empty").mkdir()
    before = listing(tmp_path)
    for folder in ("absent", "empty"):
        found = tilegc(command, tmp_path / folder)
        assert found.code == 2, found
        assert re.fullmatch(rf"tilegc: {tmp_path / folder}: [^\n]+\n", found.err)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("command", ["plan", "ingest"])
@pytest.mark.parametrize("case", ["absent", "truncated in the last extension", "unknown unit", "no kappa"])
def test_plan_and_ingest_refuse_the_same(command, case, inputs):
    change, said = FILES[case]
    change(inputs)
    before = listing(inputs.parent)
    found = tilegc(command, inputs / "run.yaml")
    assert found.code == 2, found
    assert re.search(said, found.err)
    assert found.err.count("\n") == 1
    assert listing(inputs.parent) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--preset", "huge"), r"preset.*'huge'.*tiny"),
        (("--size", "3"), r"size"),
        (("--size", "a,b"), r"--size a,b"),
        (("--layout", "jpeg"), r"layout.*'jpeg'.*i2d"),
        (("--kappa", "absent.fits"), r"absent\.fits"),
        (("--psf", "F090W"), r"--psf F090W: expected .*BAND=FILE"),
        (("--psf", "F090W=absent.fits"), r"absent\.fits"),
        (("--seed", "-1"), r"--seed"),
    ],
)
def test_simulate(arguments, said, tmp_path):
    found = tilegc("simulate", tmp_path / "sim", "--preset", "tiny", *arguments)
    assert found.code == 2, found
    assert re.search(said, found.err)
    assert found.err.count("\n") == 1
    assert listing(tmp_path) == {}


OTHER_BANDS = {
    "absent": (lambda path: path.unlink(), "no such file"),
    "truncated": (lambda path: cut(path, -2880), "truncated"),
    "no WCS": (lambda path: spoil(path, NO_WCS), "WCS"),
    "unknown unit": (lambda path: spoil(path, cards(BUNIT="furlong")), "furlong.*zero_point"),
    "no pixel": (lambda path: spoil(path, pixels(lambda data: data * np.nan)), "no finite pixel"),
    "elsewhere": (lambda path: spoil(path, cards(CRVAL2=10.0), 1, 2, 3), "covers no part of any field"),
}


@pytest.mark.parametrize(("damage", "said"), OTHER_BANDS.values(), ids=OTHER_BANDS)
def test_a_band_that_cannot_be_measured_is_refused(inputs, damage, said):
    shutil.copy(inputs / A, inputs / "wide.fits")
    damage(inputs / "wide.fits")
    mock.edited(inputs / "run.yaml", "run.yaml", {"photometry": {"bands": {"WIDE": "wide.fits"}}})
    assert re.search(rf"wide\.fits.*{said}", refused(inputs))
