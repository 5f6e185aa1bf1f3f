"""Null maps: sources cancel, noise remains; the local noise is that of the sky without sources."""

from __future__ import annotations

import numpy as np
import pytest

from tests.property.test_chain import setup_of
from tests.support import oracle
from tilegc.detection import purity, threshold
from tilegc.detection.noise import global_noise as noise
from tilegc.detection.noise import local_noise
from tilegc.detection.noise.null_maps import FLOOR, SLICES, _about_bright, sign_patterns
from tilegc.filter import detection_map
from tilegc.mask import mask_map as mask
from tilegc.mask.mask_map import Regions
from tilegc.schema import Bit

SHAPE = (420, 530)
COLOURS = np.array([0.6, 0.8, 0.95, 1.0])


def scene(bands, n=3000, seed=1):
    """Noise, a little lower on the left, with sources of one colour concentrated in the middle; and the noise alone."""
    draw = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    alone = draw.normal(0, 0.1 + 0.02 * x / SHAPE[1], (bands, *SHAPE))
    sky = np.zeros(SHAPE)
    for row, column in zip(draw.normal(210, 90, n), draw.normal(265, 110, n), strict=True):
        peak = 0.25 * (draw.pareto(1.5) + 0.2)
        y0, x0 = max(int(row) - 6, 0), max(int(column) - 6, 0)
        part = (slice(y0, max(int(row), 0) + 7), slice(x0, max(int(column), 0) + 7))
        sky[part] += min(peak, 9.0) * np.exp(
            -((y[part] - row) ** 2 + (x[part] - column) ** 2) / (2 * 0.85**2)
        )
    return (alone + COLOURS[:bands, None, None] * sky).astype(np.float32), alone.astype(np.float32)


def measured(folder, sci):
    context, config = setup_of(folder, sci, None, 100, {}, "off")
    filtering = detection_map.detection_map(context, config)
    mask.mask(context, config, {"f": Regions((), ())})
    noises = noise.noise(context)
    return (
        (context, config),
        noises,
        local_noise.local_noise(context, config.detect.exclusion_radius, noises, filtering),
    )


def test_patterns_of_signs():
    assert sign_patterns(4) == ((1, -1, -1, 1), (1, -1, 1, -1), (1, 1, -1, -1))
    assert sign_patterns(3) == ((1, -1, -1), (1, -1, 1), (1, 1, -1))
    assert sign_patterns(2) == ((1, -1),)
    assert sign_patterns(1) == ()
    for bands in (5, 6, 7, 8):
        patterns = sign_patterns(bands)
        assert len(patterns) == 3
        assert all(0 < signs.count(1) < bands and signs[0] == 1 for signs in patterns)
    four = np.array(sign_patterns(8))
    assert (four @ four.T == 8 * np.eye(3)).all()


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_noise_and_its_peaks_are_those_without_sources(bands, tmp_path):
    sci, alone = scene(bands)
    _, noises, local = measured(tmp_path, sci)
    found = local["f"]
    everywhere = np.ones(SHAPE, bool)
    true, _ = oracle.detection(alone.sum(axis=0), everywhere)
    for place, part in (((0, 0), true[:256, :200]), ((0, 1), true[:256, 256:512])):
        assert found.values[place] == pytest.approx(oracle.sigma(part), rel=0.04), place
    # With its sources the map is noisier by far: what a global noise would be.
    assert noises["f"].sigma > 1.05 * oracle.sigma(true)
    for signs, scale in zip(found.balance.patterns, found.balance.scales, strict=True):
        plus = np.array(signs) > 0
        wanted = COLOURS[:bands][plus].sum() / COLOURS[:bands][~plus].sum()
        assert scale == pytest.approx(wanted, rel=0.05), signs
    # Peaks of the noise alone, by the slow rule, against those that the null maps predict.
    ratio = true / found.at(*np.indices(SHAPE).reshape(2, -1)).reshape(SHAPE)
    rank = np.array([ratio[place] for place in oracle.greedy(ratio, everywhere, FLOOR, 3.0)])
    counts = found.counts
    scale = counts.good.sum() / (counts.away.sum() * counts.draws)
    for low, high in ((2.5, 3.0), (3.0, 3.5), (3.5, 4.5)):
        slices = (np.array(SLICES) >= low) & (np.array(SLICES) < high)
        expected = counts.peaks[..., slices].sum() * scale
        true_count = ((rank >= low) & (rank < high)).sum()
        error = np.hypot(np.sqrt(expected), np.sqrt(expected * scale))
        assert abs(true_count - expected) < 3 * error + 0.05 * expected, (low, true_count, expected)


def test_flipped_map_of_one_band(tmp_path):
    sci, alone = scene(1)
    (context, config), _, local = measured(tmp_path, sci)
    found = local["f"]
    assert found.balance.patterns == ()
    assert (found.counts.draws, found.counts.floor) == (1, 6.0)
    true, _ = oracle.detection(alone[0], np.ones(SHAPE, bool))
    assert found.values[0, 0] == pytest.approx(oracle.sigma(true[:256, :200]), rel=0.12)
    pure = purity.purity(
        context, config.detect.exclusion_radius, threshold.survey(context, config, local), local
    )["f"]
    low = pure.table["snr_lo"] < 6
    assert np.isnan(pure.table["n_noise"][low]).all()
    assert np.isfinite(pure.table["n_noise"][~low]).all()


def test_what_bands_have_in_common_is_noise_too(tmp_path):
    """A pattern common to all bands cancels in null maps, but the local noise includes it."""
    draw = np.random.default_rng(5)
    common = draw.normal(0, 0.05, SHAPE)
    alone = draw.normal(0, 0.1, (4, *SHAPE)) + common
    _, _, local = measured(tmp_path, alone.astype(np.float32))
    true, _ = oracle.detection(alone.sum(axis=0).astype(np.float32), np.ones(SHAPE, bool))
    assert local["f"].common == pytest.approx(np.sqrt(1 + 4 * 0.25), rel=0.05)
    assert local["f"].median == pytest.approx(oracle.sigma(true), rel=0.03)


def test_a_field_without_data_is_empty(tmp_path):
    (context, config), _, local = measured(tmp_path, np.full((2, 40, 50), np.nan, np.float32))
    assert np.isnan(local["f"].values).all()
    assert local["f"].counts.draws == 0
    found = threshold.survey(context, config, local)
    assert not found["y"].size
    assert not purity.purity(context, config.detect.exclusion_radius, found, local)["f"].table["zone"].size


def test_null_peaks_keep_away_from_bright_light():
    """24 px from a very bright pixel and 12 px from any above 25 times the noise, whatever else is masked."""
    ratio = np.zeros((80, 90), np.float32)
    ratio[20, 15] = 26.0
    ratio[60, 15] = 24.0
    mask = np.zeros(ratio.shape, np.uint8)
    mask[40, 60] = Bit.BRIGHT | Bit.EXTENDED
    mask[10, 80] = Bit.SPIKE
    y, x = np.indices(ratio.shape)
    wanted = (np.hypot(y - 20, x - 15) <= 12) | (np.hypot(y - 40, x - 60) <= 24)
    np.testing.assert_array_equal(_about_bright(ratio, mask), wanted)
