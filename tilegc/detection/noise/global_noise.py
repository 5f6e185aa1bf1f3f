"""The noise of a field: 1.4826 x MAD of the detection map over its good pixels, exact (algorithm.md, section 6.1).

The median of any number of pixels follows from counts: a histogram of the high 16 bits of the values' ordered
keys says in which bin the middle lies, and in which few the median distance from it can; one of the low 16 bits in
those says which values they are. Counts add up in any order, so the result is that of `numpy.median` over the whole
image, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tilegc.engine import Pass, run_pass
from tilegc.geometry import Tile
from tilegc.io.window import Window
from tilegc.kernels.order import (
    histogram,
    mad_from,
    mad_prefixes,
    median_from,
    median_prefixes,
    refine,
    sigma,
)
from tilegc.phases.context import Context
from tilegc.phases.partials import by_field

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


def noise(context: Context) -> dict[str, Noise]:
    """Measure the noise of every field: two passes, and two more over fields whose values are of every size."""
    names = context.names
    coarse = _count(context, "sigma 1/2", {name: _Question(name, None, None) for name in names})
    # The first pass says which few bins hold the median and can hold the median distance from it, so that the
    # second pass settles both. Only values of every order of magnitude, which noise does not have, need two
    # passes more.
    wanted = {name: mad_prefixes(coarse[name]) for name in names}
    prefixes = {name: wanted[name] or median_prefixes(coarse[name]) for name in names}
    fine = _count(context, "sigma 2/2", {name: _Question(name, None, prefixes[name]) for name in names})
    medians = {name: median_from(coarse[name], prefixes[name], fine[name]) for name in names}
    deviations = _deviations(context, {name: medians[name] for name in names if wanted[name] is None})
    deviations |= {
        name: mad_from(coarse[name], prefixes[name], fine[name], medians[name])
        for name in names
        if wanted[name] is not None
    }
    return {
        name: Noise(float(medians[name]), sigma(float(deviations[name])), int(coarse[name].sum()))
        for name in names
    }


def _deviations(context: Context, medians: dict[str, np.float32]) -> dict[str, np.float32]:
    """Return the median distance from the median of these fields, counted as the median itself is."""
    if not medians:
        return {}
    coarse = _count(
        context, "deviation 1/2", {name: _Question(name, centre, None) for name, centre in medians.items()}
    )
    prefixes = {name: median_prefixes(coarse[name]) for name in medians}
    fine = _count(
        context,
        "deviation 2/2",
        {name: _Question(name, centre, prefixes[name]) for name, centre in medians.items()},
    )
    return {name: median_from(coarse[name], prefixes[name], fine[name]) for name in medians}


def _count(context: Context, name: str, questions: dict[str, _Question]) -> Counts:
    fields = [field for field in context.fields if field.source.name in questions]
    counts: Counts = run_pass(context.engine, replace(COUNT, name=name), fields, questions)
    return counts


def _count_rule(window: Window, tile: Tile, params: _Question) -> tuple[dict[str, np.ndarray], Counts]:  # noqa: ARG001
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
