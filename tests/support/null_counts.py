"""Local noise of a field with chosen counts of null maps, and peaks on it."""

from __future__ import annotations

import numpy as np

from tilegc.detection.noise.balance import Balance
from tilegc.detection.noise.noise_map import LocalNoise, NoiseMap, NullCounts
from tilegc.detection.noise.null_maps import FLOOR


def noise_of(values, good, away, peaks, draws=6, floor=FLOOR):
    values = np.asarray(values, float)
    shape = values.shape
    counts = NullCounts(
        np.full((*shape, 1), good, np.int64),
        np.full((*shape, 1), away, np.int64),
        np.asarray(peaks, np.int64)[..., None, :],
        draws,
        floor,
    )
    return LocalNoise(
        NoiseMap(values),
        values,
        values[..., None],
        1.03,
        1.1,
        Balance((), (), 0, {}),
        counts,
        np.zeros((1, 1), np.uint8),
    )


def peaks_at(noise, y, x, rank):
    """Return peaks of this signal-to-noise, in the form that a survey returns."""
    y, x, rank = np.asarray(y), np.asarray(x), np.asarray(rank, np.float32)
    level = noise.at(y, x)
    return {
        "y": y,
        "x": x,
        "rank": rank,
        "noise": level,
        "peak": rank * level,
        "point": np.ones(y.size, bool),
    }
