"""A first run file from files as pipelines name them: what each is, what belongs together, what is left open."""

from __future__ import annotations

import math
import re
import shutil

import numpy as np
import pytest
import yaml
from astropy.io import fits

from tests.support.command import listing, tilegc
from tilegc import config, drafting

RA, DEC = 150.1, 2.2
SIDE = 48


def image(band=None, *, ra=RA, scale=0.03, unit="10.0*nanoJansky", side=SIDE, **cards):
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": ra,
            "CRVAL2": DEC,
            "CRPIX1": side / 2 + 0.5,
            "CRPIX2": side / 2 + 0.5,
            "CDELT1": -scale / 3600,
            "CDELT2": scale / 3600,
        }
    )
    if unit:
        header["BUNIT"] = unit
    if band:
        header["FILTER"] = band
    header.update(cards)
    return header, np.ones((side, side), np.float32)


def write(path, band=None, *, extensions=(), data=None, **options):
    header, values = image(band, **options)
    values = values if data is None else data
    if not extensions:
        fits.PrimaryHDU(values, header).writeto(path)
        return
    primary = fits.PrimaryHDU(header=fits.Header({k: header[k] for k in ("FILTER",) if k in header}))
    primary.header.update({k: v for k, v in options.items() if k.isupper()})
    fits.HDUList([primary, *(fits.ImageHDU(values, header, name=name) for name in extensions)]).writeto(path)


def drafted(folder, *arguments):
    """Draft a run file for all files of a folder, and return its content and what was printed."""
    target = folder / "out.yaml"
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".yaml")
    found = tilegc("init", *files, "-o", target, "--overwrite", *arguments)
    assert found.code == 0, found
    assert tilegc("plan", target).code == 0, target.read_text()
    return yaml.safe_load(target.read_text()), found.out


def test_pipeline_files_of_two_modules(tmp_path):
    for module, ra in (("a", RA), ("b", RA + 0.01)):
        for band in ("F200W", "F090W"):
            name = f"jw01_nrc{module}_{band.lower()}_i2d.fits"
            write(
                tmp_path / name,
                band,
                ra=ra,
                unit="MJy/sr",
                extensions=("SCI", "ERR", "WHT"),
                INSTRUME="NIRCAM",
            )
    content, out = drafted(tmp_path)
    assert [field["name"] for field in content["fields"]] == ["a", "b"]
    assert content["fields"][0]["bands"] == {
        "F090W": "jw01_nrca_f090w_i2d.fits",
        "F200W": "jw01_nrca_f200w_i2d.fits",
    }
    assert "cluster" not in content
    assert "fill in: cluster.redshift" in out
    assert "errors, weights" in out


def test_weights_and_errors_in_files_of_their_own(tmp_path):
    rng = np.random.default_rng(1)
    for band in ("f115w", "f150w"):
        noise = rng.normal(0, 0.5, (SIDE, SIDE)).astype(np.float32)
        write(tmp_path / f"x-{band}-clear_drc_sci.fits", data=noise)
        write(tmp_path / f"x-{band}-clear_drc_wht.fits", data=np.full((SIDE, SIDE), 4, np.float32))
    write(tmp_path / "x-f150w-clear_drc_err.fits", data=np.full((SIDE, SIDE), 0.5, np.float32))
    write(tmp_path / "x-f150w-clear_drc_seg.fits")
    write(tmp_path / "y-f444w_wht.fits")
    content, out = drafted(tmp_path)
    assert content["fields"][0]["bands"] == {
        "F115W": {"sci": "x-f115w-clear_drc_sci.fits", "wht": "x-f115w-clear_drc_wht.fits"},
        "F150W": {
            "sci": "x-f150w-clear_drc_sci.fits",
            "err": "x-f150w-clear_drc_err.fits",
            "wht": "x-f150w-clear_drc_wht.fits",
        },
    }
    assert "weights are inverse variance" in out
    assert re.search(r"not used: \S+_seg\.fits: its name", out)
    assert re.search(r"not used: \S+y-f444w_wht\.fits: no image", out)
    assert "x-f115w-clear_drc_sci.fits is F115W, by its name" in out


def test_a_weight_image_on_another_grid_is_refused(tmp_path):
    write(tmp_path / "x_f115w_sci.fits", "F115W")
    write(tmp_path / "x_f115w_wht.fits", "F115W", side=SIDE + 2)
    found = tilegc("init", *sorted(tmp_path.iterdir()), "-o", tmp_path / "run.yaml")
    assert found.code == 2
    assert re.fullmatch(r"tilegc: \S+x_f115w_wht\.fits [^\n]+50 x 50 pixels[^\n]+another name\n", found.err)
    assert not (tmp_path / "run.yaml").exists()


