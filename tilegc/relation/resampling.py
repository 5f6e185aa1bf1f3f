"""Resampled skies: blocks of sources and area, drawn with replacement.

Boxes and pixels are not independent, but patches of the sky larger than the correlation length nearly are. A block
brings its sources and its area along, so that a resample is a sky with the same law made of other patches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.kernels.groups import groups
from tilegc.relation.counts import BoxCounts, Law
from tilegc.relation.counts_law import fit_law

__all__ = ["BLOCK", "RESAMPLES", "block_numbers", "block_weights", "bootstrap"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK: Final = 15.0
"""Side of a block in arcsec."""

RESAMPLES: Final = 200
SEED: Final = 20260213


def block_numbers(xi: Floats, eta: Floats, side: float = BLOCK) -> Ints:
    """Return the number of the block in which each position lies, from 0 without gaps.

    Parameters
    ----------
    xi, eta : float64
        Positions in arcsec, of the same shape; block edges are at integer multiples of `side`.
    """
    return groups(*(np.floor(axis / side) for axis in (eta, xi)))[1]


def block_weights(number: Ints, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[Floats]:
    """Yield, for each resample, how often each position counts; of the shape of `number`."""
    blocks = int(number.max(initial=-1)) + 1
    draws = np.random.Generator(np.random.PCG64(seed))
    for _ in range(resamples):
        picked = np.bincount(draws.integers(0, blocks, blocks), minlength=blocks) if blocks else np.zeros(0)
        yield picked[number].astype(np.float64)


def bootstrap(data: BoxCounts, law: Law, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Return the laws of resampled skies: (ln a, c, f), and g if there is light, one row for each successful fit.

    There is only one outer field, so it is resampled from its own error.
    """
    xi, eta = ((axis.astype(np.float64) + 0.5) * data.side for axis in (data.column, data.row))
    number = block_numbers(xi, eta)
    draws = np.random.Generator(np.random.PCG64(seed + 1))
    rows = []
    for weight in block_weights(number, resamples, seed):
        again, shift = data, float(draws.normal())
        if data.outer is not None:
            outer = replace(
                data.outer, density=data.outer.density + shift * float(np.sqrt(law.outer_variance))
            )
            again = replace(data, outer=outer)
        # The dispersion is held: it hardly moves the law, and resampled counts, in which blocks occur twice, would
        # all look over-dispersed. Each fit starts from the law of the whole sky, which is close.
        found = fit_law(again, dispersion=law.dispersion, weight=weight, begin=law)
        if found.found:
            rows.append(found.theta)
    return np.array(rows).reshape(-1, data.parameters)
