"""Whether the power of the law depends on the limit of the sources: it should not, if their completeness is known.

Samples above brighter limits are parts of the others, so their powers differ by chance with the difference of their
variances (Hausman 1978), and successive differences are independent of one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIMITS", "Trend", "limit_trend"]

LIMITS: Final = ("snr_5", "snr_7", "snr_10")
"""Samples of `schema.SENSITIVITY`, the faintest limit first."""

LEAST: Final = 0.1
"""Variance of a difference at the least, in units of that of the brighter sample: both errors are estimates."""


@dataclass(frozen=True)
class Trend:
    """b above several limits, and whether it changes with them."""

    index: tuple[float, ...]
    """b by limit, the faintest first."""
    index_err: tuple[float, ...]
    chi2: float
    """Of the successive differences, one less than there are limits; NaN if a sample gives no law."""
    sigma: float
    """Difference between the brightest and the faintest limit in units of its standard deviation."""
    monotone: bool
    """Whether b only rises or only falls."""

    @property
    def significant(self) -> bool:
        """Whether b rises or falls by more than two standard deviations."""
        return bool(self.monotone and abs(self.sigma) > 2)


def limit_trend(table: Mapping[str, NDArray[np.generic]]) -> Trend:
    """Compare b above different limits.

    Parameters
    ----------
    table : mapping
        Columns of `schema.SENSITIVITY`.
    """
    names = [str(name) for name in table["sample"]]
    rows = [names.index(name) for name in LIMITS]
    index, error = (np.asarray(table[name], np.float64)[rows] for name in ("index", "index_err"))
    variance = error**2
    change = np.diff(index)
    own = np.maximum(np.diff(variance), LEAST * variance[1:])
    whole = max(float(variance[-1] - variance[0]), float(LEAST * variance[-1]))
    return Trend(
        tuple(index.tolist()),
        tuple(error.tolist()),
        float((change**2 / own).sum()),
        float((index[-1] - index[0]) / np.sqrt(whole)),
        bool((change > 0).all() or (change < 0).all()),
    )
