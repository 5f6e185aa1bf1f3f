"""Room for noise peaks between sources, against peaks counted in maps of noise with and without sources."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, maximum_filter

from tilegc.detection.blocking import UNSEEN, blocked_area, blocking
from tilegc.detection.noise.peak_counts import SLICES

SIZE = 512


def response(sigma=1.3, n=29):
    """Return a peak with a ring of zero sum, as a matched filter makes of a point."""
    y, x = np.indices((n, n)) - n // 2
    r2 = y * y + x * x
    shape = np.exp(-r2 / (4 * sigma**2)) - np.exp(-r2 / (2 * (sigma**2 + 6.5))) * (
        2 * sigma**2 / (sigma**2 + 6.5)
    )
    return shape / shape[n // 2, n // 2]


def test_a_source_takes_its_core_and_what_its_ring_suppresses():
    """By the slow rule, pixel by pixel; more for brighter sources and higher peaks; never less than the disc."""
    kernel = response()
    middle = kernel.shape[0] // 2
    zero = min(np.hypot(y - middle, x - middle) for y, x in np.argwhere(kernel <= 0))
    lost = more = 0.0
    for (y, x), value in np.ndenumerate(kernel):
        if np.hypot(y - middle, x - middle) < zero:
            lost, more = lost + 1, more - 1
        elif value < 0:
            lost, more = lost + 1 - np.exp(4.0 * 5.0 * value), more + np.exp(-4.0 * 5.0 * value) - 1
    assert blocked_area(kernel, 13, 5.0, 4.0) == pytest.approx((lost, more))
    areas = [blocked_area(kernel, 13, source, 4.0)[0] for source in (3.0, 6.0, 20.0, 60.0)]
    assert areas == sorted(areas)
    assert areas[0] > 13
    assert blocked_area(kernel, 500, 5.0, 4.0)[0] == 500


def test_areas_by_slice():
    kernel = response()
    found = blocking(kernel, 13, np.array([3.0, 9.0, 1000.0]))
    assert found.taken.shape == found.added.shape == (len(SLICES), len(SLICES))
    k, j = 4, 1
    assert found.taken[k, j] == blocked_area(kernel, 13, SLICES[j] + 0.125, SLICES[k] + 0.125)[0]
    assert found.added[k, j] == blocked_area(kernel, 13, SLICES[j] + 0.125, SLICES[k] + 0.125)[1]
    assert (found.added[:, np.array(SLICES) >= UNSEEN] == 0).all()
    assert (found.taken[:, -1] > found.taken[:, -2]).all()
    nothing = blocking(kernel, 13, np.array([3.0]))
    assert np.isfinite(nothing.taken).all()


def test_the_room_that_is_left_is_that_of_noise_with_sources_in_it():
    """Peaks above 3 of noise alone, and of the same noise with sources of S/N 8 on it, away from their cores."""
    draw = np.random.default_rng(5)
    kernel = response()
    noise = np.zeros((SIZE, SIZE))
    alone = beside = 0
    places = draw.integers(0, SIZE, (900, 2))
    sources = np.zeros((SIZE, SIZE))
    reach = kernel.shape[0] // 2
    for y, x in places:
        rows, columns = (np.arange(at - reach, at + reach + 1) % SIZE for at in (y, x))
        sources[np.ix_(rows, columns)] += 8.0 * kernel
    core = np.zeros((SIZE, SIZE), bool)
    core[places[:, 0], places[:, 1]] = True
    core = maximum_filter(core, footprint=np.hypot(*(np.indices((7, 7)) - 3)) < 3, mode="wrap")
    for _ in range(4):
        white = draw.normal(size=(SIZE, SIZE))
        noise = gaussian_filter(white, 1.3, mode="wrap") - gaussian_filter(
            white, np.sqrt(1.3**2 + 6.5), mode="wrap"
        )
        noise /= noise.std()
        for number, image in enumerate((noise, noise + sources)):
            peaks = (image >= 3.0) & (image == maximum_filter(image, 5, mode="wrap"))
            alone += peaks.sum() if number == 0 else 0
            beside += (peaks & ~core).sum() if number == 1 else 0
    area = blocked_area(kernel, 13, 8.0, 3.3)[0]
    assert beside / alone == pytest.approx(np.exp(-area * 900 / SIZE**2), abs=0.06)
    assert beside / alone < np.exp(-13 * 900 / SIZE**2) - 0.08
