"""Masses of a run: what is not given where too little of the aperture was seen, or where there is no cluster."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tilegc.config import resolve
from tilegc.radial.masses import APERTURE, GC_TO_LENS, SEARCHED, VIRIAL_PER_GC, masses, searched

AREA = np.pi * APERTURE**2
CLUSTER = {"name": "c", "redshift": 0.348, "ra": 342.18322, "dec": -44.53091}


def config(cluster=CLUSTER):
    content = {
        "recipe": "diego2026",
        "fields": [{"name": "f", "store": "f.zarr"}],
        "convergence": {"path": "kappa.fits", "lens_scaling": 1.0},
    }
    return resolve(
        {**content, "cluster": cluster} if cluster else {**content, "convergence": None}, source="test"
    )


def kappa(covered=1.0):
    return SimpleNamespace(mean_within=lambda *_: (0.7, covered))


@pytest.mark.parametrize(("share", "given"), [(0.0, False), (0.79, False), (0.8, True), (1.02, True)])
def test_the_mean_mass_needs_most_of_the_aperture(share, given):
    """Below 80 % of the aperture the mass per cluster would be wrong by as much as is missing."""
    found = masses(config(), kappa(), np.array([5.0, 20.0, 59.0, 61.0]), share * AREA)
    assert found.coverage == pytest.approx(min(share, 1.0))
    assert (found.coverage >= SEARCHED) == given
    assert found.virial_from_counts == 4 * VIRIAL_PER_GC
    assert found.gc_from_ratio > 0
    assert np.isfinite(found.mean_gc) == given
    if given:
        assert found.mean_gc == pytest.approx(found.gc_from_ratio / 3)
    assert searched(share * AREA) == found.coverage


def test_a_map_that_ends_within_the_aperture_has_no_mass():
    found = masses(config(), kappa(0.9), np.array([5.0]), AREA)
    assert np.isnan([found.mean_gc, found.gc_from_ratio]).all()
    assert GC_TO_LENS < 1e-3


def test_without_a_cluster_there_are_no_masses():
    found = masses(config(None), None, np.array([5.0]), AREA)
    assert np.isnan([found.mean_gc, found.gc_from_ratio, found.virial_from_counts, found.coverage]).all()