def test_other_grids_are_measured_and_repeated_bands_left_out(tmp_path):
    for name, band, options in (
        ("short1.fits", "F115W", {}),
        ("short2.fits", "F150W", {}),
        ("again.fits", "F150W", {}),
        ("long.fits", "F444W", {"scale": 0.06, "side": SIDE // 2}),
    ):
        write(tmp_path / name, band, **options)
    content, out = drafted(tmp_path)
    (field,) = content["fields"]
    assert list(field["bands"]) == ["F115W", "F150W"]
    assert "F444W is on another pixel grid (0.06 arcsec)" in out
    assert content["photometry"] == {"bands": {"F444W": "long.fits"}}
    assert re.search(r"not used: \S+: field a already has F150W", out)


def test_a_cluster_is_known_by_name_or_place_or_given(tmp_path):
    write(tmp_path / "x.fits", "F115W", TARGNAME="ABELL-370")
    content, out = drafted(tmp_path, "--center", f"{RA} {DEC}")
    assert content["cluster"] == {"name": "Abell 370", "redshift": 0.375, "ra": RA, "dec": DEC}
    content, out = drafted(tmp_path, "--center", "10:00:24 +02:12:00", "--name", "Mine")
    assert content["cluster"] == {"ra": pytest.approx(RA), "dec": pytest.approx(DEC)}
    assert "fill in: cluster.redshift" in out
    content, out = drafted(tmp_path, "--center", f"{RA},{DEC}", "--name", "Mine", "--redshift", 0.2)
    assert content["cluster"]["redshift"] == 0.2
    assert "fill in" not in out
    found = tilegc("init", tmp_path / "x.fits", "-o", tmp_path / "no.yaml", "--center", "somewhere")
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "--center" in found.err


def test_a_known_cluster_lies_in_the_field():
    known = {cluster.name: cluster for cluster in drafting.clusters.KNOWN}
    assert len(known) == 6
    for cluster in known.values():
        assert 0.3 < cluster.redshift < 0.6
        assert (cluster.ra, cluster.dec) == pytest.approx(_coordinates(cluster.name, cluster), abs=0.03)


def _coordinates(name, cluster):
    """Position in a cluster's own name, hours and minutes, where it has one; else its own."""
    digits = re.search(r"J(\d\d)(\d\d)\.(\d)([-+]\d\d)(\d\d)", name)
    if digits is None:
        return cluster.ra, cluster.dec
    hours, minutes, tenth, degrees, arcmin = digits.groups()
    dec = math.copysign(abs(int(degrees)) + int(arcmin) / 60, int(degrees))
    return 15 * (int(hours) + (int(minutes) + int(tenth) / 10) / 60), dec


def test_convergence_is_a_comment_until_its_source_is_known(tmp_path):
    write(tmp_path / "x.fits", "F115W")
    write(tmp_path / "model_kappa.fits", unit="")
    cluster = ("--center", f"{RA} {DEC}", "--name", "Mine", "--redshift", 0.2)
    content, out = drafted(tmp_path, *cluster)
    assert "convergence" not in content
    assert "fill in: convergence.source_redshift" in out
    content, out = drafted(tmp_path, *cluster, "--kappa-lens-scaling", 1)
    assert content["convergence"] == {"path": "model_kappa.fits", "lens_scaling": 1}
    assert "fill in" not in out


def test_unknown_units_are_left_to_the_user(tmp_path):
    write(tmp_path / "x.fits", "F115W", unit="")
    target = tmp_path / "run.yaml"
    found = tilegc("init", tmp_path / "x.fits", "-o", target)
    assert found.code == 0
    assert "fill in: zero_point of F115W in field a" in found.out
    refused = tilegc("plan", target)
    assert refused.code == 2
    assert "zero_point" in refused.err
    target.write_text(target.read_text().replace("zero_point: null", "zero_point: 28.9"))
    assert tilegc("plan", target).code == 0


def test_mistakes_are_one_line_and_write_nothing(tmp_path):
    write(tmp_path / "x.fits", "F115W")
    write(tmp_path / "nofilter.fits")
    (tmp_path / "broken.fits").write_bytes((tmp_path / "x.fits").read_bytes()[:4000])
    (tmp_path / "text.fits").write_text("no FITS")
    existing = tmp_path / "mine.yaml"
    existing.write_text("precious")
    before = listing(tmp_path)
    for words, told in (
        ((), "FITS: missing"),
        (("nothing.fits",), "nothing.fits: no such file"),
        (("broken.fits",), "truncated"),
        (("text.fits",), "not a FITS file"),
        (("nofilter.fits",), "no mosaic among 1 files"),
        (("x.fits", "-o", "mine.yaml"), "already exists"),
        (("x.fits", "-o", "absent/run.yaml"), "not a directory"),
        (("x.fits", "--recipe", "mine"), "choose diego2026 or calibrated"),
        (("x.fits", "--template"), "--template"),
        (("x.fits", "--kappa-source-redshift", 3, "--kappa-lens-scaling", 1), "not both"),
    ):
        placed = [tmp_path / word if str(word).endswith((".fits", ".yaml")) else word for word in words]
        found = tilegc("init", *placed, *(() if "-o" in words else ("-o", tmp_path / "new.yaml")))
        assert found.code == 2, words
        assert re.fullmatch(r"tilegc: [^\n]+\n", found.err), found.err
        assert told in found.err
    assert listing(tmp_path) == before


def test_paths_are_relative_to_the_run_file(tmp_path):
    inner = tmp_path / "data"
    inner.mkdir()
    write(inner / "x.fits", "F115W")
    (tmp_path / "runs").mkdir()
    target = tmp_path / "runs" / "run.yaml"
    assert tilegc("init", inner / "x.fits", "-o", target).code == 0
    assert yaml.safe_load(target.read_text())["fields"][0]["bands"] == {"F115W": "../data/x.fits"}


def test_real_cutouts(real_data, tmp_path):
    for path in sorted((real_data / "images").glob("uds_*")):
        shutil.copy(path, tmp_path)
    psf = real_data / "psf" / "psf_grizli40mas_glass_nrca3_f115w.fits"
    shutil.copy(psf, tmp_path)
    content, out = drafted(tmp_path)
    (field,) = content["fields"]
    assert set(field["bands"]) == {"F115W", "F444W"}
    assert set(field["bands"]["F115W"]) == {"sci", "wht", "psf"}
    assert "820 x 1000 px of 0.04 arcsec" in out
    assert "BUNIT 10.0*nanoJansky" in out
    assert config.load(tmp_path / "out.yaml").recipe == "calibrated"
