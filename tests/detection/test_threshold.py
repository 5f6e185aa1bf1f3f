"""The threshold T of each field, whether requested, chosen or a fallback, and the reason reported for it."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.null_counts import noise_of, peaks_at
from tilegc.config import detection_settings
from tilegc.detection import purity as stage
from tilegc.detection import threshold as rules
from tilegc.detection.automatic import HIGHEST
from tilegc.detection.limits import Threshold
from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.noise.noise_map import Steps
from tilegc.detection.noise.null_maps import FLOOR, SLICES
from tilegc.detection.pattern import Pattern
from tilegc.geometry import LATTICE, Box

NOISE = Noise(0.0, 0.4, 1000)
EMPTY = Noise(np.nan, np.nan, 0)


def config(recipe, threshold, **detect):
    settings = {"recipe": recipe, "detect": {"threshold": threshold, "keep": 2.0, **detect}}
    return detection_settings(settings, source="test")


def counted(values=((0.5,),), falls=1.5, level=400, draws=6):
    """Return noise, peaks with as many real ones as that, and the purity of a field."""
    values = np.asarray(values, float)
    nulls = np.zeros((*values.shape, len(SLICES)), int)
    nulls[:] = draws * np.rint(level * np.exp(-np.arange(len(SLICES)) / falls))
    noise = noise_of(values, 200_000, 200_000, nulls, draws=draws)
    random = np.random.default_rng(3)
    parts = []
    for x in range(values.shape[1]):
        rank = np.r_[random.exponential(1.0, 1200) + FLOOR, random.exponential(6.0, 600) + FLOOR]
        parts.append(peaks_at(noise, np.zeros(1800, int), np.full(1800, x * LATTICE), rank))
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    found["field"] = np.zeros(found["y"].size, int)
    return noise, found, stage._of_field("f", found, noise, 0, 1e-3)


def stepped():
    """Return the same of four cells, the last of three times the noise, with a third of the sources of the others."""
    noise, found, _ = counted([[0.5, 0.5, 0.5, 1.5]])
    rows = (found["noise"] < 1) | (np.arange(found["y"].size) % 3 == 0)
    found = {name: column[rows] for name, column in found.items()}
    return noise, found, stage._of_field("f", found, noise, 0, 1e-3)


def chosen(settings, noise, found, purity, *, onset=0.0, overall=NOISE):
    context = SimpleNamespace(names=("f",))
    of = {"f": noise}
    return rules.thresholds(context, settings, {"f": overall}, of, found, {"f": purity}, {"f": onset})["f"]


@pytest.mark.parametrize(
    ("asked", "overall", "value"),
    [({"sigma": 5.0}, NOISE, 2.0), ({"value": 0.3}, NOISE, 0.3), ({"sigma": 5.0}, EMPTY, np.nan)],
)
def test_what_is_asked_for_against_the_noise_of_the_field(asked, overall, value):
    limit = chosen(config("diego2026", asked), *counted(), overall=overall)
    assert limit.value == pytest.approx(value, nan_ok=True)
    assert limit.typical == pytest.approx(value, nan_ok=True)
    assert (limit.local, limit.chosen, limit.missed) == (False, False, False)


def test_what_is_asked_for_against_local_noise():
    settings = config("calibrated", {"sigma": 5.0})
    limit = chosen(settings, *counted())
    assert (limit.value, limit.local) == (5.0, True)
    assert limit.typical == pytest.approx(2.5)  # 5 times the noise, 0.5 nJy
    blind = chosen(settings, *counted([[np.nan]]))
    assert np.isnan(blind.value)


def test_auto_against_the_noise_of_the_field_divides_by_keep():
    noise, found, purity = counted()
    limit = chosen(config("diego2026", "auto", purity=0.9), noise, found, purity)
    assert limit.chosen
    pure = stage.purity_of(purity, noise, found["y"], found["x"], found["rank"].astype(float), found["noise"])
    order = np.argsort(-found["peak"])
    means = np.nancumsum(pure[order]) / np.arange(1, order.size + 1)
    lowest = found["peak"][order][np.flatnonzero(means >= 0.9)[-1]]
    assert limit.value * 2.0 == pytest.approx(lowest)


def test_auto_falls_back_where_no_limit_is_pure_enough(caplog):
    noise, found, purity = counted(falls=1e9, level=10_000)
    with caplog.at_level(logging.WARNING, logger="tilegc"):
        limit = chosen(config("diego2026", "auto", purity=0.9), noise, found, purity)
    assert limit.missed
    assert not limit.chosen
    assert limit.value == pytest.approx(2.5 * 0.4)
    assert "field f: no limit reaches a purity of 0.9; T is 2.5 sigma" in caplog.text


def test_auto_takes_the_limit_that_each_zone_needs():
    """Two cells of three times the noise: each zone has its limit, and its sources are judged by that one alone."""
    noise, found, purity = stepped()
    limit = chosen(config("calibrated", "auto", purity=0.9), noise, found, purity)
    assert limit.chosen
    assert set(limit.by_zone) == set(purity.table["zone"].tolist()) == {1, 2}
    usual, shallow = limit.by_zone[1], limit.by_zone[2]
    assert shallow != usual
    assert limit.value * 2.0 == usual
    assert limit.typical == pytest.approx(0.25 * usual)
    assert limit.least * 2.0 == pytest.approx(min(usual, shallow))
    np.testing.assert_allclose(
        limit.lowest(np.array([0.5, 1.5, 0.57, 0.58]), 2.0), [usual, shallow, usual, shallow]
    )
    assert f"pure in each zone of noise: S/N usual {usual:.2f}, shallow {shallow:.2f}" in limit.reason
    for zone, lowest in limit.by_zone.items():
        rows = stage.zone_of(purity, noise, found["y"], found["x"], found["noise"]) == zone
        table = purity.table["zone"] == zone
        false = purity.table["n_noise"][table & (purity.table["snr_lo"] >= lowest)].sum()
        assert false <= 0.11 * (found["rank"][rows] >= lowest).sum()


def test_a_zone_without_a_limit_does_not_take_those_of_the_others(caplog):
    noise, found, purity = stepped()
    shallow = purity.table["zone"] == 2
    purity.table["n_noise"][shallow] = 1e6
    with caplog.at_level(logging.WARNING, logger="tilegc"):
        limit = chosen(config("calibrated", "auto", purity=0.9), noise, found, purity)
    assert limit.missed
    assert not limit.chosen
    assert limit.by_zone[2] == HIGHEST > limit.by_zone[1]
    assert "field f: no limit up to S/N 8 makes the catalogue 0.9 pure in the shallow part" in caplog.text
    assert limit.reason.startswith("no limit makes the catalogue 0.9 pure in the shallow part; limits: usual")


def test_catalogue_and_common_limit_follow_the_zones():
    """The shallow zone has 1.5 times the limit: sources, the common limit and its area follow, by the slow rule."""
    noise, found, purity = stepped()
    limit = Threshold(2.0, local=True, typical=1.0, steps=Steps((0.4, 0.6), (1.0, 1.0, 1.5)))
    table = {
        "field": np.full(found["y"].size, "f", object),
        "peak": found["peak"],
        "snr": found["rank"].astype(float),
    }
    kept = rules.keep(table, {"f": limit}, 2.0)
    wanted = [
        snr >= (6.0 if level > 1 else 4.0) for snr, level in zip(table["snr"], found["noise"], strict=True)
    ]
    assert kept["snr"].tolist() == table["snr"][wanted].tolist()
    selection = rules.Selection({"f": noise}, {"f": purity}, {}, {"f": limit}, table, kept)
    common = selection.common(2.0)
    assert common.limit == pytest.approx(2.0 * 2.0 * 1.5 * 1.5)
    assert common.sources(kept)["peak"].tolist() == [peak for peak in kept["peak"].tolist() if peak >= 9.0]
    limiting, ceiling = common.complete["f"]
    values = limiting.on({}, Box(0, 0, 1, 4 * LATTICE))[0]
    plain = noise.map.on({}, Box(0, 0, 1, 4 * LATTICE))[0]
    np.testing.assert_allclose(values, plain * np.where(plain >= 0.6, 1.5, 1.0), rtol=1e-6)
    assert (values <= ceiling).all()


@pytest.mark.parametrize(("draws", "limit"), [(6, HIGHEST), (0, 5.0)])
def test_auto_against_local_noise_that_finds_no_limit(draws, limit, caplog):
    """The highest limit that is tried, or k = 2.5 where no null map says anything."""
    noise, found, purity = counted(falls=1e9, level=10_000, draws=draws)
    with caplog.at_level(logging.WARNING, logger="tilegc"):
        fallen = chosen(config("calibrated", "auto", purity=0.9), noise, found, purity)
    assert fallen.missed
    assert fallen.value * 2.0 == limit
    assert fallen.typical == pytest.approx(0.5 * fallen.value)
    assert (
        f"field f: no limit up to S/N 8 makes the catalogue 0.9 pure; the limit is {limit:g}" in caplog.text
    )
    assert "no limit makes the catalogue 0.9 pure" in fallen.reason


def test_auto_stays_above_a_regular_pattern():
    settings = config("calibrated", "auto", purity=0.9)
    plain, above = (chosen(settings, *counted(), onset=onset) for onset in (0.0, 6.0))
    assert plain.value * 2.0 < 6.0 <= above.value * 2.0
    assert above.reason == "sources show a regular pattern up to S/N 6"
    assert "is the lowest limit at which the catalogue is 0.9 pure" in plain.reason
    blind = chosen(settings, *counted([[np.nan]]))
    assert np.isnan(blind.value)
    assert not blind.missed


def test_peaks_from_a_limit_on_are_those_of_the_survey():
    noise, found, _ = counted()
    limits = {"f": Threshold(6.0, local=True, typical=3.0)}
    kept = rules.recorded(
        SimpleNamespace(names=("f",)), config("calibrated", {"sigma": 6.0}), limits, {"f": noise}, found
    )
    assert kept["rank"].tolist() == [rank for rank in found["rank"].tolist() if rank >= 6.0]


def test_notes_say_what_a_reader_should_know():
    noise, _, purity = counted()

    def notes(noise, onset=0.0):
        pattern = {"f": Pattern({}, onset)}
        return rules.Selection({"f": noise}, {"f": purity}, pattern, {}, {}, {}).notes("f")

    assert notes(noise) == [
        f"one band: no null map; purity is that of the flipped map, known from signal-to-noise {FLOOR:g}"
    ]
    assert notes(noise, 4.5)[1:] == [
        "the sources' positions have a regular pattern up to signal-to-noise 4.5"
    ]
    nothing = noise_of([[np.nan]], 0, 0, np.zeros((1, 1, len(SLICES)), int))
    assert notes(nothing) == []
