"""How photometry answers: what comes out of artificial stars against what went in, and whether errors are right.

Per field, band, annulus and bin of magnitude, for the stars that are found. A mean over a population is weighted by
its density over that of the draw (`curves`); here it is even over the area of the annulus. The offset of the found
is no correction for single sources: stars that noise or neighbours make brighter are found more often, which a law of
the counts must take into account as it is, by forward modelling.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.artificial import FieldStars
from tilegc.completeness.curves import EDGES, FEWEST
from tilegc.phases.partials import Table
from tilegc.photometry.columns import ZERO_POINT
from tilegc.schema import RESPONSE

__all__ = ["STEP", "response_table"]

Floats = NDArray[np.float64]

STEP: Final = 0.5
"""Width of the bins in magnitude."""

LEVELS: Final = (0.158655, 0.5, 0.841345)
"""Quantiles of a scatter: those of a Gaussian at -1, 0 and 1 standard deviations."""


def response_table(stars: Mapping[str, FieldStars], fluxes: Mapping[str, tuple[Floats, Floats]]) -> Table:
    """Return the columns of response.ecsv.

    Parameters
    ----------
    stars : mapping
        By field.
    fluxes : mapping
        Of `star_fluxes`: fluxes and errors by field, nJy.
    """
    rows: list[tuple[object, ...]] = []
    for name, (flux, error) in fluxes.items():
        field, radius = stars[name], stars[name].table["radius_arcsec"]
        annuli = [(0.0, np.inf), *itertools.pairwise(EDGES)]
        for (low, high), (band, label) in itertools.product(annuli, enumerate(field.magnitudes)):
            inside = field.table["good"] & (radius >= low) & (radius < high)
            magnitude = field.table["mag_in"][band]
            first, last = (np.floor(edge / STEP) for edge in _range(magnitude[inside]))
            for step in np.arange(first, last + 1):
                some = inside & (np.floor(magnitude / STEP) == step)
                found = some & np.isfinite(flux[band]) & (error[band] > 0)
                if found.sum() < FEWEST:
                    continue
                numbers = _numbers(field, band, flux[band], error[band], some, found)
                rows.append((name, label, low, high, step * STEP, (step + 1) * STEP, *numbers))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(RESPONSE)
    return {
        one.name: np.array(values, object if one.dtype == "string" else one.dtype)
        for one, values in zip(RESPONSE, columns, strict=True)
    }


def _range(magnitude: Floats) -> tuple[float, float]:
    """Return the least and the largest magnitude; an empty range without any."""
    return (float(magnitude.min()), float(magnitude.max())) if magnitude.size else (0.0, -1.0)


def _numbers(
    field: FieldStars,
    band: int,
    flux: Floats,
    error: Floats,
    some: NDArray[np.bool_],
    found: NDArray[np.bool_],
) -> tuple[object, ...]:
    """Return the numbers of one bin: `some` are its stars, `found` those of them with a flux."""
    weight = 1 / field.table["q"]
    true = 10 ** (-0.4 * (field.table["mag_in"][band][found] - ZERO_POINT))
    ratio = _quantiles(flux[found] / true, weight[found])
    pull = _quantiles((flux[found] - true) / error[found], weight[found])
    worth = weight[found].sum() ** 2 / (weight[found] ** 2).sum()
    # The error of a median is 1.2533 standard deviations over the root of the number.
    half = (ratio[2] - ratio[0]) / 2
    return (
        int(some.sum()),
        int(found.sum()),
        float(weight[found].sum() / weight[some].sum()),
        ratio[1] - 1,
        1.2533 * half / np.sqrt(worth),
        half,
        pull[1],
        (pull[2] - pull[0]) / 2,
    )


def _quantiles(values: Floats, weight: Floats) -> list[float]:
    """Return the weighted quantiles `LEVELS`."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    middle = (share - 0.5 * weight[order]) / share[-1]
    return [float(value) for value in np.interp(LEVELS, middle, values[order])]
