"""Membership against planted clusters and background, whose colours and places are known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.luminosity.test_fit import EDGES, OUTER, PRIORS, RADIUS, drawn
from tilegc.luminosity.annuli import Annuli, _joined
from tilegc.luminosity.fit import Function, fit
from tilegc.luminosity.membership import membership

BANDS = ("F090W", "F150W", "F200W")
COLOUR = {True: (0.5, 0.1), False: (0.1, -0.15)}
"""Of clusters and of the background, in the first two bands less the last."""


@pytest.fixture(scope="module")
def fitted() -> tuple[Annuli, Function]:
    annuli = drawn(np.random.default_rng(2), background=0.15)
    found = fit(annuli, PRIORS)
    assert found is not None
    return annuli, found


def planted(
    annuli: Annuli, function: Function, seed: int = 4
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Sources by the fitted numbers, with colours and their noise: table, listed magnitudes, and which are clusters."""
    rng = np.random.default_rng(seed)
    place, real = [], []
    for is_cluster, expected in ((True, function.clusters), (False, function.others)):
        number = rng.poisson(expected)
        row, column = np.nonzero(number)
        place.append(np.repeat(np.stack([row, column], axis=1), number[row, column], axis=0))
        real.append(np.full(len(place[-1]), is_cluster))
    row, column = np.concatenate(place).T
    cluster = np.concatenate(real)
    listed = EDGES[column] + 0.25 * rng.uniform(size=row.size)
    noise = 0.03 * 10 ** (0.3 * (listed - 30))
    offset = np.where(cluster[:, None], [*COLOUR[True], 0.0], [*COLOUR[False], 0.0])
    magnitude = listed[:, None] + offset + rng.normal(0, 0.15, (row.size, 3)) * [1, 1, 0]
    seen = magnitude + rng.normal(size=magnitude.shape) * noise[:, None]
    flux = 10 ** (-0.4 * (seen - 31.4))
    table = {"radius_arcsec": RADIUS[row], "flags": np.zeros(row.size, np.int32)}
    for number, band in enumerate(BANDS):
        table |= {f"flux_{band}": flux[:, number], f"flux_err_{band}": noise * flux[:, number] / 1.0857}
    return table, listed, cluster


def test_of_sources_with_a_chance_as_many_are_clusters(fitted):
    annuli, function = fitted
    table, listed, cluster = planted(annuli, function)
    field = np.zeros(listed.size, np.int64)
    position, colour = membership(table, listed, field, BANDS, annuli, function)
    assert np.isfinite(position).all()
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.01)):
        some = (position >= low) & (position < high)
        assert some.sum() > 30
        expected = position[some].mean()
        assert cluster[some].mean() == pytest.approx(expected, abs=0.05 + 2.5 * np.sqrt(0.25 / some.sum())), (
            low
        )
    known = np.isfinite(colour)
    assert known.mean() > 0.9
    assert colour[known & cluster].mean() > colour[known & ~cluster].mean() + 0.1
    # Where a source is tells more in the outer field, where clusters are rare.
    outer = np.isin(table["radius_arcsec"], RADIUS[OUTER])
    assert position[outer & known].mean() < 0.6 * colour[outer & known].mean()


def test_without_colours_the_place_decides(fitted):
    annuli, function = fitted
    table, listed, _ = planted(annuli, function)
    field = np.zeros(listed.size, np.int64)
    bare = {"radius_arcsec": table["radius_arcsec"]}
    position, colour = membership(bare, listed, field, BANDS, annuli, function)
    assert np.isnan(colour).all()
    row = np.searchsorted(RADIUS, table["radius_arcsec"])
    column = np.searchsorted(EDGES, listed, side="right") - 1
    clusters, others = function.clusters[row, column], function.others[row, column]
    np.testing.assert_allclose(position, clusters / (clusters + others))


def test_outside_of_annuli_and_bins_nothing_is_known(fitted):
    annuli, function = fitted
    table = {"radius_arcsec": np.array([500.0, 4.0, 4.0, 4.0])}
    listed = np.array([30.0, 20.0, np.nan, 30.0])
    position, _ = membership(table, listed, np.array([0, 0, 0, 1]), BANDS, annuli, function)
    assert np.isnan(position).all()


def test_annuli_hold_enough_and_do_not_cross_the_outer_radius():
    rng = np.random.default_rng(6)
    sources, stars = rng.uniform(0, 190, 900), rng.uniform(0, 190, 9000)
    edges = _joined(sources, stars, 120.0)
    assert edges[0] == 0
    assert 120.0 in edges
    assert edges[-1] == np.inf
    for values, least in ((sources, 20), (stars, 150)):
        counts = np.histogram(values, np.minimum(edges, 1e9))[0]
        assert (counts >= least).all()
    only = _joined(sources[sources < 100], stars[stars < 100], 120.0)
    assert only[-1] == 120.0
    assert list(_joined(np.zeros(0), np.zeros(0), 120.0)) == [0.0, 120.0]
