"""How surprising a statistic is, and how surprising the most surprising of several is.

Ranks among a few hundred simulated skies cannot tell a probability of 0.002 from one of 1e-6, and with ten statistics
the best rank of all says little. The tail of each statistic is therefore extrapolated with a Gumbel law, to which
maxima tend; the extrapolated probabilities only order the skies, whose own ranks then give a p-value that is right
whether or not the tail is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tail", "surprise_rank", "surprises", "tails"]

Floats = NDArray[np.float64]

EULER = 0.5772156649015329
LARGEST = 700.0
"""Largest surprise, the negative logarithm of a probability."""


@dataclass(frozen=True, eq=False)
class Tail:
    """Distribution of one statistic over simulated skies, and the Gumbel law with its mean and scatter."""

    values: Floats
    """In increasing order."""
    location: float
    scale: float

    def surprise(self, value: float) -> float:
        """Return -ln of the probability of at least this value."""
        return float(_surprise(np.array(value), self.location, self.scale))

    def rank(self, value: float) -> float:
        """Return the fraction of skies, this one included, with at least this value."""
        above = self.values.size - int(np.searchsorted(self.values, value, side="left"))
        return (1 + above) / (1 + self.values.size)


def _surprise(values: Floats, location: float, scale: float) -> Floats:
    reduced = np.clip((values - location) / scale, -30.0, LARGEST)
    surprise: Floats = -np.log(-np.expm1(-np.exp(-reduced)))
    return surprise


def tails(drawn: Floats) -> list[Tail]:
    """Return the distribution of every statistic of simulated skies, (sky, statistic)."""
    scale = np.maximum(drawn.std(axis=0) * np.sqrt(6.0) / np.pi, 1e-12)
    location = drawn.mean(axis=0) - EULER * scale
    return [
        Tail(np.sort(column), float(a), float(b))
        for column, a, b in zip(drawn.T, location, scale, strict=True)
    ]


def surprises(skies: Floats, drawn: Floats) -> Floats:
    """Return the largest surprise of each sky among its statistics, 0 without any; (sky,)."""
    if not skies.shape[1]:  # fields too small for any scale of the residuals
        return np.zeros(len(skies))
    each = [
        _surprise(column, tail.location, tail.scale)
        for column, tail in zip(skies.T, tails(drawn), strict=True)
    ]
    largest: Floats = np.max(each, axis=0)
    return largest


def surprise_rank(value: float, drawn: Floats) -> float:
    """Return the fraction of skies, this one included, whose largest surprise is at least this."""
    return float((1 + (drawn >= value).sum()) / (1 + drawn.size))
