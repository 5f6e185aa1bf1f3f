"""Kappa predicted from counts: arithmetic, errors against samples, half of a merging pair, and run folders."""

from __future__ import annotations

import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from tilegc import cli, config, prediction
from tilegc.errors import ConfigError, RunFolderError
from tilegc.io.convergence import read_convergence
from tilegc.relation.counts import gather
from tilegc.relation.counts_law import fit_law
from tilegc.relation.prediction import KappaLaw, predict_kappa, smooth_counts
from tilegc.run_folder import Run
from tilegc.run_folder.checking import Check
from tilegc.sky import SkyGrid, cosmology

LAW = KappaLaw(math.log(4.0), 1.4, 0.3, np.diag([0.02, 0.03, 0.04]) ** 2)


def test_smoothing_divides_counts_by_area_under_one_kernel():
    draw = np.random.default_rng(1)
    count, area = draw.poisson(1.0, (31, 37)), np.where(draw.random((31, 37)) < 0.7, 0.09, 0.0)
    found = smooth_counts(count * (area > 0), area, 2.0)
    j, i = np.indices(count.shape)
    for at in ((0, 0), (15, 18), (30, 5)):
        weight = np.exp(-((j - at[0]) ** 2 + (i - at[1]) ** 2) / 8)
        under = (weight * area).sum()
        assert found.n[at] == pytest.approx((weight * count * (area > 0)).sum() / under, rel=1e-4)
        expected = found.n[at] * (weight**2 * area).sum() / under**2
        assert found.variance[at] == pytest.approx(expected, rel=0.02)
    empty = smooth_counts(np.zeros((9, 9), np.int64), np.zeros((9, 9)), 2.0)
    assert np.isnan(empty.n).all()
    hole = smooth_counts(np.zeros((40, 40), np.int64), np.where(np.indices((40, 40))[0] < 10, 1.0, 0.0), 2.0)
    assert np.isnan(hole.n[30]).all()
    assert (hole.variance[:8] > 0).all()


def test_prediction_inverts_the_law_between_redshifts():
    kappa = np.array([0.05, 0.3, 1.0, 2.0])
    stretch, rescale = 1.7, 0.8  # the calibration's arcsec spans more kpc
    n = 4.0 * (kappa / rescale) ** 1.4 / stretch + 0.3
    got, _, _ = predict_kappa(SimpleNamespace(n=n, variance=n * 0), LAW, stretch, rescale)
    np.testing.assert_allclose(got, kappa, rtol=1e-12)
    assert (
        predict_kappa(SimpleNamespace(n=np.array([0.1]), variance=np.array([0.01])), LAW, 1.0, 1.0)[0] == 0.0
    )


def test_errors_are_those_of_drawn_counts_and_laws():
    draw = np.random.default_rng(2)
    n, sigma = np.array([1.5, 4.0, 9.0]), np.array([0.1, 0.3, 0.5])
    _, error, law_error = predict_kappa(SimpleNamespace(n=n, variance=sigma**2), LAW, 1.0, 1.0)
    drawn, by_law = [], []
    for _ in range(4000):
        step = draw.normal(size=3) * [0.02, 0.03, 0.04]
        ln_a, c, floor = np.array([LAW.ln_a, LAW.c, LAW.floor]) + step
        for found, counted in ((drawn, n + draw.normal(0, sigma)), (by_law, n)):
            found.append(((counted - floor) / math.exp(ln_a)) ** (1 / c))
    np.testing.assert_allclose(error, np.std(drawn, axis=0), rtol=0.05)
    np.testing.assert_allclose(law_error, np.std(by_law, axis=0), rtol=0.05)
    # where nothing stands above the floor, kappa is 0 within what one error of counts would make of it
    low = predict_kappa(SimpleNamespace(n=np.array([0.2]), variance=np.array([0.04])), LAW, 1.0, 1.0)
    assert low[1] == pytest.approx((0.2 / 4.0) ** (1 / 1.4))


