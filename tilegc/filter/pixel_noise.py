"""How the noise of a band's pixels is known: from its error image, from its weights, or from the data alone.

Error images are often wrong by a factor, weights are exposure times as often as inverse variances, and some files
have neither. So an image of errors or weights is trusted for its *pattern* and never for its scale: the scale is
measured in cells of the lattice, as the noise of the filtered band over the noise that the pattern predicts. A
pattern that does not make the measured noise more uniform than no pattern at all is not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLAT", "KINDS", "Kind", "PixelNoise", "chosen_kind", "pixel_variance", "raw_variance"]

Float32 = NDArray[np.float32]

Kind = Literal["err", "wht", "flat", "data"]

KINDS: Final[tuple[Kind, ...]] = ("err", "wht", "flat", "data")
"""In the order in which they are preferred; `data` is measured in the image itself (`tilegc.filter.measured_noise`)."""

NODE: Final = 8
"""Pixels between the nodes at which noise is measured in the image itself."""

# A margin, because in a uniform field all patterns fit alike and noise would choose between them.
MARGIN: Final = 0.03
"""How much less uniform (mean |ln ratio| over cells) a preferred kind may be than the best one."""

FEWEST: Final = 3
"""Cells below which kinds cannot be told apart, so that the preferred one is taken."""

RANGE: Final = 1e4
"""Largest and smallest variance of a pixel, over and under the band's typical one: float32 sums stay accurate."""


@dataclass(frozen=True)
class PixelNoise:
    """The noise of one band's pixels."""

    kind: Kind
    scale: float
    """Measured noise of the filtered band over that expected from independent pixels of this variance."""
    typical: float
    """Median variance of the band's pixels, nJy^2 (1 where flat): used for pixels without a valid error or weight."""
    nodes: NDArray[np.float32] | None = None
    """Variance at nodes `NODE` px apart over its median, of the whole field, for `data`."""


FLAT: Final = PixelNoise("flat", 1.0, 1.0)


def raw_variance(kind: Kind, values: NDArray[Any]) -> Float32:
    """Return the variance that errors or weights declare, nJy^2; NaN where they declare none.

    Parameters
    ----------
    kind : {"err", "wht"}
    values : ndarray of float32
        Errors, nJy, or weights, nJy^-2. Zero, negative and infinite values declare nothing.
    """
    known = np.isfinite(values) & (values > 0)
    # Zeros and NaN are replaced before the arithmetic, so that no warning and no infinity arises.
    safe = np.where(known, values, np.float32(1))
    with np.errstate(over="ignore", under="ignore"):
        variance = safe * safe if kind == "err" else np.float32(1) / safe
    known &= np.isfinite(variance) & (variance > 0)
    return np.where(known, variance, np.float32(np.nan)).astype(np.float32)


def pixel_variance(
    noise: PixelNoise,
    values: NDArray[Any] | None,
    shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Float32:
    """Return the variance of one band's pixels before its scale, float32 (ny, nx), finite and positive everywhere.

    Parameters
    ----------
    noise : PixelNoise
    values : (ny, nx) float32, optional
        The band's errors or weights, whichever `noise.kind` names; None where flat.
    shape : tuple of int
        ny, nx.
    origin : tuple of int
        The first pixel's y, x in the field.
    """
    if noise.nodes is not None:
        rows, columns = (np.arange(first, first + n) // NODE for first, n in zip(origin, shape, strict=True))
        return np.clip(noise.nodes[np.ix_(rows, columns)], np.float32(1 / RANGE), np.float32(RANGE))
    if noise.kind == "flat" or values is None:
        return np.full(shape, noise.typical, np.float32)
    variance = raw_variance(noise.kind, values)
    # A pixel that has a value but no error still adds noise to the sum: as much as a typical one.
    variance[np.isnan(variance)] = np.float32(noise.typical)
    limits = np.float32(noise.typical / RANGE), np.float32(noise.typical * RANGE)
    return np.clip(variance, *limits)


def chosen_kind(ratios: dict[Kind, NDArray[np.float64]]) -> Kind:
    """Return which pattern of noise to use.

    Parameters
    ----------
    ratios : dict
        By kind, measured over expected noise in each cell; NaN in cells where either is not known. Only kinds that
        the band has.

    Returns
    -------
    {"err", "wht", "flat"}
        The first kind, in order of preference, under which the ratio is about as uniform as under the best one.
    """
    usable = {kind: values[np.isfinite(values) & (values > 0)] for kind, values in ratios.items()}
    most = max((values.size for values in usable.values()), default=0)
    if not most:
        return "flat"
    # Compared by unevenness, not by chi squared: a wrong scale does no harm, only a wrong pattern does.
    spreads = {
        kind: _unevenness(values) if values.size >= FEWEST else 0.0
        for kind, values in usable.items()
        if 2 * values.size > most  # a pattern that is missing in most cells is no pattern
    }
    best = min(spreads.values())
    return next(kind for kind in KINDS if kind in spreads and spreads[kind] <= best + MARGIN)


def _unevenness(values: NDArray[np.float64]) -> float:
    """Return the mean distance of the logarithms from their median."""
    logs = sorted(math.log(value) for value in values.tolist())
    middle = 0.5 * (logs[(len(logs) - 1) // 2] + logs[len(logs) // 2])
    # Rounded far below the margin, so that the last bit of a logarithm cannot decide between two kinds.
    return round(math.fsum(abs(value - middle) for value in logs) / len(logs), 9)
