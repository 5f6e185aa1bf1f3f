"""Which sources are globular clusters: by their colours, and by where they are and how bright.

Two components in the space of colours, each a sum of Gaussians without the noise of the photometry: the clusters, from
the annuli in which the background is rare, and the background, from the outer field. Every source is compared with
both, with the noise of its own colours. The odds beforehand are those of the counts: of the whole cluster
(`p_gc_colour`), or of its annulus and magnitude (`p_gc`). The latter follows the density of the sources, so it must not
weight them where their density is to be compared with anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.colours import FEWEST, Mixture, deconvolved
from tilegc.luminosity.annuli import Annuli
from tilegc.luminosity.fit import Function
from tilegc.phases.partials import Table

__all__ = ["membership"]

Floats = NDArray[np.float64]

MEASURED: Final = 3.0
"""Signal-to-noise that a source needs in every band to have colours."""

PURE: Final = 0.1
"""Share of background at a place and magnitude up to which sources tell the colours of clusters."""

LEAST: Final = 1e-3
"""Share of a sample's density of colours that is left, at the least, when that of the others is taken out."""


def membership(
    table: Table,
    listed: Floats,
    field: NDArray[np.int64],
    bands: Sequence[str],
    annuli: Annuli,
    function: Function,
) -> tuple[Floats, Floats]:
    """Return the chance of every source to be a cluster, with and without its position; NaN where it is not known.

    Parameters
    ----------
    table : table
        Sources, with the columns of photometry where there are any.
    listed : (n,) float64
        Their listed magnitudes.
    field : (n,) int64
        Position of their field in the run file; -1: a field without annuli.
    bands : sequence of str
        Of all fields.
    annuli : Annuli
    function : Function
    """
    unknown = np.full(listed.size, np.nan)
    if not function.background > 0:
        return unknown, unknown.copy()
    row, column = _places(table["radius_arcsec"], listed, field, annuli)
    known = (row >= 0) & (column >= 0)
    clusters, others = function.clusters, function.others
    share = np.full(listed.size, np.nan)
    share[known] = (others / np.maximum(clusters + others, 1e-12))[row[known], column[known]]
    ratio = _colour_ratio(table, bands, annuli.outer[row], share)
    position, colour = unknown, unknown.copy()
    odds = clusters[row[known], column[known]] / np.maximum(others[row[known], column[known]], 1e-12)
    # Without colours the position alone decides.
    odds *= np.where(np.isfinite(ratio[known]), ratio[known], 1.0)
    position[known] = odds / (1 + odds)
    inner = ~annuli.outer
    even = ratio * clusters[inner].sum() / max(float(others[inner].sum()), 1e-12)
    colour[:] = even / (1 + even)
    return position, colour


def _places(
    radius: Floats, listed: Floats, field: NDArray[np.int64], annuli: Annuli
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return annulus and bin of every source; -1 where it has none."""
    row = np.full(radius.size, -1, np.int64)
    for j in range(annuli.field.size):
        row[(field == annuli.field[j]) & (radius >= annuli.r_lo[j]) & (radius < annuli.r_hi[j])] = j
    column = np.searchsorted(annuli.edges, listed, side="right") - 1
    outside = ~((listed >= annuli.edges[0]) & (listed < annuli.edges[-1]))
    return row, np.where(outside, -1, column)


def _colour_ratio(table: Table, bands: Sequence[str], far: NDArray[np.bool_], share: Floats) -> Floats:
    """Return the density of clusters over that of the background at the colours of every source; NaN: not known.

    `far`: in the outer field; `share`: of the background at the source's place and magnitude, NaN where not known.
    """
    ratio = np.full(share.size, np.nan)
    if len(bands) < 2 or not all(f"flux_{band}" in table for band in bands):
        return ratio
    flux = np.stack([table[f"flux_{band}"] for band in bands])
    error = np.stack([table[f"flux_err_{band}"] for band in bands])
    with np.errstate(invalid="ignore", divide="ignore"):
        measured = (
            np.isfinite(flux).all(axis=0) & (flux > MEASURED * error).all(axis=0) & (error > 0).all(axis=0)
        )
    measured &= table["flags"] == 0
    some = np.flatnonzero(measured)
    magnitude = -2.5 * np.log10(flux[:, some])
    variance = (2.5 / np.log(10) * error[:, some] / flux[:, some]) ** 2
    colours = (magnitude[:-1] - magnitude[-1]).T
    size = len(bands) - 1
    noise = np.repeat(variance[-1][:, None, None], size, axis=1).repeat(size, axis=2)
    noise[:, range(size), range(size)] += variance[:-1].T
    outer = far[some] & np.isfinite(share[some])
    inner = ~far[some] & (share[some] < PURE)
    if outer.sum() < FEWEST or inner.sum() < FEWEST:
        return ratio
    near, away = (
        _ln_density(colours, noise, deconvolved(colours[part], noise[part])) for part in (inner, outer)
    )
    # Neither sample is pure, but how many of the others each holds is known: two linear equations.
    rare, other = float(share[some][inner].mean()), 1 - float(share[some][outer].mean())
    level = np.maximum(near, away)
    near, away = np.exp(near - level), np.exp(away - level)
    clusters = np.maximum((1 - other) * near - rare * away, LEAST * near)
    background = np.maximum((1 - rare) * away - other * near, LEAST * away)
    ratio[some] = clusters / np.maximum(background, 1e-300)
    return ratio


def _ln_density(colours: Floats, noise: Floats, mixture: Mixture) -> Floats:
    """Return the logarithm of a mixture's density at noisy colours."""
    weight, mean, covariance = mixture
    total = covariance[None] + noise[:, None]
    apart = colours[:, None] - mean
    square = np.einsum("nki,nkij,nkj->nk", apart, np.linalg.inv(total), apart)
    log = np.log(weight) - 0.5 * (square + np.linalg.slogdet(total)[1] + colours.shape[1] * np.log(2 * np.pi))
    top = log.max(axis=1)
    found: Floats = top + np.log(np.exp(log - top[:, None]).sum(axis=1))
    return found