def merging(pixel=0.6):
    """Two clumps, 50 arcsec apart: kappa on a grid of cells."""
    axis = np.arange(-50, 50, pixel) + pixel / 2
    xi, eta = np.meshgrid(axis, axis)
    kappa = 1.5 * (1 + ((xi + 25) ** 2 + eta**2) / 100) ** -0.6
    return xi, eta, kappa + 1.0 * (1 + ((xi - 25) ** 2 + (eta - 8) ** 2) / 64) ** -0.7


def test_one_half_of_a_merging_pair_predicts_the_other():
    xi, _, kappa = merging()
    area, west = np.full(kappa.shape, 0.36), xi < 0
    pulls = []
    for seed in range(6):
        count = np.random.default_rng(seed).poisson((4.0 * kappa**1.4 + 0.3) * area)
        law = fit_law(gather(kappa, area, count.astype(float), west, first=(0, 0), cells=5, pixel=0.6))
        covariance = np.zeros((3, 3))
        covariance[np.ix_(law.free, law.free)] = np.linalg.inv(law.information[np.ix_(law.free, law.free)])
        known = KappaLaw(law.ln_a, law.c, law.floor, covariance)
        counts = smooth_counts(count, area, 3.0 / 0.6)
        got, error, _ = predict_kappa(counts, known, 1.0, 1.0)
        apart = (slice(12, None, 25), slice(90, None, 25))  # 15 arcsec apart: independent, east
        pulls.append(((got - kappa) / error)[apart].ravel())
    pulls = np.concatenate(pulls)
    # smoothing rounds the peak off: what is left of that is below the noise here
    assert abs(pulls.mean()) < 0.5
    assert 0.75 < pulls.std() < 1.35


# --- run folders -------------------------------------------------------------------------------------------


def folder(
    path,
    *,
    redshift=0.348,
    seed=0,
    threshold=0.07,
    relation=True,
    kappa=None,
    bands=("F1", "F2"),
    seen=1.0,
    disc=None,
):
    """Return a run with the sky grid, catalogue and summary that a law would give."""
    xi, eta, truth = merging(0.5)
    kappa = truth if kappa is None else kappa
    grid = SkyGrid(10.0, -20.0, 0.5)
    draw = np.random.default_rng(seed)
    count = draw.poisson((4.0 * np.maximum(kappa, 0) ** 1.4 + 0.3) * 0.25)
    cell = np.repeat(np.arange(count.size), count.ravel())
    ra, dec = grid.radec(xi.ravel()[cell], eta.ravel()[cell])
    shape = (1, *count.shape)
    in_law = np.ones(kappa.shape, bool) if disc is None else ~disc
    arrays = {
        name: (("field", "eta", "xi"), np.full(shape, 4)) for name in ("n_pixels", "n_good", "n_inside")
    }
    arrays |= {name: (("field", "eta", "xi"), np.zeros(shape)) for name in ("n_gc", "light", "rho")}
    planes = {"kappa": kappa, "recovery": np.full(kappa.shape, seen), "in_law": in_law}
    data = xr.Dataset(
        {name: (("eta", "xi"), values) for name, values in planes.items()} | arrays,
        attrs={
            "ra": 10.0,
            "dec": -20.0,
            "cell_arcsec": 0.5,
            "j0": -100,
            "i0": -100,
            "fields": ["a"],
            "pixel_area_arcsec2": [0.0625],
        },
    )
    peak = np.where(draw.random(ra.size) < 0.9, 1.0, 0.15).astype(np.float32)
    catalogue = QTable(
        {"ra": ra * u.deg, "dec": dec * u.deg, "field": np.full(ra.size, "a"), "peak": peak * u.nJy}
    )
    law = {
        "index": 1 / 1.4,
        "amplitude": 4.0 ** (-1 / 1.4),
        "boxes": None,
        "likelihood": {"a": 4.0, "c": 1.4, "floor": 0.3, "covariance": np.diag([4e-4, 4e-4, 1e-3]).tolist()},
    }
    path.mkdir()
    summary = {"relation": law if relation else None, "fields": {"a": {"threshold": threshold}}}
    (path / "summary.json").write_text(json.dumps(summary))
    edges = {"n_lo": [0, 0.3, 2.0] / u.arcsec**2, "n_hi": [0, 2.0, 9.0] / u.arcsec**2}
    bins = QTable({"bin": [-1, 0, 1], "n_boxes": [9, 30, 30], **edges})
    run = {
        "recipe": "diego2026",
        "cluster": {"name": "c", "redshift": redshift, "ra": 10.0, "dec": -20.0},
        "fields": [{"name": "a", "bands": {"F": "a.fits"}}],
        "convergence": {"path": "k.fits", "source_redshift": 3.0} if relation else None,
    }
    made = Run(path, config.resolve(run), {}, Check(path, {"fields": ()}, {}))
    told = {"sky": lambda _: data, "catalogue": catalogue, "relation": bins}
    band = SimpleNamespace(to_numpy=lambda: np.array(bands, np.dtypes.StringDType()))
    stand_ins[path] = {**told, "field": lambda _, __: {"band": band}}
    return made, kappa, xi, eta


