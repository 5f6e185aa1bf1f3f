"""Mock samples: what is drawn follows the laws that are stated, and two inputs are refused, each with its reason."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from astropy.table import Table

from tests.support.command import tilegc as command
from tilegc import samples
from tilegc.errors import ConfigError, RunFolderError
from tilegc.planted import read_truth
from tilegc.simulation import sample as drawing
from tilegc.simulation import simulate_sample
from tilegc.simulation.population import populate
from tilegc.simulation.presets import find_preset


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "five"
    done = command("simulate", folder, "--sample", 5, "--size", "64,48", "--psf", "round")
    assert done.code == 0, done.err
    assert f"tilegc survey {folder / 'sample.yaml'}" in done.out
    return folder


def test_a_sample_of_five_has_a_blank_field_and_two_that_are_refused(five):
    truth = Table.read(five / "sample_truth.ecsv")
    assert list(truth["kind"]) == ["cluster", "truncated", "blank", "cluster", "undeclared"]
    assert list(truth["with_kappa"]) == [True, True, False, False, True]
    for one in truth:
        run = yaml.safe_load((five / one["name"] / "run.yaml").read_text())
        assert ("convergence" in run) == one["with_kappa"] == (five / one["name"] / "kappa.fits").exists()
        assert ("cluster" in run) == (one["kind"] != "blank")
        assert ",".join(run["fields"][0]["bands"]) == one["bands"]


def test_every_truth_table_tells_the_law_of_its_own_cluster(five):
    """The law that is planted, kappa = A n^b, differs between clusters; at the density that it counts kappa is 0.4."""
    for one in Table.read(five / "sample_truth.ecsv"):
        told = read_truth(str(five / one["name"] / "truth.parquet")).meta
        if one["kind"] == "blank":
            assert "law_index" not in told
            continue
        index, amplitude = float(told["law_index"]), float(told["law_amplitude"])
        assert index == pytest.approx(1.0 / one["power"], rel=1e-9)
        drawn = next(mock for mock in drawing.draw_sample(5, 1) if mock.name == one["name"])
        density = drawing.preset_of(find_preset("small"), drawn).globulars.density
        assert amplitude * density**index == pytest.approx(0.4, rel=1e-9)


def test_its_plan_lists_what_would_be_refused(five):
    plan = samples.plan_sample(samples.load_sample(str(five / "sample.yaml")), five / "runs", 2)
    refused = {one.name: one.refusal for one in plan.clusters if one.refusal}
    assert set(refused) == {"mock2", "mock5"}
    assert "truncated" in refused["mock2"]
    assert "lens_scaling" in refused["mock5"]
    assert not (five / "runs").exists()


def test_the_same_seed_draws_the_same_sample_and_another_one_does_not():
    assert drawing.draw_sample(7, 3)[:2] == drawing.draw_sample(7, 3)[:2]
    assert drawing.draw_sample(7, 3)[0] != drawing.draw_sample(7, 4)[0]


def test_masses_and_redshifts_follow_their_laws():
    drawn = [one for one in drawing.draw_sample(4000, 5) if one.kind != "blank"]
    mass = np.sort([one.mass for one in drawn])
    low, high = drawing.MASSES
    expected = (low**-2.5 - mass**-2.5) / (low**-2.5 - high**-2.5)
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed by 99.9 % of true samples.
    assert np.abs(expected - np.arange(mass.size) / mass.size).max() < 1.95 / np.sqrt(mass.size)
    z = np.sort([one.redshift for one in drawn])
    from astropy.cosmology import FlatLambdaCDM

    volume = FlatLambdaCDM(H0=70.0, Om0=0.3).comoving_volume([0.2, *z, 0.6]).value
    expected = (volume[1:-1] - volume[0]) / (volume[-1] - volume[0])
    assert np.abs(expected - np.arange(z.size) / z.size).max() < 1.95 / np.sqrt(z.size)
    assert np.std([one.ln_density for one in drawn]) == pytest.approx(drawing.SCATTER_LN_N, rel=0.05)
    assert np.std([one.power for one in drawn]) == pytest.approx(drawing.SCATTER_POWER, rel=0.05)


def test_the_template_at_its_own_mass_and_redshift_is_the_preset():
    base = find_preset("tiny")
    one = drawing.MockCluster(
        name="MOCK-AS1063",
        kind="cluster",
        mass=drawing.TEMPLATE_MASS,
        redshift=base.redshift,
        ra=base.ra,
        dec=base.dec,
        depth=0.0,
        bands=base.bands,
        with_kappa=True,
        ln_density=0.0,
        power=base.globulars.power,
    )
    made = drawing.preset_of(base, one)
    for name in ("density", "power", "dimming"):
        assert getattr(made.globulars, name) == pytest.approx(getattr(base.globulars, name), abs=1e-12)
    xi = np.linspace(-30, 30, 7)
    np.testing.assert_allclose(made.mass.kappa(xi, -xi), base.mass.kappa(xi, -xi), rtol=1e-12)


def test_mass_within_r200_is_proportional_to_m200():
    # Projected mass within a fixed multiple of r200, in Msun, from kappa, the critical density and the scale.
    from astropy.cosmology import FlatLambdaCDM

    base, cosmo = find_preset("tiny"), FlatLambdaCDM(H0=70.0, Om0=0.3)
    ratios = []
    for one in drawing.draw_sample(4, 9):
        made, z = drawing.preset_of(base, one), one.redshift
        kpc = cosmo.kpc_proper_per_arcmin(z).value / 60
        distance = cosmo.angular_diameter_distance(z).value
        behind = 1 - cosmo.comoving_distance(z).value / cosmo.comoving_distance(3.0).value
        # without c^2 / (4 pi G): only ratios between clusters count
        critical = 1.0 / (distance * behind)
        radius = 100.0 * (one.mass / 1e15 / cosmo.efunc(z) ** 2) ** (1 / 3) / kpc
        axis = (np.arange(200) - 99.5) / 100 * radius
        xi, eta = np.meshgrid(axis, axis)
        kappa = np.where(np.hypot(xi, eta) < radius, made.mass.kappa(xi, eta), 0.0)
        ratios.append(kappa.mean() * critical * (2 * radius * kpc) ** 2 / one.mass)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-3)


def test_a_blank_field_has_no_cluster_and_no_globular_clusters():
    base = find_preset("tiny")
    blank = next(one for one in drawing.draw_sample(5, 1) if one.kind == "blank")
    made = drawing.preset_of(base, blank)
    from tilegc.simulation.frame import layout_frames
    from tilegc.simulation.mass import AnalyticMass
    from tilegc.simulation.objects import KINDS

    objects = populate(made, layout_frames(made), AnalyticMass(()), 1, made.bands)
    kinds = {KINDS[k] for k in np.unique(objects.kind)}
    assert kinds == {"field_galaxy", "background_extended", "background_point", "star"}


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--sample", "2", "--layout", "grizli"), "cannot be combined"), (("--sample", "0"), "sample")],
)
def test_what_a_sample_cannot_have_is_one_line(tmp_path, options, message):
    done = command("simulate", tmp_path / "x", *options)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "x").exists()


def test_a_directory_with_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty"):
        simulate_sample(tmp_path, 1)
    with pytest.raises(ConfigError, match="at least 1"):
        simulate_sample(tmp_path / "new", 0)
    assert not (tmp_path / "new").exists()
