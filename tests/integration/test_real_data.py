"""Real files: mosaics, convergence maps and PSFs that users have, read or refused with one clear line.

The files are not shipped: TILEGC_REAL_DATA names their folder, `../shared/data` beside the checkout by default.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import tilegc
from tilegc.config import Convergence, Cosmology, FieldInput, resolve
from tilegc.errors import InputError
from tilegc.io.convergence import read_convergence
from tilegc.io.probe import probe_field
from tilegc.simulation import simulate
from tilegc.simulation.psf import read_psf
from tilegc.sky import cosmology

DATA = Path(os.environ.get("TILEGC_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
GRALE = "kappa/hff_williams_v4_abells1063_kappa_derived.fits.gz"
UDS = "images/uds_jwst_nircam_f115w_40mas_"
ARCS = "images/as1063_jwst_nircam_arcs_f115w_f150w_f200w.fits"

HST = "images/xdf_hst_wfc3_{}_60mas_{}_200x200.fits"
IMAGES = [
    (f"{UDS}sci.fits.gz", None, (820, 1000)),
    (f"{UDS}wht.fits.gz", None, (820, 1000)),
    ("images/uds_jwst_nircam_f444w_40mas_sci.fits.gz", None, (820, 1000)),
    ("images/uds_jwst_nircam_f444w_40mas_wht.fits.gz", None, (820, 1000)),
    (f"{UDS}sci.fits.gz", 26.27, "remove zero_point or correct the header"),
    ("images/ngc346_jwst_nircam_f444w_cal_100x100.fits", None, "not a resampled mosaic.*_cal file.*_i2d"),
    (ARCS, None, "no celestial WCS"),
    ("images/a2744_hst_wfc3_f105w_bcg_400x400.fits.gz", None, (400, 400)),
    ("images/a2744_hst_wfc3_f105w_bcg_400x400.fits.gz", 26.27, (400, 400)),
    *(
        (HST.format(band, kind), None, "needs PHOTFLAM and PHOTPLAM")
        for band in ("f105w", "f160w")
        for kind in ("sci", "rms")
    ),
    *((HST.format(band, kind), 26.27, (200, 200)) for band in ("f105w", "f160w") for kind in ("sci", "rms")),
]
KAPPAS = [
    (GRALE, (799, 799)),
    ("kappa/hlsp_frontier_model_abell2744_williams_v4_kappa.fits.gz", (678, 678)),
]
PSFS = [
    *((f"psf/psf_grizli20mas_smacs0723_{band}.fits", None) for band in ("f090w", "f115w", "f150w", "f200w")),
    *(
        (f"psf/psf_grizli40mas_{place}_nrca3_{band}.fits", None)
        for place in ("smacs0723", "glass", "ceers")
        for band in ("f090w", "f115w", "f150w", "f200w")
    ),
    ("psf/psf_webbpsf_as1063_31mas_f115w_f150w_f200w.fits", None),
    *(
        (f"psf/psf_empirical_ceers_{band}_module{module}_15mas.fits", "add PIXELSCL")
        for band in ("f115w", "f150w", "f200w")
        for module in "ab"
    ),
    ("psf/psf_webbpsf_griddedpsf_nrca1_f115w_5x5.fits", "no two-dimensional image"),
    ("psf/psf_webbpsf_nrca1_f115w_oversamp4.fits", "no two-dimensional image"),
    ("psf/stars_real_nircam_f090w_31mas.fits", "add PIXELSCL"),
]


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no real data: {path} does not exist")
    return path


def one_line(error: BaseException, path: Path) -> None:
    assert "\n" not in str(error)
    assert path.name in str(error)


@pytest.mark.parametrize(("name", "zero_point", "outcome"), IMAGES)
def test_images(name: str, zero_point: float | None, outcome: tuple[int, int] | str) -> None:
    path = real(name)
    band = {"sci": str(path)} | ({} if zero_point is None else {"zero_point": zero_point})
    field = FieldInput(name="a", bands={"F": band})
    if isinstance(outcome, tuple):
        assert probe_field(field).shape == outcome
        return
    with pytest.raises(InputError, match=outcome) as caught:
        probe_field(field)
    one_line(caught.value, path)


@pytest.mark.parametrize(("name", "shape"), KAPPAS)
def test_convergence_maps(name: str, shape: tuple[int, int]) -> None:
    path = real(name)
    kappa = read_convergence(Convergence(path=str(path), lens_scaling=1.0), cosmology(Cosmology()), 0.348)
    assert kappa.values.shape == shape
    with pytest.raises(InputError) as caught:
        read_convergence(Convergence(path=str(path)), cosmology(Cosmology()), 0.348)
    one_line(caught.value, path)


@pytest.mark.parametrize(("name", "refusal"), PSFS)
def test_psfs(name: str, refusal: str | None) -> None:
    path = real(name)
    if refusal is None:
        assert read_psf("F115W", path, 0.03).band == "F115W"
        return
    with pytest.raises(InputError, match=refusal) as caught:
        read_psf("F115W", path, 0.03)
    one_line(caught.value, path)


def uds(folder: Path, *, sign: int) -> tuple[tilegc.Run, np.ndarray]:
    """Run on the F115W image, or its negative; return the run and the weight under each source."""
    sci, wht = real(f"{UDS}sci.fits.gz"), real(f"{UDS}wht.fits.gz")
    with fits.open(sci) as hdus:
        header, data = hdus[0].header, hdus[0].data
    ra, dec = (float(value) for value in WCS(header).all_pix2world(500.0, 410.0, 0))
    if sign < 0:
        small = WCS(header).to_header()
        small["BUNIT"] = header["BUNIT"]
        sci = folder / "negative.fits"
        fits.writeto(sci, -data, small)
    config = resolve(
        {
            "recipe": "diego2026",
            "cluster": {"name": "UDS", "redshift": 0.348, "ra": ra, "dec": dec},
            "fields": [{"name": "a", "bands": {"F115W": {"sci": str(sci), "wht": str(wht)}}}],
            "mask": {"edge": 1.0},
        }
    )
    run = tilegc.run(config, folder / "run", workers=0)
    return run, fits.getdata(wht)[np.asarray(run.catalogue["y_peak"]), np.asarray(run.catalogue["x_peak"])]


def test_a_real_mosaic_and_its_negative(tmp_path: Path) -> None:
    for name in ("plus", "minus"):
        (tmp_path / name).mkdir()
    run, weight = uds(tmp_path / "plus", sign=1)
    _, negative = uds(tmp_path / "minus", sign=-1)
    # Deep side: 98 sources, of which the negative says 10 are noise or structure. Under one global sigma
    # the shallow side is noise: as many in the negative, within a tenth.
    deep, false = (weight > 1000).sum(), (negative > 1000).sum()
    assert deep > 60
    assert false < 0.25 * deep
    shallow, noise = (weight < 400).sum(), (negative < 400).sum()
    assert abs(shallow - noise) < 0.25 * shallow
    assert run.summary["relation"] is None
    assert run.summary["comparison"] is None


@pytest.mark.slow
def test_over_the_real_convergence_map(tmp_path: Path) -> None:
    mock = simulate(tmp_path / "mock", preset="small", seed=5, kappa=real(GRALE), kappa_lens_scaling=1.0)
    summary = tilegc.run(mock, tmp_path / "run", workers=0).summary
    found, planted = summary["relation"]["boxes"], summary["truth"]
    assert abs(found["index"] - planted["index"]) < 3 * found["index_err"]
    assert 0.5 < found["index"] < 1.0


def test_pixels_without_a_wcs_get_the_users_and_the_mass_of_as1063(tmp_path: Path) -> None:
    # The way for arrays without a WCS: write them with one of your own, and name that file in the run file.
    with fits.open(real(ARCS)) as hdus:
        pixels = hdus["F200W_ARC2_SCI"].data
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 342.18322, -44.53091
    wcs.wcs.crpix = 60.5, 60.5
    wcs.wcs.cdelt = -0.03123 / 3600, 0.03123 / 3600
    header = wcs.to_header()
    header["BUNIT"], header["PIXAR_SR"] = "MJy/sr", float(np.radians(0.03123 / 3600) ** 2)
    fits.writeto(tmp_path / "arc.fits", pixels, header)
    config = resolve(
        {
            "recipe": "diego2026",
            "cluster": {"name": "arc", "redshift": 0.348, "ra": 342.18322, "dec": -44.53091},
            "fields": [{"name": "a", "bands": {"F200W": str(tmp_path / "arc.fits")}}],
            "mask": {"edge": "off"},
            "convergence": {"path": str(real(GRALE)), "lens_scaling": 1.0},
            "tiles": {"size": 64},
        }
    )
    run = tilegc.run(config, tmp_path / "run", workers=0)
    assert run.field("a").sizes["y"] == 120
    separation = np.hypot(
        (np.asarray(run.catalogue["x"]) - 59.5) * 0.03123, (np.asarray(run.catalogue["y"]) - 59.5) * 0.03123
    )
    np.testing.assert_allclose(np.asarray(run.catalogue["radius_arcsec"]), separation, atol=1e-4)
    # The published map's mass does not depend on what lies in the images.
    mass = run.summary["mass"]
    assert mass["lens_within_60arcsec_msun"] == pytest.approx(3.24e14, rel=2e-3)
    assert mass["mean_kappa_within_60arcsec"] / 0.785 == pytest.approx(0.722, abs=1e-3)