stand_ins: dict = {}


@pytest.fixture(autouse=True)
def _runs(monkeypatch):
    """Let runs of this module answer from memory."""
    for name in ("catalogue", "relation"):
        monkeypatch.setattr(Run, name, property(lambda self, name=name: stand_ins[self.path][name]))
    monkeypatch.setattr(Run, "sky", lambda self: stand_ins[self.path]["sky"](self))
    monkeypatch.setattr(Run, "field", lambda self, name: stand_ins[self.path]["field"](self, name))


def test_a_cluster_without_a_map_gets_one(tmp_path):
    known, *_ = folder(tmp_path / "known", seed=1)
    target, kappa, xi, eta = folder(tmp_path / "target", seed=2, relation=False)
    found = prediction.predict(target, known)
    assert found.method == "likelihood"
    assert 1.0 <= found.scatter < 1.5
    assert found.warnings == ()
    inside = np.hypot(xi, eta) < 45
    pull = ((found.kappa - kappa) / found.error)[inside]
    assert abs(pull.mean()) < 0.4
    assert 0.7 < pull.std() < 1.4
    assert (found.error >= found.law_error).all()
    path = found.write(tmp_path / "p.fits")
    again = found.write(tmp_path / "q.fits")
    assert path.read_bytes() == again.read_bytes()
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["KAPPA", "ERROR", "LAWERR", "DENSITY", "EXTRAPOL"]
        assert hdus[0].header["ZSOURCE"] == 3.0
        assert hdus[0].header["CDELT1"] < 0
        assert hdus[0].header["LAWFITS"] is True
        assert "COMMENT" not in hdus[0].header
        assert not any(key in hdus[0].header for key in ("DATE", "DATE-OBS", "CHECKSUM"))
    # what was written is a kappa map for anybody's run, at its place on the sky
    back = read_convergence(
        config.Convergence(path=str(path), source_redshift=3.0), cosmology(config.Cosmology()), 0.348
    )
    grid = SkyGrid(10.0, -20.0, 0.5)
    at = back.at(*grid.radec(np.array([-24.75, 25.25]), np.array([0.25, 8.25])))
    assert at == pytest.approx([found.kappa[100, 50], found.kappa[116, 150]], rel=1e-6)
    assert found.kappa[100, 50] > 1.0


def test_what_crowding_hides_is_there_for_the_law(tmp_path):
    known, *_ = folder(tmp_path / "known", seed=1)
    target, *_ = folder(tmp_path / "target", seed=2, relation=False)
    crowded, *_ = folder(tmp_path / "crowded", seed=2, relation=False, seen=0.8)
    plain, more = (prediction.predict(one, known) for one in (target, crowded))
    np.testing.assert_allclose(more.n, plain.n / 0.8, rtol=1e-9)
    inside = plain.n > 1.0
    expected = ((plain.n / 0.8 - 0.3) / 4.0)[inside] ** (1 / 1.4)
    np.testing.assert_allclose(more.kappa[inside], expected, rtol=1e-6)
    np.testing.assert_array_equal(more.extrapolated, plain.extrapolated)  # by what is seen, as the bins


