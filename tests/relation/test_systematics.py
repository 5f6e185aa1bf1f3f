"""Systematic errors of the exponent: differences beyond chance, and what range maps show."""

import numpy as np
import pytest

from tilegc.relation.attenuation import Attenuation
from tilegc.relation.systematics import Systematic, beyond_chance, systematic

NAMES = (
    "all",
    "snr_5",
    "snr_7",
    "snr_10",
    "bright_half",
    "faint_half",
    "members_removed",
    "members_kept",
    "crowding_kept",
    "no_outer_field",
)


def test_nested_samples_of_one_law_have_no_systematic_part_but_by_chance():
    draw = np.random.default_rng(1)
    excess = []
    for _ in range(400):
        whole = draw.normal(size=400)
        c = np.array([whole.mean(), whole[:100].mean()]) + 1.4
        excess.append(beyond_chance(c, np.array([0.05, 0.1]))[1])
    # The difference is normal, 0.0866 wide: two of three lie within, and are 0.
    assert np.mean(np.array(excess) == 0) == pytest.approx(0.683, abs=0.07)
    assert beyond_chance(np.array([1.4, 1.8]), np.array([0.05, 0.1]))[1] == pytest.approx(
        (0.16 - 0.0075) ** 0.5
    )
    assert np.isnan(beyond_chance(np.array([1.4, np.nan]), np.array([0.05, np.nan]))[1])


def test_parts_and_their_total():
    c = dict.fromkeys(NAMES, 1.4) | {"crowding_kept": 1.28, "members_removed": 1.5}
    beyond = dict.fromkeys(NAMES, 0.0) | {"members_removed": 0.05, "snr_7": 0.1, "snr_10": np.nan}
    beyond |= {"members_kept": 0.2, "no_outer_field": 0.02}
    plain = systematic(c, beyond, None)
    assert np.isnan(plain.lens_map)
    assert (plain.members, plain.outer_field) == (0.05, 0.02)
    assert plain.crowding == pytest.approx(0.03)
    assert plain.sources == pytest.approx(0.05)
    assert plain.total == pytest.approx((0.05**2 + 0.02**2 + 0.03**2 + 0.05**2) ** 0.5)
    ranged = systematic(c, beyond, Attenuation(30, 0.2, 0.95, 0.01, 1.47, 0.05))
    assert ranged.lens_map == pytest.approx((0.07**2 + 0.05**2) ** 0.5)
    assert ranged.total == pytest.approx((plain.total**2 + ranged.lens_map**2) ** 0.5)
    without = systematic(c, beyond | {"no_outer_field": np.nan}, None)
    assert np.isnan(without.outer_field)
    assert np.isfinite(without.total)
    # Without a term for galaxies' light the run is the law away from them.
    assert systematic(c | {"members_removed": 1.4}, beyond, None).members == 0.2
    assert np.isnan(Systematic(*[np.nan] * 5).total)
