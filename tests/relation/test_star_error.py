"""The error of the law that comes from the number of artificial stars: a jackknife over groups of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tilegc.relation import star_error as module


class Stars:
    """Stars of which only their numbers are known."""

    def __init__(self, number):
        self.number = number

    def without(self, some):
        return Stars(self.number[~some])


def test_the_error_is_that_of_leaving_out_each_group(monkeypatch):
    number = np.arange(803)
    asked = []

    def fit_counts(cells, side, max_radius, *, kept, recovery, light, thorough):
        asked.append((cells, side, max_radius, kept, light, thorough))
        return SimpleNamespace(law=SimpleNamespace(c=recovery))

    # As if the power were the mean of the stars, whose jackknife error is known.
    monkeypatch.setattr(module, "seen_share", lambda cells, stars, limit: float(np.mean(stars.number)))
    monkeypatch.setattr(module, "fit_counts", fit_counts)
    found = module.star_error("cells", Stars(number), 2.0, 3.0, 60.0, kept="kept", light=None)
    groups = [number[number % module.GROUPS == group] for group in range(module.GROUPS)]
    left = [(number.sum() - group.sum()) / (number.size - group.size) for group in groups]
    expected = np.sqrt((module.GROUPS - 1) / module.GROUPS * sum((one - np.mean(left)) ** 2 for one in left))
    assert found == pytest.approx(expected, rel=1e-12)
    assert asked == [("cells", 3.0, 60.0, "kept", None, False)] * module.GROUPS


def test_no_error_where_one_of_the_fits_fails(monkeypatch):
    powers = iter([1.0, 1.1, np.nan, *[1.0] * 5])
    monkeypatch.setattr(module, "seen_share", lambda *_: None)
    monkeypatch.setattr(
        module, "fit_counts", lambda *_, **__: SimpleNamespace(law=SimpleNamespace(c=next(powers)))
    )
    stars = Stars(np.arange(16))
    assert np.isnan(module.star_error(None, stars, 2.0, 3.0, 60.0, kept=None, light=None))