def test_galaxies_surroundings_do_not_count(tmp_path):
    known, _, xi, eta = folder(tmp_path / "known", seed=1)
    disc = np.hypot(xi - 5.0, eta + 5.0) < 2.0
    whole, *_ = folder(tmp_path / "target", seed=2, relation=False)
    without, *_ = folder(tmp_path / "without", seed=2, relation=False, disc=disc)
    plain, less = (prediction.predict(one, known) for one in (whole, without))
    away = np.hypot(xi - 5.0, eta + 5.0) > 18.0  # five sigma of the smoothing and the disc
    np.testing.assert_allclose(less.n[away], plain.n[away], rtol=1e-4)
    assert np.isfinite(less.kappa[disc]).all()
    assert (less.n[disc] != plain.n[disc]).all()
    assert (less.error[disc] > plain.error[disc]).mean() > 0.9


def test_what_goes_beyond_the_calibration_is_said(tmp_path):
    known, kappa, *_ = folder(tmp_path / "known", seed=1)
    more = {"kappa": 2.5 * kappa, "redshift": 0.5, "bands": ("F9",)}
    dense, *_ = folder(tmp_path / "dense", relation=False, **more)
    with pytest.raises(
        ConfigError, match=r"bands differ \(F9, calibration F.*override this with --extrapolate"
    ):
        prediction.predict(dense, known)
    found = prediction.predict(dense, known, extrapolate=True)
    text = " | ".join(found.warnings)
    assert "more sources per arcsec^2 than any bin of the calibration (9)" in text
    assert "z = 0.348, this cluster at 0.5" in text
    assert "bands differ" in text
    assert found.extrapolated[100, 50]
    shallow, *_ = folder(tmp_path / "shallow", threshold=0.14, relation=False)
    with pytest.raises(ConfigError, match=r"its limit is 2\.00 times"):
        prediction.predict(shallow, known)
    told = prediction.predict(shallow, known, extrapolate=True)
    assert told.wrong == told.warnings[:1]
    assert "its limit is 2.00 times" in told.wrong[0]
    with fits.open(told.write(tmp_path / "shallow.fits")) as hdus:
        for hdu in hdus:
            assert hdu.header["LAWFITS"] is False
            assert "its limit is 2.00 times" in "".join(hdu.header["COMMENT"])
    # A limit that differs by little is said, not refused.
    close, *_ = folder(tmp_path / "close", threshold=0.07 * 1.05, relation=False)
    assert "its limit is 1.05 times" in prediction.predict(close, known).warnings[0]
    assert prediction.predict(close, known).wrong == ()
    # a deeper one is cut at the calibration's limit: a tenth of its sources are fainter
    deep, *_ = folder(tmp_path / "deep", threshold=0.05, relation=False)
    higher, *_ = folder(tmp_path / "higher", threshold=0.1)
    cut, whole = prediction.predict(deep, higher), np.isfinite(deep.sky()["kappa"].to_numpy())
    count = (np.asarray(deep.catalogue["peak"].value) > 0.2).sum()
    assert np.nansum(cut.n * whole) * 0.25 == pytest.approx(count, rel=0.02)


