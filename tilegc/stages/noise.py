"""The noise of a field: 1.4826 x MAD of the detection map over its good pixels, exact (DESIGN 3.6).

The median of any number of pixels follows from counts: a histogram of the high 16 bits of the values' ordered
keys says in which bin the middle lies, one of the low 16 bits in that bin says which value it is. Counts add up
in any order, so the result is that of `numpy.median` over the whole image, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import xarray as xr

from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.kernels.order import histogram, median_from, median_prefixes, refine, sigma
from tilegc.stages.partials import by_field
from tilegc.stages.setup import Setup

__all__ = ["Noise", "noise"]

Counts = dict[str, np.ndarray]


@dataclass(frozen=True)
class Noise:
    """Median and noise of one field's detection map, nJy per pixel; NaN where no pixel is good."""

    median: float
    sigma: float
    n_good: int

    @property
    def positive(self) -> float:
        """Sigma; NaN where it is 0: half of the map or more is one value, and every pixel of it is a peak."""
        return self.sigma if self.sigma > 0 else np.nan


@dataclass(frozen=True)
class _Question:
    """What a pass over the tiles of one field counts."""

    field: str
    centre: np.float32 | None
    """Counted are the distances from this value; None: the values themselves."""
    prefixes: tuple[int, ...] | None
    """Counted are the low bits of the keys with these high bits; None: the high bits of all."""


def noise(setup: Setup) -> dict[str, Noise]:
    """Measure the noise of every field."""
    medians, counts = _medians(setup, dict.fromkeys(setup.names))
    deviations, _ = _medians(setup, {name: np.float32(value) for name, value in medians.items()})
    return {
        name: Noise(float(medians[name]), sigma(float(deviations[name])), counts[name])
        for name in setup.names
    }


def _medians(
    setup: Setup, centres: dict[str, np.float32 | None]
) -> tuple[dict[str, np.float32], dict[str, int]]:
    """Return the exact median of the values' distances from the centres, and how many values there are."""
    names = setup.names
    what = "median" if all(centre is None for centre in centres.values()) else "deviation"
    coarse = _count(setup, f"{what} 1/2", {name: _Question(name, centres[name], None) for name in names})
    prefixes = {name: median_prefixes(coarse[name]) for name in names}
    fine = _count(
        setup, f"{what} 2/2", {name: _Question(name, centres[name], prefixes[name]) for name in names}
    )
    medians = {name: median_from(coarse[name], prefixes[name], fine[name]) for name in names}
    return medians, {name: int(coarse[name].sum()) for name in names}


def _count(setup: Setup, name: str, questions: dict[str, _Question]) -> Counts:
    counts: Counts = run_pass(setup.engine, replace(COUNT, name=name), setup.fields, questions)
    return counts


def _count_rule(window: xr.Dataset, tile: Tile, params: _Question) -> tuple[dict[str, np.ndarray], Counts]:  # noqa: ARG001
    values = window["detection"].values
    good = window["mask"].values == 0
    if params.prefixes is None:
        counts = histogram(values, good, centre=params.centre)
    else:
        counts = refine(values, good, params.prefixes, centre=params.centre)
    return {}, {params.field: counts}


COUNT = Pass(
    "sigma", ("detection", "mask"), 0, (), _count_rule, partial(by_field, np.add), bytes_per_pixel=24.0
)
