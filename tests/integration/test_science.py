"""The numbers of a run against what was planted, and the local density against a known profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tilegc
from tilegc.density.local_density import local_density
from tilegc.simulation import simulate
from tilegc.simulation.mass import AnalyticMass
from tilegc.simulation.population import surface_density


def test_small_finds_what_was_planted(tmp_path: Path) -> None:
    run = tilegc.run(simulate(tmp_path / "mock", preset="small", seed=2), tmp_path / "run", workers=0)
    found, planted = run.summary["relation"]["boxes"], run.summary["truth"]
    assert abs(found["index"] - planted["index"]) < 3 * found["index_err"]
    assert planted["completeness"] > 0.95
    assert planted["purity"] > 0.95

    profile, truth = run.profile, planted["profile"]
    assert truth["r_lo"] == profile["r_lo"].value.tolist()
    assert len(truth["r_lo"]) >= 6
    counts, apart = np.asarray(profile["n_gc"], float), np.asarray(truth["n_apart"], float)
    # 4 % beside the noise: false sources on spikes, and noise lifting more over the limit than it takes below.
    assert (np.abs(counts - apart) < 3 * np.sqrt(counts) + 0.04 * apart).all()
    # Blending is not left out of the account: in the core more was planted than any catalogue can hold.
    assert truth["n_apart"][0] < 0.95 * truth["n_gc"][0]


@pytest.mark.parametrize(
    ("radius", "share"), [(0, 0.15), (5, 0.15), (10, 0.15), (20, 0.05), (30, 0.05), (50, 0.05)]
)
def test_density_fills_holes_of_5_arcsec(radius: float, share: float) -> None:
    # The estimator is linear in the counts: expected counts in, the mean over all realisations out.
    scale, half = 0.2, 60.0
    axis = (np.arange(round(2 * half / scale)) + 0.5) * scale - half
    xi, eta = np.meshgrid(axis, axis)
    truth = surface_density(AnalyticMass().kappa(xi, eta))
    filled = there = 0.0
    for angle in np.radians([0.0, 120.0, 240.0]):
        hole = np.hypot(xi - radius * np.cos(angle), eta - radius * np.sin(angle)) < 2.5
        density = local_density(truth * scale**2 * ~hole, ~hole, scale**2, 2.0 / scale)
        filled += density[hole].sum()
        there += truth[hole].sum()
    assert filled == pytest.approx(there, rel=share)


def test_density_of_a_uniform_sky_is_unbiased() -> None:
    draws = np.random.Generator(np.random.PCG64(5))
    good = np.ones((300, 300), bool)
    good[100:160, 120:170] = False
    good[:, 280:] = False
    maps = [local_density(draws.poisson(0.05 * good).astype(float), good, 0.04, 10.0) for _ in range(40)]
    # 40 x 75,000 good pixels x 0.05: 0.26 % of Poisson noise in the mean.
    assert np.mean(maps) == pytest.approx(0.05 / 0.04, rel=0.01)