def test_redshifts_change_scale_and_density(tmp_path):
    known, *_ = folder(tmp_path / "known")
    near, *_ = folder(tmp_path / "near", redshift=0.2, relation=False)
    found = prediction.predict(near, known, source_redshift=9.0)
    there = cosmology(config.Cosmology())
    arc = {z: 1 / there.arcsec_per_kpc_proper(z).value for z in (0.2, 0.348)}
    far = {z: there.angular_diameter_distance(z).value for z in (0.2, 0.348)}
    pairs = ((0.2, 9.0), (0.348, 3.0))
    scaling = {
        pair: 1 - there.comoving_distance(pair[0]) / there.comoving_distance(pair[1]) for pair in pairs
    }
    net = found.n[100, 50] - 0.3
    want = (net * (arc[0.348] / arc[0.2]) ** 2 / 4.0) ** (1 / 1.4)
    want *= far[0.2] * float(scaling[0.2, 9.0]) / (far[0.348] * float(scaling[0.348, 3.0]))
    assert found.kappa[100, 50] == pytest.approx(want, rel=1e-6)


def test_a_kappa_that_scatters_widens_the_errors(tmp_path):
    _, kappa, xi, eta = folder(tmp_path / "plain")
    clumped = kappa * (1 + 0.4 * np.sin(xi / 2) * np.sin(eta / 2))  # finer than the smoothing
    known, *_ = folder(tmp_path / "known", kappa=clumped)
    target, *_ = folder(tmp_path / "target", relation=False, kappa=clumped, seed=3)
    found = prediction.predict(target, known)
    assert found.scatter > 1.5
    pull = ((found.kappa - clumped) / found.error)[np.hypot(xi, eta) < 45]
    assert 0.7 < np.sqrt((pull**2).mean()) < 1.3


def test_the_command_refuses_in_one_line(tmp_path, capsys, monkeypatch):
    for arguments, says in (
        ([str(tmp_path / "none"), "--calibration", str(tmp_path)], "none"),
        ([str(tmp_path), "--calibration", str(tmp_path), "-o", __file__], "exists"),
    ):
        with pytest.raises(SystemExit) as stop:
            monkeypatch.setattr(sys, "argv", ["tilegc", "predict", *arguments])
            cli.main()
        assert stop.value.code == 2
        told = capsys.readouterr().err
        assert told.startswith("tilegc: ")
        assert told.count("\n") == 1
        assert says in told


def test_a_law_at_its_bound_is_said_and_no_run_calibrates_itself(tmp_path):
    known, *_ = folder(tmp_path / "known", seed=1)
    target, *_ = folder(tmp_path / "target", seed=2, relation=False)
    summary = known.summary
    summary["relation"]["likelihood"] |= {"floor_err": None, "c_interval": [0.69, None]}
    (known.path / "summary.json").write_text(json.dumps(summary))
    (said,) = prediction.predict(target, known).warnings
    assert "the floor is at its bound and the 68 % interval of its power c is open" in said
    with pytest.raises(ConfigError, match="a run cannot calibrate itself"):
        prediction.predict(known, known)


@pytest.mark.parametrize("index", [0.0, -0.3])
def test_a_kappa_that_does_not_rise_calibrates_nothing(tmp_path, index):
    known, *_ = folder(tmp_path / "known", seed=1)
    target, *_ = folder(tmp_path / "target", seed=2, relation=False)
    summary = known.summary
    bins = {"index": index, "amplitude": 0.4}
    summary["relation"] |= {**bins, "boxes": bins, "likelihood": {"c": None, "covariance": None}}
    (known.path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(RunFolderError, match="kappa does not increase with the counts"):
        prediction.predict(target, known)


def test_a_run_without_a_limit_has_no_kappa(tmp_path):
    known, *_ = folder(tmp_path / "known", seed=1)
    target, *_ = folder(tmp_path / "target", seed=2, relation=False, threshold=None)
    found = prediction.predict(target, known)
    assert "no field has a limit, so no sources are counted" in found.warnings[0]
    assert not (found.kappa > 0).any()


def test_no_calibration_is_refused(tmp_path):
    known, *_ = folder(tmp_path / "known", relation=False)
    target, *_ = folder(tmp_path / "target")
    with pytest.raises(RunFolderError, match="no convergence map"):
        prediction.predict(target, known)
    with pytest.raises(ConfigError, match="--resolution 0"):
        prediction.predict(known, target, resolution=0.0)
